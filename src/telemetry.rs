//! Seen from outside: what `/ready` and `/metrics` tell. Every figure is described here; those of GitHub (`lockkeeper_github_…`) are
//! recorded by its client and by [`hooks`](crate::hooks). Labels hold what the settings name and words of our own, never what people wrote.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::deploy::app::App;
use crate::deploy::condition::Condition;
use crate::deploy::name::AppName;
use crate::server::{Check, Readiness};
use crate::shell::Shell;
use crate::slack::socket::Verdict;
use crate::store::Backlog;

/// How often the gauges are set and the store is asked how it is. Who asks the bot more often learns nothing more and costs nothing.
const PULSE: Duration = Duration::from_secs(5);
/// A pulse older than this says nothing.
const STALE: Duration = Duration::from_secs(20);
/// A look at GitHub older than this makes the bot not ready, and so does an effect that waits for longer.
const FRESH: SignedDuration = SignedDuration::from_mins(5);
/// Apps that are named where they are late.
const NAMED: usize = 20;
/// What DORA's four look back on; the core remembers 35 days.
const WINDOW: SignedDuration = SignedDuration::from_hours(28 * 24);
/// In seconds: acks take milliseconds, an effect that waits for somebody else takes hours.
const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 60.0, 600.0, 3600.0];

/// How the store was when it was asked last.
#[derive(Clone, Copy)]
pub(crate) struct Pulse {
    at: Instant,
    /// `None` where it did not answer.
    backlog: Option<Backlog>,
}

/// Where the `metrics` macros write to, for the whole process.
pub fn recorder() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        // Fails only for an empty list of buckets.
        let builder = PrometheusBuilder::new().set_buckets(&BUCKETS).unwrap_or_default();
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            error!("something else records the metrics: /metrics stays empty");
        }
        describe();
        handle
    })
}

fn describe() {
    let seconds = Unit::Seconds;
    describe_histogram!("lockkeeper_ack_seconds", seconds, "From the arrival of a payload to its acknowledgement.");
    describe_counter!(
        "lockkeeper_decisions_total",
        "Requests decided, by app, what was asked, and whether it was granted."
    );
    describe_counter!("lockkeeper_effects_total", "Tries to perform an effect: performed, again, or never.");
    describe_histogram!("lockkeeper_effect_seconds", seconds, "From the decision to the effect being performed.");
    describe_gauge!("lockkeeper_effects_waiting", "Effects that are decided and not performed yet.");
    describe_gauge!("lockkeeper_effects_oldest_seconds", seconds, "How long the oldest of them waits.");
    describe_gauge!("lockkeeper_store_up", "1 if the store answers.");
    describe_gauge!("lockkeeper_leading", "1 on the replica that watches.");
    describe_gauge!("lockkeeper_slack_sockets", "Connections to Slack that are open and greeted.");
    describe_gauge!("lockkeeper_app_look_age_seconds", seconds, "How long ago an app was last seen at GitHub.");
    describe_gauge!("lockkeeper_app_state", "1 if that is so: unseen, active, waiting, held, behind, split.");
    describe_gauge!("lockkeeper_github_limit", "GitHub's hourly allowance, as its newest answer stated it.");
    describe_gauge!("lockkeeper_github_remaining", "What is left of it.");
    describe_gauge!("lockkeeper_github_used", "What is spent of it.");
    describe_gauge!("lockkeeper_github_reset_timestamp_seconds", seconds, "When it starts anew.");
    describe_counter!(
        "lockkeeper_github_requests_total",
        "Requests by what they were for, and whether GitHub counted them."
    );
    describe_counter!("lockkeeper_github_counted_total", "Requests that GitHub counted, by repo.");
    describe_counter!("lockkeeper_github_limited_total", "How often GitHub said that it is enough.");
    describe_counter!("lockkeeper_github_webhooks_total", "Webhooks that came, and what became of them.");
    describe_gauge!("lockkeeper_dora_deployments", "Deployments to production in the last 28 days.");
    describe_gauge!("lockkeeper_dora_lead_time_seconds", seconds, "From merge to production, the median of 28 days.");
    describe_gauge!("lockkeeper_dora_change_failure_ratio", "Share of the deployments of 28 days that did harm.");
    describe_gauge!(
        "lockkeeper_dora_time_to_restore_seconds",
        seconds,
        "From the harm to the next good deployment, the median of 28 days."
    );
}

/// A payload was acknowledged, or not.
pub fn acknowledged(kind: &str, verdict: &Verdict, after: Duration) {
    let kind = match kind {
        "slash_commands" => "command",
        "interactive" => "interaction",
        "events_api" => "event",
        _ => "other",
    };
    let outcome = match verdict {
        Verdict::Ack | Verdict::AckWith(_) => "acked",
        Verdict::NoAck => "refused",
    };
    histogram!("lockkeeper_ack_seconds", "kind" => kind, "outcome" => outcome).record(after);
}

/// Something that a person asked for was granted or refused.
pub fn decided(app: &AppName, action: String, granted: bool) {
    let outcome = if granted { "granted" } else { "refused" };
    counter!("lockkeeper_decisions_total", "app" => app.to_string(), "action" => action, "outcome" => outcome)
        .increment(1);
}

