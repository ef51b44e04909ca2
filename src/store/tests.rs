//! The contract, tried on every back end: stories, then random orders of calls against a model that is simple enough to be
//! believed.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).unwrap()
}

const LEASE: SignedDuration = SignedDuration::from_secs(30);
/// More than there are.
const ALL: u32 = 1_000;

fn app() -> AppName {
    AppName::new("h")
}

fn effect(lane: &str, body: &str) -> NewEffect {
    NewEffect { lane: lane.to_owned(), key: None, body: body.to_owned(), expires: None }
}

fn keyed(lane: &str, key: &str, body: &str) -> NewEffect {
    NewEffect { key: Some(key.to_owned()), ..effect(lane, body) }
}

fn decision(expected: u64, document: &str, effects: Vec<NewEffect>) -> Commit {
    of(expected, document, vec![Decision { effects, ..Decision::default() }])
}

fn of(expected: u64, document: &str, decisions: Vec<Decision>) -> Commit {
    Commit {
        app: app(),
        expected: Version(expected),
        at: at(0),
        document: Some(document.to_owned()),
        decisions,
        fence: None,
    }
}

/// A decision on a request.
fn on(key: &str, effects: Vec<NewEffect>) -> Decision {
    Decision { effects, audit: vec![format!("line {key}")], seen: Some(key.to_owned()), settle: None }
}

/// A decision on how an effect went.
fn settling(id: &EffectId, effects: Vec<NewEffect>) -> Decision {
    Decision { effects, settle: Some(id.clone()), ..Decision::default() }
}

fn again(places: &[usize]) -> Committed {
    Committed::AlreadySeen(places.to_vec())
}

fn yes(version: u64) -> Committed {
    Committed::Yes(Version(version))
}

async fn bodies(store: &Store, now: Timestamp) -> Vec<String> {
    store.claim(now, LEASE, ALL).await.unwrap().effects.into_iter().map(|claimed| claimed.body).collect()
}

/// When something is due next; looked up without a claim.
async fn next(store: &Store) -> Option<Timestamp> {
    store.claim(at(0), LEASE, 0).await.unwrap().next
}

async fn one(store: &Store, now: Timestamp) -> Claimed {
    let mut claimed = store.claim(now, LEASE, ALL).await.unwrap().effects;
    assert_eq!(claimed.len(), 1, "{claimed:?}");
    claimed.remove(0)
}

/// Every story of the contract, each on a store of its own.
async fn keeps_the_contract<F: Future<Output = Store>>(new: impl Fn() -> F) {
    a_commit_is_whole_or_raced_or_seen(new().await).await;
    a_document_that_stays_keeps_its_version(new().await).await;
    decisions_share_a_commit_and_none_counts_twice(new().await).await;
    a_lane_is_a_queue_and_lanes_do_not_wait(new().await).await;
    the_oldest_are_claimed_first(new().await).await;
    a_key_replaces_only_what_nobody_claimed(new().await).await;
    a_lost_claim_comes_again_and_is_uncertain(new().await).await;
    an_outcome_counts_once(new().await).await;
    what_expired_is_said(new().await).await;
    a_dedupe_key_is_remembered_for_a_day(new().await).await;
    the_audit_log_is_newest_first(new().await).await;
    one_of_many_racing_commits_wins(new().await).await;
    unknown_ids_do_nothing(new().await, new().await).await;
    a_renewed_claim_lives_on_and_a_lost_one_is_told(new().await).await;
    a_hint_changes_nothing(new().await).await;
}

async fn a_commit_is_whole_or_raced_or_seen(store: Store) {
    assert_eq!(store.load(&app()).await.unwrap(), None);
    let first = of(0, "{1}", vec![on("trigger", vec![effect("a", "1")])]);
    assert_eq!(store.commit(first.clone()).await.unwrap(), yes(1));
    assert_eq!(store.load(&app()).await.unwrap(), Some((Version(1), "{1}".to_owned())));

    let raced = of(0, "{1}", vec![on("other", vec![effect("a", "1")])]);
    assert_eq!(store.commit(raced.clone()).await.unwrap(), Committed::Raced);
    let ahead = Commit { expected: Version(7), ..raced.clone() };
    assert_eq!(store.commit(ahead).await.unwrap(), Committed::Raced);
    let seen = Commit { expected: Version(1), document: Some("{2}".to_owned()), ..first };
    assert_eq!(store.commit(seen).await.unwrap(), again(&[0]));

    assert_eq!(store.load(&app()).await.unwrap(), Some((Version(1), "{1}".to_owned())));
    assert_eq!(store.backlog().await.unwrap(), Backlog { count: 1, oldest: Some(at(0)) });
    assert_eq!(store.audit(&app(), 9).await.unwrap(), ["line trigger"]);
    let decided_again = Commit { expected: Version(1), ..raced };
    assert_eq!(store.commit(decided_again).await.unwrap(), yes(2), "a raced commit leaves its dedupe key free");
}

