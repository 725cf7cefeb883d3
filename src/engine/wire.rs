//! The JSON fields that we read of the Docker Engine's answers, and nothing else of them.
//!
//! <https://docs.docker.com/reference/api/engine/>: `ContainerList`, `ContainerTop`, `ContainerInspect`. Any field
//! may be `null`: Go writes an empty list so.

use super::{Container, ContainerId, Environment, Mount, Processes};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedContainer {
    id: String,
    names: Option<Vec<String>>,
    state: Option<String>,
    mounts: Option<Vec<ListedMount>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedMount {
    source: Option<String>,
    destination: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Top {
    // It may be null, but it is there.
    #[serde(deserialize_with = "Option::deserialize")]
    processes: Option<Vec<Vec<String>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    config: Config,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    env: Option<Vec<Zeroizing<String>>>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

/// `GET /containers/json`.
pub fn list(body: &[u8]) -> Option<Vec<Container>> {
    let listed: Vec<ListedContainer> = serde_json::from_slice(body).ok()?;
    listed.into_iter().map(container).collect()
}

fn container(listed: ListedContainer) -> Option<Container> {
    Some(Container {
        id: ContainerId::parse(&listed.id)?,
        // `/other/alias` is what a legacy link calls it.
        name: listed
            .names
            .unwrap_or_default()
            .into_iter()
            .filter_map(|name| name.strip_prefix('/').map(ToOwned::to_owned))
            .find(|name| !name.is_empty() && !name.contains('/'))
            .unwrap_or_default(),
        running: listed.state.as_deref() == Some("running"),
        mounts: listed
            .mounts
            .unwrap_or_default()
            .into_iter()
            .filter_map(|mount| {
                Some(Mount {
                    source: mount.source?,
                    destination: mount.destination?,
                })
            })
            .collect(),
    })
}

/// `GET /containers/<id>/top`: the last column is the command line.
pub fn processes(body: &[u8]) -> Option<Processes> {
    let top: Top = object(body)?;
    let lines = top.processes.unwrap_or_default();
    Some(Processes(
        lines
            .into_iter()
            .filter_map(|mut columns| columns.pop())
            .collect(),
    ))
}

/// `GET /containers/<id>/json`.
pub fn environment(body: &[u8], wanted: &[&str]) -> Option<Environment> {
    let Inspected { config } = object(body)?;
    Some(Environment {
        variables: config
            .env
            .unwrap_or_default()
            .iter()
            .filter_map(|entry| entry.split_once('='))
            .filter(|(name, _)| wanted.contains(name))
            .map(|(name, value)| (name.to_owned(), Zeroizing::new(value.to_owned())))
            .collect(),
        labels: config
            .labels
            .unwrap_or_default()
            .into_iter()
            .filter(|(name, _)| wanted.contains(&name.as_str()))
            .collect(),
    })
}

/// The derived reader would take an array for the fields in their order.
fn object<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    body.trim_ascii_start()
        .starts_with(b"{")
        .then(|| serde_json::from_slice(body).ok())
        .flatten()
}

/// The `message` of an answer that is no 2xx.
pub fn message(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Refusal>(body)
        .ok()
        .map(|refusal| refusal.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn a_list_may_hold_nulls_wherever_go_writes_them() {
        let body = format!(
            r#"[{{"Id":"{ID}","Names":null,"State":null,"Mounts":null,"Labels":null,"X":[1]}}]"#
        );
        let listed = list(body.as_bytes()).unwrap();
        assert_eq!(listed[0].name, "");
        assert!(!listed[0].running && listed[0].mounts.is_empty());
        assert_eq!(list(b"[]"), Some(vec![]));
    }

    #[test]
    fn a_containers_own_name_is_the_one_without_a_second_slash() {
        let body = format!(
            r#"[{{"Id":"{ID}","Names":["/other/alias","/mine"],"State":"running","Mounts":[{{"Type":"tmpfs","Source":"","Destination":"/t"}}]}}]"#
        );
        let listed = list(body.as_bytes()).unwrap();
        assert_eq!(listed[0].name, "mine");
        assert!(listed[0].running);
        assert_eq!(listed[0].mounts[0].destination, "/t");
    }

    #[test]
    fn what_is_no_engines_answer_is_none() {
        for body in ["", "{}", "null", "OK", r#"[{"Id":"short"}]"#, "[{}]", "[1]"] {
            assert_eq!(list(body.as_bytes()), None, "{body}");
        }
        // Without a list of processes a container would count as one that has ended.
        for body in [&b"[]"[..], b"[null]", b"{}", b"null"] {
            assert_eq!(processes(body), None);
        }
        assert!(environment(b"{}", &[]).is_none());
    }

    #[test]
    fn the_last_column_is_the_command_line() {
        let body = br#"{"Titles":["PID","COMMAND"],"Processes":[["7","docker run x"],[]]}"#;
        assert_eq!(
            processes(body),
            Some(Processes(vec!["docker run x".into()]))
        );
        assert_eq!(
            processes(br#"{"Titles":[],"Processes":null}"#),
            Some(Processes(vec![]))
        );
    }

    #[test]
    fn an_environment_keeps_equals_signs_and_hides_itself() {
        let body = br#"{"Config":{"Env":["A=b=MARKER","E=","BARE","A2=x"],"Labels":{"l":"v"}}}"#;
        let found = environment(body, &["A", "E", "BARE", "l"]).unwrap();
        assert!(found.variable("A2").is_none());
        assert_eq!(found.variable("A").unwrap().as_str(), "b=MARKER");
        assert!(found.variable("E").is_none() && found.variable("BARE").is_none());
        assert_eq!(found.label("l"), Some("v"));
        assert!(!format!("{found:?}").contains("MARKER"));
        let nulls = environment(br#"{"Config":{"Env":null,"Labels":null}}"#, &["l"]).unwrap();
        assert!(nulls.label("l").is_none());
    }

    #[test]
    fn a_refusal_says_why() {
        let said = message(br#"{"message":"No such container: x"}"#);
        assert_eq!(said.as_deref(), Some("No such container: x"));
        assert_eq!(message(b"{}"), None);
        assert_eq!(message(b"page not found"), None);
    }
}
