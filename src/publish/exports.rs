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
    let token = credentials.keys.session_token().unwrap_or_default();
    let values = [
        credentials.keys.access_key_id(),
        credentials.keys.secret_access_key(),
        token,
    ];
    for (name, value) in KEYS.into_iter().zip(values) {
        made.env.push(Record::new(name, value));
    }
    if KEYS.iter().any(|name| is_set(findings, name)) {
        made.notes
            .push("keys that were in the environment already are replaced".into());
    }
    let expiration = credentials.expiration.rfc3339();
    // Both win in boto3 over what is exported; in some of its versions even an empty AWS_SECURITY_TOKEN does.
    for (name, value) in [
        ("AWS_SECURITY_TOKEN", token),
        ("AWS_CREDENTIAL_EXPIRATION", expiration.as_str()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::document::{self, TaskCredentials};
    use crate::credentials::endpoint::GivenToken;
    use crate::inputs::Inputs;
    use crate::publish::tests::endpoint as admit;
    use crate::trouble::Problem;
    use std::time::Duration;
    use zeroize::Zeroizing;

    const PATH: &str = "/v2/credentials/7e5";
    const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
    const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
    const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
    const HOST: &str = "169.254.170.2";

    fn with_token() -> Endpoint {
        let token = GivenToken::Value(Zeroizing::new("bearer".to_owned()));
        admit("http://169.254.170.23/v1/credentials", Some(token))
    }

    fn left(pairs: &[(&'static str, &str)]) -> Leftovers {
        pairs
            .iter()
            .map(|(name, value)| (*name, Secret::new(*value)))
            .collect()
    }

    fn credentials() -> TaskCredentials {
        let body = r#"{"AccessKeyId":"ID","SecretAccessKey":"SECRET","Token":"SESSION","Expiration":"2026-11-24T08:00:00Z"}"#;
        document::parse(body.as_bytes()).unwrap()
    }

    fn inputs(export: Export, region: Option<&str>) -> Inputs {
        Inputs {
            region: region.and_then(Region::parse),
            export,
            output_credentials: false,
            guards: crate::credentials::checks::Guards::default(),
            mask_account: false,
            summary: false,
            dry_run: false,
            discover: true,
            attempts: 1,
            timeout: Duration::from_secs(1),
        }
    }

    /// What is exported, and the titles of the warnings.
    fn made(
        export: Export,
        endpoint: &Endpoint,
        leftovers: &Leftovers,
    ) -> (Vec<(&'static str, String)>, Vec<&'static str>) {
        let findings = Findings {
            inputs: &inputs(export, None),
            leftovers,
            endpoint,
            credentials: &credentials(),
            region: None,
            left: Duration::from_secs(3600),
        };
        let made = super::super::publication(&findings);
        let env = made.env.iter();
        (
            env.map(|record| (record.name, record.value.expose().to_owned()))
                .collect(),
            made.warnings.iter().map(|(title, _)| *title).collect(),
        )
    }

    /// What is exported beside what always is.
    fn more(
        export: Export,
        endpoint: &Endpoint,
        leftovers: &[(&'static str, &str)],
    ) -> Vec<(&'static str, String)> {
        let (always, _) = made(export, endpoint, &left(&[]));
        let (mut all, _) = made(export, endpoint, &left(leftovers));
        let rest = all.split_off(always.len());
        assert_eq!(all, always);
        rest
    }

    #[test]
    fn a_leftover_is_dealt_with_as_the_table_says() {
        // The variable, what it becomes with keys, and what with the endpoint.
        let table: [(&str, Option<&str>, Option<&str>); 17] = [
            ("AWS_SECURITY_TOKEN", Some("SESSION"), Some("")),
            (
                "AWS_CREDENTIAL_EXPIRATION",
                Some("2026-11-24T08:00:00Z"),
                Some(""),
            ),
            ("AWS_ACCESS_KEY", None, Some("")),
            ("AWS_SECRET_KEY", None, Some("")),
            (TOKEN, None, Some("")),
            ("AWS_PROFILE", None, None),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", None, None),
            ("AWS_ROLE_ARN", None, None),
            (RELATIVE, None, None),
            ("AWS_REGION", None, None),
            ("AWS_DEFAULT_REGION", None, None),
            ("NO_PROXY", None, None),
            ("no_proxy", None, None),
            // Those that have a test of their own below.
            (TOKEN_FILE, None, None),
            ("AWS_ACCESS_KEY_ID", None, None),
            ("AWS_SECRET_ACCESS_KEY", None, None),
            ("AWS_SESSION_TOKEN", None, None),
        ];
        let endpoint = admit(PATH, None);
        for (name, with_keys, with_endpoint) in table {
            let set = [(name, "earlier")];
            let expected: Vec<_> = with_keys
                .map(|value| (name, value.to_owned()))
                .into_iter()
                .collect();
            assert_eq!(more(Export::Keys, &endpoint, &set), expected, "{name}");
            if !KEYS.contains(&name) {
                let expected: Vec<_> = with_endpoint
                    .map(|value| (name, value.to_owned()))
                    .into_iter()
                    .collect();
                assert_eq!(more(Export::Endpoint, &endpoint, &set), expected, "{name}");
            }
            assert_eq!(made(Export::None, &endpoint, &left(&set)).0, [], "{name}");
        }
    }

    #[test]
    fn an_empty_leftover_matters_where_it_breaks_an_sdk() {
        let endpoint = admit(PATH, None);
        let set = [
            ("AWS_SECURITY_TOKEN", ""),
            ("AWS_CREDENTIAL_EXPIRATION", ""),
        ];
        assert_eq!(more(Export::Keys, &endpoint, &set).len(), 2);
        // There it would only be blanked again.
        assert_eq!(more(Export::Endpoint, &endpoint, &set), []);
        for export in [Export::Keys, Export::Endpoint] {
            let (_, warnings) = made(export, &endpoint, &left(&[("AWS_PROFILE", "")]));
            assert_eq!(warnings, ["AWS_PROFILE is set"]);
        }
    }

    #[test]
    fn one_key_that_is_set_blanks_all_three() {
        let endpoint = admit(PATH, None);
        for name in KEYS {
            let blank = KEYS.map(|name| (name, String::new()));
            let set = [(name, "earlier")];
            assert_eq!(more(Export::Endpoint, &endpoint, &set), blank, "{name}");
            assert_eq!(more(Export::Endpoint, &endpoint, &[(name, "")]), []);
        }
    }

    #[test]
    fn the_endpoint_is_handed_on_in_its_own_form_with_its_own_token() {
        let none = left(&[(TOKEN, "another")]);
        let (env, _) = made(Export::Endpoint, &with_token(), &none);
        assert_eq!(
            env,
            [
                (FULL, "http://169.254.170.23/v1/credentials".to_owned()),
                (TOKEN, "bearer".to_owned()),
            ]
        );
        let (env, _) = made(Export::Endpoint, &admit(PATH, None), &left(&[]));
        assert_eq!(env, [(RELATIVE, PATH.to_owned())]);
    }

    #[test]
    fn web_identity_is_warned_of_where_it_is_whole() {
        let (file, role) = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN");
        let endpoint = admit(PATH, None);
        let warnings = |export, set: &[(&'static str, &str)]| made(export, &endpoint, &left(set)).1;
        let whole = [(file, "/x"), (role, "x")];
        assert_eq!(warnings(Export::Endpoint, &whole), ["Web identity is set"]);
        assert_eq!(warnings(Export::Keys, &whole), [""; 0]);
        assert_eq!(warnings(Export::Endpoint, &whole[..1]), [""; 0]);
        assert_eq!(warnings(Export::Endpoint, &whole[1..]), [""; 0]);
    }

    #[test]
    fn a_proxy_is_kept_from_the_endpoint() {
        let endpoint = admit(PATH, None);
        for proxy in PROXIES {
            // What the two lists hold (None: not set), and what they become.
            for (upper, lower, expected) in [
                (None, None, Some([HOST, HOST])),
                (Some(""), Some(" , "), Some([HOST, HOST])),
                (Some(HOST), Some(HOST), None),
                (Some(HOST), None, Some([HOST, HOST])),
                (
                    Some("a, b"),
                    Some("b,c"),
                    Some(["a,b,c,169.254.170.2", "a,b,c,169.254.170.2"]),
                ),
                (Some("*"), Some("*"), None),
                (Some("*"), Some(HOST), None),
                (
                    Some("*"),
                    Some("corp.example"),
                    Some(["", "corp.example,169.254.170.2"]),
                ),
                (
                    Some("corp.example"),
                    Some("*"),
                    Some(["corp.example,169.254.170.2", ""]),
                ),
                (Some("*"), None, Some(["", HOST])),
            ] {
                let mut set = vec![(proxy, "http://proxy:3128")];
                set.extend(upper.map(|value| ("NO_PROXY", value)));
                set.extend(lower.map(|value| ("no_proxy", value)));
                let expected: Vec<_> = NO_PROXIES
                    .into_iter()
                    .zip(expected.unwrap_or_default())
                    .filter(|(_, value)| !value.is_empty())
                    .map(|(name, value)| (name, value.to_owned()))
                    .collect();
                let context = format!("{proxy} {upper:?} {lower:?}");
                assert_eq!(
                    more(Export::Endpoint, &endpoint, &set),
                    expected,
                    "{context}"
                );
                assert_eq!(more(Export::Keys, &endpoint, &set), [], "{context}");
            }
            assert_eq!(more(Export::Endpoint, &endpoint, &[(proxy, "")]), []);
        }
    }

    #[test]
    fn a_region_that_is_set_is_written_with_its_own_value_unless_the_input_says_otherwise() {
        let region = Region::parse("eu-west-1").unwrap();
        let written = |input: Option<&str>, set: &[(&'static str, &str)]| {
            let findings = Findings {
                inputs: &inputs(Export::Keys, input),
                leftovers: &left(set),
                endpoint: &admit(PATH, None),
                credentials: &credentials(),
                region: Some(&region),
                left: Duration::from_secs(3600),
            };
            let mut made = Publication::default();
            regions(&findings, &mut made);
            made.env
                .iter()
                .map(|record| (record.name, record.value.expose().to_owned()))
                .collect::<Vec<_>>()
        };
        let both = |upper: &str, default: &str| {
            [
                ("AWS_REGION", upper.to_owned()),
                ("AWS_DEFAULT_REGION", default.to_owned()),
            ]
        };
        let set = [("AWS_DEFAULT_REGION", "us-east-1")];
        assert_eq!(written(None, &[]), both("eu-west-1", "eu-west-1"));
        assert_eq!(written(None, &set), both("eu-west-1", "us-east-1"));
        assert_eq!(
            written(Some("eu-west-1"), &set),
            both("eu-west-1", "eu-west-1")
        );
        let bad = [("AWS_REGION", "evil.example")];
        assert_eq!(written(None, &bad), both("eu-west-1", "eu-west-1"));
    }

    #[test]
    fn an_endpoint_that_later_steps_could_not_use_is_refused() {
        let loopback = admit("http://127.0.0.1/x", None);
        let file = admit(
            "http://169.254.170.23/x",
            Some(GivenToken::File("/token".into())),
        );
        let full = admit("http://169.254.170.2/v2/credentials/7e5", None);
        let relative = admit(PATH, None);
        let refused = |endpoint: &Endpoint, set: &[(&'static str, &str)], said: Option<&str>| {
            let outcome = check_export(Export::Endpoint, endpoint, &left(set));
            match (outcome, said) {
                (Ok(()), None) => {}
                (Err(error), Some(said)) => {
                    let problem = error.downcast_ref::<Problem>().unwrap();
                    assert_eq!(problem.trouble, Trouble::EndpointNotForOthers);
                    assert!(problem.what.contains(said), "{}", problem.what);
                }
                (outcome, said) => panic!("{outcome:?}, {said:?}"),
            }
            for export in [Export::Keys, Export::None] {
                assert!(check_export(export, endpoint, &left(set)).is_ok());
            }
        };
        refused(&loopback, &[], Some("loopback"));
        refused(&file, &[], Some("in a file"));
        for value in ["/token", ""] {
            refused(&relative, &[(TOKEN_FILE, value)], Some(TOKEN_FILE));
            refused(&full, &[(TOKEN_FILE, value)], Some(TOKEN_FILE));
            refused(&full, &[(RELATIVE, value)], Some(RELATIVE));
            refused(&relative, &[(RELATIVE, value)], None);
            refused(&full, &[(TOKEN, value)], None);
        }
    }
}
