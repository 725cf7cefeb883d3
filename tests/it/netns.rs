//! A socket in another network namespace.

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Listens there. Only the thread that makes the socket goes there.
pub(crate) fn listen(netns: &Path, address: &str) -> io::Result<TcpListener> {
    let netns = File::open(netns)?;
    let address = address.to_owned();
    thread::spawn(move || {
        move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
        TcpListener::bind(address)
    })
    .join()
    .unwrap()
}
