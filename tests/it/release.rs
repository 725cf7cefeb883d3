//! The release: what the scripts in `.ci/release` do to copies of this repository's real files, to a real
//! git remote, and to a real registry.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::image;
use crate::support::instance::{self, Instance, eventually, random_hex};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a release reads and writes, beside the sources.
const FILES: [&str; 10] = [
    "Cargo.toml",
    "Cargo.lock",
    "CHANGELOG.md",
    "Dockerfile",
    "README.md",
    "SECURITY.md",
    "action.yml",
    "dind/action.yml",
    ".github/ISSUE_TEMPLATE/bug.yml",
    ".github/ISSUE_TEMPLATE/config.yml",
];

/// The repository whose release is tested, as GitHub names it.
const REPOSITORY: &str = "Some-Owner/ecs-task-role";

/// In two parts, so that it still is one when the project has its name.
const PLACEHOLDER: &str = concat!("org", "/ecs-task-role");

fn real(file: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// An image's name with a digest of our own making.
fn pinned(digit: char) -> String {
    format!(
        "ghcr.io/some-owner/ecs-task-role@sha256:{}",
        digit.to_string().repeat(64)
    )
}

/// A checkout of the real files, and its `origin`.
struct Checkout {
    folder: TempDir,
}

impl Checkout {
    /// As `main` is just before a release: the section of the changelog has its date.
    fn new() -> Self {
        let checkout = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let scripts = checkout.path().join(".ci/release");
        fs::create_dir_all(&scripts).unwrap();
        for folder in ["dind", ".github/ISSUE_TEMPLATE"] {
            fs::create_dir_all(checkout.path().join(folder)).unwrap();
        }
        for script in fs::read_dir(Path::new(ROOT).join(".ci/release")).unwrap() {
            let script = script.unwrap();
            fs::copy(script.path(), scripts.join(script.file_name())).unwrap();
        }
        for file in FILES {
            checkout.write(file, &real(file));
        }
        let heading = format!("## [{VERSION}] - ");
        let changelog = real("CHANGELOG.md")
            .lines()
            .map(|line| match line.strip_prefix(&heading) {
                Some(_) => format!("{heading}2026-11-24\n"),
                None => format!("{line}\n"),
            })
            .collect::<String>();
        checkout.write("CHANGELOG.md", &changelog);
        checkout.git(&["init", "-q", "-b", "main", "."]);
        checkout.git(&["init", "-q", "--bare", "-b", "main", "origin.git"]);
        checkout.write(".git/info/exclude", "/origin.git\n/out\n");
        checkout.git(&["remote", "add", "origin", "./origin.git"]);
        checkout.commit("First");
        checkout
    }

    /// With the address of its own everywhere, as RELEASING.md says.
    fn renamed() -> Self {
        let checkout = Self::new();
        let address = env!("CARGO_PKG_REPOSITORY");
        let name = address.strip_prefix("https://github.com/").unwrap();
        for file in FILES {
            let text = checkout.read(file);
            checkout.write(file, &text.replace(name, REPOSITORY));
        }
        checkout
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path().join(file)).unwrap()
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.path().join(file), text).unwrap();
    }

    /// Replaces a text that has to be there.
    fn change(&self, file: &str, old: &str, new: &str) {
        let text = self.read(file);
        assert!(text.contains(old), "{file} has no {old:?}");
        self.write(file, &text.replace(old, new));
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
        self.git(&["push", "-q", "origin", "HEAD:main"]);
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.path())
            .env("GITHUB_REPOSITORY", REPOSITORY)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_NAME", "x")
            .env("GIT_AUTHOR_EMAIL", "x@example.invalid")
            .env("GIT_COMMITTER_NAME", "x")
            .env("GIT_COMMITTER_EMAIL", "x@example.invalid")
            .stdin(Stdio::null());
        command
    }

    fn git(&self, arguments: &[&str]) -> String {
        said(&succeeded(
            self.command("git").args(arguments).output().unwrap(),
        ))
    }

    /// What `git` says of the remote.
    fn origin(&self, arguments: &[&str]) -> String {
        let mut all = vec!["--git-dir", "origin.git"];
        all.extend(arguments);
        self.git(&all)
    }

    /// Which commit each name of the remote stands for.
    fn names(&self) -> BTreeMap<String, String> {
        self.origin(&["for-each-ref", "--format=%(refname) %(objectname)"])
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, commit)| (name.to_owned(), commit.to_owned()))
            .collect()
    }

    /// One of the scripts, ready to be run.
    fn script(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = self.command(self.path().join(".ci/release").join(name));
        command.args(arguments);
        command
    }

    /// One of the scripts, to its end.
    fn run(&self, name: &str, arguments: &[&str]) -> Output {
        self.script(name, arguments).output().unwrap()
    }
}

