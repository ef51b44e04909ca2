//! What a notice offers: its buttons, and what they ask before they count. Which runs may be approved is decided again at the
//! click, in `approve`.

use std::collections::BTreeSet;

use super::app::App;
use super::change::{ChangeKey, Standing};
use super::form::Form;
use super::ledger::{Live, Shipped};
use super::message::{Button, Confirm, Press, Shown, Style, What};
use super::name::{EnvName, Login};
use super::notice::LISTED;
use super::phase::{Phase, places_in};
use super::pipeline::Kind;
use super::policy::RequireTested;
use super::remind::keys;
use super::run::Workflow;
use super::text::{and, cut, plural};
use super::track::{State, Tracked};

impl App {
    pub(super) fn notice_buttons(&self, tracked: &Tracked, phase: &Phase) -> Vec<Button> {
        let mut buttons = Vec::new();
        let ships = self.ships(tracked).unwrap_or_default();
        let current = self.is_newest(tracked) && !tracked.run.is_over() && tracked.run.workflow == Workflow::Deploy;
        let held = self.state.hold.is_some();
        if let (true, false, Some(shown)) = (current && *phase != Phase::Ending, held, self.offered(tracked)) {
            buttons.push(self.approve_button("Approve production…", &shown, true));
        }
        buttons.extend(self.mend_buttons(tracked, phase));
        if current && !self.untested(&ships).is_empty() && places_in(tracked, |s| s == State::Deployed).next().is_some()
        {
            buttons.push(self.button("I tested mine", What::Tested));
        }
        if ships.len() > LISTED || (current && !ships.is_empty()) {
            buttons.push(self.button("What changes?", What::Changes(tracked.run.id)));
        }
        if current {
            buttons.push(if held {
                self.button("Release", What::Release)
            } else {
                self.button("Hold…", What::Open(Form::Hold(self.state.name.clone())))
            });
        }
        let lives = |live: &Live| live.run == tracked.run.id;
        if *phase == Phase::Done && !ships.is_empty() && self.state.live.values().any(lives) {
            let form = Form::Wrong { app: self.state.name.clone(), run: tracked.run.id };
            buttons.push(self.button("Something is wrong…", What::Open(form)));
        }
        buttons
    }

    /// Whether a production environment already runs something newer.
    pub(super) fn is_rollback(&self, tracked: &Tracked) -> bool {
        self.clash(tracked).is_some_and(|(_, standing)| standing == Standing::Behind)
    }

    /// What an approval of the run would cover now; nothing while it cannot be shown what ships.
    fn offered(&self, tracked: &Tracked) -> Option<Shown> {
        self.ships(tracked)?;
        if self.is_rollback(tracked) {
            return None;
        }
        let open = tracked.open_gates().filter(|gate| self.kind(&gate.environment) == Some(Kind::Production));
        let environments: Vec<EnvName> = open.map(|gate| gate.environment.clone()).collect();
        let run = &tracked.run;
        (!environments.is_empty()).then(|| Shown {
            run: run.id,
            attempt: run.attempt,
            sha: run.sha.clone(),
            environments,
        })
    }

    pub(super) fn approve_button(&self, label: &str, shown: &Shown, ask: bool) -> Button {
        let confirm = ask.then(|| Confirm {
            title: format!("Deploy {} to production?", self.state.name),
            text: self.confirm_text(shown),
            yes: "Deploy".into(),
            no: "Not yet".into(),
        });
        Button { style: Style::Primary, confirm, ..self.button(label, What::Approve(shown.clone())) }
    }

    /// App, version, environments, how many changes of how many people, and what nobody has ticked.
    pub(super) fn confirm_text(&self, shown: &Shown) -> String {
        let names: Vec<&str> = shown.environments.iter().map(|name| self.label(name)).collect();
        let tracked = self.state.runs.get(&shown.run);
        let ships = tracked.and_then(|t| self.ships(t)).unwrap_or_default();
        let untested: Vec<String> = self.untested(&ships).iter().map(ChangeKey::to_string).collect();
        let untested = match (self.policy.require_tested, untested.len()) {
            (RequireTested::Off, _) | (_, 0) => String::new(),
            (_, n) if n > 8 => format!(" {n} of them are not ticked as tested."),
            (_, _) => format!(" Not ticked as tested: {}.", untested.join(", ")),
        };
        let unready: Vec<ChangeKey> = ships.iter().map(|s| s.change.key.clone()).collect();
        let unready: Vec<ChangeKey> =
            unready.into_iter().filter(|key| self.state.reminders.not_ready.contains_key(key)).take(8).collect();
        let unready = if unready.is_empty() {
            String::new()
        } else {
            format!(" ⚠️ Its people say not ready: {}.", keys(&unready))
        };
        format!(
            "{} {} goes to {}.{} {}{unready}{untested}",
            self.state.name,
            shown.sha.short(),
            and(&names),
            tracked.map(|t| self.strangeness(t)).unwrap_or_default(),
            tracked.map(|t| extent(t, &ships)).unwrap_or_default(),
        )
    }

    /// What is unusual about shipping a run: another branch, or commits that production has and it lacks.
    fn strangeness(&self, tracked: &Tracked) -> String {
        let branch = self.pipeline().map_or("main", |p| &p.branch);
        let mut words = String::new();
        if tracked.run.branch != branch {
            words += &format!(" ⚠️ It is from branch {}, not {branch}.", cut(&tracked.run.branch, 40));
        }
        if let Some((name, _)) = self.clash(tracked) {
            words += &format!(" ⚠️ It takes away commits that {} runs.", self.label(name));
        }
        words
    }

    pub(super) fn button(&self, label: &str, what: What) -> Button {
        let press = Press { app: self.state.name.clone(), what };
        Button { press, label: label.into(), style: Style::Plain, confirm: None }
    }
}

/// How many changes of how many people a run ships.
pub(super) fn extent(tracked: &Tracked, ships: &[Shipped]) -> String {
    if tracked.bases.is_empty() {
        return "What production runs is not known, so its changes cannot be listed.".into();
    }
    let people: BTreeSet<&Login> = ships.iter().filter_map(|s| s.change.person()).collect();
    format!("It ships {} of {}.", plural(ships.len(), "change"), plural(people.len(), "person"))
}
