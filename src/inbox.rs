//! The inbox: what people type and click. A question is answered from memory, in the acknowledgement itself where Slack takes one.
//! What may change something is committed first: "acknowledged" means "remembered".

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, warn};

use crate::deploy::action::{Action, REPLY_LIFE, Reply, Request};
use crate::deploy::command::{self, Command, Question};
use crate::deploy::dispatch::Dispatch;
use crate::deploy::form::{Filled, Form, Remarks, View};
use crate::deploy::message::{Message, Press, What};
use crate::deploy::name::{AppName, RequestId, SlackId};
use crate::questions;
use crate::shell::Shell;
use crate::slack::inbound::{self, Home, Inbound};
use crate::slack::socket::{Envelope, Verdict};
use crate::slack::{SlackError, blocks};
use crate::store::Unwritten;
use crate::telemetry;

/// Slack waits three seconds for an acknowledgement; a commit that takes longer than this has failed.
const COMMIT: Duration = Duration::from_millis(2_500);

/// The longest pause between two tries of an answer.
const LONGEST: Duration = Duration::from_secs(60);

/// Takes what Slack delivers.
#[derive(Clone)]
pub struct Inbox {
    shell: Arc<Shell>,
    home: Home,
    later: TaskTracker,
    closing: CancellationToken,
}

/// How something was asked; it decides what an acknowledgement can say (`facts/slack.md` 1.6).
#[derive(Clone)]
enum Way {
    Typed,
    Clicked,
    /// With the input beside which a mistake is said.
    Sent(String),
}

/// Who asks what where.
struct Asked {
    way: Way,
    id: RequestId,
    user: SlackId,
    reply: Reply,
    trigger: String,
}

impl Inbox {
    /// An inbox for the bot's own workspace.
    pub fn new(shell: Arc<Shell>, home: Home) -> Self {
        Self { shell, home, later: TaskTracker::new(), closing: CancellationToken::new() }
    }

    /// Lets the answers that are being given end; those that fail now are not tried again.
    pub async fn finish(&self) {
        self.closing.cancel();
        self.later.close();
        self.later.wait().await;
    }

    /// Takes one envelope and says how to acknowledge it.
    pub async fn take(&self, envelope: Envelope) -> Verdict {
        let (arrived, kind) = (Instant::now(), envelope.kind.clone());
        let verdict = self.sort(envelope).await;
        telemetry::acknowledged(&kind, &verdict, arrived.elapsed());
        verdict
    }

    async fn sort(&self, envelope: Envelope) -> Verdict {
        match inbound::read(&envelope, &self.home, self.shell.clock.now()) {
            Inbound::Command { text, user, reply, id, trigger, .. } => {
                self.command(&text, Asked { way: Way::Typed, id, user, reply, trigger }).await
            }
            Inbound::Click { press, user, reply, id, trigger } => {
                self.click(press, Asked { way: Way::Clicked, id, user, reply, trigger }).await
            }
            Inbound::Submit { form, filled, user, id } => self.filled_in(form, filled, user, id).await,
            Inbound::Ignored(why) => {
                debug!("ignored a payload: {why}");
                Verdict::Ack
            }
        }
    }

    async fn command(&self, text: &str, asked: Asked) -> Verdict {
        match command::parse(text) {
            Err(misread) => answer(&Message::line(misread.sentence(&self.shell.config.command))),
            Ok(Command::Ask(question)) => self.question(question, asked).await,
            Ok(Command::Act { app, action }) => match questions::find_app(&self.shell, &app) {
                Ok(app) if action == Action::Dispatch(Dispatch::Choose) => self.choose(app, asked),
                Ok(app) => self.act(app, action, asked).await,
                // Guests and strangers do not learn which apps there are.
                Err(unknown) => {
                    let shell = self.shell.clone();
                    self.later(asked.reply, async move {
                        let may = questions::may_ask(&shell, &asked.user).await;
                        may.map_or_else(|refusal| refusal.message(), |()| unknown)
                    })
                }
            },
        }
    }

