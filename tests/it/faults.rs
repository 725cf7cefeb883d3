//! One table of faults: whatever happens to the endpoint, the Engine, the files, the log or the process, the
//! step ends as the table says, and `GITHUB_ENV` is byte for byte as it was, or holds whole records.
//!
//! `docs/faults.md` is made from what this test saw: `UPDATE_DOCS=1` writes it, without that it is compared.
#![allow(clippy::print_stdout)]

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use ecs_task_role::trouble::Trouble;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;

use crate::support::endpoint::{Document, Endpoint, Keys, Request, answer};
use crate::support::engine::{
    Answer, Container, Engine, ME, MY_NAME, SOCKET, be_a_container, client, top, uri,
};
use crate::support::isolation::{add_address, isolated, mount_tmpfs};
use crate::support::step::{Change, File, Outcome, Step};
use crate::support::{engine, github};
use crate::{program, step_at};

/// How the step must end.
#[derive(Clone, Copy)]
enum End {
    /// Exit code 0, with all three keys of one document in `GITHUB_ENV`.
    Well,
    /// Exit code 1 under this title.
    Badly(Trouble),
    /// Exit code 1, where nobody can hear why.
    Unheard,
    /// A signal that no program can handle.
    Killed,
}

use End::{Badly, Killed, Unheard, Well};
use Trouble::{
    AccountsDisagree, Cancelled, DocumentInvalid, EndpointError, EndpointUnreachable, Expired,
    NoProcessList, NoSource, NoTaskRole, RunnerFileMissing, RunnerFileNotWritten, RunnerFileUnfit,
    RunnerNotProved, Throttled, TokenUnfit, UnknownId,
};

/// What a fault did to `GITHUB_ENV`, in the table's words. It has been compared byte for byte by then.
const UNTOUCHED: &str = "untouched";
const WHOLE: &str = "whole";

/// What came of a row.
struct Seen {
    outcome: Outcome,
    env: String,
}

struct Fault {
    what: String,
    end: End,
    run: Box<dyn Fn() -> Seen + Send + Sync>,
}

#[derive(Default)]
struct Table {
    topics: Vec<(&'static str, Vec<Fault>)>,
}

impl Table {
    fn topic(&mut self, name: &'static str) {
        self.topics.push((name, Vec::new()));
    }

    fn row(
        &mut self,
        what: impl Into<String>,
        end: End,
        run: impl Fn() -> Seen + Send + Sync + 'static,
    ) {
        let (_, rows) = self.topics.last_mut().unwrap();
        rows.push(Fault {
            what: what.into(),
            end,
            run: Box::new(run),
        });
    }

    /// A row of one attempt at an endpoint that answers each request so.
    fn answering(
        &mut self,
        what: impl Into<String>,
        end: End,
        respond: impl Fn(&mut TcpStream) -> io::Result<()> + Clone + Send + Sync + 'static,
    ) {
        self.row(what, end, move || {
            let respond = respond.clone();
            let endpoint = Endpoint::start(move |_, stream| respond(stream));
            plain(&quick(&endpoint))
        });
    }

    /// A row at an endpoint that does this first, and answers well from the second request on.
    fn mended(
        &mut self,
        what: impl Into<String>,
        first: impl Fn(&mut TcpStream) -> io::Result<()> + Clone + Send + Sync + 'static,
    ) {
        self.row(what, Well, move || {
            let first = first.clone();
            let endpoint = Endpoint::start(move |request, stream| match request.number {
                0 => first(stream),
                _ => good(request, stream),
            });
            let seen = plain(&held(step_at(&endpoint)));
            assert_eq!(endpoint.requests().len(), 2, "{}", seen.outcome);
            let exported = seen.outcome.env.get("AWS_ACCESS_KEY_ID");
            assert_eq!(exported, Some(Keys::number(1).id), "{}", seen.outcome);
            seen
        });
    }

    /// A row of one attempt at an endpoint with this body.
    fn body(&mut self, what: impl Into<String>, end: End, body: impl Into<Vec<u8>>) {
        let body = body.into();
        self.answering(what, end, move |stream| {
            let head = answer::head("200 OK", "application/json", body.len());
            answer::raw(stream, head.as_bytes())?;
            answer::raw(stream, &body)
        });
    }

    /// A row in which something is done to the step's files before the endpoint answers well: they had been
    /// checked by then. `after` looks at what became of `GITHUB_ENV`.
    fn meanwhile(
        &mut self,
        what: impl Into<String>,
        end: End,
        disturb: impl Fn(&Path, &Path) + Clone + Send + Sync + 'static,
        file: File,
        after: impl Fn(&Outcome, &Path) -> String + Send + Sync + 'static,
    ) {
        self.row(what, end, move || {
            let (tell, told) = mpsc::channel::<(std::path::PathBuf, std::path::PathBuf)>();
            let told = Mutex::new(told);
            let disturb = disturb.clone();
            let endpoint = Endpoint::start(move |request, stream| {
                let (path, folder) = told.lock().unwrap().recv().unwrap();
                disturb(&path, &folder);
                good(request, stream)
            });
            let step = quick(&endpoint).input("summary", "true");
            tell.send((step.path(file), step.folder().to_owned()))
                .unwrap();
            let outcome = step.run();
            let env = after(&outcome, step.folder());
            Seen { outcome, env }
        });
    }

