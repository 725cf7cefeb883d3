//! With Docker: what the action's container costs beside an empty one, and what finding the runner costs.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::programs::Programs;
use crate::report::{Goal, Report, row};
use crate::rounds::{Competitor, Times, interleave, shown};
use crate::support::agent::Task;
use crate::support::image;
use crate::support::instance::{self, Instance};
use crate::support::runner::{Action, Container, Runner, Work};

const ROUNDS: usize = 50;

/// Rounds of a discovery: with two requests each they stay within the agent's rate.
const DISCOVERIES: usize = 25;

/// How many containers run, and how many of them are runners of one service.
const CROWDS: [(usize, usize); 4] = [(1, 1), (5, 5), (20, 5), (50, 5)];

pub fn measure(programs: &Programs, report: &mut Report) {
    report.text("## Containers");
    let Some(instance) = instance::get() else {
        report.left_out(
            "the container step and discovery",
            "no Docker Engine could be started (root, `dockerd` and `iptables` are needed)",
        );
        return;
    };
    container_step(instance, programs, report);
    discovery(instance, programs, report);
}

/// Flags that give a container what ECS gives the containers of a task.
fn of_task(task: &Task) -> [String; 2] {
    [
        "-e".to_owned(),
        format!("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI={}", task.uri()),
    ]
}

/// An image of these programs, which starts the first one with these words.
fn image_of(instance: &Instance, programs: &[&Path], words: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    for program in programs {
        let name = program.file_name().unwrap();
        fs::copy(program, folder.path().join(name)).unwrap();
    }
    let name = programs[0].file_name().unwrap().to_str().unwrap();
    let first = format!("/{name}");
    let line: Vec<&str> = [first.as_str()].iter().chain(words).copied().collect();
    let entrypoint = format!("ENTRYPOINT {}", serde_json::to_string(&line).unwrap());
    image::import(instance, folder.path(), name, &[&entrypoint])
}

fn container_step(instance: &Instance, programs: &Programs, report: &mut Report) {
    report.text(&format!(
        "`docker run` with the runner's flags and mounts, from the start of the client to its end: the action's image, \
         whose endpoint comes from `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`, and the image of a static program that does \
         nothing. {ROUNDS} interleaved rounds."
    ));
    let host = tempfile::tempdir().unwrap();
    let work = Work::new(host.path(), "bench");
    let task = instance.agent.task();
    let empty = image_of(instance, &[&programs.empty], &[]);
    let start = |image: Option<&str>| -> Duration {
        let mut action = Action::new(instance, &work)
            .input("aws-region", "eu-west-1")
            .env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", task.uri());
        if let Some(image) = image {
            action = action.image(image);
        }
        let start = Instant::now();
        let finished = action.run();
        let took = start.elapsed();
        finished.succeeded();
        took
    };
    let mut competitors = [
        Competitor::new("the action's container", 1, || start(None)),
        Competitor::new("an empty program's container", 1, || start(Some(&empty))),
    ];
    interleave(ROUNDS, &mut competitors);
    let [ours, theirs] = [&competitors[0], &competitors[1]];
    let ratio = ours.times.against(&theirs.times);
    let undisturbed = ours.times.against_undisturbed(&theirs.times);
    let mut rows = vec![row(["", "median", "tenth percentile", "ratio", "goal"])];
    for Competitor { name, times, .. } in [ours, theirs] {
        let (ratio, goal) = if times.median() == ours.times.median() {
            (
                format!("{ratio:.3} ({undisturbed:.3})"),
                Goal::AtMost(1.05).judge(ratio),
            )
        } else {
            (String::new(), String::new())
        };
        rows.push(row([
            name,
            &shown(times.median()),
            &shown(times.undisturbed()),
            &ratio,
            &goal,
        ]));
    }
    report.table(&rows);
}

fn discovery(instance: &Instance, programs: &Programs, report: &mut Report) {
    report.text(&format!(
        "### Discovery\n\nZero configuration: the whole process finds the runner's container through the Docker Engine and \
         fetches its role's keys. A stopwatch in the container that the runner's docker client started runs it in turn \
         with a bare client (`std`'s `UnixStream`), which knows all answers and only sends the same requests: list, \
         `top` of each candidate side by side, inspect, and the GET. {DISCOVERIES} rounds each. On the way are 3 round \
         trips to the Engine, the `top`s being one."
    ));
    let mut rows = vec![row([
        "containers",
        "candidates",
        "the action",
        "bare client",
        "ratio",
        "goal",
    ])];
    let host = tempfile::tempdir().unwrap();
    let tasks: Vec<Task> = (0..5).map(|_| instance.agent.task()).collect();
    let mut runners: Vec<Runner<'_>> = Vec::new();
    let mut others: Vec<Container<'_>> = Vec::new();
    for (containers, candidates) in CROWDS {
        while runners.len() < candidates {
            let number = runners.len();
            let flags = of_task(&tasks[number]);
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            let name = format!("runner-{number}");
            runners.push(Runner::start(instance, host.path(), &name, &flags));
        }
        while runners.len() + others.len() < containers {
            others.push(Container::start(instance, "other", &[], &["sleep", "1d"]));
        }
        let [ours, theirs] = stopwatch(instance, programs, &runners, &tasks[0]);
        let ratio = ours.against(&theirs);
        let undisturbed = ours.against_undisturbed(&theirs);
        rows.push(row([
            &containers.to_string(),
            &candidates.to_string(),
            &shown(ours.median()),
            &shown(theirs.median()),
            &format!("{ratio:.2} ({undisturbed:.2})"),
            &Goal::AtMost(1.2).judge(ratio),
        ]));
    }
    report.table(&rows);
}

/// The first runner's step: times of the action, and of the bare client.
fn stopwatch(
    instance: &Instance,
    programs: &Programs,
    runners: &[Runner<'_>],
    task: &Task,
) -> [Times; 2] {
    let ids: Vec<String> = runners
        .iter()
        .map(|runner| instance.docker(["inspect", "--format", "{{.Id}}", &runner.container.name]))
        .collect();
    let uri = task.uri();
    let rounds = DISCOVERIES.to_string();
    let mut words = vec![
        rounds.as_str(),
        "/ecs-task-role",
        "--",
        "/bare",
        "169.254.170.2:80",
    ];
    words.extend([uri.as_str(), ids[0].as_str()]);
    words.extend(ids.iter().map(String::as_str));
    let image = image_of(
        instance,
        &[&programs.stopwatch, &programs.action, &programs.bare],
        &words,
    );
    let finished = runners[0]
        .action()
        .image(&image)
        .input("aws-region", "eu-west-1")
        .run()
        .succeeded();
    let said = String::from_utf8(finished.stdout).unwrap();
    let mut times = [Times::default(), Times::default()];
    for line in said.lines() {
        for (times, time) in times.iter_mut().zip(line.split(' ')) {
            times.add(time.parse().unwrap());
        }
    }
    assert_eq!(times[1].count(), DISCOVERIES, "{said}");
    times
}
