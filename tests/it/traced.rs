//! What only its system calls show of a run: in which order it hides and writes, that it starts nothing, and what
//! becomes of it where there is no randomness. strace shows them, and brings the faults about.

use std::ffi::OsString;
use std::fs;

use ecs_task_role::trouble::Trouble;

use crate::shells::is_installed;
use crate::support::endpoint::{Document, Endpoint, Keys};
use crate::support::github::{self, Line};
use crate::support::step::{File, Outcome, Step};
use crate::support::{not_here, skip};
use crate::{failed, step_at};

/// Whether a program can be traced here. Under an emulator the calls would be the emulator's.
pub(crate) fn can_trace() -> bool {
    if std::env::var_os("ECS_TASK_ROLE_BINARY_UNDER").is_some() {
        not_here("an emulator makes calls of its own");
        return false;
    }
    if !is_installed("strace") {
        skip("strace is not installed");
        return false;
    }
    true
}

/// The step under strace with these arguments; its trace is in the file.
fn traced(step: Step, arguments: &[&str]) -> (Outcome, String) {
    let trace = step.folder().join("trace");
    let mut words: Vec<OsString> = ["strace", "-qq", "-f", "-y", "-s", "1000000", "-o"]
        .map(OsString::from)
        .to_vec();
    words.push(trace.clone().into());
    words.extend(arguments.iter().map(OsString::from));
    let step = step.under(&words);
    let outcome = step.run();
    let trace = fs::read_to_string(trace).unwrap();
    (outcome, trace)
}

/// `<pid> <name>(<arguments>`: name and arguments of each call.
fn calls(trace: &str) -> Vec<(&str, &str)> {
    trace
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(_, call)| call.trim_start().split_once('('))
        .collect()
}

#[test]
fn masks_come_before_the_files_and_each_file_is_narrowed_then_written_once_the_environment_last() {
    if !can_trace() {
        return;
    }
    let keys = Keys::number(1);
    let endpoint = Endpoint::serving(&Document::new(&keys));
    let step = File::ALL
        .into_iter()
        .fold(step_at(&endpoint), |step, file| {
            step.holding(file, b"EARLIER=1\n")
        })
        .input("summary", "true")
        .input("output-credentials", "true")
        .input("mask-aws-account-id", "true")
        .env("AWS_REGION", "eu-west-1");
    let paths = File::ALL.map(|file| (file, step.path(file)));
    let (outcome, trace) = traced(step, &["-e", "trace=desc,file"]);
    let outcome = outcome.succeeded();

    let mut events = Vec::new();
    for (name, arguments) in calls(&trace) {
        let on = paths
            .iter()
            .find(|(_, path)| arguments.contains(path.to_str().unwrap()));
        // A line of the log may name a file's variable, and never its path.
        match on {
            Some((file, _)) => match name {
                "open" | "openat" => events.push(format!("open {file:?}")),
                "fchmod" => events.push(format!("narrow {file:?}")),
                "read" | "fcntl" | "close" | "fstat" | "statx" | "newfstatat" => {}
                // Whatever else it is, it is seen.
                _ => events.push(format!("{name} {file:?}")),
            },
            None if arguments.contains("::add-mask::") => {
                let hidden = [&keys.id, &keys.secret, &keys.token]
                    .iter()
                    .filter(|key| arguments.contains(key.as_str()))
                    .count();
                events.push(format!("{name} masks of {hidden} keys"));
            }
            None => {}
        }
    }
    assert_eq!(
        events,
        [
            // Whether they can be written, before anybody is asked.
            "open Env",
            "open Output",
            "write masks of 3 keys",
            "open Output",
            "open Summary",
            "open Env",
            "narrow Output",
            "write Output",
            "narrow Summary",
            "write Summary",
            "narrow Env",
            "write Env",
        ],
        "{trace}\n{outcome}"
    );
}

#[test]
fn no_process_and_no_thread_is_started() {
    if !can_trace() {
        return;
    }
    let endpoint = Endpoint::serving(&Document::default());
    let step = step_at(&endpoint)
        .without_env("PATH")
        .without_env("HOME")
        .input("summary", "true");
    let (outcome, trace) = traced(step, &["-e", "trace=process"]);
    outcome.succeeded();
    let mut names: Vec<&str> = calls(&trace).into_iter().map(|(name, _)| name).collect();
    names.retain(|name| !["exit_group", "arch_prctl"].contains(name));
    assert_eq!(names, ["execve"], "{trace}");
}

