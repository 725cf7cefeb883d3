//! The least that a program can do to fetch credentials and hand them on: no check, no mask, no retry, no limit.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::TcpStream;

/// One GET; the body.
pub fn get(mut stream: impl Read + Write, host: &str, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "));
    answer
}

/// Asks `address` for `path`, and appends three lines to the file behind `GITHUB_ENV`.
pub fn hand_on(address: &str, path: &str) {
    let document = get(TcpStream::connect(address).unwrap(), address, path);
    let value = |name: &str| {
        let (_, rest) = document.split_once(&format!("\"{name}\":\"")).unwrap();
        rest.split_once('"').unwrap().0
    };
    let lines = format!(
        "AWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}\nAWS_SESSION_TOKEN={}\n",
        value("AccessKeyId"),
        value("SecretAccessKey"),
        value("Token")
    );
    OpenOptions::new()
        .append(true)
        .open(std::env::var_os("GITHUB_ENV").unwrap())
        .unwrap()
        .write_all(lines.as_bytes())
        .unwrap();
}
