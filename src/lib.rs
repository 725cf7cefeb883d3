//! Hands the ECS task role of a self-hosted GitHub runner to the docker steps of its job.
//!
//! The rooms, in reading order: `inputs` says what is wanted, `runner` asks the `engine` which container
//! started this one, `credentials` decides where to ask and what to make of the answer, `region` and
//! `metadata` find the region, `publish` decides what is handed on, and `workflow` speaks to GitHub.
//! ARCHITECTURE.md has the plan and its invariants.

pub mod credentials;
pub mod engine;
pub mod http;
pub mod inputs;
pub mod metadata;
pub mod publish;
pub mod region;
pub mod runner;
pub mod secret;
pub mod trouble;
pub mod workflow;

use credentials::endpoint::{Endpoint, Given, Source, Uri};
use credentials::fetch::{self, Patience};
use http::Client;
use inputs::{Export, Inputs, Surroundings};
use publish::{Findings, Publication};
use region::{Candidate, Region};
use runner::Runner;
use std::time::SystemTime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};
use trouble::{DIND, Problem, Trouble};
use workflow::channel::Channel;
use workflow::files::{self, Addition};
use workflow::record::{self, Delimiter};
use zeroize::Zeroizing;

/// Runs the step, tells how it went, and returns whether it went well.
pub async fn run(channel: &mut Channel) -> bool {
    let outcome = tokio::select! {
        // In this order: a signal that has come is obeyed before the step goes on.
        biased;
        cancelled = signalled() => Err(cancelled),
        outcome = step(channel) => outcome,
    };
    channel.end_group();
    match &outcome {
        Ok(headline) => channel.say(headline),
        Err(error) => {
            let (trouble, what) = match error.downcast_ref::<Problem>() {
                Some(problem) => (problem.trouble, problem.what.as_str()),
                None => (Trouble::Internal, "a fault that has no name"),
            };
            channel.fail(trouble.title(), &format!("{what}. See {}", trouble.link()));
        }
    }
    // What was exported stands, whether or not anybody hears of it.
    let _ = channel.flush();
    outcome.is_ok()
}

/// The whole story. Everything is decided before the first byte is written, since the runner applies the
/// files of failed steps too.
async fn step(channel: &mut Channel) -> anyhow::Result<String> {
    let (inputs, around) = inputs::read()?;
    check_files(&inputs, &around)?;
    channel.group("Details");
    let patience = Patience {
        attempts: inputs.attempts,
        deadline: Instant::now() + inputs.timeout,
    };
    let (endpoint, runner) = find(&inputs, &around, patience.deadline, channel).await?;
    publish::check_export(inputs.export, &endpoint, &around.leftovers)?;
    let client = Client::over_tcp(&around.user_agent)
        .map_err(|_| Trouble::Internal.because("no HTTP client could be made"))?;
    let credentials = fetch::credentials(&client, &endpoint, patience, channel).await?;
    for secret in publish::owner_masks(&inputs, &credentials) {
        channel.mask(&secret);
    }
    let left = credentials.expiration.left(SystemTime::now());
    inputs.guards.check(&credentials, left)?;
    let region = find_region(&inputs, &around, runner.as_ref(), &client, channel).await?;
    let publication = publish::publication(&Findings {
        inputs: &inputs,
        leftovers: &around.leftovers,
        endpoint: &endpoint,
        credentials: &credentials,
        region: region.as_ref(),
        left,
    });
    for note in &publication.notes {
        channel.say(note);
    }
    for (title, text) in &publication.warnings {
        channel.warn(title, text);
    }
    if inputs.dry_run {
        show(&publication, channel);
    } else {
        // The last moment at which a signal still finds nothing written.
        yield_now().await;
        hand_on(&publication, &inputs, &around, channel)?;
    }
    Ok(publication.headline)
}

/// SIGINT or SIGTERM. A process that is PID 1 gets neither, unless it asks for them.
async fn signalled() -> anyhow::Error {
    let listen = |kind| {
        signal(kind).map_err(|_| Trouble::Internal.because("no signal handler could be installed"))
    };
    let (mut interrupt, mut terminate) = match (
        listen(SignalKind::interrupt()),
        listen(SignalKind::terminate()),
    ) {
        (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
        (Err(error), _) | (_, Err(error)) => return error,
    };
    let name = tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    };
    Trouble::Cancelled.because(format!(
        "{name} came, as it does when a job is cancelled; nothing was exported"
    ))
}

/// Whoever can't hand on credentials asks for none.
fn check_files(inputs: &Inputs, around: &Surroundings) -> anyhow::Result<()> {
    if inputs.dry_run {
        return Ok(());
    }
    around.output_file.check()?;
    if inputs.export != Export::None {
        around.env_file.check()?;
    }
    Ok(())
}

/// The endpoint, and the runner's container where that was how it was found. First match wins.
async fn find(
    inputs: &Inputs,
    around: &Surroundings,
    deadline: Instant,
    channel: &mut Channel,
) -> anyhow::Result<(Endpoint, Option<Runner>)> {
    if let Some(variable) = around.lone_token {
        channel.say(&format!("{variable} is set without a URI, and ignored"));
    }
    let (given, runner) = match around.input.as_ref().or(around.environment.as_ref()) {
        Some(given) => (given.clone(), None),
        None => {
            channel.say(
                "no input and no variable names an endpoint: looking for the runner's container",
            );
            channel.flush()?;
            let runner = find_runner(inputs, deadline)
                .await
                .map_err(|error| at_github(error, around))?;
            (given_by(&runner)?, Some(runner))
        }
    };
    let endpoint = Endpoint::admit(given)?;
    if let Some(path) = endpoint.secret_path() {
        channel.mask(path);
    }
    channel.say(&match &runner {
        None => format!("endpoint found through {}", endpoint.source.as_str()),
        Some(runner) => format!(
            "endpoint found through docker: the container {} runs the docker client that started this one",
            runner.name
        ),
    });
    channel.debug(&format!(
        "endpoint at {}, {}",
        endpoint.host(),
        if endpoint.token.is_some() {
            "with a token"
        } else {
            "without a token"
        }
    ));
    Ok((endpoint, runner))
}

