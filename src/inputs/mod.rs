//! What did the workflow's author ask for? Raw strings come in, meaning goes out.
//!
//! An input arrives as `INPUT_<NAME>`: upper case, hyphens kept (`src/Runner.Worker/Handlers/Handler.cs` of
//! actions/runner); `dind` hands it on with `_` for hyphens, since dash and busybox drop the others. One that is not
//! set arrives as an empty string.

mod surroundings;
mod user_agent;
mod variables;

use crate::credentials::checks::Guards;
use crate::credentials::identity::{AccountId, ExpectedRole};
use crate::region::Region;
use crate::trouble::Trouble;
use ghactions_core::ActionTrait;
use std::fmt;
use std::time::Duration;
pub use surroundings::{Leftovers, Surroundings};
use variables::{Process, Variables};

/// What later steps receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Export {
    /// The three key variables.
    Keys,
    /// The endpoint, so that each SDK fetches and renews by itself.
    Endpoint,
    /// Nothing but outputs.
    None,
}

/// The inputs of `action.yml`, checked.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// `aws-region`
    pub region: Option<Region>,
    /// `export`
    pub export: Export,
    /// `output-credentials`
    pub output_credentials: bool,
    /// `allowed-account-ids`, `expected-role`, `minimum-lifetime`
    pub guards: Guards,
    /// `mask-aws-account-id`
    pub mask_account: bool,
    /// `summary`
    pub summary: bool,
    /// `dry-run`
    pub dry_run: bool,
    /// `discovery: auto`
    pub discover: bool,
    /// `retry-max-attempts`
    pub attempts: u32,
    /// `timeout`
    pub timeout: Duration,
}

/// Whether the workflow was started with step debugging.
pub fn debug() -> bool {
    Process::get_input("RUNNER_DEBUG").is_ok_and(|value| value == "1")
}

/// Reads everything there is to read.
pub fn read() -> anyhow::Result<(Inputs, Surroundings)> {
    let process = Process::init()?;
    let reader = Reader(&process);
    Ok((reader.inputs()?, reader.surroundings()?))
}

struct Reader<'a, V>(&'a V);