    async fn click(&self, press: Press, asked: Asked) -> Verdict {
        let Press { app, what } = press;
        let action = match what {
            What::Approve(shown) => Action::ApproveShown(shown),
            What::Tested => Action::Tested { prs: Vec::new() },
            What::Release => Action::Release,
            What::Ping => Action::Ping,
            What::Open(form) => return self.open(form, asked),
            What::Dispatch(dispatch) => Action::Dispatch(dispatch),
            What::Mend(mend) => Action::Mend(mend),
            What::RollForward(forward) => Action::RollForward(forward),
            What::Aftermath(aftermath) => Action::Aftermath(aftermath),
            What::Remind(remind) => Action::Remind(remind),
            What::Variables(variables) => Action::Variables(variables),
            What::Dismiss => return self.dismiss(asked),
            What::Changes(run) => {
                let Ok(desk) = self.shell.desk(&app) else { return Verdict::Ack };
                let (shell, user) = (self.shell.clone(), asked.user.clone());
                return self.later(asked.reply, async move {
                    match questions::may_ask(&shell, &user).await {
                        Ok(()) => desk.app().changes(run, shell.clock.now()),
                        Err(refusal) => refusal.message(),
                    }
                });
            }
        };
        self.act(app, action, asked).await
    }

    /// A form has no `response_url`: the answer goes to the app's channel, for that person alone.
    async fn filled_in(&self, form: Form, filled: Filled, user: SlackId, id: RequestId) -> Verdict {
        let action = match form.read(&filled) {
            Ok(action) => action,
            Err(remarks) => return Verdict::AckWith(blocks::form_remarks(&remarks)),
        };
        if let Form::Variable(..) = form {
            self.shell.vault.keep(&id, &filled.words, self.shell.clock.now());
        }
        let reply = Reply {
            url: String::new(),
            channel: String::new(),
            replace: false,
            view: None,
            at: self.shell.clock.now(),
        };
        let input = filled.words.into_keys().chain(filled.chosen.into_keys()).next().unwrap_or_default();
        let asked = Asked { way: Way::Sent(input), id, user, reply, trigger: String::new() };
        self.act(form.app().clone(), action, asked).await
    }

    /// Commits a request, then acknowledges it. What cannot be remembered is not done, and that is said at once; so is that nobody knows.
    async fn act(&self, app: AppName, action: Action, asked: Asked) -> Verdict {
        let way = asked.way.clone();
        let Ok(desk) = self.shell.desk(&app) else {
            return cannot(way, &format!("There is no app {app} here any more."));
        };
        let reply = asked.reply.clone();
        let request = Request { id: asked.id, app: app.clone(), by: asked.user, action, reply: asked.reply };
        let Err(unwritten) = desk.ask(request, COMMIT).await else { return Verdict::Ack };
        error!(app.name = %app, "could not remember a request: {unwritten}");
        let message = said(&self.shell, &app, &unwritten);
        match way {
            // The acknowledgement of a click carries no words; Slack itself is there to take them.
            Way::Clicked => self.later(reply, std::future::ready(message)),
            Way::Typed => answer(&message),
            Way::Sent(input) => {
                Verdict::AckWith(blocks::form_remarks(&Remarks::from([(input, message.summary.to_string())])))
            }
        }
    }

    /// Answers in the acknowledgement when everything is at hand, else a moment later.
    async fn question(&self, question: Question, asked: Asked) -> Verdict {
        if let Some(message) = questions::from_memory(&self.shell, &question, &asked.user) {
            return answer(&message);
        }
        let (shell, user) = (self.shell.clone(), asked.user);
        self.later(asked.reply, async move { questions::look_up(&shell, &question, &user).await })
    }

    /// The question goes away; nothing was done.
    fn dismiss(&self, asked: Asked) -> Verdict {
        let shell = self.shell.clone();
        self.later.spawn(async move {
            if let Err(error) = shell.slack.dismiss(&asked.reply.url).await {
                warn!("could not take a question away: {error}");
            }
        });
        Verdict::Ack
    }

