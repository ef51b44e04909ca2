//! Alarms about servers: *drift*, an environment whose servers differ although nothing is being deployed, and *split*, production
//! environments on different versions. Each is raised once, in the channel, and its end is said. What changes is left alone, and a
//! single look never alarms: it may fall between two moments.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::app::App;
use super::doubt::all;
use super::effect::Effect;
use super::message::{Line, Message};
use super::name::EnvName;
use super::pipeline::{Environment, Pipeline};
use super::server::{Servers, tag_of_label};
use super::text::{and, cut, linked, plural};
use super::track::{State, Tracked};

/// Looks at the servers that have to show the same.
const SURVEYS: u32 = 2;
/// Looks at GitHub since the first of them: one may have begun before it, the next tells it all, the third has learned it.
const LOOKS: u32 = 3;

/// Something that is not as it should be: seen, and perhaps told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// When it was first seen.
    pub since: Timestamp,
    /// Looks at the servers that showed it, as far as they are counted.
    pub surveys: u32,
    /// Looks at GitHub since, as far as they are counted.
    pub looks: u32,
    /// Whether people know.
    pub told: bool,
    /// Whether Elastic Beanstalk showed it, and not only GitHub's jobs.
    pub by_servers: bool,
}

impl Alarm {
    fn new(since: Timestamp) -> Self {
        Self { since, surveys: 0, looks: 0, told: false, by_servers: true }
    }
}

impl App {
    /// After a look at the servers: what is raised, and what is over.
    pub(super) fn alarms(&mut self, now: Timestamp) -> Vec<Effect> {
        if self.state.last_look.is_none() {
            return Vec::new();
        }
        let names: Vec<EnvName> =
            self.pipeline().into_iter().flat_map(|p| &p.environments).map(|e| e.name.clone()).collect();
        let mut effects: Vec<Effect> = names.iter().filter_map(|name| self.drift(name, now)).collect();
        effects.extend(self.split(now));
        effects
    }

    /// GitHub was looked at.
    pub(super) fn count_look(&mut self) {
        if let Some(split) = self.state.split.as_mut().filter(|split| !split.told) {
            split.looks = (split.looks + 1).min(LOOKS);
        }
    }

    /// People were told by a run's own message that production is split.
    pub(super) fn split_is_told(&mut self, now: Timestamp) {
        if self.is_split() {
            let split = self.state.split.get_or_insert(Alarm { by_servers: false, ..Alarm::new(now) });
            split.by_servers &= split.told;
            split.told = true;
        }
    }

    fn drift(&mut self, name: &EnvName, now: Timestamp) -> Option<Effect> {
        let servers = self.state.servers.get(name).and_then(|reading| reading.as_ref().ok()).cloned();
        match servers.as_ref().and_then(Servers::is_whole) {
            Some(false) => {
                let alarm = self.state.drifts.entry(name.clone()).or_insert_with(|| Alarm::new(now));
                alarm.surveys = (alarm.surveys + 1).min(SURVEYS);
                if alarm.told || alarm.surveys < SURVEYS {
                    return None;
                }
                alarm.told = true;
                let topic = format!("drift {name} {}", alarm.since);
                Some(Effect::Announce { topic, message: self.drift_text(name, &servers?) })
            }
            Some(true) => {
                let alarm = self.state.drifts.remove(name).filter(|alarm| alarm.told)?;
                let topic = format!("drift over {name} {}", alarm.since);
                Some(Effect::Announce { topic, message: self.drift_over_text(name, &servers?) })
            }
            // What was told stays until it is seen to be over.
            None => {
                self.state.drifts.retain(|known, alarm| known != name || alarm.told);
                None
            }
        }
    }

    fn split(&mut self, now: Timestamp) -> Option<Effect> {
        let told = self.state.split.as_ref().is_some_and(|split| split.told);
        match (told, self.are_servers_split(), self.is_quiet()) {
            (true, shown, true) if self.is_split_over(shown) => {
                let split = self.state.split.take()?;
                let topic = format!("split over {}", split.since);
                Some(Effect::Announce { topic, message: self.split_over_text() })
            }
            (true, _, _) => None,
            (false, Some(true), true) => {
                let split = self.state.split.get_or_insert_with(|| Alarm::new(now));
                split.surveys = (split.surveys + 1).min(SURVEYS);
                if split.surveys < SURVEYS || split.looks < LOOKS {
                    return None;
                }
                split.told = true;
                let topic = format!("split {}", split.since);
                Some(Effect::Announce { topic, message: self.split_text() })
            }
            (false, Some(true), false) | (false, Some(false) | None, _) => {
                self.state.split = None;
                None
            }
        }
    }

    /// Whether the production environments run different images, as Elastic Beanstalk has it. `None` while something changes, and
    /// where it cannot be said.
    fn are_servers_split(&self) -> Option<bool> {
        let production: Vec<Option<&Servers>> = self.production_servers().map(|(_, servers)| servers).collect();
        if production.iter().flatten().any(|servers| !servers.is_ready()) {
            return None;
        }
        let tags: Vec<Option<String>> = production.iter().map(|servers| servers.and_then(Servers::tag)).collect();
        let different: BTreeSet<&String> = tags.iter().flatten().collect();
        match different.len() {
            0 => None,
            1 => tags.iter().all(Option::is_some).then_some(false),
            _ => Some(true),
        }
    }

