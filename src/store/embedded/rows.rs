//! The SQL of the embedded store: one function for each thing that the contract asks. Each runs inside a savepoint, so it may
//! stop half-way with an error.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::super::{Backlog, Claimed, Commit, Committed, Decision, EffectId, NewEffect, Version, ms, time};
use crate::deploy::name::AppName;

/// How long a dedupe key is kept, by the times of the commits that come after it.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);

/// The row that no effect has: what an id of another store stands for.
const NO_ROW: i64 = 0;

/// Claims the oldest heads of lanes. A lease that is still there has ended by itself: whoever had it may have done the deed.
pub(super) const CLAIM: &str = "
    UPDATE effects SET attempts = attempts + 1, uncertain = uncertain OR leased IS NOT NULL, leased = ?2
    WHERE id IN (
        SELECT id FROM effects WHERE id IN (SELECT min(id) FROM effects GROUP BY lane)
        AND due <= ?1 AND (leased IS NULL OR leased <= ?1) ORDER BY id LIMIT ?3
    )
    RETURNING id, app, lane, key, body, attempts, uncertain, created, expires, leased";

/// Makes effect ids of row numbers, and back.
#[derive(Clone)]
pub(super) struct Ids(Arc<str>);

impl Ids {
    pub(super) fn new(store_id: String) -> Self {
        Self(store_id.into())
    }

    fn id(&self, row: i64) -> EffectId {
        EffectId::new(format!("{}-{row}", self.0))
    }

    pub(super) fn row(&self, id: &EffectId) -> i64 {
        let row = id.as_str().strip_prefix(&*self.0).and_then(|rest| rest.strip_prefix('-'));
        row.and_then(|row| row.parse().ok()).unwrap_or(NO_ROW)
    }
}

pub(super) fn load(db: &Connection, app: &AppName) -> rusqlite::Result<Option<(Version, String)>> {
    db.query_row("SELECT version, document FROM apps WHERE app = ?1", [app.as_str()], |row| {
        Ok((Version(row.get::<_, i64>(0)?.unsigned_abs()), row.get(1)?))
    })
    .optional()
}

pub(super) fn commit(db: &Connection, ids: &Ids, commit: &Commit) -> rusqlite::Result<Committed> {
    let known = already_seen(db, ids, &commit.decisions)?;
    if !known.is_empty() {
        return Ok(Committed::AlreadySeen(known));
    }
    let Some(version) = write_document(db, commit)? else {
        return Ok(Committed::Raced);
    };
    for decision in &commit.decisions {
        if let Some(id) = &decision.settle {
            settle(db, ids.row(id))?;
        }
        for effect in &decision.effects {
            queue(db, commit, effect)?;
        }
        for line in &decision.audit {
            db.prepare_cached("INSERT INTO audit (at, app, line) VALUES (?1, ?2, ?3)")?.execute(params![
                ms(commit.at),
                commit.app.as_str(),
                line
            ])?;
        }
    }
    remember(db, commit)?;
    Ok(Committed::Yes(version))
}

/// The places of those whose key is known, or whose effect is not there any more.
fn already_seen(db: &Connection, ids: &Ids, decisions: &[Decision]) -> rusqlite::Result<Vec<usize>> {
    let (mut keys, mut settled) = (HashSet::new(), HashSet::new());
    let mut known = Vec::new();
    for (place, Decision { seen, settle, .. }) in decisions.iter().enumerate() {
        let again = match seen {
            Some(key) => !keys.insert(key) || exists(db, "SELECT 1 FROM seen WHERE key = ?1", key)?,
            None => false,
        };
        let gone = match settle {
            Some(id) => !settled.insert(id) || !exists(db, "SELECT 1 FROM effects WHERE id = ?1", ids.row(id))?,
            None => false,
        };
        if again || gone {
            known.push(place);
        }
    }
    Ok(known)
}

fn exists(db: &Connection, sql: &str, of: impl rusqlite::ToSql) -> rusqlite::Result<bool> {
    db.prepare_cached(sql)?.exists([of])
}

/// Compares and sets; the version from now on, unless it is another one already.
fn write_document(db: &Connection, commit: &Commit) -> rusqlite::Result<Option<Version>> {
    let (app, expected) = (commit.app.as_str(), commit.expected);
    let Some(document) = &commit.document else {
        let mut version = db.prepare_cached("SELECT version FROM apps WHERE app = ?1")?;
        let known = version.query_row([app], |row| row.get::<_, i64>(0)).optional()?;
        return Ok(Some(expected).filter(|_| known.map(i64::unsigned_abs) == Some(expected.0)));
    };
    let changed = match i64::try_from(expected.0) {
        Ok(0) => db
            .prepare_cached("INSERT INTO apps (app, version, document) VALUES (?1, 1, ?2) ON CONFLICT DO NOTHING")?
            .execute(params![app, document])?,
        Ok(version) => db
            .prepare_cached("UPDATE apps SET version = version + 1, document = ?3 WHERE app = ?1 AND version = ?2")?
            .execute(params![app, version, document])?,
        Err(_) => 0,
    };
    Ok((changed == 1).then_some(Version(expected.0 + 1)))
}

