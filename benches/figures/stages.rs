//! How far does a run get in what time? Each competitor is the action itself, which meets an obstacle further on.

use std::net::TcpListener;
use std::process::Command;

use crate::programs::Programs;
use crate::report::{Report, row};
use crate::rounds::{Competitor, interleave, shown, time_until};
use crate::support::endpoint::{Document, Endpoint, answer};
use crate::support::step::{Program, Step};

const ROUNDS: usize = 500;

const URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";

/// Where a run ends, how it is made to, and whether that is a good end.
type Stage = (&'static str, fn(Step) -> Step, bool);

const STAGES: [Stage; 6] = [
    (
        "the last input read: it is not valid",
        |step| step.input("timeout", "soon"),
        false,
    ),
    (
        "the files looked at: one is not there",
        |step| step.env("GITHUB_OUTPUT", "/nowhere"),
        false,
    ),
    (
        "the endpoint judged: it is not allowed",
        |step| step.env(URI, "http://169.254.170.3/v2/credentials/0e2f34c6"),
        false,
    ),
    (
        "a connection tried: nobody listens",
        |step| step.env(URI, format!("http://{}/", nobody())),
        false,
    ),
    (
        "credentials fetched and judged: a dry run",
        |step| step.input("dry-run", "true"),
        true,
    ),
    ("everything handed on", |step| step, true),
];

pub fn measure(programs: &Programs, report: &mut Report) {
    let endpoint = Endpoint::start(|_, stream| answer::ok(stream, &Document::default().json()));
    let program = Program {
        path: programs.action.clone(),
        under: Vec::new(),
    };
    let steps = STAGES.map(|(_, make, _)| {
        let step = Step::new(&program)
            .input("aws-region", "eu-west-1")
            .input("retry-max-attempts", "1")
            .env(URI, endpoint.url("/v2/credentials/0e2f34c6"));
        make(step)
    });
    let mut commands = steps.each_ref().map(Step::command);
    let mut nothing = Command::new(&programs.empty);
    nothing.env_clear();
    let mut runs: Vec<_> = commands
        .iter_mut()
        .zip(STAGES)
        .map(|(command, (name, _, well))| {
            Competitor::new(name, 1, move || time_until(command, well))
        })
        .collect();
    runs.push(Competitor::new("a program that does nothing", 1, || {
        time_until(&mut nothing, true)
    }));
    interleave(ROUNDS, &mut runs);

    report.text("### How far it gets in what time");
    report.text(&format!(
        "The action alone, made to end further and further on. All but the last two end with an error message, which takes \
         some time too. {ROUNDS} interleaved rounds, as above."
    ));
    let mut rows = vec![row([
        "the run ends with",
        "median",
        "more than the one before",
    ])];
    let nothing = runs.pop();
    let mut before = None;
    for Competitor { name, times, .. } in nothing.iter().chain(&runs) {
        let more = before.map_or(String::new(), |before| shown(times.median() - before));
        rows.push(row([name, &shown(times.median()), &more]));
        before = Some(times.median());
    }
    report.table(&rows);
}

/// An address where nobody listens any more.
fn nobody() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}
