//! What AWS's own SDKs make of what the action exports: boto3 from PyPI and the JavaScript SDK from npm, in
//! the versions that `tests/sdks` pins.
//!
//! The later step is a process in the network of a container on the instance's bridge. With which keys it
//! signs is read from the requests that it sends to an STS of this test's own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::netns;
use crate::shells::{find, skip};
use crate::support::agent::{Answer, Task};
use crate::support::endpoint::{Document, Endpoint, Keys, Request, answer};
use crate::support::instance::{self, Instance};
use crate::support::runner::{Action, Container, Finished, Work};

const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdks");

/// An SDK, ready to be used.
#[derive(Clone, Debug)]
struct Sdk {
    name: &'static str,
    /// The program and the script.
    words: [PathBuf; 2],
    env: Vec<(&'static str, PathBuf)>,
}

const BOTO3: &str = "boto3";
const JAVASCRIPT: &str = "JavaScript";

/// Both, installed once; nothing where they can't be had and the test is to be skipped.
fn sdks() -> Option<&'static [Sdk]> {
    static SDKS: OnceLock<Result<Vec<Sdk>, String>> = OnceLock::new();
    match SDKS.get_or_init(|| Ok(vec![boto3()?, javascript()?])) {
        Ok(sdks) => Some(sdks),
        Err(why) => {
            skip(why);
            None
        }
    }
}

fn sdk(name: &str) -> Option<&'static Sdk> {
    sdks()?.iter().find(|sdk| sdk.name == name)
}

fn boto3() -> Result<Sdk, String> {
    let python = find("python3").ok_or("python3 is not installed")?;
    let folder = installed("boto3", &["requirements.txt"], |folder| {
        let mut venv = Command::new(&python);
        venv.args(["-m", "venv", "venv"]);
        let mut pip = Command::new(folder.join("venv/bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps"]);
        pip.args(["--require-hashes", "--requirement", "requirements.txt"]);
        pip.args(["--disable-pip-version-check", "--no-input"]);
        vec![venv, pip]
    })?;
    Ok(Sdk {
        name: BOTO3,
        words: [
            folder.join("venv/bin/python"),
            Path::new(SOURCES).join("later_step.py"),
        ],
        env: Vec::new(),
    })
}

fn javascript() -> Result<Sdk, String> {
    let node = find("node").ok_or("node is not installed")?;
    let npm = find("npm").ok_or("npm is not installed")?;
    let files = ["package.json", "package-lock.json", "later_step.mjs"];
    let folder = installed("javascript", &files, |_| {
        let mut ci = Command::new(&npm);
        ci.args(["ci", "--loglevel=error", "--ignore-scripts"]);
        ci.args(["--no-audit", "--no-fund"]);
        vec![ci]
    })?;
    Ok(Sdk {
        name: JAVASCRIPT,
        words: [node, folder.join("later_step.mjs")],
        // It complains of the version of node, in every process.
        env: vec![("NODE_NO_WARNINGS", "1".into())],
    })
}

/// Copies these files into a folder of their own and installs there what they name, unless that was done
/// before with the very same files.
fn installed(
    name: &str,
    files: &[&str],
    installers: impl Fn(&Path) -> Vec<Command>,
) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("sdks")
        .join(name);
    let source = |file: &str| fs::read(Path::new(SOURCES).join(file)).unwrap();
    let done = folder.join("done");
    let stamp: Vec<u8> = files.iter().flat_map(|file| source(file)).collect();
    if fs::read(&done).is_ok_and(|before| before == stamp) {
        return Ok(folder);
    }
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    for file in files {
        fs::write(folder.join(file), source(file)).unwrap();
    }
    for mut installer in installers(&folder) {
        let output = installer
            .current_dir(&folder)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(format!(
                "{name} could not be installed: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ));
        }
    }
    fs::write(done, stamp).unwrap();
    Ok(folder)
}

/// What the later step says of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    /// The access key id that the request was signed with, and the session token that came along.
    Signed(String, String),
    /// The exception that came instead.
    Raised(String),
}

fn signed(keys: &Keys) -> Said {
    Said::Signed(keys.id.clone(), keys.token.clone())
}

/// A job on the instance: the action ran, its later steps come.
struct Job<'a> {
    instance: &'a Instance,
    /// The network of a later step.
    container: Container<'a>,
    /// What the job's earlier steps left through `GITHUB_ENV`.
    env: BTreeMap<String, String>,
    _sts: Endpoint,
    home: tempfile::TempDir,
}

