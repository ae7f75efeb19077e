//! What a cluster's workloads cost, what a change will cost, and what could be smaller.
//!
//! Pure: a [snapshot](cluster) and [prices] in, figures out. Two numbers everywhere: *reserved*, the price share of
//! what a workload requests, and *bill*, what the invoice changes by.

pub mod allocate;
pub mod cluster;
pub mod delta;
pub mod doc;
pub mod node;
pub mod place;
pub mod prices;
pub mod read;
pub mod report;
pub mod rightsize;
pub mod say;
pub mod tariff;
pub mod units;