    fn production_servers(&self) -> impl Iterator<Item = (&Environment, Option<&Servers>)> {
        let production = self.pipeline().into_iter().flat_map(Pipeline::production);
        production.map(|e| (e, self.state.servers.get(&e.name).and_then(|reading| reading.as_ref().ok())))
    }

    /// Whether a split that people know of is over: for GitHub's jobs, and for the servers as far as they can be read.
    fn is_split_over(&self, shown: Option<bool>) -> bool {
        let by_servers = self.state.split.as_ref().is_some_and(|split| split.by_servers);
        let changing = self.production_servers().any(|(_, servers)| servers.is_some_and(|servers| !servers.is_ready()));
        match shown {
            Some(true) => false,
            Some(false) => !self.is_split(),
            None => !by_servers && !changing && !self.is_split(),
        }
    }

    /// Whether no run is on its way through production, and all is known of those that were.
    fn is_quiet(&self) -> bool {
        let untouched = |tracked: &Tracked| {
            self.pipeline().into_iter().flat_map(Pipeline::production).all(|e| match tracked.state(&e.name) {
                None | Some(State::Skipped | State::NotDeployed(_)) => true,
                Some(State::Waiting) => !tracked.is_answered(&e.name),
                Some(State::Queued | State::Preparing | State::Deploying | State::Deployed | State::Unknown(_)) => {
                    false
                }
            })
        };
        let noticed = self.state.runs.values().filter(|tracked| tracked.noticed);
        noticed.into_iter().all(|t| if t.run.is_over() { self.is_clear(t) } else { untouched(t) })
    }

    fn drift_text(&self, name: &EnvName, servers: &Servers) -> Message {
        let line = Line::plain(format!("⚠️ {}: the servers of ", self.state.name)).then(self.place(name));
        let line = line.say(" differ, though nothing is being deployed there. It does not pass by itself.");
        let command = format!("{} health {}", self.policy.command, self.state.name);
        let mut next = Line::plain("It is meant to run ").then(version(servers.label.as_deref()));
        next = next.say(". Next: deploy or redeploy it, which puts one version on all its servers. See ").code(command);
        Message::line(line).list(version_lines(servers)).text(next.say("."))
    }

    fn drift_over_text(&self, name: &EnvName, servers: &Servers) -> Message {
        let count = servers.instances.iter().flatten().count();
        let line = Line::plain(format!("✅ {}: ", self.state.name)).then(self.place(name));
        let line = line.say(format!(" is well again: {} ", all(count))).then(version(servers.label.as_deref()));
        Message::line(line.say("."))
    }

    fn split_text(&self) -> Message {
        let line = Line::plain(format!("⚠️ {}: production is split, as Elastic Beanstalk shows.", self.state.name));
        let mut versions: Vec<(Line, Vec<&str>)> = Vec::new();
        for (environment, servers) in self.production_servers() {
            let version = servers.map_or_else(|| Line::plain("an unknown version"), |s| version(s.label.as_deref()));
            match versions.iter_mut().find(|(known, _)| *known == version) {
                Some((_, names)) => names.push(&environment.label),
                None => versions.push((version, vec![&environment.label])),
            }
        }
        let lines = versions.into_iter().map(|(version, names)| {
            let verb = if names.len() == 1 { "runs" } else { "run" };
            Line::plain(format!("{} {verb} ", and(&names))).then(version)
        });
        let next = "Next: take the newest run to all of production. There is no rollback; repair by rolling forward.";
        Message::line(line).list(lines.collect::<Vec<_>>()).text(Line::plain(next))
    }

    fn split_over_text(&self) -> Message {
        let line = Line::plain(format!("✅ {}: production runs one version again: ", self.state.name));
        let live =
            self.pipeline().into_iter().flat_map(Pipeline::production).find_map(|e| self.state.live.get(&e.name));
        let servers = self.production_servers().find_map(|(_, servers)| servers?.commit());
        Message::line(match (servers, live) {
            (Some(commit), _) => line.code(commit).say("."),
            (None, Some(live)) => line.code(live.sha.short()).say("."),
            (None, None) => line.say("the same everywhere."),
        })
    }

    fn place(&self, name: &EnvName) -> Line {
        self.pipeline().and_then(|p| p.environment(name)).map_or_else(|| Line::plain(name.as_str()), linked)
    }
}

/// How many servers run what, the most first.
pub(super) fn version_lines(servers: &Servers) -> Vec<Line> {
    let mut versions: Vec<(Option<&str>, usize)> = servers.versions().into_iter().collect();
    versions.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut lines: Vec<Line> = versions
        .into_iter()
        .map(|(label, count)| {
            let verb = if count == 1 { "runs" } else { "run" };
            match label {
                Some(label) => Line::plain(format!("{} {verb} ", plural(count, "server"))).then(version(Some(label))),
                None => Line::plain(format!("{} start{}", plural(count, "server"), if count == 1 { "s" } else { "" })),
            }
        })
        .collect();
    let failed = servers.instances.iter().flatten().filter(|one| one.has_failed()).count();
    if failed > 0 {
        lines.push(Line::plain(format!("the last deployment failed on {}", plural(failed, "server"))));
    }
    lines
}

/// A version by the image's tag, or by its label where that is in another shape.
pub(super) fn version(label: Option<&str>) -> Line {
    match label {
        Some(label) => Line::default().code(tag_of_label(label).unwrap_or_else(|| cut(label, 100))),
        None => Line::plain("an unknown version"),
    }
}
