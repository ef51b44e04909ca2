//! The shared store: one Redis for several replicas. Every commit and claim is one Lua script, so it is whole or not at all. Here is
//! how Redis is asked; what the scripts do is beside it, in `redis/*.lua`.
//!
//! Keys (all below one prefix, on one primary; a Redis Cluster would need them in one slot): `app:NAME` version and document;
//! `effect:N` an effect; `effects` their times of creation; `lane:LANE` a lane's effects in order; `lanes` when each lane's head is
//! due; `unclaimed` where a keyed effect may be replaced; `audit:NAME` newest first; `seen` dedupe keys; `store` this store's id
//! and the last number given to an effect; `leader` who leads, `fence` how often that changed, `looked` when each app was
//! last seen at GitHub, `hints` how often something was said to have happened to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use jiff::{SignedDuration, Timestamp};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, Script, ScriptInvocation, cmd};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::{
    Backlog, Claimed, Claims, Commit, Committed, EffectId, Fence, Glance, NewEffect, Unwritten, Version, ms, time,
};
use crate::deploy::name::AppName;
use watch::Watch;

mod moving;
mod watch;

/// What all keys begin with.
const PREFIX: &str = "lockkeeper:";
/// The longest that one call may take: below the time in which Slack wants an acknowledgement.
const PATIENCE: Duration = Duration::from_millis(1_500);
const SILENT: &str = "redis did not answer in time";

/// A Redis. Clones share a connection, which is made when first needed and again whenever it broke.
#[derive(Clone)]
pub struct Redis {
    connection: ConnectionManager,
    scripts: Arc<Scripts>,
    watch: Arc<Watch>,
}

struct Scripts {
    commit: Script,
    claim: Script,
    renew: Script,
    retry: Script,
    settle: Script,
    lead: Script,
    resign: Script,
}

/// A claimed effect as the script gives it: id, app, lane, key, whether it has one, body, attempts, uncertain, created, expires.
type Row = (String, String, String, String, u8, String, u32, u8, i64, String);

impl Redis {
    /// A client of the Redis at `redis://` or `rediss://[user:password@]host[:port][/database]`. Nothing is asked yet. Has to be
    /// called inside a Tokio runtime.
    ///
    /// # Errors
    /// When the address is none; the address is not in the error: it may hold a password.
    pub fn new(url: &SecretString) -> Result<Self> {
        let client = Client::open(url.expose_secret()).ok().context("REDIS_URL is not the address of a Redis")?;
        // One quick try to connect for each call: a call that waits for Redis to come back is a person who waits.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(50))
            .set_max_delay(Duration::from_millis(100))
            .set_connection_timeout(Some(Duration::from_secs(1)))
            .set_response_timeout(Some(PATIENCE));
        let connection = ConnectionManager::new_lazy_with_config(client, config).context("make a Redis client")?;
        Ok(Self { connection, scripts: Arc::new(Scripts::new()), watch: Arc::default() })
    }

