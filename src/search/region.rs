//! Which region? The input's, else the environment's, else what the runner's container knows, else that of the task's
//! metadata. None is no error.

use crate::http::Client;
use crate::inputs::{Inputs, Surroundings};
use crate::metadata;
use crate::region::{self, Candidate, Region};
use crate::runner::Runner;
use crate::workflow::channel::Channel;

/// Where a task asks for itself.
pub(super) const METADATA_URI: &str = "ECS_CONTAINER_METADATA_URI_V4";
/// What the agent puts on every container of a task.
pub(super) const TASK_ARN_LABEL: &str = "com.amazonaws.ecs.task-arn";

/// The region, where one is found. An error means that the masks could not be shown before the request.
pub async fn find(
    inputs: &Inputs,
    around: &Surroundings,
    runner: Option<&Runner>,
    client: &Client,
    channel: &mut Channel,
) -> anyhow::Result<Option<Region>> {
    if let Some(region) = &inputs.region {
        channel.say(&format!("region {} from the input", region.as_str()));
        return Ok(Some(region.clone()));
    }
    let of_runner: Vec<_> = runner.into_iter().flat_map(known_to).collect();
    for candidates in [&around.regions, &of_runner] {
        let (found, bad) = region::choose(candidates);
        for place in bad {
            warn(place, channel);
        }
        if let Some((region, place)) = found {
            channel.say(&format!("region {} from {place}", region.as_str()));
            return Ok(Some(region.clone()));
        }
    }
    let known_to_runner = || {
        let uri = runner?.environment.variable(METADATA_URI)?;
        Some(uri.as_str())
    };
    let Some(uri) = around.metadata_uri.as_deref().or_else(known_to_runner) else {
        channel.say("no region found: set `aws-region` if later steps need one");
        return Ok(None);
    };
    channel.flush()?;
    match metadata::task_arn(client, uri).await {
        Ok(arn) => {
            let region = Region::of_task_arn(&arn);
            match &region {
                Some(region) => channel.say(&format!(
                    "region {} from the task's metadata",
                    region.as_str()
                )),
                None => warn("`TaskARN` of the task's metadata", channel),
            }
            Ok(region)
        }
        Err(why) => {
            channel.say(&format!(
                "no region found: asked the task's metadata ({METADATA_URI}), but {why}"
            ));
            Ok(None)
        }
    }
}

fn warn(place: &str, channel: &mut Channel) {
    channel.warn(
        "A region that is none",
        &format!("{place} holds something that does not look like a region, and is skipped"),
    );
}

/// What the runner's container knows of a region.
fn known_to(runner: &Runner) -> Vec<Candidate> {
    let variables = region::VARIABLES.into_iter().filter_map(|name| {
        let value = runner.environment.variable(name)?;
        Some(Candidate {
            place: format!("{name} of the runner's container"),
            region: Region::parse(value),
        })
    });
    let label = runner
        .environment
        .label(TASK_ARN_LABEL)
        .map(|arn| Candidate {
            place: format!("the label {TASK_ARN_LABEL} of the runner's container"),
            region: Region::of_task_arn(arn),
        });
    variables.chain(label).collect()
}
