//! The outbox: claims the effects that were committed, performs them, and tells the core how it went. At least once: an effect
//! that may have been performed is looked for before it is done again. An effect that cannot be performed is given up aloud.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::deploy::action::{Action, Reply, Request};
use crate::deploy::dispatch::Dispatch;
use crate::deploy::effect::{Effect, Verdict};
use crate::deploy::event::{Event, Facts, Outcome, Unreachable};
use crate::deploy::form::Form;
use crate::deploy::message::Message;
use crate::deploy::name::{AppName, RunId, SlackId};
use crate::deploy::track::Address;
use crate::github::GitHubError;
use crate::shell::Shell;
use crate::slack::SlackError;
use crate::store::{Claimed, Claims, EffectId};
use crate::telemetry;

mod dispatch;
mod mend;
mod revert;
mod variable;

/// A claim ends by itself after this long, unless it is renewed: then whoever had it died, or slept.
const LEASE: SignedDuration = SignedDuration::from_secs(12);
/// How many effects are in hand at most; what a crowd asks for would else take all of the process's file descriptors. Far more than hang
/// while something is away, so that these do not hold up the others.
const HANDS: u32 = 256;
/// How often a claim is renewed.
const RENEW: Duration = Duration::from_secs(3);
/// The longest that the outbox sleeps when nothing is due.
const NAP: Duration = Duration::from_secs(1);
/// How long an effect that is not known here waits for somebody who knows it.
const UNKNOWN: SignedDuration = SignedDuration::from_hours(24);
/// The longest wait between two tries.
const LONGEST: SignedDuration = SignedDuration::from_secs(60);

/// How one performance went.
enum Performed {
    /// An event follows from it; committing that settles the effect.
    Tell(Box<Event>),
    /// Done, and nothing follows.
    Settled,
    /// Not now: come again, at the earliest after this long (else with the usual back-off).
    Again {
        after: Option<SignedDuration>,
        /// Whether it may have been done.
        uncertain: bool,
        why: String,
    },
    /// Nothing to be done yet: come again after this long.
    Wait(SignedDuration),
    /// Never: refused for good.
    Never(String),
}

impl Performed {
    /// GitHub takes no requests before then.
    fn limited(until: Timestamp, now: Timestamp, uncertain: bool) -> Self {
        Self::Again { after: Some(until.duration_since(now)), uncertain, why: "GitHub's rate limit".into() }
    }

    /// For the metrics.
    fn word(&self) -> &'static str {
        match self {
            Self::Tell(_) | Self::Settled => "performed",
            Self::Again { .. } | Self::Wait(_) => "again",
            Self::Never(_) => "never",
        }
    }
}

/// Performs what is due until shutdown, then lets what was begun end.
pub async fn run(shell: Arc<Shell>, shutdown: CancellationToken) {
    let tasks = TaskTracker::new();
    let mut hands = Hands::default();
    while !shutdown.is_cancelled() {
        let free = HANDS.saturating_sub(hands.held());
        let Claims { effects, next } = match free {
            0 => Claims::default(),
            _ => shell.store.claim(shell.clock.now(), LEASE, free).await.unwrap_or_else(|error| {
                error!("could not claim effects: {error:#}");
                Claims::default()
            }),
        };
        let full = effects.len() >= free as usize;
        for claimed in effects {
            let Some(until) = hands.take(&claimed) else { continue };
            let shell = shell.clone();
            tasks.spawn(async move {
                work(&shell, claimed, until).await;
                shell.changed.notify_one();
            });
        }
        // With all hands full there is nothing to look up: one that becomes free says so.
        let nap = if full { NAP } else { nap(next, shell.clock.now()) };
        tokio::select! {
            () = shell.changed.notified() => {}
            () = tokio::time::sleep(nap) => {}
            () = shutdown.cancelled() => {}
        }
    }
    tasks.close();
    tasks.wait().await;
}

/// How long to sleep until something is due next.
fn nap(next: Option<Timestamp>, now: Timestamp) -> Duration {
    let wait = next.map(|due| due.duration_since(now));
    wait.and_then(|wait| Duration::try_from(wait).ok()).map_or(NAP, |wait| wait.clamp(Duration::from_millis(5), NAP))
}

