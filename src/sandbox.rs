//! The pretend world, its page and the real bot in one process.

pub mod page;
pub mod slack;
