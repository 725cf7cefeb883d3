//! The runner's hands: the one place that writes to `GITHUB_OUTPUT`, `GITHUB_STEP_SUMMARY` and `GITHUB_ENV`.
//!
//! The runner made these files and reads them after the step, *also when the step failed*
//! (`src/Runner.Worker/FileCommandManager.cs`). So nothing is created, nothing is replaced, and a failure
//! half-way takes back what was written.

use crate::trouble::Trouble;
use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// A file that the runner made for this step.
#[derive(Clone, Debug)]
pub struct RunnerFile {
    /// The variable that names it, as messages call it.
    pub variable: &'static str,
    /// Its path; None where the variable is unset or empty.
    pub path: Option<PathBuf>,
}

/// A text that is to be appended to one of the runner's files.
#[derive(Debug)]
pub struct Addition {
    /// Where to.
    pub file: RunnerFile,
    /// The bytes, whole records or whole lines.
    pub text: Zeroizing<String>,
    /// Whether all is taken back where this one fails.
    pub required: bool,
}

/// A file that is open, and the length it had.
struct Opened {
    variable: &'static str,
    file: File,
    length: u64,
}

impl RunnerFile {
    /// Whether records can be handed on through this file: it is there, regular, and open to writing.
    pub fn check(&self) -> anyhow::Result<()> {
        self.open().map(drop)
    }

    fn open(&self) -> anyhow::Result<Opened> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that writes to the runner's files"
        )]
        let file = OpenOptions::new()
            .append(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(self.path()?)
            .map_err(|error| self.not_opened(&error))?;
        let found = file.metadata().map_err(|error| self.not_opened(&error))?;
        self.regular(&found)?;
        Ok(Opened {
            variable: self.variable,
            file,
            length: found.len(),
        })
    }

    fn path(&self) -> anyhow::Result<&PathBuf> {
        self.path.as_ref().ok_or_else(|| {
            Trouble::RunnerFileMissing.because(format!(
                "tried to find the file behind {}, but that variable is not set: this program hands \
                 credentials on through the runner's files; run it as a step of a GitHub Actions job",
                self.variable
            ))
        })
    }

    fn regular(&self, found: &Metadata) -> anyhow::Result<()> {
        if !found.is_file() {
            return Err(self.unfit("a special file"));
        }
        // Root could write all the same; but somebody said no.
        if found.permissions().readonly() {
            return Err(self.not_opened(&io::Error::from_raw_os_error(libc::EACCES)));
        }
        Ok(())
    }

    fn unfit(&self, kind: &str) -> anyhow::Error {
        Trouble::RunnerFileUnfit.because(format!(
            "tried to open the file behind {}, but it is {kind}: credentials go only into the regular file \
             that the runner made; something in the job or beside it replaced that file",
            self.variable
        ))
    }

    fn not_opened(&self, error: &io::Error) -> anyhow::Error {
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => {
                Trouble::RunnerFileMissing.because(format!(
                    "tried to open the file behind {}, but it is not there. Either the runner's work directory \
                     is not mounted at the same path on the host and in the runner's container (docker then \
                     mounts an empty directory here): mount it at one path on both sides. Or two runners share \
                     one work folder and empty each other's: give each a folder of its own",
                    self.variable
                ))
            }
            // What open says of a symbolic link under O_NOFOLLOW, of a directory, and of a pipe nobody reads.
            Some(libc::ELOOP) => self.unfit("a symbolic link"),
            Some(libc::EISDIR) => self.unfit("a directory"),
            Some(libc::ENXIO) => self.unfit("a special file"),
            _ => Trouble::RunnerFileNotWritten.because(format!(
                "tried to open the file behind {} for appending: {}; nothing was exported: let the user that this step runs as \
                 write to the runner's files",
                self.variable,
                reason(error)
            )),
        }
    }
}

/// Appends to each file its text, in the order given; all that are required, or none.
///
/// Every file is opened before the first byte is written. Each gets its text in one write; where that
/// comes short, or a later file fails, it is cut back to the length it had. The failures of what is not
/// required are returned.
pub fn append_all(additions: &[Addition]) -> anyhow::Result<Vec<anyhow::Error>> {
    let mut tolerated = Vec::new();
    let mut opened = Vec::new();
    for addition in additions {
        match addition.file.open() {
            Ok(file) => opened.push((file, addition)),
            Err(error) if addition.required => return Err(error),
            Err(error) => tolerated.push(error),
        }
    }
    let mut written: Vec<&Opened> = Vec::new();
    for (file, addition) in &opened {
        // Neighbours that have the same directory mounted need not read keys. Where the file is not ours
        // to change, the write still serves.
        let _ = file.file.set_permissions(Permissions::from_mode(0o600));
        match file.append(&addition.text) {
            Ok(()) => written.push(file),
            Err(error) if addition.required => {
                written.push(file);
                return Err(file.not_written(&error, &take_back(&written)));
            }
            Err(error) => tolerated.push(file.not_written(&error, &take_back(&[file]))),
        }
    }
    Ok(tolerated)
}

/// Undoes what was written, the last first; says whether that went well.
fn take_back(written: &[&Opened]) -> String {
    let left: Vec<_> = written
        .iter()
        .rev()
        .filter(|file| file.cut_back().is_err())
        .map(|file| file.variable)
        .collect();
    if left.is_empty() {
        "nothing of it was left there".to_owned()
    } else {
        format!(
            "and what was written could not be taken back from {}",
            left.join(", ")
        )
    }
}

impl Opened {
    fn append(&self, text: &str) -> io::Result<()> {
        // A last line that somebody left without its end must not swallow the first record; the runner
        // skips empty lines.
        let separator = if self.length == 0 { "" } else { "\n" };
        let whole = Zeroizing::new([separator, text].concat());
        let written = loop {
            match (&self.file).write(whole.as_bytes()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => break outcome?,
            }
        };
        if written == whole.len() {
            Ok(())
        } else {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        }
    }

    fn not_written(&self, error: &io::Error, taken_back: &str) -> anyhow::Error {
        Trouble::RunnerFileNotWritten.because(format!(
            "tried to append to the file behind {}: {}; {taken_back}",
            self.variable,
            reason(error)
        ))
    }

    fn cut_back(&self) -> io::Result<()> {
        let cut = || self.file.set_len(self.length);
        cut().or_else(|_| cut()).or_else(|error| {
            // Nothing may have been written in the first place.
            match self.file.metadata() {
                Ok(found) if found.len() == self.length => Ok(()),
                _ => Err(error),
            }
        })
    }
}

/// The system's words for an error, without what a path or a library may have put in.
fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code).to_string(),
        None => error.kind().to_string(),
    }
}
