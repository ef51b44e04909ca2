//! Webhooks that GitHub never sent: twisted bodies, events and signatures; and clicks on buttons that the bot never made.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lockkeeper::github::webhook::{self, Delivery};
use lockkeeper::sandbox::HOOK_SECRET;
use lockkeeper::sandbox::github::signature;
use lockkeeper::sandbox::world::Delivered;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop, prop_oneof};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::Value;

use super::words::presses;
use super::{MEMORY, count_panics, nasty, runner, twisted, within};
use crate::town::{H, SETTINGS, Town, until};
use crate::webhooks::{blind, hears, post};

const MB: usize = 1 << 20;
/// The most that is read of a body.
const MOST: usize = 1 << 20;

/// What GitHub tells of a change on its way through both kinds of review, every event ticked.
async fn real() -> Vec<Delivered> {
    let town = Town::without_bot(SETTINGS).await;
    let all = ["push", "pull_request", "deployment_review", "workflow_job", "workflow_run"];
    // Nobody listens there.
    town.sandbox.world.set_up_hook("http://127.0.0.1:9/", HOOK_SECRET, &all);
    let run = town.merge("ana-gh", "Fix RPC");
    town.on_staging(run);
    town.approve_at_github(run, "chi-gh", &["Production", "Production (WebSocket)", "Production (Canada)"]);
    town.ship(run);
    until("all deliveries", || async { (town.sandbox.world.undelivered() == 0).then_some(()) }).await;
    let delivered = town.sandbox.world.delivered();
    for event in all.into_iter().chain(["ping"]) {
        assert!(delivered.iter().any(|delivered| delivered.event == event), "no {event}");
    }
    town.close().await;
    delivered
}

fn event() -> BoxedStrategy<String> {
    let known =
        ["ping", "push", "pull_request", "workflow_run", "workflow_job", "deployment_review", "star", "", "Push"];
    prop_oneof![4 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => nasty()].boxed()
}

/// A body, and the event that it was of once.
fn bodies(real: &[Delivered]) -> BoxedStrategy<(String, Vec<u8>)> {
    let real: Vec<(String, Value)> = real
        .iter()
        .map(|delivered| (delivered.event.clone(), serde_json::from_str(&delivered.body).expect("JSON")))
        .collect();
    let told = prop::sample::select(real);
    let json = told.prop_flat_map(|(event, body)| (Just(event), twisted(body).prop_map(|body| body.to_string())));
    let cut = (json.clone(), any::<prop::sample::Index>()).prop_map(|((event, body), at)| {
        let end = at.index(body.len() + 1);
        (event, body.as_bytes()[..end].to_vec())
    });
    let form = |body: &str| url::form_urlencoded::Serializer::new(String::new()).append_pair("payload", body).finish();
    prop_oneof![
        6 => json.clone().prop_map(|(event, body)| (event, body.into_bytes())),
        2 => json.prop_map(move |(event, body)| (event, form(&body).into_bytes())),
        1 => cut,
        1 => (event(), prop::collection::vec(any::<u8>(), 0..2_000)),
        1 => (event(), nasty().prop_map(String::into_bytes)),
    ]
    .boxed()
}

/// Whatever a signed body says, it is read as something or as nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhook_bodies() {
    let read = std::cell::Cell::new((0, 0));
    let cases = (bodies(&real().await), prop_oneof![3 => Just(None), 1 => event().prop_map(Some)]);
    let found = runner(600).run(&cases, |((event, body), other)| {
        let event = other.unwrap_or(event);
        within(32 * MB, || {
            let (news, rest) = read.get();
            match webhook::read(&event, &body) {
                Some(Delivery::News { repo, what }) => {
                    assert!(body.len() >= repo.len() && format!("{what:?}").len() <= 2 * body.len() + 100);
                    read.set((news + 1, rest));
                }
                Some(Delivery::Ping { lacks }) => assert!(event == "ping" && lacks.len() <= webhook::EVENTS.len()),
                Some(Delivery::Other) | None => read.set((news, rest + 1)),
            }
            assert!(webhook::label(&event).len() < 40);
        });
        Ok(())
    });
    found.unwrap_or_else(|failed| panic!("{failed}"));
    let (news, rest) = read.get();
    assert!(news > 20 && rest > 20, "{news} were news and {rest} were not: some of both is what is to be tried");
}