async fn a_document_that_stays_keeps_its_version(store: Store) {
    let stays =
        |expected: u64, key: &str| Commit { document: None, ..of(expected, "", vec![on(key, vec![effect("a", key)])]) };
    assert_eq!(store.commit(of(0, "{1}", vec![on("first", vec![effect("a", "first")])])).await.unwrap(), yes(1));
    assert_eq!(store.commit(stays(0, "second")).await.unwrap(), Committed::Raced);
    assert_eq!(store.commit(stays(1, "first")).await.unwrap(), again(&[0]));
    assert_eq!(store.commit(stays(1, "second")).await.unwrap(), yes(1));
    assert_eq!(store.load(&app()).await.unwrap(), Some((Version(1), "{1}".to_owned())));
    assert_eq!(store.backlog().await.unwrap().count, 2, "what follows is written all the same");
    assert_eq!(store.audit(&app(), 9).await.unwrap(), ["line second", "line first"]);
}

async fn decisions_share_a_commit_and_none_counts_twice(store: Store) {
    let asked = |key: &str| on(key, vec![effect("a", key)]);
    assert_eq!(store.commit(of(0, "{1}", vec![asked("1"), asked("2")])).await.unwrap(), yes(1), "one version for both");
    let head = one(&store, at(0)).await;
    assert_eq!(head.body, "1", "in their order");

    // Known from before; twice in one commit; settled twice in one commit; an effect that nobody knows.
    let unknown = EffectId::new("nonsense-7");
    let decisions = vec![
        asked("2"),
        asked("3"),
        asked("3"),
        settling(&head.id, vec![effect("b", "outcome")]),
        settling(&head.id, vec![effect("b", "again")]),
        settling(&unknown, vec![effect("b", "whose?")]),
        asked("4"),
    ];
    let mixed = of(1, "{2}", decisions.clone());
    assert_eq!(store.commit(mixed).await.unwrap(), again(&[0, 2, 4, 5]));
    assert_eq!(store.load(&app()).await.unwrap(), Some((Version(1), "{1}".to_owned())), "nothing was written");
    assert_eq!(store.backlog().await.unwrap().count, 2);
    assert_eq!(store.audit(&app(), 9).await.unwrap(), ["line 2", "line 1"]);

    let others: Vec<Decision> = [1, 3, 6].map(|place: usize| decisions[place].clone()).into();
    assert_eq!(store.commit(of(1, "{2}", others.clone())).await.unwrap(), yes(2));
    assert_eq!(store.commit(of(2, "{3}", others)).await.unwrap(), again(&[0, 1, 2]), "each of them counts");
    assert_eq!(store.audit(&app(), 2).await.unwrap(), ["line 4", "line 3"]);
    assert_eq!(bodies(&store, at(1)).await, ["2", "outcome"]);
    assert_eq!(store.commit(of(2, "{3}", Vec::new())).await.unwrap(), yes(3), "only the document");
}

async fn a_lane_is_a_queue_and_lanes_do_not_wait(store: Store) {
    assert_eq!(next(&store).await, None);
    let effects = vec![effect("a", "a1"), effect("b", "b1"), effect("a", "a2"), effect("b", "b2")];
    store.commit(decision(0, "{}", effects)).await.unwrap();
    assert!(next(&store).await.unwrap() <= at(0));

    let claimed = store.claim(at(0), LEASE, ALL).await.unwrap().effects;
    let [a1, b1] = claimed.as_slice() else { panic!("{claimed:?}") };
    assert_eq!((a1.body.as_str(), a1.attempts, a1.uncertain, a1.created), ("a1", 1, false, at(0)));
    assert_eq!(bodies(&store, at(1)).await, [""; 0], "both are leased");

    store.settle(&b1.id).await.unwrap();
    assert_eq!(bodies(&store, at(1)).await, ["b2"]);
    store.retry(&a1.id, at(60), false).await.unwrap();
    assert_eq!(next(&store).await, Some(at(31)), "the end of b2's lease");
    assert_eq!(bodies(&store, at(30)).await, [""; 0], "a2 waits behind a1");
    assert_eq!(bodies(&store, at(60)).await, ["a1", "b2"]);
}

async fn the_oldest_are_claimed_first(store: Store) {
    let effects = ["c", "b", "a", "d"].map(|lane| effect(lane, lane));
    store.commit(decision(0, "{}", effects.into())).await.unwrap();
    let claim = async |seconds, most| {
        let claimed = store.claim(at(seconds), LEASE, most).await.unwrap().effects;
        claimed.into_iter().map(|claimed| (claimed.id, claimed.body)).collect::<Vec<_>>()
    };
    assert!(claim(0, 0).await.is_empty());
    let first = claim(0, 2).await;
    assert_eq!(first.iter().map(|(_, body)| body.as_str()).collect::<Vec<_>>(), ["c", "b"]);
    assert!(next(&store).await.unwrap() <= at(0), "there are more");
    store.retry(&first[0].0, at(5), false).await.unwrap();
    assert_eq!(claim(5, 2).await.into_iter().map(|(_, body)| body).collect::<Vec<_>>(), ["c", "a"]);
    assert_eq!(bodies(&store, at(5)).await, ["d"]);
}

