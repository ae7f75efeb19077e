//! What a cluster costs, read from it: histories of what is used. What they come to is worked out in `kai-cost`.

pub mod prometheus;
