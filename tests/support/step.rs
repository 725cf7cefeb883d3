//! One step as the runner starts it, minus Docker: its files, its environment, the real executable.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{action, github};

/// The executable, and what it is run under: an emulator for instance.
#[derive(Clone, Debug)]
pub struct Program {
    pub path: PathBuf,
    pub under: Vec<OsString>,
}

impl Program {
    /// The executable at this path, unless `ECS_TASK_ROLE_BINARY` names another;
    /// `ECS_TASK_ROLE_BINARY_UNDER` is what to run it under, split at blanks.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: std::env::var_os("ECS_TASK_ROLE_BINARY")
                .map_or_else(|| path.into(), PathBuf::from),
            under: std::env::var("ECS_TASK_ROLE_BINARY_UNDER")
                .unwrap_or_default()
                .split_whitespace()
                .map(OsString::from)
                .collect(),
        }
    }
}

/// The three files that the runner makes for a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum File {
    Env,
    Output,
    Summary,
}

impl File {
    pub const ALL: [Self; 3] = [Self::Env, Self::Output, Self::Summary];

    /// The variable that holds the file's path.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Env => "GITHUB_ENV",
            Self::Output => "GITHUB_OUTPUT",
            Self::Summary => "GITHUB_STEP_SUMMARY",
        }
    }

    /// The file's name: the runner's own, with a GUID after it.
    fn name(self) -> &'static str {
        match self {
            Self::Env => "set_env_0e2f34c6-9d5e-4b5a-8a3c-2f4d6c7b8a90",
            Self::Output => "set_output_0e2f34c6-9d5e-4b5a-8a3c-2f4d6c7b8a90",
            Self::Summary => "step_summary_0e2f34c6-9d5e-4b5a-8a3c-2f4d6c7b8a90",
        }
    }
}

/// A step to be run.
pub struct Step {
    program: Program,
    dir: TempDir,
    files: BTreeMap<File, PathBuf>,
    env: BTreeMap<OsString, OsString>,
    limit: Duration,
}

impl Step {
    /// A step with nothing set: every input at its default, the files there and empty.
    pub fn new(program: &Program) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut env: BTreeMap<OsString, OsString> = RUNNER_ENVIRONMENT
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        for input in action::inputs() {
            env.insert(
                variable_of_input(&input.name).into(),
                input.default.unwrap_or_default().into(),
            );
        }
        let step = Self {
            program: program.clone(),
            files: File::ALL
                .map(|file| (file, dir.path().join(file.name())))
                .into(),
            dir,
            env,
            limit: Duration::from_secs(120),
        };
        File::ALL.into_iter().fold(step, |step, file| {
            let path = step.path(file);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            step.env(file.variable(), path)
        })
    }

    /// Sets an input as a workflow's `with:` does.
    pub fn input(self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env(variable_of_input(name), value)
    }

    /// An input that is not in the environment at all.
    pub fn without_input(self, name: &str) -> Self {
        self.without_env(variable_of_input(name))
    }

    pub fn env(mut self, name: impl Into<OsString>, value: impl AsRef<OsStr>) -> Self {
        self.env.insert(name.into(), value.as_ref().to_owned());
        self
    }

    pub fn without_env(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env.remove(name.as_ref());
        self
    }

    /// Something to run the program under: it comes before all else.
    pub fn under(mut self, prefix: &[OsString]) -> Self {
        self.program.under.splice(0..0, prefix.iter().cloned());
        self
    }

    /// What an earlier writer left in a file.
    pub fn holding(self, file: File, bytes: &[u8]) -> Self {
        fs::write(self.path(file), bytes).unwrap();
        self
    }

    /// The file is at another place: nothing is made there.
    pub fn placing(mut self, file: File, path: &Path) -> Self {
        self.files.insert(file, path.to_owned());
        self.env(file.variable(), path)
    }

    /// The file is not there.
    pub fn deleting(self, file: File) -> Self {
        fs::remove_file(self.path(file)).unwrap();
        self
    }

    /// A folder of the step's own.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, file: File) -> PathBuf {
        self.files[&file].clone()
    }

    /// The command that the runner's `docker run` comes down to.
    pub fn command(&self) -> Command {
        let mut words = self.program.under.iter().map(OsString::as_os_str);
        let mut command = match words.next() {
            None => Command::new(&self.program.path),
            Some(first) => {
                let mut command = Command::new(first);
                command.args(words).arg(&self.program.path);
                command
            }
        };
        command
            .env_clear()
            .envs(&self.env)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the step to its end.
    pub fn run(&self) -> Outcome {
        self.start().finish()
    }

    /// Starts the step, to be looked at, or disturbed, while it runs.
    pub fn start(&self) -> Running<'_> {
        let before = File::ALL.map(|file| read(&self.path(file)));
        let mut child = self.command().spawn().unwrap();
        let stdout = Capture::of(child.stdout.take().unwrap());
        let stderr = Capture::of(child.stderr.take().unwrap());
        Running {
            step: self,
            child,
            stdout,
            stderr,
            before,
        }
    }
}

