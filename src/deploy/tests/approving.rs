//! Approving: every rule refuses with its sentence, and one approval is given however many click.

use insta::assert_snapshot;

use super::*;

fn waiting() -> Story {
    waiting_with(policy())
}

fn waiting_with(policy: Policy) -> Story {
    let mut story = Story::with(policy, pipeline());
    story.merge("ana-gh", "Fix RPC").look().pass(5).on_staging().look();
    story.heard();
    story
}

#[test]
fn two_clicks_at_once_give_one_approval() {
    let mut story = waiting();
    let shown = story.button();
    let first = story.request("BEN", Action::ApproveShown(shown.clone()));
    let second = story.request("ANA", Action::ApproveShown(shown));
    story.tell(Event::Asked(first));
    story.tell(Event::Asked(second));
    story.examine();
    assert_snapshot!(story.heard(), @"
    record approve by BEN: granted
    approve run 19000000812 attempt 1 at a000001 on Production, Production (Canada) for BEN
    refuse ANA: @BEN was faster and approved it at 10:05. Nothing is left to do.
    record approve by ANA: refused: somebody was faster
    ");
    story.taken();
    assert_snapshot!(story.heard(), @"answer BEN: Approved: run 812 goes to Production and Production (Canada). Its notice shows how it gets on.");
}

#[test]
fn a_click_on_a_superseded_run_approves_nothing() {
    let mut story = waiting();
    let shown = story.button();
    story.pass(1).merge("ben-gh", "Bump zope").pass(1).look();
    story.heard();
    story.ask("BEN", Action::ApproveShown(shown));
    assert_snapshot!(story.heard(), @"
    refuse BEN: Run 812 is not the newest any more: [run 813] took its place. Nothing was approved; look at its notice and approve there.
    record approve by BEN: refused: not the newest run
    ");
}

#[test]
fn a_newer_run_that_was_not_seen_yet_is_found_at_the_click() {
    let mut story = waiting();
    let shown = story.button();
    story.pass(1).merge("ben-gh", "Bump zope").ask("BEN", Action::ApproveShown(shown));
    assert_snapshot!(story.heard(), @"
    refuse BEN: Run 812 is not the newest any more: [run 813] took its place. Nothing was approved; look at its notice and approve there.
    record approve by BEN: refused: not the newest run
    ");
}

#[test]
fn a_run_that_was_started_again_is_not_what_was_shown() {
    let mut story = waiting();
    let shown = story.button();
    story.newest().0.attempt = 2;
    story.ask("BEN", Action::ApproveShown(shown));
    assert_snapshot!(story.heard(), @"
    refuse BEN: [Run 812] has been started again since this was shown. Nothing was approved; its notice shows what waits now.
    record approve by BEN: refused: run changed since shown
    ");
}

/// GitHub's history does not say at which attempt it was written.
#[test]
fn what_is_written_at_github_tells_one_attempt_from_another() {
    let mut story = waiting();
    let mut written = |attempt: u32| {
        story.newest().0.attempt = attempt;
        story.pass(1).newest().0.updated_at += SignedDuration::from_mins(u64::from(attempt).cast_signed());
        story.look().click("BEN").heard();
        let verdict = story.waiting.drain(..).find_map(|effect| match effect {
            Effect::Approve(verdict) => Some(verdict.comment),
            _ => None,
        });
        verdict.expect("an approval")
    };
    let first = format!("Approved in Slack by Ben (Slack user BEN, ben-gh at GitHub) for commit {}", sha(1));
    assert_eq!((written(1), written(2)), (first.clone(), format!("{first}, attempt 2")));
}

#[test]
fn production_that_is_ahead_is_never_rolled_back() {
    let mut story = waiting();
    let shown = story.button();
    // Production moves on by itself: the run is behind it now.
    story.app.state.live.get_mut(&EnvName::from("Production")).expect("a version").sha = sha(2);
    let later = story.change("ben-gh", "Bump zope");
    story.main.push(later);
    story.ask("BEN", Action::ApproveShown(shown));
    assert_snapshot!(story.heard(), @"
    refuse BEN: Production already runs something newer than run 812: approving it would roll back. Use the newest run, or roll forward with a new change.
    record approve by BEN: refused: production is ahead
    ");
}

#[test]
fn commits_that_cannot_be_compared_are_not_approved() {
    let mut story = waiting();
    let shown = story.button();
    story.app.state.live.get_mut(&EnvName::from("Production")).expect("a version").sha = sha(99);
    story.ask("BEN", Action::ApproveShown(shown));
    assert_snapshot!(story.heard(), @"
    refuse BEN: GitHub cannot compare what Production runs with this run, so it could be a rollback. Nothing was approved; decide on GitHub’s own page.
    record approve by BEN: refused: commits could not be compared
    ");
}

#[test]
fn a_hold_refuses_until_released() {
    let mut story = waiting();
    story.ask("CHI", Action::Hold { reason: "Migration runs".into() });
    assert_snapshot!(story.said.join("\n"), @"
    record hold by CHI: done
    announce: 🔒 *h* is on hold: @CHI says “Migration runs”. Approvals are refused until it is released.
    [Release]
    answer CHI: On hold. The channel was told.
    notice of 812: *h · run 812* · [Fix RPC]
    ⏳ On Staging since 10:05, waiting for approval
    ✅ Staging: done 10:05
    ⏸️ Production, Production (Canada): waiting for approval
    🔒 On hold by @CHI since 10:05: “Migration runs”
    Ships 1 change:
    • ⬜ [#4501] Fix RPC · @ANA, merged 10:00
    [I tested mine] [What changes?] [Release]
    ");
    story.said.clear();
    story.ask("BEN", Action::Approve { environments: String::new() });
    story.ask("ANA", Action::Hold { reason: "Me too".into() });
    story.ask("CHI", Action::Release).ask("CHI", Action::Release);
    assert_snapshot!(story.heard(), @"
    refuse BEN: h is on hold by @CHI: “Migration runs”. Ask them, or type `/deploy release h` once it is safe.
    record approve by BEN: refused: on hold
    refuse ANA: It is on hold already, by @CHI: “Migration runs”.
    record hold by ANA: refused: on hold already
    record release by CHI: done
    announce: 🔓 *h* is released by @CHI. It was on hold for “Migration runs”. Approvals work again.
    answer CHI: Released. The channel was told.
    refuse CHI: h is not on hold.
    record release by CHI: refused: not on hold
    ");
}

#[test]
fn people_without_the_right_are_refused() {
    let mut story = waiting();
    let shown = story.button();
    for who in ["GUEST", "STRANGER", "GONE", "ROBOT", "CHI"] {
        story.ask(who, Action::ApproveShown(shown.clone()));
    }
    assert_snapshot!(story.heard(), @"
    refuse GUEST: Guests of this workspace cannot use Lockkeeper. Ask a member of the team.
    record approve by GUEST: refused: guest
    refuse STRANGER: People of other workspaces cannot use Lockkeeper. Ask somebody of the team that owns it.
    record approve by STRANGER: refused: other workspace
    refuse GONE: This account is deactivated, so it cannot do this.
    record approve by GONE: refused: deactivated account
    refuse ROBOT: Bots cannot do this; a person has to.
    record approve by ROBOT: refused: bot
    refuse CHI: You are not among the approvers of this app. Ask one of them, or ask whoever runs Lockkeeper to add you.
    record approve by CHI: refused: not an approver
    ");
    let request = story.request("BEN", Action::ApproveShown(shown));
    story.tell(unreachable(request));
    assert_snapshot!(story.heard(), @"
    refuse BEN: Slack does not say who you are right now, so nothing was done. Try again in a minute, or use GitHub’s own page.
    record approve by BEN: refused: slack not reachable
    ");
}

#[test]
fn without_approvers_nobody_may() {
    let mut story = waiting_with(Policy { approvers: Approvers::default(), ..policy() });
    story.click("BEN");
    assert_snapshot!(story.heard(), @"
    refuse BEN: Nobody may approve: no approvers are configured. Whoever runs Lockkeeper adds them under [approvers] in lockkeeper.toml.
    record approve by BEN: refused: no approvers configured
    ");
}

#[test]
fn four_eyes_want_somebody_else() {
    let mut story = waiting_with(Policy { four_eyes: true, ..policy() });
    story.click("ANA").click("BEN");
    assert_snapshot!(story.heard(), @"
    refuse ANA: You merged the newest change, and this app wants a second person: ask somebody else to approve.
    record approve by ANA: refused: four eyes
    record approve by BEN: granted
    approve run 19000000812 attempt 1 at a000001 on Production, Production (Canada) for BEN
    ");
    story.waiting.clear();
}

#[test]
fn require_tested_all_names_what_is_missing() {
    let mut story = waiting_with(Policy { require_tested: RequireTested::All, ..policy() });
    story
        .click("BEN")
        .ask("BEN", Action::Tested { prs: vec![PrRef { repo: None, number: 4501 }] })
        .ask("ANA", Action::Tested { prs: vec![PrRef { repo: None, number: 4501 }] })
        .click("BEN");
    assert_snapshot!(story.heard(), @"
    refuse BEN: Not ticked as tested yet: #4501. Their people tick them with “I tested mine”; then approve again.
    record approve by BEN: refused: untested changes
    refuse BEN: #4501 is not yours: its author, or whoever merged it, says that it is tested.
    record tested by BEN: refused: not theirs
    record tested by ANA: done
    answer ANA: Thank you: #4501 ticked as tested on run 812. The notice shows it.
    record approve by BEN: granted
    approve run 19000000812 attempt 1 at a000001 on Production, Production (Canada) for BEN
    ");
    story.waiting.clear();
}

#[test]
fn one_environment_of_two() {
    let mut story = waiting();
    story.ask("BEN", Action::Approve { environments: "canada".into() });
    story.ask("BEN", Action::Approve { environments: "mars".into() });
    assert_snapshot!(story.heard(), @"
    answer BEN: h a000001 goes to Production (Canada). It ships 1 change of 1 person. Not ticked as tested: #4501.
    • ⬜ [#4501] Fix RPC · @ANA, merged 10:00
    [Approve Production (Canada)] [Not now]
    refuse BEN: There is no environment `mars`. There is `Production` and `Production (Canada)`.
    record approve by BEN: refused: misread
    ");
}

#[test]
fn somebody_approved_on_githubs_page() {
    let mut story = waiting();
    story.click("BEN");
    let (run, _) = story.newest().clone();
    story.come_back(|_| Outcome::NotPending {
        gates: vec![],
        run: Box::new(run.clone()),
        reviews: vec![review("chi-gh", true)],
    });
    assert_snapshot!(story.heard(), @"
    record approve by BEN: granted
    approve run 19000000812 attempt 1 at a000001 on Production, Production (Canada) for BEN
    answer BEN: [Run 812] was approved on GitHub by chi-gh before this. Nothing was added.
    record approve by BEN: failed: not pending any more at attempt 1
    ");
    story.newest().1.gates.clear();
    story.newest().1.reviews.push(review("chi-gh", true));
    story
        .job("Production", Status::InProgress, None)
        .job("Production (Canada)", Status::InProgress, None)
        .pass(1)
        .look();
    assert_snapshot!(story.notice(812), @"
    *h · run 812* · [Fix RPC]
    🚀 Going to production · approved on GitHub by @CHI
    ✅ Staging: done 10:05
    🚀 Production, Production (Canada): deploying
    Ships 1 change:
    • ⬜ [#4501] Fix RPC · @ANA, merged 10:00
    [I tested mine] [What changes?] [Hold…]
    ");
}

#[test]
fn rejecting_ends_the_run() {
    let mut story = waiting();
    story.ask("BEN", Action::Reject { reason: "Broken search".into() }).taken();
    assert_snapshot!(story.heard(), @"
    record reject by BEN: granted
    reject run 19000000812 attempt 1 at a000001 on Production, Production (Canada) for BEN
    answer BEN: Rejected: run 812 does not go to Production and Production (Canada).
    ");
    story.newest().1.reviews.push(review("lockkeeper-bot", false));
    for name in ["Production", "Production (Canada)"] {
        story.job(name, Status::Completed, Some(Conclusion::Failure));
    }
    story.pass(1).finish(Conclusion::Failure).look();
    assert_snapshot!(story.notice(812), @"
    *h · run 812* · [Fix RPC]
    🚫 Rejected by @BEN 10:05: “Broken search”
    ✅ Staging: done 10:05
    🚫 Production, Production (Canada): rejected
    Production now: Production and Production (Canada) run `a000000`
    Its changes are still to be deployed: they ship with the next run, or `/deploy retry h` runs this one again.
    Ships 1 change:
    • ⬜ [#4501] Fix RPC · @ANA, merged 10:00
    ");
}

#[test]
fn an_unclear_outcome_is_said_and_can_be_tried_again() {
    let mut story = waiting();
    story.click("BEN").come_back(|_| Outcome::Failed("github could not be reached".into()));
    assert_snapshot!(story.heard(), @"
    record approve by BEN: granted
    approve run 19000000812 attempt 1 at a000001 on Production, Production (Canada) for BEN
    answer BEN: GitHub did not say whether it took this. Nothing is repeated blindly: look at [run 812] and approve again if it still waits.
    record approve by BEN: failed: github could not be reached
    ");
    story.click("BEN");
    assert_snapshot!(story.heard(), @"
    record approve by BEN: granted
    approve run 19000000812 attempt 1 at a000001 on Production, Production (Canada) for BEN
    ");
    story.waiting.clear();
}