/// What this process has in hand, and until when each claim lasts (ms). After a jump of the clock its own claims seem to have run out and
/// come again: then they last on, and nothing is begun a second time.
#[derive(Default)]
struct Hands(HashMap<EffectId, Weak<AtomicI64>>);

impl Hands {
    /// How many are held.
    fn held(&mut self) -> u32 {
        self.0.retain(|_, until| until.strong_count() > 0);
        self.0.len().try_into().unwrap_or(u32::MAX)
    }

    /// Takes a claim in hand; `None` where the effect is in hand already.
    fn take(&mut self, claimed: &Claimed) -> Option<Arc<AtomicI64>> {
        if let Some(until) = self.0.get(&claimed.id).and_then(Weak::upgrade) {
            until.store(claimed.until.as_millisecond(), Ordering::Relaxed);
            return None;
        }
        let until = Arc::new(AtomicI64::new(claimed.until.as_millisecond()));
        self.0.insert(claimed.id.clone(), Arc::downgrade(&until));
        Some(until)
    }
}

async fn work(shell: &Shell, claimed: Claimed, until: Arc<AtomicI64>) {
    let id = claimed.id.clone();
    tokio::select! {
        // First: who wakes from a long sleep must not send what another replica has in hand by now.
        biased;
        () = lost(shell, id.clone(), until) => {
            warn!(effect.id = %id, "a claim was lost on the way: whoever has it now looks what was done");
        }
        done = attempt(shell, claimed) => if let Err(error) = done {
            // The claim runs out by itself and the effect comes again.
            error!(effect.id = %id, "could not settle an effect: {error:#}");
        }
    }
}

/// Keeps a claim alive; ends once it is lost.
async fn lost(shell: &Shell, id: EffectId, until: Arc<AtomicI64>) {
    let end = || Timestamp::from_millisecond(until.load(Ordering::Relaxed)).unwrap_or(Timestamp::MIN);
    loop {
        // Looked at on both sides of each wait: this process may have slept in any.
        let left = Duration::try_from(end().duration_since(shell.clock.now())).unwrap_or_default();
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(RENEW.min(left)).await;
        let (from, now) = (end(), shell.clock.now());
        if now >= from {
            return;
        }
        let next = now + LEASE;
        match shell.store.renew(&id, from, next).await {
            Ok(true) => until.store(next.as_millisecond(), Ordering::Relaxed),
            Ok(false) => return,
            // The store is away: the claim holds until its end.
            Err(_) => {}
        }
    }
}

async fn attempt(shell: &Shell, claimed: Claimed) -> anyhow::Result<()> {
    let (Ok(effect), Ok(desk)) = (serde_json::from_str::<Effect>(&claimed.body), shell.desk(&claimed.app)) else {
        return leave(shell, &claimed).await;
    };
    let what = effect.to_string().lines().next().unwrap_or_default().to_owned();
    // What it follows from has to be known: where a notice stands, say. Another replica may have committed it.
    desk.abreast().await;
    shell.catch_up(&claimed.app).await?;
    let performed = if claimed.expired {
        Performed::Never("it came too late to be of use".into())
    } else {
        perform(shell, &claimed, effect.clone()).await?
    };
    let age = shell.clock.now().duration_since(claimed.created);
    telemetry::tried(what.split(' ').next().unwrap_or_default(), performed.word(), age);
    match performed {
        Performed::Tell(event) => {
            info!(app.name = %claimed.app, effect = %what, "performed");
            desk.tell(*event, Some(claimed.id)).await
        }
        Performed::Settled => {
            info!(app.name = %claimed.app, effect = %what, "performed");
            shell.store.settle(&claimed.id).await
        }
        Performed::Wait(after) if shell.clock.now().duration_since(claimed.created) < patience(&effect) => {
            shell.store.retry(&claimed.id, shell.clock.now() + after, claimed.uncertain).await
        }
        Performed::Again { after, uncertain, why }
            if shell.clock.now().duration_since(claimed.created) < patience(&effect) =>
        {
            warn!(app.name = %claimed.app, effect = %what, attempt = claimed.attempts, "not performed, trying again: {why}");
            let wait = after.unwrap_or_default().max(back_off(claimed.attempts));
            shell.store.retry(&claimed.id, shell.clock.now() + wait, uncertain).await
        }
        Performed::Wait(_) => {
            let failed = Outcome::Failed("it took too long".into());
            desk.tell(Event::Performed(effect, failed), Some(claimed.id)).await
        }
        Performed::Again { why, .. } | Performed::Never(why) => {
            error!(app.name = %claimed.app, effect = %what, attempt = claimed.attempts, "given up: {why}");
            desk.tell(Event::Performed(effect, Outcome::Failed(why)), Some(claimed.id)).await
        }
    }
}

