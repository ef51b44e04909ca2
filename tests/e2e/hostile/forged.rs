//! What comes back from where the bot itself had put it: documents in the store, perhaps another version's, and buttons and forms that
//! somebody made up.

use std::sync::Arc;

use jiff::Timestamp;
use lockkeeper::deploy::action::{Action, Reply, Request};
use lockkeeper::deploy::app::App;
use lockkeeper::deploy::effect::Effect;
use lockkeeper::deploy::event::{Event, Facts, Look, RunFacts};
use lockkeeper::deploy::form::Form;
use lockkeeper::deploy::message::Message;
use lockkeeper::deploy::name::{AppName, RequestId, Sha, SlackId};
use lockkeeper::deploy::policy::{Account, Person, Policy};
use lockkeeper::deploy::run::Run;
use lockkeeper::sandbox::world::Outcome;
use lockkeeper::slack::blocks;
use lockkeeper::store::{Commit, Committed, Decision, NewEffect, Version};
use proptest::prelude::{BoxedStrategy, Strategy, prop};
use serde_json::{Value, json};

use super::{faults, form_faults, runner, twisted, within};
use crate::town::{DEPLOYS, Town, until};

const MB: usize = 1 << 20;

/// An app after a day's work: its document, and the rules that it had.
async fn eventful() -> (Value, Arc<Policy>, Timestamp) {
    let town = Town::open().await;
    let first = town.waiting("ana-gh", "Fix RPC").await;
    town.command("UANA", "tested h").await;
    town.approve("UBEN").await;
    town.ship(first);
    town.settled().await;
    let second = town.merge("ben-gh", "Bump zope-interface");
    town.on_staging(second);
    town.settled().await;
    town.command("UCHI", "hold h <!channel> is on fire").await;
    town.command("UCHI", "release h").await;
    town.approve("UBEN").await;
    town.finish(second, &["Production"], Outcome::Failure);
    town.settled().await;
    town.merge("chi-gh", "Speed up search");
    town.settled().await;
    let (_, document) = town.shell().store.load(&AppName::new("h")).await.expect("a store").expect("a document");
    let policy = town.shell().config.apps[&AppName::new("h")].policy.clone();
    let now = town.sandbox.clock.now();
    town.close().await;
    (serde_json::from_str(&document).expect("JSON"), Arc::new(policy), now)
}

/// Things that a person may ask for, as a button or a form would say them.
fn actions() -> BoxedStrategy<Value> {
    let shown = json!({ "run": 1, "attempt": 1, "sha": "a", "environments": ["Production"] });
    let seeds = [
        json!({ "Approve": { "environments": "production canada" } }),
        json!({ "ApproveShown": shown }),
        json!({ "Reject": { "reason": "broken" } }),
        json!({ "Tested": { "prs": [{ "repo": null, "number": 4501 }] } }),
        json!({ "Hold": { "reason": "x" } }),
        json!("Release"),
        json!("Ping"),
        json!({ "Dispatch": { "confirmed": { "workflow": "redeploy", "environments": ["Staging"], "cancels": null } } }),
        json!({ "Dispatch": { "redeploy": { "environments": "staging" } } }),
        json!({ "Mend": { "retry_shown": { "run": 1, "attempt": 1 } } }),
        json!({ "RollForward": { "revert": { "pr": 4501, "run": 1, "because": "x" } } }),
        json!({ "Aftermath": { "wrong": { "run": 1, "what": "x" } } }),
        json!({ "Remind": { "not_ready": { "changes": ["#4501"], "reason": "x" } } }),
        json!({ "Variables": { "set": { "key": "K", "environments": ["Staging"] } } }),
    ];
    prop::sample::select(seeds.to_vec()).prop_flat_map(twisted).boxed()
}

fn forms() -> BoxedStrategy<Value> {
    let seeds = [
        json!({ "hold": "h" }),
        json!({ "not_ready": { "app": "h", "changes": ["#4498", "#4499"] } }),
        json!({ "redeploy": { "app": "h", "cancels": { "run": 1, "attempt": 1, "touching": true } } }),
        json!({ "wrong": { "app": "h", "run": 1 } }),
        json!({ "variable": ["h", "KEY"] }),
    ];
    prop::sample::select(seeds.to_vec()).prop_flat_map(twisted).boxed()
}

fn request(action: Action, at: Timestamp) -> Request {
    let reply = Reply { url: "u".into(), channel: "C1".into(), replace: false, view: None, at };
    Request { id: RequestId::new("1"), app: AppName::new("h"), by: SlackId::new("UBEN"), action, reply }
}

fn ben() -> Person {
    Person {
        id: SlackId::new("UBEN"),
        name: "ben".into(),
        account: Account::Member,
        usergroups: ["S0DEVS".to_owned()].into(),
        teams: Default::default(),
    }
}

fn message_of(effect: &Effect) -> Option<&Message> {
    match effect {
        Effect::Notice(_, message)
        | Effect::Thread { message, .. }
        | Effect::Announce { message, .. }
        | Effect::Whisper { message, .. }
        | Effect::Show { message, .. }
        | Effect::Answer(_, _, message) => Some(message),
        Effect::Examine(..)
        | Effect::Approve(_)
        | Effect::Reject(_)
        | Effect::Dispatch(_)
        | Effect::Mend(_)
        | Effect::Revert(_)
        | Effect::Mark(_)
        | Effect::Set(_)
        | Effect::Form(..)
        | Effect::Record(_) => None,
    }
}

