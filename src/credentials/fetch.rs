//! Asks the endpoint for credentials, and asks again where that may help.
//!
//! What an agent answers: `agent/handlers` of [amazon-ecs-agent](https://github.com/aws/amazon-ecs-agent). It
//! throttles (429 in plain text), says 503 or `InvalidIdInRequest` while it restarts (some 10 s), and has
//! been seen to serve expired credentials.

use super::document::{self, Flaw, TaskCredentials};
use super::endpoint::Endpoint;
use crate::http::{Answer, Client, Fault, Limits};
use crate::secret::Secret;
use crate::trouble::{DIND, Trouble};
use crate::workflow::channel::Channel;
use crate::workflow::command;
use reqwest::header::HeaderValue;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, sleep, timeout_at};

/// One attempt, from the connection to the last byte.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(5),
    body: 64 * 1024,
};

/// The longest wait before the second attempt; it doubles from there on.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Where the doubling ends. With full jitter a series of 8 attempts waits 11.9 s on average, and at most 23.75 s.
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// An identifier of at least this length in a URI is worth hiding in a server's message.
const SHORTEST_ID: usize = 8;

/// How much may be tried.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Attempts in all.
    pub attempts: u32,
    /// When it must be over.
    pub deadline: Instant,
}

/// An attempt that brought no credentials.
#[derive(Debug)]
struct Miss {
    trouble: Trouble,
    /// What happened, for the middle of a sentence.
    what: String,
    /// What the answer said of it, empty where it said nothing.
    detail: String,
    /// What to do about it.
    remedy: String,
    /// Whether the next attempt may do better.
    again: bool,
}

/// Credentials that have not expired; every token and key is masked as soon as it is known.
pub async fn credentials(
    client: &Client,
    endpoint: &Endpoint,
    patience: Patience,
    channel: &mut Channel,
) -> anyhow::Result<TaskCredentials> {
    let mut last = None;
    let mut known = None;
    for attempt in 1..=patience.attempts {
        let token = endpoint
            .token
            .as_ref()
            .map(|token| token.read())
            .transpose()?;
        if let Some(token) = token
            .as_ref()
            .filter(|token| known.as_ref() != Some(*token))
        {
            channel.mask(token);
            known = Some(token.clone());
        }
        channel.flush()?;
        let outcome = timeout_at(
            patience.deadline,
            once(client, endpoint, token.as_ref(), channel),
        )
        .await;
        let miss = match outcome {
            Ok(Ok(credentials)) => return Ok(credentials),
            Ok(Err(miss)) => miss,
            Err(_) => return Err(out_of_time(attempt, last)),
        };
        if !miss.again || attempt == patience.attempts {
            return Err(miss.after(attempt));
        }
        let wait = jitter(longest_wait(attempt));
        channel.say(&format!(
            "attempt {attempt} of {}: {}{}; the next in {:.1} s",
            patience.attempts,
            miss.what,
            miss.in_brackets(),
            wait.as_secs_f32()
        ));
        channel.flush()?;
        if timeout_at(patience.deadline, sleep(wait)).await.is_err() {
            return Err(out_of_time(attempt, Some(miss)));
        }
        last = Some(miss);
    }
    // `retry-max-attempts` is at least 1, so the loop has ended the function.
    Err(Trouble::Internal.because("no attempt was allowed"))
}

async fn once(
    client: &Client,
    endpoint: &Endpoint,
    token: Option<&Secret>,
    channel: &mut Channel,
) -> Result<TaskCredentials, Miss> {
    let authorization = match token {
        None => None,
        Some(token) => {
            let mut value = HeaderValue::from_bytes(token.expose().as_bytes()).map_err(|_| {
                Miss::no("the token can not stand in a header", Trouble::TokenUnfit)
            })?;
            value.set_sensitive(true);
            Some(value)
        }
    };
    let answer = client
        .get(endpoint.url().expose(), authorization, LIMITS)
        .await
        .map_err(|fault| unreachable(fault, endpoint))?;
    read(&answer, endpoint, token, SystemTime::now(), channel)
}

