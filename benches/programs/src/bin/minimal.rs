//! `minimal ADDRESS PATH`: one GET, three lines.

fn main() {
    let words: Vec<String> = std::env::args().collect();
    bench_programs::hand_on(&words[1], &words[2]);
}
