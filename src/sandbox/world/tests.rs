#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;

use super::act::{Act, MergeKind, Outcome};
use super::{MACHINE_USER, World};
use crate::clock::Clock;

const H: &str = "hypothesis/h";
const CLIENT: &str = "hypothesis/client";

fn world() -> World {
    World::hypothesis(Clock::default())
}

fn done(world: &World, act: Act) -> String {
    world.act(act).expect("the act is possible")
}

fn newest(world: &World, repo: &str) -> u64 {
    world.newest_run(repo).expect("a run")
}

fn finish(world: &World, repo: &str, job: &str) {
    done(world, Act::finish(repo, newest(world, repo), job, Outcome::Success));
}

/// A merge whose run waits for production.
fn waiting(world: &World) -> u64 {
    done(world, Act::merge(H, "ana-gh", "Speed up search"));
    for job in ["Docker Hub", "Staging / Deploy", "Staging (WebSocket)"] {
        finish(world, H, job);
    }
    newest(world, H)
}

fn approve(world: &World, run: u64, environments: &[&str]) -> Result<String, String> {
    world.act(Act::Approve {
        repo: H.to_owned(),
        run,
        environments: environments.iter().map(ToString::to_string).collect(),
        by: "ben-gh".to_owned(),
        comment: String::new(),
    })
}

fn dispatch(workflow: &str, branch: &str, inputs: &[&str]) -> Act {
    let inputs: BTreeMap<_, _> = inputs.iter().map(|id| (id.to_string(), "true".to_owned())).collect();
    let (repo, workflow, branch) = (H.to_owned(), workflow.to_owned(), branch.to_owned());
    Act::Dispatch { repo, workflow, by: "chi-gh".to_owned(), branch, inputs }
}

/// One line for each run of a repository, newest first: what people would see on the Actions page.
fn runs(world: &World, repo: &str) -> String {
    let view = world.view();
    let repo = view["repos"].as_array().unwrap().iter().find(|r| r["repo"] == repo).unwrap();
    let mut text = String::new();
    for run in repo["runs"].as_array().unwrap() {
        let state = run["conclusion"].as_str().or(run["status"].as_str()).unwrap();
        let workflow = run["workflow"].as_str().unwrap();
        text += &format!("{workflow} {} #{} {state}:", run["number"], run["attempt"]);
        for job in run["jobs"].as_array().unwrap() {
            let state = job["conclusion"].as_str().or(job["status"].as_str()).unwrap();
            text += &format!(" {}={state}", job["name"].as_str().unwrap());
        }
        text += "\n";
    }
    text
}

fn version(world: &World, repo: &str, environment: &str) -> (String, String) {
    let view = world.view();
    let repo = view["repos"].as_array().unwrap().iter().find(|r| r["repo"] == repo).unwrap().clone();
    let all = repo["environments"].as_array().unwrap();
    let found = all.iter().find(|e| e["name"] == environment).unwrap();
    (found["version"].as_str().unwrap().to_owned(), found["status"].as_str().unwrap().to_owned())
}

/// The image tag of main's head.
fn main_tag(world: &World, repo: &str) -> String {
    world.read(|state, _| {
        let history = &state.repo(repo).unwrap().history;
        history.get(history.main()).unwrap().image_tag()
    })
}

#[test]
fn the_seed_has_deployed_everything() {
    let world = world();
    let view = world.view();
    let repos = view["repos"].as_array().unwrap();
    assert_eq!(repos.len(), 5);
    for repo in repos {
        let name = repo["repo"].as_str().unwrap();
        assert_eq!(repo["undeployed"], 0, "{name}");
        assert_eq!(repo["runs"][0]["conclusion"], "success", "{name}");
        for environment in repo["environments"].as_array().unwrap() {
            assert_eq!(environment["version"], main_tag(&world, name), "{name} {environment}");
        }
    }
    assert_eq!(view["people"].as_array().unwrap().len(), 6);
}

