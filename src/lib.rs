//! Lockkeeper: a Slack bot at the gate between a team's test environment and production.

pub mod clock;
pub mod config;
pub mod deploy;
pub mod http;
pub mod log;
pub mod sandbox;
pub mod server;
pub mod store;