async fn a_key_replaces_only_what_nobody_claimed(store: Store) {
    let effects = vec![keyed("a", "k", "old"), effect("a", "between"), keyed("b", "k", "other lane")];
    store.commit(decision(0, "{}", effects)).await.unwrap();
    let newer = Commit { at: at(5), ..decision(1, "{}", vec![keyed("a", "k", "new")]) };
    store.commit(newer).await.unwrap();
    assert_eq!(store.backlog().await.unwrap().count, 3);

    let claimed = store.claim(at(9), LEASE, ALL).await.unwrap().effects;
    assert_eq!((claimed[0].body.as_str(), claimed[0].created), ("new", at(0)), "in the place of the old one");
    assert_eq!(claimed[0].key.as_deref(), Some("k"));
    store.commit(decision(2, "{}", vec![keyed("a", "k", "newer")])).await.unwrap();
    assert_eq!(store.backlog().await.unwrap().count, 4, "a claimed one is left alone");
    store.retry(&claimed[0].id, at(9), false).await.unwrap();
    store.commit(decision(3, "{}", vec![keyed("a", "k", "newest")])).await.unwrap();
    assert_eq!(store.backlog().await.unwrap().count, 4, "the queued one is replaced, the tried one is not");

    let mut order = Vec::new();
    for _ in 0..3 {
        let head = one(&store, at(10)).await;
        store.settle(&head.id).await.unwrap();
        order.push(head.body);
    }
    assert_eq!(order, ["new", "between", "newest"]);
}

async fn a_lost_claim_comes_again_and_is_uncertain(store: Store) {
    store.commit(decision(0, "{}", vec![effect("a", "x")])).await.unwrap();
    let first = one(&store, at(0)).await;
    assert_eq!(bodies(&store, at(29)).await, [""; 0]);
    let again = one(&store, at(30)).await;
    assert_eq!((&again.id, again.attempts, again.uncertain), (&first.id, 2, true));
    store.retry(&again.id, at(40), false).await.unwrap();
    let third = one(&store, at(40)).await;
    assert_eq!((third.attempts, third.uncertain), (3, true), "uncertain sticks");
}

async fn a_renewed_claim_lives_on_and_a_lost_one_is_told(store: Store) {
    store.commit(decision(0, "{}", vec![effect("a", "x")])).await.unwrap();
    let first = one(&store, at(0)).await;
    assert_eq!(first.until, at(30));
    assert!(store.renew(&first.id, first.until, at(50)).await.unwrap());
    assert_eq!(bodies(&store, at(49)).await, [""; 0]);
    assert_eq!(next(&store).await, Some(at(50)));
    let other = one(&store, at(50)).await;
    assert!(!store.renew(&first.id, at(50), at(90)).await.unwrap(), "somebody else has it now");
    assert!(store.renew(&other.id, other.until, at(90)).await.unwrap());
    store.settle(&other.id).await.unwrap();
    assert!(!store.renew(&other.id, at(90), at(99)).await.unwrap(), "settled");
}

async fn an_outcome_counts_once(store: Store) {
    store.commit(decision(0, "{}", vec![effect("a", "x"), effect("a", "y")])).await.unwrap();
    let x = one(&store, at(0)).await;
    let outcome = of(1, "{done}", vec![settling(&x.id, vec![effect("b", "z")])]);
    let raced = Commit { expected: Version(0), ..outcome.clone() };
    assert_eq!(store.commit(raced).await.unwrap(), Committed::Raced);
    assert_eq!(bodies(&store, at(1)).await, [""; 0], "still claimed");
    assert_eq!(store.commit(outcome.clone()).await.unwrap(), yes(2));
    let repeated = Commit { expected: Version(2), ..outcome };
    assert_eq!(store.commit(repeated).await.unwrap(), again(&[0]));
    assert_eq!(bodies(&store, at(1)).await, ["y", "z"]);
}

async fn what_expired_is_said(store: Store) {
    let expires = |seconds| NewEffect { expires: Some(at(seconds)), ..effect("a", "x") };
    store.commit(decision(0, "{}", vec![expires(10), expires(10)])).await.unwrap();
    let fresh = one(&store, at(9)).await;
    assert!(!fresh.expired);
    store.settle(&fresh.id).await.unwrap();
    let stale = one(&store, at(10)).await;
    assert!(stale.expired);
    store.settle(&stale.id).await.unwrap();
    assert_eq!(store.backlog().await.unwrap(), Backlog::default());
}

async fn a_dedupe_key_is_remembered_for_a_day(store: Store) {
    let asked = |expected, hours: i64, key: &str| Commit {
        at: at(hours * 3600),
        ..of(expected, "{}", vec![on(key, Vec::new())])
    };
    assert_eq!(store.commit(asked(0, 0, "first")).await.unwrap(), yes(1));
    assert_eq!(store.commit(asked(1, 24, "second")).await.unwrap(), yes(2));
    assert_eq!(store.commit(asked(2, 24, "first")).await.unwrap(), again(&[0]));
    assert_eq!(store.commit(asked(2, 49, "third")).await.unwrap(), yes(3));
    assert_eq!(store.commit(asked(3, 49, "first")).await.unwrap(), yes(4), "pruned by the third");
}