/// Lets an app do all that it can do, and looks at everything that it says.
fn exercise(mut app: App, action: Option<Action>, form: Option<&Form>, (runs, now): (&[Run], Timestamp)) {
    let mut said = vec![
        app.status(now),
        app.brief(),
        app.pending_answer(now),
        app.health(now),
        app.unwritten("hypothesis/h"),
        app.perhaps_written("hypothesis/h"),
        app.parity(now),
    ];
    said.extend(app.journey(4498, now));
    said.extend(app.mine(&SlackId::new("UANA"), now));
    said.extend(app.reminder(&SlackId::new("UANA"), now));
    said.extend(runs.iter().map(|run| app.changes(run.id, now)).take(3));
    if let Some(form) = form {
        assert_eq!(form_faults(&json!(blocks::modal(form, &app.view(form, now)))), Vec::<String>::new());
    }
    let _ = app.figures(now, now);
    let mut events = vec![Event::Tick];
    if let (Some(newest), Some(run)) = (runs.first(), runs.last()) {
        events.push(Event::Seen(Look { runs: runs.to_vec(), main: Sha::new("a") }));
        if let Some(action) = action {
            let facts = RunFacts { newest: newest.clone(), run: run.clone(), gates: Vec::new(), ranges: Vec::new() };
            let facts = Facts { run: Some(facts), ..Facts::of(ben()) };
            events.push(Event::Asked(request(action.clone(), now)));
            events.push(Event::Examined(request(action, now), Ok(Box::new(facts))));
        }
    }
    events.push(Event::Tick);
    for event in events {
        match app.handle(event, now) {
            Ok(effects) => {
                said.extend(effects.iter().filter_map(message_of).cloned());
                effects.iter().for_each(|effect| assert!(!effect.to_string().is_empty()));
            }
            Err(refusal) => said.push(refusal.message()),
        }
        let _ = app.wanted(now);
    }
    for message in said {
        assert_eq!(faults(&json!(blocks::content(&message))), Vec::<String>::new());
    }
    app.document().expect("a document");
}

/// A document of another version, or one that was tampered with, is refused or lived with; so is whatever is asked of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_and_buttons() {
    let (document, policy, now) = eventful().await;
    let other = App::new(AppName::new("lms"), policy.clone());
    assert!(other.anew(&document.to_string()).is_err(), "a document under another app's name decides nothing");
    let new = App::new(AppName::new("h"), policy);
    let runs: Vec<Value> = document["runs"].as_object().expect("runs").values().map(|one| one["run"].clone()).collect();
    let lists = prop::collection::vec(prop::sample::select(runs).prop_flat_map(twisted), 1..4);
    let cases = (twisted(document.clone()), actions(), forms(), lists);
    let read = std::cell::Cell::new((0, 0));
    let found = runner(150).run(&cases, |(twisted, action, form, runs)| {
        within(256 * MB, || {
            let action = serde_json::from_value::<Action>(action).ok();
            let form = serde_json::from_value::<Form>(form).ok();
            let runs: Vec<Run> = runs.into_iter().filter_map(|run| serde_json::from_value(run).ok()).collect();
            let (good, bad) = read.get();
            match new.anew(&twisted.to_string()) {
                Ok(app) => {
                    read.set((good + 1, bad));
                    exercise(app, action, form.as_ref(), (&runs, now));
                }
                Err(_) => read.set((good, bad + 1)),
            }
        });
        Ok(())
    });
    found.unwrap_or_else(|failed| panic!("{failed}"));
    let (good, bad) = read.get();
    assert!(good > 20 && bad > 20, "{good} documents were read and {bad} refused: some of both is what is to be tried");
}

/// Effects that nobody here can read, or whose app is gone, hold their lane up for a day, and then no longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn effects_that_nobody_knows() {
    let town = Town::open().await;
    let (h, store) = (AppName::new("h"), town.shell().store.clone());
    let another = json!({ "Hologram": { "token": "xoxb-canary" } }).to_string();
    let orphan = Effect::Announce { topic: "x".into(), message: Message::plain("Nobody is here to say this") };
    let orphan = serde_json::to_string(&orphan).expect("JSON");
    for (app, body) in [(h.clone(), another), (AppName::new("gone"), orphan)] {
        // Whoever watches may be writing at the same moment.
        until("the effect to be written", || async {
            let (expected, document) = store.load(&app).await.ok()?.unwrap_or((Version(0), "{}".into()));
            let effect = NewEffect { lane: "channel h".into(), key: None, body: body.clone(), expires: None };
            let commit = Commit {
                app: app.clone(),
                expected,
                at: town.sandbox.clock.now(),
                document: Some(document),
                decisions: vec![Decision { effects: vec![effect], ..Decision::default() }],
                fence: None,
            };
            store.commit(commit).await.ok().filter(|done| matches!(done, Committed::Yes(_)))
        })
        .await;
    }
    town.merge("ana-gh", "Fix RPC");
    until("the notice to be wanted", || async { (store.backlog().await.ok()?.count >= 3).then_some(()) }).await;
    assert!(town.sandbox.workspace.messages(DEPLOYS).is_empty(), "its lane waits for whoever knows them");
    town.sandbox.clock.advance(jiff::SignedDuration::from_hours(25));
    town.settled().await;
    assert!(town.says(812).contains("Fix RPC"), "{}", town.says(812));
    assert_eq!(town.sandbox.workspace.messages(DEPLOYS).len(), 1);
    town.close().await;
}
