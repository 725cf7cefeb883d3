//! Zero configuration: the runner's container is found through the Docker Engine, and never a neighbour's.
//!
//! Nothing is faked but the endpoint's keys. Each runner is a container, and the docker client that starts
//! the action is a process in it.

use std::collections::HashMap;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ecs_task_role::trouble::Trouble;

use crate::support::agent::Task;
use crate::support::instance::{self, Instance, NoPs, eventually, random_hex};
use crate::support::runner::{Action, Container, Finished, Runner, SOCKET, Work, same_path};

/// The directory on the host that all runners of a service share.
struct Host {
    directory: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        Self {
            // Not in /tmp: a nested runner of other tests has all of that mounted, and would be a candidate here.
            directory: tempfile::tempdir_in("/var/tmp").unwrap(),
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn mount(&self) -> String {
        same_path(self.path())
    }
}

/// What ECS puts into a container of a task that has a role.
fn ecs(task: &Task) -> Vec<String> {
    [
        "-e",
        &format!("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI={}", task.uri()),
        "-e",
        &format!("ECS_CONTAINER_METADATA_URI_V4={}", task.metadata_uri()),
        "--label",
        &format!("com.amazonaws.ecs.task-arn={}", task.arn),
        "--label",
        "com.amazonaws.ecs.container-name=runner",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// A runner of a task with a role.
fn runner<'a>(instance: &'a Instance, host: &Host, name: &str, task: &Task) -> Runner<'a> {
    let flags = ecs(task);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    Runner::start(instance, host.path(), name, &flags)
}

/// So many replicas of one service, each with a task of its own.
fn fleet<'a>(instance: &'a Instance, host: &Host, count: usize) -> Vec<(Runner<'a>, Task)> {
    (1..=count)
        .map(|number| {
            let task = instance.agent.task();
            (
                runner(instance, host, &format!("fleet-{number}"), &task),
                task,
            )
        })
        .collect()
}

/// The run got this task's role, and nothing of it is in the log.
fn got<'a>(finished: Finished<'a>, task: &Task) -> Finished<'a> {
    let finished = finished
        .succeeded()
        .keeps_secret(&task.id)
        .keeps_secret(&task.keys.id)
        .keeps_secret(&task.keys.secret)
        .keeps_secret(&task.keys.token);
    assert_eq!(
        finished.output.get("role-arn").as_deref(),
        Some(&*task.role),
        "{finished}"
    );
    assert_eq!(
        finished.output.get("source").as_deref(),
        Some("docker"),
        "{finished}"
    );
    let key = finished.env.get("AWS_SECRET_ACCESS_KEY");
    assert_eq!(key.as_deref(), Some(&*task.keys.secret), "{finished}");
    finished
}

/// The run was refused under this title; no task's URI is in the log, and none was asked for.
fn refused(finished: Finished<'_>, trouble: Trouble, tasks: &[&Task]) -> String {
    let instance = finished.instance;
    let finished = tasks
        .iter()
        .fold(finished, |f, task| f.keeps_secret(&task.id));
    let message = finished.refused(trouble.title());
    for task in tasks {
        assert!(
            instance.agent.audit(task).is_empty(),
            "a neighbour's role was asked for: {message}"
        );
    }
    message
}

/// A socket that takes connections and never says a word.
struct Deaf {
    path: PathBuf,
}

impl Deaf {
    fn at(path: PathBuf) -> Self {
        let listener = UnixListener::bind(&path).unwrap();
        thread::spawn(move || {
            // Kept open, so that the client waits.
            let mut connections = Vec::new();
            while let Ok((connection, _)) = listener.accept() {
                connections.push(connection);
            }
        });
        Self { path }
    }
}

