//! What is handed on, in which order, and what becomes of what an earlier step left.

use std::process::Stdio;
use std::sync::Mutex;
use std::sync::mpsc;

use ecs_task_role::trouble::Trouble;

use crate::support::endpoint::{Document, Endpoint, Keys, answer};
use crate::support::github;
use crate::support::isolation::{add_address, isolated};
use crate::support::step::{File, Outcome, Step};
use crate::{agent, fails, outcome_of, step, step_at};

const KEYS: [&str; 3] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];
const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";

/// The path that an ECS agent gives to a task: a secret.
const PATH: &str = "/v2/credentials/5f3c1d9e-0b7a-4c6e-9a51-7b2f8d3e4a60";

fn good() -> Endpoint {
    Endpoint::serving(&Document::default())
}

/// A step of a good endpoint with these inputs and variables.
fn with(set: impl FnOnce(Step) -> Step) -> Outcome {
    set(step_at(&good())).run().succeeded()
}

#[test]
fn the_three_keys_are_exported() {
    let keys = Keys::number(7);
    let outcome = outcome_of(&Document::new(&keys)).succeeded();
    let exported = outcome.env.pairs();
    let expected = KEYS
        .map(str::to_owned)
        .into_iter()
        .zip([keys.id, keys.secret, keys.token]);
    assert_eq!(exported, expected.collect::<Vec<_>>());
}

#[test]
fn the_outputs_tell_whose_credentials_they_are() {
    let document = Document::default();
    let outcome = step_at(&Endpoint::serving(&document))
        .input("aws-region", "eu-west-1")
        .run()
        .succeeded();
    for (name, value) in [
        ("aws-account-id", Document::ACCOUNT),
        ("role-arn", Document::ROLE),
        ("aws-expiration", document.text("Expiration")),
        ("aws-region", "eu-west-1"),
        ("source", "input"),
    ] {
        assert_eq!(
            outcome.output.get(name).as_deref(),
            Some(value),
            "{outcome}"
        );
    }
    assert_eq!(outcome.output.names().len(), 5, "{outcome}");
}

#[test]
fn the_keys_are_outputs_only_when_asked_for() {
    let outcome = with(|step| step.input("output-credentials", "true"));
    for (output, variable) in [
        ("aws-access-key-id", KEYS[0]),
        ("aws-secret-access-key", KEYS[1]),
        ("aws-session-token", KEYS[2]),
    ] {
        assert_eq!(
            outcome.output.get(output),
            outcome.env.get(variable),
            "{outcome}"
        );
        assert!(outcome.output.get(output).is_some());
    }
    let without = with(|step| step);
    let names = without.output.names();
    assert_eq!(names.len() + 3, outcome.output.names().len(), "{outcome}");
    assert!(!names.iter().any(|name| name.contains("key")), "{without}");
}

#[test]
fn with_export_none_there_are_outputs_alone() {
    let outcome = with(|step| {
        step.input("export", "none")
            .input("output-credentials", "true")
            .input("aws-region", "eu-west-1")
    });
    assert!(outcome.env.is_untouched(), "{outcome}");
    assert!(
        outcome.output.get("aws-session-token").is_some(),
        "{outcome}"
    );
    // GITHUB_ENV is not written, so it need not be there.
    let without = with(|step| step.input("export", "none").deleting(File::Env));
    assert!(without.env.is_untouched());
}

#[test]
fn a_dry_run_writes_none_of_the_files_and_shows_the_names() {
    let outcome = with(|step| {
        step.input("dry-run", "true")
            .input("summary", "true")
            .input("output-credentials", "true")
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_SECURITY_TOKEN", "MARKER")
    })
    .untouched()
    .keeps_secret("MARKER");
    let log = outcome.log();
    for name in KEYS.iter().chain(&[
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_SECURITY_TOKEN",
        "input",
    ]) {
        assert!(log.contains(name), "{name}\n{outcome}");
    }
    let keys = Keys::number(0);
    for secret in [&keys.id, &keys.secret, &keys.token] {
        assert!(outcome.masks().contains(secret), "{outcome}");
        github::no_secret_outside_masks(&outcome.stdout, secret).unwrap_or_else(|l| panic!("{l}"));
    }
    let without = with(|step| {
        step.input("dry-run", "true")
            .deleting(File::Env)
            .deleting(File::Output)
    });
    assert!(without.env.is_untouched() && without.output.is_untouched());
}

