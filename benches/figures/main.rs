//! `cargo bench`: every figure that the project claims, measured in turn on this machine, with a ratio and its goal.
//!
//! The results go to the terminal, and to `docs/benchmarks.md` where everything was run; `cargo bench -- process` runs
//! a part: `process`, `throttling`, `containers`. A part that this machine lacks something for is left out, and says so.
#![allow(
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "no part of the program; whatever fails here is to end the run"
)]

#[path = "../../tests/support/mod.rs"]
mod support;

mod containers;
mod costs;
mod machine;
mod process;
mod programs;
mod report;
mod rounds;
mod stages;
mod throttling;

use report::Report;

fn main() {
    // cargo itself adds `--bench`.
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let wanted = |part: &str| asked.is_empty() || asked.iter().any(|word| word == part);
    let programs = programs::build();
    let mut report = Report::default();
    report.text(include_str!("head.md"));
    machine::describe(&mut report);
    if wanted("process") {
        process::measure(&programs, &mut report);
    }
    if wanted("throttling") {
        throttling::measure(&programs, &mut report);
    }
    if wanted("containers") {
        containers::measure(&programs, &mut report);
    }
    if asked.is_empty() {
        report.text(include_str!("rest.md"));
        report.write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/benchmarks.md"));
    }
}
