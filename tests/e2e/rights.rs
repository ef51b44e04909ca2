//! Rights: who is refused, in words, with nothing done at GitHub; and that every decision is written down.

use insta::assert_snapshot;
use lockkeeper::sandbox::slack::{Fault, Role};
use lockkeeper::sandbox::world::{Act, FaultKind};

use crate::town::{SETTINGS, Town};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_without_the_right_are_refused() {
    let town = Town::open().await;
    town.waiting("ana-gh", "Fix RPC").await;
    let notice = town.notice(812).at();
    let before = town.says(812);
    let mut told = Vec::new();
    for user in ["UGUEST", "USTRANGER", "UGONE", "UROBOT", "UMALLORY"] {
        town.click(user, &notice, "Approve production…").await;
        let clicked = town.told(user);
        town.command(user, "approve h").await;
        assert_eq!(town.told(user), clicked, "the command and the button say the same to {user}");
        town.command(user, "reject h because I can").await;
        assert_eq!(town.told(user), clicked, "{user} rejects as little");
        told.push(format!("{user}: {clicked}"));
    }
    assert_snapshot!(told.join("\n"), @"
    UGUEST: Guests of this workspace cannot use Lockkeeper. Ask a member of the team.
    USTRANGER: People of other workspaces cannot use Lockkeeper. Ask somebody of the team that owns it.
    UGONE: This account is deactivated, so it cannot do this.
    UROBOT: Bots cannot do this; a person has to.
    UMALLORY: You are not among the approvers of this app. Ask one of them, or ask whoever runs Lockkeeper to add you.
    ");
    assert!(town.reviews().is_empty(), "nothing reached GitHub");
    assert_eq!(town.says(812), before);
    assert_snapshot!(town.history().await, @"
    h · decisions, newest first
    (time) · <@UMALLORY> · reject run 812 · refused: not an approver · “because I can”
    (time) · <@UMALLORY> · approve run 812 · refused: not an approver
    (time) · <@UMALLORY> · approve run 812 on Production, Production (WebSocket), Production (Canada) · refused: not an approver
    (time) · <@UROBOT> · reject run 812 · refused: bot · “because I can”
    (time) · <@UROBOT> · approve run 812 · refused: bot
    (time) · <@UROBOT> · approve run 812 on Production, Production (WebSocket), Production (Canada) · refused: bot
    (time) · <@UGONE> · reject run 812 · refused: deactivated account · “because I can”
    (time) · <@UGONE> · approve run 812 · refused: deactivated account
    (time) · <@UGONE> · approve run 812 on Production, Production (WebSocket), Production (Canada) · refused: deactivated account
    (time) · <@USTRANGER> · reject run 812 · refused: other workspace · “because I can”
    (time) · <@USTRANGER> · approve run 812 · refused: other workspace
    (time) · <@USTRANGER> · approve run 812 on Production, Production (WebSocket), Production (Canada) · refused: other workspace
    (time) · <@UGUEST> · reject run 812 · refused: guest · “because I can”
    (time) · <@UGUEST> · approve run 812 · refused: guest
    (time) · <@UGUEST> · approve run 812 on Production, Production (WebSocket), Production (Canada) · refused: guest
    ");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_and_strangers_do_nothing_and_read_nothing() {
    let town = Town::open().await;
    town.waiting("ana-gh", "Fix RPC").await;
    let notice = town.notice(812).at();
    let mut told = Vec::new();
    for user in ["UGUEST", "USTRANGER", "UGONE", "UROBOT"] {
        for typed in [
            "hold h I can",
            "tested h",
            "ping h",
            "release h",
            "",
            "status h",
            "pending",
            "where 4498",
            "history h",
            "whoami",
            "approve nope",
        ] {
            town.sandbox.workspace.command(user, "CDEPLOYS", typed).await.expect("acknowledged");
        }
        for label in ["I tested mine", "What changes?"] {
            let button = town.button(user, &notice, label);
            town.sandbox.workspace.click(user, &notice, &button).await.expect("acknowledged");
        }
        town.settled().await;
        let mut answers: Vec<String> = town.sandbox.workspace.ephemerals(user).iter().map(|m| m.reads()).collect();
        answers.dedup();
        told.push(answers.join("\n"));
    }
    assert_snapshot!(told.join("\n"), @"
    Guests of this workspace cannot use Lockkeeper. Ask a member of the team.
    People of other workspaces cannot use Lockkeeper. Ask somebody of the team that owns it.
    This account is deactivated, so it cannot do this.
    Bots cannot do this; a person has to.
    ");
    assert_snapshot!(town.broadcasts().join("\n"), @"");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_is_deactivated_meanwhile_cannot_confirm() {
    let town = Town::open().await;
    town.waiting("ana-gh", "Fix RPC").await;
    town.command("UBEN", "approve h").await;
    let asked = town.answer("UBEN").at();
    town.sandbox.workspace.set_role("UBEN", Role::Gone);
    town.click("UBEN", &asked, "Approve 3 environments").await;
    assert_snapshot!(town.told("UBEN"), @"This account is deactivated, so it cannot do this.");
    assert!(town.reviews().is_empty());
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_approvers_means_nobody() {
    let town = Town::with(&SETTINGS.replace("slack_usergroups = [\"S0DEVS\"]", "")).await;
    town.waiting("ana-gh", "Fix RPC").await;
    assert_snapshot!(town.thread(812).join("\n"), @"
    <@UANA> run 812 is on Staging and Staging (WebSocket).
    Please test what you changed, then tick “I tested mine” in the notice above. Nobody can approve in Slack yet: no approvers are configured.
    ");
    let notice = town.notice(812).at();
    town.click("UANA", &notice, "Approve production…").await;
    assert_snapshot!(town.told("UANA"), @"Nobody may approve: no approvers are configured. Whoever runs Lockkeeper adds them under [approvers] in lockkeeper.toml.");
    town.command("UANA", "reject h no").await;
    assert_snapshot!(town.told("UANA"), @"Nobody may approve: no approvers are configured. Whoever runs Lockkeeper adds them under [approvers] in lockkeeper.toml.");
    town.command("UANA", "whoami").await;
    assert_snapshot!(town.told("UANA"), @"
    You are <@UANA>.
    h: ana-gh at GitHub, nobody may approve: no approvers are configured
    ");
    assert!(town.reviews().is_empty());
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_slack_does_not_say_who_somebody_is_nobody_acts() {
    let town = Town::open().await;
    town.waiting("ana-gh", "Fix RPC").await;
    // Both are known from a question.
    town.command("UANA", "status h").await;
    let known = town.told("UANA");
    let notice = town.notice(812).at();
    let method = || "users.info".to_owned();
    town.sandbox.workspace.fault(Fault::Http500 { method: method(), times: 1_000 });
    town.click("UANA", &notice, "Approve production…").await;
    assert_snapshot!(town.told("UANA"), @"Slack does not say who you are right now, so nothing was done. Try again in a minute, or use GitHub’s own page.");
    town.command("UANA", "approve h").await;
    assert_snapshot!(town.told("UANA"), @"Slack does not say who you are right now, so nothing was done. Try again in a minute, or use GitHub’s own page.");
    town.command("UANA", "status h").await;
    assert_eq!(town.told("UANA"), known, "what is known of known people is still told");
    town.command("UBEN", "status h").await;
    assert_snapshot!(town.told("UBEN"), @"Slack does not say who you are right now, so nothing was done. Try again in a minute, or use GitHub’s own page.");
    town.sandbox.workspace.clear_faults();
    town.sandbox.workspace.fault(Fault::Error { method: method(), times: 1_000, error: "internal_error".into() });
    town.click("UANA", &notice, "I tested mine").await;
    assert_snapshot!(town.told("UANA"), @"Slack does not say who you are right now, so nothing was done. Try again in a minute, or use GitHub’s own page.");
    assert!(town.reviews().is_empty());
    town.sandbox.workspace.clear_faults();
    town.approve("UANA").await;
    assert_eq!(town.reviews().len(), 1);
    assert_snapshot!(town.history().await, @"
    h · decisions, newest first
    (time) · <@UANA> · approve run 812 on Production, Production (WebSocket), Production (Canada) · granted
    (time) · <@UANA> · tested · refused: slack not reachable
    (time) · <@UANA> · approve · refused: slack not reachable
    (time) · <@UANA> · approve run 812 on Production, Production (WebSocket), Production (Canada) · refused: slack not reachable
    ");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_groups_or_teams_cannot_be_read_nobody_approves() {
    let town = Town::open().await;
    town.waiting("ana-gh", "Fix RPC").await;
    let fault = Fault::Error { method: "usergroups.users.list".into(), times: 1_000, error: "fatal_error".into() };
    town.sandbox.workspace.fault(fault);
    town.command("UANA", "approve h").await;
    assert_snapshot!(town.told("UANA"), @"Slack does not say who you are right now, so nothing was done. Try again in a minute, or use GitHub’s own page.");
    assert!(town.reviews().is_empty());
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_github_team_may_approve() {
    let settings = SETTINGS.replace("slack_usergroups = [\"S0DEVS\"]", "github_teams = [\"hypothesis/developers\"]");
    let settings = settings.replace("dora-gh = \"UDORA\"", "mallory-gh = \"UMALLORY\"");
    let town = Town::with(&settings).await;
    town.waiting("ana-gh", "Fix RPC").await;
    // Mallory is linked and not in the team; Dora is in the team and not linked.
    for user in ["UMALLORY", "UDORA"] {
        town.command(user, "approve h").await;
    }
    assert_eq!(town.told("UMALLORY"), town.told("UDORA"));
    assert_snapshot!(town.told("UDORA"), @"You are not among the approvers of this app. Ask one of them, or ask whoever runs Lockkeeper to add you.");
    town.command("UDORA", "whoami").await;
    assert_snapshot!(town.told("UDORA"), @"
    You are <@UDORA>.
    h: no GitHub login known, you may not approve
    ");
    // GitHub does not say who is in the team.
    town.act(Act::Fault { kind: FaultKind::Error500, times: 20, only: Some("/memberships/".into()) });
    town.command("UBEN", "approve h").await;
    assert_snapshot!(town.told("UBEN"), @"GitHub does not answer right now, so nothing was done. Try again in a minute, or look at GitHub’s own page.");
    town.act(Act::ClearFaults);
    town.command("UBEN", "whoami").await;
    assert_snapshot!(town.told("UBEN"), @"
    You are <@UBEN>.
    h: ben-gh at GitHub, you may approve
    ");
    town.approve("UBEN").await;
    assert_eq!(town.reviews().len(), 1);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ticking_and_holding_are_written_down_too() {
    let town = Town::open().await;
    town.waiting("ana-gh", "Fix RPC").await;
    town.command("UMALLORY", "tested h").await;
    assert_snapshot!(town.told("UMALLORY"), @"Your GitHub login is not known here, so I cannot tell which changes are yours. Whoever runs Lockkeeper adds it under [people].");
    town.command("UBEN", "tested h").await;
    assert_snapshot!(town.told("UBEN"), @"None of your changes is waiting to be tested.");
    town.command("UBEN", "ping h").await;
    assert_snapshot!(town.told("UBEN"), @"They are mentioned in the notice’s thread.");
    town.command("UCHI", "hold h careful").await;
    town.command("UCHI", "release h").await;
    assert_snapshot!(town.history().await, @"
    h · decisions, newest first
    (time) · <@UCHI> · release · done
    (time) · <@UCHI> · hold · done · “careful”
    (time) · <@UBEN> · ping · done
    (time) · <@UBEN> · tested · refused: nothing to tick
    (time) · <@UMALLORY> · tested · refused: github login not known
    ");
    town.close().await;
}
