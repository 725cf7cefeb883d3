//! Reads the one step of `dind/action.yml` and evaluates it as GitHub's runner would.

use std::collections::BTreeMap;

use crate::support::action;

pub(crate) const YAML: &str = include_str!("../../dind/action.yml");

/// The step, with its expressions as they stand in the file.
#[derive(Clone, Debug)]
pub(crate) struct Composite {
    pub(crate) id: String,
    pub(crate) shell: String,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) run: String,
}

/// The step. Whatever of `runs:` this reader does not know is a failure.
pub(crate) fn read() -> Composite {
    let mut composite = Composite {
        id: String::new(),
        shell: String::new(),
        env: BTreeMap::new(),
        run: String::new(),
    };
    let mut part = "";
    let runs = YAML.split_once("\nruns:\n").unwrap().1;
    for line in runs.lines() {
        let text = line.trim_start();
        let depth = line.len() - text.len();
        match (part, depth, text) {
            ("run", 8.., _) | ("run", _, "") => {
                composite.run.push_str(line.get(8..).unwrap_or_default());
                composite.run.push('\n');
            }
            (_, 2, "using: composite" | "steps:") => {}
            (_, 4, _) if composite.id.is_empty() => {
                composite.id = text.strip_prefix("- id: ").unwrap().to_owned();
            }
            (_, 6, "env:") => part = "env",
            (_, 6, "run: |") => part = "run",
            (_, 6, _) => composite.shell = text.strip_prefix("shell: ").unwrap().to_owned(),
            ("env", 8, _) if text.starts_with('#') => {}
            ("env", 8, _) => {
                let (name, value) = text.split_once(": ").unwrap();
                let value = value.trim_matches('"').to_owned();
                assert!(
                    composite.env.insert(name.to_owned(), value).is_none(),
                    "{name} twice"
                );
            }
            _ => panic!("unknown line {line:?}"),
        }
    }
    composite
}

impl Composite {
    /// The step's environment for a workflow's `with:`; `context` is whatever else an expression may name.
    pub(crate) fn environment(
        &self,
        with: &[(&str, &str)],
        context: &[(&str, &str)],
    ) -> BTreeMap<String, String> {
        let mut values: BTreeMap<String, String> = action::section(YAML, "inputs")
            .into_iter()
            .map(|input| {
                (
                    format!("inputs.{}", input.name),
                    input.default.unwrap_or_default(),
                )
            })
            .collect();
        for (name, value) in with {
            let known = values.insert(format!("inputs.{name}"), (*value).to_owned());
            assert!(known.is_some(), "there is no input {name}");
        }
        for (name, value) in context {
            values.insert((*name).to_owned(), (*value).to_owned());
        }
        self.env
            .iter()
            .map(|(name, value)| {
                let value = match expression(value) {
                    // What is not there is an empty string, as in GitHub's own expressions.
                    Some(expression) => values.get(expression).cloned().unwrap_or_default(),
                    None => value.clone(),
                };
                (name.clone(), value)
            })
            .collect()
    }
}

/// What stands between `${{` and `}}`.
pub(crate) fn expression(value: &str) -> Option<&str> {
    Some(value.strip_prefix("${{")?.strip_suffix("}}")?.trim())
}
