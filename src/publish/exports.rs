//! Which variables do later steps receive, and which of those that are there already must be dealt with?
//!
//! What the SDKs do with each was observed: docs/sdks.md.

use super::{Findings, Publication};
use crate::credentials::endpoint::{Endpoint, Form};
use crate::credentials::token::Token;
use crate::inputs::{Export, Leftovers};
use crate::region::{self, Region};
use crate::secret::Secret;
use crate::trouble::Trouble;
use crate::workflow::record::Record;

/// The three variables of `export: keys`.
const KEYS: [&str; 3] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];

/// The variables that send an SDK's request for the endpoint to a proxy.
const PROXIES: [&str; 4] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// The variables that keep it from there.
const NO_PROXIES: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// Whether this endpoint can be handed on at all: asked before the request, so that nobody's credentials
/// are fetched for nothing.
pub fn check_export(
    export: Export,
    endpoint: &Endpoint,
    leftovers: &Leftovers,
) -> anyhow::Result<()> {
    if export != Export::Endpoint {
        return Ok(());
    }
    let refuse = |why: &str| {
        Err(Trouble::EndpointNotForOthers.because(format!(
            "tried to hand the endpoint on, as `export: endpoint` asks, but {why}; use `export: keys`"
        )))
    };
    if endpoint.host().is_loopback() {
        return refuse(
            "its host is a loopback address, which in every later container is that container's own",
        );
    }
    if let Some(Token::File { .. }) = endpoint.token {
        return refuse("its token is in a file, which no later container has");
    }
    // Present is enough: an empty one breaks boto3, Java and Rust.
    if leftovers.contains_key("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        return refuse(
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE is set in this job's environment: it would win over the \
             exported token, or break the SDK for want of the file. Unset it",
        );
    }
    if endpoint.form == Form::Full
        && leftovers.contains_key("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    {
        return refuse(
            "it is a full URI, and AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is set in this job's environment: it \
             would win, or break the SDK where it is empty. Unset it",
        );
    }
    Ok(())
}

pub(super) fn keys(findings: &Findings<'_>, made: &mut Publication) {
    let credentials = findings.credentials;
    let values = [
        credentials.keys.access_key_id(),
        credentials.keys.secret_access_key(),
        credentials.keys.session_token().unwrap_or_default(),
    ];
    for (name, value) in KEYS.into_iter().zip(values) {
        made.env.push(Record::new(name, value));
    }
    if KEYS.iter().any(|name| is_set(findings, name)) {
        made.notes
            .push("keys that were in the environment already are replaced".into());
    }
    // Both win in boto3 over what is exported, an empty AWS_SECURITY_TOKEN too.
    for (name, value) in [
        (
            "AWS_SECURITY_TOKEN",
            credentials
                .keys
                .session_token()
                .unwrap_or_default()
                .to_owned(),
        ),
        (
            "AWS_CREDENTIAL_EXPIRATION",
            credentials.expiration.rfc3339(),
        ),
    ] {
        if findings.leftovers.contains_key(name) {
            made.env.push(Record::new(name, value));
            made.notes.push(format!(
                "{name} is in this job's environment and would win in some SDKs: it is set to the new value"
            ));
        }
    }
    warn_of_profile(findings, made);
}

pub(super) fn endpoint(findings: &Findings<'_>, made: &mut Publication) {
    let endpoint = findings.endpoint;
    let (name, value) = match endpoint.form {
        Form::Relative => ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", endpoint.path()),
        Form::Full => ("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint.url()),
    };
    made.env.push(Record::new(name, value.expose()));
    if let Some(Token::Value(token)) = &endpoint.token {
        made.env.push(Record::new(
            "AWS_CONTAINER_AUTHORIZATION_TOKEN",
            token.expose(),
        ));
    }
    // All three or none: an id beside an empty secret breaks boto3.
    if KEYS.iter().any(|name| is_set(findings, name)) {
        for name in KEYS {
            made.env.push(Record::new(name, ""));
        }
        made.notes.push(
            "keys that were in the environment would win over the endpoint in every SDK: all three are blanked"
                .into(),
        );
    }
    let mut in_the_way = vec![
        "AWS_SECURITY_TOKEN",
        "AWS_CREDENTIAL_EXPIRATION",
        "AWS_ACCESS_KEY",
        "AWS_SECRET_KEY",
    ];
    if endpoint.token.is_none() {
        in_the_way.push("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    }
    for name in in_the_way {
        if is_set(findings, name) {
            made.env.push(Record::new(name, ""));
            made.notes.push(format!(
                "{name} is in this job's environment and would be in the way in some SDKs: it is blanked"
            ));
        }
    }
    warn_of_profile(findings, made);
    let web_identity = ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"];
    if web_identity
        .iter()
        .all(|name| findings.leftovers.contains_key(name))
    {
        made.warnings.push((
            "Web identity is set",
            "AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN are set in this job's environment, and SDKs ask them before \
             the endpoint: unset them"
                .into(),
        ));
    }
    around_proxies(findings, made);
}

fn warn_of_profile(findings: &Findings<'_>, made: &mut Publication) {
    if findings.leftovers.contains_key("AWS_PROFILE") {
        made.warnings.push((
            "AWS_PROFILE is set",
            "AWS_PROFILE is set in this job's environment: some SDKs prefer the profile to what is exported, or fail \
             where they don't know it; unset it"
                .into(),
        ));
    }
}

/// Go and Rust send the request for the endpoint to a proxy, if they are not told otherwise.
fn around_proxies(findings: &Findings<'_>, made: &mut Publication) {
    if !PROXIES.iter().any(|name| is_set(findings, name)) {
        return;
    }
    let host = findings.endpoint.host().to_string();
    let list = |name: &str| {
        let value = findings.leftovers.get(name).map(Secret::expose);
        let entries = value.unwrap_or_default().split(',').map(str::trim);
        entries.filter(|entry| !entry.is_empty())
    };
    // `*` spares every host, and some readers know it only where it stands alone: it is left so.
    let spares_all = |name: &&str| list(name).eq(["*"]);
    let names: Vec<_> = NO_PROXIES
        .into_iter()
        .filter(|name| !spares_all(name))
        .collect();
    if names
        .iter()
        .all(|name| list(name).any(|entry| entry == host))
    {
        return;
    }
    let mut union: Vec<&str> = Vec::new();
    for entry in names
        .iter()
        .flat_map(|name| list(name))
        .chain([host.as_str()])
    {
        if !union.contains(&entry) {
            union.push(entry);
        }
    }
    for name in &names {
        made.env.push(Record::new(name, union.join(",")));
    }
    made.notes.push(format!(
        "a proxy is set, and some SDKs would ask it for the endpoint: {} to name {host}",
        names.join(" and ")
    ));
}

pub(super) fn regions(findings: &Findings<'_>, made: &mut Publication) {
    let Some(region) = findings.region else {
        return;
    };
    for name in region::VARIABLES {
        // What is set may be set for this step alone, so it is written too, and with its own value.
        let own = findings
            .leftovers
            .get(name)
            .and_then(|value| Region::parse(value.expose()))
            .filter(|_| findings.inputs.region.is_none());
        let region = own.as_ref().unwrap_or(region);
        made.env.push(Record::new(name, region.as_str()));
    }
}

fn is_set(findings: &Findings<'_>, name: &str) -> bool {
    findings
        .leftovers
        .get(name)
        .is_some_and(|value| !value.is_empty())
}
