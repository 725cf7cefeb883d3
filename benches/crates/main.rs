//! reqwest, tokio and serde_json, set as in `src/http.rs` and `src/main.rs`: one GET, three lines, and nothing else of what
//! the program does. What it takes longer than `minimal` is what those crates cost.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "no part of the program"
)]

use reqwest::header::ACCEPT;
use reqwest::redirect::Policy;
use serde::Deserialize;
use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    access_key_id: String,
    secret_access_key: String,
    token: String,
}

fn main() {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_io_events_per_tick(64)
        .build()
        .unwrap()
        .block_on(hand_on());
}

async fn hand_on() {
    let url = std::env::var("AWS_CONTAINER_CREDENTIALS_FULL_URI").unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(Duration::from_secs(2))
        .user_agent("ecs-task-role")
        .pool_max_idle_per_host(0)
        .tcp_keepalive(None)
        .tcp_keepalive_interval(None)
        .tcp_keepalive_retries(None)
        .tcp_user_timeout(None)
        .build()
        .unwrap();
    let request = client.get(url).header(ACCEPT, "application/json");
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success());
    let document: Document = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    let lines = format!(
        "AWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}\nAWS_SESSION_TOKEN={}\n",
        document.access_key_id, document.secret_access_key, document.token
    );
    OpenOptions::new()
        .append(true)
        .open(std::env::var_os("GITHUB_ENV").unwrap())
        .unwrap()
        .write_all(lines.as_bytes())
        .unwrap();
}
