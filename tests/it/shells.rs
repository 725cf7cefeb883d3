//! The shells that a runner's image may have as its `sh`, each started as the runner does.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) use crate::support::skip;

/// A POSIX shell, and how it is started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shell {
    pub(crate) name: &'static str,
    words: &'static [&'static str],
}

const ALL: [Shell; 3] = [
    Shell {
        name: "dash",
        words: &["dash"],
    },
    Shell {
        name: "bash",
        words: &["bash"],
    },
    Shell {
        name: "busybox",
        words: &["busybox", "sh"],
    },
];

impl Shell {
    /// The shells of this machine. One that is missing is named; with `REQUIRE_DOCKER=1` it is a failure.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        ALL.into_iter().filter(|shell| {
            let found = is_installed(shell.words[0]);
            if !found {
                skip(&format!("{} is not installed", shell.name));
            }
            found
        })
    }

    /// The program and the words that make it this shell.
    pub(crate) fn words(self) -> &'static [&'static str] {
        self.words
    }

    /// The shell with these options, about to run this script. Its environment is empty but for `PATH`.
    pub(crate) fn command(self, options: &[&str], script: &Path) -> Command {
        let mut command = Command::new(self.words[0]);
        command
            .args(&self.words[1..])
            .args(options)
            .arg(script)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// Whether `PATH` has a program of this name.
pub(crate) fn is_installed(program: &str) -> bool {
    find(program).is_some()
}

/// The file behind a program's name.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// shellcheck's opinion of a POSIX script.
pub(crate) fn shellcheck(script: &Path, excluded: &[&str]) {
    if !is_installed("shellcheck") {
        return skip("shellcheck is not installed");
    }
    let mut command = Command::new("shellcheck");
    command.args(["--shell=sh", "--severity=style"]);
    for code in excluded {
        command.arg(format!("--exclude={code}"));
    }
    let output = command.arg(script).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}
