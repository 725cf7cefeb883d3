//! `dind/action.yml`: its step, run as GitHub's runner runs it, under each shell that a runner may have.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ecs_task_role::trouble::Trouble;
use rustix::process::Signal;

use crate::composite::{self, Composite, expression};
use crate::shells::{Shell, find, is_installed, shellcheck, skip};
use crate::support::action::{self, Item};
use crate::support::agent::Answer;
use crate::support::endpoint::{Document, Endpoint, Keys, answer};
use crate::support::image;
use crate::support::instance::{self, Instance, eventually};
use crate::support::not_here;
use crate::support::step::{Program, Step, variable_of_input};
use crate::traced::can_trace;
use crate::{nested, netns};

const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";

/// The step for a workflow's `with:`, on a runner whose `sh` is this shell.
fn step(shell: Shell, with: &[(&str, &str)]) -> Step {
    step_in(shell, with, &[])
}

fn step_in(shell: Shell, with: &[(&str, &str)], context: &[(&str, &str)]) -> Step {
    let composite = composite::read();
    assert_eq!(composite.shell, "sh");
    // What `shell: sh` means to the runner (ScriptHandlerHelpers.cs).
    let mut step = Step::new(&Program {
        path: script().to_owned(),
        under: shell
            .words()
            .iter()
            .chain(&["-e"])
            .map(Into::into)
            .collect(),
    });
    // A composite's step gets no inputs but those of its own `env`.
    for input in action::inputs() {
        step = step.without_input(&input.name);
    }
    let temp = step.folder().join("_temp");
    fs::create_dir(&temp).unwrap();
    composite
        .environment(with, context)
        .into_iter()
        .fold(step, |step, (name, value)| step.env(name, value))
        .env("RUNNER_TEMP", temp)
        .env(
            "GITHUB_ACTION_PATH",
            concat!(env!("CARGO_MANIFEST_DIR"), "/dind"),
        )
        // Until a test gives one, there is no engine to be had.
        .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
}

/// The file into which the runner puts the text of `run`.
fn script() -> &'static Path {
    static SCRIPT: OnceLock<PathBuf> = OnceLock::new();
    SCRIPT.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dind-run.sh");
        fs::write(&path, composite::read().run).unwrap();
        path
    })
}

/// A `docker` that only tells whether it was called; it comes first in the `PATH` of what it returns.
fn watching_docker(step: Step) -> Step {
    let called = step.folder().join("docker-was-called");
    with_program(step, "docker", &format!(": >{}\nexit 1", called.display()))
}

/// A `docker` that takes this script out of every image, for what only a program with odd manners brings about.
fn docker_with(step: Step, program: &str) -> Step {
    let step = with_program(step, "the-program", program);
    let program = step.folder().join("bin/the-program");
    docker_giving(step, &program)
}

/// A `docker` that takes this program out of every image.
fn docker_giving(step: Step, program: &Path) -> Step {
    let step = step.env("ECS_TASK_ROLE_IMAGE", "an-image");
    let copy = format!("[ \"$1\" != cp ] || cp {} \"$3\"", program.display());
    with_program(step, "docker", &copy)
}

/// A program that comes first in the `PATH`.
fn with_program(step: Step, name: &str, script: &str) -> Step {
    let bin = step.folder().join("bin");
    fs::create_dir_all(&bin).unwrap();
    let program = bin.join(name);
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    step.env(
        "PATH",
        format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()),
    )
}

fn docker_was_called(step: &Step) -> bool {
    step.folder().join("docker-was-called").exists()
}

/// Fails before docker is called, and leaves nothing; the error's title and message.
fn refused_before_docker(step: Step) -> (String, String) {
    let step = watching_docker(step);
    let outcome = step.run().untouched();
    assert_eq!(outcome.code(), 1, "{outcome}");
    assert_eq!(outcome.stderr, b"", "{outcome}");
    assert!(!docker_was_called(&step), "docker was called\n{outcome}");
    assert_eq!(left_behind(&step), [""; 0]);
    outcome.error()
}

