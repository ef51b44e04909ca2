//! `/deploy health`: what Elastic Beanstalk says of an app's environments, each for itself. Nothing is averaged: a server that differs
//! is shown, and what cannot be read is called unknown by name.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::answer::age;
use super::app::App;
use super::doubt::{all, state_words};
use super::drift::{version, version_lines};
use super::message::{Line, Message};
use super::pipeline::{Environment, Kind};
use super::server::{Instance, Reading, ServerEvent, Servers, Unread, tag_of_label};
use super::text::{cut, linked, plural};

/// How old a look may be before an answer warns.
const STALE: SignedDuration = SignedDuration::from_mins(3);
/// Causes, sick servers and events that are shown of one environment; of one that is well, the newest event only.
const SHOWN: usize = 3;

impl App {
    /// `/deploy health h`: per environment status, health and causes, servers by version, newest events.
    pub fn health(&self, now: Timestamp) -> Message {
        let Some(pipeline) = self.pipeline() else {
            return Message::plain(format!(
                "{} has not been read from GitHub yet. Ask again in a moment.",
                self.state.name
            ));
        };
        if self.state.servers.is_empty() {
            return Message::plain(format!(
                "{}: Elastic Beanstalk has not been asked yet. Ask again in a moment.",
                self.state.name
            ));
        }
        let summary = format!("{}: Elastic Beanstalk’s view", self.state.name);
        let title = Line::default().bold(self.state.name.as_str()).say(" · Elastic Beanstalk’s view");
        let mut message = Message { summary: Line::plain(summary), parts: Vec::new() }.text(title);
        for environment in &pipeline.environments {
            let Some(reading) = self.state.servers.get(&environment.name) else { continue };
            message = message.text(headline(environment, reading));
            if let Ok(servers) = reading {
                message = message.list(self.details(environment, servers));
            }
        }
        let asked = self.state.servers.values().any(|reading| *reading != Err(Unread::NotConfigured));
        if asked { message.text(self.survey_age(now)) } else { message }
    }

    /// This app in a line: how many environments are well, and the others by name.
    pub fn health_brief(&self) -> Message {
        let line = Line::default().bold(self.state.name.as_str()).say(" · ");
        if self.state.servers.is_empty() {
            return Message::line(line.say("Elastic Beanstalk has not been asked yet"));
        }
        let environments = self.pipeline().into_iter().flat_map(|p| &p.environments);
        let read = environments.filter_map(|e| Some((e, self.state.servers.get(&e.name)?)));
        let (well, others): (Vec<_>, Vec<_>) = read.partition(|(e, reading)| self.is_well(e, reading));
        let mut parts: Vec<Line> = Vec::new();
        if !well.is_empty() {
            parts.push(Line::plain(format!("{WELL} {} well", plural(well.len(), "environment"))));
        }
        parts.extend(others.into_iter().map(|(e, reading)| headline(e, reading)));
        Message::line(line.then(Line::join(parts, " · ")))
    }

    fn is_well(&self, environment: &Environment, reading: &Reading) -> bool {
        let deployed = |servers: &Servers| self.is_as_deployed(&environment.name, servers) != Some(false);
        sign(reading) == WELL && reading.as_ref().is_ok_and(deployed)
    }

    fn details(&self, environment: &Environment, servers: &Servers) -> Vec<Line> {
        let mut lines = servers_lines(servers);
        if self.is_as_deployed(&environment.name, servers) == Some(false)
            && let Some(live) = self.state.live.get(&environment.name)
        {
            let line = Line::plain("⚠️ GitHub’s last successful deploy brought ").code(live.sha.short());
            lines.push(line.say(format!(" (run {})", live.number)));
        }
        if let Some(unsure) = self.state.unsure.get(&environment.name) {
            lines.push(Line::plain(format!("❓ run {} touched it and nobody has seen the end yet", unsure.number)));
        }
        lines.extend(servers.causes.iter().take(SHOWN).map(|cause| Line::plain(cut(cause, 250))));
        lines.extend(servers.instances.iter().flatten().filter(|one| is_sick(one)).take(SHOWN).map(sick_line));
        let events = if lines.len() == 1 { 1 } else { SHOWN };
        lines.extend(servers.events.iter().take(events).map(event_line));
        lines
    }

    fn survey_age(&self, now: Timestamp) -> Line {
        match self.state.last_survey {
            Some(at) if now.duration_since(at) > STALE => Line::plain(format!(
                "⚠️ Elastic Beanstalk was last asked {} ago; this is what it said then.",
                age(now, at)
            )),
            Some(at) => Line::plain("Asked at ").time(at).say("."),
            None => {
                Line::plain("⚠️ Elastic Beanstalk has not been asked since the start; this is what it said before.")
            }
        }
    }

