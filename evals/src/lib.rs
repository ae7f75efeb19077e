//! Real clusters and test doubles, for trying kai on something real.
//!
//! [`cluster`] brings up Kubernetes on this machine and takes it down again; [`terminal`] is the
//! only module that prints. Neither kai crate is imported here: whoever drives kai from here
//! drives the binary, as its users do.

pub mod bench;
pub mod bench_diagnose;
pub mod canary;
pub mod cluster;
mod loopback;
pub mod proxy;
pub mod replay;
pub mod run;
pub mod terminal;
