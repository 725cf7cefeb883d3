//! The request itself: what it says, what is asked again, what is not, and for how long.

use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use ecs_task_role::trouble::Trouble;

use crate::support::endpoint::{Document, Endpoint, Keys, Request, answer};
use crate::support::step::{Outcome, Step};
use crate::{fails, fails_once, outcome_of, step, step_at};

/// Asked once, whatever comes.
fn once_at(endpoint: &Endpoint) -> Step {
    step_at(endpoint).input("retry-max-attempts", "1")
}

/// An endpoint that does the first thing at the first request, and answers well from then on.
fn at_first(
    first: impl Fn(&mut std::net::TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
) -> Endpoint {
    Endpoint::start(move |request, stream| match request.number {
        0 => first(stream),
        n => answer::ok(stream, &Document::new(&Keys::number(n)).json()),
    })
}

/// The first answer is bad, the second good, and there are no more.
fn mended_by_the_second(endpoint: &Endpoint) -> Outcome {
    let outcome = step_at(endpoint).run().succeeded();
    assert_eq!(endpoint.requests().len(), 2, "{outcome}");
    let exported = outcome.env.get("AWS_ACCESS_KEY_ID");
    assert_eq!(exported, Some(Keys::number(1).id), "{outcome}");
    outcome
}

#[test]
fn the_request_asks_for_json_and_says_nothing_that_it_need_not() {
    let endpoint = Endpoint::serving(&Document::default());
    step_at(&endpoint).run().succeeded();
    let requests = endpoint.requests();
    let request = &requests[0];
    assert_eq!(request.method, "GET");
    assert_eq!(request.header("Accept"), Some("application/json"));
    assert_eq!(request.header("Host"), Some(&*endpoint.addr().to_string()));
    for absent in [
        "Referer",
        "Authorization",
        "Cookie",
        "Accept-Encoding",
        "Content-Length",
    ] {
        assert_eq!(request.header(absent), None, "{absent}");
    }
}

/// The User-Agent of a step with these variables; None takes a variable away.
fn user_agent(variables: &[(&str, Option<&str>)]) -> String {
    let endpoint = Endpoint::serving(&Document::default());
    let step = variables
        .iter()
        .fold(step_at(&endpoint), |step, (name, value)| match value {
            Some(value) => step.env(*name, value),
            None => step.without_env(name),
        });
    step.run().succeeded();
    let requests: Vec<Request> = endpoint.requests();
    requests[0].header("User-Agent").unwrap().to_owned()
}

const VERSION: &str = concat!("ecs-task-role/", env!("CARGO_PKG_VERSION"));

#[test]
fn the_user_agent_names_the_workflow_run() {
    assert_eq!(
        user_agent(&[]),
        format!("{VERSION} (octo-org/shop; run 9876543210.1; job deploy)")
    );
}

#[test]
fn a_part_of_the_user_agent_that_is_unset_or_unfit_is_left_out() {
    for bad in [
        None,
        Some(""),
        Some("a b"),
        Some("a\"b"),
        Some("a;b"),
        Some("a(b"),
        Some("ä"),
        Some("a\nb"),
    ] {
        assert_eq!(
            user_agent(&[("GITHUB_REPOSITORY", bad)]),
            format!("{VERSION} (run 9876543210.1; job deploy)"),
            "{bad:?}"
        );
        assert_eq!(
            user_agent(&[("GITHUB_JOB", bad)]),
            format!("{VERSION} (octo-org/shop; run 9876543210.1)"),
            "{bad:?}"
        );
        let without_run = user_agent(&[("GITHUB_RUN_ID", bad)]);
        assert_eq!(
            without_run,
            format!("{VERSION} (octo-org/shop; job deploy)"),
            "{bad:?}"
        );
        let without_attempt = user_agent(&[("GITHUB_RUN_ATTEMPT", bad)]);
        assert!(
            without_attempt.starts_with(&format!("{VERSION} (octo-org/shop; ")),
            "{without_attempt}"
        );
        assert!(
            without_attempt.ends_with("; job deploy)"),
            "{without_attempt}"
        );
    }
    let none = [
        "GITHUB_REPOSITORY",
        "GITHUB_JOB",
        "GITHUB_RUN_ID",
        "GITHUB_RUN_ATTEMPT",
    ];
    assert_eq!(user_agent(&none.map(|name| (name, None))), VERSION);
}

#[test]
fn a_variable_that_is_no_text_does_not_stand_in_the_way() {
    use std::os::unix::ffi::OsStrExt as _;
    let endpoint = Endpoint::serving(&Document::default());
    let step = step_at(&endpoint).env("GITHUB_JOB", std::ffi::OsStr::from_bytes(b"a\xff"));
    step.run().succeeded();
    let requests = endpoint.requests();
    let agent = requests[0].header("User-Agent").unwrap();
    assert_eq!(
        agent,
        format!("{VERSION} (octo-org/shop; run 9876543210.1)")
    );
}

#[test]
fn the_user_agent_is_at_most_256_characters() {
    let long = "x".repeat(300);
    for name in ["GITHUB_REPOSITORY", "GITHUB_JOB", "GITHUB_RUN_ID"] {
        let agent = user_agent(&[(name, Some(&long))]);
        assert!(agent.len() <= 256, "{} characters: {agent}", agent.len());
        assert!(agent.starts_with(VERSION), "{agent}");
    }
}

#[test]
fn no_proxy_of_any_variable_is_used() {
    let trap = Endpoint::serving(&Document::default());
    let endpoint = Endpoint::serving(&Document::default());
    let proxy = trap.url("");
    let names = [
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
        "HTTPS_PROXY",
        "https_proxy",
    ];
    let step = names
        .iter()
        .fold(step_at(&endpoint), |step, name| step.env(*name, &proxy));
    step.run().succeeded();
    assert_eq!((trap.requests().len(), endpoint.requests().len()), (0, 1));
}

#[test]
fn no_redirect_is_followed_nor_asked_again() {
    for status in [301, 302, 303, 307, 308] {
        let trap = Endpoint::serving(&Document::default());
        let location = trap.url("/MARKER");
        let endpoint =
            Endpoint::start(move |_, stream| answer::redirect(stream, status, &location));
        fails_once(
            &step_at(&endpoint),
            Trouble::EndpointError,
            &[&status.to_string()],
        )
        .keeps_secret("MARKER");
        assert_eq!((trap.requests().len(), endpoint.requests().len()), (0, 1));
    }
}

#[test]
fn what_may_pass_is_asked_again() {
    for status in [429, 500, 502, 503, 504] {
        mended_by_the_second(&at_first(move |stream| {
            answer::with(stream, &format!("{status} x"), "text/plain", "later")
        }));
    }
}

#[test]
fn an_agent_that_restarts_is_asked_again() {
    // Agents before 1.101.2 say this while they start.
    mended_by_the_second(&at_first(|stream| {
        answer::agent_error(stream, 400, "InvalidIdInRequest", "Credentials not found")
    }));
    mended_by_the_second(&at_first(|stream| {
        answer::agent_error(stream, 503, "CredentialsUninitialized", "not yet")
    }));
    mended_by_the_second(&at_first(|stream| {
        answer::with(
            stream,
            "400 x",
            "application/json",
            r#"{"Code":"InvalidIdInRequest","Message":"x"}"#,
        )
    }));
}

#[test]
fn a_connection_that_breaks_is_tried_again() {
    mended_by_the_second(&at_first(answer::reset));
    mended_by_the_second(&at_first(|_| Ok(())));
    mended_by_the_second(&at_first(|stream| {
        answer::raw(stream, b"HTTP/1.1 200 OK\r\nContent-Le")
    }));
    mended_by_the_second(&at_first(|stream| {
        answer::raw(
            stream,
            answer::head("200 OK", "application/json", 500).as_bytes(),
        )?;
        answer::reset(stream)
    }));
    mended_by_the_second(&at_first(|stream| {
        answer::truncated(stream, &Document::default().json(), 100)
    }));
    mended_by_the_second(&at_first(|stream| answer::raw(stream, b"SSH-2.0-x\r\n")));
}

#[test]
fn an_incomplete_document_is_asked_for_again() {
    let whole = Document::default().json();
    for body in [
        "",
        "{",
        "null",
        "[]",
        "{}",
        &whole[..whole.len() - 1],
        "\u{feff}{}",
    ] {
        let body = body.to_owned();
        mended_by_the_second(&at_first(move |stream| answer::ok(stream, &body)));
    }
    mended_by_the_second(&at_first(|stream| {
        answer::ok(stream, &Document::default().without("Token").json())
    }));
}

#[test]
fn expired_credentials_are_asked_for_again() {
    mended_by_the_second(&at_first(|stream| {
        answer::ok(stream, &Document::default().expiring_in(-5).json())
    }));
}

#[test]
fn a_silent_endpoint_is_asked_again() {
    mended_by_the_second(&at_first(answer::silence));
}

#[test]
fn an_endpoint_that_sends_a_byte_a_second_is_asked_again() {
    mended_by_the_second(&at_first(|stream| {
        let document = Document::default().json();
        let head = answer::head("200 OK", "application/json", document.len());
        answer::drip(
            stream,
            (head + &document).as_bytes(),
            1,
            Duration::from_secs(1),
        )
    }));
}

#[test]
fn an_agent_that_comes_back_at_the_same_address_is_found() {
    // An address of its own: at a port that was free a moment ago somebody else may listen by now.
    let addr = "127.87.12.2:8001";
    let step = step().input("credentials-uri", format!("http://{addr}/creds"));
    let mut running = step.start();
    running.wait_for_output("attempt 1 of 8");
    let endpoint = Endpoint::on(TcpListener::bind(addr).unwrap(), |_, stream| {
        answer::ok(stream, &Document::default().json())
    });
    running.finish().succeeded();
    assert_eq!(endpoint.requests().len(), 1);
}

#[test]
fn what_will_not_pass_is_asked_once() {
    for status in [400, 401, 403, 404, 405, 410, 418, 501, 505] {
        let endpoint = Endpoint::start(move |_, stream| {
            answer::with(stream, &format!("{status} x"), "text/plain", "no")
        });
        fails_once(
            &step_at(&endpoint),
            Trouble::EndpointError,
            &[&status.to_string()],
        );
        assert_eq!(endpoint.requests().len(), 1, "{status}");
    }
}

#[test]
fn a_document_that_reports_an_error_is_asked_for_once() {
    let document = Document::default()
        .with("Code", "AssumeRoleUnauthorizedAccess")
        .with("Message", "no trust");
    let endpoint = Endpoint::serving(&document);
    fails_once(
        &step_at(&endpoint),
        Trouble::EndpointError,
        &["AssumeRoleUnauthorizedAccess", "no trust"],
    );
    assert_eq!(endpoint.requests().len(), 1);
}

#[test]
fn a_life_shorter_than_the_minimum_is_asked_for_once() {
    let endpoint = Endpoint::serving(&Document::default().expiring_in(600));
    let step = step_at(&endpoint).input("minimum-lifetime", "3600");
    fails_once(&step, Trouble::LifeTooShort, &["minimum-lifetime", "3600"]);
    assert_eq!(endpoint.requests().len(), 1);
}

#[test]
fn a_body_is_at_most_64_kib() {
    let padded = |size: usize| {
        let document = Document::default().with("Padding", "");
        let length = document.json().len();
        document.with("Padding", "x".repeat(size - length)).json()
    };
    let exact = padded(64 * 1024);
    let endpoint = Endpoint::start(move |_, stream| answer::ok(stream, &exact));
    step_at(&endpoint).run().succeeded();

    for size in [64 * 1024 + 1, 1024 * 1024] {
        let body = padded(size);
        let chunks = body.clone();
        for endpoint in [
            Endpoint::start(move |_, stream| answer::ok(stream, &body)),
            Endpoint::start(move |_, stream| answer::chunked(stream, &chunks, 4096)),
        ] {
            fails_once(&step_at(&endpoint), Trouble::DocumentInvalid, &["64 KiB"]);
            assert_eq!(endpoint.requests().len(), 1, "{size}");
        }
    }
}

#[test]
fn a_body_without_end_is_left_at_64_kib() {
    let endpoint = Endpoint::start(|_, stream| {
        answer::raw(stream, b"HTTP/1.1 200 OK\r\n\r\n")?;
        loop {
            answer::raw(stream, &[b' '; 4096])?;
        }
    });
    fails_once(&once_at(&endpoint), Trouble::DocumentInvalid, &["64 KiB"]);
}

#[test]
fn an_answer_in_pieces_is_put_together() {
    let document = Document::default().json();
    let (slow, chunks) = (document.clone(), document);
    for endpoint in [
        Endpoint::start(move |_, stream| {
            let head = answer::head("200 OK", "application/json", slow.len());
            answer::drip(
                stream,
                (head + &slow).as_bytes(),
                11,
                Duration::from_millis(2),
            )
        }),
        Endpoint::start(move |_, stream| answer::chunked(stream, &chunks, 7)),
        Endpoint::start(|_, stream| {
            thread::sleep(Duration::from_millis(700));
            answer::ok(stream, &Document::default().json())
        }),
    ] {
        step_at(&endpoint).run().succeeded();
        assert_eq!(endpoint.requests().len(), 1);
    }
}

#[test]
fn a_throttled_run_says_so_and_after_how_many_attempts() {
    let endpoint = Endpoint::start(|_, stream| answer::throttled(stream));
    let step = step_at(&endpoint).input("retry-max-attempts", "3");
    fails_once(
        &step,
        Trouble::Throttled,
        &["throttled", "429", "after 3 attempts"],
    );
    assert_eq!(endpoint.requests().len(), 3);
}

#[test]
fn without_an_input_there_are_8_attempts() {
    let endpoint = Endpoint::start(|_, stream| answer::throttled(stream));
    let step = step_at(&endpoint).without_input("retry-max-attempts");
    fails_once(&step, Trouble::Throttled, &["after 8 attempts"]);
    assert_eq!(endpoint.requests().len(), 8);
}

#[test]
fn an_unknown_id_says_what_it_means() {
    let endpoint = Endpoint::start(|_, stream| {
        answer::agent_error(stream, 400, "InvalidIdInRequest", "Credentials not found")
    });
    let step = step_at(&endpoint).input("retry-max-attempts", "2");
    fails_once(
        &step,
        Trouble::UnknownId,
        &[
            "the id is unknown to the agent: the task was replaced, or the URI is stale",
            "InvalidIdInRequest",
            "400",
            "2 attempts",
        ],
    );
    assert_eq!(endpoint.requests().len(), 2);
}

#[test]
fn an_error_says_code_status_and_attempts() {
    for body in [
        r#"{"code":"SomeCode","message":"some words","HTTPErrorCode":503}"#,
        r#"{"Code":"SomeCode","Message":"some words"}"#,
        r#"{"CODE":"SomeCode","MESSAGE":"some words"}"#,
    ] {
        let endpoint = Endpoint::start(move |_, stream| {
            answer::with(stream, "503 x", "application/json", body)
        });
        let step = step_at(&endpoint).input("retry-max-attempts", "2");
        fails_once(
            &step,
            Trouble::EndpointError,
            &["SomeCode", "some words", "503", "2 attempts"],
        );
    }
}

#[test]
fn expired_credentials_are_never_exported() {
    for seconds in [-1, -3600, -10_000_000] {
        let endpoint = Endpoint::serving(&Document::default().expiring_in(seconds));
        fails(&once_at(&endpoint), Trouble::Expired, &["1 attempt"]);
    }
}

#[test]
fn the_timeout_ends_the_search_whatever_the_attempts() {
    let endpoint = Endpoint::start(|_, stream| answer::silence(stream));
    let step = step_at(&endpoint)
        .input("timeout", "1")
        .input("retry-max-attempts", "100");
    fails_once(&step, Trouble::EndpointUnreachable, &["timeout"]);
    assert_eq!(endpoint.requests().len(), 1);

    let endpoint = Endpoint::start(|_, stream| answer::throttled(stream));
    let step = step_at(&endpoint)
        .input("timeout", "2")
        .input("retry-max-attempts", "100");
    fails_once(&step, Trouble::Throttled, &["timeout", "429"]);
    assert!((2..30).contains(&endpoint.requests().len()));
}

#[test]
fn an_answer_of_another_type_is_judged_by_its_content() {
    let endpoint = Endpoint::start(|_, stream| {
        answer::with(stream, "200 OK", "text/html", "<html>MARKER</html>")
    });
    fails_once(&once_at(&endpoint), Trouble::DocumentInvalid, &[]).keeps_secret("MARKER");
    outcome_of(&Document::default()).succeeded();
}
