//! Discovery against an Engine that a test scripts: whatever it says, the right runner or a refusal.
//!
//! What real Engines say is tested with real Engines; here are the answers that those give seldom, and
//! those that only something else behind the socket would give.

use std::fs;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use ecs_task_role::trouble::Trouble;
use serde_json::{Value, json};

use crate::support::endpoint::{Document, Endpoint, Keys, answer};
use crate::support::engine as scripted;
use crate::support::engine::{
    Answer, Container, Engine, FILE_COMMANDS, LIST, ME, MY_NAME, SOCKET, be_a_container, client,
    forget_the_socket, inspect, top, uri,
};
use crate::support::isolation::{add_address, isolated};
use crate::support::step::{Outcome, Step};
use crate::{failed, program};

/// A step with nothing set: zero configuration.
fn bare() -> Step {
    Step::new(&program())
}

/// An agent that gives each runner keys of its own.
fn agent() -> Endpoint {
    add_address("169.254.170.2/32");
    let listener = std::net::TcpListener::bind("169.254.170.2:80").unwrap();
    Endpoint::on(listener, |request, stream| {
        let number: usize = request.target.rsplit('-').next().unwrap().parse().unwrap();
        answer::ok(stream, &Document::new(&Keys::number(number)).json())
    })
}

/// In a container of an instance, with the agent's address.
fn on_an_instance(claim: &str, test: impl FnOnce(&Endpoint)) {
    isolated(module_path!(), claim, || {
        be_a_container(ME);
        test(&agent());
    });
}

/// My own client, as it stands in the process list of my runner.
fn mine() -> String {
    client(MY_NAME)
}

/// The step found the runner of this number.
fn found(outcome: Outcome, number: usize) -> Outcome {
    let outcome = outcome.succeeded();
    assert_eq!(outcome.output.get("source").as_deref(), Some("docker"));
    let exported = outcome.env.get("AWS_ACCESS_KEY_ID");
    assert_eq!(exported, Some(Keys::number(number).id), "{outcome}");
    outcome
}

#[test]
fn the_runner_is_the_one_that_runs_my_client_of_five() {
    on_an_instance(
        "the_runner_is_the_one_that_runs_my_client_of_five",
        |agent| {
            for mine_is in [1, 3, 5] {
                let mut containers = vec![Container::me()];
                containers.extend((1..=5).map(|number| {
                    let runner = Container::runner(number);
                    let other = client(&format!("orgecstaskrolev1_00000{number}"));
                    runner.running(if number == mine_is { mine() } else { other }.as_str())
                }));
                let engine = Engine::with(containers);
                let outcome = found(bare().run(), mine_is);
                assert!(
                    outcome
                        .log()
                        .contains(&format!("ecs-fleet-7-runner-{mine_is}")),
                    "{outcome}"
                );
                assert!(outcome.masks().contains(&uri(mine_is)), "{outcome}");

                let mut requests = engine.requests();
                assert_eq!(requests.remove(0), LIST);
                // Of all that run, the environment of the one alone is looked at, after the choice.
                assert_eq!(
                    requests.pop(),
                    Some(inspect(&Container::runner(mine_is).id))
                );
                requests.sort();
                let tops: Vec<String> = (1..=5)
                    .map(|number| top(&Container::runner(number).id))
                    .collect();
                assert_eq!(requests, tops);
            }
            assert_eq!(agent.requests().len(), 3);
        },
    );
}

/// The step is refused, and nobody's environment was looked at.
fn refused(containers: Vec<Container>, trouble: Trouble, says: &[&str]) -> Outcome {
    let engine = Engine::with(containers);
    let outcome = failed(bare().run(), trouble, says);
    assert!(
        !engine.requests().iter().any(|line| line.ends_with("/json")),
        "{:?}",
        engine.requests()
    );
    outcome
}

