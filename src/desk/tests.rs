//! What waits at a desk shares a commit, and nobody has to suffer for another.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{LocalBoxFuture, join_all};
use metrics_exporter_prometheus::PrometheusBuilder;

use super::*;
use crate::deploy::action::{Action, Reply};
use crate::deploy::event::Facts;
use crate::deploy::name::{RequestId, SlackId};
use crate::deploy::policy::{Account, Approvers, People, Person, Policy, RequireTested, VariableRules};
use crate::store::embedded::Embedded;
use crate::store::tests::redis::Server;

fn app() -> AppName {
    AppName::new("h")
}

fn at() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap()
}

fn request(id: &str, at: Timestamp) -> Request {
    let reply = Reply { url: "u".into(), channel: "C1".into(), replace: false, view: None, at };
    let action = Action::Hold { reason: id.to_owned() };
    Request { id: RequestId::new(id), app: app(), by: SlackId::new("U1"), action, reply }
}

fn asked(id: &str) -> Event {
    Event::Asked(request(id, at()))
}

/// The core was told all that it wanted to know, and decides.
fn examined(id: &str) -> Event {
    let (usergroups, teams) = Default::default();
    let person = Person { id: SlackId::new("U1"), name: "ana".into(), account: Account::Member, usergroups, teams };
    Event::Examined(request(id, at()), Ok(Box::new(Facts::of(person))))
}

/// The times of this request are beyond what a clock can show, so the decision about it panics.
fn broken(id: &str) -> Event {
    Event::Asked(request(id, Timestamp::MAX))
}

fn policy() -> Arc<Policy> {
    Arc::new(Policy {
        approvers: Approvers::default(),
        require_tested: RequireTested::default(),
        four_eyes: false,
        remind_after: None,
        verify_after: None,
        variables: VariableRules::default(),
        people: People::default(),
        command: "/deploy".into(),
        workspace: None,
    })
}

struct Fixture {
    store: Store,
    desk: Desk,
    clerk: LocalBoxFuture<'static, ()>,
    _folder: Option<tempfile::TempDir>,
}

impl Fixture {
    fn embedded() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::Embedded(Embedded::open(folder.path()).unwrap());
        Self { _folder: Some(folder), ..Self::on(store) }
    }

    fn on(store: Store) -> Self {
        let (changed, closing) = (Arc::default(), CancellationToken::new());
        let office = Office { store: store.clone(), clock: Clock::default(), changed, closing };
        let (desk, clerk) = Desk::open(App::new(app(), policy()), app(), office);
        Self { store, desk, clerk: Box::pin(clerk), _folder: None }
    }

    /// Everything is in the tray before the clerk comes; how each went.
    async fn at_once(&mut self, letters: Vec<(Event, Option<EffectId>, Option<Fence>)>) -> Vec<Result<(), String>> {
        let told = letters.into_iter().map(async |(event, settles, fence)| {
            let told = match fence {
                Some(fence) => self.desk.observed(event, fence).await,
                None => self.desk.tell(event, settles).await,
            };
            told.map_err(|error| format!("{error:#}"))
        });
        let mut told = pin!(join_all(told));
        tokio::select! {
            biased;
            told = told.as_mut() => told,
            () = &mut self.clerk => panic!("the desk closed"),
        }
    }

    async fn tell(&mut self, events: impl IntoIterator<Item = Event>) -> Vec<Result<(), String>> {
        self.at_once(events.into_iter().map(|event| (event, None, None)).collect()).await
    }

    async fn version(&self) -> u64 {
        self.store.load(&app()).await.unwrap().map_or(0, |(Version(version), _)| version)
    }

    /// How many commits there were.
    fn commits(&self) -> u64 {
        self.desk.commits.borrow().done
    }

    async fn waiting(&self) -> u64 {
        self.store.backlog().await.unwrap().count
    }
}

/// Somebody was told that it could not be written down in time: then it must not be done afterwards.
#[tokio::test]
async fn who_stopped_waiting_took_it_back() {
    let mut desk = Fixture::embedded();
    let impatient = desk.desk.tell(asked("1"), None).now_or_never();
    assert!(impatient.is_none(), "it lies in the tray");
    assert_eq!(desk.tell([asked("2")]).await, [Ok(())]);
    assert_eq!((desk.version().await, desk.waiting().await), (1, 1));
}

