//! Lockkeeper: a Slack bot at the gate between a team's test environment and production.

pub mod beanstalk;
pub mod clock;
pub mod deploy;
pub mod github;
pub mod http;
pub mod sandbox;
