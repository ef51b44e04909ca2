//! Reading and writing everything at once, to move it from store to store.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use redis::{cmd, pipe};

use super::super::Version;
use super::super::moved::{Everything, Kept};
use super::{PREFIX, Redis, bounded, key, ms, time};
use crate::deploy::name::AppName;

/// A line of the audit log and when it was written; the store puts the time before it.
pub(super) fn dated(line: &str) -> (Timestamp, &str) {
    let (at, line) = line.split_once(' ').unwrap_or(("0", line));
    (time(at.parse().unwrap_or_default()), line)
}

impl Redis {
    /// All that this Redis holds of Lockkeeper's.
    pub(in super::super) async fn export(&self) -> Result<Everything> {
        let store: HashMap<String, String> = self.ask("read the store's id", cmd("HGETALL").arg(key("store"))).await?;
        let seen: Vec<(String, f64)> =
            self.ask("read the dedupe keys", cmd("ZRANGE").arg(key("seen")).arg(0).arg(-1).arg("WITHSCORES")).await?;
        let mut all = Everything {
            id: store.get("id").cloned(),
            last: store.get("last").and_then(|last| last.parse().ok()).unwrap_or_default(),
            seen: seen.into_iter().map(|(key, at)| (key, time(at as i64))).collect(),
            ..Everything::default()
        };
        for name in self.names("app:").await? {
            let app = AppName::new(name);
            let (version, document) = self.load(&app).await?.with_context(|| format!("load {app}"))?;
            all.apps.push((app, version, document));
        }
        for name in self.names("audit:").await? {
            let command = cmd("LRANGE").arg(key(&format!("audit:{name}"))).arg(0).arg(-1).to_owned();
            let lines: Vec<String> = self.ask("read the audit log", &command).await?;
            let lines = lines.iter().rev().map(|line| dated(line));
            all.audit.extend(lines.map(|(at, line)| (AppName::new(name.as_str()), at, line.to_owned())));
        }
        for id in self.names("effect:").await? {
            let fields: HashMap<String, String> =
                self.ask("read an effect", cmd("HGETALL").arg(key(&format!("effect:{id}")))).await?;
            all.effects.push(kept(&id, &fields).with_context(|| format!("read effect {id}"))?);
        }
        all.effects.sort_by_key(|kept| kept.number);
        Ok(all)
    }

    /// Whether a bot is using it.
    pub(in super::super) async fn is_led(&self) -> Result<bool> {
        self.ask("see who leads", cmd("EXISTS").arg(key("leader"))).await
    }

    /// What stands behind a prefix, sorted.
    async fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let (mut names, mut cursor) = (Vec::new(), 0u64);
        let pattern = format!("{}*", key(prefix));
        loop {
            let scan = cmd("SCAN").arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(500).to_owned();
            let (next, keys): (u64, Vec<String>) = self.ask("list what is there", &scan).await?;
            names.extend(keys.iter().filter_map(|found| found.strip_prefix(&key(prefix))).map(str::to_owned));
            if next == 0 {
                names.sort();
                names.dedup();
                return Ok(names);
            }
            cursor = next;
        }
    }

    /// Takes everything, in one transaction.
    pub(in super::super) async fn import(&self, all: Everything) -> Result<()> {
        if !self.names("").await?.is_empty() {
            bail!(
                "this Redis holds something of Lockkeeper’s already (keys {PREFIX}…): name another database in REDIS_URL"
            );
        }
        let mut writes = pipe();
        writes.atomic();
        let id = all.id.unwrap_or_else(|| format!("{:032x}", fastrand::u128(..)));
        writes.hset(key("store"), "id", &id).hset(key("store"), "last", all.last);
        for (app, Version(version), document) in &all.apps {
            writes.hset_multiple(
                key(&format!("app:{app}")),
                &[("version", &version.to_string()), ("document", document)],
            );
        }
        for kept in &all.effects {
            write(&mut writes, &format!("{id}-{}", kept.number), kept);
        }
        for (name, at) in &all.seen {
            writes.zadd(key("seen"), name, ms(*at));
        }
        for (app, at, line) in &all.audit {
            writes.lpush(key(&format!("audit:{app}")), format!("{} {line}", ms(*at)));
        }
        let mut connection = self.connection.clone();
        bounded("write everything", writes.query_async(&mut connection)).await
    }
}

fn write(writes: &mut redis::Pipeline, id: &str, kept: &Kept) {
    let fields = [
        ("app", kept.app.to_string()),
        ("lane", kept.lane.clone()),
        ("key", kept.key.clone().unwrap_or_default()),
        ("has_key", u8::from(kept.key.is_some()).to_string()),
        ("body", kept.body.clone()),
        ("expires", kept.expires.map(|at| ms(at).to_string()).unwrap_or_default()),
        ("created", ms(kept.created).to_string()),
        ("due", ms(kept.due).to_string()),
        ("attempts", kept.attempts.to_string()),
        ("uncertain", u8::from(kept.uncertain).to_string()),
    ];
    let lane = key(&format!("lane:{}", kept.lane));
    writes.hset_multiple(key(&format!("effect:{id}")), &fields);
    writes.zadd(key("effects"), id, ms(kept.created)).zadd(&lane, id, kept.number);
    // The first of a lane decides when it is due; they come in order.
    writes.cmd("ZADD").arg(key("lanes")).arg("NX").arg(ms(kept.due)).arg(&kept.lane);
    if let Some(name) = kept.key.as_ref().filter(|_| kept.attempts == 0) {
        let (app, lane) = (kept.app.as_str(), &kept.lane);
        let place = format!("{}:{app}{}:{lane}{name}", app.len(), lane.len());
        writes.hset(key("unclaimed"), place, id);
    }
}

fn kept(id: &str, fields: &HashMap<String, String>) -> Result<Kept> {
    let field = |name: &str| fields.get(name).map(String::as_str).with_context(|| format!("it has no {name}"));
    let number = |name: &str| -> Result<i64> { Ok(field(name)?.parse()?) };
    Ok(Kept {
        number: id.rsplit('-').next().unwrap_or_default().parse()?,
        app: AppName::new(field("app")?),
        lane: field("lane")?.to_owned(),
        key: (field("has_key")? == "1").then(|| field("key").map(str::to_owned)).transpose()?,
        body: field("body")?.to_owned(),
        created: time(number("created")?),
        expires: Some(field("expires")?).filter(|at| !at.is_empty()).map(str::parse).transpose()?.map(time),
        due: time(number("due")?),
        attempts: number("attempts")?.try_into()?,
        uncertain: field("uncertain")? == "1" || fields.contains_key("leased"),
    })
}
