//! Which region is exported, and which is not.

use std::net::TcpListener;

use ecs_task_role::trouble::Trouble;
use serde_json::json;

use crate::support::endpoint::{Document, Endpoint, answer};
use crate::support::isolation::{add_address, isolated};
use crate::support::step::{Outcome, Step};
use crate::{fails, step_at};

const METADATA: &str = "ECS_CONTAINER_METADATA_URI_V4";

/// A successful step with these variables and inputs.
fn with(set: impl FnOnce(Step) -> Step) -> Outcome {
    let endpoint = Endpoint::serving(&Document::default());
    set(step_at(&endpoint)).run().succeeded()
}

/// `AWS_REGION`, `AWS_DEFAULT_REGION`, and the output.
fn regions(outcome: &Outcome) -> [String; 3] {
    [
        outcome.env.get("AWS_REGION"),
        outcome.env.get("AWS_DEFAULT_REGION"),
        outcome.output.get("aws-region"),
    ]
    .map(Option::unwrap_or_default)
}

#[test]
fn the_input_overrides_all() {
    for set in [
        &[][..],
        &["AWS_REGION"],
        &["AWS_DEFAULT_REGION"],
        &["AWS_REGION", "AWS_DEFAULT_REGION"],
    ] {
        let outcome = with(|step| {
            set.iter()
                .fold(step.input("aws-region", " ap-south-1 "), |step, name| {
                    step.env(*name, "us-east-1")
                })
        });
        assert_eq!(regions(&outcome), ["ap-south-1"; 3], "{set:?}");
    }
}

#[test]
fn a_region_that_is_set_is_written_with_its_own_value() {
    let one = with(|step| step.env("AWS_REGION", "eu-west-1"));
    assert_eq!(regions(&one), ["eu-west-1"; 3]);
    let other = with(|step| step.env("AWS_DEFAULT_REGION", "us-gov-east-1"));
    assert_eq!(regions(&other), ["us-gov-east-1"; 3]);
    let both = with(|step| {
        step.env("AWS_REGION", "eu-west-1")
            .env("AWS_DEFAULT_REGION", "us-east-1")
    });
    assert_eq!(regions(&both), ["eu-west-1", "us-east-1", "eu-west-1"]);
}

#[test]
fn no_region_is_no_error_but_a_line_in_the_log() {
    for outcome in [
        with(|step| step),
        with(|step| step.env("AWS_REGION", "").env("AWS_DEFAULT_REGION", "")),
    ] {
        assert_eq!(outcome.env.names().len(), 3, "{outcome}");
        assert_eq!(outcome.output.get("aws-region").unwrap_or_default(), "");
        assert!(outcome.log().contains("region"), "{outcome}");
        assert_eq!(outcome.warnings(), [""; 0], "{outcome}");
    }
}

const NO_REGIONS: [&str; 8] = [
    "MARKER",
    "eu-west",
    "eu-west-1a",
    "EU-WEST-1",
    "eu-west-1.MARKER.example",
    "eu-west-1/MARKER",
    "eu west 1",
    "eu-west-1\nMARKER=1",
];

#[test]
fn an_input_that_is_no_region_is_an_error() {
    for bad in NO_REGIONS {
        let endpoint = Endpoint::serving(&Document::default());
        fails(
            &step_at(&endpoint).input("aws-region", bad),
            Trouble::InvalidInput,
            &["aws-region"],
        );
        assert_eq!(endpoint.requests().len(), 0, "{bad}");
    }
}

#[test]
fn a_variable_that_holds_no_region_is_skipped_with_a_warning() {
    for bad in NO_REGIONS {
        let outcome = with(|step| {
            step.env("AWS_REGION", bad)
                .env("AWS_DEFAULT_REGION", "eu-west-1")
        });
        assert_eq!(
            outcome.output.get("aws-region").as_deref(),
            Some("eu-west-1"),
            "{outcome}"
        );
        let warnings = outcome.warnings();
        assert_eq!(warnings.len(), 1, "{outcome}");
        assert!(warnings[0].contains("AWS_REGION"), "{outcome}");

        let outcome = with(|step| step.env("AWS_REGION", bad));
        assert_eq!(outcome.env.names().len(), 3, "{outcome}");
        assert_eq!(outcome.warnings().len(), 1, "{outcome}");
    }
}

#[test]
fn a_region_is_never_masked() {
    let outcome = with(|step| {
        step.input("aws-region", "eu-west-1")
            .input("mask-aws-account-id", "true")
    });
    assert!(
        !outcome
            .masks()
            .iter()
            .any(|mask| "eu-west-1".contains(mask.as_str())),
        "{outcome}"
    );
    assert!(outcome.log().contains("eu-west-1"), "{outcome}");
}

