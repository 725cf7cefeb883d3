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
use tokio::task::JoinSet;

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

/// Finds the runner's container. `mountinfo` is the text of `/proc/self/mountinfo`.
pub async fn find(mountinfo: &str) -> anyhow::Result<Runner> {
    let id = clues::container_id(mountinfo).ok_or_else(|| {
        none("this program does not run in a container that docker made, so there is no runner's container to look for")
    })?;
    let engine = Engine::at(Path::new(SOCKET)).map_err(silent)?;
    let list = engine.list().await.map_err(silent)?;
    let me = Me::among(&list, &id).map_err(none)?;
    let candidates = choose::candidates(&list, &me);
    let testimonies = hear(&engine, &candidates).await?;
    let runner = choose::decide(&list, &candidates, &testimonies, &me)?;
    let environment = engine.inspect(&runner.id).await.map_err(silent)?;
    Ok(Runner {
        name: shown(&runner.name),
        environment,
    })
}

/// Asks every candidate for its processes, side by side; once more where something went wrong.
async fn hear(engine: &Engine, candidates: &[&Container]) -> anyhow::Result<Vec<Testimony>> {
    let mut heard: Vec<Option<Testimony>> = vec![None; candidates.len()];
    ask(engine, candidates, &mut heard).await;
    let failed = |testimony: &Option<Testimony>| matches!(testimony, Some(Testimony::Failed(_)));
    if heard.iter().any(failed) {
        // Containers come and go: of those that failed, the ones that have ended no longer matter.
        let still = engine.list().await.map_err(silent)?;
        let runs = |id: &ContainerId| still.iter().any(|c| c.id == *id && c.running);
        for (candidate, testimony) in candidates.iter().zip(&mut heard) {
            if failed(testimony) {
                *testimony = (!runs(&candidate.id)).then_some(Testimony::Ended);
            }
        }
        ask(engine, candidates, &mut heard).await;
    }
    let unasked = || Testimony::Failed("it could not be asked".into());
    Ok(heard
        .into_iter()
        .map(|testimony| testimony.unwrap_or_else(unasked))
        .collect())
}

/// Fills in what has not been heard yet.
async fn ask(engine: &Engine, candidates: &[&Container], heard: &mut [Option<Testimony>]) {
    let mut asked = JoinSet::new();
    for (place, candidate) in candidates.iter().enumerate() {
        if heard.get(place) == Some(&None) {
            let (engine, id) = (engine.clone(), candidate.id.clone());
            asked.spawn(async move { (place, choose::testimony(engine.processes(&id).await)) });
        }
    }
    while let Some(answer) = asked.join_next().await {
        if let Ok((place, testimony)) = answer
            && let Some(slot) = heard.get_mut(place)
        {
            *slot = Some(testimony);
        }
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
        "Remedies: the job-started hook (hooks/job-started.sh) on the runner, {DIND}, or the input `credentials-uri`"
    )
}

pub(crate) fn none(why: &str) -> anyhow::Error {
    Trouble::NoSource.because(format!(
        "no input and no variable names an endpoint, and the Docker Engine can not help: {why}. {}",
        remedies()
    ))
}

fn silent(silence: Silence) -> anyhow::Error {
    match silence {
        Silence::NoSocket(what) => none(&format!("at {SOCKET} is {what}")),
        // Its message is for us alone: it may name anything.
        Silence::Refused(status, _) => silent(Silence::Mute(format!("it answered with status {status}"))),
        Silence::Mute(why) => Trouble::Engine.because(format!(
            "no input and no variable names an endpoint; asked the Docker Engine at {SOCKET}: {why}. {}",
            remedies()
        )),
    }
}
