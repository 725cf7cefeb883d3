//! From an endpoint to credentials that may be exported. Knows nothing of Docker or of runners.

pub mod checks;
pub mod document;
pub mod endpoint;
pub mod fetch;
pub mod identity;
mod miss;
mod report;
pub mod token;
