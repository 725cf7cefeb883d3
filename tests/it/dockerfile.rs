//! The real Dockerfile, unchanged, to its end.
//!
//! Its base image is not pulled: a stand-in made of this machine's own toolchain, C linker and crates has
//! the very tag. What differs is the system around them, glibc's here and musl's there, so that musl is a
//! foreign target in the stand-in; the commands are the same.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ecs_task_role::trouble::Trouble;

use crate::support::image::{copy_program, import_with, libraries, which};
use crate::support::instance::{self, Instance, random_hex};
use crate::support::runner::{Action, Work};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn the_dockerfile_builds_the_action_and_a_change_in_src_reuses_the_dependencies() {
    let Some(instance) = instance::get() else {
        return;
    };
    let dockerfile = fs::read_to_string(Path::new(ROOT).join("Dockerfile")).unwrap();
    stand_in(instance, base_image(&dockerfile));

    let first = format!("from-dockerfile:{}", random_hex(12));
    let log = build(instance, Path::new(ROOT), &first);
    assert!(log.contains("Compiling reqwest "), "{log}");
    let [(name, size)] = &files(instance, &first)[..] else {
        panic!("the image holds one file");
    };
    assert_eq!(name, "ecs-task-role");
    assert!(*size < 1_500_000, "{size} bytes");
    let user = instance.docker(["inspect", "--format", "{{.Config.User}}", &first]);
    assert_eq!(user, "", "root, as GitHub asks");
    is_the_action(instance, &first);
    assert_eq!(
        title_without_a_source(instance, &first),
        Trouble::NoSource.title()
    );

    let checkout = tempfile::tempdir().unwrap();
    copy_checkout(checkout.path());
    let (before, after) = (Trouble::NoSource.title(), "Not configured: another text");
    let titles = checkout.path().join("src/trouble.rs");
    let text = fs::read_to_string(&titles).unwrap();
    assert!(text.contains(before));
    fs::write(&titles, text.replace(before, after)).unwrap();
    let second = format!("from-dockerfile:{}", random_hex(12));
    let log = build(instance, checkout.path(), &second);
    assert!(
        !log.contains("Compiling reqwest "),
        "the dependencies were built again\n{log}"
    );
    is_the_action(instance, &second);
    assert_eq!(title_without_a_source(instance, &second), after);
}

/// The image of the first FROM.
fn base_image(dockerfile: &str) -> &str {
    let from = dockerfile
        .lines()
        .find_map(|line| line.strip_prefix("FROM "))
        .unwrap();
    from.split(' ').next().unwrap()
}

/// Builds a checkout as the runner does. The builder is the legacy one where there are two.
fn build(instance: &Instance, checkout: &Path, tag: &str) -> String {
    let build = Command::new("docker")
        .args(["build", "-t", tag, "-f"])
        .arg(checkout.join("Dockerfile"))
        .arg(checkout)
        .env("DOCKER_HOST", instance.docker_host())
        .env("DOCKER_BUILDKIT", "0")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let log = [build.stdout, build.stderr].concat();
    // The legacy builder's client paints what the commands say, word by word.
    let log = String::from_utf8_lossy(&log)
        .replace("\u{1b}[91m", "")
        .replace("\u{1b}[0m", "");
    assert!(build.status.success(), "{log}");
    log
}

