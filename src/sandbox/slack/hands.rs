//! What people do: run a command, click, fill in a form, close it, write a message. Slack tells the bot and waits.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::message::{Message, MessageRef, View, clickable};
use super::people::{APP, DOMAIN, Person, TEAM};
use super::state::State;
use super::wire::ACK_WITHIN;
use super::{Values, Workspace, answers, forms};

/// Why an interaction was not taken.
enum NotTaken {
    /// No socket is open.
    NoSocket,
    /// No ack in three seconds.
    Timeout,
}

/// What a person clicks in.
struct Shown {
    /// None for a modal.
    channel: Option<String>,
    now: Vec<Value>,
    older: Vec<Vec<Value>>,
}

impl Workspace {
    /// Runs `/deploy text` as `user` in `channel` (id or name; a direct message by the person's own id).
    /// Returns when it was acknowledged, after 3 s at most; `Err` is what the person reads then.
    pub async fn command(&self, user: &str, channel: &str, text: &str) -> Result<(), String> {
        let (payload, path) = self.with(|state| state.command(user, channel, text))?;
        let answer = self.deliver("slash_commands", &payload).await;
        let error = match answer {
            Ok(payload) => self.with(|state| {
                state.owe(&path);
                answers::in_ack(state, &path, &payload).err()
            }),
            Err(NotTaken::NoSocket) => Some("dispatch_failed".to_owned()),
            Err(NotTaken::Timeout) => Some("operation_timeout".to_owned()),
        };
        let Some(error) = error else { return Ok(()) };
        let said = format!("{} failed with the error \"{error}\"", super::COMMAND);
        self.with(|state| {
            let channel = payload["channel_id"].as_str().unwrap_or_default();
            state.tell(user, channel, &said);
        });
        Err(said)
    }

    /// Clicks the first button called `action_id` that is there now. `Err` if there is none, or what the person
    /// reads if the click was not acknowledged.
    pub async fn click(&self, user: &str, message: &MessageRef, action_id: &str) -> Result<(), String> {
        self.press(user, message, action_id, None).await
    }

    /// Clicks the button (or chooses the option) that carries `value`, also one that an edit has since removed:
    /// somebody's screen was slow.
    pub async fn click_stale(
        &self,
        user: &str,
        message: &MessageRef,
        action_id: &str,
        value: &str,
    ) -> Result<(), String> {
        self.press(user, message, action_id, Some(value)).await
    }

    /// Clicks a button with this action id and value that nobody ever showed there.
    pub async fn forge(&self, user: &str, message: &MessageRef, button: (&str, &str)) -> Result<(), String> {
        let (payload, channel) = self.with(|state| {
            let (id, value) = button;
            let text = json!({"type": "plain_text", "text": "Forged", "emoji": true});
            let button = json!({"type": "button", "action_id": id, "block_id": "forged", "value": value, "text": text, "action_ts": state.ts()});
            let (payload, shown) = state.before(user, message)?;
            Ok::<_, String>(state.acted(payload, shown.channel, button, (user, message)))
        })?;
        self.tell_interaction(user, channel.as_deref(), "block_actions", &payload).await
    }

    pub(super) async fn press(
        &self,
        user: &str,
        message: &MessageRef,
        action_id: &str,
        value: Option<&str>,
    ) -> Result<(), String> {
        let (payload, channel) = self.with(|state| state.click(user, message, action_id, value))?;
        self.tell_interaction(user, channel.as_deref(), "block_actions", &payload).await
    }

    async fn tell_interaction(
        &self,
        user: &str,
        channel: Option<&str>,
        kind: &'static str,
        payload: &Value,
    ) -> Result<(), String> {
        if self.deliver(kind, payload).await.is_ok() {
            let address = payload["response_url"].as_str().and_then(|url| url::Url::parse(url).ok());
            if let Some(address) = address {
                self.with(|state| state.owe(address.path()));
            }
            return Ok(());
        }
        let said = "This app is not responding. Try again, or contact the app's owner.";
        if let Some(channel) = channel {
            self.with(|state| state.tell(user, channel, said));
        }
        Err(said.to_owned())
    }

    /// Submits an open modal. `values` is by `block_id`, then `action_id`; what is not named keeps its initial
    /// value. `Ok(Some(errors))` if the form stays open with a remark beside an input; `Err` if Slack could not
    /// deliver it, or if there is no such form or input.
    pub async fn submit(
        &self,
        user: &str,
        view_id: &str,
        values: Values,
    ) -> Result<Option<BTreeMap<String, String>>, String> {
        let filled = self.with(|state| state.submission(user, view_id, &values))?;
        let payload = match filled {
            Ok(payload) => payload,
            Err(errors) => return Ok(Some(errors)),
        };
        match self.deliver("view_submission", &payload).await {
            Ok(answer) => Ok(self.with(|state| forms::answered(state, view_id, &answer))),
            Err(NotTaken::NoSocket | NotTaken::Timeout) => Err("We had some trouble connecting. Try again?".to_owned()),
        }
    }

