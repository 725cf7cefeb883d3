//! Every system call of a whole run fails once, and a signal comes at every one; the disk, or a limit, leaves room
//! for k bytes, for every k.
//!
//! Whatever happens: exit code 0 with everything exported, or another with `GITHUB_ENV` byte for byte as it was; no
//! panic, no hang, no secret outside mask commands. strace brings the faults about. The ordinary run takes all
//! faults of each write, one of each other call, in turn, and every 16th k; `EVERY_POINT=1` takes them all (`.ci/every-point`, which tests
//! the static binary, and prints what came of it).
#![allow(clippy::print_stdout)]

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use ecs_task_role::trouble::Trouble;

use crate::support::endpoint::{Document, Endpoint, Keys, answer};
use crate::support::engine::{Container, Engine, ME, MY_NAME, be_a_container, client};
use crate::support::github;
use crate::support::isolation::{add_address, isolated, mount_tmpfs};
use crate::support::step::{File, Outcome, Step};
use crate::traced::can_trace;
use crate::{program, step_at};

const EARLIER: &[u8] = b"EARLIER<<END\nsaid\nEND\n";

/// Whether every point is tried, or a sample.
fn all() -> bool {
    std::env::var_os("EVERY_POINT").is_some_and(|value| value == "1")
}

/// Files that hold something, and everything that can be written.
fn prepared(step: Step) -> Step {
    File::ALL
        .into_iter()
        .fold(step, |step, file| step.holding(file, EARLIER))
        .input("summary", "true")
        .input("retry-max-attempts", "3")
}

/// A system call of the trace.
#[derive(Clone, Debug)]
struct Call {
    name: String,
    /// How many of that name came before it, and it.
    number: usize,
    /// What its first argument is a descriptor of, if it is one.
    on: String,
    /// Whether it comes before the program's own first action.
    before_main: bool,
    /// Whether SIGTERM and SIGINT are held back by then.
    held: bool,
}

/// The calls of a whole run, in order.
fn calls(step: Step) -> Vec<Call> {
    let trace = step.folder().join("trace");
    let words: Vec<OsString> = vec![
        "strace".into(),
        "-qq".into(),
        "-f".into(),
        "-y".into(),
        "-o".into(),
        trace.clone().into(),
    ];
    let env = step.path(File::Env);
    let step = step.under(&words);
    step.run().succeeded();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let (mut before_main, mut written, mut held) = (true, false, false);
    let mut calls = Vec::new();
    for line in fs::read_to_string(trace).unwrap().lines() {
        // `<pid> <name>(<arguments>) = <result>`
        let Some((_, line)) = line.split_once(' ') else {
            continue;
        };
        let Some((name, arguments)) = line.trim_start().split_once('(') else {
            continue;
        };
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            continue;
        }
        // The channel's own copy of standard output is the first thing that `main` asks for.
        if name == "fcntl" && arguments.starts_with("1<") {
            before_main = false;
        }
        let number = counts.entry(name.to_owned()).or_default();
        *number += 1;
        calls.push(Call {
            name: name.to_owned(),
            number: *number,
            on: arguments
                .split_once('<')
                .filter(|(fd, _)| !fd.is_empty() && fd.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|(_, on)| on.split_once('>'))
                .map(|(on, _)| on.to_owned())
                .unwrap_or_default(),
            before_main,
            held,
        });
        // From here on they wait until somebody reads them.
        if name == "rt_sigprocmask" && arguments.starts_with("SIG_BLOCK, [INT TERM") {
            held = true;
        }
        if name == "write" && arguments.contains(env.to_str().unwrap()) {
            written = true;
        }
    }
    assert!(
        calls.len() > 60 && !before_main && written && held,
        "{calls:?}"
    );
    calls
}

