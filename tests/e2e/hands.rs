//! More hands and eyes in a town: other apps' notices, old buttons, forms, the log of decisions. What every story needs is in
//! `town`.

use lockkeeper::sandbox::slack::{Button, Input, Message, MessageRef, Values};
use lockkeeper::sandbox::world::{Act, Outcome, ServerTurn};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::town::{DEPLOYS, H, SETTINGS, Town, timeless, until};

impl Town {
    /// Starts a bot that will not look again by itself, and waits for its first look.
    pub async fn start_blind(&mut self) {
        self.start_only().await;
        let shell = self.shell();
        until("a first look", || async {
            let rest = shell.store.backlog().await.ok()?.count;
            (shell.looked().len() == shell.config.apps.len() && rest == 0 && shell.sockets.connected() > 0)
                .then_some(())
        })
        .await;
    }

    /// Ends a story whose bot does not look by itself.
    pub async fn close_blind(mut self) {
        let shell = self.shell();
        until("nothing to be left", || async { (shell.store.backlog().await.ok()?.count == 0).then_some(()) }).await;
        self.stop().await;
        self.close().await;
    }

    /// Whether the run with that number has a notice.
    pub fn has_notice(&self, number: u64) -> bool {
        let start = format!("h · run {number}");
        self.sandbox.workspace.messages(DEPLOYS).iter().any(|m| m.thread_ts.is_none() && m.reads().contains(&start))
    }

    /// The status of one of the bot's own routes.
    pub async fn get(&self, path: &str) -> u16 {
        let mut stream = TcpStream::connect(self.address()).await.expect("somebody who listens");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }

    /// A town whose servers nobody looks at: they finish by themselves in their own time, and a story about GitHub does not wait.
    pub async fn without_aws() -> Self {
        Self::with(&SETTINGS.replace("h = \"hypothesis/h\"", "h = { repo = \"hypothesis/h\", aws = false }")).await
    }

    /// Waits for a call that hangs.
    pub async fn hanging(&self, method: &str) {
        let hangs = || self.sandbox.workspace.calls().iter().any(|call| call.method == method && call.status == 504);
        until(&format!("{method} to hang"), || async { hangs().then_some(()) }).await;
    }

    /// Does something in the world; returns the newest run of another repository than h.
    pub fn act_at(&self, repo: &str, act: Act) -> u64 {
        self.sandbox.world.act(act).expect("the world can do that");
        self.sandbox.world.newest_run(repo).expect("a run")
    }

    /// Something happens to the servers of an environment of h.
    pub fn servers(&self, environment: &str, turn: ServerTurn) {
        self.act(Act::Servers { repo: H.into(), environment: environment.into(), turn });
    }

    /// Ends jobs of a run of another repository than h.
    pub fn finish_at(&self, repo: &str, run: u64, jobs: &[&str], outcome: Outcome) {
        for job in jobs {
            self.act_at(repo, Act::finish(repo, run, job, outcome));
        }
    }

    /// Merges as `merge` does, and lets the bot see it.
    pub async fn merged(&self, author: &str, title: &str) -> u64 {
        let run = self.merge(author, title);
        self.settled().await;
        run
    }

    /// A merged change that waits for approval: the run, its notice seen by everybody.
    pub async fn waiting(&self, author: &str, title: &str) -> u64 {
        let run = self.merge(author, title);
        self.on_staging(run);
        self.settled().await;
        run
    }

    /// All production jobs of a run of h succeed.
    pub fn ship(&self, run: u64) {
        self.finish(run, &["Production", "Production (WebSocket)", "Production (Canada)"], Outcome::Success);
    }

    /// A reviewer approves environments on GitHub's own page.
    pub fn approve_at_github(&self, run: u64, by: &str, environments: &[&str]) {
        let environments = environments.iter().map(|name| (*name).to_owned()).collect();
        self.act(Act::Approve { repo: H.into(), run, environments, by: by.into(), comment: String::new() });
    }

