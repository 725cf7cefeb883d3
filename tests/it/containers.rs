//! The action as the runner starts it: a real container, a real Engine, a real 169.254.170.2.
//!
//! Sources 1 and 2; how the endpoint is found without them is `discovery`'s affair.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};

use ecs_task_role::trouble::Trouble;

use crate::support::agent::{Answer, Task};
use crate::support::image;
use crate::support::instance::{self, Instance, eventually};
use crate::support::runner::{Action, Container, Finished, Network, Work};
use crate::support::step::File;

/// A work folder that is gone after the test.
struct Folder {
    directory: tempfile::TempDir,
    work: Work,
}

impl Folder {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let work = Work::new(directory.path(), "fleet-1");
        Self { directory, work }
    }

    /// The action with what a job-started hook would have set.
    fn with_environment<'a>(&'a self, instance: &'a Instance, task: &Task) -> Action<'a> {
        Action::new(instance, &self.work)
            .env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", task.uri())
            .input("aws-region", "eu-west-1")
    }
}

/// The step went well, the next container has this task's keys, and the log has none of them.
fn exported(finished: Finished<'_>, task: &Task) {
    let finished = finished.succeeded();
    let next = finished.next_step();
    for (name, key) in [
        ("AWS_ACCESS_KEY_ID", &task.keys.id),
        ("AWS_SECRET_ACCESS_KEY", &task.keys.secret),
        ("AWS_SESSION_TOKEN", &task.keys.token),
    ] {
        assert!(
            next.contains(&(name.to_owned(), key.to_owned())),
            "{name} in {next:?}"
        );
    }
    finished
        .keeps_secret(&task.keys.id)
        .keeps_secret(&task.keys.secret)
        .keeps_secret(&task.keys.token)
        .keeps_secret(&task.id);
}

#[test]
fn the_next_container_acts_as_the_task_role() {
    let Some(instance) = instance::get() else {
        return;
    };
    let (folder, task) = (Folder::new(), instance.agent.task());
    let finished = folder.with_environment(instance, &task).run().succeeded();
    let next = finished.next_step();
    for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
        assert!(
            next.contains(&(name.to_owned(), "eu-west-1".to_owned())),
            "{next:?}"
        );
    }
    assert_eq!(
        finished.output.get("role-arn").as_deref(),
        Some(&*task.role)
    );
    assert_eq!(
        finished.output.get("source").as_deref(),
        Some("environment")
    );
    exported(finished, &task);
}

#[test]
fn the_agents_audit_log_names_the_workflow_run() {
    let Some(instance) = instance::get() else {
        return;
    };
    let (folder, task) = (Folder::new(), instance.agent.task());
    folder.with_environment(instance, &task).run().succeeded();
    let [line] = &instance.agent.audit(&task)[..] else {
        panic!("{:?}", instance.agent.audit(&task))
    };
    assert_eq!(line.status, 200);
    assert!(
        !line.client.is_loopback(),
        "the container's own address is in the audit log"
    );
    assert_eq!(
        line.user_agent,
        format!(
            "ecs-task-role/{} (octo-org/shop; run 9876543210.1; job deploy)",
            env!("CARGO_PKG_VERSION")
        )
    );
}

#[test]
fn an_input_wins_over_the_environment() {
    let Some(instance) = instance::get() else {
        return;
    };
    let (folder, task, other) = (Folder::new(), instance.agent.task(), instance.agent.task());
    let action = folder
        .with_environment(instance, &other)
        .input("credentials-uri", &task.uri());
    let finished = action.run().succeeded();
    assert_eq!(finished.output.get("source").as_deref(), Some("input"));
    exported(finished, &task);
    assert!(instance.agent.audit(&other).is_empty());
}

#[test]
fn the_endpoint_is_reached_from_the_jobs_network() {
    let Some(instance) = instance::get() else {
        return;
    };
    let (folder, task) = (Folder::new(), instance.agent.task());
    let network = Network::create(instance, &[]);
    let action = folder
        .with_environment(instance, &task)
        .flag(&["--network", &network.name]);
    exported(action.run(), &task);
}