#[test]
fn what_a_neighbour_shows_is_no_proof() {
    on_an_instance("what_a_neighbour_shows_is_no_proof", |agent| {
        let not_it = [
            String::new(),
            client("orgecstaskrolev1_3fa9c"),
            client("orgecstaskrolev1_3fa9c12"),
            client("xorgecstaskrolev1_3fa9c1"),
            client(&format!("other --label {MY_NAME}")),
            mine().replace("docker run", "docker exec"),
            mine().replace("docker run", "docker"),
            mine().replace("/usr/bin/docker", "/usr/bin/docker-proxy"),
            mine().replace("/usr/bin/docker", "/usr/bin/podman"),
            mine().replace("/usr/bin/docker", "sh -c docker"),
            mine().replace("/usr/bin/docker", "/usr/bin/docker/x"),
            mine().replace("--name ", "--name="),
            mine().replace("--name ", "--label "),
            format!("sleep 1 # {}", mine()),
            format!("docker run --name\t{MY_NAME}x"),
        ];
        for process in not_it {
            let neighbour = Container::runner(2).running(&process);
            let outcome = refused(
                vec![Container::me(), neighbour],
                Trouble::RunnerNotProved,
                &["ecs-fleet-7-runner-2", "dind", "credentials-uri"],
            );
            assert!(!outcome.stdout().contains(&uri(2)), "{outcome}");
        }
        assert_eq!(agent.requests().len(), 0);
    });
}

#[test]
fn a_client_under_any_path_and_several_of_them_in_one_container_are_one_proof() {
    on_an_instance(
        "a_client_under_any_path_and_several_of_them_in_one_container_are_one_proof",
        |_| {
            for process in [
                mine(),
                mine().replace("/usr/bin/docker", "docker"),
                mine().replace("/usr/bin/docker", "/opt/tools/bin/docker"),
                format!("docker run --rm --name {MY_NAME} image"),
            ] {
                let _engine = Engine::with(vec![
                    Container::me(),
                    Container::runner(4).running(&process).running(&mine()),
                    Container::runner(5),
                ]);
                found(bare().run(), 4);
            }
        },
    );
}

#[test]
fn two_that_name_me_are_refused() {
    on_an_instance("two_that_name_me_are_refused", |agent| {
        refused(
            vec![
                Container::me(),
                Container::runner(1).running(&mine()),
                Container::runner(2).running(&mine()),
                Container::runner(3),
            ],
            Trouble::RunnerNotProved,
            &[
                "ecs-fleet-7-runner-1",
                "ecs-fleet-7-runner-2",
                "2 run a client",
            ],
        );
        assert_eq!(agent.requests().len(), 0);
    });
}

#[test]
fn only_the_same_path_inside_and_outside_makes_a_candidate() {
    on_an_instance(
        "only_the_same_path_inside_and_outside_makes_a_candidate",
        |agent| {
            let with_mounts = |mounts: &[(&str, &str)]| {
                let mut runner = Container::runner(1).running(&mine());
                runner.mounts = mounts
                    .iter()
                    .map(|(s, d)| ((*s).to_owned(), (*d).to_owned()))
                    .collect();
                runner
            };
            for mounts in [
                &[][..],
                &[("/_work", "/work")],
                &[("/srv/_work", "/_work")],
                &[("/_work/fleet-1/_temp2", "/_work/fleet-1/_temp2")],
                &[("/_wor", "/_wor")],
                &[(
                    "/_work/fleet-1/_temp/_runner_file_commands/x",
                    "/_work/fleet-1/_temp/_runner_file_commands/x",
                )],
                // The longer mount hides the shorter.
                &[("/_work", "/_work"), ("/other", "/_work/fleet-1")],
                &[("/other", "/_work/fleet-1"), ("/_work", "/_work")],
            ] {
                refused(
                    vec![Container::me(), with_mounts(mounts)],
                    Trouble::RunnerNotProved,
                    &["dind"],
                );
            }
            assert_eq!(agent.requests().len(), 0);
            for mounts in [
                &[("/_work", "/_work")][..],
                &[("/_work/", "/_work/")],
                &[(FILE_COMMANDS, FILE_COMMANDS)],
                &[("/", "/")],
                &[("/other", "/_work"), ("/_work/fleet-1", "/_work/fleet-1")],
            ] {
                let _engine = Engine::with(vec![Container::me(), with_mounts(mounts)]);
                found(bare().run(), 1);
            }
        },
    );
}