    /// Two rows: each signal that ends a job, once `start` says that the moment has come.
    fn signals(
        &mut self,
        moment: &str,
        run: impl Fn(Signal) -> Seen + Clone + Send + Sync + 'static,
    ) {
        for (name, signal) in [("SIGTERM", Signal::TERM), ("SIGINT", Signal::INT)] {
            let run = run.clone();
            self.row(format!("{name} {moment}"), Badly(Cancelled), move || {
                run(signal)
            });
        }
    }
}

const EARLIER: &[u8] = b"EARLIER<<END\nsaid\nEND\n";

/// What was in the files before must be there after.
fn held(step: Step) -> Step {
    File::ALL
        .into_iter()
        .fold(step, |step, file| step.holding(file, EARLIER))
}

/// A step that tries once.
fn quick(endpoint: &Endpoint) -> Step {
    held(step_at(endpoint)).input("retry-max-attempts", "1")
}

/// A step that runs out of time after a second.
fn hasty(endpoint: &Endpoint) -> Step {
    held(step_at(endpoint)).input("timeout", "1")
}

fn good(request: &Request, stream: &mut TcpStream) -> io::Result<()> {
    answer::ok(stream, &Document::new(&Keys::number(request.number)).json())
}

fn plain(step: &Step) -> Seen {
    seen(step.run())
}

/// `GITHUB_ENV` compared, and named.
fn seen(outcome: Outcome) -> Seen {
    let env = state(&outcome.env).to_owned();
    Seen { outcome, env }
}

/// Untouched, or whole; fails on anything else.
fn state(change: &Change) -> &'static str {
    if change.is_untouched() {
        return UNTOUCHED;
    }
    whole(change.appended());
    WHOLE
}

/// Every byte of what was appended, but for the delimiter, follows from one document's three keys.
fn whole(appended: &[u8]) {
    let text = String::from_utf8(appended.to_vec()).unwrap();
    let text = text.strip_prefix('\n').unwrap_or(&text);
    let (_, delimiter) = text.lines().next().unwrap().split_once("<<").unwrap();
    assert!(delimiter.len() >= 32, "{text}");
    let written = |keys: &Keys| {
        let mut expected = String::new();
        for (name, value) in [
            ("AWS_ACCESS_KEY_ID", &keys.id),
            ("AWS_SECRET_ACCESS_KEY", &keys.secret),
            ("AWS_SESSION_TOKEN", &keys.token),
        ] {
            writeln!(expected, "{name}<<{delimiter}\n{value}\n{delimiter}").unwrap();
        }
        expected
    };
    assert!(
        (0..10).any(|n| written(&Keys::number(n)) == text),
        "not the keys of one document: {text}"
    );
}

/// What the table says of a row; fails where the row is wrong.
fn judge(fault: &Fault) -> [String; 3] {
    let Seen { outcome, env } = (fault.run)();
    let (code, title) = match fault.end {
        Well => {
            assert_eq!(outcome.code(), 0, "{outcome}");
            assert_eq!(github::annotations(&outcome.stdout, "error"), []);
            assert!(env.contains(WHOLE), "{env}\n{outcome}");
            let masks = outcome.masks();
            let hidden = (0..4).any(|n| {
                let Keys { id, secret, token } = Keys::number(n);
                [id, secret, token].iter().all(|key| masks.contains(key))
            });
            assert!(hidden, "exported and not masked\n{outcome}");
            ("0", "")
        }
        Badly(trouble) => {
            assert_eq!(outcome.code(), 1, "{outcome}");
            assert_eq!(outcome.error().0, trouble.title(), "{outcome}");
            assert!(!env.contains(WHOLE), "{env}\n{outcome}");
            assert!(outcome.output.is_untouched() || outcome.output.after.is_none());
            ("1", trouble.title())
        }
        Unheard => {
            assert_eq!(outcome.code(), 1, "{outcome}");
            assert_eq!(env, UNTOUCHED, "{outcome}");
            ("1", "(nobody can hear it)")
        }
        Killed => {
            assert!(outcome.signal().is_some(), "{outcome}");
            assert_eq!(env, UNTOUCHED, "{outcome}");
            ("killed", "(none)")
        }
    };
    assert_eq!(String::from_utf8_lossy(&outcome.stderr), "", "{outcome}");
    for n in 0..4 {
        let Keys { id, secret, token } = Keys::number(n);
        for key in [id, secret, token] {
            if let Err(leak) = github::no_secret_outside_masks(&outcome.stdout, &key) {
                panic!("{leak}\n{outcome}");
            }
        }
    }
    [code.into(), title.into(), env]
}

#[test]
fn every_fault_ends_as_the_table_says() {
    isolated(module_path!(), "every_fault_ends_as_the_table_says", || {
        be_a_container(ME);
        add_address("169.254.170.2/32");
        let _agent = agent();
        let mut table = Table::default();
        connection(&mut table);
        answers(&mut table);
        documents(&mut table);
        tokens(&mut table);
        files(&mut table);
        output(&mut table);
        signals(&mut table);
        let side_by_side = table.topics.len();
        // One socket for all, so one after the other.
        engines(&mut table);

        let mut queue: VecDeque<(usize, usize)> = VecDeque::new();
        let mut results: Vec<Vec<Option<thread::Result<[String; 3]>>>> = Vec::new();
        for (topic, (_, rows)) in table.topics.iter().enumerate() {
            results.push(rows.iter().map(|_| None).collect());
            if topic < side_by_side {
                queue.extend((0..rows.len()).map(|row| (topic, row)));
            }
        }
        let queue = Mutex::new(queue);
        let results = Mutex::new(results);
        let table = &table;
        let one = |(topic, row): (usize, usize)| {
            let fault = &table.topics[topic].1[row];
            let result = catch_unwind(AssertUnwindSafe(|| judge(fault)));
            results.lock().unwrap()[topic][row] = Some(result);
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                for topic in side_by_side..table.topics.len() {
                    (0..table.topics[topic].1.len()).for_each(|row| one((topic, row)));
                }
            });
            // Most of them wait most of the time.
            for _ in 0..8 {
                scope.spawn(|| {
                    loop {
                        let next = queue.lock().unwrap().pop_front();
                        let Some(next) = next else { break };
                        one(next);
                    }
                });
            }
        });
        report(table, results.into_inner().unwrap());
    });
}

