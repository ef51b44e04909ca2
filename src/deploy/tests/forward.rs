//! Rolling forward: a change is taken back by a pull request and followed until it is live; and the question whether it works.

use insta::assert_snapshot;

use super::*;
use crate::deploy::aftermath::Aftermath;
use crate::deploy::form::{Entry, Filled, Form};
use crate::deploy::revert::{Reverted, RollForward, Stands};

/// Run 812 is live with #4501 of chi-gh.
fn live(policy: Policy) -> Story {
    let mut story = Story::with(policy, pipeline());
    story.merge("chi-gh", "Fix RPC").look();
    approved(&mut story);
    story
}

/// The newest run goes all the way; what is said on the way is not looked at.
fn approved(story: &mut Story) {
    story.pass(5).on_staging().look().click("BEN").taken();
    story.pass(1).ship().look();
    story.heard();
}

fn propose(number: u64) -> Action {
    Action::RollForward(RollForward::Propose(PrRef { repo: None, number }))
}

fn revert(pr: u64) -> Action {
    Action::RollForward(RollForward::Revert { pr, run: None, because: None })
}

fn fix(number: u64) -> Fix {
    Fix { number, url: format!("https://github.com/hypothesis/h/pull/{number}") }
}

/// GitHub opens it and asks chi-gh for the review.
fn opened(story: &mut Story) {
    story.reverts.insert(4501, fix(4502));
    story.come_back(|_| Outcome::Revert(Reverted::Opened { fix: fix(4502), asked: vec!["chi-gh".into()] }));
}

/// Somebody confirmed the revert, and this is how GitHub showed the pull request then.
fn confirmed(story: &mut Story, who: &str, suspect: Suspect) {
    let request = story.request(who, revert(4501));
    let facts = Facts { suspect: Some(suspect), ..Facts::of(person(who)) };
    story.tell(Event::Examined(request, Ok(Box::new(facts))));
}