/// A neighbour in which a real docker client runs for as long as the neighbour lives: its engine is deaf.
fn neighbour_with_client<'a>(
    instance: &'a Instance,
    host: &Host,
    flags: &[&str],
    client: &[&str],
) -> (Container<'a>, Deaf) {
    let deaf = Deaf::at(host.path().join(format!("deaf-{}.sock", random_hex(6))));
    let mount = host.mount();
    let engine = format!("DOCKER_HOST=unix://{}", deaf.path.display());
    let own = ["-v", &mount, "-e", &engine];
    let neighbour = Container::start(instance, "neighbour", &[&own, flags].concat(), client);
    eventually("the neighbour's client", || {
        let top = instance.docker(["top", &neighbour.name, "-eo", "pid,args"]);
        top.contains(client[1]).then_some(())
    });
    (neighbour, deaf)
}

#[test]
fn two_runners_with_two_roles_each_get_their_own() {
    let Some(instance) = instance::get() else {
        return;
    };
    let host = Host::new();
    for (runner, task) in &fleet(instance, &host, 2) {
        let finished = got(runner.action().run(), task);
        assert!(finished.log().contains(&task.role), "{finished}");
        assert!(finished.log().contains("docker"), "{finished}");
        let next = finished.next_step();
        assert!(next.contains(&("AWS_ACCESS_KEY_ID".to_owned(), task.keys.id.clone())));
    }
}

#[test]
fn five_replicas_at_once_each_get_their_own() {
    let Some(instance) = instance::get() else {
        return;
    };
    let host = Host::new();
    let fleet = fleet(instance, &host, 5);
    for _ in 0..3 {
        thread::scope(|scope| {
            for (runner, task) in &fleet {
                scope.spawn(|| got(runner.action().run(), task));
            }
        });
    }
    for (_, task) in &fleet {
        assert_eq!(instance.agent.audit(task).len(), 3);
    }
}

#[test]
fn siblings_that_come_and_go_change_nothing() {
    let Some(instance) = instance::get() else {
        return;
    };
    let host = Host::new();
    let fleet = fleet(instance, &host, 5);
    let (sibling, stop) = (instance.agent.task(), AtomicBool::new(false));
    thread::scope(|scope| {
        let siblings: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut flags = ecs(&sibling);
                    flags.extend(["-v".to_owned(), host.mount()]);
                    let mut count = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let line = [
                            &["run", "--rm"].map(str::to_owned)[..],
                            &flags,
                            &[crate::support::image::machine(instance).to_owned()],
                            &["sleep", "0.2"].map(str::to_owned),
                        ];
                        instance.docker(line.concat());
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        let rounds = thread::scope(|scope| {
            let runs: Vec<_> = fleet
                .iter()
                .map(|(runner, task)| {
                    scope.spawn(move || {
                        for _ in 0..4 {
                            got(runner.action().run(), task);
                        }
                    })
                })
                .collect();
            runs.into_iter().map(|run| run.join()).collect::<Vec<_>>()
        });
        stop.store(true, Ordering::Relaxed);
        let ended: usize = siblings
            .into_iter()
            .map(|sibling| sibling.join().unwrap())
            .sum();
        for round in rounds {
            round.unwrap();
        }
        assert!(ended >= 4, "only {ended} siblings came and went");
    });
    assert!(instance.agent.audit(&sibling).is_empty());
}

#[test]
fn neighbours_with_the_mount_and_a_role_are_never_taken_for_the_runner() {
    let Some(instance) = instance::get() else {
        return;
    };
    let host = Host::new();
    let mine = instance.agent.task();
    let theirs: Vec<Task> = (0..4).map(|_| instance.agent.task()).collect();
    let mount = host.mount();
    let docker = format!("{SOCKET}:{SOCKET}");
    let start = |name, task: &Task, own: &[&str], command: &[&str]| {
        let flags = ecs(task);
        let flags: Vec<&str> = flags
            .iter()
            .map(String::as_str)
            .chain(own.iter().copied())
            .collect();
        Container::start(instance, name, &flags, command)
    };
    let runner = runner(instance, &host, "fleet-1", &mine);
    fs::write(
        host.path().join("fleet-1/.runner"),
        r#"{"agentName":"fleet-1"}"#,
    )
    .unwrap();
    let _shipper = start(
        "log-shipper",
        &theirs[0],
        &["-v", &format!("{mount}:ro")],
        &["sleep", "1d"],
    );
    let _janitor = start(
        "janitor",
        &theirs[1],
        &["-v", &mount, "-v", &docker],
        &["sh", "-c", "while :; do docker ps -q; sleep 1; done"],
    );
    // Everything that a runner shows of itself, but for the client that starts the action.
    let _claimant = start(
        "fleet-1",
        &theirs[2],
        &[
            "-v",
            &mount,
            "-v",
            &docker,
            "-e",
            "RUNNER_NAME=fleet-1",
            "--label",
            "0a1b2c",
        ],
        &["sleep", "1d"],
    );
    let work = runner.work.path.display().to_string();
    let _job = start(
        "job",
        &theirs[3],
        &["-v", &mount, "-v", &format!("{work}:/__w"), "-v", &docker],
        &["tail", "-f", "/dev/null"],
    );
    got(runner.action().flag(&["--label", "0a1b2c"]).run(), &mine);
    for task in &theirs {
        assert!(instance.agent.audit(task).is_empty());
    }
}

