//! What does a server say went wrong, and what of it may be shown?
//!
//! The ECS agent answers `{"code":…,"message":…,"HTTPErrorCode":…}` (`agent/handlers/utils` of amazon-ecs-agent); a document
//! can be `{"Code":…,"Message":…}`. Names are matched without regard to case.

use crate::secret::Secret;
use crate::workflow::command;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::fmt;

/// A text that is shorter than this stands in many a sentence by accident.
const SHORTEST_SECRET: usize = 8;

/// The fields that hold keys, in whatever answer they come.
const KEYS: [&str; 3] = ["SecretAccessKey", "Token", "AccessKeyId"];

/// What can be told of an answer without knowing what it is.
#[derive(Default)]
pub(super) struct Report {
    /// Whether there is a code at all that is not `Success`.
    pub(super) is_one: bool,
    /// The code, where it is a text.
    pub(super) code: Option<String>,
    /// Keys, valid or not.
    pub(super) keys: Vec<Secret>,
    message: Option<String>,
    /// Every other text of the same answer: keys under another name may be among them.
    others: Vec<Secret>,
    /// Whether the answer was read to its end, so that all of its texts are known.
    whole: bool,
}

impl Report {
    /// Reads a body as far as it is a JSON object.
    pub(super) fn read(body: &[u8]) -> Self {
        let mut entries = Vec::new();
        let whole = serde_json::Deserializer::from_slice(body)
            .deserialize_map(Entries(&mut entries))
            .is_ok();
        let mut report = Self {
            whole,
            ..Self::default()
        };
        for (name, value) in entries {
            let text = value.as_str().map(ToOwned::to_owned);
            if name.eq_ignore_ascii_case("code") {
                report.is_one |= !value.is_null() && text.as_deref() != Some("Success");
                report.code = text;
            } else if name.eq_ignore_ascii_case("message") {
                report.message = text;
            } else {
                if KEYS.iter().any(|key| name.eq_ignore_ascii_case(key)) {
                    report.keys.extend(text.map(Secret::new));
                }
                texts_in(&value, &mut report.others);
            }
        }
        report
    }

    /// What no later message may hold either.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.keys.iter().chain(&self.others)
    }

    /// Code and message, fit to be shown, or nothing: nothing of a text that holds one of `hidden`, or another text
    /// of the same answer.
    pub(super) fn in_words(&self, hidden: &[Secret]) -> String {
        let shown = |text: &Option<String>| {
            let text = text.as_deref().filter(|_| self.whole)?;
            let shown = command::foreign(text, hidden.iter().chain(self.secrets()))?;
            Some(shown).filter(|shown| !shown.is_empty())
        };
        match (shown(&self.code), shown(&self.message)) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => String::new(),
        }
    }
}

/// The texts of at least the length that makes them secrets.
pub(super) fn secrets_in<'a>(
    parts: impl IntoIterator<Item = &'a str>,
) -> impl Iterator<Item = Secret> {
    parts
        .into_iter()
        .filter(|part| part.len() >= SHORTEST_SECRET)
        .map(Secret::new)
}

fn texts_in(value: &Value, texts: &mut Vec<Secret>) {
    match value {
        Value::String(text) => texts.extend(secrets_in([text.as_str()])),
        Value::Array(values) => values.iter().for_each(|value| texts_in(value, texts)),
        Value::Object(fields) => fields.values().for_each(|value| texts_in(value, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Gathers the fields of an object, those that are there twice and those before a fault included: a map would forget
/// the first.
struct Entries<'a>(&'a mut Vec<(String, Value)>);

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(entry) = map.next_entry()? {
            self.0.push(entry);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(body: &str) -> String {
        Report::read(body.as_bytes()).in_words(&[])
    }

    #[test]
    fn code_and_message_are_found_whatever_their_case() {
        assert_eq!(
            words(r#"{"code":"A","message":"b","HTTPErrorCode":400}"#),
            "A: b"
        );
        assert_eq!(words(r#"{"Code":"A","MESSAGE":"b"}"#), "A: b");
        assert_eq!(words(r#"{"message":"b"}"#), "b");
        assert_eq!(words("You have reached maximum request limit."), "");
        assert_eq!(words(r#"["code"]"#), "");
        assert_eq!(words(""), "");
    }

    #[test]
    fn a_code_is_a_report_unless_it_is_success() {
        let is_one = |body: &str| Report::read(body.as_bytes()).is_one;
        assert!(is_one(r#"{"Code":"Failed"}"#));
        assert!(is_one(r#"{"code":5}"#));
        assert!(!is_one(r#"{"Code":"Success"}"#));
        assert!(!is_one(r#"{"Code":null}"#));
        assert!(!is_one(r#"{"Message":"x"}"#));
    }

    #[test]
    fn a_message_that_holds_another_text_of_the_answer_is_dropped() {
        for fields in [
            r#""SecretAccessKey":"MARKER-MARKER""#,
            r#""secretAccessKey":"MARKER-MARKER""#,
            r#""Token":"MARKER-MARKER","Token":"other-other""#,
            r#""keys":[{"x":"MARKER-MARKER"}],"Expiration":5"#,
        ] {
            let body = format!(r#"{{"code":"A","message":"see MARKER-MARKER",{fields}}}"#);
            assert_eq!(words(&body), "A", "{body}");
        }
    }

    #[test]
    fn keys_are_known_whatever_becomes_of_the_answer() {
        let keys = |body: &str| {
            let report = Report::read(body.as_bytes());
            report
                .keys
                .iter()
                .map(|key| key.expose().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            keys(r#"{"accesskeyid":"A","Token":7,"SecretAccessKey":"S"}"#),
            ["A", "S"]
        );
        assert_eq!(keys(r#"{"Token":"T","Token":"U"}"#), ["T", "U"]);
        assert_eq!(keys(r#"{"Token":"T","SecretAcc"#), ["T"]);
    }

    #[test]
    fn nothing_is_shown_of_an_answer_that_ends_too_early() {
        assert_eq!(words(r#"{"code":"A","message":"MARKER","x":"MAR"#), "");
    }

    #[test]
    fn a_message_that_holds_what_is_hidden_is_dropped() {
        let report = Report::read(br#"{"code":"A","message":"no /v2/MARKER here"}"#);
        assert_eq!(report.in_words(&[Secret::new("/v2/MARKER")]), "A");
    }
}
