//! Starting workflows: once, what was shown and nothing else, and done only where Elastic Beanstalk shows it.

use insta::assert_snapshot;

use super::*;
use crate::deploy::dispatch::{Dispatch, Doomed, Plan};
use crate::deploy::form::{Filled, Form};
use crate::deploy::pipeline::Redeploy;
use crate::deploy::server::{Instance, Servers, Unread};

pub(super) fn with_redeploy() -> Pipeline {
    let inputs = [("Staging", "staging"), ("Production", "production"), ("Production (Canada)", "production_canada")];
    let inputs = inputs.map(|(name, id)| (EnvName::from(name), id.to_owned())).into();
    Pipeline { redeploy: Some(Redeploy { file: "redeploy.yml".into(), inputs }), ..pipeline() }
}

/// Ana's change waits for approval.
fn waiting() -> Story {
    let mut story = Story::with(policy(), with_redeploy());
    story.merge("ana-gh", "Fix RPC").look().pass(5).on_staging().look();
    story.heard();
    story
}

/// Elastic Beanstalk is asked about both productions, each with two servers of this deployment.
fn survey(story: &mut Story, status: &str, deployment: u64) {
    let instance = |n: u64| Instance {
        id: format!("i-{n}"),
        label: Some("h-prod20261101T101010Z-20261101-ga000000".into()),
        deployment: Some(deployment),
        launched_at: "2026-11-01T10:00:00Z".parse().ok(),
        ..Instance::default()
    };
    let servers = Servers {
        label: Some("h-prod20261101T101010Z-20261101-ga000000".into()),
        status: status.into(),
        health: Some("Green".into()),
        health_status: Some("Ok".into()),
        instances: Some(vec![instance(1), instance(2)]),
        ..Servers::default()
    };
    let read = ["Production", "Production (Canada)"].map(|name| (EnvName::from(name), Ok(servers.clone())));
    let mut readings: BTreeMap<EnvName, _> = read.into();
    readings.insert("Staging".into(), Err(Unread::Denied("AccessDenied".into())));
    story.tell(Event::Surveyed(readings));
}

/// What the confirmation that was shown last means.
fn plan(story: &Story, environments: &[&str]) -> Plan {
    let doomed = story.runs.iter().map(|(run, _)| run).rfind(|run| !run.is_over());
    Plan {
        workflow: if environments.is_empty() { Workflow::Deploy } else { Workflow::Redeploy },
        environments: environments.iter().map(|name| EnvName::from(*name)).collect(),
        cancels: doomed.map(|run| Doomed { run: run.id, attempt: run.attempt, touching: false }),
    }
}

fn confirm(story: &mut Story, who: &str, plan: &Plan) {
    story.ask(who, Action::Dispatch(Dispatch::Confirmed(plan.clone())));
}

/// GitHub starts the Redeploy run, and it waits at both productions' gates.
fn redeploys(story: &mut Story) -> RunId {
    story.start("bot-gh", "Redeploy");
    let (run, details) = story.newest();
    (run.workflow, run.event) = (Workflow::Redeploy, "workflow_dispatch".into());
    run.status = Status::Waiting;
    for (id, name) in [(1, "Production"), (2, "Production (Canada)")] {
        details.gates.push(Gate { environment_id: id, environment: name.into(), can_approve: true });
    }
    let id = run.id;
    for name in ["Production", "Production (Canada)"] {
        story.job(name, Status::Waiting, None);
    }
    id
}

/// Ben redeploys both productions; the run is there and waits.
fn redeploying() -> (Story, RunId) {
    let mut story = waiting();
    survey(&mut story, "Ready", 41);
    let plan = plan(&story, &["Production", "Production (Canada)"]);
    confirm(&mut story, "BEN", &plan);
    story.pass(1);
    let run = redeploys(&mut story);
    story.come_back(|_| Outcome::Started { run, found: false });
    story.heard();
    (story, run)
}

