//! What people read about environment variables: the parity board, one variable, a pull request's requirements, and how a
//! setting gets on. Keys and places, never a value.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::answer::age;
use super::app::App;
use super::command::did_you_mean;
use super::form::{Entry, Form, Input, View};
use super::message::{Line, Message, Part, What};
use super::name::EnvName;
use super::pipeline::Environment;
use super::server::Unread;
use super::text::{and, cut, list, plural};
use super::variable::{Fingerprint, Keys, Mark, Proposal, Setting, Step, Stop, Underway, is_key};

/// GitHub's limit for the words beside a status.
const STATUS: usize = 140;
/// The most that a value may have, in characters: Slack's own limit for an input.
const VALUE: usize = 3_000;
/// Lines of a board's list.
const LINES: usize = 20;

/// What is known of one variable: by environment, in order.
struct Row<'a> {
    key: &'a str,
    /// Those that lack it.
    missing: Vec<&'a Environment>,
    /// Those that have it, by equal value; those that cannot be compared are not among them.
    values: Vec<Vec<&'a Environment>>,
}

impl App {
    /// `/deploy env h`: which variables are missing or differ where.
    pub fn parity(&self, now: Timestamp) -> Message {
        let Some(looked) = self.looked_through() else { return self.no_variables() };
        let rows = self.rows(&looked);
        let expected = |row: &&Row<'_>| self.policy.variables.may_differ.contains(row.key);
        let (known, rest): (Vec<&Row<'_>>, Vec<&Row<'_>>) =
            rows.iter().filter(|row| !row.is_even()).partition(expected);
        let missing: Vec<&Row<'_>> = rest.iter().copied().filter(|row| !row.missing.is_empty()).collect();
        let differing: Vec<&Row<'_>> = rest.iter().copied().filter(|row| row.values.len() > 1).collect();
        let even = rows.iter().filter(|row| row.is_even()).count();
        let title = match looked.len() {
            0 => " · variables".to_owned(),
            count => format!(" · variables of {}", plural(count, "environment")),
        };
        let title = Line::default().bold(self.state.name.as_str()).say(title);
        let mut message = Message::line(title.say(self.read_ago(now)));
        if !missing.is_empty() {
            message = message
                .text(Line::plain("Missing somewhere:"))
                .list(list(&missing, LINES, |row| self.missing_line(row)));
        }
        if !differing.is_empty() {
            message = message
                .text(Line::plain("Not the same everywhere:"))
                .list(list(&differing, LINES, |row| differs_line(row)));
        }
        if missing.is_empty() && differing.is_empty() && !looked.is_empty() {
            message = message.text(Line::plain("Nothing is missing, and nothing differs that should not."));
        }
        if !known.is_empty() {
            let names = Line::join(known.iter().take(LINES).map(|row| Line::default().code(row.key)), ", ");
            message = message.text(Line::plain("Differ, as expected: ").then(names).say("."));
        }
        if even > 0 {
            message = message.text(Line::plain(format!("The same everywhere: {}.", plural(even, "variable"))));
        }
        self.with_unread(message).text(self.consoles())
    }

    /// `/deploy env h KEY`: one variable, environment by environment.
    pub fn one_variable(&self, typed: &str, now: Timestamp) -> Message {
        if !is_key(typed) {
            return Message::line(Line::default().code(cut(typed, 60)).say(" cannot be the name of a variable."));
        }
        let Some(looked) = self.looked_through() else { return self.no_variables() };
        let rows = self.rows(&looked);
        let same = rows
            .iter()
            .find(|row| row.key == typed)
            .or_else(|| rows.iter().find(|row| row.key.eq_ignore_ascii_case(typed)));
        let key = same.map_or(typed, |row| row.key);
        let title = Line::default().bold(self.state.name.as_str()).say(" · ").code(key).say(self.read_ago(now));
        let mut message = Message::line(title);
        match same {
            Some(row) => message = message.list(row.places(&looked, |e| self.console(e))),
            None => {
                let mut line = Line::plain("No environment that could be looked at has it.");
                if let Some(near) = did_you_mean(typed, rows.iter().map(|row| row.key)) {
                    line = line.say(" Did you mean ").code(near).say("?");
                }
                message = message.text(line);
            }
        }
        if self.policy.variables.may_differ.contains(key) {
            message = message.text(Line::plain("It is expected to differ."));
        }
        let form = Form::Variable(self.state.name.clone(), key.to_owned());
        let set =
            self.policy.variables.settable.then(|| self.button(&format!("Set {}…", cut(key, 60)), What::Open(form)));
        self.with_unread(message).text(self.consoles()).buttons(set.into_iter().collect())
    }

