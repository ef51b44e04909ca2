//! The pretend Slack: a workspace with people in it, its Web API and Socket Mode on one loopback port.
//!
//! It is a strict judge. What Slack refuses it refuses with Slack's error; that, and everything that Slack forgives
//! but an app should not do, is a complaint, and tests fail on complaints. It knows nothing of the bot: it talks
//! HTTP and WebSocket, and `facts/slack.md` is what it was made from.
//!
//! Here is what a test or the sandbox's page holds: [`Workspace`], and [`serve`]. In `slack/`:
//!
//! | file | what lives there |
//! |---|---|
//! | `people` · `message` | the seed; messages, ephemeral messages and modals as people see them |
//! | `state` | all that is remembered |
//! | `hands` · `forms` | what people do, and the payloads that the bot gets for it |
//! | `wire` · `socket` | Socket Mode: envelopes and acks; frames |
//! | `api` · `methods` · `refused` | a call of the Web API from request to answer |
//! | `chat` · `lookups` · `modals` · `answers` | the methods; answers by ack and by `response_url` |
//! | `judge` · `markup` | Block Kit's limits; Slack's markup |
//! | `faults` · `screen` | misbehaving on request; what the page shows |

mod answers;
mod api;
mod chat;
mod faults;
mod forms;
mod hands;
mod judge;
mod lookups;
mod markup;
mod message;
mod methods;
mod modals;
mod people;
mod refused;
mod screen;
mod socket;
mod state;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use faults::Fault;
pub use message::{Answer, Button, Ephemeral, Message, MessageRef, View};
pub use people::{APP, APP_TOKEN, BOT, BOT_TOKEN, BOT_USER, Channel, DOMAIN, Group, OTHER_TEAM, Person, Role, TEAM};
pub use wire::Disconnect;

use super::record::Record;
use crate::clock::Clock;
use crate::http::{Request, Response, respond};
use state::State;

/// The slash command that the pretend app has.
pub const COMMAND: &str = "/deploy";

/// What a person fills into a form: by `block_id`, then `action_id`.
pub type Values = BTreeMap<String, BTreeMap<String, Input>>;

/// What a person fills into one input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Input {
    /// A text, or the value of the one option chosen.
    Text(String),
    /// The values of the options ticked.
    Choices(Vec<String>),
}

impl Input {
    fn words(&self) -> Vec<String> {
        match self {
            Input::Text(text) => vec![text.clone()],
            Input::Choices(choices) => choices.clone(),
        }
    }
}

/// An envelope's ack.
#[derive(Clone, Debug)]
pub struct Ack {
    /// `slash_commands`, or the interaction's type.
    pub kind: String,
    /// How long the app took.
    pub after: Duration,
}

/// What a person did and the app acknowledged, without an answer so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// The path of its `response_url`.
    pub path: String,
    /// Who.
    pub user: String,
    /// The text of the command, or the name of the button.
    pub asked: String,
}

/// A call of the Web API, or of a `response_url` (then `method` says so).
#[derive(Clone, Debug)]
pub struct Call {
    /// The method's name.
    pub method: String,
    /// Its arguments.
    pub body: Value,
    /// The HTTP status of the answer; 504 where the call hung.
    pub status: u16,
    /// The answer's body; null where a fault ate it.
    pub answer: Value,
}

/// Something to do to the workspace, as the sandbox's page sends it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum SlackAct {
    /// Run the slash command.
    Command {
        /// Who.
        user: String,
        /// Where.
        channel: String,
        /// What follows the command's name.
        text: String,
    },
    /// Write a plain message.
    Say {
        /// Who.
        user: String,
        /// Where.
        channel: String,
        /// What.
        text: String,
    },
    /// Click a button, or choose from a menu.
    Click {
        /// Who.
        user: String,
        /// Where the button is.
        at: MessageRef,
        /// Which one.
        action_id: String,
        /// What it carried when the person saw it.
        #[serde(default)]
        value: Option<String>,
    },
    /// Submit a modal.
    Submit {
        /// Who.
        user: String,
        /// Which modal.
        view_id: String,
        /// What was filled in.
        values: Values,
    },
    /// Close a modal.
    CloseView {
        /// Who.
        user: String,
        /// Which modal.
        view_id: String,
    },
    /// Ask every socket to go.
    Disconnect {
        /// Why.
        reason: Disconnect,
    },
    /// Misbehave.
    Fault {
        /// How.
        fault: Fault,
    },
    /// Behave again.
    ClearFaults {},
}