#[test]
fn the_form_shows_what_each_environment_has_and_what_would_be_cancelled() {
    let mut story = waiting();
    survey(&mut story, "Ready", 41);
    let mut request = story.request("BEN", Action::Dispatch(Dispatch::Choose));
    request.reply.view = Some("V1".into());
    story.tell(Event::Asked(request));
    story.examine();
    assert_snapshot!(story.heard(), @"
    form for BEN: Redeploy h
    Each environment keeps the version that it has; Elastic Beanstalk deploys it anew on its servers.
    ⚠️ This cancels [run 812] · Fix RPC by @ANA (waiting for approval). What it ships (#4501) is not deployed then until a Deploy runs again.
    Production gates of what you tick are approved in your name.
    Health as of 10:05.
    Test:
    [ ] Staging (a000001 · health not known: AWS does not let me look (AccessDenied))
    Production:
    [ ] Production (a000000 · Ready, Ok, 2 servers)
    [ ] Production (Canada) (a000000 · Ready, Ok, 2 servers)
    [Redeploy]
    ");

    // In the middle of a deployment, on hold, without Elastic Beanstalk.
    story.ask("CHI", Action::Hold { reason: "Migration runs".into() });
    story.newest().0.status = Status::InProgress;
    story.job("Production", Status::InProgress, None).step("Production", None).look();
    story.tell(Event::Surveyed(BTreeMap::new()));
    story.heard();
    let mut request = story.request("BEN", Action::Dispatch(Dispatch::Choose));
    request.reply.view = Some("V1".into());
    story.tell(Event::Asked(request));
    story.examine();
    assert_snapshot!(story.heard(), @"
    form for BEN: Redeploy h
    Each environment keeps the version that it has; Elastic Beanstalk deploys it anew on its servers.
    ⚠️ This cancels [run 812] · Fix RPC by @ANA (going to production). What it ships (#4501) is not deployed then until a Deploy runs again.
    ⚠️ It is changing Production right now. Elastic Beanstalk goes on by itself when the run is cancelled, and nobody sees how that ends.
    🔒 On hold by @CHI: “Migration runs”. Production is not redeployed until it is released.
    Production gates of what you tick are approved in your name.
    Elastic Beanstalk is not set up here or does not answer, so nothing is known about health.
    Test:
    [ ] Staging (a000001 · health not known)
    Production:
    [ ] Production (a000000 · health not known)
    [ ] Production (Canada) (a000000 · health not known)
    [Redeploy]
    ");
}

#[test]
fn what_is_ticked_is_confirmed() {
    let cancels = Some(Doomed { run: RunId(812), attempt: 1, touching: false });
    let form = Form::Redeploy { app: "h".into(), cancels };
    let mut filled = Filled::default();
    let remarks = form.read(&filled).expect_err("nothing is ticked");
    assert_snapshot!(format!("{remarks:?}"), @r#"{"environments": "Please tick at least one environment."}"#);
    filled.chosen.insert("environments".into(), vec!["Staging".into()]);
    filled.chosen.insert("environments 2".into(), vec!["Production".into()]);
    let environments = vec!["Staging".into(), "Production".into()];
    let plan = Plan { workflow: Workflow::Redeploy, environments, cancels };
    assert_eq!(form.read(&filled), Ok(Action::Dispatch(Dispatch::Confirmed(plan))));
}

#[test]
fn named_environments_are_confirmed_and_dispatched_once() {
    let mut story = waiting();
    survey(&mut story, "Ready", 41);
    story.ask("BEN", Action::Dispatch(Dispatch::Redeploy { environments: "canada production".into() }));
    assert_snapshot!(story.heard(), @"
    answer BEN: Redeploy h on Production and Production (Canada)? Each keeps its version; Elastic Beanstalk deploys it anew.
    • *Production*: a000000 · Ready, Ok, 2 servers
    • *Production (Canada)*: a000000 · Ready, Ok, 2 servers
    ⚠️ This cancels [run 812] · Fix RPC by @ANA (waiting for approval). What it ships (#4501) is not deployed then until a Deploy runs again.
    Its production gates are approved in your name.
    [Redeploy 2 environments] [Not now]
    ");
    let plan = plan(&story, &["Production", "Production (Canada)"]);
    confirm(&mut story, "BEN", &plan);
    // While it is on its way, and while GitHub does not list it yet.
    confirm(&mut story, "ANA", &plan);
    story.pass(1).come_back(|_| Outcome::Started { run: RunId(19_000_000_813), found: false });
    story.ask("ANA", Action::Dispatch(Dispatch::Start));
    assert_snapshot!(story.heard(), @"
    record redeploy by BEN: granted
    dispatch redeploy of Production, Production (Canada) for BEN
    refuse ANA: @BEN was faster and is starting a workflow, since 10:05. A second one would cancel it: wait for its notice, then look again.
    record redeploy by ANA: refused: somebody was faster
    answer BEN: [The redeploy] of Production and Production (Canada) was started. Its notice in the channel shows how it gets on.
    refuse ANA: @BEN was faster and is starting a workflow, since 10:05. A second one would cancel it: wait for its notice, then look again.
    record start by ANA: refused: somebody was faster
    ");
}

#[test]
fn another_run_than_the_one_shown_is_not_cancelled() {
    let mut story = waiting();
    let shown = plan(&story, &["Production"]);
    story.pass(1).merge("chi-gh", "Speed up search");
    confirm(&mut story, "BEN", &shown);
    assert_snapshot!(story.heard(), @"
    record redeploy by BEN: refused: another run is in the way
    answer BEN: Nothing was started: something changed since you were asked. This is what it would do now.
    Redeploy h on Production? Each keeps its version; Elastic Beanstalk deploys it anew.
    • *Production*: a000000 · health not known
    ⚠️ This cancels [run 813] · Speed up search by @CHI (building). What it ships is not deployed then until a Deploy runs again.
    Its production gates are approved in your name.
    [Redeploy Production] [Not now]
    ");

    // It was shown waiting, and changes servers now.
    story.pass(5).on_staging().look();
    let shown = plan(&story, &["Production"]);
    story.job("Production", Status::InProgress, None).step("Production", None).look();
    story.heard();
    confirm(&mut story, "BEN", &shown);
    assert_snapshot!(story.heard(), @"
    record redeploy by BEN: refused: another run is in the way
    answer BEN: Nothing was started: something changed since you were asked. This is what it would do now.
    Redeploy h on Production? Each keeps its version; Elastic Beanstalk deploys it anew.
    • *Production*: a000000 · health not known
    ⚠️ This cancels [run 813] · Speed up search by @CHI (going to production). What it ships (#4501, #4502) is not deployed then until a Deploy runs again.
    ⚠️ It is changing Production right now. Elastic Beanstalk goes on by itself when the run is cancelled, and nobody sees how that ends.
    Its production gates are approved in your name.
    [Redeploy Production] [Not now]
    ");

    // What was shown is over: nothing is cancelled, so nothing has to be asked.
    story.ship().look();
    story.heard();
    confirm(&mut story, "BEN", &shown);
    assert_snapshot!(story.heard(), @"
    record redeploy by BEN: granted
    dispatch redeploy of Production for BEN
    ");
    // A run that began just before GitHub was to start this one.
    story.pass(1).merge("ana-gh", "Fix it");
    let run = story.newest().0.clone();
    story.come_back(|_| Outcome::InTheWay(Box::new(run.clone())));
    assert_snapshot!(story.heard(), @"
    answer BEN: Nothing was started: something changed since you were asked. This is what it would do now.
    Redeploy h on Production? Each keeps its version; Elastic Beanstalk deploys it anew.
    • *Production*: a000002 · health not known
    ⚠️ This cancels [run 814] · Fix it by @ANA (building). What it ships is not deployed then until a Deploy runs again.
    Its production gates are approved in your name.
    [Redeploy Production] [Not now]
    record redeploy by BEN: failed: another run was in the way
    ");
}

#[test]
fn its_gates_are_approved_in_the_name_of_whoever_asked() {
    let (mut story, _) = redeploying();
    story.look();
    assert_snapshot!(story.heard(), @"handover in thread of 813: @ANA, your deploy of #4501 was replaced when @BEN started redeploy 813. Nothing deploys #4501 now: once the redeploy is done, `/deploy start h` does.");
    story.examine();
    assert_snapshot!(story.heard(), @"
    record approve by BEN: granted
    approve run 19000000813 attempt 1 at a000001 on Production, Production (Canada) for BEN
    ");
    // Asked once.
    story.pass(1).look();
    story.taken().look();
    assert_snapshot!(story.said.join("\n"), @"
    notice of 813: *h · redeploy 813* · [Redeploy]
    🚀 Going to production · approved by @BEN 10:06
    Started from Slack by @BEN, for Production and Production (Canada)
    🚀 Production, Production (Canada): approved
    ");
    story.said.clear();
}

#[test]
fn gates_are_not_passed_by_who_may_not_any_more_nor_on_hold_nor_at_a_second_attempt() {
    let (mut story, _) = redeploying();
    story.ask("CHI", Action::Hold { reason: "Migration runs".into() });
    story.look().examine();
    assert_snapshot!(story.heard(), @"
    record hold by CHI: done
    announce: 🔒 *h* is on hold: @CHI says “Migration runs”. Approvals are refused until it is released.
    [Release]
    answer CHI: On hold. The channel was told.
    handover in thread of 813: @ANA, your deploy of #4501 was replaced when @BEN started redeploy 813. Nothing deploys #4501 now: once the redeploy is done, `/deploy start h` does.
    refuse BEN: h is on hold by @CHI: “Migration runs”. Ask them, or type `/deploy release h` once it is safe.
    record approve by BEN: refused: on hold
    ");

    let (mut story, _) = redeploying();
    story.newest().0.attempt = 2;
    story.look();
    assert!(story.waiting.is_empty(), "{:?}", story.waiting);
    story.heard();

    let (mut story, _) = redeploying();
    let mut policy = policy();
    policy.approvers.slack_users.remove(&SlackId::from("BEN"));
    story.app.policy = Arc::new(policy);
    story.look().examine();
    assert_snapshot!(story.heard(), @"
    handover in thread of 813: @ANA, your deploy of #4501 was replaced when @BEN started redeploy 813. Nothing deploys #4501 now: once the redeploy is done, `/deploy start h` does.
    refuse BEN: You are not among the approvers of this app. Ask one of them, or ask whoever runs Lockkeeper to add you.
    record approve by BEN: refused: not an approver
    ");
}

fn finish_jobs(story: &mut Story) {
    story.newest().1.gates.clear();
    for name in ["Production", "Production (Canada)"] {
        story.job(name, Status::Completed, Some(Conclusion::Success));
    }
    story.finish(Conclusion::Success);
}

#[test]
fn a_redeploy_is_done_only_where_elastic_beanstalk_shows_it() {
    let (mut story, _) = redeploying();
    story.look().examine();
    story.taken().pass(1);
    story.heard();
    finish_jobs(&mut story);
    story.look();
    assert_snapshot!(story.notice(813), @"
    *h · redeploy 813* · [Redeploy]
    ⏳ Its jobs are done; waiting for Elastic Beanstalk to show it on Production and Production (Canada) · approved by @BEN 10:06
    Started from Slack by @BEN, for Production and Production (Canada)
    ☑️ Production, Production (Canada): job done 10:07
    ");
    story.pass(1);
    survey(&mut story, "Updating", 42);
    survey(&mut story, "Ready", 41);
    assert_eq!(story.notice(813), "not shown", "nothing is certain yet");
    survey(&mut story, "Ready", 42);
    assert_snapshot!(story.notice(813), @"
    *h · redeploy 813* · [Redeploy]
    ✅ Redeployed 10:07: Elastic Beanstalk shows it on every server; versions stay as they were · approved by @BEN 10:06
    Started from Slack by @BEN, for Production and Production (Canada)
    ✅ Production, Production (Canada): done 10:07
    ");
    // What was seen stays seen.
    story.restart().pass(60);
    survey(&mut story, "Updating", 43);
    story.look();
    assert_eq!(story.notice(813), "not shown");
}

#[test]
fn a_redeploy_that_elastic_beanstalk_does_not_show_is_said_once() {
    let (mut story, _) = redeploying();
    story.look().examine();
    story.taken().pass(1);
    finish_jobs(&mut story);
    story.look();
    story.heard();
    story.pass(3);
    survey(&mut story, "Ready", 41);
    assert_snapshot!(story.said.join("\n"), @"
    notice of 813: *h · redeploy 813* · [Redeploy]
    ⚠️ GitHub says that it is done; Elastic Beanstalk does not show it on every server of Production and Production (Canada) · approved by @BEN 10:06
    Started from Slack by @BEN, for Production and Production (Canada)
    ☑️ Production, Production (Canada): job done 10:07
    unseen in thread of 813: @BEN: GitHub says that [redeploy 813] is done, but Elastic Beanstalk does not show it on every server of Production and Production (Canada). Look there before you rely on it.
    ");
    story.said.clear();
    story.pass(1).look();
    survey(&mut story, "Ready", 41);
    assert_snapshot!(story.heard(), @"");
    // Not configured at all.
    story.tell(Event::Surveyed(BTreeMap::new()));
    assert_snapshot!(story.notice(813), @"
    *h · redeploy 813* · [Redeploy]
    ☑️ Its jobs are done; whether Production and Production (Canada) got new servers was not seen: Elastic Beanstalk is not set up here · approved by @BEN 10:06
    Started from Slack by @BEN, for Production and Production (Canada)
    ☑️ Production, Production (Canada): job done 10:07
    ");
}

#[test]
fn the_deploy_that_was_replaced_is_offered_again_once() {
    let (mut story, _) = redeploying();
    story.look().examine();
    assert_snapshot!(story.heard(), @"
    handover in thread of 813: @ANA, your deploy of #4501 was replaced when @BEN started redeploy 813. Nothing deploys #4501 now: once the redeploy is done, `/deploy start h` does.
    record approve by BEN: granted
    approve run 19000000813 attempt 1 at a000001 on Production, Production (Canada) for BEN
    ");
    story.taken().pass(1);
    finish_jobs(&mut story);
    story.look();
    assert_snapshot!(story.heard(), @"
    start in thread of 813: @ANA redeploy 813 is over, and #4501 is still to be deployed: nothing does that by itself. Start Deploy again here, or type `/deploy start h`.
    [Start Deploy]
    ");
    let redeploy = story.runs.len() - 1;
    story.pass(1).ran_again(redeploy).look();
    assert_eq!(story.heard(), "", "also where the redeploy is run again");
    story.ask("ANA", Action::Dispatch(Dispatch::Start));
    assert_snapshot!(story.heard(), @"
    record start by ANA: granted
    dispatch deploy for ANA
    ");
    story.pass(1).start("bot-gh", "Deploy");
    story.newest().0.event = "workflow_dispatch".into();
    let run = story.newest().0.id;
    story.come_back(|_| Outcome::Started { run, found: true });
    story.look();
    story.ask("BEN", Action::Dispatch(Dispatch::Start));
    assert_snapshot!(story.heard(), @"
    answer ANA: [Deploy] was started: GitHub’s answer was lost, but the run is there. It was sent once and is not sent again. Its notice in the channel shows how it gets on.
    refuse BEN: [Run 814] deploys this very commit already, so nothing was started. Its notice shows how it gets on.
    record start by BEN: refused: on its way already
    ");
    // Another commit is on its way: that has to be confirmed.
    let change = story.change("chi-gh", "Speed up search");
    story.main.push(change);
    story.ask("BEN", Action::Dispatch(Dispatch::Start));
    assert_snapshot!(story.heard(), @"
    answer BEN: Start Deploy of h for main, now at `a000002`? It builds, goes to the test environments and waits for approval like any other.
    ⚠️ This cancels [run 814] · Deploy by @ANA (building). What it ships (#4501) is not deployed then until a Deploy runs again.
    [Start Deploy] [Not now]
    ");
}

#[test]
fn what_nobody_saw_start_is_told_and_known_when_it_turns_up() {
    let mut story = waiting();
    let plan = plan(&story, &["Production", "Production (Canada)"]);
    confirm(&mut story, "BEN", &plan);
    story.heard();
    for effect in std::mem::take(&mut story.waiting) {
        let Effect::Dispatch(mut order) = effect else { panic!("only the dispatch waits") };
        order.account = Some("bot-gh".into());
        story.tell(Event::Performed(Effect::Dispatch(order), Outcome::Lost));
    }
    assert_snapshot!(story.heard(), @"
    answer BEN: GitHub answered with an error, and no run has appeared since, so the redeploy was most likely not started. It is not sent again by itself: look at [GitHub’s page] in a minute, and ask again if nothing is there.
    record redeploy by BEN: failed: no run has appeared
    ");
    story.pass(1);
    redeploys(&mut story);
    story.look().examine();
    assert_snapshot!(story.heard(), @"
    handover in thread of 813: @ANA, your deploy of #4501 was replaced when @BEN started redeploy 813. Nothing deploys #4501 now: once the redeploy is done, `/deploy start h` does.
    record approve by BEN: granted
    approve run 19000000813 attempt 1 at a000001 on Production, Production (Canada) for BEN
    ");
    story.taken();

    for outcome in [Outcome::Refused("GitHub says “no”".into()), Outcome::Failed("timeout".into())] {
        let mut story = waiting();
        confirm(&mut story, "BEN", &plan);
        story.heard();
        story.come_back(|_| outcome.clone());
        match outcome {
            Outcome::Failed(_) => assert_snapshot!(story.heard(), @"
            answer BEN: Nobody knows whether GitHub started the redeploy: it did not say, and could not be asked. It is not sent again by itself: look at [GitHub’s page] before you ask again.
            record redeploy by BEN: failed: nobody knows whether it was started
            "),
            _ => assert_snapshot!(story.heard(), @"
            answer BEN: No redeploy was started: GitHub says “no”. Try again later, or start it on [GitHub’s page].
            record redeploy by BEN: failed: GitHub says “no”
            "),
        }
    }
}

#[test]
fn who_may_not_approve_may_not_start_anything() {
    let mut story = waiting();
    for who in ["GUEST", "CHI"] {
        story.ask(who, Action::Dispatch(Dispatch::Redeploy { environments: "production".into() }));
    }
    story.ask("CHI", Action::Dispatch(Dispatch::Start));
    story.ask("BEN", Action::Dispatch(Dispatch::Redeploy { environments: "mars".into() }));
    story.ask("CHI", Action::Hold { reason: "Migration runs".into() });
    story.ask("BEN", Action::Dispatch(Dispatch::Redeploy { environments: "production".into() }));
    assert_snapshot!(story.heard(), @"
    refuse GUEST: Guests of this workspace cannot use Lockkeeper. Ask a member of the team.
    record redeploy by GUEST: refused: guest
    refuse CHI: You are not among the approvers of this app. Ask one of them, or ask whoever runs Lockkeeper to add you.
    record redeploy by CHI: refused: not an approver
    refuse CHI: You are not among the approvers of this app. Ask one of them, or ask whoever runs Lockkeeper to add you.
    record start by CHI: refused: not an approver
    refuse BEN: There is no environment `mars`. There is `Staging`, `Production` and `Production (Canada)`.
    record redeploy by BEN: refused: misread
    record hold by CHI: done
    announce: 🔒 *h* is on hold: @CHI says “Migration runs”. Approvals are refused until it is released.
    [Release]
    answer CHI: On hold. The channel was told.
    refuse BEN: h is on hold by @CHI: “Migration runs”. Ask them, or type `/deploy release h` once it is safe.
    record redeploy by BEN: refused: on hold
    ");
    let mut story = Story::new();
    story.ask("BEN", Action::Dispatch(Dispatch::Redeploy { environments: "production".into() }));
    assert_snapshot!(story.heard(), @"
    refuse BEN: h has no Redeploy workflow with an input for each environment that I can read, so I cannot start one. Its servers can be replaced in the AWS console.
    record redeploy by BEN: refused: no redeploy workflow
    ");
}