    /// `/deploy env check 4501`: what a pull request requires, and where that is missing.
    pub fn requirements(&self, proposal: &Proposal) -> Message {
        let title = Line::default()
            .link(format!("#{}", proposal.pr), self.pull_url(proposal))
            .say(format!(" {}", cut(&proposal.title, 120)));
        if proposal.requires.is_empty() {
            let line =
                title.say(" requires no variable. A line ").code("Requires-Env: KEY").say(" in its description would.");
            return Message::line(line);
        }
        let looked = self.looked_through().unwrap_or_default();
        let unread = self.unread_environments().next().is_some();
        let line = |key: &String| {
            let lacking: Vec<&str> =
                looked.iter().filter(|(_, keys)| !keys.contains_key(key)).map(|(e, _)| e.label.as_str()).collect();
            let line = Line::default().code(key.as_str());
            match (lacking.as_slice(), looked.is_empty(), unread) {
                ([], true, _) => line.say(": not known"),
                ([], false, false) => line.say(": there"),
                ([], false, true) => line.say(": there, as far as it could be looked at"),
                (_, _, _) => line.say(format!(": missing in {}", and(&lacking))),
            }
        };
        let keys: Vec<&String> = proposal.requires.iter().collect();
        let mark = self.mark(proposal);
        let verdict = match mark.met {
            Some(true) => "Its commit status is green: every environment has all of them.",
            Some(false) => {
                "Its commit status is red until every environment has all of them; it turns green by itself."
            }
            None if self.is_without_aws() => "It gets no commit status: AWS is not set up for this app.",
            None => {
                "Its commit status stays open: not every environment could be looked at. That is tried again by itself."
            }
        };
        let message = Message::line(title.say(format!(" requires {}:", plural(keys.len(), "variable"))));
        let message = message.list(list(&keys, LINES, |key| line(key))).text(Line::plain(verdict));
        self.with_unread(message).text(self.consoles())
    }

    /// The status of a pull request that requires variables.
    pub(super) fn mark(&self, proposal: &Proposal) -> Mark {
        let looked = self.looked_through().unwrap_or_default();
        let lacking = |key: &&String| looked.iter().any(|(_, keys)| !keys.contains_key(*key));
        let missing: Vec<&String> = proposal.requires.iter().filter(lacking).collect();
        let lacks = |keys: &Keys| missing.iter().any(|key| !keys.contains_key(*key));
        let places: Vec<&str> = looked.iter().filter(|(_, keys)| lacks(keys)).map(|(e, _)| e.label.as_str()).collect();
        let unread: Vec<&str> = self.unread_environments().map(|(e, _)| e.label.as_str()).collect();
        let (met, description) = match missing.as_slice() {
            [] if looked.is_empty() => (None, "Elastic Beanstalk cannot be looked at".to_owned()),
            [] if !unread.is_empty() => (None, format!("Not known in {}", unread.join(", "))),
            [] => (
                Some(true),
                format!("{} set in all {}", and_keys(&proposal.requires), plural(looked.len(), "environment")),
            ),
            _ => {
                let names: Vec<&str> = missing.iter().map(|key| key.as_str()).collect();
                (Some(false), format!("{} missing in {}", and(&names), and(&places)))
            }
        };
        Mark { pr: proposal.pr, sha: proposal.sha.clone(), met, description: cut(&description, STATUS) }
    }