async fn the_audit_log_is_newest_first(store: Store) {
    let lines = |expected, lines: &[&str]| {
        let audit = lines.iter().map(|line| (*line).to_owned()).collect();
        of(expected, "{}", vec![Decision { audit, ..Decision::default() }])
    };
    store.commit(lines(0, &["1", "2"])).await.unwrap();
    store.commit(lines(1, &["3"])).await.unwrap();
    store.commit(Commit { app: AppName::new("lms"), ..lines(0, &["4"]) }).await.unwrap();
    assert_eq!(store.audit(&app(), 2).await.unwrap(), ["3", "2"]);
    assert_eq!(store.audit(&app(), 0).await.unwrap(), [""; 0]);
    assert_eq!(store.audit(&AppName::new("lms"), 9).await.unwrap(), ["4"]);
}

async fn one_of_many_racing_commits_wins(store: Store) {
    let racing: Vec<_> = (0..50)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(
                async move { store.commit(decision(0, &n.to_string(), vec![effect("a", "x")])).await.unwrap() },
            )
        })
        .collect();
    let mut outcomes = Vec::new();
    for task in racing {
        outcomes.push(task.await.unwrap());
    }
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == yes(1)).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Committed::Raced).count(), 49);
    assert_eq!(store.backlog().await.unwrap().count, 1);
}

/// Every back end takes a hint, also at an app that has no document, and changes nothing by it.
async fn a_hint_changes_nothing(store: Store) {
    store.hint(&app()).await.unwrap();
    assert!(store.glance(&[app()]).await.unwrap().is_empty() && store.load(&app()).await.unwrap().is_none());
    assert_eq!(store.commit(decision(0, "{}", Vec::new())).await.unwrap(), yes(1));
    store.hint(&app()).await.unwrap();
    assert_eq!(store.load(&app()).await.unwrap(), Some((Version(1), "{}".to_owned())));
    assert!(store.export().await.unwrap().seen.is_empty());
}

async fn unknown_ids_do_nothing(store: Store, other: Store) {
    store.commit(decision(0, "{}", vec![effect("a", "x")])).await.unwrap();
    other.commit(decision(0, "{}", vec![effect("a", "x")])).await.unwrap();
    let (ours, foreign) = (one(&store, at(0)).await, one(&other, at(0)).await);
    assert_ne!(ours.id, foreign.id, "ids are never used twice, not even by a new store");
    for id in [foreign.id.as_str(), "", "-", "1", "nonsense-x", &format!("{}9", ours.id)] {
        let id = EffectId::new(id);
        store.settle(&id).await.unwrap();
        store.retry(&id, at(0), true).await.unwrap();
        let outcome = of(1, "{}", vec![settling(&id, Vec::new())]);
        assert_eq!(store.commit(outcome).await.unwrap(), again(&[0]));
    }
    assert_eq!(bodies(&store, at(0)).await, [""; 0], "still claimed");
}

/// A call with small numbers, so that random ones meet.
#[derive(Clone, Debug)]
enum Call {
    /// `stale` makes it race.
    Commit {
        app: u8,
        stale: bool,
        decisions: Vec<Decided>,
    },
    Claim {
        most: u32,
    },
    Retry {
        effect: usize,
        after: u8,
        uncertain: bool,
    },
    Settle {
        effect: usize,
    },
    Renew {
        effect: usize,
    },
    Wait(u8),
    Reopen,
}

/// `settle` counts from the oldest effect.
#[derive(Clone, Debug)]
struct Decided {
    effects: Vec<(u8, Option<u8>, Option<u8>)>,
    seen: Option<u8>,
    settle: Option<usize>,
}

fn call() -> impl Strategy<Value = Call> {
    let new_effect = (0..3u8, proptest::option::of(0..2u8), proptest::option::weighted(0.2, 0..60u8));
    let decided = (
        proptest::collection::vec(new_effect, 0..4),
        proptest::option::weighted(0.3, 0..9u8),
        proptest::option::weighted(0.3, 0..4usize),
    );
    let decided = decided.prop_map(|(effects, seen, settle)| Decided { effects, seen, settle });
    prop_oneof![
        5 => (0..2u8, proptest::bool::weighted(0.2), proptest::collection::vec(decided, 1..4))
            .prop_map(|(app, stale, decisions)| Call::Commit { app, stale, decisions }),
        4 => (0..4u32).prop_map(|most| Call::Claim { most: if most == 0 { ALL } else { most } }),
        2 => (0..4usize, 0..60u8, any::<bool>()).prop_map(|(effect, after, uncertain)| Call::Retry { effect, after, uncertain }),
        2 => (0..4usize).prop_map(|effect| Call::Settle { effect }),
        1 => (0..4usize).prop_map(|effect| Call::Renew { effect }),
        2 => (1..40u8).prop_map(Call::Wait),
        1 => Just(Call::Reopen),
    ]
}

#[derive(Clone, Debug)]
struct Queued {
    app: AppName,
    new: (String, Option<String>, String, Option<Timestamp>),
    created: Timestamp,
    due: Timestamp,
    leased: Option<Timestamp>,
    attempts: u32,
    uncertain: bool,
    /// Learned at the first claim; must stay the same.
    id: Option<EffectId>,
}

