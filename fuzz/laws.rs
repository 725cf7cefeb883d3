//! What must hold whatever comes in: one law for each room that reads foreign bytes, or writes for the runner.
//!
//! `cargo fuzz` hunts for input that breaks a law; the ordinary tests (`tests/it/fuzzed.rs`) hold the same laws
//! against the seeds and against random values. A law is checked by other means than the program's own.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]

use std::net::IpAddr;

use ecs_task_role::credentials::document::{self, Expiration, Flaw};
use ecs_task_role::credentials::endpoint::{Endpoint, Form, Given, Source, Uri};
use ecs_task_role::credentials::identity::{AccountId, RoleArn};
use ecs_task_role::engine::wire;
use ecs_task_role::runner::clues;
use ecs_task_role::secret::Secret;
use ecs_task_role::workflow::command::{self, Level};
use ecs_task_role::workflow::record::{self, Delimiter, Record};
use reqwest::Url;
use serde_json::Value;
use zeroize::Zeroizing;

use super::github::{self, Line};

/// What is read out of a document stands in it, and nothing of it stands in an error. True where it was read.
pub fn document(bytes: &[u8]) -> bool {
    let value = serde_json::from_slice::<Value>(bytes).ok();
    let text = |name: &str| value.as_ref().and_then(|v| v.get(name)?.as_str());
    match document::parse(bytes) {
        Ok(read) => {
            for (name, found) in [
                ("AccessKeyId", Some(read.keys.access_key_id())),
                ("SecretAccessKey", Some(read.keys.secret_access_key())),
                ("Token", read.keys.session_token()),
            ] {
                let found = found.unwrap();
                assert!(!found.is_empty() && !found.chars().any(char::is_control));
                // Deeper than serde_json's own tree goes, there is nothing to compare with.
                if value.is_some() {
                    assert_eq!(text(name), Some(found));
                }
            }
            let end = read.expiration.rfc3339();
            // Written without what is under a microsecond, and so never too late.
            assert_eq!(Expiration::parse(&end).map(|end| end.rfc3339()), Some(end));
            if let Some(account) = &read.account {
                assert_eq!(account.as_str().len(), 12);
                assert_eq!(AccountId::parse(account.as_str()).as_ref(), Some(account));
            }
            if let Some(role) = &read.role {
                assert_eq!(text("RoleArn").unwrap_or(role.as_str()), role.as_str());
                assert_eq!(RoleArn::parse(role.as_str()).as_ref(), Some(role));
                assert_eq!(read.account.as_ref(), Some(role.account()));
                assert!(!role.as_str().contains(char::is_whitespace));
            }
            assert!(matches!(text("Code"), None | Some("Success")));
            let shown = format!("{read:?}");
            assert!(
                read.keys.secret_access_key().len() < 20
                    || !shown.contains(read.keys.secret_access_key())
            );
            true
        }
        Err(Flaw::Incomplete(what) | Flaw::Invalid(what)) => {
            for name in ["AccessKeyId", "SecretAccessKey", "Token"] {
                // Shorter ones, and such as are of several words, can stand in any sentence.
                if let Some(key) = text(name).filter(|key| key.len() >= 20 && !key.contains(' ')) {
                    assert!(!what.contains(key), "{what}");
                }
            }
            assert!(what.len() < 200 && what.is_ascii(), "{what}");
            false
        }
        Err(Flaw::Reported) => {
            if let Some(fields) = value.as_ref().and_then(|value| value.as_object()) {
                let is_report = |(name, value): (&String, &serde_json::Value)| {
                    name.eq_ignore_ascii_case("code") && !value.is_null() && value != "Success"
                };
                assert!(fields.iter().any(is_report));
            }
            false
        }
        Err(Flaw::TwoAccounts) => {
            if let (Some(account), Some(role)) = (text("AccountId"), text("RoleArn")) {
                assert_ne!(RoleArn::parse(role).unwrap().account().as_str(), account);
            }
            false
        }
    }
}