/// The name under which an input reaches a container: upper case, and hyphens stay.
pub fn variable_of_input(name: &str) -> String {
    format!("INPUT_{}", name.to_uppercase().replace(' ', "_"))
}

/// The bytes of a file, if it is a regular one that is there.
fn read(path: &Path) -> Option<Vec<u8>> {
    path.symlink_metadata()
        .is_ok_and(|metadata| metadata.is_file())
        .then(|| fs::read(path).unwrap())
}

/// A step that runs.
pub struct Running<'a> {
    step: &'a Step,
    child: Child,
    stdout: Capture,
    stderr: Capture,
    before: [Option<Vec<u8>>; 3],
}

impl Running<'_> {
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    pub fn stdout_so_far(&self) -> Vec<u8> {
        self.stdout.so_far()
    }

    /// Waits until it has said this.
    pub fn wait_for_output(&mut self, text: &str) {
        let end = Instant::now() + self.step.limit;
        while !String::from_utf8_lossy(&self.stdout_so_far()).contains(text) {
            let ended = self.child.try_wait().unwrap().is_some();
            assert!(
                Instant::now() < end && !ended,
                "{text:?} never came; came: {}",
                String::from_utf8_lossy(&self.stdout_so_far())
            );
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for the end. A program that hangs is stopped, and has failed the test.
    pub fn finish(mut self) -> Outcome {
        let end = Instant::now() + self.step.limit;
        let mut pause = Duration::from_micros(200);
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() >= end {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                panic!(
                    "still running after {:?}; it had said: {}",
                    self.step.limit,
                    String::from_utf8_lossy(&self.stdout.so_far())
                );
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
        };
        let [env_before, output_before, summary_before] = self.before;
        let after = |file| read(&self.step.path(file));
        Outcome {
            status,
            stdout: self.stdout.all(),
            stderr: self.stderr.all(),
            env: Change::new(env_before, after(File::Env)),
            output: Change::new(output_before, after(File::Output)),
            summary: Change::new(summary_before, after(File::Summary)),
        }
    }
}

/// Reads a pipe to its end, and can be asked before that.
struct Capture {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Capture {
    fn of(mut pipe: impl std::io::Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let reader = thread::spawn({
            let bytes = Arc::clone(&bytes);
            move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                    bytes.lock().unwrap().extend_from_slice(&buffer[..count]);
                }
            }
        });
        Self { bytes, reader }
    }

    fn so_far(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    fn all(self) -> Vec<u8> {
        self.reader.join().unwrap();
        self.bytes.lock().unwrap().clone()
    }
}

/// A file before and after a step; none where no regular file was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub before: Option<Vec<u8>>,
    pub after: Option<Vec<u8>>,
}

impl Change {
    fn new(before: Option<Vec<u8>>, after: Option<Vec<u8>>) -> Self {
        Self { before, after }
    }

    pub fn is_untouched(&self) -> bool {
        self.before == self.after
    }

    /// What was appended; fails where anything else was changed.
    pub fn appended(&self) -> &[u8] {
        let before = self.before.as_deref().expect("the file was not there");
        let after = self.after.as_deref().expect("the file is gone");
        after
            .strip_prefix(before)
            .expect("what was in the file before is not at its beginning")
    }

    /// What the runner reads out of what was appended.
    pub fn pairs(&self) -> Vec<(String, String)> {
        github::pairs(self.appended()).unwrap()
    }

    /// The value of a name that must be there once at most.
    pub fn get(&self, name: &str) -> Option<String> {
        let mut values = self.pairs().into_iter().filter(|(n, _)| n == name);
        let value = values.next().map(|(_, value)| value);
        assert!(values.next().is_none(), "{name} is set twice");
        value
    }

    /// The names, in order.
    pub fn names(&self) -> Vec<String> {
        self.pairs().into_iter().map(|(name, _)| name).collect()
    }
}

/// What came of a step.
#[derive(Debug)]
pub struct Outcome {
    status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub env: Change,
    pub output: Change,
    pub summary: Change,
}

impl Outcome {
    /// The exit code; a program that a signal ended has none, and has failed the test.
    pub fn code(&self) -> i32 {
        match self.status.signal() {
            Some(signal) => panic!("ended by signal {signal}\n{self}"),
            None => self.status.code().unwrap(),
        }
    }

