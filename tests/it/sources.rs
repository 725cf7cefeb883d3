//! Where the endpoint comes from: the inputs, then the environment, each taken whole.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use ecs_task_role::trouble::Trouble;

use crate::support::endpoint::{Document, Endpoint, Keys, answer};
use crate::support::isolation::{add_address, isolated};
use crate::support::step::File;
use crate::{agent, fails, fails_once, step, step_at};

const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";

fn good() -> Endpoint {
    Endpoint::serving(&Document::default())
}

/// The only `Authorization` of the only request.
fn authorization(endpoint: &Endpoint) -> Option<String> {
    let requests = endpoint.requests();
    assert_eq!(requests.len(), 1);
    requests[0].header("Authorization").map(str::to_owned)
}

#[test]
fn an_input_names_the_endpoint_and_its_token() {
    let endpoint = good();
    let outcome = step_at(&endpoint)
        .input("authorization-token", "abc/DEF==")
        .run()
        .succeeded();
    assert_eq!(outcome.output.get("source").as_deref(), Some("input"));
    assert_eq!(authorization(&endpoint).as_deref(), Some("abc/DEF=="));
    assert_eq!(endpoint.requests()[0].target, "/creds");
}

#[test]
fn a_full_uri_of_the_environment_names_the_endpoint_and_its_token() {
    let endpoint = good();
    let outcome = step()
        .env(FULL, endpoint.url("/v1/credentials?a=b%20c"))
        .env(TOKEN, "Bearer x")
        .run()
        .succeeded();
    assert_eq!(outcome.output.get("source").as_deref(), Some("environment"));
    assert_eq!(authorization(&endpoint).as_deref(), Some("Bearer x"));
    assert_eq!(endpoint.requests()[0].target, "/v1/credentials?a=b%20c");
}

#[test]
fn a_path_is_asked_for_at_the_agents_address() {
    isolated(
        module_path!(),
        "a_path_is_asked_for_at_the_agents_address",
        || {
            add_address("169.254.170.2/32");
            let agent = agent();
            let path = "/v2/credentials/5f3c1d9e-0b7a-4c6e-9a51-7b2f8d3e4a60";
            step().input("credentials-uri", path).run().succeeded();
            step().env(RELATIVE, path).run().succeeded();
            let targets: Vec<String> = agent.requests().into_iter().map(|r| r.target).collect();
            assert_eq!(targets, [path, path]);
            assert_eq!(agent.requests()[0].header("Host"), Some("169.254.170.2"));
        },
    );
}

#[test]
fn the_relative_uri_comes_before_the_full_one() {
    isolated(
        module_path!(),
        "the_relative_uri_comes_before_the_full_one",
        || {
            add_address("169.254.170.2/32");
            let (agent, other) = (agent(), good());
            step()
                .env(RELATIVE, "/v2/credentials/one")
                .env(FULL, other.url("/"))
                .run()
                .succeeded();
            assert_eq!(agent.requests().len(), 1);
            assert_eq!(other.requests().len(), 0);
        },
    );
}

#[test]
fn the_inputs_come_before_the_environment() {
    let (chosen, other) = (good(), good());
    let outcome = step_at(&chosen).env(FULL, other.url("/")).run().succeeded();
    assert_eq!(outcome.output.get("source").as_deref(), Some("input"));
    assert_eq!((chosen.requests().len(), other.requests().len()), (1, 0));
}

#[test]
fn a_source_that_is_there_but_invalid_is_never_skipped_for_the_next() {
    let next = good();
    let bad_input = step()
        .input("credentials-uri", "no-slash")
        .env(FULL, next.url("/"));
    fails(
        &bad_input,
        Trouble::EndpointNotAllowed,
        &["credentials-uri"],
    );
    let bad_relative = step().env(RELATIVE, "no-slash").env(FULL, next.url("/"));
    fails(&bad_relative, Trouble::EndpointNotAllowed, &[RELATIVE]);
    let bad_file = step()
        .env(FULL, next.url("/"))
        .env(TOKEN_FILE, "/no/such/file")
        .env(TOKEN, "good");
    fails(
        &bad_file,
        Trouble::TokenUnfit,
        &[TOKEN_FILE, "No such file"],
    );
    assert_eq!(next.requests().len(), 0);
}

