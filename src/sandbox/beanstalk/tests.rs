#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use aws_sdk_elasticbeanstalk::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use aws_sdk_elasticbeanstalk::error::ProvideErrorMetadata;
use aws_sdk_elasticbeanstalk::types::{EnvironmentDescription, SingleInstanceHealth};
use aws_sdk_elasticbeanstalk::{Client, Config};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::sandbox::world::{Act, AwsFaultKind, Outcome, Policy, ServerTurn, World};

const H: &str = "hypothesis/h";

/// The real SDK as client of a served world.
struct Wire {
    world: World,
    url: String,
    shutdown: CancellationToken,
}

impl Wire {
    async fn start() -> Wire {
        let world = World::hypothesis(Clock::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        tokio::spawn(super::serve(listener, world.clone(), shutdown.clone()));
        Wire { world, url, shutdown }
    }

    fn client(&self, region: &'static str) -> Client {
        let http = aws_smithy_http_client::Builder::new().build_http();
        let config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(region))
            .endpoint_url(&self.url)
            .credentials_provider(Credentials::new("AK", "SK", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .http_client(http)
            .build();
        Client::from_conf(config)
    }

    /// A run of h with Production in its deploy step.
    fn deploying(&self) -> u64 {
        self.act(Act::merge(H, "ana-gh", "Speed up search"));
        let run = self.world.newest_run(H).unwrap();
        for job in ["Docker Hub", "Staging", "Staging (WebSocket)"] {
            self.act(Act::finish(H, run, job, Outcome::Success));
        }
        let environments = vec!["Production".to_owned()];
        let (by, comment) = ("ben-gh".to_owned(), String::new());
        self.act(Act::Approve { repo: H.to_owned(), run, environments, by, comment });
        self.act(Act::DeployStep { repo: H.to_owned(), run, job: "Production".to_owned() });
        run
    }

    fn act(&self, act: Act) {
        self.world.act(act).unwrap();
    }
}

async fn production(client: &Client) -> EnvironmentDescription {
    let asked = client.describe_environments().environment_names("h-prod").include_deleted(false);
    let found = asked.send().await.unwrap().environments.unwrap();
    assert_eq!(found.len(), 1);
    found.into_iter().next().unwrap()
}

/// All servers of h's production, page by page.
async fn servers(client: &Client) -> Vec<SingleInstanceHealth> {
    let (mut all, mut token) = (Vec::new(), None);
    loop {
        let page = client.describe_instances_health().environment_name("h-prod").set_next_token(token);
        let page = page.send().await.unwrap();
        all.extend(page.instance_health_list().iter().cloned());
        token = page.next_token().map(str::to_owned);
        if token.is_none() {
            return all;
        }
    }
}

#[tokio::test]
async fn an_environment_updates_while_its_job_deploys() {
    let wire = Wire::start().await;
    let us = wire.client("us-west-1");
    let before = production(&us).await;
    assert_eq!(before.status().unwrap().as_str(), "Ready");
    let run = wire.deploying();
    let during = production(&us).await;
    assert_eq!(during.status().unwrap().as_str(), "Updating");
    assert_eq!(during.version_label(), before.version_label());
    let servers = servers(&us).await;
    let old = before.version_label().unwrap();
    let labels: Vec<_> = servers.iter().map(|one| one.deployment().unwrap().version_label().unwrap()).collect();
    assert_eq!(labels.len(), 8, "as many new ones beside the old");
    let new: Vec<_> = labels.into_iter().filter(|label| *label != old).collect();
    assert_eq!(new.len(), 4);
    wire.act(Act::finish(H, run, "Production", Outcome::Success));
    let after = production(&us).await;
    assert_eq!(after.version_label(), Some(new[0]));
    let health = us.describe_environment_health().environment_name("h-prod").send().await.unwrap();
    assert_eq!(health.instances_health().unwrap().ok(), Some(4));
    let events = us.describe_events().environment_name("h-prod").max_records(1).send().await.unwrap();
    assert_eq!(events.events()[0].message(), Some("Environment update completed successfully."));
    let versions =
        us.describe_application_versions().application_name("h").version_labels(new[0]).send().await.unwrap();
    assert_eq!(versions.application_versions().len(), 1);
    assert_eq!(wire.world.complaints(), Vec::<String>::new());
    wire.shutdown.cancel();
}

#[tokio::test]
async fn servers_finish_alone_in_their_region_only() {
    let wire = Wire::start().await;
    let (us, canada) = (wire.client("us-west-1"), wire.client("ca-central-1"));
    let (before, abroad) = (production(&us).await, production(&canada).await);
    assert_ne!(before.version_label(), abroad.version_label());
    let run = wire.deploying();
    wire.act(Act::finish(H, run, "Production", Outcome::Failure));
    assert_eq!(production(&us).await.version_label(), before.version_label());
    wire.act(Act::Pass { seconds: 61 });
    assert_ne!(production(&us).await.version_label(), before.version_label());
    assert_eq!(production(&canada).await.version_label(), abroad.version_label());
    wire.shutdown.cancel();
}

#[tokio::test]
async fn what_is_unknown_is_refused() {
    let wire = Wire::start().await;
    let us = wire.client("us-west-1");
    let gone = us.describe_environment_health().environment_name("gone-prod").send().await.unwrap_err();
    assert_eq!(gone.code(), Some("InvalidParameterValue"));
    assert_eq!(wire.world.complaints(), Vec::<String>::new());
    let restart = us.restart_app_server().environment_name("h-prod").send().await.unwrap_err();
    assert_eq!(restart.code(), Some("InvalidAction"));
    assert_eq!(wire.world.complaints().len(), 1);
    let seen = wire.world.requests();
    assert_eq!((seen[1].service.as_str(), seen[1].status), ("beanstalk us-west-1", 400));
    wire.shutdown.cancel();
}

#[tokio::test]
async fn variables_are_changed_by_an_update_that_takes_its_time() {
    use aws_sdk_elasticbeanstalk::types::ConfigurationOptionSetting as Option;
    const VARIABLES: &str = "aws:elasticbeanstalk:application:environment";
    let wire = Wire::start().await;
    let us = wire.client("us-west-1");
    let option = |value: &str| Option::builder().namespace(VARIABLES).option_name("NEW").value(value).build();
    let new = async || {
        let asked = us.describe_configuration_settings().application_name("h").environment_name("h-prod");
        let sets = asked.send().await.unwrap().configuration_settings.unwrap();
        let of = |options: &[Option]| options.iter().find(|o| o.option_name() == Some("NEW")).map(|_| ());
        sets.iter().map(|s| (s.deployment_status().unwrap().to_string(), of(s.option_settings()))).collect::<Vec<_>>()
    };
    let valid = async |value: &str| {
        let asked = us.validate_configuration_settings().application_name("h").environment_name("h-prod");
        asked.option_settings(option(value)).send().await.unwrap().messages.unwrap_or_default().len()
    };
    assert_eq!((valid("1").await, valid(&"1".repeat(4_096)).await), (0, 1));
    let set =
        async || us.update_environment().environment_name("h-prod").option_settings(option("a b&<c>")).send().await;
    assert_eq!(set().await.unwrap().status().unwrap().as_str(), "Updating");
    let again = set().await.unwrap_err();
    assert!(again.message().unwrap().ends_with("is in an invalid state for this operation. Must be Ready."));
    assert_eq!(new().await, [("deployed".to_owned(), None), ("pending".to_owned(), Some(()))]);
    wire.act(Act::Pass { seconds: 31 });
    assert_eq!(new().await, [("deployed".to_owned(), Some(()))]);
    let (repo, environment) = (H.to_owned(), "Production".to_owned());
    wire.act(Act::SetVariable { repo: repo.clone(), environment: environment.clone(), key: "NEW".into(), value: None });
    wire.act(Act::SpoilSettings { repo, environment });
    set().await.unwrap();
    wire.act(Act::Pass { seconds: 31 });
    assert_eq!(new().await, [("deployed".to_owned(), None)], "taken back");
    assert_eq!(wire.world.complaints(), Vec::<String>::new());
    wire.shutdown.cancel();
}

#[tokio::test]
async fn a_failed_deployment_leaves_two_versions_until_the_next() {
    let wire = Wire::start().await;
    let us = wire.client("us-west-1");
    let turn = |turn: ServerTurn| {
        let (repo, environment) = (H.to_owned(), "Production".to_owned());
        wire.act(Act::Servers { repo, environment, turn });
    };
    turn(ServerTurn::Policy(Policy::Rolling));
    let before = production(&us).await;
    let run = wire.deploying();
    turn(ServerTurn::NextBatch);
    turn(ServerTurn::Fail);
    let health = us.describe_environment_health().environment_name("h-prod").send().await.unwrap();
    assert_eq!(health.health_status(), Some("Degraded"));
    let expected = before.version_label().unwrap();
    assert_eq!(
        health.causes(),
        [format!(
            "Incorrect application version found on 4 out of 4 instances. Expected version \"{expected}\" (deployment 42)."
        )]
    );
    assert_eq!(production(&us).await.version_label(), Some(expected));
    let progress: Vec<_> =
        servers(&us).await.iter().map(|one| one.deployment().unwrap().status().unwrap().to_owned()).collect();
    assert_eq!(progress, ["Deployed", "Deployed", "Failed", "Failed"]);
    let errors = us.describe_events().environment_name("h-prod").severity("ERROR".into()).send().await.unwrap();
    assert_eq!(errors.events().len(), 2);
    turn(ServerTurn::Heal);
    assert_eq!(production(&us).await.health_status().unwrap().as_str(), "Ok");
    turn(ServerTurn::Mix);
    assert_eq!(production(&us).await.health().unwrap().as_str(), "Red");
    turn(ServerTurn::Basic);
    let basic = us.describe_instances_health().environment_name("h-prod").send().await.unwrap_err();
    assert_eq!(basic.code(), Some("InvalidRequestException"));
    wire.act(Act::finish(H, run, "Production", Outcome::Failure));
    assert_eq!(wire.world.complaints(), Vec::<String>::new());
    wire.shutdown.cancel();
}

#[tokio::test]
async fn faults_hit_one_region_and_end() {
    let wire = Wire::start().await;
    let (us, canada) = (wire.client("us-west-1"), wire.client("ca-central-1"));
    let (region, only) = (Some("ca-central-1".to_owned()), None);
    wire.act(Act::AwsFault { kind: AwsFaultKind::ExpiredToken, region, times: Some(1), only });
    production(&us).await;
    let denied = canada.describe_environments().send().await.unwrap_err();
    assert_eq!(denied.code(), Some("ExpiredToken"));
    production(&canada).await;
    wire.act(Act::AwsFault { kind: AwsFaultKind::Throttled, region: None, times: None, only: None });
    for _ in 0..3 {
        assert_eq!(us.describe_environments().send().await.unwrap_err().code(), Some("Throttling"));
    }
    wire.act(Act::ClearFaults);
    production(&us).await;
    wire.shutdown.cancel();
}

#[tokio::test]
async fn an_application_keeps_ten_versions_and_those_in_use() {
    let wire = Wire::start().await;
    let us = wire.client("us-west-1");
    for n in 0..12 {
        wire.act(Act::merge(H, "ana-gh", &format!("Change {n}")));
        wire.act(Act::Pass { seconds: 10 });
        let run = wire.world.newest_run(H).unwrap();
        wire.act(Act::finish(H, run, "Docker Hub", Outcome::Success));
        wire.act(Act::finish(H, run, "Staging", Outcome::Success));
    }
    let versions = us.describe_application_versions().application_name("h").send().await.unwrap();
    let labels: Vec<_> = versions.application_versions().iter().filter_map(|version| version.version_label()).collect();
    assert_eq!(labels.len(), 11, "{labels:?}");
    assert_eq!(Some(labels[10]), production(&us).await.version_label(), "in use, however old");
    wire.shutdown.cancel();
}
