//! The process environment, read through ghactions-core, and nothing of it guessed.

use crate::trouble::Trouble;
use ghactions_core::{ActionTrait, ActionsError};
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};

/// What a variable holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    Absent,
    Text(String),
    /// Something that is not UTF-8.
    NotText,
}

/// Where variables are read from.
pub(super) trait Variables {
    fn look_up(&self, name: &str) -> Variable;

    /// A variable that decides something: one that can't be read must not pass for one that is not set.
    fn must_be_text(&self, name: &str) -> anyhow::Result<Option<String>> {
        match self.look_up(name) {
            Variable::Absent => Ok(None),
            Variable::Text(text) => Ok(Some(text)),
            Variable::NotText => Err(Trouble::InvalidInput.because(format!(
                "tried to read the variable {name}, but it is not UTF-8"
            ))),
        }
    }

    /// The same, where an empty one counts as unset.
    fn set(&self, name: &str) -> anyhow::Result<Option<String>> {
        Ok(self.must_be_text(name)?.filter(|text| !text.is_empty()))
    }

    /// A variable that is worth having: one that can't be read counts as unset, and so does an empty one.
    fn text(&self, name: &str) -> Option<String> {
        match self.look_up(name) {
            Variable::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }
}

/// The process environment.
pub(super) struct Process {
    /// The names of all variables. Most of those asked for are not set, and to learn that from the environment itself
    /// takes a walk through all of it, for each of them.
    names: HashSet<OsString>,
}

impl ActionTrait for Process {
    fn init() -> Result<Self, ActionsError> {
        #[expect(clippy::disallowed_methods, reason = "the environment is read here")]
        let variables = std::env::vars_os();
        Ok(Self {
            names: variables.map(|(name, _)| name).collect(),
        })
    }

    fn name(&self) -> &str {
        env!("CARGO_PKG_NAME")
    }

    fn description(&self) -> &str {
        env!("CARGO_PKG_DESCRIPTION")
    }
}

impl Variables for Process {
    fn look_up(&self, name: &str) -> Variable {
        if !self.names.contains(OsStr::new(name)) {
            return Variable::Absent;
        }
        // It is there, so an error can be but one thing.
        Self::get_input(name).map_or(Variable::NotText, Variable::Text)
    }
}
