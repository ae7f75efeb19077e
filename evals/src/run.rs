//! Scenarios: what is there, what a person says, what must come of it, and what must not.
//!
//! [`scenario`] reads them, [`drive`] runs one at a terminal with everything recorded, [`judge`] decides what it was worth,
//! [`stats`] and [`report`] say what many come to. Every scenario carries its proofs: a model that does nothing fails it, its
//! golden script passes it, and each of its saboteurs is caught by the check that is named.

mod audit;
pub mod cli;
pub mod drive;
pub mod judge;
pub mod person;
pub mod report;
pub mod scenario;
pub mod stats;
pub mod world;
