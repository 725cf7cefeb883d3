//! The Docker Engine's API: the three GETs that we make, each bounded in time and size.
//!
//! No version stands in any path: versions under an Engine's least are refused, and a request without one is
//! what every Engine from 20.10 on answers (<https://docs.docker.com/reference/api/engine/#versioned-api-and-sdk>).
//! Nothing is started, stopped, executed, copied or changed.

pub mod wire;

use crate::http::{Answer, Client, Fault, Limits};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

/// One request: 50 containers are some 50 KB, thousands of processes some hundreds.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(5),
    body: 8 * 1024 * 1024,
};

/// Created ones too: a container's process can be there a moment before the Engine calls it running.
/// `filters={"status":["created","running"]}`.
const LIST: &str = "http://localhost/containers/json?filters=%7B%22status%22%3A%5B%22created%22%2C%22running%22%5D%7D";

/// A container's id: 64 hexadecimal digits, never a name and never a short form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerId(String);

impl ContainerId {
    /// 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == 64
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        fits.then(|| Self(text.to_owned()))
    }
}

/// A container of the Engine's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: ContainerId,
    /// Its name, without the slash; empty where it has none.
    pub name: String,
    /// Whether its state is `running`.
    pub running: bool,
    /// What of the host it sees.
    pub mounts: Vec<Mount>,
}

/// A directory or file of the host in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The path on the Engine's host.
    pub source: String,
    /// The path in the container.
    pub destination: String,
}

/// The command lines of a container's processes. Arguments are separated by blanks, and blanks in
/// them can't be told apart from those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processes(pub Vec<String>);

/// What a container was configured with.
pub struct Environment {
    variables: Vec<(String, Zeroizing<String>)>,
    labels: BTreeMap<String, String>,
}

impl fmt::Debug for Environment {
    /// No value of any container is for a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").finish_non_exhaustive()
    }
}

impl Environment {
    /// The value of a variable; an empty one counts as unset.
    pub fn variable(&self, name: &str) -> Option<&Zeroizing<String>> {
        self.variables
            .iter()
            .rev()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
            .filter(|value| !value.is_empty())
    }

    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }
}

/// Why the Engine told nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Silence {
    /// There is no socket there to ask: what is there instead.
    NoSocket(&'static str),
    /// It said no: the status, and its message.
    Refused(u16, String),
    /// It did not answer, or not as an Engine would: in words.
    Mute(String),
}

/// The Engine behind a socket.
#[derive(Clone, Debug)]
pub struct Engine(Client);

impl Engine {
    /// The Engine at `socket`, where there is a socket.
    pub fn at(socket: &Path) -> Result<Self, Silence> {
        match fs::metadata(socket) {
            Ok(found) if found.file_type().is_socket() => {}
            Ok(found) if found.is_dir() => {
                // What docker makes of a bind mount whose source is not there.
                return Err(Silence::NoSocket(
                    "a directory, so the host has no socket at that path",
                ));
            }
            Ok(_) => return Err(Silence::NoSocket("something that is not a socket")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Silence::NoSocket("nothing"));
            }
            Err(error) => {
                return Err(Silence::Mute(format!(
                    "it can not be looked at: {}",
                    error.kind()
                )));
            }
        }
        Client::over_socket(socket)
            .map(Self)
            .map_err(|_| Silence::Mute("no client for it could be made".into()))
    }

    /// The containers that are created or running.
    pub async fn list(&self) -> Result<Vec<Container>, Silence> {
        self.get(LIST, wire::list).await
    }

    /// The processes of a container, by `ps` on the Engine's host.
    pub async fn processes(&self, ContainerId(id): &ContainerId) -> Result<Processes, Silence> {
        // -ww: with the default width the daemon's own COLUMNS can cut the command line off.
        let url = format!("http://localhost/containers/{id}/top?ps_args=-ww%20-eo%20pid%2Cargs");
        self.get(&url, wire::processes).await
    }

    /// Of what a container was configured with, the `wanted` variables and labels.
    pub async fn inspect(
        &self,
        ContainerId(id): &ContainerId,
        wanted: &[&str],
    ) -> Result<Environment, Silence> {
        let url = format!("http://localhost/containers/{id}/json");
        self.get(&url, |body| wire::environment(body, wanted)).await
    }

    async fn get<T>(&self, url: &str, read: impl Fn(&[u8]) -> Option<T>) -> Result<T, Silence> {
        let Answer { status, body } = self.0.get(url, None, LIMITS).await.map_err(mute)?;
        if !(200..300).contains(&status) {
            return Err(Silence::Refused(
                status,
                wire::message(&body).unwrap_or_default(),
            ));
        }
        read(&body).ok_or_else(|| Silence::Mute("the answer is not a Docker Engine's".into()))
    }
}

fn mute(fault: Fault) -> Silence {
    Silence::Mute(match fault {
        Fault::Connect(Some(libc::EACCES | libc::EPERM)) => {
            "permission denied: the daemon's `userns-remap` or SELinux keeps containers from the socket"
                .into()
        }
        Fault::Connect(Some(libc::ECONNREFUSED)) => "connection refused: nobody listens there".into(),
        fault => fault.in_words(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_five_seconds_and_8_mib() {
        assert_eq!((LIMITS.time.as_secs(), LIMITS.body), (5, 8_388_608));
    }

    #[test]
    fn an_id_is_64_digits_and_never_a_name() {
        let id = "0123456789abcdef".repeat(4);
        assert!(ContainerId::parse(&id).is_some());
        for bad in [
            "",
            "runner",
            id.split_at(1).1,
            &format!("{id}0"),
            &id.to_uppercase(),
        ] {
            assert!(ContainerId::parse(bad).is_none(), "{bad}");
        }
    }
}
