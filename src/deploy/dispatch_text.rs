//! What people read about starting workflows: the question before, the form, what became of it, and what Elastic Beanstalk shows of
//! a redeploy.

use jiff::Timestamp;

use super::app::App;
use super::dispatch::{Dispatch, Doomed, Order, Plan};
use super::evidence::Evidence;
use super::form::{Entry, Input, Tick, View};
use super::ledger::Shipped;
use super::message::{Line, Message, Part, Style, What};
use super::name::{AppName, EnvName, Login, RunId, Sha};
use super::pipeline::{Environment, Kind};
use super::run::Workflow;
use super::server::{Reading, Unread};
use super::text::{and, cut, plural};
use super::track::{State, Tracked};

/// Most that Slack shows of a choice's second line, in characters.
const ABOUT: usize = 75;
/// Choices in one input.
const CHOICES: usize = 10;
/// Characters of what a choice is known by; who has a longer name is redeployed by typing it.
const KNOWN_BY: usize = 150;
/// The id of the form's first input; further ones are numbered.
pub(super) const CHOSEN: &str = "environments";

fn fits(name: &EnvName) -> bool {
    name.as_str().chars().count() <= KNOWN_BY
}

impl App {
    /// What would be started, and what that would cancel; to be confirmed with a click.
    pub(super) fn start_question(&self, plan: &Plan, anew: bool) -> Message {
        let names = self.names(&plan.environments);
        let (title, label) = match (plan.workflow, plan.environments.as_slice()) {
            (Workflow::Deploy, _) => (self.deploy_title(), "Start Deploy".to_owned()),
            (Workflow::Redeploy, [one]) => (self.redeploy_title(&names), format!("Redeploy {}", self.label(one))),
            (Workflow::Redeploy, several) => {
                (self.redeploy_title(&names), format!("Redeploy {}", plural(several.len(), "environment")))
            }
        };
        let mut message = Message { summary: title.clone(), parts: Vec::new() };
        if anew {
            let line = Line::plain(
                "Nothing was started: something changed since you were asked. This is what it would do now.",
            );
            message = message.text(line);
        }
        let environments = self.pipeline().into_iter().flat_map(|p| p.test().chain(p.production()));
        let chosen = environments.filter(|e| plan.environments.contains(&e.name));
        message = message.text(title).list(chosen.map(|e| self.choice_line(e)).collect::<Vec<_>>());
        message = self.doom(plan.cancels.as_ref()).into_iter().fold(message, Message::text);
        let gates = plan.environments.iter().any(|name| self.is_gated(name));
        if gates {
            message = message.text(Line::plain("Its production gates are approved in your name."));
        }
        let style = if plan.cancels.is_some() { Style::Danger } else { Style::Primary };
        let what = What::Dispatch(Dispatch::Confirmed(plan.clone()));
        let start = super::message::Button { style, ..self.button(&label, what) };
        message.buttons(vec![start, self.button("Not now", What::Dismiss)])
    }

    fn redeploy_title(&self, names: &str) -> Line {
        Line::plain(format!(
            "Redeploy {} on {names}? Each keeps its version; Elastic Beanstalk deploys it anew.",
            self.state.name
        ))
    }

    fn deploy_title(&self) -> Line {
        let branch = self.pipeline().map_or("main", |p| &p.branch);
        let line = Line::plain(format!("Start Deploy of {} for {branch}", self.state.name));
        let line = match &self.state.main {
            Some(sha) => line.say(", now at ").code(sha.short()),
            None => line,
        };
        line.say("? It builds, goes to the test environments and waits for approval like any other.")
    }

