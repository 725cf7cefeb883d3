//! GitHub's language: commands on standard output, records in files, and the two hands that write them.
//!
//! Written from the runner's own grammar (`ActionCommand.cs`, `FileCommandManager.cs` of
//! [actions/runner](https://github.com/actions/runner)), which the tests read back.

pub mod channel;
pub mod command;
pub mod files;
pub mod record;
