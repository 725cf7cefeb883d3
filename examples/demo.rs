//! Placeholder: the demo is on its way.

fn main() {}
