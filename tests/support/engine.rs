//! A Docker Engine whose every answer a test scripts, for what a real one does seldom or never.
//!
//! The program asks at `/var/run/docker.sock` and reads who it is from `/proc/self/mountinfo`; in a mount
//! namespace of its own both can be made to be whatever a test wants, with nothing changed in the program.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

pub const SOCKET: &str = "/var/run/docker.sock";

/// The id of the container in which the program believes to be.
pub const ME: &str = "aaaa0123456789abcdef0123456789abcdef0123456789abcdef0123456789aa";

/// The name that the runner gave to it.
pub const MY_NAME: &str = "orgecstaskrolev1_3fa9c1";

/// Where the runner's file commands lie on the host.
pub const FILE_COMMANDS: &str = "/_work/fleet-1/_temp/_runner_file_commands";

/// Makes `/etc/hostname` look as Docker makes it, and `/var/run` empty; only within an isolated test.
pub fn be_a_container(id: &str) {
    let folder = tempfile::tempdir().unwrap().keep();
    let file = folder.join("containers").join(id).join("hostname");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "host\n").unwrap();
    mount(&["--bind", file.to_str().unwrap(), "/etc/hostname"]);
    forget_the_socket();
}

/// Makes `/var/run` empty, whatever the machine has there; only within an isolated test.
pub fn forget_the_socket() {
    let run = fs::canonicalize("/var/run").unwrap();
    mount(&["-t", "tmpfs", "none", run.to_str().unwrap()]);
}

fn mount(arguments: &[&str]) {
    let output = Command::new("mount").args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "mount {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// One answer of the Engine.
#[derive(Clone, Debug)]
pub enum Answer {
    Json(u16, Value),
    /// These bytes, whatever they are.
    Raw(Vec<u8>),
    /// Nothing, for as long as the client waits.
    Silence,
}

impl Answer {
    pub fn ok(value: Value) -> Self {
        Self::Json(200, value)
    }

    pub fn refused(status: u16, message: &str) -> Self {
        Self::Json(status, json!({"message": message}))
    }
}

/// Listens at the place of Docker's socket.
pub struct Engine {
    requests: Arc<Mutex<Vec<String>>>,
}

impl Engine {
    /// `respond` gets each request's line, `GET <target>`, and how often that very line came before.
    pub fn start(respond: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Self {
        let _ = fs::remove_file(SOCKET);
        let listener = UnixListener::bind(SOCKET).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&requests);
        let respond = Arc::new(respond);
        // It ends with the isolated test's process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (recorded, respond) = (Arc::clone(&recorded), Arc::clone(&respond));
                thread::spawn(move || {
                    let _ = serve(stream.unwrap(), &recorded, &*respond);
                });
            }
        });
        Self { requests }
    }

    /// An Engine with these containers.
    pub fn with(containers: Vec<Container>) -> Self {
        Self::start(move |line, _| answer(&containers, line))
    }

    /// What was asked so far, as `GET <target>`.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Answers one request after the other on a connection, as the Engine does.
fn serve(
    mut stream: UnixStream,
    recorded: &Mutex<Vec<String>>,
    respond: &dyn Fn(&str, usize) -> Answer,
) -> io::Result<()> {
    let mut pending = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = pending.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            let mut buffer = [0; 4096];
            match stream.read(&mut buffer)? {
                0 => return Ok(()),
                count => pending.extend_from_slice(&buffer[..count]),
            }
        };
        let head: Vec<u8> = pending.drain(..end).collect();
        let head = String::from_utf8(head).unwrap();
        let line = head.lines().next().unwrap();
        let line = line.strip_suffix(" HTTP/1.1").unwrap_or(line).to_owned();
        let before = {
            let mut recorded = recorded.lock().unwrap();
            let before = recorded.iter().filter(|known| **known == line).count();
            recorded.push(line.clone());
            before
        };
        match respond(&line, before) {
            Answer::Json(status, value) => {
                let body = value.to_string();
                let head = format!(
                    "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all((head + &body).as_bytes())?;
            }
            Answer::Raw(bytes) => {
                stream.write_all(&bytes)?;
                return Ok(());
            }
            Answer::Silence => {
                while stream.read(&mut [0; 64])? > 0 {}
                return Ok(());
            }
        }
    }
}

