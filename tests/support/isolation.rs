//! A test in namespaces of its own: a network with the real 169.254.170.2, file systems that fill up.
//!
//! The test's process starts itself anew under `unshare`, for that one test. It works as root, and for
//! everyone else where the kernel lets users have namespaces. Where it can't be had, the test says `skipped: <why>` and
//! returns; with `REQUIRE_DOCKER=1` it fails instead.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use super::skip;

/// Set in the process that is inside already.
const INSIDE: &str = "ECS_TASK_ROLE_TEST_IS_ISOLATED";

/// Runs `test` with a network and mounts of its own. `module` is `module_path!()`, `claim` the name of
/// the test function that calls this.
pub fn isolated(module: &str, claim: &str, test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        run("ip", &["link", "set", "lo", "up"]);
        return test();
    }
    static UNFIT: OnceLock<Option<String>> = OnceLock::new();
    if let Some(why) = UNFIT.get_or_init(unfit) {
        return skip(why);
    }
    // A test's name leaves out the crate.
    let (_, module) = module.split_once("::").unwrap();
    let name = format!("{module}::{claim}");
    let output = unshare()
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare (util-linux) could not be started");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("1 passed"),
        "{name} is no test's name: {said}"
    );
    // What it measured is for whoever asks for the output of tests.
    print!("{said}");
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "--mount", "--"]);
    command
}

/// Why there is no such place here, where there is none.
fn unfit() -> Option<String> {
    // `ip` and `mount` are what the tests use within.
    let script = "ip link set lo up && mount -t tmpfs none /mnt";
    match unshare().args(["sh", "-c", script]).output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Some(format!("no namespaces of its own: {}", said.trim()))
        }
        Err(error) => Some(format!(
            "unshare (util-linux) could not be started: {error}"
        )),
    }
}

/// Gives the address of the ECS agent to this network; only within [`isolated`].
pub fn add_address(address: &str) {
    run("ip", &["address", "add", address, "dev", "lo"]);
}

/// Mounts an empty file system of so many bytes, in pages of 4096; only within [`isolated`].
pub fn mount_tmpfs(at: &Path, bytes: usize) {
    let size = format!("size={bytes},mode=755");
    run(
        "mount",
        &["-t", "tmpfs", "-o", &size, "none", at.to_str().unwrap()],
    );
}

/// Makes what is below a folder read-only, for root too; only within [`isolated`].
pub fn make_read_only(folder: &Path) {
    let folder = folder.to_str().unwrap();
    run("mount", &["--bind", folder, folder]);
    run("mount", &["-o", "remount,bind,ro", folder]);
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} could not be started: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
