//! The action as the runner starts it: a real container, a real Engine, a real 169.254.170.2.

use crate::support::agent::Task;
use crate::support::instance::{self, Instance};
use crate::support::runner::{Action, Network, Work};

/// A work folder that is gone after the test.
struct Folder {
    _directory: tempfile::TempDir,
    work: Work,
}

impl Folder {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let work = Work::new(directory.path(), "fleet-1");
        Self { _directory: directory, work }
    }
}

/// The variables that the keys go into, with the keys of this task.
fn keys(task: &Task) -> [(&'static str, &str); 3] {
    [
        ("AWS_ACCESS_KEY_ID", &task.keys.id),
        ("AWS_SECRET_ACCESS_KEY", &task.keys.secret),
        ("AWS_SESSION_TOKEN", &task.keys.token),
    ]
}

fn with_environment<'a>(instance: &'a Instance, folder: &'a Folder, task: &Task) -> Action<'a> {
    Action::new(instance, &folder.work)
        .env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", task.uri())
}

#[test]
fn the_next_container_acts_as_the_task_role() {
    let Some(instance) = instance::get() else { return };
    let (folder, task) = (Folder::new(), instance.agent.task());
    let finished = with_environment(instance, &folder, &task).run().succeeded();
    let next = finished.next_step();
    for (name, key) in keys(&task) {
        assert!(next.contains(&(name.to_owned(), key.to_owned())), "{name} in {next:?}");
    }
    assert_eq!(instance.agent.audit(&task).len(), 1);
}
