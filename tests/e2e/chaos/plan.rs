//! The plan of a story: one number makes it, whole. Who does what in which order, and what goes wrong where; faults are placed by
//! counts (the n-th call of a kind) and never by time, so that the same number tells the same story again.

use std::fmt;

use fastrand::Rng;
use lockkeeper::sandbox::slack::{Disconnect, Fault};
use lockkeeper::sandbox::world::{FaultKind, Outcome};

/// An app of a story, and its pipeline as everybody can read it in its workflow file.
#[derive(Debug, PartialEq)]
pub struct Site {
    pub app: &'static str,
    pub repo: &'static str,
    pub tests: &'static [&'static str],
    pub production: &'static [&'static str],
    /// Inputs of its Redeploy workflow.
    pub inputs: &'static [&'static str],
}

pub const SITES: [Site; 3] = [
    Site {
        app: "h",
        repo: "hypothesis/h",
        tests: &["Staging", "Staging (WebSocket)"],
        production: &["Production", "Production (WebSocket)", "Production (Canada)"],
        inputs: &["staging", "production_canada"],
    },
    Site {
        app: "lms",
        repo: "hypothesis/lms",
        tests: &["Staging"],
        production: &["Production", "Production (Canada)"],
        inputs: &["staging", "production"],
    },
    Site {
        app: "report",
        repo: "hypothesis/report",
        tests: &["QA"],
        production: &["Production"],
        inputs: &["production"],
    },
];

/// Who may approve, by Slack user and GitHub login.
pub const APPROVERS: [(&str, &str); 3] = [("UANA", "ana-gh"), ("UBEN", "ben-gh"), ("UDORA", "dora-gh")];
/// Who merges; Chi may not approve.
pub const DEVELOPERS: [(&str, &str); 4] =
    [("UANA", "ana-gh"), ("UBEN", "ben-gh"), ("UDORA", "dora-gh"), ("UCHI", "chi-gh")];
/// Who tries without being allowed to.
const OTHERS: [&str; 4] = ["UCHI", "UMALLORY", "UGUEST", "USTRANGER"];

/// A story before it is told.
#[derive(Debug)]
pub struct Plan {
    pub seed: u64,
    pub sites: Vec<&'static Site>,
    /// On a Redis that may go away, else on the embedded store.
    pub redis: bool,
    /// Bots that share it.
    pub replicas: usize,
    pub four_eyes: bool,
    pub require_tested: &'static str,
    /// Whether the next one follows at once, before the bot can look.
    pub steps: Vec<(Step, bool)>,
}

/// One step. Apps are named by their place in the plan.
#[derive(Clone, Debug)]
pub enum Step {
    Merge {
        app: usize,
        by: usize,
    },
    /// So many jobs of the newest run succeed, as far as they are not held back.
    Finish {
        app: usize,
        jobs: usize,
    },
    /// Somebody merges a revert that the bot has opened.
    MergeRevert {
        app: usize,
        by: usize,
    },
    /// A running job of the newest run ends badly; `late` after its servers were touched.
    Break {
        app: usize,
        outcome: Outcome,
        late: bool,
    },
    /// On GitHub's own page.
    Page {
        app: usize,
        by: usize,
        what: Page,
    },
    /// In Slack, by all of these people at once.
    Slack {
        who: Vec<&'static str>,
        app: usize,
        wish: Wish,
    },
    /// An account is deactivated, or is a member again.
    Account {
        who: &'static str,
        gone: bool,
    },
    SlackFault(Fault),
    Disconnect(Disconnect),
    GitHubFault {
        kind: FaultKind,
        times: u32,
        only: Option<&'static str>,
    },
    GitHubFaultAt {
        kind: FaultKind,
        nth: u32,
        only: &'static str,
    },
    /// The bot (of two the one that is up longer) dies at once, or in the middle of a call; it is started again so many steps later.
    Kill {
        at: Moment,
        down: usize,
    },
    /// It is stopped in peace and started again.
    Restart,
    /// Redis dies (or only sleeps), and is back so many steps later.
    RedisGone {
        asleep: bool,
        steps: usize,
    },
    /// Time for the bot to look.
    Look,
}

