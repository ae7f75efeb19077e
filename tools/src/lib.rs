//! Kubernetes tools behind one review pipeline.
//!
//! A query reads and reports. An action reads and returns a [`plan::Plan`]: what would change, as data. [`review`] is the
//! only road from a plan to the cluster: preview (server-side dry run), decision, approval, apply, verify, journal.
//! Nothing here knows of language models or terminals.

pub mod catalog;
pub mod cluster;
pub mod cost;
pub mod diagnose;
pub mod diff;
pub mod error;
pub mod helm;
pub mod journal;
pub mod manifest;
pub(crate) mod metrics;
pub mod object;
pub mod plan;
pub mod policy;
pub mod redact;
pub mod render;
pub mod report;
pub mod resources;
pub mod review;
pub mod sanitize;
pub mod store;
pub mod tool;

pub use kai_diagnose::quantity;

pub use cluster::Cluster;
pub use error::ToolError;
