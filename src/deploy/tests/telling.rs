//! From merge to production as people are told.

use insta::assert_snapshot;

use super::*;
use crate::deploy::action::Action;

/// Two runs come up between two looks, and the newer one is known first: its notice waits for the older one's, and not for long.
#[test]
fn runs_are_told_in_the_order_of_their_making() {
    let newer_known = || {
        let mut story = Story::new();
        story.pass(1).merge("ana-gh", "Fix RPC").pass(1).merge("ben-gh", "Bump zope");
        let lists = story.lists();
        story.tell(Event::Seen(lists));
        let (run, details) = story.newest().clone();
        story.tell(Event::Learned(vec![Finding::Details(Box::new(run), details)]));
        assert_eq!(story.heard(), "", "812 was there before");
        story
    };
    let told = |story: &mut Story| {
        let told: Vec<String> = story.said.drain(..).map(|said| said.chars().take(13).collect()).collect();
        told.into_iter().filter(|said| said.starts_with("notice")).collect::<Vec<_>>()
    };
    let mut story = newer_known();
    story.look();
    assert_eq!(told(&mut story)[..2], ["notice of 812", "notice of 813"]);
    // GitHub does not say what became of the older one.
    let mut story = newer_known();
    story.pass(1).tell(Event::Tick);
    assert_eq!(told(&mut story), ["notice of 813"]);
}