fn read(
    answer: &Answer,
    endpoint: &Endpoint,
    token: Option<&Secret>,
    now: SystemTime,
    channel: &mut Channel,
) -> Result<TaskCredentials, Miss> {
    if !(200..300).contains(&answer.status) {
        return Err(refused(answer, endpoint, token));
    }
    let credentials = document::parse(&answer.body).map_err(|flaw| match flaw {
        Flaw::Incomplete(what) => Miss::retry(
            format!("the document is not complete: {what}"),
            Trouble::DocumentInvalid,
        ),
        Flaw::Invalid(what) => Miss::no(
            format!("the document is not valid: {what}"),
            Trouble::DocumentInvalid,
        ),
        Flaw::Reported(code, message) => Miss::no(
            "the document is the report of an error",
            Trouble::EndpointError,
        )
        .saying(told(
            Some(&code),
            message.as_deref(),
            endpoint,
            token,
            answer,
        )),
        Flaw::TwoAccounts => Miss::no(
            "`AccountId` and `RoleArn` name two different accounts",
            Trouble::AccountsDisagree,
        ),
    })?;
    let keys = &credentials.keys;
    for key in [
        Some(keys.secret_access_key()),
        keys.session_token(),
        Some(keys.access_key_id()),
    ]
    .into_iter()
    .flatten()
    {
        channel.mask(&Secret::new(key));
    }
    if credentials.expiration.left(now).is_zero() {
        return Err(Miss::retry(
            format!(
                "the credentials expired at {}",
                credentials.expiration.rfc3339()
            ),
            Trouble::Expired,
        ));
    }
    Ok(credentials)
}

/// An answer that is no 2xx.
fn refused(answer: &Answer, endpoint: &Endpoint, token: Option<&Secret>) -> Miss {
    let (code, message) = reported(&answer.body);
    let status = answer.status;
    let mut detail = vec![format!("status {status}")];
    detail.extend(
        Some(told(
            code.as_deref(),
            message.as_deref(),
            endpoint,
            token,
            answer,
        ))
        .filter(|told| !told.is_empty()),
    );
    let detail = detail.join(", ");
    let unknown_id = code
        .as_deref()
        .is_some_and(|code| code.eq_ignore_ascii_case("InvalidIdInRequest"));
    let miss = if status == 429 {
        Miss::retry("throttled", Trouble::Throttled)
    } else if unknown_id {
        Miss::retry(
            "the id is unknown to the agent: the task was replaced, or the URI is stale",
            Trouble::UnknownId,
        )
    } else if matches!(status, 500 | 502 | 503 | 504) {
        Miss::retry("an error", Trouble::EndpointError)
    } else {
        Miss::no("an error", Trouble::EndpointError)
    };
    miss.saying(detail)
}

/// `code` and `message` of a JSON error, their names matched without regard to case.
fn reported(body: &[u8]) -> (Option<String>, Option<String>) {
    let fields: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(body).unwrap_or_default();
    let text = |wanted: &str| {
        fields
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .and_then(|(_, value)| value.as_str())
            .map(ToOwned::to_owned)
    };
    (text("code"), text("message"))
}

/// What a server says of itself, fit to be shown: nothing that holds the path, an id from it, the token,
/// or anything that looks like the rest of its own answer's secrets.
fn told(
    code: Option<&str>,
    message: Option<&str>,
    endpoint: &Endpoint,
    token: Option<&Secret>,
    answer: &Answer,
) -> String {
    let mut secrets = vec![endpoint.path().clone()];
    secrets.extend(
        endpoint
            .path()
            .expose()
            .split(['/', '?', '&', '='])
            .filter(|part| part.len() >= SHORTEST_ID)
            .map(Secret::new),
    );
    secrets.extend(token.cloned());
    secrets.extend(document::keys_in(&answer.body));
    let shown = |text: Option<&str>| {
        text.and_then(|text| command::foreign(text, &secrets))
            .filter(|text| !text.is_empty())
    };
    match (shown(code), shown(message)) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => String::new(),
    }
}

