//! What does the endpoint's JSON say? Bytes in, credentials out, and no byte of it in an error.
//!
//! The document: <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>. The ECS agent
//! sends `RoleArn` and no `AccountId`, EKS the other way round.

use super::identity::{AccountId, RoleArn};
use super::report::Report;
use aws_credential_types::Credentials;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde::Deserialize;
use std::fmt;
use std::mem;
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// Credentials of a task role, complete and well-formed.
pub struct TaskCredentials {
    /// Access key id, secret access key and session token: none of them empty, none with a control character.
    pub keys: Credentials,
    /// When they end.
    pub expiration: Expiration,
    /// The role, where the document names one.
    pub role: Option<RoleArn>,
    /// The account, where the document or the role names one.
    pub account: Option<AccountId>,
}

impl fmt::Debug for TaskCredentials {
    /// aws-credential-types' own would print the access key id.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskCredentials")
            .field("expiration", &self.expiration)
            .finish_non_exhaustive()
    }
}

/// The moment at which credentials end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiration(DateTime);

impl Expiration {
    /// RFC 3339, with `Z` or an offset, with or without a fraction.
    pub fn parse(text: &str) -> Option<Self> {
        let moment = DateTime::from_str(text, Format::DateTimeWithOffset).ok()?;
        // A year that can't be written back is no year.
        moment.fmt(Format::DateTime).ok()?;
        Some(Self(moment))
    }

    /// The moment in RFC 3339, in UTC.
    pub fn rfc3339(&self) -> String {
        self.0.fmt(Format::DateTime).unwrap_or_default()
    }

    /// How long it is until then; nothing once it is past.
    pub fn left(&self, now: SystemTime) -> Duration {
        SystemTime::try_from(self.0)
            .ok()
            .and_then(|end| end.duration_since(now).ok())
            .unwrap_or_default()
    }
}

/// Why a document is not credentials.
#[derive(Debug)]
pub enum Flaw {
    /// It is cut off, is no JSON, or lacks a field: another answer may be whole.
    Incomplete(String),
    /// It is whole, and a value in it can't be right.
    Invalid(String),
    /// It is the report of an error.
    Reported,
    /// `AccountId` and `RoleArn` name two accounts. Which ones is not said: they may have to be hidden.
    TwoAccounts,
}

/// The fields that are read; all others are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Wire {
    code: Option<serde_json::Value>,
    access_key_id: Option<Zeroizing<String>>,
    secret_access_key: Option<Zeroizing<String>>,
    token: Option<Zeroizing<String>>,
    expiration: Option<Zeroizing<String>>,
    role_arn: Option<Zeroizing<String>>,
    account_id: Option<Zeroizing<String>>,
}

/// Reads a document.
pub fn parse(body: &[u8]) -> Result<TaskCredentials, Flaw> {
    match complete(body) {
        // A server that reports an error means it, however it spells the field.
        Err(Flaw::Incomplete(_)) if Report::read(body).is_one => Err(Flaw::Reported),
        outcome => outcome,
    }
}

fn complete(body: &[u8]) -> Result<TaskCredentials, Flaw> {
    // The derived reader would take an array for the fields in their order.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Flaw::Incomplete("it is not a JSON object".into()));
    }
    let wire: Wire =
        serde_json::from_slice(body).map_err(|error| Flaw::Incomplete(place_of(&error)))?;
    if wire.code.is_some_and(|code| code != "Success") {
        return Err(Flaw::Reported);
    }
    let mut access_key_id = required("AccessKeyId", wire.access_key_id)?;
    let mut secret_access_key = required("SecretAccessKey", wire.secret_access_key)?;
    let mut token = required("Token", wire.token)?;
    let expiration = required("Expiration", wire.expiration)?;
    let expiration = Expiration::parse(&expiration)
        .ok_or_else(|| Flaw::Invalid("`Expiration` is not a moment in RFC 3339".into()))?;
    let role = optional("RoleArn", wire.role_arn)?.and_then(|role| RoleArn::parse(&role));
    let account =
        optional("AccountId", wire.account_id)?.and_then(|account| AccountId::parse(&account));
    let account = match (account, &role) {
        (Some(account), Some(role)) if account != *role.account() => {
            return Err(Flaw::TwoAccounts);
        }
        (Some(account), _) => Some(account),
        (None, Some(role)) => Some(role.account().clone()),
        (None, None) => None,
    };
    Ok(TaskCredentials {
        // Not `builder().build()`, which panics where a field is missing. Moved, not copied; it wipes them itself.
        keys: Credentials::new(
            mem::take(&mut *access_key_id),
            mem::take(&mut *secret_access_key),
            Some(mem::take(&mut *token)),
            SystemTime::try_from(expiration.0).ok(),
            "EcsTaskRole",
        ),
        expiration,
        role,
        account,
    })
}

