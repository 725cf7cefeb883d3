//! Asks the endpoint for credentials, and asks again where that may help.
//!
//! What an agent answers: `agent/handlers` of [amazon-ecs-agent](https://github.com/aws/amazon-ecs-agent). It
//! throttles (429 in plain text), says 503 or `InvalidIdInRequest` while it restarts (some 10 s), and has
//! been seen to serve expired credentials.

use super::document::{self, TaskCredentials};
use super::endpoint::Endpoint;
use super::miss::Miss;
use super::report::{Report, secrets_in};
use super::token::Token;
use crate::http::{Answer, Client, Limits};
use crate::secret::Secret;
use crate::workflow::channel::Channel;
use reqwest::header::HeaderValue;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, sleep, timeout_at};
use zeroize::Zeroizing;

/// One attempt, from the connection to the last byte.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(5),
    body: 64 * 1024,
};

/// The longest wait before the second attempt; it doubles from there on.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// Where the doubling ends. With full jitter a series of 8 attempts waits 11.25 s on average, and at most 22.5 s.
///
/// Sooner and with a longer tail is worse where many runs are throttled together: of 200 at once, the last would come
/// through after more than twice the time that the agent's 40 a second need (docs/benchmarks.md).
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// On what terms the endpoint is asked.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// When it must be over.
    pub deadline: Instant,
    /// Whether account and role are hidden in the log.
    pub mask_owner: bool,
}

/// Credentials that have not expired; every token and key is masked as soon as it is known.
///
/// An error is the last attempt's, with the number of attempts, or the token file's.
pub async fn credentials(
    client: &Client,
    endpoint: &Endpoint,
    terms: Terms,
    channel: &mut Channel,
) -> anyhow::Result<TaskCredentials> {
    let mut hidden = Vec::new();
    let mut last = None;
    let mut attempt = 1;
    loop {
        let token = endpoint.token.as_ref().map(Token::read).transpose()?;
        if let Some(token) = &token {
            channel.mask_once(token);
            hidden.push(token.clone());
            hidden.push(Secret::new(token.expose().trim()));
        }
        channel.flush()?;
        let asked = ask(client, endpoint, token.as_ref());
        let outcome = match timeout_at(terms.deadline, asked).await {
            Ok(answer) => {
                answer.and_then(|answer| read(&answer, endpoint, terms, &mut hidden, channel))
            }
            Err(_) => return Err(Miss::out_of_time(attempt, last)),
        };
        let miss = match outcome {
            Ok(credentials) => return Ok(credentials),
            Err(miss) => miss,
        };
        if !miss.again || attempt >= terms.attempts {
            return Err(miss.after(attempt));
        }
        let wait = jitter(longest_wait(attempt), share());
        channel.say(&format!(
            "attempt {attempt} of {}: {}; the next in {:.1} s",
            terms.attempts,
            miss.in_words(),
            wait.as_secs_f32()
        ));
        channel.flush()?;
        if timeout_at(terms.deadline, sleep(wait)).await.is_err() {
            return Err(Miss::out_of_time(attempt, Some(miss)));
        }
        last = Some(miss);
        attempt += 1;
    }
}

async fn ask(client: &Client, endpoint: &Endpoint, token: Option<&Secret>) -> Result<Answer, Miss> {
    let authorization = token.map(header).transpose()?;
    client
        .get(endpoint.url().expose(), authorization, LIMITS)
        .await
        .map_err(|fault| Miss::unreachable(fault, endpoint))
}

fn header(token: &Secret) -> Result<HeaderValue, Miss> {
    let mut value =
        HeaderValue::from_bytes(token.expose().as_bytes()).map_err(|_| Miss::token())?;
    value.set_sensitive(true);
    Ok(value)
}

