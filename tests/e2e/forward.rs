//! Rolling forward: a change is taken back by a pull request, which is followed until it is live; and the quiet question whether
//! it works on production.

use insta::assert_snapshot;
use lockkeeper::sandbox::slack::{Input, MessageRef, Values};
use lockkeeper::sandbox::world::{Act, FaultKind, Outcome};
use serde_json::Value;

use crate::town::{H, SETTINGS, Town, timeless, until};

impl Town {
    /// A change of Chi's that is live with run 812; the number of its pull request.
    pub async fn live(&self) -> u64 {
        let run = self.waiting("chi-gh", "Fix RPC").await;
        self.take(run).await;
        self.pulls()[0]["number"].as_u64().expect("a number")
    }

    /// The run that waits goes to production, as Ben decides.
    async fn take(&self, run: u64) {
        self.approve("UBEN").await;
        self.ship(run);
        self.settled().await;
    }

    /// The pull requests of h, newest first, open ones before the others.
    fn pulls(&self) -> Vec<Value> {
        let view = self.sandbox.world.view();
        let h = view["repos"].as_array().expect("repos").iter().find(|repo| repo["repo"] == H).expect("h").clone();
        h["pulls"].as_array().expect("pulls").clone()
    }

    /// Those that are open.
    pub fn open_pulls(&self) -> Vec<Value> {
        self.pulls().into_iter().filter(|pull| pull["open"] == true).collect()
    }

    /// How often GitHub was asked to revert something.
    pub fn reverts(&self) -> usize {
        self.sandbox.world.requests().iter().filter(|r| r.path == "/graphql" && r.body.contains("mutation")).count()
    }

    async fn merge_pull(&self, number: u64) -> u64 {
        let run = self.act(Act::MergePull {
            repo: H.into(),
            number,
            by: "ben-gh".into(),
            kind: Default::default(),
            docs: false,
        });
        self.settled().await;
        run
    }

    /// Sends the form *Something is wrong* that a person has open.
    async fn report(&self, user: &str, change: &str, what: &str) {
        let view = until("a form", || async { self.sandbox.workspace.views(user).pop() }).await;
        let entry = |text: &str| [("entry".to_owned(), Input::Text(text.to_owned()))].into();
        let values = Values::from([("change".to_owned(), entry(change)), ("what".to_owned(), entry(what))]);
        let remarks = self.sandbox.workspace.submit(user, &view.id, values).await.expect("acknowledged");
        assert_eq!(remarks, None, "the form was taken");
        self.settled().await;
    }