/// What is in the runner's temporary directory.
fn left_behind(step: &Step) -> Vec<String> {
    fs::read_dir(step.folder().join("_temp"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn it_has_the_inputs_and_outputs_of_the_action_itself_but_no_discovery() {
    let root = include_str!("../../action.yml");
    let inputs = |yaml| action::section(yaml, "inputs");
    let mut expected = inputs(root);
    expected.retain(|input| input.name != "discovery");
    assert_eq!(expected.len() + 1, inputs(root).len());
    assert_eq!(inputs(composite::YAML), expected);

    let Composite { id, env, .. } = composite::read();
    let mut expected = action::section(root, "outputs");
    for output in &mut expected {
        output.value = Some(format!("${{{{ steps.{id}.outputs.{} }}}}", output.name));
    }
    assert_eq!(action::section(composite::YAML, "outputs"), expected);

    // Each input reaches the program, and nothing that is no input.
    let mut given: Vec<_> = env
        .iter()
        .filter(|(name, _)| name.starts_with("INPUT_") && *name != "INPUT_DISCOVERY")
        .map(|(name, value)| (name.clone(), expression(value).unwrap().to_owned()))
        .collect();
    let mut expected: Vec<_> = inputs(composite::YAML)
        .into_iter()
        .map(|Item { name, .. }| {
            let variable = format!("INPUT_{}", name.to_uppercase().replace('-', "_"));
            (variable, format!("inputs.{name}"))
        })
        .collect();
    given.sort();
    expected.sort();
    assert_eq!(given, expected);
    assert_eq!(env["INPUT_DISCOVERY"], "environment");
}

#[test]
fn its_script_takes_nothing_but_from_the_environment() {
    let Composite { run, env, .. } = composite::read();
    assert!(
        !run.contains("${{"),
        "GitHub would paste a value into the script"
    );
    for name in env.keys() {
        // dash and busybox drop a variable of any other name.
        assert!(
            name.bytes()
                .all(|byte| byte == b'_' || byte.is_ascii_uppercase()),
            "{name}"
        );
    }
    let code: String = run
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect::<Vec<_>>()
        .join("\n");
    let split = |kept: &'static str| {
        let ends = move |c: char| !(c.is_ascii_alphanumeric() || kept.contains(c));
        code.split(ends).collect::<Vec<_>>()
    };
    let words = split("_");
    for word in ["curl", "jq", "wget", "eval", "python", "bash"] {
        assert!(!words.contains(&word), "{word}");
    }
    // The others are for the program alone, which takes them from the environment.
    let mut inputs = split("_-");
    inputs.retain(|word| word.starts_with("INPUT_") && !word.contains('-') && *word != "INPUT_");
    assert_eq!(inputs, ["INPUT_CREDENTIALS_URI"]);
    // Of the same inputs under their other name, not one goes on.
    let mut taken_out = split("_-");
    taken_out.retain(|word| word.starts_with("INPUT_") && word.contains('-'));
    assert_eq!(taken_out, hyphenated());
}

/// The names with a hyphen under which the program would know inputs too.
fn hyphenated() -> Vec<String> {
    action::section(composite::YAML, "inputs")
        .into_iter()
        .filter(|input| input.name.contains('-'))
        .map(|input| variable_of_input(&input.name))
        .collect()
}

/// The step with the real program, and all those names in the environment of its job.
fn with_strays(step: Step, value: &str) -> Step {
    let step = docker_giving(step, &crate::program().path);
    hyphenated()
        .into_iter()
        .fold(step, |step, name| step.env(name, value))
}

#[test]
fn no_variable_of_the_job_comes_before_an_input_of_the_step() {
    if !crate::program().under.is_empty() {
        return not_here("the step starts the program itself");
    }
    for shell in Shell::all() {
        let endpoint = Endpoint::serving(&Document::default());
        for (guard, value, trouble) in [
            ("expected-role", "another", Trouble::RoleNotExpected),
            (
                "allowed-account-ids",
                "210987654321",
                Trouble::AccountNotAllowed,
            ),
        ] {
            let step = step(shell, &[(guard, value)])
                .env(FULL, endpoint.url("/creds"))
                .env(variable_of_input(guard), "*");
            let step = docker_giving(step, &crate::program().path);
            let outcome = step.run().untouched();
            assert_eq!(outcome.error().0, trouble.title(), "{outcome}");
        }
        let step = step(shell, &[("expected-role", "gha-taskrole")]);
        let step = with_strays(step.env(FULL, endpoint.url("/creds")), "stray");
        let outcome = step.run().succeeded();
        assert_eq!(outcome.output.get("source").as_deref(), Some("environment"));
    }
}

#[test]
fn a_variable_that_can_not_be_taken_out_is_refused_where_the_shell_passes_it_on() {
    if !crate::program().under.is_empty() {
        return not_here("the step starts the program itself");
    }
    // An env as POSIX has it. The shell that runs this drops the names in question, hence /proc.
    let env = "[ $# -eq 0 ] || exit 125\ntr '\\0' '\\n' </proc/$$/environ";
    for shell in Shell::all() {
        let endpoint = Endpoint::serving(&Document::default());
        let step = || {
            let step =
                step(shell, &[("aws-region", "eu-west-1")]).env(FULL, endpoint.url("/creds"));
            with_program(step, "env", env)
        };
        let step_with = with_strays(step(), "*");
        let outcome = step_with.run();
        if shell.name == "bash" {
            let outcome = outcome.untouched();
            let (title, message) = outcome.error();
            assert_eq!(title, "Failed: the program could not be run");
            assert!(message.contains("hyphen"), "{message}");
            assert_eq!(left_behind(&step_with), [""; 0]);
        } else {
            outcome.succeeded();
        }
        docker_giving(step(), &crate::program().path)
            .run()
            .succeeded();
    }
}

#[test]
fn shellcheck_finds_nothing_in_its_script() {
    // It does not see that a trap calls a function, under one code or the other.
    shellcheck(script(), &["SC2317", "SC2329"]);
}

#[test]
fn a_job_container_is_told_that_it_sees_nothing_of_the_runner() {
    const TITLE: &str = "Not configured: the job runs in a container";
    let container = &[("job.container.id", "8f2d1c0b9a87")];
    for shell in Shell::all() {
        for step in [
            step_in(shell, &[], container),
            // Not even with what a hook handed on.
            step_in(shell, &[], container).env(RELATIVE, "/v2/credentials/x"),
            step_in(
                shell,
                &[("credentials-uri", "/v2/credentials/x")],
                container,
            ),
            // Container hooks may give no id.
            step(shell, &[]).env("RUNNER_TEMP", "/__w/_temp"),
        ] {
            let (title, message) = refused_before_docker(step);
            assert_eq!(title, TITLE);
            assert!(message.contains("\"container:\""), "{message}");
        }
    }
}

#[test]
fn a_runner_without_the_variables_is_told_before_anything_is_built_or_pulled() {
    for shell in Shell::all() {
        for step in [
            step(shell, &[]),
            step(shell, &[]).env(RELATIVE, "").env(FULL, ""),
            step(shell, &[("credentials-uri", " \n\t ")]),
            step(shell, &[("authorization-token", "alone")]),
            step(shell, &[]).env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "alone"),
        ] {
            let (title, message) = refused_before_docker(step);
            assert_eq!(title, "Not configured: the runner has no task role");
            assert!(
                message.contains(RELATIVE) && message.contains(FULL),
                "{message}"
            );
        }
        let hosted = step(shell, &[]).env("RUNNER_ENVIRONMENT", "github-hosted");
        let (title, message) = refused_before_docker(hosted);
        assert_eq!(
            title,
            "Not configured: a GitHub-hosted runner has no task role"
        );
        assert!(message.contains("configure-aws-credentials"), "{message}");
    }
}

#[test]
fn each_source_that_the_program_knows_leads_to_docker() {
    for shell in Shell::all() {
        for step in [
            step(shell, &[]).env(RELATIVE, "/v2/credentials/x"),
            step(shell, &[]).env(FULL, "http://127.0.0.1:1/x"),
            step(shell, &[("credentials-uri", "/v2/credentials/x")]),
        ] {
            let step = watching_docker(step);
            let outcome = step.run().untouched();
            assert!(docker_was_called(&step), "{outcome}");
            assert_eq!(
                outcome.error().0,
                "Failed: the program could not be taken out of its image"
            );
            assert_eq!(left_behind(&step), [""; 0]);
        }
    }
}

#[test]
fn a_runner_without_docker_is_told_so() {
    for shell in Shell::all() {
        let step = step(shell, &[]).env(RELATIVE, "/v2/credentials/x");
        let bin = step.folder().join("bin");
        fs::create_dir(&bin).unwrap();
        for program in ["sh", "tr", "cat", "mktemp", "rm", "kill", shell.words()[0]] {
            if let Some(file) = find(program) {
                let _ = symlink(file, bin.join(program));
            }
        }
        let outcome = step.env("PATH", &bin).run().untouched();
        assert_eq!(
            outcome.error().0,
            "Not configured: there is no docker client"
        );
        assert_eq!(outcome.code(), 1);
    }
}

#[test]
fn an_engine_that_does_not_answer_is_an_error_of_its_own() {
    if !is_installed("docker") {
        return skip("docker is not installed");
    }
    for shell in Shell::all() {
        let step = step(shell, &[]).env(RELATIVE, "/v2/credentials/marker");
        let outcome = step.run().untouched().keeps_secret("marker");
        assert_eq!(outcome.code(), 1);
        let (title, _) = outcome.error();
        assert_eq!(
            title,
            "Failed: the program could not be taken out of its image"
        );
        assert!(outcome.log().contains("/nowhere/docker.sock"), "{outcome}");
        assert_eq!(left_behind(&step), [""; 0]);
    }
}

#[test]
fn its_errors_link_to_their_entries() {
    let page = concat!(
        env!("CARGO_PKG_REPOSITORY"),
        "/blob/main/docs/troubleshooting.md"
    );
    for shell in Shell::all() {
        for (step, anchor) in [
            (
                step(shell, &[]),
                "not-configured-the-runner-has-no-task-role",
            ),
            (
                step(shell, &[]).env("RUNNER_ENVIRONMENT", "github-hosted"),
                "not-configured-a-github-hosted-runner-has-no-task-role",
            ),
            (
                step_in(shell, &[], &[("job.container.id", "8f2d1c0b9a87")]),
                "not-configured-the-job-runs-in-a-container",
            ),
        ] {
            let (_, message) = refused_before_docker(step);
            assert!(
                message.ends_with(&format!(" See {page}#{anchor}")),
                "{message}"
            );
        }
    }
}

/// Where the step runs, with an engine that has the action's image.
struct Runner<'a> {
    /// What a process is started with to be on this runner.
    enter: Vec<OsString>,
    /// Whether `enter` leads into a container: its `-e` flags come with the step.
    container: Option<&'a str>,
    netns: PathBuf,
    docker_host: String,
    image: String,
}

