//! The one hardened HTTP client, and the one reader with a cap.
//!
//! reqwest follows proxies from the environment, redirects and referers, and waits and reads without
//! limit, unless it is told otherwise: here it is told otherwise, once, for every request there is.

use reqwest::RequestBuilder;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::redirect::Policy;
use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;
use zeroize::Zeroizing;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(2);

/// A client that goes nowhere but where it is sent.
#[derive(Clone, Debug)]
pub struct Client(reqwest::Client);

/// What may be spent on one request.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the connection to the last byte of the body.
    pub time: Duration,
    /// Bytes of body.
    pub body: usize,
}

/// Status and whole body. The body may hold keys, so its memory is wiped.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, no longer than the limit.
    pub body: Zeroizing<Vec<u8>>,
}

/// Why there is no [`Answer`]. Holds neither URL nor header nor body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No connection came about; the operating system's error number, where there is one.
    Connect(Option<i32>),
    /// No connection came about in time.
    ConnectTimeout,
    /// The answer was not complete in time.
    Timeout,
    /// The body was larger than the limit, in bytes.
    TooLarge(usize),
    /// The connection ended early, or what came was not HTTP.
    Broken(Option<i32>),
}

impl Fault {
    /// The fault in words, for the middle of a sentence.
    pub fn in_words(self) -> String {
        let os = |code: Option<i32>| {
            code.map(|code| format!(": {}", io::Error::from_raw_os_error(code)))
                .unwrap_or_default()
        };
        match self {
            Self::Connect(code) => format!("no connection{}", os(code)),
            Self::ConnectTimeout => format!("no connection within {} s", CONNECT.as_secs()),
            Self::Timeout => "no complete answer in time".to_owned(),
            Self::TooLarge(limit) => format!("the answer is larger than {} KiB", limit / 1024),
            Self::Broken(code) => format!(
                "the connection ended early, or the answer is not HTTP{}",
                os(code)
            ),
        }
    }
}

impl Client {
    /// A client over TCP that presents itself as `user_agent`.
    pub fn over_tcp(user_agent: &str) -> reqwest::Result<Self> {
        // One request to one host, or a retry after a pause: a kept connection would only be in the way.
        // Nor does it live long enough to be kept alive.
        Self::hardened(|builder| {
            builder
                .user_agent(user_agent)
                .pool_max_idle_per_host(0)
                .tcp_keepalive(None)
                .tcp_keepalive_interval(None)
                .tcp_keepalive_retries(None)
                .tcp_user_timeout(None)
        })
    }

    /// A client that sends every request through the unix socket at `path`.
    pub fn over_socket(path: &Path) -> reqwest::Result<Self> {
        Self::hardened(|builder| builder.unix_socket(path))
    }

    fn hardened(
        with: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> reqwest::Result<Self> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that builds a client"
        )]
        let builder = reqwest::Client::builder();
        with(
            builder
                .no_proxy()
                .redirect(Policy::none())
                .referer(false)
                .connect_timeout(CONNECT),
        )
        .build()
        .map(Self)
    }

    /// One GET for JSON, with `authorization` sent verbatim.
    pub async fn get(
        &self,
        url: &str,
        authorization: Option<HeaderValue>,
        limits: Limits,
    ) -> Result<Answer, Fault> {
        let mut request = self
            .0
            .get(url)
            .header(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(token) = authorization {
            request = request.header(AUTHORIZATION, token);
        }
        timeout(limits.time, whole(request, limits.body))
            .await
            .unwrap_or(Err(Fault::Timeout))
    }
}

/// The answer, read to its end.
async fn whole(request: RequestBuilder, most: usize) -> Result<Answer, Fault> {
    let mut response = request.send().await.map_err(|error| fault(&error))?;
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(|error| fault(&error))? {
        if body.len() + chunk.len() > most {
            return Err(Fault::TooLarge(most));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer {
        status: response.status().as_u16(),
        body,
    })
}

/// What of reqwest's error may be told: its Display names the URL, so nothing of its text is kept.
fn fault(error: &reqwest::Error) -> Fault {
    let mut source = error.source();
    let mut code = None;
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            code = io.raw_os_error().or(code);
        }
        source = cause.source();
    }
    match (error.is_connect(), error.is_timeout()) {
        (true, true) => Fault::ConnectTimeout,
        (true, false) => Fault::Connect(code),
        (false, true) => Fault::Timeout,
        (false, false) => Fault::Broken(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_two_seconds() {
        assert_eq!(Fault::ConnectTimeout.in_words(), "no connection within 2 s");
    }

    #[test]
    fn a_fault_says_what_the_system_said_and_what_the_limit_was() {
        let refused = Fault::Connect(Some(libc::ECONNREFUSED)).in_words();
        assert!(refused.contains("Connection refused"), "{refused}");
        assert_eq!(Fault::Connect(None).in_words(), "no connection");
        assert_eq!(
            Fault::TooLarge(64 * 1024).in_words(),
            "the answer is larger than 64 KiB"
        );
    }
}