#[test]
fn a_container_that_does_not_run_and_i_myself_are_no_candidates() {
    on_an_instance(
        "a_container_that_does_not_run_and_i_myself_are_no_candidates",
        |agent| {
            for state in ["created", "exited", "paused", "restarting", "dead", ""] {
                let mut runner = Container::runner(1).running(&mine());
                runner.state = state.into();
                refused(vec![Container::me(), runner], Trouble::RunnerNotProved, &[]);
            }
            let mut me = Container::me()
                .mounting("/_work", "/_work")
                .running(&mine());
            me.state = "running".into();
            refused(vec![me], Trouble::RunnerNotProved, &[]);
            assert_eq!(agent.requests().len(), 0);
        },
    );
}

#[test]
fn without_the_runners_own_mount_or_an_entry_in_the_list_there_is_no_discovery() {
    on_an_instance(
        "without_the_runners_own_mount_or_an_entry_in_the_list_there_is_no_discovery",
        |agent| {
            let runner = || Container::runner(1).running(&mine());
            let mut me = Container::me();
            me.mounts.truncate(1);
            refused(
                vec![me, runner()],
                Trouble::NoSource,
                &["/github/file_commands", "credentials-uri"],
            );
            refused(
                vec![runner()],
                Trouble::NoSource,
                &["does not know this container", "dind"],
            );
            assert_eq!(agent.requests().len(), 0);
        },
    );
}

#[test]
fn outside_a_container_or_without_a_socket_the_three_remedies_are_named() {
    isolated(
        module_path!(),
        "outside_a_container_or_without_a_socket_the_three_remedies_are_named",
        || {
            let remedies = ["hook", "dind", "credentials-uri"];
            forget_the_socket();
            failed(bare().run(), Trouble::NoSource, &remedies);
            let engine = Engine::with(vec![Container::me(), Container::runner(1).running(&mine())]);
            failed(bare().run(), Trouble::NoSource, &remedies);
            assert_eq!(engine.requests().len(), 0, "asked for whom?");

            be_a_container(ME);
            failed(bare().run(), Trouble::NoSource, &remedies);
            fs::create_dir(SOCKET).unwrap();
            failed(bare().run(), Trouble::NoSource, &[SOCKET, "directory"]);
            fs::remove_dir(SOCKET).unwrap();
            fs::write(SOCKET, "").unwrap();
            failed(bare().run(), Trouble::NoSource, &[SOCKET, "not a socket"]);
            fs::remove_file(SOCKET).unwrap();
            drop(UnixListener::bind(SOCKET).unwrap());
            failed(
                bare().run(),
                Trouble::Engine,
                &[SOCKET, "refused", "credentials-uri"],
            );
        },
    );
}

#[test]
fn where_discovery_is_off_or_not_needed_no_engine_is_asked() {
    on_an_instance(
        "where_discovery_is_off_or_not_needed_no_engine_is_asked",
        |_| {
            let engine = Engine::with(vec![Container::me(), Container::runner(1).running(&mine())]);
            failed(
                bare().input("discovery", "environment").run(),
                Trouble::NoSource,
                &["discovery"],
            );
            bare().input("credentials-uri", uri(2)).run().succeeded();
            bare()
                .env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", uri(2))
                .run()
                .succeeded();
            // And whoever can not write asks nobody.
            failed(
                bare().without_env("GITHUB_ENV").run(),
                Trouble::RunnerFileMissing,
                &[],
            );
            assert_eq!(engine.requests(), [""; 0]);
        },
    );
}