    /// Asks for a revert and confirms it.
    async fn revert(&self, user: &str, number: u64) {
        self.command(user, &format!("revert h {number}")).await;
        let asked = self.answer(user).at();
        self.click(user, &asked, "Open the revert").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_taken_back_and_that_is_followed_until_it_is_live() {
    let town = Town::open().await;
    let broken = town.live().await;
    town.command("UANA", &format!("revert h {broken}")).await;
    assert_snapshot!(town.told("UANA"), @"
    Take back #4498 “Fix RPC” by chi-gh?
    A new pull request is opened that reverts it, a review is asked for, and the channel is told. Production stays as it is until that is merged and deployed.
    Open the revert
    Not now
    ");
    assert_eq!((town.reverts(), town.open_pulls().len()), (0, 0), "nothing is done yet");
    let asked = town.answer("UANA").at();
    let button = town.button("UANA", &asked, "Open the revert");
    let workspace = &town.sandbox.workspace;
    let (first, second) =
        tokio::join!(workspace.click("UANA", &asked, &button), workspace.click("UANA", &asked, &button));
    first.and(second).expect("acknowledged");
    town.settled().await;
    assert_eq!(town.reverts(), 1, "two clicks, one revert");
    let open = town.open_pulls();
    assert_eq!(open.len(), 1);
    assert_eq!(
        (open[0]["title"].as_str(), open[0]["author"].as_str(), open[0]["reviewers"].as_array().map(Vec::len)),
        (Some("Revert \"Fix RPC\""), Some("lockkeeper-bot"), Some(1))
    );
    assert_snapshot!(open[0]["body"].as_str().expect("a body"), @"
    Reverts hypothesis/h#4498

    Asked for in Slack by `ana` (Slack user UANA, `ana-gh` at GitHub).
    ");
    assert_snapshot!(town.thread(812).last().expect("said"), @"
    ⏪ <@UANA> takes back #4498 “Fix RPC”: #4499 reverts it.
    <@UCHI> please review it. Once it is merged its run is the fast lane: test it, approve it, let nothing else go first. Production stays as it is until then.
    ");
    assert!(town.broadcasts().last().expect("broadcast").contains("takes back"), "the channel sees it");
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC
    ✅ 14c7efe is live on Production, Production (WebSocket) and Production (Canada) since (time) · approved by <@UBEN> (time)
    ✅ Staging, Staging (WebSocket): done (time)
    ✅ Production, Production (WebSocket), Production (Canada): done (time)
    ⏪ #4498 is taken back by #4499, which waits for its review and its merge.
    ⚠️ Something is wrong, says <@UANA>
    Shipped 1 change:
    ⬜ #4498 Fix RPC · <@UCHI>, merged (time)
    Something is wrong…
    ");

    let fix = open[0]["number"].as_u64().expect("a number");
    town.command("UBEN", &format!("revert h {broken}")).await;
    assert_snapshot!(town.told("UBEN"), @"<@UANA> takes back #4498 already, since (time): #4499 reverts it. Nothing was opened; help by reviewing that.");
    let run = town.merge_pull(fix).await;
    town.on_staging(run);
    town.settled().await;
    assert_snapshot!(town.says(813), @r#"
    h · run 813 · Revert "Fix RPC"
    ⏳ On Staging and Staging (WebSocket) since (time), waiting for approval
    ✅ Staging, Staging (WebSocket): done (time)
    ⏸️ Production, Production (WebSocket), Production (Canada): waiting for approval
    ⏩ Fast lane: #4499 takes back #4498. Test it and approve it before anything else.
    Ships 1 change:
    ⬜ #4499 Revert "Fix RPC" · <@UBEN> (merged lockkeeper-bot’s), merged (time)
    Approve production…
    I tested mine
    What changes?
    Hold…
    "#);
    town.take(run).await;
    assert_snapshot!(town.thread(812).last().expect("said"), @"✅ <@UANA>, #4498 is taken back: #4499 is live with run 813. Look whether production is well again.");
    for (here, there) in [(812, 813), (813, 812)] {
        let said = town.notice(here).replies.pop().expect("said");
        let link = format!("https://sandbox.slack.com/archives/CDEPLOYS/p{}", town.notice(there).ts.replace('.', ""));
        assert!(
            format!("{:?}", said.blocks).contains(&link),
            "{here} links to the notice of {there}: {:#?}",
            said.blocks
        );
    }
    assert_snapshot!(town.thread(813).last().expect("said"), @"⏩ #4499 is live: it takes back #4498, which came with run 812.");
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC
    ✅ 14c7efe is live on Production, Production (WebSocket) and Production (Canada) since (time) · approved by <@UBEN> (time)
    ✅ Staging, Staging (WebSocket): done (time)
    ✅ Production, Production (WebSocket), Production (Canada): done (time)
    ⏪ #4498 is taken back by #4499, live with run 813.
    Shipped 1 change:
    ⬜ #4498 Fix RPC · <@UCHI>, merged (time)
    ");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revert_whose_answer_is_lost_is_found() {
    let town = Town::open().await;
    let broken = town.live().await;
    let only = Some("POST /graphql mutation".to_owned());
    town.act(Act::Fault { kind: FaultKind::Error502After, times: 1, only });
    town.revert("UANA", broken).await;
    assert_eq!((town.reverts(), town.open_pulls().len()), (1, 1), "sent once, and it is there");
    assert!(town.thread(812).last().expect("said").contains("takes back"), "{:?}", town.thread(812));
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revert_that_nobody_did_is_not_repeated() {
    let town = Town::open().await;
    let broken = town.live().await;
    let only = Some("POST /graphql mutation".to_owned());
    town.act(Act::Fault { kind: FaultKind::Error500, times: 1, only });
    town.revert("UANA", broken).await;
    assert_eq!((town.reverts(), town.open_pulls().len()), (1, 0), "sent once, and it is not there");
    assert_snapshot!(town.told("UANA"), @"GitHub did not say whether it opened the revert, and no such pull request is to be seen. Nothing is repeated blindly: look at the pull requests, and if there is none in a minute, type /deploy revert h 4498 again.");
    // A person may ask again; nobody else does.
    town.revert("UANA", broken).await;
    assert_eq!((town.reverts(), town.open_pulls().len()), (2, 1));
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_says_what_to_do_by_hand() {
    let town = Town::open().await;
    let broken = town.live().await;
    town.act(Act::Entangle { repo: H.into(), number: broken });
    town.revert("UANA", broken).await;
    assert_eq!(town.open_pulls().len(), 0);
    let told = town.told("UANA");
    let commit = told.split("git revert ").nth(1).expect("a commit")[..7].to_owned();
    assert_snapshot!(told.replace(&commit, "(commit)"), @"
    GitHub cannot revert #4498 by itself: later changes touch the same lines, or it is reverted already. Nothing was opened. It says “Sorry, this pull request couldn't be reverted automatically. It may have already been reverted, or the content may have changed since it was merged.”.
    By hand: git switch -c revert-4498 origin/main && git revert (commit) (with -m 1 if that is a merge commit), solve the conflicts with whoever wrote the later changes, push, open a pull request. A small fix may be quicker.
    Once that pull request is open, type /deploy revert h 4498: then it is followed from here like any other revert.
    ");
    // Done by hand, it is followed like our own.
    town.act(Act::Propose {
        repo: H.into(),
        author: "chi-gh".into(),
        title: "Undo it by hand".into(),
        body: Some(format!("Reverts #{broken}")),
        commits: 1,
    });
    town.command("UANA", &format!("revert h {broken}")).await;
    let asked = town.answer("UANA").at();
    town.click("UANA", &asked, "Follow it").await;
    assert_eq!(town.reverts(), 1, "no second try");
    assert!(town.says(812).contains("which waits for its review"), "{}", town.says(812));
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_revert_and_why_there_is_no_rollback() {
    let town = Town::open().await;
    let broken = town.live().await;
    let mut told = Vec::new();
    for (user, text) in [
        ("UMALLORY", format!("revert h {broken}")),
        ("UGUEST", format!("revert h {broken}")),
        ("UANA", "revert h 99".to_owned()),
        ("UANA", "revert h".to_owned()),
        ("UANA", "rollback h".to_owned()),
        ("UANA", "help undo".to_owned()),
    ] {
        town.command(user, &text).await;
        told.push(format!("{user} {text}: {}", town.told(user)));
    }
    assert_snapshot!(told.join("\n"), @"
    UMALLORY revert h 4498: You are not among the approvers of this app. Ask one of them, or ask whoever runs Lockkeeper to add you.
    UGUEST revert h 4498: Guests of this workspace cannot use Lockkeeper. Ask a member of the team.
    UANA revert h 99: There is no pull request #99 in this app’s repo. Nothing was opened; look at the number again.
    UANA revert h: Which change? Type /deploy revert <app> <pr>.
    UANA rollback h: There is no rollback, on purpose: an older version may not fit the database that the newer one has changed, and it would take away everybody else’s changes since, without a word. Roll forward instead: type /deploy revert <app> <pr> to open the pull request that takes a change back (a review, a merge, and it ships like any other, as the fast lane), or merge a fix. To keep others from deploying meanwhile, type /deploy hold <app> <reason>. If only some servers are ill, they do not need another version.
    UANA help undo: There is no rollback, on purpose: an older version may not fit the database that the newer one has changed, and it would take away everybody else’s changes since, without a word. Roll forward instead: type /deploy revert <app> <pr> to open the pull request that takes a change back (a review, a merge, and it ships like any other, as the fast lane), or merge a fix. To keep others from deploying meanwhile, type /deploy hold <app> <reason>. If only some servers are ill, they do not need another version.
    ");
    assert_eq!(town.reverts(), 0);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn something_is_wrong_on_a_done_notice() {
    let town = Town::open().await;
    let broken = town.live().await;
    let notice = town.notice(812).at();
    town.click("UANA", &notice, "Something is wrong…").await;
    town.report("UANA", &broken.to_string(), "Search <!channel> finds nothing").await;
    assert_eq!((town.reverts(), town.open_pulls().len()), (1, 1));
    assert_snapshot!(town.thread(812).last().expect("said"), @"
    ⏪ <@UANA> takes back #4498 “Fix RPC”: #4499 reverts it. What is wrong: “Search <!channel> finds nothing”.
    <@UCHI> please review it. Once it is merged its run is the fast lane: test it, approve it, let nothing else go first. Production stays as it is until then.
    ");

    // Who is no approver, and does not know which change it was, is heard all the same.
    town.click("UMALLORY", &notice, "Something is wrong…").await;
    town.report("UMALLORY", "unknown", "It is slow, too").await;
    assert_snapshot!(town.thread(812).last().expect("said"), @"
    ⚠️ <@UMALLORY> says that something is wrong since run 812: “It is slow, too”
    Which change did it is not known yet. Once it is: /deploy revert h <pr> takes it back. To keep others from deploying meanwhile: /deploy hold h <reason>.
    ");
    town.click("UMALLORY", &notice, "Something is wrong…").await;
    town.report("UMALLORY", &broken.to_string(), "It is still slow").await;
    assert_snapshot!(town.told("UMALLORY"), @"You are not among the approvers of this app. Ask one of them, or ask whoever runs Lockkeeper to add you.");
    assert_eq!(town.reverts(), 1);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_people_of_a_run_are_asked_once_whether_it_works() {
    let links = "[apps.h.environments.\"Production (Canada)\"]\nlinks = { logs = \"https://logs.example.org/h-ca\" }\n";
    let settings = SETTINGS.replace("verify_after = \"off\"", "verify_after = \"20m\"");
    let settings =
        settings.replace("[apps]\nh = \"hypothesis/h\"\n", &format!("[apps.h]\nrepo = \"hypothesis/h\"\n{links}"));
    let town = Town::with(&settings).await;
    town.merge("chi-gh", "Fix RPC");
    town.merge("dependabot[bot]", "Bump zope");
    let run = town.merge("ana-gh", "Speed up search");
    town.on_staging(run);
    town.settled().await;
    town.take(run).await;
    let dms = |user: &str| town.sandbox.workspace.dms(user).iter().map(|m| timeless(&m.reads())).collect::<Vec<_>>();
    assert_eq!(dms("UANA"), [""; 0], "not at once");
    town.pass(21).await;
    assert_snapshot!(dms("UANA").join("\n\n"), @"
    #4500 Speed up search is live with h run 814 since (time). Does it work on production?
    Production
    Production (WebSocket)
    Production (Canada) · logs
    Looks good
    Something is wrong…
    ");
    assert_eq!((dms("UCHI").len(), dms("UBEN").len()), (1, 0));
    town.pass(1).await;
    assert_eq!((dms("UANA").len(), dms("UCHI").len()), (1, 1), "once");

    let asked: MessageRef = town.sandbox.workspace.dms("UANA")[0].at();
    town.click("UANA", &asked, "Looks good").await;
    assert!(town.says(814).contains("👍 Looks good on production to <@UANA>"), "{}", town.says(814));
    town.pass(24 * 60).await;
    assert_snapshot!(town.history().await, @"
    h · decisions, newest first
    (time) · <@UCHI> · verify run 814 · no answer
    (time) · <@UANA> · verify run 814 · looks good
    (time) · <@UBEN> · approve run 814 on Production, Production (WebSocket), Production (Canada) · granted
    ");
    town.close().await;
}

/// What brought a change to production is neither a Redeploy nor a run that was replaced, and need not have ended well everywhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_revert_is_told_where_the_change_came_from() {
    let town = Town::without_aws().await;
    town.waiting("ana-gh", "Fix RPC").await;
    let redeploy = town.dispatch("redeploy.yml", "chi-gh", "main", &["staging"]);
    town.settled().await;
    town.finish(redeploy, &["Staging"], Outcome::Success);
    town.settled().await;
    let run = town.dispatch("deploy.yml", "ben-gh", "main", &[]);
    town.on_staging(run);
    town.settled().await;
    town.approve("UBEN").await;
    town.finish(run, &["Production", "Production (WebSocket)"], Outcome::Success);
    town.finish(run, &["Production (Canada)"], Outcome::Failure);
    town.settled().await;
    town.command("UBEN", "revert h 4498").await;
    town.click("UBEN", &town.answer("UBEN").at(), "Open the revert").await;
    let told = town.thread(813).pop().expect("something in the thread of run 813");
    assert!(told.contains("takes back #4498"), "{told}");
    town.close().await;
}
