//! Environment variables: what is known of them, which pull requests wait for some, and setting one environment after the other.
//! Values never come here: only keys, and fingerprints by which values can be compared. What people read of it is in `parity`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::action::Request;
use super::app::App;
use super::effect::{Effect, Record};
use super::event::{Facts, Outcome};
use super::name::{EnvName, PrNumber, RequestId, RunId, Sha};
use super::pipeline::Environment;
use super::policy::Person;
use super::refusal::Refusal;
use super::server::Unread;
use super::track::Address;

/// How many messages about variables that were set are remembered, to be edited in place.
const REMEMBERED: usize = 5;
/// The line of a pull request's description that names what it requires.
const REQUIRES: &str = "requires-env:";
/// Names that are looked for in one pull request.
const MOST_NAMES: usize = 50;

/// What people do about environment variables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Variables {
    /// Set one in these environments. The values are not here: they wait in the process's memory.
    Set {
        /// Which.
        key: String,
        /// Where.
        environments: Vec<EnvName>,
    },
}

/// What a value looks like to those who may not see it: equal for equal values, and different after every start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint")
    }
}

/// The variables of an environment; without a fingerprint where AWS keeps the value elsewhere (a secret's address is in its place).
pub type Keys = BTreeMap<String, Option<Fingerprint>>;

/// A look at variables, and at those who wait for some.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory {
    /// The environments that were looked at.
    pub environments: BTreeMap<EnvName, Result<Keys, Unread>>,
    /// The open pull requests; `None` where they were not looked at.
    pub proposals: Option<Vec<Proposal>>,
}

/// An open pull request.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// Its number.
    pub pr: PrNumber,
    /// Its title; from outside.
    pub title: String,
    /// Its head, which gets the status.
    pub sha: Sha,
    /// The variables that it says it requires.
    pub requires: BTreeSet<String>,
}

/// A commit status of a pull request that requires variables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// The pull request.
    pub pr: PrNumber,
    /// Its head, which gets the status.
    pub sha: Sha,
    /// Whether every environment has every variable; `None` while that cannot be told.
    pub met: Option<bool>,
    /// What GitHub shows beside it: at most 140 characters, never a value.
    pub description: String,
}

/// A variable to be set, environment by environment. The values are not here: they stay in the process's memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Who asked, and where the answer goes.
    pub request: Request,
    /// The variable.
    pub key: String,
    /// The environments, in this order.
    pub environments: Vec<EnvName>,
    /// What is to be done next.
    pub step: Step,
}

/// One step of a setting. Each is an effect of its own, so that a restart finds it where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Ask every environment whether it would take the value.
    Check,
    /// Change this one, by position.
    Change(usize),
    /// See this one, by position, through its restart, begun at that time.
    Follow(usize, Timestamp),
}

/// How a step went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Stepped {
    /// Every environment would take it.
    Checked,
    /// The change has begun.
    Begun(Timestamp),
    /// The environment has it, and is well.
    Set,
    /// It goes no further.
    Stopped(EnvName, Stop),
}

/// Why a setting went no further.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Stop {
    /// The environment is busy; Elastic Beanstalk's word for what it does.
    Busy(String),
    /// Elastic Beanstalk does not take the value: its words, without any piece of it; `None` where they would show one.
    Refused(Option<String>),
    /// It was taken back.
    Reverted,
    /// It has it, and its health is this colour since.
    Ill(String),
    /// No clear answer came, and it does not show.
    Unsure,
    /// The values are gone with the process that knew them.
    Forgotten,
    /// The environment could not be looked at.
    Unread(Unread),
    /// It takes longer than anybody should wait.
    Slow,
}

/// A setting as its message shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Underway {
    /// How far it is.
    pub setting: Setting,
    /// Why it went no further.
    pub stopped: Option<(EnvName, Stop)>,
    /// Whether nothing more happens.
    pub over: bool,
    /// The topic of its message.
    pub topic: String,
}

/// What an app remembers about variables.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The newest setting.
    pub setting: Option<Underway>,
    /// Where messages stand that are edited in place, by topic.
    pub shown: BTreeMap<String, Address>,
    /// The statuses given to open pull requests.
    pub marks: BTreeMap<PrNumber, Mark>,
    /// The newest look. Not remembered: what it is made of ends with the process.
    #[serde(skip)]
    pub seen: Option<(Timestamp, Inventory)>,
}

impl Variables {
    /// The word for it, in the audit log.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Set { .. } => "set",
        }
    }

    /// The run that it names.
    pub fn run(&self) -> Option<RunId> {
        match self {
            Self::Set { .. } => None,
        }
    }

    /// What the person typed or chose with it.
    pub fn note(&self) -> Option<String> {
        match self {
            Self::Set { key, .. } => Some(key.clone()),
        }
    }
}

