//! The laws of `fuzz/laws.rs`, held against random values and against the seeds of the fuzz targets.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::select;

use crate::support::github;

#[path = "../../fuzz/laws.rs"]
mod laws;

/// Texts of pieces that mean something to one of the readers, with others between them.
fn nasty(pieces: &'static [&'static str]) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => select(pieces).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => "[ -~]{0,6}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

const FOR_THE_RUNNER: &[&str] = &[
    "\n",
    "\r",
    "\r\n",
    " ",
    "\t",
    "%",
    "%25",
    "%0A",
    "%0D",
    "%3A",
    "%2C",
    "::",
    ":",
    "##",
    "##[",
    "#",
    "[",
    "]",
    "error",
    "add-mask",
    "set-env name=A",
    "stop-commands",
    "=",
    "<<",
    "<<EOF",
    "EOF",
    "A=b",
    "ghadelimiter_",
    "ghadelimiter_00000000000000000000000000000000",
    "\u{feff}",
    "\u{200b}",
    "\u{202e}",
    "\u{2028}",
    "\u{85}",
    "\0",
    "\u{7f}",
    "ä",
];

const FOR_A_URL: &[&str] = &[
    "/",
    "//",
    "\\",
    "?",
    "#",
    "@",
    ":",
    ":80",
    "[",
    "]",
    ".",
    "..",
    "/.",
    "/..",
    "%2f",
    "%2e",
    "%40",
    "%5c",
    "%00",
    "http:",
    "http://",
    "https://",
    "HTTP://",
    "169.254.170.2",
    "169.254.170.23",
    "169.254.169.254",
    "127.0.0.1",
    "127.1",
    "0x7f.1",
    "2130706433",
    "localhost",
    "[::1]",
    "[fd00:ec2::23]",
    "[::ffff:127.0.0.1]",
    "evil.example",
    "user",
    "u:p@",
    "v2",
    "credentials",
    "\t",
    "\n",
    "\r",
    " ",
    "\u{ff0f}",
    "\u{3002}",
    "\u{ad}",
    ";",
    ",",
    "*",
    "$",
];

const FOR_JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "1e999",
    "-",
    " ",
    "\n",
    "\"AccessKeyId\":\"AKID\",",
    "\"SecretAccessKey\":\"SECRET\",",
    "\"Token\":\"TOKEN\",",
    "\"Expiration\":\"2026-11-24T08:00:00Z\"",
    "\"Code\":",
    "\"Success\"",
    "\"Message\":\"m\",",
    "\"RoleArn\":\"arn:aws:iam::123456789012:role/x\",",
    "\"AccountId\":\"123456789012\",",
    "\"AccountId\":\"1\",",
    "\"Id\":",
    "\"Names\":",
    "\"State\":\"running\",",
    "\"Mounts\":",
    "\"Source\":\"/a\",",
    "\"Destination\":\"/a\"",
    "\"Processes\":",
    "[\"1\",\"docker run\"]",
    "\"Config\":{\"Env\":[\"A=b\"],\"Labels\":null}",
    "\"message\":\"m\"",
    "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"",
    "\u{feff}",
];

const FOR_MOUNTINFO: &[&str] = &[
    " ",
    "\n",
    "\r",
    "\t",
    "/",
    "1 2 3 ",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/resolv.conf",
    " /etc/hostname ",
    "/containers/",
    "containers",
    "/hostname",
    "/hosts",
    "/resolv.conf",
    "\\040",
    "//deleted",
    "812 793 254:0 ",
    "/var/lib/docker/containers/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/hostname",
    "/var/lib/docker/containers/fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210/hosts",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    " rw,relatime - ext4 /dev/vda rw",
    "1 2 3 /containers/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/hosts /etc/hosts rw\n",
    "1 2 3 /containers/fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210/hosts /etc/hosts rw\n",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_runner_reads_back_the_pairs_that_were_meant(
        bits in any::<u128>(),
        earlier in nasty(FOR_THE_RUNNER),
        values in prop::collection::vec(nasty(FOR_THE_RUNNER), 0..5),
    ) {
        laws::records(bits, &earlier, &values);
    }

    #[test]
    fn no_text_is_a_command_that_was_not_meant(
        text in nasty(FOR_THE_RUNNER),
        other in nasty(FOR_THE_RUNNER),
    ) {
        laws::commands(&text, &other);
        laws::commands(&format!("{other}{text}"), &other);
    }

    #[test]
    fn what_the_policy_admits_stays_where_it_leads(text in nasty(FOR_A_URL), path in nasty(FOR_A_URL)) {
        laws::endpoint(&text);
        laws::endpoint(&format!("/{path}"));
        for host in ["127.0.0.1", "169.254.170.2:80", "[fd00:ec2::23]", "localhost"] {
            laws::endpoint(&format!("http://{host}{path}"));
            laws::endpoint(&format!("http://{host}/{path}"));
        }
    }

    #[test]
    fn a_document_is_read_as_it_stands_or_not_at_all(text in nasty(FOR_JSON), bytes in any::<Vec<u8>>()) {
        laws::document(text.as_bytes());
        laws::document(format!("{{{text}}}").as_bytes());
        laws::document(&bytes);
    }

    #[test]
    fn an_engines_answer_is_read_as_it_stands_or_not_at_all(text in nasty(FOR_JSON), bytes in any::<Vec<u8>>()) {
        laws::engine(text.as_bytes());
        laws::engine(format!("{{{text}}}").as_bytes());
        laws::engine(format!("[{{{text}}}]").as_bytes());
        laws::engine(&bytes);
    }

    #[test]
    fn an_id_is_that_of_every_line_that_has_one(text in nasty(FOR_MOUNTINFO)) {
        laws::mountinfo(&text);
    }
}

/// Holds a law against each seed of a fuzz target. Of them all at least `met` are more than refused.
fn seeds(target: &str, met: usize, law: impl Fn(&[u8]) -> bool) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target);
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        count += usize::from(law(&fs::read(entry.unwrap().path()).unwrap()));
    }
    assert!(
        count >= met,
        "of the seeds of {target} only {count} are read"
    );
}

#[test]
fn the_seeds_of_the_fuzz_targets_obey_the_laws() {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    seeds("document", 3, laws::document);
    seeds("endpoint", 5, |bytes| laws::endpoint(&text(bytes)));
    seeds("engine", 5, laws::engine);
    seeds("mountinfo", 3, |bytes| laws::mountinfo(&text(bytes)));
}