    /// Closes an open modal by its cross; the bot hears of it only if it asked to.
    pub async fn close_view(&self, user: &str, view_id: &str) -> Result<(), String> {
        let told = self.with(|state| {
            let view = state.open_view(user, view_id)?;
            let mut payload = state.interaction("view_closed", user)?;
            payload["view"] = view.json(&forms::initial(&view));
            payload["is_cleared"] = json!(false);
            state.views.retain(|open| open.id != view.id);
            Ok::<_, String>((view.body["notify_on_close"] == true).then_some(payload))
        })?;
        match told {
            Some(payload) => self.tell_interaction(user, None, "view_closed", &payload).await,
            None => Ok(()),
        }
    }

    /// Writes a plain message as `user`. The bot does not hear of it.
    pub fn say(&self, user: &str, channel: &str, text: &str) -> Result<(), String> {
        self.with(|state| {
            state.somebody(user)?;
            let channel = state.channel(channel).ok_or("no such channel")?;
            let text = state.escaped(text);
            let ts = state.ts();
            state.post(Message::new(&channel.id, &ts, user, text, Vec::new()));
            Ok(())
        })
    }

    async fn deliver(&self, kind: &'static str, payload: &Value) -> Result<Value, NotTaken> {
        let (id, answer) = self.with(|state| state.send(kind, payload)).ok_or(NotTaken::NoSocket)?;
        match tokio::time::timeout(ACK_WITHIN, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => {
                self.with(|state| state.give_up(&id));
                Err(NotTaken::Timeout)
            }
        }
    }
}

impl State {
    fn somebody(&self, user: &str) -> Result<Person, String> {
        self.person(user).cloned().ok_or_else(|| format!("nobody has the id {user:?}"))
    }

    fn command(&mut self, user: &str, channel: &str, text: &str) -> Result<(Value, String), String> {
        let person = self.somebody(user)?;
        let channel = self.channel(channel).ok_or_else(|| format!("no channel {channel:?}"))?;
        let path = self.link(("commands", text), user, &channel.id, None);
        let payload = json!({
            "token": "canary-verification-token", "team_id": TEAM, "team_domain": DOMAIN,
            "channel_id": channel.id, "channel_name": if channel.is_dm() { "directmessage" } else { &channel.name },
            "user_id": user, "user_name": person.handle, "command": super::COMMAND, "text": self.escaped(text),
            "api_app_id": APP, "is_enterprise_install": "false", "response_url": self.address(&path),
            "trigger_id": self.trigger(user),
        });
        Ok((payload, path))
    }

    /// As `should_escape: true` sends it: escaped, with `@ana` and `#deploys` as references.
    fn escaped(&self, text: &str) -> String {
        let word = |word: &str| {
            let person =
                word.strip_prefix('@').and_then(|name| self.people.iter().find(|person| person.handle == name));
            if let Some(person) = person {
                return format!("<@{}|{}>", person.id, person.handle);
            }
            let channel = word.strip_prefix('#').and_then(|name| self.channels.iter().find(|one| one.name == name));
            if let Some(channel) = channel {
                return format!("<#{}|{}>", channel.id, channel.name);
            }
            word.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
        };
        text.trim().split(' ').map(word).collect::<Vec<_>>().join(" ")
    }

    fn address(&self, path: &str) -> String {
        format!("http://{}{path}", self.host)
    }

    /// What every interaction's payload holds.
    fn interaction(&mut self, kind: &str, user: &str) -> Result<Value, String> {
        let person = self.somebody(user)?;
        Ok(json!({
            "type": kind, "token": "canary-verification-token", "api_app_id": APP,
            "user": {"id": user, "username": person.handle, "name": person.handle, "team_id": person.team()},
            "team": {"id": TEAM, "domain": DOMAIN}, "enterprise": null, "is_enterprise_install": false,
        }))
    }

    /// The payload of a click, and the channel it was in.
    fn click(
        &mut self,
        user: &str,
        at: &MessageRef,
        action_id: &str,
        value: Option<&str>,
    ) -> Result<(Value, Option<String>), String> {
        let (payload, shown) = self.before(user, at)?;
        let action = self.action(&shown, action_id, value)?;
        Ok(self.acted(payload, shown.channel, action, (user, at)))
    }

