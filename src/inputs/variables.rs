//! What the runner, the workflow and earlier steps put into the environment, and nothing of it guessed.

use crate::trouble::Trouble;
use ghactions_core::{ActionTrait, ActionsError};
use std::ffi::OsString;

/// What a variable holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variable<'a> {
    Absent,
    Text(&'a str),
    /// Something that is not UTF-8.
    NotText,
}

/// Where variables are read from.
pub(super) trait Variables {
    fn look_up(&self, name: &str) -> Variable<'_>;

    /// A variable that decides something: one that can't be read must not pass for one that is not set.
    fn must_be_text(&self, name: &str) -> anyhow::Result<Option<&str>> {
        match self.look_up(name) {
            Variable::Absent => Ok(None),
            Variable::Text(text) => Ok(Some(text)),
            Variable::NotText => Err(Trouble::InvalidInput.because(format!(
                "tried to read the variable {name}, but it is not UTF-8"
            ))),
        }
    }

    /// The same, where an empty one counts as unset.
    fn set(&self, name: &str) -> anyhow::Result<Option<&str>> {
        Ok(self.must_be_text(name)?.filter(|text| !text.is_empty()))
    }

    /// A variable that is worth having: one that can't be read counts as unset, and so does an empty one.
    fn text(&self, name: &str) -> Option<&str> {
        match self.look_up(name) {
            Variable::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }
}

/// The process environment, copied once, since each question to the system's own list is a walk through all of it.
pub(super) struct Process(Vec<(OsString, OsString)>);

impl ActionTrait for Process {
    fn init() -> Result<Self, ActionsError> {
        #[expect(clippy::disallowed_methods, reason = "the environment is read here")]
        let variables = std::env::vars_os();
        Ok(Self(variables.collect()))
    }

    fn name(&self) -> &str {
        env!("CARGO_PKG_NAME")
    }

    fn description(&self) -> &str {
        env!("CARGO_PKG_DESCRIPTION")
    }
}

impl Variables for Process {
    fn look_up(&self, name: &str) -> Variable<'_> {
        let Self(variables) = self;
        match variables.iter().find(|(there, _)| there == name) {
            None => Variable::Absent,
            Some((_, value)) => value.to_str().map_or(Variable::NotText, Variable::Text),
        }
    }
}
