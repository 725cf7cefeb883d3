//! Nothing: what a process, and a container, costs that does nothing at all.

fn main() {}
