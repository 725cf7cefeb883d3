//! The runner's files: which are fit, and what is left of a run that could not write one.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

use ecs_task_role::trouble::Trouble;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::shells::is_installed;
use crate::support::endpoint::{Document, Endpoint};
use crate::support::github;
use crate::support::isolation::{isolated, make_read_only, mount_tmpfs};
use crate::support::skip;
use crate::support::step::{File, Step};
use crate::{fails, fails_once, step_at};

fn good() -> Endpoint {
    Endpoint::serving(&Document::default())
}

/// The two files without which a run fails.
const NEEDED: [File; 2] = [File::Env, File::Output];

#[test]
fn a_file_that_is_missing_is_named_with_both_reasons_and_not_created() {
    for file in NEEDED {
        let endpoint = good();
        let step = step_at(&endpoint).deleting(file);
        fails_once(
            &step,
            Trouble::RunnerFileMissing,
            &[file.variable(), "same path", "share"],
        );
        assert!(!step.path(file).exists());
        assert_eq!(endpoint.requests().len(), 0);
    }
}

#[test]
fn a_variable_that_is_unset_or_empty_is_an_error() {
    for file in NEEDED {
        let endpoint = good();
        fails(
            &step_at(&endpoint).without_env(file.variable()),
            Trouble::RunnerFileMissing,
            &[file.variable()],
        );
        fails(
            &step_at(&endpoint).env(file.variable(), ""),
            Trouble::RunnerFileMissing,
            &[file.variable()],
        );
        assert_eq!(endpoint.requests().len(), 0);
    }
}

#[test]
fn a_folder_a_pipe_and_a_device_are_no_files() {
    for file in NEEDED {
        let endpoint = good();
        let unfit = |step: Step| fails(&step, Trouble::RunnerFileUnfit, &[file.variable()]);

        let folder = step_at(&endpoint).deleting(file);
        fs::create_dir(folder.path(file)).unwrap();
        unfit(folder);

        let pipe = step_at(&endpoint).deleting(file);
        mknodat(CWD, pipe.path(file), FileType::Fifo, Mode::RWXU, 0).unwrap();
        unfit(pipe);

        unfit(step_at(&endpoint).env(file.variable(), "/dev/full"));
        unfit(step_at(&endpoint).env(file.variable(), "/dev/null"));
        assert_eq!(endpoint.requests().len(), 0);
    }
}

#[test]
fn a_link_is_never_followed() {
    for file in NEEDED {
        let endpoint = good();
        let step = step_at(&endpoint).deleting(file);
        let target = step.folder().join("target");
        fs::write(&target, "mine").unwrap();
        symlink(&target, step.path(file)).unwrap();
        fails(&step, Trouble::RunnerFileUnfit, &[file.variable()]);
        assert_eq!(fs::read(&target).unwrap(), b"mine");

        fs::remove_file(&target).unwrap();
        fails(&step, Trouble::RunnerFileUnfit, &[file.variable()]);
        assert!(!target.exists(), "a dangling link was followed");
        assert_eq!(endpoint.requests().len(), 0);
    }
}

#[test]
fn a_read_only_file_is_an_error() {
    isolated(module_path!(), "a_read_only_file_is_an_error", || {
        for file in NEEDED {
            let endpoint = good();
            let step = step_at(&endpoint);
            let folder = step.folder().join("read-only");
            fs::create_dir(&folder).unwrap();
            let path = folder.join("file");
            fs::write(&path, "EARLIER=1\n").unwrap();
            make_read_only(&folder);
            let step = step.placing(file, &path);
            fails_once(&step, Trouble::RunnerFileNotWritten, &[file.variable()]);
        }
    });
}

