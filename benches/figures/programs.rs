//! The programs that are measured, each built as the action is built.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::image;

pub struct Programs {
    /// The release build for musl: what the image holds.
    pub action: PathBuf,
    pub minimal: PathBuf,
    /// What the given crates cost by themselves.
    pub crates: PathBuf,
    pub empty: PathBuf,
    pub bare: PathBuf,
    pub stopwatch: PathBuf,
    /// For what the benchmarks themselves make.
    pub folder: PathBuf,
}

/// Builds them all. Those of `benches/programs` get the action's own profile, whatever it says.
pub fn build() -> Programs {
    let action = image::static_binary();
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target_folder = action.ancestors().nth(3).unwrap();
    let mut crates = cargo_build(package, target_folder);
    crates.args(["--example", "crates"]);
    let folder = target_folder.join("benches");
    let mut others = cargo_build(&package.join("benches/programs"), &folder);
    for setting in release_profile() {
        others.args(["--config", &format!("profile.release.{setting}")]);
    }
    for mut build in [crates, others] {
        assert!(build.status().unwrap().success());
    }
    let of_crates = action.with_file_name("examples").join("crates");
    let released = folder.join(target()).join("release");
    let copied = folder.join("copied");
    fs::create_dir_all(&copied).unwrap();
    let copy = |program: &Path| copy(program, &copied);
    Programs {
        action: copy(action),
        minimal: copy(&released.join("minimal")),
        crates: copy(&of_crates),
        empty: copy(&released.join("empty")),
        bare: copy(&released.join("bare")),
        stopwatch: copy(&released.join("stopwatch")),
        folder,
    }
}

fn target() -> String {
    format!("{}-unknown-linux-musl", std::env::consts::ARCH)
}

fn cargo_build(package: &Path, folder: &Path) -> Command {
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    build
        .current_dir(package)
        .args(["build", "--release", "--locked", "--quiet", "--target"])
        .arg(target())
        .arg("--target-dir")
        .arg(folder);
    build
}

/// A program as it lies on a host that unpacked an image: written 32 KiB at a time, as Go's `io.Copy` does. What a linker
/// wrote lies page by page in the system's cache instead, which the system maps page by page too.
fn copy(program: &Path, folder: &Path) -> PathBuf {
    let to = folder.join(program.file_name().unwrap());
    // A new file: what lay there before may be mapped still.
    let _ = fs::remove_file(&to);
    let mut file = File::create(&to).unwrap();
    for piece in fs::read(program).unwrap().chunks(32 * 1024) {
        file.write_all(piece).unwrap();
    }
    file.set_permissions(fs::Permissions::from_mode(0o755))
        .unwrap();
    to
}

/// The lines under `[profile.release]`.
fn release_profile() -> Vec<String> {
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let (_, rest) = manifest.split_once("[profile.release]\n").unwrap();
    rest.lines()
        .take_while(|line| !line.starts_with('['))
        .filter(|line| line.contains('=') && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// Whether a program is there.
pub fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}