#[test]
fn a_client_of_another_name_is_no_proof() {
    let Some(instance) = instance::get() else {
        return;
    };
    let host = Host::new();
    let (mine, theirs) = (instance.agent.task(), instance.agent.task());
    let runner = runner(instance, &host, "fleet-1", &mine);
    let action = runner.action();
    let flags = ecs(&theirs);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    // `docker` is the name of a folder here.
    for client in ["/usr/bin/podman", "/opt/docker/client"] {
        let line = [client, "run", "--name", &action.name, "image"];
        let _neighbour = neighbour_with_client(instance, &host, &flags, &line);
        got(action.run(), &mine);
    }
    // Nor where it is the only one that names me.
    let line = ["/usr/bin/podman", "run", "--name", &action.name, "image"];
    let _neighbour = neighbour_with_client(instance, &host, &flags, &line);
    let outside = Action::new(instance, &runner.work).named(&action.name);
    refused(outside.run(), Trouble::RunnerNotProved, &[&theirs]);
}

#[test]
fn a_client_that_does_something_else_is_no_proof() {
    let Some(instance) = instance::get() else {
        return;
    };
    let host = Host::new();
    let (mine, theirs) = (instance.agent.task(), instance.agent.task());
    let runner = runner(instance, &host, "fleet-1", &mine);
    let action = runner.action();
    let flags = ecs(&theirs);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let my_name = &*action.name;
    let (longer, prefixed) = (format!("{my_name}0"), format!("x{my_name}"));
    let joined = format!("--name={my_name}");
    for line in [
        &["/usr/bin/docker", "run", "--name", &longer, "image"][..],
        &["/usr/bin/docker", "run", "--name", &prefixed, "image"],
        &["/usr/bin/docker", "create", "--name", my_name, "image"],
        &["/usr/bin/docker", "run", "--hostname", my_name, "image"],
        &["/usr/bin/docker", "run", &joined, "image"],
        &["/usr/bin/docker", "logs", my_name],
    ] {
        let _neighbour = neighbour_with_client(instance, &host, &flags, line);
        got(action.run(), &mine);
    }
    assert!(instance.agent.audit(&theirs).is_empty());
}

#[test]
fn a_container_with_the_directory_elsewhere_is_no_candidate() {
    let Some(instance) = instance::get() else {
        return;
    };
    let host = Host::new();
    let (mine, theirs) = (instance.agent.task(), instance.agent.task());
    let runner = runner(instance, &host, "fleet-1", &mine);
    let action = runner.action();
    let sockets = Host::new();
    let (at_another_path, inside) = (
        format!("{}:/__w", host.path().display()),
        format!("{}/fleet-1/_temp", host.path().display()),
    );
    let (mount, other) = (host.mount(), Host::new());
    let hidden = format!("{}:{inside}", other.path().display());
    let tmpfs = format!("type=tmpfs,destination={inside}");
    // Each runs a client that names me. The second has the directory at its path, but something else is
    // mounted over the part of it that matters.
    for mounts in [
        &["-v", &at_another_path][..],
        &["-v", &mount, "-v", &hidden],
        &["-v", &mount, "--mount", &tmpfs],
        &[],
    ] {
        let mut flags: Vec<String> = ecs(&theirs);
        flags.extend(mounts.iter().map(|&flag| flag.to_owned()));
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let line = ["/usr/bin/docker", "run", "--name", &action.name, "image"];
        let _neighbour = neighbour_with_client(instance, &sockets, &flags, &line);
        got(action.run(), &mine);
    }
    assert!(instance.agent.audit(&theirs).is_empty());
}

