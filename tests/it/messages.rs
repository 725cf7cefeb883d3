//! What the person sees: one good line, or one error with what to do.

use ecs_task_role::trouble::Trouble;

use crate::support::endpoint::{Document, Endpoint, Keys, answer};
use crate::support::github::{self, Line};
use crate::support::step::Outcome;
use crate::{fails, fails_once, step, step_at};

fn good() -> Endpoint {
    Endpoint::serving(&Document::default())
}

/// The lines of the log that are in no folded group.
fn unfolded(outcome: &Outcome) -> Vec<String> {
    let mut folded = false;
    let mut plain = Vec::new();
    for line in github::lines(&outcome.stdout) {
        match line {
            Line::Group(_) => folded = true,
            Line::EndGroup => folded = false,
            Line::Plain(text) if !folded => plain.push(text),
            _ => {}
        }
    }
    plain
}

#[test]
fn a_good_run_is_one_line() {
    let endpoint = Endpoint::serving(&Document::default().expiring_in(5 * 3600 + 52 * 60 + 59));
    let outcome = step_at(&endpoint)
        .env("AWS_REGION", "eu-west-1")
        .run()
        .succeeded();
    assert_eq!(
        unfolded(&outcome),
        [
            "Exported credentials of arn:aws:iam::123456789012:role/gha-taskrole (account 123456789012, eu-west-1), valid for 5 h 52 min, found through input"
        ],
        "{outcome}"
    );
    assert_eq!(outcome.warnings(), [""; 0]);
    assert_eq!(github::annotations(&outcome.stdout, "notice"), []);
}

#[test]
fn a_good_run_of_the_environment_says_so() {
    let endpoint = good();
    let outcome = step()
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint.url("/"))
        .run()
        .succeeded();
    assert!(
        outcome.log().contains("found through environment"),
        "{outcome}"
    );
}

#[test]
fn what_is_unknown_is_not_shown_as_known() {
    let endpoint = Endpoint::serving(&Document::default().without("RoleArn"));
    let outcome = step_at(&endpoint).run().succeeded();
    assert!(!outcome.log().contains("arn:"), "{outcome}");
    assert!(outcome.log().contains("valid for 5 h 59 min"), "{outcome}");
}

#[test]
fn debugging_shows_more_and_no_secret() {
    let document = Document::new(&Keys::marked("MARKER"));
    let endpoint = Endpoint::serving(&document);
    let quiet = step_at(&endpoint).run().succeeded();
    let loud = step_at(&endpoint)
        .env("RUNNER_DEBUG", "1")
        .run()
        .succeeded();
    let debug = |outcome: &Outcome| {
        github::lines(&outcome.stdout)
            .iter()
            .filter(|line| matches!(line, Line::Debug(_)))
            .count()
    };
    assert_eq!(debug(&quiet), 0, "{quiet}");
    assert!(debug(&loud) > 0, "{loud}");
    loud.keeps_secret("MARKER");
}

#[test]
fn every_run_uses_only_the_commands_that_it_has_a_use_for() {
    let endpoint = good();
    for outcome in [
        step_at(&endpoint).run(),
        step_at(&endpoint).env("RUNNER_DEBUG", "1").run(),
        step().run(),
    ] {
        for line in github::lines(&outcome.stdout) {
            assert!(!matches!(line, Line::Other { .. }), "{outcome}");
        }
    }
}

#[test]
fn a_github_hosted_runner_is_told_of_oidc() {
    let step = step().env("RUNNER_ENVIRONMENT", "github-hosted");
    fails(
        &step,
        Trouble::GitHubHosted,
        &["configure-aws-credentials", "OIDC"],
    );
    // With a source it does not matter where it runs.
    let endpoint = good();
    step_at(&endpoint)
        .env("RUNNER_ENVIRONMENT", "github-hosted")
        .run()
        .succeeded();
}

/// An error of the endpoint with this code and message.
fn told(code: &str, message: &str) -> Outcome {
    told_with_token("bearer-0123456789", code, message)
}

fn told_with_token(token: &str, code: &str, message: &str) -> Outcome {
    let body = serde_json::json!({"code": code, "message": message}).to_string();
    let endpoint =
        Endpoint::start(move |_, stream| answer::with(stream, "403 x", "application/json", &body));
    let step = step()
        .env(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            endpoint.url("/secret/path/of-the-task?x=query-value"),
        )
        .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", token);
    fails_once(&step, Trouble::EndpointError, &["403"])
}

