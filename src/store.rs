//! The store: one document for each app, the effects that still have to be performed, the keys of requests already seen and
//! the audit log. This file is the contract, which every back end keeps and `store/tests.rs` tries on each; it knows nothing of
//! the domain: documents, effects and audit lines are JSON text, keys and lanes are strings.
//!
//! **Commits.** What was decided is one [`Commit`]: document, effects, audit lines and dedupe keys are written together or not at all,
//! and are durable when [`Store::commit`] returns. The app's version is compared and set, so of two commits on the same
//! document one is told [`Committed::Raced`] and decides again. Being durable is what takes time, so decisions that wait share a commit.
//!
//! **Effects.** A *lane* is a queue: first in, first out, whichever app put the effect there. Only its head can be claimed; all
//! behind wait until the head is settled. Lanes do not wait for each other. A claim is a lease: it ends with [`Store::settle`],
//! with [`Store::retry`], with a commit that settles, or by itself at its end, and then the effect is claimed again: at least
//! once. An effect is `uncertain` when an earlier try may have been performed: a claim was lost, or `retry` said so.
//!
//! **Replicas.** Several processes may share a store. Any of them may claim an effect, and keeps its claim alive with
//! [`Store::renew`] while it works; who lost a claim leaves the effect alone. What only one may do at a time (watching) is done by
//! whoever [leads](Store::lead); a commit that carries a [`Fence`] is refused once somebody else leads, however long its
//! sender slept. An [`Embedded`](Store::Embedded) store has one process, which leads.
//!
//! Times are kept to the millisecond. The store has no clock: "now" is always the caller's.
//!
//! A call whose future is dropped may be carried out all the same. A commit is not: whoever waited for it was told something, so it is
//! written soon or never, also by a store that slept.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::config::Config;
use crate::deploy::name::AppName;
use moved::Everything;

pub mod embedded;
pub mod moved;
pub mod redis;

/// An app's document counts its commits; 0 is an app that has no document yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u64);

/// What an effect is known by, for ever and everywhere: no two stores give the same one, so it may be put into a Slack
/// message's metadata and looked for later. Lower-case hexadecimal digits, a dash, decimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EffectId(String);

impl EffectId {
    /// Takes an id that a store gave.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EffectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An effect to be queued; it is due at once. No `Debug`: the body may hold a `response_url`.
#[derive(Clone)]
pub struct NewEffect {
    /// The queue that it joins.
    pub lane: String,
    /// With a key it takes the place (position and id) of an effect of the same app, lane and key that nobody has claimed yet;
    /// one that was ever claimed is left alone, and this one queues behind.
    pub key: Option<String>,
    /// JSON.
    pub body: String,
    /// From when on it is not worth performing.
    pub expires: Option<Timestamp>,
}

/// Decisions on one app, and all that follows from them. No `Debug`: documents and effects may hold a `response_url`.
#[derive(Clone)]
pub struct Commit {
    /// Whose document.
    pub app: AppName,
    /// The version that the first decision was taken on.
    pub expected: Version,
    /// The time of the decisions: when their effects count as created, and what the age of dedupe keys is measured by.
    pub at: Timestamp,
    /// The new document, JSON; `None` where there is one that stays as it is, and so does its version.
    pub document: Option<String>,
    /// What was decided, in this order.
    pub decisions: Vec<Decision>,
    /// Given by whoever leads: the commit counts only as long as nobody else does.
    pub fence: Option<Fence>,
}

/// What follows from one decision, besides the document.
#[derive(Clone, Default)]
pub struct Decision {
    /// In this order.
    pub effects: Vec<NewEffect>,
    /// Lines of the audit log, JSON.
    pub audit: Vec<String>,
    /// The dedupe key of the request that is decided; remembered for at least 24 hours.
    pub seen: Option<String>,
    /// The effect whose outcome is decided on: it leaves its lane, and the next one follows.
    pub settle: Option<EffectId>,
}

/// A proof of having led; each new leader gets a higher one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fence(pub u64);

/// What a shared store knows of an app, at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glance {
    /// The version of its document.
    pub version: Version,
    /// When it was last seen at GitHub.
    pub looked: Option<Timestamp>,
    /// How often it was hinted at.
    pub hints: u64,
}

impl Commit {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        let empty = |d: &Decision| d.effects.is_empty() && d.audit.is_empty() && d.seen.is_none() && d.settle.is_none();
        self.document.is_none() && self.decisions.iter().all(empty)
    }
}

