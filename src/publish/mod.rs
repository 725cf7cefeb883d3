//! What do later steps receive, and what does the person see? Pure: everything is decided here, and nothing
//! is written.
//!
//! What the SDKs do with each variable was observed: docs/sdks.md.

mod exports;
mod words;

use crate::credentials::checks::SHORT_LIFE;
use crate::credentials::document::TaskCredentials;
use crate::credentials::endpoint::Endpoint;
use crate::inputs::{Export, Inputs, Leftovers};
use crate::region::Region;
use crate::workflow::record::Record;
pub use exports::check_export;
use std::time::Duration;

/// All that is known when it is decided what to hand on.
#[derive(Debug)]
pub struct Findings<'a> {
    /// What was asked for.
    pub inputs: &'a Inputs,
    /// What earlier steps left.
    pub leftovers: &'a Leftovers,
    /// Where the credentials came from.
    pub endpoint: &'a Endpoint,
    /// The credentials, checked.
    pub credentials: &'a TaskCredentials,
    /// The region, where one is known.
    pub region: Option<&'a Region>,
    /// The life that is left.
    pub left: Duration,
}

/// What is handed on, in the order in which it is written.
#[derive(Debug, Default)]
pub struct Publication {
    /// Lines that are worth knowing.
    pub notes: Vec<String>,
    /// Title and text of each warning.
    pub warnings: Vec<(&'static str, String)>,
    /// For `GITHUB_OUTPUT`.
    pub output: Vec<Record>,
    /// For `GITHUB_STEP_SUMMARY`, where asked.
    pub summary: Option<String>,
    /// For `GITHUB_ENV`.
    pub env: Vec<Record>,
    /// The one line that says how it went.
    pub headline: String,
}

/// Decides everything.
pub fn publication(findings: &Findings<'_>) -> Publication {
    let mut made = Publication {
        output: outputs(findings),
        summary: findings.inputs.summary.then(|| words::summary(findings)),
        headline: words::headline(findings),
        ..Publication::default()
    };
    match findings.inputs.export {
        Export::Keys => exports::keys(findings, &mut made),
        Export::Endpoint => exports::endpoint(findings, &mut made),
        Export::None => {}
    }
    if findings.inputs.export != Export::None {
        exports::regions(findings, &mut made);
    }
    if findings.left < SHORT_LIFE {
        made.warnings.push((
            "Short-lived credentials",
            format!(
                "the credentials end in {}: a later step may outlive them. The agent renews them by its own schedule",
                words::span(findings.left)
            ),
        ));
    }
    made
}

fn outputs(findings: &Findings<'_>) -> Vec<Record> {
    let credentials = findings.credentials;
    let mut records = vec![
        Record::new("aws-expiration", credentials.expiration.rfc3339()),
        Record::new("source", findings.endpoint.source.as_str()),
    ];
    if let Some(account) = &credentials.account {
        records.push(Record::new("aws-account-id", account.as_str()));
    }
    if let Some(role) = &credentials.role {
        records.push(Record::new("role-arn", role.as_str()));
    }
    if let Some(region) = findings.region {
        records.push(Record::new("aws-region", region.as_str()));
    }
    if findings.inputs.output_credentials {
        let keys = &credentials.keys;
        records.push(Record::new("aws-access-key-id", keys.access_key_id()));
        records.push(Record::new(
            "aws-secret-access-key",
            keys.secret_access_key(),
        ));
        records.push(Record::new(
            "aws-session-token",
            keys.session_token().unwrap_or_default(),
        ));
    }
    records
}
