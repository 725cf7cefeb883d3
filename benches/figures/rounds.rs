//! Interleaved rounds: whatever else the machine does meets all competitors alike.

use std::hash::{BuildHasher, RandomState};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Somebody who does the job, and how long it took each time.
pub struct Competitor<'a> {
    pub name: &'a str,
    /// Takes part in every n-th round: the slow ones are measured less often.
    pub every: usize,
    pub run: Box<dyn FnMut() -> Duration + 'a>,
    pub times: Times,
}

/// Microseconds, in the order in which they were measured.
#[derive(Clone, Default)]
pub struct Times(Vec<f64>);

impl<'a> Competitor<'a> {
    pub fn new(name: &'a str, every: usize, run: impl FnMut() -> Duration + 'a) -> Self {
        Self {
            name,
            every,
            run: Box::new(run),
            times: Times::default(),
        }
    }
}

/// Runs them in turn; each round in an order of its own, since a large program leaves cold caches to the one after it.
pub fn interleave(rounds: usize, competitors: &mut [Competitor<'_>]) {
    // Not counted: the first run of each fills the page cache.
    for competitor in &mut *competitors {
        (competitor.run)();
    }
    let seed = RandomState::new();
    let mut order: Vec<usize> = (0..competitors.len()).collect();
    for round in 0..rounds {
        order.sort_by_cached_key(|place| seed.hash_one((round, place)));
        for &place in &order {
            let competitor = &mut competitors[place];
            if round % competitor.every == 0 {
                let took = (competitor.run)();
                competitor.times.add(took.as_secs_f64() * 1e6);
            }
        }
    }
}

/// How a process is to end. One that ends otherwise may just be fast.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    Success,
    Failure,
}

/// From the start of the process to its end.
pub fn time(command: &mut Command, end: End) -> Duration {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let start = Instant::now();
    let mut child = command.spawn().unwrap();
    let status = child.wait().unwrap();
    let took = start.elapsed();
    assert!(
        status.success() == (end == End::Success),
        "{command:?}: {}",
        String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout)
    );
    took
}

impl Times {
    pub fn add(&mut self, microseconds: f64) {
        self.0.push(microseconds);
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub fn median(&self) -> f64 {
        share(&self.0, 2)
    }

    /// The tenth percentile: what it takes where little else was in the way.
    pub fn undisturbed(&self) -> f64 {
        share(&self.0, 10)
    }

    /// How many times as long as the other's, in the median of the rounds; of two that were not in the same rounds,
    /// the ratio of their medians.
    pub fn against(&self, other: &Self) -> f64 {
        if self.count() == other.count() {
            let rounds = self.0.iter().zip(&other.0);
            share(
                &rounds
                    .map(|(ours, theirs)| ours / theirs)
                    .collect::<Vec<_>>(),
                2,
            )
        } else {
            self.median() / other.median()
        }
    }

    /// The same of the tenth percentiles.
    pub fn against_undisturbed(&self, other: &Self) -> f64 {
        self.undisturbed() / other.undisturbed()
    }
}

/// What a half, a tenth, … of the values are below.
fn share(values: &[f64], part: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / part]
}

/// Microseconds for people.
pub fn shown(microseconds: f64) -> String {
    match microseconds {
        us if us < 10_000.0 => format!("{us:.0} µs"),
        us if us < 10_000_000.0 => format!("{:.1} ms", us / 1e3),
        us => format!("{:.1} s", us / 1e6),
    }
}
