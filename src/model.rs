//! What answers a conversation.

pub mod planner;