/// Fails with every row that was wrong; else compares, or writes, the document.
fn report(table: &Table, results: Vec<Vec<Option<thread::Result<[String; 3]>>>>) {
    let mut wrong = String::new();
    let mut text = String::new();
    let mut count = 0;
    for ((topic, rows), results) in table.topics.iter().zip(results) {
        write!(
            text,
            "\n## {topic}\n\n| fault | exit code | error title | `GITHUB_ENV` |\n|---|---|---|---|\n"
        )
        .unwrap();
        for (fault, result) in rows.iter().zip(results) {
            count += 1;
            match result.unwrap() {
                Ok([code, title, env]) => {
                    writeln!(text, "| {} | {code} | {title} | {env} |", fault.what).unwrap();
                }
                Err(panic) => {
                    let said = panic
                        .downcast_ref::<String>()
                        .cloned()
                        .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
                        .unwrap_or_default();
                    writeln!(wrong, "=== {topic}: {}\n{said}", fault.what).unwrap();
                }
            }
        }
    }
    assert!(wrong.is_empty(), "rows that are wrong:\n{wrong}");
    println!("{count} faults tried");
    assert!(count >= 40, "the table has shrunk to {count}");
    let text = format!(
        "# Faults, and how a run ends\n\n\
         {count} faults, each of them brought about in a run of the real program against real sockets, files and \
         signals. A test made this table from what it saw, after it had compared `GITHUB_ENV` byte for byte with \
         what it was (*{UNTOUCHED}*), or with what one document's three keys come to (*{WHOLE}*); in no row is a \
         key in the log outside a mask command, or anything on standard error. To make it anew: \
         `UPDATE_DOCS=1 cargo test --test it faults`.\n{text}"
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/faults.md");
    if std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1") {
        fs::write(path, text).unwrap();
    } else {
        let written = fs::read_to_string(path).unwrap_or_default();
        assert_eq!(
            written, text,
            "docs/faults.md is not what was seen: UPDATE_DOCS=1 cargo test --test it faults"
        );
    }
}

/// The agent of the instance: credentials of each runner, and no word on the task's metadata.
fn agent() -> Endpoint {
    let listener = TcpListener::bind("169.254.170.2:80").unwrap();
    Endpoint::on(listener, |request, stream| {
        if request.target.starts_with("/v4/") {
            return answer::silence(stream);
        }
        answer::ok(stream, &Document::new(&Keys::number(1)).json())
    })
}

fn connection(table: &mut Table) {
    table.topic("The connection");
    // Addresses of their own: at a port that was free a moment ago somebody else may listen by now.
    let nobody = "127.87.12.3:8001";
    let nobody_yet = "127.87.12.4:8001";
    table.row(
        "connection refused",
        Badly(EndpointUnreachable),
        move || {
            let uri = format!("http://{nobody}/creds");
            let step = held(crate::step()).input("credentials-uri", uri);
            plain(&step.input("retry-max-attempts", "1"))
        },
    );
    table.row("connection refused, then accepted", Well, move || {
        let uri = format!("http://{nobody_yet}/creds");
        let step = held(crate::step()).input("credentials-uri", uri);
        let mut running = step.start();
        running.wait_for_output("attempt 1 of 8");
        let _endpoint = Endpoint::on(TcpListener::bind(nobody_yet).unwrap(), good);
        seen(running.finish())
    });
    table.row(
        "no route to the address",
        Badly(EndpointUnreachable),
        || {
            let uri = "http://169.254.170.23/v1/credentials";
            let step = held(crate::step()).input("credentials-uri", uri);
            plain(&step.input("retry-max-attempts", "1"))
        },
    );
    table.row(
        "connection attempts that nobody answers",
        Badly(EndpointUnreachable),
        || {
            let deaf = Deaf::new();
            let step = held(crate::step()).input("credentials-uri", deaf.url());
            plain(&step.input("retry-max-attempts", "1"))
        },
    );
    let unreachable = Badly(EndpointUnreachable);
    let start = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    table.answering("closed without a word", unreachable, |_| Ok(()));
    table.answering("reset after the request", unreachable, answer::reset);
    for (moment, bytes) in [
        ("in the status line", "HTTP/1.1 2".to_owned()),
        ("in the headers", format!("{start}Content-Le")),
        (
            "before the body",
            format!("{start}Content-Length: 400\r\n\r\n"),
        ),
        (
            "in the body",
            format!("{start}Content-Length: 400\r\n\r\n{{\"RoleArn\":"),
        ),
        (
            "before the last chunk",
            format!("{start}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n"),
        ),
    ] {
        let closed = bytes.clone();
        table.answering(format!("closed {moment}"), unreachable, move |stream| {
            answer::raw(stream, closed.as_bytes())
        });
        table.answering(format!("reset {moment}"), unreachable, move |stream| {
            answer::raw(stream, bytes.as_bytes())?;
            thread::sleep(Duration::from_millis(20));
            answer::reset(stream)
        });
    }
    table.mended("reset, then a good answer", answer::reset);
    table.row("an endpoint that says nothing", unreachable, || {
        plain(&hasty(&Endpoint::start(|_, stream| {
            answer::silence(stream)
        })))
    });
    table.row("one byte a second", unreachable, || {
        let endpoint = Endpoint::start(|_, stream| {
            let body = Document::default().json();
            let whole = answer::head("200 OK", "application/json", body.len()) + &body;
            answer::drip(stream, whole.as_bytes(), 1, Duration::from_secs(1))
        });
        plain(&hasty(&endpoint).input("timeout", "3"))
    });
    table.row("a body of one byte a second", unreachable, || {
        let endpoint = Endpoint::start(|_, stream| {
            let body = Document::default().json();
            let head = answer::head("200 OK", "application/json", body.len());
            answer::raw(stream, head.as_bytes())?;
            answer::drip(stream, body.as_bytes(), 1, Duration::from_secs(1))
        });
        plain(&hasty(&endpoint).input("timeout", "3"))
    });
}

