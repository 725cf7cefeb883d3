//! The process environment, read through ghactions-core, and nothing of it guessed.

use crate::trouble::Trouble;
use ghactions_core::{ActionTrait, ActionsError};

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
pub(super) struct Process;

impl ActionTrait for Process {
    fn init() -> Result<Self, ActionsError> {
        Ok(Self)
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
        match Self::get_input(name) {
            Ok(text) => Variable::Text(text),
            // ghactions-core says the same of a variable that is absent and of one that is not UTF-8.
            #[expect(clippy::disallowed_methods, reason = "the environment is read here")]
            Err(_) if std::env::var_os(name).is_some() => Variable::NotText,
            Err(_) => Variable::Absent,
        }
    }
}
