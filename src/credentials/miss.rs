//! What does an attempt that brought no credentials mean, may the next do better, and what can be done about it?

use super::document::{Expiration, Flaw};
use super::endpoint::Endpoint;
use super::report::Report;
use crate::http::Fault;
use crate::trouble::{DIND, Trouble};

/// An attempt that brought no credentials.
#[derive(Debug)]
pub(super) struct Miss {
    trouble: Trouble,
    /// What happened, for the middle of a sentence.
    what: String,
    /// What the answer said of it, empty where it said nothing.
    detail: String,
    /// What to do about it.
    remedy: String,
    /// Whether the next attempt may do better.
    pub(super) again: bool,
}

impl Miss {
    /// There was no answer.
    pub(super) fn unreachable(fault: Fault, endpoint: &Endpoint) -> Self {
        let what = fault.in_words();
        if let Fault::TooLarge(_) = fault {
            return Self::new(Trouble::DocumentInvalid, what);
        }
        let remedy = match fault {
            Fault::Connect(_) if endpoint.host().is_loopback() => format!(
                "the host is a loopback address, and inside a container that is the container itself: use {DIND}, which \
                 runs on the runner; if this is the runner, nothing listens there"
            ),
            Fault::Connect(Some(libc::ENETUNREACH | libc::EHOSTUNREACH)) => {
                format!(
                    "this container's network has no way there, as an `--internal` docker network has none: let the job's \
                     network reach {}",
                    endpoint.host()
                )
            }
            Fault::ConnectTimeout => {
                format!(
                    "on an ECS instance this is what `route_localnet=0`, or lost iptables rules of the agent, look like: \
                     check that containers reach {}",
                    endpoint.host()
                )
            }
            _ => "check that the agent runs and that containers reach it".to_owned(),
        };
        Self {
            remedy,
            ..Self::new(Trouble::EndpointUnreachable, what).retried()
        }
    }

    /// The answer was no 2xx; `said` is what of its report may be shown.
    pub(super) fn status(status: u16, report: &Report, said: &str) -> Self {
        let unknown_id = report
            .code
            .as_deref()
            .is_some_and(|code| code.eq_ignore_ascii_case("InvalidIdInRequest"));
        let miss = if status == 429 {
            Self::new(Trouble::Throttled, "throttled").retried()
        } else if unknown_id {
            // An agent before 1.101.2 says so of every id while it restarts.
            Self::new(
                Trouble::UnknownId,
                "the id is unknown to the agent: the task was replaced, or the URI is stale",
            )
            .retried()
        } else if matches!(status, 500 | 502 | 503 | 504) {
            Self::new(Trouble::EndpointError, "an error").retried()
        } else {
            Self::new(Trouble::EndpointError, "an error")
        };
        let detail = if said.is_empty() {
            format!("status {status}")
        } else {
            format!("status {status}, {said}")
        };
        Self { detail, ..miss }
    }

    /// The answer was no document that can be used; `said` is what of its report may be shown.
    pub(super) fn document(flaw: Flaw, said: String) -> Self {
        match flaw {
            Flaw::Incomplete(what) => Self::new(
                Trouble::DocumentInvalid,
                format!("the document is not complete: {what}"),
            )
            .retried(),
            Flaw::Invalid(what) => Self::new(
                Trouble::DocumentInvalid,
                format!("the document is not valid: {what}"),
            ),
            Flaw::Reported => Self {
                detail: said,
                ..Self::new(
                    Trouble::EndpointError,
                    "the document is the report of an error",
                )
            },
            Flaw::TwoAccounts => Self::new(
                Trouble::AccountsDisagree,
                "`AccountId` and `RoleArn` name two different accounts",
            ),
        }
    }

    /// The credentials had ended before they came.
    pub(super) fn expired(expiration: &Expiration) -> Self {
        let what = format!("the credentials expired at {}", expiration.rfc3339());
        Self::new(Trouble::Expired, what).retried()
    }

    /// The token is one that no header can hold.
    pub(super) fn token() -> Self {
        Self::new(Trouble::TokenUnfit, "the token can not stand in a header")
    }

    fn new(trouble: Trouble, what: impl Into<String>) -> Self {
        let remedy = match trouble {
            Trouble::Throttled => {
                "too many requests at once from this instance: raise `retry-max-attempts` and `timeout`, or start fewer \
                 jobs at a time"
            }
            Trouble::UnknownId => {
                "take the URI from the task that runs now; a URI that was saved outlives no task"
            }
            Trouble::Expired => {
                "the agent has not renewed them: look at its log on the instance, and at the instance's clock"
            }
            Trouble::AccountsDisagree => {
                "an endpoint that contradicts itself is not to be trusted: find out what answers at that address"
            }
            Trouble::DocumentInvalid => {
                "check what answers at that address; if it is the agent, look at its log on the instance"
            }
            _ => "look at the agent's log on the instance",
        };
        Self {
            trouble,
            what: what.into(),
            detail: String::new(),
            remedy: remedy.to_owned(),
            again: false,
        }
    }

    fn retried(self) -> Self {
        Self {
            again: true,
            ..self
        }
    }

    /// What happened, for a line in the log.
    pub(super) fn in_words(&self) -> String {
        if self.detail.is_empty() {
            self.what.clone()
        } else {
            format!("{} ({})", self.what, self.detail)
        }
    }

    /// The error after the last attempt.
    pub(super) fn after(self, attempts: u32) -> anyhow::Error {
        let detail = if self.detail.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.detail)
        };
        self.trouble.because(format!(
            "asked the endpoint for credentials: {} after {}{detail}; {}",
            self.what,
            times(attempts),
            self.remedy
        ))
    }

    /// The error where `timeout` struck; `last` is the attempt before it.
    pub(super) fn out_of_time(attempts: u32, last: Option<Self>) -> anyhow::Error {
        let trouble = last
            .as_ref()
            .map_or(Trouble::EndpointUnreachable, |miss| miss.trouble);
        let remedy = last
            .as_ref()
            .map_or("raise `timeout`, or check that the agent answers", |miss| {
                miss.remedy.as_str()
            });
        let before = last
            .as_ref()
            .map(|miss| format!("; the last answer: {}", miss.in_words()))
            .unwrap_or_default();
        trouble.because(format!(
            "asked the endpoint for credentials: the time that `timeout` allows was used up after {}{before}; {remedy}",
            times(attempts)
        ))
    }
}

fn times(attempts: u32) -> String {
    match attempts {
        1 => "1 attempt".to_owned(),
        n => format!("{n} attempts"),
    }
}
