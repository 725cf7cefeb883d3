//! A marker in everything that is secret, and a search for it everywhere it must not be.

use std::process::Stdio;

use crate::step;
use crate::support::endpoint::{Document, Endpoint, Keys, answer};
use crate::support::step::Step;

const MARKER: &str = "PLANTEDMARKER";

/// A step in which everything that is secret, or none of anyone's business, holds the marker.
fn planted(endpoint: &Endpoint) -> Step {
    [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_SECURITY_TOKEN",
        "AWS_ACCESS_KEY",
        "AWS_SECRET_KEY",
        "ACTIONS_RUNTIME_TOKEN",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        "ACCESS_TOKEN",
        "MY_SECRET",
    ]
    .iter()
    .fold(step(), |step, name| {
        step.env(*name, format!("{name}-{MARKER}"))
    })
    .env(
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        endpoint.url(&format!("/v2/credentials/{MARKER}?id={MARKER}")),
    )
    .env("RUNNER_DEBUG", "1")
    .input("summary", "true")
    .input("retry-max-attempts", "2")
}

/// With a token and without: then the path itself is the secret.
fn both_ways(endpoint: &Endpoint, check: impl Fn(Step)) {
    check(planted(endpoint));
    check(planted(endpoint).env(
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        format!("token-{MARKER}"),
    ));
}

#[test]
fn a_good_run_tells_no_secret() {
    let document = Document::new(&Keys::marked(MARKER))
        .with("Other", MARKER)
        .json();
    let endpoint = Endpoint::start(move |_, stream| {
        answer::raw(stream, format!("HTTP/1.1 200 {MARKER}\r\nServer: {MARKER}\r\nX-{MARKER}: {MARKER}\r\n\r\n{document}").as_bytes())
    });
    for export in ["keys", "none"] {
        both_ways(&endpoint, |step| {
            let outcome = step
                .input("export", export)
                .input("output-credentials", "true")
                .run();
            outcome.succeeded().keeps_secret(MARKER);
        });
    }
    both_ways(&endpoint, |step| {
        step.input("dry-run", "true")
            .run()
            .succeeded()
            .untouched()
            .keeps_secret(MARKER);
    });
}

#[test]
fn a_failed_run_tells_no_secret() {
    let keys = Document::new(&Keys::marked(MARKER));
    let bodies = [
        ("200 OK", keys.clone().without("Expiration").json()),
        ("200 OK", keys.clone().with("Expiration", MARKER).json()),
        (
            "200 OK",
            keys.clone().with("Token", format!("{MARKER}\n")).json(),
        ),
        ("200 OK", keys.clone().expiring_in(-5).json()),
        (
            "200 OK",
            keys.clone()
                .with("Code", "Failed")
                .with("Message", format!("x {MARKER}ID"))
                .json(),
        ),
        ("200 OK", keys.clone().account("210987654321").json()),
        ("200 OK", keys.json().replace("{", &format!("{{{MARKER}"))),
        ("200 OK", format!("{{\"AccessKeyId\":\"{MARKER}")),
        ("200 OK", MARKER.repeat(10_000)),
        ("403 No", format!("no {MARKER}")),
        ("403 No", format!(r#"{{"detail":"{MARKER}"}}"#)),
        (
            "403 No",
            format!(r#"{{"code":"/v2/credentials/{MARKER}?id={MARKER}"}}"#),
        ),
        ("429 No", format!("no {MARKER}")),
        ("500 No", format!("no {MARKER}")),
        ("302 No", format!("no {MARKER}")),
    ];
    for (status, body) in bodies {
        let endpoint = Endpoint::start(move |_, stream| {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nServer: {MARKER}\r\nLocation: /{MARKER}\r\nRetry-After: {MARKER}\r\nContent-Length: {length}\r\n\r\n"
            );
            answer::raw(stream, (head + &body).as_bytes())
        });
        both_ways(&endpoint, |step| {
            let outcome = step.run().untouched().keeps_secret(MARKER);
            assert_eq!(outcome.code(), 1, "{outcome}");
            outcome.error();
        });
    }
}

#[test]
fn a_broken_connection_tells_no_secret() {
    for end in [
        answer::reset as fn(&mut std::net::TcpStream) -> std::io::Result<()>,
        |stream| answer::raw(stream, format!("HTTP/9.9 {MARKER}\r\n\r\n").as_bytes()),
        |stream| {
            answer::raw(
                stream,
                format!("HTTP/1.1 200 OK\r\n{MARKER}\r\n\r\n").as_bytes(),
            )
        },
        |stream| {
            answer::raw(
                stream,
                format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{MARKER}\r\n")
                    .as_bytes(),
            )
        },
    ] {
        let endpoint = Endpoint::start(move |_, stream| end(stream));
        both_ways(&endpoint, |step| {
            let outcome = step.run().untouched().keeps_secret(MARKER);
            assert_eq!(outcome.code(), 1, "{outcome}");
        });
    }
}

#[test]
fn an_unfit_source_tells_no_secret() {
    for (name, value) in [
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            format!("http://evil/{MARKER}"),
        ),
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            format!("https://127.0.0.1/{MARKER}"),
        ),
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            format!("http://{MARKER}@127.0.0.1/"),
        ),
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            format!("http://127.0.0.1:{MARKER}/"),
        ),
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            format!("http:// {MARKER}"),
        ),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", MARKER.to_owned()),
        (
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            format!("@evil/{MARKER}"),
        ),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", format!("{MARKER}\n")),
    ] {
        let endpoint = Endpoint::serving(&Document::default());
        let outcome = planted(&endpoint)
            .env(name, &value)
            .run()
            .untouched()
            .keeps_secret(MARKER);
        assert_eq!(outcome.code(), 1, "{value}: {outcome}");
    }
    for (name, value) in [
        ("credentials-uri", format!("https://evil/{MARKER}")),
        ("authorization-token", format!("{MARKER}\r")),
    ] {
        let endpoint = Endpoint::serving(&Document::default());
        let step = step()
            .input("credentials-uri", endpoint.url("/"))
            .input(name, &value);
        let outcome = step.run().untouched().keeps_secret(MARKER);
        assert_eq!(outcome.code(), 1, "{value}: {outcome}");
    }
}

#[test]
fn no_path_and_no_home_is_needed() {
    let endpoint = Endpoint::serving(&Document::default());
    let step = step()
        .input("credentials-uri", endpoint.url("/creds"))
        .without_env("PATH")
        .without_env("HOME");
    let status = step.command().stdout(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(0));
}
