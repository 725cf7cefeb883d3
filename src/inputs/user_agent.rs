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
    let mut whole = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")).to_owned();
    let mut between = " (";
    let mut add = |pieces: &[&str]| {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        if whole.len() + between.len() + length + ")".len() <= MOST {
            whole.push_str(between);
            whole.extend(pieces.iter().copied());
            between = "; ";
        }
    };
    if let Some(repository) = part("GITHUB_REPOSITORY") {
        add(&[repository]);
    }
    match (part("GITHUB_RUN_ID"), part("GITHUB_RUN_ATTEMPT")) {
        (Some(id), Some(attempt)) => add(&["run ", id, ".", attempt]),
        (Some(id), None) => add(&["run ", id]),
        (None, _) => {}
    }
    if let Some(job) = part("GITHUB_JOB") {
        add(&["job ", job]);
    }
    if between == "; " {
        whole.push(')');
    }
    whole
}