#[test]
fn two_containers_that_name_me_are_refused() {
    let Some(instance) = instance::get() else {
        return;
    };
    let host = Host::new();
    let (mine, theirs) = (instance.agent.task(), instance.agent.task());
    let runner = runner(instance, &host, "fleet-1", &mine);
    let action = runner.action();
    let flags = ecs(&theirs);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let line = ["/usr/bin/docker", "run", "--name", &action.name, "image"];
    let (neighbour, _deaf) = neighbour_with_client(instance, &host, &flags, &line);
    let message = refused(action.run(), Trouble::RunnerNotProved, &[&mine, &theirs]);
    assert!(message.contains(&neighbour.name), "{message}");
    assert!(message.contains(&runner.container.name), "{message}");
    drop(neighbour);
    got(action.run(), &mine);
}

#[test]
fn several_clients_in_one_container_are_one_proof() {
    let Some(instance) = instance::get() else {
        return;
    };
    let host = Host::new();
    let mine = instance.agent.task();
    let runner = runner(instance, &host, "fleet-1", &mine);
    let action = runner.action();
    let deaf = Deaf::at(host.path().join("deaf.sock"));
    let engine = format!("DOCKER_HOST=unix://{}", deaf.path.display());
    instance.docker([
        "exec",
        "-d",
        "-e",
        &engine,
        &runner.container.name,
        "/usr/bin/docker",
        "run",
        "--name",
        &action.name,
        "image",
    ]);
    got(action.run(), &mine);
}

#[test]
fn commands_of_the_log_in_labels_and_processes_stay_text() {
    let Some(instance) = instance::get() else {
        return;
    };
    let host = Host::new();
    let mine = instance.agent.task();
    let mount = host.mount();
    let _neighbour = Container::start(
        instance,
        "neighbour",
        &[
            "-v",
            &mount,
            "--label",
            "::error::MARKER=::error::MARKER",
            "--label",
            "##[error]MARKER=##[error]MARKER",
            "-e",
            "X=::error::MARKER",
        ],
        &[
            "sh",
            "-c",
            "sleep 1d; : '::error::MARKER' '\n::error::MARKER' '##[error]MARKER'",
        ],
    );
    let runner = runner(instance, &host, "fleet-1", &mine);
    got(
        runner
            .action()
            .input("discovery", "auto")
            .env("RUNNER_DEBUG", "1")
            .run(),
        &mine,
    )
    .keeps_secret("MARKER");
    // And where the neighbour is spoken of.
    let outside = Action::new(instance, &runner.work)
        .env("RUNNER_DEBUG", "1")
        .run();
    let message = refused(
        outside.keeps_secret("MARKER"),
        Trouble::RunnerNotProved,
        &[],
    );
    assert!(message.contains("neighbour-"), "{message}");
}

#[test]
fn thousands_of_processes_hide_nothing() {
    let Some(instance) = instance::get() else {
        return;
    };
    let host = Host::new();
    let mine = instance.agent.task();
    let runner = runner(instance, &host, "fleet-1", &mine);
    let crowd = "i=0; while [ $i -lt 3000 ]; do sleep 1d & i=$((i+1)); done; echo full; wait";
    let mut crowded = instance
        .command("docker")
        .args(["exec", &runner.container.name, "sh", "-c", crowd])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(crowded.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "full\n");
    got(runner.action().run(), &mine);
    drop(runner);
    let _ = crowded.wait();
}