/// An effect was tried, so long after it was decided; `outcome` is `performed`, `again` or `never`.
pub fn tried(effect: &str, outcome: &'static str, after: SignedDuration) {
    let effect = effect.to_owned();
    counter!("lockkeeper_effects_total", "effect" => effect.clone(), "outcome" => outcome).increment(1);
    if outcome == "performed" {
        histogram!("lockkeeper_effect_seconds", "effect" => effect).record(after.as_secs_f64().max(0.0));
    }
}

/// Takes the pulse again and again until shutdown.
pub async fn run(shell: Arc<Shell>, shutdown: CancellationToken) {
    loop {
        let pulse = Pulse { at: Instant::now(), backlog: shell.store.backlog().await.ok() };
        shell.feel(pulse);
        show(&shell, pulse);
        // Else the histograms grow until somebody comes to read them.
        recorder().run_upkeep();
        tokio::select! {
            () = tokio::time::sleep(PULSE) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

fn show(shell: &Shell, pulse: Pulse) {
    let now = shell.clock.now();
    gauge!("lockkeeper_store_up").set(flag(pulse.backlog.is_some()));
    // A store that is away still holds what it held.
    if let Some(backlog) = pulse.backlog {
        gauge!("lockkeeper_effects_waiting").set(backlog.count as f64);
        gauge!("lockkeeper_effects_oldest_seconds").set(backlog.oldest.map_or(0.0, |at| age(now, at).as_secs_f64()));
    }
    gauge!("lockkeeper_leading").set(flag(shell.lead.leads()));
    gauge!("lockkeeper_slack_sockets").set(shell.sockets.connected() as f64);
    let looked = shell.looked();
    for (name, app) in shell.apps() {
        if let Some(at) = looked.get(name) {
            gauge!("lockkeeper_app_look_age_seconds", "app" => name.to_string()).set(age(now, *at).as_secs_f64());
        }
        show_app(name, &app, now);
    }
}

fn show_app(name: &AppName, app: &App, now: Timestamp) {
    for condition in Condition::ALL {
        let value = flag(app.is(condition));
        gauge!("lockkeeper_app_state", "app" => name.to_string(), "state" => condition.word()).set(value);
    }
    let figures = app.figures(now - WINDOW, now);
    let ratio = (figures.tried > 0).then(|| figures.failed as f64 / figures.tried as f64);
    let minutes = |minutes: Option<i64>| minutes.map(|minutes| minutes as f64 * 60.0);
    let four = [
        ("lockkeeper_dora_deployments", Some(figures.deployments as f64)),
        ("lockkeeper_dora_lead_time_seconds", minutes(figures.lead)),
        ("lockkeeper_dora_change_failure_ratio", ratio),
        ("lockkeeper_dora_time_to_restore_seconds", minutes(figures.restored)),
    ];
    for (figure, value) in four {
        // What cannot be told is not zero.
        gauge!(figure, "app" => name.to_string()).set(value.unwrap_or(f64::NAN));
    }
}

/// Whether the bot can do its work: it hears Slack, can remember, saw GitHub lately, and gets done what it decided.
pub fn readiness(shell: &Shell) -> Readiness {
    let connected = shell.sockets.connected();
    let slack = Check { name: "slack", ok: connected > 0, said: format!("{connected} sockets connected") };
    let backlog = shell.pulse().filter(|pulse| pulse.at.elapsed() < STALE).and_then(|pulse| pulse.backlog);
    let said = if backlog.is_some() { "answers" } else { "does not answer" };
    let store = Check { name: "store", ok: backlog.is_some(), said: said.to_owned() };
    Readiness { checks: vec![slack, store, outbox(backlog, shell.clock.now()), github(shell)] }
}

fn outbox(backlog: Option<Backlog>, now: Timestamp) -> Check {
    let (ok, said) = match backlog {
        None => (false, "not known".to_owned()),
        Some(Backlog { count, oldest: Some(oldest) }) => {
            let age = age(now, oldest);
            (age <= FRESH, format!("{count} to do, the oldest for {} s", age.as_secs()))
        }
        Some(Backlog { oldest: None, .. }) => (true, "nothing to do".to_owned()),
    };
    Check { name: "outbox", ok, said }
}

/// With very many apps the first look at the last of them comes minutes after the start: until then the bot does its work for the others.
fn github(shell: &Shell) -> Check {
    let (now, looked) = (shell.clock.now(), shell.looked());
    let ages: Vec<(&str, Option<SignedDuration>)> =
        shell.apps().map(|(name, _)| (name.as_str(), looked.get(name).map(|at| age(now, *at)))).collect();
    let is_next = shell.github.is_lined_up();
    let late = ages.iter().filter(|(_, age)| age.map_or(!is_next, |age| age > FRESH)).map(|(name, _)| *name);
    let late: Vec<&str> = late.collect();
    let oldest = ages.iter().filter_map(|(_, age)| *age).max().unwrap_or_default();
    let said = match late.as_slice() {
        [] if looked.len() < ages.len() => {
            format!("{} of {} apps seen, the others wait for their turn at GitHub", looked.len(), ages.len())
        }
        [] => format!("all seen within {} s", oldest.as_secs()),
        late if late.len() <= NAMED => format!("not seen lately: {}", late.join(", ")),
        late => format!("not seen lately: {} and {} more", late[..NAMED].join(", "), late.len() - NAMED),
    };
    Check { name: "github", ok: late.is_empty(), said }
}

fn age(now: Timestamp, then: Timestamp) -> SignedDuration {
    now.duration_since(then).max(SignedDuration::ZERO)
}

fn flag(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}
