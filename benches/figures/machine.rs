//! What the figures were measured on.

use std::fs;
use std::process::Command;

use crate::report::{Report, row};
use crate::support::endpoint::{now, rfc3339};

pub fn describe(report: &mut Report) {
    let file = |path| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        text.lines()
            .find(|line| line.starts_with(name))
            .and_then(|line| line.split_once(':'))
            .map_or("unknown".to_owned(), |(_, value)| value.trim().to_owned())
    };
    let cpu = file("/proc/cpuinfo");
    let memory = field(&file("/proc/meminfo"), "MemTotal");
    let gigabytes = memory
        .split(' ')
        .next()
        .and_then(|kilobytes| kilobytes.parse::<f64>().ok())
        .map_or(memory.clone(), |kilobytes| {
            format!("{:.1} GiB", kilobytes / 1024.0 / 1024.0)
        });
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let virtual_machine = if cpu.contains(" hypervisor") {
        ", a virtual machine"
    } else {
        ""
    };
    let load = file("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    let moment = rfc3339(now());
    let mut rows = vec![
        row(["what", "which"]),
        row(["when", &moment]),
        row([
            "program",
            concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")),
        ]),
        row([
            "processor",
            &format!(
                "{}, {cores} cores{virtual_machine}",
                field(&cpu, "model name")
            ),
        ]),
        row(["memory", &gigabytes]),
        row(["load when it began", load]),
        row(["kernel", file("/proc/sys/kernel/osrelease").trim()]),
    ];
    for (name, command) in [
        ("rustc", "rustc --version"),
        ("curl", "curl --version"),
        ("jq", "jq --version"),
        ("node", "node --version"),
        ("docker", "docker --version"),
    ] {
        rows.push(row([name, &version(command)]));
    }
    report.text("## Machine");
    report.table(&rows);
}

/// What a program says of itself, up to a bracket.
fn version(command: &str) -> String {
    let words: Vec<&str> = command.split(' ').collect();
    Command::new(words[0])
        .args(&words[1..])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .and_then(|text| text.lines().next().map(str::to_owned))
        // curl goes on with its libraries.
        .and_then(|line| line.split(" (").next().map(str::to_owned))
        .unwrap_or_else(|| "none".to_owned())
}
