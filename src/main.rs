//! kai.
mod conversation;
mod model;
fn main() {}