#[test]
fn a_host_that_does_not_route_to_the_agent_is_a_timeout_that_is_explained() {
    let Some(instance) = instance::of_its_own() else {
        return;
    };
    let sysctl = ["-qw", "net.ipv4.conf.all.route_localnet=0"];
    assert!(
        instance
            .command("sysctl")
            .args(sysctl)
            .status()
            .unwrap()
            .success()
    );
    let (folder, task) = (Folder::new(), instance.agent.task());
    let action = folder
        .with_environment(&instance, &task)
        .input("retry-max-attempts", "2");
    let message = action
        .run()
        .keeps_secret(&task.id)
        .refused(Trouble::EndpointUnreachable.title());
    assert!(message.contains("169.254.170.2"), "{message}");
    assert!(message.contains("2 attempts"), "{message}");
    assert!(instance.agent.audit(&task).is_empty());
}

#[test]
fn an_internal_network_reaches_the_agent_or_the_error_names_it() {
    let Some(instance) = instance::get() else {
        return;
    };
    let (folder, task) = (Folder::new(), instance.agent.task());
    let network = Network::create(instance, &["--internal"]);
    // Engine 20.10 gives such a network a default route, and what goes to the host itself is not filtered;
    // later ones give none.
    let routes = instance.docker([
        "run",
        "--rm",
        "--network",
        &network.name,
        image::machine(instance),
        "ip",
        "route",
    ]);
    let action = folder
        .with_environment(instance, &task)
        .input("retry-max-attempts", "1")
        .flag(&["--network", &network.name]);
    let finished = action.run();
    if routes.contains("default") {
        exported(finished, &task);
    } else {
        let message = finished
            .keeps_secret(&task.id)
            .refused(Trouble::EndpointUnreachable.title());
        assert!(message.contains("--internal"), "{message}");
    }
}

#[test]
fn a_container_without_a_network_is_told_so() {
    let Some(instance) = instance::get() else {
        return;
    };
    let (folder, task) = (Folder::new(), instance.agent.task());
    let action = folder
        .with_environment(instance, &task)
        .input("retry-max-attempts", "1")
        .flag(&["--network", "none"]);
    let message = action
        .run()
        .keeps_secret(&task.id)
        .refused(Trouble::EndpointUnreachable.title());
    assert!(message.contains("unreachable"), "{message}");
}

#[test]
fn the_region_comes_from_the_tasks_metadata_where_nothing_else_knows_it() {
    let Some(instance) = instance::get() else {
        return;
    };
    let (folder, task) = (Folder::new(), instance.agent.task());
    let action = folder
        .with_environment(instance, &task)
        .input("aws-region", "")
        .env("ECS_CONTAINER_METADATA_URI_V4", task.metadata_uri());
    let finished = action.run().succeeded();
    assert_eq!(
        finished.output.get("aws-region").as_deref(),
        Some("eu-north-1")
    );
    assert!(
        finished
            .next_step()
            .contains(&("AWS_REGION".to_owned(), "eu-north-1".to_owned()))
    );
}

#[test]
fn a_task_that_was_replaced_is_told_by_name() {
    let Some(instance) = instance::get() else {
        return;
    };
    let (folder, task) = (Folder::new(), instance.agent.task());
    let gone = Answer::Error(400, "InvalidIdInRequest", "credentials not found");
    instance.agent.answer(&task, gone);
    let action = folder
        .with_environment(instance, &task)
        .input("retry-max-attempts", "2");
    let message = action
        .run()
        .keeps_secret(&task.id)
        .refused(Trouble::UnknownId.title());
    assert!(message.contains("InvalidIdInRequest"), "{message}");
    assert_eq!(instance.agent.audit(&task).len(), 2);
}

/// A signal while the request waits for its answer: nothing has been written then.
fn a_signal_ends_the_run(signal: &str) {
    let Some(instance) = instance::get() else {
        return;
    };
    let (folder, task) = (Folder::new(), instance.agent.task());
    instance.agent.answer(&task, Answer::Silence);
    let action = folder
        .with_environment(instance, &task)
        // Long enough that only the signal can be what ends it.
        .input("retry-max-attempts", "100")
        .input("timeout", "3600");
    let running = action.start();
    eventually("the request", || {
        (!instance.agent.audit(&task).is_empty()).then_some(())
    });
    running.signal(signal);
    let finished = running.finish().keeps_secret(&task.id);
    finished.refused(Trouble::Cancelled.title());
    // It is PID 1 of its container, where a signal that nobody asks for would have been ignored.
    assert!(instance.agent.audit(&task).len() < 10, "it went on asking");
}