#[test]
fn a_token_of_the_environment_never_goes_with_the_uri_of_the_inputs() {
    for (name, value) in [(TOKEN, "MARKER"), (TOKEN_FILE, "/no/such/file")] {
        let endpoint = good();
        step_at(&endpoint).env(name, value).run().succeeded();
        assert_eq!(authorization(&endpoint), None, "{name}");
    }
}

#[test]
fn a_token_without_a_uri_in_the_inputs_is_an_error() {
    let endpoint = good();
    let step = step()
        .input("authorization-token", "MARKER")
        .env(FULL, endpoint.url("/"));
    fails(
        &step,
        Trouble::InvalidInput,
        &["authorization-token", "credentials-uri"],
    )
    .keeps_secret("MARKER");
    assert_eq!(endpoint.requests().len(), 0);
}

#[test]
fn a_token_alone_in_the_environment_is_ignored_with_a_line_in_the_log() {
    for (name, value) in [(TOKEN, "MARKER"), (TOKEN_FILE, "/no/such/file")] {
        let outcome = fails(&step().env(name, value), Trouble::NoSource, &[]);
        assert!(outcome.log().contains(name), "{outcome}");
        outcome.keeps_secret("MARKER");
    }
}

#[test]
fn a_token_file_comes_before_a_token() {
    let endpoint = good();
    let step = step().env(FULL, endpoint.url("/")).env(TOKEN, "value");
    let file = step.folder().join("token");
    fs::write(&file, "from-the-file").unwrap();
    step.env(TOKEN_FILE, &file).run().succeeded();
    assert_eq!(authorization(&endpoint).as_deref(), Some("from-the-file"));
}

#[test]
fn an_empty_variable_or_input_counts_as_unset() {
    let endpoint = good();
    step()
        .input("credentials-uri", "")
        .input("authorization-token", "")
        .input("aws-region", "")
        .env(RELATIVE, "")
        .env(FULL, endpoint.url("/"))
        .env(TOKEN_FILE, "")
        .env(TOKEN, "value")
        .run()
        .succeeded();
    assert_eq!(authorization(&endpoint).as_deref(), Some("value"));

    let endpoint = good();
    step()
        .env(FULL, endpoint.url("/"))
        .env(TOKEN, "")
        .run()
        .succeeded();
    assert_eq!(authorization(&endpoint), None);

    fails(
        &step().env(RELATIVE, "").env(FULL, ""),
        Trouble::NoSource,
        &[],
    );
}

#[test]
fn no_source_at_all_names_the_three_remedies() {
    fails(
        &step(),
        Trouble::NoSource,
        &["hook", "dind", "credentials-uri"],
    );
}

#[test]
fn a_token_is_sent_as_it_is() {
    for token in [" padded ", "a\tb", "ünï", "Bearer a.b.c", &"x".repeat(8000)] {
        let endpoint = good();
        step_at(&endpoint)
            .input("authorization-token", token)
            .run()
            .succeeded();
        let sent = authorization(&endpoint).unwrap();
        // The endpoint reads bytes as Latin-1.
        let expected: String = token.bytes().map(char::from).collect();
        assert_eq!(sent, expected);
    }
}

#[test]
fn a_token_with_a_line_break_is_an_error() {
    let endpoint = good();
    for token in ["MARKER\n", "MARKER\rx", "\r\nX-Evil: MARKER"] {
        let by_input = step_at(&endpoint).input("authorization-token", token);
        let by_env = step().env(FULL, endpoint.url("/")).env(TOKEN, token);
        for step in [by_input, by_env] {
            fails(&step, Trouble::TokenUnfit, &["line break"]).keeps_secret("MARKER");
        }
    }
    for content in ["MARKER\n", "MARKER\r", "MARKER\0"] {
        with_token_file(&endpoint, content.as_bytes(), |step| {
            fails(&step, Trouble::TokenUnfit, &["token file"]).keeps_secret("MARKER");
        });
    }
    assert_eq!(endpoint.requests().len(), 0);
}

