//! Files that somebody else writes: workflows and the settings.

use std::collections::BTreeMap;

use lockkeeper::config::Config;
use lockkeeper::github::workflow_file::WorkflowFile;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof};
use proptest::sample::Index;

use super::{nasty, runner, within};

const MB: usize = 1 << 20;

const WORKFLOW: &str = "\
name: Deploy
concurrency:
  group: deploy
  cancel-in-progress: true
on:
  workflow_dispatch:
    inputs:
      production:
        type: boolean
  push:
    branches: [main]
jobs:
  docker_hub:
    name: Docker Hub
    uses: hypothesis/workflows/.github/workflows/dockerhub.yml@main
  staging:
    name: Staging
    needs: docker_hub
    uses: hypothesis/workflows/.github/workflows/deploy.yml@main
    with:
      github_environment_name: Staging
      github_environment_url: https://staging.example.com
      aws_region: us-west-1
      elasticbeanstalk_application: ${{ github.event.repository.name }}
      elasticbeanstalk_environment: staging
  production:
    if: inputs.production
    needs: [docker_hub, staging]
    environment:
      name: Production
      url: https://example.com
    steps:
      - run: make deploy
";

const SETTINGS: &str = include_str!("../../../lockkeeper.example.toml");

/// Lines that break YAML, or those who read it.
fn yaml() -> BoxedStrategy<String> {
    let bomb = (2..12usize, 2..12usize).prop_map(|(levels, times)| {
        let mut text = "a0: &a0 [x, x]\n".to_owned();
        for level in 1..levels {
            let again = vec![format!("*a{}", level - 1); times].join(", ");
            text += &format!("a{level}: &a{level} [{again}]\n");
        }
        text + &format!("jobs: *a{}\n", levels - 1)
    });
    let flow = (
        1..3_000usize,
        prop_oneof![Just("["), Just("{a: "), Just("- "), Just("? "), Just("!!seq "), Just("&a "), Just("| ")],
    )
        .prop_map(|(times, open)| format!("deep: {}\n", open.repeat(times)));
    let nested = (1..400usize).prop_map(|depth| (0..depth).map(|n| format!("{}a:\n", " ".repeat(n))).collect());
    let huge = (1..200_000usize, prop_oneof![Just("x"), Just("\\n"), Just("  \n"), Just("é")])
        .prop_map(|(times, piece)| format!("big: \"{}\"\n", piece.repeat(times)));
    let jobs = (1..700usize).prop_map(|many| {
        (0..many).map(|n| format!("  j{n}:\n    environment: e{n}\n    needs: j{}\n", (n + 1) % many)).collect()
    });
    let fixed = prop::sample::select(vec![
        "  <<: *missing\n",
        "  <<: [*a, *b]\n",
        "  <<: {staging: {environment: E}}\n",
        "\tjobs:\n",
        "jobs: 1\n",
        "jobs: [a, b]\n",
        "on: true\n",
        "  staging:\n    name: again\n",
        "---\n",
        "...\n",
        "%YAML 9.9\n",
        "--- !!python/object:os.system x\n",
        "? [a, b]\n: c\n",
        "a: !!binary /w==\n",
        "  x: {environment: &r *r}\n",
        "&a a: *a\n",
        "  y:\n    environment: ${{ inputs.environment }}\n",
        "  z: {environment: {name: {name: {}}}}\n",
        "    needs: [production, staging, production]\n",
        "name: 0x1F\n",
        "concurrency: .inf\n",
        "    environment: ~\n",
        "    name: \"\\uD800\"\n",
        "    if: \"inputs.a && inputs.b\"\n",
    ]);
    let said = nasty().prop_map(|text| format!("    name: {text}\n    environment: {text}\n"));
    prop_oneof![1 => bomb, 1 => flow, 1 => nested, 1 => huge, 1 => jobs, 4 => fixed.prop_map(str::to_owned), 3 => said]
        .boxed()
}

/// A file with other lines put into it, in place of some, or cut off.
fn spoiled(file: &'static str, lines: BoxedStrategy<String>) -> BoxedStrategy<String> {
    let change = (any::<Index>(), lines, any::<bool>());
    (prop::collection::vec(change, 0..4), prop::option::weighted(0.1, any::<Index>()))
        .prop_map(move |(changes, cut)| {
            let mut text: Vec<String> = file.lines().map(|line| format!("{line}\n")).collect();
            for (at, line, replaces) in changes {
                let at = at.index(text.len() + 1);
                if replaces && at < text.len() {
                    text[at] = line;
                } else {
                    text.insert(at, line);
                }
            }
            let mut text = text.concat();
            if let Some(at) = cut {
                let mut end = at.index(text.len() + 1);
                while !text.is_char_boundary(end) {
                    end -= 1;
                }
                text.truncate(end);
            }
            text
        })
        .boxed()
}