#[test]
fn a_runner_on_the_host_itself_is_refused() {
    let Some(instance) = instance::get() else {
        return;
    };
    let host = Host::new();
    let work = Work::new(host.path(), "on-the-host");
    let message = refused(
        Action::new(instance, &work).run(),
        Trouble::RunnerNotProved,
        &[],
    );
    assert!(message.contains("dind"), "{message}");
    // Whoever else has the directory.
    let fleet = fleet(instance, &host, 2);
    let message = refused(
        Action::new(instance, &work).run(),
        Trouble::RunnerNotProved,
        &[&fleet[0].1, &fleet[1].1],
    );
    for (runner, _) in &fleet {
        assert!(message.contains(&runner.container.name), "{message}");
    }
}

#[test]
fn a_runner_without_a_role_gets_nobodys() {
    let Some(instance) = instance::get() else {
        return;
    };
    let host = Host::new();
    let alone = Runner::start(instance, host.path(), "without-role", &[]);
    refused(alone.action().run(), Trouble::NoTaskRole, &[]);
    let fleet = fleet(instance, &host, 5);
    let tasks: Vec<&Task> = fleet.iter().map(|(_, task)| task).collect();
    refused(alone.action().run(), Trouble::NoTaskRole, &tasks);
}

#[test]
fn an_empty_uri_of_the_runner_counts_as_none() {
    let Some(instance) = instance::get() else {
        return;
    };
    let host = Host::new();
    let flags = ["-e", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI="];
    let runner = Runner::start(instance, host.path(), "empty", &flags);
    refused(runner.action().run(), Trouble::NoTaskRole, &[]);
}

#[test]
fn a_full_uri_serves_the_runners_container_alone() {
    let Some(instance) = instance::get() else {
        return;
    };
    let host = Host::new();
    let uri = "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.170.23/v1/MARKER-FULL";
    let runner = Runner::start(instance, host.path(), "eks", &["-e", uri]);
    let message = runner
        .action()
        .run()
        .keeps_secret("MARKER-FULL")
        .refused(Trouble::EndpointOfRunnerOnly.title());
    assert!(message.contains("dind"), "{message}");
}

#[test]
fn a_bad_uri_of_the_runner_is_refused_not_skipped() {
    let Some(instance) = instance::get() else {
        return;
    };
    let host = Host::new();
    let uri = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=@evil.example/MARKER-BAD";
    let runner = Runner::start(instance, host.path(), "bad", &["-e", uri]);
    runner
        .action()
        .run()
        .keeps_secret("MARKER-BAD")
        .refused(Trouble::EndpointNotAllowed.title());
}

#[test]
fn a_source_of_the_steps_own_comes_before_discovery() {
    let Some(instance) = instance::get() else {
        return;
    };
    let host = Host::new();
    let (of_runner, of_step) = (instance.agent.task(), instance.agent.task());
    let runner = runner(instance, &host, "fleet-1", &of_runner);
    let action = runner
        .action()
        .env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", of_step.uri());
    let finished = action.run().succeeded();
    assert_eq!(
        finished.output.get("role-arn").as_deref(),
        Some(&*of_step.role)
    );
    assert!(instance.agent.audit(&of_runner).is_empty());
}

#[test]
fn discovery_can_be_switched_off() {
    let Some(instance) = instance::get() else {
        return;
    };
    let host = Host::new();
    let task = instance.agent.task();
    let runner = runner(instance, &host, "fleet-1", &task);
    let action = runner.action().input("discovery", "environment");
    refused(action.run(), Trouble::NoSource, &[&task]);
}

#[test]
fn the_region_is_the_one_in_the_runners_environment() {
    let Some(instance) = instance::get() else {
        return;
    };
    let host = Host::new();
    let task = instance.agent.task();
    let mut flags = ecs(&task);
    flags.extend(["-e".to_owned(), "AWS_REGION=ap-southeast-2".to_owned()]);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let runner = Runner::start(instance, host.path(), "fleet-1", &flags);
    let finished = got(runner.action().run(), &task);
    for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
        assert_eq!(finished.env.get(name).as_deref(), Some("ap-southeast-2"));
    }
    let finished = got(
        runner.action().input("aws-region", "us-gov-west-1").run(),
        &task,
    );
    assert_eq!(
        finished.env.get("AWS_REGION").as_deref(),
        Some("us-gov-west-1")
    );
}

