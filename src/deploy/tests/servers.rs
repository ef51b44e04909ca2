//! What Elastic Beanstalk shows beside GitHub: doubts settled, servers that differ, production split, and what cannot be read.

use insta::assert_snapshot;

use super::*;
use crate::deploy::pipeline::Beanstalk;
use crate::deploy::server::{Instance, Reading, ServerEvent, Servers, Unread};

const PLACES: [(&str, &str, &str); 3] = [
    ("Staging", "h-staging", "us-west-1"),
    ("Production", "h-prod", "us-west-1"),
    ("Production (Canada)", "h-prod", "ca-central-1"),
];

fn placed() -> Pipeline {
    let mut pipeline = pipeline();
    for (environment, (_, name, region)) in pipeline.environments.iter_mut().zip(PLACES) {
        environment.region = Some(region.into());
        environment.beanstalk = Some(Beanstalk { application: "h".into(), environment: name.into() });
    }
    pipeline
}

fn label(environment: &str, commit: &str) -> String {
    format!("{environment}20261123T100000Z-20261123-g{commit}")
}

/// Servers that are well, each with the commit given; the environment is meant to run the first one's.
fn servers(environment: &str, commits: &[&str]) -> Servers {
    let instance = |(nth, commit): (usize, &&str)| Instance {
        id: format!("i-{nth}"),
        label: Some(label(environment, commit)),
        deployment: Some(41),
        deployed: Some("Deployed".into()),
        launched_at: "2026-11-01T10:00:00Z".parse().ok(),
        health: Some("Ok".into()),
        causes: Vec::new(),
    };
    Servers {
        id: "e-1".into(),
        label: Some(label(environment, commits[0])),
        status: "Ready".into(),
        health: Some("Green".into()),
        health_status: Some("Ok".into()),
        instances: Some(commits.iter().enumerate().map(instance).collect()),
        ..Servers::default()
    }
}

fn updating(environment: &str, commits: &[&str]) -> Servers {
    let (status, health, health_status) = ("Updating".into(), Some("Grey".into()), Some("Info".into()));
    Servers { status, health, health_status, ..servers(environment, commits) }
}

impl Story {
    /// All three as they were, but for those given.
    fn survey(&mut self, changed: &[(&str, Reading)]) -> &mut Self {
        let mut readings: BTreeMap<EnvName, Reading> = PLACES
            .iter()
            .map(|(name, eb, _)| (EnvName::from(*name), Ok(servers(eb, &["a000000", "a000000"]))))
            .collect();
        readings.extend(changed.iter().map(|(name, reading)| (EnvName::from(*name), reading.clone())));
        self.tell(Event::Surveyed(readings));
        self
    }
}

/// Run 812 is through Staging and Production, and its job lost sight of Canada.
fn lost_canada() -> Story {
    let mut story = Story::with(policy(), placed());
    story.survey(&[]);
    story.merge("ana-gh", "Fix RPC").look().pass(5).on_staging().look().click("BEN").taken();
    story.newest().1.gates.clear();
    story.pass(1).job("Production", Status::Completed, Some(Conclusion::Success));
    story.job("Production (Canada)", Status::Completed, Some(Conclusion::Failure));
    story.step("Production (Canada)", Some(Conclusion::Failure)).finish(Conclusion::Failure).look();
    assert!(story.heard().contains("nobody knows which"));
    story
}

const NEW: [&str; 2] = ["a000001", "a000001"];

fn reached() -> Vec<(&'static str, Reading)> {
    vec![("Staging", Ok(servers("h-staging", &NEW))), ("Production", Ok(servers("h-prod", &NEW)))]
}

