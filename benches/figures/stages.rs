//! How far does a run get in what time? Each competitor is the action itself, which meets an obstacle further on.

use std::fs;
use std::net::{SocketAddr, TcpListener};

use crate::process::PATH;
use crate::programs::Programs;
use crate::report::{Report, row};
use crate::rounds::{Competitor, End, interleave, shown, time};
use crate::support::endpoint::{Document, Endpoint, answer};
use crate::support::step::{File, Program, Step};

const ROUNDS: usize = 500;

const URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";

/// What was done when a run ends, and what ends it.
type Obstacle = (&'static str, fn(Step) -> Step);

/// In the order in which a run meets them.
const OBSTACLES: [Obstacle; 5] = [
    ("the inputs read; one is not valid", |step| {
        step.input("timeout", "soon")
    }),
    ("the runner's files looked at; one is not there", |step| {
        step.env("GITHUB_OUTPUT", "/nowhere")
    }),
    ("the endpoint judged; it is not allowed", |step| {
        step.env(URI, format!("http://169.254.170.3{PATH}"))
    }),
    ("a connection tried; nobody listens", |step| {
        step.env(URI, format!("http://{}{PATH}", nobody()))
    }),
    ("credentials fetched; they end too soon", |step| {
        step.input("minimum-lifetime", "43200")
    }),
];

pub fn measure(programs: &Programs, report: &mut Report) {
    let endpoint = Endpoint::start(|_, stream| answer::ok(stream, &Document::default().json()));
    let program = Program {
        path: programs.action.clone(),
        under: Vec::new(),
    };
    let stage = |meets: fn(Step) -> Step| {
        let step = Step::new(&program)
            .input("aws-region", "eu-west-1")
            .input("retry-max-attempts", "1")
            .env(URI, endpoint.url(PATH));
        meets(step)
    };
    let run = |(done, meets): Obstacle, end: End| {
        let step = stage(meets);
        Competitor::new(done, 1, move || {
            // So that none grows.
            for file in File::ALL {
                fs::write(step.path(file), "").unwrap();
            }
            time(&mut step.command(), end)
        })
    };
    let mut runs: Vec<_> = OBSTACLES
        .map(|obstacle| run(obstacle, End::Failure))
        .into_iter()
        .collect();
    runs.push(run(("everything handed on", |step| step), End::Success));
    interleave(ROUNDS, &mut runs);

    report.text("### How far it gets in what time");
    report.text(&format!(
        "The action alone, made to end further and further on. All but the last end with an error message, which takes \
         some time too. {ROUNDS} interleaved rounds, as above."
    ));
    let mut rows = vec![row(["done when it ends", "median", "more than before"])];
    let mut before = None;
    for Competitor { name, times, .. } in &runs {
        let more = before.map_or(String::new(), |before| shown(times.median() - before));
        rows.push(row([name, &shown(times.median()), &more]));
        before = Some(times.median());
    }
    report.table(&rows);
}

/// An address where nobody listens any more.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}