#[test]
fn the_region_is_that_of_the_runners_task_where_its_environment_has_none() {
    let Some(instance) = instance::get() else {
        return;
    };
    let host = Host::new();
    let task = instance.agent.task();
    let runner = runner(instance, &host, "fleet-1", &task);
    let finished = got(runner.action().run(), &task);
    // The label's, not the one that the metadata endpoint gives.
    assert_eq!(
        finished.output.get("aws-region").as_deref(),
        Some("eu-central-1")
    );
    assert_eq!(
        finished.env.get("AWS_REGION").as_deref(),
        Some("eu-central-1")
    );
}

#[test]
fn an_engine_that_does_not_know_the_runner_is_docker_in_docker() {
    let Some(instance) = instance::get() else {
        return;
    };
    let Some(inner) = NoPs::start() else { return };
    let inner = &inner.instance;
    let host = Host::new();
    let task = instance.agent.task();
    let runner = runner(instance, &host, "fleet-1", &task);
    // The runner's own container has the inner engine's socket where the outer one's would be.
    let mount = host.mount();
    let socket = format!("{}:{SOCKET}", inner.socket().display());
    let outer = Container::start(
        instance,
        "outer",
        &["-v", &mount, "-v", &socket],
        &["sleep", "1d"],
    );
    let action = Action::new(inner, &runner.work).by(&outer);
    let message = refused(action.run(), Trouble::RunnerNotProved, &[&task]);
    assert!(message.contains("dind"), "{message}");
}

#[test]
fn a_host_without_ps_is_told_and_the_hook_named() {
    let Some(no_ps) = NoPs::start() else { return };
    let instance = &no_ps.instance;
    let host = Host::new();
    let task = instance.agent.task();
    let runner = runner(instance, &host, "fleet-1", &task);
    let message = refused(runner.action().run(), Trouble::NoProcessList, &[&task]);
    assert!(message.contains("hook"), "{message}");
    // One that does not know the options is no better.
    let ps = no_ps.programs.path().join("ps");
    symlink(crate::support::image::which("busybox"), &ps).unwrap();
    let message = refused(runner.action().run(), Trouble::NoProcessList, &[&task]);
    assert!(message.contains("hook"), "{message}");
    // With a real one the very same runner is found.
    fs::remove_file(&ps).unwrap();
    symlink(crate::support::image::which("ps"), &ps).unwrap();
    got(runner.action().run(), &task);
}

#[test]
fn another_containers_network_is_no_identity() {
    let Some(instance) = instance::get() else {
        return;
    };
    let host = Host::new();
    let (mine, theirs) = (instance.agent.task(), instance.agent.task());
    let me = runner(instance, &host, "fleet-1", &mine);
    let neighbour = runner(instance, &host, "fleet-2", &theirs);
    // /etc/hostname and its like are then those of the other container.
    let network = format!("container:{}", neighbour.container.name);
    let action = me.action().flag(&["--network", &network]);
    refused(action.run(), Trouble::NoSource, &[&mine, &theirs]);
}

#[test]
fn outside_of_githubs_runner_there_is_no_discovery() {
    let Some(instance) = instance::get() else {
        return;
    };
    let host = Host::new();
    let task = instance.agent.task();
    let runner = runner(instance, &host, "fleet-1", &task);
    // As act and its kin start it: no /github mounts, the files in a volume.
    let files = host.path().join("files");
    fs::create_dir(&files).unwrap();
    for name in ["env", "output"] {
        fs::write(files.join(name), "").unwrap();
    }
    let output = runner.container.exec(&[
        "/usr/bin/docker",
        "run",
        "--rm",
        "-v",
        &format!("{SOCKET}:{SOCKET}"),
        "-v",
        &format!("{}:/var/run/act/workflow", files.display()),
        "-e",
        "GITHUB_ENV=/var/run/act/workflow/env",
        "-e",
        "GITHUB_OUTPUT=/var/run/act/workflow/output",
        crate::support::image::action(instance),
    ]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("no credentials endpoint was found"), "{said}");
    for remedy in ["hook", "credentials-uri"] {
        assert!(said.contains(remedy), "{remedy} in {said}");
    }
    assert_eq!(fs::read(files.join("env")).unwrap(), b"");
}

