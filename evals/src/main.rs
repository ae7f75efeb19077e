//! Drives clusters and scenarios.
fn main() {}
