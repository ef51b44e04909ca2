//! Reading and writing everything at once, to move it from store to store.

use rusqlite::{Connection, params};

use super::super::Version;
use super::super::moved::{Everything, Kept};
use super::super::{ms, time};
use crate::deploy::name::AppName;

pub(super) fn is_empty(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row(
        "SELECT NOT (EXISTS (SELECT 1 FROM apps) OR EXISTS (SELECT 1 FROM effects) OR EXISTS (SELECT 1 FROM audit) OR EXISTS (SELECT 1 FROM seen))",
        [],
        |row| row.get(0),
    )
}

pub(super) fn export(db: &Connection) -> rusqlite::Result<Everything> {
    let id = db.query_row("SELECT id FROM store", [], |row| row.get(0))?;
    let apps = db
        .prepare("SELECT app, version, document FROM apps ORDER BY app")?
        .query_map([], |row| {
            let version: i64 = row.get(1)?;
            Ok((AppName::new(row.get::<_, String>(0)?), Version(version.unsigned_abs()), row.get(2)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let seen = db
        .prepare("SELECT key, at FROM seen ORDER BY at, key")?
        .query_map([], |row| Ok((row.get(0)?, time(row.get(1)?))))?
        .collect::<rusqlite::Result<_>>()?;
    let audit = db
        .prepare("SELECT app, at, line FROM audit ORDER BY id")?
        .query_map([], |row| Ok((AppName::new(row.get::<_, String>(0)?), time(row.get(1)?), row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let last: Option<i64> =
        db.query_row("SELECT max(seq) FROM sqlite_sequence WHERE name = 'effects'", [], |row| row.get(0))?;
    let last = last.unwrap_or_default().unsigned_abs();
    Ok(Everything { id: Some(id), last, apps, effects: effects(db)?, seen, audit })
}

fn effects(db: &Connection) -> rusqlite::Result<Vec<Kept>> {
    let mut statement = db.prepare(
        "SELECT id, app, lane, key, body, created, expires, due, attempts, uncertain OR leased IS NOT NULL FROM effects ORDER BY id",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Kept {
            number: row.get::<_, i64>(0)?.unsigned_abs(),
            app: AppName::new(row.get::<_, String>(1)?),
            lane: row.get(2)?,
            key: row.get(3)?,
            body: row.get(4)?,
            created: time(row.get(5)?),
            expires: row.get::<_, Option<i64>>(6)?.map(time),
            due: time(row.get(7)?),
            attempts: row.get(8)?,
            uncertain: row.get(9)?,
        })
    })?;
    rows.collect()
}

pub(super) fn import(db: &Connection, all: &Everything) -> rusqlite::Result<()> {
    if let Some(id) = &all.id {
        db.execute("UPDATE store SET id = ?1", [id])?;
    }
    for (app, version, document) in &all.apps {
        db.execute(
            "INSERT INTO apps (app, version, document) VALUES (?1, ?2, ?3)",
            params![app.as_str(), version.0.cast_signed(), document],
        )?;
    }
    for kept in &all.effects {
        db.execute(
            "INSERT INTO effects (id, app, lane, key, body, created, expires, due, attempts, uncertain)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                kept.number.cast_signed(),
                kept.app.as_str(),
                kept.lane,
                kept.key,
                kept.body,
                ms(kept.created),
                kept.expires.map(ms),
                ms(kept.due),
                kept.attempts,
                kept.uncertain
            ],
        )?;
    }
    // Numbers are never given twice, not even those of effects that are settled.
    db.execute("DELETE FROM sqlite_sequence WHERE name = 'effects'", [])?;
    db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('effects', ?1)", [all.last.cast_signed()])?;
    for (key, at) in &all.seen {
        db.execute("INSERT INTO seen (key, at) VALUES (?1, ?2)", params![key, ms(*at)])?;
    }
    for (app, at, line) in &all.audit {
        db.execute("INSERT INTO audit (at, app, line) VALUES (?1, ?2, ?3)", params![ms(*at), app.as_str(), line])?;
    }
    Ok(())
}