    /// The payload of an action that is still to be chosen, and what there is to choose from.
    fn before(&mut self, user: &str, at: &MessageRef) -> Result<(Value, Shown), String> {
        let mut payload = self.interaction("block_actions", user)?;
        payload["trigger_id"] = json!(self.trigger(user));
        let shown = self.shown(user, at, &mut payload)?;
        Ok((payload, shown))
    }

    /// The payload with the chosen action, and the channel that it is in.
    fn acted(
        &mut self,
        mut payload: Value,
        channel: Option<String>,
        action: Value,
        (user, at): (&str, &MessageRef),
    ) -> (Value, Option<String>) {
        if let Some(id) = &channel {
            let name =
                self.channel(id).map(|channel| if channel.is_dm() { "directmessage".to_owned() } else { channel.name });
            payload["channel"] = json!({"id": id, "name": name});
            payload["state"] = json!({"values": {}});
            let action_id = action["action_id"].as_str().unwrap_or_default();
            let path = self.link(("actions", action_id), user, id, Some(at.clone()));
            payload["response_url"] = json!(self.address(&path));
        }
        payload["actions"] = json!([action]);
        (payload, channel)
    }

    /// What the person has before their eyes; its description goes into the payload.
    fn shown(&mut self, user: &str, at: &MessageRef, payload: &mut Value) -> Result<Shown, String> {
        match at {
            MessageRef::Message { channel, ts } => {
                let message = self.message(channel, ts).ok_or("there is no such message")?.clone();
                payload["message"] = message.json(true);
                payload["container"] = json!({
                    "type": "message", "message_ts": ts, "channel_id": channel, "is_ephemeral": false,
                });
                if let Some(thread) = &message.thread_ts {
                    payload["container"]["thread_ts"] = json!(thread);
                }
                Ok(Shown { channel: Some(message.channel), now: message.blocks, older: message.older })
            }
            MessageRef::Ephemeral { ts } => {
                let mut seen = self.ephemerals.iter().filter(|one| one.user == user);
                let found = seen.find(|one| one.ts == *ts).ok_or("there is no such message")?.clone();
                payload["container"] = json!({
                    "type": "message", "message_ts": ts, "channel_id": found.channel, "is_ephemeral": true,
                });
                Ok(Shown { channel: Some(found.channel), now: found.blocks, older: found.older })
            }
            MessageRef::View { id } => {
                let view = self.open_view(user, id)?;
                payload["container"] = json!({"type": "view", "view_id": id});
                payload["view"] = view.json(&forms::initial(&view));
                Ok(Shown { channel: None, now: view.blocks().to_vec(), older: view.older })
            }
        }
    }

    /// What was clicked, looked for in what is shown now; in what was shown before only if its value is known.
    fn action(&mut self, shown: &Shown, action_id: &str, value: Option<&str>) -> Result<Value, String> {
        let older = if value.is_some() { shown.older.as_slice() } else { &[] };
        let shown = std::iter::once(&shown.now).chain(older.iter().rev());
        let found = shown.flat_map(|blocks| clickable(blocks)).find_map(|(block_id, element)| {
            let action = (element["action_id"] == action_id).then(|| forms::action(element, value)).flatten();
            action.map(|action| (block_id, action))
        });
        let (block_id, mut action) = found.ok_or_else(|| format!("there is no button {action_id:?} here"))?;
        action["block_id"] = json!(block_id);
        action["action_ts"] = json!(self.ts());
        Ok(action)
    }

    pub(super) fn open_view(&self, user: &str, id: &str) -> Result<View, String> {
        let view = self.views.iter().find(|view| view.id == id && view.user == user);
        view.cloned().ok_or_else(|| "this form is not open any more".to_owned())
    }

    /// The payload of a form, or what Slack itself finds wrong with it.
    #[allow(clippy::type_complexity, reason = "two kinds of failure: the caller's and the person's")]
    fn submission(
        &mut self,
        user: &str,
        view_id: &str,
        values: &Values,
    ) -> Result<Result<Value, BTreeMap<String, String>>, String> {
        let view = self.open_view(user, view_id)?;
        let filled = forms::filled(&view, values)?;
        let errors = forms::missing(&view, &filled);
        if !errors.is_empty() {
            self.remark(view_id, &errors);
            return Ok(Err(errors));
        }
        let mut payload = self.interaction("view_submission", user)?;
        payload["trigger_id"] = json!(self.trigger(user));
        payload["view"] = view.json(&filled);
        payload["response_urls"] = json!([]);
        Ok(Ok(payload))
    }

    pub(super) fn remark(&mut self, view_id: &str, errors: &BTreeMap<String, String>) {
        for view in self.views.iter_mut().filter(|view| view.id == view_id) {
            view.errors.clone_from(errors);
        }
    }
}
