//! Servers: what Elastic Beanstalk shows beside what GitHub's jobs tell, region by region.

use insta::assert_snapshot;
use lockkeeper::sandbox::world::{Act, AwsFaultKind, Health, Outcome, Policy, ServerTurn, Severity};

use crate::town::{DEPLOYS, H, SETTINGS, Town, timeless};

impl Town {
    /// What the channel was told beside notices, oldest first.
    fn announced(&self) -> Vec<String> {
        let messages = self.sandbox.workspace.messages(DEPLOYS);
        let said = messages.iter().filter(|m| m.thread_ts.is_none()).map(|m| m.reads());
        said.filter(|text| !text.starts_with("h · ")).map(|text| ageless(&text)).collect()
    }

    async fn asks(&self, command: &str) -> String {
        self.command("UCHI", command).await;
        ageless(&self.told("UCHI"))
    }
}

/// Text without times, also those in versions: `h-prod(made)-(day)-g1234567`.
fn ageless(text: &str) -> String {
    let text = timeless(text);
    let digits = |part: &str| part.len() == 8 && part.bytes().all(|b| b.is_ascii_digit());
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        if rest.get(..8).is_some_and(digits) {
            let made = rest.get(8..16).is_some_and(|t| t.starts_with('T') && t.ends_with('Z'));
            out.push_str(if made { "(made)" } else { "(day)" });
            rest = &rest[if made { 16 } else { 8 }..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

fn deploy_step(run: u64, job: &str) -> Act {
    Act::DeployStep { repo: H.into(), run, job: job.into() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_login_expires_and_elastic_beanstalk_goes_on() {
    let town = Town::open().await;
    let run = town.waiting("ana-gh", "Fix RPC").await;
    town.approve("UBEN").await;
    town.finish(run, &["Production", "Production (WebSocket)"], Outcome::Success);
    town.act(deploy_step(run, "Production (Canada)"));
    town.finish(run, &["Production (Canada)"], Outcome::Failure);
    town.settled().await;
    assert!(town.says(812).contains("❓ Production (Canada): unknown"), "{}", town.says(812));
    assert_snapshot!(town.asks("health h").await, @"
    h · Elastic Beanstalk’s view
    ✅ Staging (test) · h-staging in us-west-1: Ready, health Ok
    both servers run (day)-g14c7efe (label h-staging(made)-(day)-g14c7efe)
    (time) Environment update completed successfully.
    ✅ Staging (WebSocket) (test) · h-websocket-staging in us-west-1: Ready, health Ok
    both servers run (day)-g14c7efe (label h-websocket-staging(made)-(day)-g14c7efe)
    (time) Environment update completed successfully.
    ✅ Production · h-prod in us-west-1: Ready, health Ok
    all 4 servers run (day)-g14c7efe (label h-prod(made)-(day)-g14c7efe)
    (time) Environment update completed successfully.
    ✅ Production (WebSocket) · h-websocket-prod in us-west-1: Ready, health Ok
    all 4 servers run (day)-g14c7efe (label h-websocket-prod(made)-(day)-g14c7efe)
    (time) Environment update completed successfully.
    🔄 Production (Canada) · h-prod in ca-central-1: Updating, health Info
    4 servers run (day)-g62f5268
    4 servers run (day)-g14c7efe
    something is being changed, so different versions are as they should be
    ❓ run 812 touched it and nobody has seen the end yet
    Command is executing on all instances.
    (time) Deploying new version to instance(s).
    (time) Environment update is starting.
    (time) Environment update completed successfully.
    Asked at (time).
    ");
    town.pass(2).await;
    assert_snapshot!(town.says(812), @"
    h · run 812 · Fix RPC
    ❌ Failed at Production (Canada): job Production (Canada) / Deploy, step “Install dependencies and run deploy script”
    ✅ Staging, Staging (WebSocket): done (time)
    ✅ Production, Production (WebSocket): done (time)
    ✅ Production (Canada): done, as Elastic Beanstalk shows
    Likely cause: not to be seen from here; the job’s log says more.
    Elastic Beanstalk, Production (Canada): Ready, Ok
    (time) INFO Environment update completed successfully.
    (time) INFO New application version was deployed to running EC2 instances.
    (time) INFO Deploying new version to instance(s).
    Production now: Production, Production (WebSocket) and Production (Canada) run 14c7efe
    Nothing is left to do: Elastic Beanstalk finished what the job did not see.
    Ships 1 change:
    ⬜ #4498 Fix RPC · <@UANA>, merged (time)
    ");
    assert_snapshot!(town.thread(812).last().expect("a word"), @"✅ Production (Canada): Elastic Beanstalk went on by itself and is done: all 4 servers run 14c7efe now, though the job did not see it.");
    assert_snapshot!(town.announced().join("\n---\n"), @"✅ h: production runs one version again: 14c7efe.");
    assert_snapshot!(town.asks("status h").await, @"
    h · hypothesis/h
    Staging (test) runs 14c7efe from run 812 since (time) · Elastic Beanstalk: 14c7efe, Ready, health Ok
    Staging (WebSocket) (test) runs 14c7efe from run 812 since (time) · Elastic Beanstalk: 14c7efe, Ready, health Ok
    Production runs 14c7efe from run 812 since (time) · Elastic Beanstalk: 14c7efe, Ready, health Ok
    Production (WebSocket) runs 14c7efe from run 812 since (time) · Elastic Beanstalk: 14c7efe, Ready, health Ok
    Production (Canada) runs 14c7efe from run 812 since (time) · Elastic Beanstalk: 14c7efe, Ready, health Ok
    Run 812 · Fix RPC: failed
    Everything that is merged is in production.
    ");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elastic_beanstalk_keeps_the_old_version() {
    let town = Town::open().await;
    let run = town.waiting("ana-gh", "Fix RPC").await;
    town.approve("UBEN").await;
    town.servers("Production (Canada)", ServerTurn::Policy(Policy::Immutable));
    town.finish(run, &["Production", "Production (WebSocket)"], Outcome::Success);
    town.act(deploy_step(run, "Production (Canada)"));
    town.servers("Production (Canada)", ServerTurn::Fail);
    town.finish(run, &["Production (Canada)"], Outcome::Failure);
    town.settled().await;
    assert!(town.says(812).contains("nobody knows which"), "{}", town.says(812));
    town.pass(3).await;
    assert_snapshot!(town.thread(812).last().expect("a word"), @"⚪ Production (Canada): Elastic Beanstalk is ready, and all 4 servers run 62f5268 as before: run 812 did not get there.");
    assert!(town.says(812).contains("⚪ Production (Canada): kept its version"), "{}", town.says(812));
    assert_eq!(town.announced(), [""; 0], "the split is there still, and was told");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_versions_are_silent_while_updating_alarm_when_ready_and_are_over_later() {
    let town = Town::open().await;
    let run = town.waiting("ana-gh", "Fix RPC").await;
    town.approve("UBEN").await;
    town.servers("Production", ServerTurn::Policy(Policy::Rolling));
    town.act(deploy_step(run, "Production"));
    town.settled().await;
    assert_snapshot!(town.asks("health h").await, @"
    h · Elastic Beanstalk’s view
    ✅ Staging (test) · h-staging in us-west-1: Ready, health Ok
    both servers run (day)-g14c7efe (label h-staging(made)-(day)-g14c7efe)
    (time) Environment update completed successfully.
    ✅ Staging (WebSocket) (test) · h-websocket-staging in us-west-1: Ready, health Ok
    both servers run (day)-g14c7efe (label h-websocket-staging(made)-(day)-g14c7efe)
    (time) Environment update completed successfully.
    🔄 Production · h-prod in us-west-1: Updating, health Info
    2 servers run (day)-g62f5268
    2 servers run (day)-g14c7efe
    something is being changed, so different versions are as they should be
    Command is executing on all instances.
    (time) Deploying new version to instance(s).
    (time) Environment update is starting.
    (time) Environment update completed successfully.
    ✅ Production (WebSocket) · h-websocket-prod in us-west-1: Ready, health Ok
    all 4 servers run (day)-g62f5268 (label h-websocket-prod(made)-(day)-g62f5268)
    (time) Environment update completed successfully.
    ✅ Production (Canada) · h-prod in ca-central-1: Ready, health Ok
    all 4 servers run (day)-g62f5268 (label h-prod(made)-(day)-g62f5268)
    (time) Environment update completed successfully.
    Asked at (time).
    ");
    assert_eq!(town.announced(), [""; 0], "a rolling deployment is no drift");
    town.servers("Production", ServerTurn::Fail);
    town.settled().await;
    assert_snapshot!(town.announced().join("\n---\n"), @"
    ⚠️ h: the servers of Production differ, though nothing is being deployed there. It does not pass by itself.
    2 servers run (day)-g62f5268
    2 servers run (day)-g14c7efe
    the last deployment failed on 2 servers
    It is meant to run (day)-g62f5268. Next: deploy or redeploy it, which puts one version on all its servers. See /deploy health h.
    ");
    town.settled().await;
    assert_eq!(town.announced().len(), 1, "said once");
    assert_snapshot!(town.asks("health h").await, @r#"
    h · Elastic Beanstalk’s view
    ✅ Staging (test) · h-staging in us-west-1: Ready, health Ok
    both servers run (day)-g14c7efe (label h-staging(made)-(day)-g14c7efe)
    (time) Environment update completed successfully.
    ✅ Staging (WebSocket) (test) · h-websocket-staging in us-west-1: Ready, health Ok
    both servers run (day)-g14c7efe (label h-websocket-staging(made)-(day)-g14c7efe)
    (time) Environment update completed successfully.
    ⚠️ Production · h-prod in us-west-1: Ready, health Degraded
    ⚠️ its servers differ, though nothing is being deployed; it is meant to run (day)-g62f5268 (label h-prod(made)-(day)-g62f5268)
    2 servers run (day)-g62f5268
    2 servers run (day)-g14c7efe
    the last deployment failed on 2 servers
    Incorrect application version found on 2 out of 4 instances. Expected version "h-prod(made)-(day)-g62f5268" (deployment 42).
    i-04815e0ad1d8f125f Severe: Incorrect application version "h-prod(made)-(day)-g14c7efe" (deployment 42). Expected version "h-prod(made)-(day)-g62f5268".
    i-0e08f(day)98f9 Severe: Incorrect application version "h-prod(made)-(day)-g14c7efe" (deployment 42). Expected version "h-prod(made)-(day)-g62f5268".
    (time) ERROR During an aborted deployment, some instances may have deployed the new application version. To ensure all instances are running the same version, re-deploy the appropriate application version.
    (time) ERROR Failed to deploy application.
    (time) Deploying new version to instance(s).
    ✅ Production (WebSocket) · h-websocket-prod in us-west-1: Ready, health Ok
    all 4 servers run (day)-g62f5268 (label h-websocket-prod(made)-(day)-g62f5268)
    (time) Environment update completed successfully.
    ✅ Production (Canada) · h-prod in ca-central-1: Ready, health Ok
    all 4 servers run (day)-g62f5268 (label h-prod(made)-(day)-g62f5268)
    (time) Environment update completed successfully.
    Asked at (time).
    "#);
    town.servers("Production", ServerTurn::Heal);
    town.settled().await;
    assert_snapshot!(town.announced()[1..].join("\n---\n"), @"✅ h: Production is well again: all 4 servers run (day)-g62f5268.");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn different_labels_of_one_image_are_no_split() {
    let town = Town::open().await;
    let run = town.waiting("ana-gh", "Fix RPC").await;
    town.approve("UBEN").await;
    town.finish(run, &["Production"], Outcome::Success);
    town.act(Act::Pass { seconds: 5 });
    town.finish(run, &["Production (WebSocket)", "Production (Canada)"], Outcome::Success);
    town.settled().await;
    town.settled().await;
    assert_eq!(town.announced(), [""; 0]);
    town.command("UCHI", "health h").await;
    let told = town.told("UCHI");
    let labels: std::collections::BTreeSet<&str> = told
        .split("(label ")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|l| l.starts_with("h-prod"))
        .collect();
    assert_eq!(labels.len(), 2, "{told}");
    assert_snapshot!(town.asks("health").await, @"h · ✅ 5 environments well");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_that_cannot_be_read_spoils_nothing_else() {
    let town = Town::open().await;
    let fault = |kind, region: &str| Act::AwsFault { kind, region: Some(region.into()), times: None, only: None };
    town.act(fault(AwsFaultKind::ExpiredToken, "ca-central-1"));
    let causes = vec!["52.4 % of the requests are failing with HTTP 5xx. <!channel>".to_owned()];
    town.servers("Production", ServerTurn::Health { health: Health::Severe, causes });
    town.servers("Production (WebSocket)", ServerTurn::Basic);
    town.settled().await;
    assert_snapshot!(town.asks("status h").await, @"
    h · hypothesis/h
    Staging (test) runs 62f5268 from run 811 since (time) · Elastic Beanstalk: 62f5268, Ready, health Ok
    Staging (WebSocket) (test) runs 62f5268 from run 811 since (time) · Elastic Beanstalk: 62f5268, Ready, health Ok
    Production runs 62f5268 from run 811 since (time) · Elastic Beanstalk: 62f5268, Ready, health Severe
    Production (WebSocket) runs 62f5268 from run 811 since (time) · Elastic Beanstalk: 62f5268, Ready, health Ok
    Production (Canada) runs 62f5268 from run 811 since (time) · Elastic Beanstalk: unknown, AWS does not let me look (ExpiredToken)
    Run 811 · Fix the error page's links: done
    Everything that is merged is in production.
    ");
    assert_snapshot!(town.asks("health h").await, @"
    h · Elastic Beanstalk’s view
    ✅ Staging (test) · h-staging in us-west-1: Ready, health Ok
    both servers run (day)-g62f5268 (label h-staging(made)-(day)-g62f5268)
    (time) Environment update completed successfully.
    ✅ Staging (WebSocket) (test) · h-websocket-staging in us-west-1: Ready, health Ok
    both servers run (day)-g62f5268 (label h-websocket-staging(made)-(day)-g62f5268)
    (time) Environment update completed successfully.
    ⚠️ Production · h-prod in us-west-1: Ready, health Severe
    all 4 servers run (day)-g62f5268 (label h-prod(made)-(day)-g62f5268)
    52.4 % of the requests are failing with HTTP 5xx. <!channel>
    (time) Environment update completed successfully.
    (time) New application version was deployed to running EC2 instances.
    (time) Deploying new version to instance(s).
    ✅ Production (WebSocket) · h-websocket-prod in us-west-1: Ready, health Ok
    is meant to run (day)-g62f5268 (label h-websocket-prod(made)-(day)-g62f5268); its single servers cannot be read
    (time) Environment update completed successfully.
    ❓ Production (Canada) · h-prod in ca-central-1: unknown, AWS does not let me look (ExpiredToken)
    Asked at (time).
    ");
    town.act(Act::ClearFaults);
    town.act(fault(AwsFaultKind::Throttled, "us-west-1"));
    town.settled().await;
    assert_snapshot!(town.asks("health").await, @"h · ✅ 1 environment well · ❓ Staging (test) · h-staging in us-west-1: unknown, AWS asks to be asked less · ❓ Staging (WebSocket) (test) · h-websocket-staging in us-west-1: unknown, AWS asks to be asked less · ❓ Production · h-prod in us-west-1: unknown, AWS asks to be asked less · ❓ Production (WebSocket) · h-websocket-prod in us-west-1: unknown, AWS asks to be asked less");
    town.act(Act::ClearFaults);
    town.settled().await;
    assert!(!town.asks("status h").await.contains("unknown"));
    let message = "Command failed: DB_PASSWORD=hunter2 is wrong <!channel>".to_owned();
    town.servers("Production", ServerTurn::Tell { severity: Severity::Warn, message });
    town.settled().await;
    let health = town.asks("health h").await;
    assert!(health.contains("WARN Command failed: [withheld] is wrong <!channel>"), "{health}");
    assert!(!town.shell().desk(&"h".into()).expect("a desk").app().document().expect("a document").contains("hunter2"));
    assert_eq!(town.announced(), [""; 0]);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_aws_everything_else_works() {
    let town =
        Town::with(&SETTINGS.replace("h = \"hypothesis/h\"", "h = { repo = \"hypothesis/h\", aws = false }")).await;
    assert_snapshot!(town.asks("health h").await, @"
    h · Elastic Beanstalk’s view
    ❓ Staging (test) · h-staging in us-west-1: unknown, there are no AWS credentials here, or the settings say aws = false
    ❓ Staging (WebSocket) (test) · h-websocket-staging in us-west-1: unknown, there are no AWS credentials here, or the settings say aws = false
    ❓ Production · h-prod in us-west-1: unknown, there are no AWS credentials here, or the settings say aws = false
    ❓ Production (WebSocket) · h-websocket-prod in us-west-1: unknown, there are no AWS credentials here, or the settings say aws = false
    ❓ Production (Canada) · h-prod in ca-central-1: unknown, there are no AWS credentials here, or the settings say aws = false
    ");
    let run = town.waiting("ana-gh", "Fix RPC").await;
    town.approve("UBEN").await;
    town.finish(run, &["Production", "Production (WebSocket)"], Outcome::Success);
    town.act(deploy_step(run, "Production (Canada)"));
    town.finish(run, &["Production (Canada)"], Outcome::Failure);
    town.pass(5).await;
    assert!(town.says(812).contains("❓ Production (Canada): unknown"), "nobody can say: {}", town.says(812));
    assert_snapshot!(town.asks("status h").await, @"
    h · hypothesis/h
    Staging (test) runs 14c7efe from run 812 since (time)
    Staging (WebSocket) (test) runs 14c7efe from run 812 since (time)
    Production runs 14c7efe from run 812 since (time)
    Production (WebSocket) runs 14c7efe from run 812 since (time)
    Production (Canada) runs 62f5268 or 14c7efe, nobody knows which · ❓ run 812 touched it and nobody saw the end
    ⚠️ Production is split: Production and Production (WebSocket) run 14c7efe · Production (Canada) runs 62f5268 or 14c7efe, nobody knows which
    Run 812 · Fix RPC: failed
    1 change not in production.
    Elastic Beanstalk is not looked at: there are no AWS credentials here, or the settings say aws = false. Everything else works.
    ");
    town.rerun(run, true, "ben-gh");
    town.settled().await;
    town.approve_at_github(run, "chi-gh", &["Production (Canada)"]);
    town.finish(run, &["Production (Canada)"], Outcome::Success);
    town.settled().await;
    assert_snapshot!(town.announced().join("\n---\n"), @"✅ h: production runs one version again: 14c7efe.");
    let asked = town.sandbox.world.requests().iter().filter(|r| r.service.starts_with("beanstalk")).count();
    assert_eq!(asked, 0);
    town.close().await;
}
