//! Exactly one container, or why not. Pure: what the Engine said in, a decision out.

use super::shown;
use crate::engine::{Container, ContainerId, Mount, Processes, Silence};
use crate::trouble::Trouble;

/// Where the runner mounts the directory of `GITHUB_ENV`.
const FILE_COMMANDS: &str = "/github/file_commands";

/// What I know of myself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    id: ContainerId,
    /// My name, fresh at each step.
    name: String,
    /// Where `/github/file_commands` lies on the Engine's host, which is where the runner says it lies.
    file_commands: String,
}

/// What one candidate's process list says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Testimony {
    /// The command lines of its processes.
    Runs(Vec<String>),
    /// It has ended, so it is no candidate.
    Ended,
    /// The Engine's host has no `ps` that serves.
    NoPs,
    /// It could not be asked.
    Failed(String),
}

impl Me {
    /// Finds my container in the list; the error is a part of a sentence.
    pub fn among(list: &[Container], id: &ContainerId) -> Result<Self, &'static str> {
        let me = list.iter().find(|container| container.id == *id).ok_or(
            "the Engine does not know this container (with docker-in-docker the socket is another Engine's)",
        )?;
        // With `--network container:X` the files in /etc carry X's id, and X has no such mount; nor has a
        // container of a runner that is not GitHub's.
        let mount = me
            .mounts
            .iter()
            .find(|mount| mount.destination == FILE_COMMANDS)
            .ok_or(
                "this container has no /github/file_commands, so GitHub's runner did not start it",
            )?;
        if me.name.is_empty() {
            return Err("this container has no name");
        }
        Ok(Self {
            id: me.id.clone(),
            name: me.name.clone(),
            file_commands: trimmed(&mount.source).to_owned(),
        })
    }
}

/// The running containers that have the directory of my files at the same path inside and outside, which is
/// what makes container actions work at all. Having it proves nothing yet.
pub fn candidates<'a>(list: &'a [Container], me: &Me) -> Vec<&'a Container> {
    list.iter()
        .filter(|container| container.id != me.id && container.running)
        .filter(|container| same_path_on_both_sides(&container.mounts, &me.file_commands))
        .collect()
}

/// Whether `path` inside the container is `path` outside: of several mounts that hold it, the longest decides.
fn same_path_on_both_sides(mounts: &[Mount], path: &str) -> bool {
    mounts
        .iter()
        .filter(|mount| holds(trimmed(&mount.destination), path))
        .max_by_key(|mount| trimmed(&mount.destination).len())
        .is_some_and(|mount| trimmed(&mount.source) == trimmed(&mount.destination))
}

fn holds(directory: &str, path: &str) -> bool {
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn trimmed(path: &str) -> &str {
    path.trim_end_matches('/')
}

/// What the Engine's answer to `top` means.
///
/// While containers end it answers 404, 409, 500 `ttrpc: closed`, or 200 with no processes.
pub fn testimony(answer: Result<Processes, Silence>) -> Testimony {
    match answer {
        Ok(Processes(lines)) if lines.is_empty() => Testimony::Ended,
        Ok(Processes(lines)) => Testimony::Runs(lines),
        Err(Silence::Refused(404 | 409, _)) => Testimony::Ended,
        Err(Silence::Refused(500, message)) if speaks_of_ps(&message) => Testimony::NoPs,
        Err(Silence::Refused(status, _)) => Testimony::Failed(format!("status {status}")),
        Err(Silence::Mute(why)) => Testimony::Failed(why),
        Err(Silence::NoSocket(_)) => Testimony::Failed("the socket is gone".into()),
    }
}

fn speaks_of_ps(message: &str) -> bool {
    message
        .split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| word == "ps")
}

/// The one candidate that runs the docker client that started me.
pub fn decide<'a>(
    list: &[Container],
    candidates: &[&'a Container],
    testimonies: &[Testimony],
    me: &Me,
) -> anyhow::Result<&'a Container> {
    let heard = || candidates.iter().copied().zip(testimonies);
    if heard().any(|(_, testimony)| *testimony == Testimony::NoPs) {
        return Err(Trouble::NoProcessList.because(
            "asked the Docker Engine for the processes of the containers that have this job's directory, but its \
             host has no `ps` that serves (Bottlerocket has none): put the job-started hook (hooks/job-started.sh) \
             on the runner",
        ));
    }
    let failed: Vec<_> = heard()
        .filter_map(|(candidate, testimony)| match testimony {
            Testimony::Failed(why) => Some(format!("{} ({why})", shown(&candidate.name))),
            _ => None,
        })
        .collect();
    let alive: Vec<_> = heard()
        .filter(|(_, testimony)| **testimony != Testimony::Ended)
        .map(|(candidate, _)| candidate)
        .collect();
    let mut proved: Vec<_> = heard()
        .filter(|(_, testimony)| match testimony {
            Testimony::Runs(lines) => lines.iter().any(|line| started_me(line, &me.name)),
            _ => false,
        })
        .map(|(candidate, _)| candidate)
        .collect();
    if failed.is_empty()
        && proved.len() == 1
        && let Some(runner) = proved.pop()
    {
        return Ok(runner);
    }
    let running = list.iter().filter(|container| container.running).count();
    let seen = format!(
        "asked the Docker Engine which container runs the docker client that started this one ({}). \
         Seen: {running} running containers, of which {} this job's directory at the same path inside and outside{}",
        shown(&me.name),
        have(&alive),
        named(&alive)
    );
    let why = if !failed.is_empty() {
        format!(
            "; of these could not be asked, twice: {}. Run the step again",
            failed.join(", ")
        )
    } else if alive.is_empty() {
        ". So the runner is either in docker-in-docker (use `org/ecs-task-role/dind`), or not in a container at \
         all (then it has no task role), or its work directory has two paths that only a symbolic link on the \
         host makes equal (mount the real path, at the same path)"
            .to_owned()
    } else if proved.is_empty() {
        ", but none runs that client: whoever started this container is not one of them, and another's \
         credentials are not for this job. If the runner is in a container of its own, mount its work directory \
         at the same path as on the host"
            .to_owned()
    } else {
        format!(
            ", and {} run a client that names it{}: one of them only pretends, or several docker clients \
             have the same name. Nothing can tell which is the runner",
            proved.len(),
            named(&proved)
        )
    };
    Err(Trouble::RunnerNotProved.because(format!("{seen}{why}. {}", super::REMEDIES)))
}

fn have(containers: &[&Container]) -> String {
    match containers.len() {
        0 => "none has".into(),
        1 => "1 has".into(),
        n => format!("{n} have"),
    }
}

fn named(containers: &[&Container]) -> String {
    /// More names than this help nobody.
    const MOST: usize = 8;
    if containers.is_empty() {
        return String::new();
    }
    let mut names: Vec<_> = containers
        .iter()
        .take(MOST)
        .map(|container| shown(&container.name))
        .collect();
    if containers.len() > MOST {
        names.push("…".into());
    }
    format!(" ({})", names.join(", "))
}

/// Whether a command line is `docker run … --name <my name> …`.
fn started_me(line: &str, my_name: &str) -> bool {
    let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
    let [program, command, rest @ ..] = words.as_slice() else {
        return false;
    };
    program.rsplit('/').next() == Some("docker")
        && *command == "run"
        && rest.windows(2).any(|pair| pair == ["--name", my_name])
}
