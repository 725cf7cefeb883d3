//! `hooks/job-started.sh` under each shell that a runner may have, and read as the runner reads it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::shells::{Shell, shellcheck, skip};
use crate::support::endpoint::{Document, Endpoint};
use crate::support::github;
use crate::support::step::Step;
use crate::traced::can_trace;

const HOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/hooks/job-started.sh");

const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
const METADATA: &str = "ECS_CONTAINER_METADATA_URI_V4";

const URI: &str = "/v2/credentials/6a2ff5c1-a1b2-4c3d-8e4f-0123456789ab";
const EKS: &str = "http://169.254.170.23/v1/credentials";
const METADATA_URI: &str = "http://169.254.170.2/v4/6a2ff5c1a1b2-1234567890";

/// What no shell, no grammar and no escape may change.
const AWKWARD: &[&str] = &[
    "plain",
    " blanks at both ends\t",
    r#"'single' "double" \back\slash \n \c"#,
    "$(touch pwned) `touch pwned` ${HOME} $HOME ; & | > < * ? [a-z] ~",
    "100% %25 %0A %0D %3A %%",
    "%",
    "-n",
    "-e \\101",
    "::warning::mine ::add-mask::mine ##[error]mine",
    "AWS_REGION=elsewhere",
    "AWS_REGION<<EOF",
    "<<EOF",
    "EOF",
    "snow ☃ and \u{1f511}",
    "bell \u{7} escape \u{1b}[31m tab \t",
];

/// A job that is about to start.
struct Hook {
    folder: TempDir,
    variables: BTreeMap<String, String>,
    options: Vec<&'static str>,
}

/// What came of it.
struct Said {
    stdout: Vec<u8>,
    stderr: String,
    file: Option<Vec<u8>>,
}

