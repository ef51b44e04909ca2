//! Starting workflows from Slack: redeploy, start. Whatever GitHub answers, each is sent once.

use insta::assert_snapshot;
use lockkeeper::sandbox::slack::{Call, Fault, Input, Message, Values};
use lockkeeper::sandbox::world::{Act, AwsFaultKind, FaultKind, Outcome, ServerTurn};
use serde_json::{Value, json};

use crate::town::{DEPLOYS, H, SETTINGS, Town, timeless, until};

impl Town {
    /// The bodies of the dispatches that reached GitHub.
    fn dispatches(&self) -> Vec<Value> {
        let requests = self.sandbox.world.requests();
        let posted = requests.into_iter().filter(|r| r.method == "POST" && r.path.ends_with("/dispatches"));
        posted.map(|r| serde_json::from_str(&r.body).expect("JSON")).collect()
    }

    /// GitHub misbehaves once, at a dispatch.
    fn fault_at_dispatch(&self, kind: FaultKind) {
        self.act(Act::Fault { kind, times: 1, only: Some("/dispatches".into()) });
    }

    /// What was said in the thread of a redeploy's notice.
    fn redeploy_thread(&self, number: u64) -> String {
        let replies = self.message(&format!("h · redeploy {number} ")).replies;
        replies.iter().map(|m| timeless(&m.reads())).collect::<Vec<_>>().join("\n---\n")
    }

    /// Clicks the one button of a message in a thread.
    async fn click_reply(&self, user: &str, message: &Message) {
        let button = message.buttons().remove(0);
        self.sandbox.workspace.click(user, &message.at(), &button.action_id).await.expect("an ack");
        self.settled().await;
    }

    /// Opens the form and waits until it shows what is true now.
    async fn open_redeploy(&self, user: &str) -> String {
        self.sandbox.workspace.command(user, DEPLOYS, "redeploy h").await.expect("an ack");
        let filled = || self.sandbox.workspace.views(user).pop().filter(|view| !view.reads().contains("One moment"));
        let view = until("the form", || async { filled() }).await;
        self.settled().await;
        timeless(&view.reads())
    }

