//! What is hidden, and how soon: whatever a server says, and whatever becomes of the run.

use std::net::TcpStream;
use std::sync::{Mutex, mpsc};

use ecs_task_role::trouble::Trouble;

use crate::support::endpoint::{Document, Endpoint, Keys, answer};
use crate::support::engine::{self, Container, Engine, ME, be_a_container};
use crate::support::isolation::{add_address, isolated};
use crate::support::step::{Outcome, Step};
use crate::{agent, fails_once, program, step, step_at};

const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";

const MARKER: &str = "PLANTEDMARKER";

/// Each of these is masked.
fn masked(outcome: &Outcome, secrets: &[&str]) {
    let masks = outcome.masks();
    for secret in secrets {
        assert!(
            masks.iter().any(|mask| mask == secret),
            "{secret:?} is not masked\n{outcome}"
        );
    }
}

/// One answer with this status and body, to a step that asks once.
fn answered(status: &'static str, body: &str) -> Outcome {
    let body = body.to_owned();
    let endpoint =
        Endpoint::start(move |_, stream| answer::with(stream, status, "application/json", &body));
    let step = step_at(&endpoint)
        .input("retry-max-attempts", "1")
        .env("RUNNER_DEBUG", "1");
    let outcome = step.run().untouched();
    assert_eq!(outcome.code(), 1, "{outcome}");
    outcome.error();
    outcome
}

