//! Drives the real executable against real sockets, processes, files and containers.
//!
//! One binary, one module for each topic; a test's name is a claim.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]

#[path = "../support/mod.rs"]
mod support;

mod checks;
mod composite;
mod containers;
mod dind;
mod discovery;
mod dockerfile;
mod document;
mod documents;
mod engine;
mod faults;
mod fetching;
mod files;
mod fuzzed;
mod harness;
mod hook;
mod inputs;
mod leaks;
mod masks;
mod messages;
mod nested;
mod netns;
mod policy;
mod publishing;
mod region;
mod release;
mod repository;
mod sdks;
mod shells;
mod signals;
mod sources;
mod syscalls;
mod traced;

use ecs_task_role::trouble::Trouble;

use support::endpoint::{Document, Endpoint, answer};
use support::github;
use support::step::{File, Outcome, Program, Step};

/// The executable under test.
fn program() -> Program {
    Program::at(env!("CARGO_BIN_EXE_ecs-task-role"))
}

/// A step that asks no Docker Engine: the machine of whoever runs the tests may have one.
fn step() -> Step {
    Step::new(&program()).input("discovery", "environment")
}

/// A step that is sent to this endpoint by its input.
fn step_at(endpoint: &Endpoint) -> Step {
    step().input("credentials-uri", endpoint.url("/creds"))
}

/// An endpoint at the address of the ECS agent; in an isolated test alone.
fn agent() -> Endpoint {
    let listener = std::net::TcpListener::bind("169.254.170.2:80").unwrap();
    Endpoint::on(listener, |_, stream| {
        answer::ok(stream, &Document::default().json())
    })
}

/// A step that is sent to an endpoint with this document, and its outcome.
fn outcome_of(document: &Document) -> Outcome {
    step_at(&Endpoint::serving(document)).run()
}

/// The step fails under this title, with each of these in its message, and leaves the files as they
/// were: empty ones, and ones that hold something.
fn fails(step: &Step, trouble: Trouble, says: &[&str]) -> Outcome {
    fails_once(step, trouble, says);
    for file in File::ALL {
        let path = step.path(file);
        if path.symlink_metadata().is_ok_and(|m| m.is_file()) {
            std::fs::write(path, "EARLIER<<END\nsaid\nEND\n").unwrap();
        }
    }
    fails_once(step, trouble, says)
}

/// The same with the files as they are.
fn fails_once(step: &Step, trouble: Trouble, says: &[&str]) -> Outcome {
    failed(step.run(), trouble, says)
}

/// The outcome is this failure: one error line with title, reason and link, exit code 1, nothing done.
fn failed(outcome: Outcome, trouble: Trouble, says: &[&str]) -> Outcome {
    let outcome = outcome.untouched();
    let (title, message) = outcome.error();
    assert_eq!(title, trouble.title(), "{outcome}");
    assert_eq!(outcome.code(), 1, "{outcome}");
    for part in says {
        assert!(message.contains(part), "{part:?} is not said\n{outcome}");
    }
    assert!(message.contains(&trouble.link()), "no link\n{outcome}");
    assert_eq!(String::from_utf8_lossy(&outcome.stderr), "", "{outcome}");
    assert_eq!(github::annotations(&outcome.stdout, "notice"), []);
    outcome
}
