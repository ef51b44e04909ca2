//! Environment variables: what is missing or differs over two regions, what pull requests wait for, and setting one from Slack. No
//! value is ever seen: every secret of the pretend world is a canary.

use insta::assert_snapshot;
use lockkeeper::sandbox::slack::{Input, Values};
use lockkeeper::sandbox::world::{Act, AwsFaultKind, ServerTurn};

use crate::process::Start;
use crate::town::{DEPLOYS, H, SETTINGS, Town, until};

/// A value that somebody types.
const TYPED: &str = "canary-typed-by-ana";

fn settable() -> String {
    SETTINGS.replace(
        "channel =",
        "set_variables = true\nexpected_differences = [\"DATABASE_URL\", \"SECRET_KEY\"]\nchannel =",
    )
}

impl Town {
    /// Somebody sets a variable on the console, or removes it.
    fn on_console(&self, environment: &str, key: &str, value: Option<&str>) {
        let (repo, environment, key) = (H.to_owned(), environment.to_owned(), key.to_owned());
        self.act(Act::SetVariable { repo, environment, key, value: value.map(str::to_owned) });
    }

    /// Somebody opens a pull request with that description.
    fn propose(&self, title: &str, body: &str) {
        let (repo, author, title) = (H.to_owned(), "ana-gh".to_owned(), title.to_owned());
        self.act(Act::Propose { repo, author, title, body: Some(body.to_owned()), commits: 1 });
    }

    /// What the bot wrote as commit statuses, oldest first.
    fn statuses(&self) -> Vec<String> {
        let requests = self.sandbox.world.requests();
        let posted = requests.into_iter().filter(|r| r.method == "POST" && r.path.contains("/statuses/"));
        let words = |body: &str| {
            let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
            format!("{}: {}", body["state"].as_str().expect("a state"), body["description"].as_str().expect("words"))
        };
        posted.map(|r| words(&r.body)).collect()
    }

    async fn status(&self, start: &str) {
        until(&format!("a status {start}"), || async {
            self.statuses().last().is_some_and(|status| status.starts_with(start)).then_some(())
        })
        .await;
    }

    /// Asks something whose answer is looked up; waits until it says this.
    async fn looks_up(&self, user: &str, typed: &str, part: &str) -> String {
        let before = self.sandbox.workspace.ephemerals(user).len();
        self.sandbox.workspace.command(user, DEPLOYS, typed).await.expect("acknowledged");
        self.hears(user, before, part).await
    }

    async fn hears(&self, user: &str, before: usize, part: &str) -> String {
        until(&format!("{user} to hear {part:?}"), || async {
            let told = self.sandbox.workspace.ephemerals(user);
            told.into_iter().skip(before).map(|m| m.reads()).find(|text| text.contains(part))
        })
        .await
    }

    /// Opens the form for a variable and fills in the same value for these environments.
    async fn types(&self, user: &str, key: &str, environments: &[&str], value: &str) {
        let workspace = &self.sandbox.workspace;
        self.looks_up(user, &format!("env h {key}"), key).await;
        let at = self.answer(user).at();
        let button = self.button(user, &at, &format!("Set {key}…"));
        workspace.click(user, &at, &button).await.expect("acknowledged");
        let view = until("a form", || async { workspace.views(user).pop() }).await;
        let entry = |name: &&str| ((*name).to_owned(), [("entry".to_owned(), Input::Text(value.to_owned()))].into());
        let values: Values = environments.iter().map(entry).collect();
        let remarks = workspace.submit(user, &view.id, values).await.expect("acknowledged");
        assert_eq!(remarks, None, "the form was taken");
    }

    /// The requests by which variables were changed, as `region environment`.
    fn updates(&self) -> Vec<String> {
        let requests = self.sandbox.world.requests();
        let updates = requests.into_iter().filter(|r| r.body.contains("Action=UpdateEnvironment"));
        updates
            .map(|r| {
                let name = r.body.split("EnvironmentName=").nth(1).and_then(|rest| rest.split('&').next());
                format!("{} {}", r.service.trim_start_matches("beanstalk "), name.unwrap_or_default())
            })
            .collect()
    }