fn succeeded(output: Output) -> Output {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// What a script that has to fail said.
fn refused(output: &Output) -> String {
    assert!(
        !output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone())
        .unwrap()
        .trim_end()
        .to_owned()
}

// The version and the notes.

#[test]
fn a_version_that_all_files_agree_on_can_be_released() {
    succeeded(Checkout::renamed().run("check-version", &[VERSION]));
}

#[test]
fn a_version_that_one_file_does_not_name_is_refused() {
    type Break = fn(&Checkout);
    let cases: [(&str, Break); 5] = [
        ("Cargo.toml says 9.9.9", |checkout| {
            checkout.change(
                "Cargo.toml",
                &format!("version = \"{VERSION}\"\nedition"),
                "version = \"9.9.9\"\nedition",
            );
        }),
        ("Cargo.lock says 9.9.9", |checkout| {
            checkout.change(
                "Cargo.lock",
                &format!("name = \"ecs-task-role\"\nversion = \"{VERSION}\""),
                "name = \"ecs-task-role\"\nversion = \"9.9.9\"",
            );
        }),
        ("CHANGELOG.md has no section", |checkout| {
            checkout.change("CHANGELOG.md", &format!("## [{VERSION}]"), "## [9.9.9]");
        }),
        ("put the date there", |checkout| {
            checkout.change(
                "CHANGELOG.md",
                &format!("## [{VERSION}] - 2026-11-24"),
                &format!("## [{VERSION}] - unreleased"),
            );
        }),
        ("CHANGELOG.md says nothing", |checkout| {
            checkout.write(
                "CHANGELOG.md",
                &format!("# Changelog\n\n## [{VERSION}] - 2026-11-24\n\n\n## [0.1.0] - 2025-01-01\n\nFirst.\n"),
            );
        }),
    ];
    for (why, spoil) in cases {
        let checkout = Checkout::renamed();
        spoil(&checkout);
        let refusal = refused(&checkout.run("check-version", &[VERSION]));
        assert!(refusal.contains(why), "{why}: {refusal}");
    }
}

#[test]
fn all_that_is_wrong_with_a_version_is_said_at_once() {
    let refusal = refused(&Checkout::renamed().run("check-version", &["87.65.43"]));
    for file in ["Cargo.toml", "Cargo.lock", "CHANGELOG.md"] {
        assert!(refusal.contains(file), "{refusal}");
    }
}

#[test]
fn a_release_with_another_repositorys_address_is_refused() {
    let checkout = Checkout::renamed();
    // The placeholder is the end of this one.
    let longer = format!("some-{PLACEHOLDER}");
    for other in [longer.as_str(), "Some-Owner/other"] {
        let output = checkout
            .script("check-version", &[VERSION])
            .env("GITHUB_REPOSITORY", other)
            .output()
            .unwrap();
        let refusal = refused(&output);
        assert!(
            refusal.contains(&format!("not https://github.com/{other}")),
            "{refusal}"
        );
    }
    checkout.change("Cargo.toml", REPOSITORY, &longer);
    succeeded(
        checkout
            .script("check-version", &[VERSION])
            .env("GITHUB_REPOSITORY", &longer)
            .output()
            .unwrap(),
    );
    // By hand, before there is a pull request.
    succeeded(
        checkout
            .script("check-version", &[VERSION])
            .env_remove("GITHUB_REPOSITORY")
            .output()
            .unwrap(),
    );
    checkout.change("Cargo.toml", "\nrepository = ", "\nhomepage = ");
    let refusal = refused(&checkout.run("check-version", &[VERSION]));
    assert!(refusal.contains("repository is nowhere"), "{refusal}");
}

#[test]
fn a_release_with_the_placeholder_for_the_owner_is_refused() {
    for file in FILES {
        let checkout = Checkout::renamed();
        let text = checkout.read(file);
        checkout.write(
            file,
            &format!("{text}\n# https://github.com/{PLACEHOLDER}\n"),
        );
        for by_hand in [false, true] {
            let mut script = checkout.script("check-version", &[VERSION]);
            if by_hand {
                script.env_remove("GITHUB_REPOSITORY");
            }
            let refusal = refused(&script.output().unwrap());
            assert!(
                refusal.contains(&format!("still stands in {file}: see RELEASING.md")),
                "{refusal}"
            );
        }
    }
}

#[test]
fn what_is_no_version_is_refused_before_anything_else() {
    let checkout = Checkout::new();
    for version in [
        "",
        "v1.0.0",
        "1.0",
        "1.0.0.0",
        "01.0.0",
        "1.0.0-rc.1",
        "1.0.0 ",
        "1.0.0\n",
        ".*",
        "$(id)",
    ] {
        let refusal = refused(&checkout.run("check-version", &[version]));
        assert!(refusal.contains("is no version"), "{version:?}: {refusal}");
    }
}

#[test]
fn the_notes_are_the_section_of_the_version_alone() {
    let checkout = Checkout::new();
    checkout.write(
        "CHANGELOG.md",
        "# Changelog\n\n## [2.0.0] - 2027-01-01\n\nNew.\n\n## [1.2.3] - 2026-12-01\n\n### Added\n\n- One.\n\n- Two.\n\n\
         ## [1.2.30] - 2026-11-01\n\nOld.\n\n[1.2.3]: https://example.invalid\n",
    );
    let notes = |version| said(&succeeded(checkout.run("notes", &[version])));
    assert_eq!(notes("1.2.3"), "### Added\n\n- One.\n\n- Two.");
    assert_eq!(notes("1.2.30"), "Old.");
    refused(&checkout.run("notes", &["1.2"]));
    refused(&checkout.run("notes", &["1.2.4"]));
}

#[test]
fn the_notes_name_the_image_and_the_hashes_of_the_binaries() {
    let checkout = Checkout::new();
    let binaries = binaries(&checkout, b"amd", b"arm");
    let notes = said(&succeeded(
        checkout.run("notes", &[VERSION, &pinned('a'), &binaries]),
    ));
    // What `printf amd | sha256sum` says.
    let sum = "240389f4b730bad41f218a56c250ee7d82f42297ce7b9d0b6eb4f1cb3282c480";
    assert!(
        notes.contains(&format!("{sum}  ecs-task-role-linux-amd64\n")),
        "{notes}"
    );
    assert!(notes.contains("  ecs-task-role-linux-arm64\n"));
    assert!(notes.contains(&pinned('a')));
    assert!(notes.contains(&format!(
        "https://github.com/Some-Owner/ecs-task-role/blob/v{VERSION}/SECURITY.md#verify-a-release"
    )));
    let security = real("SECURITY.md");
    assert!(security.lines().any(|line| line == "## Verify a release"));
}

// The rewriting of the two actions.

#[test]
fn on_main_both_actions_build_their_image_from_the_checkout() {
    assert!(
        real("action.yml")
            .lines()
            .any(|line| line == "  image: Dockerfile")
    );
    let dind = real("dind/action.yml");
    let image = dind
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("ECS_TASK_ROLE_IMAGE: "));
    assert!(image.eq(["\"\""]), "{dind}");
}

#[test]
fn a_release_changes_one_line_of_each_action() {
    let checkout = Checkout::new();
    succeeded(checkout.run("pin", &[&pinned('a')]));
    let changed = |file: &str| {
        let (old, new) = (real(file), checkout.read(file));
        assert_eq!(old.lines().count(), new.lines().count());
        assert!(new.ends_with('\n') && !new.ends_with("\n\n"));
        let changed: Vec<String> = old
            .lines()
            .zip(new.lines())
            .filter(|(old, new)| old != new)
            .map(|(_, new)| new.to_owned())
            .collect();
        changed
    };
    let image = pinned('a');
    assert_eq!(
        changed("action.yml"),
        [format!("  image: docker://{image}")]
    );
    assert_eq!(
        changed("dind/action.yml"),
        [format!("        ECS_TASK_ROLE_IMAGE: {image}")]
    );
}