/// The instance itself, and a privileged container on it with an engine of its own.
fn runners(instance: &Instance) -> [Runner<'_>; 2] {
    let nested = nested::get(instance, script().parent().unwrap());
    [
        Runner {
            enter: enter(instance),
            container: None,
            netns: net_of(instance),
            docker_host: instance.docker_host(),
            image: image::action(instance).to_owned(),
        },
        Runner {
            enter: vec!["docker".into(), "exec".into()],
            container: Some(&nested.name),
            netns: nested.netns.clone(),
            docker_host: instance.docker_host(),
            image: nested.image.clone(),
        },
    ]
}

/// `nsenter` and its flag, as the instance itself has them.
fn enter(instance: &Instance) -> Vec<OsString> {
    let command = instance.command("true");
    let flags = command.get_args().filter(|word| *word != "true");
    [command.get_program()]
        .into_iter()
        .chain(flags)
        .map(OsStr::to_owned)
        .collect()
}

fn net_of(instance: &Instance) -> PathBuf {
    let flag = enter(instance).pop().unwrap();
    flag.to_str()
        .unwrap()
        .strip_prefix("--net=")
        .unwrap()
        .into()
}

impl Runner<'_> {
    /// The step, with the released image, and what the runner itself has in its environment.
    fn step(&self, shell: Shell, with: &[(&str, &str)], own: &[(&str, &str)]) -> Step {
        let mut step = step(shell, with).env("ECS_TASK_ROLE_IMAGE", &self.image);
        for (name, value) in own {
            step = step.env(*name, value);
        }
        step = step.env("DOCKER_HOST", &self.docker_host);
        let mut enter = self.enter.clone();
        if let Some(container) = self.container {
            let command = step.command();
            let names = command.get_envs().map(|(name, _)| name.to_owned());
            // The outer engine is the client's affair, and the PATH is the container's own.
            for name in names.filter(|name| name != "DOCKER_HOST" && name != "PATH") {
                enter.extend(["-e".into(), name]);
            }
            enter.push(container.into());
        }
        step.under(&enter)
    }

    /// A server on this runner's own loopback.
    fn endpoint(&self, document: &Document) -> Endpoint {
        let body = document.json();
        let listener = netns::listen(&self.netns, "127.0.0.1:0").unwrap();
        Endpoint::on(listener, move |_, stream| answer::ok(stream, &body))
    }

    /// No container, and nothing in the temporary directory.
    fn is_clean(&self, instance: &Instance, step: &Step) {
        assert_eq!(left_behind(step), [""; 0]);
        let mut list = vec!["ps", "-aq", "--filter", "name=^/ecs-task-role\\."];
        if let Some(container) = self.container {
            list.splice(0..0, ["exec", container, "docker"]);
        }
        // Other tests' steps may be at work.
        eventually("the end of the step's container", || {
            instance.docker(&list).is_empty().then_some(())
        });
    }
}