/// The errors that a call can end with.
fn errors(call: &Call) -> &'static [&'static str] {
    let on = call.on.as_str();
    let socket = on.starts_with("socket:") || on.starts_with("TCP") || on.starts_with("UNIX");
    match call.name.as_str() {
        "mmap" | "mremap" | "munmap" | "mprotect" | "brk" | "madvise" => &["ENOMEM"],
        "open" | "openat" => &[
            "ENOENT", "EACCES", "EMFILE", "ENFILE", "ENOMEM", "EINTR", "EIO", "ELOOP",
        ],
        "fstat" | "stat" | "lstat" | "statx" | "newfstatat" => &["EIO", "ENOMEM", "EOVERFLOW"],
        "write" | "writev" | "sendto" | "sendmsg" if socket => {
            &["EPIPE", "ECONNRESET", "EINTR", "ENOBUFS"]
        }
        "read" | "readv" | "recvfrom" | "recvmsg" if socket => {
            &["ECONNRESET", "ETIMEDOUT", "EINTR", "ENOMEM"]
        }
        "write" if on.contains("eventfd") => &["EAGAIN", "EIO"],
        "write" if on.starts_with("pipe:") => &["EPIPE", "EINTR", "EIO"],
        "write" | "writev" => &["EIO", "ENOSPC", "EDQUOT", "EFBIG", "EINTR"],
        "read" | "readv" | "pread64" => &["EIO", "EINTR"],
        "socket" => &[
            "EMFILE",
            "ENFILE",
            "ENOBUFS",
            "ENOMEM",
            "EACCES",
            "EAFNOSUPPORT",
        ],
        "connect" => &[
            "ECONNREFUSED",
            "ENETUNREACH",
            "EHOSTUNREACH",
            "ETIMEDOUT",
            "EADDRNOTAVAIL",
            "EACCES",
            "EAGAIN",
            "EINTR",
        ],
        "epoll_create1" | "eventfd2" | "signalfd4" | "dup" | "dup3" => {
            &["EMFILE", "ENFILE", "ENOMEM"]
        }
        "fcntl" => &["EMFILE"],
        "epoll_ctl" => &["ENOMEM", "ENOSPC"],
        "epoll_pwait" | "epoll_wait" => &["EINTR"],
        "poll" | "ppoll" => &["EINTR", "ENOMEM"],
        "getrandom" => &["EINTR", "ENOSYS", "EIO"],
        "fchmod" => &["EPERM", "EROFS", "EIO"],
        "close" => &["EIO", "EINTR", "ENOSPC"],
        "setsockopt" | "getsockopt" => &["ENOBUFS", "EINVAL"],
        "getpeername" | "getsockname" | "shutdown" => &["ENOTCONN", "ENOBUFS"],
        "sigaltstack" => &["ENOMEM"],
        "futex" => &["EINTR", "EAGAIN"],
        "execve" | "exit_group" => &[],
        _ => &["EINVAL"],
    }
}

const SIGNALS: [&str; 3] = ["SIGTERM", "SIGINT", "SIGKILL"];

/// The faults of a call, as strace is told.
fn faults(call: &Call) -> Vec<String> {
    let errors = errors(call).iter().map(|error| format!("error={error}"));
    // At `execve` it is not this program yet.
    let signals = SIGNALS
        .iter()
        .filter(|_| call.name != "execve")
        .map(|signal| format!("signal={signal}"));
    errors.chain(signals).collect()
}

/// Where no program can do better, and why. Each entry is met in a run of all points, or it has no place here.
/// Beside these: before `main` nothing is ours, and whatever fails there must only leave everything as it was.
struct NoBetter {
    calls: &'static [&'static str],
    fault: &'static str,
    /// Part of what the call is on.
    on: &'static str,
    ends: End,
    why: &'static str,
}

/// How a point ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Exported,
    /// Exit code 1, with everything as it was, and told where somebody can hear it.
    Failed,
    Cancelled,
    KilledUntouched,
    KilledWhole,
    /// Before `main`: not exit code 0, and everything as it was.
    BeforeMain,
    /// By the standard library, which can't go on; everything as it was.
    Aborted,
    /// In a library: told as an internal error with nothing of its message; exit code 1, everything as it was.
    Panicked,
}

const NO_BETTER: &[NoBetter] = &[
    NoBetter {
        calls: &["mmap", "brk"],
        fault: "ENOMEM",
        on: "",
        ends: End::Aborted,
        why: "an allocation that fails: the standard library aborts, and every library allocates as if it could not fail",
    },
    NoBetter {
        calls: &["getrandom"],
        fault: "EIO",
        on: "",
        ends: End::Panicked,
        why: "the standard library's hash maps; a kernel has ENOSYS or EINTR for this call, and with those it goes on",
    },
    NoBetter {
        calls: &["write"],
        fault: "EIO",
        on: "eventfd",
        ends: End::Panicked,
        why: "tokio wakes itself by a counter in the kernel, and a write to that has no way to fail but EAGAIN, with which it goes on",
    },
];

