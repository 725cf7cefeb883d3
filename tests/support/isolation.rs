//! A test in namespaces of its own: a network with the real 169.254.170.2, file systems that fill up.
//!
//! The test's process starts itself anew under `unshare`, for that one test. It works as root, and for
//! everyone else where the kernel lets users have namespaces.

use std::path::Path;
use std::process::Command;

/// Set in the process that is inside already.
const INSIDE: &str = "ECS_TASK_ROLE_TEST_IS_ISOLATED";

/// Runs `test` with a network and mounts of its own. `module` is `module_path!()`, `claim` the name of
/// the test function that calls this.
pub fn isolated(module: &str, claim: &str, test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        run("ip", &["link", "set", "lo", "up"]);
        return test();
    }
    // A test's name leaves out the crate.
    let (_, module) = module.split_once("::").unwrap();
    let name = format!("{module}::{claim}");
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--mount", "--"])
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