#[test]
fn an_image_without_a_digest_or_from_elsewhere_is_refused() {
    let digest = "a".repeat(64);
    let checkout = Checkout::new();
    for image in [
        "ghcr.io/owner/ecs-task-role:v1".to_owned(),
        "ghcr.io/owner/ecs-task-role".to_owned(),
        format!("ghcr.io/Owner/ecs-task-role@sha256:{digest}"),
        format!("ghcr.io/owner/other@sha256:{digest}"),
        format!("ghcr.io/owner/ecs-task-role@sha256:{digest}a"),
        format!("ghcr.io/owner/ecs-task-role@sha256:{}", &digest[1..]),
        format!("ghcr.io/owner/ecs-task-role@sha256:{digest}\n"),
        format!("docker.io/owner/ecs-task-role@sha256:{digest}"),
        format!("elsewhere.example/ghcr.io/owner/ecs-task-role@sha256:{digest}"),
        format!("ghcr.io/o|w&/ecs-task-role@sha256:{digest}"),
        String::new(),
    ] {
        refused(&checkout.run("pin", &[&image]));
        for file in ["action.yml", "dind/action.yml"] {
            assert_eq!(checkout.read(file), real(file), "{image:?}");
        }
    }
}

#[test]
fn an_action_that_has_changed_its_form_is_refused_as_a_whole() {
    type Break = fn(&Checkout);
    let cases: [Break; 4] = [
        |checkout| {
            checkout.change(
                "action.yml",
                "image: Dockerfile",
                "image: docker/Dockerfile",
            )
        },
        |checkout| {
            checkout.change(
                "action.yml",
                "image: Dockerfile",
                "image: Dockerfile\n  image: Dockerfile",
            );
        },
        |checkout| checkout.change("dind/action.yml", "ECS_TASK_ROLE_IMAGE: ", "OTHER: "),
        |checkout| {
            fs::remove_file(checkout.path().join("dind/action.yml")).unwrap();
        },
    ];
    for spoil in cases {
        let checkout = Checkout::new();
        spoil(&checkout);
        let before = checkout.git(&["diff"]);
        refused(&checkout.run("pin", &[&pinned('a')]));
        assert_eq!(checkout.git(&["diff"]), before);
    }
}

#[test]
fn the_image_is_named_after_the_owner_of_the_repository_in_lower_case() {
    let checkout = Checkout::new();
    assert_eq!(
        said(&succeeded(checkout.run("image-name", &[]))),
        "ghcr.io/some-owner/ecs-task-role"
    );
}

// The commit and the tags.

#[test]
fn a_release_is_a_commit_beside_main_that_differs_in_two_files() {
    let checkout = Checkout::new();
    let main = checkout.git(&["rev-parse", "HEAD"]);
    succeeded(checkout.run("commit", &["1.2.3", &pinned('a')]));
    let names = checkout.names();
    assert_eq!(names["refs/heads/main"], main);
    assert_eq!(names["refs/heads/release"], names["refs/tags/v1.2.3"]);
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(
        checkout.origin(&["diff", "--name-only", "main", "v1.2.3"]),
        "action.yml\ndind/action.yml"
    );
    assert_eq!(
        checkout.origin(&["show", "-s", "--format=%P", "v1.2.3"]),
        main
    );
    assert!(
        checkout
            .origin(&["show", "v1.2.3:action.yml"])
            .ends_with(&format!("  image: docker://{}", pinned('a')))
    );
    assert_eq!(checkout.git(&["status", "--porcelain"]), "");
    assert_eq!(checkout.git(&["rev-parse", "HEAD"]), main);
}

#[test]
fn the_next_release_is_built_on_the_one_before_without_force() {
    let checkout = Checkout::new();
    succeeded(checkout.run("commit", &["1.2.3", &pinned('a')]));
    let first = checkout.names()["refs/tags/v1.2.3"].clone();
    checkout.write("new", "");
    checkout.commit("Second");
    let main = checkout.git(&["rev-parse", "HEAD"]);
    succeeded(checkout.run("commit", &["1.2.4", &pinned('b')]));
    assert_eq!(
        checkout.origin(&["show", "-s", "--format=%P", "release"]),
        format!("{first} {main}")
    );
    assert_eq!(checkout.names()["refs/tags/v1.2.3"], first);
    assert_eq!(
        checkout.origin(&["diff", "--name-only", "main", "release"]),
        "action.yml\ndind/action.yml"
    );
}

#[test]
fn a_tag_is_made_once() {
    let checkout = Checkout::new();
    succeeded(checkout.run("commit", &["1.2.3", &pinned('a')]));
    let names = checkout.names();
    // A run that is started again after it failed further on.
    succeeded(checkout.run("commit", &["1.2.3", &pinned('a')]));
    assert_eq!(checkout.names(), names);
    let refusal = refused(&checkout.run("commit", &["1.2.3", &pinned('b')]));
    assert!(refusal.contains("a tag is made once"), "{refusal}");
    checkout.write("new", "");
    checkout.commit("Second");
    refused(&checkout.run("commit", &["1.2.3", &pinned('a')]));
    assert_eq!(
        checkout.names()["refs/tags/v1.2.3"],
        names["refs/tags/v1.2.3"]
    );
    assert_eq!(
        checkout.names()["refs/heads/release"],
        names["refs/heads/release"]
    );
}

#[test]
fn where_the_tag_is_refused_the_branch_stays_too() {
    let checkout = Checkout::new();
    let hook = checkout.path().join("origin.git/hooks/update");
    fs::write(&hook, "#!/bin/sh\ncase $1 in refs/tags/*) exit 1 ;; esac\n").unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    refused(&checkout.run("commit", &["1.2.3", &pinned('a')]));
    assert_eq!(checkout.names().len(), 1, "{:?}", checkout.names());
}

#[test]
fn what_is_not_committed_is_not_released() {
    let checkout = Checkout::new();
    checkout.change("action.yml", "Hands", "Gives");
    refused(&checkout.run("commit", &["1.2.3", &pinned('a')]));
    assert_eq!(checkout.names().len(), 1);
}