#[test]
fn a_runner_without_a_role_is_never_given_its_neighbours() {
    on_an_instance(
        "a_runner_without_a_role_is_never_given_its_neighbours",
        |agent| {
            for env in [
                &["PATH=/usr/bin"][..],
                &[],
                &["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI="],
                &["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"],
            ] {
                let mut containers = vec![
                    Container::me(),
                    Container::runner(1).with_env(env).running(&mine()),
                ];
                containers.extend((2..=6).map(Container::runner));
                let engine = Engine::with(containers);
                failed(
                    bare().run(),
                    Trouble::NoTaskRole,
                    &["ecs-fleet-7-runner-1", "task role"],
                );
                assert_eq!(
                    engine.requests().last(),
                    Some(&inspect(&Container::runner(1).id))
                );
            }
            let full = "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.170.23/MARKER";
            let _engine = Engine::with(vec![
                Container::me(),
                Container::runner(1)
                    .with_env(&[full, "AWS_CONTAINER_AUTHORIZATION_TOKEN=MARKER"])
                    .running(&mine()),
                Container::runner(2),
            ]);
            failed(bare().run(), Trouble::EndpointOfRunnerOnly, &["dind"]).keeps_secret("MARKER");
            let _engine = Engine::with(vec![
                Container::me(),
                Container::runner(1)
                    .with_env(&["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=@evil/MARKER"])
                    .running(&mine()),
            ]);
            failed(bare().run(), Trouble::EndpointNotAllowed, &[]).keeps_secret("MARKER");
            assert_eq!(agent.requests().len(), 0);
        },
    );
}

/// An Engine that answers `top` of the runner of this number in its own way, and all else as usual.
fn odd_top(
    containers: Vec<Container>,
    number: usize,
    odd: impl Fn(usize) -> Option<Answer> + Send + Sync + 'static,
) -> Engine {
    let asked = top(&Container::runner(number).id);
    Engine::start(move |line, before| {
        let odd = if line == asked { odd(before) } else { None };
        odd.unwrap_or_else(|| scripted::answer(&containers, line))
    })
}

#[test]
fn a_candidate_that_ends_while_it_is_asked_is_none() {
    on_an_instance("a_candidate_that_ends_while_it_is_asked_is_none", |_| {
        let containers = || {
            vec![
                Container::me(),
                Container::runner(1).running(&mine()),
                Container::runner(2),
            ]
        };
        for ended in [
            Answer::refused(404, "No such container: 2"),
            Answer::refused(409, "Container 2 is not running"),
            Answer::refused(
                409,
                "Container 2 is restarting, wait until the container is running",
            ),
            Answer::ok(json!({"Titles": null, "Processes": null})),
            Answer::ok(json!({"Titles": ["PID", "COMMAND"], "Processes": []})),
        ] {
            let end = ended.clone();
            let _engine = odd_top(containers(), 2, move |_| Some(end.clone()));
            found(bare().run(), 1);
            // Nor is it named among those that might have been the runner.
            let without = vec![Container::me(), Container::runner(1), Container::runner(2)];
            let _engine = odd_top(without, 2, move |_| Some(ended.clone()));
            let outcome = failed(bare().run(), Trouble::RunnerNotProved, &["runner-1"]);
            assert!(!outcome.stdout().contains("runner-2"), "{outcome}");
        }
    });
}

#[test]
fn a_candidate_that_can_not_be_asked_is_asked_once_more_and_then_refused() {
    on_an_instance(
        "a_candidate_that_can_not_be_asked_is_asked_once_more_and_then_refused",
        |agent| {
            let containers = || {
                vec![
                    Container::me(),
                    Container::runner(1).running(&mine()),
                    Container::runner(2),
                ]
            };
            let failures = || {
                [
                    Answer::refused(500, "ttrpc: closed: unknown"),
                    Answer::refused(503, "busy"),
                    Answer::Raw(vec![]),
                    Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}x".to_vec()),
                    Answer::ok(json!([])),
                ]
            };
            for failure in failures() {
                let engine = odd_top(containers(), 2, move |before| {
                    (before == 0).then(|| failure.clone())
                });
                found(bare().run(), 1);
                let twice = top(&Container::runner(2).id);
                let count = |line: &str| {
                    engine
                        .requests()
                        .iter()
                        .filter(|known| *known == line)
                        .count()
                };
                assert_eq!((count(LIST), count(&twice)), (2, 2));
                assert_eq!(
                    count(&top(&Container::runner(1).id)),
                    1,
                    "asked again though it had answered"
                );
            }
            let asked = agent.requests().len();
            for failure in failures() {
                let engine = odd_top(containers(), 2, move |_| Some(failure.clone()));
                failed(
                    bare().run(),
                    Trouble::RunnerNotProved,
                    &["ecs-fleet-7-runner-2"],
                );
                assert!(!engine.requests().iter().any(|line| line.ends_with("/json")));
            }
            assert_eq!(agent.requests().len(), asked);
        },
    );
}

