//! The images of the container tests. No registry is needed: each is imported.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::instance::{Instance, random_hex};

/// The images of an instance, each made on first use.
#[derive(Default)]
pub struct Images {
    action: OnceLock<String>,
    machine: OnceLock<String>,
}

/// The action's image, `FROM scratch` with the static binary alone.
pub fn action(instance: &Instance) -> &str {
    instance.images.action.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(static_binary(), folder.path().join("ecs-task-role")).unwrap();
        let entrypoint = r#"ENTRYPOINT ["/ecs-task-role"]"#;
        import(instance, folder.path(), "ecs-task-role", &[entrypoint])
    })
}

/// What the runner and its neighbours run in: busybox, and the docker client as `/usr/bin/docker`.
///
/// The client is there under two other names too: `/usr/bin/podman`, and `/opt/docker/client`.
pub fn machine(instance: &Instance) -> &str {
    instance
        .images
        .machine
        .get_or_init(|| make_machine(instance))
}

fn make_machine(instance: &Instance) -> String {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for directory in ["bin", "usr/bin", "opt/docker", "tmp", "root"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    copy_program(&which("busybox"), root, "bin/busybox");
    let applets = Command::new("busybox").arg("--list").output().unwrap();
    for applet in String::from_utf8(applets.stdout).unwrap().lines() {
        if applet != "busybox" {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
    }
    copy_program(&which("docker"), root, "usr/bin/docker");
    for name in ["usr/bin/podman", "opt/docker/client"] {
        fs::hard_link(root.join("usr/bin/docker"), root.join(name)).unwrap();
    }
    import(instance, root, "machine", &["ENV PATH=/usr/bin:/bin"])
}

/// Packs a folder into an image of its own name.
pub fn import(instance: &Instance, root: &Path, name: &str, changes: &[&str]) -> String {
    let tag = format!("{name}:{}", random_hex(12));
    import_as(instance, root, &tag, changes);
    tag
}

/// Packs a folder into an image.
pub fn import_as(instance: &Instance, root: &Path, tag: &str, changes: &[&str]) {
    import_with(instance, root, &[], tag, changes);
}

/// Packs a folder, and files of this machine under their own paths, into an image.
pub fn import_with(
    instance: &Instance,
    root: &Path,
    files: &[PathBuf],
    tag: &str,
    changes: &[&str],
) {
    let mut tar = Command::new("tar")
        .args(["--owner=0", "--group=0", "-c", "-C"])
        .arg(root)
        .arg(".")
        .args(files.first().map(|_| "-C/"))
        .args(files.iter().map(|file| file.strip_prefix("/").unwrap()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let import = Command::new("docker")
        .arg("import")
        .args(changes.iter().flat_map(|change| ["--change", change]))
        .args(["-", tag])
        .env("DOCKER_HOST", instance.docker_host())
        .stdin(tar.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(
        import.status.success() && tar.wait().unwrap().success(),
        "docker import {tag}: {}",
        String::from_utf8_lossy(&import.stderr)
    );
}

/// The release build for musl, made once.
pub fn static_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
        let build = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
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
        assert!(
            build.status.success(),
            "no static binary; where the target is missing: rustup target add {target}"
        );
        String::from_utf8(build.stdout)
            .unwrap()
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
            .next_back()
            .unwrap()
    })
}

/// The file behind a program's name.
pub fn which(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
        .and_then(|file| file.canonicalize().ok())
        .unwrap_or_else(|| panic!("{program} is not in PATH"))
}

/// Copies a program, and the libraries that it is linked to.
pub fn copy_program(program: &Path, root: &Path, to: &str) {
    let to = root.join(to);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(program, &to).unwrap();
    for library in libraries(program) {
        let to = root.join(library.strip_prefix("/").unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(&library, &to).unwrap();
    }
}

/// The libraries that a program is linked to, the loader among them; none for a static one.
pub fn libraries(program: &Path) -> BTreeSet<PathBuf> {
    let ldd = Command::new("ldd").arg(program).output().unwrap();
    String::from_utf8_lossy(&ldd.stdout)
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(|word| PathBuf::from(word.trim_end_matches(':')))
        .filter(|library| library != program && library.is_file())
        .collect()
}
