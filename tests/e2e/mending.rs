//! Failed runs are mended from Slack: what is said of the failure, running its jobs again, cancelling, asking for help. Also when
//! GitHub's answer is lost: nothing is sent twice.

use insta::assert_snapshot;
use lockkeeper::sandbox::world::{Act, FaultKind, Outcome, ServerTurn, Severity};

use crate::town::{H, Town};

/// The POST that runs failed jobs again.
const RERUN: &str = "/rerun-failed-jobs";

/// Canada failed after its deploy step, the rest of production is there.
async fn canada_failed(town: &Town, says: &str) -> u64 {
    let run = town.waiting("ana-gh", "Fix RPC").await;
    town.approve("UBEN").await;
    town.finish(run, &["Production", "Production (WebSocket)"], Outcome::Success);
    town.act(Act::DeployStep { repo: H.into(), run, job: "Production (Canada)".into() });
    town.act(Act::fail(H, run, "Production (Canada)", says));
    // GitHub's times are whole seconds: a new attempt has to be younger.
    town.act(Act::Pass { seconds: 2 });
    town.settled().await;
    run
}

/// How many POSTs reached GitHub, by the end of their path.
fn posted(town: &Town, what: &str) -> usize {
    let requests = town.sandbox.world.requests();
    requests.iter().filter(|request| request.method == "POST" && request.path.ends_with(what)).count()
}