/// Another version's, or of an app that is not configured here: left to a replica that knows it, but not for ever, since all of its lane
/// waits behind it.
async fn leave(shell: &Shell, claimed: &Claimed) -> anyhow::Result<()> {
    if claimed.expired || shell.clock.now().duration_since(claimed.created) >= UNKNOWN {
        error!(app.name = %claimed.app, effect.id = %claimed.id, lane = claimed.lane, "given up: nobody here knows this effect or its app");
        return shell.store.settle(&claimed.id).await;
    }
    warn!(app.name = %claimed.app, effect.id = %claimed.id, lane = claimed.lane, "an effect of another version, or of an app that is not configured: left to whoever knows it");
    shell.store.retry(&claimed.id, shell.clock.now() + LONGEST, claimed.uncertain).await
}

/// How long an effect is worth trying. What the channel has to know waits out a night; a person who approved does not.
fn patience(effect: &Effect) -> SignedDuration {
    match effect {
        Effect::Examine(..)
        | Effect::Approve(_)
        | Effect::Reject(_)
        | Effect::Form(..)
        | Effect::Dispatch(_)
        | Effect::Mend(_)
        | Effect::Revert(_) => SignedDuration::from_mins(10),
        Effect::Notice(..)
        | Effect::Thread { .. }
        | Effect::Announce { .. }
        | Effect::Whisper { .. }
        | Effect::Show { .. }
        | Effect::Mark(_) => SignedDuration::from_hours(24),
        // Its values live only as long as the process.
        Effect::Set(_) => SignedDuration::from_hours(1),
        Effect::Answer(..) | Effect::Record(_) => SignedDuration::from_mins(30),
    }
}

/// 0.2 s, 0.4 s, … up to a minute, each jittered by half.
fn back_off(attempts: u32) -> SignedDuration {
    let doubled = SignedDuration::from_millis(200i64 << attempts.saturating_sub(1).min(16));
    SignedDuration::from_millis((doubled.min(LONGEST).as_millis() as f64 * (0.5 + fastrand::f64() * 0.5)) as i64)
}

async fn perform(shell: &Shell, claimed: &Claimed, effect: Effect) -> anyhow::Result<Performed> {
    match effect {
        Effect::Examine(request, run) => Ok(examine(shell, request, run).await),
        Effect::Approve(verdict) => review(shell, verdict, true).await,
        Effect::Reject(verdict) => review(shell, verdict, false).await,
        Effect::Notice(run, ref message) => notice(shell, claimed, run, message, effect.clone()).await,
        Effect::Thread { run, ref message, broadcast, .. } => {
            let thread = shell.desk(&claimed.app)?.app().address(run).map(|address| address.ts.clone());
            let broadcast = broadcast && thread.is_some();
            post(shell, claimed, message, Place { thread, broadcast, ..Place::default() }, effect.clone()).await
        }
        Effect::Announce { ref message, .. } => post(shell, claimed, message, Place::default(), effect.clone()).await,
        Effect::Show { ref topic, ref message } => {
            let address = shell.desk(&claimed.app)?.app().shown_at(topic).cloned();
            show(shell, claimed, address, message, effect.clone()).await
        }
        Effect::Whisper { ref to, ref message, .. } => {
            let place = Place { person: Some(to.clone()), ..Place::default() };
            post(shell, claimed, message, place, effect.clone()).await
        }
        Effect::Dispatch(order) => dispatch::perform(shell, claimed, order).await,
        Effect::Mend(repair) => mend::perform(shell, claimed, repair).await,
        Effect::Revert(reverting) => revert::perform(shell, claimed, reverting).await,
        Effect::Mark(mark) => variable::mark(shell, claimed, mark).await,
        Effect::Set(setting) => variable::set(shell, claimed, setting).await,
        Effect::Form(reply, _, shown) => form(shell, &claimed.app, reply.view.as_deref(), &shown).await,
        Effect::Answer(reply, to, message) => answer(shell, &claimed.app, &reply, &to, &message).await,
        Effect::Record(_) => bail!("a record is written by the commit, not performed"),
    }
}

