//! kai.
fn main() {}
