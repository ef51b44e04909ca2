//! Forms: dialogs of their own with inputs. What each asks, as data, and what a filled one means. How they look in Slack is made in
//! `slack/blocks`.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::action::Action;
use super::aftermath;
use super::app::App;
use super::change::ChangeKey;
use super::dispatch::{Dispatch, Doomed, Plan};
use super::dispatch_text::CHOSEN;
use super::message::{Line, Part};
use super::name::{AppName, EnvName, RunId};
use super::remind::Remind;
use super::run::Workflow;
use super::variable::Variables;

/// The most that a reason may have, in characters.
pub const REASON: usize = 300;

/// Which form. Comes back with what was filled in, so only what identifies, never what is trusted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Asks for the reason of a hold.
    Hold(AppName),
    /// Asks why changes are not ready.
    NotReady {
        /// Of which app.
        app: AppName,
        /// Those that the reminder listed.
        changes: Vec<ChangeKey>,
    },
    /// Asks which environments to redeploy.
    Redeploy {
        /// Of which app.
        app: AppName,
        /// The run that it warns of.
        cancels: Option<Doomed>,
    },
    /// Asks what is wrong in production, and which change did it.
    Wrong {
        /// Of which app.
        app: AppName,
        /// The run that is live.
        run: RunId,
    },
    /// Asks for the values of a variable, environment by environment.
    Variable(AppName, String),
}

/// A form as it is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// At most 24 characters are shown.
    pub title: String,
    /// The button that sends it; `None` where there is nothing to send.
    pub submit: Option<String>,
    /// What stands above the inputs.
    pub parts: Vec<Part>,
    /// The inputs, from top to bottom.
    pub inputs: Vec<Input>,
}

/// One input of a form.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// What it is known by in [`Filled`]; at most 255 characters.
    pub id: String,
    /// What it is called.
    pub label: String,
    /// What it is for, below it.
    pub hint: Option<String>,
    /// Whether it may be left empty.
    pub optional: bool,
    /// What can be put in.
    pub kind: Entry,
}

/// What can be put into an input.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// Words, at most so many characters.
    Words {
        /// How many.
        most: usize,
    },
    /// Any of these, at most 10.
    Ticks(Vec<Tick>),
    /// One of these, at most 100.
    Pick(Vec<Tick>),
}

/// Something to choose.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// What it is known by in [`Filled`]; at most 150 characters.
    pub value: String,
    /// What it is called; at most 75 characters are shown.
    pub label: String,
    /// What else there is to know; at most 75 characters are shown.
    pub about: Option<String>,
    /// Whether it is chosen already.
    pub chosen: bool,
}

/// What somebody filled in, by the inputs' ids.
#[derive(Clone, Default, PartialEq)]
pub struct Filled {
    /// Words; from a person.
    pub words: BTreeMap<String, String>,
    /// The values chosen.
    pub chosen: BTreeMap<String, Vec<String>>,
}

impl fmt::Debug for Filled {
    /// The inputs only: what was typed may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filled").field("inputs", &self.words.keys()).field("chosen", &self.chosen).finish()
    }
}

/// What is wrong with what was filled in, by the input's id.
pub type Remarks = BTreeMap<String, String>;

impl Form {
    /// The app that it is about.
    pub fn app(&self) -> &AppName {
        match self {
            Self::Hold(app)
            | Self::NotReady { app, .. }
            | Self::Redeploy { app, .. }
            | Self::Wrong { app, .. }
            | Self::Variable(app, _) => app,
        }
    }

    /// A word for the form.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Hold(_) => "hold",
            Self::NotReady { .. } => "not_ready",
            Self::Redeploy { .. } => "redeploy",
            Self::Wrong { .. } => "wrong",
            Self::Variable(..) => "variable",
        }
    }

    /// What somebody who sends it wants.
    ///
    /// # Errors
    /// What is wrong beside which input; the form stays open.
    pub fn read(&self, filled: &Filled) -> Result<Action, Remarks> {
        match self {
            Self::Hold(_) => Ok(Action::Hold { reason: filled.words("reason")? }),
            Self::NotReady { changes, .. } => {
                let chosen: Vec<ChangeKey> =
                    filled.chosen("changes").iter().map(|key| ChangeKey::from(key.clone())).collect();
                let changes = if changes.len() > 1 { chosen } else { changes.clone() };
                Ok(Action::Remind(Remind::NotReady { changes, reason: filled.words("reason")? }))
            }
            Self::Redeploy { cancels, .. } => {
                let ticked = filled.chosen.values().flatten();
                let environments: Vec<EnvName> = ticked.map(|name| EnvName::new(name.as_str())).collect();
                if environments.is_empty() {
                    return Err(Remarks::from([(
                        CHOSEN.to_owned(),
                        "Please tick at least one environment.".to_owned(),
                    )]));
                }
                let plan = Plan { workflow: Workflow::Redeploy, environments, cancels: *cancels };
                Ok(Action::Dispatch(Dispatch::Confirmed(plan)))
            }
            Self::Wrong { run, .. } => aftermath::report(*run, filled),
            // The environments only: an action is remembered, and values are not.
            Self::Variable(_, key) => {
                let environments = filled.words.iter().filter(|(_, value)| !value.is_empty());
                let environments = environments.map(|(name, _)| EnvName::new(name.as_str())).collect();
                Ok(Action::Variables(Variables::Set { key: key.clone(), environments }))
            }
        }
    }
}

impl Filled {
    /// The words of an input that has to hold some.
    ///
    /// # Errors
    /// The remark that they are missing.
    pub fn words(&self, id: &str) -> Result<String, Remarks> {
        let words = self.words.get(id).map(|words| words.trim()).unwrap_or_default();
        if words.is_empty() {
            return Err(Remarks::from([(id.to_owned(), "Please say something here.".to_owned())]));
        }
        Ok(words.to_owned())
    }

    /// The values chosen in an input.
    pub fn chosen(&self, id: &str) -> &[String] {
        self.chosen.get(id).map_or(&[], Vec::as_slice)
    }
}

impl App {
    /// A form as it is to be shown now, from memory.
    pub fn view(&self, form: &Form, now: Timestamp) -> View {
        match form {
            Form::NotReady { changes, .. } => self.not_ready_view(changes),
            Form::Redeploy { app, cancels } => self.redeploy_view(app, cancels.as_ref(), now),
            Form::Wrong { run, .. } => self.wrong_view(*run),
            Form::Variable(_, key) => self.variable_form(key),
            Form::Hold(app) => View {
                title: format!("Hold {app}"),
                submit: Some("Hold".into()),
                parts: Vec::new(),
                inputs: vec![Input {
                    id: "reason".into(),
                    label: "Why?".into(),
                    hint: Some("Approvals are refused until somebody releases it. The channel reads this.".into()),
                    optional: false,
                    kind: Entry::Words { most: REASON },
                }],
            },
        }
    }
}

impl View {
    /// What is shown while the real one is being made.
    pub fn loading(title: impl Into<String>) -> Self {
        let parts = vec![Part::Text(Line::plain("One moment: looking at what is true now…"))];
        Self { title: title.into(), submit: None, parts, inputs: Vec::new() }
    }
}