/// What a store should do, in memory and without any cleverness.
#[derive(Default)]
struct Model {
    now: Timestamp,
    apps: BTreeMap<AppName, (u64, String)>,
    queue: Vec<Queued>,
    seen: BTreeSet<String>,
    audit: Vec<(AppName, String)>,
    count: u64,
}

impl Model {
    fn commit(&mut self, commit: &Commit) -> Committed {
        let (mut keys, mut open) = (self.seen.clone(), self.queue.clone());
        let mut known = Vec::new();
        for (place, decision) in commit.decisions.iter().enumerate() {
            let again = decision.seen.clone().is_some_and(|key| !keys.insert(key));
            let found =
                decision.settle.as_ref().map(|id| open.iter().position(|queued| queued.id.as_ref() == Some(id)));
            if let Some(Some(index)) = found {
                open.remove(index);
            }
            if again || found == Some(None) {
                known.push(place);
            }
        }
        if !known.is_empty() {
            return Committed::AlreadySeen(known);
        }
        let version = self.apps.get(&commit.app).map_or(0, |(version, _)| *version);
        if version != commit.expected.0 {
            return Committed::Raced;
        }
        let version = version + u64::from(commit.document.is_some());
        if let Some(document) = &commit.document {
            self.apps.insert(commit.app.clone(), (version, document.clone()));
        }
        for decision in &commit.decisions {
            self.queue.retain(|queued| decision.settle.is_none() || queued.id != decision.settle);
            for new in &decision.effects {
                self.enqueue(&commit.app, new);
            }
            self.audit.extend(decision.audit.iter().map(|line| (commit.app.clone(), line.clone())));
        }
        self.seen = keys;
        yes(version)
    }

    fn enqueue(&mut self, app: &AppName, new: &NewEffect) {
        let same = |q: &&mut Queued| {
            q.app == *app && q.new.0 == new.lane && q.new.1 == new.key && new.key.is_some() && q.attempts == 0
        };
        if let Some(queued) = self.queue.iter_mut().find(same) {
            queued.new.2.clone_from(&new.body);
            queued.new.3 = new.expires;
            return;
        }
        let new = (new.lane.clone(), new.key.clone(), new.body.clone(), new.expires);
        let (created, due) = (self.now, Timestamp::UNIX_EPOCH);
        let app = app.clone();
        self.queue.push(Queued { app, new, created, due, leased: None, attempts: 0, uncertain: false, id: None });
    }

    fn heads(&mut self) -> Vec<&mut Queued> {
        let mut lanes = BTreeSet::new();
        self.queue.iter_mut().filter(|queued| lanes.insert(queued.new.0.clone())).collect()
    }

    /// Compares with what the store gave.
    fn claim(&mut self, given: &[Claimed], most: u32) {
        let now = self.now;
        let free = |q: &&mut Queued| q.due <= now && q.leased.is_none_or(|until| until <= now);
        let heads: Vec<&mut Queued> = self.heads().into_iter().filter(free).take(most as usize).collect();
        assert_eq!(heads.len(), given.len());
        for (queued, claimed) in heads.into_iter().zip(given) {
            queued.attempts += 1;
            queued.uncertain |= queued.leased.is_some();
            queued.leased = Some(now + LEASE);
            let expected = Claimed {
                id: queued.id.get_or_insert_with(|| claimed.id.clone()).clone(),
                app: queued.app.clone(),
                lane: queued.new.0.clone(),
                key: queued.new.1.clone(),
                body: queued.new.2.clone(),
                attempts: queued.attempts,
                uncertain: queued.uncertain,
                created: queued.created,
                expired: queued.new.3.is_some_and(|expires| expires <= now),
                until: now + LEASE,
            };
            assert_eq!(&expected, claimed);
            assert_eq!(expected.body, claimed.body);
        }
    }

    fn next_due(&mut self) -> Option<Timestamp> {
        self.heads().iter().map(|head| head.leased.map_or(head.due, |until| until.max(head.due))).min()
    }

    /// Effects that were claimed at least once: only those have an id that anybody knows.
    fn known(&self, nth: usize) -> Option<(usize, EffectId)> {
        let known = self.queue.iter().enumerate().filter_map(|(index, queued)| Some((index, queued.id.clone()?)));
        known.into_iter().nth(nth)
    }
}

/// Plays the calls on the store that `open` opens, and opens again, beside the model. What the last process had claimed is free at once
/// where a store belongs to one process; one of several replicas leaves its claims to run out.
async fn behaves_like_the_model(calls: Vec<Call>, frees: bool, open: impl Fn() -> Store) {
    let mut model = Model { now: at(0), ..Model::default() };
    let mut store = open();
    for call in calls {
        if let Call::Reopen = call {
            drop(store);
            store = open();
            for queued in model.queue.iter_mut().filter(|queued| frees && queued.leased.is_some()) {
                (queued.leased, queued.uncertain) = (None, true);
            }
        } else {
            play(&store, &mut model, call).await;
        }
        compare(&store, &mut model).await;
    }
}

