//! A text that must not be seen: keys, tokens, and the credentials URI, which serves whoever knows it.

use std::fmt;
use zeroize::Zeroizing;

/// A text that can't be printed by accident: no `Display`, a `Debug` that tells its length alone, and
/// memory that is wiped when it goes.
///
/// The wiping covers this copy. Buffers of the HTTP client that the text came through are not ours to
/// wipe (docs/threat-model.md).
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over; the caller's own copy, if any, is the caller's to wipe.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself, for a request, a mask or a file of the runner.
    ///
    /// A test keeps every call in `credentials/fetch`, `publish` and `workflow`.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Length in bytes, the one thing about a secret that a message may say.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing to hide.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the text holds a character for which `unfit` is true.
    pub fn has(&self, unfit: impl Fn(char) -> bool) -> bool {
        self.0.chars().any(unfit)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_tells_the_length_alone() {
        let shown = format!("{:?}", Some(Secret::new("MARKER")));
        assert_eq!(shown, "Some(Secret(6 bytes))");
    }
}
