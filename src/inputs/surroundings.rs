//! What does the step run in? The files that the runner made for it, the endpoint that somebody named, and what
//! earlier steps left in the environment.

use super::Reader;
use super::user_agent::user_agent;
use super::variables::{Variable, Variables};
use crate::credentials::endpoint::{Given, GivenToken, Source, Uri};
use crate::region::{self, Candidate, Region};
use crate::secret::Secret;
use crate::trouble::Trouble;
use crate::workflow::files::RunnerFile;
use std::collections::BTreeMap;
use std::path::PathBuf;
use zeroize::Zeroizing;

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
    /// The token variable that is set while no URI is, with its token.
    pub lone_token: Option<(&'static str, GivenToken)>,
    /// `ECS_CONTAINER_METADATA_URI_V4`
    pub metadata_uri: Option<String>,
    /// What the region variables hold, those that are set.
    pub regions: Vec<Candidate>,
    /// Whether GitHub hosts the runner.
    pub github_hosted: bool,
    /// The variables of an earlier step that may be in the way of what is exported; empty ones too.
    pub leftovers: Leftovers,
    /// Who asks: the agent writes it into its audit log.
    pub user_agent: String,
}

/// Variables that an earlier step may have left, by name; empty values too.
pub type Leftovers = BTreeMap<&'static str, Secret>;

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

impl Surroundings {
    /// Every token that somebody gave, whether or not it will be used.
    pub fn tokens(&self) -> impl Iterator<Item = Secret> {
        let given = [&self.input, &self.environment];
        given
            .into_iter()
            .flatten()
            .filter_map(|given| given.token.as_ref())
            .chain(&self.lone_token)
            .filter_map(|(_, token)| match token {
                GivenToken::Value(text) => Some(Secret::new(text.as_str())),
                GivenToken::File(_) => None,
            })
    }
}

impl<V: Variables> Reader<'_, V> {
    pub(super) fn surroundings(&self) -> anyhow::Result<Surroundings> {
        let environment = self.environment_source()?;
        Ok(Surroundings {
            env_file: file("GITHUB_ENV", self.0.set("GITHUB_ENV")?),
            output_file: file("GITHUB_OUTPUT", self.0.set("GITHUB_OUTPUT")?),
            summary_file: file("GITHUB_STEP_SUMMARY", self.0.text("GITHUB_STEP_SUMMARY")),
            input: self.input_source()?,
            lone_token: match environment {
                Some(_) => None,
                None => self.environment_token()?,
            },
            environment,
            metadata_uri: self
                .0
                .text("ECS_CONTAINER_METADATA_URI_V4")
                .map(ToOwned::to_owned),
            regions: self.regions(),
            github_hosted: self.0.text("RUNNER_ENVIRONMENT") == Some("github-hosted"),
            leftovers: self.leftovers(),
            user_agent: user_agent(self.0),
        })
    }

    fn leftovers(&self) -> Leftovers {
        let value = |name| match self.0.look_up(name) {
            Variable::Absent => None,
            Variable::Text(text) => Some(text),
            // It is there, and in the way.
            Variable::NotText => Some("\u{fffd}"),
        };
        LEFTOVERS
            .into_iter()
            .filter_map(|name| Some((name, Secret::new(value(name)?))))
            .collect()
    }

    fn regions(&self) -> Vec<Candidate> {
        let region = |name: &str| match self.0.look_up(name) {
            Variable::Text("") => None,
            Variable::Text(text) => Some(Region::parse(text)),
            Variable::NotText => Some(None),
            Variable::Absent => None,
        };
        let candidate = |name: &str| {
            Some(Candidate {
                place: name.to_owned(),
                region: region(name)?,
            })
        };
        region::VARIABLES
            .into_iter()
            .filter_map(candidate)
            .collect()
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
        let uri = Zeroizing::new(uri.to_owned());
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
                    GivenToken::Value(Zeroizing::new(token.to_owned())),
                )
            }),
        }))
    }

    fn environment_source(&self) -> anyhow::Result<Option<Given>> {
        let relative = self.0.set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")?;
        let full = self.0.set("AWS_CONTAINER_CREDENTIALS_FULL_URI")?;
        let (place, uri) = match (relative, full) {
            (Some(path), _) => (
                "the variable AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                Uri::Relative(Zeroizing::new(path.to_owned())),
            ),
            (None, Some(url)) => (
                "the variable AWS_CONTAINER_CREDENTIALS_FULL_URI",
                Uri::Full(Zeroizing::new(url.to_owned())),
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
        if let Some(path) = self.0.set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")? {
            return Ok(Some((
                "the variable AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                GivenToken::File(PathBuf::from(path)),
            )));
        }
        let token = self.0.set("AWS_CONTAINER_AUTHORIZATION_TOKEN")?;
        Ok(token.map(|token| {
            (
                "the variable AWS_CONTAINER_AUTHORIZATION_TOKEN",
                GivenToken::Value(Zeroizing::new(token.to_owned())),
            )
        }))
    }
}

fn file(variable: &'static str, path: Option<&str>) -> RunnerFile {
    RunnerFile {
        variable,
        path: path.map(PathBuf::from),
    }
}