/// Listens, and lets connection attempts wait for ever.
struct Deaf {
    listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Deaf {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap();
        // The standard library's backlog is too long to be filled.
        let listener = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
            socket.listen(1).unwrap().into_std().unwrap()
        });
        let addr = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(200)) {
            waiting.push(stream);
        }
        assert!((1..10).contains(&waiting.len()));
        Self {
            listener,
            _waiting: waiting,
        }
    }

    fn url(&self) -> String {
        format!("http://{}/creds", self.listener.local_addr().unwrap())
    }
}

/// What `gzip` makes of these bytes.
fn gzip(bytes: Vec<u8>) -> Vec<u8> {
    let mut child = Command::new("gzip")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = thread::spawn(move || stdin.write_all(&bytes).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output.stdout
}

fn answers(table: &mut Table) {
    table.topic("The answer");
    let unreachable = Badly(EndpointUnreachable);
    let invalid = Badly(DocumentInvalid);
    let error = Badly(EndpointError);
    let document = Document::default().json();

    table.answering("headers that never end", unreachable, |stream| {
        answer::raw(stream, b"HTTP/1.1 200 OK\r\n")?;
        loop {
            answer::raw(stream, b"X-More: and more\r\n")?;
        }
    });
    table.answering("one header that never ends", unreachable, |stream| {
        answer::raw(stream, b"HTTP/1.1 200 OK\r\nX-Long: ")?;
        loop {
            answer::raw(stream, &[b'x'; 4096])?;
        }
    });
    table.answering("a status line that never ends", unreachable, |stream| {
        answer::raw(stream, b"HTTP/1.1 200 ")?;
        loop {
            answer::raw(stream, &[b'x'; 4096])?;
        }
    });
    table.row("interim answers (100) without end", unreachable, || {
        let endpoint = Endpoint::start(|_, stream| {
            loop {
                answer::raw(stream, b"HTTP/1.1 100 Continue\r\n\r\n")?;
                thread::sleep(Duration::from_millis(5));
            }
        });
        plain(&hasty(&endpoint))
    });
    let ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
    let raw: Vec<(&str, End, String)> = vec![
        (
            "another protocol (SSH)",
            unreachable,
            "SSH-2.0-x\r\n".into(),
        ),
        ("a body without a head", unreachable, document.clone()),
        (
            "an empty line first",
            Well,
            format!("\r\n{ok}\r\n{document}"),
        ),
        (
            "a NUL in a header",
            unreachable,
            format!("{ok}X: a\0b\r\n\r\n{document}"),
        ),
        (
            "a header without a colon",
            unreachable,
            format!("{ok}X\r\n\r\n{document}"),
        ),
        (
            "a status of four digits",
            unreachable,
            format!("HTTP/1.1 2000 OK\r\n\r\n{document}"),
        ),
        (
            "HTTP/1.0, the body up to the end",
            Well,
            format!("HTTP/1.0 200 OK\r\n\r\n{document}"),
        ),
        (
            "HTTP/2 without having been asked",
            unreachable,
            "\0\0\x12\x04\0\0\0\0\0".into(),
        ),
        (
            "another protocol offered (101)",
            error,
            "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".into(),
        ),
        (
            "no content (204)",
            invalid,
            "HTTP/1.1 204 No Content\r\n\r\n".into(),
        ),
        (
            "a Content-Length that is too small",
            invalid,
            format!(
                "{ok}Content-Length: {}\r\n\r\n{document}",
                document.len() - 1
            ),
        ),
        (
            "a Content-Length that is too large",
            unreachable,
            format!(
                "{ok}Content-Length: {}\r\n\r\n{document}",
                document.len() + 1
            ),
        ),
        (
            "a Content-Length of 18 digits",
            unreachable,
            format!("{ok}Content-Length: 999999999999999999\r\n\r\n{document}"),
        ),
        (
            "a Content-Length that is no number",
            unreachable,
            format!("{ok}Content-Length: 0x99\r\n\r\n{document}"),
        ),
        (
            "two Content-Lengths that differ",
            unreachable,
            format!(
                "{ok}Content-Length: 2\r\nContent-Length: {}\r\n\r\n{document}",
                document.len()
            ),
        ),
        (
            "chunks whose sizes are garbage",
            unreachable,
            format!("{ok}Transfer-Encoding: chunked\r\n\r\nzz\r\n{document}\r\n0\r\n\r\n"),
        ),
        (
            "a chunk size that overflows",
            unreachable,
            format!("{ok}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{document}"),
        ),
        (
            "a chunk without its end",
            unreachable,
            format!(
                "{ok}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{document}0\r\n\r\n",
                document.len()
            ),
        ),
        (
            "no chunk at all",
            invalid,
            format!("{ok}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "a Transfer-Encoding that nobody knows, and a document as it is",
            Well,
            format!(
                "{ok}Transfer-Encoding: x\r\nContent-Length: {}\r\n\r\n{document}",
                document.len()
            ),
        ),
    ];
    for (what, end, bytes) in raw {
        table.answering(what, end, move |stream| {
            answer::raw(stream, bytes.as_bytes())
        });
    }
    for (what, bytes) in [
        (
            "a gzip bomb (10 MiB in 10 KiB)",
            vec![b' '; 10 * 1024 * 1024],
        ),
        (
            "a good document, but compressed",
            document.clone().into_bytes(),
        ),
    ] {
        let squeezed = gzip(bytes);
        table.answering(what, invalid, move |stream| {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
                squeezed.len()
            );
            answer::raw(stream, head.as_bytes())?;
            answer::raw(stream, &squeezed)
        });
    }
    table.body(
        "a body of 64 KiB and a byte",
        invalid,
        vec![b' '; 64 * 1024 + 1],
    );
    table.answering("a body without end", invalid, |stream| {
        answer::raw(stream, b"HTTP/1.1 200 OK\r\n\r\n{")?;
        loop {
            answer::raw(stream, &[b' '; 4096])?;
        }
    });
    table.answering("chunks without end", invalid, |stream| {
        answer::chunked(stream, &" ".repeat(1024 * 1024), 512)
    });
    table.answering("a redirect", error, |stream| {
        answer::redirect(stream, 302, "http://169.254.170.2/v2/credentials/x")
    });
    table.answering(
        "throttled (429), every time",
        Badly(Throttled),
        answer::throttled,
    );
    table.mended("throttled, then a good answer", answer::throttled);
    for status in [500, 502, 503, 504] {
        table.mended(format!("{status}, then a good answer"), move |stream| {
            answer::with(stream, &format!("{status} x"), "text/plain", "later")
        });
    }
    table.answering("503, every time", error, |stream| {
        answer::agent_error(stream, 503, "CredentialsUninitialized", "not yet")
    });
    table.mended("`InvalidIdInRequest`, then a good answer", |stream| {
        answer::agent_error(stream, 400, "InvalidIdInRequest", "not found")
    });
    table.answering(
        "`InvalidIdInRequest`, every time",
        Badly(UnknownId),
        |stream| answer::agent_error(stream, 400, "InvalidIdInRequest", "not found"),
    );
    table.answering("403", error, |stream| {
        answer::with(stream, "403 Forbidden", "text/plain", "no")
    });
    table.answering("an error whose text is no UTF-8", error, |stream| {
        answer::raw(stream, b"HTTP/1.1 400 x\r\n\r\n{\"code\":\"\xff\xfe\"}")
    });
    table.answering(
        "an error whose text has commands for the runner",
        error,
        |stream| answer::agent_error(stream, 400, "x\n::stop-commands::y", "##[set-env name=A]b"),
    );
    table.answering("an error without end", invalid, |stream| {
        answer::raw(stream, b"HTTP/1.1 400 x\r\n\r\n")?;
        loop {
            answer::raw(stream, &[b'x'; 4096])?;
        }
    });
    table.answering("a document that reports an error", error, |stream| {
        answer::ok(
            stream,
            &Document::default()
                .with("Code", "Failed")
                .with("Message", "no")
                .json(),
        )
    });
}

fn documents(table: &mut Table) {
    table.topic("The document");
    let invalid = Badly(DocumentInvalid);
    let whole = Document::default();
    let text = whole.json();
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let with = |name: &str, value: &str| Document::default().with(name, value).json();
    table.body("nothing", invalid, "");
    table.body("`null`", invalid, "null");
    table.body("an array", invalid, format!("[{text}]"));
    table.body(
        "half a document",
        invalid,
        &text.as_bytes()[..text.len() / 2],
    );
    table.body("two documents", invalid, format!("{text}{text}"));
    table.body(
        "half a document, then a whole one",
        invalid,
        format!("{}{text}", &text[..60]),
    );
    table.body("invalid UTF-8 in a key", invalid, {
        let mut bytes = text.clone().into_bytes();
        let at = text.find("wJalr").unwrap();
        bytes[at] = 0xff;
        bytes
    });
    table.body("UTF-16", invalid, {
        text.encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect::<Vec<u8>>()
    });
    table.body("a byte-order mark", invalid, format!("\u{feff}{text}"));
    table.body("nested 30 000 deep", invalid, nested(30_000));
    table.body(
        "a field that nobody reads, nested 30 000 deep",
        Well,
        text.replacen('{', &format!("{{\"X\":{},", nested(30_000)), 1),
    );
    table.body(
        "a key twice",
        invalid,
        text.replacen('{', "{\"Token\":\"OTHER\",", 1),
    );
    table.body(
        "a key once more in other letters",
        Well,
        text.replacen('{', "{\"token\":\"OTHER\",\"TOKEN\":\"OTHER\",", 1),
    );
    for name in ["AccessKeyId", "SecretAccessKey", "Token", "Expiration"] {
        table.body(
            format!("`{name}` missing"),
            invalid,
            Document::default().without(name).json(),
        );
    }
    table.body("an empty secret key", invalid, with("SecretAccessKey", ""));
    table.body(
        "a secret key that is a number",
        invalid,
        Document::default().with("SecretAccessKey", 1e300).json(),
    );
    table.body(
        "a line break in a key",
        invalid,
        with("Token", "a\nAWS_X=1"),
    );
    table.body("a NUL in a key", invalid, with("AccessKeyId", "a\0b"));
    table.body(
        "an expiration that is none",
        invalid,
        with("Expiration", "tomorrow"),
    );
    table.body(
        "an expiration in the year 99999",
        invalid,
        with("Expiration", "99999-01-01T00:00:00Z"),
    );
    table.body(
        "expired, every time",
        Badly(Expired),
        Document::default().expiring_in(-1).json(),
    );
    table.mended("expired, then a good one", |stream| {
        answer::ok(stream, &Document::default().expiring_in(-1).json())
    });
    table.body(
        "two accounts",
        Badly(AccountsDisagree),
        with("AccountId", "210987654321"),
    );
    table.mended(
        "an endpoint that changes its mind half-way: a reset, then other keys",
        |stream| {
            let body = Document::default().json();
            answer::truncated(stream, &body, body.len() / 2)?;
            thread::sleep(Duration::from_millis(20));
            answer::reset(stream)
        },
    );
    table.mended(
        "an endpoint that changes its mind half-way: an error in the middle",
        |stream| {
            let body = Document::default().json();
            answer::ok(stream, &format!("{}{{\"code\":\"x\"}}", &body[..80]))
        },
    );
    table.mended("good keys without their end, then other keys", |stream| {
        answer::ok(stream, &Document::default().without("Expiration").json())
    });
}

fn tokens(table: &mut Table) {
    table.topic("The token");
    let at = |endpoint: &Endpoint, path: &Path| {
        held(crate::step())
            .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint.url("/creds"))
            .env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path)
    };
    let unfit = Badly(TokenUnfit);
    let with_file = move |make: fn(&Path)| {
        move || {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("token");
            make(&path);
            let endpoint = Endpoint::serving(&Document::default());
            let seen = plain(&at(&endpoint, &path));
            assert_eq!(endpoint.requests().len(), 0);
            seen
        }
    };
    table.row("a token file that is not there", unfit, with_file(|_| {}));
    table.row(
        "a token file that is a folder",
        unfit,
        with_file(|path| fs::create_dir(path).unwrap()),
    );
    table.row("a token file that is a pipe", unfit, with_file(pipe));
    table.row(
        "a token file without end",
        unfit,
        with_file(|path| symlink("/dev/zero", path).unwrap()),
    );
    table.row(
        "a token file of 16 KiB and a byte",
        unfit,
        with_file(|path| fs::write(path, vec![b'x'; 16 * 1024 + 1]).unwrap()),
    );
    table.row(
        "a token file that is no UTF-8",
        unfit,
        with_file(|path| fs::write(path, b"\xff\xfe").unwrap()),
    );
    table.row(
        "an empty token file",
        unfit,
        with_file(|path| fs::write(path, "").unwrap()),
    );
    table.row(
        "a token with a line break",
        unfit,
        with_file(|path| fs::write(path, "a\r\nX: b").unwrap()),
    );
    table.row(
        "a token file that goes between two attempts",
        unfit,
        move || {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("token");
            fs::write(&path, "T").unwrap();
            let gone = path.clone();
            let endpoint = Endpoint::start(move |_, stream| {
                fs::remove_file(&gone).unwrap();
                answer::throttled(stream)
            });
            plain(&at(&endpoint, &path))
        },
    );
}