#[test]
fn a_servers_words_can_not_become_commands() {
    for hostile in [
        "::error::MINE",
        "x\n::error::MINE",
        "x\r::error::MINE",
        "##[error]MINE",
        "x ##[error]MINE",
        ":\u{200b}:error::MINE",
        "#\u{0}#[error]MINE",
        "%0A::error::MINE",
        ":::error::MINE",
        "####[[error]MINE",
    ] {
        for outcome in [told("Code", hostile), told(hostile, "words")] {
            // `told` has counted the errors: there is one.
            let stdout = outcome.stdout();
            let (_, message) = outcome.error();
            assert!(
                !message.contains("::") && !message.contains("##["),
                "{hostile:?}: {outcome}"
            );
            assert!(!stdout.contains("##["), "{outcome}");
        }
    }
}

#[test]
fn a_servers_words_are_shown_without_control_and_format_characters() {
    let outcome = told(
        "Co\u{202e}de",
        "red\u{1b}[31m hid\u{200b}den\u{feff} over\u{2066}ride\u{ad} \u{e0041}end\u{85}",
    );
    let (_, message) = outcome.error();
    assert!(message.contains("Code"), "{outcome}");
    assert!(message.contains("hidden"), "{outcome}");
    for character in [
        '\u{1b}',
        '\u{202e}',
        '\u{200b}',
        '\u{feff}',
        '\u{2066}',
        '\u{ad}',
        '\u{e0041}',
        '\u{85}',
    ] {
        assert!(
            !outcome.stdout().contains(character),
            "{character:?}: {outcome}"
        );
    }
}

#[test]
fn a_servers_words_are_cut_at_200_characters() {
    let (_, message) = told("Code", &"ü".repeat(1000)).error();
    let shown = message.matches('ü').count();
    assert!((100..=200).contains(&shown), "{shown}");
}

#[test]
fn a_servers_words_are_dropped_where_they_hold_a_secret() {
    for secret in [
        "/secret/path/of-the-task?x=query-value",
        "bearer-0123456789",
    ] {
        let message = format!("DROPPED: no {secret} here");
        told("Code", &message)
            .keeps_secret(secret)
            .keeps_secret("DROPPED");
        told(&message, "words")
            .keeps_secret(secret)
            .keeps_secret("DROPPED");
        // Characters that are taken out must not hide one.
        let (a, b) = secret.split_at(5);
        told("Code", &format!("DROPPED {a}\u{200b}{b}"))
            .keeps_secret(secret)
            .keeps_secret("DROPPED");
    }
    // Nor must taking them out make another text of the secret.
    let odd = "bearer\u{200b}0123456789";
    told_with_token(odd, "Code", &format!("DROPPED {odd}"))
        .keeps_secret("bearer0123456789")
        .keeps_secret("DROPPED");
}

#[test]
fn a_message_that_repeats_a_key_of_its_own_document_is_dropped() {
    let keys = Keys::marked("MARKER");
    for secret in [&keys.id, &keys.secret, &keys.token] {
        let document = Document::new(&keys)
            .with("Code", "Failed")
            .with("Message", format!("DROPPED {secret}"));
        let endpoint = Endpoint::serving(&document);
        fails_once(&step_at(&endpoint), Trouble::EndpointError, &[])
            .keeps_secret("MARKER")
            .keeps_secret("DROPPED");
    }
}

#[test]
fn a_message_that_repeats_a_key_of_a_document_with_an_odd_field_is_dropped() {
    let keys = Keys::marked("MARKER");
    for odd in [
        Document::new(&keys).with("AccessKeyId", 7),
        Document::new(&keys).with("Expiration", serde_json::json!([1])),
        Document::new(&keys).with("RoleArn", false),
    ] {
        let odd = odd
            .with("code", "Failed")
            .with("message", format!("DROPPED {}", keys.secret));
        let endpoint = Endpoint::start(move |_, stream| {
            answer::with(stream, "403 x", "application/json", &odd.json())
        });
        fails_once(&step_at(&endpoint), Trouble::EndpointError, &[])
            .keeps_secret("MARKER")
            .keeps_secret("DROPPED");
    }
}

#[test]
fn every_error_tells_its_kind() {
    for trouble in Trouble::ALL {
        let title = trouble.title();
        let kinds = ["Not configured: ", "Refused: ", "Failed: ", "Cancelled: "];
        assert!(kinds.iter().any(|kind| title.starts_with(kind)), "{title}");
    }
}