impl<V: Variables> Reader<'_, V> {
    fn inputs(&self) -> anyhow::Result<Inputs> {
        Ok(Inputs {
            region: self.parsed("aws-region", "a region such as eu-west-1", Region::parse)?,
            export: self
                .parsed(
                    "export",
                    "`keys`, `endpoint` or `none`",
                    |text| match text {
                        "keys" => Some(Export::Keys),
                        "endpoint" => Some(Export::Endpoint),
                        "none" => Some(Export::None),
                        _ => None,
                    },
                )?
                .unwrap_or(Export::Keys),
            output_credentials: self.flag("output-credentials")?,
            guards: Guards {
                accounts: self.accounts()?,
                role: self.role()?,
                minimum_lifetime: Duration::from_secs(self.minimum_lifetime()?.into()),
            },
            mask_account: self.flag("mask-aws-account-id")?,
            summary: self.flag("summary")?,
            dry_run: self.flag("dry-run")?,
            discover: self
                .parsed("discovery", "`auto` or `environment`", |text| match text {
                    "auto" => Some(true),
                    "environment" => Some(false),
                    _ => None,
                })?
                .unwrap_or(true),
            attempts: self.number("retry-max-attempts", 1, 100)?.unwrap_or(8),
            timeout: Duration::from_secs(self.number("timeout", 1, 3600)?.unwrap_or(60).into()),
        })
    }

    fn accounts(&self) -> anyhow::Result<Option<Vec<AccountId>>> {
        const NAME: &str = "allowed-account-ids";
        let Some(text) = self.guard(NAME)? else {
            return Ok(None);
        };
        let entries = || {
            text.split([',', '\n'])
                .map(str::trim)
                .filter(|entry| !entry.is_empty())
        };
        if text == "*" {
            return Ok(None);
        }
        let accounts: Option<Vec<_>> = entries().map(AccountId::parse).collect();
        match accounts {
            Some(accounts) if !accounts.is_empty() => Ok(Some(accounts)),
            _ => Err(invalid(
                NAME,
                "account ids of 12 digits each, separated by commas or line breaks, or `*` alone (quote an id: \
                 YAML eats a leading zero)",
            )),
        }
    }

    fn role(&self) -> anyhow::Result<Option<ExpectedRole>> {
        const NAME: &str = "expected-role";
        match self.guard(NAME)? {
            None => Ok(None),
            Some("*") => Ok(None),
            Some(text) => match ExpectedRole::parse(text) {
                Ok(role) => Ok(Some(role)),
                Err(why) => Err(Trouble::InvalidInput
                    .because(format!("tried to read the input `{NAME}`, but {why}"))),
            },
        }
    }

    fn minimum_lifetime(&self) -> anyhow::Result<u32> {
        const NAME: &str = "minimum-lifetime";
        self.guard(NAME)?;
        Ok(self.number(NAME, 0, 43200)?.unwrap_or(0))
    }

    /// An input whose emptiness must not open a door: `${{ vars.MISSPELT }}` is empty.
    fn guard(&self, name: &str) -> anyhow::Result<Option<&str>> {
        match self.raw_input(name)? {
            None => Ok(None),
            Some(text) if text.trim().is_empty() => Err(Trouble::InvalidInput.because(format!(
                "the input `{name}` is there, but empty: a guard that is set to nothing (a misspelt variable?) \
                 guards nothing; write what it should hold, or leave it out"
            ))),
            Some(text) => Ok(Some(text.trim())),
        }
    }

    fn flag(&self, name: &str) -> anyhow::Result<bool> {
        let flag = self.parsed(name, "true or false", |text| match text {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => None,
        })?;
        Ok(flag.unwrap_or(false))
    }

    fn number(&self, name: &str, least: u32, most: u32) -> anyhow::Result<Option<u32>> {
        self.parsed(
            name,
            format_args!("a whole number from {least} to {most}"),
            |text| {
                // `parse` would take a plus sign.
                let digits = text.bytes().all(|b| b.is_ascii_digit());
                text.parse()
                    .ok()
                    .filter(|number| digits && (least..=most).contains(number))
            },
        )
    }

    fn parsed<T>(
        &self,
        name: &str,
        wanted: impl fmt::Display,
        parse: impl Fn(&str) -> Option<T>,
    ) -> anyhow::Result<Option<T>> {
        match self.input(name)? {
            None => Ok(None),
            Some(text) => parse(text).map(Some).ok_or_else(|| invalid(name, wanted)),
        }
    }

    /// An input without the white space around it; None where nothing is left.
    fn input(&self, name: &str) -> anyhow::Result<Option<&str>> {
        let text = self.raw_input(name)?;
        Ok(text.map(str::trim).filter(|text| !text.is_empty()))
    }

    fn raw_input(&self, name: &str) -> anyhow::Result<Option<&str>> {
        let hyphens = format!("INPUT_{}", name.to_ascii_uppercase());
        match self.0.must_be_text(&hyphens)? {
            Some(text) => Ok(Some(text)),
            None => self.0.must_be_text(&hyphens.replace('-', "_")),
        }
    }
}

