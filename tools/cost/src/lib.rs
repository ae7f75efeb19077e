//! What a cluster's workloads cost, what a change will cost, and what could be smaller.
//!
//! Pure: a [snapshot](model) and [prices] in, figures out. Two numbers everywhere: *reserved*, the price share of
//! what a workload requests, and *bill*, what the invoice changes by.

pub mod node;
pub mod prices;
pub mod units;
