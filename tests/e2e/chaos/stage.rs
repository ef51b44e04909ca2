//! Where a plan is played: a pretend world, a bot that dies and comes back, people who type and click. All that the judge has to know of
//! what people did and saw is written down here, each with how many requests GitHub had seen by then: that is the story's clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use lockkeeper::config::{Config, Polling};
use lockkeeper::sandbox::Sandbox;
use lockkeeper::sandbox::slack::{Fault, MessageRef, Role, Unanswered, Workspace};
use lockkeeper::sandbox::world::{Act, FaultKind};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::bot::{Diary, Mortal};
use super::plan::{APPROVERS, DEVELOPERS, Moment, Page, Plan, Site, Step, Wish};
use crate::redis::Redis;
use crate::town::{DEPLOYS, record};

/// How long people wait for something to click, and everybody for the bot to look.
pub(super) const A_MOMENT: Duration = Duration::from_millis(1_500);
/// A sleeper that wakes so many milliseconds late shows that the machine cannot follow.
const STALL: u64 = 300;
/// How long all may take to come to rest once nothing is wrong any more.
const REST: Duration = Duration::from_secs(60);
/// How often the bot asks GitHub by itself; whoever waits for it to look makes it look.
const POLL: Duration = Duration::from_millis(1_000);

/// Something that a person did in Slack.
#[derive(Clone, Debug)]
pub struct Ask {
    pub who: &'static str,
    pub did: Did,
    /// Requests that GitHub had seen.
    pub at: usize,
    /// What production ran then, by repository and environment.
    pub versions: BTreeMap<(String, String), String>,
    /// The apps that everybody could read to be on hold.
    pub held: BTreeSet<&'static str>,
    /// Slack's own answer, once there was one.
    pub result: Option<Result<(), String>>,
}

#[derive(Clone, Debug)]
pub enum Did {
    Typed(String),
    Clicked(Seen),
    /// A form, as the command that it stands for, and what was ticked in it.
    Sent(String, Vec<String>),
}

/// A button as somebody saw it, with all that stood around it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub at: MessageRef,
    /// The only person who saw it, if so.
    pub only: Option<&'static str>,
    pub action_id: String,
    pub value: String,
    pub label: String,
    pub confirm: String,
    pub text: String,
}

/// Something that happened to the world.
#[derive(Clone, Debug, PartialEq)]
pub enum Happened {
    Merged { site: usize, sha: String, title: String, by: usize },
    Reran { run: u64 },
    Cancelled { run: u64 },
    Account { who: &'static str, gone: bool },
    Killed,
    RedisGone,
}

/// A story that is being told.
pub struct Stage<'a> {
    pub plan: &'a Plan,
    pub sandbox: Sandbox,
    /// Those that are alive, the oldest first: it dies next.
    pub bots: Vec<Mortal>,
    pub asks: Arc<Mutex<Vec<Ask>>>,
    /// What happened, and how many requests GitHub had seen by then.
    pub happened: Vec<(usize, Happened)>,
    /// What was asked just before the bot died, and was never to survive that.
    pub excused: Vec<Unanswered>,
    pub wrong: Vec<String>,
    /// The runs that there were before the bot looked.
    pub before: BTreeSet<u64>,
    /// How late a sleeper woke at worst, in milliseconds.
    stalled: Arc<AtomicU64>,
    diary: Diary,
    data: TempDir,
    redis: Option<Redis>,
    /// For how many steps the bot, or Redis, stays away.
    down: Option<usize>,
    redis_away: Option<(bool, usize)>,
    /// A death to come: how many calls hung when it was arranged, and how long the bot is to stay away.
    armed: Option<(usize, usize)>,
    pub(super) people: JoinSet<()>,
    album: Vec<Seen>,
    /// The lock that everybody reads last in the channel, by app.
    locks: BTreeMap<&'static str, String>,
    /// Locks that somebody asked to release.
    let_go: BTreeSet<String>,
}

