//! The table: what was measured, beside what was aimed at.

use std::time::Duration;

use super::slack::Load;

/// Prints rows as they come.
pub struct Table {
    missed: Vec<String>,
}

/// What a row is held against.
pub struct Aim {
    /// In words.
    pub words: String,
    /// Whether it was reached.
    pub reached: bool,
}

impl Aim {
    /// An aim in words, reached or not.
    pub fn new(words: impl Into<String>, reached: bool) -> Option<Self> {
        Some(Self { words: words.into(), reached })
    }
}

impl Table {
    /// A table without rows.
    pub fn new() -> Self {
        Self { missed: Vec::new() }
    }

    /// Begins a part with commands in its rows.
    pub fn loads(&self, title: &str) {
        println!("\n{title}");
        println!(
            "{:<34} {:>25} {:>25} {:>8} {:>8}  {:<12} aim",
            "", "ack ms  p50 / p99 / max", "answer  p50 / p99 / max", "acks/s", "CPU ms", "lost"
        );
    }

    /// Begins a part with one figure in each row.
    pub fn figures(&self, title: &str) {
        println!("\n{title}");
    }

    /// A row of many commands, with the processor time of each.
    pub fn load(&mut self, name: &str, load: &Load, cpu: Duration, aim: Option<Aim>) {
        let times = |times: super::slack::Times| match times.count {
            0 => "–".to_owned(),
            _ => format!("{} / {} / {}", ms(times.p50), ms(times.p99), ms(times.max)),
        };
        let mut lost: Vec<String> = Vec::new();
        for (count, what) in
            [(load.unacked, "unacked"), (load.late, "late"), (load.unanswered, "unanswered"), (load.repeated, "twice")]
        {
            if count > 0 {
                lost.push(format!("{count} {what}"));
            }
        }
        let lost = if lost.is_empty() { "none".to_owned() } else { lost.join(", ") };
        let per_second = load.ack.count as f64 / load.ack.max.as_secs_f64().max(0.001);
        let per_second = if load.burst { format!("{per_second:.0}") } else { String::new() };
        let cpu = cpu.as_secs_f64() * 1e3 / load.sent.max(1) as f64;
        println!(
            "{name:<34} {:>25} {:>25} {per_second:>8} {cpu:>8.3}  {lost:<12} {}",
            times(load.ack),
            times(load.answer),
            self.judge(name, aim)
        );
    }

    /// A row of one figure.
    pub fn figure(&mut self, name: &str, figure: &str, aim: Option<Aim>) {
        println!("{name:<58} {figure:<44} {}", self.judge(name, aim));
    }

    fn judge(&mut self, name: &str, aim: Option<Aim>) -> String {
        let Some(Aim { words, reached }) = aim else { return String::new() };
        if !reached {
            self.missed.push(name.to_owned());
        }
        format!("{} {words}", if reached { "✓" } else { "✗" })
    }

    /// Says which aims were missed.
    pub fn end(self) {
        match self.missed.as_slice() {
            [] => println!("\nAll aims were reached."),
            missed => println!("\nMissed: {}", missed.join("; ")),
        }
    }
}

/// Milliseconds, with as many digits as say something.
pub fn ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    match ms {
        ms if ms < 10.0 => format!("{ms:.2}"),
        ms if ms < 100.0 => format!("{ms:.1}"),
        ms => format!("{ms:.0}"),
    }
}
