//! What an hour costs at GitHub: 50 quiet apps and 5 busy ones, by a clock that stands still until everybody has done what there was to
//! do, so that the count is the same on any machine. And an hour that is nearly used up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use lockkeeper::clock::Clock;
use lockkeeper::config::Polling;
use lockkeeper::sandbox::slack::Message;
use lockkeeper::sandbox::world::{Act, FaultKind, Outcome, Spent};
use lockkeeper::telemetry;

use crate::town::{DEPLOYS, PATIENCE, SETTINGS, Town, until};

/// As production has it unless told.
const POLLING: Polling = Polling { active: Duration::from_secs(10), idle: Duration::from_secs(60) };
/// An effect that is not performed by then, in real time, is one that waits to be tried again.
const RETRIED: Duration = Duration::from_secs(3);
/// Each busy app: its build, its tests, its production (jobs, and the environments that wait).
const BUSY: [Shape; 5] = [
    Shape {
        app: "h",
        build: "Docker Hub",
        test: &["Staging", "Staging (WebSocket)"],
        jobs: &["Production", "Production (WebSocket)", "Production (Canada)"],
        gates: &["Production", "Production (WebSocket)", "Production (Canada)"],
    },
    Shape {
        app: "lms",
        build: "Docker Hub",
        test: &["Staging"],
        jobs: &["Production", "Production (Canada)"],
        gates: &["Production", "Production (Canada)"],
    },
    Shape {
        app: "via",
        build: "Docker Hub",
        test: &["Staging", "Staging (Edu)"],
        jobs: &["Production", "Production (Edu)"],
        gates: &["Production", "Production (Edu)"],
    },
    Shape { app: "report", build: "Docker Hub", test: &["QA"], jobs: &["Production"], gates: &["Production"] },
    Shape {
        app: "client",
        build: "Build package",
        test: &["Release to staging"],
        jobs: &["Release to npm and CDN"],
        gates: &["production"],
    },
];

struct Shape {
    app: &'static str,
    build: &'static str,
    test: &'static [&'static str],
    jobs: &'static [&'static str],
    gates: &'static [&'static str],
}

impl Shape {
    fn repo(&self) -> String {
        format!("hypothesis/{}", self.app)
    }
}