fn github_breaks(town: &Town, kind: FaultKind, what: &str) {
    town.act(Act::Fault { kind, times: 1, only: Some(what.to_owned()) });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retried_once_when_two_people_click_and_help_after_the_second_failure() {
    let town = Town::open().await;
    let run = canada_failed(&town, "An error occurred (ExpiredTokenException) when calling DescribeEnvironments").await;
    assert!(
        town.says(812).contains("Likely cause: AWS did not accept the job’s login, or it ran out after 15 minutes."),
        "{}",
        town.says(812)
    );
    assert!(town.says(812).contains("Elastic Beanstalk, Production (Canada): "), "{}", town.says(812));
    let before = town.mentions().len();
    let notice = town.notice(812);
    let retry = town.button_now(&notice, "Retry failed jobs");
    let question = retry.confirm.clone();
    assert!(question.is_some_and(|text| text.contains("what failed runs again")), "it asks before it counts");
    town.click_old("UMALLORY", &notice.at(), &retry).await;
    assert!(town.told("UMALLORY").starts_with("You are not among the approvers"), "{}", town.told("UMALLORY"));
    assert_eq!(posted(&town, RERUN), 0);

    town.click_old("UBEN", &notice.at(), &retry).await;
    town.click_old("UANA", &notice.at(), &retry).await;
    assert_eq!(posted(&town, RERUN), 1, "two clicks, one retry");
    assert_snapshot!(town.told("UBEN"), @"Run 812: its failed jobs run again. Its notice shows how they get on.");
    assert_snapshot!(town.told("UANA"), @"<@UBEN> was faster and started its failed jobs again at (time). Nothing is left to do.");
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC · attempt 2, started by <@UBEN>
    ⏳ On Staging and Staging (WebSocket) since (time), waiting for approval
    ✅ Staging, Staging (WebSocket): done (time)
    ✅ Production, Production (WebSocket): done (time)
    ⏸️ Production (Canada): waiting for approval
    Ships 1 change:
    ⬜ #4498 Fix RPC · <@UANA>, merged (time)
    Approve production…
    I tested mine
    What changes?
    Hold…
    ");
    assert_eq!(town.rang_since(before), [""; 0], "nobody is rung for a retry");

    town.approve_at_github(run, "chi-gh", &["Production (Canada)"]);
    town.act(Act::fail(
        H,
        run,
        "Production (Canada)",
        "Environment named h-prod is in an invalid state for this operation. Must be Ready.",
    ));
    town.settled().await;
    assert_eq!(town.rang_since(before), ["UBEN"], "whoever retried has to act next");
    let notice = town.notice(812);
    assert!(
        notice.reads().contains("Elastic Beanstalk was still busy with something else there."),
        "{}",
        notice.reads()
    );
    assert_eq!(town.buttons(812)[..2], ["Ask for help", "Retry failed jobs"]);
    let help = town.button_now(&notice, "Ask for help");
    town.click_old("UCHI", &notice.at(), &help).await;
    town.click_old("UBEN", &notice.at(), &help).await;
    assert!(town.told("UBEN").contains("already"), "{}", town.told("UBEN"));
    let asked = town.reads("🆘");
    for fact in [
        "run 812 failed 2 times, and chi-gh asks for help",
        "Failed at Production (Canada)",
        "Likely cause: Elastic Beanstalk was still busy",
        "Production and Production (WebSocket) run",
        "the job’s log",
    ] {
        assert!(asked.contains(fact), "{fact} is missing: {asked}");
    }
    assert_eq!(town.rang_since(before), ["UBEN"], "nobody is rung by the question");
    assert_snapshot!(town.history().await, @"
    h · decisions, newest first
    (time) · <@UBEN> · ask for help run 812 · refused: asked before
    (time) · <@UCHI> · ask for help run 812 · done
    (time) · <@UANA> · retry run 812 · refused: somebody was faster
    (time) · <@UBEN> · retry run 812 · granted
    (time) · <@UMALLORY> · retry run 812 · refused: not an approver
    (time) · <@UBEN> · approve run 812 on Production, Production (WebSocket), Production (Canada) · granted
    ");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_is_refused_for_an_older_run_and_offered_for_the_newest() {
    let town = Town::open().await;
    canada_failed(&town, "Failed to deploy application.").await;
    let old = town.notice(812);
    let retry = town.button_now(&old, "Retry failed jobs");
    let run = town.merged("ben-gh", "Bump zope-interface").await;
    assert!(!town.buttons(812).contains(&"Retry failed jobs".to_owned()), "not the newest any more");
    town.click_old("UBEN", &old.at(), &retry).await;
    assert_snapshot!(town.told("UBEN"), @"Run 812 is not the newest any more: running it again would put older code in its place. Look at run 813 instead.");
    town.finish(run, &["Docker Hub"], Outcome::Failure);
    town.settled().await;
    town.click_old("UBEN", &old.at(), &retry).await;
    assert!(town.told("UBEN").contains("older code"), "{}", town.told("UBEN"));
    assert_eq!(posted(&town, RERUN), 0);
    assert!(town.buttons(813).contains(&"Retry failed jobs".to_owned()), "{:?}", town.buttons(813));

    town.act(Act::Pass { seconds: 2 });
    town.command("UBEN", "retry h").await;
    assert_snapshot!(town.told("UBEN"), @"
    h run 813 · Bump zope-interface: failed
    h run 813 at 8bf91c5: what failed runs again, what succeeded is not done again. It then goes to Production, Production (WebSocket) and Production (Canada), after an approval. It ships 2 changes of 2 people.
    Retry failed jobs
    Not now
    ");
    let asked = town.answer("UBEN").at();
    town.click("UBEN", &asked, "Retry failed jobs").await;
    assert_eq!(posted(&town, RERUN), 1);
    assert!(town.says(813).contains("attempt 2, started by <@UBEN>"), "{}", town.says(813));
    town.close().await;
}

/// GitHub did it, and its answer was lost: found by the attempt, not sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_whose_answer_is_lost_is_found() {
    let town = Town::open().await;
    canada_failed(&town, "Failed to deploy application.").await;
    github_breaks(&town, FaultKind::Error502After, RERUN);
    let notice = town.notice(812);
    town.click("UBEN", &notice.at(), "Retry failed jobs").await;
    assert_eq!(posted(&town, RERUN), 1);
    assert!(town.told("UBEN").contains("its failed jobs run again"), "{}", town.told("UBEN"));
    assert!(town.says(812).contains("attempt 2, started by <@UBEN>"), "{}", town.says(812));
    town.close().await;
}

/// GitHub did not do it, and its answer was lost: said, not sent again, and it may be asked for again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_that_was_not_done_is_told_and_not_repeated() {
    let town = Town::open().await;
    canada_failed(&town, "Failed to deploy application.").await;
    github_breaks(&town, FaultKind::Error500, RERUN);
    let notice = town.notice(812);
    town.click("UBEN", &notice.at(), "Retry failed jobs").await;
    assert_eq!(posted(&town, RERUN), 1, "nothing is repeated");
    assert!(town.told("UBEN").contains("was not started again"), "{}", town.told("UBEN"));
    assert!(!town.says(812).contains("attempt 2"), "{}", town.says(812));
    town.click("UBEN", &notice.at(), "Retry failed jobs").await;
    assert_eq!(posted(&town, RERUN), 2);
    assert!(town.says(812).contains("attempt 2, started by <@UBEN>"), "{}", town.says(812));
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_from_slack_half_way_through_production() {
    let town = Town::open().await;
    let run = town.waiting("ana-gh", "Fix RPC").await;
    town.approve("UBEN").await;
    town.act(Act::DeployStep { repo: H.into(), run, job: "Production".into() });
    town.settled().await;
    town.command("UMALLORY", "cancel h").await;
    assert!(town.told("UMALLORY").starts_with("You are not among the approvers"), "{}", town.told("UMALLORY"));
    town.command("UCHI", "cancel h").await;
    assert_snapshot!(town.told("UCHI"), @"
    h run 812 · Fix RPC: going to production.
    ⚠️ Production: past the deploy step. A cancel stops GitHub’s job, not Elastic Beanstalk: that goes on by itself, and nobody here sees how it ends.
    Its changes stay undeployed until the next run.
    Cancel run 812
    Let it go on
    ");
    let asked = town.answer("UCHI").at();
    // The answer is lost; the run's end tells.
    github_breaks(&town, FaultKind::Error502After, "/cancel");
    town.click("UCHI", &asked, "Cancel run 812").await;
    assert_eq!(posted(&town, "/cancel"), 1);
    assert!(town.told("UCHI").contains("GitHub cancels it"), "{}", town.told("UCHI"));
    assert!(town.says(812).contains("Cancelled by <@UCHI>"), "the person, not the bot's account: {}", town.says(812));
    town.command("UCHI", "cancel h").await;
    assert_snapshot!(town.told("UCHI"), @"Nothing of h is under way, so there is nothing to cancel.");
    town.close().await;
}

/// What Elastic Beanstalk tells is quoted as data, without what looks like a secret.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_elastic_beanstalk_are_quoted_without_secrets() {
    let town = Town::open().await;
    let run = town.waiting("ana-gh", "Fix RPC").await;
    town.approve("UBEN").await;
    for message in ["<!channel> no route to postgres://h:canary-hunter2@db/h", "DB_PASSWORD=canary-hunter2 is wrong"] {
        let turn = ServerTurn::Tell { severity: Severity::Error, message: message.into() };
        town.act(Act::Servers { repo: H.into(), environment: "Production".into(), turn });
    }
    town.act(Act::fail(H, run, "Production", "Process completed with exit code 1."));
    town.finish(run, &["Production (WebSocket)", "Production (Canada)"], Outcome::Success);
    town.settled().await;
    let notice = town.says(812);
    assert!(notice.contains("ERROR [withheld] is wrong"), "{notice}");
    assert!(notice.contains("no route to [withheld]"), "{notice}");
    let traffic =
        format!("{:?}", town.sandbox.workspace.calls().iter().map(|call| call.body.clone()).collect::<Vec<_>>());
    assert!(!traffic.contains("canary-hunter2"), "withheld everywhere");
    town.close().await;
}
