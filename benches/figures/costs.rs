//! What a run costs beside time: memory, page faults, system calls, instructions; and what the binary weighs.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::process::{ACTION, CURL, JAVASCRIPT, Job};
use crate::programs::{Programs, is_there};
use crate::report::{Goal, Report, row};

/// How long strace holds each process up at its end, in microseconds: time to look at it.
const HELD_UP: &str = "inject=exit_group:delay_enter=50000";

pub fn measure(commands: &mut [(&str, usize, Option<Command>)], job: &Job, report: &mut Report) {
    report.text("## Memory, page faults, system calls, instructions");
    if !is_there("strace") {
        report.left_out("all of them", "there is no strace");
        return;
    }
    let counts_instructions = is_there("valgrind");
    report.text(
        "Peak memory is `VmHWM` of `/proc/<pid>/status`, read while `strace` holds the process up at its very end (its \
         last call, `exit_group`, delayed); page faults are those of `/proc/<pid>/stat`, at the same moment. Of several \
         processes the largest counts for memory, the sum for page faults. Instructions are those outside the kernel, \
         as `valgrind --tool=callgrind` counts them.",
    );
    if !counts_instructions {
        report.left_out("instructions", "there is no valgrind");
    }
    let mut rows = vec![row([
        "",
        "peak memory",
        "goal",
        "page faults",
        "system calls",
        "instructions",
    ])];
    for (name, _, command) in commands {
        let Some(command) = command else { continue };
        let ours = *name == ACTION;
        job.clear();
        let (peak, faults) = weigh(command);
        job.clear();
        let calls = system_calls(command, job);
        job.clear();
        // valgrind follows no other process, and node brings a compiler of its own.
        let is_rust = ![CURL, JAVASCRIPT].contains(name);
        let instructions = if counts_instructions && is_rust {
            grouped(instructions(command))
        } else {
            String::new()
        };
        let mebibytes = peak as f64 / 1024.0;
        let goal = if ours {
            Goal::Below(3.0).judge(mebibytes)
        } else {
            String::new()
        };
        rows.push(row([
            name,
            &format!("{mebibytes:.2} MiB"),
            &goal,
            &faults.to_string(),
            &grouped(calls),
            &instructions,
        ]));
    }
    report.table(&rows);
}

/// The same command under another program.
fn under(tool: &str, arguments: &[&OsStr], command: &Command) -> Command {
    let mut whole = Command::new(tool);
    whole
        .args(arguments)
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    for (name, value) in command.get_envs() {
        whole.env(name, value.unwrap());
    }
    whole
}

/// Kibibytes of the largest process, and the page faults of all.
fn weigh(command: &Command) -> (u64, u64) {
    let arguments = [
        "-f",
        "-qq",
        "-e",
        "trace=exit_group",
        "-e",
        HELD_UP,
        "-o",
        "/dev/null",
    ];
    let mut strace = under("strace", &arguments.map(OsStr::new), command)
        .spawn()
        .unwrap();
    // By process: what it had at the last look.
    let mut seen: HashMap<u32, (u64, u64)> = HashMap::new();
    while strace.try_wait().unwrap().is_none() {
        for process in descendants(strace.id()) {
            if let Some(weight) = weight(process) {
                seen.insert(process, weight);
            }
        }
        thread::sleep(Duration::from_millis(2));
    }
    assert!(strace.wait().unwrap().success() && !seen.is_empty());
    let peaks = seen.values().map(|(peak, _)| *peak);
    (
        peaks.max().unwrap(),
        seen.values().map(|(_, faults)| faults).sum(),
    )
}

fn weight(process: u32) -> Option<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let peak = peak.trim().trim_end_matches(" kB").parse().ok()?;
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // proc(5): the tenth field; the second is a name in brackets, which may hold anything.
    let faults = stat.rsplit_once(')')?.1.split_whitespace().nth(7)?;
    Some((peak, faults.parse().ok()?))
}

fn descendants(of: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut parents = vec![of];
    while let Some(parent) = parents.pop() {
        let children = format!("/proc/{parent}/task/{parent}/children");
        let children = fs::read_to_string(children).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|id| id.parse().ok());
        for child in children {
            found.push(child);
            parents.push(child);
        }
    }
    found
}

fn system_calls(command: &Command, job: &Job) -> u64 {
    let trace = job.step.folder().join("trace");
    let arguments = [
        OsStr::new("-f"),
        OsStr::new("-qq"),
        OsStr::new("-o"),
        trace.as_os_str(),
    ];
    assert!(
        under("strace", &arguments, command)
            .status()
            .unwrap()
            .success()
    );
    let text = fs::read_to_string(trace).unwrap();
    // A call that another process interrupts has two lines.
    let calls = text
        .lines()
        .filter(|line| line.contains('(') && !line.contains(" resumed>") && !line.contains("---"));
    calls.count() as u64
}

fn instructions(command: &Command) -> u64 {
    let arguments = ["--tool=callgrind", "--callgrind-out-file=/dev/null"];
    let output = under("valgrind", &arguments.map(OsStr::new), command)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    said.lines()
        .find_map(|line| line.split_once("Collected :"))
        .and_then(|(_, count)| count.trim().parse().ok())
        .unwrap_or_else(|| panic!("valgrind counted nothing: {said}"))
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

/// The binary, and the image: a layer that holds nothing else.
pub fn sizes(programs: &Programs, report: &mut Report) {
    report.text("## Size");
    let binary = fs::metadata(&programs.action).unwrap().len();
    let layer = Command::new("sh")
        .arg("-c")
        .arg(r#"tar -c -C "$(dirname "$1")" "$(basename "$1")" | gzip | wc -c"#)
        .args(["sh".as_ref(), programs.action.as_os_str()])
        .output()
        .unwrap();
    let layer: u64 = String::from_utf8(layer.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    report.table(&[
        row(["", "size", "goal"]),
        row([
            "the binary, which is all that is in the image",
            &format!("{:.2} MB", megabytes(binary)),
            &Goal::Below(1.5).judge(megabytes(binary)),
        ]),
        row([
            "the image's one layer, by `tar` and `gzip`",
            &format!("{:.2} MB", megabytes(layer)),
            &Goal::Below(0.75).judge(megabytes(layer)),
        ]),
    ]);
}