/// Something that happens at its time.
#[derive(Clone, Copy)]
enum Step {
    Merge,
    Start(&'static str),
    Deploy(&'static str),
    Finish(&'static str),
    /// In Slack, or on GitHub's page.
    Approve,
    /// By then the channel has read that it waits.
    Waits,
}

/// A town where time stands still.
struct Still {
    town: Town,
    clock: Clock,
    start: Timestamp,
    /// What is to happen: seconds from the start, by which app, what.
    plan: BTreeSet<(i64, usize, usize)>,
    steps: Vec<Step>,
    /// Requests a minute, the most there were.
    busiest: u32,
}

impl Still {
    /// So many quiet apps, and the first so many busy ones, seen once.
    async fn open(quiet: u64, busy: usize) -> Self {
        let mut still = Self::start(quiet, busy).await;
        still.asleep().await;
        while still.unseen() > 0 {
            still.pass(1).await;
        }
        still.start = still.clock.now();
        still
    }

    /// How many apps were not looked at yet.
    fn unseen(&self) -> usize {
        let shell = self.town.shell();
        shell.config.apps.len() - shell.looked().len()
    }

    /// The same, not seen yet.
    async fn start(quiet: u64, busy: usize) -> Self {
        let start = Timestamp::from_second(1_795_600_000).expect("a time");
        let clock = Clock::still(start);
        let names =
            BUSY.iter().take(busy).map(|shape| shape.app.to_owned()).chain((1..=quiet).map(|n| format!("app-{n:02}")));
        let apps: Vec<String> = names.map(|app| format!("{app} = \"hypothesis/{app}\"")).collect();
        let settings = SETTINGS.replace("h = \"hypothesis/h\"", &apps.join("\n"));
        let mut town = Town::at(clock.clone(), &settings).await;
        town.sandbox.world.add_quiet_repos(quiet);
        town.polling = POLLING;
        town.start_only().await;
        Self { town, clock, start, plan: BTreeSet::new(), steps: Vec::new(), busiest: 0 }
    }

    /// Everybody has done what there was to do; when the next one wakes.
    async fn asleep(&mut self) -> Timestamp {
        // Of each app a watcher and a keeper of its variables; but those who stand behind the first few in line do not sleep by the clock.
        let sleepers = 2 * self.town.shell().config.apps.len() - self.unseen().saturating_sub(8);
        let world = &self.town.sandbox.world;
        let store = &self.town.shell().store;
        let begun = Instant::now();
        let asleep = async {
            loop {
                let next = self.clock.all_asleep(sleepers).await;
                let effects = store.backlog().await.expect("a store").count;
                // What is to be tried again waits for the clock.
                if world.undelivered() == 0 && (effects == 0 || begun.elapsed() > RETRIED) {
                    return next;
                }
                // Who took a webhook still has to wake the watcher.
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asleep).await.expect("everybody to be done")
    }

    fn elapsed(&self) -> i64 {
        self.clock.now().duration_since(self.start).as_secs()
    }

    fn at(&mut self, seconds: i64, app: usize, step: Step) {
        self.steps.push(step);
        self.plan.insert((seconds, self.steps.len() - 1, app));
    }

    /// A change's way from the merge into production.
    fn ship(&mut self, from: i64, app: usize) {
        let shape = &BUSY[app];
        self.at(from, app, Step::Merge);
        self.at(from + 4, app, Step::Start(shape.build));
        self.at(from + 95, app, Step::Finish(shape.build));
        for (nth, job) in (0..).zip(shape.test) {
            self.at(from + 110 + nth, app, Step::Deploy(job));
            self.at(from + 230 + 15 * nth, app, Step::Finish(job));
        }
        self.at(from + 395, app, Step::Waits);
        self.at(from + 400, app, Step::Approve);
        for (nth, job) in (0..).zip(shape.jobs) {
            self.at(from + 420 + nth, app, Step::Deploy(job));
            self.at(from + 540 + 15 * nth, app, Step::Finish(job));
        }
    }

    /// Lets time pass, and happen what is planned.
    async fn pass(&mut self, seconds: i64) {
        let end = self.clock.now() + SignedDuration::from_secs(seconds);
        let (mut minute, mut before) = (self.elapsed() / 60, self.total());
        while self.clock.now() < end {
            let next = self.asleep().await.min(end);
            // What is due within two seconds is done together.
            let next = Timestamp::from_second(next.as_second() + 2).expect("a time").min(end);
            let planned = self.plan.first().map(|(at, ..)| self.start + SignedDuration::from_secs(*at));
            let now = self.clock.now();
            self.clock.advance(planned.unwrap_or(next).clamp(now, next).duration_since(now));
            if self.elapsed() / 60 > minute {
                self.busiest = self.busiest.max(self.total() - before);
                (minute, before) = (self.elapsed() / 60, self.total());
            }
            while let Some((_, step, app)) = self.plan.first().copied().filter(|(at, ..)| *at <= self.elapsed()) {
                self.plan.pop_first();
                self.perform(self.steps[step], &BUSY[app]).await;
            }
        }
        self.asleep().await;
    }

    async fn perform(&self, step: Step, shape: &Shape) {
        let (repo, world) = (shape.repo(), &self.town.sandbox.world);
        let run = world.newest_run(&repo).expect("a run");
        let act = |act: Act| drop(world.act(act).unwrap_or_else(|error| panic!("{repo}: {error}")));
        match step {
            Step::Merge => act(Act::merge(&repo, "ana-gh", "Fix RPC")),
            Step::Start(job) => act(Act::StartJob { repo: repo.clone(), run, job: job.into() }),
            Step::Deploy(job) => act(Act::DeployStep { repo: repo.clone(), run, job: job.into() }),
            Step::Finish(job) => act(Act::finish(&repo, run, job, Outcome::Success)),
            Step::Approve if ["h", "lms"].contains(&shape.app) => self.approve(shape.app).await,
            Step::Approve => {
                let environments = shape.gates.iter().map(|name| (*name).to_owned()).collect();
                act(Act::Approve {
                    repo: repo.clone(),
                    run,
                    environments,
                    by: "ben-gh".into(),
                    comment: String::new(),
                });
            }
            Step::Waits => self.says(shape.app, "waiting for approval"),
        }
    }

    /// The newest notice of an app says this.
    fn says(&self, app: &str, words: &str) {
        let notice = self.notice(app).reads();
        assert!(notice.contains(words), "{} s: {notice}", self.elapsed());
    }

    /// Ben approves in Slack; time stands still meanwhile.
    async fn approve(&self, app: &str) {
        let workspace = &self.town.sandbox.workspace;
        let before = workspace.ephemerals("UBEN").len();
        workspace.command("UBEN", DEPLOYS, &format!("approve {app}")).await.expect("an ack");
        let asked = until("the question", || async { workspace.ephemerals("UBEN").get(before).cloned() }).await;
        let buttons = asked.buttons();
        let button = buttons.iter().find(|button| button.text.starts_with("Approve"));
        let button = button.unwrap_or_else(|| panic!("no button: {}", asked.reads()));
        workspace.click("UBEN", &asked.at(), &button.action_id).await.expect("an ack");
        until("the approval", || async {
            let told = workspace.ephemerals("UBEN");
            told.iter().skip(before).any(|told| told.reads().starts_with("Approved")).then_some(())
        })
        .await;
    }

    /// The newest notice of an app.
    fn notice(&self, app: &str) -> Message {
        let start = format!("{app} · run ");
        let messages = self.town.sandbox.workspace.messages(DEPLOYS);
        let mut notices = messages.into_iter().filter(|m| m.thread_ts.is_none() && m.reads().starts_with(&start));
        notices.next_back().unwrap_or_else(|| panic!("{app} has no notice"))
    }

    fn spent(&self) -> BTreeMap<(String, String), Spent> {
        self.town.sandbox.world.spent()
    }

    fn total(&self) -> u32 {
        self.spent().values().map(|spent| spent.counted + spent.free).sum()
    }

    /// How often an app's runs were listed.
    fn looks(&self, app: &str) -> u32 {
        let key = (format!("hypothesis/{app}"), "GET actions/workflows/deploy.yml/runs".to_owned());
        self.spent().get(&key).map_or(0, |spent| spent.counted + spent.free)
    }

    async fn close(self) {
        let shell = self.town.shell();
        until("nothing to be left", || async { (shell.store.backlog().await.ok()?.count == 0).then_some(()) }).await;
        self.town.close_blind().await;
    }
}

/// What was counted of an hour with four changes at each busy app, one of them replaced on its way, after the first looks.
async fn hour(webhooks: bool) -> u32 {
    let mut still = Still::open(50, 5).await;
    still.pass(120).await;
    let start: u32 = still.spent().values().map(|spent| spent.counted).sum();
    if webhooks {
        still.town.sandbox.set_up_hook(still.town.address());
    }
    for app in 0..BUSY.len() {
        let first = 140 + 170 * i64::try_from(app).expect("few");
        for nth in 0..3 {
            still.ship(first + 1_000 * nth, app);
        }
        // Replaced before anything of it was built.
        still.at(first + 970, app, Step::Merge);
    }
    let (before, looks) = (still.spent(), |still: &Still, app: &str| still.looks(app));
    let looked: BTreeMap<String, u32> = quiet().chain(busy()).map(|app| (app.clone(), looks(&still, &app))).collect();
    still.pass(3_600).await;
    assert_eq!(still.elapsed(), 3_720, "an hour");
    assert!(still.plan.is_empty(), "all of it happened");
    for app in busy() {
        still.says(&app, "is live on");
    }
    let least = |apps: Vec<String>| apps.iter().map(|app| looks(&still, app) - looked[app]).min().unwrap_or(0);
    let (busy, quiet) = (least(busy().collect()), least(quiet().collect()));
    let counted = told(&still.spent(), &before);
    println!("start: {start} counted; looks at a busy app: {busy} at least, at a quiet one: {quiet}");
    println!(
        "the busiest minute had {} requests; webhooks: {}",
        still.busiest,
        still.town.sandbox.world.delivered().len()
    );
    assert!(busy >= if webhooks { 40 } else { 120 } && quiet >= 20, "{busy} and {quiet} looks");
    assert!(still.busiest < 900, "GitHub takes 900 a minute, not {}", still.busiest);
    still.close().await;
    counted
}

fn quiet() -> impl Iterator<Item = String> {
    (1..=50).map(|nth| format!("app-{nth:02}"))
}

fn busy() -> impl Iterator<Item = String> {
    BUSY.iter().map(|shape| shape.app.to_owned())
}

/// Prints what was spent since, and says how much of it was counted.
fn told(after: &BTreeMap<(String, String), Spent>, before: &BTreeMap<(String, String), Spent>) -> u32 {
    let mut kinds: BTreeMap<&str, Spent> = BTreeMap::new();
    for (key, spent) in after {
        let known = before.get(key).copied().unwrap_or_default();
        let kind = kinds.entry(&key.1).or_default();
        kind.counted += spent.counted - known.counted;
        kind.free += spent.free - known.free;
    }
    for (kind, spent) in &kinds {
        println!("{:>6} counted {:>6} free  {kind}", spent.counted, spent.free);
    }
    let counted = kinds.values().map(|spent| spent.counted).sum();
    println!("{counted:>6} counted {:>6} free", kinds.values().map(|spent| spent.free).sum::<u32>());
    counted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_without_webhooks() {
    let counted = hour(false).await;
    assert!(counted < 2_500, "{counted} requests were counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_with_webhooks() {
    let counted = hour(true).await;
    assert!(counted < 600, "{counted} requests were counted");
}

/// What is left goes to apps where something goes on, the last of it to people; with the next hour all is as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_requests_of_an_hour() {
    let mut still = Still::open(12, 1).await;
    let leave = |still: &Still, left: u32| drop(still.town.sandbox.world.act(Act::Spend { leave: left }));
    let minutes = async |still: &mut Still, minutes: i64| {
        let looks =
            |still: &Still| (still.looks("h"), (1..=12).map(|nth| still.looks(&format!("app-{nth:02}"))).sum::<u32>());
        let before = looks(still);
        still.pass(60 * minutes).await;
        let after = looks(still);
        (after.0 - before.0, (after.1 - before.1) / 12)
    };
    still.ship(10, 0);
    let (busy, quiet) = minutes(&mut still, 6).await;
    assert!((25..45).contains(&busy) && (4..8).contains(&quiet), "plenty: {busy} and {quiet} looks in 6 minutes");
    // Waiting for approval, something goes on.
    leave(&still, 450);
    let plan = std::mem::take(&mut still.plan);
    let (busy, quiet) = minutes(&mut still, 8).await;
    assert!((12..25).contains(&busy) && quiet <= 2, "a tenth is left: {busy} and {quiet} looks in 8 minutes");
    leave(&still, 200);
    let (busy, quiet) = minutes(&mut still, 8).await;
    assert!((12..20).contains(&busy) && quiet == 0, "a twentieth is left: {busy} and {quiet} looks in 8 minutes");
    leave(&still, 60);
    let (busy, quiet) = minutes(&mut still, 4).await;
    assert!(busy <= 2 && quiet == 0, "the rest is for people: {busy} and {quiet} looks in 4 minutes");
    still.approve("h").await;
    assert_eq!(still.town.reviews().len(), 1, "an approval goes through");
    // A new hour.
    still.pass(3_700 - still.elapsed()).await;
    still.plan =
        plan.into_iter().map(|(at, step, app)| (at + 3_400, step, app)).filter(|(at, ..)| *at > 3_815).collect();
    let (busy, quiet) = minutes(&mut still, 8).await;
    assert!(busy >= 18 && quiet >= 6, "as before: {busy} and {quiet} looks in 8 minutes");
    still.says("h", "is live on");
    still.close().await;
}

/// So many apps that their first looks are more than GitHub takes in a minute: they take turns, and who is asked for is next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_looks_take_turns() {
    let mut still = Still::start(300, 0).await;
    until("some to wait", || async { still.town.shell().github.is_lined_up().then_some(()) }).await;
    let (total, at_once) = (still.total(), 300 - still.unseen());
    let readiness = telemetry::readiness(still.town.shell());
    let said: Vec<String> = readiness.checks.iter().map(|check| format!("{} {}", check.ok, check.said)).collect();
    assert!(said.iter().any(|said| said.starts_with("true ") && said.contains("wait for their turn")), "{said:?}");
    let shell = still.town.shell();
    let looked = shell.looked();
    let waiting: Vec<_> = shell.config.apps.keys().filter(|name| !looked.contains_key(*name)).collect();
    let [.., asked, announced] = waiting[..] else { panic!("apps that wait: {waiting:?}") };
    still.town.sandbox.workspace.command("UBEN", DEPLOYS, &format!("status {asked}")).await.expect("an ack");
    shell.hint(announced);
    until("those to be next whom somebody or a webhook is about", || async {
        [asked, announced].iter().all(|app| shell.looked().contains_key(*app)).then_some(())
    })
    .await;
    let mut totals = vec![(0, 0)];
    while still.unseen() > 0 {
        let (now, total) = (still.elapsed(), still.total());
        let minute = totals.iter().filter(|(at, _)| *at >= now - 60).map(|(_, before)| total - before).max();
        assert!(minute < Some(900), "GitHub takes 900 a minute, not {minute:?}");
        totals.push((now, total));
        assert!(now < 3_600, "{} not seen", still.unseen());
        still.pass(4).await;
    }
    println!("{total} requests at once, {at_once} apps seen; all after {} s and {}", still.elapsed(), still.total());
    still.close().await;
}

/// One app runs into a secondary limit: nobody asks anything until it is over, and then all go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secondary_limit_is_kept_by_all() {
    let mut still = Still::open(12, 1).await;
    still.ship(10, 0);
    // By then a look where nothing goes on has found the merge.
    still.pass(90).await;
    still
        .town
        .sandbox
        .world
        .act(Act::Fault { kind: FaultKind::SecondaryUnsaid, times: 1, only: None })
        .expect("a fault");
    let from = still.total();
    while still.total() == from {
        still.pass(1).await;
    }
    // A look asks three things at once: the others are counted as they arrive, by real time.
    let mut limited = 0;
    while still.total() != limited {
        limited = still.total();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(limited - from <= 16, "only what was on its way already: {}", limited - from);
    still.pass(57).await;
    assert_eq!(still.total(), limited, "nobody asks within the minute");
    let looks = still.looks("h");
    still.pass(60).await;
    // Up to a pause of 11 s and what is done together may go by before each.
    assert!(still.looks("h") >= looks + 3, "then it goes on: {} looks, {looks} before", still.looks("h"));
    still.pass(120).await;
    assert!((1..=12).all(|nth| still.looks(&format!("app-{nth:02}")) >= 3));
    still.close().await;
}