    /// Asks how Redis keeps what it is given.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn fitness(&self) -> Result<Fitness> {
        let policy = cmd("CONFIG").arg("GET").arg("maxmemory-policy").to_owned();
        let policy: Vec<String> = self.ask("read Redis's settings", &policy).await.unwrap_or_default();
        let info: String = self.ask("read Redis's state", cmd("INFO").arg("persistence")).await?;
        let shown = self.when(Instant::now()).await?;
        let ahead = SignedDuration::from_millis(Timestamp::now().as_millisecond().saturating_sub(shown));
        Ok(Fitness { policy: policy.into_iter().nth(1), appends: info.contains("aof_enabled:1"), ahead })
    }

    pub(super) async fn load(&self, app: &AppName) -> Result<Option<(Version, String)>> {
        let key = key(&format!("app:{app}"));
        let found: (Option<u64>, Option<String>) =
            self.ask("load a document", cmd("HMGET").arg(key).arg("version").arg("document")).await?;
        Ok(found.0.zip(found.1).map(|(version, document)| (Version(version), document)))
    }

    /// Who gives up waiting was told so: a Redis that slept must not write it when it wakes, so it is told until when it may.
    pub(super) async fn commit(&self, commit: Commit) -> Result<Committed, Unwritten> {
        const LATE: i64 = -4;
        let until = Instant::now() + PATIENCE;
        // A deadline can be too early, but then Redis says what time it is.
        for _ in 0..2 {
            let deadline = self.when(until).await.map_err(|error| Unwritten::Nothing(format!("{error:#}")))?;
            let script = commit_of(&self.scripts.commit, &commit, deadline);
            let mut connection = self.connection.clone();
            let answer = tokio::time::timeout_at(until, script.invoke_async::<Vec<i64>>(&mut connection)).await;
            let told = answer
                .map_err(|_| Unwritten::Unsure(format!("commit decisions: {SILENT}")))?
                .map_err(|error| unwritten(&error))?;
            let [now, end, known @ ..] = told.as_slice() else {
                return Err(Unwritten::Unsure("commit decisions: redis said nothing".to_owned()));
            };
            self.watch.set(*now, Instant::now());
            return Ok(match end {
                -1 => Committed::Raced,
                -2 => Committed::AlreadySeen(known.iter().filter_map(|place| usize::try_from(*place).ok()).collect()),
                -3 => Committed::Fenced,
                &LATE => continue,
                version => Committed::Yes(Version(version.unsigned_abs())),
            });
        }
        Err(Unwritten::Nothing("commit decisions: redis got to it too late".to_owned()))
    }

    /// What Redis' clock will show at an instant, at least (ms).
    async fn when(&self, instant: Instant) -> Result<i64> {
        if let Some(shown) = self.watch.at(instant) {
            return Ok(shown);
        }
        let mut connection = self.connection.clone();
        let asked = cmd("TIME").to_owned();
        let (seconds, micros): (i64, i64) =
            bounded("ask redis for its time", asked.query_async(&mut connection)).await?;
        self.watch.set(seconds * 1_000 + micros / 1_000, Instant::now());
        self.watch.at(instant).context("redis told its time too long ago")
    }

    pub(super) async fn claim(&self, now: Timestamp, lease: SignedDuration, most: u32) -> Result<Claims> {
        let until = now.saturating_add(lease).context("add the lease to the time")?;
        let mut script = self.scripts.claim.arg(ms(now));
        script.arg(ms(until)).arg(most).key(PREFIX);
        let (next, rows): (Option<f64>, Vec<Row>) = self.run("claim effects", &script).await?;
        let effects = rows.into_iter().map(|row| claimed(row, now, until)).collect();
        Ok(Claims { effects, next: next.map(|due| time(due as i64)) })
    }

    pub(super) async fn renew(&self, id: &EffectId, from: Timestamp, until: Timestamp) -> Result<bool> {
        let mut script = self.scripts.renew.arg(id.as_str());
        script.arg(ms(from)).arg(ms(until)).key(PREFIX);
        self.run("renew a claim", &script).await
    }

    pub(super) async fn lead(
        &self,
        me: &str,
        time: Duration,
        looked: &BTreeMap<AppName, Timestamp>,
    ) -> Result<Option<Fence>> {
        let mut script = self.scripts.lead.arg(me);
        script.arg(time.as_millis() as u64).key(PREFIX);
        for (app, at) in looked {
            script.arg(app.as_str()).arg(ms(*at));
        }
        Ok(self.run::<Option<u64>>("lead", &script).await?.map(Fence))
    }

    pub(super) async fn resign(&self, me: &str) -> Result<()> {
        let mut script = self.scripts.resign.arg(me);
        script.key(PREFIX);
        self.run::<i64>("resign", &script).await.map(drop)
    }

    pub(super) async fn glance(&self, apps: &[AppName]) -> Result<BTreeMap<AppName, Glance>> {
        let mut pipe = redis::pipe();
        for app in apps {
            pipe.hget(key(&format!("app:{app}")), "version");
            pipe.hget(key("looked"), app.as_str());
            pipe.hget(key("hints"), app.as_str());
        }
        let mut connection = self.connection.clone();
        let found: Vec<Option<u64>> = bounded("see what others changed", pipe.query_async(&mut connection)).await?;
        let glances = apps.iter().zip(found.as_chunks().0).filter_map(|(app, [version, looked, hints])| {
            let looked = looked.and_then(|ms| i64::try_from(ms).ok()).map(time);
            Some((app.clone(), Glance { version: Version((*version)?), looked, hints: hints.unwrap_or_default() }))
        });
        Ok(glances.collect())
    }

    pub(super) async fn hint(&self, app: &AppName) -> Result<()> {
        let hint = cmd("HINCRBY").arg(key("hints")).arg(app.as_str()).arg(1).to_owned();
        self.ask::<u64>("hint at an app", &hint).await.map(drop)
    }

    pub(super) async fn retry(&self, id: &EffectId, at: Timestamp, uncertain: bool) -> Result<()> {
        let mut script = self.scripts.retry.arg(id.as_str());
        script.arg(ms(at)).arg(u8::from(uncertain)).key(PREFIX);
        self.run::<i64>("give an effect back", &script).await.map(drop)
    }

    pub(super) async fn settle(&self, id: &EffectId) -> Result<()> {
        let mut script = self.scripts.settle.arg(id.as_str());
        script.key(PREFIX);
        self.run::<i64>("settle an effect", &script).await.map(drop)
    }

    pub(super) async fn backlog(&self) -> Result<Backlog> {
        let count: u64 = self.ask("count the effects", cmd("ZCARD").arg(key("effects"))).await?;
        let oldest: Vec<(String, f64)> = self
            .ask("find the oldest effect", cmd("ZRANGE").arg(key("effects")).arg(0).arg(0).arg("WITHSCORES"))
            .await?;
        Ok(Backlog { count, oldest: oldest.first().map(|(_, created)| time(*created as i64)) })
    }

    pub(super) async fn audit(&self, app: &AppName, limit: u32) -> Result<Vec<String>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let command = cmd("LRANGE").arg(key(&format!("audit:{app}"))).arg(0).arg(limit - 1).to_owned();
        let lines: Vec<String> = self.ask("read the audit log", &command).await?;
        Ok(lines.iter().map(|line| moving::dated(line).1.to_owned()).collect())
    }

    async fn ask<T: FromRedisValue>(&self, what: &'static str, command: &Cmd) -> Result<T> {
        let mut connection = self.connection.clone();
        bounded(what, command.query_async(&mut connection)).await
    }

    async fn run<T: FromRedisValue>(&self, what: &'static str, script: &ScriptInvocation<'_>) -> Result<T> {
        let mut connection = self.connection.clone();
        bounded(what, script.invoke_async(&mut connection)).await
    }
}