#[test]
fn a_dry_run_checks_what_a_run_checks() {
    let endpoint = good();
    let step = step_at(&endpoint)
        .input("dry-run", "true")
        .input("expected-role", "another");
    fails(&step, Trouble::RoleNotExpected, &[]);
}

#[test]
fn keys_already_in_the_environment_are_replaced_with_a_line_in_the_log() {
    let outcome = with(|step| {
        KEYS.iter()
            .fold(step, |step, name| step.env(*name, "MARKER"))
    })
    .keeps_secret("MARKER");
    assert_eq!(outcome.env.get(KEYS[1]), Some(Keys::number(0).secret));
    assert!(outcome.log().contains("are replaced"), "{outcome}");
    assert_eq!(outcome.warnings(), [""; 0], "{outcome}");
}

#[test]
fn the_token_is_masked_before_it_is_sent_and_the_path_before_it_is_asked_for() {
    for (token, secret) in [(Some("a-secret-token"), "a-secret-token"), (None, PATH)] {
        let (asked, was_asked) = mpsc::channel();
        let (go, may_answer) = mpsc::channel();
        let may_answer = Mutex::new(may_answer);
        let endpoint = Endpoint::start(move |_, stream| {
            asked.send(()).unwrap();
            may_answer.lock().unwrap().recv().unwrap();
            answer::ok(stream, &Document::default().json())
        });
        let step = step()
            .env(FULL, endpoint.url(PATH))
            .env(TOKEN, token.unwrap_or_default());
        let mut running = step.start();
        was_asked.recv().unwrap();
        // The answer waits until the mask is seen: a mask that came after it would never be.
        running.wait_for_output(&format!("::add-mask::{secret}\n"));
        go.send(()).unwrap();
        running.finish().succeeded().keeps_secret(secret);
    }
}

#[test]
fn the_path_is_masked_where_it_is_a_secret_and_only_there() {
    let masks = |path: &str, token: &str| {
        let endpoint = good();
        let step = step()
            .input("credentials-uri", endpoint.url(path))
            .input("authorization-token", token);
        step.run().succeeded().masks()
    };
    for secret in [PATH, "/v1/credentials?id=5f3c", "/15-characters-x"] {
        assert!(masks(secret, "").contains(&secret.to_owned()), "{secret}");
        assert!(
            !masks(secret, "token").contains(&secret.to_owned()),
            "{secret}"
        );
    }
    for open in ["/", "/creds", "/15-characters-", "/v1/credentials"] {
        assert_eq!(masks(open, "").len(), 3, "{open}");
    }
}

#[test]
fn the_keys_are_masked() {
    let outcome = with(|step| step);
    let keys = Keys::number(0);
    let mut masks = outcome.masks();
    masks.sort_unstable();
    let mut expected = [keys.id, keys.secret, keys.token];
    expected.sort_unstable();
    assert_eq!(masks, expected);
}

#[test]
fn account_and_role_are_masked_only_when_asked_for() {
    let hidden = with(|step| step.input("mask-aws-account-id", "true"));
    for value in [Document::ACCOUNT, Document::ROLE] {
        assert!(hidden.masks().contains(&value.to_owned()), "{hidden}");
        assert!(!hidden.log().contains(value), "{hidden}");
    }
    let shown = with(|step| step);
    assert!(shown.log().contains(Document::ROLE), "{shown}");

    // Where the run fails, its message is masked as well; and the summary is no log.
    for (input, value) in [
        ("allowed-account-ids", "210987654321"),
        ("expected-role", "another"),
        ("minimum-lifetime", "43200"),
    ] {
        let endpoint = good();
        let outcome = step_at(&endpoint)
            .input("mask-aws-account-id", "true")
            .input(input, value)
            .run()
            .untouched();
        assert_eq!(outcome.code(), 1, "{outcome}");
        for value in [Document::ACCOUNT, Document::ROLE] {
            assert!(!outcome.log().contains(value), "{outcome}");
        }
    }
    let summed = with(|step| {
        step.input("mask-aws-account-id", "true")
            .input("summary", "true")
    });
    let summary = String::from_utf8(summed.summary.appended().to_vec()).unwrap();
    assert!(!summary.contains(Document::ACCOUNT), "{summary}");
}