/// The workspace. Clones share it.
#[derive(Clone)]
pub struct Workspace {
    state: Arc<Mutex<State>>,
    changes: watch::Sender<u64>,
    record: Record,
}

impl Workspace {
    /// A workspace with its people and channels and no messages.
    pub fn new(clock: Clock) -> Workspace {
        let state = Arc::new(Mutex::new(State::new(clock)));
        Workspace { state, changes: watch::Sender::new(0), record: Record::default() }
    }

    /// It writes down there what passes over its wires.
    pub(crate) fn recorded(self, record: Record) -> Workspace {
        Workspace { record, ..self }
    }

    /// The bot token that the Web API takes.
    pub fn bot_token(&self) -> &str {
        BOT_TOKEN
    }

    /// The app-level token that `apps.connections.open` takes.
    pub fn app_token(&self) -> &str {
        APP_TOKEN
    }

    /// The top-level messages of a channel (id or name) as people see them, oldest first, each with its thread.
    pub fn messages(&self, channel: &str) -> Vec<Message> {
        self.look(|state| {
            let id = state.channel(channel).map(|channel| channel.id).unwrap_or_default();
            state.threads(&id)
        })
    }

    /// What only `user` sees, oldest first: ephemeral messages, answers to commands, Slack's own errors.
    pub fn ephemerals(&self, user: &str) -> Vec<Ephemeral> {
        self.look(|state| state.ephemerals.iter().filter(|one| one.user == user).cloned().collect())
    }

    /// What everybody was answered, oldest first, also what something else was shown in place of since.
    pub fn answers(&self) -> Vec<Answer> {
        self.look(|state| state.answers.clone())
    }

    /// The direct messages between the bot and `user`, oldest first.
    pub fn dms(&self, user: &str) -> Vec<Message> {
        self.messages(user)
    }

    /// The modals that `user` has open, the last one on top.
    pub fn views(&self, user: &str) -> Vec<View> {
        self.look(|state| state.stack(user).into_iter().cloned().collect())
    }

    /// Every notification that rang: whom (`U…`, `S…`, `!channel`, `!here`), in which channel, by which `ts`.
    pub fn mentions(&self) -> Vec<(String, String, String)> {
        self.look(|state| state.mentions.clone())
    }

    /// What the app did wrong so far.
    pub fn complaints(&self) -> Vec<String> {
        self.look(|state| state.complaints.clone())
    }

    /// Forgets the complaints: for a test that provoked them.
    pub fn forgive(&self) {
        self.with(|state| state.complaints.clear());
    }

    /// Every ack, in order.
    pub fn acks(&self) -> Vec<Ack> {
        self.look(|state| state.acks.clone())
    }

    /// Every call of the Web API and every use of a `response_url`; the latest 20,000.
    pub fn calls(&self) -> Vec<Call> {
        self.look(|state| state.calls.iter().cloned().collect())
    }

    /// How many of those calls are like that.
    pub fn count_calls(&self, like: impl Fn(&Call) -> bool) -> usize {
        self.look(|state| state.calls.iter().filter(|call| like(call)).count())
    }

    /// What was acknowledged and not answered so far, by ack or by `response_url`.
    pub fn unanswered(&self) -> Vec<Unanswered> {
        self.look(|state| state.owed())
    }

    /// How many sockets take envelopes now.
    pub fn connected(&self) -> usize {
        self.look(|state| state.connected())
    }

    /// Sends `disconnect` to every open socket and closes it: after 10 s for a warning, else after 1 s.
    pub fn disconnect(&self, reason: Disconnect) {
        self.with(|state| state.dismiss(reason));
    }

    /// Misbehaves from now on.
    pub fn fault(&self, fault: Fault) {
        self.with(|state| {
            state.break_sockets(&fault);
            state.faults.arm(fault);
        });
    }