    /// The signal that ended the program, if one did.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    pub fn stdout(&self) -> String {
        String::from_utf8(self.stdout.clone()).expect("stdout is not UTF-8")
    }

    /// The log as a person sees it.
    pub fn log(&self) -> String {
        github::log(&self.stdout, true)
    }

    pub fn masks(&self) -> Vec<String> {
        github::masks(&self.stdout)
    }

    pub fn warnings(&self) -> Vec<String> {
        github::annotations(&self.stdout, "warning")
            .into_iter()
            .map(|(_, message)| message)
            .collect()
    }

    /// Title and message of the only error.
    pub fn error(&self) -> (String, String) {
        let mut errors = github::annotations(&self.stdout, "error");
        assert_eq!(
            errors.len(),
            1,
            "not one error but {}\n{self}",
            errors.len()
        );
        let (title, message) = errors.remove(0);
        (title.expect("an error without a title"), message)
    }

    /// The step went well: exit code 0, no error, nothing on stderr.
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code(), 0, "the step failed\n{self}");
        assert_eq!(
            github::annotations(&self.stdout, "error"),
            [],
            "an error beside exit code 0\n{self}"
        );
        assert_eq!(String::from_utf8_lossy(&self.stderr), "", "stderr\n{self}");
        self
    }

    /// All three files are byte for byte as they were.
    pub fn untouched(self) -> Self {
        for (name, change) in [
            ("GITHUB_ENV", &self.env),
            ("GITHUB_OUTPUT", &self.output),
            ("GITHUB_STEP_SUMMARY", &self.summary),
        ] {
            assert!(change.is_untouched(), "{name} was changed\n{self}");
        }
        self
    }

    /// The marker is in no line but mask commands, and nowhere on stderr nor in the summary.
    pub fn keeps_secret(self, marker: &str) -> Self {
        if let Err(leak) = github::no_secret_outside_masks(&self.stdout, marker) {
            panic!("{leak}\n{self}");
        }
        for (place, bytes) in [
            ("stderr", Some(&self.stderr)),
            ("the summary", self.summary.after.as_ref()),
        ] {
            let text = String::from_utf8_lossy(bytes.map_or(&[][..], Vec::as_slice));
            assert!(!text.contains(marker), "{marker:?} is in {place}\n{self}");
        }
        self
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let file = |change: &Change| change.after.as_deref().map_or("(none)".to_owned(), text);
        writeln!(f, "--- {}, stdout:\n{}", self.status, text(&self.stdout))?;
        writeln!(f, "--- stderr:\n{}", text(&self.stderr))?;
        writeln!(f, "--- GITHUB_ENV:\n{}", file(&self.env))?;
        writeln!(f, "--- GITHUB_OUTPUT:\n{}", file(&self.output))?;
        writeln!(f, "--- GITHUB_STEP_SUMMARY:\n{}", file(&self.summary))
    }
}

/// What every container action gets, beside its files and inputs.
const RUNNER_ENVIRONMENT: &[(&str, &str)] = &[
    ("CI", "true"),
    ("GITHUB_ACTION", "__org_ecs-task-role"),
    ("GITHUB_ACTIONS", "true"),
    ("GITHUB_ACTION_REF", "v1"),
    ("GITHUB_ACTION_REPOSITORY", "org/ecs-task-role"),
    ("GITHUB_ACTOR", "octocat"),
    ("GITHUB_API_URL", "https://api.github.com"),
    ("GITHUB_BASE_REF", ""),
    ("GITHUB_EVENT_NAME", "push"),
    ("GITHUB_EVENT_PATH", "/github/workflow/event.json"),
    ("GITHUB_GRAPHQL_URL", "https://api.github.com/graphql"),
    ("GITHUB_HEAD_REF", ""),
    ("GITHUB_JOB", "deploy"),
    ("GITHUB_REF", "refs/heads/main"),
    ("GITHUB_REF_NAME", "main"),
    ("GITHUB_REF_TYPE", "branch"),
    ("GITHUB_REPOSITORY", "octo-org/shop"),
    ("GITHUB_REPOSITORY_OWNER", "octo-org"),
    ("GITHUB_RETENTION_DAYS", "90"),
    ("GITHUB_RUN_ATTEMPT", "1"),
    ("GITHUB_RUN_ID", "9876543210"),
    ("GITHUB_RUN_NUMBER", "42"),
    ("GITHUB_SERVER_URL", "https://github.com"),
    ("GITHUB_SHA", "ffac537e6cbbf934b08745a378932722df287a53"),
    ("GITHUB_TRIGGERING_ACTOR", "octocat"),
    ("GITHUB_WORKFLOW", "Deploy"),
    ("GITHUB_WORKSPACE", "/github/workspace"),
    ("HOME", "/github/home"),
    ("HOSTNAME", "8f2d1c0b9a87"),
    (
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ),
    ("RUNNER_ARCH", "X64"),
    ("RUNNER_ENVIRONMENT", "self-hosted"),
    ("RUNNER_NAME", "fleet-1"),
    ("RUNNER_OS", "Linux"),
    ("RUNNER_TEMP", "/github/runner_temp"),
    ("RUNNER_TOOL_CACHE", "/opt/hostedtoolcache"),
    ("RUNNER_WORKSPACE", "/_work/fleet-1/shop"),
];