fn with_token_file(
    endpoint: &Endpoint,
    content: &[u8],
    test: impl FnOnce(crate::support::step::Step),
) {
    let step = step().env(FULL, endpoint.url("/"));
    let file = step.folder().join("token");
    fs::write(&file, content).unwrap();
    test(step.env(TOKEN_FILE, file));
}

#[test]
fn a_token_file_is_at_most_16_kib() {
    let endpoint = good();
    with_token_file(&endpoint, &[b'x'; 16 * 1024], |step| {
        step.run().succeeded();
    });
    assert_eq!(authorization(&endpoint).unwrap().len(), 16 * 1024);
    with_token_file(&endpoint, &[b'x'; 16 * 1024 + 1], |step| {
        fails(&step, Trouble::TokenUnfit, &["16 KiB"]);
    });
    assert_eq!(endpoint.requests().len(), 1);
}

#[test]
fn a_token_file_that_is_no_regular_file_is_an_error_and_never_a_hang() {
    let endpoint = good();
    let make_pipe = |path: &Path| {
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
    };
    let start = || step().env(FULL, endpoint.url("/"));
    let pipe = start();
    let path = pipe.folder().join("pipe");
    make_pipe(&path);
    let pipe = pipe.env(TOKEN_FILE, &path);
    fails(&pipe, Trouble::TokenUnfit, &[]);
    // With a writer, and a token in it, it is still none.
    let mut writer = fs::File::options()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    writer.write_all(b"token").unwrap();
    fails(&pipe, Trouble::TokenUnfit, &["regular file"]);
    let folder = start();
    let path = folder.folder().to_owned();
    fails(&folder.env(TOKEN_FILE, path), Trouble::TokenUnfit, &[]);
    for device in ["/dev/zero", "/dev/null"] {
        fails(
            &start().env(TOKEN_FILE, device),
            Trouble::TokenUnfit,
            &[TOKEN_FILE, "regular file"],
        );
    }
    fails(
        &start().env(TOKEN_FILE, "/no/such/file"),
        Trouble::TokenUnfit,
        &[TOKEN_FILE, "No such file"],
    );
    assert_eq!(endpoint.requests().len(), 0);
}

#[test]
fn a_token_file_may_be_a_link_as_in_eks() {
    let endpoint = good();
    let step = step().env(FULL, endpoint.url("/"));
    let (file, link) = (step.folder().join("..data"), step.folder().join("token"));
    fs::write(&file, "mounted").unwrap();
    symlink(&file, &link).unwrap();
    step.env(TOKEN_FILE, link).run().succeeded();
    assert_eq!(authorization(&endpoint).as_deref(), Some("mounted"));
}

#[test]
fn a_token_file_is_read_anew_for_each_attempt_and_each_token_is_masked() {
    let step = step();
    let file = step.folder().join("token");
    fs::write(&file, "first-token").unwrap();
    let rotated = file.clone();
    let endpoint = Endpoint::start(move |request, stream| {
        if request.number == 0 {
            fs::write(&rotated, "second-token").unwrap();
            return answer::with(stream, "503 Later", "text/plain", "");
        }
        answer::ok(stream, &Document::default().json())
    });
    let outcome = step
        .env(FULL, endpoint.url("/"))
        .env(TOKEN_FILE, file)
        .run()
        .succeeded()
        .keeps_secret("first-token")
        .keeps_secret("second-token");
    let sent: Vec<String> = endpoint
        .requests()
        .iter()
        .map(|request| request.header("Authorization").unwrap().to_owned())
        .collect();
    assert_eq!(sent, ["first-token", "second-token"]);
    for token in sent {
        assert!(outcome.masks().contains(&token));
    }
}

#[test]
fn whoever_can_not_hand_on_credentials_asks_for_none() {
    let endpoint = Endpoint::start(|request, stream| {
        answer::ok(stream, &Document::new(&Keys::number(request.number)).json())
    });
    for file in [File::Env, File::Output] {
        let step = step_at(&endpoint).deleting(file);
        fails_once(&step, Trouble::RunnerFileMissing, &[file.variable()]);
        assert!(!step.path(file).exists(), "the file was created");
    }
    assert_eq!(endpoint.requests().len(), 0);
}