#[test]
fn keys_in_an_answer_that_is_no_document_are_masked_and_never_shown() {
    let Keys { id, secret, token } = Keys::marked(MARKER);
    let both = [secret.as_str(), token.as_str()];
    let bodies: [(String, Vec<&str>); 7] = [
        (
            format!(r#"{{"AccessKeyId":7,"SecretAccessKey":"{secret}","Token":"{token}"}}"#),
            both.to_vec(),
        ),
        (
            format!(r#"{{"AccessKeyId":"{id}","SecretAccessKey":["{secret}"],"Token":"{token}"}}"#),
            vec![&id, &token],
        ),
        (
            format!(r#"{{"AccessKeyId":"{id}","Token":"{token}","Token":"{secret}"}}"#),
            vec![&id, &secret, &token],
        ),
        (
            format!(r#"{{"accesskeyid":"{id}","secretaccesskey":"{secret}","token":"{token}"}}"#),
            vec![&id, &secret, &token],
        ),
        (
            format!(
                r#"{{"code":"Code","message":"the key {secret} and {token}","SecretAccessKey":"{secret}","Token":"{token}"}}"#
            ),
            both.to_vec(),
        ),
        (
            format!(
                r#"{{"message":"{token}","AccessKeyId":"{id}","SecretAccessKey":"{secret}","Token":"{token}""#
            ),
            vec![&id, &secret, &token],
        ),
        (
            format!(
                r#"{{"AccessKeyId":"{id}","SecretAccessKey":"{secret}","Token":"{token}","Expiration":"{MARKER}"}}"#
            ),
            vec![&id, &secret, &token],
        ),
    ];
    for (body, keys) in bodies {
        for status in ["200 OK", "400 x", "403 x", "500 x", "302 x"] {
            let outcome = answered(status, &body).keeps_secret(MARKER);
            masked(&outcome, &keys);
        }
    }
}

/// Answers the first request so; the second one waits until these masks are seen, and is then a refusal with this
/// message.
fn then_quoted(
    first: String,
    message: String,
    masks: &[&str],
    set: impl FnOnce(Step) -> Step,
) -> Outcome {
    let (asked, was_asked) = mpsc::channel();
    let (go, may_answer) = mpsc::channel();
    let may_answer = Mutex::new(may_answer);
    let endpoint = Endpoint::start(move |request, stream: &mut TcpStream| {
        if request.number == 0 {
            return answer::ok(stream, &first);
        }
        asked.send(()).unwrap();
        may_answer.lock().unwrap().recv().unwrap();
        answer::agent_error(stream, 400, "SomeCode", &message)
    });
    let step = set(step_at(&endpoint).env("RUNNER_DEBUG", "1"));
    let mut running = step.start();
    was_asked.recv().unwrap();
    for mask in masks {
        running.wait_for_output(&format!("::add-mask::{mask}\n"));
    }
    go.send(()).unwrap();
    let outcome = running.finish().untouched();
    assert_eq!(outcome.code(), 1, "{outcome}");
    let (title, message) = outcome.error();
    assert_eq!(title, Trouble::EndpointError.title(), "{outcome}");
    assert!(message.contains("SomeCode"), "{outcome}");
    outcome
}

#[test]
fn a_key_that_came_with_an_incomplete_answer_is_hidden_in_all_that_follow() {
    let keys = Keys::marked(MARKER);
    let all = [keys.id.as_str(), &keys.secret, &keys.token];
    for quoted in all {
        let first = Document::new(&keys).without("Expiration").json();
        then_quoted(first, format!("DROPPED {quoted}"), &all, |step| step)
            .keeps_secret(MARKER)
            .keeps_secret("DROPPED");
    }
}

#[test]
fn the_account_and_role_of_an_expired_answer_are_hidden_where_they_are_to_be() {
    let first = || Document::default().expiring_in(-60).json();
    let owner = [Document::ACCOUNT, Document::ROLE];
    for quoted in owner {
        then_quoted(first(), format!("DROPPED {quoted}"), &owner, |step| {
            step.input("mask-aws-account-id", "true")
        })
        .keeps_secret(Document::ACCOUNT)
        .keeps_secret("DROPPED");
    }
    // Where nobody asks for it, neither is a secret.
    let shown = then_quoted(first(), format!("SHOWN {}", Document::ROLE), &[], |step| {
        step
    });
    assert!(shown.error().1.contains("SHOWN"), "{shown}");
    assert!(
        !shown.masks().contains(&Document::ROLE.to_owned()),
        "{shown}"
    );
}

#[test]
fn an_id_in_the_uri_is_not_shown_as_the_server_understood_it() {
    for (uri, understood) in [
        ("/creds?id=PLANTED'MARKER", "PLANTED'MARKER"),
        ("/v2/credentials/PLANTED%27MARKER", "PLANTED'MARKER"),
        ("/v2/credentials/PLANTED%4dARKER", "PLANTEDMARKER"),
    ] {
        let message = format!("DROPPED: no {understood} here");
        let endpoint = Endpoint::start(move |_, stream| {
            answer::agent_error(stream, 400, "SomeCode", &message)
        });
        for token in ["", "a-token-0123"] {
            let step = step().env(FULL, endpoint.url(uri)).env(TOKEN, token);
            fails_once(&step, Trouble::EndpointError, &["SomeCode"])
                .keeps_secret(understood)
                .keeps_secret("DROPPED");
        }
    }
}

#[test]
fn a_token_and_a_path_are_masked_even_where_the_endpoint_is_refused() {
    let path = format!("/v2/credentials/{MARKER}-0123");
    let token = format!("token-{MARKER}");
    let fails = |step: Step, trouble, masks: &[&str]| {
        let outcome = fails_once(&step, trouble, &[]).keeps_secret(MARKER);
        masked(&outcome, masks);
    };
    for host in ["evil", "10.0.0.1", "user@127.0.0.1", "127.0.0.1:99999"] {
        let uri = format!("http://{host}{path}");
        let refused = || step().env(FULL, &uri);
        fails(refused(), Trouble::EndpointNotAllowed, &[&path]);
        fails(
            refused().env(TOKEN, &token),
            Trouble::EndpointNotAllowed,
            &[&token],
        );
        // The environment's token goes with another URI, and is one even so.
        let by_input = step()
            .input("credentials-uri", &uri)
            .env(FULL, "http://127.0.0.1/x");
        fails(
            by_input.env(TOKEN, &token),
            Trouble::EndpointNotAllowed,
            &[&token, &path],
        );
        let both = step()
            .input("credentials-uri", &uri)
            .input("authorization-token", &token);
        fails(both, Trouble::EndpointNotAllowed, &[&token]);
    }
    let relative = format!("@evil{path}");
    fails(
        step().env(RELATIVE, &relative),
        Trouble::EndpointNotAllowed,
        &[&relative],
    );
    // A loopback endpoint can't be handed on.
    let loopback = || {
        step()
            .env(FULL, format!("http://127.0.0.1:9{path}"))
            .input("export", "endpoint")
    };
    fails(loopback(), Trouble::EndpointNotForOthers, &[&path]);
    fails(
        loopback().env(TOKEN, &token),
        Trouble::EndpointNotForOthers,
        &[&token],
    );
}

#[test]
fn a_lone_token_is_masked_before_the_engine_is_asked() {
    isolated(
        module_path!(),
        "a_lone_token_is_masked_before_the_engine_is_asked",
        || {
            be_a_container(ME);
            let token = format!("token-{MARKER}");
            let (asked, was_asked) = mpsc::channel();
            let (go, may_answer) = mpsc::channel();
            let may_answer = Mutex::new(may_answer);
            let containers = vec![Container::me()];
            let _engine = Engine::start(move |line, _| {
                asked.send(()).unwrap();
                may_answer.lock().unwrap().recv().unwrap();
                engine::answer(&containers, line)
            });
            let step = Step::new(&program()).env(TOKEN, &token);
            let mut running = step.start();
            was_asked.recv().unwrap();
            running.wait_for_output(&format!("::add-mask::{token}\n"));
            go.send(()).unwrap();
            let outcome = running.finish().untouched().keeps_secret(MARKER);
            assert_eq!(outcome.error().0, Trouble::RunnerNotProved.title());
        },
    );
}

#[test]
fn a_path_that_the_parser_writes_otherwise_is_masked_in_both_forms() {
    isolated(
        module_path!(),
        "a_path_that_the_parser_writes_otherwise_is_masked_in_both_forms",
        || {
            add_address("169.254.170.2/32");
            let agent = agent();
            for (given, sent) in [
                (
                    r#"/v2/credentials/./PLANTEDMARKER"0123"#,
                    "/v2/credentials/PLANTEDMARKER%220123",
                ),
                (
                    "/v2/x/../credentials/PLANTEDMARKER",
                    "/v2/credentials/PLANTEDMARKER",
                ),
            ] {
                let by_input = step().input("credentials-uri", given);
                let by_variable = step().env(RELATIVE, given);
                let full = step().env(FULL, format!("http://169.254.170.2{given}"));
                for step in [by_input, by_variable, full] {
                    let outcome = step.run().succeeded().keeps_secret(MARKER);
                    masked(&outcome, &[given, sent]);
                    assert_eq!(agent.requests().pop().unwrap().target, sent);
                }
            }
        },
    );
}

#[test]
fn a_token_in_the_place_of_a_token_files_path_is_never_shown() {
    let pasted = format!("eyJhbGciOiJSUzI1NiJ9.{MARKER}.c2ln");
    let endpoint = Endpoint::serving(&Document::default());
    let loud = || step().env("RUNNER_DEBUG", "1").env(TOKEN_FILE, &pasted);
    fails_once(
        &loud().env(FULL, endpoint.url("/")),
        Trouble::TokenUnfit,
        &[TOKEN_FILE],
    )
    .keeps_secret(MARKER);
    fails_once(
        &loud()
            .env(FULL, "http://169.254.170.23/v1/credentials")
            .input("export", "endpoint"),
        Trouble::EndpointNotForOthers,
        &["file"],
    )
    .keeps_secret(MARKER);
    // Ignored without a URI, and with the input's.
    fails_once(&loud(), Trouble::NoSource, &[]).keeps_secret(MARKER);
    loud()
        .input("credentials-uri", endpoint.url("/"))
        .run()
        .succeeded()
        .keeps_secret(MARKER);
}
