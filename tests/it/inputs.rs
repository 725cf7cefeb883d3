//! Each input: its default, its values, and what it says of everything else.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use ecs_task_role::trouble::Trouble;

use crate::support::action;
use crate::support::endpoint::{Document, Endpoint, answer};
use crate::support::step::{Step, variable_of_input};
use crate::{fails, step_at};

const BOOLEANS: [&str; 4] = [
    "output-credentials",
    "mask-aws-account-id",
    "summary",
    "dry-run",
];

fn good() -> Endpoint {
    Endpoint::serving(&Document::default())
}

/// The value is an error that names the input, before anything is asked.
fn refused(input: &str, value: &str) {
    let endpoint = good();
    let step = step_at(&endpoint).input(input, value);
    fails(&step, Trouble::InvalidInput, &[input]);
    assert_eq!(endpoint.requests().len(), 0, "{input}: {value:?}");
}

fn accepted(input: &str, value: &str) {
    let endpoint = good();
    step_at(&endpoint).input(input, value).run().succeeded();
}

#[test]
fn without_any_input_the_defaults_hold() {
    let endpoint = good();
    let bare: Step = action::inputs()
        .iter()
        .fold(step_at(&endpoint), |step, input| {
            step.without_input(&input.name)
        });
    let bare = bare.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint.url("/"));
    let by_default = bare.run().succeeded();
    let declared = step_at(&endpoint).run().succeeded();
    assert_eq!(by_default.env.pairs(), declared.env.pairs());
    assert_eq!(by_default.output.names(), declared.output.names());
}

#[test]
fn an_empty_input_takes_its_default() {
    let endpoint = good();
    let guards = [
        "allowed-account-ids",
        "expected-role",
        "minimum-lifetime",
        "credentials-uri",
    ];
    let outcome = action::inputs()
        .iter()
        .filter(|input| !guards.contains(&input.name.as_str()))
        // An empty `discovery` is `auto`, and the endpoint is named, so that nothing is searched for.
        .fold(step_at(&endpoint), |step, input| {
            step.input(&input.name, "")
        })
        .run()
        .succeeded();
    assert_eq!(
        outcome.env.names(),
        [
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN"
        ]
    );
    assert!(outcome.summary.is_untouched());
}

#[test]
fn a_boolean_is_one_of_six_words() {
    for input in BOOLEANS {
        for value in [
            "true", "True", "TRUE", "false", "False", "FALSE", " true ", "false\n",
        ] {
            accepted(input, value);
        }
        for value in [
            "yes",
            "no",
            "1",
            "0",
            "tRUE",
            "true false",
            "on",
            "'true'",
            "TRUE!",
        ] {
            refused(input, value);
        }
    }
}

#[test]
fn every_spelling_of_true_is_true() {
    for value in ["true", "True", "TRUE"] {
        let endpoint = good();
        let outcome = step_at(&endpoint)
            .input("output-credentials", value)
            .run()
            .succeeded();
        assert!(outcome.output.get("aws-session-token").is_some(), "{value}");
    }
    for value in ["false", "False", "FALSE"] {
        let endpoint = good();
        let outcome = step_at(&endpoint)
            .input("output-credentials", value)
            .run()
            .succeeded();
        assert!(outcome.output.get("aws-session-token").is_none(), "{value}");
    }
}

#[test]
fn a_number_is_within_its_bounds() {
    for (input, least, most) in [
        ("minimum-lifetime", 0, 43_200_u64),
        ("retry-max-attempts", 1, 100),
        ("timeout", 1, 3600),
    ] {
        for value in [least, most] {
            // The document lives for six hours, so the largest minimum is refused for another reason.
            let endpoint = Endpoint::serving(&Document::default().expiring_in(50_000));
            step_at(&endpoint)
                .input(input, value.to_string())
                .run()
                .succeeded();
        }
        refused(input, &(most + 1).to_string());
        refused(input, "-1");
        if least > 0 {
            refused(input, "0");
        }
        for value in [
            "x",
            "1.5",
            "1e3",
            "0x10",
            "1 000",
            "1_000",
            "5s",
            "٣",
            "18446744073709551616",
            "99999999999999999999999999",
        ] {
            refused(input, value);
        }
    }
}

#[test]
fn an_unknown_value_of_an_enumerated_input_is_an_error() {
    for value in ["key", "KEYS", "keys,endpoint", "all", "*"] {
        refused("export", value);
    }
    for value in ["Auto", "docker", "none", "env"] {
        refused("discovery", value);
    }
}

#[test]
fn an_error_says_which_values_there_are() {
    for (input, says) in [
        ("export", &["keys", "endpoint", "none"][..]),
        ("discovery", &["auto", "environment"]),
        ("summary", &["true", "false"]),
        ("timeout", &["1", "3600"]),
        ("retry-max-attempts", &["1", "100"]),
    ] {
        let endpoint = good();
        fails(
            &step_at(&endpoint).input(input, "nonsense"),
            Trouble::InvalidInput,
            says,
        );
    }
}

#[test]
fn white_space_around_a_value_is_trimmed_but_not_around_the_token() {
    let endpoint = good();
    let outcome = step_at(&endpoint)
        .input("credentials-uri", format!(" {}\n", endpoint.url("/creds")))
        .input("authorization-token", " token ")
        .input("export", "\tkeys\r\n")
        .input("aws-region", " eu-west-1 ")
        .input("expected-role", " gha-taskrole ")
        .input("minimum-lifetime", " 60 ")
        .input("retry-max-attempts", " 1 ")
        .input("timeout", "\n5")
        .input("discovery", " auto ")
        .run()
        .succeeded();
    assert_eq!(outcome.env.get("AWS_REGION").as_deref(), Some("eu-west-1"));
    let requests = endpoint.requests();
    assert_eq!(requests[0].target, "/creds");
    assert_eq!(requests[0].header("Authorization"), Some(" token "));
}

