//! `dind/action.yml`: its step, run as GitHub's runner runs it, under each shell that a runner may have.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::composite::{self, Composite, expression};
use crate::shells::{Shell, find, is_installed, shellcheck, skip};
use crate::support::action::{self, Item};
use crate::support::step::{Program, Step};

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
    let bin = step.folder().join("bin");
    fs::create_dir(&bin).unwrap();
    let docker = bin.join("docker");
    let called = step.folder().join("docker-was-called");
    fs::write(
        &docker,
        format!("#!/bin/sh\n: >{}\nexit 1\n", called.display()),
    )
    .unwrap();
    fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).unwrap();
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
    let words: Vec<_> = code
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .collect();
    for word in ["curl", "jq", "wget", "eval", "python", "bash"] {
        assert!(!words.contains(&word), "{word}");
    }
    // The others are for the program alone, which takes them from the environment.
    let inputs: Vec<_> = words
        .iter()
        .filter(|word| word.starts_with("INPUT_"))
        .collect();
    assert_eq!(inputs, [&"INPUT_CREDENTIALS_URI"]);
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
