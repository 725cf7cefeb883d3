//! What did the workflow's author ask for, and what did the runner say? Raw strings come in, meaning goes out.
//!
//! An input arrives as `INPUT_<NAME>`: upper case, hyphens kept (`InputEnvironmentVariablePrefix` in
//! `src/Runner.Worker/Handlers/Handler.cs` of actions/runner); `dind` hands it on with `_` for hyphens, since
//! dash and busybox drop the others. One that is not set arrives as an empty string.

use crate::credentials::checks::Guards;
use crate::credentials::endpoint::{Given, GivenToken, Source, Uri};
use crate::credentials::identity::{AccountId, ExpectedRole};
use crate::region::{self, Candidate, Region};
use crate::secret::Secret;
use crate::trouble::Trouble;
use crate::workflow::files::RunnerFile;
use ghactions_core::{ActionTrait, ActionsError};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use zeroize::Zeroizing;

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

/// What the step runs in.
pub struct Surroundings {
    /// The file behind `GITHUB_ENV`.
    pub env_file: RunnerFile,
    /// The file behind `GITHUB_OUTPUT`.
    pub output_file: RunnerFile,
    /// The file behind `GITHUB_STEP_SUMMARY`.
    pub summary_file: RunnerFile,
    /// The endpoint that the inputs name.
    pub input: Option<Given>,
    /// The endpoint that the environment names.
    pub environment: Option<Given>,
    /// The token variable that is set while no URI is.
    pub lone_token: Option<&'static str>,
    /// `ECS_CONTAINER_METADATA_URI_V4`
    pub metadata_uri: Option<String>,
    /// What the region variables hold, those that are set.
    pub regions: Vec<Candidate>,
    /// Whether GitHub hosts the runner.
    pub github_hosted: bool,
    /// The variables of an earlier step that may be in the way of what is exported; empty ones too.
    pub leftovers: BTreeMap<&'static str, Secret>,
    /// Who asks: the agent writes it into its audit log.
    pub user_agent: String,
}

/// Variables that are replaced, blanked, or warned of (spec: *Leftovers*).
const LEFTOVERS: [&str; 21] = [
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_ROLE_ARN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECRET_KEY",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "ALL_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "all_proxy",
    "http_proxy",
    "no_proxy",
];

/// The process environment, read through ghactions-core.
struct Action;

impl ActionTrait for Action {
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

/// Reads a variable; None where it is absent.
trait Environment {
    fn get(&self, name: &str) -> anyhow::Result<Option<String>>;
}

impl Environment for Action {
    fn get(&self, name: &str) -> anyhow::Result<Option<String>> {
        match Self::get_input(name) {
            Ok(value) => Ok(Some(value)),
            // It says the same of a variable that is absent and of one that is no UTF-8. A guard that can't be
            // read must not pass for one that is not set.
            #[expect(clippy::disallowed_methods, reason = "inputs are read here")]
            Err(_) if std::env::var_os(name).is_some() => Err(Trouble::InvalidInput.because(
                format!("tried to read the variable {name}, but it is not UTF-8"),
            )),
            Err(_) => Ok(None),
        }
    }
}

/// Whether the workflow was started with step debugging.
pub fn debug() -> bool {
    matches!(Action.get("RUNNER_DEBUG"), Ok(Some(value)) if value == "1")
}

/// Reads everything there is to read.
pub fn read() -> anyhow::Result<(Inputs, Surroundings)> {
    let reader = Reader(&Action);
    Ok((reader.inputs()?, reader.surroundings()?))
}

struct Reader<'a, E>(&'a E);