#[test]
fn the_job_is_gone_and_the_servers_finish() {
    let mut story = lost_canada();
    let mut shown = reached();
    shown.push(("Production (Canada)", Ok(updating("h-prod", &["a000000", "a000001"]))));
    story.pass(5).survey(&shown).pass(1).survey(&shown);
    assert_eq!(story.heard(), "", "it is on its way");
    shown[2].1 = Ok(servers("h-prod", &NEW));
    story.pass(5).survey(&shown);
    assert_snapshot!(story.said.join("\n"), @"
    announce: ✅ h: production runs one version again: `a000001`.
    notice of 812: *h · run 812* · [Fix RPC]
    ❌ Failed at Production (Canada): job [Production (Canada) / Deploy], step “Install dependencies and run deploy script”
    ✅ Staging: done 10:05
    ✅ Production: done 10:06
    ✅ Production (Canada): done, as Elastic Beanstalk shows
    Likely cause: not to be seen from here; the job’s log says more.
    Elastic Beanstalk, Production (Canada): Ready, Ok
    Production now: Production and Production (Canada) run `a000001`
    Nothing is left to do: Elastic Beanstalk finished what the job did not see.
    Ships 1 change:
    • ⬜ [#4501] Fix RPC · @ANA, merged 10:00
    certain in thread of 812: ✅ Production (Canada): Elastic Beanstalk went on by itself and is done: both servers run `a000001` now, though the job did not see it.
    ");
    story.said.clear();
    story.look().survey(&shown);
    assert_snapshot!(story.heard(), @"");
    assert_snapshot!(story.app.status(story.now), @"
    *h* · [hypothesis/h]
    • Staging (test) runs `a000001` from run 812 since 10:05 · Elastic Beanstalk: `a000001`, Ready, health Ok
    • Production runs `a000001` from run 812 since 10:06 · Elastic Beanstalk: `a000001`, Ready, health Ok
    • Production (Canada) runs `a000001` from run 812 since 10:17 · Elastic Beanstalk: `a000001`, Ready, health Ok
    [Run 812] · Fix RPC: failed
    Everything that is merged is in production.
    ");
    // The next closer look at the run brings no doubt back.
    story.pass(1);
    story.newest().0.updated_at = story.now;
    story.restart().look();
    assert!(story.app.state.unsure.is_empty());
    assert_eq!(story.heard(), "");
}

#[test]
fn the_job_is_gone_and_the_servers_keep_their_version() {
    let mut story = lost_canada();
    let shown = reached();
    story.survey(&shown).pass(1).survey(&shown);
    assert_eq!(story.heard(), "", "the deployment may be about to show");
    // The look before this one began too early to say.
    story.pass(2).survey(&shown);
    assert_eq!(story.heard(), "");
    story.pass(1).survey(&shown);
    assert_snapshot!(story.said.join("\n"), @"
    notice of 812: *h · run 812* · [Fix RPC]
    ❌ Failed at Production (Canada): job [Production (Canada) / Deploy], step “Install dependencies and run deploy script”
    ✅ Staging: done 10:05
    ✅ Production: done 10:06
    ⚪ Production (Canada): kept its version, as Elastic Beanstalk shows
    Likely cause: not to be seen from here; the job’s log says more.
    Elastic Beanstalk, Production (Canada): Ready, Ok
    ⚠️ Production is split: Production runs `a000001` · Production (Canada) runs `a000000`
    Next: look at the job, then retry its failed jobs. If it fails again, ask for help.
    Ships 1 change:
    • ⬜ [#4501] Fix RPC · @ANA, merged 10:00
    [Retry failed jobs]
    certain in thread of 812: ⚪ Production (Canada): Elastic Beanstalk is ready, and both servers run `a000000` as before: run 812 did not get there.
    ");
    story.said.clear();
    story.newest().0.updated_at = story.now;
    story.look().survey(&shown);
    assert_eq!(story.heard(), "", "said once, and the split was told before");
}

#[test]
fn a_version_that_nobody_knows_settles_nothing() {
    let mut story = lost_canada();
    let mut shown = reached();
    for odd in
        [servers("h-prod", &["b000009"]), Servers { label: Some("Sample Application".into()), ..Servers::default() }]
    {
        shown.push(("Production (Canada)", Ok(odd)));
        for _ in 0..3 {
            story.pass(2).survey(&shown);
        }
    }
    assert_eq!(story.app.state.unsure.len(), 1);
    assert_eq!(story.heard(), "");
}

#[test]
fn a_redeploy_lost_sight_of_its_servers() {
    let mut story = Story::with(policy(), placed());
    story.survey(&[]).start("ben-gh", "Redeploy");
    story.newest().0.workflow = Workflow::Redeploy;
    story.job("Production", Status::Completed, Some(Conclusion::Failure));
    story.step("Production", Some(Conclusion::Failure)).pass(1).finish(Conclusion::Failure).look();
    assert!(story.heard().contains("its servers unknown"));
    let mut renewed = servers("h-prod", &["a000000", "a000000"]);
    renewed.instances.iter_mut().flatten().for_each(|one| one.launched_at = Some(story.now));
    let shown = [("Production", Ok(renewed))];
    story.pass(3).survey(&shown).pass(1).survey(&shown);
    assert_snapshot!(story.heard(), @"
    announce: ✅ h: production runs one version again: `a000000`.
    certain in thread of 812: ✅ Production: Elastic Beanstalk is ready, and both servers run `a000000`; the redeploy has reached all of them.
    ");
}

#[test]
fn two_versions_are_silent_while_updating_alarm_when_ready_and_are_over_later() {
    let mut story = Story::with(policy(), placed());
    let mixed = ["a000000", "a000000", "a000001"];
    let during = [("Production", Ok(updating("h-prod", &mixed)))];
    story.survey(&during).pass(1).survey(&during).pass(1).survey(&during);
    assert_eq!(story.heard(), "");
    let ready = [("Production", Ok(servers("h-prod", &mixed)))];
    story.pass(1).survey(&ready);
    assert_eq!(story.heard(), "", "one look may fall between two moments");
    story.pass(1).survey(&ready);
    assert_snapshot!(story.heard(), @"
    announce: ⚠️ h: the servers of Production differ, though nothing is being deployed there. It does not pass by itself.
    • 2 servers run `20261123-ga000000`
    • 1 server runs `20261123-ga000001`
    It is meant to run `20261123-ga000000`. Next: deploy or redeploy it, which puts one version on all its servers. See `/deploy health h`.
    ");
    story.pass(1).survey(&ready).restart().look().survey(&ready);
    // Neither a change nor an answer that did not come is the end of it.
    story.survey(&during).survey(&[("Production", Err(Unread::Throttled))]).survey(&ready);
    assert_eq!(story.heard(), "");
    story.pass(1).survey(&[]);
    assert_snapshot!(story.heard(), @"announce: ✅ h: Production is well again: both servers run `20261123-ga000000`.");
    story.survey(&ready).survey(&during).survey(&ready);
    assert_eq!(story.heard(), "", "never twice in a row");
    story.survey(&[]);
}

#[test]
fn different_labels_of_one_image_are_no_split_and_different_images_are() {
    let mut story = Story::with(policy(), placed());
    let canada = |label: &str| {
        let instances = servers("h-prod", &["a000000"]).instances.unwrap();
        let instances = instances.into_iter().map(|one| Instance { label: Some(label.into()), ..one });
        let instances = Some(instances.collect());
        [(
            "Production (Canada)",
            Ok(Servers { label: Some(label.into()), instances, ..servers("h-prod", &["a000000"]) }),
        )]
    };
    let (same, other) = ("h-ca20261124T090000Z-20261123-ga000000", "h-ca20261124T090000Z-20261123-ga000009");
    for _ in 0..5 {
        story.survey(&canada(same)).look();
    }
    assert_eq!(story.heard(), "");
    story.survey(&canada(other)).survey(&canada(other)).look().survey(&canada(other)).look();
    assert_eq!(story.heard(), "", "GitHub may not have been asked since");
    story.look().survey(&canada(other));
    assert_snapshot!(story.heard(), @"
    announce: ⚠️ h: production is split, as Elastic Beanstalk shows.
    • Production runs `20261123-ga000000`
    • Production (Canada) runs `20261123-ga000009`
    Next: take the newest run to all of production. There is no rollback; repair by rolling forward.
    ");
    assert_snapshot!(story.app.status(story.now), @"
    *h* · [hypothesis/h]
    • Staging (test) runs `a000000` from run 811 since 10:00 · Elastic Beanstalk: `a000000`, Ready, health Ok
    • Production runs `a000000` from run 811 since 10:00 · Elastic Beanstalk: `a000000`, Ready, health Ok
    • Production (Canada) runs `a000000` from run 811 since 10:00 · Elastic Beanstalk: `a000009`, Ready, health Ok ⚠️ not what GitHub’s last deploy brought
    [Run 811] · The beginning: done
    Everything that is merged is in production.
    ");
    story.survey(&canada(other)).look().survey(&[("Production (Canada)", Err(Unread::Denied("ExpiredToken".into())))]);
    assert_eq!(story.heard(), "", "what cannot be read is not well again");
    story.survey(&canada(same));
    assert_snapshot!(story.heard(), @"announce: ✅ h: production runs one version again: `a000000`.");
}

#[test]
fn a_run_on_its_way_through_production_is_no_split() {
    let mut story = Story::with(policy(), placed());
    story.merge("ana-gh", "Fix RPC").look().pass(5).on_staging().look().click("BEN").taken();
    story.heard();
    story.newest().1.gates.clear();
    story.pass(1).job("Production", Status::Completed, Some(Conclusion::Success));
    story.job("Production (Canada)", Status::InProgress, None);
    for _ in 0..5 {
        story.survey(&reached()).look();
    }
    assert_eq!(story.heard(), "");
    let mut shown = reached();
    shown.push(("Production (Canada)", Ok(servers("h-prod", &NEW))));
    story.ship().look().survey(&shown).survey(&shown);
    assert_eq!(story.heard(), "", "nothing was told, so nothing is over");
}

#[test]
fn health_shows_each_environment_for_itself() {
    let mut story = Story::with(policy(), placed());
    assert_snapshot!(story.app.health(story.now), @"h: Elastic Beanstalk has not been asked yet. Ask again in a moment.");
    let mut sick = servers("h-prod", &["a000000", "a000000", "a000001"]);
    sick.health = Some("Red".into());
    sick.health_status = Some("Severe".into());
    sick.causes = vec!["52.4 % of the requests are failing with HTTP 5xx. <!channel>".into()];
    let event = |severity: &str, message: &str| ServerEvent {
        at: story.now - SignedDuration::from_mins(5),
        severity: severity.into(),
        message: message.into(),
    };
    sick.events =
        vec![event("ERROR", "Failed to deploy application."), event("INFO", "Environment update is starting.")];
    if let Some(last) = sick.instances.as_mut().and_then(|all| all.last_mut()) {
        last.deployed = Some("Failed".into());
        last.health = Some("Severe".into());
        last.causes = vec!["Application deployment failed.".into()];
    }
    let canada = Err(Unread::Denied("ExpiredToken".into()));
    let staging = Ok(updating("h-staging", &["a000000", "a000001"]));
    let shown = [("Staging", staging), ("Production", Ok(sick)), ("Production (Canada)", canada)];
    story.survey(&shown);
    assert_snapshot!(story.app.health(story.now), @"
    *h* · Elastic Beanstalk’s view
    🔄 Staging (test) · `h-staging` in us-west-1: Updating, health Info
    • 1 server runs `20261123-ga000000`
    • 1 server runs `20261123-ga000001`
    • something is being changed, so different versions are as they should be
    ⚠️ Production · `h-prod` in us-west-1: Ready, health Severe
    • ⚠️ its servers differ, though nothing is being deployed; it is meant to run `20261123-ga000000` (label `h-prod20261123T100000Z-20261123-ga000000`)
    • 2 servers run `20261123-ga000000`
    • 1 server runs `20261123-ga000001`
    • the last deployment failed on 1 server
    • 52.4 % of the requests are failing with HTTP 5xx. <!channel>
    • `i-2` Severe: Application deployment failed.
    • 09:55 *ERROR* Failed to deploy application.
    • 09:55 Environment update is starting.
    ❓ Production (Canada) · `h-prod` in ca-central-1: unknown, AWS does not let me look (ExpiredToken)
    Asked at 10:00.
    ");
    assert_snapshot!(story.app.health_brief(), @"*h* · 🔄 Staging (test) · `h-staging` in us-west-1: Updating, health Info · ⚠️ Production · `h-prod` in us-west-1: Ready, health Severe · ❓ Production (Canada) · `h-prod` in ca-central-1: unknown, AWS does not let me look (ExpiredToken)");
    story.pass(10);
    assert_snapshot!(story.app.status(story.now), @"
    *h* · [hypothesis/h]
    • Staging (test) runs `a000000` from run 811 since 10:00 · Elastic Beanstalk: `a000000`, Updating, health Info
    • Production runs `a000000` from run 811 since 10:00 · Elastic Beanstalk: `a000000`, Ready, health Severe ⚠️ its servers differ
    • Production (Canada) runs `a000000` from run 811 since 10:00 · Elastic Beanstalk: unknown, AWS does not let me look (ExpiredToken)
    [Run 811] · The beginning: done
    Everything that is merged is in production.
    ⚠️ Elastic Beanstalk was last asked 10 min ago; this is what it said then.
    ⚠️ GitHub was last reached 10 min ago; this is what was true then.
    ");
    let basic = Servers { instances: None, ..servers("h-prod", &["a000000"]) };
    story.survey(&[("Production", Ok(basic)), ("Production (Canada)", Ok(servers("h-prod", &["a000009"])))]);
    assert_snapshot!(story.app.health(story.now), @"
    *h* · Elastic Beanstalk’s view
    ✅ Staging (test) · `h-staging` in us-west-1: Ready, health Ok
    • both servers run `20261123-ga000000` (label `h-staging20261123T100000Z-20261123-ga000000`)
    ✅ Production · `h-prod` in us-west-1: Ready, health Ok
    • is meant to run `20261123-ga000000` (label `h-prod20261123T100000Z-20261123-ga000000`); its single servers cannot be read
    ✅ Production (Canada) · `h-prod` in ca-central-1: Ready, health Ok
    • its only server runs `20261123-ga000009` (label `h-prod20261123T100000Z-20261123-ga000009`)
    • ⚠️ GitHub’s last successful deploy brought `a000000` (run 811)
    Asked at 10:10.
    ");
    story.restart();
    let last = story.app.health(story.now).parts.pop().expect("an age").to_string();
    assert_snapshot!(last, @"⚠️ Elastic Beanstalk has not been asked since the start; this is what it said before.");
}

#[test]
fn without_aws_the_texts_say_what_is_missing() {
    let mut pipeline = placed();
    pipeline.environments[0].region = None;
    let mut story = Story::with(policy(), pipeline);
    let unread = PLACES.map(|(name, ..)| (name, Err(Unread::NotConfigured)));
    story.survey(&unread);
    assert_snapshot!(story.app.health(story.now), @"
    *h* · Elastic Beanstalk’s view
    ❓ Staging (test): unknown, its region or name at Elastic Beanstalk is not known; the settings file can say it
    ❓ Production · `h-prod` in us-west-1: unknown, there are no AWS credentials here, or the settings say `aws = false`
    ❓ Production (Canada) · `h-prod` in ca-central-1: unknown, there are no AWS credentials here, or the settings say `aws = false`
    ");
    assert_snapshot!(story.app.status(story.now), @"
    *h* · [hypothesis/h]
    • Staging (test) runs `a000000` from run 811 since 10:00
    • Production runs `a000000` from run 811 since 10:00
    • Production (Canada) runs `a000000` from run 811 since 10:00
    [Run 811] · The beginning: done
    Everything that is merged is in production.
    Elastic Beanstalk is not looked at: there are no AWS credentials here, or the settings say `aws = false`. Everything else works.
    ");
    // What GitHub tells is told, and its end as well.
    story.merge("ana-gh", "Fix RPC").look().pass(5).on_staging().look().click("BEN").taken();
    story.heard();
    story.newest().1.gates.clear();
    story.job("Production", Status::Completed, Some(Conclusion::Success));
    story.job("Production (Canada)", Status::Completed, Some(Conclusion::Failure)).finish(Conclusion::Failure);
    story.look().survey(&unread);
    assert!(story.heard().contains("Production is split"));
    story.merge("ana-gh", "Fix it").look().pass(5).on_staging().look().click("BEN").taken();
    story.ship().look().survey(&unread).survey(&unread);
    assert_snapshot!(story.heard(), @"
    ready in thread of 813: @ANA run 813 is on Staging.
    Please test what you changed, then tick “I tested mine” in the notice above. Then any approver can approve production there.
    record approve by BEN: granted
    approve run 19000000813 attempt 1 at a000002 on Production, Production (Canada) for BEN
    answer BEN: Approved: run 813 goes to Production and Production (Canada). Its notice shows how it gets on.
    announce: ✅ h: production runs one version again: `a000002`.
    ");
}
