//! Records and commands, through the runner's own grammar.
#![no_main]

#[path = "../../tests/support/github.rs"]
#[allow(dead_code, unreachable_pub)]
mod github;
#[path = "../laws.rs"]
mod laws;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u128, &str, &str, Vec<String>)| {
    let (bits, earlier, text, mut values) = input;
    laws::commands(text, earlier);
    values.push(text.to_owned());
    laws::records(bits, earlier, &values);
});