    /// Behaves again. What was broken stays broken.
    pub fn clear_faults(&self) {
        self.with(|state| state.faults = faults::Faults::default());
    }

    /// Changes an account: deactivates it, makes it a guest.
    pub fn set_role(&self, user: &str, role: Role) {
        self.with(|state| {
            state.people.iter_mut().filter(|person| person.id == user).for_each(|person| person.role = role)
        });
    }

    /// Changes who is in a user group.
    pub fn set_group(&self, group: &str, members: &[&str]) {
        let members = members.iter().map(|member| (*member).to_owned()).collect::<Vec<_>>();
        self.with(|state| {
            state
                .groups
                .iter_mut()
                .filter(|known| known.id == group)
                .for_each(|known| known.members.clone_from(&members));
        });
    }

    /// Does what the page asks for; `Err` is a sentence for the person who asked.
    pub async fn act(&self, act: SlackAct) -> Result<String, String> {
        match act {
            SlackAct::Command { user, channel, text } => self.command(&user, &channel, &text).await?,
            SlackAct::Say { user, channel, text } => self.say(&user, &channel, &text)?,
            SlackAct::Click { user, at, action_id, value } => {
                self.press(&user, &at, &action_id, value.as_deref()).await?;
            }
            SlackAct::Submit { user, view_id, values } => {
                if self.submit(&user, &view_id, values).await?.is_some() {
                    return Ok("The form needs another look.".to_owned());
                }
            }
            SlackAct::CloseView { user, view_id } => self.close_view(&user, &view_id).await?,
            SlackAct::Disconnect { reason } => self.disconnect(reason),
            SlackAct::Fault { fault } => self.fault(fault),
            SlackAct::ClearFaults {} => self.clear_faults(),
        }
        Ok(String::new())
    }

    /// Everything that the page shows to `as_user`.
    pub fn view(&self, as_user: &str) -> Value {
        self.look(|state| state.screen(as_user))
    }

    /// Waits until `probe` finds what it looks for, at most `within`.
    pub async fn wait<T>(&self, within: Duration, probe: impl Fn(&Workspace) -> Option<T>) -> Option<T> {
        let mut changes = self.changes.subscribe();
        let found = async {
            loop {
                if let Some(found) = probe(self) {
                    return Some(found);
                }
                changes.changed().await.ok()?;
            }
        };
        tokio::time::timeout(within, found).await.ok().flatten()
    }

    fn complain(&self, what: impl Into<String>) {
        self.with(|state| state.complain(what));
    }

    /// Changes the state and wakes whoever waits.
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = self.look(change);
        self.changes.send_modify(|count| *count += 1);
        result
    }

    fn look<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Serves the Web API (`/api/…`), the `response_url`s and Socket Mode's WebSockets until `shutdown`.
pub async fn serve(listener: TcpListener, workspace: Workspace, shutdown: CancellationToken) {
    if let Ok(address) = listener.local_addr() {
        workspace.with(|state| state.host = format!("127.0.0.1:{}", address.port()));
    }
    let sockets = TaskTracker::new();
    let handler = {
        let (sockets, shutdown) = (sockets.clone(), shutdown.clone());
        move |request| route(workspace.clone(), request, shutdown.clone(), sockets.clone())
    };
    crate::http::serve(listener, shutdown, handler).await;
    sockets.close();
    sockets.wait().await;
}

async fn route(workspace: Workspace, request: Request, shutdown: CancellationToken, sockets: TaskTracker) -> Response {
    let path = request.uri().path().to_owned();
    if path == "/link/" {
        return socket::upgrade(&workspace, request, shutdown, &sockets);
    }
    if path.starts_with("/commands/") || path.starts_with("/actions/") {
        return api::response_url(&workspace, request, shutdown).await;
    }
    match path.strip_prefix("/api/") {
        Some(method) => api::method(&workspace, method, request, shutdown).await,
        None => {
            workspace.complain(format!("nothing is served at {path:?}"));
            respond(404, "text/plain", "not found")
        }
    }
}