    /// What a dispatch would cancel: the run, whose it is, and what that means.
    fn doom(&self, doomed: Option<&Doomed>) -> Vec<Line> {
        let Some((doomed, tracked)) = doomed.and_then(|d| Some((d, self.state.runs.get(&d.run)?))) else {
            return Vec::new();
        };
        let run = &tracked.run;
        let line = Line::plain("⚠️ This cancels ").link(run.label(), run.url.clone());
        let line = line.say(" · ").say(cut(&run.title, 100)).say(" by ").then(self.starter(tracked));
        let line = line.say(format!(" ({}).", self.does(tracked)));
        let line = match run.workflow {
            Workflow::Redeploy => line.say(" It does not finish then."),
            Workflow::Deploy => {
                let ships = self.ships(tracked).unwrap_or_default();
                let keys: Vec<String> = ships.iter().take(5).map(|s| s.change.key.to_string()).collect();
                let more = if ships.len() > 5 { format!(" and {} more", ships.len() - 5) } else { String::new() };
                let what = if keys.is_empty() { String::new() } else { format!(" ({}{more})", keys.join(", ")) };
                line.say(format!(" What it ships{what} is not deployed then until a Deploy runs again."))
            }
        };
        let at: Vec<&str> = tracked
            .places
            .iter()
            .filter(|(_, place)| place.state == State::Deploying)
            .map(|(name, _)| self.label(name))
            .collect();
        let deep = doomed.touching.then(|| {
            let places = if at.is_empty() { "servers".to_owned() } else { and(&at) };
            Line::plain(format!(
                "⚠️ It is changing {places} right now. Elastic Beanstalk goes on by itself when the run is cancelled, and nobody sees how that ends."
            ))
        });
        [line].into_iter().chain(deep).collect()
    }

    /// The form in which environments are chosen.
    pub(super) fn redeploy_view(&self, app: &AppName, cancels: Option<&Doomed>, now: Timestamp) -> View {
        let choices = self.choices().unwrap_or_default();
        let mut lines = vec![Line::plain(
            "Each environment keeps the version that it has; Elastic Beanstalk deploys it anew on its servers.",
        )];
        lines.extend(self.doom(cancels));
        if let Some(hold) = &self.state.hold {
            let line = Line::plain("🔒 On hold by ").mention(&hold.by).say(format!(": “{}”.", cut(&hold.reason, 200)));
            lines.push(line.say(" Production is not redeployed until it is released."));
        }
        if choices.iter().any(|e| self.is_gated(&e.name)) {
            lines.push(Line::plain("Production gates of what you tick are approved in your name."));
        }
        lines.extend(self.health_note(&choices, now));
        let mut inputs: Vec<Input> = Vec::new();
        for kind in [Kind::Test, Kind::Production] {
            let of_kind: Vec<&Environment> =
                choices.iter().filter(|e| e.kind == kind && fits(&e.name)).copied().collect();
            for chunk in of_kind.chunks(CHOICES) {
                let nth = inputs.len() + 1;
                inputs.push(Input {
                    id: if nth == 1 { CHOSEN.to_owned() } else { format!("{CHOSEN} {nth}") },
                    label: match kind {
                        Kind::Test => "Test".to_owned(),
                        Kind::Production => "Production".to_owned(),
                    },
                    hint: None,
                    optional: true,
                    kind: Entry::Ticks(chunk.iter().map(|e| self.choice(e)).collect()),
                });
            }
        }
        View {
            title: format!("Redeploy {app}"),
            submit: (!inputs.is_empty()).then(|| "Redeploy".to_owned()),
            parts: lines.into_iter().map(Part::Text).collect(),
            inputs,
        }
    }

    /// How old what is said about health is, or why nothing is.
    fn health_note(&self, choices: &[&Environment], _now: Timestamp) -> Option<Line> {
        let read = choices.iter().any(|e| matches!(self.state.servers.get(&e.name), Some(Ok(_))));
        match self.state.last_survey.filter(|_| read) {
            Some(at) => Some(Line::plain("Health as of ").time(at).say(".")),
            None if read => None,
            None => Some(Line::plain(
                "Elastic Beanstalk is not set up here or does not answer, so nothing is known about health.",
            )),
        }
    }

    fn choice(&self, environment: &Environment) -> Tick {
        let about = self.choice_words(environment);
        Tick {
            value: environment.name.as_str().to_owned(),
            label: environment.label.clone(),
            about: Some(cut(&about, ABOUT)),
            chosen: false,
        }
    }

    fn choice_line(&self, environment: &Environment) -> Line {
        Line::default().bold(environment.label.as_str()).say(": ").say(self.choice_words(environment))
    }

