//! Scenarios: what is there, what a person says, what must come of it, and what must not.
//!
//! [`scenario`] reads them, [`setup`] makes what they begin with, [`drive`] runs one at a terminal with everything recorded,
//! [`judge`] and [`witness`] decide what it was worth, [`stats`] and [`report`] say what many come to. Every scenario carries
//! its proofs: a model that does nothing fails it, its golden script passes it, and each of its saboteurs is caught by the
//! check that is named.

pub mod agent;
pub mod api;
mod audit;
pub mod check;
pub mod cli;
pub mod drive;
pub mod editor;
pub mod jobs;
pub mod judge;
mod live;
pub mod model;
pub mod names;
pub mod person;
pub mod recording;
pub mod report;
pub mod scenario;
pub mod setup;
pub mod stats;
pub mod stop;
pub mod traffic;
pub mod variant;
pub mod witness;
pub mod world;
