//! Who tests the testers: the endpoint says what it is told to say.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::endpoint::{Document, Endpoint, Keys, answer, rfc3339};

/// One request by hand; the bytes of the answer.
fn get(endpoint: &Endpoint, target: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(endpoint.addr())?;
    stream.write_all(
        format!("GET {target} HTTP/1.1\r\nHost: x\r\nX-Thing: a b\r\n\r\n").as_bytes(),
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

#[test]
fn the_endpoint_records_what_came_and_sends_what_it_was_told() {
    let endpoint = Endpoint::start(|request, stream| {
        let body = Document::new(&Keys::number(request.number)).json();
        answer::ok(stream, &body)
    });
    let first = String::from_utf8(get(&endpoint, "/v2/credentials/a?b=c").unwrap()).unwrap();
    let second = String::from_utf8(get(&endpoint, "/d").unwrap()).unwrap();
    assert!(first.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(first.contains(&Keys::number(0).secret));
    assert!(second.contains(&Keys::number(1).secret));
    let requests = endpoint.requests();
    assert_eq!(requests[0].target, "/v2/credentials/a?b=c");
    assert_eq!(requests[0].method, "GET");
    assert_eq!(requests[1].number, 1);
    assert_eq!(requests[1].header("x-thing"), Some("a b"));
}

#[test]
fn the_endpoint_can_reset_a_connection() {
    let endpoint = Endpoint::start(|_, stream| answer::reset(stream));
    let error = get(&endpoint, "/").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn the_endpoint_sends_in_pieces_and_in_chunks() {
    let endpoint = Endpoint::start(|request, stream| match request.number {
        0 => answer::drip(
            stream,
            b"HTTP/1.1 200 OK\r\n\r\nabc",
            7,
            Duration::from_millis(1),
        ),
        1 => answer::chunked(stream, "abcde", 2),
        _ => answer::truncated(stream, "abcde", 3),
    });
    assert_eq!(get(&endpoint, "/").unwrap(), b"HTTP/1.1 200 OK\r\n\r\nabc");
    assert!(
        get(&endpoint, "/")
            .unwrap()
            .ends_with(b"\r\n2\r\nab\r\n2\r\ncd\r\n1\r\ne\r\n0\r\n\r\n")
    );
    assert!(
        get(&endpoint, "/")
            .unwrap()
            .ends_with(b"Content-Length: 5\r\nConnection: close\r\n\r\nabc")
    );
}

#[test]
fn an_endpoint_that_is_dropped_listens_no_more() {
    let endpoint = Endpoint::start(|_, stream| answer::ok(stream, "{}"));
    let addr = endpoint.addr();
    drop(endpoint);
    assert!(TcpStream::connect(addr).is_err());
}

#[test]
fn moments_are_written_as_the_agent_writes_them() {
    assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
    assert_eq!(rfc3339(951_827_696), "2000-02-29T12:34:56Z");
    assert_eq!(rfc3339(1_767_225_599), "2025-12-31T23:59:59Z");
    assert_eq!(rfc3339(1_795_507_200), "2026-11-24T08:00:00Z");
}