#[test]
fn cancelling_a_job_ends_the_run_at_once() {
    a_signal_ends_the_run("SIGINT");
}

#[test]
fn stopping_the_container_ends_the_run_at_once() {
    a_signal_ends_the_run("SIGTERM");
}

#[test]
fn a_work_directory_at_another_path_on_the_host_is_told() {
    let Some(instance) = instance::get() else {
        return;
    };
    let (folder, task) = (Folder::new(), instance.agent.task());
    // The runner's own paths, which the Engine looks for on the host, and makes there.
    let seen = folder.directory.path().join("inside/fleet-1");
    let action = folder.with_environment(instance, &task).work_seen_at(&seen);
    let message = action
        .run()
        .keeps_secret(&task.id)
        .refused(Trouble::RunnerFileMissing.title());
    assert!(message.contains("GITHUB_"), "{message}");
    assert!(message.contains("same path"), "{message}");
    assert!(message.contains("work folder"), "{message}");
    assert!(
        instance.agent.audit(&task).is_empty(),
        "nothing is asked for what can't be handed on"
    );
}

#[test]
fn files_of_another_user_are_written_and_closed_to_others() {
    let Some(instance) = instance::get() else {
        return;
    };
    let (folder, task) = (Folder::new(), instance.agent.task());
    let action = folder.with_environment(instance, &task);
    for file in File::ALL {
        chown(action.path(file), Some(1001), Some(121)).unwrap();
    }
    exported(action.run(), &task);
    let metadata = fs::metadata(action.path(File::Env)).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_read_only_container_without_capabilities_is_enough() {
    let Some(instance) = instance::get() else {
        return;
    };
    let (folder, task) = (Folder::new(), instance.agent.task());
    let action = folder.with_environment(instance, &task).flag(&[
        "--read-only",
        "--cap-drop",
        "ALL",
        "--security-opt",
        "no-new-privileges",
    ]);
    exported(action.run(), &task);
}

#[test]
fn a_loopback_endpoint_that_refuses_is_explained() {
    let Some(instance) = instance::get() else {
        return;
    };
    let folder = Folder::new();
    let action = Action::new(instance, &folder.work)
        .env(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "http://127.0.0.1:51679/v2/credentials/MARKER-LOOPBACK",
        )
        .input("retry-max-attempts", "1");
    let message = action
        .run()
        .keeps_secret("MARKER-LOOPBACK")
        .refused(Trouble::EndpointUnreachable.title());
    assert!(message.contains("container"), "{message}");
}

#[test]
fn no_source_at_all_names_the_three_remedies() {
    let Some(instance) = instance::get() else {
        return;
    };
    let folder = Folder::new();
    let action = Action::new(instance, &folder.work).input("discovery", "environment");
    let message = action.run().refused(Trouble::NoSource.title());
    for remedy in ["hook", "dind", "credentials-uri"] {
        assert!(message.contains(remedy), "{remedy} in {message}");
    }
}

#[test]
fn a_later_step_of_the_runner_in_a_job_container_gets_the_keys_too() {
    let Some(instance) = instance::get() else {
        return;
    };
    let (folder, task) = (Folder::new(), instance.agent.task());
    let finished = folder.with_environment(instance, &task).run().succeeded();
    let job = Container::start(instance, "job", &[], &["sleep", "1d"]);
    let mut exec = vec!["exec".to_owned()];
    for (name, value) in finished.env.pairs() {
        exec.extend(["-e".to_owned(), format!("{name}={value}")]);
    }
    exec.extend([&*job.name, "env"].map(str::to_owned));
    let environment = instance.docker(&exec);
    assert!(environment.contains(&format!("AWS_SESSION_TOKEN={}\n", task.keys.token)));
}