    /// What `status` adds where Elastic Beanstalk's view is missing or old.
    pub(super) fn servers_note(&self, now: Timestamp) -> Option<Line> {
        let known = |e: &&Environment| e.region.is_some() && e.beanstalk.is_some();
        let placed: Vec<&Environment> = self.pipeline()?.environments.iter().filter(known).collect();
        let unread = |e: &&Environment| self.state.servers.get(&e.name) == Some(&Err(Unread::NotConfigured));
        if !placed.is_empty() && placed.iter().all(unread) {
            return Some(Line::plain(NO_AWS).code("aws = false").say(". Everything else works."));
        }
        match self.state.last_survey {
            Some(at) if now.duration_since(at) > STALE => Some(self.survey_age(now)),
            Some(_) | None => None,
        }
    }
}

const WELL: &str = "✅";
/// Why nothing is said of servers, and that it does not matter much.
const NO_AWS: &str = "Elastic Beanstalk is not looked at: there are no AWS credentials here, or the settings say ";

/// A sign for an environment; the words beside it say the same.
fn sign(reading: &Reading) -> &'static str {
    match reading {
        Err(_) => "❓",
        Ok(servers) if !servers.is_ready() => "🔄",
        Ok(servers) if servers.health.as_deref() == Some("Green") && servers.is_whole() != Some(false) => WELL,
        Ok(_) => "⚠️",
    }
}

fn headline(environment: &Environment, reading: &Reading) -> Line {
    let line = Line::plain(format!("{} ", sign(reading))).then(linked(environment));
    let line = match environment.kind {
        Kind::Test => line.say(" (test)"),
        Kind::Production => line,
    };
    let line = match (&environment.beanstalk, &environment.region) {
        (Some(place), Some(region)) => line.say(" · ").code(&*place.environment).say(format!(" in {region}: ")),
        (_, _) => line.say(": "),
    };
    match reading {
        Ok(servers) => line.say(state_words(servers)),
        Err(Unread::NotConfigured) if environment.beanstalk.is_none() || environment.region.is_none() => {
            line.say("unknown, its region or name at Elastic Beanstalk is not known; the settings file can say it")
        }
        Err(Unread::NotConfigured) => {
            line.say("unknown, there are no AWS credentials here, or the settings say ").code("aws = false")
        }
        Err(unread) => line.say(format!("unknown, {unread}")),
    }
}

/// What the servers run, and whether that is as it should be.
fn servers_lines(servers: &Servers) -> Vec<Line> {
    let label = servers.label.as_deref();
    let full = |line: Line| match label.filter(|label| tag_of_label(label).is_some()) {
        Some(label) => line.say(" (label ").code(cut(label, 100)).say(")"),
        None => line,
    };
    let Some(instances) = servers.instances.as_ref().filter(|instances| !instances.is_empty()) else {
        let line = Line::plain("is meant to run ").then(version(label));
        return vec![full(line).say("; its single servers cannot be read")];
    };
    let mut lines = match servers.is_whole() {
        Some(true) => vec![full(Line::plain(format!("{} ", all(instances.len()))).then(version(label)))],
        Some(false) => {
            let line = Line::plain("⚠️ its servers differ, though nothing is being deployed; it is meant to run ");
            let mut lines = vec![full(line.then(version(label)))];
            lines.extend(version_lines(servers));
            lines
        }
        None => {
            let mut lines = version_lines(servers);
            if !servers.is_ready() {
                lines.push(Line::plain("something is being changed, so different versions are as they should be"));
            }
            lines
        }
    };
    let numbers: BTreeSet<u64> = instances.iter().filter_map(|one| one.deployment).collect();
    if servers.is_whole() == Some(true) && numbers.len() > 1 {
        lines.push(Line::plain("not all of them had the last change of settings"));
    }
    lines
}

fn is_sick(instance: &Instance) -> bool {
    let sick = ["Warning", "Degraded", "Severe"];
    instance.health.as_deref().is_some_and(|health| sick.contains(&health))
}

fn sick_line(instance: &Instance) -> Line {
    let line =
        Line::default().code(cut(&instance.id, 30)).say(format!(" {}", instance.health.as_deref().unwrap_or("")));
    match instance.causes.first() {
        Some(cause) => line.say(": ").say(cut(cause, 200)),
        None => line,
    }
}

fn event_line(event: &ServerEvent) -> Line {
    let line = Line::default().time(event.at).say(" ");
    let line = if event.severity == "INFO" { line } else { line.bold(cut(&event.severity, 10)).say(" ") };
    line.say(cut(&event.message, 250))
}
