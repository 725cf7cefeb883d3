//! The programs that are measured, each built as the action is built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::image;

pub struct Programs {
    /// The release build for musl: what the image holds.
    pub action: PathBuf,
    pub minimal: PathBuf,
    pub empty: PathBuf,
    pub bare: PathBuf,
    pub stopwatch: PathBuf,
    /// For what the benchmarks themselves make.
    pub folder: PathBuf,
}

/// Builds them all. Those of `benches/programs` get the action's own profile, whatever it says.
pub fn build() -> Programs {
    let action = image::static_binary().to_owned();
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let folder = action.ancestors().nth(3).unwrap().join("benches");
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/programs");
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    build
        .current_dir(&package)
        .args([
            "build",
            "--release",
            "--locked",
            "--quiet",
            "--target",
            &target,
        ])
        .arg("--target-dir")
        .arg(&folder);
    for setting in release_profile() {
        build.args(["--config", &format!("profile.release.{setting}")]);
    }
    assert!(build.status().unwrap().success());
    let program = |name| folder.join(&target).join("release").join(name);
    Programs {
        action,
        minimal: program("minimal"),
        empty: program("empty"),
        bare: program("bare"),
        stopwatch: program("stopwatch"),
        folder,
    }
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