/// What came of a point; fails where it is none of what may.
fn judge(call: &Call, fault: &str, outcome: &Outcome) -> End {
    let stderr = String::from_utf8_lossy(&outcome.stderr).into_owned();
    let Keys { id, secret, token } = Keys::number(1);
    for key in [id, secret, token] {
        if let Err(leak) = github::no_secret_outside_masks(&outcome.stdout, &key) {
            panic!("{leak}\n{outcome}");
        }
        assert!(!stderr.contains(&key), "a key on standard error\n{outcome}");
    }
    let untouched = outcome.env.is_untouched();
    let all_untouched =
        untouched && outcome.output.is_untouched() && outcome.summary.is_untouched();
    if !untouched {
        let meant = [
            ("AWS_ACCESS_KEY_ID", Keys::number(1).id),
            ("AWS_SECRET_ACCESS_KEY", Keys::number(1).secret),
            ("AWS_SESSION_TOKEN", Keys::number(1).token),
        ];
        let meant = meant.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(outcome.env.pairs(), meant, "{outcome}");
        assert!(outcome.env.appended().ends_with(b"\n"));
        // The runner has seen the masks, or nothing is exported.
        let masks = outcome.masks();
        let hidden = meant.iter().all(|(_, value)| masks.contains(value));
        assert!(hidden, "exported and not masked\n{outcome}");
        assert!(outcome.output.pairs().len() >= 4, "{outcome}");
    }
    // No call of this run cuts a file, so what `fault` is decides what may be.
    let signal = outcome.signal();
    if call.before_main && fault.starts_with("error=") && signal != Some(9) {
        if signal.is_none() && outcome.code() == 0 {
            assert!(!untouched, "{outcome}");
            return End::Exported;
        }
        assert!(all_untouched && outcome.stdout.is_empty(), "{outcome}");
        return End::BeforeMain;
    }
    let listed = |ends: End| {
        let point = NO_BETTER.iter().find(|point| {
            point.ends == ends
                && point.calls.contains(&call.name.as_str())
                && fault.starts_with("error=")
                && fault.ends_with(point.fault)
                && call.on.contains(point.on)
        });
        assert!(point.is_some(), "{ends:?}, and not listed\n{outcome}");
        assert!(all_untouched, "{outcome}");
        ends
    };
    match signal {
        Some(9) => {
            assert_eq!(fault, "signal=SIGKILL", "{outcome}");
            assert_eq!(stderr, "", "{outcome}");
            return if untouched {
                End::KilledUntouched
            } else {
                End::KilledWhole
            };
        }
        Some(2 | 15) => {
            assert!(
                !call.held && all_untouched,
                "the signal is held back\n{outcome}"
            );
            return End::KilledUntouched;
        }
        Some(_) => return listed(End::Aborted),
        None => {}
    }
    let said = String::from_utf8_lossy(&outcome.stdout).into_owned();
    assert_eq!(stderr, "", "{outcome}");
    if said.contains("a fault of its own") {
        assert_eq!(outcome.code(), 1, "{outcome}");
        assert_eq!(outcome.error().0, Trouble::Internal.title(), "{outcome}");
        return listed(End::Panicked);
    }
    match outcome.code() {
        0 => {
            assert!(!untouched, "exit code 0 and nothing exported\n{outcome}");
            assert_eq!(
                github::annotations(&outcome.stdout, "error"),
                [],
                "{outcome}"
            );
            End::Exported
        }
        1 => {
            assert!(
                all_untouched,
                "exit code 1 and something written\n{outcome}"
            );
            // Where standard output itself fails, nobody can hear it.
            if call.on.starts_with("pipe:") && ["write", "fcntl"].contains(&call.name.as_str()) {
                return End::Failed;
            }
            let (title, _) = outcome.error();
            assert!(Trouble::ALL.iter().any(|trouble| trouble.title() == title));
            if title == Trouble::Cancelled.title() {
                assert!(fault.starts_with("signal="), "{outcome}");
                return End::Cancelled;
            }
            assert!(fault.starts_with("error="), "{outcome}");
            End::Failed
        }
        code => panic!("exit code {code}\n{outcome}"),
    }
}