#[test]
fn a_change_is_taken_back_and_followed_until_that_is_live() {
    let mut story = live(policy());
    story.ask("ANA", propose(4501));
    assert_snapshot!(story.heard(), @"
    answer ANA: Take back [#4501] “Fix RPC” by chi-gh?
    A new pull request is opened that reverts it, a review is asked for, and the channel is told. Production stays as it is until that is merged and deployed.
    [Open the revert] [Not now]
    ");
    story.ask("ANA", revert(4501));
    assert_snapshot!(story.heard(), @"
    record revert by ANA: granted
    revert #4501 “Fix RPC” for ANA, review by chi-gh
    ");
    story.ask("BEN", revert(4501));
    assert_snapshot!(story.heard(), @"
    refuse BEN: @ANA takes back #4501 already, since 10:06; the pull request is being opened. Nothing is left to do but to review it.
    record revert by BEN: refused: being reverted already
    ");
    opened(&mut story);
    assert_snapshot!(story.heard(), @"
    record revert by ANA: done: #4502 reverts it
    answer ANA: [#4502] is open and reverts #4501. A review is asked of chi-gh. Then merge it; I follow it until it is live.
    forward in channel and thread of 812: ⏪ @ANA takes back #4501 “Fix RPC”: [#4502] reverts it.
    @CHI please review it. Once it is merged its run is the fast lane: test it, approve it, let nothing else go first. Production stays as it is until then.
    ");
    story.restart().look().ask("BEN", propose(4501));
    assert_snapshot!(story.heard(), @"
    refuse BEN: @ANA takes back #4501 already, since 10:06: [#4502] reverts it. Nothing was opened; help by reviewing that.
    record revert by BEN: refused: being reverted already
    ");

    story.pass(10).reverts.clear();
    story.merge("lockkeeper-bot", "Revert \"Fix RPC\"").look();
    assert_snapshot!(story.notice(813), @r#"
    *h · run 813* · [Revert "Fix RPC"]
    🔨 Building the image
    ▫️ Staging: not yet
    ▫️ Production, Production (Canada): not yet
    ⏩ Fast lane: [#4502] takes back #4501. Test it and approve it before anything else.
    Ships 1 change:
    • ⬜ [#4502] Revert "Fix RPC" · lockkeeper-bot (merged lockkeeper-bot’s), merged 10:16
    [What changes?] [Hold…]
    "#);
    story.pass(5).on_staging().look().click("BEN").taken();
    story.heard();
    story.pass(1).ship().look();
    assert_snapshot!(story.heard(), @"
    repaired in thread of 812: ✅ @ANA, #4501 is taken back: [#4502] is live with [run 813]. Look whether production is well again.
    repaired in thread of 813: ⏩ [#4502] is live: it takes back #4501, which came with [run 812].
    ");
    story.pass(1).restart().look();
    assert_eq!(story.heard(), "", "said once");
    story.ask("ANA", revert(4501));
    assert_snapshot!(story.heard(), @"
    refuse ANA: #4501 is taken back already: [#4502] reverted it and is merged. Nothing was opened.
    record revert by ANA: refused: reverted already
    ");
}

#[test]
fn the_notices_show_how_far_the_repair_is() {
    let mut story = live(policy());
    story.ask("ANA", revert(4501));
    opened(&mut story);
    assert_snapshot!(story.notice(812), @"
    *h · run 812* · [Fix RPC]
    ✅ `a000001` is live on Production and Production (Canada) since 10:06 · approved by @BEN 10:05
    ✅ Staging: done 10:05
    ✅ Production, Production (Canada): done 10:06
    ⏪ #4501 is taken back by [#4502], which waits for its review and its merge.
    ⚠️ Something is wrong, says @ANA
    Shipped 1 change:
    • ⬜ [#4501] Fix RPC · @CHI, merged 10:00
    [Something is wrong…]
    ");
    story.pass(10).reverts.clear();
    story.merge("lockkeeper-bot", "Revert \"Fix RPC\"").look();
    assert_snapshot!(story.notice(812), @"
    *h · run 812* · [Fix RPC]
    ✅ `a000001` is live on Production and Production (Canada) since 10:06 · approved by @BEN 10:05
    ✅ Staging: done 10:05
    ✅ Production, Production (Canada): done 10:06
    ⏪ #4501 is taken back by [#4502], which ships with [run 813].
    ⚠️ Something is wrong, says @ANA
    Shipped 1 change:
    • ⬜ [#4501] Fix RPC · @CHI, merged 10:00
    [Something is wrong…]
    ");
    story.merge("ana-gh", "In between").look();
    assert!(story.notice(814).contains("⏩ Fast lane"), "the fix ships with the newer run now");
    story.pass(5).on_staging().look().click("BEN").taken();
    story.heard();
    story.pass(1).ship().look();
    assert_eq!(story.said.iter().filter(|line| line.starts_with("repaired ")).count(), 2, "812 and 814");
    assert_snapshot!(story.notice(814), @r#"
    *h · run 814* · [In between]
    ✅ `a000003` is live on Production and Production (Canada) since 10:22 · approved by @BEN 10:21
    ✅ Staging: done 10:21
    ✅ Production, Production (Canada): done 10:22
    ⏩ [#4502] took back #4501.
    Shipped 2 changes:
    • ⬜ [#4502] Revert "Fix RPC" · lockkeeper-bot (merged lockkeeper-bot’s), merged 10:16
    • ⬜ [#4503] In between · @ANA, merged 10:16
    [Something is wrong…]
    "#);
}

#[test]
fn what_github_cannot_or_may_not_do_is_explained() {
    let mut story = live(policy());
    story.ask("ANA", revert(4501)).heard();
    story.come_back(|_| Outcome::Revert(Reverted::Conflict("Sorry, it couldn't be reverted".into())));
    assert_snapshot!(story.heard(), @"
    record revert by ANA: failed: github cannot revert it by itself
    answer ANA: GitHub cannot revert #4501 by itself: later changes touch the same lines, or it is reverted already. Nothing was opened. It says “Sorry, it couldn't be reverted”.
    By hand: `git switch -c revert-4501 origin/main && git revert a000001` (with `-m 1` if that is a merge commit), solve the conflicts with whoever wrote the later changes, push, open a pull request. A small fix may be quicker.
    Once that pull request is open, type `/deploy revert h 4501`: then it is followed from here like any other revert.
    ");
    story.ask("ANA", revert(4501)).heard();
    story.come_back(|_| Outcome::Revert(Reverted::Forbidden("Resource not accessible".into())));
    assert_snapshot!(story.heard(), @"
    record revert by ANA: failed: github does not allow it
    answer ANA: GitHub does not let Lockkeeper’s account open the revert of #4501, so nothing was opened. It says “Resource not accessible”. Whoever runs Lockkeeper gives its token write access to contents and pull requests; meanwhile, press Revert on the page of [#4501].
    ");
    story.ask("ANA", revert(4501)).heard();
    story.come_back(|_| Outcome::Revert(Reverted::Lost));
    assert_snapshot!(story.heard(), @"
    record revert by ANA: failed: outcome unknown, no pull request found
    answer ANA: GitHub did not say whether it opened the revert, and no such pull request is to be seen. Nothing is repeated blindly: look at the [pull requests], and if there is none in a minute, type `/deploy revert h 4501` again.
    ");
    story.ask("ANA", revert(4501)).heard();
    story.come_back(|_| Outcome::Failed("github could not be reached: status 500".into()));
    assert_snapshot!(story.heard(), @"
    record revert by ANA: failed: github could not be reached: status 500
    answer ANA: GitHub could not be asked to open the revert, or did not answer to the end. Look at the [pull requests] before anything else. If there is none, type `/deploy revert h 4501` again.
    ");
    // Done by hand meanwhile: that one is followed, none is opened.
    story.reverts.insert(4501, fix(4502));
    story.ask("ANA", propose(4501));
    assert_snapshot!(story.heard(), @"
    answer ANA: Take back [#4501] “Fix RPC” by chi-gh?
    [#4502] reverts it already and is open. No second one is opened; I follow that one and tell the channel.
    [Follow it] [Not now]
    ");
    story.ask("ANA", revert(4501));
    assert!(story.waiting.is_empty(), "nothing is sent");
    assert_snapshot!(story.heard(), @"
    record revert by ANA: granted
    answer ANA: #4502 reverts #4501 already. Nothing was opened; it is followed from here on, and the channel was told.
    forward in channel and thread of 812: ⏪ @ANA takes back #4501 “Fix RPC”: [#4502] reverts it.
    Somebody please review it. Once it is merged its run is the fast lane: test it, approve it, let nothing else go first. Production stays as it is until then.
    ");
}

#[test]
fn what_is_not_reverted_and_why() {
    let mut story = live(policy());
    story.ask("CHI", propose(4501)).ask("CHI", revert(4501)).ask("GUEST", revert(4501));
    story.ask("ANA", propose(99)).ask("ANA", revert(99));
    let elsewhere = PrRef { repo: Some("hypothesis/lms".into()), number: 4501 };
    story.ask("ANA", Action::RollForward(RollForward::Propose(elsewhere)));
    for (base, commit) in [("main", None), ("next", Some(sha(1)))] {
        let suspect = story.suspect(4501).expect("a pull request");
        let merged_by = suspect.merged_by.clone().filter(|_| commit.is_some());
        confirmed(&mut story, "ANA", Suspect { base: base.into(), commit, merged_by, ..suspect });
    }
    assert!(story.waiting.is_empty(), "nothing is sent");
    assert_snapshot!(story.heard(), @"
    refuse CHI: You are not among the approvers of this app. Ask one of them, or ask whoever runs Lockkeeper to add you.
    record revert by CHI: refused: not an approver
    refuse CHI: You are not among the approvers of this app. Ask one of them, or ask whoever runs Lockkeeper to add you.
    record revert by CHI: refused: not an approver
    refuse GUEST: Guests of this workspace cannot use Lockkeeper. Ask a member of the team.
    record revert by GUEST: refused: guest
    refuse ANA: There is no pull request #99 in this app’s repo. Nothing was opened; look at the number again.
    record revert by ANA: refused: no such pull request
    refuse ANA: There is no pull request #99 in this app’s repo. Nothing was opened; look at the number again.
    record revert by ANA: refused: no such pull request
    refuse ANA: That #4501 belongs to another repo than h’s. Name the app that it belongs to.
    record revert by ANA: refused: other repo
    refuse ANA: #4501 is not merged, so there is nothing to revert: close it on GitHub instead.
    record revert by ANA: refused: not merged
    refuse ANA: #4501 was merged into `next`, which is not what is deployed here. Nothing was opened.
    record revert by ANA: refused: merged to another branch
    ");
}

#[test]
fn a_closed_revert_can_be_opened_again() {
    let mut story = live(policy());
    story.ask("ANA", revert(4501));
    opened(&mut story);
    story.heard();
    story.reverts.clear();
    story.ask("BEN", revert(4501));
    assert_eq!(story.waiting.len(), 1, "sent once more");
    story.heard();
    // Nobody ever heard of that one: it holds nobody back for long.
    story.waiting.clear();
    story.ask("ANA", revert(4501));
    assert!(story.heard().contains("takes back #4501 already"));
    story.pass(16).ask("ANA", revert(4501));
    assert_eq!(story.waiting.len(), 1);
    story.heard();
}

/// GitHub was read when the other one's was not there yet, or its merge came before its run was seen.
#[test]
fn a_revert_of_a_moment_ago_is_not_opened_again() {
    let mut story = live(policy());
    let early = story.suspect(4501).expect("a pull request");
    story.ask("ANA", revert(4501));
    opened(&mut story);
    story.heard();
    let merged = Suspect { followed: Some((4502, Stands::Merged)), ..early.clone() };
    for suspect in [early, merged] {
        confirmed(&mut story, "BEN", suspect);
    }
    assert!(story.waiting.is_empty(), "nothing is sent");
    assert_snapshot!(story.heard(), @"
    refuse BEN: @ANA takes back #4501 already, since 10:06: [#4502] reverts it. Nothing was opened; help by reviewing that.
    record revert by BEN: refused: being reverted already
    refuse BEN: #4501 is taken back already: [#4502] reverted it and is merged. Nothing was opened.
    record revert by BEN: refused: reverted already
    ");
}

/// The first one was given up, went on after all, and both find the same pull request.
#[test]
fn of_two_who_open_the_same_revert_one_is_told_to_the_channel() {
    let mut story = live(policy());
    story.ask("ANA", revert(4501)).pass(16).ask("BEN", revert(4501));
    assert_eq!(story.waiting.len(), 2);
    story.heard();
    opened(&mut story);
    assert_snapshot!(story.heard(), @"
    record revert by ANA: done: #4502 reverts it
    answer ANA: [#4502] is open and reverts #4501. A review is asked of chi-gh. Then merge it; I follow it until it is live.
    forward in channel and thread of 812: ⏪ @ANA takes back #4501 “Fix RPC”: [#4502] reverts it.
    @CHI please review it. Once it is merged its run is the fast lane: test it, approve it, let nothing else go first. Production stays as it is until then.
    record revert by BEN: refused: being reverted already
    answer BEN: @ANA takes back #4501 already, since 10:22: [#4502] reverts it. Nothing was opened; help by reviewing that.
    ");
}

/// What a person wrote means nothing in Markdown and nothing in Slack.
#[test]
fn what_is_wrong_is_said_and_never_markup() {
    let mut story = live(policy());
    let run = story.newest().0.id;
    let because = Some("` @hypothesis/all <!channel> [x](https://evil.example)\nsecond line".to_owned());
    story.ask("ANA", Action::RollForward(RollForward::Revert { pr: 4501, run: Some(run), because }));
    let body = story
        .waiting
        .iter()
        .find_map(|effect| if let Effect::Revert(r) = effect { Some(r.body.clone()) } else { None });
    story.heard();
    assert_snapshot!(body.expect("a revert"), @"
    Reverts hypothesis/h#4501

    Asked for in Slack by `Ana` (Slack user ANA, `ana-gh` at GitHub).

    What is wrong: `' @hypothesis/all <!channel> [x](https://evil.example) second line`
    ");
    opened(&mut story);
    assert_snapshot!(story.heard(), @"
    record revert by ANA: done: #4502 reverts it
    answer ANA: [#4502] is open and reverts #4501. A review is asked of chi-gh. Then merge it; I follow it until it is live.
    forward in channel and thread of 812: ⏪ @ANA takes back #4501 “Fix RPC”: [#4502] reverts it. What is wrong: “` @hypothesis/all <!channel> [x](https://evil.example) second line”.
    @CHI please review it. Once it is merged its run is the fast lane: test it, approve it, let nothing else go first. Production stays as it is until then.
    ");
}

#[test]
fn the_form_takes_a_change_back_or_tells_the_others() {
    let mut story = live(policy());
    let run = story.newest().0.id;
    let form = Form::Wrong { app: "h".into(), run };
    let view = story.app.view(&form, story.now);
    let Entry::Pick(choices) = &view.inputs[0].kind else { panic!("a choice") };
    let choices: Vec<(&str, &str)> = choices.iter().map(|tick| (tick.value.as_str(), tick.label.as_str())).collect();
    assert_eq!(choices, [("4501", "#4501 Fix RPC"), ("unknown", "None of these, or I do not know yet")]);
    let fill = |choice: Option<&str>, what: &str| {
        let chosen = choice.map(|choice| ("change".to_owned(), vec![choice.to_owned()]));
        form.read(&Filled {
            words: [("what".to_owned(), what.to_owned())].into(),
            chosen: chosen.into_iter().collect(),
        })
    };
    assert!(fill(Some("4501"), " ").is_err() && fill(None, "it is slow").is_err() && fill(Some("x"), "slow").is_err());
    let because = Some("it is slow".to_owned());
    let wanted = Action::RollForward(RollForward::Revert { pr: 4501, run: Some(run), because });
    assert_eq!(fill(Some("4501"), " it is slow "), Ok(wanted));

    // Whoever does not know which change it was need not be an approver.
    story.ask("CHI", fill(Some("unknown"), "search is empty").expect("an action"));
    assert_snapshot!(story.heard(), @"
    record verify by CHI: something is wrong
    wrong in channel and thread of 812: ⚠️ @CHI says that something is wrong since [run 812]: “search is empty”
    Which change did it is not known yet. Once it is: `/deploy revert h <pr>` takes it back. To keep others from deploying meanwhile: `/deploy hold h <reason>`.
    answer CHI: The channel was told. Nothing else was done: production stays as it is until somebody reverts or repairs.
    ");
    story.look();
    let tracked = &story.app.state.runs[&run];
    assert!(story.app.notice(tracked, story.now).to_string().contains("⚠️ Something is wrong, says @CHI"));
}

#[test]
fn people_are_asked_once_whether_it_works() {
    let mut story = Story::with(Policy { verify_after: Some(SignedDuration::from_mins(20)), ..policy() }, pipeline());
    story.merge("chi-gh", "Fix RPC").look();
    story.merge("dependabot[bot]", "Bump zope").merge("ana-gh", "Speed up search").look();
    approved(&mut story);
    story.pass(19).look();
    assert_eq!(story.heard(), "", "not yet");
    story.pass(1).look();
    assert_snapshot!(story.heard(), @"
    whisper to ANA: [#4503] Speed up search is live with h [run 814] since 10:06. Does it work on production?
    • Production
    • Production (Canada)
    [Looks good] [Something is wrong…]
    whisper to CHI: [#4501] Fix RPC is live with h [run 814] since 10:06. Does it work on production?
    • Production
    • Production (Canada)
    [Looks good] [Something is wrong…]
    ");
    story.pass(1).restart().look();
    assert_eq!(story.heard(), "", "once");

    let run = story.newest().0.id;
    story.ask("ANA", Action::Aftermath(Aftermath::Well(run)));
    assert_snapshot!(story.heard(), @"
    record verify by ANA: looks good
    answer ANA: Thank you. It is written down; nothing is left to do.
    ");
    let tracked = &story.app.state.runs[&run];
    assert!(story.app.notice(tracked, story.now).to_string().contains("👍 Looks good on production to @ANA"));
    story.pass(23 * 60).look();
    assert_eq!(story.heard(), "", "they may still answer");
    story.pass(60).look();
    assert_snapshot!(story.heard(), @"record verify by CHI: no answer");
    story.pass(60).restart().look();
    assert_eq!(story.heard(), "", "silence is noted once");
}

#[test]
fn nobody_is_asked_about_what_is_taken_back_or_long_gone() {
    let asking = || Policy { verify_after: Some(SignedDuration::from_mins(20)), ..policy() };
    let mut story = live(asking());
    story.ask("ANA", revert(4501));
    opened(&mut story);
    story.heard();
    story.pass(30).look();
    assert_eq!(story.heard(), "", "they know");

    let mut story = live(asking());
    story.pass(26 * 60).look();
    assert_eq!(story.heard(), "", "the bot was away: too late to ask");

    let mut story = live(policy());
    story.pass(30).look();
    assert_eq!(story.heard(), "", "it is off");
}

#[test]
fn the_question_links_where_to_look() {
    let mut pipeline = pipeline();
    for environment in &mut pipeline.environments {
        environment.url = Some("https://h.example".into());
        environment.links = [("logs".to_owned(), "https://logs.example".to_owned())].into();
    }
    let policy = Policy { verify_after: Some(SignedDuration::from_mins(20)), ..policy() };
    let mut story = Story::with(policy, pipeline);
    story.merge("chi-gh", "Fix RPC").look();
    approved(&mut story);
    story.pass(20).look();
    assert_snapshot!(story.heard(), @"
    whisper to CHI: [#4501] Fix RPC is live with h [run 812] since 10:06. Does it work on production?
    • [Production] · [logs]
    • [Production (Canada)] · [logs]
    [Looks good] [Something is wrong…]
    ");
}
