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

mod harness;

/// The executable under test.
fn program() -> support::step::Program {
    support::step::Program::at(env!("CARGO_BIN_EXE_ecs-task-role"))
}