    /// Ticks these in the open form and sends it; what Slack shows beside the inputs then.
    async fn tick(&self, user: &str, ticked: &[&str]) -> Option<String> {
        let view = self.sandbox.workspace.views(user).pop().expect("an open form");
        let mut values = Values::new();
        for block in view.blocks().iter().filter(|block| block["type"] == "input") {
            let options = block["element"]["options"].as_array().expect("options");
            let mine = |name: &&&str| options.iter().any(|option| option["value"] == **name);
            let chosen: Vec<String> = ticked.iter().filter(mine).map(|name| (*name).to_owned()).collect();
            let id = |value: &Value| value.as_str().expect("an id").to_owned();
            if !chosen.is_empty() {
                let entry = [(id(&block["element"]["action_id"]), Input::Choices(chosen))].into();
                values.insert(id(&block["block_id"]), entry);
            }
        }
        let remarks = self.sandbox.workspace.submit(user, &view.id, values).await.expect("acknowledged");
        self.settled().await;
        remarks.map(|remarks| format!("{remarks:?}"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redeploy_while_a_deploy_waits() {
    let town = Town::open().await;
    town.waiting("ana-gh", "Fix RPC").await;
    assert_snapshot!(town.open_redeploy("UBEN").await, @"
    Redeploy h
    Each environment keeps the version that it has; Elastic Beanstalk deploys it anew on its servers.
    ⚠️ This cancels run 812 · Fix RPC by <@UANA> (waiting for approval). What it ships (#4498) is not deployed then until a Deploy runs again.
    Production gates of what you tick are approved in your name.
    Health as of (time).
    Test
    Staging
    Staging (WebSocket)
    Production
    Production
    Production (WebSocket)
    Production (Canada)
    ");
    assert_snapshot!(town.tick("UBEN", &[]).await.unwrap_or_default(), @r#"{"environments": "Please tick at least one environment."}"#);
    assert!(town.dispatches().is_empty(), "nothing is started without a choice");
    assert_eq!(town.tick("UBEN", &["Production", "Production (Canada)"]).await, None);
    let inputs = json!({ "production": "true", "production_canada": "true" });
    assert_eq!(town.dispatches(), [json!({ "ref": "main", "return_run_details": true, "inputs": inputs })]);
    assert_snapshot!(town.told("UBEN"), @"The redeploy of Production and Production (Canada) was started. Its notice in the channel shows how it gets on.");
    assert_snapshot!(town.says(812), @"h · run 812 · Fix RPC · ↪️ replaced by redeploy 41; its changes wait for the next Deploy run");

    // Its gates need nobody else.
    until("the gates to be approved", || async { (town.reviews().len() == 1).then_some(()) }).await;
    town.settled().await;
    assert_snapshot!(town.reviews()[0]["comment"], @r#""Approved in Slack by ben (Slack user UBEN, ben-gh at GitHub) for redeploy 41""#);
    assert_snapshot!(town.reads("h · redeploy 41"), @"
    h · redeploy 41 · Redeploy
    🚀 Going to production · approved by <@UBEN> (time)
    Started from Slack by <@UBEN>, for Production and Production (Canada)
    ▫️ Staging, Staging (WebSocket): skipped
    🚀 Production, Production (Canada): deploying
    ▫️ Production (WebSocket): skipped
    ");
    assert_snapshot!(town.redeploy_thread(41), @"<@UANA>, your deploy of #4498 was replaced when <@UBEN> started redeploy 41. Nothing deploys #4498 now: once the redeploy is done, /deploy start h does.");

    // It ends: Ana may have her deploy back.
    let redeploy = town.sandbox.world.newest_run(H).expect("a run");
    town.finish(redeploy, &["Production", "Production (Canada)"], Outcome::Success);
    town.settled().await;
    let last = town.message("h · redeploy 41").replies.pop().expect("an offer");
    assert_snapshot!(timeless(&last.reads()), @"
    <@UANA> redeploy 41 is over, and #4498 is still to be deployed: nothing does that by itself. Start Deploy again here, or type /deploy start h.
    Start Deploy
    ");
    town.click_reply("UANA", &last).await;
    assert_snapshot!(town.told("UANA"), @"Deploy was started. Its notice in the channel shows how it gets on.");
    assert_eq!(town.dispatches()[1..], [json!({ "ref": "main", "return_run_details": true })]);
    assert!(town.says(813).contains("Started from Slack by <@UANA>"), "{}", town.says(813));

    // Once more is refused; it is on its way.
    town.click_reply("UBEN", &last).await;
    assert_snapshot!(town.told("UBEN"), @"Run 813 deploys this very commit already, so nothing was started. Its notice shows how it gets on.");
    assert_eq!(town.dispatches().len(), 2);
    assert_eq!(town.reviews().len(), 1, "a Deploy waits for an approver as ever");
    assert_snapshot!(town.history().await, @"
    h · decisions, newest first
    (time) · <@UBEN> · start · refused: on its way already
    (time) · <@UANA> · start · granted
    (time) · <@UBEN> · approve run 41 on Production, Production (Canada) · granted
    (time) · <@UBEN> · redeploy on Production, Production (Canada) · granted
    ");
    town.close().await;
}

/// A trigger opens one form; what came second with it would leave the form looking for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_that_is_delivered_twice_opens_one_form() {
    let town = Town::open().await;
    until("both sockets", || async { (town.sandbox.workspace.connected() == 2).then_some(()) }).await;
    town.sandbox.workspace.fault(Fault::DeliverTwice { on: true });
    for opened in 1..=5 {
        let shown = town.open_redeploy("UBEN").await;
        assert!(shown.contains("Elastic Beanstalk deploys it anew"), "{shown}");
        let open = |call: &Call| call.method == "views.open" && call.answer["ok"] == true;
        assert_eq!(town.sandbox.workspace.count_calls(open), opened);
        let view = town.sandbox.workspace.views("UBEN").pop().expect("the form");
        town.sandbox.workspace.close_view("UBEN", &view.id).await.expect("closed");
    }
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn named_environments_are_confirmed() {
    let town = Town::open().await;
    town.command("UBEN", "redeploy h staging").await;
    assert_snapshot!(town.told("UBEN"), @"
    Redeploy h on Staging? Each keeps its version; Elastic Beanstalk deploys it anew.
    Staging: 62f5268 · Ready, Ok, 2 servers
    Redeploy Staging
    Not now
    ");
    let asked = town.answer("UBEN").at();
    let button = town.answer("UBEN").buttons().remove(0);

    // A merge since: that run is not cancelled unseen.
    town.merged("ana-gh", "Fix RPC").await;
    town.click("UBEN", &asked, "Redeploy Staging").await;
    assert_snapshot!(town.told("UBEN"), @"
    Nothing was started: something changed since you were asked. This is what it would do now.
    Redeploy h on Staging? Each keeps its version; Elastic Beanstalk deploys it anew.
    Staging: 62f5268 · Ready, Ok, 2 servers
    ⚠️ This cancels run 812 · Fix RPC by <@UANA> (waiting to start). What it ships (#4498) is not deployed then until a Deploy runs again.
    Redeploy Staging
    Not now
    ");
    assert!(town.dispatches().is_empty());
    town.click("UBEN", &asked, "Redeploy Staging").await;
    assert_eq!(town.dispatches().len(), 1);
    assert_snapshot!(town.told("UBEN"), @"The redeploy of Staging was started. Its notice in the channel shows how it gets on.");
    // A second click on what was shown first.
    town.click_old("UBEN", &asked, &button).await;
    assert_snapshot!(town.told("UBEN"), @"
    Nothing was started: something changed since you were asked. This is what it would do now.
    Redeploy h on Staging? Each keeps its version; Elastic Beanstalk deploys it anew.
    Staging: 62f5268 · Ready, Ok, 2 servers
    ⚠️ This cancels redeploy 41 · Redeploy by <@UBEN> (going to the test environments). It does not finish then.
    Redeploy Staging
    Not now
    ");
    assert_eq!(town.dispatches().len(), 1);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatch_that_was_done_and_answered_with_an_error_is_one_run() {
    let town = Town::open().await;
    town.fault_at_dispatch(FaultKind::Error502After);
    town.command("UBEN", "redeploy h staging").await;
    let asked = town.answer("UBEN").at();
    town.click("UBEN", &asked, "Redeploy Staging").await;
    assert_snapshot!(town.told("UBEN"), @"The redeploy of Staging was started: GitHub’s answer was lost, but the run is there. It was sent once and is not sent again. Its notice in the channel shows how it gets on.");
    assert_eq!(town.dispatches().len(), 1);
    assert_snapshot!(town.reads("h · redeploy 41"), @"
    h · redeploy 41 · Redeploy
    🚚 Going to Staging
    Started from Slack by <@UBEN>, for Staging
    🕓 Staging: queued
    ▫️ Staging (WebSocket): skipped
    ▫️ Production, Production (WebSocket), Production (Canada): skipped
    ");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dispatch_that_was_not_done_is_said_and_not_repeated() {
    let town = Town::open().await;
    town.fault_at_dispatch(FaultKind::Error500);
    let before = town.sandbox.world.newest_run(H);
    town.command("UBEN", "start h").await;
    assert_snapshot!(town.told("UBEN"), @"GitHub answered with an error, and no run has appeared since, so the Deploy was most likely not started. It is not sent again by itself: look at GitHub’s page in a minute, and ask again if nothing is there.");
    assert_eq!(town.dispatches().len(), 1);
    assert_eq!(town.sandbox.world.newest_run(H), before);
    // Asked again, it works.
    town.command("UBEN", "start h").await;
    assert_snapshot!(town.told("UBEN"), @"Deploy was started. Its notice in the channel shows how it gets on.");
    assert_eq!(town.dispatches().len(), 2);
    assert_snapshot!(town.history().await, @"
    h · decisions, newest first
    (time) · <@UBEN> · start · granted
    (time) · <@UBEN> · start · failed: no run has appeared
    (time) · <@UBEN> · start · granted
    ");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_approve_reads_why_in_the_form() {
    let town = Town::with(&SETTINGS.replace("slack_usergroups = [\"S0DEVS\"]", "slack_users = [\"UBEN\"]")).await;
    assert_snapshot!(town.open_redeploy("UDORA").await, @"
    Answer
    You are not among the approvers of this app. Ask one of them, or ask whoever runs Lockkeeper to add you.
    ");
    town.command("UDORA", "start h").await;
    assert_snapshot!(town.told("UDORA"), @"You are not among the approvers of this app. Ask one of them, or ask whoever runs Lockkeeper to add you.");
    assert!(town.dispatches().is_empty());
    assert_snapshot!(town.history().await, @"
    h · decisions, newest first
    (time) · <@UDORA> · start · refused: not an approver
    (time) · <@UDORA> · redeploy · refused: not an approver
    ");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redeploy_is_done_when_elastic_beanstalk_shows_it() {
    let town = Town::open().await;
    town.command("UBEN", "redeploy h production").await;
    let asked = town.answer("UBEN").at();
    town.click("UBEN", &asked, "Redeploy Production").await;
    until("the gate to be approved", || async { (town.reviews().len() == 1).then_some(()) }).await;
    town.settled().await;

    // Nobody sees the servers: its green job alone is no proof.
    let (kind, region, times, only) = (AwsFaultKind::AccessDenied, None, None, None);
    town.act(Act::AwsFault { kind, region, times, only });
    town.settled().await;
    let redeploy = town.sandbox.world.newest_run(H).expect("a run");
    town.finish(redeploy, &["Production"], Outcome::Success);
    town.settled().await;
    assert_snapshot!(town.reads("h · redeploy 41"), @"
    h · redeploy 41 · Redeploy
    ☑️ Its jobs are done; whether Production got new servers was not seen: Elastic Beanstalk cannot be read there · approved by <@UBEN> (time)
    Started from Slack by <@UBEN>, for Production
    ▫️ Staging, Staging (WebSocket): skipped
    ☑️ Production: job done (time)
    ▫️ Production (WebSocket), Production (Canada): skipped
    ");

    // One server is not as it should be.
    town.servers("Production", ServerTurn::Mix);
    town.pass(3).await;
    town.act(Act::ClearFaults);
    town.settled().await;
    assert_snapshot!(town.reads("h · redeploy 41"), @"
    h · redeploy 41 · Redeploy
    ⚠️ GitHub says that it is done; Elastic Beanstalk does not show it on every server of Production · approved by <@UBEN> (time)
    Started from Slack by <@UBEN>, for Production
    ▫️ Staging, Staging (WebSocket): skipped
    ☑️ Production: job done (time)
    ▫️ Production (WebSocket), Production (Canada): skipped
    ");
    let unseen = |thread: &str| thread.matches("does not show it").count();
    assert_snapshot!(town.redeploy_thread(41), @"<@UBEN>: GitHub says that redeploy 41 is done, but Elastic Beanstalk does not show it on every server of Production. Look there before you rely on it.");

    town.servers("Production", ServerTurn::Heal);
    town.settled().await;
    assert_snapshot!(town.reads("h · redeploy 41"), @"
    h · redeploy 41 · Redeploy
    ✅ Redeployed (time): Elastic Beanstalk shows it on every server; versions stay as they were · approved by <@UBEN> (time)
    Started from Slack by <@UBEN>, for Production
    ▫️ Staging, Staging (WebSocket): skipped
    ✅ Production: done (time)
    ▫️ Production (WebSocket), Production (Canada): skipped
    ");
    assert_eq!(unseen(&town.redeploy_thread(41)), 1, "said once");
    // Later trouble does not undo it.
    town.servers("Production", ServerTurn::Mix);
    town.settled().await;
    assert!(town.reads("h · redeploy 41").contains("✅ Redeployed"), "{}", town.reads("h · redeploy 41"));
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_aws_it_works_and_says_what_is_missing() {
    let town =
        Town::with(&SETTINGS.replace("[apps]\nh = \"hypothesis/h\"", "[apps.h]\nrepo = \"hypothesis/h\"\naws = false"))
            .await;
    let form = town.open_redeploy("UBEN").await;
    assert!(
        form.contains("Elastic Beanstalk is not set up here or does not answer, so nothing is known about health."),
        "{form}"
    );
    assert_eq!(town.tick("UBEN", &["Staging"]).await, None);
    let redeploy = town.sandbox.world.newest_run(H).expect("a run");
    town.finish(redeploy, &["Staging"], Outcome::Success);
    town.settled().await;
    assert_snapshot!(town.reads("h · redeploy 41"), @"
    h · redeploy 41 · Redeploy
    ☑️ Its jobs are done; whether Staging got new servers was not seen: Elastic Beanstalk is not set up here
    Started from Slack by <@UBEN>, for Staging
    ☑️ Staging: job done (time)
    ▫️ Staging (WebSocket): skipped
    ▫️ Production, Production (WebSocket), Production (Canada): skipped
    ");
    town.close().await;
}