    /// What an environment runs and how it is, in a few words.
    fn choice_words(&self, environment: &Environment) -> String {
        let live = self.state.live.get(&environment.name).map(|live| &live.sha);
        let version = match (live.map(Sha::short), self.state.unsure.contains_key(&environment.name)) {
            (Some(sha), false) => sha.to_owned(),
            (Some(sha), true) => format!("{sha}, not certain"),
            (None, _) => "unknown version".to_owned(),
        };
        match self.state.servers.get(&environment.name) {
            None => format!("{version} · health not known"),
            Some(reading) => format!("{version} · {}", health_words(reading)),
        }
    }

    /// Whether the environment's production gate has to be approved.
    fn is_gated(&self, name: &EnvName) -> bool {
        let environment = self.pipeline().and_then(|p| p.environment(name));
        environment.is_some_and(|e| e.kind == Kind::Production && e.gated != Some(false))
    }

    fn names(&self, environments: &[EnvName]) -> String {
        let names: Vec<&str> = environments.iter().map(|name| self.label(name)).collect();
        and(&names)
    }

    /// The form cannot be shown where Slack did not open one.
    pub(super) fn no_form(&self) -> Line {
        Line::plain("Slack did not open the form. Try again, or name the environments: ")
            .code(format!("{} redeploy {} <environment>", self.policy.command, self.state.name))
            .say(".")
    }

    /// The command that starts Deploy.
    pub(super) fn start_command(&self) -> String {
        format!("{} start {}", self.policy.command, self.state.name)
    }

    fn run_link(&self, run: RunId, words: &str) -> Line {
        let repo = self.pipeline().map_or("", |p| p.repo.as_str());
        Line::default().link(words, format!("https://github.com/{repo}/actions/runs/{run}"))
    }

    /// It was started; where the answer was lost, that the run was found.
    pub(super) fn started_text(&self, order: &Order, run: RunId, found: bool) -> Message {
        let line = match order.workflow {
            Workflow::Deploy => self.run_link(run, "Deploy").say(" was started"),
            Workflow::Redeploy => {
                self.run_link(run, "The redeploy").say(format!(" of {} was started", self.names(&order.environments)))
            }
        };
        let line = if found {
            line.say(": GitHub’s answer was lost, but the run is there. It was sent once and is not sent again")
        } else {
            line
        };
        Message::line(line.say(". Its notice in the channel shows how it gets on."))
    }

    pub(super) fn start_refused(&self, order: &Order, why: &str) -> Message {
        let line = Line::plain(format!("No {} was started: ", workflow_word(order.workflow)));
        let line = line.say(cut(why, 200)).say(". Try again later, or start it on ");
        Message::line(line.then(self.actions_page()).say("."))
    }

    pub(super) fn start_lost(&self, order: &Order) -> Message {
        let line = Line::plain("GitHub answered with an error, and no run has appeared since, so the ");
        let line = line
            .say(workflow_word(order.workflow))
            .say(" was most likely not started. It is not sent again by itself: look at ");
        Message::line(line.then(self.actions_page()).say(" in a minute, and ask again if nothing is there."))
    }

    pub(super) fn start_unknown(&self, order: &Order) -> Message {
        let line = Line::plain("Nobody knows whether GitHub started the ").say(workflow_word(order.workflow));
        let line = line.say(": it did not say, and could not be asked. It is not sent again by itself: look at ");
        Message::line(line.then(self.actions_page()).say(" before you ask again."))
    }

    fn actions_page(&self) -> Line {
        let repo = self.pipeline().map_or("", |p| p.repo.as_str());
        Line::default().link("GitHub’s page", format!("https://github.com/{repo}/actions"))
    }

    /// Whoever's deploy was replaced can have it back now.
    pub(super) fn start_again_text(&self, redeploy: &Tracked, old: &Tracked, ships: &[Shipped]) -> Message {
        let lost = ships.iter().rev().find(|s| s.change.head == old.run.sha).or(ships.last());
        let owner: &Login = lost.and_then(|s| s.change.person()).unwrap_or(&old.run.actor);
        let what = lost.map_or_else(|| format!("run {}", old.run.number), |s| s.change.key.to_string());
        let line =
            self.mention(owner).say(format!(" {} is over, and {what} is still to be deployed: ", redeploy.run.label()));
        let line =
            line.say("nothing does that by itself. Start Deploy again here, or type ").code(self.start_command());
        let button = self.button("Start Deploy", What::Dispatch(Dispatch::Start));
        Message::line(line.say(".")).buttons(vec![button])
    }

