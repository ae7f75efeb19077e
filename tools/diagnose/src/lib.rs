//! Why a cluster's workloads are not well, from a snapshot of its objects. Pure: nothing is read or written here, no
//! language model takes part, and the same snapshot always gives the same findings.
//!
//! [`Snapshot`] holds what is known. [`diagnose`] walks from every symptom to the deepest object that explains it, calls
//! that a finding, and lists what is down because of it. What could not be looked at is said, never guessed.

pub mod engine;
pub mod finding;
pub mod index;
pub mod model;
pub mod quantity;
mod rank;
pub mod rules;
pub mod snapshot;
mod walk;

pub use finding::{Cause, Class, Confidence, Diagnosis, Finding, Fix, Object, Scope};
pub use snapshot::{Ask, KINDS, Kind, Snapshot};
pub use walk::diagnose;
