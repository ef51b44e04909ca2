//! The pretend world, its page and the real bot in one process.

pub mod beanstalk;
pub mod github;
pub mod world;
