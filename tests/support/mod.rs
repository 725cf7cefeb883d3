//! What the tests, the demonstration and the benchmarks share: a real endpoint, a step as the runner
//! starts it, and a reader that says what GitHub would understand.
//!
//! Included by `#[path]`, so that none of it is part of the program. Each user takes the part it needs.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::unwrap_used
)]

pub mod action;
pub mod agent;
pub mod endpoint;
pub mod engine;
pub mod github;
pub mod image;
pub mod instance;
pub mod isolation;
pub mod runner;
pub mod step;

/// Says that something is not tested here, and why; where everything must be tested, that is a failure.
pub fn skip(why: &str) {
    assert!(
        std::env::var_os("REQUIRE_DOCKER").is_none_or(|value| value != "1"),
        "{why}"
    );
    not_here(why);
}

/// Says that something can't be tested here, as the run is meant to be.
pub fn not_here(why: &str) {
    use std::io::Write as _;

    // Past the capture of the test runner, so that it is seen although the test passes.
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(std::io::stderr(), "{name} skipped: {why}");
}
