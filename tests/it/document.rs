//! What a credentials document must hold, and what becomes of one that does not.

use ecs_task_role::trouble::Trouble;
use serde_json::{Value, json};

use crate::support::endpoint::{Document, Endpoint, answer, now, rfc3339};
use crate::support::step::Step;
use crate::{fails, fails_once, outcome_of, step_at};

const REQUIRED: [&str; 4] = ["AccessKeyId", "SecretAccessKey", "Token", "Expiration"];

/// A step that asks an endpoint with this document once.
fn once(endpoint: &Endpoint) -> Step {
    step_at(endpoint).input("retry-max-attempts", "1")
}

fn invalid(document: &Document, says: &[&str]) {
    let endpoint = Endpoint::serving(document);
    fails(&once(&endpoint), Trouble::DocumentInvalid, says).keeps_secret("MARKER");
}

#[test]
fn a_required_field_that_is_missing_empty_or_no_text_is_an_error() {
    for field in REQUIRED {
        invalid(&Document::default().without(field), &[field]);
        for value in [
            json!(""),
            json!(null),
            json!(7),
            json!(true),
            json!(["MARKER"]),
            json!({"MARKER": 1}),
        ] {
            invalid(&Document::default().with(field, value), &[]);
        }
    }
}

#[test]
fn a_control_character_in_a_value_is_an_error() {
    for field in REQUIRED.into_iter().chain(["RoleArn", "AccountId"]) {
        for control in ["\n", "\r", "\0", "\u{1b}", "\u{7f}", "\u{85}"] {
            for value in [format!("MARKER{control}x"), format!("MARKER{control}")] {
                invalid(&Document::default().with(field, value), &[field]);
            }
        }
    }
}

#[test]
fn a_value_can_not_add_a_second_record() {
    for field in ["AccessKeyId", "SecretAccessKey", "Token"] {
        for value in [
            "x=y",
            "A<<B",
            "::set-env name=X::y",
            "##[set-env name=X]y",
            "%0AX=1",
            "x%25y",
            "  x  ",
            "ü\u{202e}",
            "*",
        ] {
            let document = Document::default().with(field, value);
            let outcome = outcome_of(&document).succeeded();
            for (name, key) in [
                ("AWS_ACCESS_KEY_ID", "AccessKeyId"),
                ("AWS_SECRET_ACCESS_KEY", "SecretAccessKey"),
                ("AWS_SESSION_TOKEN", "Token"),
            ] {
                let exported = outcome.env.get(name).unwrap();
                assert_eq!(exported, document.text(key), "{outcome}");
                assert!(outcome.masks().contains(&exported), "{outcome}");
            }
            assert_eq!(outcome.env.names().len(), 3, "{outcome}");
        }
    }
}

#[test]
fn unknown_fields_and_a_code_of_success_are_no_matter() {
    let document = Document::default()
        .with("Code", "Success")
        .with("Type", "AWS-HMAC")
        .with("LastUpdated", json!({"a": [1, 2.5, null]}));
    outcome_of(&document).succeeded();
}

#[test]
fn every_way_to_write_the_expiration_is_read() {
    let end = now() + 7200;
    let utc = rfc3339(end);
    let bare = utc.strip_suffix('Z').unwrap();
    let shifted = rfc3339(end + 5400);
    let shifted = shifted.strip_suffix('Z').unwrap();
    for text in [
        utc.clone(),
        format!("{bare}+00:00"),
        format!("{shifted}+01:30"),
        format!("{bare}.5Z"),
        format!("{bare}.123456789Z"),
        format!("{bare}.123+00:00"),
    ] {
        let outcome =
            outcome_of(&Document::default().with("Expiration", text.as_str())).succeeded();
        let shown = outcome.output.get("aws-expiration").unwrap();
        assert!(shown.starts_with(bare), "{text}: {shown}");
        assert!(
            outcome.stdout().contains("valid for 1 h 59 min")
                || outcome.stdout().contains("valid for 2 h"),
            "{outcome}"
        );
    }
}

#[test]
fn an_expiration_that_is_no_moment_is_an_error() {
    for text in [
        "MARKER",
        "1795507200",
        "2099-11-24",
        "2099-11-24T08:00:00",
        "2099-13-24T08:00:00Z",
        "Tue, 24 Nov 2099 08:00:00 GMT",
    ] {
        invalid(
            &Document::default().with("Expiration", text),
            &["Expiration"],
        );
    }
}

#[test]
fn a_parse_error_says_line_and_column_and_never_quotes() {
    for body in [
        "{\n  \"MARKER\": MARKER}",
        "{\"AccessKeyId\":\"MARKER\",\n\"SecretAccessKey\":\"MARKER",
        "{\"Token\":\"MARKER\",}",
        "{\"Token\":\"MAR\\xMARKER\"}",
    ] {
        let endpoint = Endpoint::start(move |_, stream| answer::ok(stream, body));
        fails(
            &once(&endpoint),
            Trouble::DocumentInvalid,
            &["line", "column"],
        )
        .keeps_secret("MARKER");
    }
}

