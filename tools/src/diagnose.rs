//! Diagnosis on a real cluster or on a dump of one: what is read, in how many requests, and how it is told. What is wrong
//! is worked out by the crate `kai_diagnose`, which reads nothing.

mod collect;
mod dump;
mod save;
mod scope;
mod tell;
mod why;

pub use collect::{Collected, Cost, collect};
pub use dump::{from_path, of_dump};
pub use kai_diagnose::finding::Impact;
pub use kai_diagnose::rules::causes;
pub use kai_diagnose::{Class, Confidence, Diagnosis, Finding, Fix, Object, Scope};
pub use save::save;
pub use scope::{Asked, as_meant, resolve};
pub use tell::{Show, report};
pub use why::{explained, why};