#[test]
fn a_signal_that_comes_before_anybody_can_read_it_is_not_lost() {
    if !can_trace() {
        return;
    }
    for signal in ["SIGTERM", "SIGINT"] {
        let endpoint = Endpoint::serving(&Document::default());
        // Held back by then, and delivered before there is a descriptor to read it from.
        let inject = format!("inject=signalfd4:signal={signal}");
        let inject = ["-e", "trace=signalfd4", "-e", &inject];
        let (outcome, _) = traced(step_at(&endpoint), &inject);
        failed(outcome, Trouble::Cancelled, &[]);
        assert_eq!(endpoint.requests().len(), 0);
    }
}

#[test]
fn signals_that_can_not_be_held_back_end_the_run() {
    if !can_trace() {
        return;
    }
    let endpoint = Endpoint::serving(&Document::default());
    let (_, trace) = traced(step_at(&endpoint), &["-e", "trace=rt_sigprocmask"]);
    let held = calls(&trace)
        .iter()
        .position(|(_, arguments)| arguments.starts_with("SIG_BLOCK, [INT TERM"))
        .unwrap();
    let inject = format!("inject=rt_sigprocmask:error=EINVAL:when={}", held + 1);
    let inject = ["-e", "trace=rt_sigprocmask", "-e", &inject];
    let (outcome, _) = traced(step_at(&endpoint), &inject);
    failed(outcome, Trouble::Internal, &["could not be listened for"]);
    assert_eq!(endpoint.requests().len(), 1);
}

/// The step with every call of `getrandom` failing from this one on.
fn without_randomness(step: Step, from: usize) -> Outcome {
    let inject = format!("inject=getrandom:error=EIO:when={from}+");
    traced(step, &["-e", "trace=getrandom", "-e", &inject]).0
}

/// The run ended as a panic does: in one line, last of all, with the group closed and nothing of the panic's message.
fn panicked(outcome: Outcome) {
    let outcome = failed(outcome, Trouble::Internal, &["fault of its own"]);
    for part in ["panicked", "failed to", "src/", "Os {", "rust"] {
        assert!(!outcome.stdout().contains(part), "{part:?}\n{outcome}");
    }
    let lines = github::lines(&outcome.stdout);
    let at = |wanted: fn(&Line) -> bool| lines.iter().position(wanted);
    let end = at(|line| matches!(line, Line::EndGroup)).expect("the group is not closed");
    let error = at(|line| matches!(line, Line::Annotation { .. })).unwrap();
    assert!(end < error && error == lines.len() - 1, "{outcome}");
}

#[test]
fn without_randomness_nothing_is_exported() {
    if !can_trace() {
        return;
    }
    let endpoint = Endpoint::serving(&Document::default());
    let prepared = || step_at(&endpoint).input("summary", "true");
    let (outcome, trace) = traced(prepared(), &["-e", "trace=getrandom"]);
    outcome.succeeded();
    let count = calls(&trace).len();
    assert!(count >= 2, "{trace}");
    // The last of them is for the delimiter.
    failed(
        without_randomness(prepared(), count),
        Trouble::Internal,
        &["no random bytes", "nothing was exported"],
    );
    // Before that, it is the standard library that can't do without.
    let mut panics = 0;
    for from in 1..count {
        let outcome = without_randomness(prepared(), from);
        let told = failed(outcome, Trouble::Internal, &[]);
        if told.error().1.contains("fault of its own") {
            panicked(told);
            panics += 1;
        }
    }
    assert!(panics > 0, "no panic was seen");
}

#[test]
fn a_panic_is_one_line_that_tells_nothing_and_closes_the_group() {
    if !can_trace() {
        return;
    }
    let endpoint = Endpoint::serving(&Document::default());
    let (outcome, trace) = traced(step_at(&endpoint), &["-e", "trace=write"]);
    outcome.succeeded();
    let writes = calls(&trace);
    let open = writes
        .iter()
        .position(|(_, arguments)| arguments.contains("::group::"));
    // tokio wakes itself by a counter in the kernel, and panics where it can't.
    let wake = writes
        .iter()
        .enumerate()
        .skip(open.expect("no group"))
        .find(|(_, (_, arguments))| arguments.contains("[eventfd]"));
    let (place, _) = wake.expect("tokio did not wake itself");
    let inject = format!("inject=write:error=EIO:when={}", place + 1);
    let (outcome, _) = traced(step_at(&endpoint), &["-e", "trace=write", "-e", &inject]);
    let lines = github::lines(&outcome.stdout);
    assert!(
        lines.iter().any(|line| matches!(line, Line::Group(_))),
        "{outcome}"
    );
    panicked(outcome);
}
