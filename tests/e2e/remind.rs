//! Reminders and the weekly digest, by the sandbox's clock: a story first goes to a weekday and an hour, so it is the same whenever
//! it is told.

use insta::assert_snapshot;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use lockkeeper::sandbox::slack::{Fault, Message, Role};
use lockkeeper::sandbox::world::{Act, MergeKind};

use crate::town::{DEPLOYS, H, SETTINGS, Town, timeless, until};

/// A town whose bot reminds people.
pub async fn town() -> Town {
    Town::with(&SETTINGS.replace("remind_after = \"off\"", "remind_after = \"4h\"")).await
}

impl Town {
    /// Time passes until it is that hour of that weekday in UTC, and the bot looks.
    pub async fn travel(&self, day: Weekday, hour: i8) {
        let now = self.sandbox.clock.now().to_zoned(TimeZone::UTC);
        let days = i64::from(now.weekday().until(day));
        let moment = |days: i64| -> Timestamp {
            let date = (now.date().at(hour, 0, 0, 0).to_zoned(TimeZone::UTC)).expect("a time");
            date.timestamp() + SignedDuration::from_hours(24 * days)
        };
        let then = if moment(days) > now.timestamp() { moment(days) } else { moment(days + 7) };
        let seconds = then.duration_since(now.timestamp()).as_secs() + 1;
        self.act(Act::Pass { seconds: seconds.unsigned_abs() });
        self.settled().await;
    }

    fn dms(&self, user: &str) -> Vec<Message> {
        self.sandbox.workspace.dms(user)
    }

