//! Five repositories in the shapes of `facts/github.md`, section 1.3, each with a history and a deploy of yesterday.

use jiff::{SignedDuration, Timestamp};

use super::MACHINE_USER;
use super::act::{MergeKind, Outcome};
use super::history::History;
use super::pipeline::{Beanstalk, JobPlan, Pipeline, Target};
use super::pulls::Proposal;
use super::run::{Phase, Review};
use super::servers::{Condition, Environment, Policy};
use super::state::{Ids, Repo, State};
use super::variables::Settings;

const US: &str = "us-west-1";
const CANADA: &str = "ca-central-1";

/// What differs from repository to repository.
struct Shape {
    name: String,
    jobs: Vec<JobPlan>,
    /// Reusable workflows and a Redeploy, as in nearly all of them.
    family: bool,
    last_number: u64,
    deploy_number: u64,
}

/// The seeded world as it is at `now`.
pub(crate) fn hypothesis(now: Timestamp) -> State {
    let shapes = [h(), lms(), via(), report(), client()];
    let repos = (1..).zip(shapes).map(|(nth, shape)| repo(nth, shape, now)).collect();
    State { repos, ..State::default() }
}

/// So many more repositories in the simplest shape; their places at Elastic Beanstalk are those of `report`.
pub(crate) fn quiet(count: u64, now: Timestamp) -> Vec<Repo> {
    let shape = |nth: u64| Shape { name: format!("app-{nth:02}"), ..report() };
    (1..=count).map(|nth| repo(nth + 10, shape(nth), now)).collect()
}

fn h() -> Shape {
    let tests = &["docker_hub", "staging", "staging_websocket"];
    let (h, ws) = ("h", "h-websocket");
    Shape {
        name: "h".to_owned(),
        jobs: vec![
            docker_hub(),
            deploy("staging", "Staging", &["docker_hub"], "https://staging.hypothes.is/search", (US, h, "staging")),
            deploy(
                "staging_websocket",
                "Staging (WebSocket)",
                &["docker_hub"],
                "https://staging.hypothes.is/ws",
                (US, ws, "staging"),
            ),
            deploy("production", "Production", tests, "https://hypothes.is/search", (US, h, "prod")),
            deploy("production_websocket", "Production (WebSocket)", tests, "https://hypothes.is/ws", (US, ws, "prod")),
            deploy(
                "production_canada",
                "Production (Canada)",
                tests,
                "https://ca.hypothes.is/search",
                (CANADA, h, "prod"),
            ),
        ],
        family: true,
        last_number: 4493,
        deploy_number: 810,
    }
}

fn lms() -> Shape {
    let tests = &["docker_hub", "staging"];
    Shape {
        name: "lms".to_owned(),
        jobs: vec![
            docker_hub(),
            deploy("staging", "Staging", &["docker_hub"], "https://lms.staging.hypothes.is/", (US, "lms", "staging")),
            deploy("production", "Production", tests, "https://lms.hypothes.is/", (US, "lms", "prod")),
            deploy(
                "production_canada",
                "Production (Canada)",
                tests,
                "https://lms.ca.hypothes.is/",
                (CANADA, "lms", "prod"),
            ),
        ],
        family: true,
        last_number: 6120,
        deploy_number: 1_433,
    }
}

fn via() -> Shape {
    Shape {
        name: "via".to_owned(),
        jobs: vec![
            docker_hub(),
            deploy("staging", "Staging", &["docker_hub"], "https://via.staging.hypothes.is/", (US, "via", "staging")),
            deploy(
                "staging_edu",
                "Staging (Edu)",
                &["docker_hub"],
                "https://edu-via.staging.hypothes.is/",
                (US, "edu-via", "staging"),
            ),
            deploy(
                "production",
                "Production",
                &["docker_hub", "staging"],
                "https://via.hypothes.is/",
                (US, "via", "prod"),
            ),
            deploy(
                "production_edu",
                "Production (Edu)",
                &["docker_hub", "staging_edu"],
                "https://via.hypothes.is/edu",
                (US, "lms-via", "prod"),
            ),
        ],
        family: true,
        last_number: 1310,
        deploy_number: 402,
    }
}

fn report() -> Shape {
    Shape {
        name: "report".to_owned(),
        jobs: vec![
            docker_hub(),
            deploy("qa", "QA", &["docker_hub"], "https://qa.reports.hypothes.is/", (US, "report", "qa")),
            deploy(
                "production",
                "Production",
                &["docker_hub", "qa"],
                "https://reports.hypothes.is/",
                (US, "report", "prod"),
            ),
        ],
        family: true,
        last_number: 655,
        deploy_number: 180,
    }
}

