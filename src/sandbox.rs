//! The pretend world, its page and the real bot in one process.

pub mod slack;