/// Whose turn had come cannot take it back, and is not told that nothing was done.
#[tokio::test]
async fn who_stops_waiting_is_told_what_is_true() {
    let server = Server::start(&[]);
    let mut desk = Fixture::on(Store::Redis(server.store(0)));
    let moment = Duration::from_millis(100);
    let told = desk.desk.ask(request("in the tray", at()), moment).await;
    assert!(matches!(told, Err(Unwritten::Nothing(_))), "{told:?}");
    assert_eq!(desk.tell([asked("0")]).await, [Ok(())]);
    assert_eq!((desk.version().await, desk.waiting().await), (1, 1));

    server.signal("STOP");
    let other = desk.desk.clone();
    let both = async {
        let first = desk.desk.ask(request("under way", at()), moment).await;
        (first, other.ask(request("behind it", at()), moment).await)
    };
    let (first, behind) = tokio::select! {
        both = both => both,
        () = &mut desk.clerk => panic!("the desk closed"),
    };
    assert!(matches!(first, Err(Unwritten::Unsure(_))), "{first:?}");
    assert!(matches!(behind, Err(Unwritten::Nothing(_))), "{behind:?}");
    server.signal("CONT");
    assert_eq!(desk.tell([asked("1")]).await, [Ok(())]);
    let written = desk.waiting().await;
    assert!((2..=3).contains(&written), "{written}");
    let bodies = desk.store.claim(at(), SignedDuration::from_secs(9), 9).await.unwrap().effects;
    assert!(bodies.iter().all(|claimed| !claimed.body.contains("behind it")));
}

#[tokio::test]
async fn what_waits_shares_a_commit() {
    let mut desk = Fixture::embedded();
    let told = desk.tell((0..200).map(|n| asked(&n.to_string()))).await;
    assert!(told.iter().all(Result::is_ok), "{told:?}");
    assert_eq!((desk.commits(), desk.waiting().await), (1, 200));
    // More than share one: nobody is forgotten.
    let told = desk.tell((200..200 + 3 * TRAY).map(|n| asked(&n.to_string()))).await;
    assert!(told.iter().all(Result::is_ok), "{told:?}");
    assert_eq!(desk.waiting().await, 200 + 3 * TRAY as u64);
    assert!(desk.commits() < 30, "{}", desk.commits());
    assert_eq!(desk.version().await, 1, "the app is as it was");
}

