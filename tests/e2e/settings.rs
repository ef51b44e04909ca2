//! What somebody sees who sets it up: mistakes with their cures, a start that stops for a wrong setting and goes on while others
//! are away, `lockkeeper check`, and the routes for machines.

use std::time::Duration;

use insta::assert_snapshot;
use lockkeeper::sandbox::slack::Fault;

use crate::process::{Process, Start};
use crate::town::{DEPLOYS, SETTINGS, Town, until};

/// A wrong setting is said this soon.
const SOON: Duration = Duration::from_secs(5);

fn start(town: &Town) -> Start {
    Start::of(&town.sandbox, SETTINGS)
}

/// Ends a world that was told wrong things, and complained about it.
async fn leave(town: Town) {
    town.sandbox.close().await;
}

/// What it says when it refuses to start: the last line, without panics and loops.
async fn refused(mut process: Process) -> String {
    assert_eq!(process.ends(SOON).await, 1, "{}", process.said());
    let said = process.said();
    assert!(!said.contains("panicked") && !said.contains("stack backtrace") && said.lines().count() < 12, "{said}");
    let last = said.lines().rev().find(|line| line.starts_with("lockkeeper: ")).expect("a reason");
    last.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mistake_is_told_at_once() {
    let file = r##"
chanel = "#deploys"
require_tested = "maybe"
remind_after = "1 fortnight"

[polling]
active = "1s"

[approvers]
slack_users = ["ana"]

[apps]
h = "https://github.com/hypothesis/h"
LMS = "hypothesis/lms"

[apps.via]
channel = "#eng-via"
aws = "no"
"##;
    let environment = [
        ("SLACK_BOT_TOKEN", "xapp-1-canary"),
        ("GITHUB_TOKEN", "hunter2-canary"),
        ("GITHUB_API_URL", "http://github.example.org"),
        ("LOCKKEEPER_LISTEN", "8080"),
        ("REDIS_URL", "localhost:6379"),
    ];
    let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let start = Start { environment, file: Some(file.to_owned()), arguments: vec![] };
    let mut process = start.go();
    assert_eq!(process.ends(SOON).await, 1);
    assert_snapshot!(process.said(), @r##"
    lockkeeper: the settings cannot be used
      SLACK_APP_TOKEN: is not set; copy an app-level token (xapp-…) from the Slack app's page: Basic Information, App-Level Tokens, scope connections:write
      SLACK_BOT_TOKEN: is an app-level token, not a bot token; copy a bot token (xoxb-…) from the Slack app's page: OAuth & Permissions, Bot User OAuth Token
      GITHUB_TOKEN: is not a GitHub token; create a token (github_pat_… or ghp_…) of a user who is a required reviewer
      GITHUB_API_URL: http:// would show the token to the network; write https://; http:// is for loopback addresses
      LOCKKEEPER_LISTEN: "8080" cannot be read; write address and port: 127.0.0.1:8080
      REDIS_URL: is not the address of a Redis; write it like rediss://user:password@host:6379/0, or redis:// without TLS
      approvers.slack_users: "ana" is not a user id; open the person's profile in Slack, ⋮, Copy member ID (U… or W…)
      require_tested: "maybe" is none of its values; write "off", "warn" or "all"
      remind_after: "1 fortnight" is not a duration; write it like "4h", "90m" or "10s"
      polling.active: "1s" is out of range; from 2s to 10m
      apps.LMS: people type an app's name after the command; use lower-case letters, digits, - and _, at most 40
      apps.LMS.channel: is missing; write channel = "#name" here, or at the top for all apps
      apps.h: is the repo's address; write it like "hypothesis/h"
      apps.via.repo: is missing; write repo = "hypothesis/h"
      apps.via.aws: is "no"; write true or false, without quotes
      chanel: is no setting; did you mean channel?
    "##);
    assert_eq!(process.printed(), "");

    let mut process = Start { file: None, ..start }.go();
    assert_eq!(process.ends(SOON).await, 1);
    assert!(
        process.said().contains("there is no file lockkeeper.toml; copy lockkeeper.example.toml"),
        "{}",
        process.said()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slack_does_not_take_a_token() {
    let town = Town::without_bot(SETTINGS).await;
    let wrong = start(&town).with("SLACK_BOT_TOKEN", "xoxb-1-wrong");
    assert_snapshot!(refused(wrong.go()).await, @"lockkeeper: Slack does not take SLACK_BOT_TOKEN: copy it again from the app’s page, OAuth & Permissions: slack refused: invalid_auth");
    let wrong = start(&town).with("SLACK_APP_TOKEN", "xapp-1-wrong");
    assert_snapshot!(refused(wrong.go()).await, @"lockkeeper: slack refuses the connection (invalid_auth): put a valid app-level token (xapp-…) into SLACK_APP_TOKEN, then start again");
    leave(town).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn github_does_not_take_the_token() {
    let town = Town::without_bot(SETTINGS).await;
    let wrong = start(&town).with("GITHUB_TOKEN", "ghp_wrongwrongwrongwrongwrongwrongwrong00");
    assert_snapshot!(refused(wrong.go()).await, @"lockkeeper: GitHub does not take GITHUB_TOKEN: make a new one, as a user who is a required reviewer, and start again: github does not accept the token");
    leave(town).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_folder_or_the_port_is_taken() {
    let town = Town::without_bot(SETTINGS).await;
    let first = start(&town).go();
    first.says("connected to slack").await;
    let said = refused(start(&town).go()).await;
    assert!(said.contains("(LOCKKEEPER_DATA): another Lockkeeper is using this folder: stop it"), "{said}");
    let page = town.sandbox.page.to_string();
    let said = refused(start(&town).with("LOCKKEEPER_LISTEN", &page).go()).await;
    assert!(said.contains(&format!("listen on {page} (LOCKKEEPER_LISTEN)")), "{said}");
    drop(first);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn github_is_away_at_the_start() {
    let mut town = Town::without_bot(SETTINGS).await;
    // Nobody listens there.
    let process = start(&town).with("GITHUB_API_URL", "http://127.0.0.1:1").go();
    let workspace = &town.sandbox.workspace;
    until("a connection to Slack", || async { (workspace.connected() >= 2).then_some(()) }).await;
    for (text, expected) in [
        ("status", "h has not been read from GitHub yet."),
        ("status h", "h has not been read from GitHub yet. Ask again in a moment."),
        ("approve h", "GitHub does not answer right now, so nothing was done."),
    ] {
        let before = workspace.ephemerals("UANA").len();
        workspace.command("UANA", DEPLOYS, text).await.expect("an ack");
        let told = until("an answer", || async { workspace.ephemerals("UANA").get(before).cloned() }).await;
        assert!(told.reads().contains(expected), "{text}: {}", told.reads());
    }
    process.says("could not look at GitHub").await;
    let (status, said) = process.get("/ready").await;
    assert_eq!(status, 503, "{said}");
    assert!(said.contains("not seen lately: h"), "{said}");
    drop(process);
    town.start().await;
    town.close().await;
}

/// A message holds no more, and to build what is cut away would keep everybody waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_about_very_many_apps_has_an_end() {
    let apps: String = (1..60).map(|nth| format!("a{nth} = \"hypothesis/a{nth}\"\n")).collect();
    let town = Town::without_bot(SETTINGS).await;
    let many = Start::of(&town.sandbox, &format!("{SETTINGS}{apps}"));
    let process = many.with("GITHUB_API_URL", "http://127.0.0.1:1").go();
    let workspace = &town.sandbox.workspace;
    until("a connection to Slack", || async { (workspace.connected() >= 2).then_some(()) }).await;
    workspace.command("UANA", DEPLOYS, "status").await.expect("an ack");
    let told = until("an answer", || async { workspace.ephemerals("UANA").first().cloned() }).await.reads();
    assert_eq!(told.matches("has not been read").count(), 40, "{told}");
    assert!(told.ends_with("And 20 more: ask for one by its name."), "{told}");
    drop(process);
    leave(town).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_ask_whether_it_lives() {
    let town = Town::without_bot(SETTINGS).await;
    let process = start(&town).go();
    assert_eq!(process.get("/live").await, (200, "live\n".to_owned()));
    process.is_ready().await;
    let (status, metrics) = process.get("/metrics").await;
    assert_eq!(status, 200, "{metrics}");
    for path in ["/", "/readyz", "/github/webhook", "/live/"] {
        assert_eq!(process.get(path).await, (404, String::new()), "{path}");
    }
    drop(process);
    town.close().await;
}

/// What `lockkeeper check` prints, and its exit code.
async fn checked(start: Start) -> (i32, String) {
    let mut process = start.check().go();
    let code = process.ends(Duration::from_secs(15)).await;
    assert_eq!(process.said(), "", "findings go to standard output");
    let folder = start_of_folder(&process.printed());
    (code, process.printed().replace(&folder, "DATA"))
}

/// The data folder's name is another one each time.
fn start_of_folder(printed: &str) -> String {
    let line = printed.lines().find(|line| line.ends_with(" can be written"));
    line.and_then(|line| line.split_whitespace().nth(1)).unwrap_or("no folder").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_checked() {
    let town = Town::without_bot(SETTINGS).await;
    let (code, printed) = checked(Start::of(&town.sandbox, lockkeeper::sandbox::SETTINGS)).await;
    assert_snapshot!(printed, @"
    ✓ settings are read
    ✓ TLS works
    ✓ DATA can be written
    ✓ GitHub's webhooks are taken at 127.0.0.1:0, /github/webhook: its page of recent deliveries shows 202 for each, 404 where the secret is another one
    - GitHub cannot reach 127.0.0.1:0 itself: a proxy with TLS has to pass /github/webhook on, and nothing else
    ✓ Slack knows the bot, in workspace Sandbox
    ✓ SLACK_APP_TOKEN opens a socket
    ✓ channel #deploys
    ✓ user group S0DEVS has 4 members
    ✓ GitHub knows the bot as lockkeeper-bot
    - the token is a classic one with scope repo, which may write code everywhere: a fine-grained one with Actions, Contents, Deployments and Pull requests is enough
    ✓ client: hypothesis/client has test: qa; production: production
    ✓ client: lockkeeper-bot may approve production
    ✓ h: hypothesis/h has test: Staging, Staging (WebSocket); production: Production, Production (WebSocket), Production (Canada)
    ✓ h: lockkeeper-bot may approve Production
    ✓ h: lockkeeper-bot may approve Production (WebSocket)
    ✓ h: lockkeeper-bot may approve Production (Canada)
    ✓ h: Elastic Beanstalk in ca-central-1 shows h-prod
    ✓ h: Elastic Beanstalk in us-west-1 shows h-prod, h-staging
    ✓ h: Elastic Beanstalk in us-west-1 shows h-websocket-prod, h-websocket-staging
    ✓ lms: hypothesis/lms has test: Staging; production: Production, Production (Canada)
    ✓ lms: lockkeeper-bot may approve Production
    ✓ lms: lockkeeper-bot may approve Production (Canada)
    ✓ lms: Elastic Beanstalk in ca-central-1 shows lms-prod
    ✓ lms: Elastic Beanstalk in us-west-1 shows lms-prod, lms-staging
    ✓ report: hypothesis/report has test: QA; production: Production
    ✓ report: lockkeeper-bot may approve Production
    ✓ report: Elastic Beanstalk in us-west-1 shows report-prod, report-qa
    ✓ via: hypothesis/via has test: Staging, Staging (Edu); production: Production, Production (Edu)
    ✓ via: lockkeeper-bot may approve Production
    ✓ via: lockkeeper-bot may approve Production (Edu)
    ✓ via: Elastic Beanstalk in us-west-1 shows edu-via-staging
    ✓ via: Elastic Beanstalk in us-west-1 shows lms-via-prod
    ✓ via: Elastic Beanstalk in us-west-1 shows via-prod, via-staging
    ");
    assert_eq!(code, 0);
    let without =
        Start::of(&town.sandbox, SETTINGS).with("AWS_ACCESS_KEY_ID", "").with("AWS_EC2_METADATA_DISABLED", "true");
    let (code, printed) = checked(without).await;
    let line = "- AWS has no credentials here, so what Elastic Beanstalk runs is not looked at; everything else works";
    assert!(code == 0 && printed.contains(line), "{printed}");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_not_work_is_found() {
    let town = Town::without_bot(SETTINGS).await;
    let (code, printed) = checked(start(&town).saying("#deploys", "#random")).await;
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains("✗ the bot is not in #random: type /invite @Lockkeeper there"), "{printed}");
    let (code, printed) = checked(start(&town).saying("#deploys", "#nowhere")).await;
    assert_eq!(code, 1, "{printed}");
    assert!(
        printed.contains("✗ there is no channel #nowhere, or the bot may not see it: invite it there"),
        "{printed}"
    );
    let (code, printed) = checked(start(&town).saying("[\"S0DEVS\"]", "[]")).await;
    assert_eq!(code, 1, "{printed}");
    assert!(
        printed.contains("✗ apps.h: nobody can approve, no approvers are configured; fill [approvers]"),
        "{printed}"
    );
    let (code, printed) = checked(start(&town).saying("hypothesis/h", "hypothesis/gone")).await;
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains("✗ h: hypothesis/gone: "), "{printed}");
    town.sandbox.workspace.fault(Fault::Http500 { method: "usergroups.users.list".into(), times: 10 });
    let (code, printed) = checked(start(&town)).await;
    assert_eq!(code, 1, "{printed}");
    assert!(printed.contains("✗ user group S0DEVS cannot be read"), "{printed}");
    town.sandbox.workspace.clear_faults();
    town.close().await;

    let town = Town::without_bot(SETTINGS).await;
    let wrong = start(&town)
        .with("GITHUB_TOKEN", "ghp_wrongwrongwrongwrongwrongwrongwrong00")
        .with("SLACK_BOT_TOKEN", "xoxb-1-wrong");
    let (code, printed) = checked(wrong).await;
    assert_eq!(code, 1, "{printed}");
    assert_snapshot!(printed, @"
    ✓ settings are read
    ✓ TLS works
    ✓ DATA can be written
    ✓ GitHub's webhooks are taken at 127.0.0.1:0, /github/webhook: its page of recent deliveries shows 202 for each, 404 where the secret is another one
    - GitHub cannot reach 127.0.0.1:0 itself: a proxy with TLS has to pass /github/webhook on, and nothing else
    ✗ SLACK_BOT_TOKEN: slack refused: invalid_auth
    ✗ GITHUB_TOKEN: github does not accept the token
    ");
    let (code, printed) = checked(start(&town).with("SLACK_APP_TOKEN", "xapp-1-wrong")).await;
    assert_eq!(code, 1, "{printed}");
    let line = printed.lines().find(|line| line.contains("SLACK_APP_TOKEN"));
    assert_snapshot!(line.expect("a finding"), @"✗ SLACK_APP_TOKEN opens a socket: slack refused: invalid_auth");
    leave(town).await;
}
