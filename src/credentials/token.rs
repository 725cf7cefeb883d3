//! What is sent in `Authorization`, and is it fit to be sent?
//!
//! AWS's SDKs send the token verbatim, never trimmed, and a file wins over a value (facts of
//! [the SDK reference](https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html)).
//! A line break in it would end the header, so it is refused here and not left to the client.

use crate::secret::Secret;
use crate::trouble::{DIND, Trouble};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The largest token file that is read, in bytes.
const LIMIT: usize = 16 * 1024;

/// Where the token comes from.
#[derive(Clone, Debug)]
pub enum Token {
    /// The token itself, checked.
    Value(Secret),
    /// A file that is read anew for each attempt: EKS changes its content.
    File {
        /// Its path. It stays out of messages: somebody may have put the token itself there.
        path: PathBuf,
        /// The variable that names it.
        named_by: &'static str,
    },
}

impl Token {
    /// A token given as a value; `place` is what messages call it.
    pub fn value(secret: Secret, place: &str) -> anyhow::Result<Self> {
        fit(&secret, place)?;
        Ok(Self::Value(secret))
    }

    /// The token as it is now.
    pub fn read(&self) -> anyhow::Result<Secret> {
        match self {
            Self::Value(secret) => Ok(secret.clone()),
            Self::File { path, named_by } => {
                let place = format!("the token file that {named_by} names");
                let secret = read_file(path).map_err(|why| {
                    unfit(
                        &place,
                        &format!("{why}; a container has none of the runner's files: use {DIND}, which runs on the runner; if this is the runner, see whether its token was mounted"),
                    )
                })?;
                if secret.is_empty() {
                    return Err(unfit(&place, "it is empty"));
                }
                fit(&secret, &place)?;
                Ok(secret)
            }
        }
    }
}

fn read_file(path: &PathBuf) -> Result<Secret, String> {
    // Links are followed, since EKS mounts one. Without O_NONBLOCK a pipe would hold up the open for ever.
    #[expect(
        clippy::disallowed_methods,
        reason = "reads a file of the user's, not the runner's"
    )]
    let file: File = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(reason)?;
    if !file.metadata().map_err(reason)?.is_file() {
        return Err("it is not a regular file".into());
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(LIMIT + 1));
    file.take(LIMIT as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(reason)?;
    if bytes.len() > LIMIT {
        return Err(format!("it is larger than {} KiB", LIMIT / 1024));
    }
    std::str::from_utf8(&bytes)
        .map(Secret::new)
        .map_err(|_| "it is not UTF-8".into())
}

fn reason(error: io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => format!("reading failed: {}", io::Error::from_raw_os_error(code)),
        None => format!("reading failed: {}", error.kind()),
    }
}

/// RFC 9110 section 5.5: no control character can stand in a field's value; a tab can.
fn fit(secret: &Secret, place: &str) -> anyhow::Result<()> {
    let length = secret.len();
    if secret.has(|c| matches!(c, '\r' | '\n' | '\0')) {
        return Err(unfit(
            place,
            &format!(
                "its {length} bytes hold a line break or a NUL; it is sent verbatim, so write it without"
            ),
        ));
    }
    if secret.has(|c| c.is_ascii_control() && c != '\t') {
        return Err(unfit(
            place,
            &format!("its {length} bytes hold a control character"),
        ));
    }
    Ok(())
}

fn unfit(place: &str, why: &str) -> anyhow::Error {
    Trouble::TokenUnfit.because(format!("tried to use {place}, but {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(error: &anyhow::Error) -> String {
        assert_eq!(
            error
                .downcast_ref::<crate::trouble::Problem>()
                .unwrap()
                .trouble,
            Trouble::TokenUnfit
        );
        error.to_string()
    }

    #[test]
    fn a_token_with_a_line_break_is_reported_by_length_alone() {
        for bad in [
            "MARKER\n",
            "MAR\rKER",
            "MARKER\0",
            "MARKER\u{1}",
            "MARKER\u{7f}",
        ] {
            let said = trouble(&Token::value(Secret::new(bad), "the input").unwrap_err());
            assert!(said.contains(&bad.len().to_string()), "{said}");
            assert!(!said.contains("MAR"), "{said}");
        }
    }

    #[test]
    fn a_token_is_sent_as_it_is() {
        let token = Token::value(Secret::new(" a\tb "), "the input").unwrap();
        assert_eq!(token.read().unwrap().expose(), " a\tb ");
    }

    /// What is said of a token file with these bytes; the token, where it is read.
    #[allow(
        clippy::disallowed_methods,
        reason = "a test makes the file that is read"
    )]
    fn of_file(bytes: &[u8]) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, bytes).unwrap();
        let token = Token::File {
            path,
            named_by: "THE_VARIABLE",
        };
        match token.read() {
            Ok(secret) => Ok(secret.expose().to_owned()),
            Err(error) => Err(trouble(&error)),
        }
    }

    #[test]
    fn a_token_file_is_at_most_16_kib_of_text() {
        assert_eq!(of_file(b" MARKER "), Ok(" MARKER ".into()));
        let most = "x".repeat(16_384);
        assert_eq!(of_file(most.as_bytes()), Ok(most.clone()));
        for (bytes, says) in [
            (format!("{most}x").into_bytes(), "larger than 16 KiB"),
            (b"MARKER\xff".to_vec(), "not UTF-8"),
            (Vec::new(), "empty"),
            (b"MARKER\n".to_vec(), "line break"),
        ] {
            let said = of_file(&bytes).unwrap_err();
            assert!(said.contains(says), "{said}");
            assert!(said.contains("THE_VARIABLE") && !said.contains("MARKER"));
        }
    }

    #[test]
    fn a_token_file_is_a_file_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        for (path, says) in [
            (folder.path().to_owned(), "not a regular file"),
            (folder.path().join("none"), "reading failed: No such file"),
        ] {
            let token = Token::File {
                path,
                named_by: "THE_VARIABLE",
            };
            let said = trouble(&token.read().unwrap_err());
            assert!(said.contains(says), "{said}");
        }
    }
}
