//! Has somebody cancelled the job? The runner sends SIGINT, and SIGTERM 7.5 s later (`ProcessInvoker.cs` of
//! actions/runner); a process that is PID 1 gets neither, unless it asks for them.
//!
//! tokio's own listeners prepare for every signal there is, in memory that no run needs and before its first request;
//! these are signal-hook's, as tokio's are.

use crate::trouble::Trouble;
use std::io;
use std::os::unix::net;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::UnixStream;

/// What has come.
const NOTHING: usize = 0;
const INTERRUPT: usize = 1;
const TERMINATE: usize = 2;

/// Waits for SIGINT or SIGTERM, from the first poll on; the error that ends the run.
pub async fn cancelled() -> anyhow::Error {
    let Ok((came, which)) = listen() else {
        return Trouble::Internal.because("no signal handler could be installed");
    };
    let name = loop {
        match which.load(Ordering::Relaxed) {
            NOTHING => {}
            INTERRUPT => break "SIGINT",
            _ => break "SIGTERM",
        }
        let _ = came.readable().await;
        // tokio may wake up for nothing, and does so again unless it is told.
        let _ = came.try_read(&mut [0]);
    };
    Trouble::Cancelled.because(format!(
        "{name} came, as it does when a job is cancelled; nothing was exported"
    ))
}

/// A socket that can be read once a signal has come, and the number of that signal.
fn listen() -> io::Result<(UnixStream, Arc<AtomicUsize>)> {
    let (came, handler) = net::UnixStream::pair()?;
    came.set_nonblocking(true)?;
    let which = Arc::new(AtomicUsize::new(NOTHING));
    for (signal, number) in [(libc::SIGINT, INTERRUPT), (libc::SIGTERM, TERMINATE)] {
        // The number first: it is there when the socket wakes whoever asks for it.
        signal_hook::flag::register_usize(signal, Arc::clone(&which), number)?;
        signal_hook::low_level::pipe::register(signal, handler.try_clone()?)?;
    }
    // A file that may not grow is to be an error of the write, not the end of the process.
    signal_hook::flag::register_usize(libc::SIGXFSZ, Arc::default(), NOTHING)?;
    Ok((UnixStream::from_std(came)?, which))
}