/// A signature that is not the body's.
fn forgeries() -> BoxedStrategy<String> {
    let good = signature(HOOK_SECRET, b"something else");
    let digits = good.trim_start_matches("sha256=").to_owned();
    let wrong = vec![
        String::new(),
        "sha256=".to_owned(),
        digits.clone(),
        good.clone(),
        format!("sha1={}", &digits[..40]),
        format!("sha256={}", digits.to_ascii_uppercase()),
        format!("sha256={}", &digits[1..]),
        format!("sha256={digits}00"),
        format!("sha256={}", "0".repeat(64)),
    ];
    prop_oneof![2 => prop::sample::select(wrong), 1 => nasty().prop_map(|text| format!("sha256={text}"))].boxed()
}

/// As it may stand in a header: a server takes nothing else.
fn header(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic()).take(500).collect()
}

/// Deliveries of all kinds at the whole bot: strangers learn nothing, nothing breaks or grows, and it hears the next true one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_at_the_bots_door() {
    let real = real().await;
    let town = blind().await;
    let panics = count_panics();
    let signed = prop_oneof![1 => Just(None), 1 => forgeries().prop_map(Some)];
    let mut runner = runner(300);
    let cases = (bodies(&real), event(), nasty(), signed);
    MEMORY.reset_peak_usage();
    let (before, mut heard, mut odd) = (MEMORY.current_usage(), 0, 0);
    for _ in 0..runner.config().cases {
        let ((told, body), other, id, forged) = one(&cases, &mut runner);
        let event = if other.len().is_multiple_of(3) { other } else { told };
        let is_genuine = forged.is_none();
        let signature = forged.unwrap_or_else(|| signature(HOOK_SECRET, &body));
        let head = format!(
            "x-github-event: {}\r\nx-github-delivery: {}\r\nx-hub-signature-256: {}\r\ncontent-length: {}\r\n",
            header(&event),
            header(&id),
            header(&signature),
            body.len()
        );
        let begun = Instant::now();
        let status = post(&town, &head, &body).await;
        assert!(begun.elapsed() < Duration::from_secs(8), "it took {:?}", begun.elapsed());
        match status {
            202 if is_genuine => heard += 1,
            400 if is_genuine => odd += 1,
            404 if !is_genuine => {}
            // It hangs up on those who go on sending what it does not read.
            0 | 404 if body.len() > MOST => {}
            _ => panic!("{status} for a delivery that is genuine: {is_genuine}; {head}{}", body.escape_ascii()),
        }
    }
    let peak = MEMORY.peak_usage().saturating_sub(before);
    assert!(peak < 96 * MB, "it took {} MB", peak / MB);
    assert_eq!(panics.load(Ordering::SeqCst), 0, "nothing broke off");
    assert!(heard > 20 && odd > 5, "{heard} were heard and {odd} were odd: some of both is what is to be tried");
    assert_eq!(town.get("/live").await, 200);
    hears(&town, H, "the-last-one").await;
    town.close_blind().await;
}

/// Buttons that the bot never made, clicked by somebody who may do everything: each click is answered for, nothing is approved that
/// nobody was shown, and the true button works afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_buttons_are_clicked() {
    let town = Town::open().await;
    let run = town.waiting("ana-gh", "Fix RPC").await;
    let panics = count_panics();
    let mut runner = runner(80);
    let value = prop_oneof![4 => presses().prop_map(|press| press.to_string()), 1 => nasty()];
    let cases = (prop_oneof![1 => Just("a".to_owned()), 1 => nasty()], value);
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let notice = town.notice(812).at();
    for _ in 0..runner.config().cases {
        let (action, value) = one(&cases, &mut runner);
        town.sandbox.workspace.forge("UBEN", &notice, (&action, &value)).await.unwrap_or_else(|said| {
            panic!("{said}: {action:?} {value:?}");
        });
    }
    town.settled().await;
    let peak = MEMORY.peak_usage().saturating_sub(before);
    assert!(peak < 96 * MB, "it took {} MB", peak / MB);
    assert_eq!(panics.load(Ordering::SeqCst), 0, "nothing broke off");
    assert!(town.reviews().is_empty(), "nobody approved anything: {:?}", town.reviews());
    assert!(run > 0);
    let answers = town.sandbox.workspace.ephemerals("UBEN").len();
    assert!(answers > 3, "{answers} answers: some of the buttons are to be understood");
    town.command("UBEN", "release h").await;
    town.waiting("ben-gh", "Speed up search").await;
    town.approve("UBEN").await;
    assert_eq!(town.reviews().len(), 1);
    town.close().await;
}

fn one<S: Strategy>(cases: &S, runner: &mut TestRunner) -> S::Value {
    cases.new_tree(runner).expect("a case").current()
}