#[test]
fn what_can_not_be_masked_is_not_exported() {
    let endpoint = good();
    let step = step_at(&endpoint);
    // A full disk behind the runner's log.
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let status = step
        .command()
        .stdout(full)
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
    for file in File::ALL {
        assert_eq!(std::fs::read(step.path(file)).unwrap(), b"", "{file:?}");
    }
}

#[test]
fn keys_that_can_not_be_masked_are_not_exported() {
    let (asked, was_asked) = mpsc::channel();
    let (go, may_answer) = mpsc::channel();
    let may_answer = Mutex::new(may_answer);
    let endpoint = Endpoint::start(move |_, stream| {
        asked.send(()).unwrap();
        may_answer.lock().unwrap().recv().unwrap();
        answer::ok(stream, &Document::default().json())
    });
    let step = step_at(&endpoint);
    let mut child = step.command().stderr(Stdio::null()).spawn().unwrap();
    // The runner goes away between the request and its answer.
    was_asked.recv().unwrap();
    drop(child.stdout.take());
    go.send(()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    for file in File::ALL {
        assert_eq!(std::fs::read(step.path(file)).unwrap(), b"", "{file:?}");
    }
}

#[test]
fn the_summary_is_a_small_table_without_secrets() {
    let document = Document::new(&Keys::marked("MARKER"));
    let outcome = step_at(&Endpoint::serving(&document))
        .input("summary", "true")
        .input("aws-region", "eu-west-1")
        .run()
        .succeeded()
        .keeps_secret("MARKER");
    let summary = String::from_utf8(outcome.summary.appended().to_vec()).unwrap();
    for part in [
        Document::ROLE,
        Document::ACCOUNT,
        "eu-west-1",
        "input",
        "5 h 59 min",
        "|",
    ] {
        assert!(summary.contains(part), "{part:?} is not in {summary}");
    }
    assert!(summary.len() < 2000);
    assert!(with(|step| step).summary.is_untouched());
}

#[test]
fn a_summary_that_can_not_be_written_is_a_warning() {
    for step in [
        step_at(&good()).deleting(File::Summary),
        step_at(&good()).without_env("GITHUB_STEP_SUMMARY"),
        step_at(&good()).env("GITHUB_STEP_SUMMARY", "/dev/full"),
    ] {
        let endpoint = good();
        let step = step
            .input("credentials-uri", endpoint.url("/creds"))
            .input("summary", "true");
        let outcome = step.run().succeeded();
        assert_eq!(outcome.warnings().len(), 1, "{outcome}");
        assert_eq!(outcome.env.names(), KEYS, "{outcome}");
    }
}

// Leftovers, `export: keys`.

#[test]
fn a_security_token_that_is_set_becomes_the_new_token() {
    let outcome = with(|step| step.env("AWS_SECURITY_TOKEN", "MARKER")).keeps_secret("MARKER");
    assert_eq!(
        outcome.env.get("AWS_SECURITY_TOKEN"),
        Some(Keys::number(0).token)
    );
    assert!(outcome.log().contains("AWS_SECURITY_TOKEN"), "{outcome}");
}

#[test]
fn a_credential_expiration_that_is_set_becomes_the_new_one() {
    let document = Document::default();
    let outcome = step_at(&Endpoint::serving(&document))
        .env("AWS_CREDENTIAL_EXPIRATION", "2020-01-01T00:00:00Z")
        .run()
        .succeeded();
    let exported = outcome.env.get("AWS_CREDENTIAL_EXPIRATION");
    assert_eq!(exported.as_deref(), Some(document.text("Expiration")));
    assert!(
        outcome.log().contains("AWS_CREDENTIAL_EXPIRATION"),
        "{outcome}"
    );
}

#[test]
fn a_profile_that_is_set_is_a_warning() {
    let outcome = with(|step| step.env("AWS_PROFILE", "MARKER"));
    assert_eq!(outcome.warnings().len(), 1, "{outcome}");
    assert!(outcome.warnings()[0].contains("AWS_PROFILE"), "{outcome}");
    assert_eq!(outcome.env.names(), KEYS, "{outcome}");
}

#[test]
fn what_does_not_matter_to_keys_is_left_alone() {
    let outcome = with(|step| {
        step.env("AWS_ACCESS_KEY", "x")
            .env("AWS_SECRET_KEY", "x")
            .env("AWS_WEB_IDENTITY_TOKEN_FILE", "/x")
            .env("AWS_ROLE_ARN", "x")
            .env("HTTP_PROXY", "http://127.0.0.1:9")
            .env("ALL_PROXY", "http://127.0.0.1:9")
    });
    assert_eq!(outcome.env.names(), KEYS, "{outcome}");
    assert_eq!(outcome.warnings(), [""; 0], "{outcome}");
}

#[test]
fn what_may_win_even_when_it_is_empty_is_dealt_with_when_empty() {
    let token = with(|step| step.env("AWS_SECURITY_TOKEN", ""));
    assert_eq!(
        token.env.get("AWS_SECURITY_TOKEN"),
        Some(Keys::number(0).token)
    );
    let profile = with(|step| step.env("AWS_PROFILE", ""));
    assert_eq!(profile.warnings().len(), 1, "{profile}");
}

// `export: endpoint`, and its leftovers. These need an endpoint that may be handed on.

/// A step with the agent's address, of which nothing but these is exported.
fn exports(set: impl FnOnce(Step) -> Step, expected: &[(&str, &str)]) -> Outcome {
    let outcome = set(step().input("export", "endpoint")).run().succeeded();
    let expected: Vec<_> = expected
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let mut exported = outcome.env.pairs();
    // In what order is no one's business.
    exported.sort();
    let mut sorted = expected;
    sorted.sort();
    assert_eq!(exported, sorted, "{outcome}");
    outcome
}

#[test]
fn the_endpoint_is_handed_on_as_it_was_found() {
    isolated(
        module_path!(),
        "the_endpoint_is_handed_on_as_it_was_found",
        || {
            add_address("169.254.170.2/32");
            let agent = agent();
            let relative = exports(|step| step.env(RELATIVE, PATH), &[(RELATIVE, PATH)]);
            assert_eq!(
                agent.requests().len(),
                1,
                "the credentials are fetched once, as proof"
            );
            assert!(relative.masks().contains(&PATH.to_owned()), "{relative}");
            exports(
                |step| step.input("credentials-uri", PATH),
                &[(RELATIVE, PATH)],
            );
            let full = format!("http://169.254.170.2{PATH}");
            exports(
                |step| step.env(FULL, &full).env(TOKEN, "a-token"),
                &[(FULL, &full), (TOKEN, "a-token")],
            )
            .keeps_secret("a-token");
            exports(
                |step| step.env(RELATIVE, PATH).env("AWS_REGION", "eu-west-1"),
                &[
                    (RELATIVE, PATH),
                    ("AWS_REGION", "eu-west-1"),
                    ("AWS_DEFAULT_REGION", "eu-west-1"),
                ],
            );
        },
    );
}

#[test]
fn the_endpoint_of_eks_is_handed_on_with_its_token() {
    isolated(
        module_path!(),
        "the_endpoint_of_eks_is_handed_on_with_its_token",
        || {
            add_address("169.254.170.23/32");
            let listener = std::net::TcpListener::bind("169.254.170.23:80").unwrap();
            let endpoint = Endpoint::on(listener, |_, stream| {
                let document = Document::default()
                    .without("RoleArn")
                    .account("123456789012");
                answer::ok(stream, &document.json())
            });
            let full = "http://169.254.170.23/v1/credentials";
            let outcome = exports(
                |step| step.env(FULL, full).env(TOKEN, "a-token"),
                &[(FULL, full), (TOKEN, "a-token")],
            );
            assert_eq!(
                endpoint.requests()[0].header("Host"),
                Some("169.254.170.23")
            );
            assert!(
                !outcome.masks().contains(&"/v1/credentials".to_owned()),
                "{outcome}"
            );
        },
    );
}

#[test]
fn keys_that_would_win_over_the_endpoint_are_blanked_all_three() {
    isolated(
        module_path!(),
        "keys_that_would_win_over_the_endpoint_are_blanked_all_three",
        || {
            add_address("169.254.170.2/32");
            let _agent = agent();
            for set in KEYS {
                let blanked = [
                    (RELATIVE, PATH),
                    (KEYS[0], ""),
                    (KEYS[1], ""),
                    (KEYS[2], ""),
                ];
                let outcome = exports(|step| step.env(RELATIVE, PATH).env(set, "MARKER"), &blanked)
                    .keeps_secret("MARKER");
                assert!(outcome.log().contains("blanked"), "{outcome}");
            }
        },
    );
}

#[test]
fn leftovers_that_would_win_over_the_endpoint_are_blanked() {
    isolated(
        module_path!(),
        "leftovers_that_would_win_over_the_endpoint_are_blanked",
        || {
            add_address("169.254.170.2/32");
            let _agent = agent();
            for name in [
                "AWS_SECURITY_TOKEN",
                "AWS_CREDENTIAL_EXPIRATION",
                "AWS_ACCESS_KEY",
                "AWS_SECRET_KEY",
            ] {
                let outcome = exports(
                    |step| step.env(RELATIVE, PATH).env(name, "MARKER"),
                    &[(RELATIVE, PATH), (name, "")],
                )
                .keeps_secret("MARKER");
                assert!(outcome.log().contains(name), "{outcome}");
            }
            // A token that belongs to another source; with an input's URI it is not the endpoint's.
            let outcome = exports(
                |step| step.input("credentials-uri", PATH).env(TOKEN, "MARKER"),
                &[(RELATIVE, PATH), (TOKEN, "")],
            )
            .keeps_secret("MARKER");
            assert!(outcome.log().contains(TOKEN), "{outcome}");
        },
    );
}

#[test]
fn leftovers_that_may_break_an_sdk_are_warnings() {
    isolated(
        module_path!(),
        "leftovers_that_may_break_an_sdk_are_warnings",
        || {
            add_address("169.254.170.2/32");
            let _agent = agent();
            let expected = [(RELATIVE, PATH)];
            let profile = exports(
                |step| step.env(RELATIVE, PATH).env("AWS_PROFILE", "x"),
                &expected,
            );
            assert_eq!(profile.warnings().len(), 1, "{profile}");
            assert!(profile.warnings()[0].contains("AWS_PROFILE"), "{profile}");
            let both = exports(
                |step| {
                    step.env(RELATIVE, PATH)
                        .env("AWS_WEB_IDENTITY_TOKEN_FILE", "/x")
                        .env("AWS_ROLE_ARN", "x")
                },
                &expected,
            );
            assert_eq!(both.warnings().len(), 1, "{both}");
            assert!(
                both.warnings()[0].contains("AWS_WEB_IDENTITY_TOKEN_FILE"),
                "{both}"
            );
            for alone in ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"] {
                let one = exports(|step| step.env(RELATIVE, PATH).env(alone, "x"), &expected);
                assert_eq!(one.warnings(), [""; 0], "{one}");
            }
        },
    );
}