async fn play(store: &Store, model: &mut Model, call: Call) {
    match call {
        Call::Commit { app, stale, decisions } => {
            let commit = commit_of(model, (app, stale), decisions);
            assert_eq!(store.commit(commit.clone()).await.unwrap(), model.commit(&commit));
        }
        Call::Claim { most } => model.claim(&store.claim(model.now, LEASE, most).await.unwrap().effects, most),
        Call::Retry { effect, after, uncertain } => {
            let Some((index, id)) = model.known(effect) else { return };
            let due = model.now + SignedDuration::from_secs(after.into());
            store.retry(&id, due, uncertain).await.unwrap();
            let queued = &mut model.queue[index];
            (queued.leased, queued.due) = (None, due);
            queued.uncertain |= uncertain;
        }
        Call::Settle { effect } => {
            let Some((index, id)) = model.known(effect) else { return };
            store.settle(&id).await.unwrap();
            model.queue.remove(index);
        }
        Call::Renew { effect } => {
            let Some((index, id)) = model.known(effect) else { return };
            let queued = &mut model.queue[index];
            let from = queued.leased.unwrap_or(model.now);
            let until = model.now + LEASE;
            assert_eq!(store.renew(&id, from, until).await.unwrap(), queued.leased.is_some());
            queued.leased = queued.leased.map(|_| until);
        }
        Call::Wait(seconds) => model.now += SignedDuration::from_secs(seconds.into()),
        Call::Reopen => unreachable!("the caller's"),
    }
}

fn commit_of(model: &mut Model, (app, stale): (u8, bool), decisions: Vec<Decided>) -> Commit {
    model.count += 1;
    let app = AppName::new(format!("app-{app}"));
    let decision = |(nth, Decided { effects, seen, settle }): (usize, Decided)| {
        let effects = effects.into_iter().enumerate().map(|(n, (lane, key, expires))| NewEffect {
            lane: lane.to_string(),
            key: key.map(|key| key.to_string()),
            body: format!("{}.{nth}.{n}", model.count),
            expires: expires.map(|seconds| model.now + SignedDuration::from_secs(seconds.into())),
        });
        Decision {
            effects: effects.collect(),
            audit: vec![format!("{}.{nth}", model.count)],
            seen: seen.map(|key| key.to_string()),
            settle: settle.and_then(|nth| Some(model.known(nth)?.1)),
        }
    };
    let version = model.apps.get(&app).map_or(0, |(version, _)| *version);
    Commit {
        expected: Version(version + u64::from(stale)),
        at: model.now,
        document: (version == 0 || !model.count.is_multiple_of(3)).then(|| model.count.to_string()),
        decisions: decisions.into_iter().enumerate().map(decision).collect(),
        fence: None,
        app,
    }
}

async fn compare(store: &Store, model: &mut Model) {
    for app in ["app-0", "app-1"].map(AppName::from) {
        let document = model.apps.get(&app).map(|(version, text)| (Version(*version), text.clone()));
        assert_eq!(store.load(&app).await.unwrap(), document);
        let lines = model.audit.iter().rev().filter(|(of, _)| *of == app).take(3).map(|(_, line)| line.clone());
        assert_eq!(store.audit(&app, 3).await.unwrap(), lines.collect::<Vec<_>>());
    }
    let oldest = model.queue.iter().map(|queued| queued.created).min();
    assert_eq!(store.backlog().await.unwrap(), Backlog { count: model.queue.len() as u64, oldest });
    assert_eq!(next(store).await, model.next_due());
}

mod embedded {
    use super::*;
    use crate::store::embedded::Embedded;

    #[tokio::test]
    async fn keeps_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        let count = std::cell::Cell::new(0);
        super::keeps_the_contract(|| async {
            count.set(count.get() + 1);
            Store::Embedded(Embedded::open(&folder.path().join(count.get().to_string())).unwrap())
        })
        .await;
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn behaves_like_the_model(calls in proptest::collection::vec(call(), 1..40)) {
            let folder = tempfile::tempdir().unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(super::behaves_like_the_model(calls, true, || {
                Store::Embedded(Embedded::open(folder.path()).unwrap())
            }));
        }
    }
}

pub(crate) mod redis {
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use secrecy::SecretString;

    use super::*;
    use crate::store::redis::Redis;

    /// A real Redis of this test's own, on a socket in a folder of its own; it ends with the test.
    pub(crate) struct Server {
        folder: tempfile::TempDir,
        process: Child,
    }

    impl Server {
        pub(crate) fn start(settings: &[&str]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let process = Command::new("redis-server")
                .args(["--port", "0", "--unixsocket", "redis.sock", "--save", "", "--loglevel", "warning"])
                .args(settings)
                .current_dir(folder.path())
                .stdout(Stdio::null())
                .spawn()
                .expect("redis-server is installed: tests/run does that");
            let server = Self { folder, process };
            let deadline = Instant::now() + Duration::from_secs(20);
            while std::os::unix::net::UnixStream::connect(server.folder.path().join("redis.sock")).is_err() {
                assert!(Instant::now() < deadline, "redis-server does not start");
                std::thread::sleep(Duration::from_millis(5));
            }
            server
        }

