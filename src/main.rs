//! Lockkeeper: runs the bot, opens the sandbox, or checks the settings, and nothing else.

use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use clap::{Parser, Subcommand};
use lockkeeper::clock::Clock;
use lockkeeper::config::{Config, Mistake};
use lockkeeper::store::{self, Kind};
use lockkeeper::{bot, check, log, sandbox};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Stands at the gate between your test environment and production.
///
/// Without a command it runs the bot, with the settings of the environment and of lockkeeper.toml.
#[derive(Parser)]
#[command(name = "lockkeeper", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// The bot against a pretend Slack, GitHub and Elastic Beanstalk; needs no account and no settings.
    Sandbox {
        /// The page's port on this machine; 0 for any that is free.
        #[arg(long, default_value_t = 8477)]
        port: u16,
    },
    /// What Lockkeeper remembers.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Looks at every setting, token, channel, repo and right, and says what to do about what would not work.
    Check,
}

#[derive(Subcommand)]
enum StoreCommand {
    /// Moves everything into the Redis of REDIS_URL, or from there into the folder of LOCKKEEPER_DATA. No bot may be running.
    Copy {
        /// Where it goes; there must be nothing yet.
        #[arg(long)]
        to: Kind,
    },
}

fn main() -> ExitCode {
    match start(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lockkeeper: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(command: Option<Command>) -> Result<ExitCode> {
    // With two providers in the process and no choice made, the first TLS connection would panic.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match command {
        None => {
            // First: it may change the environment, which only a single thread can do safely.
            let config = load()?;
            log::start(std::env::var("RUST_LOG").ok().as_deref())?;
            runtime()?.block_on(async { bot::run(config, Clock::default(), on_signal()?).await })?;
        }
        Some(Command::Sandbox { port }) => {
            log::start(std::env::var("RUST_LOG").ok().as_deref())?;
            runtime()?.block_on(async { sandbox::run(port, on_signal()?).await })?;
        }
        Some(Command::Store(StoreCommand::Copy { to })) => {
            let config = load()?;
            println!("{}", runtime()?.block_on(store::copy(&config, to))?);
        }
        Some(Command::Check) => {
            let config = load()?;
            let works = runtime()?.block_on(check::check(&config));
            return Ok(if works { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn load() -> Result<Config> {
    Config::load().map_err(|mistakes| {
        let lines: Vec<String> = mistakes.iter().map(Mistake::to_string).collect();
        anyhow!("the settings cannot be used\n  {}", lines.join("\n  "))
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")
}

/// Cancelled by the first SIGINT or SIGTERM; a second one ends the process at once.
fn on_signal() -> Result<CancellationToken> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let shutdown = CancellationToken::new();
    let told = shutdown.clone();
    tokio::spawn(async move {
        for last in [false, true] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if last {
                std::process::exit(130);
            }
            told.cancel();
        }
    });
    Ok(shutdown)
}
