//! Lockkeeper: a Slack bot at the gate between a team's test environment and production.

pub mod clock;
pub mod deploy;
pub mod http;
pub mod sandbox;
pub mod store;
