#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use aws_sdk_elasticbeanstalk::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use aws_sdk_elasticbeanstalk::error::ProvideErrorMetadata;
use aws_sdk_elasticbeanstalk::types::EnvironmentDescription;
use aws_sdk_elasticbeanstalk::{Client, Config};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::sandbox::world::{Act, Outcome, World};

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
    let servers = us.describe_instances_health().environment_name("h-prod").send().await.unwrap();
    let labels: Vec<_> =
        servers.instance_health_list().iter().map(|one| one.deployment().unwrap().version_label().unwrap()).collect();
    assert_eq!(labels.len(), 2);
    assert_ne!(labels[0], labels[1], "half way");
    wire.act(Act::finish(H, run, "Production", Outcome::Success));
    let after = production(&us).await;
    assert_eq!(after.version_label(), Some(labels[0]));
    let health = us.describe_environment_health().environment_name("h-prod").send().await.unwrap();
    assert_eq!(health.instances_health().unwrap().ok(), Some(2));
    let events = us.describe_events().environment_name("h-prod").max_records(1).send().await.unwrap();
    assert_eq!(events.events()[0].message(), Some("Environment update completed successfully."));
    let versions =
        us.describe_application_versions().application_name("h").version_labels(labels[0]).send().await.unwrap();
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
    wire.act(Act::Pass { seconds: 7 });
    assert_eq!(new().await, [("deployed".to_owned(), Some(()))]);
    let (repo, environment) = (H.to_owned(), "Production".to_owned());
    wire.act(Act::SetVariable { repo: repo.clone(), environment: environment.clone(), key: "NEW".into(), value: None });
    wire.act(Act::SpoilSettings { repo, environment });
    set().await.unwrap();
    wire.act(Act::Pass { seconds: 7 });
    assert_eq!(new().await, [("deployed".to_owned(), None)], "taken back");
    assert_eq!(wire.world.complaints(), Vec::<String>::new());
    wire.shutdown.cancel();
}