fn queue(db: &Connection, commit: &Commit, effect: &NewEffect) -> rusqlite::Result<()> {
    let app = commit.app.as_str();
    let expires = effect.expires.map(ms);
    let replaced = match &effect.key {
        None => 0,
        Some(key) => db
            .prepare_cached(
                "UPDATE effects SET body = ?4, expires = ?5 WHERE app = ?1 AND lane = ?2 AND key = ?3 AND attempts = 0",
            )?
            .execute(params![app, effect.lane, key, effect.body, expires])?,
    };
    if replaced == 0 {
        db.prepare_cached(
            "INSERT INTO effects (app, lane, key, body, created, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![app, effect.lane, effect.key, effect.body, ms(commit.at), expires])?;
    }
    Ok(())
}

fn remember(db: &Connection, commit: &Commit) -> rusqlite::Result<()> {
    let forgotten = commit.at.saturating_sub(REMEMBERED).unwrap_or(Timestamp::MIN);
    for (nth, key) in commit.decisions.iter().filter_map(|decision| decision.seen.as_ref()).enumerate() {
        if nth == 0 {
            db.prepare_cached("DELETE FROM seen WHERE at < ?1")?.execute([ms(forgotten)])?;
        }
        db.prepare_cached("INSERT INTO seen (key, at) VALUES (?1, ?2)")?.execute(params![key, ms(commit.at)])?;
    }
    Ok(())
}

pub(super) fn claim(
    db: &Connection,
    ids: &Ids,
    now: Timestamp,
    until: Timestamp,
    most: u32,
) -> rusqlite::Result<Vec<Claimed>> {
    let mut statement = db.prepare_cached(CLAIM)?;
    let rows = statement
        .query_map(params![ms(now), ms(until), most], |row| Ok((row.get::<_, i64>(0)?, claimed(row, ids, now)?)))?;
    let mut all = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    all.sort_by_key(|(row, _)| *row);
    Ok(all.into_iter().map(|(_, claimed)| claimed).collect())
}

fn claimed(row: &Row<'_>, ids: &Ids, now: Timestamp) -> rusqlite::Result<Claimed> {
    let expires: Option<i64> = row.get("expires")?;
    Ok(Claimed {
        id: ids.id(row.get("id")?),
        app: AppName::new(row.get::<_, String>("app")?),
        lane: row.get("lane")?,
        key: row.get("key")?,
        body: row.get("body")?,
        attempts: row.get("attempts")?,
        uncertain: row.get("uncertain")?,
        created: time(row.get("created")?),
        expired: expires.is_some_and(|expires| expires <= ms(now)),
        until: time(row.get("leased")?),
    })
}

pub(super) fn renew(db: &Connection, row: i64, from: Timestamp, until: Timestamp) -> rusqlite::Result<bool> {
    let held = db.prepare_cached("UPDATE effects SET leased = ?3 WHERE id = ?1 AND leased = ?2")?.execute(params![
        row,
        ms(from),
        ms(until)
    ])?;
    Ok(held == 1)
}

pub(super) fn retry(db: &Connection, row: i64, at: Timestamp, uncertain: bool) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE effects SET leased = NULL, due = ?2, uncertain = uncertain OR ?3 WHERE id = ?1")?
        .execute(params![row, ms(at), uncertain])?;
    Ok(())
}

pub(super) fn settle(db: &Connection, row: i64) -> rusqlite::Result<usize> {
    db.prepare_cached("DELETE FROM effects WHERE id = ?1")?.execute([row])
}

pub(super) fn next_due(db: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let due: Option<i64> = db
        .prepare_cached(
            "SELECT min(max(due, coalesce(leased, 0))) FROM effects
             WHERE id IN (SELECT min(id) FROM effects GROUP BY lane)",
        )?
        .query_row([], |row| row.get(0))?;
    Ok(due.map(time))
}

pub(super) fn backlog(db: &Connection) -> rusqlite::Result<Backlog> {
    db.prepare_cached("SELECT count(*), min(created) FROM effects")?.query_row([], |row| {
        Ok(Backlog { count: row.get::<_, i64>(0)?.unsigned_abs(), oldest: row.get::<_, Option<i64>>(1)?.map(time) })
    })
}

pub(super) fn audit(db: &Connection, app: &AppName, limit: u32) -> rusqlite::Result<Vec<String>> {
    db.prepare_cached("SELECT line FROM audit WHERE app = ?1 ORDER BY id DESC LIMIT ?2")?
        .query_map(params![app.as_str(), limit], |row| row.get(0))?
        .collect()
}
