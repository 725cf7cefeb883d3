//! Hands the ECS task role of a self-hosted GitHub runner to the docker steps of its job.
//!
//! The rooms, in reading order: `inputs` says what is wanted, `search` finds the endpoint and the region, for which
//! `runner` asks the `engine` which container started this one and `metadata` asks the task, `credentials` decides
//! where to ask and what to make of the answer, `publish` decides what is handed on, and `workflow` speaks to GitHub.
//! ARCHITECTURE.md has the plan and its invariants.

pub mod credentials;
pub mod engine;
pub mod http;
pub mod inputs;
pub mod metadata;
pub mod publish;
pub mod region;
pub mod runner;
pub mod search;
pub mod secret;
pub mod signals;
pub mod trouble;
pub mod workflow;

use credentials::fetch::{self, Terms};
use http::Client;
use inputs::{Export, Inputs, Surroundings};
use publish::{Findings, Publication};
use std::time::SystemTime;
use tokio::task::yield_now;
use tokio::time::Instant;
use trouble::{Problem, Trouble};
use workflow::channel::Channel;
use workflow::files::{self, Addition};
use workflow::record::{self, Delimiter};
use zeroize::Zeroizing;

/// Runs the step, tells how it went, and returns whether it went well.
pub async fn run(channel: &mut Channel) -> bool {
    let outcome = tokio::select! {
        // In this order: a signal that has come is obeyed before the step goes on.
        biased;
        cancelled = signals::cancelled() => Err(cancelled),
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
            channel.fail(trouble, what);
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
    search::endpoint::hide(&around, channel);
    check_files(&inputs, &around)?;
    channel.group("Details");
    channel.say(concat!(
        env!("CARGO_PKG_NAME"),
        " ",
        env!("CARGO_PKG_VERSION")
    ));
    let terms = Terms {
        attempts: inputs.attempts,
        deadline: Instant::now() + inputs.timeout,
        mask_owner: inputs.mask_account,
    };
    let (endpoint, runner) =
        search::endpoint::find(&inputs, &around, terms.deadline, channel).await?;
    publish::check_export(inputs.export, &endpoint, &around.leftovers)?;
    let client = Client::over_tcp(&around.user_agent)
        .map_err(|_| Trouble::Internal.because("no HTTP client could be made"))?;
    let credentials = fetch::credentials(&client, &endpoint, terms, channel).await?;
    let left = credentials.expiration.left(SystemTime::now());
    inputs.guards.check(&credentials, left)?;
    let region = search::region::find(&inputs, &around, runner.as_ref(), &client, channel).await?;
    let publication = publish::publication(&Findings {
        inputs: &inputs,
        leftovers: &around.leftovers,
        endpoint: &endpoint,
        credentials: &credentials,
        region: region.as_ref(),
        left,
    });
    for note in &publication.notes {
        channel.say(&if inputs.dry_run {
            format!("without `dry-run`: {note}")
        } else {
            note.clone()
        });
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

/// Whoever can't hand on credentials asks for none.
fn check_files(inputs: &Inputs, around: &Surroundings) -> anyhow::Result<()> {
    if inputs.dry_run {
        return Ok(());
    }
    // The one that people look for first.
    if inputs.export != Export::None {
        around.env_file.check()?;
    }
    around.output_file.check()
}

/// `dry-run`: the names alone.
fn show(publication: &Publication, channel: &mut Channel) {
    let files = [
        ("GITHUB_OUTPUT", &publication.output),
        ("GITHUB_ENV", &publication.env),
    ];
    for (file, records) in files {
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
    if publication.summary.is_some() {
        channel.say("would write to GITHUB_STEP_SUMMARY: the table");
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