impl<'a> Job<'a> {
    fn new(instance: &'a Instance, earlier: &[(&str, &str)]) -> Self {
        let container = Container::start(instance, "later-step", &[], &["sleep", "1d"]);
        let flag = instance.command("true");
        let netns = flag.get_args().next().unwrap().to_str().unwrap();
        let netns = netns.strip_prefix("--net=").unwrap();
        let listener = netns::listen(Path::new(netns), "0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let gateway = inspect(&container, "{{.NetworkSettings.Gateway}}");
        let mut env: BTreeMap<_, _> = earlier
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        env.insert(
            "AWS_ENDPOINT_URL_STS".to_owned(),
            format!("http://{gateway}:{port}"),
        );
        Self {
            instance,
            container,
            env,
            _sts: Endpoint::on(listener, who_signed),
            home: tempfile::tempdir().unwrap(),
        }
    }

    /// Runs the action with these inputs. What it exports is there for all later steps.
    fn action(&mut self, with: &[(&str, &str)], env: &[(&str, &str)]) -> Log {
        let folder = tempfile::tempdir().unwrap();
        let work = Work::new(folder.path(), "fleet-1");
        let mut action = Action::new(self.instance, &work).input("aws-region", "eu-west-1");
        for (name, value) in &self.env {
            action = action.env(name, value);
        }
        for (name, value) in env {
            action = action.env(name, value);
        }
        for (name, value) in with {
            action = action.input(name, value);
        }
        let finished: Finished<'_> = action.run().succeeded();
        self.env.extend(finished.env.pairs());
        Log(finished.log())
    }

    /// Starts a later step.
    fn step(&self, sdk: &Sdk) -> LaterStep {
        let pid = inspect(&self.container, "{{.State.Pid}}");
        let mut child = Command::new("nsenter")
            .args(["--target", &pid, "--net", "--"])
            .args(&sdk.words)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.home.path())
            .envs(sdk.env.iter().map(|(name, value)| (name, value)))
            .envs(&self.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        LaterStep {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// What one call in a later step of its own comes to.
    fn call(&self, sdk: &Sdk) -> Said {
        self.step(sdk).call()
    }
}

fn inspect(container: &Container<'_>, format: &str) -> String {
    container
        .instance
        .docker(["inspect", "--format", format, &container.name])
}

/// The action's log.
struct Log(String);

impl Log {
    fn names(&self, variable: &str) -> &Self {
        assert!(
            self.0.contains(variable),
            "{variable} is not in the log:\n{}",
            self.0
        );
        self
    }
}

/// A process with one client of an SDK.
struct LaterStep {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl LaterStep {
    /// One more call by the same client.
    fn call(&mut self) -> Said {
        writeln!(self.input).unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let text = |name: &str| said[name].as_str().map(str::to_owned);
        match text("error") {
            Some(error) => Said::Raised(error),
            None => Said::Signed(text("key").unwrap(), text("token").unwrap()),
        }
    }
}

impl Drop for LaterStep {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An STS that says of its caller which access key id and session token the request came with.
fn who_signed(request: &Request, stream: &mut std::net::TcpStream) -> std::io::Result<()> {
    let authorization = request.header("authorization").unwrap_or_default();
    let key = authorization
        .split_once("Credential=")
        .and_then(|(_, rest)| rest.split_once('/'))
        .map_or("unsigned", |(key, _)| key);
    let token = request.header("x-amz-security-token").unwrap_or("none");
    let body = format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <GetCallerIdentityResult><Arn>{token}</Arn><UserId>{key}</UserId><Account>123456789012</Account>\
         </GetCallerIdentityResult></GetCallerIdentityResponse>"
    );
    answer::with(stream, "200 OK", "text/xml", &body)
}

/// Keys that an earlier step exported, and that are not the task's.
fn old_keys() -> Keys {
    Keys::marked("OLD")
}

const KEYS: [&str; 3] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];

/// What that step left in `GITHUB_ENV`.
fn as_variables(keys: &Keys) -> Vec<(&'static str, &str)> {
    let values = [&*keys.id, &*keys.secret, &*keys.token];
    // boto3 reads the one, JavaScript the other.
    let region = ["AWS_DEFAULT_REGION", "AWS_REGION"].map(|name| (name, "eu-west-1"));
    KEYS.into_iter().zip(values).chain(region).collect()
}

/// A task, and the action's environment for it, as a job-started hook makes it.
fn task(instance: &Instance) -> (Task, String) {
    let task = instance.agent.task();
    let uri = task.uri();
    (task, uri)
}

#[test]
fn exported_keys_are_what_each_sdk_signs_with() {
    let Some(instance) = instance::get() else {
        return;
    };
    let Some(sdks) = sdks() else { return };
    let (task, uri) = task(instance);
    let mut job = Job::new(instance, &[]);
    job.action(&[("export", "keys")], &[(RELATIVE, &uri)]);
    for sdk in sdks {
        assert_eq!(job.call(sdk), signed(&task.keys), "{}", sdk.name);
    }
    // The action asked, and nobody else.
    assert_eq!(instance.agent.audit(&task).len(), 1);
}

#[test]
fn from_the_exported_endpoint_each_sdk_renews_its_keys_by_itself() {
    let Some(instance) = instance::get() else {
        return;
    };
    let Some(sdks) = sdks() else { return };
    for sdk in sdks {
        let (task, uri) = task(instance);
        // Short enough for every SDK to look for new ones.
        let first = Document::new(&task.keys).role(&task.role).expiring_in(240);
        instance.agent.answer(&task, Answer::Document(first));
        let mut job = Job::new(instance, &[]);
        job.action(&[("export", "endpoint")], &[(RELATIVE, &uri)]);
        assert_eq!(job.env.get(RELATIVE), Some(&uri));
        assert!(!job.env.contains_key("AWS_ACCESS_KEY_ID"));

        let mut step = job.step(sdk);
        assert_eq!(step.call(), signed(&task.keys), "{}", sdk.name);

        let renewed = Keys::marked("RENEWED");
        let next = Document::new(&renewed).role(&task.role);
        instance.agent.answer(&task, Answer::Document(next));
        // JavaScript renews behind the back of a call that still gets the old ones.
        let mut calls = 0;
        loop {
            calls += 1;
            match step.call() {
                said if said == signed(&renewed) => break,
                said => assert_eq!(said, signed(&task.keys), "{}", sdk.name),
            }
            assert!(calls < 100, "{} never got the new keys", sdk.name);
        }
        if sdk.name == BOTO3 {
            assert_eq!(calls, 1, "boto3 waits for the new keys");
        }

        let audit = instance.agent.audit(&task);
        let by_action: Vec<_> = audit
            .iter()
            .filter(|line| line.user_agent.starts_with("ecs-task-role/"))
            .collect();
        assert_eq!(by_action.len(), 1, "the action ran once: {audit:?}");
        assert!(audit.len() >= 3, "the SDK asked twice or more: {audit:?}");
    }
}

#[test]
fn blanked_keys_make_each_sdk_ask_the_endpoint() {
    let Some(instance) = instance::get() else {
        return;
    };
    let Some(sdks) = sdks() else { return };
    let old = old_keys();
    for sdk in sdks {
        let (task, uri) = task(instance);
        let mut job = Job::new(instance, &as_variables(&old));
        // What would happen without: the endpoint is in sight, and the old keys win.
        job.env.insert(RELATIVE.to_owned(), uri.clone());
        assert_eq!(job.call(sdk), signed(&old), "{}", sdk.name);

        let log = job.action(&[("export", "endpoint")], &[(RELATIVE, &uri)]);
        log.names("blanked");
        for name in KEYS {
            assert_eq!(job.env[name], "");
        }
        assert_eq!(job.call(sdk), signed(&task.keys), "{}", sdk.name);
    }
}

#[test]
fn exported_keys_replace_those_of_an_earlier_step() {
    let Some(instance) = instance::get() else {
        return;
    };
    let Some(sdks) = sdks() else { return };
    let (task, uri) = task(instance);
    let old = old_keys();
    let mut job = Job::new(instance, &as_variables(&old));
    job.action(&[("export", "keys")], &[(RELATIVE, &uri)]);
    for sdk in sdks {
        assert_eq!(job.call(sdk), signed(&task.keys), "{}", sdk.name);
    }
}

#[test]
fn a_security_token_of_an_earlier_step_does_not_win() {
    let Some(instance) = instance::get() else {
        return;
    };
    let Some(sdks) = sdks() else { return };
    let boto3 = sdk(BOTO3).unwrap();
    for export in ["keys", "endpoint"] {
        let (task, uri) = task(instance);
        let old = old_keys();
        let mut earlier = as_variables(&old);
        earlier.push(("AWS_SECURITY_TOKEN", "of-an-earlier-step"));
        let mut job = Job::new(instance, &earlier);
        // What boto3 makes of it: it wins over the session token.
        let wins = Said::Signed(old.id.clone(), "of-an-earlier-step".to_owned());
        assert_eq!(job.call(boto3), wins);

        let log = job.action(&[("export", export)], &[(RELATIVE, &uri)]);
        log.names("AWS_SECURITY_TOKEN");
        for sdk in sdks {
            assert_eq!(job.call(sdk), signed(&task.keys), "{} {export}", sdk.name);
        }
    }
}

#[test]
fn an_expiration_of_an_earlier_step_does_not_win() {
    let Some(instance) = instance::get() else {
        return;
    };
    let Some(sdks) = sdks() else { return };
    let boto3 = sdk(BOTO3).unwrap();
    for export in ["keys", "endpoint"] {
        let (task, uri) = task(instance);
        let old = old_keys();
        let mut earlier = as_variables(&old);
        earlier.push(("AWS_CREDENTIAL_EXPIRATION", "2020-01-01T00:00:00Z"));
        let mut job = Job::new(instance, &earlier);
        // What boto3 makes of it: keys that can't be used.
        assert_eq!(job.call(boto3), Said::Raised("RuntimeError".to_owned()));

        let log = job.action(&[("export", export)], &[(RELATIVE, &uri)]);
        log.names("AWS_CREDENTIAL_EXPIRATION");
        for sdk in sdks {
            assert_eq!(job.call(sdk), signed(&task.keys), "{} {export}", sdk.name);
        }
    }
}

#[test]
fn a_profile_of_an_earlier_step_is_warned_of_since_it_breaks_sdks() {
    let Some(instance) = instance::get() else {
        return;
    };
    let Some(sdks) = sdks() else { return };
    for export in ["keys", "endpoint"] {
        let (task, uri) = task(instance);
        let mut job = Job::new(instance, &[("AWS_PROFILE", "of-an-earlier-step")]);
        let log = job.action(&[("export", export)], &[(RELATIVE, &uri)]);
        log.names("AWS_PROFILE");
        assert_eq!(
            job.call(sdk(BOTO3).unwrap()),
            Said::Raised("ProfileNotFound".to_owned())
        );
        let said = job.call(sdk(JAVASCRIPT).unwrap());
        match export {
            "keys" => assert!(matches!(said, Said::Raised(_)), "{said:?}"),
            _ => assert_eq!(said, signed(&task.keys)),
        }
        // The remedy that the warning names.
        job.env.remove("AWS_PROFILE");
        for sdk in sdks {
            assert_eq!(job.call(sdk), signed(&task.keys), "{} {export}", sdk.name);
        }
    }
}

/// EKS Pod Identity's address on the instance, which has no such agent of its own.
fn pod_identity(
    instance: &Instance,
    respond: impl Fn(&Request, &mut std::net::TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
) -> Endpoint {
    let ip = |arguments: &[&str]| instance.command("ip").args(arguments).output().unwrap();
    // There already where another test came first.
    ip(&["address", "add", "169.254.170.23/32", "dev", "lo"]);
    let flag = instance.command("true");
    let netns = flag.get_args().next().unwrap().to_str().unwrap();
    let netns = netns.strip_prefix("--net=").unwrap();
    Endpoint::on(
        netns::listen(Path::new(netns), "169.254.170.23:80").unwrap(),
        respond,
    )
}

#[test]
fn an_exported_token_goes_with_the_exported_endpoint_and_an_old_one_does_not() {
    let Some(instance) = instance::get() else {
        return;
    };
    let Some(sdks) = sdks() else { return };
    const URL: &str = "http://169.254.170.23/v1/credentials";
    let keys = Keys::marked("POD");
    let document = Document::new(&keys)
        .account(Document::ACCOUNT)
        .without("RoleArn");
    let endpoint = pod_identity(instance, move |_, stream| {
        answer::ok(stream, &document.json())
    });
    for (own, old, sent) in [
        // With a token of its own: it is sent.
        (Some("ey.pod.token"), None, "ey.pod.token"),
        // Without, beside one that an earlier step left: nothing is sent.
        (None, Some("of-an-earlier-step"), ""),
    ] {
        let earlier: Vec<_> = old.map(|token| (TOKEN, token)).into_iter().collect();
        let mut job = Job::new(instance, &earlier);
        let mut with = vec![("export", "endpoint"), ("credentials-uri", URL)];
        with.extend(own.map(|token| ("authorization-token", token)));
        let log = job.action(&with, &[]);
        if old.is_some() {
            log.names(TOKEN);
        }
        assert_eq!(job.env[FULL], URL);
        for sdk in sdks {
            assert_eq!(job.call(sdk), signed(&keys), "{}", sdk.name);
            let requests = endpoint.requests();
            let request = requests.last().unwrap();
            let agent = request.header("user-agent").unwrap_or_default();
            assert!(
                !agent.starts_with("ecs-task-role/"),
                "the SDK asked itself: {agent}"
            );
            assert_eq!(
                request.header("authorization").unwrap_or_default(),
                sent,
                "{}",
                sdk.name
            );
        }
    }
}
