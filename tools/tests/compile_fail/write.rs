//! The writer is not reachable.
use kai_tools::cluster::write::send;

fn main() {}
