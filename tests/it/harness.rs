//! Who tests the testers: the endpoint says what it is told to say, the readers read as the runner does.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::action;
use crate::support::endpoint::{Document, Endpoint, Keys, answer, rfc3339};
use crate::support::github::{
    FileError, Line, lines, log, masked, no_secret_outside_masks, pairs, pairs_until_error,
};

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

#[test]
fn files_are_read_as_the_runner_reads_them() {
    let read = |text: &str| pairs(text.as_bytes());
    let some = |list: &[(&str, &str)]| {
        Ok(list
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect())
    };
    assert_eq!(read(""), some(&[]));
    assert_eq!(
        read("\u{feff}A=1\n\n\nB= 2 \n"),
        some(&[("A", "1"), ("B", " 2 ")])
    );
    assert_eq!(read("A=1\r\n"), some(&[("A", "1\r")]));
    assert_eq!(read("A=b<<c"), some(&[("A", "b<<c")]));
    assert_eq!(read("A<<E=F\nx=y\n\nE=F\n"), some(&[("A", "x=y\n")]));
    assert_eq!(read("A<<E\nE\n"), some(&[("A", "")]));
    assert_eq!(read("A<<E\n E\nE \nE"), some(&[("A", " E\nE ")]));
    assert_eq!(read("A"), Err(FileError::InvalidFormat("A".into())));
    assert_eq!(read("=1"), Err(FileError::InvalidFormat("=1".into())));
    assert_eq!(read("A<<\n\n"), Err(FileError::InvalidFormat("A<<".into())));
    assert_eq!(
        pairs_until_error(b"A=1\nB<<E\nE\r\n"),
        (
            vec![("A".into(), "1".into())],
            Some(FileError::DelimiterNotFound("E".into()))
        )
    );
}

#[test]
fn commands_are_read_as_the_runner_reads_them() {
    let error = |title: Option<&str>, message: &str| Line::Annotation {
        kind: "error".into(),
        title: title.map(str::to_owned),
        message: message.into(),
    };
    for (line, meaning) in [
        ("  ::add-mask::a%25b%0Ac", Line::Mask("a%b\nc".into())),
        ("::add-mask::%250A", Line::Mask("%0A".into())),
        (
            "::error title=a%3Ab%2Cc,file=x::d: e",
            error(Some("a:b,c"), "d: e"),
        ),
        ("::ERROR::x", error(None, "x")),
        ("x ::error::y", Line::Plain("x ::error::y".into())),
        ("x ##[error]y", error(None, "y")),
        ("::nonsense::x", Line::Plain("::nonsense::x".into())),
        ("::error", Line::Plain("::error".into())),
        ("::group::x", Line::Group("x".into())),
        ("::endgroup::", Line::EndGroup),
        ("::debug::x", Line::Debug("x".into())),
        (
            "a##[set-env name=X]y",
            Line::Other {
                name: "set-env".into(),
                data: "y".into(),
            },
        ),
        ("", Line::Plain(String::new())),
    ] {
        assert_eq!(lines(format!("{line}\n").as_bytes()), [meaning], "{line}");
    }
    assert_eq!(lines(b"a\r::error::b").len(), 2);
}

#[test]
fn the_log_is_masked_from_the_next_line_on() {
    let stdout =
        b"key\n::add-mask::key%0Aother\n::add-mask::keys\nkeys key others\n::error title=t::key\n";
    assert_eq!(log(stdout, false), "key\n*** *** ***s\nError: ***\n");
    assert_eq!(masked("abcde", &["abc".into(), "bcd".into()]), "***e");
}

#[test]
fn a_leak_is_found_wherever_it_hides() {
    for leak in [
        "x MARK",
        "::error::MARK",
        "::group::a%4D\r\nMARK",
        "MARK::add-mask::x",
        "M%0AMARK",
    ] {
        assert!(
            no_secret_outside_masks(leak.as_bytes(), "MARK").is_err(),
            "{leak}"
        );
    }
    assert!(no_secret_outside_masks(b"::add-mask::MARK\nx\n", "MARK").is_ok());
}

#[test]
fn the_action_file_is_read_whole() {
    let inputs = action::inputs();
    assert_eq!(inputs[0].name, "aws-region");
    assert_eq!(inputs[0].default, None);
    assert_eq!(inputs[1].default.as_deref(), Some("keys"));
    assert!(inputs.iter().all(|input| input.description.len() > 10));
    let outputs = action::section(include_str!("../../action.yml"), "outputs");
    assert_eq!(outputs[0].name, "aws-account-id");
    assert_eq!(outputs.last().unwrap().name, "aws-session-token");
}