    /// A workflow of h is started by hand on GitHub's page.
    pub fn dispatch(&self, workflow: &str, by: &str, branch: &str, ticked: &[&str]) -> u64 {
        let inputs = ticked.iter().map(|id| ((*id).to_owned(), "true".to_owned())).collect();
        let (workflow, by, branch) = (workflow.to_owned(), by.to_owned(), branch.to_owned());
        self.act(Act::Dispatch { repo: H.into(), workflow, by, branch, inputs })
    }

    /// A person starts a run of h again on GitHub's page, a moment after what was: GitHub's times are whole seconds.
    pub fn rerun(&self, run: u64, failed_only: bool, by: &str) {
        self.act(Act::Pass { seconds: 2 });
        self.act(Act::Rerun { repo: H.into(), run, failed_only, by: by.into() });
    }

    /// Time passes, and the bot looks again.
    pub async fn pass(&self, minutes: u64) {
        self.act(Act::Pass { seconds: minutes * 60 });
        self.settled().await;
    }

    /// The top-level message that says this.
    pub fn message(&self, part: &str) -> Message {
        let messages = self.sandbox.workspace.messages(DEPLOYS);
        let mut found = messages.into_iter().filter(|m| m.reads().contains(part));
        let message = found.next().unwrap_or_else(|| panic!("nobody said {part:?}"));
        assert!(found.next().is_none(), "{part:?} was said twice");
        message
    }

    /// What the top-level message that says this says, times left out.
    pub fn reads(&self, part: &str) -> String {
        timeless(&self.message(part).reads())
    }

    /// What was said in the channel beside notices, oldest first: announcements and what a thread showed to the channel.
    pub fn broadcasts(&self) -> Vec<String> {
        let messages = self.sandbox.workspace.messages(DEPLOYS);
        let threads = messages.iter().flat_map(|m| &m.replies).filter(|m| m.broadcast);
        let plain = messages.iter().filter(|m| ["🔒", "🔓"].iter().any(|sign| m.reads().starts_with(sign)));
        plain.chain(threads).map(|m| timeless(&m.reads())).collect()
    }

    /// A button as it is now, to be clicked when it is not there any more.
    pub fn button_now(&self, at: &Message, label: &str) -> Button {
        let found = at.buttons().into_iter().find(|button| button.text == label);
        found.unwrap_or_else(|| panic!("no button {label:?}"))
    }

    /// What the buttons of the notice of a run say.
    pub fn buttons(&self, number: u64) -> Vec<String> {
        self.notice(number).buttons().into_iter().map(|button| button.text).collect()
    }

    /// Clicks a button as it was, whatever the message shows now.
    pub async fn click_old(&self, user: &str, at: &MessageRef, button: &Button) {
        let value = button.value.as_deref().expect("a value");
        self.sandbox.workspace.click_stale(user, at, &button.action_id, value).await.expect("acknowledged");
        self.settled().await;
    }

    /// Approves all that waits at h: types the command, reads what it says, confirms.
    pub async fn approve(&self, user: &str) {
        self.command(user, "approve h").await;
        let asked = self.answer(user);
        self.click(user, &asked.at(), "Approve 3 environments").await;
    }

    /// Fills in the one input of the form that a person has open.
    pub async fn fill_in(&self, user: &str, text: &str) {
        let view = self.sandbox.workspace.views(user).pop().expect("an open form");
        let input = view.blocks().iter().find(|block| block["type"] == "input").expect("an input");
        let id = |value: &serde_json::Value| value.as_str().expect("an id").to_owned();
        let (block, action) = (id(&input["block_id"]), id(&input["element"]["action_id"]));
        let values = Values::from([(block, [(action, Input::Text(text.to_owned()))].into())]);
        let remarks = self.sandbox.workspace.submit(user, &view.id, values).await.expect("acknowledged");
        assert_eq!(remarks, None, "the form was taken");
        self.settled().await;
    }

    /// All decisions on h, newest first, as everybody may read them.
    pub async fn history(&self) -> String {
        self.command("UCHI", "history h").await;
        self.told("UCHI")
    }

    /// What was mentioned since `before` mentions had rung.
    pub fn rang_since(&self, before: usize) -> Vec<String> {
        self.mentions().split_off(before)
    }
}
