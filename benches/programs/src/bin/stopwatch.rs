//! `stopwatch ROUNDS PROGRAM WORD… -- PROGRAM WORD…`: runs programs in turn and prints, for each round, the microseconds
//! that each took. It is what a container starts instead of the action, so that only the action itself is measured.

use std::fs::OpenOptions;
use std::process::{Command, Stdio};
use std::time::Instant;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let rounds: usize = words[0].parse().unwrap();
    let programs: Vec<&[String]> = words[1..].split(|word| word == "--").collect();
    for _ in 0..rounds {
        let times: Vec<String> = programs.iter().map(|program| run(program)).collect();
        println!("{}", times.join(" "));
    }
}

fn run(program: &[String]) -> String {
    // What earlier runs appended is in nobody's way.
    for file in ["GITHUB_ENV", "GITHUB_OUTPUT"] {
        OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(std::env::var_os(file).unwrap())
            .unwrap();
    }
    let start = Instant::now();
    let output = Command::new(&program[0])
        .args(&program[1..])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let took = start.elapsed();
    if !output.status.success() {
        println!("{}", String::from_utf8_lossy(&output.stdout));
        std::process::exit(1);
    }
    took.as_micros().to_string()
}