    /// Waits until the message about a variable says this; what it says then.
    async fn shows(&self, key: &str, part: &str) -> String {
        until(&format!("the message to say {part:?}"), || async { self.shown(key).filter(|text| text.contains(part)) })
            .await
    }

    /// The same, and servers that restart are ready at once: time passes only then, so that nothing comes too late.
    async fn goes_on(&self, key: &str, part: &str) -> String {
        until(&format!("the message to say {part:?}"), || async {
            let world = self.sandbox.world.view();
            let environments = world["repos"][0]["environments"].as_array().expect("environments");
            if environments.iter().any(|environment| environment["status"] == "Updating") {
                self.act(Act::Pass { seconds: 31 });
            }
            self.shown(key).filter(|text| text.contains(part))
        })
        .await
    }

    fn shown(&self, key: &str) -> Option<String> {
        let messages = self.sandbox.workspace.messages(DEPLOYS);
        messages.iter().map(|m| m.reads()).find(|text| text.contains(&format!(" {key}")))
    }

    /// All that Slack was sent or shows: calls of its API, acknowledgements, and what everybody sees.
    fn slack_traffic(&self) -> String {
        let workspace = &self.sandbox.workspace;
        let calls: Vec<String> = workspace.calls().iter().map(|call| format!("{call:?}")).collect();
        let acks: Vec<String> = workspace.acks().iter().map(|ack| format!("{ack:?}")).collect();
        let screens: Vec<String> =
            ["UANA", "UBEN", "UCHI"].iter().map(|user| workspace.view(user).to_string()).collect();
        [calls, acks, screens].concat().join("\n")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_board_over_two_regions() {
    let town = Town::with(&settable()).await;
    town.on_console("Staging", "LOG_LEVEL", Some("canary-debug"));
    for environment in ["Staging (WebSocket)", "Production", "Production (WebSocket)", "Production (Canada)"] {
        town.on_console(environment, "LOG_LEVEL", Some("canary-info"));
    }
    assert_snapshot!(town.looks_up("UCHI", "env h", "variables").await, @"
    h · variables of 5 environments
    Missing somewhere:
    GOOGLE_CLIENT_ID: not in Production (Canada)
    Not the same everywhere:
    LOG_LEVEL: Staging | Staging (WebSocket), Production, Production (WebSocket) and Production (Canada)
    SENTRY_DSN: Staging and Staging (WebSocket) | Production, Production (WebSocket) and Production (Canada)
    Differ, as expected: DATABASE_URL, SECRET_KEY.
    The same everywhere: 2 variables.
    AWS console: Staging · Staging (WebSocket) · Production · Production (WebSocket) · Production (Canada)
    ");
    assert_snapshot!(town.looks_up("UCHI", "env h google_client_id", "GOOGLE").await, @"
    h · GOOGLE_CLIENT_ID
    Staging (us-west-1): set
    Staging (WebSocket) (us-west-1): set
    Production (us-west-1): set
    Production (WebSocket) (us-west-1): set
    Production (Canada) (ca-central-1): missing
    AWS console: Staging · Staging (WebSocket) · Production · Production (WebSocket) · Production (Canada)
    Set GOOGLE_CLIENT_ID…
    ");
    assert_snapshot!(town.looks_up("UCHI", "env h LOGLEVEL", "LOGLEVEL").await, @"
    h · LOGLEVEL
    No environment that could be looked at has it. Did you mean LOG_LEVEL?
    AWS console: Staging · Staging (WebSocket) · Production · Production (WebSocket) · Production (Canada)
    Set LOGLEVEL…
    ");
    assert_snapshot!(town.looks_up("UGUEST", "env h", "Guests").await, @"Guests of this workspace cannot use Lockkeeper. Ask a member of the team.");
    assert!(!town.slack_traffic().contains("canary"));
    assert_eq!(town.updates(), [""; 0]);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_that_cannot_be_read_is_unknown_and_spoils_nothing() {
    let town = Town::open().await;
    let region = Some("ca-central-1".to_owned());
    let only = Some("DescribeConfigurationSettings".to_owned());
    town.act(Act::AwsFault { kind: AwsFaultKind::ExpiredToken, region, times: None, only });
    assert_snapshot!(town.looks_up("UCHI", "env h", "variables").await, @"
    h · variables of 4 environments
    Not the same everywhere:
    DATABASE_URL: Staging | Staging (WebSocket) | Production | Production (WebSocket)
    SECRET_KEY: Staging | Staging (WebSocket) | Production | Production (WebSocket)
    SENTRY_DSN: Staging and Staging (WebSocket) | Production and Production (WebSocket)
    The same everywhere: 3 variables.
    Not known, because it could not be looked at:
    Production (Canada) (ca-central-1): AWS does not let Lockkeeper look (ExpiredToken)
    AWS console: Staging · Staging (WebSocket) · Production · Production (WebSocket) · Production (Canada)
    ");
    town.act(Act::ClearFaults);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_aws_the_texts_say_what_is_missing() {
    let town =
        Town::with(&SETTINGS.replace("h = \"hypothesis/h\"", "h = { repo = \"hypothesis/h\", aws = false }")).await;
    town.propose("Use the cache", "Requires-Env: CACHE_URL");
    assert_snapshot!(town.looks_up("UCHI", "env h", "variables").await, @"
    h · variables
    Elastic Beanstalk is not asked: AWS is not set up for this app. Whoever runs Lockkeeper gives it AWS credentials; aws = false in its settings turns it off.
    AWS console: Staging · Staging (WebSocket) · Production · Production (WebSocket) · Production (Canada)
    ");
    assert_snapshot!(town.looks_up("UCHI", "env check #4498", "#4498").await, @"
    #4498 Use the cache requires 1 variable:
    CACHE_URL: not known
    It gets no commit status: AWS is not set up for this app.
    Elastic Beanstalk is not asked: AWS is not set up for this app. Whoever runs Lockkeeper gives it AWS credentials; aws = false in its settings turns it off.
    AWS console: Staging · Staging (WebSocket) · Production · Production (WebSocket) · Production (Canada)
    ");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_required_variable_turns_the_pull_request_red_then_green() {
    let mut town = Town::open().await;
    town.propose("Speed up search", "No variable.");
    town.propose("Use the cache", "Caches.\r\n\r\nRequires-Env: CACHE_URL\r\n");
    town.status("failure").await;
    assert_snapshot!(town.statuses().join("\n"), @"failure: CACHE_URL missing in Staging, Staging (WebSocket), Production, Production (WebSocket) and Production (Canada)");
    assert_snapshot!(town.looks_up("UCHI", "env check 4499", "#4499").await, @"
    #4499 Use the cache requires 1 variable:
    CACHE_URL: missing in Staging, Staging (WebSocket), Production, Production (WebSocket) and Production (Canada)
    Its commit status is red until every environment has all of them; it turns green by itself.
    AWS console: Staging · Staging (WebSocket) · Production · Production (WebSocket) · Production (Canada)
    ");
    assert_snapshot!(town.looks_up("UCHI", "env check 4498", "#4498").await, @"#4498 Speed up search requires no variable. A line Requires-Env: KEY in its description would.");
    assert_snapshot!(town.looks_up("UCHI", "env check 4444", "#4444").await, @"#4444 is not open in any app’s repo: what is merged or closed has no use for a check.");
    for environment in ["Staging", "Staging (WebSocket)", "Production", "Production (WebSocket)"] {
        town.on_console(environment, "CACHE_URL", Some("canary-cache"));
    }
    town.status("failure: CACHE_URL missing in Production (Canada)").await;
    // A restart knows what it said.
    town.stop().await;
    town.on_console("Production (Canada)", "CACHE_URL", Some("canary-cache"));
    town.start().await;
    town.status("success").await;
    assert_snapshot!(town.statuses().pop().unwrap_or_default(), @"success: CACHE_URL set in all 5 environments");
    assert_snapshot!(town.looks_up("UCHI", "env check 4499", "#4499").await, @"
    #4499 Use the cache requires 1 variable:
    CACHE_URL: there
    Its commit status is green: every environment has all of them.
    AWS console: Staging · Staging (WebSocket) · Production · Production (WebSocket) · Production (Canada)
    ");
    assert!(!town.slack_traffic().contains("canary"));
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_variable_is_set_in_one_environment_after_the_other() {
    let town = Town::with(&settable()).await;
    town.types("UANA", "CACHE_URL", &["Production (Canada)", "Staging"], TYPED).await;
    let told = town.goes_on("CACHE_URL", "✅").await;
    assert_snapshot!(told, @"
    h · ✅ <@UANA> set CACHE_URL in 2 environments
    Staging: set
    Production (Canada): set
    ");
    assert_eq!(town.updates(), ["us-west-1 h-staging", "ca-central-1 h-prod"]);
    assert_snapshot!(town.looks_up("UCHI", "env h CACHE_URL", "CACHE_URL").await, @"
    h · CACHE_URL
    Staging (us-west-1): set
    Staging (WebSocket) (us-west-1): missing
    Production (us-west-1): missing
    Production (WebSocket) (us-west-1): missing
    Production (Canada) (ca-central-1): set
    AWS console: Staging · Staging (WebSocket) · Production · Production (WebSocket) · Production (Canada)
    Set CACHE_URL…
    ");
    assert_snapshot!(town.history().await, @"
    h · decisions, newest first
    (time) · <@UANA> · set on Staging, Production (Canada) · done · “CACHE_URL”
    (time) · <@UANA> · set on Staging, Production (Canada) · granted · “CACHE_URL”
    ");
    assert!(!town.slack_traffic().contains("canary"), "values are in no message");
    assert!(town.remembers("CACHE_URL") && !town.remembers("canary"), "values are not written down");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_elastic_beanstalk_would_not_take_is_not_begun_anywhere() {
    let town = Town::with(&settable()).await;
    let huge = "canary".repeat(500);
    town.on_console("Production", "FILLER", Some(&"x".repeat(2_000)));
    town.types("UANA", "CACHE_URL", &["Staging", "Production"], &huge).await;
    assert_snapshot!(town.hears("UANA", 0, "Nothing was set").await, @"Nothing was set. CACHE_URL in Production: Elastic Beanstalk refuses the value. Its words would show it, so they are kept back.");
    town.act(Act::Servers { repo: H.into(), environment: "Production".into(), turn: ServerTurn::Busy(true) });
    town.settled().await;
    let before = town.sandbox.workspace.ephemerals("UANA").len();
    town.types("UANA", "CACHE_URL", &["Staging", "Production"], TYPED).await;
    assert_snapshot!(town.hears("UANA", before, "Nothing was set").await, @"Nothing was set. CACHE_URL in Production: it is Updating and takes changes only when it is ready.");
    assert_eq!(town.updates(), [""; 0]);
    assert!(!town.slack_traffic().contains("canary"));
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_taken_back_stops_it() {
    let town = Town::with(&settable()).await;
    town.act(Act::SpoilSettings { repo: H.into(), environment: "Staging".into() });
    town.types("UANA", "CACHE_URL", &["Staging", "Production"], TYPED).await;
    town.shows("CACHE_URL", "take it over").await;
    town.act(Act::Pass { seconds: 91 });
    assert_snapshot!(town.shows("CACHE_URL", "stopped").await, @"
    h · ⚠️ <@UANA> was setting CACHE_URL, and it stopped
    Staging: not set: Elastic Beanstalk went back to the settings of before. Its events say why
    Production: not touched
    The others keep what they had. See where it is now with /deploy env h CACHE_URL; then set what is left.
    ");
    assert_eq!(town.updates(), ["us-west-1 h-staging"]);
    assert_snapshot!(town.history().await.lines().nth(1).unwrap_or_default(), @"(time) · <@UANA> · set on Staging · failed: taken back by elastic beanstalk · “CACHE_URL”");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_looked_for_and_the_value_is_not_sent_again() {
    for kind in [AwsFaultKind::Error500After, AwsFaultKind::Error500] {
        let town = Town::with(&settable()).await;
        let only = Some("UpdateEnvironment".to_owned());
        town.act(Act::AwsFault { kind, region: None, times: Some(1), only });
        town.types("UANA", "CACHE_URL", &["Staging"], TYPED).await;
        match kind {
            AwsFaultKind::Error500After => {
                assert_snapshot!(town.goes_on("CACHE_URL", "✅").await, @"
                h · ✅ <@UANA> set CACHE_URL in 1 environment
                Staging: set
                ");
            }
            _ => {
                town.shows("CACHE_URL", "next").await;
                town.act(Act::Pass { seconds: 61 });
                assert_snapshot!(town.shows("CACHE_URL", "stopped").await, @"
                h · ⚠️ <@UANA> was setting CACHE_URL, and it stopped
                Staging: nobody knows: no clear answer came, and it does not show there. It was not sent again
                The others keep what they had. See where it is now with /deploy env h CACHE_URL; then set what is left.
                ");
            }
        }
        assert_eq!(town.updates(), ["us-west-1 h-staging"], "sent once");
        town.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_forgets_the_values_and_says_so() {
    let mut town = Town::with(&settable()).await;
    town.types("UANA", "CACHE_URL", &["Staging", "Production"], TYPED).await;
    town.shows("CACHE_URL", "take it over").await;
    town.stop().await;
    town.start().await;
    assert_snapshot!(town.shows("CACHE_URL", "stopped").await, @"
    h · ⚠️ <@UANA> was setting CACHE_URL, and it stopped
    Staging: nobody knows: Lockkeeper was started again meanwhile, and it keeps no values. It was not sent again
    Production: not touched
    The others keep what they had. See where it is now with /deploy env h CACHE_URL; then set what is left.
    ");
    assert_eq!(town.updates(), ["us-west-1 h-staging"]);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_set_does_not() {
    let town = Town::with(&settable()).await;
    town.types("UMALLORY", "CACHE_URL", &["Staging"], TYPED).await;
    assert_snapshot!(town.hears("UMALLORY", 1, "approvers").await, @"You are not among the approvers of this app. Ask one of them, or ask whoever runs Lockkeeper to add you.");
    assert_eq!(town.updates(), [""; 0]);
    let off = Town::open().await;
    off.looks_up("UANA", "env h CACHE_URL", "CACHE_URL").await;
    assert!(off.answer("UANA").buttons().is_empty(), "nothing to click where it is off");
    off.close().await;
    town.close().await;
}

/// With everything logged that can be logged, and Elastic Beanstalk failing in every way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_is_in_the_log() {
    let town = Town::without_bot(SETTINGS).await;
    let loud = "trace,lockkeeper=trace,hyper=trace,hyper_util=trace,aws_smithy_runtime=trace,aws_config=trace,tungstenite=trace";
    let process = Start::of(&town.sandbox, &settable()).with("RUST_LOG", loud).with("RUST_BACKTRACE", "1").go();
    until("a bot", || async { (town.sandbox.workspace.connected() > 0).then_some(()) }).await;
    town.propose("Use the cache", "Requires-Env: CACHE_URL");
    until("the pipeline", || async {
        let before = town.sandbox.workspace.ephemerals("UCHI").len();
        town.sandbox.workspace.command("UCHI", DEPLOYS, "env h").await.ok()?;
        let told = town.hears("UCHI", before, "h").await;
        told.contains("variables of 5").then_some(())
    })
    .await;
    for kind in [AwsFaultKind::Throttled, AwsFaultKind::AccessDenied, AwsFaultKind::Error500] {
        let only = Some("DescribeConfigurationSettings".to_owned());
        town.act(Act::AwsFault { kind, region: None, times: Some(2), only });
        town.looks_up("UCHI", "env h", "variables").await;
    }
    town.on_console("Staging", "FILLER", Some(&"x".repeat(2_000)));
    town.types("UANA", "CACHE_URL", &["Staging"], &"canary".repeat(500)).await;
    town.hears("UANA", 0, "Nothing was set").await;
    town.types("UANA", "CACHE_URL", &["Staging"], TYPED).await;
    town.goes_on("CACHE_URL", "✅").await;
    let said = process.said();
    drop(process);
    assert!(said.contains("set CACHE_URL"), "the log is loud: {said}");
    let line = said.lines().find(|line| line.contains("canary"));
    assert!(line.is_none(), "a value is in the log: {}", line.unwrap_or_default());
    let data = town.slack_traffic();
    assert!(!data.contains("canary"));
    town.close().await;
}
