//! The whole process, from its start to its end, against others that do the same job: one GET at the same endpoint.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::costs;
use crate::programs::{Programs, is_there};
use crate::report::{Goal, Report, row};
use crate::rounds::{Competitor, End, Times, interleave, shown, time};
use crate::stages;
use crate::support::endpoint::{Document, Endpoint, Keys};
use crate::support::step::{File, Program, Step};

/// What people write today. The file is read once, each value in turn.
const SCRIPT: &str = include_str!("script.sh");

/// What a JavaScript action would do.
const NODE: &str = include_str!("action.mjs");

pub const ACTION: &str = "the action";
pub const CURL: &str = "`curl` and `jq`";
pub const JAVASCRIPT: &str = "node with `@actions/core`";
const MINIMAL: &str = "minimal static Rust program";
const CRATES: &str = "reqwest, tokio, serde_json and nothing else";
const EMPTY: &str = "static program that does nothing";

const ROUNDS: usize = 500;
/// The slow ones take part in every n-th round.
const SELDOM: usize = 20;

/// A path as the agent's are.
pub const PATH: &str = "/v2/credentials/0e2f34c6-9d5e-4b5a-8a3c-2f4d6c7b8a90";

pub fn measure(programs: &Programs, report: &mut Report) {
    let keys = Keys::number(1);
    let endpoint = Endpoint::serving(&Document::new(&Keys {
        // As long as AWS's are.
        token: keys.token.repeat(12),
        ..keys.clone()
    }));
    let job = Job::new(programs, &endpoint);

    report.text("## The whole process");
    report.text(&format!(
        "From the start of the process to its end. All ask the same endpoint, a thread of the benchmark, and get the \
         same environment: that of a step with the action's inputs, whose endpoint comes from \
         `AWS_CONTAINER_CREDENTIALS_FULL_URI`. {ROUNDS} interleaved rounds, the slow ones in every {SELDOM}th. The first \
         ratio is the median of the rounds' own; in brackets is that of the tenth percentiles, which the machine's other \
         work disturbs less."
    ));
    let minimal = job.command(&programs.minimal, &[&endpoint.addr().to_string(), PATH]);
    let action = job.command(&programs.action, &[]);
    let crates = job.command(&programs.crates, &[]);
    let empty = job.command(&programs.empty, &[]);
    let script = script(&job, report);
    let node = node(&job, programs, report);

    let mut commands = vec![
        (ACTION, 1, Some(action)),
        (MINIMAL, 1, Some(minimal)),
        (CRATES, 1, Some(crates)),
        (EMPTY, 1, Some(empty)),
        (CURL, SELDOM, script),
        (JAVASCRIPT, SELDOM, node),
    ];
    // A program that fails is fast.
    for (name, _, command) in &mut commands {
        if let Some(command) = command {
            job.clear();
            time(command, End::Success);
            let handed_on = fs::read_to_string(job.step.path(File::Env)).unwrap();
            assert!(
                handed_on.contains(&keys.secret) || *name == EMPTY,
                "{name} did not hand on the credentials"
            );
        }
    }
    let mut competitors: Vec<_> = commands
        .iter_mut()
        .filter_map(|(name, every, command)| Some((name, *every, command.as_mut()?)))
        .map(|(name, every, command)| {
            Competitor::new(name, every, || {
                job.clear();
                time(command, End::Success)
            })
        })
        .collect();
    interleave(ROUNDS, &mut competitors);
    let ours = competitors[0].times.clone();
    let minimal = competitors[1].times.clone();
    let mut rows = vec![row([
        "",
        "median",
        "tenth percentile",
        "ratio to the action's",
        "goal",
    ])];
    for Competitor { name, times, .. } in &competitors {
        let (ratio, goal) = match *name {
            MINIMAL => (
                format!(
                    "the action takes {:.2} ({:.2}) times as long",
                    ours.against(times),
                    ours.against_undisturbed(times)
                ),
                Goal::AtMost(1.2).judge(ours.against(times)),
            ),
            CRATES => (
                format!(
                    "the action takes {:.2} ({:.2}) times as long; itself {:.2} ({:.2}) times the minimal program",
                    ours.against(times),
                    ours.against_undisturbed(times),
                    times.against(&minimal),
                    times.against_undisturbed(&minimal)
                ),
                String::new(),
            ),
            CURL => faster(&ours, times, 50.0),
            JAVASCRIPT => faster(&ours, times, 120.0),
            _ => (String::new(), String::new()),
        };
        rows.push(row([
            name,
            &shown(times.median()),
            &shown(times.undisturbed()),
            &ratio,
            &goal,
        ]));
    }
    drop(competitors);
    report.table(&rows);
    stages::measure(programs, report);
    costs::measure(&mut commands, &job, report);
    costs::sizes(programs, report);
}

fn faster(ours: &Times, theirs: &Times, goal: f64) -> (String, String) {
    let ratio = theirs.against(ours);
    let undisturbed = theirs.against_undisturbed(ours);
    (
        format!("the action is {ratio:.0} ({undisturbed:.0}) times faster"),
        Goal::AtLeast(goal).judge(ratio),
    )
}

/// A step's files and environment, and the endpoint that everybody asks.
pub struct Job {
    pub step: Step,
}

impl Job {
    fn new(programs: &Programs, endpoint: &Endpoint) -> Self {
        let program = Program {
            path: programs.action.clone(),
            under: Vec::new(),
        };
        let step = Step::new(&program)
            .input("aws-region", "eu-west-1")
            .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint.url(PATH));
        Self { step }
    }

    /// A program in the step's environment.
    fn command(&self, program: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(words).env_clear();
        for (name, value) in self.step.command().get_envs() {
            command.env(name, value.unwrap());
        }
        command
    }

    /// Empties the files, so that none grows.
    pub fn clear(&self) {
        for file in File::ALL {
            let path = self.step.path(file);
            OpenOptions::new()
                .write(true)
                .truncate(true)
                .open(path)
                .unwrap();
        }
    }
}

fn script(job: &Job, report: &mut Report) -> Option<Command> {
    if let Some(missing) = ["curl", "jq"].into_iter().find(|name| !is_there(name)) {
        report.left_out("the script", &format!("there is no {missing}"));
        return None;
    }
    let file = job.step.folder().join("script.sh");
    fs::write(&file, SCRIPT).unwrap();
    Some(job.command(Path::new("/bin/sh"), &[file.to_str().unwrap()]))
}

fn node(job: &Job, programs: &Programs, report: &mut Report) -> Option<Command> {
    let what = JAVASCRIPT;
    if let Some(missing) = ["node", "npm"].into_iter().find(|name| !is_there(name)) {
        report.left_out(what, &format!("there is no {missing}"));
        return None;
    }
    let folder = programs.folder.join("node");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("action.mjs"), NODE).unwrap();
    fs::write(
        folder.join("package.json"),
        r#"{"private": true, "dependencies": {"@actions/core": "3.0.1"}}"#,
    )
    .unwrap();
    let npm = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--silent"])
        .current_dir(&folder)
        .stdin(Stdio::null())
        .status();
    if !npm.is_ok_and(|status| status.success()) {
        report.left_out(what, "npm could not install it");
        return None;
    }
    let node = find("node");
    Some(job.command(&node, &[folder.join("action.mjs").to_str().unwrap()]))
}

fn find(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
        .unwrap()
}
