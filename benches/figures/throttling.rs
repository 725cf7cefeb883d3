//! Many runs at once against an endpoint that throttles as the ECS agent does.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::programs::Programs;
use crate::report::{Goal, Report, row};
use crate::support::endpoint::{Document, Endpoint, Keys, answer};
use crate::support::step::{Program, Step};

const RUNS: usize = 200;

/// The agent's: `TASK_METADATA_RPS_LIMIT`, for each client address and path.
const RATE: f64 = 40.0;
const BURST: f64 = 60.0;

/// How often it is tried: what comes of it is a matter of luck too.
const SERIES: usize = 3;

pub fn measure(programs: &Programs, report: &mut Report) {
    let least = (RUNS as f64 - BURST) / RATE;
    report.text("## Throttling");
    report.text(&format!(
        "{RUNS} processes are started at once, from one address and for one path, against an endpoint that throttles as \
         the ECS agent does: {RATE} a second, {BURST} at once, then 429 in plain text. The last can not have its answer \
         before ({RUNS} − {BURST}) / {RATE} s = {least} s. Tried {SERIES} times."
    ));
    let mut rows = vec![row([
        "successes",
        "runs with 1, 2, 3, … attempts",
        "last success after",
        "ratio",
        "goal",
    ])];
    for _ in 0..SERIES {
        let Outcome {
            successes,
            attempts,
            last,
        } = series(programs);
        let ratio = last.as_secs_f64() / least;
        let goal = if successes == RUNS {
            Goal::AtMost(2.5).judge(ratio)
        } else {
            "all succeed: **missed**".to_owned()
        };
        rows.push(row([
            &successes.to_string(),
            &distribution(&attempts),
            &format!("{:.1} s", last.as_secs_f64()),
            &format!("{ratio:.2}"),
            &goal,
        ]));
    }
    report.table(&rows);
}

struct Outcome {
    successes: usize,
    /// Of each run.
    attempts: Vec<usize>,
    last: Duration,
}

fn series(programs: &Programs) -> Outcome {
    let bucket = Mutex::new((BURST, Instant::now()));
    let body = Document::new(&Keys::number(1)).json();
    let endpoint = Endpoint::start(move |_, stream| {
        let admitted = {
            let (tokens, filled) = &mut *bucket.lock().unwrap();
            *tokens = (*tokens + filled.elapsed().as_secs_f64() * RATE).min(BURST);
            *filled = Instant::now();
            let admitted = *tokens >= 1.0;
            *tokens -= f64::from(u8::from(admitted));
            admitted
        };
        if admitted {
            answer::ok(stream, &body)
        } else {
            answer::throttled(stream)
        }
    });
    let program = Program {
        path: programs.action.clone(),
        under: Vec::new(),
    };
    let steps: Vec<Step> = (0..RUNS)
        .map(|number| {
            Step::new(&program)
                .input("aws-region", "eu-west-1")
                // The endpoint sees it in the User-Agent.
                .env("GITHUB_RUN_ID", number.to_string())
                .env(
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                    endpoint.url("/v2/credentials/0e2f34c6-9d5e-4b5a-8a3c-2f4d6c7b8a90"),
                )
        })
        .collect();
    let start = Instant::now();
    let running: Vec<Child> = steps
        .iter()
        .map(|step| step.command().stdout(Stdio::null()).spawn().unwrap())
        .collect();
    let ended = running.into_iter().map(|mut child| child.wait().unwrap());
    let successes = ended.filter(|status| status.success()).count();
    let last = start.elapsed();
    let mut attempts: BTreeMap<String, usize> = BTreeMap::new();
    for request in endpoint.requests() {
        let agent = request.header("user-agent").unwrap().to_owned();
        *attempts.entry(agent).or_default() += 1;
    }
    assert_eq!(attempts.len(), RUNS, "each run names itself");
    Outcome {
        successes,
        attempts: attempts.into_values().collect(),
        last,
    }
}

/// How many runs had 1, 2, 3 … attempts.
fn distribution(attempts: &[usize]) -> String {
    let most = attempts.iter().copied().max().unwrap_or_default();
    let with = |count| attempts.iter().filter(|&&attempt| attempt == count).count();
    let counts: Vec<String> = (1..=most).map(|count| with(count).to_string()).collect();
    counts.join(", ")
}