#[derive(Clone, Copy, Debug)]
pub enum Page {
    Approve { all: bool },
    Reject,
    Cancel,
    Rerun { failed_only: bool },
    Redeploy,
    Deploy,
}

/// What a person wishes in Slack.
#[derive(Clone, Debug)]
pub enum Wish {
    /// Types this; `{app}` and `{n}`, a number that occurs once, are filled in.
    Type(&'static str),
    /// Clicks that button on the newest notice that has it.
    Notice(&'static str),
    /// Clicks what confirms, in the newest question that only they see.
    Confirm,
    /// Clicks a button that they saw before.
    Old(usize),
    /// Types `approve`, waits for the question and confirms it.
    Through,
    /// Clicks that button on the newest notice twice.
    Double(&'static str),
    /// Puts the app on hold by the form on its notice.
    Hold,
    /// Redeploys a production environment: by the form, or named and confirmed; others are ticked too.
    Redeploy { form: bool, tests: bool },
    /// Asks for a revert of the newest change that was merged, and confirms it.
    Revert,
}

/// When the bot dies.
#[derive(Clone, Debug)]
pub enum Moment {
    Now,
    /// At the n-th call of this method from now on: before or after Slack did it.
    Slack {
        method: &'static str,
        nth: u32,
        done: bool,
    },
    /// A moment after the n-th time from now on that the store has written something.
    Written {
        nth: u32,
        micros: u64,
    },
    /// As soon as Slack was told for the n-th time from now on that something was taken.
    Acked {
        nth: u32,
    },
    /// At the n-th request from now on whose line contains this: before or after GitHub did it.
    GitHub {
        only: &'static str,
        nth: u32,
        done: bool,
    },
}

const METHODS: [&str; 7] = [
    "chat.postMessage",
    "chat.update",
    "response_url",
    "chat.postMessage",
    "users.info",
    "usergroups.users.list",
    "conversations.history",
];
const ROUTES: [&str; 6] = ["POST /", "POST /repos", "/pending_deployments", "GET /", "/jobs", "/runs?"];
const TYPED: [&str; 18] = [
    "approve {app}",
    "approve {app}",
    "approve {app}",
    "approve {app} production",
    "reject {app} why-{n}",
    "hold {app} why-{n}",
    "release {app}",
    "release {app}",
    "tested {app}",
    "tested {app}",
    "ping {app}",
    "status {app}",
    "pending {app}",
    "history {app}",
    "start {app}",
    "retry {app}",
    "cancel {app}",
    "",
];

impl Plan {
    /// The story of a number.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let count = if rng.u8(..4) == 0 { 3 } else { 2 };
        let mut sites: Vec<&Site> = SITES.iter().collect();
        rng.shuffle(&mut sites);
        sites.truncate(count);
        let redis = rng.u8(..8) == 0;
        let four_eyes = rng.u8(..6) == 0;
        let require_tested = ["warn", "warn", "off", "all"][rng.usize(..4)];
        let mut steps: Vec<(Step, bool)> = Vec::new();
        let mut starts = 0;
        let length = rng.usize(14..26);
        while steps.len() < length {
            // Most of a story is about its first app, so that things meet.
            let app = if rng.u8(..3) > 0 { 0 } else { rng.usize(..count) };
            for step in scene(&mut rng, app) {
                if rng.u8(..3) == 0 {
                    let step = disturbance(&mut rng, count, redis);
                    push(&mut rng, &mut steps, step);
                }
                // The page shows the newest eight runs of an app.
                let begins = matches!(
                    step,
                    Step::Merge { .. }
                        | Step::MergeRevert { .. }
                        | Step::Slack { wish: Wish::Redeploy { .. }, .. }
                        | Step::Page { what: Page::Redeploy | Page::Deploy, .. }
                );
                starts += usize::from(begins);
                if !begins || starts <= 6 {
                    push(&mut rng, &mut steps, step);
                }
            }
        }
        let replicas = if redis && rng.bool() { 2 } else { 1 };
        Self { seed, sites, redis, replicas, four_eyes, require_tested, steps }
    }

    /// The settings of its bot.
    pub fn settings(&self) -> String {
        let apps = self.sites.iter().map(|site| format!("{} = {{ repo = {:?}, aws = false }}\n", site.app, site.repo));
        format!(
            "channel = \"#deploys\"\ndigest = \"off\"\nremind_after = \"off\"\nverify_after = \"off\"\n\
             four_eyes = {}\nrequire_tested = {:?}\n[approvers]\nslack_usergroups = [\"S0DEVS\"]\n[people]\n{}[apps]\n{}",
            self.four_eyes,
            self.require_tested,
            DEVELOPERS.iter().map(|(slack, login)| format!("{login} = {slack:?}\n")).collect::<String>(),
            apps.collect::<String>(),
        )
    }
}

/// Adds a step; what goes wrong meets what comes next.
fn push(rng: &mut Rng, steps: &mut Vec<(Step, bool)>, step: Step) {
    let fault = matches!(
        step,
        Step::SlackFault(_) | Step::Disconnect(_) | Step::GitHubFault { .. } | Step::GitHubFaultAt { .. }
    );
    steps.push((step, fault || rng.u8(..5) == 0));
}

/// A few steps that belong together; the bot may see them end or not.
fn scene(rng: &mut Rng, app: usize) -> Vec<Step> {
    let slack = |who: Vec<&'static str>, wish: Wish| Step::Slack { who, app, wish };
    let (merge, by) = (Step::Merge { app, by: rng.usize(..DEVELOPERS.len()) }, rng.usize(..APPROVERS.len()));
    let (some, every) = (Step::Finish { app, jobs: rng.usize(1..4) }, Step::Finish { app, jobs: 9 });
    let outcome = [Outcome::Failure, Outcome::Failure, Outcome::TimedOut][rng.usize(..3)];
    let broken = Step::Break { app, outcome, late: rng.bool() };
    let (who, others) = (people(rng), people(rng));
    let redeploy = Wish::Redeploy { form: rng.bool(), tests: rng.bool() };
    match rng.u8(..16) {
        // A change goes to production, or nearly.
        0..4 => {
            let approve = slack(who, approving(rng));
            let end = [every.clone(), every.clone(), broken, merge.clone()][rng.usize(..4)].clone();
            // The worst moment to die.
            let told = Moment::Acked { nth: rng.u32(1..3) };
            let at = [Moment::GitHub { only: "POST /repos", nth: 1, done: rng.bool() }, told][rng.usize(..2)].clone();
            let death = (rng.u8(..2) == 0).then(|| Step::Kill { at, down: rng.usize(..2) });
            [merge, every].into_iter().chain(death).chain([approve, end]).collect()
        }
        // A newer one comes between the question and the answer.
        4..6 => {
            let newer = [merge.clone(), Step::Page { app, by, what: page(rng) }][rng.usize(..2)].clone();
            let typed = slack(vec![who[0]], Wish::Type("approve {app}"));
            let late = slack(vec![who[0]], [Wish::Confirm, Wish::Old(rng.usize(..50))][rng.usize(..2)].clone());
            vec![merge, every.clone(), typed, newer, late, every, slack(others, approving(rng))]
        }
        6 => vec![
            merge,
            every.clone(),
            slack(who, Wish::Type("hold {app} why-{n}")),
            slack(others.clone(), [Wish::Through, Wish::Old(rng.usize(..50))][rng.usize(..2)].clone()),
            slack(others.clone(), Wish::Type("release {app}")),
            slack(others, approving(rng)),
            every,
        ],
        // It fails and is mended.
        7..9 => vec![
            merge,
            some,
            broken,
            slack(who, Wish::Notice("Retry failed jobs")),
            slack(others.clone(), Wish::Confirm),
            every.clone(),
            slack(others, approving(rng)),
            every,
        ],
        9 => vec![slack(who.clone(), Wish::Type(TYPED[rng.usize(..TYPED.len())])), slack(who, Wish::Confirm), some],
        10 => {
            let one = APPROVERS[by].0;
            let gone = |gone| Step::Account { who: one, gone };
            let tries = slack(vec![one], approving(rng));
            vec![merge, every.clone(), gone(true), tries, gone(false), every]
        }
        // It takes the place of a Deploy, or ends it where it waits.
        11 => {
            let meanwhile = lost(rng, "/dispatches");
            let end = [every.clone(), slack(others, approving(rng)), every.clone()];
            [merge, every].into_iter().chain(meanwhile).chain([slack(who, redeploy)]).chain(end).collect()
        }
        // Something is in the way by the time it is to begin.
        12 => vec![slack(vec![who[0]], redeploy), merge, slack(others, Wish::Confirm), every],
        13 => {
            let approve = slack(who, approving(rng));
            let both = vec![APPROVERS[by].0, APPROVERS[(by + 1) % APPROVERS.len()].0];
            let back = slack([others, both][rng.usize(..2)].clone(), Wish::Revert);
            let meanwhile = lost(rng, "/graphql mutation");
            let end = [back, Step::MergeRevert { app, by }, every.clone()];
            [merge, every.clone(), approve, every].into_iter().chain(meanwhile).chain(end).collect()
        }
        14 => vec![merge, every.clone(), slack(who, Wish::Hold), slack(others, approving(rng)), every],
        _ => vec![Step::Page { app, by, what: page(rng) }, some, slack(who, wish(rng))],
    }
}

/// Perhaps the answer to a request is lost, or the bot dies at it.
fn lost(rng: &mut Rng, only: &'static str) -> Option<Step> {
    match rng.u8(..4) {
        0 => Some(Step::GitHubFaultAt { kind: FaultKind::Error502After, nth: 1, only }),
        1 => Some(Step::Kill { at: Moment::GitHub { only, nth: 1, done: rng.u8(..4) > 0 }, down: rng.usize(..2) }),
        _ => None,
    }
}

/// The ways to approve, and to say no.
fn approving(rng: &mut Rng) -> Wish {
    match rng.u8(..10) {
        0..4 => Wish::Notice("Approve production…"),
        4..7 => Wish::Through,
        7 => Wish::Double("Approve production…"),
        8 => Wish::Old(rng.usize(..50)),
        _ => Wish::Type("reject {app} why-{n}"),
    }
}

/// What comes between.
fn disturbance(rng: &mut Rng, apps: usize, redis: bool) -> Step {
    let app = rng.usize(..apps);
    match rng.u8(..20) {
        0..4 => slack_fault(rng),
        4..8 => github_fault(rng),
        8..13 => Step::Kill { at: moment(rng), down: rng.usize(..3) },
        13 => Step::Restart,
        14 if redis => Step::RedisGone { asleep: rng.bool(), steps: rng.usize(1..4) },
        14..16 => Step::Page { app, by: rng.usize(..APPROVERS.len()), what: page(rng) },
        16..18 => Step::Slack { who: people(rng), app, wish: wish(rng) },
        18 => Step::Finish { app, jobs: 1 },
        _ => Step::Look,
    }
}

fn page(rng: &mut Rng) -> Page {
    match rng.u8(..10) {
        0..3 => Page::Approve { all: rng.bool() },
        3 => Page::Reject,
        4..6 => Page::Cancel,
        6..8 => Page::Rerun { failed_only: rng.bool() },
        8 => Page::Redeploy,
        _ => Page::Deploy,
    }
}

fn people(rng: &mut Rng) -> Vec<&'static str> {
    let one = |rng: &mut Rng| APPROVERS[rng.usize(..APPROVERS.len())].0;
    match rng.u8(..10) {
        0..2 => vec![OTHERS[rng.usize(..OTHERS.len())]],
        2..4 => vec![one(rng), one(rng)],
        4 => vec![one(rng), OTHERS[rng.usize(..OTHERS.len())]],
        _ => vec![one(rng)],
    }
}

fn wish(rng: &mut Rng) -> Wish {
    match rng.u8(..23) {
        20 => Wish::Hold,
        21 => Wish::Redeploy { form: rng.bool(), tests: rng.bool() },
        22 => Wish::Revert,
        0..5 => Wish::Type(TYPED[rng.usize(..TYPED.len())]),
        5..9 => Wish::Notice("Approve production…"),
        9..12 => Wish::Through,
        12 => Wish::Notice(["Retry failed jobs", "What changes?", "Release"][rng.usize(..3)]),
        13..15 => Wish::Confirm,
        15..17 => Wish::Old(rng.usize(..50)),
        17 => Wish::Double("I tested mine"),
        _ => Wish::Double("Approve production…"),
    }
}

fn slack_fault(rng: &mut Rng) -> Step {
    let method = METHODS[rng.usize(..METHODS.len())].to_owned();
    let times = rng.u32(1..4);
    let one = |fault: Fault, rng: &mut Rng| Fault::Nth { nth: rng.u32(1..6), fault: Box::new(fault) };
    let fault = match rng.u8(..12) {
        0 => Fault::Http429 { method, times: 1, retry_after: 1 },
        1 => Fault::Http500 { method, times },
        2 => Fault::Http500After { method, times },
        3..5 => one(Fault::Http500After { method, times: 1 }, rng),
        5 => one(Fault::Http500 { method, times: 1 }, rng),
        6 => one(Fault::Http429 { method, times: 1, retry_after: 1 }, rng),
        7 => return Step::Disconnect([Disconnect::Warning, Disconnect::RefreshRequested][rng.usize(..2)]),
        8..10 => Fault::DropTcp,
        _ => Fault::DeliverTwice { on: rng.u8(..4) > 0 },
    };
    Step::SlackFault(fault)
}

fn github_fault(rng: &mut Rng) -> Step {
    use FaultKind::{Error500, Error502After, RateLimited, Secondary, Slow, Stale};
    let only = ROUTES[rng.usize(..ROUTES.len())];
    let nth = rng.u32(1..8);
    match rng.u8(..12) {
        0 => Step::GitHubFault { kind: Error500, times: rng.u32(1..8), only: None },
        1 => Step::GitHubFault { kind: Error500, times: rng.u32(1..4), only: Some("GET /") },
        2 => Step::GitHubFault { kind: Slow, times: rng.u32(1..20), only: None },
        3..5 => Step::GitHubFault { kind: Stale, times: rng.u32(1..30), only: None },
        5 => Step::GitHubFault { kind: [RateLimited, Secondary][rng.usize(..2)], times: 1, only: None },
        6..9 => Step::GitHubFault { kind: Error502After, times: 1, only: Some("POST /") },
        9 => Step::GitHubFaultAt { kind: RateLimited, nth, only },
        10 => Step::GitHubFaultAt { kind: Error500, nth, only: "GET /" },
        _ => Step::GitHubFaultAt { kind: Error502After, nth, only },
    }
}

fn moment(rng: &mut Rng) -> Moment {
    let done = rng.bool();
    match rng.u8(..16) {
        9..15 => Moment::Written { nth: rng.u32(1..12), micros: [0, 0, 300, 1_000, 3_000][rng.usize(..5)] },
        0..3 => Moment::Now,
        3..7 => Moment::Slack { method: METHODS[rng.usize(..4)], nth: rng.u32(1..5), done },
        7..9 => Moment::GitHub { only: ROUTES[rng.usize(..3)], nth: 1, done },
        _ => Moment::GitHub { only: ROUTES[rng.usize(3..6)], nth: rng.u32(1..20), done },
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let apps: Vec<&str> = self.sites.iter().map(|site| site.app).collect();
        let store = match (self.redis, self.replicas) {
            (false, _) => "the embedded store",
            (true, 1) => "Redis",
            (true, _) => "Redis, two bots",
        };
        writeln!(
            f,
            "seed {}: {} on {store}, four_eyes {}, require_tested {}",
            self.seed,
            apps.join(", "),
            self.four_eyes,
            self.require_tested
        )?;
        self.steps.iter().enumerate().try_for_each(|(nth, (step, rush))| {
            let next = if *rush { ", and at once" } else { "" };
            writeln!(f, "{nth:>3} {step:?}{next}")
        })
    }
}