#[test]
fn a_merge_cancels_the_waiting_run() {
    let world = world();
    let first = waiting(&world);
    let told = done(&world, Act::merge(H, "ben-gh", "Fix login"));
    insta::assert_snapshot!(told, @"ben-gh squashed #4499 into hypothesis/h; Deploy 813 started and cancelled Deploy 812.");
    insta::assert_snapshot!(runs(&world, H), @r"
    Deploy 813 #1 queued: Docker Hub=queued
    Deploy 812 #1 cancelled: Docker Hub=success Staging=success Staging (WebSocket)=success Production=cancelled Production (WebSocket)=cancelled Production (Canada)=cancelled
    Deploy 811 #1 success: Docker Hub=success Staging=success Staging (WebSocket)=success Production=success Production (WebSocket)=success Production (Canada)=success
    ");
    let annotations = world.read(|state, _| {
        let jobs = &state.repo(H).unwrap().run(first).unwrap().latest().jobs;
        jobs.iter().map(|job| job.annotations.join("")).collect::<Vec<_>>()
    });
    assert_eq!(annotations[0], "");
    assert_eq!(annotations[3], "Canceling since a higher priority waiting request for 'deploy' exists");
}

#[test]
fn a_run_cancelled_before_its_first_job_lists_none() {
    let world = world();
    done(&world, Act::merge(H, "ana-gh", "One"));
    done(&world, Act::merge(H, "ana-gh", "Two"));
    assert!(runs(&world, H).contains("Deploy 812 #1 cancelled:\n"));
}

#[test]
fn approved_gates_start_and_the_others_wait() {
    let world = world();
    let run = waiting(&world);
    assert!(approve(&world, run, &["Production", "Staging"]).is_err());
    done(
        &world,
        Act::Approve {
            repo: H.to_owned(),
            run,
            environments: vec!["Production".to_owned()],
            by: MACHINE_USER.to_owned(),
            comment: "for Ana".to_owned(),
        },
    );
    assert!(approve(&world, run, &["Production"]).is_err());
    finish(&world, H, "Production");
    insta::assert_snapshot!(runs(&world, H).lines().next().unwrap(), @"Deploy 812 #1 waiting: Docker Hub=success Staging=success Staging (WebSocket)=success Production=success Production (WebSocket)=waiting Production (Canada)=waiting");
    assert_eq!(version(&world, H, "Production").0, main_tag(&world, H));
    assert_ne!(version(&world, H, "Production (Canada)").0, main_tag(&world, H));
}

#[test]
fn a_rejected_gate_fails_its_run_once_the_others_are_through() {
    let world = world();
    let run = waiting(&world);
    let environments = vec!["Production (Canada)".to_owned()];
    let by = "dora-gh".to_owned();
    done(&world, Act::Reject { repo: H.to_owned(), run, environments, by, comment: "no".to_owned() });
    assert!(runs(&world, H).starts_with("Deploy 812 #1 waiting"));
    approve(&world, run, &["Production", "Production (WebSocket)"]).unwrap();
    finish(&world, H, "Production");
    finish(&world, H, "Production (WebSocket)");
    assert!(runs(&world, H).starts_with("Deploy 812 #1 failure"));
}

#[test]
fn only_reviewers_review_and_only_writers_write() {
    let world = world();
    let run = waiting(&world);
    for by in ["mallory-gh", "dependabot[bot]", "nobody"] {
        let (repo, environments) = (H.to_owned(), vec!["Production".to_owned()]);
        let act = Act::Approve { repo, run, environments, by: by.to_owned(), comment: String::new() };
        assert!(world.act(act).is_err(), "{by}");
    }
    assert!(world.act(Act::merge(H, "mallory-gh", "Backdoor")).is_err());
    assert!(world.act(Act::CancelRun { repo: H.to_owned(), run, by: "mallory-gh".to_owned() }).is_err());
}

#[test]
fn a_rebase_puts_all_its_commits_on_main() {
    let world = world();
    let before = world.view()["repos"][0]["main"].as_str().unwrap().to_owned();
    let merge = |kind, commits| Act::Merge {
        repo: H.to_owned(),
        author: "ana-gh".to_owned(),
        by: Some("ben-gh".to_owned()),
        title: "Three steps".to_owned(),
        kind,
        commits,
        docs: false,
        body: None,
    };
    let ahead = |world: &World| {
        world.read(|state, _| {
            let history = &state.repo(H).unwrap().history;
            let found = history.compare(&before, history.main());
            assert_eq!(found.behind, 0);
            let last = history.pulls.last().unwrap();
            assert_eq!(last.merged().unwrap().commit, history.main());
            found.ahead.len()
        })
    };
    done(&world, merge(MergeKind::Rebase, 3));
    assert_eq!(ahead(&world), 3);
    done(&world, merge(MergeKind::Squash, 3));
    assert_eq!(ahead(&world), 4);
    done(&world, merge(MergeKind::Merge, 3));
    assert_eq!(ahead(&world), 8);
    assert_eq!(world.view()["repos"][0]["undeployed"], 3);
}

#[test]
fn a_docs_merge_has_no_run_and_cancels_none() {
    let world = world();
    waiting(&world);
    let before = runs(&world, H);
    done(
        &world,
        Act::Merge {
            repo: H.to_owned(),
            author: "chi-gh".to_owned(),
            by: None,
            title: "Explain it".to_owned(),
            kind: MergeKind::Squash,
            commits: 1,
            docs: true,
            body: None,
        },
    );
    assert_eq!(runs(&world, H), before);
    assert_eq!(world.view()["repos"][0]["undeployed"], 2);
}

#[test]
fn a_failed_staging_skips_production_and_a_rerun_keeps_what_was_green() {
    let world = world();
    done(&world, Act::merge(H, "ana-gh", "Break staging"));
    finish(&world, H, "Docker Hub");
    finish(&world, H, "Staging (WebSocket)");
    let run = newest(&world, H);
    let rerun = |failed_only| Act::Rerun { repo: H.to_owned(), run, failed_only, by: "ana-gh".to_owned() };
    assert!(world.act(rerun(true)).is_err(), "it still runs");
    done(&world, Act::finish(H, run, "Staging", Outcome::Failure));
    let view = runs(&world, H);
    insta::assert_snapshot!(view.lines().next().unwrap(), @"Deploy 812 #1 failure: Docker Hub=success Staging=failure Staging (WebSocket)=success Production=skipped Production (WebSocket)=skipped Production (Canada)=skipped");
    let green = |world: &World| {
        world.read(|state, _| {
            let job = state.repo(H).unwrap().run(run).unwrap().latest().jobs[0].clone();
            (job.id, job.started_at, job.completed_at)
        })
    };
    let before = green(&world);
    done(&world, Act::Pass { seconds: 100 });
    done(&world, rerun(true));
    let after = green(&world);
    assert_ne!(before.0, after.0);
    assert_eq!((before.1, before.2), (after.1, after.2));
    insta::assert_snapshot!(runs(&world, H).lines().next().unwrap(), @"Deploy 812 #2 queued: Docker Hub=success Staging=queued Staging (WebSocket)=success");
    finish(&world, H, "Staging");
    assert!(runs(&world, H).starts_with("Deploy 812 #2 waiting"));
}

#[test]
fn a_rerun_of_an_older_run_cancels_the_newer_one() {
    let world = world();
    let first = waiting(&world);
    done(&world, Act::merge(H, "ben-gh", "Newer"));
    let told = done(&world, Act::Rerun { repo: H.to_owned(), run: first, failed_only: false, by: "ana-gh".to_owned() });
    assert_eq!(told, "ana-gh started Deploy 812 again and cancelled Deploy 813.");
}

#[test]
fn a_redeploy_takes_the_place_of_a_deploy_and_keeps_the_version() {
    let world = world();
    waiting(&world);
    let before = version(&world, H, "Production").0;
    let told = done(&world, dispatch("redeploy.yml", "main", &["production"]));
    assert_eq!(told, "chi-gh started Redeploy 41 on main and cancelled Deploy 812.");
    insta::assert_snapshot!(runs(&world, H).lines().next().unwrap(), @"Redeploy 41 #1 waiting: Staging=skipped Staging (WebSocket)=skipped Production=waiting Production (WebSocket)=skipped Production (Canada)=skipped");
    approve(&world, newest(&world, H), &["Production"]).unwrap();
    finish(&world, H, "Production");
    assert!(runs(&world, H).starts_with("Redeploy 41 #1 success"));
    assert_eq!(version(&world, H, "Production").0, before);
    assert!(world.act(dispatch("redeploy.yml", "main", &["qa"])).is_err());
    assert!(world.act(dispatch("tasks.yml", "main", &[])).is_err());
    done(&world, dispatch("redeploy.yml", "main", &[]));
    assert!(runs(&world, H).starts_with("Redeploy 42 #1 skipped"));
}

#[test]
fn another_branch_has_diverged() {
    let world = world();
    done(&world, dispatch("deploy.yml", "try-it", &[]));
    world.read(|state, _| {
        let history = &state.repo(H).unwrap().history;
        let found = history.compare("main", "try-it");
        assert_eq!((found.ahead.len(), found.behind), (0, 0), "names are resolved before");
        let (main, branch) = (&history.resolve("main").unwrap().sha, &history.resolve("try-it").unwrap().sha);
        let found = history.compare(main, branch);
        assert_eq!((found.ahead.len(), found.behind), (1, 1));
    });
}

#[test]
fn servers_go_on_when_their_job_is_cancelled() {
    let world = world();
    let run = waiting(&world);
    let tag = main_tag(&world, H);
    approve(&world, run, &["Production", "Production (Canada)"]).unwrap();
    done(&world, Act::DeployStep { repo: H.to_owned(), run, job: "Production".to_owned() });
    assert_eq!(version(&world, H, "Production").1, "Updating");
    done(&world, Act::CancelRun { repo: H.to_owned(), run, by: "ana-gh".to_owned() });
    assert_ne!(version(&world, H, "Production"), (tag.clone(), "Ready".to_owned()));
    done(&world, Act::Pass { seconds: 61 });
    assert_eq!(version(&world, H, "Production"), (tag.clone(), "Ready".to_owned()));
    assert_ne!(version(&world, H, "Production (Canada)").0, tag, "that job was not in its deploy step");
}

#[test]
fn jobs_succeed_by_themselves_in_their_time() {
    let world = world();
    done(&world, Act::Auto { on: true });
    done(&world, Act::merge(H, "ana-gh", "Automatic"));
    assert!(runs(&world, H).starts_with("Deploy 812 #1 in_progress: Docker Hub=in_progress\n"));
    done(&world, Act::Pass { seconds: 9 });
    assert!(runs(&world, H).starts_with("Deploy 812 #1 in_progress: Docker Hub=success Staging=in_progress"));
    done(&world, Act::Pass { seconds: 6 });
    assert!(runs(&world, H).starts_with("Deploy 812 #1 waiting"));
    approve(&world, newest(&world, H), &["Production", "Production (WebSocket)", "Production (Canada)"]).unwrap();
    done(&world, Act::Pass { seconds: 9 });
    assert!(runs(&world, H).starts_with("Deploy 812 #1 success"));
    assert_eq!(world.view()["repos"][0]["undeployed"], 0);
}

#[test]
fn plain_jobs_keep_their_own_names() {
    let world = world();
    done(&world, Act::merge(CLIENT, "dependabot[bot]", "Bump preact"));
    finish(&world, CLIENT, "Build package");
    finish(&world, CLIENT, "Release to staging");
    insta::assert_snapshot!(runs(&world, CLIENT).lines().next().unwrap(), @"Deploy 957 #1 waiting: Build package=success Release to staging=success Release to npm and CDN=waiting");
    assert_eq!(version(&world, CLIENT, "qa").0, main_tag(&world, CLIENT));
}

#[test]
fn jobs_are_finished_in_order_only() {
    let world = world();
    done(&world, Act::merge(H, "ana-gh", "Order"));
    let run = newest(&world, H);
    insta::assert_snapshot!(world.act(Act::finish(H, run, "Production", Outcome::Success)).unwrap_err(), @"Production / Deploy has not come up: what it needs has not finished.");
    insta::assert_snapshot!(world.act(Act::finish(H, run, "Produktion", Outcome::Success)).unwrap_err(), @"Deploy 812 has no job Produktion.");
    done(&world, Act::BreakWorkflow { repo: H.to_owned(), by: "ana-gh".to_owned() });
    assert!(runs(&world, H).starts_with("Deploy 813 #1 startup_failure:\n"));
}

#[test]
fn acts_are_json() {
    let act: Act =
        serde_json::from_str(r#"{"do":"merge","repo":"hypothesis/h","author":"ana-gh","title":"x"}"#).unwrap();
    assert!(matches!(act, Act::Merge { commits: 1, docs: false, .. }));
    let act: Act = serde_json::from_str(r#"{"do":"fault","kind":"error_502_after","only":"POST"}"#).unwrap();
    assert!(matches!(act, Act::Fault { times: 1, .. }));
    assert!(serde_json::from_str::<Act>(r#"{"do":"dance"}"#).is_err());
}

#[test]
fn the_workflow_files_say_what_the_pipeline_does() {
    let world = world();
    let (deploy, redeploy, client) = world.read(|state, _| {
        let (h, client) = (&state.repo(H).unwrap().pipeline, &state.repo(CLIENT).unwrap().pipeline);
        use super::pipeline::Workflow::{Deploy, Redeploy};
        (h.file(Deploy), h.file(Redeploy), client.file(Deploy))
    });
    for text in [&deploy, &redeploy, &client] {
        let parsed: serde_json::Value = serde_saphyr::from_str(text).expect("valid YAML");
        assert!(parsed["jobs"].is_object());
    }
    let deploy: serde_json::Value = serde_saphyr::from_str(&deploy).unwrap();
    assert_eq!(deploy["jobs"]["production_canada"]["with"]["aws_region"], "ca-central-1");
    assert_eq!(deploy["jobs"]["production_canada"]["needs"][1], "staging");
}
