//! How does a name with its value stand in `GITHUB_ENV` or `GITHUB_OUTPUT`, so that the value can't add a
//! second one?
//!
//! Always in heredoc form with a random delimiter, whatever the value: `src/Runner.Worker/FileCommandManager.cs`
//! of actions/runner reads lines until one that equals the delimiter.

use crate::secret::Secret;
use std::fmt::Write;
use zeroize::Zeroizing;

/// A name and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The variable or output; always one of this program's own, so it holds no `=` and no `<<`.
    pub name: &'static str,
    /// The value, whatever it holds.
    pub value: Secret,
}

impl Record {
    /// A record.
    pub fn new(name: &'static str, value: impl Into<String>) -> Self {
        Self {
            name,
            value: Secret::new(value),
        }
    }
}

/// A line that no value has.
#[derive(Clone, Debug)]
pub struct Delimiter(String);

impl Delimiter {
    /// 128 random bits; an error where the operating system has none to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits)?;
        Ok(Self::from_bits(u128::from_ne_bytes(bits)))
    }

    /// The delimiter of given bits.
    pub fn from_bits(bits: u128) -> Self {
        Self(format!("ghadelimiter_{bits:032x}"))
    }
}

/// All records as the bytes that are appended.
pub fn encode(records: &[Record], delimiter: &Delimiter) -> Zeroizing<String> {
    let Delimiter(end) = delimiter;
    let size = records
        .iter()
        .map(|record| record.name.len() + record.value.len() + 2 * end.len() + 5)
        .sum();
    // Sized beforehand: a buffer that grows leaves copies behind that nobody wipes.
    let mut text = Zeroizing::new(String::with_capacity(size));
    for record in records {
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "{}<<{end}\n{}\n{end}",
            record.name,
            record.value.expose()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_heredoc() {
        let text = encode(&[Record::new("A", "b=c")], &Delimiter::from_bits(10));
        assert_eq!(
            *text,
            "A<<ghadelimiter_0000000000000000000000000000000a\nb=c\nghadelimiter_0000000000000000000000000000000a\n"
        );
    }

    #[test]
    fn the_buffer_never_grows() {
        let records = [Record::new("A", "x".repeat(1000)), Record::new("B", "")];
        let text = encode(&records, &Delimiter::from_bits(0));
        assert_eq!(text.len(), text.capacity());
    }

    #[test]
    fn delimiters_differ() {
        assert_ne!(
            Delimiter::random().unwrap().0,
            Delimiter::random().unwrap().0
        );
    }
}