    /// How a setting gets on.
    pub(super) fn setting_text(&self, underway: &Underway) -> Message {
        let Setting { request, key, environments, step, .. } = &underway.setting;
        let count = plural(environments.len(), "environment");
        let title = match (&underway.stopped, underway.over) {
            (Some(_), _) => {
                Line::plain("⚠️ ").mention(&request.by).say(" was setting ").code(key.as_str()).say(", and it stopped")
            }
            (None, true) => {
                Line::plain("✅ ").mention(&request.by).say(" set ").code(key.as_str()).say(format!(" in {count}"))
            }
            (None, false) => Line::plain("🔧 ")
                .mention(&request.by)
                .say(" sets ")
                .code(key.as_str())
                .say(format!(" in {count}, one after the other")),
        };
        let title = Line::default().bold(self.state.name.as_str()).say(" · ").then(title);
        let at = underway.setting.position();
        let line = |(nth, name): (usize, &EnvName)| {
            let line = Line::plain(format!("{}: ", self.label(name)));
            match (&underway.stopped, nth.cmp(&at)) {
                (Some((stopped, stop)), _) if stopped == name => line.say(stop_head(stop)).then(stop_words(stop)),
                (None, _) if underway.over => line.say("set"),
                (_, std::cmp::Ordering::Less) => line.say("set"),
                (None, std::cmp::Ordering::Equal) if matches!(step, Step::Follow(..)) => {
                    line.say("its servers take it over")
                }
                (None, std::cmp::Ordering::Equal) => line.say("next"),
                (_, _) => line.say("not touched"),
            }
        };
        let lines: Vec<Line> = environments.iter().enumerate().map(line).collect();
        let message = Message::line(title).list(lines);
        if underway.stopped.is_none() {
            return message;
        }
        let next = format!("{} env {} {key}", self.policy.command, self.state.name);
        message.text(
            Line::plain("The others keep what they had. See where it is now with ")
                .code(next)
                .say("; then set what is left."),
        )
    }

    /// Nothing was set, and why.
    pub(super) fn not_set_text(&self, setting: &Setting, (at, stop): &(EnvName, Stop)) -> Message {
        let line = Line::plain("Nothing was set. ").code(setting.key.as_str()).say(format!(" in {}: ", self.label(at)));
        Message::line(line.then(stop_words(stop)).say("."))
    }

    /// The form in which a variable is set.
    pub(super) fn variable_form(&self, key: &str) -> View {
        let parts = vec![
            Part::Text(Line::plain("Sets ").code(key).say(
                " where you fill something in, one environment after the other. Each restarts its servers with it, so the next one waits until \
                 the one before is ready and well.",
            )),
            Part::Text(Line::plain(
                "Slack carries what you type here and shows it to you only. Lockkeeper hands it to Elastic Beanstalk and forgets it. Approvers only.",
            )),
        ];
        let seen = self.state.variables.seen.as_ref().map(|(_, inventory)| inventory);
        let input = |e: &Environment| {
            let keys = seen.and_then(|seen| seen.environments.get(&e.name)).and_then(|read| read.as_ref().ok());
            let hint = keys.map(|keys| {
                if keys.contains_key(key) { "Has one already: it would be replaced." } else { "Has none yet." }
            });
            Input {
                id: e.name.as_str().to_owned(),
                label: format!("{} ({})", e.label, e.region.as_deref().unwrap_or_default()),
                hint: hint.map(str::to_owned),
                optional: true,
                kind: Entry::Words { most: VALUE },
            }
        };
        let inputs = self.with_variables().map(input).collect();
        View { title: "Set a variable".into(), submit: Some("Set it".into()), parts, inputs }
    }

    /// The environments that were looked at well, in order, with what they have; `None` before any look.
    fn looked_through(&self) -> Option<Vec<(&Environment, &Keys)>> {
        let (_, inventory) = self.state.variables.seen.as_ref()?;
        Some(
            self.with_variables()
                .filter_map(|e| Some((e, inventory.environments.get(&e.name)?.as_ref().ok()?)))
                .collect(),
        )
    }

    fn unread_environments(&self) -> impl Iterator<Item = (&Environment, &Unread)> {
        let seen = self.state.variables.seen.as_ref();
        self.with_variables().filter_map(move |e| {
            let (_, inventory) = seen?;
            Some((e, inventory.environments.get(&e.name)?.as_ref().err()?))
        })
    }

