//! THE DOMAIN: every rule of the product. Pure and synchronous: no I/O, no async, no clock, no randomness and no client
//! types below this folder; what is known about the outside comes in as an [`event::Event`], what shall happen outside
//! goes out as an [`effect::Effect`].

pub mod action;
pub mod aftermath;
mod aftermath_text;
pub mod answer;
pub mod app;
pub mod approve;
pub mod change;
pub mod command;
pub mod condition;
pub mod digest;
pub mod dispatch;
pub mod dispatch_text;
pub mod doctor;
pub mod dora;
pub mod doubt;
pub mod drift;
pub mod effect;
pub mod event;
pub mod evidence;
pub mod form;
pub mod health;
pub mod hours;
pub mod ledger;
pub mod mend;
pub mod mend_text;
pub mod message;
pub mod name;
pub mod notice;
pub mod offer;
pub mod parity;
pub mod phase;
pub mod pipeline;
pub mod policy;
pub mod refusal;
pub mod remind;
pub mod remind_text;
pub mod request;
pub mod revert;
pub mod revert_text;
pub mod run;
pub mod say;
pub mod server;
pub mod text;
pub mod thread;
pub mod track;
pub mod variable;

#[cfg(test)]
mod tests;