#[test]
fn workflows() {
    let found = runner(150).run(&spoiled(WORKFLOW, yaml()), |text| {
        let read = within(64 * MB, || WorkflowFile::parse(&text, "hypothesis/h"));
        match &read {
            Ok(file) => {
                prop_assert!(file.jobs.len() <= 500);
                for deployed in file.deployed() {
                    let target = deployed.target;
                    prop_assert!((1..=255).contains(&target.environment.as_str().chars().count()));
                    prop_assert!(
                        target.url.is_none_or(|url| url.to_lowercase().starts_with("http") && url.len() <= 2_000)
                    );
                }
                let _ = file.inputs_by_environment();
            }
            Err(why) => {
                prop_assert!(why.to_string().chars().count() <= 300 && !why.to_string().contains(char::is_control))
            }
        }
        prop_assert_eq!(read, WorkflowFile::parse(&text, "hypothesis/h"));
        Ok(())
    });
    found.unwrap_or_else(|failed| panic!("{failed}"));
}

/// Lines that break TOML, or those who read it.
fn toml() -> BoxedStrategy<String> {
    let deep = (1..3_000usize, prop_oneof![Just("["), Just("{a="), Just("[["), Just("a.")])
        .prop_map(|(times, open)| format!("x = {}1\n", open.repeat(times)));
    let dotted = (1..3_000usize).prop_map(|times| format!("{}x = 1\n[{}y]\n", "a.".repeat(times), "b.".repeat(times)));
    let key = prop::sample::select(vec![
        "channel",
        "command",
        "remind_after",
        "working_hours",
        "digest",
        "time_zone",
        "verify_after",
        "lms",
        "url",
        "label",
        "ana-gh",
        "active",
        "repo",
    ]);
    let said = (key, nasty()).prop_map(|(key, text)| format!("{key} = {}\n", toml::Value::String(text)));
    let fixed = prop::sample::select(vec![
        "[apps.h]\n",
        "[people]\n",
        "apps = 1\n",
        "[[apps]]\n",
        "[apps.h.environments.\"\"]\n",
        "remind_after = \"99999999999999h\"\n",
        "time_zone = \"../../etc/passwd\"\n",
        "working_hours = \"Mon-Fri -1-99999\"\n",
        "digest = \"Mon 25:99\"\n",
        "x = 1979-05-27T07:32:00Z\n",
        "x = 0xFFFFFFFFFFFFFFFFF\n",
        "x = nan\n",
        "\u{feff}\n",
        "four_eyes = \"xoxb-canary-canary\"\n",
        "slack_users = [\"U1\", 1, []]\n",
        "\"a\\u0000\\u202e<!channel>\" = 1\n",
        "links = { a = \"javascript:alert(1)\" }\n",
    ]);
    prop_oneof![1 => deep, 1 => dotted, 3 => said, 3 => fixed.prop_map(str::to_owned)].boxed()
}

#[test]
fn settings() {
    let names = [
        "SLACK_APP_TOKEN",
        "SLACK_BOT_TOKEN",
        "SLACK_API_URL",
        "GITHUB_TOKEN",
        "GITHUB_API_URL",
        "REDIS_URL",
        "LOCKKEEPER_LISTEN",
        "LOCKKEEPER_DATA",
        "GITHUB_WEBHOOK_SECRET",
    ];
    let value = prop_oneof![
        2 => prop::sample::select(vec!["xapp-1-A1-canary", "xoxb-1-canary", "ghp_canarycanarycanarycanary", "redis://:canary@host", "http://canary@10.0.0.1", "https://ana:canary@x/"]).prop_map(str::to_owned),
        1 => nasty(),
    ];
    let environment =
        prop::collection::btree_map(prop::sample::select(names.to_vec()).prop_map(str::to_owned), value, 0..9);
    let found = runner(300).run(&(environment, spoiled(SETTINGS, toml())), |(environment, file)| {
        let environment: BTreeMap<String, String> = environment;
        within(64 * MB, || match Config::read(&environment, Some(&file)) {
            Ok(config) => assert!(!format!("{config:?}{:?}", config.warnings()).contains("canarycanary")),
            Err(mistakes) => {
                assert!(!mistakes.is_empty());
                for mistake in mistakes {
                    let said = mistake.to_string();
                    assert!(!said.contains("canary") && !said.contains(char::is_control), "{said}");
                    assert!(said.chars().count() <= 1_000, "{} characters: {said}", said.chars().count());
                }
            }
        });
        Ok(())
    });
    found.unwrap_or_else(|failed| panic!("{failed}"));
}
