//! The Docker Engine's answers: list, top, inspect, and refusals.
#![no_main]

#[path = "../../tests/support/github.rs"]
#[allow(dead_code, unreachable_pub)]
mod github;
#[path = "../laws.rs"]
mod laws;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    laws::engine(bytes);
});
