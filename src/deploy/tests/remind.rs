//! Reminders, what people say to them, the digest, and the end of GitHub's patience.

use insta::assert_snapshot;

use super::*;
use crate::deploy::digest;
use crate::deploy::form::{Filled, Form};
use crate::deploy::remind::Remind;
use crate::deploy::remind_text;

impl Story {
    /// Whom there is something to remind of, and of what.
    fn nudges(&self) -> String {
        let parts = self.app.nudged(self.now).into_iter().map(|who| {
            let message = self.app.reminder(&who, self.now).expect("a reminder");
            format!("{who}: {message}")
        });
        parts.collect::<Vec<_>>().join("\n")
    }

    fn not_ready(&mut self, who: &str, changes: &[u64], reason: &str) -> &mut Self {
        let changes = changes.iter().map(|number| ChangeKey::Pr(*number)).collect();
        self.ask(who, Action::Remind(Remind::NotReady { changes, reason: reason.into() }))
    }
}

#[test]
fn an_old_change_is_called_to_mind() {
    let mut story = Story::new();
    story.merge("ana-gh", "Fix RPC").on_staging().look();
    story.said.clear();
    story.pass(239).look();
    assert_eq!(story.nudges(), "", "not old yet");
    story.pass(1).look();
    assert_snapshot!(story.nudges(), @"
    ANA: 👋 *h*: 1 change of yours is not in production yet.
    • [#4501] Fix RPC · merged 4 h ago · run 812: waiting for approval
    [Tested, approve…] [Not ready…] [Snooze 3 days]
    ");
    let message = story.app.reminder(&"ANA".into(), story.now).expect("a reminder");
    story.tell(Event::Remind { to: "ANA".into(), message });
    assert!(story.heard().starts_with("whisper to ANA: 👋 *h*: 1 change of yours"));
    assert_eq!(story.app.reminded(&"ANA".into()), Some(story.now));
    story.restart();
    assert_eq!(story.app.reminded(&"ANA".into()), Some(story.now), "also after a restart");
    story.pass(1).ship().look();
    assert_eq!(story.nudges(), "", "it is in production");
}

#[test]
fn whoever_holds_up_others_hears_of_it_sooner() {
    let mut story = Story::new();
    story.merge("ana-gh", "Fix RPC").pass(5).merge("ben-gh", "Bump zope").on_staging().look();
    story.said.clear();
    story.pass(59).look();
    assert_eq!(story.nudges(), "", "the run's thread is news enough");
    story.pass(1).look();
    assert_snapshot!(story.nudges(), @"
    ANA: 👋 *h*: 1 change of yours is not in production yet.
    • [#4501] Fix RPC · merged 1 h ago · run 813: waiting for approval · ben-gh waits for it
    [Tested, approve…] [Not ready…] [Snooze 3 days]
    ");
    story.ask("ANA", Action::Tested { prs: vec![] });
    story.said.clear();
    assert_snapshot!(story.nudges(), @"
    BEN: 👋 *h*: 1 change of yours is not in production yet.
    • [#4502] Bump zope · merged 1 h ago · run 813: waiting for approval · ana-gh waits for it
    [Tested, approve…] [Not ready…] [Snooze 3 days]
    ");
    story.ask("BEN", Action::Tested { prs: vec![] });
    story.said.clear();
    assert_eq!(story.nudges(), "", "both have done what they could");
}

#[test]
fn nobody_is_reminded_of_what_is_not_theirs_to_do() {
    let mut story = Story::new();
    story.merge("renovate[bot]", "Bump everything").on_staging().look();
    story.pass(600).look();
    story.said.clear();
    assert_eq!(story.nudges(), "", "a bot merged it by itself");

    let mut story = Story::new();
    story.merge_docs("ana-gh", "Mend the guide").pass(600).look();
    assert_eq!(story.nudges(), "", "it rides along");
    story.merge("ben-gh", "Bump zope").on_staging().look().pass(90).look();
    story.said.clear();
    assert_eq!(story.nudges(), "", "nobody waits for what rides along");
    story.pass(200).look();
    assert!(story.nudges().starts_with("BEN: 👋 *h*: 1 change of yours"));
    story.ask("BEN", Action::Hold { reason: "Moving the database".into() });
    story.said.clear();
    assert_eq!(story.nudges(), "", "on hold");

    let mut story = Story::with(Policy { remind_after: None, ..policy() }, pipeline());
    story.merge("ana-gh", "Fix RPC").pass(1).merge("ben-gh", "Bump zope").pass(6_000).look();
    story.said.clear();
    assert_eq!(story.nudges(), "", "turned off");
}

#[test]
fn a_bots_change_is_of_whoever_merged_it() {
    let mut story = Story::new();
    story.merge("renovate[bot]", "Bump everything");
    story.main.last_mut().expect("a change").merged_by = Some("chi-gh".into());
    story.on_staging().look().pass(240).look();
    story.said.clear();
    assert!(story.nudges().starts_with("CHI: 👋 *h*: 1 change of yours"));
}

#[test]
fn snoozed_is_snoozed() {
    let mut story = Story::new();
    story.merge("ana-gh", "Fix RPC").on_staging().look().pass(300).look();
    story.said.clear();
    story.ask("ANA", Action::Remind(Remind::Snooze));
    assert_snapshot!(story.heard(), @"
    record snooze by ANA: done
    answer ANA: I remind you of nothing in h for 3 days, until 15:00. Notices and mentions come as always.
    ");
    assert_eq!(story.nudges(), "");
    story.pass(3 * 1440 - 1).look();
    assert_eq!(story.nudges(), "");
    story.pass(1).look();
    assert!(story.nudges().starts_with("ANA:"));
    story.ask("GUEST", Action::Remind(Remind::Snooze));
    assert_snapshot!(story.heard(), @"
    refuse GUEST: Guests of this workspace cannot use Lockkeeper. Ask a member of the team.
    record snooze by GUEST: refused: guest
    ");
}

#[test]
fn what_is_not_ready_is_shown_to_everybody() {
    let mut story = Story::new();
    story.merge("ana-gh", "Fix RPC").pass(5).merge("ben-gh", "Bump zope").on_staging().look();
    story.ask("ANA", Action::Tested { prs: vec![] });
    story.said.clear();
    story.not_ready("ANA", &[4501], "The copy is\nnot approved");
    assert_snapshot!(story.said.join("\n"), @"
    record not ready by ANA: done
    whisper to ANA: Noted: #4501 is not ready: “The copy is not approved”. The notice says so, and `/deploy pending h`. Once it is ready, tick it as tested.
    notice of 813: *h · run 813* · [Bump zope]
    ⏳ On Staging since 10:05, waiting for approval
    ✅ Staging: done 10:05
    ⏸️ Production, Production (Canada): waiting for approval
    Ships 2 changes:
    • ⬜ [#4501] Fix RPC · @ANA, not ready: “The copy is not approved”
    • ⬜ [#4502] Bump zope · @BEN, merged 10:05
    [Approve production…] [I tested mine] [What changes?] [Hold…]
    ");
    story.said.clear();
    assert_snapshot!(story.app.pending_answer(story.now), @"
    *h* · 2 changes not in production
    • [#4501] Fix RPC · @ANA · merged 5 min ago · run 813: waiting for approval; not ready: “The copy is not approved”
    • [#4502] Bump zope · @BEN · merged a moment ago · run 813: waiting for approval
    [Ping their authors]
    ");
    story.ask("BEN", Action::Approve { environments: String::new() });
    assert_snapshot!(story.heard(), @"
    answer BEN: h a000002 goes to Production and Production (Canada). It ships 2 changes of 2 people. ⚠️ Its people say not ready: #4501. Not ticked as tested: #4501, #4502.
    • ⬜ [#4501] Fix RPC · @ANA, not ready: “The copy is not approved”
    • ⬜ [#4502] Bump zope · @BEN, merged 10:05
    [Approve 2 environments] [Not now]
    ");
    story.pass(240).look();
    assert_snapshot!(story.nudges(), @"
    ANA: 👋 *h*: 1 change of yours is not in production yet.
    • [#4501] Fix RPC · merged 4 h ago · run 813: waiting for approval · ben-gh waits for it · not ready, you said: “The copy is not approved”
    [Tested, approve…] [Not ready…] [Snooze 3 days]
    BEN: 👋 *h*: 1 change of yours is not in production yet.
    • [#4502] Bump zope · merged 4 h ago · run 813: waiting for approval
    [Tested, approve…] [Not ready…] [Snooze 3 days]
    ");
    story.ask("ANA", Action::Tested { prs: vec![] });
    story.said.clear();
    assert!(story.app.state.reminders.not_ready.is_empty(), "tested is ready");
}

#[test]
fn only_its_person_says_that_it_is_not_ready() {
    let mut story = Story::new();
    story.merge("ana-gh", "Fix RPC").on_staging().look();
    story.said.clear();
    story.not_ready("BEN", &[4501], "I do not like it");
    assert_snapshot!(story.heard(), @"
    refuse BEN: #4501 is not yours: its author, or whoever merged it, says that it is tested.
    record not ready by BEN: refused: not theirs
    ");
    story.not_ready("ANA", &[1], "Gone long ago");
    assert_snapshot!(story.heard(), @"
    refuse ANA: There is nobody to ping in h: what is merged is in production, or rides along with the next deploy.
    record not ready by ANA: refused: nothing pending
    ");
    story.not_ready("ANA", &[4501], "Wait").ship().look();
    story.said.clear();
    story.merge("ben-gh", "Next").look();
    story.said.clear();
    assert!(story.app.state.reminders.not_ready.is_empty(), "it shipped all the same");
}

#[test]
fn the_form_asks_which_and_why() {
    let mut story = Story::new();
    story.merge("ana-gh", "Fix RPC").pass(1).merge("ana-gh", "Speed up search").on_staging().look();
    story.said.clear();
    let both = vec![ChangeKey::Pr(4501), ChangeKey::Pr(4502)];
    let form = Form::NotReady { app: "h".into(), changes: both.clone() };
    let view = story.app.view(&form, story.now);
    let inputs: Vec<&str> = view.inputs.iter().map(|input| input.id.as_str()).collect();
    assert_eq!(inputs, ["changes", "reason"]);
    let mut filled = Filled::default();
    filled.words.insert("reason".into(), " Later ".into());
    filled.chosen.insert("changes".into(), vec!["#4502".into()]);
    let read = |changes: &[ChangeKey]| Remind::NotReady { changes: changes.to_vec(), reason: "Later".into() };
    assert_eq!(form.read(&filled), Ok(Action::Remind(read(&both[1..]))));
    let one = Form::NotReady { app: "h".into(), changes: both[..1].to_vec() };
    assert_eq!(story.app.view(&one, story.now).inputs.len(), 1, "there is nothing to choose");
    filled.chosen.clear();
    assert_eq!(one.read(&filled), Ok(Action::Remind(read(&both[..1]))));
    filled.words.clear();
    assert!(one.read(&filled).is_err(), "the reason is what the others need");
}

#[test]
fn tested_and_approve_ticks_and_asks_back() {
    let mut story = Story::new();
    story.merge("ana-gh", "Fix RPC").on_staging().look();
    story.said.clear();
    story.ask("ANA", Action::Remind(Remind::Tested));
    assert_snapshot!(story.heard(), @"
    record tested by ANA: done
    answer ANA: Thank you: #4501 ticked as tested on run 812. The notice shows it.
    answer ANA: h a000001 goes to Production and Production (Canada). It ships 1 change of 1 person.
    • ✅ [#4501] Fix RPC · @ANA, tested 10:00
    [Approve 2 environments] [Not now]
    ");

    let mut story = Story::new();
    story.merge("chi-gh", "Fix RPC").on_staging().look();
    story.said.clear();
    story.ask("CHI", Action::Remind(Remind::Tested));
    assert_snapshot!(story.heard(), @"
    record tested by CHI: done
    answer CHI: Thank you: #4501 ticked as tested on run 812. The notice shows it.
    record approve by CHI: refused: not an approver
    answer CHI: You are not among the approvers of this app. Ask one of them, or ask whoever runs Lockkeeper to add you.
    ");
    assert_eq!(story.app.state.ticks.len(), 1, "the tick stands");
}

#[test]
fn several_apps_are_one_reminder() {
    let mut story = Story::new();
    story.merge("ana-gh", "Fix RPC").look().pass(300).look();
    story.said.clear();
    let part = story.app.reminder(&"ANA".into(), story.now).expect("a reminder");
    let whole = remind_text::whole(vec![part.clone(), part.clone()]);
    assert_eq!(whole.parts.len(), 2 * part.parts.len());
    assert_eq!(whole.summary, part.summary);
}

#[test]
fn the_end_of_githubs_patience_is_said_early() {
    let mut story = Story::new();
    story.merge("ana-gh", "Fix RPC").on_staging().look();
    story.said.clear();
    story.pass(23 * 1440 - 1).look();
    assert_eq!(story.heard(), "");
    story.pass(1).look();
    assert_snapshot!(story.heard(), @"lapsing in thread of 812: @ANA [run 812] still waits for approval. GitHub lets it wait for 30 days and then lets it fail: that is in 7 days, 10:00. Approve or reject it before; a new run, by a merge or by starting Deploy again, waits anew.");
    story.pass(1440).look();
    assert_eq!(story.heard(), "", "once");
    story.pass(5 * 1440).look();
    assert_snapshot!(story.heard(), @"lapsing in thread of 812: @ANA [run 812] still waits for approval. GitHub lets it wait for 30 days and then lets it fail: that is within a day, 10:00. Approve or reject it before; a new run, by a merge or by starting Deploy again, waits anew.");

    let mut story = Story::new();
    story.merge("ana-gh", "Fix RPC").on_staging().look();
    story.said.clear();
    story.pass(29 * 1440 + 60).look();
    assert_eq!(story.heard().lines().count(), 1, "after a long sleep only the nearer one");
}

#[test]
fn a_week_in_figures() {
    let mut story = Story::new();
    story.merge("ana-gh", "Fix RPC").look().pass(5).merge("ben-gh", "Bump zope").pass(1).look();
    story.pass(5).on_staging().look().pass(114).ship().look();
    story.pass(60).merge("chi-gh", "Break it").look();
    story.pass(5).on_staging().look().pass(5).job("Production", Status::Completed, Some(Conclusion::Success));
    story.job("Production (Canada)", Status::Completed, Some(Conclusion::Failure));
    story.step("Production (Canada)", Some(Conclusion::Failure)).newest().1.gates.clear();
    story.finish(Conclusion::Failure).look();
    story.pass(20).merge("chi-gh", "Mend it").look().pass(10).on_staging().look().pass(10).ship().look();
    story.pass(600).merge("ana-gh", "Next").look();
    story.restart().look();
    story.said.clear();
    let due = story.now + SignedDuration::from_hours(1);
    let later = due + SignedDuration::from_mins(1);
    let message = digest::digest(&[&story.app], due, later).expect("a digest");
    assert_snapshot!(message, @"
    📊 *The last seven days* until 00:55
    *h*
    • Deployment frequency: 3 deployments to production, with 4 changes
    • Lead time: half of them were live within 50 min of their merge; together they waited 5 h
    • Change failure rate: 33 %, 1 of 3 deployments; time to restore: 40 min
    • 1 run was replaced by a newer one; production was split for 40 min
    • 1 change is not in production now, merged 1 h ago
    ");
    assert!(digest::is_due(&[&story.app], due, later));
    assert!(!digest::is_due(&[&story.app], due, due + SignedDuration::from_hours(24)), "too late");
    story.tell(Event::Digest { due, message: Some(message) });
    assert!(story.heard().starts_with("announce: 📊 *The last seven days* until"));
    assert!(!digest::is_due(&[&story.app], due, later), "once");
    assert!(digest::is_due(&[&story.app], due + SignedDuration::from_hours(168), later), "again the next week");
}

#[test]
fn a_quiet_week_is_not_told() {
    let mut story = Story::new();
    let due = story.now + SignedDuration::from_hours(1);
    assert_eq!(digest::digest(&[&story.app], due, due), None);
    story.tell(Event::Digest { due, message: None });
    assert_eq!(story.heard(), "");
    assert!(!digest::is_due(&[&story.app], due, due));
    let before = story.now - SignedDuration::from_hours(30);
    assert!(!digest::is_due(&[&Story::new().app], before, before), "nobody watched then");
}