/// The hosts of the policy, written out once more.
fn serves_credentials(host: IpAddr) -> bool {
    match host {
        IpAddr::V4(host) => {
            host.octets()[0] == 127 || matches!(host.octets(), [169, 254, 170, 2 | 23])
        }
        IpAddr::V6(host) => matches!(
            host.segments(),
            [0, 0, 0, 0, 0, 0, 0, 1] | [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23]
        ),
    }
}

/// Whatever is admitted leads to an allowed address, for whoever reads it. True where it was admitted.
pub fn endpoint(text: &str) -> bool {
    let relative = one_endpoint(Uri::Relative(Zeroizing::new(text.to_owned())));
    let full = one_endpoint(Uri::Full(Zeroizing::new(text.to_owned())));
    relative || full
}

fn one_endpoint(uri: Uri) -> bool {
    let endpoint = Endpoint::admit(Given {
        source: Source::Environment,
        place: "THE_VARIABLE",
        uri,
        token: None,
    });
    let Ok(endpoint) = endpoint else {
        return false;
    };
    let (url, path) = (endpoint.url().expose(), endpoint.path().expose());
    assert!(serves_credentials(endpoint.host()), "{url}");
    // What the client makes of it.
    let parsed = Url::parse(url).unwrap();
    assert_eq!(parsed.as_str(), url);
    assert_eq!(
        host_of(parsed.host_str().unwrap()),
        Some(endpoint.host()),
        "{url}"
    );
    assert!(
        parsed.username().is_empty() && parsed.password().is_none() && parsed.fragment().is_none()
    );
    // What a reader of strings makes of it, be it careful or not.
    assert!(
        url.bytes()
            .all(|b| b.is_ascii_graphic() && b != b'\\' && b != b'#'),
        "{url}"
    );
    assert_eq!(host_in(url), Some(endpoint.host()), "{url}");
    assert!(url.ends_with(path) && path.starts_with('/'), "{url}");
    if endpoint.form == Form::Relative {
        assert_eq!(endpoint.host().to_string(), "169.254.170.2");
        assert!(path.len() > 1 && !path.starts_with("//"), "{path}");
        // As SDKs join what is handed on: as strings, or as references.
        assert_eq!(
            host_in(&format!("http://169.254.170.2{path}")),
            Some(endpoint.host()),
            "{path}"
        );
        for base in ["http://169.254.170.2", "http://169.254.170.2/"] {
            let joined = Url::parse(base).unwrap().join(path).unwrap();
            assert_eq!(joined.as_str(), url, "{path}");
        }
    }
    // Handed on and admitted once more, it is the same.
    let again = Endpoint::admit(Given {
        source: Source::Environment,
        place: "THE_VARIABLE",
        uri: match endpoint.form {
            Form::Relative => Uri::Relative(Zeroizing::new(path.to_owned())),
            Form::Full => Uri::Full(Zeroizing::new(url.to_owned())),
        },
        token: None,
    });
    assert_eq!(again.unwrap().url().expose(), url);
    assert!(!format!("{endpoint:?}").contains(path) || path.len() < 4);
    true
}