/// Tries each point, several at a time, and fails with all that went wrong.
fn try_all(what: &str, calls: &[Call], run: impl Fn(&Call, &str) -> Outcome + Sync) {
    let points = points(calls);
    let total = points.len();
    let queue = Mutex::new(VecDeque::from(points));
    let ends: Mutex<BTreeMap<End, usize>> = Mutex::default();
    let listed: Mutex<Vec<(String, String)>> = Mutex::default();
    let wrong: Mutex<Vec<String>> = Mutex::default();
    let try_one = |call: &Call, fault: &str| {
        let end = catch_unwind(AssertUnwindSafe(|| judge(call, fault, &run(call, fault))));
        match end {
            Ok(end) => {
                *ends.lock().unwrap().entry(end).or_default() += 1;
                if matches!(end, End::BeforeMain | End::Aborted | End::Panicked) {
                    let place = format!("{} {} {}", call.name, call.number, call.on);
                    listed.lock().unwrap().push((place, fault.to_owned()));
                }
            }
            Err(panic) => {
                let said = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                wrong
                    .lock()
                    .unwrap()
                    .push(format!("=== {call:?} {fault}: {said}"));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap().pop_front();
                    let Some((call, fault)) = next else { break };
                    try_one(&call, &fault);
                }
            });
        }
    });
    let (ends, listed) = (ends.into_inner().unwrap(), listed.into_inner().unwrap());
    println!(
        "{what}: {} calls, {total} points tried: {ends:?}",
        calls.len()
    );
    for point in NO_BETTER {
        let met = listed
            .iter()
            .filter(|(place, fault)| {
                place
                    .split(' ')
                    .next()
                    .is_some_and(|name| point.calls.contains(&name))
                    && place.contains(point.on)
                    && fault.ends_with(point.fault)
            })
            .count();
        println!(
            "no better at {met} points: {:?} {} {}: {}",
            point.calls, point.on, point.fault, point.why
        );
        if all() {
            assert!(met > 0, "an entry that is not met: {}", point.why);
        }
    }
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "{} points went wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// The points of these calls: all, or one for each call.
fn points(calls: &[Call]) -> Vec<(Call, String)> {
    let mut points = Vec::new();
    for (place, call) in calls.iter().enumerate() {
        let faults = faults(call);
        // Writes are what counts most, and few.
        if all() || call.name == "write" {
            points.extend(faults.into_iter().map(|fault| (call.clone(), fault)));
        } else if !faults.is_empty() {
            let fault = faults[place % faults.len()].clone();
            points.push((call.clone(), fault));
        }
    }
    points
}

/// A run with a fault at one call.
fn with_fault(step: Step, call: &Call, fault: &str) -> Outcome {
    let words: Vec<OsString> = vec![
        "strace".into(),
        "-qq".into(),
        "-f".into(),
        "-o".into(),
        "/dev/null".into(),
        "-e".into(),
        format!("trace={}", call.name).into(),
        "-e".into(),
        format!("inject={}:{fault}:when={}", call.name, call.number).into(),
    ];
    step.under(&words).run()
}

fn documents() -> Endpoint {
    Endpoint::serving(&Document::new(&Keys::number(1)))
}

#[test]
fn every_system_call_can_fail_once() {
    if !can_trace() {
        return;
    }
    isolated(module_path!(), "every_system_call_can_fail_once", || {
        let endpoint = documents();
        let step = || prepared(step_at(&endpoint));
        let calls = calls(step());
        try_all("a URI from an input", &calls, |call, fault| {
            with_fault(step(), call, fault)
        });
    });
}

#[test]
fn every_system_call_of_a_discovery_can_fail_once() {
    if !can_trace() {
        return;
    }
    isolated(
        module_path!(),
        "every_system_call_of_a_discovery_can_fail_once",
        || {
            be_a_container(ME);
            add_address("169.254.170.2/32");
            let body = Document::new(&Keys::number(1)).json();
            let listener = std::net::TcpListener::bind("169.254.170.2:80").unwrap();
            let _agent = Endpoint::on(listener, move |request, stream| {
                if request.target.starts_with("/v4/") {
                    return answer::ok(stream, "{\"TaskARN\":\"none\"}");
                }
                answer::ok(stream, &body)
            });
            let _engine = Engine::with(vec![
                Container::me(),
                Container::runner(1).running(&client(MY_NAME)),
                Container::runner(2),
            ]);
            let step = || {
                prepared(Step::new(&program()))
                    .env("ECS_CONTAINER_METADATA_URI_V4", "http://169.254.170.2/v4/x")
            };
            let calls = calls(step());
            try_all("discovery and metadata", &calls, |call, fault| {
                with_fault(step(), call, fault)
            });
        },
    );
}

/// What a run appends to a file.
fn size_of(endpoint: &Endpoint, file: File) -> usize {
    let outcome = prepared(step_at(endpoint)).run().succeeded();
    match file {
        File::Env => outcome.env.appended().len(),
        File::Output => outcome.output.appended().len(),
        File::Summary => outcome.summary.appended().len(),
    }
}

