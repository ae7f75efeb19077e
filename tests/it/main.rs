//! kai's binary on a real API server, with a recording proxy in between: what is shown, what is sent, what is changed.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod apply;
mod approval;
mod checks;
mod cost;
mod diagnose;
mod documents;
mod drain;
mod faults;
mod fields;
mod helm;
mod operate;
mod preview;
mod prometheus;
mod queries;
mod real;
mod reproductions;
mod rollouts;
mod routes;
mod secrets;
mod seeds;
mod stale;
mod support;
mod tidy;
mod undo;
