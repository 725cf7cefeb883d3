//! The guards before anything is exported.

use ecs_task_role::trouble::Trouble;

use crate::support::endpoint::{Document, Endpoint};
use crate::{fails, step_at};

const ROLE: &str = "arn:aws:iam::123456789012:role/team/gha-taskrole";

fn document() -> Document {
    Document::default().role(ROLE)
}

/// With this input, the document is exported.
fn passes(document: &Document, input: &str, value: &str) {
    let endpoint = Endpoint::serving(document);
    step_at(&endpoint).input(input, value).run().succeeded();
}

/// With this input, nothing is.
fn stops(document: &Document, input: &str, value: &str, trouble: Trouble, says: &[&str]) {
    let endpoint = Endpoint::serving(document);
    fails(&step_at(&endpoint).input(input, value), trouble, says);
}

#[test]
fn an_allowed_account_passes() {
    for list in [
        "*",
        "123456789012",
        "210987654321,123456789012",
        " 210987654321 , 123456789012 ",
        "210987654321\n123456789012\n",
        "\n210987654321,\n 123456789012,",
    ] {
        passes(&document(), "allowed-account-ids", list);
    }
    passes(
        &document().without("RoleArn").account("012345678901"),
        "allowed-account-ids",
        "012345678901",
    );
}

#[test]
fn an_account_that_is_not_allowed_is_refused() {
    for list in ["210987654321", "210987654321,111111111111"] {
        stops(
            &document(),
            "allowed-account-ids",
            list,
            Trouble::AccountNotAllowed,
            &["allowed-account-ids", "123456789012"],
        );
    }
}

#[test]
fn a_list_of_any_length_leaves_room_for_the_link() {
    let list: Vec<String> = (0..1000)
        .map(|n| format!("{:012}", 200_000_000_000_u64 + n))
        .collect();
    stops(
        &document(),
        "allowed-account-ids",
        &list.join(","),
        Trouble::AccountNotAllowed,
        &["allowed-account-ids", "123456789012"],
    );
}

#[test]
fn an_unknown_account_is_refused_by_a_guard() {
    for document in [document().without("RoleArn"), document().role("no ARN")] {
        stops(
            &document,
            "allowed-account-ids",
            "123456789012",
            Trouble::AccountNotAllowed,
            &["allowed-account-ids"],
        );
    }
}

#[test]
fn an_account_id_of_other_than_12_digits_is_an_error_that_says_to_quote_it() {
    for list in [
        "12345678901",
        "123456789012,12345678901",
        "1234567890123",
        "12345678901x",
        "1.2e10",
        "**",
        "*,",
        "*,123456789012",
        "123456789012,*",
    ] {
        let endpoint = Endpoint::serving(&document());
        let step = step_at(&endpoint).input("allowed-account-ids", list);
        fails(
            &step,
            Trouble::InvalidInput,
            &["allowed-account-ids", "12 digits", "quote"],
        );
        assert_eq!(endpoint.requests().len(), 0);
    }
}

#[test]
fn the_expected_role_passes() {
    for role in ["*", ROLE, "gha-taskrole", "  gha-taskrole\n"] {
        passes(&document(), "expected-role", role);
    }
}

#[test]
fn another_role_is_refused() {
    for role in [
        "GHA-taskrole",
        "gha-taskrol",
        "taskrole",
        "arn:aws:iam::123456789012:role/gha-taskrole",
        "arn:aws:iam::123456789012:role/team/GHA-taskrole",
        "arn:aws-cn:iam::123456789012:role/team/gha-taskrole",
        "arn:aws:iam::210987654321:role/team/gha-taskrole",
    ] {
        stops(
            &document(),
            "expected-role",
            role,
            Trouble::RoleNotExpected,
            &["expected-role", ROLE],
        );
    }
}

#[test]
fn an_unknown_role_is_refused_by_a_guard() {
    for document in [
        document().without("RoleArn"),
        document().without("RoleArn").account("123456789012"),
        document().role("no ARN"),
    ] {
        stops(
            &document,
            "expected-role",
            "gha-taskrole",
            Trouble::RoleNotExpected,
            &["expected-role"],
        );
    }
}

#[test]
fn the_arn_of_a_session_is_answered_with_the_arn_to_write() {
    stops(
        &document(),
        "expected-role",
        "arn:aws:sts::123456789012:assumed-role/gha-taskrole/i-0abc",
        Trouble::InvalidInput,
        &[
            "expected-role",
            "arn:aws:iam::123456789012:role/gha-taskrole",
        ],
    );
}

#[test]
fn a_guard_that_is_set_to_nothing_is_an_error_not_an_open_door() {
    for guard in ["allowed-account-ids", "expected-role", "minimum-lifetime"] {
        for nothing in ["", " ", "\n", "\t \n"] {
            let endpoint = Endpoint::serving(&document());
            let step = step_at(&endpoint).input(guard, nothing);
            fails(&step, Trouble::InvalidInput, &[guard]);
            assert_eq!(endpoint.requests().len(), 0);
        }
    }
    for list in [",", " , ", ",\n,"] {
        stops(
            &document(),
            "allowed-account-ids",
            list,
            Trouble::InvalidInput,
            &["allowed-account-ids"],
        );
    }
}

#[test]
fn a_guard_that_is_absent_is_open() {
    let endpoint = Endpoint::serving(&document());
    ["allowed-account-ids", "expected-role", "minimum-lifetime"]
        .iter()
        .fold(step_at(&endpoint), |step, guard| step.without_input(guard))
        .run()
        .succeeded();
}

#[test]
fn a_life_too_short_is_refused() {
    stops(
        &document().expiring_in(3600),
        "minimum-lifetime",
        "7200",
        Trouble::LifeTooShort,
        &["minimum-lifetime", "7200"],
    );
    passes(&document().expiring_in(7200), "minimum-lifetime", "3600");
    passes(&document().expiring_in(7200), "minimum-lifetime", "0");
}

#[test]
fn under_15_minutes_is_a_warning() {
    for (seconds, warnings) in [(14 * 60, 1), (30, 1), (16 * 60, 0)] {
        let endpoint = Endpoint::serving(&document().expiring_in(seconds));
        let outcome = step_at(&endpoint).run().succeeded();
        assert_eq!(outcome.warnings().len(), warnings, "{outcome}");
    }
}
