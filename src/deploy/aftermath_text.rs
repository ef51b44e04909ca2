//! What is said about a version that is live: the one quiet question, and what people answered.

use super::aftermath::{Aftermath, CHANGE, UNKNOWN, WHAT, Word};
use super::app::App;
use super::change::{Change, ChangeKey};
use super::form::{Entry, Form, Input, REASON, Tick, View};
use super::ledger::Shipped;
use super::message::{Button, Line, Message, Part, Style, What};
use super::name::{RunId, SlackId};
use super::pipeline::{Environment, Pipeline};
use super::text::{cut, linked, list, plural};
use super::track::Tracked;

/// Changes in the form: Slack takes 100 choices, one of them is "I do not know".
const CHOICES: usize = 99;

impl App {
    /// Does it work on production? For one person, about their own changes.
    pub(super) fn aftermath_text(&self, tracked: &Tracked, changes: &[&Change]) -> Message {
        let run = &tracked.run;
        let title = |change: &&Change| {
            Line::default()
                .link(change.key.to_string(), change.url.clone())
                .say(format!(" {}", cut(&change.title, 100)))
        };
        let what = match changes {
            [one] => title(one).say(" is live"),
            several => Line::plain(format!("{} of yours are live", plural(several.len(), "change"))),
        };
        let line = what.say(format!(" with {} ", self.state.name)).link(run.label(), run.url.clone());
        let line = match self.live_since(tracked) {
            Some(since) => line.say(" since ").time(since),
            None => line,
        };
        let mut message = Message::line(line.say(". Does it work on production?"));
        if changes.len() > 1 {
            message = message.list(list(changes, 10, title));
        }
        let production = self.pipeline().into_iter().flat_map(Pipeline::production);
        let message = message.list(production.map(places).collect::<Vec<_>>());
        let well = What::Aftermath(Aftermath::Well(run.id));
        let form = Form::Wrong { app: self.state.name.clone(), run: run.id };
        message.buttons(vec![
            Button { style: Style::Primary, ..self.button("Looks good", well) },
            self.button("Something is wrong…", What::Open(form)),
        ])
    }

    /// Somebody says that something is wrong and does not know which change did it: the channel hears of it.
    pub(super) fn wrong_text(&self, by: &SlackId, run: RunId, what: &str) -> Message {
        let line = Line::plain("⚠️ ").mention(by).say(" says that something is wrong since ");
        let line = match self.state.runs.get(&run) {
            Some(tracked) => line.link(tracked.run.label(), tracked.run.url.clone()),
            None => line.say("the last run"),
        };
        let message = Message::line(line.say(format!(": “{}”", cut(what, REASON))));
        let revert = format!("{} revert {} <pr>", self.policy.command, self.state.name);
        let hold = format!("{} hold {} <reason>", self.policy.command, self.state.name);
        message.text(
            Line::plain("Which change did it is not known yet. Once it is: ")
                .code(revert)
                .say(" takes it back. To keep others from deploying meanwhile: ")
                .code(hold)
                .say("."),
        )
    }

    pub(super) fn wrong_told(&self) -> String {
        "The channel was told. Nothing else was done: production stays as it is until somebody reverts or repairs."
            .to_owned()
    }

    /// What people said, as a line of the notice; silence is nothing to show.
    pub(super) fn aftermath_line(&self, tracked: &Tracked) -> Option<Line> {
        let said = &self.state.aftermaths.get(&tracked.run.id)?.said;
        let who = |word: Word| {
            let people = said.iter().filter(move |(_, said)| **said == word).map(|(id, _)| self.who(id, tracked));
            people.collect::<Vec<_>>()
        };
        let (wrong, well) = (who(Word::Wrong), who(Word::Well));
        let mut parts = Vec::new();
        // What was wrong is over once the repair is live.
        if !wrong.is_empty() && !self.is_repaired(tracked.run.id) {
            let say = if wrong.len() == 1 { "says" } else { "say" };
            parts.push(Line::plain(format!("⚠️ Something is wrong, {say} ")).then(Line::join(wrong, " and ")));
        }
        if !well.is_empty() {
            parts.push(Line::plain("👍 Looks good on production to ").then(Line::join(well, " and ")));
        }
        (!parts.is_empty()).then(|| Line::join(parts, " · "))
    }

    /// The form of *Something is wrong*, from memory.
    pub(super) fn wrong_view(&self, run: RunId) -> View {
        let ships = self.state.runs.get(&run).and_then(|tracked| self.ships(tracked)).unwrap_or_default();
        let unknown = Tick {
            value: UNKNOWN.into(),
            label: "None of these, or I do not know yet".into(),
            about: Some("The channel is told; nothing is reverted".into()),
            chosen: false,
        };
        let changes = ships.iter().rev().filter_map(choice).take(CHOICES).chain([unknown]).collect();
        View {
            title: "Something is wrong".into(),
            submit: Some("Send".into()),
            parts: vec![Part::Text(Line::plain(
                "If you choose a change, the pull request that reverts it is opened, a review is asked for, and the channel \
                 is told. That takes an approver; what is wrong anybody may say. Production stays as it is until the \
                 revert is merged and deployed.",
            ))],
            inputs: vec![
                Input {
                    id: CHANGE.into(),
                    label: "Which change did it?".into(),
                    hint: None,
                    optional: false,
                    kind: Entry::Pick(changes),
                },
                Input {
                    id: WHAT.into(),
                    label: "What is wrong?".into(),
                    hint: Some("The channel reads this, and the pull request says it.".into()),
                    optional: false,
                    kind: Entry::Words { most: REASON },
                },
            ],
        }
    }
}

/// A change that can be reverted: one with a pull request.
fn choice(shipped: &Shipped) -> Option<Tick> {
    let change = &shipped.change;
    let ChangeKey::Pr(number) = change.key else { return None };
    Some(Tick {
        value: number.to_string(),
        label: format!("#{number} {}", cut(&change.title, 60)),
        about: change.person().map(|login| format!("by {}", login.as_str())),
        chosen: false,
    })
}

/// An environment with where to look at it.
fn places(environment: &Environment) -> Line {
    let links = environment.links.iter().map(|(label, url)| Line::plain(" · ").link(label.clone(), url.clone()));
    links.fold(linked(environment), Line::then)
}
