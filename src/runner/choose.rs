//! Exactly one container, or why not. Pure: what the Engine said in, a decision out.

use super::shown;
use crate::engine::{Container, ContainerId, Mount, Processes, Silence};
use crate::trouble::{DIND, Trouble};

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
    /// It runs; whether one of its processes is the docker client that started me.
    Runs {
        /// Whether one is.
        client: bool,
    },
    /// It has ended, so it is no candidate.
    Ended,
    /// The Engine spoke of `ps`: its host has none that serves, if it says so of every container.
    NoPs,
    /// It could not be asked.
    Failed(String),
}

impl Me {
    /// My name, as the docker client that started me has it on its command line.
    pub fn name(&self) -> &str {
        &self.name
    }

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
pub fn testimony(answer: Result<Processes, Silence>, my_name: &str) -> Testimony {
    match answer {
        Ok(Processes(lines)) if lines.is_empty() => Testimony::Ended,
        Ok(Processes(lines)) => Testimony::Runs {
            client: lines.iter().any(|line| started_me(line, my_name)),
        },
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
    let asked = || {
        testimonies
            .iter()
            .filter(|testimony| **testimony != Testimony::Ended)
    };
    if asked().next().is_some() && asked().all(|testimony| *testimony == Testimony::NoPs) {
        return Err(Trouble::NoProcessList.because(
            "asked the Docker Engine for the processes of the containers that have this job's directory, but its \
             host has no `ps` that serves: put the job-started hook (hooks/job-started.sh) \
             on the runner",
        ));
    }
    let failed: Vec<_> = heard()
        .filter_map(|(candidate, testimony)| match testimony {
            Testimony::Failed(why) => Some(format!("{} ({why})", shown(&candidate.name))),
            Testimony::NoPs => Some(format!("{} (ps failed)", shown(&candidate.name))),
            Testimony::Runs { .. } | Testimony::Ended => None,
        })
        .collect();
    let alive: Vec<_> = heard()
        .filter(|(_, testimony)| **testimony != Testimony::Ended)
        .map(|(candidate, _)| candidate)
        .collect();
    let mut proved: Vec<_> = heard()
        .filter(|(_, testimony)| **testimony == Testimony::Runs { client: true })
        .map(|(candidate, _)| candidate)
        .collect();
    if failed.is_empty()
        && proved.len() == 1
        && let Some(runner) = proved.pop()
    {
        return Ok(runner);
    }
    let running = list
        .iter()
        .filter(|container| container.running && container.id != me.id)
        .count();
    let seen = format!(
        "asked the Docker Engine which container runs the docker client that started this one ({}); \
         beside this one {running} {} running, of which {} this job's directory at the same path inside and outside{}",
        shown(&me.name),
        if running == 1 { "is" } else { "are" },
        have(alive.len()),
        in_brackets(alive.iter().map(|container| shown(&container.name)))
    );
    let why = if !failed.is_empty() {
        format!(
            "; {} could not be asked, twice{}: run the step again",
            failed.len(),
            in_brackets(failed.iter().cloned())
        )
    } else if alive.is_empty() {
        format!(
            ": so the runner is either in docker-in-docker (use {DIND}), or not in a container at all (then it has no \
             task role), or its work directory has two paths that only a symbolic link on the host makes equal \
             (mount the real path, at the same path)"
        )
    } else if proved.is_empty() {
        ", but none runs that client: whoever started this container is not one of them, and another's \
         credentials are not for this job; if the runner is in a container of its own, mount its work directory \
         at the same path as on the host"
            .to_owned()
    } else {
        format!(
            ", and {} run a client that names it{}: one of them only pretends, or several docker clients \
             have the same name, and nothing can tell which is the runner",
            proved.len(),
            in_brackets(proved.iter().map(|container| shown(&container.name)))
        )
    };
    Err(Trouble::RunnerNotProved.because(format!("{seen}{why}; {}", super::remedies())))
}

fn have(count: usize) -> String {
    match count {
        0 => "none has".into(),
        1 => "1 has".into(),
        n => format!("{n} have"),
    }
}

fn in_brackets(names: impl ExactSizeIterator<Item = String>) -> String {
    /// More names than this, and longer ones, help nobody.
    const MOST: usize = 8;
    const LONGEST: usize = 80;
    let more = names.len() > MOST;
    // Names that ECS makes differ at their end.
    let short = |name: String| {
        let length = name.chars().count();
        if length <= LONGEST {
            return name;
        }
        let half = LONGEST / 2;
        let (head, tail): (String, String) = (
            name.chars().take(half).collect(),
            name.chars().skip(length - half).collect(),
        );
        format!("{head}…{tail}")
    };
    let mut names: Vec<_> = names.take(MOST).map(short).collect();
    if more {
        names.push("…".into());
    }
    if names.is_empty() {
        String::new()
    } else {
        format!(" ({})", names.join(", "))
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trouble::Problem;

    const DIRECTORY: &str = "/_work/replica-1/_temp/_runner_file_commands";
    const MINE: &str = "app_1a2b3c";

    fn id(n: usize) -> ContainerId {
        ContainerId::parse(&format!("{n:064x}")).unwrap()
    }

    fn container(n: usize, name: &str, mounts: &[(&str, &str)]) -> Container {
        Container {
            id: id(n),
            name: name.into(),
            running: true,
            mounts: mounts
                .iter()
                .map(|(source, destination)| Mount {
                    source: (*source).into(),
                    destination: (*destination).into(),
                })
                .collect(),
        }
    }

    fn me() -> Me {
        Me {
            id: id(0),
            name: MINE.into(),
            file_commands: DIRECTORY.into(),
        }
    }

    /// My own container, and the others.
    fn host(others: &[Container]) -> Vec<Container> {
        let mut list = vec![container(0, MINE, &[(DIRECTORY, FILE_COMMANDS)])];
        list.extend_from_slice(others);
        list
    }

    fn replica(n: usize) -> Container {
        container(
            n,
            &format!("replica-{n}"),
            &[
                ("/_work", "/_work"),
                ("/var/run/docker.sock", "/var/run/docker.sock"),
            ],
        )
    }

    fn client(name: &str) -> Testimony {
        runs(vec![
            "/actions-runner/bin/Runner.Worker spawnclient 110 113".into(),
            format!(
                "/usr/bin/docker run --name {name} --label 5e6f70 --workdir /github/workspace --rm 0123"
            ),
        ])
    }

    fn runs(lines: Vec<String>) -> Testimony {
        testimony(Ok(Processes(lines)), MINE)
    }

    fn idle() -> Testimony {
        runs(vec!["/actions-runner/bin/Runner.Listener run".into()])
    }

    /// The name of the container that is chosen, or what the refusal says.
    fn decide_among(others: &[Container], testimonies: &[Testimony]) -> Result<String, String> {
        let list = host(others);
        let candidates = candidates(&list, &me());
        assert_eq!(candidates.len(), testimonies.len());
        match decide(&list, &candidates, testimonies, &me()) {
            Ok(runner) => Ok(runner.name.clone()),
            Err(error) => {
                let problem = error.downcast_ref::<Problem>().unwrap();
                let expected = if testimonies
                    .iter()
                    .all(|one| matches!(one, Testimony::NoPs | Testimony::Ended))
                    && testimonies.contains(&Testimony::NoPs)
                {
                    Trouble::NoProcessList
                } else {
                    Trouble::RunnerNotProved
                };
                assert_eq!(problem.trouble, expected);
                Err(problem.what.clone())
            }
        }
    }

    fn refused(others: &[Container], testimonies: &[Testimony], said: &str) {
        let what = decide_among(others, testimonies).unwrap_err();
        assert!(what.contains(said), "{what}");
    }

    #[test]
    fn the_one_that_runs_the_client_is_the_runner() {
        assert_eq!(
            decide_among(&[replica(1)], &[client(MINE)]),
            Ok("replica-1".into())
        );
    }

    #[test]
    fn of_five_replicas_it_is_the_one_that_runs_the_client() {
        let replicas: Vec<_> = (1..=5).map(replica).collect();
        for runner in 0..5 {
            let testimonies: Vec<_> = (0..5)
                .map(|n| {
                    if n == runner {
                        client(MINE)
                    } else {
                        client(&format!("app_00000{n}"))
                    }
                })
                .collect();
            assert_eq!(
                decide_among(&replicas, &testimonies),
                Ok(format!("replica-{}", runner + 1))
            );
        }
    }

    #[test]
    fn none_with_the_directory_is_refused_and_names_the_three_usual_reasons() {
        let elsewhere = container(1, "web", &[("/srv", "/srv")]);
        refused(&[elsewhere], &[], "the `dind` action");
        refused(&[], &[], "not in a container at all");
        refused(&[], &[], "symbolic link");
    }

    #[test]
    fn a_mount_alone_proves_nothing() {
        refused(&[replica(1)], &[idle()], "none runs that client");
        refused(
            &[replica(1), replica(2)],
            &[idle(), client("app_1a2b3")],
            "2 have",
        );
        refused(&[replica(1)], &[idle()], "(replica-1)");
    }

    #[test]
    fn two_that_run_it_are_refused() {
        let both = [replica(1), replica(2), replica(3)];
        refused(
            &both,
            &[client(MINE), idle(), client(MINE)],
            "2 run a client that names it (replica-1, replica-3)",
        );
    }

    #[test]
    fn several_clients_in_one_container_are_one_proof() {
        let line = format!("docker run --name {MINE} image");
        let twice = runs(vec![line.clone(), line]);
        assert!(decide_among(&[replica(1)], &[twice]).is_ok());
    }

    #[test]
    fn one_that_has_ended_is_no_candidate() {
        let three = [replica(1), replica(2), replica(3)];
        let ended = Testimony::Ended;
        assert_eq!(
            decide_among(&three, &[ended.clone(), client(MINE), ended.clone()]),
            Ok("replica-2".into())
        );
        refused(&three, &[ended.clone(), ended.clone(), ended], "none has");
    }

    #[test]
    fn one_that_can_not_be_asked_could_be_it() {
        let failed = Testimony::Failed("status 500".into());
        refused(
            &[replica(1), replica(2)],
            &[client(MINE), failed],
            "replica-2 (status 500)",
        );
    }

    #[test]
    fn a_host_without_ps_names_the_hook() {
        refused(&[replica(1)], &[Testimony::NoPs], "job-started hook");
        let both = [replica(1), replica(2)];
        refused(
            &both,
            &[Testimony::NoPs, Testimony::Ended],
            "job-started hook",
        );
    }

    #[test]
    fn one_ps_that_fails_beside_others_that_do_not_is_a_container_that_could_be_it() {
        let both = [replica(1), replica(2)];
        refused(
            &both,
            &[client(MINE), Testimony::NoPs],
            "replica-2 (ps failed)",
        );
    }

    #[test]
    fn a_candidate_has_the_directory_at_the_same_path() {
        let is_candidate = |mounts: &[(&str, &str)]| {
            let list = host(&[container(1, "x", mounts)]);
            !candidates(&list, &me()).is_empty()
        };
        for mounts in [
            &[("/_work", "/_work")][..],
            &[("/_work/", "/_work")],
            &[("/_work", "/_work/")],
            &[("/", "/")],
            &[(DIRECTORY, DIRECTORY)],
            &[
                ("/elsewhere", "/_work"),
                ("/_work/replica-1", "/_work/replica-1"),
            ],
        ] {
            assert!(is_candidate(mounts), "{mounts:?}");
        }
        for mounts in [
            &[][..],
            // Another path inside.
            &[("/_work", "/work")],
            &[("/srv/_work", "/_work")],
            // A path that only begins alike.
            &[("/_wor", "/_wor")],
            &[(
                "/_work/replica-1/_temp/_runner",
                "/_work/replica-1/_temp/_runner",
            )],
            &[("/_work/replica-10", "/_work/replica-10")],
            // A longer mount that hides the shorter.
            &[("/_work", "/_work"), ("/elsewhere", "/_work/replica-1")],
            &[
                ("/_work/replica-1", "/_work/replica-1"),
                ("", "/_work/replica-1/_temp"),
            ],
            // Below it.
            &[(
                "/_work/replica-1/_temp/_runner_file_commands/x",
                "/_work/replica-1/_temp/_runner_file_commands/x",
            )],
        ] {
            assert!(!is_candidate(mounts), "{mounts:?}");
        }
    }

    #[test]
    fn neither_i_nor_what_does_not_run_is_a_candidate() {
        let mut created = replica(1);
        created.running = false;
        let mut list = host(&[created]);
        list[0].mounts.push(Mount {
            source: "/_work".into(),
            destination: "/_work".into(),
        });
        assert_eq!(candidates(&list, &me()), Vec::<&Container>::new());
    }

    #[test]
    fn a_client_is_docker_run_with_my_name() {
        for line in [
            "/usr/bin/docker run --name app_1a2b3c --label x",
            "docker run --rm --name app_1a2b3c image",
            "/opt/a/docker  run  --name  app_1a2b3c",
        ] {
            assert!(started_me(line, MINE), "{line}");
        }
        for line in [
            "",
            "docker",
            "docker run",
            "docker run --name",
            "docker run --name app_1a2b3c4 image",
            "docker run --name xapp_1a2b3c image",
            "docker run --name=app_1a2b3c image",
            "docker run --label --name x app_1a2b3c",
            "docker --name app_1a2b3c run",
            "docker create --name app_1a2b3c image",
            "docker exec --name app_1a2b3c run",
            "sh docker run --name app_1a2b3c",
            "podman run --name app_1a2b3c image",
            "/usr/bin/docker-x run --name app_1a2b3c",
            "/docker/x run --name app_1a2b3c",
            "docker: run --name app_1a2b3c",
        ] {
            assert!(!started_me(line, MINE), "{line}");
        }
    }

    #[test]
    fn each_way_to_end_while_asked_is_an_end() {
        let refused =
            |status, message: &str| testimony(Err(Silence::Refused(status, message.into())), MINE);
        assert_eq!(testimony(Ok(Processes(vec![])), MINE), Testimony::Ended);
        assert_eq!(refused(404, "No such container: 0123"), Testimony::Ended);
        assert_eq!(
            refused(409, "Container 0123 is not running"),
            Testimony::Ended
        );
        assert_eq!(
            refused(409, "Container 0123 is restarting"),
            Testimony::Ended
        );
        assert!(matches!(
            refused(500, "ttrpc: closed"),
            Testimony::Failed(_)
        ));
        assert!(matches!(refused(503, "ps"), Testimony::Failed(_)));
        assert!(matches!(
            testimony(Err(Silence::Mute("x".into())), MINE),
            Testimony::Failed(_)
        ));
    }

    #[test]
    fn a_host_without_ps_says_so_in_several_ways() {
        for message in [
            "ps: exec: \"ps\": executable file not found in $PATH",
            "Error running ps: exit status 1: ps: unrecognized option: w",
            "ps: exit status 1",
        ] {
            let heard = testimony(Err(Silence::Refused(500, message.into())), MINE);
            assert_eq!(heard, Testimony::NoPs, "{message}");
        }
        for message in ["steps failed", "ttrpc: closed", "https://x"] {
            let heard = testimony(Err(Silence::Refused(500, message.into())), MINE);
            assert!(matches!(heard, Testimony::Failed(_)), "{message}");
        }
    }

    #[test]
    fn i_am_found_by_id_and_started_by_githubs_runner() {
        let list = host(&[replica(1)]);
        assert_eq!(Me::among(&list, &id(0)), Ok(me()));
        assert_eq!(me().name(), MINE);
        assert!(Me::among(&list, &id(7)).is_err());
        // With `--network container:X` the id is X's.
        assert!(Me::among(&list, &id(1)).is_err());
        let slash = [container(
            0,
            MINE,
            &[(&format!("{DIRECTORY}/"), FILE_COMMANDS)],
        )];
        assert_eq!(Me::among(&slash, &id(0)), Ok(me()));
        let nameless = [container(0, "", &[(DIRECTORY, FILE_COMMANDS)])];
        assert!(Me::among(&nameless, &id(0)).is_err());
    }

    #[test]
    fn a_refusal_counts_what_runs_beside_me() {
        let mut list = host(&[replica(1), replica(2), replica(3)]);
        list[0].running = true;
        list[3].running = false;
        let candidates = candidates(&list, &me());
        let error = decide(&list, &candidates, &[idle(), idle()], &me()).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("beside this one 2 are running"), "{said}");
    }

    #[test]
    fn a_long_name_keeps_the_end_that_tells_it_apart() {
        let ecs = container(
            1,
            &format!("{}-c2ffee", "x".repeat(150)),
            &[("/_work", "/_work")],
        );
        refused(&[ecs], &[idle()], "xxx-c2ffee)");
    }

    #[test]
    fn of_more_than_eight_names_eight_are_shown() {
        let shown = |count: usize| in_brackets((0..count).map(|n| (n + 1).to_string()));
        assert_eq!(shown(0), "");
        assert_eq!(shown(7), " (1, 2, 3, 4, 5, 6, 7)");
        assert_eq!(shown(8), " (1, 2, 3, 4, 5, 6, 7, 8)");
        assert_eq!(shown(9), " (1, 2, 3, 4, 5, 6, 7, 8, …)");
    }

    #[test]
    fn a_refusal_stays_short() {
        let many: Vec<_> = (1..=50)
            .map(|n| container(n, &"x".repeat(150), &[("/_work", "/_work")]))
            .collect();
        let failed = vec![Testimony::Failed("status 500".into()); 50];
        for testimonies in [vec![idle(); 50], vec![client(MINE); 50], failed] {
            let what = decide_among(&many, &testimonies).unwrap_err();
            assert!(
                what.len() < 3000 && what.contains("credentials-uri"),
                "{what}"
            );
        }
    }

    #[test]
    fn names_of_others_are_harmless_in_a_message() {
        let mut nasty = replica(1);
        nasty.name = "x::error::y##[group]z\n::add-mask::a".into();
        let what = decide_among(&[nasty], &[idle()]).unwrap_err();
        assert!(
            !what.contains("::") && !what.contains("##[") && !what.contains('\n'),
            "{what}"
        );
    }
}
