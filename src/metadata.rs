//! The one GET for the task's ARN, where nothing else knows the region.
//!
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4.html>: the task's
//! document is at `${ECS_CONTAINER_METADATA_URI_V4}/task`. `Cluster` may be a short name and
//! `AvailabilityZone` may be missing, so the region is that of `TaskARN`.

use crate::http::{Client, Limits};
use reqwest::Url;
use serde::Deserialize;
use std::time::Duration;

/// One attempt; the region is worth no more.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(2),
    body: 1024 * 1024,
};

#[derive(Deserialize)]
struct Task {
    #[serde(rename = "TaskARN")]
    task_arn: String,
}

/// The ARN of the task that `base` belongs to; the error is why there is none, for a line in the log.
pub async fn task_arn(client: &Client, base: &str) -> Result<String, String> {
    let url = task_url(base)?;
    let answer = client
        .get(url.as_str(), None, LIMITS)
        .await
        .map_err(|fault| fault.in_words())?;
    if answer.status != 200 {
        return Err(format!("status {}", answer.status));
    }
    let task: Task = serde_json::from_slice(&answer.body)
        .map_err(|_| "the answer has no `TaskARN`".to_owned())?;
    Ok(task.task_arn)
}

/// Only the agent's own address, and only its metadata: the variable could hold anything.
fn task_url(base: &str) -> Result<Url, String> {
    let refused = || {
        Err(
            "the variable does not hold http://169.254.170.2 with a path under /v3/ or /v4/"
                .to_owned(),
        )
    };
    let base = base.trim_end_matches('/');
    if !base.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
        return refused();
    }
    if base.ends_with("/v3") || base.ends_with("/v4") {
        return refused();
    }
    let Ok(url) = Url::parse(&format!("{base}/task")) else {
        return refused();
    };
    let path = url.path();
    let is_metadata = url.scheme() == "http"
        && url.host_str() == Some("169.254.170.2")
        && url.port().is_none()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && (path.starts_with("/v3/") || path.starts_with("/v4/"));
    if is_metadata { Ok(url) } else { refused() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metadata_has_two_seconds() {
        assert_eq!(LIMITS.time.as_secs(), 2);
    }

    #[test]
    fn only_the_agents_metadata_is_asked() {
        for (base, url) in [
            (
                "http://169.254.170.2/v4/abc",
                "http://169.254.170.2/v4/abc/task",
            ),
            (
                "http://169.254.170.2/v3/abc/",
                "http://169.254.170.2/v3/abc/task",
            ),
            (
                "http://169.254.170.2:80/v4/abc",
                "http://169.254.170.2/v4/abc/task",
            ),
        ] {
            assert_eq!(task_url(base).unwrap().as_str(), url);
        }
        for bad in [
            "",
            "/v4/abc",
            "http://169.254.170.2",
            "http://169.254.170.2/v4",
            "http://169.254.170.2/v4/",
            "http://169.254.170.2/v2/credentials/abc",
            "http://169.254.170.2/v4/../v2/credentials/abc",
            "http://169.254.170.2/v4/%2e%2e/v2/abc",
            "http://169.254.170.2/v4/abc?x=",
            "http://169.254.170.2/v4/abc#",
            "http://169.254.170.2/v4/abc\\x",
            "http://169.254.170.2/v4/a bc",
            "http://u@169.254.170.2/v4/abc",
            "http://169.254.170.2:81/v4/abc",
            "https://169.254.170.2/v4/abc",
            "http://169.254.169.254/v4/abc",
            "http://evil/v4/abc",
        ] {
            assert!(task_url(bad).is_err(), "{bad}");
        }
    }
}