#[test]
fn two_merges_one_handover_one_question_one_production() {
    let mut story = Story::new();
    story.merge("ana-gh", "Fix RPC").look();
    assert_snapshot!(story.notice(812), @"
    *h · run 812* · [Fix RPC]
    🔨 Building the image
    ▫️ Staging: not yet
    ▫️ Production, Production (Canada): not yet
    Ships 1 change:
    • ⬜ [#4501] Fix RPC · @ANA, merged 10:00
    [What changes?] [Hold…]
    ");
    story.pass(1).job("Staging", Status::InProgress, None).look();
    assert_snapshot!(story.notice(812), @"
    *h · run 812* · [Fix RPC]
    🚚 Going to Staging
    🚀 Staging: deploying
    ▫️ Production, Production (Canada): not yet
    Ships 1 change:
    • ⬜ [#4501] Fix RPC · @ANA, merged 10:00
    [What changes?] [Hold…]
    ");

    story.pass(2).merge("ben-gh", "Bump zope").pass(1).look();
    assert_snapshot!(story.said.join("\n"), @"
    notice of 813: *h · run 813* · [Bump zope]
    🔨 Building the image
    ▫️ Staging: not yet
    ▫️ Production, Production (Canada): not yet
    [Hold…]
    notice of 813: *h · run 813* · [Bump zope]
    🔨 Building the image
    ▫️ Staging: not yet
    ▫️ Production, Production (Canada): not yet
    Ships 2 changes:
    • ⬜ [#4501] Fix RPC · @ANA, merged 10:00
    • ⬜ [#4502] Bump zope · @BEN, merged 10:03
    [What changes?] [Hold…]
    notice of 812: *h · run 812* · [Fix RPC] · ↪️ replaced by [run 813], which ships its changes too
    handover in thread of 813: @ANA, your deploy of #4501 was replaced when @BEN merged #4502. It now ships with run 813. Both of you test on Staging, then either can approve.
    ");
    story.said.clear();

    story.pass(5).on_staging().look();
    assert_snapshot!(story.heard(), @"
    ready in thread of 813: @ANA @BEN run 813 is on Staging.
    Please test what you changed, then tick “I tested mine” in the notice above. Then any approver can approve production there.
    ");

    story.pass(1).ask("ANA", Action::Tested { prs: vec![] });
    assert_snapshot!(story.said.join("\n"), @"
    record tested by ANA: done
    answer ANA: Thank you: #4501 ticked as tested on run 813. The notice shows it.
    notice of 813: *h · run 813* · [Bump zope]
    ⏳ On Staging since 10:09, waiting for approval
    ✅ Staging: done 10:09
    ⏸️ Production, Production (Canada): waiting for approval
    Ships 2 changes:
    • ✅ [#4501] Fix RPC · @ANA, tested 10:10
    • ⬜ [#4502] Bump zope · @BEN, merged 10:03
    [Approve production…] [I tested mine] [What changes?] [Hold…]
    ");
    story.said.clear();

    story.ask("BEN", Action::Approve { environments: String::new() });
    assert_snapshot!(story.heard(), @"
    answer BEN: h a000002 goes to Production and Production (Canada). It ships 2 changes of 2 people. Not ticked as tested: #4502.
    • ✅ [#4501] Fix RPC · @ANA, tested 10:10
    • ⬜ [#4502] Bump zope · @BEN, merged 10:03
    [Approve 2 environments] [Not now]
    ");
    story.click("BEN");
    assert_snapshot!(story.heard(), @"
    record approve by BEN: granted
    approve run 19000000813 attempt 1 at a000002 on Production, Production (Canada) for BEN
    ");
    story.taken();
    assert_snapshot!(story.heard(), @"answer BEN: Approved: run 813 goes to Production and Production (Canada). Its notice shows how it gets on.");
    story.pass(6).ship().look();
    assert_snapshot!(story.notice(813), @"
    *h · run 813* · [Bump zope]
    ✅ `a000002` is live on Production and Production (Canada) since 10:16 · approved by @BEN 10:10
    ✅ Staging: done 10:09
    ✅ Production, Production (Canada): done 10:16
    Shipped 2 changes:
    • ✅ [#4501] Fix RPC · @ANA, tested 10:10
    • ⬜ [#4502] Bump zope · @BEN, merged 10:03
    [Something is wrong…]
    ");
}

#[test]
fn a_merge_of_ones_own_next_change_hands_nothing_over() {
    let mut story = Story::new();
    story.merge("ana-gh", "One").look().pass(1).merge("ana-gh", "Two").pass(1).look();
    assert_snapshot!(story.heard(), @"");
}

#[test]
fn a_redeploy_that_takes_a_deploys_place_is_said_so() {
    let mut story = Story::new();
    story.merge("ana-gh", "Fix RPC").look().pass(1).start("ben-gh", "Redeploy");
    story.newest().0.workflow = Workflow::Redeploy;
    story.newest().0.event = "workflow_dispatch".into();
    story.pass(1).look();
    assert_snapshot!(story.heard(), @"handover in thread of 813: @ANA, your deploy of #4501 was replaced when @BEN started redeploy 813. Nothing deploys #4501 now: once the redeploy is done, `/deploy start h` does.");
    for name in ["Production", "Production (Canada)"] {
        story.job(name, Status::Completed, Some(Conclusion::Success));
    }
    story.pass(5).finish(Conclusion::Success).look();
    assert_snapshot!(story.notice(813), @"
    *h · redeploy 813* · [Redeploy]
    ☑️ Its jobs are done; whether Production and Production (Canada) got new servers was not seen: Elastic Beanstalk is not set up here
    ☑️ Production, Production (Canada): job done 10:02
    ");
    assert_snapshot!(story.app.pending_answer(story.now), @"
    *h* · 1 change not in production
    • [#4501] Fix RPC · @ANA · merged 7 min ago · redeploy 813 replaced run 812: nothing deploys it until Deploy is started again
    [Ping their authors]
    ");
}

#[test]
fn ignored_paths_ride_along_and_nobody_is_nagged() {
    let mut story = Story::new();
    story.merge_docs("chi-gh", "Write docs").pass(5).look();
    assert_snapshot!(story.app.pending_answer(story.now), @"
    *h* · 1 change not in production
    • [#4501] Write docs · @CHI · merged 5 min ago · no run of its own (only ignored files): rides along with the next deploy
    ");
    story.ask("BEN", Action::Ping);
    assert_snapshot!(story.heard(), @"
    refuse BEN: There is nobody to ping in h: what is merged is in production, or rides along with the next deploy.
    record ping by BEN: refused: nothing pending
    ");
    story.merge("ana-gh", "Fix RPC").look().pass(5).on_staging().look();
    assert_snapshot!(story.heard(), @"
    ready in thread of 812: @ANA run 812 is on Staging.
    Please test what you changed, then tick “I tested mine” in the notice above. Then any approver can approve production there.
    ");
}

#[test]
fn a_bots_change_belongs_to_whoever_merged_it() {
    let mut story = Story::new();
    story.merge("dependabot[bot]", "Bump zope");
    story.main.last_mut().expect("a change").merged_by = Some("chi-gh".into());
    story.newest().0.actor = "chi-gh".into();
    story.look().pass(5).on_staging().look();
    assert_snapshot!(story.heard(), @"
    ready in thread of 812: @CHI run 812 is on Staging.
    Please test what you changed, then tick “I tested mine” in the notice above. Then any approver can approve production there.
    ");
}

#[test]
fn a_ping_mentions_each_author_once() {
    let mut story = Story::new();
    story.merge("ana-gh", "Fix RPC").look().pass(1).merge("chi-gh", "Speed up search").pass(1).look();
    story.said.clear();
    story.ask("BEN", Action::Ping).ask("BEN", Action::Ping);
    assert_snapshot!(story.heard(), @"
    record ping by BEN: done
    ping in thread of 813: @ANA @CHI these changes of yours are not in production yet; ben-gh asks what they wait for.
    • [#4501] Fix RPC
    • [#4502] Speed up search
    answer BEN: They are mentioned in the notice’s thread.
    refuse BEN: They were all pinged about this before; once is enough.
    record ping by BEN: refused: pinged before
    ");
}

#[test]
fn status_pending_where_and_mine() {
    let mut story = Story::new();
    story.merge("ana-gh", "Fix RPC").look().pass(5).on_staging().look();
    story.heard();
    story.pass(90).look();
    assert_snapshot!(story.app.status(story.now), @"
    *h* · [hypothesis/h]
    • Staging (test) runs `a000001` from run 812 since 10:05
    • Production runs `a000000` from run 811 since 10:00
    • Production (Canada) runs `a000000` from run 811 since 10:00
    [Run 812] · Fix RPC: waiting for approval
    1 change not in production.
    ");
    assert_snapshot!(story.app.pending_answer(story.now), @"
    *h* · 1 change not in production
    • [#4501] Fix RPC · @ANA · merged 1 h ago · run 812: waiting for approval
    [Ping their authors]
    ");
    assert_snapshot!(story.app.journey(4501, story.now).expect("a journey"), @"
    [#4501] Fix RPC
    • Merged 1 h ago by ana-gh
    • [Run 812]: waiting for approval
    • ✅ on Staging since 10:05
    • ⬜ not on Production
    • ⬜ not on Production (Canada)
    ");
    assert_snapshot!(story.app.mine(&"ANA".into(), story.now).expect("something"), @"
    *h*
    • [#4501] Fix RPC · @ANA · merged 1 h ago · run 812: waiting for approval
    • [Run 812] waits for approval: `/deploy approve h`
    ");
    assert!(story.app.journey(9999, story.now).is_none());
}

#[test]
fn sixty_changes_are_cut_and_counted() {
    let mut story = Story::new();
    for n in 0..59 {
        story.merge_docs("chi-gh", &format!("Change {n}"));
    }
    story.merge("ana-gh", "The last").look();
    assert_snapshot!(story.notice(812), @"
    *h · run 812* · [The last]
    🔨 Building the image
    ▫️ Staging: not yet
    ▫️ Production, Production (Canada): not yet
    Ships 60 changes:
    • ⬜ [#4501] Change 0 · @CHI, merged 10:00
    • ⬜ [#4502] Change 1 · @CHI, merged 10:00
    • ⬜ [#4503] Change 2 · @CHI, merged 10:00
    • ⬜ [#4504] Change 3 · @CHI, merged 10:00
    • ⬜ [#4505] Change 4 · @CHI, merged 10:00
    • ⬜ [#4506] Change 5 · @CHI, merged 10:00
    • ⬜ [#4507] Change 6 · @CHI, merged 10:00
    • ⬜ [#4508] Change 7 · @CHI, merged 10:00
    • and 52 more
    [What changes?] [Hold…]
    ");
}

#[test]
fn a_restart_says_nothing_again() {
    let mut story = Story::new();
    story.merge("ana-gh", "Fix RPC").look().pass(1).merge("ben-gh", "Bump zope").pass(1).look();
    story.pass(5).on_staging().look().click("BEN").taken();
    story.said.clear();
    story.restart().look();
    assert_snapshot!(story.said.join("\n"), @"");
    story.pass(5).ship().restart().look();
    assert_snapshot!(story.said.join("\n"), @"
    notice of 813: *h · run 813* · [Bump zope]
    ✅ `a000002` is live on Production and Production (Canada) since 10:12 · approved by @BEN 10:07
    ✅ Staging: done 10:07
    ✅ Production, Production (Canada): done 10:12
    Shipped 2 changes:
    • ⬜ [#4501] Fix RPC · @ANA, merged 10:00
    • ⬜ [#4502] Bump zope · @BEN, merged 10:01
    [Something is wrong…]
    ");
    story.said.clear();
}

#[test]
fn a_first_deploy_has_no_list_of_changes() {
    let mut story = Story::new();
    story.app.state.live.clear();
    story.merge("ana-gh", "The first of all").look().pass(5).on_staging().look();
    assert_snapshot!(story.heard(), @"
    ready in thread of 812: @ANA run 812 is on Staging.
    Please test what you changed, then tick “I tested mine” in the notice above. Then any approver can approve production there.
    ");
    story.ask("BEN", Action::Approve { environments: String::new() });
    assert_snapshot!(story.heard(), @"
    answer BEN: h a000001 goes to Production and Production (Canada). What production runs is not known, so its changes cannot be listed.
    [Approve 2 environments] [Not now]
    ");
}

/// Slack would ring at whoever a new message mentions; the notice names them once it stands.
#[test]
fn a_notice_that_is_posted_while_on_hold_rings_nobody() {
    for (holder, shown) in [("MALLORY", "somebody"), ("CHI", "chi-gh")] {
        let mut story = Story::new();
        story.ask(holder, Action::Hold { reason: "migrating".into() }).said.clear();
        story.merge("ana-gh", "Fix RPC").look();
        let posted = story.said.iter().find(|said| said.starts_with("notice of 812")).expect("a notice");
        assert!(posted.contains(&format!("🔒 On hold by {shown} since")), "{posted}");
        assert!(!posted.contains('@'), "{posted}");
        assert!(story.notice(812).contains(&format!("🔒 On hold by @{holder} since")));
        story.heard();
    }
}