#[tokio::test]
async fn each_is_decided_on_what_the_one_before_made() {
    let mut desk = Fixture::embedded();
    let told = desk.tell([examined("first"), examined("second")]).await;
    assert_eq!((told, desk.version().await), (vec![Ok(()), Ok(())], 1));
    let audit = desk.store.audit(&app(), 9).await.unwrap();
    assert!(audit[1].contains(r#""outcome":"done""#) && audit[0].contains("refused"), "{audit:#?}");
    assert!(audit[1].contains("first"), "in the order in which they came: {audit:#?}");
    let (_, document) = desk.store.load(&app()).await.unwrap().unwrap();
    assert!(document.contains(r#""reason":"first""#) && desk.desk.app().document().unwrap() == document);
}

#[tokio::test]
async fn what_was_seen_before_is_dropped_alone() {
    let figures = PrometheusBuilder::new().build_recorder();
    let _recording = metrics::set_default_local_recorder(&figures);
    let mut desk = Fixture::embedded();
    desk.tell([asked("before")]).await;
    let head = desk.store.claim(at(), SignedDuration::from_secs(9), 1).await.unwrap().effects.remove(0);
    let settles = |event: Event| (event, Some(head.id.clone()), None);
    let plain = |event: Event| (event, None, None);
    let told = desk
        .at_once(vec![
            plain(asked("before")),
            plain(asked("new")),
            plain(asked("new")),
            settles(examined("held")),
            settles(examined("held")),
            plain(asked("last")),
        ])
        .await;
    assert_eq!(told, vec![Ok(()); 6]);
    // Of "new" and "last" what they ask to be examined, of "held" the announcement and the answer.
    assert_eq!((desk.version().await, desk.waiting().await), (2, 4));
    let audit = desk.store.audit(&app(), 9).await.unwrap();
    assert_eq!(audit.len(), 1, "decided once: {audit:#?}");
    let figures = figures.handle().render();
    assert!(figures.contains("action=\"hold\",outcome=\"granted\"} 1\n"), "and counted once: {figures}");
}

#[tokio::test]
async fn a_panic_costs_one_letter() {
    let mut desk = Fixture::embedded();
    let told = desk.tell([asked("1"), broken("2"), asked("3")]).await;
    assert_eq!(told, [Ok(()), Err("deciding about h broke off".to_owned()), Ok(())]);
    assert_eq!((desk.version().await, desk.waiting().await), (1, 2));
    assert_eq!(desk.tell([broken("4")]).await, [Err("deciding about h broke off".to_owned())]);
    assert_eq!(desk.tell([asked("2")]).await, [Ok(())], "nothing of it was remembered");
    assert_eq!((desk.commits(), desk.waiting().await), (2, 3));
}

#[tokio::test]
async fn a_lost_race_decides_all_again() {
    let server = Server::start(&[]);
    let (mut ours, mut theirs) =
        (Fixture::on(Store::Redis(server.store(0))), Fixture::on(Store::Redis(server.store(0))));
    let figures = PrometheusBuilder::new().build_recorder();
    let _recording = metrics::set_default_local_recorder(&figures);
    ours.tell([asked("0")]).await;
    theirs.tell([examined("theirs"), asked("1")]).await;
    assert_eq!(ours.tell([asked("1"), examined("ours"), asked("2")]).await, vec![Ok(()); 3]);
    assert_eq!(ours.version().await, 2, "what the others had made stands");
    let audit = ours.store.audit(&app(), 9).await.unwrap();
    assert!(audit[0].contains("refused") && audit[1].contains("theirs"), "on what the others had made: {audit:#?}");
    assert_eq!(audit.len(), 2);
    let figures = figures.handle().render();
    for outcome in ["granted", "refused"] {
        let counted = format!("lockkeeper_decisions_total{{app=\"h\",action=\"hold\",outcome=\"{outcome}\"}} 1\n");
        assert!(figures.contains(&counted), "{figures}");
    }
}

#[tokio::test]
async fn a_fence_holds_up_nobody_else() {
    let server = Server::start(&[]);
    let store = Store::Redis(server.store(0));
    let lead = async |me: &str| store.lead(me, Duration::from_secs(60), &[].into()).await.unwrap();
    let old = lead("a").await.unwrap();
    store.resign("a").await.unwrap();
    let now = lead("b").await.unwrap();
    let mut desk = Fixture::on(store.clone());
    let told = desk
        .at_once(vec![
            (asked("1"), None, None),
            (asked("slept"), None, Some(old)),
            (asked("2"), None, Some(now)),
            (asked("3"), None, None),
        ])
        .await;
    assert_eq!(told, [Ok(()), Err("somebody else watches h by now".to_owned()), Ok(()), Ok(())]);
    assert_eq!(desk.waiting().await, 3);
}

#[tokio::test]
async fn when_the_store_is_away_all_are_told() {
    let mut server = Server::start(&[]);
    let mut desk = Fixture::on(Store::Redis(server.store(0)));
    desk.tell([asked("0")]).await;
    server.stop();
    let told = desk.tell([asked("1"), asked("2")]).await;
    assert!(told.iter().all(|told| told.as_ref().is_err_and(|error| error.contains("redis"))), "{told:?}");
}

/// Somebody holds the app, or releases it.
fn turn(round: u32) -> Event {
    let Event::Examined(mut request, facts) = examined(&format!("round {round}")) else { unreachable!("see above") };
    if !round.is_multiple_of(2) {
        request.action = Action::Release;
    }
    Event::Examined(request, facts)
}

/// Else a notice that was just posted is posted once more, when its first change is to be shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_performs_what_was_decided_knows_all_that_was_decided() {
    let folder = tempfile::tempdir().unwrap();
    let (clock, closing) = (Clock::default(), CancellationToken::new());
    let store = Store::Embedded(Embedded::open(folder.path()).expect("a store"));
    let changed = Arc::new(Notify::new());
    let office = Office { store: store.clone(), clock: clock.clone(), changed, closing: closing.clone() };
    let (desk, clerk) = Desk::open(App::new(app(), policy()), app(), office);
    let clerk = tokio::spawn(clerk);
    let lease = SignedDuration::from_mins(1);
    for round in 0..300 {
        let telling = tokio::spawn({
            let (desk, event) = (desk.clone(), turn(round));
            async move { desk.tell(event, None).await }
        });
        let claims = loop {
            let claims = store.claim(clock.now(), lease, 9).await.expect("claims").effects;
            if !claims.is_empty() {
                break claims;
            }
        };
        desk.abreast().await;
        let held = desk.app().document().expect("a document").contains(&format!("round {round}"));
        assert_eq!(held, round.is_multiple_of(2), "round {round}");
        telling.await.expect("no panic").expect("a decision");
        let mut left = claims;
        while !left.is_empty() {
            for claim in &left {
                store.settle(&claim.id).await.expect("settled");
            }
            left = store.claim(clock.now(), lease, 9).await.expect("claims").effects;
        }
    }
    closing.cancel();
    clerk.await.expect("a clerk who ends");
}
