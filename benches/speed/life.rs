//! What the bot takes when nothing happens, how fast it starts, and what it makes of connections that end, break or go silent.

use std::time::{Duration, Instant};

use tokio::net::TcpListener;

use super::Bench;
use super::github::{copy, listen};
use super::process::{self, Memory, Process};
use super::rates::question;
use super::slack::{Command, Load};
use super::table::{Aim, ms};

/// How often a start is measured; the median counts.
const STARTS: usize = 7;

/// From the start of the process to Slack's first hello.
pub async fn start(bench: &mut Bench) -> anyhow::Result<()> {
    bench.table.figures("START: from the start of the process to the first hello; median and slowest of 7");
    let (refusing, at_nothing) = listen().await?;
    drop(refusing);
    let (silent, at_silent) = listen().await?;
    let _held = tokio::spawn(hold(silent));
    let redis = |at: &dyn std::fmt::Display| format!("redis://{at}");
    let ways = [
        ("everything there", None, None),
        ("GitHub and Redis refuse connections", Some(format!("http://{at_nothing}")), Some(redis(&at_nothing))),
        ("GitHub and Redis never answer", Some(format!("http://{at_silent}")), Some(redis(&at_silent))),
    ];
    for (name, github, redis) in ways {
        let mut took = Vec::new();
        for _ in 0..STARTS {
            let mut start = bench.one_app();
            if let (Some(github), Some(redis)) = (&github, &redis) {
                start = start.with("GITHUB_API_URL", github).with("REDIS_URL", redis);
            }
            let before = bench.slack.greetings();
            let bot = start.go()?;
            let (_, at) = bench.slack.greeted(before, Duration::from_secs(30)).await?;
            took.push(at - bot.began);
        }
        took.sort();
        let (half, slowest) = (took[STARTS / 2], took[STARTS - 1]);
        let figure = format!("{} / {} ms", ms(half), ms(slowest));
        bench.table.figure(name, &figure, Aim::new("< 100 ms", half < Duration::from_millis(100)));
    }
    Ok(())
}

/// Takes connections and never says anything.
async fn hold(listener: TcpListener) {
    let mut held = Vec::new();
    while let Ok((stream, _)) = listener.accept().await {
        held.push(stream);
    }
}

fn memory(of: Memory) -> String {
    let mb = |kb: u64| kb as f64 / 1e3;
    format!("RSS {:.1}  PSS {:.1}  anonymous {:.1} MB", mb(of.rss), mb(of.pss), mb(of.anonymous))
}

/// What a process takes that has nothing to do.
pub async fn idle(bench: &mut Bench) -> anyhow::Result<()> {
    bench.table.figures("IDLE: one app, everything read, nothing to do");
    let floor = process::floor(&bench.slack)?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    bench.table.figure("floor, memory", &memory(floor.memory()?), None);
    drop(floor);
    bench.alone().await;
    let bot = bench.one_app().go()?;
    bot.ready(&bench.slack).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let now = bot.memory()?;
    bench.table.figure("bot, memory", &memory(now), Aim::new("< 15 MB", now.rss < 15_000));
    bench.table.figure("bot, threads", &threads(&bot), None);
    let spent = spent_in(&bot, Duration::from_secs(10)).await;
    bench.table.figure("bot, processor, over 10 s", &format!("{spent:.2} % of a core"), None);
    Ok(())
}

fn threads(bot: &Process) -> String {
    bot.threads().to_string()
}

async fn spent_in(bot: &Process, time: Duration) -> f64 {
    let before = bot.cpu();
    tokio::time::sleep(time).await;
    (bot.cpu() - before).as_secs_f64() / time.as_secs_f64() * 100.0
}

/// Ends and breaks of connections, with 200 questions a second going on.
pub async fn wire(bench: &mut Bench) -> anyhow::Result<()> {
    bench.table.loads("WIRE: 200 questions a second while connections end");
    let bot = bench.bot(bench.one_app()).await?;
    refreshed(bench, &bot).await;
    dropped(bench, &bot).await;
    silent(bench, &bot).await?;
    for hanging in [false, true] {
        outage(bench, hanging).await?;
    }
    Ok(())
}

/// 200 questions a second for so long, and meanwhile something else.
async fn during<T>(bench: &Bench, seconds: usize, meanwhile: impl Future<Output = T>) -> (Load, T) {
    let load = bench.slack.load(200 * seconds, Duration::from_millis(5), question);
    tokio::join!(load, meanwhile)
}