#[test]
fn the_metadata_endpoint_must_be_the_agents() {
    isolated(
        module_path!(),
        "the_metadata_endpoint_must_be_the_agents",
        || {
            let traps = [
                "169.254.170.2",
                "169.254.169.254",
                "169.254.170.23",
                "127.0.0.1",
            ]
            .map(|address| {
                if address != "127.0.0.1" {
                    add_address(&format!("{address}/32"));
                }
                let listener = TcpListener::bind((address, 80)).unwrap();
                Endpoint::on(listener, |_, stream| answer::ok(stream, "{}"))
            });
            let other_port = Endpoint::start(|_, stream| answer::ok(stream, "{}"));
            for uri in [
                "http://169.254.170.2/v2/MARKER",
                "http://169.254.170.2/MARKER",
                "http://169.254.170.2/v4/../MARKER",
                "http://169.254.170.2/v4/../v2/MARKER",
                "http://169.254.170.2@127.0.0.1/v4/MARKER",
                "http://user@169.254.170.2/v4/MARKER",
                "http://169.254.170.2\\@127.0.0.1/v4/MARKER",
                "http://169.254.170.2/v4/MARKER?x=",
                "http://169.254.170.2/v4/MARKER#",
                "https://169.254.170.2/v4/MARKER",
                "http://169.254.169.254/v4/MARKER",
                "http://169.254.170.23/v4/MARKER",
                "http://127.0.0.1/v4/MARKER",
                "http://localhost/v4/MARKER",
                "/v4/MARKER",
                "MARKER",
                &other_port.url("/v4/MARKER"),
            ] {
                let outcome = with(|step| step.env(METADATA, uri)).keeps_secret("MARKER");
                assert_eq!(outcome.env.names().len(), 3, "{uri}: {outcome}");
            }
            assert_eq!(other_port.requests().len(), 0);
            for trap in traps {
                let targets: Vec<String> = trap.requests().into_iter().map(|r| r.target).collect();
                assert_eq!(targets, [""; 0], "{}", trap.addr());
            }
        },
    );
}

/// The agent's address, where `/v4/<id>/task` is answered by this.
fn metadata(body: impl Into<String>) -> Endpoint {
    let body = body.into();
    let listener = TcpListener::bind("169.254.170.2:80").unwrap();
    Endpoint::on(listener, move |_, stream| answer::ok(stream, &body))
}

#[test]
fn the_region_of_the_task_is_found_where_nothing_else_knows_one() {
    isolated(
        module_path!(),
        "the_region_of_the_task_is_found_where_nothing_else_knows_one",
        || {
            add_address("169.254.170.2/32");
            let arn =
                "arn:aws:ecs:eu-central-1:123456789012:task/fleet/0123456789abcdef0123456789abcdef";
            let agent = metadata(json!({"Cluster": "fleet", "TaskARN": arn}).to_string());
            for version in ["v3", "v4"] {
                let outcome = with(|step| {
                    step.input("authorization-token", "a-token").env(
                        METADATA,
                        format!("http://169.254.170.2/{version}/5f3c1d9e0b7a"),
                    )
                });
                assert_eq!(regions(&outcome), ["eu-central-1"; 3]);
            }
            let requests = agent.requests();
            let targets: Vec<&str> = requests.iter().map(|r| r.target.as_str()).collect();
            assert_eq!(targets, ["/v3/5f3c1d9e0b7a/task", "/v4/5f3c1d9e0b7a/task"]);
            assert_eq!(requests[0].header("Authorization"), None);

            with(|step| {
                step.env("AWS_REGION", "eu-west-1")
                    .env(METADATA, "http://169.254.170.2/v4/5f3c1d9e0b7a")
            });
            assert_eq!(agent.requests().len(), 2, "asked though a region was known");
        },
    );
}

#[test]
fn metadata_that_fails_is_a_line_in_the_log() {
    isolated(
        module_path!(),
        "metadata_that_fails_is_a_line_in_the_log",
        || {
            add_address("169.254.170.2/32");
            let fails = |agent: Option<Endpoint>| {
                let outcome =
                    with(|step| step.env(METADATA, "http://169.254.170.2/v4/MARKER5f3c1d9e0b7a"))
                        .keeps_secret("MARKER");
                assert_eq!(outcome.env.names().len(), 3, "{outcome}");
                assert_eq!(outcome.warnings(), [""; 0], "{outcome}");
                let shown = String::from_utf8_lossy(&outcome.stdout);
                assert!(
                    shown.contains("no region found: asked the task's metadata"),
                    "{outcome}"
                );
                if let Some(agent) = agent {
                    assert_eq!(agent.requests().len(), 1, "{outcome}");
                }
            };
            fails(None);
            for body in ["MARKER", "{}", "{\"TaskARN\":7}"] {
                fails(Some(metadata(body)));
            }
            fails(Some(metadata("x".repeat(2 * 1024 * 1024))));
            let listen = || TcpListener::bind("169.254.170.2:80").unwrap();
            fails(Some(Endpoint::on(listen(), |_, stream| {
                answer::silence(stream)
            })));
            fails(Some(Endpoint::on(listen(), |_, stream| {
                answer::with(stream, "500 x", "text/plain", "MARKER")
            })));
            fails(Some(Endpoint::on(listen(), |_, stream| {
                answer::redirect(stream, 302, "/MARKER")
            })));
        },
    );
}

#[test]
fn a_task_whose_region_is_none_gives_a_warning() {
    isolated(
        module_path!(),
        "a_task_whose_region_is_none_gives_a_warning",
        || {
            add_address("169.254.170.2/32");
            let agent = metadata(
                json!({"TaskARN": "arn:aws:ecs:evil.example/:123456789012:task/a/b"}).to_string(),
            );
            let outcome = with(|step| step.env(METADATA, "http://169.254.170.2/v4/5f3c1d9e0b7a"));
            assert_eq!(agent.requests().len(), 1);
            assert_eq!(outcome.env.names().len(), 3, "{outcome}");
            assert_eq!(outcome.warnings().len(), 1, "{outcome}");
            assert!(!outcome.stdout().contains("evil.example"), "{outcome}");
        },
    );
}