        /// It dies without a word.
        pub(crate) fn stop(&mut self) {
            self.process.kill().unwrap();
            self.process.wait().unwrap();
        }

        /// It sleeps (`STOP`), or wakes again (`CONT`).
        pub(crate) fn signal(&self, name: &str) {
            let sent = Command::new("kill").args([&format!("-{name}"), &self.process.id().to_string()]).status();
            assert!(sent.unwrap().success());
        }

        /// How many scripts it has run.
        fn ran(&self) -> u64 {
            let address = format!("redis+unix://{}", self.folder.path().join("redis.sock").display());
            let mut connection = ::redis::Client::open(address).unwrap().get_connection().unwrap();
            let told: String = ::redis::cmd("INFO").arg("commandstats").query(&mut connection).unwrap();
            let calls = told.split_once("cmdstat_evalsha:calls=").and_then(|(_, rest)| rest.split(',').next());
            calls.map_or(0, |calls| calls.parse().unwrap())
        }

        pub(crate) fn store(&self, database: u32) -> Redis {
            let socket = self.folder.path().join("redis.sock");
            let url = format!("redis+unix://{}?db={database}", socket.display());
            Redis::new(&SecretString::from(url)).unwrap()
        }
    }

    /// Waits until somebody leads.
    async fn until_led(lead: impl AsyncFn() -> Option<Fence>) -> Fence {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(fence) = lead().await {
                return fence;
            }
            assert!(Instant::now() < deadline, "nobody takes over");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }

    #[tokio::test]
    async fn keeps_the_contract() {
        let server = Server::start(&["--databases", "100"]);
        let count = std::cell::Cell::new(0);
        super::keeps_the_contract(|| async {
            count.set(count.get() + 1);
            Store::Redis(server.store(count.get()))
        })
        .await;
    }