#[test]
fn an_endpoint_that_a_leftover_would_beat_is_not_handed_on() {
    isolated(
        module_path!(),
        "an_endpoint_that_a_leftover_would_beat_is_not_handed_on",
        || {
            add_address("169.254.170.2/32");
            let agent = agent();
            let endpoint = || step().input("export", "endpoint");
            let full = endpoint()
                .input("credentials-uri", format!("http://169.254.170.2{PATH}"))
                .env(RELATIVE, "/v2/credentials/another");
            fails(&full, Trouble::EndpointNotForOthers, &[RELATIVE]);
            let file = endpoint()
                .input("credentials-uri", PATH)
                .env(TOKEN_FILE, "/no/such/file");
            fails(&file, Trouble::EndpointNotForOthers, &[TOKEN_FILE]);
            // Empty ones break SDKs as well.
            let full = endpoint()
                .env(FULL, format!("http://169.254.170.2{PATH}"))
                .env(RELATIVE, "");
            fails(&full, Trouble::EndpointNotForOthers, &[RELATIVE]);
            for (name, uri) in [
                (RELATIVE, PATH.to_owned()),
                (FULL, format!("http://169.254.170.2{PATH}")),
            ] {
                let file = endpoint().env(name, &uri).env(TOKEN_FILE, "");
                fails(&file, Trouble::EndpointNotForOthers, &[TOKEN_FILE]);
            }
            assert_eq!(agent.requests().len(), 0);
        },
    );
}