fn pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
}

/// Puts something else in a file's place, as a rename does: at once.
fn swap(path: &Path, make: impl FnOnce(&Path)) {
    let _ = fs::remove_file(path);
    make(path);
}

fn files(table: &mut Table) {
    table.topic("The runner's files");
    let missing = Badly(RunnerFileMissing);
    let unfit = Badly(RunnerFileUnfit);
    let unwritten = Badly(RunnerFileNotWritten);
    let env = |outcome: &Outcome, _: &Path| state(&outcome.env).to_owned();
    let gone = |outcome: &Outcome, _: &Path| {
        assert_eq!(outcome.env.after, None, "{outcome}");
        "gone; nothing was made in its place".to_owned()
    };

    table.meanwhile(
        "`GITHUB_ENV` deleted during the run",
        missing,
        |path, _| fs::remove_file(path).unwrap(),
        File::Env,
        gone,
    );
    table.meanwhile(
        "`GITHUB_ENV` swapped for a folder during the run",
        unfit,
        |path, _| swap(path, |path| fs::create_dir(path).unwrap()),
        File::Env,
        |_, folder| {
            let inside = fs::read_dir(find(folder, "set_env")).unwrap().count();
            assert_eq!(inside, 0);
            "gone; the folder is empty".to_owned()
        },
    );
    table.meanwhile(
        "`GITHUB_ENV` swapped for a link during the run",
        unfit,
        |path, folder| {
            let target = folder.join("target");
            fs::write(&target, "mine").unwrap();
            swap(path, |path| symlink(target, path).unwrap());
        },
        File::Env,
        |_, folder| {
            assert_eq!(fs::read(folder.join("target")).unwrap(), b"mine");
            "gone; the link's target is untouched".to_owned()
        },
    );
    table.meanwhile(
        "`GITHUB_ENV` swapped for a link to nothing during the run",
        unfit,
        |path, folder| {
            let target = folder.join("target");
            swap(path, |path| symlink(target, path).unwrap());
        },
        File::Env,
        |_, folder| {
            assert!(!folder.join("target").exists());
            "gone; nothing was made in its place".to_owned()
        },
    );
    table.meanwhile(
        "`GITHUB_ENV` swapped for a pipe during the run",
        unfit,
        |path, _| swap(path, pipe),
        File::Env,
        gone,
    );
    table.meanwhile(
        "`GITHUB_ENV` swapped for a pipe that somebody reads",
        unfit,
        |path, _| {
            swap(path, pipe);
            // Whoever reads the pipe would get the keys.
            let reader = fs::OpenOptions::new()
                .read(true)
                .write(true)
                .open(path)
                .unwrap();
            thread::spawn(move || {
                thread::sleep(Duration::from_secs(2));
                drop(reader);
            });
        },
        File::Env,
        gone,
    );
    table.meanwhile(
        "`GITHUB_ENV` swapped for a socket during the run",
        unfit,
        |path, _| {
            swap(path, |path| {
                UnixListener::bind(path).unwrap();
            });
        },
        File::Env,
        gone,
    );
    table.meanwhile(
        "`GITHUB_ENV` swapped for another file during the run",
        Well,
        |path, _| swap(path, |path| fs::write(path, "OTHER=1\n").unwrap()),
        File::Env,
        |outcome, _| {
            let after = outcome.env.after.as_deref().unwrap();
            let appended = after.strip_prefix(b"OTHER=1\n").unwrap();
            whole(appended);
            format!("{WHOLE}, in the file that is there now")
        },
    );
    table.meanwhile(
        "`GITHUB_ENV` emptied during the run, as by another runner that shares the folder",
        Well,
        |path, _| fs::write(path, "").unwrap(),
        File::Env,
        |outcome, _| {
            whole(outcome.env.after.as_deref().unwrap());
            format!("{WHOLE}, at the beginning")
        },
    );
    table.meanwhile(
        "`GITHUB_ENV` grown by half a line during the run",
        Well,
        |path, _| fs::write(path, "HALF=1").unwrap(),
        File::Env,
        |outcome, _| {
            let after = outcome.env.after.as_deref().unwrap();
            let appended = after.strip_prefix(b"HALF=1\n").unwrap();
            whole(appended);
            format!("{WHOLE}, on a line of its own")
        },
    );
    table.meanwhile(
        "`GITHUB_ENV` made read-only during the run",
        unwritten,
        |path, _| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
        },
        File::Env,
        env,
    );
    table.meanwhile(
        "the files' folder deleted during the run",
        missing,
        |_, folder| fs::remove_dir_all(folder).unwrap(),
        File::Env,
        gone,
    );
    table.meanwhile(
        "`GITHUB_OUTPUT` deleted during the run",
        missing,
        |path, _| fs::remove_file(path).unwrap(),
        File::Output,
        env,
    );
    table.meanwhile(
        "`GITHUB_OUTPUT` swapped for a link during the run",
        unfit,
        |path, _| {
            swap(path, |path| symlink("/dev/null", path).unwrap());
        },
        File::Output,
        env,
    );
    table.meanwhile(
        "`GITHUB_STEP_SUMMARY` deleted during the run",
        Well,
        |path, _| fs::remove_file(path).unwrap(),
        File::Summary,
        env,
    );
    table.meanwhile(
        "`GITHUB_STEP_SUMMARY` swapped for a folder during the run",
        Well,
        |path, _| swap(path, |path| fs::create_dir(path).unwrap()),
        File::Summary,
        env,
    );
    for (file, end) in [
        (File::Env, unwritten),
        (File::Output, unwritten),
        (File::Summary, Well),
    ] {
        for (room, left) in [("full", 0), ("full but for 20 bytes", 20)] {
            let what = format!("the disk of `{}` is {room}", file.variable());
            table.row(what, end, move || {
                let endpoint = Endpoint::start(good);
                let step = quick(&endpoint).input("summary", "true");
                let disk = step.folder().join("disk");
                fs::create_dir(&disk).unwrap();
                mount_tmpfs(&disk, 4096);
                let path = disk.join("file");
                let mut content = EARLIER.repeat(4096 / EARLIER.len());
                content.resize(4096 - left - 1, b'\n');
                content.push(b'\n');
                fs::write(&path, &content).unwrap();
                let step = step.placing(file, &path);
                let seen = plain(&step);
                let warned = usize::from(matches!(end, Well));
                assert_eq!(seen.outcome.warnings().len(), warned);
                assert_eq!(fs::read(&path).unwrap(), content);
                seen
            });
        }
        for (name, error) in [
            ("an input/output error", "EIO"),
            ("no more quota", "EDQUOT"),
        ] {
            let what = format!("{name} at the write to `{}`", file.variable());
            table.row(what, end, move || {
                let endpoint = Endpoint::start(good);
                let step = quick(&endpoint).input("summary", "true");
                plain(&at_write(step, file, &format!("error={error}")))
            });
        }
    }
}