impl Hook {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // For the runs under another user.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let hook = Self {
            folder,
            variables: BTreeMap::new(),
            options: vec!["-e"],
        };
        fs::write(hook.github_env(), "").unwrap();
        let path = hook.github_env().to_str().unwrap().to_owned();
        hook.with("GITHUB_ENV", path)
    }

    fn github_env(&self) -> PathBuf {
        self.folder
            .path()
            .join("set_env_6a2ff5c1-a1b2-4c3d-8e4f-0123456789ab")
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    /// A token file with this text.
    fn with_token_file(self, text: impl AsRef<[u8]>) -> Self {
        let path = self.folder.path().join("token");
        fs::write(&path, text).unwrap();
        self.with(TOKEN_FILE, path.to_str().unwrap())
    }

    fn option(mut self, option: &'static str) -> Self {
        self.options.push(option);
        self
    }

    fn command(&self, shell: Shell) -> Command {
        let mut command = shell.command(&self.options, Path::new(HOOK));
        command
            .envs(&self.variables)
            .current_dir(self.folder.path());
        command
    }

    fn run(&self, shell: Shell) -> Said {
        self.run_as(&mut self.command(shell), shell)
    }

    /// Whatever happens, the job goes on, and the values stay values.
    fn run_as(&self, command: &mut Command, shell: Shell) -> Said {
        let output = command.output().unwrap();
        let said = Said {
            file: fs::symlink_metadata(self.github_env())
                .is_ok_and(|metadata| metadata.is_file())
                .then(|| fs::read(self.github_env()).unwrap()),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        assert!(
            output.status.success(),
            "{}: {}\n{}",
            shell.name,
            output.status,
            said.stderr
        );
        assert!(
            !self.folder.path().join("pwned").exists(),
            "{} ran a value",
            shell.name
        );
        said
    }
}

impl Said {
    /// What the runner sets for all steps of the job.
    fn handed_on(&self) -> BTreeMap<String, String> {
        let pairs = github::pairs(self.file.as_deref().unwrap()).unwrap();
        let count = pairs.len();
        let map: BTreeMap<_, _> = pairs.into_iter().collect();
        assert_eq!(map.len(), count, "a name stands there twice");
        map
    }

    fn names(&self) -> Vec<String> {
        self.handed_on().into_keys().collect()
    }

    fn masks(&self) -> Vec<String> {
        github::masks(&self.stdout)
    }

    fn warnings(&self) -> Vec<String> {
        github::annotations(&self.stdout, "warning")
            .into_iter()
            .map(|(title, message)| {
                assert_eq!(title.as_deref(), Some("ecs-task-role job-started hook"));
                message
            })
            .collect()
    }

    fn is_silent(&self) {
        assert_eq!(String::from_utf8_lossy(&self.stdout), "");
        assert_eq!(self.stderr, "");
    }

    fn keeps_secret(&self, marker: &str) {
        github::no_secret_outside_masks(&self.stdout, marker).unwrap();
        assert!(!self.stderr.contains(marker), "{}", self.stderr);
    }
}

/// The hook's command, started by another one.
fn under(words: &[&str], hook: &Hook, shell: Shell) -> Command {
    let inner = hook.command(shell);
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs(&hook.variables)
        .current_dir(hook.folder.path());
    command
}

fn map<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn it_hands_on_the_relative_uri_and_the_metadata_uri_of_an_ecs_task() {
    for shell in Shell::all() {
        let said = Hook::new()
            .with(RELATIVE, URI)
            .with(METADATA, METADATA_URI)
            .run(shell);
        assert_eq!(
            said.handed_on(),
            map([(RELATIVE, URI), (METADATA, METADATA_URI)])
        );
        assert_eq!(said.masks(), [URI]);
        assert_eq!(said.warnings(), [""; 0]);
        assert_eq!(said.stderr, "");
    }
}

#[test]
fn a_token_file_goes_as_its_text_since_no_container_has_the_file() {
    for shell in Shell::all() {
        let said = Hook::new()
            .with(FULL, EKS)
            .with_token_file("ey.J.w")
            .run(shell);
        assert_eq!(said.handed_on(), map([(FULL, EKS), (TOKEN, "ey.J.w")]));
        assert_eq!(said.masks(), ["ey.J.w"]);
    }
}

#[test]
fn it_hands_on_only_what_would_be_used() {
    for shell in Shell::all() {
        let both = Hook::new()
            .with(RELATIVE, URI)
            .with(FULL, "http://127.0.0.1:1234/the-other-one")
            .with(TOKEN, "of the variable")
            .with_token_file("of the file")
            .run(shell);
        assert_eq!(
            both.handed_on(),
            map([(RELATIVE, URI), (TOKEN, "of the file")])
        );
        assert_eq!(both.masks(), ["of the file"]);

        let empty = Hook::new()
            .with(RELATIVE, "")
            .with(FULL, EKS)
            .with(TOKEN_FILE, "")
            .with(TOKEN, "")
            .with(METADATA, "")
            .run(shell);
        assert_eq!(empty.handed_on(), map([(FULL, EKS)]));
    }
}

#[test]
fn a_region_of_the_runner_stays_with_the_runner() {
    for shell in Shell::all() {
        let said = Hook::new()
            .with(RELATIVE, URI)
            .with("AWS_REGION", "eu-west-1")
            .with("AWS_DEFAULT_REGION", "eu-west-1")
            .run(shell);
        assert_eq!(said.names(), [RELATIVE]);
    }
}

#[test]
fn every_value_arrives_as_it_is_and_adds_no_record() {
    for shell in Shell::all() {
        for value in AWKWARD {
            let variable = Hook::new()
                .with(FULL, format!("http://localhost/{value}"))
                .with(TOKEN, *value)
                .with(METADATA, *value)
                .run(shell);
            let uri = format!("http://localhost/{value}");
            assert_eq!(
                variable.handed_on(),
                map([(FULL, uri.as_str()), (TOKEN, value), (METADATA, value)]),
                "{}",
                shell.name
            );
            assert_eq!(variable.masks(), [*value]);
            assert_eq!(variable.warnings(), [""; 0]);

            let file = Hook::new()
                .with(FULL, EKS)
                .with_token_file(value)
                .run(shell);
            assert_eq!(
                file.handed_on(),
                map([(FULL, EKS), (TOKEN, value)]),
                "{}",
                shell.name
            );
            assert_eq!(file.masks(), [*value]);
        }
    }
}

#[test]
fn a_uri_is_masked_where_it_is_the_only_secret_and_long_enough_to_be_one() {
    let masks = |set: &[(&str, &str)], shell| {
        set.iter()
            .fold(Hook::new(), |hook, (name, value)| hook.with(name, *value))
            .run(shell)
            .masks()
    };
    for shell in Shell::all() {
        assert_eq!(masks(&[(RELATIVE, "/fifteen/letter")], shell), [""; 0]);
        assert_eq!(
            masks(&[(RELATIVE, "/sixteen/letters")], shell),
            ["/sixteen/letters"]
        );
        assert_eq!(masks(&[(RELATIVE, URI), (TOKEN, "t")], shell), ["t"]);
        let query = "/r?of=http://elsewhere/";
        assert_eq!(masks(&[(RELATIVE, query)], shell), [query]);
        assert_eq!(masks(&[(FULL, EKS)], shell), [""; 0]);
        for (uri, secret) in [
            (
                "http://localhost:80/v1/credentials?id=1",
                Some("/v1/credentials?id=1"),
            ),
            ("http://localhost?id=0123456789ab", Some("?id=0123456789ab")),
            (
                "http://localhost/0123456789abcdef#end",
                Some("/0123456789abcdef"),
            ),
            ("http://a-host-with-a-rather-long-name.example/", None),
            ("http://a-host-with-a-rather-long-name.example", None),
            (
                "http://localhost/r?of=http://elsewhere",
                Some("/r?of=http://elsewhere"),
            ),
            ("no-url-at-all-but-long", Some("no-url-at-all-but-long")),
        ] {
            let expected: Vec<_> = secret.into_iter().collect();
            assert_eq!(masks(&[(FULL, uri)], shell), expected, "{uri}");
        }
    }
}

#[test]
fn white_space_is_no_mask_since_it_would_wreck_the_log() {
    for shell in Shell::all() {
        let said = Hook::new().with(FULL, EKS).with(TOKEN, " \t ").run(shell);
        assert_eq!(said.masks(), [""; 0]);
    }
}

#[test]
fn nothing_is_written_where_the_mask_could_not_be() {
    for shell in Shell::all() {
        for hook in [
            Hook::new().with(RELATIVE, URI).with(METADATA, METADATA_URI),
            Hook::new()
                .with(FULL, EKS)
                .with(TOKEN, "t")
                .with(METADATA, METADATA_URI),
        ] {
            let full = fs::File::options().write(true).open("/dev/full").unwrap();
            let said = hook.run_as(hook.command(shell).stdout(Stdio::from(full)), shell);
            assert_eq!(said.file.unwrap(), b"", "{}", shell.name);
        }
    }
}

#[test]
fn a_value_with_a_line_break_is_left_out_with_a_warning_and_takes_its_set_along() {
    for shell in Shell::all() {
        for end in ["\n", "\r", "\r\n", "\nAWS_REGION=elsewhere\n"] {
            for (name, hook) in [
                (
                    RELATIVE,
                    Hook::new()
                        .with(RELATIVE, format!("{URI}{end}"))
                        .with(FULL, EKS),
                ),
                (
                    FULL,
                    Hook::new()
                        .with(FULL, format!("{EKS}{end}"))
                        .with(TOKEN, "t"),
                ),
                (
                    TOKEN,
                    Hook::new()
                        .with(RELATIVE, URI)
                        .with(TOKEN, format!("t{end}")),
                ),
                (
                    TOKEN_FILE,
                    Hook::new()
                        .with(RELATIVE, URI)
                        .with_token_file(format!("t{end}")),
                ),
            ] {
                let said = hook.with(METADATA, METADATA_URI).run(shell);
                assert_eq!(said.names(), [METADATA], "{} {name} {end:?}", shell.name);
                let [warning] = &said.warnings()[..] else {
                    panic!("{:?}", said.warnings())
                };
                assert!(
                    warning.contains(name) && warning.contains("line break"),
                    "{warning}"
                );
                assert_eq!(said.stderr, "");
            }
            let said = Hook::new()
                .with(RELATIVE, URI)
                .with(METADATA, format!("{METADATA_URI}{end}"))
                .run(shell);
            assert_eq!(said.names(), [RELATIVE]);
            let warnings = said.warnings();
            assert!(warnings[0].contains(METADATA), "{warnings:?}");
        }
    }
}

#[test]
fn a_secret_that_is_left_out_is_masked_as_a_whole() {
    for shell in Shell::all() {
        let token = "50%\r\nof it";
        let said = Hook::new()
            .with(FULL, EKS)
            .with_token_file(token)
            .run(shell);
        assert_eq!(said.masks(), [token]);
        let raw = String::from_utf8(said.stdout.clone()).unwrap();
        assert!(raw.starts_with("::add-mask::50%25%0D%0Aof it\n"), "{raw}");
    }
}

#[test]
fn a_token_file_that_can_not_be_used_leaves_no_half_of_a_set() {
    fn path(hook: &Hook) -> PathBuf {
        hook.folder.path().join("token")
    }
    type Damage = fn(&Hook);
    let damages: &[(&str, Damage)] = &[
        ("not there", |hook| fs::remove_file(path(hook)).unwrap()),
        ("no regular file", |hook| {
            fs::remove_file(path(hook)).unwrap();
            fs::create_dir(path(hook)).unwrap();
        }),
        // Reading this one would wait for ever.
        ("no regular file", |hook| {
            fs::remove_file(path(hook)).unwrap();
            let made = Command::new("mkfifo").arg(path(hook)).status().unwrap();
            assert!(made.success());
        }),
        ("empty", |hook| fs::write(path(hook), "").unwrap()),
        ("more than 16 KiB", |hook| {
            fs::write(path(hook), "x".repeat(16385)).unwrap()
        }),
        ("as text", |hook| {
            fs::write(path(hook), "before\0after").unwrap()
        }),
    ];
    for shell in Shell::all() {
        for (why, damage) in damages {
            let hook = Hook::new()
                .with(FULL, EKS)
                .with(TOKEN, "of the variable")
                .with_token_file("of the file")
                .with(METADATA, METADATA_URI);
            damage(&hook);
            let said = hook.run(shell);
            assert_eq!(said.names(), [METADATA], "{} {why}", shell.name);
            let warnings = said.warnings();
            assert!(
                warnings.len() == 1 && warnings[0].contains(why),
                "{warnings:?}"
            );
            assert_eq!(said.stderr, "", "{}", shell.name);
            said.keeps_secret("before");
            said.keeps_secret(hook.folder.path().to_str().unwrap());
        }
    }
}

#[test]
fn a_token_file_may_be_a_link_and_as_large_as_16_kib() {
    for shell in Shell::all() {
        let text = "x%".repeat(8192);
        let hook = Hook::new().with(FULL, EKS).with_token_file(&text);
        let link = hook.folder.path().join("link");
        symlink("token", &link).unwrap();
        let said = hook.with(TOKEN_FILE, link.to_str().unwrap()).run(shell);
        assert_eq!(said.handed_on(), map([(FULL, EKS), (TOKEN, text.as_str())]));
        assert_eq!(said.masks(), [text]);
    }
}

#[test]
fn a_token_file_of_somebody_else_leaves_no_half_of_a_set() {
    let root = rustix::process::geteuid().is_root();
    for shell in Shell::all() {
        let hook = Hook::new().with(FULL, EKS).with_token_file("not-for-you");
        fs::set_permissions(
            hook.folder.path().join("token"),
            fs::Permissions::from_mode(0o000),
        )
        .unwrap();
        fs::set_permissions(hook.github_env(), fs::Permissions::from_mode(0o666)).unwrap();
        let mut command = hook.command(shell);
        if root {
            // Root reads every file.
            command.uid(65534).gid(65534);
        }
        let said = hook.run_as(&mut command, shell);
        assert_eq!(said.names(), [""; 0]);
        let warnings = said.warnings();
        assert!(
            warnings.len() == 1 && warnings[0].contains("can not be read"),
            "{warnings:?}"
        );
        assert_eq!(said.stderr, "");
    }
}

#[test]
fn it_is_silent_where_there_is_nothing_to_say() {
    for shell in Shell::all() {
        for hook in [
            Hook::new(),
            Hook::new().with(TOKEN, "a token alone"),
            Hook::new().with_token_file("a token alone"),
            Hook::new().with(TOKEN_FILE, "/nowhere"),
        ] {
            let said = hook.run(shell);
            said.is_silent();
            assert_eq!(said.file.unwrap(), b"");
        }
    }
}

#[test]
fn it_is_silent_where_github_env_can_not_be_written() {
    let set = || {
        Hook::new()
            .with(RELATIVE, URI)
            .with(TOKEN, "t")
            .with(METADATA, METADATA_URI)
    };
    for shell in Shell::all() {
        set().without("GITHUB_ENV").run(shell).is_silent();
        set().with("GITHUB_ENV", "").run(shell).is_silent();

        let missing = set();
        fs::remove_file(missing.github_env()).unwrap();
        let said = missing.run(shell);
        said.is_silent();
        assert!(said.file.is_none(), "{} created the file", shell.name);

        let folder = set();
        fs::remove_file(folder.github_env()).unwrap();
        fs::create_dir(folder.github_env()).unwrap();
        folder.run(shell).is_silent();

        let link = set();
        let target = link.folder.path().join("target");
        fs::write(&target, "as it was").unwrap();
        fs::remove_file(link.github_env()).unwrap();
        symlink(&target, link.github_env()).unwrap();
        link.run(shell).is_silent();
        assert_eq!(fs::read(&target).unwrap(), b"as it was");

        let read_only = set();
        fs::set_permissions(read_only.github_env(), fs::Permissions::from_mode(0o444)).unwrap();
        let mut command = read_only.command(shell);
        if rustix::process::geteuid().is_root() {
            // Root writes to every file.
            command.uid(65534).gid(65534);
        }
        let said = read_only.run_as(&mut command, shell);
        said.is_silent();
        assert_eq!(said.file.unwrap(), b"");
    }
}

/// A limit of 512 bytes, and a write that would pass it fails half done instead of being killed.
const LIMITED: [&str; 4] = [
    "dash",
    "-c",
    "trap '' XFSZ; ulimit -f 1; exec \"$@\"",
    "dash",
];

/// The write under that limit is taken back, and the hook says so.
fn is_taken_back(shell: Shell, run: impl Fn(&Hook) -> Said) {
    let hook = Hook::new().with(RELATIVE, URI).with(METADATA, METADATA_URI);
    let before = format!("EARLIER={}\n", "x".repeat(400));
    fs::write(hook.github_env(), &before).unwrap();
    let said = run(&hook);
    assert_eq!(
        String::from_utf8(said.file.clone().unwrap()).unwrap(),
        before,
        "{}",
        shell.name
    );
    let warnings = said.warnings();
    assert!(
        warnings.len() == 1 && warnings[0].contains("could not be written"),
        "{}: {warnings:?}",
        shell.name
    );
    said.keeps_secret(URI);
}

#[test]
fn a_write_that_breaks_off_is_taken_back() {
    for shell in Shell::all() {
        is_taken_back(shell, |hook| {
            hook.run_as(&mut under(&LIMITED, hook, shell), shell)
        });
    }
}

#[test]
fn a_write_that_breaks_off_is_taken_back_though_a_signal_comes() {
    if !can_trace() {
        return;
    }
    for shell in Shell::all() {
        for signal in ["HUP", "INT", "TERM"] {
            is_taken_back(shell, |hook| {
                let path = hook.github_env();
                let words = [&["-P", path.to_str().unwrap()], &LIMITED[..]].concat();
                signalled(hook, shell, signal, &words)
            });
        }
    }
}

#[test]
fn a_signal_amid_the_writing_leaves_no_half_of_a_record() {
    if !can_trace() {
        return;
    }
    for shell in Shell::all() {
        for signal in ["HUP", "INT", "TERM"] {
            // bash and busybox write 4 KiB at a time.
            let token = "x".repeat(10_000);
            let hook = Hook::new().with(FULL, EKS).with(TOKEN, &token);
            let path = hook.github_env();
            let said = signalled(&hook, shell, signal, &["-P", path.to_str().unwrap()]);
            assert_eq!(
                said.handed_on(),
                map([(FULL, EKS), (TOKEN, token.as_str())]),
                "{} {signal}",
                shell.name
            );
            assert_eq!(said.warnings(), [""; 0]);
        }
    }
}

#[test]
fn a_signal_before_the_writing_leaves_nothing_and_fails_no_job() {
    if !can_trace() {
        return;
    }
    for shell in Shell::all() {
        for signal in ["HUP", "INT", "TERM"] {
            let hook = Hook::new().with(RELATIVE, URI).with(METADATA, METADATA_URI);
            // The first write is that of the mask.
            let said = signalled(&hook, shell, signal, &["-e", "trace=write"]);
            assert_eq!(said.masks(), [URI], "{} {signal}", shell.name);
            assert_eq!(said.names(), [""; 0], "{} {signal}", shell.name);
            assert_eq!(said.warnings(), [""; 0]);
        }
    }
}

/// Runs the hook, whose shell is sent a signal as it makes the first call of `write` that these words let strace see.
fn signalled(hook: &Hook, shell: Shell, signal: &str, seen: &[&str]) -> Said {
    let trace = hook.folder.path().join("trace");
    let inject = format!("inject=write:signal={signal}:when=1");
    let mut words = vec![
        "strace",
        "-qq",
        "-o",
        trace.to_str().unwrap(),
        "-e",
        &inject,
    ];
    words.extend(seen);
    let said = hook.run_as(&mut under(&words, hook, shell), shell);
    let trace = fs::read_to_string(trace).unwrap();
    assert!(trace.contains(&format!("--- SIG{signal} ")), "{trace}");
    said
}

#[test]
fn without_randomness_it_warns_and_writes_nothing() {
    let check = |hook: &Hook, command: &mut Command, shell: Shell| {
        let said = hook.run_as(command, shell);
        assert_eq!(said.file.clone().unwrap(), b"", "{}", shell.name);
        let warnings = said.warnings();
        assert!(
            warnings.len() == 1 && warnings[0].contains("random"),
            "{warnings:?}"
        );
        assert_eq!(said.masks(), [""; 0]);
        assert_eq!(said.stderr, "");
    };
    for shell in Shell::all() {
        let hook = || Hook::new().with(RELATIVE, URI).with(METADATA, METADATA_URI);

        // busybox has an od of its own, which no PATH can replace.
        let ods: &[_] = match shell.name {
            "busybox" => &[],
            _ => &[
                "exit 1",
                "echo ' 00 11 22'",
                "echo '# thirty-two characters, no digits #'",
            ],
        };
        for od in ods {
            let hook = hook();
            let program = hook.folder.path().join("od");
            fs::write(&program, format!("#!/bin/sh\n{od}\n")).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
            let mut path = hook.folder.path().as_os_str().to_owned();
            path.push(":");
            path.push(std::env::var_os("PATH").unwrap());
            check(&hook, hook.command(shell).env("PATH", path), shell);
        }

        if !rustix::process::geteuid().is_root() {
            skip("only root can take /dev/urandom away");
            continue;
        }
        let hook = hook();
        let covered = "mount --bind /dev/null /dev/urandom && exec \"$@\"";
        let mut command = under(
            &["unshare", "--mount", "dash", "-c", covered, "dash"],
            &hook,
            shell,
        );
        check(&hook, &mut command, shell);
    }
}

#[test]
fn nobody_knows_the_delimiter_beforehand() {
    for shell in Shell::all() {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..3 {
            let said = Hook::new()
                .with(RELATIVE, URI)
                .with(METADATA, METADATA_URI)
                .run(shell);
            let text = String::from_utf8(said.file.unwrap()).unwrap();
            let first = text.lines().next().unwrap();
            let (name, delimiter) = first.split_once("<<").unwrap();
            assert_eq!(name, RELATIVE);
            assert!(delimiter.len() >= 32, "{delimiter}");
            assert!(seen.insert(delimiter.to_owned()), "{delimiter} came twice");
        }
    }
}

#[test]
fn no_value_is_shown_outside_a_mask_though_the_shell_be_told_to_trace() {
    for shell in Shell::all() {
        for option in ["-x", "-v", "-u"] {
            let said = Hook::new()
                .option(option)
                .with(RELATIVE, "/markeruri/0123456789")
                .with_token_file("marker%token")
                .with(METADATA, "http://marker-metadata")
                .run(shell);
            assert_eq!(
                said.names(),
                [TOKEN, RELATIVE, METADATA],
                "{} {option}",
                shell.name
            );
            for marker in ["markeruri", "marker%", "marker-metadata"] {
                said.keeps_secret(marker);
            }
        }
    }
}

#[test]
fn what_stood_in_the_file_before_keeps_its_meaning() {
    for shell in Shell::all() {
        for before in [
            "EARLIER=value",
            "EARLIER=value\n",
            "EARLIER<<X\nvalue\nX",
            "\u{feff}EARLIER=value",
        ] {
            let hook = Hook::new().with(RELATIVE, URI);
            fs::write(hook.github_env(), before).unwrap();
            let said = hook.run(shell);
            assert_eq!(
                said.handed_on(),
                map([("EARLIER", "value"), (RELATIVE, URI)])
            );
        }
    }
}

#[test]
fn neighbours_with_the_same_mount_can_not_read_what_was_written() {
    for shell in Shell::all() {
        let hook = Hook::new().with(RELATIVE, URI);
        fs::set_permissions(hook.github_env(), fs::Permissions::from_mode(0o644)).unwrap();
        hook.run(shell);
        let mode = fs::metadata(hook.github_env())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn shellcheck_finds_nothing_in_the_hook() {
    shellcheck(Path::new(HOOK), &[]);
}

#[test]
fn the_program_finds_what_the_hook_handed_on() {
    let endpoint = Endpoint::serving(&Document::default());
    for shell in Shell::all() {
        let token = r#"ey."J".w 100%"#;
        let said = Hook::new()
            .with(FULL, endpoint.url("/v1/credentials"))
            .with_token_file(token)
            .with("AWS_REGION", "eu-west-1")
            .run(shell);
        let step = said
            .handed_on()
            .iter()
            .fold(Step::new(&crate::program()), |step, (name, value)| {
                step.env(name, value)
            });
        let outcome = step.input("discovery", "environment").run().succeeded();
        assert_eq!(outcome.output.get("source").as_deref(), Some("environment"));
        assert_eq!(outcome.env.get("AWS_REGION"), None);
        let request = endpoint.requests().pop().unwrap();
        assert_eq!(request.header("authorization"), Some(token));
        // The log shows what the runner prints of a step's environment, masks in force.
        let mut log = said.stdout.clone();
        for (name, value) in said.handed_on() {
            log.extend_from_slice(format!("  {name}: {value}\n").as_bytes());
        }
        assert!(!github::log(&log, true).contains("ey."));
    }
}

#[test]
fn the_task_definition_in_the_documents_names_the_hook_where_it_is_mounted() {
    let readme = include_str!("../../hooks/README.md");
    let json = readme.split("```json\n").nth(1).unwrap();
    let json = json.split("```").next().unwrap();
    let task: serde_json::Value = serde_json::from_str(json).unwrap();
    let container = &task["containerDefinitions"][0];
    let hook = &container["environment"][0];
    assert_eq!(hook["name"], "ACTIONS_RUNNER_HOOK_JOB_STARTED");
    let mount = &container["mountPoints"][0];
    let path = Path::new(hook["value"].as_str().unwrap());
    assert_eq!(
        path.parent().unwrap().to_str(),
        mount["containerPath"].as_str()
    );
    assert_eq!(path.file_name(), Path::new(HOOK).file_name());
    assert_eq!(mount["sourceVolume"], task["volumes"][0]["name"]);
    assert_eq!(mount["readOnly"], true);
}