/// With room for `room` of the `needed` bytes it ends so.
fn with_room(outcome: &Outcome, file: File, room: usize, needed: usize) {
    if room >= needed {
        assert_eq!(outcome.code(), 0, "{outcome}");
        assert_eq!(outcome.env.names().len(), 3, "{outcome}");
        assert!(!outcome.summary.is_untouched(), "{outcome}");
        assert_eq!(outcome.warnings(), [""; 0], "{outcome}");
    } else if file == File::Summary {
        assert_eq!(outcome.code(), 0, "{outcome}");
        assert_eq!(outcome.env.names().len(), 3, "{outcome}");
        assert!(outcome.summary.is_untouched(), "{outcome}");
        assert_eq!(outcome.warnings().len(), 1, "{outcome}");
    } else {
        assert_eq!(outcome.code(), 1, "{outcome}");
        assert_eq!(
            outcome.error().0,
            Trouble::RunnerFileNotWritten.title(),
            "{outcome}"
        );
        for change in [&outcome.env, &outcome.output, &outcome.summary] {
            assert!(change.is_untouched(), "{outcome}");
        }
    }
}

/// Every room from none to more than enough; a sample of them, unless all are asked for.
fn rooms(needed: usize) -> impl Iterator<Item = usize> {
    let step = if all() { 1 } else { 16 };
    (0..needed)
        .step_by(step)
        .chain([1, needed - 1, needed, needed + 1])
}

#[test]
fn a_disk_with_room_for_any_part_holds_all_or_nothing() {
    isolated(
        module_path!(),
        "a_disk_with_room_for_any_part_holds_all_or_nothing",
        || {
            const DISK: usize = 4096;
            let endpoint = documents();
            let mut tried = 0;
            for file in File::ALL {
                let folder = tempfile::tempdir().unwrap();
                mount_tmpfs(folder.path(), DISK);
                let needed = size_of(&endpoint, file);
                for room in rooms(needed) {
                    let path = folder.path().join("file");
                    fill(&path, DISK - room);
                    let step = prepared(step_at(&endpoint)).placing(file, &path);
                    with_room(&step.run(), file, room, needed);
                    tried += 1;
                }
            }
            println!("{tried} rooms on a full disk tried");
        },
    );
}

/// A file of so many bytes of whole lines that mean nothing.
fn fill(path: &Path, size: usize) {
    fs::write(path, "\n".repeat(size)).unwrap();
}

#[test]
fn a_limit_on_file_sizes_holds_all_or_nothing() {
    let endpoint = documents();
    let mut tried = 0;
    for file in File::ALL {
        let needed = size_of(&endpoint, file);
        for room in rooms(needed) {
            // So long that the limit is met in this file alone.
            const EARLIER: usize = 2000;
            let step = prepared(step_at(&endpoint));
            fill(&step.path(file), EARLIER);
            // The system sends SIGXFSZ beside the error; it is not ignored, and ends nothing.
            let limit = format!("--fsize={}", EARLIER + room);
            let words = ["prlimit", &limit, "--"].map(OsString::from);
            with_room(&step.under(&words).run(), file, room, needed);
            tried += 1;
        }
    }
    println!("{tried} limits tried");
}

/// A step whose write to `GITHUB_ENV` comes short, while cutting it back fails the times that `when` says.
fn cut_back_fails(endpoint: &Endpoint, when: &str) -> Outcome {
    let step = prepared(step_at(endpoint));
    fill(&step.path(File::Env), 2000);
    let inject = format!("inject=ftruncate:error=EIO:when={when}");
    let words = [
        "env",
        "--ignore-signal=XFSZ",
        "prlimit",
        "--fsize=2100",
        "--",
        "strace",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=ftruncate",
        "-e",
        &inject,
    ];
    step.under(&words.map(OsString::from)).run()
}

#[test]
fn a_cut_that_fails_is_made_again() {
    if !can_trace() {
        return;
    }
    let outcome = cut_back_fails(&documents(), "1");
    with_room(&outcome, File::Env, 100, 101);
}

/// Two faults at once, and the disk keeps what it can't give back. It is the one way to a record without its end.
#[test]
fn what_can_not_be_taken_back_is_told() {
    if !can_trace() {
        return;
    }
    let outcome = cut_back_fails(&documents(), "1..2");
    assert_eq!(outcome.code(), 1, "{outcome}");
    let (title, message) = outcome.error();
    assert_eq!(title, Trouble::RunnerFileNotWritten.title());
    assert!(
        message.contains("could not be taken back from GITHUB_ENV"),
        "{outcome}"
    );
    assert!(
        outcome.output.is_untouched() && outcome.summary.is_untouched(),
        "{outcome}"
    );
    // The runner fails the step over it, and sets nothing by it that is cut off.
    let (pairs, error) = github::pairs_until_error(outcome.env.appended());
    assert!(error.is_some() && pairs.is_empty(), "{outcome}");
}