/// A step with a fault at the one write to this file.
fn at_write(step: Step, file: File, fault: &str) -> Step {
    let path = step.path(file);
    let inject = format!("inject=write:{fault}:when=1");
    let trace = step.folder().join("trace");
    let words: Vec<std::ffi::OsString> = vec![
        "strace".into(),
        "-qq".into(),
        "-o".into(),
        trace.into(),
        "-P".into(),
        path.into(),
        "-e".into(),
        inject.into(),
    ];
    step.under(&words)
}

/// The only entry of a folder whose name starts so.
fn find(folder: &Path, start: &str) -> std::path::PathBuf {
    let mut found = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(start)
        });
    found.next().unwrap()
}

fn output(table: &mut Table) {
    table.topic("The log");
    for (what, redirected) in [
        ("a full disk", "exec \"$0\" \"$@\" > /dev/full"),
        ("closed", "exec \"$0\" \"$@\" >&-"),
        (
            "a pipe that nobody reads",
            "mkfifo pipe && exec 3<>pipe >pipe 3>&- && exec \"$0\" \"$@\"",
        ),
    ] {
        table.row(format!("standard output is {what}"), Unheard, move || {
            let endpoint = Endpoint::start(good);
            plain(&quick(&endpoint).under(&["sh".into(), "-c".into(), redirected.into()]))
        });
    }
}