/// What became of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// Written and durable; the document's version now.
    Yes(Version),
    /// The document has another version than expected: nothing was written. Load and decide again.
    Raced,
    /// These decisions, counted from 0, are none: their dedupe key is known, from before or from an earlier one of this commit, or the
    /// effect to settle is settled already. Nothing was written: decide the others again without them.
    AlreadySeen(Vec<usize>),
    /// Somebody else leads: nothing was written, and nothing is to be done.
    Fenced,
}

/// Why a commit was not confirmed: one fragment, for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritten {
    /// Nothing was written, and nothing will be.
    #[error("{0}")]
    Nothing(String),
    /// Nobody knows: it is written by now, whole, or it never will be.
    #[error("{0}")]
    Unsure(String),
}

/// An effect to be performed now, leased to whoever claimed it.
#[derive(Clone, PartialEq)]
pub struct Claimed {
    /// Its id.
    pub id: EffectId,
    /// The app that committed it.
    pub app: AppName,
    /// Its lane.
    pub lane: String,
    /// Its key.
    pub key: Option<String>,
    /// JSON.
    pub body: String,
    /// How often it was claimed, this time included.
    pub attempts: u32,
    /// Whether an earlier attempt may have been performed: look before doing it again.
    pub uncertain: bool,
    /// When it was committed; with a key, when the first one in its place was.
    pub created: Timestamp,
    /// Whether it is past its `expires`: not to be performed, but to be given up aloud and settled.
    pub expired: bool,
    /// When the claim ends, unless it is renewed.
    pub until: Timestamp,
}

impl fmt::Debug for Claimed {
    /// Leaves the body out: it may hold a `response_url`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claimed")
            .field("id", &self.id)
            .field("app", &self.app)
            .field("lane", &self.lane)
            .field("key", &self.key)
            .field("attempts", &self.attempts)
            .field("uncertain", &self.uncertain)
            .field("created", &self.created)
            .field("expired", &self.expired)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

/// What is to be performed, now and next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims {
    /// Now, the oldest first.
    pub effects: Vec<Claimed>,
    /// When [`Store::claim`] will next find something, leases that end counted in; in the past when it would now. `None` when no effect
    /// is left.
    pub next: Option<Timestamp>,
}

/// The effects that are not settled, claimed ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many.
    pub count: u64,
    /// When the oldest was created.
    pub oldest: Option<Timestamp>,
}

/// Which back end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// The file of one process.
    Embedded,
    /// The Redis of several replicas.
    Redis,
}

/// Moves everything from the other store into this one, which has to be empty; a sentence of what was moved. What was there stays as it is.
///
/// # Errors
/// When a bot still uses one of them, one cannot be reached, or there is something in the way.
pub async fn copy(config: &Config, to: Kind) -> Result<String> {
    let url = config.redis.as_ref().context("REDIS_URL is not set: it says which Redis")?;
    let redis = redis::Redis::new(url)?;
    if redis.is_led().await? {
        bail!("a bot is using this Redis: stop it, and try again in ten seconds");
    }
    let (embedded, redis) = (Store::Embedded(embedded::Embedded::open(&config.data)?), Store::Redis(redis));
    let (from, into) = match to {
        Kind::Redis => (embedded, redis),
        Kind::Embedded => (redis, embedded),
    };
    let all = from.export().await?;
    if all.is_empty() {
        bail!("there is nothing to copy");
    }
    let counted = all.counted();
    into.import(all).await?;
    Ok(format!("Copied {counted}."))
}

/// A back end of this contract. Every method fails when the store cannot be reached or written; then nothing is promised, except for
/// commits, whose failure says what is.
#[derive(Clone)]
pub enum Store {
    /// A file of this process; one replica.
    Embedded(embedded::Embedded),
    /// A Redis, shared by several replicas.
    Redis(redis::Redis),
}

impl Store {
    /// An app's document and its version; `None` before the first commit.
    pub async fn load(&self, app: &AppName) -> Result<Option<(Version, String)>> {
        match self {
            Self::Embedded(store) => store.load(app).await,
            Self::Redis(store) => store.load(app).await,
        }
    }

    /// Writes decisions, all of them or none.
    pub async fn commit(&self, commit: Commit) -> Result<Committed, Unwritten> {
        match self {
            Self::Embedded(store) => store.commit(commit).await,
            Self::Redis(store) => store.commit(commit).await,
        }
    }