    #[test]
    fn behaves_like_the_model() {
        let server = Server::start(&["--databases", "100"]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let database = std::cell::Cell::new(0);
        let config =
            ProptestConfig { cases: 48, failure_persistence: None, max_shrink_iters: 50, ..ProptestConfig::default() };
        proptest!(config, |(calls in proptest::collection::vec(call(), 1..40))| {
            database.set(database.get() + 1);
            let number = database.get();
            runtime.block_on(super::behaves_like_the_model(calls, false, || {
                let _inside = runtime.enter();
                Store::Redis(server.store(number))
            }));
        });
    }

    #[tokio::test]
    async fn one_leads_and_who_slept_writes_nothing() {
        let server = Server::start(&[]);
        let (a, b) = (Store::Redis(server.store(0)), Store::Redis(server.store(0)));
        let lead = async |store: &Store, me: &str| {
            store.lead(me, Duration::from_millis(300), &[(app(), at(7))].into()).await.unwrap()
        };
        let fence = lead(&a, "a").await;
        assert_eq!(fence, Some(Fence(1)));
        assert_eq!(lead(&b, "b").await, None);
        assert_eq!(lead(&a, "a").await, fence, "going on");
        assert_eq!(a.commit(Commit { fence, ..decision(0, "{1}", Vec::new()) }).await.unwrap(), yes(1));
        let glance = Glance { version: Version(1), looked: Some(at(7)), hints: 0 };
        assert_eq!(b.glance(&[app(), AppName::new("lms")]).await.unwrap(), [(app(), glance.clone())].into());
        a.hint(&app()).await.unwrap();
        b.hint(&app()).await.unwrap();
        assert_eq!(a.glance(&[app()]).await.unwrap(), [(app(), Glance { hints: 2, ..glance })].into());

        let newer = until_led(async || lead(&b, "b").await).await;
        assert_eq!(newer, Fence(2), "a slept for too long");
        assert_eq!(a.commit(Commit { fence, ..decision(1, "{2}", Vec::new()) }).await.unwrap(), Committed::Fenced);
        assert_eq!(b.commit(Commit { fence: Some(newer), ..decision(1, "{2}", Vec::new()) }).await.unwrap(), yes(2));
        a.resign("a").await.unwrap();
        assert_eq!(lead(&a, "a").await, None, "nobody resigns for another");
        b.resign("b").await.unwrap();
        assert_eq!(lead(&a, "a").await, Some(Fence(3)));
    }

    /// There and back again: nothing is lost, ids and queues stay what they were, and nothing is written over.
    #[tokio::test]
    async fn everything_can_be_moved() {
        let (server, folder) = (Server::start(&[]), tempfile::tempdir().unwrap());
        let embedded =
            |name: &str| Store::Embedded(crate::store::embedded::Embedded::open(&folder.path().join(name)).unwrap());
        let (first, between) = (embedded("first"), Store::Redis(server.store(0)));
        let effects =
            vec![effect("a/ü", "held"), keyed("a/ü", "k", "old"), keyed("b", "k", "waits"), effect("c", "done")];
        let audit = vec!["{\"x\": 1}".to_owned(), "2".to_owned()];
        let commit = of(0, "{1}", vec![Decision { effects, audit, seen: Some("trigger".to_owned()), settle: None }]);
        first.commit(commit.clone()).await.unwrap();
        let claimed = first.claim(at(0), LEASE, ALL).await.unwrap().effects;
        first.settle(&claimed[2].id).await.unwrap();
        first.retry(&claimed[1].id, at(5), false).await.unwrap();

        between.import(first.export().await.unwrap()).await.unwrap();
        assert_eq!(between.load(&app()).await.unwrap(), Some((Version(1), "{1}".to_owned())));
        assert_eq!(between.commit(Commit { expected: Version(1), ..commit }).await.unwrap(), again(&[0]));
        between
            .commit(Commit { at: at(1), ..decision(1, "{2}", vec![keyed("a/ü", "k", "new"), effect("d", "last")]) })
            .await
            .unwrap();
        let second = embedded("second");
        second.import(between.export().await.unwrap()).await.unwrap();
        drop(second);
        let second = embedded("second");
        assert!(second.export().await.unwrap() == between.export().await.unwrap(), "the same in both");
        for full in [&second, &between] {
            let error = full.import(first.export().await.unwrap()).await.unwrap_err();
            assert!(error.to_string().contains("empty") || error.to_string().contains("already"), "{error}");
        }

        assert_eq!(second.audit(&app(), 9).await.unwrap(), ["2", "{\"x\": 1}"]);
        let again = second.claim(at(9), LEASE, ALL).await.unwrap().effects;
        let shown: Vec<_> = again.iter().map(|c| (c.body.as_str(), c.attempts, c.uncertain)).collect();
        assert_eq!(shown, [("held", 2, true), ("waits", 2, false), ("last", 1, false)]);
        assert_eq!(again[0].id, claimed[0].id, "messages in Slack carry it");
        assert_ne!(again[2].id, claimed[2].id, "no number is given twice");
        second.settle(&again[0].id).await.unwrap();
        assert_eq!(bodies(&second, at(9)).await, ["new"], "in the place of the old one");
    }

    #[tokio::test]
    async fn its_fitness_is_told() {
        let told = |fit: anyhow::Result<crate::store::redis::Fitness>| match fit {
            Ok(fitness) => {
                format!("{:?}, {:?}", fitness.advice(), fitness.keeps().map_err(|error| error.to_string()))
            }
            Err(error) => format!("{error:#}"),
        };
        let careful = Server::start(&["--appendonly", "yes", "--maxmemory-policy", "noeviction"]);
        assert_eq!(told(careful.store(0).fitness().await), "[], Ok(())");
        let careless = Server::start(&["--maxmemory-policy", "allkeys-lru"]);
        insta::assert_snapshot!(told(careless.store(0).fitness().await), @r#"["Redis writes no append-only file, so a crash may lose decisions: appendonly yes, and appendfsync always to lose none"], Err("Redis would throw decisions away when its memory is full (maxmemory-policy allkeys-lru): set maxmemory-policy noeviction")"#);
        let slow = SignedDuration::from_secs(-7);
        let odd = crate::store::redis::Fitness { policy: None, appends: true, ahead: slow };
        insta::assert_snapshot!(told(Ok(odd)), @r#"["Redis does not say what it does when its memory is full: make sure that maxmemory-policy is noeviction", "this machine’s clock is 7 s behind Redis’s: set both by NTP. Replicas whose clocks are more than 9 s apart take each other’s work for abandoned"], Ok(())"#);
    }

    /// What was said to have failed is not done hours later.
    #[tokio::test]
    async fn one_that_slept_writes_nothing_when_it_wakes() {
        let server = Server::start(&[]);
        let store = Store::Redis(server.store(0));
        store.commit(decision(0, "{1}", Vec::new())).await.unwrap();
        let before = server.ran();
        server.signal("STOP");
        let told = store.commit(decision(1, "{2}", vec![effect("a", "x")])).await;
        assert!(matches!(told, Err(Unwritten::Unsure(_))), "{told:?}");
        server.signal("CONT");
        let deadline = Instant::now() + Duration::from_secs(20);
        while server.ran() == before {
            assert!(Instant::now() < deadline, "it does not get to it");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(store.load(&app()).await.unwrap(), Some((Version(1), "{1}".to_owned())));
        assert_eq!(store.backlog().await.unwrap().count, 0);
        assert_eq!(store.commit(decision(1, "{2}", Vec::new())).await, Ok(yes(2)), "and it goes on");
    }

    #[tokio::test]
    async fn while_it_is_away_nothing_hangs_and_then_it_goes_on() {
        let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]);
        let store = Store::Redis(server.store(0));
        store.commit(decision(0, "{1}", Vec::new())).await.unwrap();
        server.stop();
        for _ in 0..3 {
            let asked = Instant::now();
            let error = store.commit(decision(1, "{2}", Vec::new())).await.unwrap_err();
            assert!(asked.elapsed() < Duration::from_secs(2), "it took {:?}", asked.elapsed());
            assert!(format!("{error:#}").starts_with("commit decisions: redis"), "{error:#}");
        }
    }
}