/// Every shell on every runner.
fn everywhere(test: impl Fn(&Instance, &Runner, Shell)) {
    let Some(instance) = instance::get() else {
        return;
    };
    for runner in runners(instance) {
        for shell in Shell::all() {
            test(instance, &runner, shell);
        }
    }
}

#[test]
fn the_program_runs_on_the_runner_and_hands_on_the_keys() {
    everywhere(|instance, runner, shell| {
        let task = instance.agent.task();
        let step = runner
            .step(
                shell,
                &[("aws-region", "eu-west-1")],
                &[(RELATIVE, &task.uri())],
            )
            // Meant for the workflow's own images.
            .env("DOCKER_DEFAULT_PLATFORM", "linux/s390x");
        let outcome = step
            .run()
            .succeeded()
            .keeps_secret(&task.keys.secret)
            .keeps_secret(&task.id);
        assert_eq!(
            outcome.env.get("AWS_ACCESS_KEY_ID"),
            Some(task.keys.id.clone())
        );
        assert_eq!(
            outcome.env.get("AWS_SECRET_ACCESS_KEY"),
            Some(task.keys.secret.clone())
        );
        assert_eq!(
            outcome.env.get("AWS_SESSION_TOKEN"),
            Some(task.keys.token.clone())
        );
        assert_eq!(outcome.env.get("AWS_REGION").as_deref(), Some("eu-west-1"));
        assert_eq!(outcome.output.get("role-arn").as_deref(), Some(&*task.role));
        assert_eq!(outcome.output.get("source").as_deref(), Some("environment"));
        runner.is_clean(instance, &step);
    });
}

