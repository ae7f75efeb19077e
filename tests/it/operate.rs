//! Deleting, draining, running Jobs: what is said before, what is done, and what comes back.

mod delete;
mod inside;
mod job;