#[test]
fn the_account_comes_from_either_field() {
    for (role, account, expected) in [
        (
            Some("arn:aws:iam::210987654321:role/x"),
            None,
            "210987654321",
        ),
        (None, Some("012345678901"), "012345678901"),
        (
            Some("arn:aws:iam::012345678901:role/x"),
            Some("012345678901"),
            "012345678901",
        ),
        (
            Some("arn:aws-cn:iam::210987654321:role/x"),
            None,
            "210987654321",
        ),
        (
            Some("arn:aws-us-gov:iam::210987654321:role/a/b/x"),
            None,
            "210987654321",
        ),
        (
            Some("arn:aws-iso-b:iam::210987654321:role/x"),
            None,
            "210987654321",
        ),
        (None, None, ""),
    ] {
        let mut document = Document::default().without("RoleArn");
        if let Some(role) = role {
            document = document.role(role);
        }
        if let Some(account) = account {
            document = document.account(account);
        }
        let outcome = outcome_of(&document).succeeded();
        let output = |name| outcome.output.get(name).unwrap_or_default();
        assert_eq!(output("aws-account-id"), expected, "{outcome}");
        assert_eq!(output("role-arn"), role.unwrap_or_default(), "{outcome}");
    }
}

#[test]
fn a_role_or_account_that_is_none_counts_as_unknown_and_is_not_shown() {
    for role in [
        "MARKER",
        "arn:aws:iam::123456789012:user/MARKER",
        "arn:aws:sts::123456789012:assumed-role/MARKER/s",
        "arn:aws:iam::1234:role/MARKER",
        "arn:MARKER:iam::123456789012:role/x",
    ] {
        let outcome = outcome_of(&Document::default().role(role))
            .succeeded()
            .keeps_secret("MARKER");
        assert_eq!(
            outcome.output.get("role-arn").unwrap_or_default(),
            "",
            "{outcome}"
        );
        assert_eq!(
            outcome.output.get("aws-account-id").unwrap_or_default(),
            "",
            "{outcome}"
        );
    }
    for account in ["MARKER", "12345678901", "1234567890123", "12345678901x", ""] {
        let document = Document::default().without("RoleArn").account(account);
        let outcome = outcome_of(&document).succeeded().keeps_secret("MARKER");
        assert_eq!(
            outcome.output.get("aws-account-id").unwrap_or_default(),
            "",
            "{outcome}"
        );
    }
}

#[test]
fn two_accounts_that_disagree_are_a_refusal() {
    let document = Document::default().account("210987654321");
    let endpoint = Endpoint::serving(&document);
    fails(
        &once(&endpoint),
        Trouble::AccountsDisagree,
        &["AccountId", "RoleArn"],
    );
    let both_guards_open = step_at(&endpoint)
        .input("allowed-account-ids", "*")
        .input("expected-role", "*");
    fails_once(&both_guards_open, Trouble::AccountsDisagree, &[]);
    let masked = once(&endpoint).input("mask-aws-account-id", "true");
    let outcome = fails_once(&masked, Trouble::AccountsDisagree, &[]);
    for account in [Document::ACCOUNT, "210987654321"] {
        assert!(!outcome.log().contains(account), "{outcome}");
    }
}

#[test]
fn a_code_that_is_no_success_is_an_error_with_its_message() {
    for (code, message) in [
        ("Failed", "not today"),
        ("AssumeRoleUnauthorizedAccess", "no trust"),
    ] {
        let whole = Document::default()
            .with("Code", code)
            .with("Message", message);
        let bare = REQUIRED.into_iter().fold(whole.clone(), Document::without);
        for document in [whole, bare] {
            let endpoint = Endpoint::serving(&document);
            fails(&once(&endpoint), Trouble::EndpointError, &[code, message]);
        }
    }
}

#[test]
fn deep_or_odd_json_is_an_error_or_ignored_and_never_a_crash() {
    let deep = "[".repeat(30_000) + &"]".repeat(30_000);
    let nested = Document::default().with("X", Value::Null).json();
    let nested = nested.replace("null", &deep);
    let endpoint = Endpoint::start(move |_, stream| answer::ok(stream, &nested));
    once(&endpoint).run().succeeded();
    let twice = Document::default()
        .json()
        .replacen('{', "{\"Token\":\"first\",", 1);
    for body in [deep, twice, "\0".repeat(100)] {
        let endpoint = Endpoint::start(move |_, stream| answer::ok(stream, &body));
        fails_once(&once(&endpoint), Trouble::DocumentInvalid, &[]);
    }
}