#[test]
fn the_token_file_and_the_loopback_endpoint_of_the_runner_are_in_sight() {
    everywhere(|instance, runner, shell| {
        let keys = Keys::marked("LOOPBACK");
        let endpoint = runner.endpoint(&Document::new(&keys).account(Document::ACCOUNT));
        let file = tempfile::NamedTempFile::new_in("/tmp").unwrap();
        let token = r#"  eyJ "quoted" $(touch pwned) 100% "#;
        fs::write(file.path(), token).unwrap();
        let step = runner.step(
            shell,
            &[
                ("expected-role", "gha-taskrole"),
                ("allowed-account-ids", Document::ACCOUNT),
            ],
            &[
                (FULL, &endpoint.url("/creds")),
                (
                    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                    file.path().to_str().unwrap(),
                ),
            ],
        );
        let outcome = step.run().succeeded().keeps_secret("eyJ");
        assert_eq!(outcome.env.get("AWS_ACCESS_KEY_ID"), Some(keys.id));
        let requests = endpoint.requests();
        assert_eq!(requests.len(), 1);
        // Blanks at the end of a header's value are no part of it (RFC 9110, section 5.5).
        assert_eq!(
            requests[0].header("authorization").unwrap().trim(),
            token.trim()
        );
        runner.is_clean(instance, &step);
    });
}

#[test]
fn a_token_file_that_can_not_be_used_is_the_programs_own_error() {
    everywhere(|instance, runner, shell| {
        let endpoint = runner.endpoint(&Document::default());
        let file = tempfile::NamedTempFile::new_in("/tmp").unwrap();
        fs::write(file.path(), "marker\n").unwrap();
        for path in [
            file.path(),
            Path::new("/tmp/there-is-no-such-token"),
            Path::new("/tmp"),
        ] {
            let own = [
                (FULL, endpoint.url("/creds")),
                (
                    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                    path.to_str().unwrap().to_owned(),
                ),
            ];
            let own: Vec<_> = own
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            let step = runner.step(shell, &[], &own);
            let outcome = step.run().untouched().keeps_secret("marker");
            assert_eq!(outcome.code(), 1);
            assert_eq!(outcome.error().0, Trouble::TokenUnfit.title(), "{outcome}");
            runner.is_clean(instance, &step);
        }
        assert_eq!(endpoint.requests().len(), 0);
    });
}

