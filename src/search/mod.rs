//! Where is what nobody said? The endpoint, and the region: whoever knows them is asked in order, and the log
//! says who it was.

pub mod endpoint;
pub mod region;

/// Variables of the runner's container that may be read; nothing else of its environment is kept.
const OF_RUNNER: [&str; 6] = [
    endpoint::RELATIVE_URI,
    endpoint::FULL_URI,
    crate::region::VARIABLES[0],
    crate::region::VARIABLES[1],
    region::METADATA_URI,
    region::TASK_ARN_LABEL,
];
