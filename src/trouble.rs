//! What can end a run, one variant for each entry of `docs/troubleshooting.md`.
//!
//! A [`Trouble`] is the title that the person sees and the anchor that the link points to; the rest of
//! the message says what was tried, on what, why it failed and what to do. `anyhow` carries it upwards.

use std::fmt;

/// Where the troubleshooting page lives; Cargo.toml's `repository` is the one place to change.
const PAGE: &str = concat!(
    env!("CARGO_PKG_REPOSITORY"),
    "/blob/main/docs/troubleshooting.md"
);

/// The runner cuts an annotation at 4096 characters.
const MOST: usize = 3600;

/// The remedy that messages name most often.
pub const DIND: &str = concat!(
    "the `dind` action (",
    env!("CARGO_PKG_REPOSITORY"),
    "/tree/main/dind)"
);

macro_rules! troubles {
    ($($(#[$doc:meta])* $name:ident = $title:literal,)+) => {
        /// The titles under which a run can end without credentials.
        ///
        /// The word before the colon is the kind: *not configured* (nothing to work with), *refused*
        /// (it would not be safe), *failed* (something did not work), *cancelled* (a signal).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Trouble { $($(#[$doc])* $name,)+ }

        impl Trouble {
            /// Every title, in the order of the troubleshooting page.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The title of the annotation.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }
        }
    };
}

troubles! {
    /// An input holds something that it can't hold.
    InvalidInput = "Not configured: an input is not valid",
    /// No source of section 2 is there.
    NoSource = "Not configured: no credentials endpoint was found",
    /// No source is there, and GitHub says that the runner is its own.
    GitHubHosted = "Not configured: a GitHub-hosted runner has no task role",
    /// The runner's container has no credentials URI.
    NoTaskRole = "Not configured: the runner has no task role",
    /// The runner's container has a full URI, which is meant for that container alone.
    EndpointOfRunnerOnly = "Not configured: the endpoint serves the runner's container alone",
    /// `GITHUB_ENV` or `GITHUB_OUTPUT` is not where the runner said.
    RunnerFileMissing = "Not configured: a file of the runner is not there",
    /// A URI breaks the endpoint policy.
    EndpointNotAllowed = "Refused: the endpoint is not allowed",
    /// A token, or the file that should hold it, is unfit.
    TokenUnfit = "Refused: the authorization token can not be used",
    /// Discovery saw no container, or several, that may have started this one.
    RunnerNotProved = "Refused: the runner's container could not be proved",
    /// The account is unknown, or not among the allowed.
    AccountNotAllowed = "Refused: the account is not an allowed one",
    /// The role is unknown, or not the expected one.
    RoleNotExpected = "Refused: the role is not the expected one",
    /// `AccountId` and `RoleArn` name two accounts.
    AccountsDisagree = "Refused: the document names two accounts",
    /// Less life is left than `minimum-lifetime` asks for.
    LifeTooShort = "Refused: the credentials end too soon",
    /// The endpoint can not be handed on with `export: endpoint`.
    EndpointNotForOthers = "Refused: the endpoint can not be handed on",
    /// `GITHUB_ENV` or `GITHUB_OUTPUT` is no regular file.
    RunnerFileUnfit = "Refused: a file of the runner is not a regular file",
    /// The Docker Engine did not answer as one.
    Engine = "Failed: the Docker Engine could not be asked",
    /// The Docker Engine's host has no `ps` that serves.
    NoProcessList = "Failed: the Docker Engine's host can not list processes",
    /// No answer, or none in time.
    EndpointUnreachable = "Failed: the endpoint does not answer",
    /// 429 until the attempts, or the time, were used up.
    Throttled = "Failed: the endpoint throttles",
    /// The agent does not know the credentials id.
    UnknownId = "Failed: the id is unknown to the agent",
    /// Any other answer that is no 2xx, or a document with a `Code`.
    EndpointError = "Failed: the endpoint answered with an error",
    /// The document is not complete, not valid, or too large.
    DocumentInvalid = "Failed: the credentials document is not valid",
    /// The credentials had expired when they came.
    Expired = "Failed: the credentials have expired",
    /// Writing failed; what had been written was taken back.
    RunnerFileNotWritten = "Failed: a file of the runner could not be written",
    /// A fault of this program, or of the system under it.
    Internal = "Failed: internal error",
    /// SIGINT or SIGTERM.
    Cancelled = "Cancelled: a signal ended the run",
}

impl Trouble {
    /// The error itself; `what` says what was tried, on what, why it failed and what to do.
    pub fn because(self, what: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Problem {
            trouble: self,
            what: what.into(),
        })
    }

    /// What the annotation says: `what`, and the link to the entry, which a long explanation can't push out.
    pub fn message(self, what: &str) -> String {
        let short: String = what.chars().take(MOST).collect();
        format!("{short}. See {}", self.link())
    }

    /// The address of the entry, with the anchor that GitHub makes of the title.
    pub fn link(self) -> String {
        let anchor: String = self
            .title()
            .chars()
            .filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || c == '-' => Some(c.to_ascii_lowercase()),
                _ => None,
            })
            .collect();
        format!("{PAGE}#{anchor}")
    }
}

/// A [`Trouble`] with its explanation.
#[derive(Debug)]
pub struct Problem {
    /// Which entry of the troubleshooting page this is.
    pub trouble: Trouble,
    /// What was tried, on what, why it failed, what to do. Holds no secret.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_explanation_does_not_push_the_link_out() {
        for trouble in Trouble::ALL {
            for what in ["short", &"ü".repeat(10_000), &"x".repeat(MOST)] {
                let message = trouble.message(what);
                assert!(message.ends_with(&format!(". See {}", trouble.link())));
                assert!(message.chars().count() < 4096);
            }
        }
        assert!(Trouble::Engine.message("short").starts_with("short. See "));
    }
}
