//! Slack.
pub mod blocks;
pub mod inbound;
pub mod socket;