#[test]
fn an_input_is_data_whatever_it_holds() {
    everywhere(|instance, runner, shell| {
        let endpoint = runner.endpoint(&Document::default());
        let uri = endpoint.url("/it's/$(touch%20pwned)/`id`/%24%7BHOME%7D/100%25?a=\"b\"&c=*;d");
        let token = r#""double" 'single' $(touch pwned) `touch pwned` ${HOME} %0A \n ; & | * ~"#;
        let accounts = format!("\n210987654321,\n  {}\n", Document::ACCOUNT);
        let with = [
            ("credentials-uri", &*uri),
            ("authorization-token", token),
            ("allowed-account-ids", &accounts),
            ("expected-role", "  gha-taskrole\n"),
        ];
        let step = runner.step(shell, &with, &[]);
        let outcome = step.run().succeeded().keeps_secret(token);
        assert_eq!(outcome.output.get("source").as_deref(), Some("input"));
        let [request] = &endpoint.requests()[..] else {
            panic!("{outcome}")
        };
        assert_eq!(request.header("authorization"), Some(token));
        // The URI as every URL parser writes it.
        assert_eq!(
            request.target,
            "/it's/$(touch%20pwned)/%60id%60/%24%7BHOME%7D/100%25?a=%22b%22&c=*;d"
        );
        runner.is_clean(instance, &step);
        assert!(!step.folder().join("pwned").exists());

        // Each input by itself: what is no valid value is the program's error, never the shell's.
        let awkward = "\"'`$(touch pwned)`\n::error::mine\n%0A\\";
        for input in action::section(composite::YAML, "inputs") {
            let with = [(&*input.name, awkward)];
            let step = runner.step(shell, &with, &[(FULL, &endpoint.url("/creds"))]);
            let outcome = step.run();
            assert_eq!(outcome.stderr, b"", "{}: {outcome}", input.name);
            assert!(!step.folder().join("pwned").exists(), "{}", input.name);
            assert_eq!(outcome.code(), 1, "{}: {outcome}", input.name);
            let (title, _) = outcome.error();
            let expected = match &*input.name {
                "credentials-uri" => Trouble::EndpointNotAllowed,
                _ => Trouble::InvalidInput,
            };
            assert_eq!(title, expected.title(), "{}", input.name);
            outcome.untouched();
        }
    });
}

#[test]
fn what_the_program_refuses_is_refused() {
    everywhere(|instance, runner, shell| {
        let task = instance.agent.task();
        let with = [("allowed-account-ids", "210987654321")];
        let step = runner.step(shell, &with, &[(RELATIVE, &task.uri())]);
        let outcome = step.run().untouched();
        assert_eq!(outcome.code(), 1);
        assert_eq!(outcome.error().0, Trouble::AccountNotAllowed.title());
        runner.is_clean(instance, &step);
    });
}

#[test]
fn every_output_comes_out() {
    everywhere(|instance, runner, shell| {
        let task = instance.agent.task();
        let with = [
            ("output-credentials", "true"),
            ("export", "none"),
            ("aws-region", "eu-west-1"),
        ];
        let outcome = runner
            .step(shell, &with, &[(RELATIVE, &task.uri())])
            .run()
            .succeeded();
        assert_eq!(outcome.env.appended(), b"");
        let mut names = outcome.output.names();
        names.sort();
        let mut expected: Vec<_> = action::section(composite::YAML, "outputs")
            .into_iter()
            .map(|output| output.name)
            .collect();
        expected.sort();
        assert_eq!(names, expected);
        assert_eq!(
            outcome.output.get("aws-secret-access-key"),
            Some(task.keys.secret)
        );
    });
}