    /// The trigger lives for three seconds, so a form is opened at once; one that was not opened is simply clicked again.
    fn open(&self, form: Form, asked: Asked) -> Verdict {
        let Ok(desk) = self.shell.desk(form.app()) else { return Verdict::Ack };
        let shell = self.shell.clone();
        self.later.spawn(async move {
            let view = desk.app().view(&form, shell.clock.now());
            if let Err(error) = shell.slack.open_form(&asked.trigger, &form, &view).await {
                warn!("could not open a form: {error}");
            }
        });
        Verdict::Ack
    }

    /// Opens a form that still has to find out what is true, before the trigger dies; what it shows is decided like any answer.
    fn choose(&self, app: AppName, asked: Asked) -> Verdict {
        let Ok(desk) = self.shell.desk(&app) else { return Verdict::Ack };
        let (shell, closing) = (self.shell.clone(), self.closing.clone());
        self.later.spawn(async move {
            let form = Form::Redeploy { app: app.clone(), cancels: None };
            let opened = shell.slack.open_form(&asked.trigger, &form, &View::loading(format!("Redeploy {app}"))).await;
            let view = match opened {
                Ok(Some(view)) => Some(view),
                // Whoever opened it asks; asked from here, what is to be shown would have no form to go to.
                Ok(None) => return,
                Err(error) => {
                    warn!("could not open a form: {error}");
                    None
                }
            };
            let reply = Reply { view, ..asked.reply };
            let action = Action::Dispatch(Dispatch::Choose);
            let request = Request { id: asked.id, app: app.clone(), by: asked.user, action, reply: reply.clone() };
            if let Err(unwritten) = desk.ask(request, COMMIT).await {
                error!(app.name = %app, "could not remember a request: {unwritten}");
                // Else the form would look for ever.
                deliver(&shell, &closing, &reply, &said(&shell, &app, &unwritten)).await;
            }
        });
        Verdict::Ack
    }

    /// Acknowledges now and answers when the message is ready.
    fn later(&self, reply: Reply, message: impl Future<Output = Message> + Send + 'static) -> Verdict {
        let (shell, closing) = (self.shell.clone(), self.closing.clone());
        self.later.spawn(async move { deliver(&shell, &closing, &reply, &message.await).await });
        Verdict::Ack
    }
}

/// Gives an answer; tried again while its address lives, or until the bot stops.
async fn deliver(shell: &Shell, closing: &CancellationToken, reply: &Reply, message: &Message) {
    let mut pause = Duration::from_millis(300);
    while shell.clock.now().duration_since(reply.at) < REPLY_LIFE {
        match shell.slack.answer(reply, message).await {
            Ok(()) => return,
            Err(SlackError::Refused { code }) => return warn!("slack takes no answer there: {code}"),
            Err(error) => warn!("could not deliver an answer, trying again: {error}"),
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST),
            () = closing.cancelled() => return,
        }
    }
}

fn answer(message: &Message) -> Verdict {
    Verdict::AckWith(blocks::answer(message))
}

/// What a person hears whose request was not confirmed.
fn said(shell: &Shell, name: &AppName, unwritten: &Unwritten) -> Message {
    let (Ok(desk), Some(settings)) = (shell.desk(name), shell.config.apps.get(name)) else { return Message::default() };
    match unwritten {
        Unwritten::Nothing(_) => desk.app().unwritten(&settings.repo),
        Unwritten::Unsure(_) => desk.app().perhaps_written(&settings.repo),
    }
}

/// Nothing was done, and why.
fn cannot(way: Way, words: &str) -> Verdict {
    match way {
        Way::Typed => answer(&Message::plain(words)),
        Way::Clicked => Verdict::NoAck,
        Way::Sent(input) => Verdict::AckWith(blocks::form_remarks(&Remarks::from([(input, words.to_owned())]))),
    }
}