#[test]
fn the_endpoint_is_kept_from_a_proxy() {
    isolated(module_path!(), "the_endpoint_is_kept_from_a_proxy", || {
        add_address("169.254.170.2/32");
        let _agent = agent();
        let host = "169.254.170.2";
        for proxy in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
            let outcome = exports(
                |step| step.env(RELATIVE, PATH).env(proxy, "http://proxy:3128"),
                &[(RELATIVE, PATH), ("NO_PROXY", host), ("no_proxy", host)],
            );
            assert!(outcome.log().contains("NO_PROXY"), "{outcome}");
        }
        // A `*` spares every host already, and some readers know it only where it stands alone.
        for (all, other) in [("NO_PROXY", "no_proxy"), ("no_proxy", "NO_PROXY")] {
            exports(
                |step| {
                    step.env(RELATIVE, PATH)
                        .env("HTTP_PROXY", "http://proxy:3128")
                        .env(all, "*")
                        .env(other, "corp.example")
                },
                &[(RELATIVE, PATH), (other, &format!("corp.example,{host}"))],
            );
        }
        // HTTPS alone does not reach an http endpoint.
        exports(
            |step| {
                step.env(RELATIVE, PATH)
                    .env("HTTPS_PROXY", "http://proxy:3128")
            },
            &[(RELATIVE, PATH)],
        );
        let outcome = step()
            .input("export", "endpoint")
            .env(RELATIVE, PATH)
            .env("HTTP_PROXY", "http://proxy:3128")
            .env("NO_PROXY", "a.example,b.example")
            .env("no_proxy", "b.example, c.example")
            .run()
            .succeeded();
        for name in ["NO_PROXY", "no_proxy"] {
            let value = outcome.env.get(name).unwrap();
            let mut hosts: Vec<&str> = value.split(',').map(str::trim).collect();
            hosts.sort_unstable();
            assert_eq!(
                hosts,
                [host, "a.example", "b.example", "c.example"],
                "{outcome}"
            );
        }
        let outcome = step()
            .input("export", "endpoint")
            .env(RELATIVE, PATH)
            .env("http_proxy", "http://proxy:3128")
            .env("NO_PROXY", host)
            .env("no_proxy", host)
            .run()
            .succeeded();
        assert_eq!(
            outcome.env.names(),
            [RELATIVE],
            "in both already\n{outcome}"
        );
    });
}