impl<E: Environment> Reader<'_, E> {
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

    fn surroundings(&self) -> anyhow::Result<Surroundings> {
        let environment = self.environment_source()?;
        Ok(Surroundings {
            env_file: self.file("GITHUB_ENV")?,
            output_file: self.file("GITHUB_OUTPUT")?,
            summary_file: self.file("GITHUB_STEP_SUMMARY")?,
            input: self.input_source()?,
            lone_token: match environment {
                Some(_) => None,
                None => self.environment_token()?.map(|(place, _)| place),
            },
            environment,
            metadata_uri: self.variable("ECS_CONTAINER_METADATA_URI_V4")?,
            regions: self.regions()?,
            github_hosted: self.variable("RUNNER_ENVIRONMENT")?.as_deref() == Some("github-hosted"),
            leftovers: self.leftovers()?,
            user_agent: self.user_agent()?,
        })
    }

    fn leftovers(&self) -> anyhow::Result<BTreeMap<&'static str, Secret>> {
        let mut found = BTreeMap::new();
        for name in LEFTOVERS {
            if let Some(value) = self.0.get(name)? {
                found.insert(name, Secret::new(value));
            }
        }
        Ok(found)
    }

    fn regions(&self) -> anyhow::Result<Vec<Candidate>> {
        let mut found = Vec::new();
        for name in region::VARIABLES {
            if let Some(value) = self.variable(name)? {
                found.push(Candidate {
                    place: name.to_owned(),
                    region: Region::parse(&value),
                });
            }
        }
        Ok(found)
    }

    fn input_source(&self) -> anyhow::Result<Option<Given>> {
        let uri = self.input("credentials-uri")?;
        // Sent verbatim, so never trimmed.
        let token = self
            .raw_input("authorization-token")?
            .filter(|text| !text.is_empty());
        let Some(uri) = uri else {
            return match token {
                None => Ok(None),
                Some(_) => Err(Trouble::InvalidInput.because(
                    "the input `authorization-token` is set without `credentials-uri`: a token goes with the URI \
                     of its own row and with no other; set both or none",
                )),
            };
        };
        let uri = Zeroizing::new(uri);
        Ok(Some(Given {
            source: Source::Input,
            place: "the input `credentials-uri`",
            // A URL says so; everything else is to be a path.
            uri: if uri.contains("://") && !uri.starts_with('/') {
                Uri::Full(uri)
            } else {
                Uri::Relative(uri)
            },
            token: token.map(|token| {
                (
                    "the input `authorization-token`",
                    GivenToken::Value(Zeroizing::new(token)),
                )
            }),
        }))
    }

    fn environment_source(&self) -> anyhow::Result<Option<Given>> {
        let relative = self.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")?;
        let full = self.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI")?;
        let (place, uri) = match (relative, full) {
            (Some(path), _) => (
                "the variable AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                Uri::Relative(Zeroizing::new(path)),
            ),
            (None, Some(url)) => (
                "the variable AWS_CONTAINER_CREDENTIALS_FULL_URI",
                Uri::Full(Zeroizing::new(url)),
            ),
            (None, None) => return Ok(None),
        };
        Ok(Some(Given {
            source: Source::Environment,
            place,
            uri,
            token: self.environment_token()?,
        }))
    }

    fn environment_token(&self) -> anyhow::Result<Option<(&'static str, GivenToken)>> {
        if let Some(path) = self.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")? {
            return Ok(Some((
                "the variable AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                GivenToken::File(PathBuf::from(path)),
            )));
        }
        let token = self.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN")?;
        Ok(token.map(|token| {
            (
                "the variable AWS_CONTAINER_AUTHORIZATION_TOKEN",
                GivenToken::Value(Zeroizing::new(token)),
            )
        }))
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
        if entries().eq(["*"]) {
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
            Some(text) if text == "*" => Ok(None),
            Some(text) => match ExpectedRole::parse(&text) {
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
    fn guard(&self, name: &str) -> anyhow::Result<Option<String>> {
        match self.raw_input(name)? {
            None => Ok(None),
            Some(text) if text.trim().is_empty() => Err(Trouble::InvalidInput.because(format!(
                "the input `{name}` is there, but empty: a guard that is set to nothing (a misspelt variable?) \
                 guards nothing; write what it should hold, or leave it out"
            ))),
            Some(text) => Ok(Some(text.trim().to_owned())),
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
            &format!("a whole number from {least} to {most}"),
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
        wanted: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> anyhow::Result<Option<T>> {
        match self.input(name)? {
            None => Ok(None),
            Some(text) => parse(&text).map(Some).ok_or_else(|| invalid(name, wanted)),
        }
    }

    /// An input without the white space around it; None where nothing is left.
    fn input(&self, name: &str) -> anyhow::Result<Option<String>> {
        let text = self.raw_input(name)?;
        Ok(text
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty()))
    }

    fn raw_input(&self, name: &str) -> anyhow::Result<Option<String>> {
        let hyphens = format!("INPUT_{}", name.to_uppercase());
        match self.0.get(&hyphens)? {
            Some(text) => Ok(Some(text)),
            None => self.0.get(&hyphens.replace('-', "_")),
        }
    }

    /// A variable; an empty one counts as unset.
    fn variable(&self, name: &str) -> anyhow::Result<Option<String>> {
        Ok(self.0.get(name)?.filter(|text| !text.is_empty()))
    }

    fn file(&self, variable: &'static str) -> anyhow::Result<RunnerFile> {
        Ok(RunnerFile {
            variable,
            path: self.variable(variable)?.map(PathBuf::from),
        })
    }

    /// `ecs-task-role/<version> (<repository>; run <run id>.<attempt>; job <job>)`.
    ///
    /// The agent puts it between quotes in its audit log, unescaped (`agent/logger/audit/entry_types.go` of
    /// amazon-ecs-agent), so a part that holds anything but letters, digits and `._-/` is left out.
    fn user_agent(&self) -> anyhow::Result<String> {
        /// The agent's log is not for novels.
        const MOST: usize = 256;
        let part = |name: &str| -> anyhow::Result<Option<String>> {
            let fits = |text: &String| {
                text.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b))
            };
            Ok(self.variable(name)?.filter(fits))
        };
        let run = match (part("GITHUB_RUN_ID")?, part("GITHUB_RUN_ATTEMPT")?) {
            (Some(id), Some(attempt)) => Some(format!("run {id}.{attempt}")),
            (Some(id), None) => Some(format!("run {id}")),
            (None, _) => None,
        };
        let job = part("GITHUB_JOB")?.map(|job| format!("job {job}"));
        let mut agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")).to_owned();
        let mut parts: Vec<String> = Vec::new();
        for part in [part("GITHUB_REPOSITORY")?, run, job].into_iter().flatten() {
            let length: usize = parts.iter().map(|part| part.len() + 2).sum();
            if agent.len() + " ()".len() + length + part.len() <= MOST {
                parts.push(part);
            }
        }
        if !parts.is_empty() {
            agent.push_str(&format!(" ({})", parts.join("; ")));
        }
        Ok(agent)
    }
}

fn invalid(name: &str, wanted: &str) -> anyhow::Error {
    // The value stays out: it may be a secret that landed in the wrong place.
    Trouble::InvalidInput.because(format!(
        "tried to read the input `{name}`, but its value is not {wanted}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trouble::Problem;

    struct Map(BTreeMap<String, String>);

    impl Environment for Map {
        fn get(&self, name: &str) -> anyhow::Result<Option<String>> {
            Ok(self.0.get(name).cloned())
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
