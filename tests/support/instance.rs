//! The ECS instance that the container tests run on: `tests/instance`, started on first use.
//!
//! One for each test binary; it ends with it, however that ends. `ECS_INSTANCE=<directory>` takes one that
//! is there already. Where none can be had, a test says `skipped: <why>` and returns; with
//! `REQUIRE_DOCKER=1` it fails instead.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::agent::{self, Agent};
use super::image::Images;

/// An instance with a Docker Engine, and with the ECS agent's endpoint at 169.254.170.2.
pub struct Instance {
    directory: PathBuf,
    netns: PathBuf,
    pub agent: Agent,
    pub images: Images,
    /// The end of its input is the end of the instance. Nothing for one that somebody else started.
    script: Option<Child>,
    /// Held for as long as the agent's address is taken.
    _lock: File,
}

/// The instance of this test binary, or nothing where the test is to be skipped.
pub fn get() -> Option<&'static Instance> {
    static INSTANCE: OnceLock<Result<Instance, String>> = OnceLock::new();
    or_skip(INSTANCE.get_or_init(|| {
        let instance = match std::env::var_os("ECS_INSTANCE") {
            Some(directory) => Instance::at(directory.into(), None),
            None => Instance::start(None),
        }?;
        // Which one it was that the tests passed on.
        let format = "Docker Engine {{.Server.Version}}, API {{.Server.APIVersion}}";
        say(&instance.docker(["version", "--format", format]));
        Ok(instance)
    }))
}

/// Another instance, for a test that changes what all containers on it see; nothing where the test is to
/// be skipped.
pub fn of_its_own() -> Option<Instance> {
    get()?;
    Some(Instance::start(None).unwrap())
}

/// Another instance, whose Engine knows nothing of the first one's containers and whose host has no `ps`
/// but what a test puts into [`NoPs::programs`].
pub struct NoPs {
    pub instance: Instance,
    /// The folder that is the Engine's `PATH`.
    pub programs: tempfile::TempDir,
}

impl NoPs {
    /// Starts it for one test; nothing where the test is to be skipped.
    pub fn start() -> Option<Self> {
        get()?;
        let programs = tempfile::tempdir().unwrap();
        every_program_but("ps", programs.path()).unwrap();
        Some(Self {
            instance: Instance::start(Some(programs.path())).unwrap(),
            programs,
        })
    }
}

fn or_skip<T>(instance: &Result<T, String>) -> Option<&T> {
    match instance {
        Ok(instance) => Some(instance),
        Err(why) if std::env::var_os("REQUIRE_DOCKER").is_some_and(|v| v == "1") => {
            panic!("no instance for the container tests: {why}")
        }
        Err(why) => {
            let name = thread::current().name().unwrap_or_default().to_owned();
            say(&format!("{name} skipped: {why}"));
            None
        }
    }
}

/// Past the capture of the test runner, so that it is seen although the test passes.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

impl Instance {
    fn start(path: Option<&Path>) -> Result<Self, String> {
        // Short, since a socket's path has at most 107 bytes.
        let directory = PathBuf::from(format!("/tmp/ecs-{}", random_hex(8)));
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/instance"));
        command
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(path) = path {
            command.env("PATH", path);
        }
        let mut script = command.spawn().map_err(|error| error.to_string())?;
        let mut line = String::new();
        BufReader::new(script.stdout.take().unwrap())
            .read_line(&mut line)
            .map_err(|error| error.to_string())?;
        if line.trim_end() != "ready" {
            let mut why = String::new();
            let _ = script.stderr.take().unwrap().read_to_string(&mut why);
            let _ = script.wait();
            return Err(why.trim().to_owned());
        }
        Self::at(directory, Some(script))
    }

    fn at(directory: PathBuf, script: Option<Child>) -> Result<Self, String> {
        let file = directory.join("netns");
        let name = fs::read_to_string(&file)
            .map_err(|error| format!("no instance in {}: {error}", directory.display()))?;
        let netns = Path::new("/run/netns").join(name.trim());
        // One agent at a time: whoever shares the instance waits for its turn.
        let lock = File::open(&file).map_err(|error| error.to_string())?;
        lock.lock().map_err(|error| error.to_string())?;
        let listener = listen_in(&netns, agent::ADDRESS)
            .map_err(|error| format!("no listener in {}: {error}", netns.display()))?;
        Ok(Self {
            directory,
            netns,
            agent: Agent::on(listener),
            images: Images::default(),
            script,
            _lock: lock,
        })
    }

    /// Where the Engine listens, as a client outside of containers knows it.
    pub fn docker_host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The Engine's socket; in its own mount namespace it is `/var/run/docker.sock`.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("docker.sock")
    }

    /// A process on the instance itself, with the docker client's variables set.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.netns.display()))
            .arg(program)
            .env("DOCKER_HOST", self.docker_host())
            .stdin(Stdio::null());
        command
    }

    /// The docker client, with these arguments, to its end.
    pub fn try_docker<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Output {
        Command::new("docker")
            .args(arguments)
            .env("DOCKER_HOST", self.docker_host())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// What the docker client said, which has to succeed.
    pub fn docker<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> String {
        let arguments: Vec<_> = arguments
            .into_iter()
            .map(|argument| argument.as_ref().to_owned())
            .collect();
        let output = self.try_docker(&arguments);
        assert!(
            output.status.success(),
            "docker {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Instance {
    /// For an instance that a test starts for itself; those above end with the process.
    fn drop(&mut self) {
        if let Some(mut script) = self.script.take() {
            drop(script.stdin.take());
            let _ = script.wait();
        }
    }
}

/// A listener in another network namespace. Only the thread that makes it goes there.
fn listen_in(netns: &Path, address: &'static str) -> io::Result<TcpListener> {
    let netns = File::open(netns)?;
    thread::spawn(move || {
        use std::os::fd::AsFd as _;
        move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
        TcpListener::bind(address)
    })
    .join()
    .unwrap()
}

/// A folder with a link to each program of `PATH` but one.
fn every_program_but(missing: &str, folder: &Path) -> io::Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    for directory in std::env::split_paths(&path) {
        let Ok(entries) = fs::read_dir(directory) else {
            continue;
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_name() == missing {
                continue;
            }
            // The first of a name wins, as it does in PATH.
            match std::os::unix::fs::symlink(entry.path(), folder.join(entry.file_name())) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Random digits, as the runner puts them into names.
pub fn random_hex(digits: usize) -> String {
    let mut bytes = vec![0; digits.div_ceil(2)];
    getrandom::fill(&mut bytes).unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    hex[..digits].to_owned()
}

/// Waits for something that has to come; a minute without it is a failure.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{what} never came"
        );
        thread::sleep(Duration::from_millis(20));
    }
}
