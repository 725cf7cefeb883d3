//! Containers as GitHub's runner starts them: the action itself, the runner that it is started from, the
//! step that comes after it.
//!
//! The flags are those of actions/runner 2.336 (`src/Runner.Worker/Container/DockerCommandManager.cs`).

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use super::github;
use super::image;
use super::instance::{Instance, eventually, random_hex};
use super::step::{Change, File, Program, Step};

/// The Engine's socket in the Engine's own sight, and in that of every container action.
pub const SOCKET: &str = "/var/run/docker.sock";

/// A container that is removed when the test is done with it.
pub struct Container<'a> {
    pub instance: &'a Instance,
    pub name: String,
}

impl<'a> Container<'a> {
    /// `docker run -d` with these flags; the machine image, and this command in it.
    pub fn start(instance: &'a Instance, name: &str, flags: &[&str], command: &[&str]) -> Self {
        let name = format!("{name}-{}", random_hex(6));
        let mut arguments = vec!["run", "-d", "--name", &name];
        arguments.extend(flags);
        arguments.push(image::machine(instance));
        arguments.extend(command);
        // Made first: a container that was created but did not start is removed too.
        let container = Self {
            instance,
            name: name.clone(),
        };
        instance.docker(&arguments);
        container
    }

    /// A process beside the container's own.
    pub fn exec(&self, command: &[&str]) -> Output {
        self.instance
            .try_docker([&["exec", &self.name], command].concat())
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        self.instance.try_docker(["rm", "-f", &self.name]);
    }
}

/// A network that is removed after the containers in it.
pub struct Network<'a> {
    instance: &'a Instance,
    pub name: String,
}

impl<'a> Network<'a> {
    pub fn create(instance: &'a Instance, flags: &[&str]) -> Self {
        let name = format!("github_network_{}", random_hex(32));
        instance.docker([&["network", "create"], flags, &[&name]].concat());
        Self { instance, name }
    }
}

impl Drop for Network<'_> {
    fn drop(&mut self) {
        self.instance.try_docker(["network", "rm", &self.name]);
    }
}

/// A runner's work folder, on the instance's disk.
pub struct Work {
    pub path: PathBuf,
}

impl Work {
    /// Lays out the folder of the runner of this name, under a directory that runners share.
    pub fn new(parent: &Path, runner: &str) -> Self {
        let work = Self {
            path: parent.join(runner),
        };
        for (folder, _) in work.mounts(&work.path) {
            fs::create_dir_all(folder).unwrap();
        }
        work
    }

    fn file_commands(&self) -> PathBuf {
        self.path.join("_temp/_runner_file_commands")
    }

    /// The mounts of a container action, with the left sides as the runner sees them.
    fn mounts(&self, seen: &Path) -> [(PathBuf, &'static str); 5] {
        [
            (seen.join("_temp"), "/github/runner_temp"),
            (seen.join("_temp/_github_home"), "/github/home"),
            (seen.join("_temp/_github_workflow"), "/github/workflow"),
            (
                seen.join("_temp/_runner_file_commands"),
                "/github/file_commands",
            ),
            (seen.join("shop/shop"), "/github/workspace"),
        ]
    }
}

/// A runner in a container of an ECS task.
pub struct Runner<'a> {
    pub container: Container<'a>,
    pub work: Work,
}

impl<'a> Runner<'a> {
    /// Starts one. The host's directory is mounted at its own path; the runner has a folder of its own
    /// in it. What ECS adds for a task comes with `flags`.
    pub fn start(instance: &'a Instance, host: &Path, name: &str, flags: &[&str]) -> Self {
        let work = Work::new(host, name);
        let mount = same_path(host);
        let runner_name = format!("RUNNER_NAME={name}");
        let docker = format!("{SOCKET}:{SOCKET}");
        let own = ["-v", &mount, "-v", &docker, "-e", &runner_name];
        let container = Container::start(instance, name, &[&own, flags].concat(), &["sleep", "1d"]);
        Self { container, work }
    }

    /// The bare action, started by this runner's own docker client.
    pub fn action(&self) -> Action<'_> {
        Action::new(self.container.instance, &self.work).by(&self.container)
    }
}

/// A `-v` flag's value: a directory at the same path inside and outside.
pub fn same_path(host: &Path) -> String {
    format!("{0}:{0}", host.display())
}