fn signals(table: &mut Table) {
    table.topic("Signals");
    table.signals("while the connection is made", |signal| {
        let deaf = Deaf::new();
        let step = held(crate::step()).input("credentials-uri", deaf.url());
        let mut running = step.start();
        running.wait_for_output("endpoint found");
        running.signal(signal);
        seen(running.finish())
    });
    for (moment, sent) in [
        ("before the answer", 0),
        ("in the status line", 9),
        ("in the headers", 40),
        ("in the body", 160),
        ("before the last byte", usize::MAX),
    ] {
        table.signals(moment, move |signal| {
            let (endpoint, reached) = stuck_after(sent);
            let step = held(step_at(&endpoint));
            let running = step.start();
            reached.recv().unwrap();
            running.signal(signal);
            seen(running.finish())
        });
    }
    table.signals("between two attempts", |signal| {
        let endpoint = Endpoint::start(|_, stream| answer::throttled(stream));
        let step = held(step_at(&endpoint)).input("retry-max-attempts", "100");
        let mut running = step.start();
        // By then the waits are long.
        running.wait_for_output("attempt 4 of 100");
        running.signal(signal);
        seen(running.finish())
    });
    table.signals("while the metadata is asked for the region", |signal| {
        let endpoint = Endpoint::start(good);
        let uri = "http://169.254.170.2/v4/silent";
        let step = held(step_at(&endpoint)).env("ECS_CONTAINER_METADATA_URI_V4", uri);
        let mut running = step.start();
        running.wait_for_output("add-mask::ASIA");
        running.signal(signal);
        seen(running.finish())
    });
    for file in [File::Output, File::Summary, File::Env] {
        for name in ["SIGTERM", "SIGINT"] {
            let what = format!("{name} during the write to `{}`", file.variable());
            table.row(what, Well, move || {
                let endpoint = Endpoint::start(good);
                let step = quick(&endpoint).input("summary", "true");
                plain(&at_write(step, file, &format!("signal={name}")))
            });
        }
    }
    table.row("SIGKILL in the body", Killed, || {
        let (endpoint, reached) = stuck_after(160);
        let step = held(step_at(&endpoint));
        let running = step.start();
        reached.recv().unwrap();
        running.signal(Signal::KILL);
        seen(running.finish())
    });
}

