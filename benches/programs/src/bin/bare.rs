//! `bare ADDRESS PATH RUNNER CANDIDATE…`: the requests of a discovery, by somebody who knows all the answers: the list
//! of containers, the processes of each candidate side by side, the runner's configuration; then one GET, three lines.

use std::os::unix::net::UnixStream;
use std::thread;

fn engine(path: &str) -> usize {
    let stream = UnixStream::connect("/var/run/docker.sock").unwrap();
    bench_programs::get(stream, "localhost", path).len()
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    engine("/containers/json?filters=%7B%22status%22%3A%5B%22created%22%2C%22running%22%5D%7D");
    thread::scope(|scope| {
        for id in &words[4..] {
            scope.spawn(move || {
                engine(&format!(
                    "/containers/{id}/top?ps_args=-ww%20-eo%20pid%2Cargs"
                ))
            });
        }
    });
    engine(&format!("/containers/{}/json", words[3]));
    bench_programs::hand_on(&words[1], &words[2]);
}