/// Looks up who asks and what is true, now. What cannot be reached is told as such at once: the person is waiting.
async fn examine(shell: &Shell, request: Request, run: Option<RunId>) -> Performed {
    let facts = facts(shell, &request, run).await.map(Box::new);
    if let Err(unreachable) = &facts {
        warn!(app.name = %request.app, person = %request.by, "could not examine a request: {unreachable:?}");
        // Nobody waits for this one, and it is not asked for again.
        if matches!(request.action, Action::Dispatch(Dispatch::Pass(_))) {
            return Performed::Again { after: None, uncertain: false, why: "not reachable".into() };
        }
    }
    Performed::Tell(Box::new(Event::Examined(request, facts)))
}

async fn facts(shell: &Shell, request: &Request, run: Option<RunId>) -> Result<Facts, Unreachable> {
    let desk = shell.desk(&request.app).map_err(|_| Unreachable::GitHub)?;
    let app = desk.app();
    let person = shell.person(&request.by, app.policy()).await?;
    let mut facts = Facts::of(person);
    if app.looked_at().is_none() {
        // With very many apps its turn may be minutes away.
        shell.look_now(&request.app);
    }
    let pipeline = || app.pipeline().ok_or(Unreachable::GitHub);
    let unread = |error: GitHubError| {
        warn!(app.name = %request.app, "could not read the facts of a request: {error}");
        Unreachable::GitHub
    };
    match request.action {
        Action::Approve { .. }
        | Action::ApproveShown(_)
        | Action::Reject { .. }
        | Action::Dispatch(Dispatch::Pass(_)) => {
            facts.run = shell.github.facts(pipeline()?, run, &app.deployed()).await.map_err(unread)?;
        }
        Action::Remind(ref remind) if remind.wants_run() => {
            facts.run = shell.github.facts(pipeline()?, run, &app.deployed()).await.map_err(unread)?;
        }
        Action::RollForward(ref forward) => {
            let (pr, fix) = (forward.pr(), app.fix_of(forward.pr()));
            facts.suspect = shell.github.suspect(pipeline()?, pr, fix).await.map_err(unread)?;
        }
        Action::Mend(_) => {
            let (github, pipeline, deployed) = (&shell.github, pipeline()?, app.deployed());
            let read = tokio::try_join!(github.facts(pipeline, run, &deployed), github.look(pipeline));
            let (run, look) = read.map_err(unread)?;
            (facts.run, facts.look) = (run, Some(look));
        }
        Action::Dispatch(_) => facts.look = Some(shell.github.look(pipeline()?).await.map_err(unread)?),
        Action::Tested { .. }
        | Action::Ping
        | Action::Hold { .. }
        | Action::Release
        | Action::Aftermath(_)
        | Action::Remind(_)
        | Action::Variables(_) => {}
    }
    Ok(facts)
}

async fn review(shell: &Shell, verdict: Verdict, approve: bool) -> anyhow::Result<Performed> {
    let app = verdict.request.app.clone();
    let desk = shell.desk(&app)?;
    let pipeline = desk.app().pipeline().cloned().context("approve in a pipeline that is not known")?;
    let performed = match shell.github.review(&pipeline, &verdict, approve).await {
        Ok(outcome) => {
            let effect = if approve { Effect::Approve(verdict) } else { Effect::Reject(verdict) };
            Performed::Tell(Box::new(Event::Performed(effect, outcome)))
        }
        Err(GitHubError::RateLimited { until }) => Performed::limited(until, shell.clock.now(), false),
        Err(error @ (GitHubError::Unauthorized | GitHubError::NotFound | GitHubError::Forbidden(_))) => {
            Performed::Never(error.to_string())
        }
        Err(error) => Performed::Again { after: None, uncertain: true, why: error.to_string() },
    };
    shell.look_now(&app);
    Ok(performed)
}

