//! How fast the bot is, and how much it takes: `cargo bench` prints a table, `cargo bench -- burst redis` the parts whose names are
//! given. This process is Slack's side (and GitHub's); the bot, built as it ships, is another, with its store on the disk that the build is on.
//! `LOCKKEEPER_BENCH` names another binary than the one just built, to compare with.
//! The floor is a bare `tokio-tungstenite` responder in a third. No figure fails the run: this is a table and no test.

mod floor;
mod github;
mod life;
mod process;
mod rates;
mod slack;
mod table;

use std::time::Duration;

use github::GitHub;
use process::{Process, Start};
use slack::Slack;
use table::Table;

/// How this program is told to be the floor.
const FLOOR: &str = "--floor";

/// The parts of the table, in their order.
const PARTS: [&str; 8] = ["start", "idle", "rates", "burst", "twice", "wire", "redis", "apps"];

/// All that a part needs.
struct Bench {
    slack: Slack,
    github: GitHub,
    table: Table,
}

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let wanted: Vec<String> = match arguments.next() {
        Some(first) if first == FLOOR => {
            return runtime.block_on(floor::run(&arguments.next().unwrap_or_default()));
        }
        first => first.into_iter().chain(arguments).collect(),
    };
    runtime.block_on(run(&wanted))
}

async fn run(wanted: &[String]) -> anyhow::Result<()> {
    let is_wanted = |part: &str| wanted.is_empty() || wanted.iter().any(|word| part.contains(word.as_str()));
    if !PARTS.iter().any(|part| is_wanted(part)) {
        anyhow::bail!("there are these parts: {}", PARTS.join(", "));
    }
    let mut bench = Bench { slack: Slack::open().await?, github: GitHub::open().await?, table: Table::new() };
    machine(&bench);
    if is_wanted("start") {
        life::start(&mut bench).await?;
    }
    if is_wanted("idle") {
        life::idle(&mut bench).await?;
    }
    for burst in [false, true] {
        if is_wanted(if burst { "burst" } else { "rates" }) {
            rates::floor_and_bot(&mut bench, burst).await?;
        }
    }
    if is_wanted("twice") {
        rates::twice(&mut bench).await?;
    }
    if is_wanted("wire") {
        life::wire(&mut bench).await?;
    }
    if is_wanted("redis") {
        rates::redis(&mut bench).await?;
    }
    if is_wanted("apps") {
        life::apps(&mut bench).await?;
    }
    bench.table.end();
    Ok(())
}

/// What the figures were measured on.
fn machine(bench: &Bench) {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    bench.table.figures(&format!(
        "{cores} cores, load {} (a busy machine makes these figures worthless)",
        load.split(' ').next().unwrap_or("?")
    ));
}

impl Bench {
    /// Waits until no bot is connected.
    async fn alone(&self) {
        while self.slack.connected() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A bot that is ready, and knows the people.
    async fn bot(&self, start: Start) -> anyhow::Result<Process> {
        self.alone().await;
        let bot = start.go()?;
        bot.ready(&self.slack).await?;
        self.github.quiet(Duration::from_millis(700)).await;
        self.meet().await;
        Ok(bot)
    }

    /// Everybody asks once, so that the bot knows them.
    async fn meet(&self) {
        self.slack.load(slack::PEOPLE, Duration::from_millis(2), rates::question).await;
    }

    fn one_app(&self) -> Start {
        self.start_of(1)
    }

    fn start_of(&self, apps: usize) -> Start {
        Start::bot(&self.slack, &self.github, apps)
    }
}