/// serde_json's own text quotes what it stumbled over, which may be the secret key.
fn place_of(error: &serde_json::Error) -> String {
    let category = match error.classify() {
        serde_json::error::Category::Io => "it can not be read",
        serde_json::error::Category::Syntax => "it is not JSON",
        serde_json::error::Category::Data => {
            "a field is there twice, or has a value of the wrong type"
        }
        serde_json::error::Category::Eof => "it ends too early",
    };
    format!(
        "{category} (line {}, column {})",
        error.line(),
        error.column()
    )
}

fn required(name: &str, value: Option<Zeroizing<String>>) -> Result<Zeroizing<String>, Flaw> {
    match optional(name, value)? {
        Some(value) if !value.is_empty() => Ok(value),
        Some(_) => Err(Flaw::Incomplete(format!("`{name}` is empty"))),
        None => Err(Flaw::Incomplete(format!("`{name}` is missing"))),
    }
}

fn optional(
    name: &str,
    value: Option<Zeroizing<String>>,
) -> Result<Option<Zeroizing<String>>, Flaw> {
    match value {
        Some(value) if value.chars().any(char::is_control) => {
            Err(Flaw::Invalid(format!("`{name}` holds a control character")))
        }
        value => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    const WHOLE: &str = r#"{"RoleArn":"arn:aws:iam::123456789012:role/x","AccessKeyId":"AKID","SecretAccessKey":"SECRET","Token":"TOKEN","Expiration":"2026-11-24T08:00:00Z"}"#;

    fn with(from: &str, to: &str) -> Result<TaskCredentials, Flaw> {
        assert!(WHOLE.contains(from));
        parse(WHOLE.replacen(from, to, 1).as_bytes())
    }

    #[test]
    fn a_whole_document_is_read() {
        let credentials = parse(WHOLE.as_bytes()).unwrap();
        assert_eq!(credentials.keys.access_key_id(), "AKID");
        assert_eq!(credentials.keys.secret_access_key(), "SECRET");
        assert_eq!(credentials.keys.session_token(), Some("TOKEN"));
        assert_eq!(credentials.expiration.rfc3339(), "2026-11-24T08:00:00Z");
        assert_eq!(credentials.account.unwrap().as_str(), "123456789012");
    }

    #[test]
    fn what_is_not_whole_may_be_so_the_next_time() {
        for cut in 0..WHOLE.len() {
            let outcome = parse(&WHOLE.as_bytes()[..cut]);
            assert!(matches!(outcome, Err(Flaw::Incomplete(_))), "{cut}");
        }
        for (from, to, said) in [
            (r#""AKID""#, r#""""#, "`AccessKeyId` is empty"),
            (r#""SECRET""#, "null", "`SecretAccessKey` is missing"),
            (r#""Token""#, r#""token""#, "`Token` is missing"),
            (r#""TOKEN""#, "7", "wrong type"),
            (r#""TOKEN","#, r#""TOKEN","Token":"OTHER","#, "twice"),
            ("{", "[{", "not a JSON object"),
            ("}", "}}", "not JSON"),
        ] {
            match with(from, to) {
                Err(Flaw::Incomplete(what)) => {
                    assert!(what.contains(said), "{what}");
                    assert!(
                        !what.contains("SECRET") && !what.contains("OTHER"),
                        "{what}"
                    );
                }
                other => panic!("{from} -> {to}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_control_character_is_refused_wherever_it_stands() {
        for field in [
            "AKID",
            "SECRET",
            "TOKEN",
            "2026-11-24T08:00:00Z",
            "arn:aws:iam::123456789012:role/x",
        ] {
            for control in [r"\n", r"\r", r"\u0000", r"\u001b", r"\u007f", r"\u0085"] {
                let outcome = with(field, &format!("{field}{control}"));
                assert!(
                    matches!(outcome, Err(Flaw::Invalid(_))),
                    "{field} {control}"
                );
            }
        }
    }

    #[test]
    fn an_array_is_no_document() {
        let body = br#"["Success",null,"AKID","SECRET","TOKEN","2026-11-24T08:00:00Z",null,null]"#;
        assert!(matches!(parse(body), Err(Flaw::Incomplete(_))));
    }

    #[test]
    fn a_reported_error_is_no_document() {
        for report in [
            r#"{"Code":"Failed","Message":"why","AccessKeyId":"AKID"}"#,
            r#"{"Code":5}"#,
            r#"{"code":"InternalServerError","message":"x"}"#,
        ] {
            assert!(
                matches!(parse(report.as_bytes()), Err(Flaw::Reported)),
                "{report}"
            );
        }
        assert!(with("{", r#"{"Code":"Failed","#).is_err());
        assert!(with("{", r#"{"Code":"Success","#).is_ok());
        // An unknown field of a whole document.
        assert!(with("{", r#"{"code":"x","#).is_ok());
    }

    #[test]
    fn account_and_role_are_unknown_rather_than_wrong() {
        let of = |text: &str, id: &str| {
            let credentials = with(
                r#""arn:aws:iam::123456789012:role/x""#,
                &format!(r#""{text}","AccountId":"{id}""#),
            )
            .unwrap();
            (
                credentials.role.map(|role| role.to_string()),
                credentials.account.map(|account| account.to_string()),
            )
        };
        assert_eq!(of("", ""), (None, None));
        assert_eq!(of("arn:aws:iam::123456789012:user/x", "12"), (None, None));
        assert_eq!(of("", "123456789012"), (None, Some("123456789012".into())));
        let role = "arn:aws:iam::123456789012:role/x";
        assert_eq!(
            of(role, "123456789012"),
            (Some(role.into()), Some("123456789012".into()))
        );
        assert_eq!(
            of("arn:aws-cn:iam::123456789012:role/p/x", ""),
            (
                Some("arn:aws-cn:iam::123456789012:role/p/x".into()),
                Some("123456789012".into())
            )
        );
    }

    #[test]
    fn two_accounts_are_refused() {
        let outcome = with("{", r#"{"AccountId":"210987654321","#);
        assert!(matches!(outcome, Err(Flaw::TwoAccounts)));
    }

    #[test]
    fn an_expiration_is_rfc_3339() {
        for good in [
            "2026-11-24T08:00:00Z",
            "2026-11-24T08:00:00.123456789Z",
            "2026-11-24T10:00:00+02:00",
        ] {
            let moment = Expiration::parse(good).unwrap();
            let now = UNIX_EPOCH + Duration::from_secs(1_795_507_200 - 60);
            assert_eq!(moment.left(now).as_secs(), 60, "{good}");
        }
        for bad in [
            "",
            "2026-11-24",
            "2026-11-24T08:00:00",
            "2026-11-24 08:00:00Z",
            "2026-02-30T08:00:00Z",
            "0000-01-01T00:00:00Z",
            "1795507200",
        ] {
            assert!(Expiration::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let shown = format!("{:?}", parse(WHOLE.as_bytes()).unwrap());
        assert!(shown.starts_with("TaskCredentials {"), "{shown}");
        for hidden in ["AKID", "SECRET", "TOKEN"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }
}
