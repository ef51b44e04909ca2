//! The inbox: what people type and click. A question is answered from memory, in the acknowledgement itself where Slack takes one.
//! What may change something is committed first: "acknowledged" means "remembered".

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;
use tracing::{debug, error, warn};

use crate::bot::Shell;
use crate::deploy::command::{self, Command};
use crate::deploy::event::{Action, Event, Reply, Request};
use crate::deploy::message::{Form, Message, Press, What};
use crate::deploy::name::{AppName, RequestId, SlackId};
use crate::questions;
use crate::slack::blocks;
use crate::slack::inbound::{self, Home, Inbound};
use crate::slack::socket::{Envelope, Verdict};

/// Slack waits three seconds for an acknowledgement; a commit that takes longer than this has failed.
const COMMIT: Duration = Duration::from_millis(2_500);

/// Takes what Slack delivers.
#[derive(Clone)]
pub struct Inbox {
    shell: Arc<Shell>,
    home: Home,
    later: TaskTracker,
}

/// Who asks what where.
struct Asked {
    id: RequestId,
    user: SlackId,
    reply: Reply,
    trigger: String,
}

impl Inbox {
    /// An inbox for the bot's own workspace.
    pub fn new(shell: Arc<Shell>, home: Home) -> Self {
        Self { shell, home, later: TaskTracker::new() }
    }

    /// Waits for the answers that are still being given.
    pub async fn finish(&self) {
        self.later.close();
        self.later.wait().await;
    }

    /// Takes one envelope and says how to acknowledge it.
    pub async fn take(&self, envelope: Envelope) -> Verdict {
        match inbound::read(&envelope, &self.home, self.shell.clock.now()) {
            Inbound::Command { text, user, reply, id, trigger, .. } => {
                self.command(&text, Asked { id, user, reply, trigger }).await
            }
            Inbound::Click { press, user, reply, id, trigger } => {
                self.click(press, Asked { id, user, reply, trigger }).await
            }
            Inbound::Submit { form: Form::Hold(app), reason, user, id } => {
                // A form has no response_url: the answer goes to the app's channel, for that person alone.
                let reply =
                    Reply { url: String::new(), channel: String::new(), replace: false, at: self.shell.clock.now() };
                let asked = Asked { id, user, reply, trigger: String::new() };
                self.act(app, Action::Hold { reason }, asked).await
            }
            Inbound::Ignored(why) => {
                debug!("ignored a payload: {why}");
                Verdict::Ack
            }
        }
    }

    async fn command(&self, text: &str, asked: Asked) -> Verdict {
        let command = match command::parse(text) {
            Ok(command) => command,
            Err(misread) => return answer(&Message::line(misread.sentence(&self.shell.config.command))),
        };
        let (app, action) = match command {
            Command::Approve { app, environments } => (app, Action::Approve { environments }),
            Command::Reject { app, reason } => (app, Action::Reject { reason }),
            Command::Tested { app, prs } => {
                (app, Action::Tested { prs: prs.into_iter().map(|pr| pr.number).collect() })
            }
            Command::Hold { app, reason } => (app, Action::Hold { reason }),
            Command::Release(app) => (app, Action::Release),
            Command::Ping(app) => (app, Action::Ping),
            question @ (Command::Mine
            | Command::Help(_)
            | Command::Status(_)
            | Command::Pending(_)
            | Command::Where(_)
            | Command::History(_)
            | Command::Whoami) => return self.question(question, asked).await,
        };
        match questions::find_app(&self.shell, &app) {
            Ok(app) => self.act(app, action, asked).await,
            // Guests and strangers do not learn which apps there are.
            Err(unknown) => {
                let shell = self.shell.clone();
                self.later(asked.reply, async move {
                    questions::may_ask(&shell, &asked.user).await.map_or_else(|refusal| refusal.message(), |()| unknown)
                })
            }
        }
    }

    async fn click(&self, press: Press, asked: Asked) -> Verdict {
        let Press { app, what } = press;
        let action = match what {
            What::Approve(shown) => Action::ApproveShown(shown),
            What::Tested => Action::Tested { prs: Vec::new() },
            What::Release => Action::Release,
            What::Ping => Action::Ping,
            What::HoldForm => return self.open(app, asked),
            What::Dismiss => return self.later(asked.reply, async { Message::plain("Nothing was done.") }),
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

    /// Commits a request, then acknowledges it.
    async fn act(&self, app: AppName, action: Action, asked: Asked) -> Verdict {
        let Ok(desk) = self.shell.desk(&app) else {
            return answer(&Message::plain(format!("There is no app {app} here any more.")));
        };
        let request = Request { id: asked.id, app: app.clone(), by: asked.user, action, reply: asked.reply };
        match tokio::time::timeout(COMMIT, desk.tell(Event::Asked(request), None)).await {
            Ok(Ok(())) => Verdict::Ack,
            Ok(Err(error)) => {
                error!(app.name = %app, "could not remember a request: {error:#}");
                not_remembered()
            }
            Err(_) => {
                error!(app.name = %app, "remembering a request took too long");
                not_remembered()
            }
        }
    }

    /// Answers in the acknowledgement when everything is at hand, else a moment later.
    async fn question(&self, question: Command, asked: Asked) -> Verdict {
        if let Some(message) = questions::from_memory(&self.shell, &question, &asked.user) {
            return answer(&message);
        }
        let (shell, user) = (self.shell.clone(), asked.user);
        self.later(asked.reply, async move { questions::look_up(&shell, &question, &user).await })
    }

    /// The trigger lives for three seconds, so a form is opened at once; one that was not opened is simply clicked again.
    fn open(&self, app: AppName, asked: Asked) -> Verdict {
        let shell = self.shell.clone();
        self.later.spawn(async move {
            if let Err(error) = shell.slack.open_form(&asked.trigger, &Form::Hold(app)).await {
                warn!("could not open a form: {error}");
            }
        });
        Verdict::Ack
    }

    /// Acknowledges now and answers when the message is ready; tried again while its address lives.
    fn later(&self, reply: Reply, message: impl Future<Output = Message> + Send + 'static) -> Verdict {
        let shell = self.shell.clone();
        self.later.spawn(async move {
            let message = message.await;
            for pause in [0, 300, 1_000, 3_000, 10_000] {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                match shell.slack.respond(&reply.url, &message, reply.replace, false).await {
                    Ok(()) => return,
                    Err(error) => warn!("could not deliver an answer: {error}"),
                }
            }
        });
        Verdict::Ack
    }
}

fn answer(message: &Message) -> Verdict {
    Verdict::AckWith(blocks::content(message))
}

/// Without the store nothing can be promised, so nothing is; where the acknowledgement cannot carry the sentence, Slack shows
/// its own warning because there is none.
fn not_remembered() -> Verdict {
    answer(&Message::plain(
        "Lockkeeper could not write this down, so nothing was done. Try again, or use GitHub’s own page.",
    ))
}