/// What the layers of an image hold: names and sizes.
fn files(instance: &Instance, image: &str) -> Vec<(String, u64)> {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("image.tar");
    instance.docker(["save", "-o", archive.to_str().unwrap(), image]);
    let tar = |arguments: &[&str]| {
        let output = Command::new("tar")
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    tar(&["-xf", "image.tar"]);
    let manifest = fs::read(folder.path().join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let layers = manifest[0]["Layers"].as_array().unwrap();
    layers
        .iter()
        .flat_map(|layer| {
            // Mode, owner, size, date, time, name.
            tar(&["-tvf", layer.as_str().unwrap()])
                .lines()
                .map(|line| line.split_whitespace().collect::<Vec<_>>())
                .map(|line| {
                    let name = line[5].trim_start_matches("./");
                    (name.to_owned(), line[2].parse().unwrap())
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

fn is_the_action(instance: &Instance, image: &str) {
    let directory = tempfile::tempdir().unwrap();
    let work = Work::new(directory.path(), "fleet-1");
    let task = instance.agent.task();
    let finished = Action::new(instance, &work)
        .image(image)
        .env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", task.uri())
        .run()
        .succeeded();
    assert_eq!(finished.env.get("AWS_ACCESS_KEY_ID"), Some(task.keys.id));
}

fn title_without_a_source(instance: &Instance, image: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let work = Work::new(directory.path(), "fleet-1");
    let action = Action::new(instance, &work)
        .image(image)
        .input("discovery", "environment");
    let errors = crate::support::github::annotations(&action.run().stdout, "error");
    errors[0].0.clone().unwrap()
}

fn copy_checkout(to: &Path) {
    let copy = Command::new("cp")
        .arg("-a")
        .args([
            "Cargo.toml",
            "Cargo.lock",
            "Dockerfile",
            ".cargo",
            ".dockerignore",
            "src",
        ])
        .arg(to)
        .current_dir(ROOT)
        .status()
        .unwrap();
    assert!(copy.success());
}

/// Puts an image under the tag of the Dockerfile's base that has what that has, as far as the Dockerfile
/// goes: a shell, Rust with the musl target, a C linker; and the crates, since no registry is reached.
fn stand_in(instance: &Instance, tag: &str) {
    let staging = tempfile::tempdir().unwrap();
    let root = staging.path();
    // As on this machine, where /bin and /lib may be links into /usr.
    for name in ["bin", "sbin", "lib", "lib64"] {
        match fs::read_link(Path::new("/").join(name)) {
            Ok(target) => symlink(target, root.join(name)).unwrap(),
            Err(_) => fs::create_dir(root.join(name)).unwrap(),
        }
    }
    for folder in [
        "opt/shell",
        "tmp",
        "usr/bin",
        "usr/sbin",
        "usr/lib",
        "usr/lib64",
    ] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    copy_program(&which("busybox"), root, "opt/shell/sh");
    for applet in ["cat", "echo", "mkdir", "mv", "rm", "touch", "uname"] {
        symlink("sh", root.join("opt/shell").join(applet)).unwrap();
    }
    // What RUN starts.
    symlink("/opt/shell/sh", root.join("bin/sh")).unwrap();

    let mut files = BTreeSet::new();
    let sysroot = PathBuf::from(said("rustc", &["--print", "sysroot"]));
    rust(&sysroot, &mut files);
    c_linker(&mut files);
    let cargo_home = std::env::var_os("CARGO_HOME").map_or_else(
        || Path::new(&std::env::var("HOME").unwrap()).join(".cargo"),
        PathBuf::from,
    );
    crates(&cargo_home, &mut files);
    let files: Vec<PathBuf> = files.into_iter().collect();
    let path = format!("ENV PATH={}/bin:/usr/bin:/opt/shell", sysroot.display());
    let home = format!("ENV CARGO_HOME={}", cargo_home.display());
    import_with(
        instance,
        root,
        &files,
        tag,
        &[&path, &home, "ENV CARGO_NET_OFFLINE=true"],
    );
}

/// What a program says, without the line's end.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(ROOT)
        .output()
        .unwrap();
    assert!(output.status.success(), "{program} {arguments:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A file or folder, what it is a link to, and the libraries that it needs.
fn add(path: &Path, files: &mut BTreeSet<PathBuf>) {
    // The folder's real path: /lib and its like are links in the image too.
    let folder = path.parent().unwrap().canonicalize().unwrap();
    let path = folder.join(path.file_name().unwrap());
    if !files.insert(path.clone()) {
        return;
    }
    if let Ok(target) = fs::read_link(&path) {
        add(&folder.join(target), files);
    } else if path.is_file() {
        for library in libraries(&path) {
            add(&library, files);
        }
    }
}

/// Compiler, cargo, and the standard library of the host and of musl.
fn rust(sysroot: &Path, files: &mut BTreeSet<PathBuf>) {
    for program in ["bin/cargo", "bin/rustc"] {
        add(&sysroot.join(program), files);
    }
    for entry in fs::read_dir(sysroot.join("lib")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            add(&path, files);
        }
    }
    for target in targets() {
        add(&sysroot.join("lib/rustlib").join(target), files);
    }
}

/// What build scripts and macros are built for, and what the program is built for.
fn targets() -> [String; 2] {
    let version = said("rustc", &["-vV"]);
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap();
    [
        host.to_owned(),
        format!("{}-unknown-linux-musl", std::env::consts::ARCH),
    ]
}

/// gcc as far as Rust's own linking goes. No compiler for C is in it.
fn c_linker(files: &mut BTreeSet<PathBuf>) {
    for name in ["cc", "gcc"] {
        add(&which_link(name), files);
    }
    for program in ["collect2", "ld", "lto-wrapper"] {
        let path = PathBuf::from(said("gcc", &[&format!("-print-prog-name={program}")]));
        add(
            &if path.is_absolute() {
                path
            } else {
                which_link(program)
            },
            files,
        );
    }
    for file in [
        "Scrt1.o",
        "crt1.o",
        "crtbegin.o",
        "crtbeginS.o",
        "crtbeginT.o",
        "crtend.o",
        "crtendS.o",
        "crti.o",
        "crtn.o",
        "libc.so",
        "libc.so.6",
        "libc_nonshared.a",
        "libdl.a",
        "libdl.so",
        "libgcc.a",
        "libgcc_eh.a",
        "libgcc_s.so",
        "libgcc_s.so.1",
        "liblto_plugin.so",
        "libm.so",
        "libm.so.6",
        "libmvec.so.1",
        "libpthread.a",
        "libpthread.so",
        "librt.a",
        "librt.so",
        "libutil.a",
        "libutil.so",
    ] {
        let path = PathBuf::from(said("gcc", &[&format!("-print-file-name={file}")]));
        // A bare name says that there is none.
        if path.is_absolute() && path.exists() {
            add(&path, files);
        }
    }
}

/// A program's first place in PATH, which may be a link.
fn which_link(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|p| p.exists())
        .unwrap()
}

/// The index, and the packed crates that Cargo.lock names.
fn crates(cargo_home: &Path, files: &mut BTreeSet<PathBuf>) {
    let [host, musl] = targets();
    said(
        "cargo",
        &["fetch", "--locked", "--target", &host, "--target", &musl],
    );
    let locked = fs::read_to_string(Path::new(ROOT).join("Cargo.lock")).unwrap();
    let locked: BTreeSet<String> = locked
        .split("[[package]]\n")
        .filter_map(|package| {
            let mut lines = package.lines();
            let name = lines.next()?.strip_prefix("name = \"")?.strip_suffix('"')?;
            let version = lines
                .next()?
                .strip_prefix("version = \"")?
                .strip_suffix('"')?;
            Some(format!("{name}-{version}.crate"))
        })
        .collect();
    for registry in fs::read_dir(cargo_home.join("registry/cache")).unwrap() {
        for entry in fs::read_dir(registry.unwrap().path()).unwrap() {
            let entry = entry.unwrap();
            if locked.contains(entry.file_name().to_str().unwrap()) {
                files.insert(entry.path());
            }
        }
    }
    files.insert(cargo_home.join("registry/index"));
}
