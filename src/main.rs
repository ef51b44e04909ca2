//! Lockkeeper: `run`, `sandbox` or `check`, and nothing else.

use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Parser, Subcommand};
use lockkeeper::config::{Config, Mistake};

/// Stands at the gate between your test environment and production.
#[derive(Parser)]
#[command(name = "lockkeeper", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The bot, with the settings of the environment and of lockkeeper.toml.
    Run,
    /// The bot against a pretend Slack, GitHub and Elastic Beanstalk; needs no account and no settings.
    Sandbox,
    /// Looks at the settings and says what is wrong with them.
    Check,
}

fn main() -> ExitCode {
    match start(&Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lockkeeper: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(command: &Command) -> Result<()> {
    // With both of the providers in the process and no choice made, the first TLS connection would panic.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match command {
        Command::Check => check(&load()?),
        Command::Run => {
            // First: it may change the environment, which only a single thread can do safely.
            let config = load()?;
            lockkeeper::log::start(std::env::var("RUST_LOG").ok().as_deref())?;
            runtime()?.block_on(run(config))
        }
        Command::Sandbox => {
            lockkeeper::log::start(std::env::var("RUST_LOG").ok().as_deref())?;
            runtime()?.block_on(sandbox())
        }
    }
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

fn check(config: &Config) -> Result<()> {
    for (name, app) in &config.apps {
        println!("{name}: {} in {}", app.repo, app.channel);
    }
    for warning in config.warnings() {
        println!("warning: {warning}");
    }
    Ok(())
}

async fn run(_config: Config) -> Result<()> {
    bail!("the bot is not wired up yet")
}

async fn sandbox() -> Result<()> {
    bail!("the sandbox is not wired up yet")
}