#[test]
fn the_major_tag_moves_forward_and_never_back() {
    let checkout = Checkout::new();
    let release = |version: &str, digit| {
        succeeded(checkout.run("commit", &[version, &pinned(digit)]));
        checkout.names()[&format!("refs/tags/v{version}")].clone()
    };
    let move_to = |version: &str| {
        succeeded(checkout.run("move-major", &[version]));
        checkout.names()["refs/tags/v1"].clone()
    };
    let first = release("1.9.0", 'a');
    assert_eq!(move_to("1.9.0"), first);
    let second = release("1.10.0", 'b');
    assert_eq!(move_to("1.10.0"), second);
    assert_eq!(move_to("1.9.0"), second);
    // Neither another major version nor one with the same beginning has a say.
    release("2.0.0", 'c');
    release("10.0.0", 'd');
    let third = release("1.10.1", 'e');
    assert_eq!(move_to("1.10.1"), third);
    refused(&checkout.run("move-major", &["1.11.0"]));
    assert_eq!(checkout.names()["refs/tags/v1"], third);
    assert!(!checkout.names().contains_key("refs/tags/v2"));
}

/// GitHub's client, as far as `publish` uses it: no test can have GitHub's side of a release. It keeps one
/// release in the file `state`, and writes down what it was told.
const GH: &str = r#"#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "$0")"
printf '%s\n' "$*" >>calls
case "$1 $2" in
    'release view') cat state ;;
    'release create') [ ! -e state ] && [[ " $* " == *' --draft '* ]] && echo true >state ;;
    'release edit') [ "$(cat state)" = true ] && [[ " $* " == *' --draft=false '* ]] && echo false >state ;;
    'release delete') rm state ;;
    'api repos/Some-Owner/ecs-task-role/releases/tags/'*) [ "$(cat state)" = false ] && cat immutable ;;
    *) exit 1 ;;
esac
"#;