    /// Whether no environment can ever be looked at with these settings.
    fn is_without_aws(&self) -> bool {
        let all = self.with_variables().count();
        self.unread_environments().filter(|(_, why)| **why == Unread::NotConfigured).count() == all
    }

    fn rows<'a>(&'a self, looked: &[(&'a Environment, &'a Keys)]) -> Vec<Row<'a>> {
        let required = self.policy.variables.required.iter().filter(|_| !looked.is_empty());
        let keys: BTreeSet<&str> =
            looked.iter().flat_map(|(_, keys)| keys.keys()).chain(required).map(String::as_str).collect();
        keys.into_iter().map(|key| Row::of(key, looked)).collect()
    }

    fn missing_line(&self, row: &Row<'_>) -> Line {
        let line = Line::default().code(row.key).say(format!(": not in {}", labels(&row.missing)));
        if self.policy.variables.required.contains(row.key) { line.say(", and this app requires it") } else { line }
    }

    /// Says which environments could not be looked at, and why: what they lack is not known.
    fn with_unread(&self, message: Message) -> Message {
        let unread: Vec<(&Environment, &Unread)> = self.unread_environments().collect();
        if unread.is_empty() {
            return message;
        }
        if self.is_without_aws() {
            return message.text(Line::plain(
                "Elastic Beanstalk is not asked: AWS is not set up for this app. Whoever runs Lockkeeper gives it AWS credentials; aws = \
                 false in its settings turns it off.",
            ));
        }
        let lines: Vec<Line> = unread
            .iter()
            .map(|(e, why)| {
                Line::plain(format!("{} ({}): ", e.label, e.region.as_deref().unwrap_or_default()))
                    .then(unread_words(why))
            })
            .collect();
        message.text(Line::plain("Not known, because it could not be looked at:")).list(lines)
    }

    fn no_variables(&self) -> Message {
        let words = match self.pipeline() {
            None => "has not been read from GitHub yet. Ask again in a moment.",
            Some(_) => {
                "has no environment that is known at Elastic Beanstalk, so nothing can be said about its variables. Region and name \
                        are read from the workflow file, or written in lockkeeper.toml; aws = true has to be set."
            }
        };
        Message::plain(format!("{} {words}", self.state.name))
    }

    fn read_ago(&self, now: Timestamp) -> String {
        match &self.state.variables.seen {
            Some((at, _)) if now.duration_since(*at).as_mins() > 0 => format!(" · read {} ago", age(now, *at)),
            Some(_) | None => String::new(),
        }
    }

    /// Where somebody sees to it by hand, each in its own region.
    fn consoles(&self) -> Line {
        let links = self.with_variables().filter_map(|e| Some(Line::default().link(e.label.clone(), self.console(e)?)));
        Line::plain("AWS console: ").then(Line::join(links, " · "))
    }

    fn console(&self, environment: &Environment) -> Option<String> {
        let region = environment.region.as_deref()?;
        let id = self
            .state
            .servers
            .get(&environment.name)
            .and_then(|read| read.as_ref().ok())
            .map(|servers| servers.id.as_str());
        let page = match id.filter(|id| !id.is_empty()) {
            Some(id) => format!("environment/configuration?environmentId={id}"),
            None => "environments".to_owned(),
        };
        Some(format!("https://{region}.console.aws.amazon.com/elasticbeanstalk/home?region={region}#/{page}"))
    }

    fn pull_url(&self, proposal: &Proposal) -> String {
        let repo = self.pipeline().map_or("", |pipeline| pipeline.repo.as_str());
        format!("https://github.com/{repo}/pull/{}", proposal.pr)
    }
}

impl<'a> Row<'a> {
    fn of(key: &'a str, looked: &[(&'a Environment, &'a Keys)]) -> Self {
        let mut values: BTreeMap<Fingerprint, Vec<&Environment>> = BTreeMap::new();
        let mut missing = Vec::new();
        for (environment, keys) in looked {
            match keys.get(key) {
                None => missing.push(*environment),
                Some(None) => {}
                Some(Some(value)) => values.entry(*value).or_default().push(environment),
            }
        }
        // Fingerprints change with every start; the order of the environments does not.
        let place = |group: &Vec<&Environment>| {
            looked.iter().position(|(e, _)| group.first().is_some_and(|first| e.name == first.name))
        };
        let mut values: Vec<_> = values.into_values().collect();
        values.sort_by_key(place);
        Self { key, missing, values }
    }

