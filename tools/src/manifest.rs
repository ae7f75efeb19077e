//! Manifests as people keep them: read from files, put in order, checked before the API server is asked.

pub mod check;
pub mod known;
mod lines;
pub mod order;
pub mod read;

pub use read::Document;