fn unreachable(fault: Fault, endpoint: &Endpoint) -> Miss {
    let what = fault.in_words();
    if let Fault::TooLarge(_) = fault {
        return Miss::no(what, Trouble::DocumentInvalid);
    }
    let remedy = match fault {
        Fault::Connect(_) if endpoint.host().is_loopback() => {
            format!(
                "The host is a loopback address, and inside a container that is the container itself: use {DIND}, \
                 which runs on the runner"
            )
        }
        Fault::ConnectTimeout => {
            "On an ECS instance this is what an `--internal` docker network or `route_localnet=0` look like: \
             check that containers of this job's network reach 169.254.170.2"
                .to_owned()
        }
        _ => "Check that the agent runs and that containers reach it".to_owned(),
    };
    Miss {
        remedy,
        ..Miss::retry(what, Trouble::EndpointUnreachable)
    }
}

impl Miss {
    fn retry(what: impl Into<String>, trouble: Trouble) -> Self {
        let remedy = match trouble {
            Trouble::Throttled => {
                "Too many requests at once from this instance: raise `retry-max-attempts` and `timeout`, or start fewer jobs at a time"
            }
            Trouble::UnknownId => {
                "Take the URI from the task that runs now; a URI that was saved outlives no task"
            }
            Trouble::Expired => {
                "The agent has not renewed them: look at its log on the instance, and at the instance's clock"
            }
            Trouble::AccountsDisagree => {
                "An endpoint that contradicts itself is not to be trusted: find out what answers at that address"
            }
            _ => "Look at the agent's log on the instance",
        };
        Self {
            trouble,
            what: what.into(),
            detail: String::new(),
            remedy: remedy.to_owned(),
            again: true,
        }
    }

    fn no(what: impl Into<String>, trouble: Trouble) -> Self {
        Self {
            again: false,
            ..Self::retry(what, trouble)
        }
    }

    fn saying(self, detail: String) -> Self {
        Self { detail, ..self }
    }

    fn in_brackets(&self) -> String {
        if self.detail.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.detail)
        }
    }

    fn after(self, attempts: u32) -> anyhow::Error {
        let times = match attempts {
            1 => "1 attempt".to_owned(),
            n => format!("{n} attempts"),
        };
        self.trouble.because(format!(
            "asked the endpoint for credentials: {} after {times}{}. {}",
            self.what,
            self.in_brackets(),
            self.remedy
        ))
    }
}

fn out_of_time(attempts: u32, last: Option<Miss>) -> anyhow::Error {
    match last {
        Some(miss) => Miss {
            what: format!(
                "the time that `timeout` allows was used up; the last answer was: {}",
                miss.what
            ),
            ..miss
        }
        .after(attempts),
        None => Miss::no(
            "the time that `timeout` allows was used up before there was an answer",
            Trouble::EndpointUnreachable,
        )
        .after(attempts),
    }
}

fn longest_wait(attempt: u32) -> Duration {
    2u32.checked_pow(attempt - 1)
        .and_then(|factor| FIRST_WAIT.checked_mul(factor))
        .map_or(LONGEST_WAIT, |wait| wait.min(LONGEST_WAIT))
}

/// Full jitter: anything from nothing to all, so that many runs that were throttled together spread out.
///
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>
fn jitter(longest: Duration) -> Duration {
    // Without randomness the wait is the longest: slower, and never a failure.
    let share = getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX));
    longest.mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_series_waits_ten_seconds_or_more_on_average() {
        let longest: Duration = (1..8).map(longest_wait).sum();
        assert_eq!(longest, Duration::from_millis(23_750));
        assert!(longest / 2 >= Duration::from_secs(10));
        assert_eq!(longest_wait(100), LONGEST_WAIT);
    }

    #[test]
    fn a_wait_is_never_longer_than_the_longest() {
        for _ in 0..1000 {
            assert!(jitter(FIRST_WAIT) <= FIRST_WAIT);
        }
    }

    #[test]
    fn the_agents_code_is_found_whatever_its_case() {
        let body = br#"{"Code":"InvalidIdInRequest","MESSAGE":"no","HTTPErrorCode":400}"#;
        assert_eq!(
            reported(body),
            (Some("InvalidIdInRequest".into()), Some("no".into()))
        );
        assert_eq!(
            reported(b"You have reached maximum request limit."),
            (None, None)
        );
        assert_eq!(reported(br#"["code"]"#), (None, None));
    }
}
