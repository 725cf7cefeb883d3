//! Which addresses a request may go to.

use std::net::TcpListener;

use ecs_task_role::trouble::Trouble;

use crate::support::endpoint::{Document, Endpoint, answer};
use crate::support::isolation::isolated;
use crate::{fails, step};

const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";

/// Refused by both ways in, without a word of the URI's path.
fn refused(variable: &str, uri: &str, says: &[&str]) {
    let by_input = step().input("credentials-uri", uri);
    let by_env = step().env(variable, uri);
    for step in [by_input, by_env] {
        fails(&step, Trouble::EndpointNotAllowed, says).keeps_secret("MARKER");
    }
}

#[test]
fn a_path_can_not_choose_the_host() {
    for uri in [
        "@evil/MARKER",
        "//evil/MARKER",
        "///evil/MARKER",
        "/\\evil/MARKER",
        "\\\\evil\\MARKER",
        "/a\\MARKER",
        "/a\u{1}MARKER",
        "/a\nMARKER",
        "/a\tMARKER",
        "MARKER",
        "v2/credentials/MARKER",
        "?MARKER",
        "#MARKER",
        ":80/MARKER",
        "/",
    ] {
        refused(RELATIVE, uri, &[]);
    }
}

#[test]
fn an_address_that_no_agent_has_is_refused() {
    for uri in [
        "http://evil/MARKER",
        "http://169.254.169.254/latest/meta-data/MARKER",
        "http://169.254.170.3/MARKER",
        "http://169.254.170.2.evil.example/MARKER",
        "http://localhost.evil.example/MARKER",
        "http://evil.localhost/MARKER",
        "http://ip6-localhost/MARKER",
        "http://0.0.0.0/MARKER",
        "http://10.0.0.1/MARKER",
        "http://128.0.0.1/MARKER",
        "http://[::]/MARKER",
        "http://[::ffff:10.0.0.1]/MARKER",
        "http://[fd00:ec2::24]/MARKER",
        "http://[fd00:ec2::254]/MARKER",
        "ftp://127.0.0.1/MARKER",
        "file:///etc/MARKER",
        "unix:///var/run/MARKER",
    ] {
        refused(FULL, uri, &[]);
    }
}

#[test]
fn a_name_and_password_in_an_address_are_refused() {
    for uri in [
        "http://user@127.0.0.1/MARKER",
        "http://user:MARKER@127.0.0.1/",
        "http://@127.0.0.1/MARKER",
        "http://:@127.0.0.1/MARKER",
        "http://127.0.0.1:80@evil/MARKER",
        "http://127.0.0.1\\@evil/MARKER",
    ] {
        refused(FULL, uri, &[]);
    }
}

#[test]
fn an_address_without_a_host_is_refused() {
    for uri in [
        "http:////127.0.0.1/MARKER",
        "http:///127.0.0.1/MARKER",
        "http://?MARKER",
        "http://",
    ] {
        refused(FULL, uri, &["no host"]);
    }
}

#[test]
fn https_has_a_message_of_its_own() {
    for uri in [
        "https://127.0.0.1/MARKER",
        "https://evil/MARKER",
        "HTTPS://169.254.170.2/MARKER",
    ] {
        refused(FULL, uri, &["https"]);
    }
}

#[test]
fn each_variable_holds_its_own_kind_of_uri() {
    let endpoint = Endpoint::serving(&Document::default());
    let url = endpoint.url("/MARKER");
    let full_as_relative = step().env(RELATIVE, &url);
    fails(&full_as_relative, Trouble::EndpointNotAllowed, &[RELATIVE]).keeps_secret("MARKER");
    let relative_as_full = step().env(FULL, "/MARKER");
    fails(&relative_as_full, Trouble::EndpointNotAllowed, &[FULL]).keeps_secret("MARKER");
    assert_eq!(endpoint.requests().len(), 0);
}

#[test]
fn loopback_by_its_numbers_or_its_one_name_is_allowed() {
    let endpoint = Endpoint::serving(&Document::default());
    let port = endpoint.addr().port();
    let other = TcpListener::bind(("127.8.9.10", port)).unwrap();
    let other = Endpoint::on(other, |_, stream| {
        answer::ok(stream, &Document::default().json())
    });
    step()
        .input("credentials-uri", format!("http://127.8.9.10:{port}/x"))
        .run()
        .succeeded();
    assert_eq!(other.requests().len(), 1);
    for host in ["127.0.0.1", "localhost", "LocalHost"] {
        step()
            .input("credentials-uri", format!("http://{host}:{port}/x"))
            .run()
            .succeeded();
    }
    assert_eq!(endpoint.requests().len(), 3);
}

#[test]
fn a_loopback_endpoint_that_refuses_is_explained() {
    let refused = |uri: &str| {
        let step = step()
            .input("credentials-uri", uri)
            .input("retry-max-attempts", "1");
        fails(
            &step,
            Trouble::EndpointUnreachable,
            &["loopback", "container itself"],
        )
        .keeps_secret("MARKER");
    };
    // An address at which nothing else on the machine listens.
    refused("http://127.87.12.1:9/MARKER");
    isolated(
        module_path!(),
        "a_loopback_endpoint_that_refuses_is_explained",
        || refused("http://localhost/MARKER"),
    );
}

#[test]
fn the_ipv6_loopback_is_allowed() {
    // Where the machine has no IPv6, the address is tried even so, and nothing answers.
    match TcpListener::bind("[::1]:0") {
        Ok(listener) => {
            let port = listener.local_addr().unwrap().port();
            let endpoint = Endpoint::on(listener, |_, stream| {
                answer::ok(stream, &Document::default().json())
            });
            step()
                .input("credentials-uri", format!("http://[::1]:{port}/x"))
                .run()
                .succeeded();
            assert_eq!(endpoint.requests().len(), 1);
        }
        Err(_) => {
            let step = step()
                .input("credentials-uri", "http://[::1]:9/x")
                .input("retry-max-attempts", "1");
            fails(&step, Trouble::EndpointUnreachable, &[]);
        }
    }
}