/// Whether a text can name a variable (`facts/beanstalk-reliability-security.md` A4).
pub fn is_key(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:/+-@".contains(&b))
}

/// The variables that a pull request's description requires: `Requires-Env: ONE, TWO` on lines of their own.
pub fn required(body: &str) -> BTreeSet<String> {
    let mark = |c: char| c.is_whitespace() || matches!(c, '*' | '-' | '`' | '>' | '_');
    let lines = body.lines().filter_map(|line| {
        let line = line.trim_start_matches(mark);
        let head = line.get(..REQUIRES.len())?;
        head.eq_ignore_ascii_case(REQUIRES).then(|| &line[REQUIRES.len()..])
    });
    let names =
        lines.flat_map(|rest| rest.split([',', ' ', '\t'])).map(|name| name.trim_matches(['`', '*', '.', '\r']));
    names.filter(|name| is_key(name)).take(MOST_NAMES).map(str::to_owned).collect()
}

impl App {
    /// The environments whose variables can be looked at: those that are known at Elastic Beanstalk.
    pub fn with_variables(&self) -> impl Iterator<Item = &Environment> {
        let all = self.pipeline().into_iter().flat_map(|pipeline| &pipeline.environments);
        all.filter(|e| e.beanstalk.is_some() && e.region.is_some())
    }

    /// Whether a status was given that may have to change.
    pub fn watches_proposals(&self) -> bool {
        !self.state.variables.marks.is_empty()
    }

    /// Whether a request's values are still needed.
    pub fn is_setting(&self, request: &RequestId) -> bool {
        let setting = self.state.variables.setting.as_ref().filter(|underway| !underway.over);
        setting.is_some_and(|underway| underway.setting.request.id == *request)
    }

    /// Where the message of that topic stands.
    pub fn shown_at(&self, topic: &str) -> Option<&Address> {
        self.state.variables.shown.get(topic)
    }

    /// A message that is edited in place stands there now.
    pub(super) fn stands(&mut self, topic: String, address: Address) {
        let shown = &mut self.state.variables.shown;
        shown.insert(topic, address);
        while shown.len() > REMEMBERED {
            shown.pop_first();
        }
    }

    /// Takes in a look, and gives the pull requests their statuses.
    pub(super) fn take_inventory(&mut self, mut inventory: Inventory, now: Timestamp) -> Vec<Effect> {
        let mut at = now;
        if inventory.environments.is_empty()
            && let Some((before, known)) = self.state.variables.seen.take()
        {
            (at, inventory.environments) = (before, known.environments);
        }
        let proposals = inventory.proposals.clone();
        self.state.variables.seen = Some((at, inventory));
        let Some(proposals) = proposals else { return Vec::new() };
        let open: BTreeSet<PrNumber> = proposals.iter().map(|proposal| proposal.pr).collect();
        self.state.variables.marks.retain(|pr, _| open.contains(pr));
        let marks: Vec<Mark> = proposals.iter().filter_map(|proposal| self.due_mark(proposal)).collect();
        for mark in &marks {
            self.state.variables.marks.insert(mark.pr, mark.clone());
        }
        marks.into_iter().map(Effect::Mark).collect()
    }

    /// The status that a pull request should get and does not have.
    fn due_mark(&self, proposal: &Proposal) -> Option<Mark> {
        let before = self.state.variables.marks.get(&proposal.pr);
        let mark = match proposal.requires.is_empty() {
            false => self.mark(proposal),
            // Somebody took the line out: nothing may stay red.
            true if before.is_some_and(|mark| mark.met != Some(true)) => Mark {
                pr: proposal.pr,
                sha: proposal.sha.clone(),
                met: Some(true),
                description: "Requires no variable any more".into(),
            },
            true => return None,
        };
        // What cannot be told does not take back what was told about the same commit.
        let kept = before.is_some_and(|before| before.sha == mark.sha && (mark.met.is_none() || *before == mark));
        (!kept).then_some(mark)
    }

    /// A status was not given: it is tried again after the next look.
    pub(super) fn not_marked(&mut self, mark: &Mark) {
        if self.state.variables.marks.get(&mark.pr) == Some(mark) {
            self.state.variables.marks.remove(&mark.pr);
        }
    }

    /// Decides it on fresh facts.
    pub(super) fn variables(
        &mut self,
        request: Request,
        facts: Facts,
        what: Variables,
        now: Timestamp,
    ) -> Result<Vec<Effect>, Refusal> {
        match what {
            Variables::Set { key, environments } => self.set_variable(request, &facts.person, (key, environments), now),
        }
    }

