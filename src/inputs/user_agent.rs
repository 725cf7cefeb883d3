//! Who asks? The agent writes the `User-Agent` of every request into its audit log, so that a platform team can
//! see which workflow run took which role's credentials (docs/audit.md).

use super::variables::Variables;

/// The agent's log is not for novels.
const MOST: usize = 256;

/// `ecs-task-role/<version> (<repository>; run <run id>.<attempt>; job <job>)`.
///
/// The agent puts it between quotes, unescaped (`agent/logger/audit/entry_types.go` of amazon-ecs-agent), so a part
/// that holds anything but letters, digits and `._-/` is left out, and so is one that would make it longer than
/// 256 characters.
pub(super) fn user_agent(variables: &impl Variables) -> String {
    let part = |name: &str| {
        variables.text(name).filter(|text| {
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b))
        })
    };
    let run = part("GITHUB_RUN_ID").map(|id| match part("GITHUB_RUN_ATTEMPT") {
        Some(attempt) => format!("run {id}.{attempt}"),
        None => format!("run {id}"),
    });
    let job = part("GITHUB_JOB").map(|job| format!("job {job}"));
    let repository = part("GITHUB_REPOSITORY").map(ToOwned::to_owned);
    let program = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    let mut parts: Vec<String> = Vec::new();
    for part in [repository, run, job].into_iter().flatten() {
        let length: usize = parts.iter().map(|part| part.len() + "; ".len()).sum();
        if program.len() + " ()".len() + length + part.len() <= MOST {
            parts.push(part);
        }
    }
    if parts.is_empty() {
        program.to_owned()
    } else {
        format!("{program} ({})", parts.join("; "))
    }
}
