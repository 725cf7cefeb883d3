//! Which endpoint? The input's, else the environment's, else that of the runner's container. First match wins, and
//! one that is there but not valid is an error.

use crate::credentials::endpoint::{Endpoint, Given, Source, Uri};
use crate::inputs::{Inputs, Surroundings};
use crate::runner::{self, Runner};
use crate::trouble::{DIND, Problem, Trouble};
use crate::workflow::channel::Channel;
use tokio::time::{Instant, timeout_at};

/// What ECS sets in a container whose task has a role.
pub(super) const RELATIVE_URI: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
/// What EKS, Greengrass and people set.
pub(super) const FULL_URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";

/// Hides every token and every URI that somebody named, whether or not it will be used: before anything is said of
/// them, and whatever becomes of the run.
pub fn hide(around: &Surroundings, channel: &mut Channel) {
    for token in around.tokens() {
        channel.mask_once(&token);
    }
    for given in [&around.input, &around.environment].into_iter().flatten() {
        if let Some(path) = given.secret_path() {
            channel.mask_once(&path);
        }
    }
}

/// The endpoint, and the runner's container where that was how it was found.
pub async fn find(
    inputs: &Inputs,
    around: &Surroundings,
    deadline: Instant,
    channel: &mut Channel,
) -> anyhow::Result<(Endpoint, Option<Runner>)> {
    if let Some((place, _)) = &around.lone_token {
        channel.say(&format!("{place} is set without a URI, and ignored"));
    }
    let (given, runner) = match around.input.as_ref().or(around.environment.as_ref()) {
        Some(given) => (given.clone(), None),
        None => {
            let runner = find_runner(inputs, deadline, channel)
                .await
                .map_err(|error| at_github(error, around))?;
            (given_by(&runner)?, Some(runner))
        }
    };
    if let Some(path) = given.secret_path() {
        channel.mask_once(&path);
    }
    let endpoint = Endpoint::admit(given)?;
    if let Some(path) = endpoint.secret_path() {
        channel.mask_once(path);
    }
    channel.say(&match &runner {
        None => format!("endpoint found through {}", endpoint.source.as_str()),
        Some(runner) => format!(
            "endpoint found through docker: the container {} runs the docker client that started this one",
            runner.name
        ),
    });
    channel.debug(&format!(
        "endpoint at {}, {} a token",
        endpoint.host(),
        if endpoint.token.is_some() {
            "with"
        } else {
            "without"
        }
    ));
    Ok((endpoint, runner))
}

async fn find_runner(
    inputs: &Inputs,
    deadline: Instant,
    channel: &mut Channel,
) -> anyhow::Result<Runner> {
    if !inputs.discover {
        return Err(runner::not_found(
            "`discovery` is `environment`, so it is not asked",
        ));
    }
    channel.say("no input and no variable names an endpoint: looking for the runner's container");
    channel.flush()?;
    timeout_at(deadline, runner::find(&super::OF_RUNNER))
        .await
        .unwrap_or_else(|_| {
            Err(Trouble::Engine.because(
                "asked the Docker Engine for the runner's container, but the time that `timeout` allows was used up: \
                 look at the Engine's load, or raise `timeout`",
            ))
        })
}

/// On GitHub's own runners there is nothing to find, and the remedies for others lead nowhere.
fn at_github(error: anyhow::Error, around: &Surroundings) -> anyhow::Error {
    let nothing_found = error.downcast_ref::<Problem>().is_some_and(|problem| {
        matches!(
            problem.trouble,
            Trouble::NoSource | Trouble::RunnerNotProved
        )
    });
    if around.github_hosted && nothing_found {
        Trouble::GitHubHosted.because(
            "this job runs on a runner that GitHub hosts, which is no ECS task and has no task role: use \
             aws-actions/configure-aws-credentials with OIDC there, or run the job on a self-hosted runner in ECS",
        )
    } else {
        error
    }
}

/// The endpoint that ECS gave to the runner's container. The container is chosen by now: looking for the URI
/// only after that is what keeps a runner without a role from being given its neighbour's.
fn given_by(runner: &Runner) -> anyhow::Result<Given> {
    if let Some(path) = runner.environment.variable(RELATIVE_URI) {
        return Ok(Given {
            source: Source::Docker,
            place: "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI of the runner's container",
            uri: Uri::Relative(path.clone()),
            token: None,
        });
    }
    let name = &runner.name;
    if runner.environment.variable(FULL_URI).is_some() {
        return Err(Trouble::EndpointOfRunnerOnly.because(format!(
            "the runner's container {name} has {FULL_URI}, and what that names is meant for that container alone: \
             use {DIND}, which runs on the runner itself"
        )));
    }
    Err(Trouble::NoTaskRole.because(format!(
        "the runner's container {name} has no {RELATIVE_URI}, so its task has no task role: set taskRoleArn in its \
         task definition; the instance's role is not used in its place, nor is that of any other container"
    )))
}