#[test]
fn a_candidate_that_fails_and_has_ended_by_then_is_none() {
    on_an_instance(
        "a_candidate_that_fails_and_has_ended_by_then_is_none",
        |_| {
            let all = vec![
                Container::me(),
                Container::runner(1).running(&mine()),
                Container::runner(2),
            ];
            let fewer = all[..2].to_vec();
            let asked = top(&Container::runner(2).id);
            let _engine = Engine::start(move |line, before| match line {
                line if line == asked => Answer::refused(500, "ttrpc: closed: unknown"),
                LIST if before > 0 => scripted::answer(&fewer, line),
                line => scripted::answer(&all, line),
            });
            found(bare().run(), 1);
        },
    );
}

#[test]
fn a_host_without_ps_is_told_of_the_hook() {
    on_an_instance("a_host_without_ps_is_told_of_the_hook", |agent| {
        let containers = vec![Container::me(), Container::runner(1).running(&mine())];
        let _engine = odd_top(containers, 1, |_| {
            Some(Answer::refused(
                500,
                "exec: \"ps\": executable file not found in $PATH",
            ))
        });
        failed(bare().run(), Trouble::NoProcessList, &["ps", "hook"]);
        assert_eq!(agent.requests().len(), 0);
    });
}

#[test]
fn what_is_no_engine_is_a_plain_sentence() {
    on_an_instance("what_is_no_engine_is_a_plain_sentence", |agent| {
        let http = |body: &str| {
            let length = body.len();
            Answer::Raw(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}").into())
        };
        for odd in [
            Answer::Raw(vec![]),
            Answer::Raw(b"SSH-2.0-OpenSSH_9.9 MARKER\r\n".to_vec()),
            Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[".to_vec()),
            Answer::Raw(vec![0; 100_000]),
            http(""),
            http("MARKER"),
            http("[{\"Id\":\"MARKER\"}]"),
            http("{\"MARKER\":[]}"),
            http(&"[".repeat(200_000)),
            Answer::refused(400, "client version 9 is too new MARKER"),
            Answer::refused(403, "MARKER"),
            Answer::refused(500, "MARKER ps"),
            Answer::Raw(b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1/MARKER\r\nContent-Length: 0\r\n\r\n".to_vec()),
        ] {
            let engine = Engine::start(move |_, _| odd.clone());
            failed(bare().run(), Trouble::Engine, &[SOCKET, "credentials-uri"]).keeps_secret("MARKER");
            assert_eq!(engine.requests().len(), 1);
        }
        assert_eq!(agent.requests().len(), 0);
    });
}

#[test]
fn an_answer_is_at_most_8_mib() {
    on_an_instance("an_answer_is_at_most_8_mib", |_| {
        let padded = |size: usize| {
            let mut listed: Vec<Value> = [Container::me(), Container::runner(1).running(&mine())]
                .iter()
                .map(Container::listed)
                .collect();
            let length = Value::from(listed.clone()).to_string().len();
            listed[0]["Padding"] = "x".repeat(size - length - r#""Padding":"","#.len()).into();
            Value::from(listed)
        };
        let containers = || vec![Container::me(), Container::runner(1).running(&mine())];
        let with_list = |list: Value| {
            let containers = containers();
            Engine::start(move |line, _| match line {
                LIST => Answer::ok(list.clone()),
                line => scripted::answer(&containers, line),
            })
        };
        let largest = padded(8 * 1024 * 1024);
        assert_eq!(largest.to_string().len(), 8 * 1024 * 1024);
        let _engine = with_list(largest);
        found(bare().run(), 1);
        let _engine = with_list(padded(8 * 1024 * 1024 + 1));
        failed(bare().run(), Trouble::Engine, &["8192 KiB"]);
    });
}

#[test]
fn a_silent_engine_is_left_in_the_end() {
    on_an_instance("a_silent_engine_is_left_in_the_end", |_| {
        let engine = Engine::start(|_, _| Answer::Silence);
        failed(bare().run(), Trouble::Engine, &[SOCKET]);
        failed(
            bare().input("timeout", "1").run(),
            Trouble::Engine,
            &["timeout"],
        );
        let step = bare();
        let running = step.start();
        // Half a minute, unless the machine is very slow.
        let asked = (0..15_000).any(|_| {
            thread::sleep(Duration::from_millis(2));
            engine.requests().len() == 3
        });
        assert!(asked, "{:?}", engine.requests());
        running.signal(rustix::process::Signal::TERM);
        failed(running.finish(), Trouble::Cancelled, &[]);
    });
}

#[test]
fn at_github_a_search_that_finds_no_runner_is_answered_with_oidc() {
    on_an_instance(
        "at_github_a_search_that_finds_no_runner_is_answered_with_oidc",
        |agent| {
            let hosted = || bare().env("RUNNER_ENVIRONMENT", "github-hosted");
            let oidc = ["configure-aws-credentials", "OIDC"];
            let idle = Container::runner(1);
            let elsewhere = Container {
                mounts: Vec::new(),
                ..Container::runner(2)
            };
            for others in [vec![], vec![elsewhere], vec![idle]] {
                let mut containers = vec![Container::me()];
                containers.extend(others);
                let _engine = Engine::with(containers);
                failed(hosted().run(), Trouble::GitHubHosted, &oidc);
                failed(bare().run(), Trouble::RunnerNotProved, &["hook"]);
            }
            // What a search finds is another matter, and so is an Engine that is broken.
            let _engine =
                Engine::with(vec![Container::me(), Container::runner(1).running(&mine())]);
            found(hosted().run(), 1);
            let _engine = Engine::start(|_, _| Answer::refused(500, "x"));
            failed(hosted().run(), Trouble::Engine, &["500"]);
            assert_eq!(agent.requests().len(), 1);
        },
    );
}

#[test]
fn no_text_of_a_container_becomes_a_command_or_tells_a_secret() {
    on_an_instance(
        "no_text_of_a_container_becomes_a_command_or_tells_a_secret",
        |_| {
            let hostile = "x\n::error::MINE##[error]MINE\u{202e}\u{1b}[31m";
            let long = "n".repeat(5000);
            for name in [hostile, &long] {
                let runner = Container::runner(1)
                    .named(name)
                    .running(&format!("::error::MINE ##[set-env name=A]MINE {}", mine()))
                    .with_label(hostile, hostile)
                    .with_env(&[
                        "SECRET=MARKER",
                        hostile,
                        "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1/MARKER",
                    ]);
                let _engine = Engine::with(vec![Container::me(), runner.running(&mine())]);
                for step in [bare(), bare().env("RUNNER_DEBUG", "1")] {
                    let outcome = failed(step.run(), Trouble::EndpointOfRunnerOnly, &[])
                        .keeps_secret("MARKER");
                    clean(&outcome);
                }
                let _engine = Engine::with(vec![
                    Container::me(),
                    Container::runner(1).named(name).running(&mine()),
                    Container::runner(2).named(name).running(&mine()),
                ]);
                clean(&failed(bare().run(), Trouble::RunnerNotProved, &[]));
                let _engine = Engine::with(vec![
                    Container::me(),
                    Container::runner(1).named(name).running(&mine()),
                ]);
                clean(&found(bare().env("RUNNER_DEBUG", "1").run(), 1));
            }
        },
    );
}

#[test]
fn however_many_containers_there_are_the_link_is_not_cut_off() {
    on_an_instance(
        "however_many_containers_there_are_the_link_is_not_cut_off",
        |_| {
            let many = |extra: &str, count| {
                let name = |number| format!("{number:03}-{}", "n".repeat(240));
                let mut containers = vec![Container::me()];
                containers.extend(
                    (1..=count).map(|n| Container::runner(n).named(&name(n)).running(extra)),
                );
                containers
            };
            // `failed` looks for the link; the runner cuts a message at 4096 characters.
            for containers in [many("sleep 1", 12), many(&mine(), 12)] {
                let _engine = Engine::with(containers);
                let outcome = failed(bare().run(), Trouble::RunnerNotProved, &["credentials-uri"]);
                assert!(outcome.error().1.chars().count() <= 4096, "{outcome}");
            }
            let containers = many(&mine(), 60);
            let _engine = Engine::start(move |line, _| match line {
                line if line.contains("/top?") => Answer::refused(503, "busy"),
                line => scripted::answer(&containers, line),
            });
            let outcome = failed(bare().run(), Trouble::RunnerNotProved, &["credentials-uri"]);
            assert!(outcome.error().1.chars().count() <= 4096, "{outcome}");
        },
    );
}

/// `failed` and `found` have counted the errors; there is nothing else that a terminal or the runner obeys.
fn clean(outcome: &Outcome) {
    let stdout = outcome.stdout();
    assert!(
        !stdout.contains("##[") && !stdout.contains(['\u{202e}', '\u{1b}']),
        "{outcome}"
    );
    assert!(
        stdout.matches('n').count() < 2000,
        "a name is shown at length: {outcome}"
    );
    assert!(!outcome.env.names().contains(&"A".to_owned()));
}

#[test]
fn the_region_comes_from_the_runners_container() {
    on_an_instance("the_region_comes_from_the_runners_container", |_| {
        let relative = format!("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI={}", uri(1));
        let arn = "arn:aws:ecs:eu-central-1:123456789012:task/fleet/0123456789abcdef";
        let label = "com.amazonaws.ecs.task-arn";
        let runner = |env: &[&str]| {
            let mut all = vec![relative.as_str()];
            all.extend(env);
            Container::runner(1).running(&mine()).with_env(&all)
        };
        for (runner, set, expected, warnings) in [
            (
                runner(&["AWS_REGION=eu-west-1", "AWS_DEFAULT_REGION=us-east-1"])
                    .with_label(label, arn),
                None,
                "eu-west-1",
                0,
            ),
            (
                runner(&["AWS_DEFAULT_REGION=us-east-1"]).with_label(label, arn),
                None,
                "us-east-1",
                0,
            ),
            (runner(&[]).with_label(label, arn), None, "eu-central-1", 0),
            (
                runner(&["AWS_REGION=evil.example/"]).with_label(label, arn),
                None,
                "eu-central-1",
                1,
            ),
            (
                runner(&["AWS_REGION=eu-west-1"]),
                Some("ap-south-1"),
                "ap-south-1",
                0,
            ),
            (
                runner(&[]).with_label(label, "arn:aws:ecs:evil.example/:1:task/x"),
                None,
                "",
                1,
            ),
            (runner(&[]), None, "", 0),
        ] {
            let _engine = Engine::with(vec![Container::me(), runner]);
            let mut step = bare();
            if let Some(region) = set {
                step = step.env("AWS_REGION", region);
            }
            let outcome = found(step.run(), 1);
            assert_eq!(
                outcome.output.get("aws-region").unwrap_or_default(),
                expected,
                "{outcome}"
            );
            assert_eq!(outcome.warnings().len(), warnings, "{outcome}");
            assert!(!outcome.stdout().contains("evil.example"), "{outcome}");
        }
    });
}