/// What the answer means. Whatever it is, its keys are masked, and no later message may hold a text of it.
fn read(
    answer: &Answer,
    endpoint: &Endpoint,
    terms: Terms,
    hidden: &mut Vec<Secret>,
    channel: &mut Channel,
) -> Result<TaskCredentials, Miss> {
    let outcome = if (200..300).contains(&answer.status) {
        document::parse(&answer.body).map_err(Some)
    } else {
        Err(None)
    };
    let credentials = match outcome {
        Ok(credentials) => credentials,
        Err(flaw) => {
            let report = Report::read(&answer.body);
            for key in &report.keys {
                channel.mask(key.expose());
            }
            let said = report.in_words(&[hidden.as_slice(), &hidden_in(endpoint)].concat());
            hidden.extend(report.secrets().cloned());
            return Err(match flaw {
                Some(flaw) => Miss::document(flaw, said),
                None => Miss::status(answer.status, &report, &said),
            });
        }
    };
    let secrets = secrets_of(&credentials, terms);
    for secret in &secrets {
        channel.mask(secret);
    }
    if credentials.expiration.left(SystemTime::now()).is_zero() {
        hidden.extend(secrets.into_iter().map(Secret::new));
        return Err(Miss::expired(&credentials.expiration));
    }
    Ok(credentials)
}

/// What the log must not show of credentials.
fn secrets_of(credentials: &TaskCredentials, terms: Terms) -> Vec<&str> {
    let keys = &credentials.keys;
    let mut secrets = vec![
        keys.secret_access_key(),
        keys.session_token().unwrap_or_default(),
        keys.access_key_id(),
    ];
    if terms.mask_owner {
        secrets.extend(credentials.account.iter().map(|account| account.as_str()));
        secrets.extend(credentials.role.iter().map(|role| role.as_str()));
    }
    secrets
}

/// What of the URI no message of a server may hold: the path, an id in it, as given and as sent.
fn hidden_in(endpoint: &Endpoint) -> Vec<Secret> {
    let mut hidden = Vec::new();
    for path in [endpoint.path(), endpoint.path_as_given()] {
        let text = path.expose();
        let decoded = percent_decoded(text);
        hidden.push(path.clone());
        for text in [text, decoded.as_str()] {
            hidden.extend(secrets_in(text.split(['/', '?', '&', '='])));
        }
    }
    hidden
}

/// A server may say an id as it understood it.
fn percent_decoded(text: &str) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match (byte, digit(ahead.next()), digit(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(16 * high + low).unwrap_or(b'?'));
                rest = ahead;
            }
            (byte, ..) => bytes.push(byte),
        }
    }
    Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned())
}

fn longest_wait(attempt: u32) -> Duration {
    2u32.checked_pow(attempt - 1)
        .and_then(|factor| FIRST_WAIT.checked_mul(factor))
        .map_or(LONGEST_WAIT, |wait| wait.min(LONGEST_WAIT))
}

/// Full jitter: anything from nothing to all, so that many runs that were throttled together spread out.
///
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>
fn jitter(longest: Duration, share: u32) -> Duration {
    longest.mul_f64(f64::from(share) / f64::from(u32::MAX))
}

/// Without randomness the wait is the longest: slower, and never a failure.
fn share() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_series_waits_ten_seconds_or_more_on_average() {
        let longest: Duration = (1..8).map(longest_wait).sum();
        assert_eq!(longest, Duration::from_millis(22_500));
        assert!(longest / 2 >= Duration::from_secs(10));
        assert_eq!(longest_wait(100), LONGEST_WAIT);
    }

    #[test]
    fn a_wait_is_any_share_of_the_longest() {
        assert_eq!(jitter(FIRST_WAIT, 0), Duration::ZERO);
        assert_eq!(jitter(FIRST_WAIT, u32::MAX), FIRST_WAIT);
        let half = jitter(FIRST_WAIT, u32::MAX / 2);
        assert!(
            half.abs_diff(FIRST_WAIT / 2) < Duration::from_millis(1),
            "{half:?}"
        );
        let shares: Vec<_> = (0..8).map(|_| share()).collect();
        assert!(
            shares.windows(2).any(|pair| pair[0] != pair[1]),
            "{shares:?}"
        );
    }

    #[test]
    fn an_id_is_known_as_a_server_understands_it() {
        assert_eq!(*percent_decoded("/a%27b%2Fc%zz%4"), *"/a'b/c%zz%4");
    }

    #[test]
    fn an_attempt_has_five_seconds_and_64_kib() {
        assert_eq!((LIMITS.time.as_secs(), LIMITS.body), (5, 65536));
    }
}