/// The action in its container, about to be started with the runner's flags.
pub struct Action<'a> {
    instance: &'a Instance,
    work: &'a Work,
    client: Option<&'a Container<'a>>,
    docker: String,
    image: String,
    step: Step,
    seen: PathBuf,
    socket: Option<PathBuf>,
    flags: Vec<String>,
    /// The container's name.
    pub name: String,
    guid: String,
}

impl<'a> Action<'a> {
    /// Every input at its default, started by a docker client on the instance itself.
    pub fn new(instance: &'a Instance, work: &'a Work) -> Self {
        let image = image::action(instance).to_owned();
        let action = Self {
            instance,
            work,
            client: None,
            docker: "docker".to_owned(),
            // Its environment and its inputs; never run as a process.
            step: Step::new(&Program {
                path: PathBuf::new(),
                under: Vec::new(),
            }),
            seen: work.path.clone(),
            socket: Some(SOCKET.into()),
            flags: Vec::new(),
            name: format!("{}_{}", image.replace([':', '-'], ""), random_hex(6)),
            image,
            guid: random_hex(32),
        };
        File::ALL.into_iter().fold(action, |action, file| {
            fs::write(action.path(file), "").unwrap();
            let inside = format!("/github/file_commands/{}", action.file_name(file));
            action.env(file.variable(), &inside)
        })
    }

    /// Started by the docker client in this container.
    pub fn by(mut self, runner: &'a Container<'a>) -> Self {
        self.client = Some(runner);
        self.docker = "/usr/bin/docker".to_owned();
        self
    }

    /// The client under another path or name.
    pub fn client(mut self, docker: &str) -> Self {
        docker.clone_into(&mut self.docker);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.step = self.step.env(name, value);
        self
    }

    pub fn input(mut self, name: &str, value: &str) -> Self {
        self.step = self.step.input(name, value);
        self
    }

    /// The job's network, or a flag that the runner does not give.
    pub fn flag(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|&flag| flag.to_owned()));
        self
    }

    pub fn image(mut self, image: &str) -> Self {
        image.clone_into(&mut self.image);
        self
    }

    /// The container's name.
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The path at which the runner sees its work folder.
    pub fn work_seen_at(mut self, path: &Path) -> Self {
        path.clone_into(&mut self.seen);
        self
    }

    /// What is mounted as the Engine's socket.
    pub fn socket(mut self, path: &Path) -> Self {
        self.socket = Some(path.to_owned());
        self
    }

    pub fn without_socket(mut self) -> Self {
        self.socket = None;
        self
    }

    fn file_name(&self, file: File) -> String {
        let kind = match file {
            File::Env => "set_env",
            File::Output => "set_output",
            File::Summary => "step_summary",
        };
        format!("{kind}_{}", self.guid)
    }

    /// A file of this step, on the instance's disk.
    pub fn path(&self, file: File) -> PathBuf {
        self.work.file_commands().join(self.file_name(file))
    }

    /// The client's command line, from `docker` on.
    fn command_line(&self, variables: &[(String, String)]) -> Vec<String> {
        let mut line = vec![
            self.docker.clone(),
            "run".into(),
            "--name".into(),
            self.name.clone(),
        ];
        line.extend([
            "--label".into(),
            random_hex(6),
            "--workdir".into(),
            "/github/workspace".into(),
        ]);
        line.push("--rm".into());
        for (name, _) in variables {
            line.extend(["-e".into(), name.clone()]);
        }
        line.extend(["-e", "GITHUB_ACTIONS=true", "-e", "CI=true"].map(str::to_owned));
        line.extend(self.flags.iter().cloned());
        if let Some(socket) = &self.socket {
            line.extend(["-v".into(), format!("{}:{SOCKET}", socket.display())]);
        }
        for (left, right) in self.work.mounts(&self.seen) {
            line.extend(["-v".into(), format!("{}:{right}", left.display())]);
        }
        line.push(self.image.clone());
        line
    }

    /// The client, ready to start: its own environment holds the values that `-e NAME` names.
    fn command(&self) -> Command {
        let variables: Vec<(String, String)> = self
            .step
            .command()
            .get_envs()
            .filter_map(|(name, value)| {
                Some((name.to_str()?.to_owned(), value?.to_str()?.to_owned()))
            })
            // What a container has of itself, and what the flags set.
            .filter(|(name, _)| !["PATH", "HOSTNAME", "GITHUB_ACTIONS", "CI"].contains(&&**name))
            .collect();
        let line = self.command_line(&variables);
        match self.client {
            None => {
                let mut command = self.instance.command(&line[0]);
                command.args(&line[1..]).envs(variables);
                command
            }
            Some(container) => {
                // The container's own Engine, which need not be the one that its socket leads to.
                let mut command = container.instance.command("docker");
                command.arg("exec");
                for (name, value) in &variables {
                    command.args(["-e", &format!("{name}={value}")]);
                }
                command.arg(&container.name).args(&line);
                command
            }
        }
    }

    /// Starts it. The runner closes the client's stdin.
    pub fn start(&self) -> Running<'a, '_> {
        let before = File::ALL.map(|file| fs::read(self.path(file)).ok());
        let child = self
            .command()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Running {
            action: self,
            child,
            before,
        }
    }

    pub fn run(&self) -> Finished<'a> {
        self.start().finish()
    }
}