/// Where a new message goes.
#[derive(Default)]
struct Place {
    /// Somebody's direct messages, instead of the app's channel.
    person: Option<SlackId>,
    thread: Option<String>,
    broadcast: bool,
}

async fn notice(
    shell: &Shell,
    claimed: &Claimed,
    run: RunId,
    message: &Message,
    effect: Effect,
) -> anyhow::Result<Performed> {
    let address = shell.desk(&claimed.app)?.app().address(run).cloned();
    show(shell, claimed, address, message, effect).await
}

/// Edits a message in place, or posts it where it does not stand yet.
async fn show(
    shell: &Shell,
    claimed: &Claimed,
    address: Option<Address>,
    message: &Message,
    effect: Effect,
) -> anyhow::Result<Performed> {
    match address {
        None => post(shell, claimed, message, Place::default(), effect).await,
        Some(address) => Ok(match shell.slack.update(&address.channel, &address.ts, message).await {
            Ok(()) => Performed::Settled,
            Err(error) => not_sent(error),
        }),
    }
}

/// Posts once: an attempt that may have been performed is looked for in the channel first, by the effect's id in the
/// message's metadata.
async fn post(
    shell: &Shell,
    claimed: &Claimed,
    message: &Message,
    place: Place,
    effect: Effect,
) -> anyhow::Result<Performed> {
    let channel = match &place.person {
        Some(person) => shell.slack.direct(person).await,
        None => shell.channel(&claimed.app).await,
    };
    let channel = match channel {
        Ok(channel) => channel,
        Err(error) => return Ok(not_sent(error)),
    };
    let id = claimed.id.as_str();
    if claimed.uncertain {
        let since = claimed.created - SignedDuration::from_mins(5);
        match shell.slack.find_posted(&channel, place.thread.as_deref(), id, since).await {
            Ok(Some(found)) => return Ok(posted(effect, found.channel, found.ts)),
            Ok(None) => {}
            Err(error) => return Ok(not_sent(error)),
        }
    }
    Ok(match shell.slack.post(&channel, message, place.thread.as_deref(), place.broadcast, id).await {
        Ok(done) => posted(effect, done.channel, done.ts),
        Err(error) => not_sent(error),
    })
}

fn posted(effect: Effect, channel: String, ts: String) -> Performed {
    Performed::Tell(Box::new(Event::Performed(effect, Outcome::Posted { channel, ts })))
}

fn not_sent(error: SlackError) -> Performed {
    match error {
        SlackError::RateLimited { after } => {
            let after = SignedDuration::try_from(after).ok();
            Performed::Again { after, uncertain: false, why: "Slack's rate limit".into() }
        }
        // A person can mend these, by inviting the bot: nothing is lost meanwhile.
        SlackError::Refused { code }
            if ["not_in_channel", "channel_not_found", "is_archived"].contains(&code.as_str()) =>
        {
            Performed::Again { after: Some(LONGEST), uncertain: false, why: format!("slack refused it: {code}") }
        }
        SlackError::Refused { code } => Performed::Never(format!("slack refused it: {code}")),
        SlackError::Uncertain { .. } => Performed::Again { after: None, uncertain: true, why: error.to_string() },
    }
}

/// An answer that may have been given is given again: twice is better than not at all, and only one person sees it.
async fn answer(
    shell: &Shell,
    app: &AppName,
    reply: &Reply,
    to: &SlackId,
    message: &Message,
) -> anyhow::Result<Performed> {
    let sent = if reply.has_address() {
        shell.slack.answer(reply, message).await
    } else {
        match shell.channel(app).await {
            Ok(channel) => shell.slack.ephemeral(&channel, to, message).await,
            Err(error) => Err(error),
        }
    };
    Ok(sent.map_or_else(not_sent, |()| Performed::Settled))
}

/// Shows the form that somebody waits for, as it is now.
async fn form(shell: &Shell, app: &AppName, view: Option<&str>, form: &Form) -> anyhow::Result<Performed> {
    let Some(id) = view else { return Ok(Performed::Never("there is no form to show it in".into())) };
    let shown = shell.desk(app)?.app().view(form, shell.clock.now());
    Ok(shell.slack.change_form(id, form, &shown).await.map_or_else(not_sent, |()| Performed::Settled))
}