/// Publishes 1.2.3, where GitHub is in this state, and gives back what it was told.
fn publish(checkout: &Checkout, state: Option<&str>, immutable: bool) -> (Output, Vec<String>) {
    let folder = checkout.path().join("out/gh");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let client = folder.join("gh");
    fs::write(&client, GH).unwrap();
    fs::set_permissions(&client, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.join("immutable"), format!("{immutable}\n")).unwrap();
    if let Some(state) = state {
        fs::write(folder.join("state"), format!("{state}\n")).unwrap();
    }
    let mut path = folder.clone().into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    let output = checkout
        .script("publish", &["1.2.3", "notes.md", "a", "b"])
        .env("PATH", path)
        .output()
        .unwrap();
    let calls = fs::read_to_string(folder.join("calls")).unwrap();
    let calls = calls
        .lines()
        .map(|call| call.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    (output, calls)
}

const LOOK_AGAIN: &str = "api repos/Some-Owner/ecs-task-role/releases/tags/v1.2.3";

#[test]
fn a_release_is_a_draft_with_all_files_until_it_is_published_as_immutable() {
    let checkout = Checkout::new();
    succeeded(checkout.run("commit", &["1.2.3", &pinned('a')]));
    let (output, calls) = publish(&checkout, None, true);
    succeeded(output);
    assert_eq!(
        calls,
        ["release view", "release create", "release edit", LOOK_AGAIN]
    );
    let calls = checkout.read("out/gh/calls");
    assert!(
        calls.contains(
            "release create v1.2.3 --draft --verify-tag --title 1.2.3 --notes-file notes.md a b\n"
        ),
        "{calls}"
    );
    assert!(calls.contains(" --latest=true\n"), "{calls}");
    assert_eq!(checkout.read("out/gh/state"), "false\n");
}

#[test]
fn a_draft_that_an_earlier_run_left_is_made_anew_and_a_release_is_left_alone() {
    let checkout = Checkout::new();
    succeeded(checkout.run("commit", &["1.2.3", &pinned('a')]));
    let (output, calls) = publish(&checkout, Some("true"), true);
    succeeded(output);
    assert_eq!(
        calls,
        [
            "release view",
            "release delete",
            "release create",
            "release edit",
            LOOK_AGAIN
        ]
    );
    let (output, calls) = publish(&checkout, Some("false"), true);
    succeeded(output);
    assert_eq!(calls, ["release view", LOOK_AGAIN]);
}

#[test]
fn a_release_that_could_still_be_changed_stops_the_workflow() {
    let checkout = Checkout::new();
    succeeded(checkout.run("commit", &["1.2.3", &pinned('a')]));
    let refusal = refused(&publish(&checkout, None, false).0);
    assert!(refusal.contains("not immutable"), "{refusal}");
}

#[test]
fn a_fix_for_an_older_version_is_not_the_latest_release() {
    let checkout = Checkout::new();
    for (version, digit) in [("1.2.3", 'a'), ("1.10.0", 'b')] {
        succeeded(checkout.run("commit", &[version, &pinned(digit)]));
    }
    succeeded(publish(&checkout, None, true).0);
    let calls = checkout.read("out/gh/calls");
    assert!(calls.contains(" --latest=false\n"), "{calls}");
}

// The image.

/// A folder with two files that stand for the binaries.
fn binaries(checkout: &Checkout, amd64: &[u8], arm64: &[u8]) -> String {
    let folder = checkout.path().join("out/dist");
    fs::create_dir_all(&folder).unwrap();
    // As an artifact's download leaves them: not executable.
    fs::write(folder.join("ecs-task-role-linux-amd64"), amd64).unwrap();
    fs::write(folder.join("ecs-task-role-linux-arm64"), arm64).unwrap();
    folder.to_str().unwrap().to_owned()
}

#[test]
fn the_checksums_name_each_file_once_and_never_themselves() {
    let checkout = Checkout::new();
    let folder = binaries(&checkout, b"amd", b"arm");
    let bill = format!("{folder}/ecs-task-role.cdx.json");
    let refusal = refused(&checkout.run("checksums", &[&folder]));
    assert!(refusal.contains("should hold"), "{refusal}");
    fs::write(&bill, "{}").unwrap();
    // The second time the list of the first is there.
    for _ in 0..2 {
        let printed = said(&succeeded(checkout.run("checksums", &[&folder])));
        let written = fs::read_to_string(format!("{folder}/SHA256SUMS")).unwrap();
        assert_eq!(written, printed + "\n");
        let names: Vec<_> = written.lines().map(|line| &line[66..]).collect();
        assert_eq!(
            names,
            [
                "ecs-task-role-linux-amd64",
                "ecs-task-role-linux-arm64",
                "ecs-task-role.cdx.json"
            ]
        );
        succeeded(
            checkout
                .command("sha256sum")
                .args(["--strict", "-c", "SHA256SUMS"])
                .current_dir(&folder)
                .output()
                .unwrap(),
        );
    }
    // A release holds what is in the folder, so nothing else may be.
    fs::write(format!("{folder}/other"), "").unwrap();
    let refusal = refused(&checkout.run("checksums", &[&folder]));
    assert!(refusal.contains("other"), "{refusal}");
}

#[test]
fn an_artifact_that_is_not_what_was_built_is_refused() {
    let checkout = Checkout::new();
    let folder = binaries(&checkout, b"amd", b"arm");
    let file = |name: &str| Path::new(&folder).join(name);
    fs::write(file("ecs-task-role.cdx.json"), "{}").unwrap();
    let sums = said(&succeeded(checkout.run("checksums", &[&folder])));
    let verify = || checkout.run("checksums", &[&folder, &sums]);
    succeeded(verify());

    // With a list that fits, as whoever puts another artifact there would write it.
    for name in ["ecs-task-role-linux-arm64", "ecs-task-role.cdx.json"] {
        let content = fs::read(file(name)).unwrap();
        fs::write(file(name), "tampered with").unwrap();
        succeeded(checkout.run("checksums", &[&folder]));
        let refusal = refused(&verify());
        assert!(refusal.contains("not hold what was built"), "{refusal}");
        fs::write(file(name), content).unwrap();
    }
    let refusal = refused(&verify());
    assert!(refusal.contains("SHA256SUMS is not the one"), "{refusal}");
    succeeded(checkout.run("checksums", &[&folder]));
    succeeded(verify());

    // What `publish` would send as well, and what it would not send.
    fs::write(file("other"), "").unwrap();
    refused(&verify());
    fs::remove_file(file("other")).unwrap();
    fs::remove_file(file("SHA256SUMS")).unwrap();
    refused(&verify());
    std::os::unix::fs::symlink("ecs-task-role.cdx.json", file("SHA256SUMS")).unwrap();
    let refusal = refused(&verify());
    assert!(refusal.contains("which is no file"), "{refusal}");

    // A job whose output is empty, since it was skipped or renamed.
    let refusal = refused(&checkout.run("checksums", &[&folder, ""]));
    assert!(!refusal.is_empty());
}

/// An assembled image, and its digest.
fn assemble(checkout: &Checkout, binaries: &str) -> (PathBuf, String) {
    let layout = checkout.path().join("out").join(random_hex(8));
    let digest = said(&succeeded(
        checkout.run("assemble", &[VERSION, binaries, layout.to_str().unwrap()]),
    ));
    (layout, digest)
}

fn blob(layout: &Path, digest: &Value) -> PathBuf {
    let digest = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
    layout.join("blobs/sha256").join(digest)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_image_has_the_program_alone_for_each_architecture() {
    let checkout = Checkout::new();
    let (layout, digest) = assemble(&checkout, &binaries(&checkout, b"amd", b"arm"));
    let index = json(&blob(&layout, &Value::from(digest)));
    let manifests = index["manifests"].as_array().unwrap();
    let architectures: Vec<_> = manifests
        .iter()
        .map(|manifest| manifest["platform"]["architecture"].as_str().unwrap())
        .collect();
    assert_eq!(architectures, ["amd64", "arm64"]);
    for (manifest, content) in manifests.iter().zip(["amd", "arm"]) {
        let architecture = &manifest["platform"]["architecture"];
        let manifest = json(&blob(&layout, &manifest["digest"]));
        let config = json(&blob(&layout, &manifest["config"]["digest"]));
        assert_eq!(&config["architecture"], architecture);
        assert_eq!(config["os"], "linux");
        assert!(real("Dockerfile").contains(&format!(
            "\nENTRYPOINT {}",
            config["config"]["Entrypoint"].to_string().trim()
        )));
        assert_eq!(
            config["config"]["Labels"]["org.opencontainers.image.source"],
            "https://github.com/Some-Owner/ecs-task-role"
        );
        let [layer] = manifest["layers"].as_array().unwrap().as_slice() else {
            panic!("{manifest}");
        };
        let layer = blob(&layout, &layer["digest"]);
        let listing = succeeded(
            checkout
                .command("tar")
                .args(["--numeric-owner", "-tvzf"])
                .arg(&layer)
                .output()
                .unwrap(),
        );
        let listing = said(&listing);
        assert!(listing.starts_with("-rwxr-xr-x 0/0 "), "{listing}");
        assert!(listing.ends_with(" ecs-task-role"), "{listing}");
        assert_eq!(listing.lines().count(), 1);
        let program = succeeded(
            checkout
                .command("tar")
                .arg("-xzOf")
                .arg(&layer)
                .output()
                .unwrap(),
        );
        assert_eq!(said(&program), content);
    }
}

#[test]
fn the_image_is_small() {
    let checkout = Checkout::new();
    let program = fs::read(image::static_binary()).unwrap();
    let (layout, _) = assemble(&checkout, &binaries(&checkout, &program, b"arm"));
    let largest = fs::read_dir(layout.join("blobs/sha256"))
        .unwrap()
        .map(|blob| blob.unwrap().metadata().unwrap().len())
        .max()
        .unwrap();
    assert!(program.len() < 1_500_000, "{} bytes", program.len());
    assert!(largest < 750_000, "{largest} bytes compressed");
}

#[test]
fn the_digest_depends_on_the_commit_and_the_binaries_alone() {
    let checkout = Checkout::new();
    let folder = binaries(&checkout, b"amd", b"arm");
    let (_, digest) = assemble(&checkout, &folder);

    // Elsewhere, later, with another umask, time zone and locale.
    let elsewhere = tempfile::tempdir().unwrap();
    checkout.git(&[
        "clone",
        "-q",
        "origin.git",
        elsewhere.path().to_str().unwrap(),
    ]);
    fs::write(format!("{folder}/ecs-task-role-linux-amd64"), b"amd").unwrap();
    let again = checkout
        .command("sh")
        .current_dir(elsewhere.path())
        .args(["-c", "umask 077 && exec .ci/release/assemble \"$@\"", "sh"])
        .args([VERSION, &folder, "layout"])
        .env("TZ", "Pacific/Chatham")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap();
    assert_eq!(said(&succeeded(again)), digest);

    fs::write(format!("{folder}/ecs-task-role-linux-arm64"), b"ARM").unwrap();
    assert_ne!(assemble(&checkout, &folder).1, digest);
}

#[test]
fn an_image_without_one_of_the_binaries_is_not_assembled() {
    let checkout = Checkout::new();
    let folder = binaries(&checkout, b"amd", b"arm");
    fs::remove_file(format!("{folder}/ecs-task-role-linux-arm64")).unwrap();
    let refusal = refused(&checkout.run("assemble", &[VERSION, &folder, "out/layout"]));
    assert!(refusal.contains("ecs-task-role-linux-arm64"), "{refusal}");
}

/// A registry on the instance's loopback, where Docker asks for no TLS.
struct Registry {
    process: Child,
    address: String,
}

impl Registry {
    /// The user and the password of a registry that is not open to all.
    const USER: &str = "maintainer";
    const PASSWORD: &str = "open-sesame";
    /// From `htpasswd -nbB -C 4 maintainer open-sesame`.
    const USERS: &str = "maintainer:$2y$04$4VMnCZ0O6uIs/f27RjoY4.SEl0Qi7p1xhr43bzaj2SrW93/T1aQsi\n";

    /// Starts one over what an earlier one has stored in `folder`.
    fn start(instance: &Instance, folder: &Path, port: u16, private: bool) -> Self {
        let address = format!("127.0.0.1:{port}");
        let users = folder.join("users");
        fs::write(&users, Self::USERS).unwrap();
        let mut configuration = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{address}\"}}\n",
            folder.join("data").display()
        );
        if private {
            configuration += &format!(
                "auth: {{htpasswd: {{realm: here, path: {}}}}}\n",
                users.display()
            );
        }
        let file = folder.join("registry.yml");
        fs::write(&file, configuration).unwrap();
        let process = instance
            .command("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self { process, address };
        eventually("an answer of the registry", || {
            // Anything over HTTP will do, 401 too.
            instance
                .command("curl")
                .args(["-s", "-o", "/dev/null"])
                .arg(format!("http://{}/v2/", registry.address))
                .status()
                .unwrap()
                .success()
                .then_some(())
        });
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A script on the instance, where the registry is.
fn on(instance: &Instance, checkout: &Checkout, script: &str, arguments: &[&str]) -> Output {
    instance
        .command(checkout.path().join(".ci/release").join(script))
        .args(arguments)
        .env("HOME", checkout.path())
        .env_remove("DOCKER_CONFIG")
        .output()
        .unwrap()
}

fn log_in(instance: &Instance, checkout: &Checkout, address: &str) {
    let mut client = instance
        .command("docker")
        .args(["login", "-u", Registry::USER, "--password-stdin", address])
        .env("HOME", checkout.path())
        .env_remove("DOCKER_CONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = client.stdin.take().unwrap();
    input.write_all(Registry::PASSWORD.as_bytes()).unwrap();
    drop(input);
    succeeded(client.wait_with_output().unwrap());
}

#[test]
fn a_release_stops_until_anyone_can_pull_its_image() {
    let Some(instance) = instance::get() else {
        return;
    };
    let checkout = Checkout::new();
    let program = fs::read(image::static_binary()).unwrap();
    let other = b"for another machine".as_slice();
    let folder = if std::env::consts::ARCH == "aarch64" {
        binaries(&checkout, other, &program)
    } else {
        binaries(&checkout, &program, other)
    };
    let (layout, digest) = assemble(&checkout, &folder);
    let store = tempfile::tempdir().unwrap();
    let port = 5000 + u16::from_str_radix(&random_hex(3), 16).unwrap();

    // As a package is when it is new: only whoever is logged in pushes and pulls.
    let private = Registry::start(instance, store.path(), port, true);
    let name = format!("{}/some-owner/ecs-task-role", private.address);
    let push = || {
        on(
            instance,
            &checkout,
            "push",
            &[layout.to_str().unwrap(), &name],
        )
    };
    refused(&push());
    log_in(instance, &checkout, &private.address);
    let image = said(&succeeded(push()));
    assert_eq!(image, format!("{name}@{digest}"));
    let refusal = refused(&on(instance, &checkout, "check-image", &[&image, &folder]));
    assert!(
        refusal.contains("can't be pulled for amd64 without a login"),
        "{refusal}"
    );
    drop(private);

    // Made public; and pushed again, by the run that is started again.
    let public = Registry::start(instance, store.path(), port, false);
    assert_eq!(said(&succeeded(push())), image);
    succeeded(on(instance, &checkout, "check-image", &[&image, &folder]));
    let tags = instance
        .command("curl")
        .args(["-s", "-o", "/dev/null", "-w", "%{http_code}"])
        .arg(format!(
            "http://{}/v2/some-owner/ecs-task-role/tags/list",
            public.address
        ))
        .output()
        .unwrap();
    assert_eq!(said(&tags), "404", "there is a tag");

    // An image with anything else than the released binaries in it.
    for architecture in ["amd64", "arm64"] {
        let binary = format!("{folder}/ecs-task-role-linux-{architecture}");
        let content = fs::read(&binary).unwrap();
        fs::write(&binary, "tampered with").unwrap();
        let refusal = refused(&on(instance, &checkout, "check-image", &[&image, &folder]));
        assert!(
            refusal.contains(&format!("for {architecture} is not the released one")),
            "{refusal}"
        );
        fs::write(&binary, content).unwrap();
    }
    refused(&on(instance, &checkout, "check-image", &[&name, &folder]));
}

// What is in it.

#[test]
fn the_bill_of_materials_names_every_crate_that_is_built_and_no_other() {
    let sbom: Value = serde_json::from_str(&said(&succeeded(
        Command::new(Path::new(ROOT).join(".ci/release/sbom"))
            .output()
            .unwrap(),
    )))
    .unwrap();
    assert_eq!(sbom["bomFormat"], "CycloneDX");
    assert_eq!(sbom["metadata"]["component"]["version"], VERSION);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let components = sbom["components"].as_array().unwrap();
    for component in components {
        let hash = text(&component["hashes"][0]["content"]);
        assert_eq!(hash.len(), 64, "{component}");
    }
    let crates = |scope: &str| -> BTreeSet<String> {
        components
            .iter()
            .filter(|component| component["scope"] == scope)
            .map(|component| text(&component["name"]) + "@" + &text(&component["version"]))
            .collect()
    };
    let (inside, all) = built();
    assert_eq!(crates("required"), inside);
    assert_eq!(
        crates("excluded"),
        all.difference(&inside).cloned().collect()
    );
}

/// The crates that a build of the static binary compiles for it, and all that it compiles.
fn built() -> (BTreeSet<String>, BTreeSet<String>) {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let build = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .current_dir(ROOT)
        .args([
            "build",
            "--release",
            "--locked",
            "--message-format=json",
            "--target",
            &target,
        ])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let mut inside = BTreeSet::new();
    let mut all = BTreeSet::new();
    for message in said(&succeeded(build)).lines() {
        let message: Value = serde_json::from_str(message).unwrap();
        let id = message["package_id"].as_str().unwrap_or_default();
        // registry+https://…#name@version; the program itself has a path.
        let Some((_, name)) = id.split_once('#').filter(|_| id.starts_with("registry+")) else {
            continue;
        };
        if message["reason"] == "compiler-artifact" {
            all.insert(name.to_owned());
            let file = message["filenames"][0].as_str().unwrap();
            if file.contains(&format!("/{target}/")) {
                inside.insert(name.to_owned());
            }
        }
    }
    (inside, all)
}

// What GitHub demands.

/// The value of a key at the top of an action's file, as one line.
fn top_level(file: &str, key: &str) -> String {
    let text = real(file);
    let mut lines = text.lines().skip_while(|line| !line.starts_with(key));
    let first = lines.next().unwrap_or_else(|| panic!("no {key} in {file}"));
    let value = first.split_once(": ").unwrap().1.trim();
    if value != ">-" {
        return value.to_owned();
    }
    let folded: Vec<_> = lines
        .take_while(|line| line.starts_with(' '))
        .map(str::trim)
        .collect();
    folded.join(" ")
}

/// <https://docs.github.com/en/actions/how-tos/create-and-publish-actions/publish-in-github-marketplace>; the schema that
/// `.ci/lint-workflows` checks knows which icons there are.
#[test]
fn the_marketplace_takes_the_action() {
    let description = top_level("action.yml", "description");
    // GitHub refuses a release whose action has more.
    assert!(description.chars().count() < 125, "{description}");
    let name = top_level("action.yml", "name");
    assert!(!name.is_empty() && name.chars().count() <= 50, "{name}");
    // Names of GitHub's own, and of categories of the marketplace.
    assert!(!name.to_lowercase().contains("github"), "{name}");

    let text = real("action.yml");
    let branding = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(&format!("  {key}: ")))
            .unwrap_or_else(|| panic!("no branding.{key}"))
            .to_owned()
    };
    let colors = [
        "white",
        "black",
        "yellow",
        "blue",
        "green",
        "orange",
        "red",
        "purple",
        "gray-dark",
    ];
    assert!(colors.contains(&branding("color").as_str()));
    // Of the Feather icons these are left out, beside those of brands.
    let left_out = [
        "coffee",
        "columns",
        "divide-circle",
        "divide-square",
        "divide",
        "frown",
        "hexagon",
        "key",
        "meh",
        "mouse-pointer",
        "smile",
        "tool",
        "x-octagon",
    ];
    assert!(
        !left_out.contains(&branding("icon").as_str()),
        "{}",
        branding("icon")
    );

    // One file of metadata at the root, and a page to show.
    assert!(!Path::new(ROOT).join("action.yaml").exists());
    assert!(real("README.md").len() > 1000);
}

/// The jobs of `release.yml` by their ids, each as its text.
fn release_jobs() -> BTreeMap<String, String> {
    let all = jobs(&real(".github/workflows/release.yml"));
    assert!(all.len() > 5);
    all
}

/// The jobs of a workflow by their ids, each as its text.
fn jobs(text: &str) -> BTreeMap<String, String> {
    let (_, jobs) = text.split_once("\njobs:\n").unwrap();
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let mut id = String::new();
    for line in jobs.lines() {
        if line.starts_with("  ") && !line.starts_with("   ") && line.ends_with(':') {
            line.trim().trim_end_matches(':').clone_into(&mut id);
        }
        let job = all.entry(id.clone()).or_default();
        job.push_str(line);
        job.push('\n');
    }
    all
}

/// The steps of a job, each as its text.
fn steps(job: &str) -> Vec<&str> {
    let (_, steps) = job.split_once("\n    steps:\n").unwrap();
    let steps: Vec<_> = steps
        .strip_prefix("      - ")
        .unwrap()
        .split("\n      - ")
        .collect();
    assert!(!steps.is_empty());
    steps
}

#[test]
fn what_comes_through_an_artifact_is_verified_before_it_is_used() {
    let mut seen = BTreeSet::new();
    for (id, job) in release_jobs() {
        if !job.contains("/download-artifact@") {
            continue;
        }
        let steps = steps(&job);
        let download = steps
            .iter()
            .position(|step| step.contains("/download-artifact@"))
            .unwrap();
        let next = steps[download + 1];
        assert!(
            next.contains("SUMS: ${{ needs.build.outputs.sums }}\n"),
            "{id}: {next}"
        );
        assert!(
            next.contains("\n        run: .ci/release/checksums dist \"$SUMS\""),
            "{id}: {next}"
        );
        // Without it the output would be empty.
        let needs = job
            .lines()
            .find_map(|line| line.strip_prefix("    needs: "))
            .unwrap();
        assert!(needs.contains("build"), "{id}: {needs}");
        seen.insert(id);
    }
    assert_eq!(
        seen,
        BTreeSet::from(["anyone", "image", "publish"].map(str::to_owned))
    );
}

fn workflows() -> Vec<(String, String)> {
    let mut all: Vec<_> = fs::read_dir(Path::new(ROOT).join(".github/workflows"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    all.sort();
    assert!(all.len() > 1);
    all
}

#[test]
fn every_foreign_action_is_pinned_to_one_commit_that_names_its_version() {
    let mut commits = BTreeMap::new();
    for (file, text) in workflows() {
        for line in text.lines() {
            let Some((_, uses)) = line.split_once("uses: ") else {
                continue;
            };
            if uses.starts_with("./") {
                continue;
            }
            let (action, version) = uses
                .split_once(" # v")
                .unwrap_or_else(|| panic!("{file}: {line}"));
            let (action, commit) = action.split_once('@').unwrap();
            assert!(
                commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit()),
                "{file}: {line}"
            );
            assert_eq!(version.split('.').count(), 3, "{file}: {line}");
            let repository = action.split('/').take(2).collect::<Vec<_>>().join("/");
            let first = commits
                .entry(repository)
                .or_insert_with(|| uses[action.len()..].to_owned());
            assert_eq!(*first, uses[action.len()..], "{file}: {line}");
        }
    }
    // Examples name the version that is used here, and so is known to be good.
    let mut shared = 0;
    for file in crate::repository::files() {
        if !file.starts_with("examples/workflows/") {
            continue;
        }
        for line in real(&file).lines() {
            let Some((repository, pin)) = line
                .split_once("uses: ")
                .and_then(|(_, uses)| uses.split_once('@'))
            else {
                continue;
            };
            if let Some(here) = commits.get(repository) {
                assert_eq!(format!("@{pin}"), *here, "{file}: {line}");
                shared += 1;
            }
        }
    }
    assert!(shared > 0);
}

#[test]
fn a_workflow_may_nothing_that_a_job_does_not_ask_for() {
    for (file, text) in workflows() {
        assert!(text.lines().any(|line| line == "permissions: {}"), "{file}");
        assert!(!text.contains("write-all"), "{file}");
    }
}

#[test]
fn the_jobs_that_may_write_are_known_and_so_is_what() {
    let mut found = BTreeSet::new();
    for (file, text) in workflows() {
        for (id, job) in jobs(&text) {
            for line in job.lines() {
                let line = line.split(" #").next().unwrap().trim();
                if let Some(what) = line.strip_suffix(": write") {
                    found.insert(format!("{what}: {file}, {id}"));
                }
            }
        }
        // None hides where it was not looked for.
        let all = text.matches(": write").count();
        let here = found
            .iter()
            .filter(|line| line.contains(&format!(": {file}, ")))
            .count();
        assert_eq!(all, here, "{file}");
    }
    let expected = [
        "attestations: release.yml, image",
        "contents: release.yml, publish",
        "id-token: release.yml, image",
        "id-token: scorecard.yml, scorecard",
        "packages: release.yml, image",
        "security-events: codeql.yml, analyze",
        "security-events: scorecard.yml, scorecard",
    ];
    assert_eq!(found, BTreeSet::from(expected.map(str::to_owned)));
}

#[test]
fn users_get_a_release_with_its_last_step_alone() {
    let jobs = release_jobs();
    let publish = steps(&jobs["publish"]);
    let scripts: Vec<_> = publish
        .iter()
        .flat_map(|step| step.split(".ci/release/").skip(1))
        .map(|rest| rest.split_whitespace().next().unwrap())
        .collect();
    assert_eq!(
        scripts,
        ["checksums", "notes", "commit", "publish", "move-major"]
    );
    assert!(publish.last().unwrap().contains(".ci/release/move-major "));
    assert!(jobs["publish"].contains("\n    environment: release\n"));
    for (id, job) in &jobs {
        let needs = job
            .lines()
            .find_map(|line| line.strip_prefix("    needs: "))
            .unwrap_or_default();
        assert!(!needs.contains("publish"), "{id} comes after it");
        for script in ["commit", "publish", "move-major"] {
            let called = job.contains(&format!(".ci/release/{script} "));
            assert_eq!(called, id == "publish", "{id}: {script}");
        }
    }
}

#[test]
fn nothing_is_attested_before_anyone_can_pull_it() {
    for (id, job) in release_jobs() {
        assert_eq!(job.contains("uses: actions/attest"), id == "image", "{id}");
    }
    let job = release_jobs().remove("image").unwrap();
    let steps = steps(&job);
    let checked = steps
        .iter()
        .position(|step| step.contains("run: .ci/release/check-image \"$IMAGE\" dist"))
        .unwrap();
    let attested: Vec<_> = (0..steps.len())
        .filter(|&index| steps[index].contains("uses: actions/attest"))
        .collect();
    assert_eq!(attested.len(), 3);
    assert!(checked < attested[0], "{checked}: {attested:?}");
    // A step that may fail holds nothing up, and one with a condition may not run.
    for step in &steps {
        assert!(!step.contains("continue-on-error"), "{step}");
        assert!(!step.contains("\n        if: "), "{step}");
    }
}

#[test]
fn every_crate_that_is_locked_anywhere_is_kept_up_to_date() {
    let folders: BTreeSet<_> = crate::repository::files()
        .iter()
        .filter_map(|file| file.strip_suffix("Cargo.lock"))
        .map(|folder| format!("/{}", folder.trim_end_matches('/')))
        .collect();
    assert!(folders.contains("/") && folders.len() > 1, "{folders:?}");
    let text = real(".github/dependabot.yml");
    let (_, cargo) = text.split_once("package-ecosystem: cargo\n").unwrap();
    let directories = cargo.trim_start().strip_prefix("directories: [").unwrap();
    let (directories, _) = directories.split_once(']').unwrap();
    let directories = directories.split(", ").map(str::to_owned).collect();
    assert_eq!(folders, directories);
}

#[test]
fn the_gate_waits_for_every_other_job() {
    let text = workflows()
        .into_iter()
        .find_map(|(file, text)| (file == "ci.yml").then_some(text))
        .unwrap();
    let (_, jobs) = text.split_once("\njobs:\n").unwrap();
    let names: BTreeSet<_> = jobs
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   ") && line.ends_with(':'))
        .map(|line| line.trim().trim_end_matches(':'))
        .filter(|&name| name != "gate")
        .collect();
    let (_, gate) = jobs.split_once("\n  gate:\n").unwrap();
    let needs = gate
        .lines()
        .find_map(|line| line.trim().strip_prefix("needs: ["))
        .unwrap();
    let needed: BTreeSet<_> = needs.trim_end_matches(']').split(", ").collect();
    assert_eq!(needed, names);
    assert!(names.len() > 3);
}