    /// GitHub says done, Elastic Beanstalk does not.
    pub(super) fn unseen_text(&self, tracked: &Tracked, missing: &[&str]) -> Message {
        let line = self.starter(tracked).say(": GitHub says that ").link(tracked.run.label(), tracked.run.url.clone());
        Message::line(line.say(format!(
            " is done, but Elastic Beanstalk does not show it on every server of {}. Look there before you rely on it.",
            and(missing)
        )))
    }

    /// A redeploy whose jobs all ended well: done only where Elastic Beanstalk shows it.
    pub(super) fn redeployed_line(&self, tracked: &Tracked) -> Line {
        let found: Vec<(&Environment, Evidence)> = self.evidences(tracked).collect();
        let worst = found.iter().map(|(_, evidence)| *evidence).max();
        let names = |wanted: Evidence| {
            let names: Vec<&str> = found.iter().filter(|(_, e)| *e == wanted).map(|(e, _)| e.label.as_str()).collect();
            and(&names)
        };
        let since = found.iter().filter_map(|(e, _)| tracked.places.get(&e.name)?.since).max();
        match (worst, since) {
            (Some(Evidence::Seen), Some(since)) => Line::plain("✅ Redeployed ")
                .time(since)
                .say(": Elastic Beanstalk shows it on every server; versions stay as they were"),
            (Some(Evidence::Missing), _) => Line::plain(format!(
                "⚠️ GitHub says that it is done; Elastic Beanstalk does not show it on every server of {}",
                names(Evidence::Missing)
            )),
            (Some(Evidence::Awaited), _) => Line::plain(format!(
                "⏳ Its jobs are done; waiting for Elastic Beanstalk to show it on {}",
                names(Evidence::Awaited)
            )),
            (Some(Evidence::Unread), _) => Line::plain(format!(
                "☑️ Its jobs are done; whether {} got new servers was not seen: {}",
                names(Evidence::Unread),
                self.why_unread(&found)
            )),
            (Some(Evidence::Seen) | None, _) => Line::plain("☑️ Its jobs are done"),
        }
    }

    fn why_unread(&self, found: &[(&Environment, Evidence)]) -> &'static str {
        let mut unread = found.iter().filter(|(_, evidence)| *evidence == Evidence::Unread);
        let configured =
            |e: &Environment| !matches!(self.state.servers.get(&e.name), None | Some(Err(Unread::NotConfigured)));
        if unread.any(|(e, _)| configured(e)) {
            "Elastic Beanstalk cannot be read there"
        } else {
            "Elastic Beanstalk is not set up here"
        }
    }

    /// Whether a redeploy may be called done.
    pub(super) fn is_redeployed(&self, tracked: &Tracked) -> bool {
        self.evidences(tracked).all(|(_, evidence)| evidence == Evidence::Seen)
    }

    /// For whom a run was started here, and what they chose.
    pub(super) fn order_line(&self, tracked: &Tracked) -> Option<Line> {
        let order = self.state.orders.of(&tracked.run)?;
        let who = self.who(&order.request.by, tracked);
        Some(match order.workflow {
            Workflow::Deploy => Line::plain("Started from Slack by ").then(who),
            Workflow::Redeploy => Line::plain("Started from Slack by ")
                .then(who)
                .say(format!(", for {}", self.names(&order.environments))),
        })
    }
}

fn workflow_word(workflow: Workflow) -> &'static str {
    match workflow {
        Workflow::Deploy => "Deploy",
        Workflow::Redeploy => "redeploy",
    }
}

/// Elastic Beanstalk's own words.
fn health_words(reading: &Reading) -> String {
    match reading {
        Ok(servers) => {
            let health = servers.health_status.as_ref().or(servers.health.as_ref());
            let count = servers.instances.as_ref().map(|instances| format!(", {}", plural(instances.len(), "server")));
            let health = health.map(|health| format!(", {health}")).unwrap_or_default();
            format!("{}{health}{}", servers.status, count.unwrap_or_default())
        }
        Err(Unread::NotConfigured) => "health not known".to_owned(),
        Err(unread) => format!("health not known: {unread}"),
    }
}
