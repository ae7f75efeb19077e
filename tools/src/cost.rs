//! What things cost, on a real cluster: what is read for it, and how it is told. The figures are worked out by the crate
//! `kai_cost`, which reads nothing.

pub(crate) mod answer;
pub(crate) mod change;
pub(crate) mod collect;
pub(crate) mod edits;
pub mod pricing;
pub mod prometheus;
pub(crate) mod smaller;
pub(crate) mod tell;
pub(crate) mod usage;
mod zones;

pub use answer::{Asked, answer};
pub use change::PlanCost;
pub use kai_cost::allocate::Basis;
pub use kai_cost::doc::Document;
pub use kai_cost::report::By;
pub use kai_cost::{prices, say};
pub use pricing::Pricing;
