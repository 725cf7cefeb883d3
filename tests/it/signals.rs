//! Ctrl-C and SIGTERM: stop at once, with nothing half-written.

use std::net::TcpListener;
use std::sync::mpsc;

use ecs_task_role::trouble::Trouble;
use rustix::process::Signal;

use crate::support::endpoint::{Document, Endpoint, answer};
use crate::support::isolation::{add_address, isolated};
use crate::{failed, step_at};

const BOTH: [Signal; 2] = [Signal::TERM, Signal::INT];

#[test]
fn a_signal_during_a_request_cancels_the_run() {
    for signal in BOTH {
        let (asked, was_asked) = mpsc::channel();
        let endpoint = Endpoint::start(move |_, stream| {
            asked.send(()).unwrap();
            answer::silence(stream)
        });
        let step = step_at(&endpoint);
        let running = step.start();
        was_asked.recv().unwrap();
        running.signal(signal);
        failed(running.finish(), Trouble::Cancelled, &[]);
        assert_eq!(endpoint.requests().len(), 1);
    }
}

#[test]
fn a_signal_between_two_attempts_cancels_the_run() {
    for signal in BOTH {
        let endpoint = Endpoint::start(|_, stream| answer::throttled(stream));
        let step = step_at(&endpoint)
            .input("retry-max-attempts", "100")
            .input("timeout", "600");
        let mut running = step.start();
        // By then the waits are seconds long.
        running.wait_for_output("attempt 4 of 100");
        running.signal(signal);
        failed(running.finish(), Trouble::Cancelled, &[]);
        assert!(endpoint.requests().len() < 8);
    }
}

#[test]
fn a_signal_during_the_body_cancels_the_run() {
    for signal in BOTH {
        let (asked, was_asked) = mpsc::channel();
        let endpoint = Endpoint::start(move |_, stream| {
            let body = Document::default().json();
            answer::truncated(stream, &body, body.len() - 1)?;
            asked.send(()).unwrap();
            answer::silence(stream)
        });
        let step = step_at(&endpoint);
        let running = step.start();
        was_asked.recv().unwrap();
        running.signal(signal);
        failed(running.finish(), Trouble::Cancelled, &[]);
    }
}

#[test]
fn a_signal_while_the_region_is_looked_for_cancels_the_run() {
    isolated(
        module_path!(),
        "a_signal_while_the_region_is_looked_for_cancels_the_run",
        || {
            add_address("169.254.170.2/32");
            let credentials = Endpoint::serving(&Document::default());
            let (asked, was_asked) = mpsc::channel();
            let listener = TcpListener::bind("169.254.170.2:80").unwrap();
            let _metadata = Endpoint::on(listener, move |_, stream| {
                asked.send(()).unwrap();
                answer::silence(stream)
            });
            let step = step_at(&credentials).env(
                "ECS_CONTAINER_METADATA_URI_V4",
                "http://169.254.170.2/v4/5f3c1d9e0b7a",
            );
            let running = step.start();
            was_asked.recv().unwrap();
            // By now the keys are there, and masked.
            running.signal(Signal::TERM);
            let outcome = failed(running.finish(), Trouble::Cancelled, &[]);
            assert_eq!(outcome.masks().len(), 3, "{outcome}");
        },
    );
}

#[test]
fn two_signals_are_one_cancellation() {
    let (asked, was_asked) = mpsc::channel();
    let endpoint = Endpoint::start(move |_, stream| {
        asked.send(()).unwrap();
        answer::silence(stream)
    });
    let step = step_at(&endpoint);
    let running = step.start();
    was_asked.recv().unwrap();
    running.signal(Signal::INT);
    running.signal(Signal::TERM);
    failed(running.finish(), Trouble::Cancelled, &[]);
}