/// Clocks that are further apart than this are not set by NTP.
const APART: SignedDuration = SignedDuration::from_secs(2);

/// How Redis keeps what it is given, as far as it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitness {
    /// What it does when its memory is full: `noeviction`; some hosts do not say.
    pub policy: Option<String>,
    /// Whether it writes an append-only file: without one, a crash loses up to an hour.
    pub appends: bool,
    /// How far this machine's clock is ahead of Redis's.
    pub ahead: SignedDuration,
}

impl Fitness {
    /// What its owner would want to know.
    pub fn advice(&self) -> Vec<String> {
        let policy = self.policy.is_none().then(|| {
            "Redis does not say what it does when its memory is full: make sure that maxmemory-policy is noeviction"
                .to_owned()
        });
        let appends = (!self.appends).then(|| {
            "Redis writes no append-only file, so a crash may lose decisions: appendonly yes, and appendfsync always to lose none".to_owned()
        });
        let clocks = (self.ahead.abs() >= APART).then(|| {
            let (seconds, side) = (self.ahead.abs().as_secs(), if self.ahead.is_positive() { "ahead of" } else { "behind" });
            format!("this machine’s clock is {seconds} s {side} Redis’s: set both by NTP. Replicas whose clocks are more than 9 s apart take each other’s work for abandoned")
        });
        [policy, appends, clocks].into_iter().flatten().collect()
    }

