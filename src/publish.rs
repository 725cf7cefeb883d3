//! What do later steps receive, and what does the person see? Pure: everything is decided here, and nothing
//! is written.
//!
//! What the SDKs do with each variable was observed: docs/sdks.md.

use crate::credentials::checks::SHORT_LIFE;
use crate::credentials::document::TaskCredentials;
use crate::credentials::endpoint::{Endpoint, Form};
use crate::credentials::token::Token;
use crate::inputs::{Export, Inputs};
use crate::region::{self, Region};
use crate::secret::Secret;
use crate::trouble::Trouble;
use crate::workflow::record::Record;
use std::collections::BTreeMap;
use std::time::Duration;

/// The three variables of `export: keys`.
const KEYS: [&str; 3] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];

/// The variables that send an SDK's request for the endpoint to a proxy.
const PROXIES: [&str; 4] = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// What an earlier step may have left in the environment, by name; empty values too.
pub type Leftovers = BTreeMap<&'static str, Secret>;

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
    if let Some(Token::File(_)) = endpoint.token {
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

/// What must be hidden of the credentials' owner, where that was asked for.
pub fn owner_masks(inputs: &Inputs, credentials: &TaskCredentials) -> Vec<Secret> {
    if !inputs.mask_account {
        return Vec::new();
    }
    let account = credentials.account.iter().map(|account| account.as_str());
    let role = credentials.role.iter().map(|role| role.as_str());
    account.chain(role).map(Secret::new).collect()
}

/// Decides everything.
pub fn publication(findings: &Findings<'_>) -> Publication {
    let mut made = Publication {
        output: outputs(findings),
        summary: findings.inputs.summary.then(|| summary(findings)),
        headline: headline(findings),
        ..Publication::default()
    };
    match findings.inputs.export {
        Export::Keys => keys(findings, &mut made),
        Export::Endpoint => endpoint(findings, &mut made),
        Export::None => {}
    }
    if findings.inputs.export != Export::None {
        regions(findings, &mut made);
    }
    if findings.left < SHORT_LIFE {
        made.warnings.push((
            "Short-lived credentials",
            format!(
                "the credentials end in {}: a later step may outlive them. The agent renews them by its own schedule",
                span(findings.left)
            ),
        ));
    }
    made
}

fn keys(findings: &Findings<'_>, made: &mut Publication) {
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
                "{name} was set by an earlier step and would win in some SDKs: it is set to the new value"
            ));
        }
    }
    warn_of_profile(findings, made);
}

fn endpoint(findings: &Findings<'_>, made: &mut Publication) {
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
                "{name} was set by an earlier step and would be in the way in some SDKs: it is blanked"
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
        let text = findings
            .leftovers
            .get(name)
            .map(Secret::expose)
            .unwrap_or_default();
        text.split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
    };
    let names = ["NO_PROXY", "no_proxy"];
    // `*` is no proxy for anything, and some readers know it only where it stands alone.
    let spares = |name| list(name).any(|entry| entry == host) || list(name).eq(["*"]);
    if names.into_iter().all(spares) {
        return;
    }
    let mut union: Vec<&str> = Vec::new();
    for entry in names.into_iter().flat_map(list).chain([host.as_str()]) {
        if !union.contains(&entry) {
            union.push(entry);
        }
    }
    let union = if names.into_iter().any(|name| list(name).eq(["*"])) {
        "*".to_owned()
    } else {
        union.join(",")
    };
    for name in names {
        made.env.push(Record::new(name, union.clone()));
    }
    made.notes.push(format!(
        "a proxy is set, and some SDKs would ask it for the endpoint: NO_PROXY and no_proxy name {host}"
    ));
}

fn regions(findings: &Findings<'_>, made: &mut Publication) {
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

fn headline(findings: &Findings<'_>) -> String {
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

fn summary(findings: &Findings<'_>) -> String {
    let credentials = findings.credentials;
    let hidden = "hidden, as `mask-aws-account-id` asks";
    let owner = |text: Option<&str>| match text {
        None => "not named by the endpoint".to_owned(),
        Some(_) if findings.inputs.mask_account => hidden.to_owned(),
        Some(text) => format!("<code>{}</code>", in_html(text)),
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

/// An IAM path may hold any printable ASCII character.
fn in_html(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '&' | '<' | '>' | '|' | '`' | '"' | '\\' | '[' | ']' | '*' | '~' | '$' => {
                format!("&#{};", u32::from(c))
            }
            c => c.to_string(),
        })
        .collect()
}

/// `5 h 52 min`, `52 min`, `40 s`.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}