#[test]
fn a_loopback_endpoint_and_a_token_file_are_not_handed_on() {
    let endpoint = good();
    let step = step_at(&endpoint).input("export", "endpoint");
    fails(&step, Trouble::EndpointNotForOthers, &["loopback"]);

    let step = crate::step()
        .input("export", "endpoint")
        .env(FULL, "http://169.254.170.23/v1/credentials");
    let file = step.folder().join("token");
    std::fs::write(&file, "MARKER").unwrap();
    fails(
        &step.env(TOKEN_FILE, file),
        Trouble::EndpointNotForOthers,
        &["token", "file"],
    )
    .keeps_secret("MARKER");
    assert_eq!(endpoint.requests().len(), 0);
}

#[test]
fn records_are_heredocs_with_a_delimiter_of_their_own() {
    let delimiter = |outcome: &Outcome| {
        let text = String::from_utf8(outcome.env.appended().to_vec()).unwrap();
        let first = text.lines().next().unwrap();
        let (name, delimiter) = first.split_once("<<").expect("no heredoc");
        assert_eq!(name, KEYS[0]);
        assert!(delimiter.len() >= 16, "{delimiter:?} can be guessed");
        delimiter.to_owned()
    };
    let (one, two) = (with(|step| step), with(|step| step));
    assert_ne!(delimiter(&one), delimiter(&two));
}