// --- What the Engine is asked ---

/// Hands a client's requests on to the Engine, and writes down what was asked.
struct Listener {
    path: PathBuf,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Listener {
    fn before(instance: &Instance, path: PathBuf) -> Self {
        let listener = UnixListener::bind(&path).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (engine, log) = (instance.socket(), Arc::clone(&asked));
        thread::spawn(move || {
            for client in listener.incoming() {
                let (engine, log) = (engine.clone(), Arc::clone(&log));
                thread::spawn(move || hand_on(&client?, &engine, &log));
            }
        });
        Self { path, asked }
    }
}

fn hand_on(client: &UnixStream, engine: &Path, log: &Mutex<Vec<String>>) -> io::Result<()> {
    let engine = UnixStream::connect(engine)?;
    let (mut from_engine, mut to_client) = (engine.try_clone()?, client.try_clone()?);
    let back = thread::spawn(move || {
        let copied = io::copy(&mut from_engine, &mut to_client);
        let _ = to_client.shutdown(std::net::Shutdown::Both);
        copied
    });
    let mut requests = BufReader::new(client.try_clone()?);
    let mut to_engine = &engine;
    let mut line = String::new();
    while requests.read_line(&mut line)? > 0 {
        to_engine.write_all(line.as_bytes())?;
        // No request that is asked for here has a body, so each such line begins one.
        if line.trim_end().ends_with(" HTTP/1.1") {
            log.lock().unwrap().push(line.trim_end().to_owned());
        }
        line.clear();
    }
    engine.shutdown(std::net::Shutdown::Both)?;
    back.join().unwrap().map(|_| ())
}

#[test]
fn the_engine_is_asked_three_things_and_told_nothing() {
    let Some(instance) = instance::get() else {
        return;
    };
    let host = Host::new();
    let fleet = fleet(instance, &host, 5);
    let listener = Listener::before(instance, host.path().join("engine.sock"));
    let (runner, task) = &fleet[2];
    got(runner.action().socket(&listener.path).run(), task);
    let id = |runner: &Runner<'_>| {
        instance.docker(["inspect", "--format", "{{.Id}}", &runner.container.name])
    };
    let asked = listener.asked.lock().unwrap().clone();
    let mut kinds: HashMap<&str, Vec<&str>> = HashMap::new();
    for request in &asked {
        let target = request.strip_prefix("GET /containers/").expect(request);
        let target = target.strip_suffix(" HTTP/1.1").expect(request);
        let (kind, of) = if target.starts_with("json") {
            ("list", "")
        } else {
            let (of, what) = target.split_once('/').expect(request);
            (
                if what.starts_with("top") {
                    "top"
                } else {
                    "inspect"
                },
                of,
            )
        };
        kinds.entry(kind).or_default().push(of);
    }
    assert_eq!(kinds["list"], [""], "{asked:?}");
    let mut candidates = kinds["top"].clone();
    candidates.sort_unstable();
    let mut runners: Vec<String> = fleet.iter().map(|(runner, _)| id(runner)).collect();
    runners.sort_unstable();
    assert_eq!(candidates, runners, "{asked:?}");
    assert_eq!(kinds["inspect"], [id(runner)], "{asked:?}");
    // One after the other: whom to ask is known from the list, whom to inspect from the processes.
    assert!(asked[0].contains("/containers/json"), "{asked:?}");
    assert!(
        asked[6].contains(&format!("/{}/json", id(runner))),
        "{asked:?}"
    );
}

// --- An Engine that can't be asked ---

