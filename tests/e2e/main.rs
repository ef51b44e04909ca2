//! The shell end to end: the real bot, its real clients, on the wire of a strict pretend world. A file for each story; `town` is
//! where they happen. A complaint of the world, or an effect left over, fails the story.
//!
//! No sleeps: a story waits for a level ("all said and one look after the last change") with a deadline.

mod agree;
mod approving;
mod budget;
mod changes;
mod chaos;
mod dispatching;
mod endings;
mod faults;
mod forward;
mod hands;
mod hostile;
mod journey;
mod judged;
mod killed;
mod mending;
mod outside;
mod page;
mod process;
mod redis;
mod remind;
mod replicas;
mod rights;
mod secrets;
mod servers;
mod settings;
mod town;
mod variables;
mod webhooks;