#[test]
fn a_branch_builds_its_image_from_the_checkout_around_it() {
    let Some(instance) = instance::get() else {
        return;
    };
    let runner = &runners(instance)[0];
    let checkout = tempfile::tempdir().unwrap();
    let action_path = checkout.path().join("dind");
    fs::create_dir(&action_path).unwrap();
    fs::copy(image::static_binary(), checkout.path().join("built")).unwrap();
    // The Dockerfile itself is another test's affair.
    let dockerfile = "FROM scratch\nCOPY built /ecs-task-role\nENTRYPOINT [\"/ecs-task-role\"]\n";
    fs::write(checkout.path().join("Dockerfile"), dockerfile).unwrap();
    for shell in Shell::all() {
        let task = instance.agent.task();
        let step = runner
            .step(shell, &[], &[(RELATIVE, &task.uri())])
            .env("ECS_TASK_ROLE_IMAGE", "")
            .env("GITHUB_ACTION_PATH", &action_path)
            // Meant for the workflow's own images.
            .env("DOCKER_DEFAULT_PLATFORM", "linux/s390x");
        let outcome = step.run().succeeded();
        assert_eq!(outcome.env.get("AWS_ACCESS_KEY_ID"), Some(task.keys.id));
        runner.is_clean(instance, &step);
    }
}

#[test]
fn inside_a_nested_engine_the_real_dockerfile_is_built_and_the_next_docker_step_has_the_keys() {
    let Some(instance) = instance::get() else {
        return;
    };
    let [_, runner] = runners(instance);
    let nested = nested::get(instance, script().parent().unwrap());
    nested.stand_in_for_the_base_image(instance);
    let tools = nested.tools(instance);
    for shell in Shell::all() {
        let task = instance.agent.task();
        let uri = task.uri();
        // What an inner container makes of the variables that the step exported.
        let inner = |export, script: &str| {
            let with = [("export", export), ("aws-region", "eu-west-1")];
            let step = runner
                .step(shell, &with, &[(RELATIVE, &uri)])
                .env("ECS_TASK_ROLE_IMAGE", "");
            let outcome = step.run().succeeded();
            runner.is_clean(instance, &step);
            let mut run: Vec<String> = ["exec", &nested.name, "docker", "run", "--rm"]
                .map(str::to_owned)
                .into();
            for (name, value) in outcome.env.pairs() {
                run.extend(["-e".to_owned(), format!("{name}={value}")]);
            }
            run.extend([&tools, "sh", "-c", script].map(str::to_owned));
            instance.docker(run)
        };
        let said = inner("keys", "echo $AWS_ACCESS_KEY_ID $AWS_SECRET_ACCESS_KEY");
        assert_eq!(said, format!("{} {}", task.keys.id, task.keys.secret));
        let address = format!("wget -qO- http://169.254.170.2${RELATIVE}");
        let said = inner("endpoint", &address);
        assert!(said.contains(&task.keys.secret), "{said}");
    }
}

#[test]
fn an_image_that_can_not_be_had_leaves_nothing_behind() {
    let Some(instance) = instance::get() else {
        return;
    };
    let runner = &runners(instance)[0];
    let empty = tempfile::tempdir().unwrap();
    fs::write(empty.path().join("something-else"), "").unwrap();
    let without_the_program = image::import(
        instance,
        empty.path(),
        "empty",
        &["ENTRYPOINT [\"/ecs-task-role\"]"],
    );
    for shell in Shell::all() {
        for image in [
            &*without_the_program,
            "127.0.0.1:1/there-is/no-such-image:1",
        ] {
            let step = runner
                .step(shell, &[], &[(RELATIVE, "/v2/credentials/marker")])
                .env("ECS_TASK_ROLE_IMAGE", image);
            let outcome = step.run().untouched().keeps_secret("marker");
            assert_eq!(outcome.code(), 1);
            assert_eq!(
                outcome.error().0,
                "Failed: the program could not be taken out of its image",
                "{outcome}"
            );
            runner.is_clean(instance, &step);
        }
    }
}

#[test]
fn a_program_that_can_not_be_run_is_an_error_of_its_own() {
    let Some(instance) = instance::get() else {
        return;
    };
    let runner = &runners(instance)[0];
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("ecs-task-role");
    fs::write(&program, [0x7f, b'E', b'L', b'F', 9, 9, 9]).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let foreign = image::import(
        instance,
        folder.path(),
        "foreign",
        &["ENTRYPOINT [\"/ecs-task-role\"]"],
    );
    for shell in Shell::all() {
        let step = runner
            .step(shell, &[], &[(RELATIVE, "/v2/credentials/marker")])
            .env("ECS_TASK_ROLE_IMAGE", &foreign);
        let outcome = step.run().untouched();
        assert_eq!(outcome.code(), 1, "{outcome}");
        assert_eq!(
            outcome.error().0,
            "Failed: the program could not be run",
            "{outcome}"
        );
        runner.is_clean(instance, &step);
    }
}