    fn is_even(&self) -> bool {
        self.missing.is_empty() && self.values.len() <= 1
    }

    /// A line for each environment: whether it has the variable, and which of them have the same.
    fn places(
        &self,
        looked: &[(&'a Environment, &'a Keys)],
        console: impl Fn(&Environment) -> Option<String>,
    ) -> Vec<Line> {
        let letter = |e: &Environment| {
            let group = self.values.iter().position(|group| group.iter().any(|one| one.name == e.name))?;
            u8::try_from(group).ok().filter(|nth| *nth < 26).map(|nth| char::from(b'A' + nth))
        };
        let line = |(e, keys): &(&'a Environment, &'a Keys)| {
            let line = match console(e) {
                Some(url) => Line::default().link(e.label.clone(), url),
                None => Line::plain(e.label.clone()),
            };
            let line = line.say(format!(" ({}): ", e.region.as_deref().unwrap_or_default()));
            match (keys.get(self.key), letter(e)) {
                (None, _) => line.say("missing"),
                (Some(None), _) => line.say("set, by the address of a secret"),
                (Some(Some(_)), Some(letter)) if self.values.len() > 1 => line.say(format!("set, value {letter}")),
                (Some(Some(_)), _) => line.say("set"),
            }
        };
        looked.iter().map(line).collect()
    }
}

fn differs_line(row: &Row<'_>) -> Line {
    let groups: Vec<String> = row.values.iter().map(|group| labels(group)).collect();
    Line::default().code(row.key).say(format!(": {}", groups.join(" | ")))
}

fn labels(environments: &[&Environment]) -> String {
    and(&environments.iter().map(|e| e.label.as_str()).collect::<Vec<_>>())
}

fn and_keys(keys: &BTreeSet<String>) -> String {
    and(&keys.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Why something could not be looked at, for people.
fn unread_words(why: &Unread) -> Line {
    match why {
        Unread::NotConfigured => Line::plain("AWS is not set up for it"),
        Unread::Denied(code) => Line::plain("AWS does not let Lockkeeper look (").code(cut(code, 60)).say(")"),
        Unread::Throttled => Line::plain("AWS asks to be asked less; try again in a minute"),
        Unread::Missing => Line::plain("Elastic Beanstalk has no such environment there"),
        Unread::Unreachable(why) => Line::plain("no answer (").code(cut(why, 100)).say(")"),
    }
}

/// What a setting that went no further means for the environment where it stopped.
fn stop_head(stop: &Stop) -> &'static str {
    match stop {
        Stop::Busy(_) | Stop::Refused(_) | Stop::Reverted => "not set: ",
        Stop::Ill(_) => "set, ",
        Stop::Unsure | Stop::Forgotten | Stop::Unread(_) | Stop::Slow => "nobody knows: ",
    }
}

/// Why a setting went no further, for people.
fn stop_words(stop: &Stop) -> Line {
    match stop {
        Stop::Busy(status) => {
            Line::plain("it is ").code(cut(status, 40)).say(" and takes changes only when it is ready")
        }
        Stop::Refused(Some(words)) => Line::plain("Elastic Beanstalk refuses it: “").say(cut(words, 200)).say("”"),
        Stop::Refused(None) => {
            Line::plain("Elastic Beanstalk refuses the value. Its words would show it, so they are kept back")
        }
        Stop::Reverted => Line::plain("Elastic Beanstalk went back to the settings of before. Its events say why"),
        Stop::Ill(colour) => {
            Line::plain(format!("and its health is {} since. Look at it before anything else", colour.to_lowercase()))
        }
        Stop::Unsure => Line::plain("no clear answer came, and it does not show there. It was not sent again"),
        Stop::Forgotten => {
            Line::plain("Lockkeeper was started again meanwhile, and it keeps no values. It was not sent again")
        }
        Stop::Unread(why) => unread_words(why),
        Stop::Slow => Line::plain("it took longer than an hour. What was begun goes on by itself"),
    }
}