async fn find_runner(inputs: &Inputs, deadline: Instant) -> anyhow::Result<Runner> {
    if !inputs.discover {
        return Err(runner::none(
            "`discovery` is `environment`, so it is not asked",
        ));
    }
    // Unreadable is as good as empty: no container is found in it.
    let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    timeout_at(deadline, runner::find(&mountinfo))
        .await
        .unwrap_or_else(|_| {
            Err(Trouble::Engine.because(
                "asked the Docker Engine for the runner's container, but the time that `timeout` allows was used up",
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
    let variable = |name| runner.environment.variable(name);
    if let Some(path) = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        return Ok(Given {
            source: Source::Docker,
            place: "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI of the runner's container",
            uri: Uri::Relative(path.clone()),
            token: None,
        });
    }
    let name = &runner.name;
    if variable("AWS_CONTAINER_CREDENTIALS_FULL_URI").is_some() {
        return Err(Trouble::EndpointOfRunnerOnly.because(format!(
            "the runner's container {name} has AWS_CONTAINER_CREDENTIALS_FULL_URI, and what that names is meant \
             for that container alone: use {DIND}, which runs on the runner itself"
        )));
    }
    Err(Trouble::NoTaskRole.because(format!(
        "the runner's container {name} has no AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, so its task has no task \
         role: set taskRoleArn in its task definition. The instance's role is not used in its place, nor is \
         that of any other container"
    )))
}

/// The region, and where it comes from; none is no error.
async fn find_region(
    inputs: &Inputs,
    around: &Surroundings,
    runner: Option<&Runner>,
    client: &Client,
    channel: &mut Channel,
) -> anyhow::Result<Option<Region>> {
    if let Some(region) = &inputs.region {
        return Ok(Some(region.clone()));
    }
    let mut candidates = around.regions.clone();
    candidates.extend(runner.into_iter().flat_map(of_runner));
    let (found, bad) = region::choose(&candidates);
    for place in bad {
        channel.warn(
            "A region that is none",
            &format!("{place} holds something that does not look like a region, and is skipped"),
        );
    }
    if let Some((region, place)) = found {
        channel.say(&format!("region {} from {place}", region.as_str()));
        return Ok(Some(region.clone()));
    }
    let in_container = || {
        let environment = &runner?.environment;
        environment
            .variable("ECS_CONTAINER_METADATA_URI_V4")
            .map(|uri| uri.as_str())
    };
    let Some(uri) = around.metadata_uri.as_deref().or_else(in_container) else {
        channel.say("no region found: set `aws-region` if later steps need one");
        return Ok(None);
    };
    channel.flush()?;
    match metadata::region(client, uri).await {
        Ok(region) => {
            channel.say(&format!(
                "region {} from the task's metadata",
                region.as_str()
            ));
            Ok(Some(region))
        }
        Err(why) => {
            channel.say(&format!(
                "no region found: asked the task's metadata (ECS_CONTAINER_METADATA_URI_V4), but {why}"
            ));
            Ok(None)
        }
    }
}

/// What the runner's container knows of a region.
fn of_runner(runner: &Runner) -> Vec<Candidate> {
    let variables = region::VARIABLES.into_iter().filter_map(|name| {
        let value = runner.environment.variable(name)?;
        Some(Candidate {
            place: format!("{name} of the runner's container"),
            region: Region::parse(value),
        })
    });
    let label = runner
        .environment
        .label("com.amazonaws.ecs.task-arn")
        .map(|arn| Candidate {
            place: "the label com.amazonaws.ecs.task-arn of the runner's container".into(),
            region: Region::of_task_arn(arn),
        });
    variables.chain(label).collect()
}

/// `dry-run`: the names alone.
fn show(publication: &Publication, channel: &mut Channel) {
    for (file, records) in [
        ("GITHUB_OUTPUT", &publication.output),
        ("GITHUB_ENV", &publication.env),
    ] {
        let names: Vec<_> = records.iter().map(|record| record.name).collect();
        channel.say(&format!(
            "would write to {file}: {}",
            if names.is_empty() {
                "nothing".to_owned()
            } else {
                names.join(", ")
            }
        ));
    }
}

/// Writes the files, once the runner has every mask.
fn hand_on(
    publication: &Publication,
    inputs: &Inputs,
    around: &Surroundings,
    channel: &mut Channel,
) -> anyhow::Result<()> {
    let delimiter = Delimiter::random().map_err(|_| {
        Trouble::Internal.because(
            "the system gave no random bytes, and without them a value could add variables of its own; nothing \
             was exported",
        )
    })?;
    channel.flush()?;
    let mut additions = vec![Addition {
        file: around.output_file.clone(),
        text: record::encode(&publication.output, &delimiter),
        required: true,
    }];
    additions.extend(publication.summary.as_ref().map(|summary| Addition {
        file: around.summary_file.clone(),
        text: Zeroizing::new(summary.clone()),
        required: false,
    }));
    if inputs.export != Export::None {
        additions.push(Addition {
            file: around.env_file.clone(),
            text: record::encode(&publication.env, &delimiter),
            required: true,
        });
    }
    for error in files::append_all(&additions)? {
        channel.warn("No summary", &error.to_string());
    }
    Ok(())
}