fn invalid(name: &str, wanted: impl fmt::Display) -> anyhow::Error {
    // The value stays out: it may be a secret that landed in the wrong place.
    Trouble::InvalidInput.because(format!(
        "tried to read the input `{name}`, but its value is not {wanted}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::endpoint::{GivenToken, Uri};
    use crate::trouble::Problem;
    use std::collections::BTreeMap;
    use variables::Variable;

    struct Map(BTreeMap<String, String>);

    impl Variables for Map {
        fn look_up(&self, name: &str) -> Variable<'_> {
            match self.0.get(name).map(String::as_str) {
                None => Variable::Absent,
                Some("NOT TEXT") => Variable::NotText,
                Some(text) => Variable::Text(text),
            }
        }
    }

    fn map(pairs: &[(&str, &str)]) -> Map {
        Map(pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect())
    }

    fn inputs(pairs: &[(&str, &str)]) -> anyhow::Result<Inputs> {
        Reader(&map(pairs)).inputs()
    }

    fn surroundings(pairs: &[(&str, &str)]) -> Surroundings {
        Reader(&map(pairs)).surroundings().unwrap()
    }

    fn refused(pairs: &[(&str, &str)]) -> String {
        let error = inputs(pairs).unwrap_err();
        let problem = error.downcast_ref::<Problem>().unwrap();
        assert_eq!(problem.trouble, Trouble::InvalidInput);
        problem.what.clone()
    }

    #[test]
    fn absent_and_empty_inputs_take_their_defaults() {
        let empty = [
            ("INPUT_AWS-REGION", ""),
            ("INPUT_EXPORT", " "),
            ("INPUT_SUMMARY", ""),
            ("INPUT_TIMEOUT", ""),
            ("INPUT_RETRY-MAX-ATTEMPTS", "\n"),
        ];
        for pairs in [&[][..], &empty] {
            let inputs = inputs(pairs).unwrap();
            assert_eq!(inputs.export, Export::Keys);
            assert_eq!((inputs.attempts, inputs.timeout.as_secs()), (8, 60));
            assert!(inputs.discover && !inputs.summary && inputs.region.is_none());
        }
    }

    #[test]
    fn an_empty_guard_is_an_error_and_no_open_door() {
        for name in [
            "INPUT_ALLOWED-ACCOUNT-IDS",
            "INPUT_EXPECTED-ROLE",
            "INPUT_MINIMUM-LIFETIME",
            "INPUT_ALLOWED_ACCOUNT_IDS",
            "INPUT_EXPECTED_ROLE",
            "INPUT_MINIMUM_LIFETIME",
        ] {
            for nothing in ["", " ", "\n"] {
                assert!(refused(&[(name, nothing)]).contains("empty"), "{name}");
            }
        }
        for nothing in [",", " , \n"] {
            refused(&[("INPUT_ALLOWED-ACCOUNT-IDS", nothing)]);
        }
    }

    #[test]
    fn hyphens_are_asked_before_underscores() {
        let inputs =
            inputs(&[("INPUT_DRY_RUN", "true"), ("INPUT_OUTPUT-CREDENTIALS", "")]).unwrap();
        assert!(inputs.dry_run);
        let both = [("INPUT_DRY-RUN", "false"), ("INPUT_DRY_RUN", "true")];
        assert!(!Reader(&map(&both)).inputs().unwrap().dry_run);
    }

    #[test]
    fn a_boolean_is_one_of_six_words() {
        for word in ["true", "True", "TRUE", " true\n"] {
            assert!(inputs(&[("INPUT_SUMMARY", word)]).unwrap().summary);
        }
        for word in ["yes", "1", "tRue", "on", "true false"] {
            assert!(refused(&[("INPUT_SUMMARY", word)]).contains("`summary`"));
        }
    }

    #[test]
    fn export_and_discovery_have_words_of_their_own() {
        for (word, export) in [
            ("keys", Export::Keys),
            ("endpoint", Export::Endpoint),
            ("none", Export::None),
        ] {
            assert_eq!(inputs(&[("INPUT_EXPORT", word)]).unwrap().export, export);
        }
        for (word, discover) in [("auto", true), ("environment", false)] {
            let read = inputs(&[("INPUT_DISCOVERY", word)]).unwrap();
            assert_eq!(read.discover, discover);
        }
        assert!(refused(&[("INPUT_EXPORT", "Keys")]).contains("`export`"));
        assert!(refused(&[("INPUT_DISCOVERY", "docker")]).contains("`discovery`"));
    }

    #[test]
    fn a_star_expects_any_role_and_a_name_that_one() {
        let role = |text| {
            inputs(&[("INPUT_EXPECTED-ROLE", text)])
                .unwrap()
                .guards
                .role
        };
        assert_eq!(role("*"), None);
        assert_eq!(role("deploy"), ExpectedRole::parse("deploy").ok());
    }

    #[test]
    fn a_number_has_bounds() {
        for (name, good, bad) in [
            ("INPUT_RETRY-MAX-ATTEMPTS", ["1", "100"], ["0", "101"]),
            ("INPUT_TIMEOUT", ["1", "3600"], ["0", "3601"]),
            ("INPUT_MINIMUM-LIFETIME", ["0", "43200"], ["-1", "43201"]),
        ] {
            for number in good {
                assert!(inputs(&[(name, number)]).is_ok(), "{name} {number}");
            }
            for number in bad
                .into_iter()
                .chain(["", "x", "+1", "1.5", "1e3", "99999999999", "٣"])
            {
                if !(number.is_empty() && name != "INPUT_MINIMUM-LIFETIME") {
                    refused(&[(name, number)]);
                }
            }
        }
    }

    #[test]
    fn accounts_are_a_list() {
        let of = |text| {
            inputs(&[("INPUT_ALLOWED-ACCOUNT-IDS", text)])
                .unwrap()
                .guards
                .accounts
        };
        assert_eq!(of("*"), None);
        let two = of("012345678901, 123456789012\n").unwrap();
        assert_eq!(two.len(), 2);
        for bad in [
            "12345678901",
            "123456789012;123456789012",
            "*,123456789012",
            "**",
            "0x1234567890",
        ] {
            assert!(
                refused(&[("INPUT_ALLOWED-ACCOUNT-IDS", bad)]).contains("quote"),
                "{bad}"
            );
        }
    }

    #[test]
    fn no_error_quotes_the_value() {
        for name in [
            "INPUT_AWS-REGION",
            "INPUT_EXPORT",
            "INPUT_TIMEOUT",
            "INPUT_DISCOVERY",
            "INPUT_SUMMARY",
        ] {
            assert!(!refused(&[(name, "MARKER")]).contains("MARKER"));
        }
    }

    #[test]
    fn what_earlier_steps_left_is_seen_even_where_it_is_empty_or_no_text() {
        let left = surroundings(&[
            ("AWS_PROFILE", ""),
            ("AWS_ACCESS_KEY_ID", "old"),
            ("no_proxy", "NOT TEXT"),
            ("AWS_OTHER", "x"),
        ])
        .leftovers;
        let names: Vec<_> = left.keys().copied().collect();
        assert_eq!(names, ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "no_proxy"]);
        assert_eq!(left["AWS_ACCESS_KEY_ID"].expose(), "old");
        assert!(left["AWS_PROFILE"].is_empty() && !left["no_proxy"].is_empty());
    }

    #[test]
    fn a_region_that_is_none_is_still_a_candidate() {
        let regions = |pairs: &[(&str, &str)]| {
            let found = surroundings(pairs).regions;
            let shown = found.iter().map(|candidate| {
                let region = candidate.region.as_ref().map(Region::as_str);
                format!("{} {}", candidate.place, region.unwrap_or("-"))
            });
            shown.collect::<Vec<_>>()
        };
        let empty = [("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "eu-west-1")];
        assert_eq!(regions(&empty), ["AWS_DEFAULT_REGION eu-west-1"]);
        let bad = [("AWS_REGION", "here"), ("AWS_DEFAULT_REGION", "NOT TEXT")];
        assert_eq!(regions(&bad), ["AWS_REGION -", "AWS_DEFAULT_REGION -"]);
        assert!(regions(&[]).is_empty());
    }

    #[test]
    fn a_variable_that_is_empty_or_no_text_is_worth_nothing() {
        let uri = |value| surroundings(&[("ECS_CONTAINER_METADATA_URI_V4", value)]).metadata_uri;
        assert_eq!(uri("http://x").as_deref(), Some("http://x"));
        assert_eq!((uri(""), uri("NOT TEXT")), (None, None));
    }

    #[test]
    fn github_hosts_the_runner_only_where_it_says_so() {
        let hosted = |value| surroundings(&[("RUNNER_ENVIRONMENT", value)]).github_hosted;
        assert!(hosted("github-hosted"));
        assert!(!hosted("self-hosted") && !hosted(""));
    }

    #[test]
    fn every_token_is_known_whether_it_is_used_or_not() {
        let tokens = |pairs: &[(&str, &str)]| {
            let found = surroundings(pairs);
            let shown = found.tokens().map(|token| token.expose().to_owned());
            shown.collect::<Vec<_>>()
        };
        let lone = ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "E");
        let uri = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/x");
        let input = [
            ("INPUT_CREDENTIALS-URI", "/x"),
            ("INPUT_AUTHORIZATION-TOKEN", "I"),
        ];
        assert_eq!(tokens(&[lone]), ["E"]);
        assert_eq!(tokens(&[lone, uri]), ["E"]);
        assert_eq!(tokens(&[input[0], input[1], lone, uri]), ["I", "E"]);
        let file = ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/t");
        assert!(tokens(&[file, lone]).is_empty());
    }

    #[test]
    fn an_input_is_a_url_where_it_says_so_and_a_path_otherwise() {
        let is_full = |text| {
            let given = surroundings(&[("INPUT_CREDENTIALS-URI", text)]).input;
            matches!(given.unwrap().uri, Uri::Full(_))
        };
        assert!(is_full("http://127.0.0.1/x"));
        assert!(is_full("ftp://x"));
        assert!(!is_full("/x"));
        assert!(!is_full("/x?u=http://evil"));
        assert!(!is_full("x"));
    }

    #[test]
    fn a_source_is_taken_whole() {
        let both = surroundings(&[
            ("INPUT_CREDENTIALS-URI", " /x "),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/"),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "T"),
        ]);
        let input = both.input.unwrap();
        assert!(matches!(input.uri, Uri::Relative(path) if *path == "/x"));
        assert!(input.token.is_none());
        assert!(both.environment.unwrap().token.is_some());
    }

    #[test]
    fn relative_wins_over_full_and_file_over_value() {
        let given = surroundings(&[
            ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/r"),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/"),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "T"),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/f"),
        ])
        .environment
        .unwrap();
        assert!(matches!(given.uri, Uri::Relative(_)));
        assert!(matches!(given.token, Some((_, GivenToken::File(_)))));
        let empty = surroundings(&[
            ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", ""),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/"),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", ""),
        ])
        .environment
        .unwrap();
        assert!(matches!(empty.uri, Uri::Full(_)));
        assert!(empty.token.is_none());
    }

    #[test]
    fn a_token_alone_is_an_error_as_input_and_a_line_in_the_environment() {
        let error = Reader(&map(&[("INPUT_AUTHORIZATION-TOKEN", "MARKER")])).surroundings();
        assert!(!error.err().unwrap().to_string().contains("MARKER"));
        let alone = surroundings(&[("AWS_CONTAINER_AUTHORIZATION_TOKEN", "T")]);
        assert!(alone.environment.is_none() && alone.lone_token.is_some());
    }

    #[test]
    fn a_token_is_not_trimmed() {
        let given = surroundings(&[
            ("INPUT_CREDENTIALS-URI", "/x"),
            ("INPUT_AUTHORIZATION-TOKEN", " T "),
        ]);
        let token = given.input.unwrap().token;
        assert!(matches!(token, Some((_, GivenToken::Value(text))) if *text == " T "));
    }

    #[test]
    fn the_last_part_of_the_user_agent_goes_where_256_characters_are_not_enough() {
        let agent = |spare: usize| {
            let fixed = concat!(
                "ecs-task-role/",
                env!("CARGO_PKG_VERSION"),
                " (; run 7.1; job j)"
            );
            let repository = "r".repeat(256 - fixed.len() + spare);
            surroundings(&[
                ("GITHUB_REPOSITORY", &repository),
                ("GITHUB_RUN_ID", "7"),
                ("GITHUB_RUN_ATTEMPT", "1"),
                ("GITHUB_JOB", "j"),
            ])
            .user_agent
        };
        assert_eq!(agent(0).len(), 256);
        assert!(agent(0).ends_with("; run 7.1; job j)"));
        assert!(agent(1).ends_with("; run 7.1)"), "{}", agent(1));
    }

    #[test]
    fn the_user_agent_names_the_run() {
        let of = |pairs: &[(&str, &str)]| surroundings(pairs).user_agent;
        let program = concat!("ecs-task-role/", env!("CARGO_PKG_VERSION"));
        let whole = [
            ("GITHUB_REPOSITORY", "o/r"),
            ("GITHUB_RUN_ID", "7"),
            ("GITHUB_RUN_ATTEMPT", "2"),
            ("GITHUB_JOB", "build"),
        ];
        assert_eq!(of(&whole), format!("{program} (o/r; run 7.2; job build)"));
        assert_eq!(of(&[]), program);
        assert_eq!(of(&whole[2..3]), program);
        assert_eq!(of(&whole[1..2]), format!("{program} (run 7)"));
        assert_eq!(
            of(&[("GITHUB_REPOSITORY", "o/r\" ARN"), ("GITHUB_JOB", "b\n")]),
            program
        );
        let long = "x".repeat(300);
        assert_eq!(
            of(&[("GITHUB_REPOSITORY", &long), ("GITHUB_JOB", "b")]),
            format!("{program} (job b)")
        );
        let near = "x".repeat(230);
        assert!(of(&[("GITHUB_REPOSITORY", &near), ("GITHUB_JOB", "build")]).len() <= 256);
    }
}