    /// Claims the heads of lanes that are due and not leased, the oldest `most` of them, until `now` plus `lease`.
    pub async fn claim(&self, now: Timestamp, lease: SignedDuration, most: u32) -> Result<Claims> {
        match self {
            Self::Embedded(store) => store.claim(now, lease, most).await,
            Self::Redis(store) => store.claim(now, lease, most).await,
        }
    }

    /// Keeps a claim that ends at `from` alive until `until`; whether it was still held.
    pub async fn renew(&self, id: &EffectId, from: Timestamp, until: Timestamp) -> Result<bool> {
        match self {
            Self::Embedded(store) => store.renew(id, from, until).await,
            Self::Redis(store) => store.renew(id, from, until).await,
        }
    }

    /// Gives a claim back; its lane waits until `at`. An effect that is `uncertain` stays so. Unknown or settled: nothing.
    pub async fn retry(&self, id: &EffectId, at: Timestamp, uncertain: bool) -> Result<()> {
        match self {
            Self::Embedded(store) => store.retry(id, at, uncertain).await,
            Self::Redis(store) => store.retry(id, at, uncertain).await,
        }
    }

    /// Takes an effect out of its lane, performed or given up, where no decision follows from it. Unknown or settled: nothing.
    pub async fn settle(&self, id: &EffectId) -> Result<()> {
        match self {
            Self::Embedded(store) => store.settle(id).await,
            Self::Redis(store) => store.settle(id).await,
        }
    }

    /// How much is not settled.
    pub async fn backlog(&self) -> Result<Backlog> {
        match self {
            Self::Embedded(store) => store.backlog().await,
            Self::Redis(store) => store.backlog().await,
        }
    }

    /// Leads, or goes on leading, for so long from now on; `None` while somebody else leads. `looked` is told to the other replicas: when
    /// each app was last seen at GitHub.
    pub async fn lead(&self, me: &str, time: Duration, looked: &BTreeMap<AppName, Timestamp>) -> Result<Option<Fence>> {
        match self {
            Self::Embedded(_) => Ok(Some(Fence(0))),
            Self::Redis(store) => store.lead(me, time, looked).await,
        }
    }

    /// Stops leading, so that another need not wait.
    pub async fn resign(&self, me: &str) -> Result<()> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Redis(store) => store.resign(me).await,
        }
    }

    /// What others may have changed, for each of these apps that has a document; nothing where there are no others.
    pub async fn glance(&self, apps: &[AppName]) -> Result<BTreeMap<AppName, Glance>> {
        match self {
            Self::Embedded(_) => Ok(BTreeMap::new()),
            Self::Redis(store) => store.glance(apps).await,
        }
    }

    /// Tells whoever leads that something happened to an app: its [`Glance`] counts it. Where there are no others, nobody is told.
    pub async fn hint(&self, app: &AppName) -> Result<()> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Redis(store) => store.hint(app).await,
        }
    }

    /// Whether it would keep what it is given; what its owner would want to know is logged.
    ///
    /// # Errors
    /// When it would throw things away; being away is no error.
    pub async fn fit(&self) -> Result<()> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Redis(store) => store.fitness().await.map_or(Ok(()), |fitness| {
                fitness.advice().iter().for_each(|advice| warn!("{advice}"));
                fitness.keeps()
            }),
        }
    }

    /// All that it holds.
    pub async fn export(&self) -> Result<Everything> {
        match self {
            Self::Embedded(store) => store.export().await,
            Self::Redis(store) => store.export().await,
        }
    }

    /// Takes all that another store held, its id as well: an embedded one has to be opened anew. Fails where it holds anything itself;
    /// then nothing was written.
    pub async fn import(&self, all: Everything) -> Result<()> {
        match self {
            Self::Embedded(store) => store.import(all).await,
            Self::Redis(store) => store.import(all).await,
        }
    }

    /// Whether other processes may use it too, and whether it may be away for a while.
    pub fn is_shared(&self) -> bool {
        match self {
            Self::Embedded(_) => false,
            Self::Redis(_) => true,
        }
    }

    /// An app's newest lines of the audit log, newest first. They are kept for ever.
    pub async fn audit(&self, app: &AppName, limit: u32) -> Result<Vec<String>> {
        match self {
            Self::Embedded(store) => store.audit(app, limit).await,
            Self::Redis(store) => store.audit(app, limit).await,
        }
    }
}

/// Times as back ends keep them.
fn ms(time: Timestamp) -> i64 {
    time.as_millisecond()
}

fn time(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