fn host_of(text: &str) -> Option<IpAddr> {
    text.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

/// RFC 3986 appendix B, by hand: the authority is what stands between `//` and the next `/`, `?` or `#`.
fn host_in(url: &str) -> Option<IpAddr> {
    let rest = url.strip_prefix("http://")?;
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    assert!(!authority.contains('@'), "{url}");
    let host = match authority.strip_prefix('[') {
        Some(v6) => &v6[..v6.find(']')?],
        None => authority.split(':').next()?,
    };
    host.parse().ok()
}

/// What is read out of the Engine's answers stands in them. True where something was read.
///
/// In a list the derived reader takes an array for an object's fields in their order. No Engine writes that, and it
/// gives nobody more than the object would; here it is left out of the comparison.
pub fn engine(bytes: &[u8]) -> bool {
    let whole = serde_json::from_slice::<Value>(bytes).ok();
    let value = whole.as_ref().filter(|value| value.is_object());
    let mut any = false;
    if let Some(containers) = wire::list(bytes) {
        any = true;
        if let Some(Value::Array(listed)) = &whole {
            assert_eq!(listed.len(), containers.len());
            for (container, listed) in containers.iter().zip(listed) {
                if listed.is_array() {
                    continue;
                }
                let id = listed["Id"].as_str().unwrap();
                assert!(id.len() == 64 && id.bytes().all(|b| b"0123456789abcdef".contains(&b)));
                assert_eq!(
                    Some(&container.id),
                    ecs_task_role::engine::ContainerId::parse(id).as_ref()
                );
                assert_eq!(container.running, listed["State"] == "running");
                assert!(!container.name.contains('/'));
                if !container.name.is_empty() {
                    let name = Value::from(format!("/{}", container.name));
                    assert!(listed["Names"].as_array().unwrap().contains(&name));
                }
                for mount in &container.mounts {
                    assert!(listed["Mounts"].as_array().unwrap().iter().any(|listed| {
                        listed["Source"] == *mount.source
                            && listed["Destination"] == *mount.destination
                    }));
                }
            }
        }
    }
    if let Some(processes) = wire::processes(bytes) {
        any = true;
        if whole.is_some() {
            assert!(value.is_some_and(|value| value.get("Processes").is_some()));
        }
        if let Some(value) = value {
            let rows = value["Processes"].as_array().map_or(&[][..], Vec::as_slice);
            let last = rows
                .iter()
                .filter_map(|row| row.as_array()?.last()?.as_str());
            assert!(last.eq(processes.0.iter().map(String::as_str)));
        }
    }
    let wanted: Vec<&str> = value
        .and_then(|value| value["Config"]["Env"].as_array())
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.as_str()?.split_once('=')?.0))
        .collect();
    if let Some(environment) = wire::environment(bytes, &wanted) {
        any = true;
        if let Some(value) = value.filter(|value| value["Config"].is_object()) {
            let entries = value["Config"]["Env"]
                .as_array()
                .map_or(&[][..], Vec::as_slice);
            for entry in entries {
                let Some((name, _)) = entry.as_str().and_then(|entry| entry.split_once('=')) else {
                    continue;
                };
                // The last one counts, as for the process itself; an empty one counts as unset.
                let start = format!("{name}=");
                let last = entries
                    .iter()
                    .rev()
                    .find_map(|entry| entry.as_str()?.strip_prefix(&start));
                let found = environment.variable(name).map(|value| value.as_str());
                assert_eq!(found, last.filter(|value| !value.is_empty()));
            }
        }
        assert_eq!(format!("{environment:?}"), "Environment { .. }");
    }
    if let Some(message) = wire::message(bytes) {
        any = true;
        if let Some(value) = value {
            assert_eq!(value["message"], message);
        }
    }
    any
}

/// An id is that of every line that has one. True where there is one.
pub fn mountinfo(text: &str) -> bool {
    let found = clues::container_id(text);
    // Found anew, from the end of the line's fourth word.
    let mut ids: Vec<&str> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let (Some(root), Some(point)) = (words.get(3), words.get(4)) else {
            continue;
        };
        for file in ["hostname", "hosts", "resolv.conf"] {
            let Some(head) = root.strip_suffix(&format!("/{file}")) else {
                continue;
            };
            let at = head.len().saturating_sub(64);
            if *point == format!("/etc/{file}")
                && head.is_char_boundary(at)
                && head[..at].ends_with("/containers/")
                && head[at..]
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
            {
                ids.push(&head[at..]);
            }
        }
    }
    ids.sort_unstable();
    ids.dedup();
    let expected = match ids[..] {
        [id] => ecs_task_role::engine::ContainerId::parse(id),
        _ => None,
    };
    assert_eq!(found, expected);
    found.is_some()
}

