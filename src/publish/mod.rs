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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::checks::Guards;
    use crate::credentials::document;
    use crate::credentials::endpoint::{Given, GivenToken, Source, Uri};
    use crate::secret::Secret;
    use zeroize::Zeroizing;

    const ROLE: &str = "arn:aws:iam::123456789012:role/deploy";
    const RELATIVE: &str = "/v2/credentials/7e5";
    const FULL: &str = "http://169.254.170.23/v1/credentials";

    /// All that is known, to be changed by a test.
    struct Case {
        inputs: Inputs,
        leftovers: Leftovers,
        endpoint: Endpoint,
        owner: &'static str,
        region: Option<Region>,
        left: u64,
    }

    pub(super) fn endpoint(uri: &str, token: Option<GivenToken>) -> Endpoint {
        let text = Zeroizing::new(uri.to_owned());
        Endpoint::admit(Given {
            source: Source::Environment,
            place: "THE_VARIABLE",
            uri: if uri.starts_with('/') {
                Uri::Relative(text)
            } else {
                Uri::Full(text)
            },
            token: token.map(|token| ("THE_TOKEN", token)),
        })
        .unwrap()
    }

    fn token() -> Option<GivenToken> {
        Some(GivenToken::Value(Zeroizing::new("T0KEN".into())))
    }

    fn case(export: Export, leftovers: &[(&'static str, &str)]) -> Case {
        Case {
            inputs: Inputs {
                region: None,
                export,
                output_credentials: false,
                guards: Guards::default(),
                mask_account: false,
                summary: false,
                dry_run: false,
                discover: true,
                attempts: 8,
                timeout: Duration::from_secs(60),
            },
            leftovers: leftovers
                .iter()
                .map(|(name, value)| (*name, Secret::new(*value)))
                .collect(),
            endpoint: endpoint(RELATIVE, None),
            owner: r#","RoleArn":"arn:aws:iam::123456789012:role/deploy""#,
            region: Region::parse("eu-west-1"),
            left: 21_121,
        }
    }

    impl Case {
        fn made(&self) -> Publication {
            let body = format!(
                r#"{{"AccessKeyId":"A","SecretAccessKey":"S","Token":"T","Expiration":"2026-11-24T08:00:00Z"{}}}"#,
                self.owner
            );
            publication(&Findings {
                inputs: &self.inputs,
                leftovers: &self.leftovers,
                endpoint: &self.endpoint,
                credentials: &document::parse(body.as_bytes()).unwrap(),
                region: self.region.as_ref(),
                left: Duration::from_secs(self.left),
            })
        }

        /// `NAME=value` of what goes to `GITHUB_ENV`, but for the region.
        fn env(&self) -> Vec<String> {
            let mut env = pairs(&self.made().env);
            env.retain(|pair| !pair.contains("REGION"));
            env
        }
    }

    fn pairs(records: &[Record]) -> Vec<String> {
        records
            .iter()
            .map(|record| format!("{}={}", record.name, record.value.expose()))
            .collect()
    }

    const KEYS: [&str; 3] = [
        "AWS_ACCESS_KEY_ID=A",
        "AWS_SECRET_ACCESS_KEY=S",
        "AWS_SESSION_TOKEN=T",
    ];
    const BLANKED: [&str; 3] = [
        "AWS_ACCESS_KEY_ID=",
        "AWS_SECRET_ACCESS_KEY=",
        "AWS_SESSION_TOKEN=",
    ];
    const URI: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/7e5";

    #[test]
    fn each_export_hands_on_its_own() {
        let keys = case(Export::Keys, &[]);
        assert_eq!(keys.env(), KEYS);
        let made = keys.made();
        assert!(made.notes.is_empty() && made.warnings.is_empty() && made.summary.is_none());
        assert_eq!(pairs(&made.env).len(), 5);
        assert_eq!(case(Export::Endpoint, &[]).env(), [URI]);
        let none = case(Export::None, &[("AWS_ACCESS_KEY_ID", "old")]);
        assert!(none.made().env.is_empty() && none.made().notes.is_empty());
        let mut full = case(Export::Endpoint, &[]);
        full.endpoint = endpoint(FULL, token());
        assert_eq!(
            full.env(),
            [
                "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.170.23/v1/credentials",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN=T0KEN"
            ]
        );
    }

    #[test]
    fn keys_replace_what_is_there_and_what_would_win_is_set() {
        for name in [
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
        ] {
            assert_eq!(case(Export::Keys, &[(name, "old")]).made().notes.len(), 1);
            assert!(
                case(Export::Keys, &[(name, "")]).made().notes.is_empty(),
                "{name}"
            );
        }
        // Present is enough.
        let both = case(
            Export::Keys,
            &[
                ("AWS_SECURITY_TOKEN", ""),
                ("AWS_CREDENTIAL_EXPIRATION", ""),
            ],
        );
        let mut expected = KEYS.to_vec();
        expected.extend([
            "AWS_SECURITY_TOKEN=T",
            "AWS_CREDENTIAL_EXPIRATION=2026-11-24T08:00:00Z",
        ]);
        assert_eq!(both.env(), expected);
        assert_eq!(both.made().notes.len(), 2);
    }

    #[test]
    fn what_would_win_over_the_endpoint_is_blanked() {
        for name in [
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
        ] {
            let with_key = case(Export::Endpoint, &[(name, "old")]);
            assert_eq!(with_key.env(), [&[URI], &BLANKED[..]].concat(), "{name}");
            assert_eq!(with_key.made().notes.len(), 1);
            assert_eq!(case(Export::Endpoint, &[(name, "")]).env(), [URI], "{name}");
        }
        for name in [
            "AWS_SECURITY_TOKEN",
            "AWS_CREDENTIAL_EXPIRATION",
            "AWS_ACCESS_KEY",
            "AWS_SECRET_KEY",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        ] {
            let set = case(Export::Endpoint, &[(name, "old")]);
            assert_eq!(set.env(), [URI.to_owned(), format!("{name}=")]);
            assert_eq!(set.made().notes.len(), 1, "{name}");
            let empty = case(Export::Endpoint, &[(name, "")]);
            assert_eq!(empty.env(), [URI], "{name}");
        }
        let mut own = case(
            Export::Endpoint,
            &[("AWS_CONTAINER_AUTHORIZATION_TOKEN", "old")],
        );
        own.endpoint = endpoint(FULL, token());
        assert_eq!(own.env().len(), 2);
        assert!(own.made().notes.is_empty());
    }

    #[test]
    fn what_can_only_be_warned_of_is_warned_of() {
        let warned = |export, names: &[&'static str]| {
            let leftovers: Vec<_> = names.iter().map(|name| (*name, "")).collect();
            case(export, &leftovers).made().warnings.len()
        };
        assert_eq!(warned(Export::Keys, &["AWS_PROFILE"]), 1);
        assert_eq!(warned(Export::Endpoint, &["AWS_PROFILE"]), 1);
        assert_eq!(warned(Export::None, &["AWS_PROFILE"]), 0);
        let web = ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"];
        assert_eq!(warned(Export::Endpoint, &web), 1);
        assert_eq!(warned(Export::Endpoint, &web[..1]), 0);
        assert_eq!(warned(Export::Endpoint, &web[1..]), 0);
        assert_eq!(warned(Export::Keys, &web), 0);
        for (left, warnings) in [(899, 1), (900, 0), (901, 0)] {
            let mut short = case(Export::Keys, &[]);
            short.left = left;
            assert_eq!(short.made().warnings.len(), warnings, "{left}");
        }
    }

    #[test]
    fn a_proxy_is_kept_from_the_endpoint() {
        let no_proxy = |leftovers: &[(&'static str, &str)]| {
            let mut env = case(Export::Endpoint, leftovers).env();
            assert_eq!(env.remove(0), URI);
            env
        };
        for proxy in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
            let set = [(proxy, "http://proxy")];
            assert_eq!(
                no_proxy(&set),
                ["NO_PROXY=169.254.170.2", "no_proxy=169.254.170.2"]
            );
            assert_eq!(case(Export::Endpoint, &set).made().notes.len(), 1);
            assert!(no_proxy(&[(proxy, "")]).is_empty());
        }
        let with = |upper, lower| {
            no_proxy(&[
                ("HTTP_PROXY", "x"),
                ("NO_PROXY", upper),
                ("no_proxy", lower),
            ])
        };
        let union = "a,b,169.254.170.2";
        assert_eq!(
            with("a, b", "b,,"),
            [format!("NO_PROXY={union}"), format!("no_proxy={union}")]
        );
        assert!(with("169.254.170.2", "x, 169.254.170.2").is_empty());
        assert_eq!(with("169.254.170.2", "x").len(), 2);
        assert!(with("*", "*").is_empty());
        assert_eq!(with("*", "a"), ["no_proxy=a,169.254.170.2"]);
        assert!(with("*", "169.254.170.2").is_empty());
    }

    #[test]
    fn each_region_variable_keeps_its_own_value() {
        let regions = |case: &Case| {
            let mut env = pairs(&case.made().env);
            env.retain(|pair| pair.contains("REGION"));
            env
        };
        let both = ["AWS_REGION=eu-west-1", "AWS_DEFAULT_REGION=eu-west-1"];
        assert_eq!(regions(&case(Export::Keys, &[])), both);
        assert_eq!(regions(&case(Export::Endpoint, &[])), both);
        let mut own = case(Export::Keys, &[("AWS_DEFAULT_REGION", "us-east-1")]);
        assert_eq!(
            regions(&own),
            ["AWS_REGION=eu-west-1", "AWS_DEFAULT_REGION=us-east-1"]
        );
        own.inputs.region = Region::parse("eu-west-1");
        assert_eq!(regions(&own), both);
        own.region = None;
        assert!(regions(&own).is_empty());
    }

    #[test]
    fn outputs_hold_what_is_known_and_keys_where_asked() {
        let mut case = case(Export::None, &[]);
        let known = [
            "aws-expiration=2026-11-24T08:00:00Z",
            "source=environment",
            "aws-account-id=123456789012",
            "role-arn=arn:aws:iam::123456789012:role/deploy",
            "aws-region=eu-west-1",
        ];
        assert_eq!(pairs(&case.made().output), known);
        case.inputs.output_credentials = true;
        assert_eq!(
            pairs(&case.made().output)[5..],
            [
                "aws-access-key-id=A",
                "aws-secret-access-key=S",
                "aws-session-token=T"
            ]
        );
        (case.owner, case.region, case.inputs.output_credentials) = ("", None, false);
        assert_eq!(pairs(&case.made().output), known[..2]);
    }

    #[test]
    fn the_headline_says_what_was_done_of_whom_and_for_how_long() {
        let mut case = case(Export::Keys, &[]);
        let place = format!("{ROLE} (account 123456789012, eu-west-1)");
        let end = "valid for 5 h 52 min, found through environment";
        for (export, dry_run, done) in [
            (Export::Keys, false, "Exported credentials of"),
            (
                Export::Endpoint,
                false,
                "Exported the credentials endpoint of",
            ),
            (
                Export::None,
                false,
                "Fetched, as outputs alone, credentials of",
            ),
            (
                Export::Keys,
                true,
                "Dry run, nothing exported: fetched credentials of",
            ),
        ] {
            (case.inputs.export, case.inputs.dry_run) = (export, dry_run);
            assert_eq!(case.made().headline, format!("{done} {place}, {end}"));
        }
        (case.owner, case.region, case.left) = ("", None, 3599);
        let headline = case.made().headline;
        assert!(
            headline.contains("of a role that the endpoint does not name, valid for 59 min,"),
            "{headline}"
        );
        for (left, span) in [
            (59, "59 s"),
            (60, "1 min"),
            (3600, "1 h 0 min"),
            (7320, "2 h 2 min"),
        ] {
            assert_eq!(words::span(Duration::from_secs(left)), span);
        }
    }

    #[test]
    fn the_summary_holds_no_secret_and_no_owner_that_is_hidden() {
        let mut case = case(Export::Keys, &[]);
        case.inputs.summary = true;
        let table = case.made().summary.unwrap();
        assert_eq!(
            table,
            "### ECS task role\n\n| | |\n|---|---|\n\
             | Role | `arn:aws:iam::123456789012:role/deploy` |\n\
             | Account | `123456789012` |\n| Region | eu-west-1 |\n\
             | Source | environment |\n| Time left | 5 h 52 min |\n\n"
        );
        case.inputs.mask_account = true;
        let table = case.made().summary.unwrap();
        assert!(
            table.contains("hidden") && !table.contains("123456789012"),
            "{table}"
        );
        (case.owner, case.region) = ("", None);
        let table = case.made().summary.unwrap();
        assert!(
            table.contains("not named") && table.contains("none found"),
            "{table}"
        );
        (case.owner, case.inputs.mask_account) = (
            r#","RoleArn":"arn:aws:iam::123456789012:role/a`b|c/x""#,
            false,
        );
        let table = case.made().summary.unwrap();
        assert!(
            table.contains("not shown") && !table.contains("a`b"),
            "{table}"
        );
    }

    #[test]
    fn an_endpoint_that_serves_nobody_else_is_not_handed_on() {
        let file = || Some(GivenToken::File("/t".into()));
        let relative = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
        let token_file = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
        for (uri, token, leftover, says) in [
            ("http://127.0.0.1/x", None, None, Some("loopback")),
            (FULL, file(), None, Some("in a file")),
            (FULL, token(), Some(token_file), Some(token_file)),
            (FULL, token(), Some(relative), Some(relative)),
            (FULL, token(), None, None),
            (RELATIVE, None, Some(relative), None),
            (RELATIVE, None, Some(token_file), Some(token_file)),
        ] {
            let endpoint = endpoint(uri, token);
            // Present is enough.
            let leftovers = leftover
                .map(|name| (name, Secret::new("")))
                .into_iter()
                .collect();
            let outcome = check_export(Export::Endpoint, &endpoint, &leftovers);
            match says {
                None => assert!(outcome.is_ok(), "{uri} {leftover:?}"),
                Some(says) => assert!(outcome.unwrap_err().to_string().contains(says)),
            }
            assert!(check_export(Export::Keys, &endpoint, &leftovers).is_ok());
            assert!(check_export(Export::None, &endpoint, &leftovers).is_ok());
        }
    }
}