fn client() -> Shape {
    let plain = |id, name, needs, environment, url| JobPlan {
        id,
        name,
        needs,
        called: None,
        target: Some(Target { environment, url, beanstalk: None }),
    };
    Shape {
        name: "client".to_owned(),
        jobs: vec![
            JobPlan { id: "build", name: "Build package", needs: &[], called: None, target: None },
            plain("release-staging", "Release to staging", &["build"], "qa", "https://qa.hypothes.is/embed.js"),
            plain(
                "release-prod",
                "Release to npm and CDN",
                &["release-staging"],
                "production",
                "https://cdn.hypothes.is/hypothesis",
            ),
        ],
        family: false,
        last_number: 7011,
        deploy_number: 955,
    }
}

fn docker_hub() -> JobPlan {
    JobPlan { id: "docker_hub", name: "Docker Hub", needs: &[], called: Some("Release"), target: None }
}

fn deploy(
    id: &'static str,
    name: &'static str,
    needs: &'static [&'static str],
    url: &'static str,
    place: (&'static str, &'static str, &'static str),
) -> JobPlan {
    let (region, application, suffix) = place;
    let beanstalk = Some(Beanstalk { region, application, suffix });
    JobPlan { id, name, needs, called: Some("Deploy"), target: Some(Target { environment: name, url, beanstalk }) }
}

fn repo(nth: u64, shape: Shape, now: Timestamp) -> Repo {
    let created_at = now - SignedDuration::from_hours(24 * 400);
    let pipeline = Pipeline {
        group_expression: if shape.family { "deploy" } else { "${{ github.event.repository.name }}-deploy" },
        group: if shape.family { "deploy" } else { "client-deploy" },
        jobs: shape.jobs,
        has_redeploy: shape.family,
    };
    let mut repo = Repo {
        owner: "hypothesis",
        name: shape.name,
        id: 3_910_000 + nth * 10_000,
        created_at,
        environments: Vec::new(),
        pipeline,
        history: History::new(nth, shape.last_number, created_at),
        runs: Vec::new(),
        runs_before: Vec::new(),
        ids: Ids {
            run: 19_000_000_800 + nth * 10_000_000,
            job: 53_000_000_000 + nth * 50_000_000,
            deploy_number: shape.deploy_number,
            redeploy_number: 40,
        },
    };
    repo.environments = environments(&repo);
    yesterday(&mut repo, now - SignedDuration::from_hours(24));
    repo.runs_before.clone_from(&repo.runs);
    repo
}

fn environments(repo: &Repo) -> Vec<Environment> {
    let environment = |(nth, plan): (u64, &JobPlan)| {
        let target = plan.target.as_ref()?;
        let gated = repo.pipeline.is_production(plan);
        Some(Environment {
            id: 161_000_000 + repo.id + nth,
            name: target.environment,
            gated,
            place: target.beanstalk,
            created_at: repo.created_at,
            updated_at: repo.created_at,
            running: None,
            update: None,
            deployment: 40,
            policy: if gated { Policy::AdditionalBatch } else { Policy::Rolling },
            size: if gated { 4 } else { 2 },
            instances: Vec::new(),
            condition: Condition::default(),
            busy: false,
            enhanced: true,
            events: Vec::new(),
            versions: Vec::new(),
            settings: Settings::of(target.beanstalk),
        })
    };
    (0..).zip(&repo.pipeline.jobs).filter_map(environment).collect()
}

/// Four merges without their runs, the last of which is deployed everywhere.
fn yesterday(repo: &mut Repo, at: Timestamp) {
    let merges = [
        ("ana-gh", "Remove unused settings"),
        ("dependabot[bot]", "Bump requests from 2.32.4 to 2.32.5"),
        ("chi-gh", "Add an index for slow queries"),
        ("ben-gh", "Fix the error page's links"),
    ];
    for (hours, (author, title)) in (1..).zip(merges) {
        let by = if author.ends_with("[bot]") { "dora-gh" } else { author };
        let proposal = Proposal { author: author.to_owned(), title: title.to_owned(), body: None, commits: 1 };
        repo.history.merge(proposal, by, MergeKind::Squash, at - SignedDuration::from_hours(5 - hours));
    }
    let run = repo.start_push_run("ben-gh", at).id;
    deploy_everywhere(repo, run, at);
}

fn deploy_everywhere(repo: &mut Repo, run: u64, start: Timestamp) {
    for position in 0..repo.pipeline.jobs.len() {
        let minutes = i64::try_from(position).unwrap_or(0) * 4 + 3;
        let now = start + SignedDuration::from_mins(minutes);
        let plan = repo.pipeline.jobs[position].clone();
        let waits = |repo: &Repo| {
            repo.run(run).is_some_and(|run| {
                run.latest().jobs.iter().any(|job| job.plan == position && job.phase == Phase::Waiting)
            })
        };
        if let Some(target) = plan.target.as_ref().filter(|_| waits(repo)) {
            let review = Review {
                approved: true,
                by: MACHINE_USER.to_owned(),
                comment: "Approved by ben-gh".to_owned(),
                environments: vec![target.environment.to_owned()],
            };
            let _ = repo.review(run, review, now);
        }
        let _ = repo.finish_job(run, plan.name, Outcome::Success.into(), now + SignedDuration::from_mins(3));
    }
}