impl<'a> Stage<'a> {
    pub async fn open(plan: &'a Plan) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let sandbox = Sandbox::open(([127, 0, 0, 1], 0).into(), data.path()).await.expect("a sandbox");
        record(&sandbox);
        sandbox.workspace.set_group("S0DEVS", &APPROVERS.map(|(slack, _)| slack));
        let redis = if plan.redis { Some(Redis::start().await) } else { None };
        let mut stage = Self {
            plan,
            sandbox,
            bots: Vec::new(),
            asks: Arc::default(),
            happened: Vec::new(),
            excused: Vec::new(),
            wrong: Vec::new(),
            before: BTreeSet::new(),
            stalled: Arc::default(),
            diary: Diary::default(),
            data,
            redis,
            down: None,
            redis_away: None,
            armed: None,
            people: JoinSet::new(),
            album: Vec::new(),
            locks: BTreeMap::new(),
            let_go: BTreeSet::new(),
        };
        let stalled = Arc::downgrade(&stage.stalled);
        tokio::spawn(async move {
            while let Some(stalled) = stalled.upgrade() {
                let from = tokio::time::Instant::now();
                tokio::time::sleep(Duration::from_millis(50)).await;
                let late = from.elapsed().as_millis().saturating_sub(50);
                stalled.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        let runs = |stage: &Self, site: &Site| -> Vec<u64> {
            let repo = stage.repo(site.repo);
            repo["runs"].as_array().into_iter().flatten().filter_map(|run| run["id"].as_u64()).collect()
        };
        stage.before = plan.sites.iter().flat_map(|site| runs(&stage, site)).collect();
        stage.start().await;
        // What happens before the first look is history, and not told.
        stage.settle().await;
        stage
    }

    fn config(&self) -> Config {
        let config = self.sandbox.config(&self.plan.settings()).expect("good settings");
        let redis = self.redis.as_ref().map(|redis| redis.url().into());
        Config { polling: Polling { active: POLL, idle: POLL }, data: self.data.path().to_owned(), redis, ..config }
    }

    async fn start(&mut self) {
        self.down = None;
        while self.bots.len() < self.plan.replicas && self.wrong.is_empty() {
            match Mortal::start(self.config(), self.sandbox.clock.clone(), &self.diary).await {
                Ok(bot) => self.bots.push(bot),
                Err(why) => self.wrong.push(why),
            }
        }
    }

    /// Plays the whole plan, until all is at rest again.
    pub async fn play(&mut self) {
        for (step, rush) in self.plan.steps.clone() {
            self.pretend_time_passed(3);
            self.step(step).await;
            self.return_of_the_dead().await;
            if !rush {
                self.settle_within(1, A_MOMENT).await;
                if self.plan.replicas > 1 {
                    // Claims are renewed in real time.
                    tokio::time::sleep(A_MOMENT / 2).await;
                }
            }
            self.look_around().await;
            if !self.wrong.is_empty() {
                return;
            }
        }
        self.come_to_rest().await;
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Merge { app, by } => self.merge(app, by),
            Step::Finish { app, jobs } => {
                for _ in 0..jobs {
                    let Some((run, job, _)) = self.running(app) else { break };
                    let repo = self.plan.sites[app].repo;
                    self.act(Act::finish(repo, run, &job, lockkeeper::sandbox::world::Outcome::Success));
                }
            }
            Step::Break { app, outcome, late } => {
                let Some((run, job, deploys)) = self.running(app) else { return };
                let repo = self.plan.sites[app].repo.to_owned();
                if late && deploys {
                    self.act(Act::DeployStep { repo: repo.clone(), run, job: job.clone() });
                }
                self.act(Act::finish(&repo, run, &job, outcome));
            }
            Step::MergeRevert { app, by } => self.merge_revert(app, by),
            Step::Page { app, by, what } => self.on_the_page(self.plan.sites[app], by, what),
            Step::Slack { who, app, wish } => self.wish(&who, app, &wish).await,
            Step::Account { who, gone } => {
                self.sandbox.workspace.set_role(who, if gone { Role::Gone } else { Role::Member });
                self.note(Happened::Account { who, gone });
            }
            Step::SlackFault(fault) => self.sandbox.workspace.fault(fault),
            Step::Disconnect(reason) => self.sandbox.workspace.disconnect(reason),
            Step::GitHubFault { kind, times, only } => {
                self.act(Act::Fault { kind, times, only: only.map(str::to_owned) });
            }
            Step::GitHubFaultAt { kind, nth, only } => {
                self.act(Act::FaultAt { nth, kind, only: Some(only.to_owned()) });
            }
            Step::Kill { at, down } => self.arrange_death(&at, down).await,
            Step::Restart => self.restart().await,
            Step::RedisGone { asleep, steps } => self.lose_redis(asleep, steps),
            Step::Look => drop(self.settle_within(2, A_MOMENT).await),
        }
    }

    // --- the world

    /// Does something in the world, where the world lets it be done.
    pub(super) fn act(&mut self, act: Act) -> bool {
        self.sandbox.world.act(act).is_ok()
    }

    pub fn note(&mut self, what: Happened) {
        self.happened.push((self.requests(), what));
    }

    fn requests(&self) -> usize {
        self.sandbox.world.count(|_| true)
    }

    fn merge(&mut self, site: usize, by: usize) {
        let (repo, login) = (self.plan.sites[site].repo, DEVELOPERS[by].1);
        let title = format!("Change {}", self.happened.len() + 1_000);
        if self.act(Act::merge(repo, login, &title)) {
            self.merged(site, title, by);
        }
    }

    /// Notes what was just merged.
    pub(super) fn merged(&mut self, site: usize, title: String, by: usize) {
        let sha = self.repo(self.plan.sites[site].repo)["main"].as_str().expect("a commit").to_owned();
        self.note(Happened::Merged { site, sha, title, by });
    }

    /// As the sandbox's page shows it.
    pub fn repo(&self, name: &str) -> Value {
        let view = self.sandbox.world.view();
        let repos = view["repos"].as_array().expect("a list").iter();
        repos.clone().find(|repo| repo["repo"] == name).expect("a repository").clone()
    }

    /// The first job of the newest run that goes on and that nobody holds back; whether it deploys.
    fn running(&self, app: usize) -> Option<(u64, String, bool)> {
        let repo = self.repo(self.plan.sites[app].repo);
        let run = repo["runs"].as_array()?.iter().find(|run| run["conclusion"].is_null())?.clone();
        let moves = |job: &&Value| ["queued", "in_progress"].contains(&job["status"].as_str().unwrap_or_default());
        let job = run["jobs"].as_array()?.iter().find(moves)?;
        Some((run["id"].as_u64()?, job["name"].as_str()?.to_owned(), !job["environment"].is_null()))
    }

    fn on_the_page(&mut self, site: &'static Site, by: usize, what: Page) {
        let (_, login) = APPROVERS[by];
        let repo = site.repo.to_owned();
        let view = self.repo(site.repo);
        let Some(run) = view["runs"].get(0) else { return };
        let (id, by) = (run["id"].as_u64().expect("an id"), login.to_owned());
        let names = run["waiting"].as_array().into_iter().flatten().filter_map(|name| name.as_str());
        let mut environments: Vec<String> = names.map(str::to_owned).collect();
        match what {
            Page::Approve { all } => {
                if !all {
                    environments.truncate(1);
                }
                self.act(Act::Approve { repo, run: id, environments, by, comment: String::new() });
            }
            Page::Reject => {
                self.act(Act::Reject { repo, run: id, environments, by, comment: String::new() });
            }
            Page::Cancel => {
                if self.act(Act::CancelRun { repo, run: id, by }) {
                    self.note(Happened::Cancelled { run: id });
                }
            }
            Page::Rerun { failed_only } => {
                if self.act(Act::Rerun { repo, run: id, failed_only, by }) {
                    self.note(Happened::Reran { run: id });
                }
            }
            Page::Redeploy => {
                let inputs = [(site.inputs[0].to_owned(), "true".to_owned())].into();
                let (workflow, branch) = ("redeploy.yml".to_owned(), "main".to_owned());
                self.act(Act::Dispatch { repo, workflow, by, branch, inputs });
            }
            Page::Deploy => {
                let (workflow, branch) = ("deploy.yml".to_owned(), "main".to_owned());
                self.act(Act::Dispatch { repo, workflow, by, branch, inputs: BTreeMap::new() });
            }
        }
    }

    // --- people

    async fn wish(&mut self, who: &[&'static str], app: usize, wish: &Wish) {
        let before = self.people.len();
        if let Wish::Hold | Wish::Redeploy { .. } | Wish::Revert = wish {
            return self.chore(who, app, wish).await;
        }
        if let Wish::Notice(label) | Wish::Double(label) = wish {
            let there = |stage: &Stage| stage.on_notice(who[0], app, label).is_some();
            self.wait(A_MOMENT / 3, there).await;
        }
        for person in who {
            match wish {
                Wish::Type(text) => self.type_in(person, app, text),
                Wish::Through => self.type_in(person, app, "approve {app}"),
                Wish::Notice(label) => self.click_notice(person, app, label, 1),
                Wish::Double(label) => self.click_notice(person, app, label, 2),
                Wish::Confirm => self.confirm(person),
                Wish::Old(nth) => {
                    let mine = |seen: &&Seen| seen.only.is_none_or(|only| only == *person);
                    let mine: Vec<Seen> = self.album.iter().filter(mine).cloned().collect();
                    if !mine.is_empty() {
                        self.click(person, mine[nth % mine.len()].clone());
                    }
                }
                Wish::Hold | Wish::Redeploy { .. } | Wish::Revert => unreachable!("a chore, see above"),
            }
        }
        self.wait(A_MOMENT / 5, |stage| stage.people.len() <= before).await;
        if matches!(wish, Wish::Through) {
            self.answer_questions(who).await;
        }
    }

    /// Waits for the questions that these people asked for, and says yes.
    pub(super) async fn answer_questions(&mut self, who: &[&'static str]) {
        let before = self.people.len();
        let confirmable = |stage: &Stage| who.iter().all(|person| stage.question(person).is_some());
        self.wait(A_MOMENT, confirmable).await;
        self.look_around().await;
        who.iter().for_each(|person| self.confirm(person));
        self.wait(A_MOMENT / 5, |stage| stage.people.len() <= before).await;
    }

    pub(super) fn type_in(&mut self, who: &'static str, app: usize, text: &str) {
        let n = self.asks.lock().expect("no panic").len();
        let text = text.replace("{app}", self.plan.sites[app].app).replace("{n}", &n.to_string());
        let index = self.begin(who, Did::Typed(text.clone()));
        let (workspace, asks) = (self.sandbox.workspace.clone(), self.asks.clone());
        self.people.spawn(async move {
            let result = workspace.command(who, DEPLOYS, &text).await;
            asks.lock().expect("no panic")[index].result = Some(result);
        });
    }

    pub(super) fn click(&mut self, who: &'static str, seen: Seen) {
        let index = self.begin(who, Did::Clicked(seen.clone()));
        let (workspace, asks) = (self.sandbox.workspace.clone(), self.asks.clone());
        self.people.spawn(async move {
            let result = workspace.click_stale(who, &seen.at, &seen.action_id, &seen.value).await;
            asks.lock().expect("no panic")[index].result = Some(result);
        });
    }

    pub(super) fn begin(&mut self, who: &'static str, did: Did) -> usize {
        for (app, lock) in &self.locks {
            let releases = match &did {
                Did::Typed(text) => *text == format!("release {app}"),
                Did::Clicked(seen) => seen.label == "Release",
                Did::Sent(..) => false,
            };
            if releases {
                self.let_go.insert(lock.clone());
            }
        }
        let held = self.locks.iter().filter(|(_, lock)| !self.let_go.contains(*lock)).map(|(app, _)| *app).collect();
        let (at, versions) = (self.requests(), self.versions());
        let mut asks = self.asks.lock().expect("no panic");
        asks.push(Ask { who, did, at, versions, held, result: None });
        asks.len() - 1
    }

    fn versions(&self) -> BTreeMap<(String, String), String> {
        let mut versions = BTreeMap::new();
        for site in &self.plan.sites {
            for environment in self.repo(site.repo)["environments"].as_array().into_iter().flatten() {
                let text = |key: &str| environment[key].as_str().unwrap_or_default().to_owned();
                versions.insert((site.repo.to_owned(), text("name")), text("version"));
            }
        }
        versions
    }

    fn click_notice(&mut self, who: &'static str, app: usize, label: &str, times: usize) {
        if let Some(seen) = self.on_notice(who, app, label) {
            (0..times).for_each(|_| self.click(who, seen.clone()));
        }
    }

    fn on_notice(&self, who: &'static str, app: usize, label: &str) -> Option<Seen> {
        let head = format!("{} · ", self.plan.sites[app].app);
        let shown = self.on_show(who).into_iter().rev();
        shown.into_iter().find(|seen| seen.only.is_none() && seen.label == label && seen.text.starts_with(&head))
    }

    /// What confirms, in the newest question that this person sees and has not answered.
    fn question(&self, who: &'static str) -> Option<Seen> {
        let shown = self.on_show(who);
        let newest = shown.iter().rev().find(|seen| seen.only.is_some()).cloned()?;
        shown.into_iter().find(|seen| seen.at == newest.at && seen.label != "Not now")
    }

    fn confirm(&mut self, who: &'static str) {
        if let Some(seen) = self.question(who) {
            self.click(who, seen);
        }
    }

    /// All buttons that somebody sees, oldest first, without those that open a form.
    fn on_show(&self, who: &'static str) -> Vec<Seen> {
        let opens = |seen: &Seen| seen.label.ends_with('…') && seen.label != "Approve production…";
        self.buttons(who).into_iter().filter(|seen| !opens(seen)).collect()
    }

    /// All buttons that somebody sees, oldest first.
    pub(super) fn buttons(&self, who: &'static str) -> Vec<Seen> {
        let workspace = &self.sandbox.workspace;
        let messages = workspace.messages(DEPLOYS).into_iter();
        let public = messages.map(|m| (m.at(), None, m.reads(), m.buttons()));
        let private = workspace.ephemerals(who).into_iter().map(|m| (m.at(), Some(who), m.reads(), m.buttons()));
        let buttons = public.chain(private).flat_map(|(at, only, text, buttons)| {
            buttons.into_iter().filter_map(move |button| {
                let seen = Seen {
                    at: at.clone(),
                    only,
                    action_id: button.action_id,
                    value: button.value?,
                    label: button.text,
                    confirm: button.confirm.unwrap_or_default(),
                    text: text.clone(),
                };
                Some(seen)
            })
        });
        buttons.collect()
    }

    /// Everybody remembers what approves, and reads what is on hold.
    async fn look_around(&mut self) {
        self.watch().await;
        for (who, _) in APPROVERS {
            for seen in self.on_show(who).into_iter().filter(|seen| seen.label.starts_with("Approve")) {
                if !self.album.contains(&seen) {
                    self.album.push(seen);
                }
            }
        }
        let messages = self.sandbox.workspace.messages(DEPLOYS);
        for site in &self.plan.sites {
            let about = |words: &str| format!("{} {}", words, site.app);
            let is_about = |text: &str| text.starts_with(&about("🔒")) || text.starts_with(&about("🔓"));
            match messages.iter().rev().find(|message| is_about(&message.reads())) {
                Some(last) if last.reads().starts_with('🔒') => drop(self.locks.insert(site.app, last.ts.clone())),
                Some(_) | None => drop(self.locks.remove(site.app)),
            }
        }
    }

    // --- what goes wrong

    /// How many calls hang or hung: only those at which the bot is to die do.
    fn hung(&self) -> usize {
        let slack = self.sandbox.workspace.count_calls(|call| call.status == 504);
        slack + self.sandbox.world.count(|request| request.status == 504)
    }

    async fn arrange_death(&mut self, at: &Moment, down: usize) {
        let Some(bot) = self.bots.first().filter(|_| self.armed.is_none()) else { return };
        match at {
            Moment::Now => return self.kill(down).await,
            Moment::Written { nth, micros } => {
                let log = self.redis.as_ref().map_or_else(|| self.data.path().join("lockkeeper.db-wal"), Redis::log);
                let moment = Duration::from_micros(*micros);
                let workspace = self.sandbox.workspace.clone();
                let last = move || cut_off(&workspace);
                let written = move || std::fs::metadata(&log).and_then(|file| Ok((file.len(), file.modified()?))).ok();
                bot.dies_at(written, *nth, moment, last);
            }
            Moment::Acked { nth } => {
                let (workspace, its) = (self.sandbox.workspace.clone(), self.sandbox.workspace.clone());
                let last = move || cut_off(&workspace);
                let acked = move || its.acks().len();
                bot.dies_at(acked, *nth, Duration::ZERO, last);
            }
            Moment::Slack { method, nth, done } => {
                let method = (*method).to_owned();
                let fault =
                    if *done { Fault::HangAfter { method, times: 1 } } else { Fault::Hang { method, times: 1 } };
                self.sandbox.workspace.fault(Fault::Nth { nth: *nth, fault: Box::new(fault) });
            }
            Moment::GitHub { only, nth, done } => {
                let kind = if *done { FaultKind::HangAfter } else { FaultKind::Hang };
                self.act(Act::FaultAt { nth: *nth, kind, only: Some((*only).to_owned()) });
            }
        }
        self.armed = Some((self.hung(), down));
    }

    async fn kill(&mut self, down: usize) {
        self.armed = None;
        let Some(bot) = self.oldest() else { return };
        cut_off(&self.sandbox.workspace);
        bot.kill().await;
        self.sandbox.workspace.fault(Fault::RefuseConnections { on: false });
        self.note(Happened::Killed);
        self.excuse().await;
        self.forget_the_dead();
        self.down = Some(down);
        if down == 0 {
            self.start().await;
        }
    }

    /// A question is answered from memory, so it is lost with the memory; and so is, while Redis is away, that nothing can be written down.
    async fn excuse(&mut self) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let lost = self.sandbox.workspace.unanswered();
        let questions = ["status", "pending", "history"];
        let is_question = |asked: &str| {
            asked.is_empty() || questions.iter().any(|word| asked.starts_with(word)) || asked.contains("changes")
        };
        let away = self.redis_away.is_some();
        self.excused.extend(lost.into_iter().filter(|one| away || is_question(&one.asked)));
    }

    /// A claim and the lead of a dead replica end by themselves after a while.
    fn forget_the_dead(&self) {
        let Some(redis) = self.redis.as_ref().filter(|_| self.redis_away.is_none()) else { return };
        self.pretend_time_passed(13);
        let client = ::redis::Client::open(redis.url()).expect("an address");
        let mut connection = client.get_connection().expect("a Redis");
        ::redis::cmd("DEL").arg("lockkeeper:leader").exec(&mut connection).expect("a key");
    }

    /// Not far where there are two: what one has in hand would seem to be given up, and the other would take it.
    fn pretend_time_passed(&self, seconds: u64) {
        let alone = self.plan.replicas == 1 || self.bots.is_empty();
        let pass = Act::Pass { seconds: if alone { seconds } else { 1 } };
        self.sandbox.world.act(pass).expect("time passes");
    }

    fn oldest(&mut self) -> Option<Mortal> {
        (!self.bots.is_empty()).then(|| self.bots.remove(0))
    }

    async fn restart(&mut self) {
        self.armed = None;
        let Some(bot) = self.oldest() else { return };
        if let Err(why) = bot.stop().await {
            self.wrong.push(why);
        }
        self.excuse().await;
        self.start().await;
    }

    fn lose_redis(&mut self, asleep: bool, steps: usize) {
        let Some(redis) = self.redis.as_mut().filter(|_| self.redis_away.is_none()) else { return };
        match asleep {
            true => redis.signal("STOP"),
            false => redis.kill(),
        }
        self.redis_away = Some((asleep, steps));
        self.note(Happened::RedisGone);
    }

    async fn return_of_the_dead(&mut self) {
        if let Some(steps) = self.down {
            self.down = steps.checked_sub(1);
            if self.down.is_none() {
                self.start().await;
            }
        }
        if let Some((asleep, steps)) = self.redis_away {
            match steps.checked_sub(1) {
                Some(steps) => self.redis_away = Some((asleep, steps)),
                None => self.find_redis(asleep).await,
            }
        }
    }

    async fn find_redis(&mut self, asleep: bool) {
        self.redis_away = None;
        let Some(redis) = self.redis.as_mut() else { return };
        match asleep {
            true => redis.signal("CONT"),
            false => redis.come_back().await,
        }
    }

    /// Lets the bot die where that was arranged.
    async fn watch(&mut self) {
        if let Some((hung, down)) = self.armed
            && (self.hung() > hung || self.bots.first().is_some_and(Mortal::is_dead))
        {
            self.kill(down).await;
        }
        if self.bots.iter().any(Mortal::is_broken) {
            self.wrong.push("the bot broke by itself".to_owned());
        }
    }

    // --- waiting

    /// Waits for something, not longer than that; meanwhile the bot may die.
    pub(super) async fn wait(&mut self, most: Duration, done: impl Fn(&Self) -> bool) {
        let until = tokio::time::Instant::now() + most;
        while tokio::time::Instant::now() < until {
            while self.people.try_join_next().is_some() {}
            self.watch().await;
            if done(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    }

    async fn settle(&mut self) {
        if !self.settle_within(2, REST).await && self.wrong.is_empty() {
            let left = match self.bots.first() {
                Some(bot) => bot.left().await,
                None => "no bot".to_owned(),
            };
            self.wrong.push(format!("the outbox is not empty, or nobody looks: {left}"));
        }
    }

    /// Whether nothing is left to do, and whoever leads has seen GitHub since.
    async fn is_settled(&self, since: Timestamp) -> bool {
        for bot in &self.bots {
            if bot.is_settled(since).await {
                return true;
            }
        }
        false
    }

    /// Waits for looks of the bot after which nothing is left to do: at least so many, and until one brings no news, since what follows from
    /// a look changes what the next one sees.
    async fn settle_within(&mut self, looks: usize, most: Duration) -> bool {
        let until = tokio::time::Instant::now() + most;
        let mut left = looks;
        loop {
            let since = self.sandbox.clock.now();
            let known: Vec<_> = self.bots.iter().map(Mortal::knows).collect();
            self.bots.iter().for_each(Mortal::look);
            loop {
                self.watch().await;
                if self.bots.is_empty() || tokio::time::Instant::now() > until {
                    return false;
                }
                if self.is_settled(since).await {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
            left = left.saturating_sub(1);
            if left == 0 && self.bots.iter().map(Mortal::knows).eq(known) {
                return true;
            }
        }
    }

    /// Nothing is wrong any more; everybody comes to rest.
    async fn come_to_rest(&mut self) {
        self.act(Act::ClearFaults);
        self.sandbox.workspace.clear_faults();
        self.bots.iter().for_each(Mortal::spare);
        self.watch().await;
        if let Some((asleep, _)) = self.redis_away {
            self.find_redis(asleep).await;
        }
        if self.plan.replicas > 1 {
            self.stop().await;
        }
        // A limit of GitHub's has to run out.
        self.pretend_time_passed(61);
        self.start().await;
        let everybody = async { while self.people.join_next().await.is_some() {} };
        if tokio::time::timeout(Duration::from_secs(20), everybody).await.is_err() {
            self.wrong.push("somebody waits for Slack for ever".to_owned());
        }
        self.settle().await;
    }

    /// What the pretend world has to complain about. On a machine that itself stood still nobody is to blame for being late.
    pub fn complaints(&self) -> Vec<String> {
        let stalled = self.stalled.load(Ordering::Relaxed) > STALL;
        let complaints = [self.sandbox.world.complaints(), self.sandbox.workspace.complaints()].concat();
        complaints.into_iter().filter(|one| !(stalled && one.ends_with("was not acknowledged within 3 s"))).collect()
    }

    /// What people did and what they read, for whoever looks why a story failed.
    pub fn chronicle(&self) -> String {
        let mut lines = vec!["--- what people did".to_owned()];
        for ask in self.asks.lock().expect("no panic").iter() {
            let did = match &ask.did {
                Did::Typed(text) => format!("typed {text:?}"),
                Did::Clicked(seen) => {
                    format!("clicked {:?} at {:?}", seen.label, seen.text.lines().next().unwrap_or_default())
                }
                Did::Sent(text, chosen) => format!("sent {text:?} {chosen:?}"),
            };
            lines.push(format!("{:>6} {} {did}: {:?}", ask.at, ask.who, ask.result));
        }
        lines.push("--- what happened".to_owned());
        lines.extend(self.happened.iter().map(|(at, what)| format!("{at:>6} {what:?}")));
        lines.push("--- what everybody reads".to_owned());
        for message in self.sandbox.workspace.messages(DEPLOYS) {
            lines.push(message.reads());
            lines.extend(message.replies.iter().map(|reply| format!("    {}", reply.reads().replace('\n', "\n    "))));
        }
        for (who, _) in DEVELOPERS {
            lines.push(format!("--- what {who} reads"));
            lines.extend(self.sandbox.workspace.ephemerals(who).iter().map(|m| m.reads()));
        }
        lines.push(format!("--- what the bot logged\n{}", self.diary.read()));
        lines.join("\n")
    }

    /// Ends the story.
    pub async fn close(mut self) -> Vec<String> {
        self.stop().await;
        self.sandbox.close().await;
        self.wrong
    }

    /// Ends all bots in peace.
    async fn stop(&mut self) {
        while let Some(bot) = self.oldest() {
            if let Err(why) = bot.stop().await {
                self.wrong.push(why);
            }
        }
    }
}

/// The connections of a bot die with it: nobody is to blame for what was on its way.
fn cut_off(workspace: &Workspace) {
    workspace.fault(Fault::RefuseConnections { on: true });
    workspace.fault(Fault::DropTcp);
}
