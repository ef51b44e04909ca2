//! Others' own clients in the pretend world, and what no story asks of it otherwise: so that it is not only our own opinion. What the
//! bot sends in all stories is judged afterwards, by `tests/judge`.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use lockkeeper::sandbox::Sandbox;

use crate::town::{DEPLOYS, H, SETTINGS, Town};

/// Runs one of the judges' Python scripts in a world without a bot; what it says at its end.
async fn judge(script: &str) -> String {
    let data = tempfile::tempdir().expect("a folder");
    let sandbox = Sandbox::open(([127, 0, 0, 1], 0).into(), data.path()).await.expect("a sandbox");
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut install = Command::new(tests.join("judge"));
    install.arg("tools").stderr(Stdio::inherit());
    let tools = output(install).await;
    assert!(tools.status.success(), "the judges' tools could not be installed");
    let tools = String::from_utf8(tools.stdout).expect("a path");
    let mut python = Command::new("python3");
    python.arg(tests.join("judges").join(script)).envs(sandbox.environment());
    python.env("PYTHONPATH", Path::new(tools.trim()).join("python")).env("PAGE", format!("http://{}", sandbox.page));
    let done = output(python).await;
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(done.status.success(), "{script} says:\n{said}");
    let complaints = [sandbox.world.complaints(), sandbox.workspace.complaints()].concat();
    assert!(complaints.is_empty(), "the world complains of {script}: {complaints:#?}");
    sandbox.close().await;
    said
}

async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().expect("a command that can be run")).await.expect("an end")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slacks_own_sdk_is_an_app_here() {
    assert_eq!(judge("live_slack.py").await, "Slack's SDK is content\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn botocore_finds_its_servers_here() {
    assert_eq!(judge("live_beanstalk.py").await, "botocore is content\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_by_its_id_and_a_repository_by_its_name() {
    let town = Town::with(&SETTINGS.replace("\"#deploys\"", &format!("\"{DEPLOYS}\""))).await;
    let run = town.merge("ana-gh", "Fix RPC");
    town.on_staging(run);
    town.settled().await;
    assert!(town.says(812).contains("Fix RPC"), "{}", town.says(812));
    assert_eq!(town.shell().github.repo_visible(H).await, Ok(true));
    assert_eq!(town.shell().github.repo_visible("hypothesis/nothing").await, Ok(false));
    town.close().await;
}