/// An endpoint that sends so much of a good answer, says so, and no more.
fn stuck_after(sent: usize) -> (Endpoint, mpsc::Receiver<()>) {
    let (tell, told): (Sender<()>, _) = mpsc::channel();
    let endpoint = Endpoint::start(move |_, stream| {
        let body = Document::default().json();
        let whole = answer::head("200 OK", "application/json", body.len()) + &body;
        answer::raw(stream, &whole.as_bytes()[..sent.min(whole.len() - 1)])?;
        tell.send(()).unwrap();
        answer::silence(stream)
    });
    (endpoint, told)
}

fn engines(table: &mut Table) {
    table.topic("The Docker Engine");
    let bare = || held(Step::new(&program())).input("timeout", "20");
    let host = || {
        vec![
            Container::me(),
            Container::runner(1).running(&client(MY_NAME)),
            Container::runner(2),
        ]
    };
    let failed = Badly(Trouble::Engine);
    table.row("no socket", Badly(NoSource), move || {
        let _ = fs::remove_file(SOCKET);
        plain(&bare())
    });
    table.row(
        "a folder in the socket's place",
        Badly(NoSource),
        move || {
            fs::create_dir(SOCKET).unwrap();
            let seen = plain(&bare());
            fs::remove_dir(SOCKET).unwrap();
            seen
        },
    );
    table.row("a socket that nobody listens at", failed, move || {
        drop(UnixListener::bind(SOCKET).unwrap());
        let seen = plain(&bare());
        fs::remove_file(SOCKET).unwrap();
        seen
    });
    for (what, at) in [
        ("the list", 0),
        ("a process list", 1),
        ("the runner's environment", 2),
    ] {
        let asked = move |line: &str| match at {
            0 => line == engine::LIST,
            1 => line == top(&Container::runner(1).id),
            _ => line == engine::inspect(&Container::runner(1).id),
        };
        for (fault, answered) in [
            ("never comes", Answer::Silence),
            (
                "is cut off",
                Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[{".to_vec()),
            ),
            ("is not HTTP", Answer::Raw(b"SSH-2.0-x\r\n".to_vec())),
            (
                "is not JSON",
                Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n[".to_vec()),
            ),
            ("is a status 500", Answer::refused(500, "no")),
            (
                "is over 8 MiB",
                Answer::Raw(
                    [
                        b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
                        vec![b' '; 8 * 1024 * 1024 + 1],
                    ]
                    .concat(),
                ),
            ),
        ] {
            // A process list that fails is asked for once more, and then nothing is proved.
            let end = match (at, &answered) {
                (1, Answer::Raw(_) | Answer::Json(..)) => Badly(RunnerNotProved),
                _ => failed,
            };
            table.row(format!("{what} {fault}"), end, move || {
                let (answered, containers) = (answered.clone(), host());
                let _engine = Engine::start(move |line, _| {
                    if asked(line) {
                        answered.clone()
                    } else {
                        engine::answer(&containers, line)
                    }
                });
                plain(&bare().input("timeout", "1"))
            });
        }
        let containers = host();
        table.signals(&format!("before {what}"), move |signal| {
            let (tell, told) = mpsc::channel();
            let containers = containers.clone();
            let _engine = Engine::start(move |line, _| {
                if asked(line) {
                    tell.send(()).unwrap();
                    Answer::Silence
                } else {
                    engine::answer(&containers, line)
                }
            });
            let step = bare();
            let running = step.start();
            told.recv().unwrap();
            running.signal(signal);
            seen(running.finish())
        });
    }
    table.row("a process list that fails once", Well, move || {
        let containers = host();
        let _engine = Engine::start(move |line, before| {
            if line.contains("/top?") && before == 0 {
                Answer::refused(500, "ttrpc: closed")
            } else {
                engine::answer(&containers, line)
            }
        });
        plain(&bare())
    });
    table.row("a host without `ps`", Badly(NoProcessList), move || {
        let containers = host();
        let _engine = Engine::start(move |line, _| {
            if line.contains("/top?") {
                Answer::refused(500, "ps: exec: \"ps\": executable file not found in $PATH")
            } else {
                engine::answer(&containers, line)
            }
        });
        plain(&bare())
    });
    table.row(
        "the runner ends while it is asked for",
        Badly(RunnerNotProved),
        move || {
            let containers = host();
            let _engine = Engine::start(move |line, _| {
                if line == top(&Container::runner(1).id) {
                    Answer::refused(409, "is not running")
                } else {
                    engine::answer(&containers, line)
                }
            });
            plain(&bare())
        },
    );
    table.row(
        "two containers name me",
        Badly(RunnerNotProved),
        move || {
            let mut containers = host();
            containers.push(Container::runner(3).running(&client(MY_NAME)));
            let _engine = Engine::with(containers);
            plain(&bare())
        },
    );
    table.row(
        "the runner has no task role, its neighbour has",
        Badly(NoTaskRole),
        move || {
            let mut containers = host();
            containers[1] = containers[1].clone().with_env(&["A=b"]);
            let _engine = Engine::with(containers);
            plain(&bare())
        },
    );
    table.row("an Engine that is as it should be", Well, move || {
        let _engine = Engine::with(host());
        let seen = plain(&bare());
        assert!(seen.outcome.masks().contains(&uri(1)), "{}", seen.outcome);
        seen
    });
}