const NAMES: [&str; 4] = ["AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "role-arn", "A"];

/// The runner reads back the very pairs that were meant, whatever the values hold.
pub fn records(bits: u128, earlier: &str, values: &[String]) {
    let end = format!("ghadelimiter_{bits:032x}");
    // That a value has the line which was drawn for it is what 128 random bits are for.
    if values
        .iter()
        .any(|value| value.split('\n').any(|line| line == end))
    {
        return;
    }
    let meant: Vec<(&'static str, &String)> = NAMES.into_iter().cycle().zip(values).collect();
    let records: Vec<Record> = meant
        .iter()
        .map(|(name, value)| Record::new(name, value.as_str()))
        .collect();
    let text = record::encode(&records, &Delimiter::from_bits(bits));
    assert!(text.is_empty() || text.ends_with('\n'));
    let expected: Vec<(String, String)> = meant
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).clone()))
        .collect();
    assert_eq!(github::pairs(text.as_bytes()), Ok(expected.clone()));
    // After what an earlier writer left, as long as that is whole; a line break goes between, as in `files`.
    if let Ok(mut pairs) = github::pairs(earlier.as_bytes()) {
        pairs.extend(expected);
        assert_eq!(
            github::pairs(format!("{earlier}\n{}", *text).as_bytes()),
            Ok(pairs)
        );
    }
}

/// No text can become a command, or another one than was meant.
pub fn commands(text: &str, other: &str) {
    let read = |line: &str| {
        let mut read = github::lines(format!("{line}\n").as_bytes());
        assert_eq!(read.len(), 1, "{line:?}");
        read.remove(0)
    };
    assert_eq!(read(&command::mask(text)), Line::Mask(text.to_owned()));
    let shown: String = text.chars().take(3800).collect();
    for (level, kind) in [(Level::Warning, "warning"), (Level::Error, "error")] {
        // The titles are the program's own: none begins or ends with a blank.
        let title = format!("a{other}z");
        let Line::Annotation {
            kind: k,
            title: t,
            message,
        } = read(&command::annotation(level, &title, text))
        else {
            panic!("no annotation");
        };
        assert_eq!((k.as_str(), t, message), (kind, Some(title), shown.clone()));
    }
    assert_eq!(read(&command::group(text)), Line::Group(text.to_owned()));
    assert_eq!(read(&command::debug(text)), Line::Debug(text.to_owned()));

    let plain = command::plain(text);
    assert!(matches!(read(&plain), Line::Plain(_)), "{plain:?}");
    assert!(
        !plain.chars().any(char::is_control) && !plain.contains("##["),
        "{plain:?}"
    );
    assert!(!plain.trim_start().starts_with("::"), "{plain:?}");

    let foreign = command::foreign(text, [&Secret::new("")]).unwrap();
    harmless(&foreign);
    let foreign = command::foreign(text, [&Secret::new(other)]);
    if !other.is_empty() && text.contains(other) {
        assert_eq!(foreign, None);
    }
    if let Some(foreign) = foreign {
        harmless(&foreign);
        // A blank may be put in, and a secret has none.
        if !other.is_empty() && !other.contains(' ') {
            assert!(!foreign.contains(other), "{foreign:?}");
        }
        for line in [format!("seen: {foreign}"), foreign.clone()] {
            assert_eq!(
                read(&command::plain(&line)),
                Line::Plain(command::plain(&line))
            );
        }
    }
}

fn harmless(foreign: &str) {
    assert!(
        !foreign.contains("::") && !foreign.contains("##["),
        "{foreign:?}"
    );
    assert!(!foreign.chars().any(char::is_control), "{foreign:?}");
    assert!(foreign.chars().count() <= 200);
    for hidden in [
        '\u{200b}', '\u{202e}', '\u{2028}', '\u{2066}', '\u{feff}', '\u{ad}',
    ] {
        assert!(!foreign.contains(hidden), "{foreign:?}");
    }
}
