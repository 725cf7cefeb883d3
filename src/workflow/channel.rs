//! The runner's ear: the one place that writes to standard output.
//!
//! Lines are gathered and written when they must be seen: before a request, before a wait, at the end. A
//! mask is such a line: whoever asks for [`Channel::flush`] learns whether the runner got it.

use super::command::{self, Level};
use crate::secret::Secret;
use crate::trouble::Trouble;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use zeroize::Zeroizing;

/// Standard output, as the runner reads it.
#[derive(Debug)]
pub struct Channel {
    out: File,
    pending: Zeroizing<Vec<u8>>,
    masked: Vec<Secret>,
    debug: bool,
    grouped: bool,
}

impl Channel {
    /// The process's standard output; `debug` is what `RUNNER_DEBUG=1` asks for.
    pub fn open(debug: bool) -> io::Result<Self> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that writes to standard output"
        )]
        let stdout = io::stdout();
        Ok(Self {
            // Its own descriptor: the standard library's would buffer a second time.
            out: File::from(stdout.as_fd().try_clone_to_owned()?),
            pending: Zeroizing::new(Vec::with_capacity(4096)),
            masked: Vec::new(),
            debug,
            grouped: false,
        })
    }

    /// A plain line.
    pub fn say(&mut self, text: &str) {
        self.push(&command::plain(text));
    }

    /// A line for whoever debugs.
    pub fn debug(&mut self, text: &str) {
        if self.debug {
            self.push(&command::debug(text));
        }
    }

    /// A warning annotation.
    pub fn warn(&mut self, title: &str, message: &str) {
        self.push(&command::annotation(Level::Warning, title, message));
    }

    /// The error annotation that ends a failed run.
    pub fn fail(&mut self, trouble: Trouble, what: &str) {
        self.end_group();
        let message = trouble.message(what);
        self.push(&command::annotation(
            Level::Error,
            trouble.title(),
            &message,
        ));
    }

    /// Hides a value from the next line on. An empty one would hide nothing and only draws a warning.
    ///
    /// The text itself and no [`Secret`]: the three keys are the document's, and a copy to hide them by is one more to wipe.
    pub fn mask(&mut self, secret: &str) {
        if !secret.trim_start().is_empty() {
            self.push(&command::mask(secret));
        }
    }

    /// The same for a value that comes again and again.
    pub fn mask_once(&mut self, secret: &Secret) {
        if !self.masked.contains(secret) {
            self.mask(secret.expose());
            self.masked.push(secret.clone());
        }
    }

    /// Folds what follows under a title.
    pub fn group(&mut self, title: &str) {
        self.push(&command::group(title));
        self.grouped = true;
    }

    /// For whoever speaks in the place of another channel, which may have left a group open.
    pub fn take_over(&mut self) {
        self.grouped = true;
    }

    /// Ends the fold, if one is open.
    pub fn end_group(&mut self) {
        if self.grouped {
            self.push(command::END_GROUP);
            self.grouped = false;
        }
    }

    /// Hands all lines to the runner. An error means that it may not have seen them, masks among them.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        let outcome = self.out.write_all(&self.pending);
        self.pending.clear();
        outcome.map_err(|error| {
            Trouble::Internal.because(format!(
                "standard output can not be written ({}), so values could not be hidden in the log, and nothing \
                 was exported",
                error.kind()
            ))
        })
    }

    fn push(&mut self, line: &str) {
        make_room(&mut self.pending, line.len() + 1);
        self.pending.extend_from_slice(line.as_bytes());
        self.pending.push(b'\n');
    }
}

/// Room for so many bytes more. A buffer that grows by itself leaves a copy behind that nobody wipes.
fn make_room(buffer: &mut Zeroizing<Vec<u8>>, more: usize) {
    let needed = buffer.len() + more;
    if needed > buffer.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(2 * needed));
        larger.extend_from_slice(buffer);
        *buffer = larger;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_has_to_grow_is_replaced() {
        let mut buffer = Zeroizing::new(Vec::with_capacity(4));
        buffer.extend_from_slice(b"abc");
        let place = buffer.as_ptr();
        make_room(&mut buffer, 1);
        assert_eq!((buffer.as_ptr(), buffer.capacity()), (place, 4));
        make_room(&mut buffer, 2);
        assert_eq!((buffer.as_slice(), buffer.capacity()), (&b"abc"[..], 10));
    }
}
