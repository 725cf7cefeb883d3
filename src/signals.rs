//! Has somebody cancelled the job? The runner sends SIGINT, and SIGTERM 7.5 s later (`ProcessInvoker.cs` of
//! actions/runner); a process that is PID 1 gets neither, unless it asks for them.
//!
//! Both are held back and read from a descriptor, so nothing of this program ever runs in a handler. tokio's own listeners
//! prepare for every signal there is, in memory that no run needs and before its first request.
//!
//! <https://man7.org/linux/man-pages/man2/signalfd.2.html>

use crate::trouble::Trouble;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use tokio::net::unix::pipe::Receiver;

/// Waits for SIGINT or SIGTERM, from the first poll on; the error that ends the run.
pub async fn cancelled() -> anyhow::Error {
    let Ok(signals) = listen() else {
        return Trouble::Internal.because("SIGINT and SIGTERM could not be listened for");
    };
    // `struct signalfd_siginfo`: 128 bytes, the signal's number first.
    let mut came = [0; 128];
    let number = loop {
        let ready = signals.readable().await;
        match ready.and_then(|()| signals.try_read(&mut came)) {
            Ok(_) => break came.first_chunk().copied().map(u32::from_ne_bytes),
            // tokio may wake up for nothing.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Trouble::Internal.because("the system did not say which signal came"),
        }
    };
    let name = if number == Some(Signal::SIGINT as u32) {
        "SIGINT"
    } else {
        "SIGTERM"
    };
    Trouble::Cancelled.because(format!(
        "{name} came, as it does when a job is cancelled; nothing was exported"
    ))
}

/// A descriptor that can be read once a signal has come.
fn listen() -> io::Result<Receiver> {
    let heard = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    let mut held = heard;
    // A file that may not grow is to be an error of the write, not the end of the process.
    held.add(Signal::SIGXFSZ);
    // There is one thread. Not `thread_block`: in nix 0.32 that takes the error number of pthread_sigmask(3) for success.
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&held), None)?;
    let signals = SignalFd::with_flags(&heard, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    // Read as a pipe is: tokio has no safe way to take a descriptor of any other kind.
    Receiver::from_file_unchecked(File::from(OwnedFd::from(signals)))
}
