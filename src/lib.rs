//! Lockkeeper: a Slack bot at the gate between a team's test environment and production.

pub mod beanstalk;
pub mod bot;
pub mod check;
pub mod clock;
pub mod config;
pub mod deploy;
pub mod desk;
pub mod github;
pub mod http;
pub mod inbox;
pub mod log;
pub mod outbox;
pub mod questions;
pub mod sandbox;
pub mod server;
pub mod shell;
pub mod slack;
pub mod store;
pub mod watch;
