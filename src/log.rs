//! The log: readable lines on standard error, chosen by `RUST_LOG`, and the libraries that would print tokens, response URLs and
//! WebSocket tickets in their debug lines held at `info` whatever it says.

use std::io::{IsTerminal, stderr};

use anyhow::{Context, Result};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{EnvFilter, FilterExt, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt;

/// What is logged when `RUST_LOG` says nothing. octocrab only repeats the status of answers that are dealt with here.
const DEFAULT: &str = "lockkeeper=info,octocrab=off,warn";

/// Beginnings of targets. Their debug lines carry whole bodies, headers or addresses (`facts/beanstalk-reliability-security.md`
/// C1.9): `hyper` is `hyper_util` too, `aws` all crates of the SDK.
const HELD: [&str; 8] = ["hyper", "aws", "octocrab", "tungstenite", "tokio_tungstenite", "rustls", "tower", "h2"];

/// Starts logging for the whole process; `rust_log` is what `RUST_LOG` says. Fails where that cannot be read, or when called twice.
pub fn start(rust_log: Option<&str>) -> Result<()> {
    let subscriber = subscriber(rust_log, stderr, stderr().is_terminal())?;
    SubscriberInitExt::try_init(subscriber).context("start the log")
}

fn subscriber<W>(rust_log: Option<&str>, writer: W, colours: bool) -> Result<impl Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let asked = rust_log.filter(|text| !text.trim().is_empty()).unwrap_or(DEFAULT);
    let asked = EnvFilter::builder().parse(asked).context("read RUST_LOG, for example lockkeeper=debug,warn")?;
    let held = Targets::new().with_default(LevelFilter::TRACE);
    let held = HELD.iter().fold(held, |held, target| held.with_target(*target, LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colours);
    Ok(registry().with(lines.with_filter(asked.and(held))))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(rust_log: Option<&str>, work: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(rust_log, move || writer.clone(), false).unwrap();
        // Takes the `log` crate's lines in as well, as `start` does.
        let guard = SubscriberInitExt::set_default(subscriber);
        work();
        drop(guard);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn talk() {
        tracing::trace!("ours trace");
        tracing::info!("ours info");
        tracing::debug!(target: "octocrab::scopes", "held debug");
        tracing::trace!(target: "hyper_util::client", "held trace");
        tracing::debug!(target: "aws_smithy_runtime", "held debug");
        tracing::info!(target: "rustls::client", "theirs info");
        tracing::warn!(target: "tower", "theirs warn");
        let span = tracing::debug_span!(target: "octocrab", "request", header = "held field");
        span.in_scope(|| tracing::error!("ours error"));
    }

    #[test]
    fn says_what_was_asked_for_and_never_what_is_held() {
        let says = |rust_log, expected: &[&str]| {
            let text = logged(rust_log, talk);
            let lines: Vec<&str> = text.lines().map(|line| line.split_once(": ").unwrap().1).collect();
            assert_eq!(lines, expected, "{text}");
        };
        let all = ["ours trace", "ours info", "theirs info", "theirs warn", "ours error"];
        says(None, &["ours info", "theirs warn", "ours error"]);
        says(Some(""), &["ours info", "theirs warn", "ours error"]);
        says(Some("trace"), &all);
        says(Some("trace,hyper_util=trace,aws_smithy_runtime=debug,octocrab=trace"), &all);
        says(Some("error"), &["ours error"]);
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_refused() {
        let error = subscriber(Some("lockkeeper=loud"), std::io::sink, false).err().unwrap();
        assert!(error.to_string().contains("RUST_LOG"), "{error:#}");
    }

    /// tungstenite prints the whole request at `trace`, through the `log` crate, and Slack's ticket is in its address.
    #[test]
    fn a_websocket_ticket_is_not_logged() {
        let text = logged(Some("trace,tungstenite=trace,tokio_tungstenite=trace"), || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let (client, server) = tokio::io::duplex(4096);
                let url = "ws://127.0.0.1/link?ticket=canary";
                let (ours, theirs) =
                    tokio::join!(tokio_tungstenite::client_async(url, client), tokio_tungstenite::accept_async(server));
                assert!(ours.is_ok() && theirs.is_ok());
            });
            tracing::trace!("ours trace");
        });
        assert!(text.contains("ours trace") && !text.contains("canary"), "{text}");
    }
}