#[test]
fn cancelling_reaches_the_program_and_nothing_stays_behind() {
    let Some(instance) = instance::get() else {
        return;
    };
    let runner = &runners(instance)[0];
    for shell in Shell::all() {
        for signal in [Signal::INT, Signal::TERM] {
            let task = instance.agent.task();
            instance.agent.answer(&task, Answer::Silence);
            let step = runner.step(shell, &[], &[(RELATIVE, &task.uri())]);
            let running = step.start();
            eventually("the request", || {
                (!instance.agent.audit(&task).is_empty()).then_some(())
            });
            running.signal(signal);
            let outcome = running.finish().untouched();
            assert_eq!(outcome.code(), 1, "{outcome}");
            assert_eq!(outcome.error().0, Trouble::Cancelled.title(), "{outcome}");
            runner.is_clean(instance, &step);
        }
    }
}

#[test]
fn cancelling_ends_a_build_and_nothing_stays_behind() {
    let Some(instance) = instance::get() else {
        return;
    };
    let runner = &runners(instance)[0];
    let checkout = tempfile::tempdir().unwrap();
    let action_path = checkout.path().join("dind");
    fs::create_dir(&action_path).unwrap();
    let dockerfile = format!(
        "FROM {}\nRUN echo begun && sleep 1000\n",
        image::machine(instance)
    );
    fs::write(checkout.path().join("Dockerfile"), dockerfile).unwrap();
    for shell in Shell::all() {
        for signal in [Signal::INT, Signal::TERM] {
            let step = runner
                .step(shell, &[], &[(RELATIVE, "/v2/credentials/marker")])
                .env("ECS_TASK_ROLE_IMAGE", "")
                .env("GITHUB_ACTION_PATH", &action_path);
            let mut running = step.start();
            running.wait_for_output("begun");
            running.signal(signal);
            let outcome = running.finish().untouched();
            assert_eq!(outcome.code(), 1, "{outcome}");
            assert_eq!(outcome.error().0, Trouble::Cancelled.title(), "{outcome}");
            runner.is_clean(instance, &step);
        }
    }
}

/// Runs a program that ends by itself around a signal to the shell that started it: its exit code is the step's.
fn keeps_the_exit_code(under: &[OsString], program: impl Fn(&str, i32) -> String) {
    for shell in Shell::all() {
        for signal in ["HUP", "INT", "TERM"] {
            for code in [0, 1] {
                let step = step(shell, &[])
                    .env(RELATIVE, "/v2/credentials/x")
                    .under(under);
                let step = docker_with(step, &program(signal, code));
                let outcome = step.run();
                assert_eq!(outcome.code(), code, "{} {signal}: {outcome}", shell.name);
                assert_eq!(outcome.env.get("KEYS").as_deref(), Some("written"));
                assert_eq!(outcome.stderr, b"", "{outcome}");
                assert_eq!(left_behind(&step), [""; 0]);
            }
        }
    }
}

#[test]
fn a_program_that_ends_as_the_signal_comes_keeps_its_exit_code() {
    // The shell is stopped as it waits, and finds both when it goes on: the signal, and that its program ended.
    keeps_the_exit_code(&[], |signal, code| {
        format!(
            "is() {{ grep -q \"^State:.$2\" \"/proc/$1/status\"; }}
            until is $PPID S; do :; done
            kill -STOP $PPID
            until is $PPID T; do :; done
            kill -{signal} $PPID
            (until is $$ Z; do :; done; kill -CONT $PPID) &
            echo KEYS=written >>\"$GITHUB_ENV\"
            exit {code}"
        )
    });
}

#[test]
fn a_program_that_ends_as_soon_as_the_signal_is_passed_on_keeps_its_exit_code() {
    if !can_trace() {
        return;
    }
    // Time for the program to end, before the shell sees that it passed the signal on.
    let slow = ["-e", "trace=kill", "-e", "inject=kill:delay_exit=300000"];
    let under: Vec<_> = ["strace", "-qq", "-o", "/dev/null"]
        .iter()
        .chain(&slow)
        .map(OsString::from)
        .collect();
    keeps_the_exit_code(&under, |signal, code| {
        format!(
            "trap 'echo KEYS=written >>\"$GITHUB_ENV\"; exit {code}' TERM
            kill -{signal} $PPID
            while :; do sleep 0.01; done"
        )
    });
}
