use proptest::prelude::{any, prop, prop_oneof, proptest};
use proptest::strategy::{Just, Strategy};

use super::*;

fn parse(text: &str) -> WorkflowFile {
    WorkflowFile::parse(text, "hypothesis/lms").unwrap()
}

/// `job: environment @ region application/environment url < needs`, one line for each environment.
fn shown(text: &str) -> Vec<String> {
    let line = |deployed: Deployed| {
        let target = deployed.target;
        let mut line = format!("{}: {}", deployed.job, target.environment);
        if let Some(region) = target.region {
            line += &format!(" @ {region}");
        }
        if let Some(Beanstalk { application, environment }) = target.beanstalk {
            line += &format!(" {application}/{environment}");
        }
        if let Some(url) = target.url {
            line += &format!(" {url}");
        }
        let needs: Vec<&str> = deployed.needs.iter().map(EnvName::as_str).collect();
        if needs.is_empty() { line } else { format!("{line} < {}", needs.join(", ")) }
    };
    parse(text).deployed().into_iter().map(line).collect()
}

fn called(id: &str, name: &str, needs: &str, region: &str, application: &str, suffix: &str) -> String {
    format!(
        "
  {id}:
    name: {name}
    needs: {needs}
    uses: hypothesis/workflows/.github/workflows/deploy.yml@main
    with:
      operation: deploy
      github_environment_name: {name}
      github_environment_url: https://example.com/{id}
      aws_region: {region}
      elasticbeanstalk_application: {application}
      elasticbeanstalk_environment: {suffix}
      docker_tag: ${{{{ needs.Docker_Hub.outputs.docker_tag }}}}
    secrets: inherit"
    )
}

const HEAD: &str = "name: Deploy
concurrency:
  group: deploy
  cancel-in-progress: true
on:
  workflow_dispatch:
  push:
    branches:
      - main
    paths-ignore: [ '.github/*', '!requirements/prod.txt' ]
jobs:
  docker_hub:
    name: Docker Hub
    uses: hypothesis/workflows/.github/workflows/dockerhub.yml@main
    with:
      Application: ${{ github.event.repository.name }}
    secrets: inherit";

