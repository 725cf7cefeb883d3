//! The ECS agent's task endpoint, as far as containers see it: credentials by id, the task's metadata,
//! its errors, its throttle, and its audit log.
//!
//! Facts from amazon-ecs-agent 1.105 (`ecs-agent/tmds/handlers`, `agent/logger/audit`).

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::json;

use super::endpoint::{Document, Endpoint, Keys, Request, answer, now, rfc3339};
use super::instance::random_hex;

/// Where the agent listens on the instance; iptables rules lead there from 169.254.170.2:80.
pub const ADDRESS: &str = "127.0.0.1:51679";

/// Requests a second, for each client address and path, and how many may come at once.
const RATE: f64 = 40.0;
const BURST: f64 = 60.0;

/// The agent. Tests share it and disturb each other not, since each has tasks of its own.
pub struct Agent {
    state: Arc<State>,
    _endpoint: Endpoint,
}

#[derive(Default)]
struct State {
    tasks: Mutex<HashMap<String, Answer>>,
    buckets: Mutex<HashMap<(IpAddr, String), Bucket>>,
    audit: Mutex<Vec<Audit>>,
}

/// What the agent says to whoever asks for a task's credentials.
#[derive(Clone, Debug)]
pub enum Answer {
    Document(Document),
    /// Status, `code` and message.
    Error(u16, &'static str, &'static str),
    /// Nothing, for as long as the client stays.
    Silence,
}

/// A task that the agent knows.
#[derive(Clone, Debug)]
pub struct Task {
    /// The id of its credentials: whoever knows it gets them.
    pub id: String,
    pub role: String,
    pub arn: String,
    pub keys: Keys,
}

impl Task {
    /// What ECS puts into `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`.
    pub fn uri(&self) -> String {
        format!("/v2/credentials/{}", self.id)
    }

    /// What ECS puts into `ECS_CONTAINER_METADATA_URI_V4`.
    pub fn metadata_uri(&self) -> String {
        format!("http://169.254.170.2/v4/{}-4242", self.id)
    }

    pub fn document(&self) -> Document {
        Document::new(&self.keys).role(&self.role)
    }
}

/// One line of the audit log.
#[derive(Clone, Debug)]
pub struct Audit {
    pub time: String,
    pub status: u16,
    pub client: IpAddr,
    pub path: String,
    pub user_agent: String,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Agent {
    /// Serves on this listener.
    pub fn on(listener: TcpListener) -> Self {
        let state = Arc::new(State::default());
        let serving = Arc::clone(&state);
        let endpoint = Endpoint::on(listener, move |request, stream| {
            serving.respond(request, stream)
        });
        Self {
            state,
            _endpoint: endpoint,
        }
    }

    /// A task of its own, with a role and keys that no other has.
    pub fn task(&self) -> Task {
        let mark = random_hex(12);
        let id = format!(
            "{}-{}-{}-{}-{}",
            random_hex(8),
            random_hex(4),
            random_hex(4),
            random_hex(4),
            random_hex(12)
        );
        let task = Task {
            role: format!("arn:aws:iam::123456789012:role/task-{mark}"),
            arn: format!(
                "arn:aws:ecs:eu-central-1:123456789012:task/runners/{}",
                random_hex(32)
            ),
            keys: Keys::marked(&mark.to_uppercase()),
            id,
        };
        self.answer(&task, Answer::Document(task.document()));
        task
    }

    /// Changes what the agent says about a task.
    pub fn answer(&self, task: &Task, answer: Answer) {
        self.state
            .tasks
            .lock()
            .unwrap()
            .insert(task.id.clone(), answer);
    }

    /// The audit log's lines about one task.
    pub fn audit(&self, task: &Task) -> Vec<Audit> {
        let audit = self.state.audit.lock().unwrap();
        audit
            .iter()
            .filter(|line| line.path.contains(&task.id))
            .cloned()
            .collect()
    }
}

impl State {
    fn respond(&self, request: &Request, stream: &mut TcpStream) -> io::Result<()> {
        let (path, query) = request
            .target
            .split_once('?')
            .unwrap_or((&request.target, ""));
        if path.contains("//") {
            let mut clean = path.to_owned();
            while clean.contains("//") {
                clean = clean.replace("//", "/");
            }
            return answer::redirect(stream, 301, &clean);
        }
        if let Some(rest) = path.strip_prefix("/v4/") {
            return self.metadata(rest, stream);
        }
        let id = match path.strip_prefix("/v2/credentials") {
            Some(rest) => rest.trim_start_matches('/'),
            None if path == "/v1/credentials" => query.strip_prefix("id=").unwrap_or(""),
            None => {
                return answer::with(stream, "404 Not Found", "text/plain", "404 page not found");
            }
        };
        if !self.passes(request.peer.ip(), path) {
            return answer::throttled(stream);
        }
        let said = self.tasks.lock().unwrap().get(id).cloned();
        let said = said.unwrap_or(if id.is_empty() {
            Answer::Error(400, "NoIdInRequest", "no credentials id in the request")
        } else {
            Answer::Error(400, "InvalidIdInRequest", "credentials not found")
        });
        self.audit.lock().unwrap().push(Audit {
            time: rfc3339(now()),
            status: match said {
                Answer::Document(_) => 200,
                Answer::Error(status, ..) => status,
                Answer::Silence => 0,
            },
            client: request.peer.ip(),
            path: path.to_owned(),
            user_agent: request.header("user-agent").unwrap_or_default().to_owned(),
        });
        match said {
            Answer::Document(document) => answer::ok(stream, &document.json()),
            Answer::Error(status, code, message) => {
                answer::agent_error(stream, status, code, message)
            }
            Answer::Silence => answer::silence(stream),
        }
    }

    fn metadata(&self, rest: &str, stream: &mut TcpStream) -> io::Result<()> {
        let id = rest.strip_suffix("-4242/task").unwrap_or_default();
        if !self.tasks.lock().unwrap().contains_key(id) {
            return answer::with(stream, "404 Not Found", "text/plain", "404 page not found");
        }
        // Not the region of `Task::arn`, so that a test can tell which of the two was read.
        let task = json!({
            "Cluster": "runners",
            "TaskARN": format!("arn:aws:ecs:eu-north-1:123456789012:task/runners/{}", id.replace('-', "")),
            "Family": "runner",
            "Revision": "7",
        });
        answer::ok(stream, &task.to_string())
    }

    /// A token bucket for each client address and path.
    fn passes(&self, client: IpAddr, path: &str) -> bool {
        let mut buckets = self.buckets.lock().unwrap();
        let bucket = buckets
            .entry((client, path.to_owned()))
            .or_insert_with(|| Bucket {
                tokens: BURST,
                filled: Instant::now(),
            });
        bucket.tokens = (bucket.tokens + bucket.filled.elapsed().as_secs_f64() * RATE).min(BURST);
        bucket.filled = Instant::now();
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }
}