/// The action while it runs.
pub struct Running<'a, 'r> {
    action: &'r Action<'a>,
    child: Child,
    before: [Option<Vec<u8>>; 3],
}

impl<'a> Running<'a, '_> {
    /// What `docker kill --signal` sends to its PID 1, once there is one.
    pub fn signal(&self, signal: &str) {
        let name = &self.action.name;
        eventually("the action's container", || {
            let kill = self
                .action
                .instance
                .try_docker(["kill", "--signal", signal, name]);
            kill.status.success().then_some(())
        });
    }

    pub fn finish(self) -> Finished<'a> {
        let output = self.child.wait_with_output().unwrap();
        let [env, output_file, summary] = self.before;
        let action = self.action;
        let change = |before, file| Change {
            before,
            after: fs::read(action.path(file)).ok(),
        };
        Finished {
            instance: action.instance,
            code: output.status.code(),
            stdout: output.stdout,
            stderr: output.stderr,
            env: change(env, File::Env),
            output: change(output_file, File::Output),
            summary: change(summary, File::Summary),
        }
    }
}

/// What came of the action.
pub struct Finished<'a> {
    pub instance: &'a Instance,
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub env: Change,
    pub output: Change,
    pub summary: Change,
}

impl Finished<'_> {
    /// The step went well, and said so without an error.
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "the step failed\n{self}");
        assert_eq!(github::annotations(&self.stdout, "error"), [], "{self}");
        self
    }

    /// The step failed under this title, and left every file as it was. Gives the message.
    pub fn refused(self, title: &str) -> String {
        assert_eq!(
            self.code,
            Some(1),
            "the step did not fail as it should\n{self}"
        );
        let mut errors = github::annotations(&self.stdout, "error");
        assert_eq!(errors.len(), 1, "{self}");
        let (seen, message) = errors.remove(0);
        assert_eq!(seen.as_deref(), Some(title), "{self}");
        for file in [&self.env, &self.output, &self.summary] {
            assert!(file.is_untouched(), "{self}");
        }
        message
    }

    /// The text stands in no line of the log but mask commands.
    pub fn keeps_secret(self, marker: &str) -> Self {
        for stream in [&self.stdout, &self.stderr] {
            if let Err(leak) = github::no_secret_outside_masks(stream, marker) {
                panic!("{leak}\n{self}");
            }
        }
        self
    }

    /// The log as a person sees it.
    pub fn log(&self) -> String {
        github::log(&self.stdout, true)
    }

    /// The environment of a docker step that comes after this one.
    pub fn next_step(&self) -> Vec<(String, String)> {
        let pairs = self.env.pairs();
        let names = pairs.iter().flat_map(|(name, _)| ["-e", name]);
        let output = Command::new("docker")
            .args(["run", "--rm"])
            .args(names)
            .args([image::machine(self.instance), "env", "-0"])
            .envs(pairs.iter().map(|(name, value)| (name, value)))
            .env("DOCKER_HOST", self.instance.docker_host())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout)
            .unwrap()
            .split_terminator('\0')
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}

impl std::fmt::Display for Finished<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        writeln!(
            f,
            "--- exit code {:?}, stdout:\n{}",
            self.code,
            text(&self.stdout)
        )?;
        writeln!(f, "--- stderr:\n{}", text(&self.stderr))?;
        writeln!(
            f,
            "--- GITHUB_ENV:\n{}",
            self.env.after.as_deref().map_or("(none)".to_owned(), text)
        )
    }
}