#[test]
fn a_file_that_nobody_may_write_is_an_error_for_root_too() {
    for file in NEEDED {
        let endpoint = good();
        let step = step_at(&endpoint);
        fs::set_permissions(step.path(file), fs::Permissions::from_mode(0o444)).unwrap();
        fails_once(&step, Trouble::RunnerFileNotWritten, &[file.variable()]);
        let mode = fs::metadata(step.path(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o444, "{file:?}");
        assert_eq!(endpoint.requests().len(), 0);
    }
}

#[test]
fn each_file_is_narrowed_to_its_owner() {
    for mode in [0o644, 0o666, 0o600] {
        let endpoint = good();
        let step = step_at(&endpoint).input("summary", "true");
        for file in File::ALL {
            fs::set_permissions(step.path(file), fs::Permissions::from_mode(mode)).unwrap();
        }
        step.run().succeeded();
        for file in File::ALL {
            let mode = fs::metadata(step.path(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o600, "{file:?}");
        }
    }
}

#[test]
fn a_file_that_can_not_be_narrowed_is_written_all_the_same() {
    if !rustix::process::geteuid().is_root() || !is_installed("setpriv") {
        return skip("only root can give a file away, and setpriv take a capability");
    }
    let endpoint = good();
    let step = step_at(&endpoint).input("summary", "true").under(
        &[
            "setpriv",
            "--bounding-set=-fowner",
            "--inh-caps=-fowner",
            "--",
        ]
        .map(OsString::from),
    );
    for file in File::ALL {
        let path = step.path(file);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        chown(&path, Some(65534), Some(65534)).unwrap();
    }
    let outcome = step.run().succeeded();
    assert_eq!(outcome.env.names().len(), 3, "{outcome}");
    assert!(!outcome.output.is_untouched() && !outcome.summary.is_untouched());
    assert_eq!(outcome.warnings(), [""; 0], "{outcome}");
    for file in File::ALL {
        let mode = fs::metadata(step.path(file)).unwrap().permissions().mode();
        assert_eq!(
            mode & 0o7777,
            0o666,
            "it could be narrowed, which shows nothing"
        );
    }
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_like_any_other() {
    if !is_installed("prlimit") {
        return skip("prlimit is not installed");
    }
    let endpoint = good();
    // Larger than what this run writes to the others, so that it is met in the last file.
    let earlier = "\n".repeat(8000);
    for limit in ["--fsize=8000", "--fsize=8001", "--fsize=8100"] {
        let step = step_at(&endpoint)
            .input("summary", "true")
            .holding(File::Env, earlier.as_bytes())
            .under(&["prlimit", limit, "--"].map(OsString::from));
        // The system sends SIGXFSZ, which would end the process with the other two files written.
        fails_once(
            &step,
            Trouble::RunnerFileNotWritten,
            &["GITHUB_ENV", "nothing of it was left"],
        );
    }
}

#[test]
fn what_was_in_the_files_stays_at_their_beginning() {
    let endpoint = good();
    let step = File::ALL
        .iter()
        .fold(step_at(&endpoint).input("summary", "true"), |step, file| {
            step.holding(*file, b"EARLIER=1\n")
        });
    let outcome = step.run().succeeded();
    for change in [&outcome.env, &outcome.output, &outcome.summary] {
        assert!(!change.appended().is_empty(), "{outcome}");
    }
}

#[test]
fn a_last_line_without_its_end_does_not_swallow_the_first_record() {
    let endpoint = good();
    let step = step_at(&endpoint).holding(File::Env, b"EARLIER=1");
    let outcome = step.run().succeeded();
    let whole = github::pairs(outcome.env.after.as_deref().unwrap()).unwrap();
    assert_eq!(whole[0], ("EARLIER".into(), "1".into()), "{outcome}");
    assert_eq!(whole.len(), 4, "{outcome}");
}

/// The size of a page, by which tmpfs counts.
const PAGE: usize = 4096;

/// A step with one of its files on a disk that has room for `left` bytes more.
fn nearly_full(endpoint: &Endpoint, file: File, left: usize) -> Step {
    let step = step_at(endpoint).input("summary", "true");
    let disk = step.folder().join("disk");
    fs::create_dir(&disk).unwrap();
    mount_tmpfs(&disk, PAGE);
    let path = disk.join("file");
    let mut content = b"EARLIER<<END\n".to_vec();
    content.resize(PAGE - left - 5, b'x');
    content.extend_from_slice(b"\nEND\n");
    fs::write(&path, content).unwrap();
    step.placing(file, &path)
}

#[test]
fn on_a_full_disk_nothing_is_left_of_the_run() {
    isolated(
        module_path!(),
        "on_a_full_disk_nothing_is_left_of_the_run",
        || {
            for file in NEEDED {
                for left in [0, 1, 13, 100] {
                    let endpoint = good();
                    let step = nearly_full(&endpoint, file, left);
                    // GITHUB_ENV comes last, so that by then the others had been written.
                    fails_once(&step, Trouble::RunnerFileNotWritten, &[file.variable()]);
                }
            }
        },
    );
}

#[test]
fn a_summary_on_a_full_disk_is_a_warning_and_left_as_it_was() {
    isolated(
        module_path!(),
        "a_summary_on_a_full_disk_is_a_warning_and_left_as_it_was",
        || {
            for left in [0, 1, 13] {
                let endpoint = good();
                let outcome = nearly_full(&endpoint, File::Summary, left)
                    .run()
                    .succeeded();
                assert_eq!(outcome.warnings().len(), 1, "{outcome}");
                assert!(outcome.summary.is_untouched(), "{outcome}");
                assert_eq!(outcome.env.names().len(), 3, "{outcome}");
            }
        },
    );
}

#[test]
fn a_disk_with_just_enough_room_is_enough() {
    isolated(
        module_path!(),
        "a_disk_with_just_enough_room_is_enough",
        || {
            let endpoint = good();
            let needed = step_at(&endpoint).holding(File::Env, b"EARLIER=1\n");
            let needed = needed.run().succeeded().env.appended().len();
            let enough = nearly_full(&endpoint, File::Env, needed);
            assert_eq!(enough.run().succeeded().env.names().len(), 3);
            let short = nearly_full(&endpoint, File::Env, needed - 1);
            fails_once(&short, Trouble::RunnerFileNotWritten, &["GITHUB_ENV"]);
        },
    );
}
