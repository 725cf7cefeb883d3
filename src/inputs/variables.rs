//! What the runner, the workflow and earlier steps put into the environment, and nothing of it guessed.

use crate::trouble::Trouble;
use ghactions_core::{ActionTrait, ActionsError};
use std::ffi::OsString;
use std::fmt;

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
    /// The first whose name is the wanted one.
    fn find(&self, wanted: impl Fn(&[u8]) -> bool) -> Variable<'_>;

    fn look_up(&self, name: &str) -> Variable<'_> {
        self.find(|there| there == name.as_bytes())
    }

    /// What the runner made of an input.
    fn input(&self, name: &str) -> anyhow::Result<Option<&str>> {
        let mut found = self.find(|there| is_of(name, b'-', there));
        if found == Variable::Absent {
            found = self.find(|there| is_of(name, b'_', there));
        }
        found.must_be_text(format_args!("input `{name}`"))
    }

    /// A variable that decides something; an empty one counts as unset.
    fn set(&self, name: &str) -> anyhow::Result<Option<&str>> {
        let text = self
            .look_up(name)
            .must_be_text(format_args!("variable {name}"))?;
        Ok(text.filter(|text| !text.is_empty()))
    }

    /// A variable that is worth having: one that can't be read counts as unset, and so does an empty one.
    fn text(&self, name: &str) -> Option<&str> {
        match self.look_up(name) {
            Variable::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }
}

impl<'a> Variable<'a> {
    /// One that can't be read must not pass for one that is not set.
    fn must_be_text(self, place: fmt::Arguments<'_>) -> anyhow::Result<Option<&'a str>> {
        match self {
            Self::Absent => Ok(None),
            Self::Text(text) => Ok(Some(text)),
            Self::NotText => Err(Trouble::InvalidInput
                .because(format!("tried to read the {place}, but it is not UTF-8"))),
        }
    }
}

/// Whether `variable` is that of the input `name`: upper case, with `hyphen` for its hyphens.
fn is_of(name: &str, hyphen: u8, variable: &[u8]) -> bool {
    const BEFORE: &[u8] = b"INPUT_";
    variable.len() == BEFORE.len() + name.len()
        && variable.strip_prefix(BEFORE).is_some_and(|there| {
            there.iter().zip(name.bytes()).all(|(&there, c)| match c {
                b'-' => there == hyphen,
                c => there == c.to_ascii_uppercase(),
            })
        })
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
    fn find(&self, wanted: impl Fn(&[u8]) -> bool) -> Variable<'_> {
        let Self(variables) = self;
        let mut variables = variables.iter();
        match variables.find(|(name, _)| wanted(name.as_encoded_bytes())) {
            None => Variable::Absent,
            Some((_, value)) => value.to_str().map_or(Variable::NotText, Variable::Text),
        }
    }
}
