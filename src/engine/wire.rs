//! The JSON fields that we read of the Docker Engine's answers, and nothing else of them.
//!
//! <https://docs.docker.com/reference/api/engine/>: `ContainerList`, `ContainerTop`, `ContainerInspect`. Any field
//! may be `null`: Go writes an empty list so.

use super::{Container, ContainerId, Environment, Mount, Processes};
use serde::Deserialize;
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
pub(super) fn list(body: &[u8]) -> Option<Vec<Container>> {
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
pub(super) fn processes(body: &[u8]) -> Option<Processes> {
    let top: Top = serde_json::from_slice(body).ok()?;
    let lines = top.processes.unwrap_or_default();
    Some(Processes(
        lines
            .into_iter()
            .filter_map(|mut columns| columns.pop())
            .collect(),
    ))
}

/// `GET /containers/<id>/json`.
pub(super) fn environment(body: &[u8]) -> Option<Environment> {
    let Inspected { config } = serde_json::from_slice(body).ok()?;
    Some(Environment {
        variables: config
            .env
            .unwrap_or_default()
            .iter()
            .filter_map(|entry| entry.split_once('='))
            .map(|(name, value)| (name.to_owned(), Zeroizing::new(value.to_owned())))
            .collect(),
        labels: config.labels.unwrap_or_default(),
    })
}

/// The `message` of an answer that is no 2xx.
pub(super) fn message(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Refusal>(body)
        .ok()
        .map(|refusal| refusal.message)
}