    /// What the bot last wrote to somebody alone.
    fn wrote(&self, user: &str) -> String {
        timeless(&self.dms(user).last().expect("a direct message").reads())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reminders_keep_to_working_hours_and_come_once_a_day() {
    let town = town().await;
    town.travel(Weekday::Wednesday, 8).await;
    // Ana lives in Berlin, Chi in Tokyo.
    town.waiting("ana-gh", "Fix RPC").await;
    town.act(Act::Pass { seconds: 60 });
    town.waiting("chi-gh", "Speed up search").await;
    town.pass(45).await;
    assert!(town.dms("UANA").is_empty(), "a young change is nobody's trouble");
    town.pass(5 * 60).await;
    assert_snapshot!(town.wrote("UANA"), @"
    👋 h: 1 change of yours is not in production yet.
    #4498 Fix RPC · merged 5 h ago · run 813: waiting for approval · chi-gh waits for it
    Tested, approve…
    Not ready…
    Snooze 3 days
    ");
    assert!(town.dms("UCHI").is_empty(), "it is night in Tokyo");
    town.pass(30).await;
    assert_eq!(town.dms("UANA").len(), 1, "not twice a day");

    town.travel(Weekday::Thursday, 2).await;
    assert_eq!(town.dms("UANA").len(), 1, "not at night");
    assert_eq!(town.dms("UCHI").len(), 1, "it is morning in Tokyo");
    town.travel(Weekday::Thursday, 10).await;
    assert_eq!(town.dms("UANA").len(), 2, "again on the next day");
    town.travel(Weekday::Saturday, 10).await;
    town.travel(Weekday::Sunday, 10).await;
    assert_eq!(town.dms("UANA").len(), 2, "not on weekends");
    town.travel(Weekday::Monday, 10).await;
    assert_eq!(town.dms("UANA").len(), 3);
    assert!(town.mentions().iter().all(|who| ["UANA", "UCHI"].contains(&who.as_str())));
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_holds_up_somebody_is_reminded_sooner() {
    let town = town().await;
    town.travel(Weekday::Wednesday, 8).await;
    town.waiting("ana-gh", "Fix RPC").await;
    town.act(Act::Pass { seconds: 60 });
    town.waiting("ben-gh", "Bump zope-interface").await;
    town.pass(70).await;
    assert_snapshot!(town.wrote("UANA"), @"
    👋 h: 1 change of yours is not in production yet.
    #4498 Fix RPC · merged 1 h ago · run 813: waiting for approval · ben-gh waits for it
    Tested, approve…
    Not ready…
    Snooze 3 days
    ");
    assert!(town.dms("UBEN").is_empty(), "nobody waits for Ben");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bots_and_those_who_ride_along_are_left_alone() {
    let settings = SETTINGS.replace("remind_after = \"off\"", "remind_after = \"4h\"");
    let town = Town::with(&settings.replace("[people]\n", "[people]\n\"dependabot[bot]\" = \"UROBOT\"\n")).await;
    town.sandbox.workspace.set_role("UDORA", Role::Gone);
    town.travel(Weekday::Wednesday, 8).await;
    let merge = |author: &str, by: Option<&str>, docs| Act::Merge {
        repo: H.into(),
        author: author.into(),
        by: by.map(str::to_owned),
        title: "Bump requests".into(),
        kind: MergeKind::Squash,
        commits: 1,
        docs,
        body: None,
    };
    town.act(merge("dependabot[bot]", Some("dependabot[bot]"), false));
    town.act(Act::Pass { seconds: 10 });
    town.act(merge("dora-gh", None, false));
    town.act(Act::Pass { seconds: 10 });
    let run = town.act(merge("dependabot[bot]", Some("ben-gh"), false));
    town.act(merge("ana-gh", None, true));
    town.on_staging(run);
    town.settled().await;
    // Morning in New York, afternoon in Berlin.
    town.travel(Weekday::Wednesday, 15).await;
    for (who, why) in [("UROBOT", "a bot"), ("UDORA", "gone"), ("UANA", "her change rides along")] {
        assert!(town.dms(who).is_empty(), "{why}");
    }
    assert_snapshot!(town.wrote("UBEN"), @"
    👋 h: 1 change of yours is not in production yet.
    #4500 Bump requests · merged 6 h ago · run 814: waiting for approval
    Tested, approve…
    Not ready…
    Snooze 3 days
    ");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snoozed_is_snoozed() {
    let town = town().await;
    town.travel(Weekday::Monday, 8).await;
    town.waiting("ana-gh", "Fix RPC").await;
    town.travel(Weekday::Monday, 13).await;
    let reminder = town.dms("UANA").pop().expect("a reminder");
    town.click("UANA", &reminder.at(), "Snooze 3 days").await;
    assert_snapshot!(town.told("UANA"), @"I remind you of nothing in h for 3 days, until (time). Notices and mentions come as always.");
    for day in [Weekday::Tuesday, Weekday::Wednesday, Weekday::Thursday] {
        town.travel(day, 12).await;
    }
    assert_eq!(town.dms("UANA").len(), 1);
    town.travel(Weekday::Friday, 12).await;
    assert_eq!(town.dms("UANA").len(), 2);
    assert!(town.history().await.contains("<@UANA> · snooze · done"));
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_ready_is_said_with_a_reason_and_tested_leads_to_the_approval() {
    let town = town().await;
    town.travel(Weekday::Wednesday, 8).await;
    let run = town.waiting("ana-gh", "Fix RPC").await;
    town.travel(Weekday::Wednesday, 13).await;
    let reminder = town.dms("UANA").pop().expect("a reminder");
    town.click("UANA", &reminder.at(), "Not ready…").await;
    town.fill_in("UANA", "Legal has to <!channel> agree").await;
    assert_snapshot!(town.wrote("UANA"), @"Noted: #4498 is not ready: “Legal has to <!channel> agree”. The notice says so, and /deploy pending h. Once it is ready, tick it as tested.");
    assert!(town.says(812).contains("not ready: “Legal has to <!channel> agree”"), "{}", town.says(812));
    town.pass(30).await;
    town.command("UBEN", "pending h").await;
    assert_snapshot!(town.told("UBEN"), @"
    h · 1 change not in production
    #4498 Fix RPC · <@UANA> · merged 5 h ago · run 812: waiting for approval; not ready: “Legal has to <!channel> agree”
    Ping their authors
    ");

    town.travel(Weekday::Thursday, 13).await;
    let reminder = town.dms("UANA").pop().expect("another reminder");
    assert!(reminder.reads().contains("not ready, you said"), "{}", reminder.reads());
    town.click("UANA", &reminder.at(), "Tested, approve…").await;
    assert!(town.reviews().is_empty(), "it asks back");
    let asked = town.answer("UANA");
    assert_snapshot!(timeless(&asked.reads()), @"
    h 14c7efe goes to Production, Production (WebSocket) and Production (Canada). It ships 1 change of 1 person.
    ✅ #4498 Fix RPC · <@UANA>, tested (time)
    Approve 3 environments
    Not now
    ");
    town.click("UANA", &asked.at(), "Approve 3 environments").await;
    assert_eq!(town.reviews().len(), 1);
    town.ship(run);
    town.settled().await;
    town.travel(Weekday::Friday, 12).await;
    let reminders = town.dms("UANA").into_iter().filter(|dm| dm.reads().contains("in production yet"));
    assert_eq!(reminders.count(), 2, "it is in production");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reminder_whose_answer_was_lost_comes_once() {
    let town = town().await;
    town.travel(Weekday::Wednesday, 8).await;
    town.waiting("ana-gh", "Fix RPC").await;
    town.sandbox.workspace.fault(Fault::Http500 { method: "users.info".into(), times: 1 });
    town.sandbox.workspace.fault(Fault::Http500 { method: "conversations.open".into(), times: 1 });
    town.sandbox.workspace.fault(Fault::Http500After { method: "chat.postMessage".into(), times: 1 });
    town.travel(Weekday::Wednesday, 13).await;
    town.settled().await;
    assert_eq!(town.dms("UANA").len(), 1);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reminder_that_slack_does_not_take_is_not_given_at_night() {
    let town = town().await;
    town.travel(Weekday::Wednesday, 8).await;
    town.waiting("ana-gh", "Fix RPC").await;
    let workspace = &town.sandbox.workspace;
    workspace.fault(Fault::Http500 { method: "chat.postMessage".into(), times: 1_000 });
    town.act(Act::Pass { seconds: 5 * 3_600 });
    let tried = || workspace.calls().iter().any(|call| call.method == "chat.postMessage" && call.status == 500);
    until("the bot to try", || async { tried().then_some(()) }).await;
    town.act(Act::Pass { seconds: 9 * 3_600 });
    let left = async || town.shell().store.backlog().await.expect("a store").count;
    until("the bot to give up", || async { (left().await == 0).then_some(()) }).await;
    workspace.clear_faults();
    town.settled().await;
    assert!(town.dms("UANA").is_empty(), "it is night in Berlin");
    town.travel(Weekday::Thursday, 10).await;
    assert_eq!(town.dms("UANA").len(), 1);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_week_of_two_apps_is_one_digest() {
    let settings = SETTINGS
        .replace("digest = \"off\"", "digest = \"Mon 9:00\"")
        .replace("remind_after = \"off\"", "remind_after = \"24h\"");
    let town = Town::with(&format!("{settings}lms = \"hypothesis/lms\"\n")).await;
    town.travel(Weekday::Tuesday, 9).await;
    town.merge("ana-gh", "Fix RPC");
    town.settled().await;
    town.pass(10).await;
    let run = town.waiting("ben-gh", "Bump zope-interface").await;
    town.pass(150).await;
    town.approve("UANA").await;
    town.ship(run);
    town.settled().await;
    let lms = "hypothesis/lms";
    town.act_at(lms, Act::merge(lms, "ana-gh", "Grade essays"));
    town.settled().await;
    town.merge("ana-gh", "Speed up search");
    town.settled().await;
    let before = town.dms("UANA").len();
    town.travel(Weekday::Thursday, 12).await;
    assert_eq!(town.dms("UANA").len(), before + 1, "one reminder for both apps");
    assert_snapshot!(town.wrote("UANA"), @"
    👋 h: 1 change of yours is not in production yet.
    #4500 Speed up search · merged 2 days ago · run 814: waiting to start
    Not ready…
    Snooze 3 days
    👋 lms: 1 change of yours is not in production yet.
    #6125 Grade essays · merged 2 days ago · run 1435: waiting to start
    Not ready…
    Snooze 3 days
    ");

    town.travel(Weekday::Monday, 8).await;
    let digests = || {
        let messages = town.sandbox.workspace.messages(DEPLOYS);
        messages.into_iter().filter(|m| m.reads().contains("The last seven days")).collect::<Vec<_>>()
    };
    assert!(digests().is_empty(), "not yet");
    town.travel(Weekday::Monday, 10).await;
    assert_eq!(digests().len(), 1, "one for the channel");
    assert_snapshot!(timeless(&digests()[0].reads()), @"
    📊 The last seven days until (time)
    h
    Deployment frequency: 1 deployment to production, with 2 changes
    Lead time: half of them were live within 2 h of their merge; together they waited 5 h
    Change failure rate: 0 %
    1 run was replaced by a newer one
    1 change is not in production now, merged 5 days ago
    lms
    Deployment frequency: nothing came to production
    1 change is not in production now, merged 5 days ago
    ");
    town.travel(Weekday::Monday, 17).await;
    assert_eq!(digests().len(), 1);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_that_waits_too_long_is_called_to_mind() {
    let town = Town::open().await;
    town.waiting("ana-gh", "Fix RPC").await;
    town.pass(22 * 1440).await;
    assert_eq!(town.thread(812).len(), 1, "{:?}", town.thread(812));
    town.pass(1440 + 5).await;
    assert_eq!(town.thread(812).len(), 2, "{:?}", town.thread(812));
    town.pass(6 * 1440).await;
    assert_snapshot!(town.thread(812)[1..].join("\n"), @"
    <@UANA> run 812 still waits for approval. GitHub lets it wait for 30 days and then lets it fail: that is in 7 days, (time). Approve or reject it before; a new run, by a merge or by starting Deploy again, waits anew.
    <@UANA> run 812 still waits for approval. GitHub lets it wait for 30 days and then lets it fail: that is within a day, (time). Approve or reject it before; a new run, by a merge or by starting Deploy again, waits anew.
    ");
    town.close().await;
}