    /// # Errors
    /// When it would throw away what it was given: a decision, a dedupe key.
    pub fn keeps(&self) -> Result<()> {
        match self.policy.as_deref() {
            Some("noeviction") | None => Ok(()),
            Some(other) => bail!(
                "Redis would throw decisions away when its memory is full (maxmemory-policy {other}): set maxmemory-policy noeviction"
            ),
        }
    }
}

impl Scripts {
    fn new() -> Self {
        let script = |text: &str| Script::new(&format!("{}{text}", include_str!("redis/lanes.lua")));
        Self {
            commit: script(include_str!("redis/commit.lua")),
            claim: script(include_str!("redis/claim.lua")),
            retry: script(include_str!("redis/retry.lua")),
            settle: script(include_str!("redis/settle.lua")),
            renew: script(include_str!("redis/renew.lua")),
            lead: script(include_str!("redis/lead.lua")),
            resign: script(include_str!("redis/resign.lua")),
        }
    }
}

fn commit_of<'a>(script: &'a Script, commit: &Commit, deadline: i64) -> ScriptInvocation<'a> {
    let mut call = script.key(PREFIX);
    let optional = |call: &mut ScriptInvocation<'a>, text: Option<&str>| {
        call.arg(text.unwrap_or_default()).arg(u8::from(text.is_some()));
    };
    call.arg(commit.app.as_str())
        .arg(commit.expected.0)
        .arg(ms(commit.at))
        .arg(commit.document.as_deref().unwrap_or_default());
    call.arg(commit.fence.map(|Fence(fence)| fence.to_string()).unwrap_or_default());
    // Taken only by a store that has no id yet.
    call.arg(format!("{:032x}", fastrand::u128(..))).arg(deadline).arg(commit.decisions.len());
    for decision in &commit.decisions {
        optional(&mut call, decision.seen.as_deref());
        optional(&mut call, decision.settle.as_ref().map(EffectId::as_str));
        call.arg(decision.effects.len()).arg(decision.audit.len());
        for NewEffect { lane, key, body, expires } in &decision.effects {
            call.arg(lane);
            optional(&mut call, key.as_deref());
            call.arg(body).arg(expires.map(ms).map(|ms| ms.to_string()).unwrap_or_default());
        }
        call.arg(&decision.audit);
    }
    call
}

fn claimed(row: Row, now: Timestamp, until: Timestamp) -> Claimed {
    let (id, app, lane, key, has_key, body, attempts, uncertain, created, expires) = row;
    Claimed {
        id: EffectId::new(id),
        app: AppName::new(app),
        lane,
        key: (has_key == 1).then_some(key),
        body,
        attempts,
        uncertain: uncertain == 1,
        created: time(created),
        until: time(ms(until)),
        expired: expires.parse().is_ok_and(|expires: i64| expires <= ms(now)),
    }
}

/// No call waits for longer than [`PATIENCE`], whatever the connection is doing. The error says nothing of the address.
async fn bounded<T>(what: &'static str, call: impl Future<Output = RedisResult<T>>) -> Result<T> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(answer) => answer.map_err(|error| anyhow!("{what}: redis: {}", error.category())),
        Err(_) => bail!("{what}: {SILENT}"),
    }
}

/// What an error means for a commit that was sent, or was to be.
fn unwritten(error: &RedisError) -> Unwritten {
    let why = format!("commit decisions: redis: {}", error.category());
    // A connection that was lost may have carried it there; one that was refused has not, and whoever answers says what they did not do.
    let lost = error.is_io_error() && !error.is_connection_refusal();
    match error.kind() {
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => Unwritten::Unsure(why),
        _ if lost => Unwritten::Unsure(why),
        _ => Unwritten::Nothing(why),
    }
}

fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}
