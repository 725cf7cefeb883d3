//! Which container started me? Proof by the docker client that runs in it, or a refusal.
//!
//! Handing one task's credentials to another task's job would be the worst fault that this program can have.
//! A mount, a name, a label, `.runner`: all that a runner shows, a neighbour can have too. The process of the
//! docker client that started this very container, under this container's name, is in the runner's
//! container alone, and the Engine sees it there (docs/threat-model.md says what that does not cover).

pub mod choose;
pub mod clues;

use crate::engine::{Container, ContainerId, Engine, Environment, Silence};
use crate::trouble::{DIND, Trouble};
use crate::workflow::command;
use choose::{Me, Testimony};
use std::path::Path;
use tokio::task::{JoinError, JoinSet};

/// Where the runner mounts the Engine's socket into every container action, whatever `DOCKER_HOST` says
/// (`src/Runner.Worker/Container/DockerCommandManager.cs` of actions/runner).
const SOCKET: &str = "/var/run/docker.sock";

/// The container that runs the runner.
#[derive(Debug)]
pub struct Runner {
    /// Its name, fit to be shown.
    pub name: String,
    /// What it was configured with.
    pub environment: Environment,
}

/// Finds the runner's container, and keeps of its environment and labels the `wanted` ones alone.
///
/// An error is [`Trouble::NoSource`] where there is nothing to ask or no runner of GitHub's, [`Trouble::Engine`] where the
/// Engine does not answer, [`Trouble::NoProcessList`] and [`Trouble::RunnerNotProved`] where there is no proof.
pub async fn find(wanted: &[&str]) -> anyhow::Result<Runner> {
    // Unreadable is as good as empty: no container is found in it.
    #[expect(
        clippy::disallowed_methods,
        reason = "the kernel's own file, at a path that nobody chooses"
    )]
    let mountinfo = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let id = clues::container_id(&String::from_utf8_lossy(&mountinfo)).ok_or_else(|| {
        not_found("this program does not run in a container that docker made, so there is no runner's container to look for")
    })?;
    let engine = Engine::at(Path::new(SOCKET)).map_err(no_answer)?;
    let list = engine.list().await.map_err(no_answer)?;
    let me = Me::among(&list, &id).map_err(not_found)?;
    let candidates = choose::candidates(&list, &me);
    let testimonies = hear(&engine, &candidates, &me).await?;
    let runner = choose::decide(&list, &candidates, &testimonies, &me)?;
    let environment = engine
        .inspect(&runner.id, wanted)
        .await
        .map_err(no_answer)?;
    Ok(Runner {
        name: shown(&runner.name),
        environment,
    })
}

/// How many are asked at a time: each answer can be as large as a limit allows.
const AT_A_TIME: usize = 16;

/// Asks every candidate for its processes, side by side; once more where something went wrong.
async fn hear(
    engine: &Engine,
    candidates: &[&Container],
    me: &Me,
) -> anyhow::Result<Vec<Testimony>> {
    let mut heard: Vec<Option<Testimony>> = vec![None; candidates.len()];
    ask(engine, candidates, me, &mut heard).await;
    let ps_serves = heard
        .iter()
        .any(|testimony| matches!(testimony, Some(Testimony::Runs { .. })));
    let failed = |testimony: &Option<Testimony>| match testimony {
        Some(Testimony::Failed(_)) => true,
        Some(Testimony::NoPs) => ps_serves,
        _ => false,
    };
    if heard.iter().any(failed) {
        // Containers come and go: of those that failed, the ones that have ended no longer matter.
        let still = engine.list().await.map_err(no_answer)?;
        let runs = |id: &ContainerId| still.iter().any(|c| c.id == *id && c.running);
        for (candidate, testimony) in candidates.iter().zip(&mut heard) {
            if failed(testimony) {
                *testimony = (!runs(&candidate.id)).then_some(Testimony::Ended);
            }
        }
        ask(engine, candidates, me, &mut heard).await;
    }
    let unasked = || Testimony::Failed("it could not be asked".into());
    Ok(heard
        .into_iter()
        .map(|testimony| testimony.unwrap_or_else(unasked))
        .collect())
}

/// Fills in what has not been heard yet.
async fn ask(engine: &Engine, candidates: &[&Container], me: &Me, heard: &mut [Option<Testimony>]) {
    let unheard: Vec<usize> = (0..candidates.len())
        .filter(|&place| heard.get(place) == Some(&None))
        .collect();
    let mut asked = JoinSet::new();
    for place in unheard {
        let Some(candidate) = candidates.get(place) else {
            continue;
        };
        if asked.len() == AT_A_TIME {
            note(asked.join_next().await, heard);
        }
        let (engine, id, name) = (engine.clone(), candidate.id.clone(), me.name().to_owned());
        asked.spawn(async move {
            let answer = engine.processes(&id).await;
            (place, choose::testimony(answer, &name))
        });
    }
    while let Some(answer) = asked.join_next().await {
        note(Some(answer), heard);
    }
}

fn note(answer: Option<Result<(usize, Testimony), JoinError>>, heard: &mut [Option<Testimony>]) {
    if let Some(Ok((place, testimony))) = answer
        && let Some(slot) = heard.get_mut(place)
    {
        *slot = Some(testimony);
    }
}

/// A container's name is somebody else's text.
pub(crate) fn shown(name: &str) -> String {
    match command::foreign(name, []) {
        Some(name) if !name.is_empty() => name,
        _ => "(no name)".into(),
    }
}

/// How to go on where the Engine can't help.
fn remedies() -> String {
    format!(
        "remedies: the job-started hook (hooks/job-started.sh) on the runner, {DIND}, or the input `credentials-uri`"
    )
}

pub(crate) fn not_found(why: &str) -> anyhow::Error {
    Trouble::NoSource.because(format!(
        "no input and no variable names an endpoint, and the Docker Engine can not help: {why}; {}",
        remedies()
    ))
}

fn no_answer(silence: Silence) -> anyhow::Error {
    match silence {
        Silence::NoSocket(what) => not_found(&format!("at {SOCKET} is {what}")),
        // Its message is for us alone: it may name anything.
        Silence::Refused(status, _) => no_answer(Silence::Mute(format!("it answered with status {status}"))),
        Silence::Mute(why) => Trouble::Engine.because(format!(
            "no input and no variable names an endpoint; asked the Docker Engine at {SOCKET}: {why}; {}",
            remedies()
        )),
    }
}
