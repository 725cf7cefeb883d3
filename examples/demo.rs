//! Shows the action at work on any machine that has Rust: no AWS, no Docker, no GitHub.
//!
//! `cargo run --example demo` starts a credentials endpoint on loopback, runs the real program as a step
//! of a job, and shows the log as a person sees it and what the next step receives.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::print_stderr)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use support::endpoint::{Document, Endpoint, Keys};
use support::github;
use support::step::{Change, Outcome, Program, Step};

/// As secret as a key: whoever knows the path gets the credentials.
const PATH: &str = "/v2/credentials/5f3c1d9e-0b7a-4c6e-9a51-7b2f8d3e4a60";

fn main() -> ExitCode {
    println!("ecs-task-role, shown on this machine: no AWS, no Docker, no GitHub.\n");
    println!("Building the program ...");
    let program = match build() {
        Ok(program) => program,
        Err(why) => return off(&why),
    };
    let keys = Keys::number(1);
    let document = Document::new(&keys);
    let endpoint = Endpoint::serving(&document);
    println!(
        "Started a credentials endpoint at {}, in the place of the ECS agent's at 169.254.170.2.",
        endpoint.addr()
    );
    println!(
        "Running the program as a step of a job, with the variables and files of the runner ..."
    );
    let outcome = Step::new(&program)
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint.url(PATH))
        .input("aws-region", "eu-west-1")
        .input("expected-role", "gha-taskrole")
        .run();

    println!("\nThe log of the step, as a person sees it:\n");
    for line in outcome.log().lines() {
        println!("    {line}");
    }
    println!(
        "\n{} values, the endpoint's path and the keys, were masked before they could appear in the log.\n(There is no Docker here, so a variable named the endpoint. On ECS the last words are \"found through docker\".)",
        outcome.masks().len()
    );
    println!(
        "\nWhat the next step of the job receives (the keys are invented, so they can be shown):\n"
    );
    table(&outcome.env);
    println!("\nThe outputs of the step:\n");
    table(&outcome.output);

    match check(&outcome, &endpoint, &keys) {
        Ok(()) => {
            println!("\nAll as it should be: one request, exit code 0, no secret in the log.");
            ExitCode::SUCCESS
        }
        Err(why) => off(&format!("{why}\n{outcome}")),
    }
}

fn off(why: &str) -> ExitCode {
    eprintln!("\nThis is not as it should be: {why}");
    ExitCode::FAILURE
}

/// Builds the program as this example was built, and finds where cargo put it.
fn build() -> Result<Program, String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--quiet", "--bin", env!("CARGO_PKG_NAME")])
        .args(["--message-format", "json-render-diagnostics"])
        .args([
            "--manifest-path",
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
        ])
        .stderr(Stdio::inherit());
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo
        .output()
        .map_err(|error| format!("cargo could not be started: {error}"))?;
    if !output.status.success() {
        return Err("the program could not be built".into());
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
        .next_back()
        .map(Program::at)
        .ok_or_else(|| "cargo did not say where the program is".into())
}

/// Names and values, as the runner reads them out of a file.
fn table(file: &Change) {
    let pairs = file.pairs();
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in pairs {
        println!("    {name:width$}  {value}");
    }
}

/// Whether it went as the README says.
fn check(outcome: &Outcome, endpoint: &Endpoint, keys: &Keys) -> Result<(), String> {
    let ensure = |fine: bool, what: &str| if fine { Ok(()) } else { Err(what.to_owned()) };
    ensure(outcome.code() == 0, "the step failed")?;
    ensure(endpoint.requests().len() == 1, "there was not one request")?;
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", &*keys.id),
        ("AWS_SECRET_ACCESS_KEY", &keys.secret),
        ("AWS_SESSION_TOKEN", &keys.token),
        ("AWS_REGION", "eu-west-1"),
    ] {
        let received = outcome.env.get(name);
        ensure(
            received.as_deref() == Some(value),
            &format!("the next step does not receive {name}"),
        )?;
    }
    let role = outcome.output.get("role-arn");
    ensure(
        role.as_deref() == Some(Document::ROLE),
        "the role is not among the outputs",
    )?;
    for secret in [PATH, &keys.id, &keys.secret, &keys.token] {
        github::no_secret_outside_masks(&outcome.stdout, secret)
            .map_err(|leak| leak.to_string())?;
    }
    Ok(())
}