    fn set_variable(
        &mut self,
        request: Request,
        person: &Person,
        (key, chosen): (String, Vec<EnvName>),
        now: Timestamp,
    ) -> Result<Vec<Effect>, Refusal> {
        if !self.policy.variables.settable {
            return Err(Refusal::SettingIsOff);
        }
        self.may_approve(person)?;
        if !is_key(&key) {
            return Err(Refusal::NoKey(key));
        }
        if let Some(other) = self.state.variables.setting.as_ref().filter(|underway| !underway.over) {
            return Err(Refusal::SettingAlready {
                by: other.setting.request.by.clone(),
                key: other.setting.key.clone(),
            });
        }
        let there = self.with_variables().map(|e| e.name.clone());
        let environments: Vec<EnvName> = there.filter(|name| chosen.contains(name)).collect();
        if environments.is_empty() {
            return Err(Refusal::NothingToSet);
        }
        let record = self.record(&request, now, "granted");
        let record = Record { environments: environments.clone(), ..record };
        let topic = format!("set {now} {key}");
        let setting = Setting { request, key, environments, step: Step::Check };
        self.state.variables.setting = Some(Underway { setting: setting.clone(), stopped: None, over: false, topic });
        Ok(vec![Effect::Record(record), Effect::Set(setting)])
    }

    /// A step was made, or not: the next one, and what is told of it.
    pub(super) fn stepped(&mut self, setting: Setting, outcome: Outcome, now: Timestamp) -> Vec<Effect> {
        let stepped = if let Outcome::Setting(stepped) = outcome {
            stepped
        } else {
            // It was given up: nothing else comes back from a step.
            let Some(at) = setting.environments.get(setting.position()).cloned() else { return Vec::new() };
            Stepped::Stopped(at, Stop::Slow)
        };
        let last = setting.position() + 1 >= setting.environments.len();
        let next = match stepped {
            Stepped::Checked => Some(Step::Change(0)),
            Stepped::Begun(at) => Some(Step::Follow(setting.position(), at)),
            Stepped::Set if last => None,
            Stepped::Set => Some(Step::Change(setting.position() + 1)),
            Stepped::Stopped(at, stop) => return self.stop(setting, (at, stop), now),
        };
        match next {
            Some(step) => {
                let setting = Setting { step, ..setting };
                let shown = self.show_setting(setting.clone(), None, false);
                shown.into_iter().chain([Effect::Set(setting)]).collect()
            }
            None => {
                let record = self.record(&setting.request, now, "done");
                let record = Record { environments: setting.environments.clone(), ..record };
                [Effect::Record(record)].into_iter().chain(self.show_setting(setting, None, true)).collect()
            }
        }
    }

    fn stop(&mut self, setting: Setting, stopped: (EnvName, Stop), now: Timestamp) -> Vec<Effect> {
        let record = self.record(&setting.request, now, &format!("failed: {}", stopped.1.word()));
        let record = Effect::Record(Record { environments: vec![stopped.0.clone()], ..record });
        if setting.step == Step::Check {
            // Nothing was touched, so it is nobody's business but theirs.
            let words = self.not_set_text(&setting, &stopped);
            let answer = Effect::Answer(setting.request.reply.clone(), setting.request.by.clone(), words);
            self.state.variables.setting = None;
            return vec![record, answer];
        }
        [record].into_iter().chain(self.show_setting(setting, Some(stopped), true)).collect()
    }

    fn show_setting(&mut self, setting: Setting, stopped: Option<(EnvName, Stop)>, over: bool) -> Option<Effect> {
        let topic = self.state.variables.setting.as_ref()?.topic.clone();
        let underway = Underway { setting, stopped, over, topic: topic.clone() };
        let message = self.setting_text(&underway);
        self.state.variables.setting = Some(underway);
        Some(Effect::Show { topic, message })
    }
}

impl Setting {
    /// Which environment it is at, by position.
    pub fn position(&self) -> usize {
        match self.step {
            Step::Check => 0,
            Step::Change(nth) | Step::Follow(nth, _) => nth,
        }
    }
}

impl Stop {
    /// A word or two for the audit log.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Busy(_) => "not ready",
            Self::Refused(_) => "refused by elastic beanstalk",
            Self::Reverted => "taken back by elastic beanstalk",
            Self::Ill(_) => "not well since",
            Self::Unsure => "nobody knows",
            Self::Forgotten => "restarted in between",
            Self::Unread(_) => "elastic beanstalk not readable",
            Self::Slow => "too slow",
        }
    }
}
