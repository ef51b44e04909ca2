//! All that a store holds, to be moved to another one: `lockkeeper store copy`. Effects keep their ids, since messages in Slack carry
//! them, and versions go on counting. What somebody had claimed is free and uncertain.

use jiff::Timestamp;

use super::Version;
use crate::deploy::name::AppName;
use crate::deploy::text::plural;

/// Everything. No `Debug`: documents and effects may hold a `response_url`.
#[derive(Clone, Default, PartialEq)]
pub struct Everything {
    /// The store's id, the first half of every effect's id; `None` where nothing was ever written.
    pub id: Option<String>,
    /// The last number given to an effect.
    pub last: u64,
    /// The documents.
    pub apps: Vec<(AppName, Version, String)>,
    /// What is not settled, in order.
    pub effects: Vec<Kept>,
    /// Dedupe keys and when each was decided.
    pub seen: Vec<(String, Timestamp)>,
    /// The audit log, oldest first.
    pub audit: Vec<(AppName, Timestamp, String)>,
}

/// An effect that is not settled.
#[derive(Clone, PartialEq)]
pub struct Kept {
    /// The second half of its id.
    pub number: u64,
    /// Who committed it.
    pub app: AppName,
    /// Its lane.
    pub lane: String,
    /// Its key.
    pub key: Option<String>,
    /// JSON.
    pub body: String,
    /// When it was committed.
    pub created: Timestamp,
    /// From when on it is not worth performing.
    pub expires: Option<Timestamp>,
    /// Not before.
    pub due: Timestamp,
    /// How often it was claimed.
    pub attempts: u32,
    /// Whether an earlier attempt may have been performed.
    pub uncertain: bool,
}

impl Everything {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.apps.is_empty() && self.effects.is_empty() && self.seen.is_empty() && self.audit.is_empty()
    }

    /// In a line, for whoever moved it.
    pub fn counted(&self) -> String {
        format!(
            "{}, {} still to be performed, {} decided lately and {} of the audit log",
            plural(self.apps.len(), "app"),
            plural(self.effects.len(), "effect"),
            plural(self.seen.len(), "request"),
            plural(self.audit.len(), "line")
        )
    }
}
