//! Commands at rates and in bursts: what a question costs, what a decision, beside the floor.

use std::time::{Duration, Instant};

use lockkeeper::deploy::name::AppName;
use lockkeeper::store::embedded::Embedded;
use lockkeeper::store::{Commit, Decision, NewEffect, Store, Version};

use super::Bench;
use super::process::{self, Process, own_cpu};
use super::slack::{Command, Load, PEOPLE, Times};
use super::table::{Aim, ms};

/// How many a burst has.
const BURST: usize = 5_000;
/// How many commits are measured by themselves.
const COMMITS: u64 = 200;

/// A rate: its name, how many commands, how often one.
type Rate = (&'static str, usize, Duration);

const RATES: [Rate; 3] = [
    ("10 a second", 300, Duration::from_millis(100)),
    ("200 a second", 1_000, Duration::from_millis(5)),
    ("1,000 a second", 5_000, Duration::from_millis(1)),
];

/// A command that somebody types.
pub fn typed(nth: usize, text: &str, reply: &str) -> Command {
    let payload = format!(
        r#"{{"token":"verification-token","team_id":"T1","team_domain":"bench","channel_id":"C1","channel_name":"deploys","user_id":"U0BENCH{:03}","user_name":"person","command":"/deploy","text":"{text}","api_app_id":"ABENCH","is_enterprise_install":"false","response_url":"{reply}","trigger_id":"1.{}"}}"#,
        nth % PEOPLE,
        reply.rsplit('/').next().unwrap_or_default(),
    );
    Command { kind: "slash_commands", payload, deliveries: 1 }
}

fn clicked(nth: usize, what: &str, reply: &str) -> Command {
    let payload = format!(
        r#"{{"type":"block_actions","user":{{"id":"U0BENCH{:03}","username":"person","team_id":"T1"}},"api_app_id":"ABENCH","token":"verification-token","container":{{"type":"message","message_ts":"1785000000.000100","channel_id":"C1","is_ephemeral":false}},"trigger_id":"1.{}","team":{{"id":"T1","domain":"bench"}},"enterprise":null,"is_enterprise_install":false,"channel":{{"id":"C1","name":"deploys"}},"state":{{"values":{{}}}},"response_url":"{reply}","actions":[{{"action_id":"lockkeeper.0.0","block_id":"b","type":"button","action_ts":"1785000010.840180","value":"{{\"app\":\"h\",\"what\":\"{what}\"}}"}}]}}"#,
        nth % PEOPLE,
        reply.rsplit('/').next().unwrap_or_default(),
    );
    Command { kind: "interactive", payload, deliveries: 1 }
}

/// A question, each time another.
pub fn question(nth: usize, reply: &str) -> Command {
    typed(nth, ["status h", "help", "pending h", "status", ""][nth % 5], reply)
}

/// A decision, typed and clicked in turns. The first is granted, most are refused: both are committed, recorded and answered.
pub fn decision(nth: usize, reply: &str) -> Command {
    match nth % 2 {
        0 => typed(nth, "hold h the database is being migrated", reply),
        _ => clicked(nth, "tested", reply),
    }
}

/// An approval that GitHub is asked about.
fn approval(nth: usize, reply: &str) -> Command {
    typed(nth, "approve h", reply)
}

/// Commands, and the processor time that they took in all.
async fn measured(
    bench: &Bench,
    of: &Process,
    (_, count, every): Rate,
    make: impl Fn(usize, &str) -> Command,
) -> (Load, Duration, Duration) {
    let (theirs, ours) = (of.cpu(), own_cpu());
    let load = bench.slack.load(count, every, make).await;
    (load, of.cpu().saturating_sub(theirs), own_cpu().saturating_sub(ours))
}

/// The floor, questions and decisions, at rates or all at once.
pub async fn floor_and_bot(bench: &mut Bench, burst: bool) -> anyhow::Result<()> {
    let rates = if burst { vec![("burst of 5,000", BURST, Duration::ZERO)] } else { RATES.to_vec() };
    bench.table.loads(if burst { "BURST: commands all at once" } else { "RATES: commands at a rate" });
    let mut floors: Vec<Times> = Vec::new();
    let floor = process::floor(&bench.slack)?;
    while bench.slack.connected() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for rate in &rates {
        let (load, cpu, _) = measured(bench, &floor, *rate, question).await;
        bench.table.load(&format!("floor, {}", rate.0), &load, cpu, None);
        floors.push(load.ack);
    }
    drop(floor);

    let mut commits = Vec::new();
    for (_, _, every) in &rates {
        commits.push(durable_commit(*every).await?);
    }
    let bot = bench.bot(bench.one_app()).await?;
    let mut shares = Vec::new();
    for (rate, floor) in rates.iter().zip(&floors) {
        let (load, cpu, ours) = measured(bench, &bot, *rate, question).await;
        let aim = question_aim(&load, cpu, floor, rate);
        bench.table.load(&format!("questions, {}", rate.0), &load, cpu, aim);
        shares.push(ours);
    }
    for ((rate, floor), commit) in rates.iter().zip(&floors).zip(&commits) {
        let (load, cpu, ours) = measured(bench, &bot, *rate, decision).await;
        let aim = decision_aim(&load, floor, commit);
        bench.table.load(&format!("decisions, {}", rate.0), &load, cpu, aim);
        shares.push(ours);
    }
    if !burst {
        let (load, cpu, _) = measured(bench, &bot, RATES[0], approval).await;
        bench.table.load("approvals, GitHub asked, 10 a second", &load, cpu, None);
    }
    let of: Vec<String> = rates
        .iter()
        .chain(&rates)
        .zip(&shares)
        .map(|((_, count, _), cpu)| format!("{:.3}", cpu.as_secs_f64() * 1e3 / *count as f64))
        .collect();
    let alone: Vec<String> = commits.iter().map(|of| format!("{} / {}", ms(of.p50), ms(of.p99))).collect();
    bench.table.figure("one durable commit by itself, as often, ms", &alone.join("  "), None);
    bench.table.figure("Slack’s and GitHub’s side, CPU ms a command, as above", &of.join("  "), None);
    bench.table.figure(
        "the bot’s memory at its peak so far",
        &format!("{:.1} MB", bot.memory()?.peak as f64 / 1e3),
        None,
    );
    bench.table.figure(
        "warnings and errors in its log",
        &bot.worries().to_string(),
        Aim::new("none", bot.worries() == 0),
    );
    Ok(())
}

fn question_aim(load: &Load, cpu: Duration, floor: &Times, rate: &Rate) -> Option<Aim> {
    let times = |own: Duration, floor: Duration| own.as_secs_f64() / floor.as_secs_f64().max(1e-6);
    let (p50, p99) = (times(load.answer.p50, floor.p50), times(load.answer.p99, floor.p99));
    let whole = load.unacked + load.late + load.unanswered + load.repeated == 0;
    let spent = cpu.as_secs_f64() * 1e3 / load.sent as f64;
    let cheap = rate.0 != "200 a second" || spent < 0.5;
    let more = if rate.0 == "200 a second" { ", CPU < 0.5" } else { "" };
    Aim::new(format!("≤ 2× the floor: {p50:.1}× / {p99:.1}×{more}"), whole && p50 <= 2.0 && p99 <= 2.0 && cheap)
}

fn decision_aim(load: &Load, floor: &Times, commit: &Times) -> Option<Aim> {
    let whole = load.unacked + load.late + load.unanswered + load.repeated == 0;
    if load.burst {
        return Aim::new("acked within 1,500 ms", whole && load.ack.max <= Duration::from_millis(1_500));
    }
    let (p50, p99) = (floor.p50 * 2 + commit.p50, floor.p99 * 2 + commit.p99);
    Aim::new(
        format!("ack ≤ 2× the floor + commit: {} / {}", ms(p50), ms(p99)),
        whole && load.ack.p50 <= p50 && load.ack.p99 <= p99,
    )
}

/// How long one commit takes, as an ack waits for it: what somebody asks for and the look that it leads to, in a store of its own, as often
/// as the commands come. A machine that slept takes longer.
async fn durable_commit(every: Duration) -> anyhow::Result<Times> {
    let folder = process::folder()?;
    let store = Store::Embedded(Embedded::open(folder.path())?);
    let mut due = tokio::time::interval(every.max(Duration::from_micros(1)));
    let mut took = Vec::new();
    for nth in 0..=COMMITS {
        due.tick().await;
        let began = Instant::now();
        let (lane, body) = (format!("ask {nth}"), "x".repeat(500));
        let commit = Commit {
            app: AppName::new("h"),
            expected: Version(nth.min(1)),
            at: jiff::Timestamp::now(),
            document: (nth == 0).then(|| "x".repeat(60_000)),
            decisions: vec![Decision {
                seen: Some(nth.to_string()),
                effects: vec![NewEffect { lane, key: None, body, expires: None }],
                ..Decision::default()
            }],
            fence: None,
        };
        store.commit(commit).await?;
        took.push(began.elapsed());
    }
    Ok(Times::of(took))
}

/// Each payload delivered twice, in a burst: done once.
pub async fn twice(bench: &mut Bench) -> anyhow::Result<()> {
    bench.table.loads("TWICE: each payload delivered twice, done once");
    let bot = bench.bot(bench.one_app()).await?;
    let make = |nth: usize, reply: &str| Command { deliveries: 2, ..decision(nth, reply) };
    for rate in [("200 a second, twice", 400, Duration::from_millis(5)), ("burst of 500, twice", 500, Duration::ZERO)] {
        let (load, cpu, _) = measured(bench, &bot, rate, make).await;
        // A repetition would come behind the answer.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let whole = load.unacked + load.late + load.unanswered + load.repeated == 0;
        bench.table.load(&format!("decisions, {}", rate.0), &load, cpu, Aim::new("answered once each", whole));
    }
    Ok(())
}

/// Decisions on a Redis that writes each to the disk.
pub async fn redis(bench: &mut Bench) -> anyhow::Result<()> {
    bench.table.loads("REDIS: decisions on a Redis, appendfsync always");
    let (redis, url) = process::redis().await?;
    let bot = bench.bot(bench.one_app().with("REDIS_URL", &url)).await?;
    for rate in [RATES[1], ("burst of 5,000", BURST, Duration::ZERO)] {
        let before = redis.cpu();
        let (load, cpu, _) = measured(bench, &bot, rate, decision).await;
        let aim = load.burst.then(|| decision_aim(&load, &Times::default(), &Times::default())).flatten();
        bench.table.load(&format!("decisions, {}", rate.0), &load, cpu, aim);
        let spent = (redis.cpu() - before).as_secs_f64() * 1e3 / rate.1 as f64;
        bench.table.figure("  redis-server, CPU ms a decision", &format!("{spent:.3}"), None);
    }
    Ok(())
}