#[test]
fn an_input_may_come_with_underscores() {
    let endpoint = good();
    let with_underscores = |name: &str| variable_of_input(name).replace('-', "_");
    let step = [
        ("credentials-uri", &*endpoint.url("/by-underscore")),
        ("authorization-token", "token"),
        ("aws-region", "eu-west-1"),
        ("output-credentials", "true"),
        ("retry-max-attempts", "1"),
    ]
    .into_iter()
    .fold(step_at(&endpoint), |step, (name, value)| {
        step.without_input(name).env(with_underscores(name), value)
    });
    let outcome = step.run().succeeded();
    assert_eq!(outcome.env.get("AWS_REGION").as_deref(), Some("eu-west-1"));
    assert!(outcome.output.get("aws-session-token").is_some());
    let requests = endpoint.requests();
    assert_eq!(requests[0].target, "/by-underscore");
    assert_eq!(requests[0].header("Authorization"), Some("token"));
}

#[test]
fn of_both_spellings_the_one_with_hyphens_counts() {
    let endpoint = good();
    let outcome = step_at(&endpoint)
        .input("aws-region", "eu-west-1")
        .env("INPUT_AWS_REGION", "us-east-1")
        .run()
        .succeeded();
    assert_eq!(outcome.env.get("AWS_REGION").as_deref(), Some("eu-west-1"));
}

#[test]
fn an_input_that_is_no_text_is_an_error() {
    let endpoint = Endpoint::start(|_, stream| answer::ok(stream, "{}"));
    for input in ["export", "aws-region", "credentials-uri"] {
        let step = step_at(&endpoint).input(input, OsStr::from_bytes(b"key\xffs"));
        let outcome = step.run().untouched();
        assert_eq!(outcome.code(), 1, "{input}: {outcome}");
        assert_eq!(
            outcome.error().0,
            Trouble::InvalidInput.title(),
            "{outcome}"
        );
    }
    assert_eq!(endpoint.requests().len(), 0);
}

/// What no variable should hold.
const NO_TEXT: &[u8] = b"eu-west-1\xff";

#[test]
fn a_guard_that_is_no_text_is_an_error_under_either_name() {
    let endpoint = good();
    for guard in ["allowed-account-ids", "expected-role", "minimum-lifetime"] {
        let no_text = OsStr::from_bytes(NO_TEXT);
        let name = variable_of_input(guard);
        let hyphens = step_at(&endpoint).env(&name, no_text);
        let underscores = name.replace('-', "_");
        let underscores = step_at(&endpoint)
            .without_input(guard)
            .env(underscores, no_text);
        for step in [hyphens, underscores] {
            fails(&step, Trouble::InvalidInput, &["UTF-8"]);
        }
    }
    assert_eq!(endpoint.requests().len(), 0);
}

#[test]
fn a_variable_that_decides_nothing_may_be_no_text() {
    let no_text = OsStr::from_bytes(NO_TEXT);
    let endpoint = good();
    let outcome = step_at(&endpoint)
        .env("GITHUB_JOB", no_text)
        .env("NO_PROXY", no_text)
        .env("HTTP_PROXY", no_text)
        .env("RUNNER_DEBUG", no_text)
        .env("RUNNER_ENVIRONMENT", no_text)
        .env("ECS_CONTAINER_METADATA_URI_V4", no_text)
        .run()
        .succeeded();
    let request = endpoint.requests().remove(0);
    let agent = request.header("User-Agent").unwrap();
    assert!(
        agent.contains("run 9876543210.1") && !agent.contains("job"),
        "{agent}"
    );
    assert_eq!(outcome.env.names().len(), 3, "{outcome}");
    assert_eq!(outcome.warnings(), [""; 0], "{outcome}");
    assert!(!outcome.stdout().contains("::debug::"), "{outcome}");
}

#[test]
fn a_region_that_is_no_text_is_skipped_with_a_warning() {
    let endpoint = good();
    let outcome = step_at(&endpoint)
        .env("AWS_REGION", OsStr::from_bytes(NO_TEXT))
        .env("AWS_DEFAULT_REGION", "eu-central-1")
        .run()
        .succeeded();
    assert_eq!(outcome.warnings().len(), 1, "{outcome}");
    assert!(outcome.warnings()[0].contains("AWS_REGION"), "{outcome}");
    for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
        let exported = outcome.env.get(name);
        assert_eq!(exported.as_deref(), Some("eu-central-1"), "{outcome}");
    }
}

#[test]
fn an_unfit_value_is_not_shown_and_becomes_no_command() {
    let endpoint = good();
    for value in [
        "x::error::MINE",
        "##[error]MINE",
        "x\n::warning::MINE",
        "a\u{1b}[31mb\u{202e}c",
    ] {
        let outcome = fails(
            &step_at(&endpoint).input("export", value),
            Trouble::InvalidInput,
            &["export"],
        );
        let stdout = outcome.stdout();
        assert!(
            !stdout.contains("MINE") && !stdout.contains("##["),
            "{outcome}"
        );
        assert!(!stdout.contains(['\u{1b}', '\u{202e}']), "{outcome}");
        assert_eq!(outcome.warnings(), [""; 0]);
    }
}