/// A container as a test describes it.
#[derive(Clone, Debug)]
pub struct Container {
    pub id: String,
    pub name: String,
    pub state: String,
    /// Source and destination.
    pub mounts: Vec<(String, String)>,
    pub processes: Vec<String>,
    pub env: Vec<String>,
    pub labels: Vec<(String, String)>,
}

impl Container {
    /// The one in which the program runs; not marked running yet, as in half of all runs.
    pub fn me() -> Self {
        Self {
            id: ME.into(),
            name: MY_NAME.into(),
            state: "created".into(),
            mounts: vec![
                (SOCKET.into(), SOCKET.into()),
                (FILE_COMMANDS.into(), "/github/file_commands".into()),
            ],
            processes: vec!["/ecs-task-role".into()],
            env: vec![],
            labels: vec![],
        }
    }

    /// A runner of the fleet, with the fleet's directory and a URI of its own.
    pub fn runner(number: usize) -> Self {
        Self {
            id: format!("{number:064x}"),
            name: format!("ecs-fleet-7-runner-{number}"),
            state: "running".into(),
            mounts: vec![("/_work".into(), "/_work".into())],
            processes: vec![
                "/bin/bash /entrypoint.sh".into(),
                "/actions-runner/bin/Runner.Worker spawnclient 1 2".into(),
            ],
            env: vec![
                "PATH=/usr/bin".into(),
                format!("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI={}", uri(number)),
            ],
            labels: vec![],
        }
    }

    /// The same, with the client that started me.
    pub fn running(mut self, process: &str) -> Self {
        self.processes.push(process.into());
        self
    }

    pub fn mounting(mut self, source: &str, destination: &str) -> Self {
        self.mounts.push((source.into(), destination.into()));
        self
    }

    pub fn with_env(mut self, env: &[&str]) -> Self {
        self.env = env.iter().map(|entry| (*entry).to_owned()).collect();
        self
    }

    pub fn with_label(mut self, name: &str, value: &str) -> Self {
        self.labels.push((name.into(), value.into()));
        self
    }

    pub fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    pub fn listed(&self) -> Value {
        let mounts: Vec<Value> = self
            .mounts
            .iter()
            .map(|(source, destination)| {
                json!({"Type": "bind", "Source": source, "Destination": destination, "Mode": "", "RW": true})
            })
            .collect();
        json!({
            "Id": self.id, "Names": [format!("/{}", self.name)], "State": self.state,
            "Labels": {}, "Mounts": mounts, "Image": "x", "Status": "Up",
        })
    }
}

/// The docker client that the runner starts, for a container of this name.
pub fn client(name: &str) -> String {
    format!(
        "/usr/bin/docker run --name {name} --label 3fa9c1 --workdir /github/workspace --rm -e HOME image"
    )
}

/// The URI of the runner of this number.
pub fn uri(number: usize) -> String {
    format!("/v2/credentials/5f3c1d9e-0b7a-4c6e-9a51-{number:012}")
}

pub const LIST: &str =
    "GET /containers/json?filters=%7B%22status%22%3A%5B%22created%22%2C%22running%22%5D%7D";

pub fn top(id: &str) -> String {
    format!("GET /containers/{id}/top?ps_args=-ww%20-eo%20pid%2Cargs")
}

pub fn inspect(id: &str) -> String {
    format!("GET /containers/{id}/json")
}

/// What an Engine with these containers answers.
pub fn answer(containers: &[Container], line: &str) -> Answer {
    if line.starts_with("GET /containers/json?") {
        return Answer::ok(containers.iter().map(Container::listed).collect());
    }
    for container in containers {
        if line == top(&container.id) {
            let processes: Vec<Value> = container
                .processes
                .iter()
                .enumerate()
                .map(|(number, line)| json!([(number + 1).to_string(), line]))
                .collect();
            return Answer::ok(json!({"Titles": ["PID", "COMMAND"], "Processes": processes}));
        }
        if line == inspect(&container.id) {
            let labels: serde_json::Map<String, Value> = container
                .labels
                .iter()
                .map(|(name, value)| (name.clone(), value.clone().into()))
                .collect();
            return Answer::ok(json!({
                "Id": container.id, "Config": {"Env": container.env, "Labels": labels},
            }));
        }
    }
    Answer::refused(404, &format!("No such container or page: {line}"))
}