/// A runner with a role, whose action finds this under the name of the Engine's socket.
fn with_socket(prepare: impl FnOnce(&Path), flags: &[&str], trouble: Trouble) -> Option<String> {
    let instance = instance::get()?;
    let host = Host::new();
    let task = instance.agent.task();
    let runner = runner(instance, &host, "fleet-1", &task);
    let socket = host.path().join("thing");
    prepare(&socket);
    let action = runner.action().socket(&socket).flag(flags);
    Some(refused(action.run(), trouble, &[&task]))
}

#[test]
fn a_socket_that_is_missing_is_no_source() {
    let Some(instance) = instance::get() else {
        return;
    };
    let host = Host::new();
    let task = instance.agent.task();
    let runner = runner(instance, &host, "fleet-1", &task);
    let message = refused(
        runner.action().without_socket().run(),
        Trouble::NoSource,
        &[&task],
    );
    for remedy in ["hook", "dind", "credentials-uri"] {
        assert!(message.contains(remedy), "{remedy} in {message}");
    }
}

#[test]
fn a_directory_of_the_sockets_name_is_told() {
    // What docker makes where the host has no socket.
    let directory = |path: &Path| fs::create_dir(path).unwrap();
    let Some(message) = with_socket(directory, &[], Trouble::NoSource) else {
        return;
    };
    assert!(message.contains("directory"), "{message}");
}

#[test]
fn an_engine_that_has_ended_is_told() {
    // The listener is gone at once, its socket's file stays.
    let ended = |path: &Path| drop(UnixListener::bind(path).unwrap());
    let Some(message) = with_socket(ended, &[], Trouble::Engine) else {
        return;
    };
    assert!(message.contains("refused"), "{message}");
}

#[test]
fn a_socket_that_is_forbidden_is_told_with_the_usual_causes() {
    let forbid = |path: &Path| {
        drop(UnixListener::bind(path).unwrap());
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        chown(path, Some(1001), Some(1001)).unwrap();
    };
    // Without the capability, root is as good as any other user: what a user namespace comes down to.
    let flags = ["--cap-drop", "DAC_OVERRIDE"];
    let Some(message) = with_socket(forbid, &flags, Trouble::Engine) else {
        return;
    };
    assert!(message.contains("remap"), "{message}");
    assert!(message.contains("SELinux"), "{message}");
}

#[test]
fn an_engine_that_says_nothing_is_given_up() {
    let deaf = |path: &Path| {
        Deaf::at(path.to_owned());
    };
    let Some(message) = with_socket(deaf, &[], Trouble::Engine) else {
        return;
    };
    assert!(message.contains("in time"), "{message}");
}

/// A server that gives this answer to whatever it is asked.
fn says(path: &Path, answer: &'static [u8]) {
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut request = [0; 4096];
                let _ = client.read(&mut request);
                let _ = client.write_all(answer);
                // Read on, so that the client is not reset before it has read.
                let _ = client.shutdown(std::net::Shutdown::Write);
                let _ = client.set_read_timeout(Some(Duration::from_secs(5)));
                let _ = client.read(&mut request);
            });
        }
    });
}

#[test]
fn something_that_is_no_engine_is_told_and_not_quoted() {
    for answer in [
        &b"HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\nMARKER"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html>MARKER>",
        b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"MARKER\":1}",
        b"SSH-2.0-MARKER\r\n",
        b"",
    ] {
        let Some(message) = with_socket(|path| says(path, answer), &[], Trouble::Engine) else {
            return;
        };
        assert!(!message.contains("MARKER"), "{message}");
    }
}

#[test]
fn an_engines_answer_without_an_end_is_cut_off() {
    let endless = |path: &Path| {
        let listener = UnixListener::bind(path).unwrap();
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                thread::spawn(move || {
                    let _ = client.read(&mut [0; 4096])?;
                    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n[")?;
                    let blanks = [b' '; 65536];
                    loop {
                        client.write_all(&blanks)?;
                    }
                    #[expect(unreachable_code, reason = "gives the closure its type")]
                    io::Result::Ok(())
                });
            }
        });
    };
    let Some(message) = with_socket(endless, &[], Trouble::Engine) else {
        return;
    };
    assert!(message.contains("larger"), "{message}");
}