#[test]
fn h_has_two_tests_and_three_productions() {
    let (test, production) = ("[docker_hub]", "[docker_hub, staging, staging_websocket]");
    let file = [
        HEAD.to_owned(),
        called("staging", "Staging", test, "us-west-1", "h", "staging"),
        called("staging_websocket", "Staging (WebSocket)", test, "us-west-1", "h-websocket", "staging"),
        called("production", "Production", production, "us-west-1", "h", "prod"),
        called("production_websocket", "Production (WebSocket)", production, "us-west-1", "h-websocket", "prod"),
        called("production_canada", "Production (Canada)", production, "ca-central-1", "h", "prod"),
    ]
    .concat();
    insta::assert_snapshot!(shown(&file).join("\n"), @"
    Staging: Staging @ us-west-1 h/h-staging https://example.com/staging
    Staging (WebSocket): Staging (WebSocket) @ us-west-1 h-websocket/h-websocket-staging https://example.com/staging_websocket
    Production: Production @ us-west-1 h/h-prod https://example.com/production < Staging, Staging (WebSocket)
    Production (WebSocket): Production (WebSocket) @ us-west-1 h-websocket/h-websocket-prod https://example.com/production_websocket < Staging, Staging (WebSocket)
    Production (Canada): Production (Canada) @ ca-central-1 h/h-prod https://example.com/production_canada < Staging, Staging (WebSocket)
    ");
    let file = parse(&file);
    assert_eq!((file.group.as_deref(), file.branch.as_deref()), (Some("deploy"), Some("main")));
    assert!(file.inputs.is_empty(), "a start by hand without inputs");
    assert_eq!(file.jobs[0].target, None);
}

#[test]
fn lms_takes_its_application_from_the_repo() {
    let application = "${{ github.event.repository.name }}";
    let file = [
        HEAD.to_owned(),
        called("staging", "Staging", "docker_hub", "us-west-1", application, "staging"),
        called("production", "Production", "staging", "us-west-1", application, "prod"),
    ]
    .concat();
    insta::assert_snapshot!(shown(&file).join("\n"), @"
    Staging: Staging @ us-west-1 lms/lms-staging https://example.com/staging
    Production: Production @ us-west-1 lms/lms-prod https://example.com/production < Staging
    ");
}

#[test]
fn the_halves_of_via_are_independent() {
    let file = [
        HEAD.to_owned(),
        called("staging", "Staging", "[docker_hub]", "us-west-1", "via", "staging"),
        called("staging_edu", "Staging (Edu)", "[docker_hub]", "us-west-1", "edu-via", "staging"),
        called("production", "Production", "[docker_hub, staging]", "us-west-1", "via", "prod"),
        called("production_edu", "Production (Edu)", "[docker_hub, staging_edu]", "us-west-1", "lms-via", "prod"),
    ]
    .concat();
    insta::assert_snapshot!(shown(&file).join("\n"), @"
    Staging: Staging @ us-west-1 via/via-staging https://example.com/staging
    Staging (Edu): Staging (Edu) @ us-west-1 edu-via/edu-via-staging https://example.com/staging_edu
    Production: Production @ us-west-1 via/via-prod https://example.com/production < Staging
    Production (Edu): Production (Edu) @ us-west-1 lms-via/lms-via-prod https://example.com/production_edu < Staging (Edu)
    ");
}

#[test]
fn report_calls_it_qa() {
    let file = [
        HEAD.to_owned(),
        called("qa", "QA", "[docker_hub]", "us-west-1", "report", "qa"),
        called("production", "Production", "[docker_hub, qa]", "us-west-1", "report", "prod"),
    ]
    .concat();
    insta::assert_snapshot!(shown(&file).join("\n"), @"
    QA: QA @ us-west-1 report/report-qa https://example.com/qa
    Production: Production @ us-west-1 report/report-prod https://example.com/production < QA
    ");
}

#[test]
fn plain_jobs_as_in_the_client() {
    let file = "
on: [push, workflow_dispatch]
concurrency: ${{ github.event.repository.name }}-deploy
jobs:
  build: { runs-on: ubuntu-latest, steps: [ { run: make } ] }
  release-staging: { needs: build, environment: qa, runs-on: ubuntu-latest }
  wait: { needs: [ release-staging ] }
  release-prod:
    needs: wait
    environment: { name: production, url: 'https://h.example/?a=1' }
  release-docs: { environment: \"${{ inputs.where }}\" }
  matrix: { name: \"Go ${{ matrix.region }}\", environment: { name: docs, url: 'javascript:alert(1)' } }
";
    insta::assert_snapshot!(shown(file).join("\n"), @"
    release-staging: qa
    release-prod: production https://h.example/?a=1 < qa
    matrix: docs
    ");
    assert_eq!(parse(file).group.as_deref(), Some("lms-deploy"));
    assert_eq!(parse(file).branch, None);
}

#[test]
fn the_last_job_of_an_environment_is_the_one_that_deploys() {
    let file = "
jobs:
  migrate: { environment: production }
  test: { environment: qa }
  deploy: { environment: production, needs: [ migrate, test ] }
";
    assert_eq!(shown(file), ["deploy: production < qa", "test: qa"]);
}

#[test]
fn what_cannot_be_told_is_left_out() {
    assert_eq!(parse("concurrency: deploy-${{ github.ref }}").group, None);
    assert_eq!(parse("concurrency: { cancel-in-progress: true }").group, None);
    for branches in ["'release/**'", "[]", "{ a: b }"] {
        assert_eq!(parse(&format!("on: {{ push: {{ branches: {branches} }} }}")).branch, None, "{branches}");
    }
    assert_eq!(parse("on: { push: { branches: [ 'v*', trunk ] } }").branch.as_deref(), Some("trunk"));
    assert_eq!(parse("on: { push: { branches: trunk } }").branch.as_deref(), Some("trunk"));
    assert_eq!(
        shown("jobs: { a: { uses: x, with: [ 1 ] }, b: { environment: [ x ] }, c: { environment: '' } }"),
        [""; 0]
    );
    let odd = "jobs: { a: { uses: x, with: { github_environment_name: A, aws_region: 'eu west/1', elasticbeanstalk_application: a } } }";
    assert_eq!(shown(odd), ["a: A"]);
}

#[test]
fn the_key_on_is_not_true() {
    let quoted = parse("'on': { workflow_dispatch: { inputs: { staging: { type: boolean } } } }");
    let plain = parse("on: { workflow_dispatch: { inputs: { staging: { type: boolean } } } }");
    assert_eq!(quoted, plain);
    assert!(plain.inputs.contains("staging"));
    assert_eq!(shown("jobs: { on: { environment: off }, yes: { environment: no } }"), ["on: off", "yes: no"]);
}

#[test]
fn inputs_of_redeploy() {
    let file = "
on:
  workflow_dispatch:
    inputs:
      staging: { type: boolean, description: Redeploy Staging }
      production: { type: boolean }
      canada: { type: boolean }
      edu: { type: boolean }
      reason: { type: string }
jobs:
  staging: { name: Staging, if: inputs.staging, uses: x, with: { github_environment_name: Staging } }
  production: { uses: x, with: { github_environment_name: Production } }
  production_canada:
    if: ${{ github.event.inputs.canada == 'true' && github.ref == 'refs/heads/main' }}
    uses: x
    with: { github_environment_name: Production (Canada) }
  edu: { if: '!inputs.edu', environment: Edu }
  both: { if: inputs.edu || inputs.canada, environment: Both }
  reason: { if: inputs.reason, environment: Reason }
  unknown: { environment: Unknown }
";
    let inputs: Vec<String> =
        parse(file).inputs_by_environment().into_iter().map(|(name, input)| format!("{name} = {input}")).collect();
    assert_eq!(inputs, ["Production = production", "Production (Canada) = canada", "Staging = staging"]);
}

#[test]
fn hostile_files_are_refused_in_one_line() {
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]
b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]
c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]
d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]
e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]
on: [*e,*e,*e,*e,*e,*e,*e,*e,*e]";
    let hostile = [
        bomb.to_owned(),
        "x".repeat(MOST_BYTES + 1),
        "[".repeat(100_000),
        format!("jobs: {}", "{a: ".repeat(5_000)),
        format!("jobs:\n{}", (0..600).map(|n| format!("  j{n}: {{}}\n")).collect::<String>()),
        "jobs: [1, 2]".to_owned(),
        "jobs: { a: 1 }".to_owned(),
        "jobs: { a: {}, a: {} }".to_owned(),
        "jobs: *nothing".to_owned(),
        "\u{0}\u{1}".to_owned(),
        "<html>".to_owned(),
        "{}\n---\n{}".to_owned(),
        "jobs:".to_owned(),
        "? ".repeat(50_000),
        "- ".repeat(100_000),
        "\"".repeat(100_001),
        "a: &a [*a]".to_owned(),
    ];
    for text in hostile {
        let start: String = text.chars().take(40).collect();
        let why = WorkflowFile::parse(&text, "a/b").expect_err(&start).to_string();
        assert!(!why.is_empty() && why.len() <= 800 && !why.contains('\n'), "{start}: {why}");
    }
}

#[test]
fn jobs_that_need_each_other_end() {
    assert_eq!(
        shown("jobs: { a: { needs: b, environment: A }, b: { needs: [a, b, c], environment: B } }"),
        ["a: A < B", "b: B < A"]
    );
}

#[test]
fn nothing_is_a_file_without_jobs() {
    for text in ["{}", "jobs: {}", "name: x"] {
        assert_eq!(WorkflowFile::parse(text, "a/b").map(|file| file.jobs.len()), Ok(0), "{text:?}");
    }
}

/// Text that looks like a workflow often enough to get past the parser.
fn nearly_a_workflow() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("jobs:"),
        Just("on:"),
        Just("needs:"),
        Just("environment:"),
        Just("with:"),
        Just("uses:"),
        Just("\n"),
        Just("  "),
        Just("${{"),
        Just("}}"),
        Just("github.repository"),
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(","),
        Just("a"),
        Just("&a"),
        Just("*a"),
        Just("- "),
        Just("\""),
        Just("inputs.a"),
        Just("<<:"),
        Just("!!binary"),
        Just("|"),
        Just("é"),
    ];
    prop::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in prop_oneof![nearly_a_workflow(), any::<String>()], repo in any::<String>()) {
        if let Ok(file) = WorkflowFile::parse(&text, &repo) {
            let _ = file.deployed();
            let _ = file.inputs_by_environment();
        }
    }

    #[test]
    fn expressions_never_survive(text in "[a-z{}$ .]{0,40}") {
        if let Some(resolved) = resolve(&text, "o/r") {
            assert!(!resolved.contains("${{"));
        }
    }
}

/// Jobs that all need each other took the cube of their number.
#[test]
fn hundreds_of_jobs_that_need_each_other_are_read_at_once() {
    let ids: Vec<String> = (0..400).map(|n| format!("j{n}")).collect();
    let job = |id: &String| format!("  {id}:\n    environment: e-{id}\n    needs: [{}]\n", ids[..100].join(", "));
    let file = format!("jobs:\n{}", ids.iter().map(job).collect::<String>());
    let deployed = parse(&file).deployed();
    assert_eq!((deployed.len(), deployed[399].needs.len()), (400, 100));
}

#[test]
fn a_name_longer_than_githubs_own_limit_names_no_environment() {
    let file = |name: &str| parse(&format!("jobs:\n  a:\n    environment: {name}\n"));
    assert_eq!(file(&"x".repeat(255)).deployed().len(), 1);
    assert_eq!(file(&"x".repeat(256)).deployed().len(), 0);
}