async fn refreshed(bench: &mut Bench, bot: &Process) {
    let before = bot.cpu();
    let slack = bench.slack.clone();
    let refreshing = async {
        for (reason, until_close) in
            [("warning", 2_000), ("refresh_requested", 100), ("warning", 0), ("refresh_requested", 0)]
        {
            tokio::time::sleep(Duration::from_millis(500)).await;
            // As many as may be on the way in one moment.
            slack.send(20, Duration::ZERO, question).await;
            slack.refresh(reason, Duration::from_millis(until_close)).await;
        }
    };
    let (load, ()) = during(bench, 6, refreshing).await;
    let whole = load.unacked + load.late == 0;
    let spent = bot.cpu() - before;
    bench.table.load(
        "four refreshes, 20 at once before each",
        &load,
        spent,
        Aim::new("none late, none unacked", whole),
    );
}

async fn dropped(bench: &mut Bench, bot: &Process) {
    let before = bot.cpu();
    let slack = bench.slack.clone();
    let dropping = async {
        let mut on_it = 0;
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(1_000)).await;
            on_it += slack.cut();
        }
        on_it
    };
    let (load, on_it) = during(bench, 4, dropping).await;
    let whole = load.late == 0 && load.unacked <= on_it;
    let aim = format!("only what was on them is lost ({on_it})");
    let spent = bot.cpu() - before;
    bench.table.load("three connections dropped", &load, spent, Aim::new(aim, whole));
}

async fn silent(bench: &mut Bench, bot: &Process) -> anyhow::Result<()> {
    let before = bot.cpu();
    let slack = bench.slack.clone();
    let going = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let greetings = slack.greetings();
        let since = Instant::now();
        let on_it = slack.silence();
        let (_, at) = slack.greeted(greetings, Duration::from_secs(60)).await?;
        anyhow::Ok((at - since, on_it))
    };
    let (load, noticed) = during(bench, 14, going).await;
    let (noticed, on_it) = noticed?;
    let whole = load.late == 0 && load.unacked <= on_it;
    let aim = format!("only what was on it is lost ({on_it})");
    let spent = bot.cpu() - before;
    bench.table.load("one connection half-open", &load, spent, Aim::new(aim, whole));
    let figure = format!("{:.1} s", noticed.as_secs_f64());
    bench.table.figure("  noticed and replaced after", &figure, Aim::new("≤ 15 s", noticed <= Duration::from_secs(15)));
    Ok(())
}

/// Slack is away: it refuses, or takes calls and never answers them.
async fn outage(bench: &mut Bench, hanging: bool) -> anyhow::Result<()> {
    let mut took = Vec::new();
    for nth in 0..5u64 {
        bench.slack.set_out(true, hanging);
        tokio::time::sleep(Duration::from_millis(5_000 + 170 * nth)).await;
        let greetings = bench.slack.greetings();
        let since = Instant::now();
        bench.slack.set_out(false, hanging);
        let (_, at) = bench.slack.greeted(greetings, Duration::from_secs(60)).await?;
        took.push(at - since);
        while bench.slack.connected() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    took.sort();
    let name =
        if hanging { "  five outages in which calls hang, left after" } else { "  five outages of 5 s, left after" };
    let figure = format!("{} ms at half, {} at most", ms(took[2]), ms(took[4]));
    let reached = took[4] <= Duration::from_secs(1);
    bench.table.figure(name, &figure, Aim::new("≤ 1 s", reached));
    Ok(())
}

/// What more apps cost.
pub async fn apps(bench: &mut Bench) -> anyhow::Result<()> {
    bench.table.loads("APPS: 1, 50 and 500, each with 60 runs remembered and none of them live, all idle");
    let mut figures = Vec::new();
    for apps in [1, 50, 500] {
        bench.alone().await;
        let bot = bench.start_of(apps).go()?;
        let ready = bot.ready(&bench.slack).await?;
        let reading = bot.cpu();
        bench.meet().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let idle = bot.memory()?;
        let looks = spent_in(&bot, Duration::from_secs(30)).await;
        let before = bot.cpu();
        let ask = |nth: usize, reply: &str| -> Command {
            let name = if apps == 1 { "h".to_owned() } else { copy(1 + nth * 7 % (apps - 1)) };
            super::rates::typed(nth, &format!("status {name}"), reply)
        };
        let load = bench.slack.load(1_000, Duration::from_millis(5), ask).await;
        bench.table.load(&format!("{apps} apps, status, 200 a second"), &load, bot.cpu() - before, None);
        let first = format!(
            "{} ms until all is read ({:.1} ms of processor an app)",
            ms(ready),
            reading.as_secs_f64() * 1e3 / apps as f64
        );
        figures.push((apps, "first start", first));
        figures.push((apps, "memory", format!("{}, peak {:.1}", memory(idle), bot.memory()?.peak as f64 / 1e3)));
        figures.push((apps, "processor, watching as by default", format!("{looks:.2} % of a core")));
    }
    for (apps, what, figure) in figures {
        bench.table.figure(&format!("  {apps} apps, {what}"), &figure, None);
    }
    Ok(())
}
