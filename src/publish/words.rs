//! What does the person read? The one line that says how it went, and the table of the job summary.

use super::Findings;
use crate::inputs::Export;
use std::time::Duration;

pub(super) fn headline(findings: &Findings<'_>) -> String {
    let credentials = findings.credentials;
    let done = match (findings.inputs.dry_run, findings.inputs.export) {
        (true, _) => "Dry run, nothing exported: fetched credentials of",
        (false, Export::Keys) => "Exported credentials of",
        (false, Export::Endpoint) => "Exported the credentials endpoint of",
        (false, Export::None) => "Fetched, as outputs alone, credentials of",
    };
    let role = credentials
        .role
        .as_ref()
        .map_or("a role that the endpoint does not name", |role| {
            role.as_str()
        });
    let account = credentials
        .account
        .as_ref()
        .map(|account| format!("account {account}"));
    let region = findings.region.map(|region| region.as_str().to_owned());
    let place = [account, region]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ");
    let place = if place.is_empty() {
        place
    } else {
        format!(" ({place})")
    };
    format!(
        "{done} {role}{place}, valid for {}, found through {}",
        span(findings.left),
        findings.endpoint.source.as_str()
    )
}

pub(super) fn summary(findings: &Findings<'_>) -> String {
    let credentials = findings.credentials;
    let hidden = "hidden, as `mask-aws-account-id` asks";
    let owner = |text: Option<&str>| match text {
        None => "not named by the endpoint".to_owned(),
        Some(_) if findings.inputs.mask_account => hidden.to_owned(),
        Some(text) => code(text),
    };
    let rows = [
        (
            "Role",
            owner(credentials.role.as_ref().map(|role| role.as_str())),
        ),
        (
            "Account",
            owner(credentials.account.as_ref().map(|account| account.as_str())),
        ),
        (
            "Region",
            findings
                .region
                .map_or("none found".to_owned(), |region| region.as_str().to_owned()),
        ),
        ("Source", findings.endpoint.source.as_str().to_owned()),
        ("Time left", span(findings.left)),
    ];
    let mut table = "### ECS task role\n\n| | |\n|---|---|\n".to_owned();
    for (name, value) in rows {
        table.push_str(&format!("| {name} | {value} |\n"));
    }
    table.push('\n');
    table
}

/// A code span, in which nothing is a link, a tag or another cell. An IAM path may hold any printable character, and
/// what could end the span is not shown.
fn code(text: &str) -> String {
    let tame = |c: char| c.is_ascii_alphanumeric() || ":/+=,.@_-".contains(c);
    if text.chars().all(tame) {
        format!("`{text}`")
    } else {
        "not shown: it holds characters that a table can not".to_owned()
    }
}

/// `5 h 52 min`, `52 min`, `40 s`.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}
