//! The laws, judged at the end of each story from what the pretend world saw: requests, messages, mentions, and what people did. The bot's
//! own memory is asked for one thing only, the audit log, because that is what has to be right.

use std::collections::{BTreeMap, BTreeSet};

use lockkeeper::deploy::name::AppName;
use lockkeeper::sandbox::slack::{Answer, Message};
use lockkeeper::sandbox::world::SeenRequest;
use serde_json::Value;

use super::plan::{APPROVERS, DEVELOPERS, Plan, Site};
use super::stage::{Ask, Did, Happened, Seen, Stage};
use crate::town::DEPLOYS;

/// The bot's account at GitHub.
const MACHINE: &str = "lockkeeper-bot";

/// What can be known of a story without asking the bot.
pub struct Evidence<'a> {
    pub plan: &'a Plan,
    pub asks: Vec<Ask>,
    pub happened: &'a [(usize, Happened)],
    /// As the sandbox's page shows them at the end, one for each app.
    pub repos: Vec<Value>,
    pub messages: Vec<Message>,
    /// What the bot did at gates, in order.
    pub reviews: Vec<Reviewed>,
    pub reruns: Vec<(usize, u64)>,
    pub cancels: Vec<(usize, u64)>,
    /// The paths of the dispatches that GitHub took from the bot.
    pub dispatches: Vec<String>,
    pub rang: Vec<(String, String)>,
    /// The audit log of each app, oldest first.
    pub audit: Vec<Vec<Value>>,
    /// Who was told that nothing can be written down, or heard so from a form, or would have been if the bot had not died.
    pub unwritten: Vec<Unwritten>,
    before: &'a BTreeSet<u64>,
    wrong: Vec<String>,
}

/// What somebody asked for and the bot did not confirm.
pub struct Unwritten {
    who: String,
    /// The text of a command, or a button's `action_id`.
    asked: String,
    /// All that stood there.
    told: String,
    /// Whether the bot promised that nothing was done.
    nothing: bool,
}

/// A POST of the bot's that approves or rejects.
#[derive(Debug)]
pub struct Reviewed {
    pub at: usize,
    pub site: &'static Site,
    pub run: u64,
    pub attempt: u64,
    pub approved: bool,
    pub environments: Vec<String>,
    pub comment: String,
    /// Whom the comment names.
    pub by: String,
    pub done: bool,
}

impl Reviewed {
    /// Whether it lets a redeploy pass for whoever asked for that.
    fn passes(&self) -> bool {
        self.comment.contains(" for redeploy ")
    }
}

impl<'a> Evidence<'a> {
    /// Gathers all that there is.
    pub async fn of(stage: &'a Stage<'a>) -> Self {
        let workspace = &stage.sandbox.workspace;
        let requests = stage.sandbox.world.requests();
        let posted = |end: &str| -> Vec<(usize, u64)> {
            let hits =
                requests.iter().enumerate().filter(|(_, r)| r.method == "POST" && r.path.ends_with(end) && r.done);
            hits.filter_map(|(at, r)| Some((at, run_of(&r.path)?))).collect()
        };
        let mut audit = Vec::new();
        for site in &stage.plan.sites {
            let store = &stage.bots.first().expect("a bot").shell().store;
            let lines = store.audit(&AppName::new(site.app), 10_000).await.expect("an audit log");
            audit.push(lines.iter().rev().map(|line| serde_json::from_str(line).expect("JSON")).collect());
        }
        let mut reruns = [posted("/rerun"), posted("/rerun-failed-jobs")].concat();
        reruns.extend(stage.happened.iter().filter_map(|(at, what)| match what {
            Happened::Reran { run } => Some((*at, *run)),
            _ => None,
        }));
        let repos: Vec<Value> = stage.plan.sites.iter().map(|site| stage.repo(site.repo)).collect();
        let reviews = reviews(stage.plan, &repos, &requests, &reruns);
        let told = workspace.answers().into_iter().filter(|told| told.reads().contains("cannot write anything down"));
        // One that came, and was sent again since nobody said so, is one.
        let told: BTreeMap<String, Answer> = told.map(|told| (told.path.clone(), told)).collect();
        let untold = stage.excused.iter().filter(|one| !told.contains_key(&one.path)).map(|one| Unwritten {
            who: one.user.clone(),
            asked: one.asked.clone(),
            // Of whichever app.
            told: stage.plan.sites.iter().map(|site| site.repo).collect::<Vec<_>>().join(" "),
            nothing: false,
        });
        let mut unwritten: Vec<Unwritten> = untold.collect();
        unwritten.extend(told.into_values().map(|told| Unwritten {
            nothing: told.reads().contains("right now, so nothing was done"),
            who: told.user,
            asked: told.asked,
            told: Value::from(told.blocks).to_string(),
        }));
        Self {
            plan: stage.plan,
            asks: stage.asks.lock().expect("no panic").clone(),
            happened: &stage.happened,
            repos,
            messages: workspace.messages(DEPLOYS),
            reviews,
            reruns,
            cancels: posted("/cancel"),
            dispatches: {
                let sent = requests.iter().filter(|r| r.method == "POST" && r.path.ends_with("/dispatches") && r.done);
                sent.map(|r| r.path.clone()).collect()
            },
            rang: workspace.mentions().into_iter().map(|(who, _, ts)| (who, ts)).collect(),
            audit,
            unwritten,
            before: &stage.before,
            wrong: Vec::new(),
        }
    }

    /// What is wrong, by all laws.
    pub fn judge(mut self) -> Vec<String> {
        self.somebody_who_may();
        self.never_two_for_one_gate();
        self.seen_by_the_approver();
        self.one_true_notice();
        self.each_mention_once();
        self.every_decision_in_the_audit();
        self.each_order_once();
        self.one_revert_for_a_change();
        self.wrong
    }

    fn blame(&mut self, law: &str, what: impl std::fmt::Display) {
        self.wrong.push(format!("{law}: {what}"));
    }

    /// No approval without a person who may, and who clicked it.
    fn somebody_who_may(&mut self) {
        let mut wrong = Vec::new();
        for review in self.reviews.iter().filter(|review| review.done) {
            let approver = APPROVERS.iter().find(|(slack, _)| *slack == review.by);
            if approver.is_none() {
                wrong.push(format!("{} may not: {review:?}", review.by));
            }
            let asked = self.asks.iter().filter(|ask| ask.who == review.by && ask.at <= review.at);
            let by_them = |ask: &&Ask| match &ask.did {
                _ if review.passes() => redeploys(ask, review),
                Did::Sent(..) => false,
                Did::Clicked(seen) => review.approved && seen.label.starts_with("Approve"),
                Did::Typed(text) => !review.approved && text.starts_with(&format!("reject {} ", review.site.app)),
            };
            let asked: Vec<&Ask> = asked.filter(by_them).collect();
            if asked.is_empty() {
                wrong.push(format!("{} never asked for it: {review:?}", review.by));
            }
            let gone = |from: usize| self.was_gone(&review.by, from, review.at);
            if !asked.is_empty() && asked.iter().all(|ask| gone(ask.at)) {
                wrong.push(format!("{} was deactivated: {review:?}", review.by));
            }
            let held = |ask: &&Ask| ask.held.contains(review.site.app) && !self.released(review, ask.at);
            if review.approved && !asked.is_empty() && asked.iter().all(held) {
                wrong.push(format!("{} was on hold: {review:?}", review.site.app));
            }
            let newest = self.ships(review, None).pop();
            let own = newest.is_some_and(|(_, by)| Some(DEVELOPERS[by].0) == approver.map(|(slack, _)| *slack));
            // A redeploy keeps the version that was approved before.
            if self.plan.four_eyes && review.approved && own && !review.passes() {
                wrong.push(format!("{} approves their own change: {review:?}", review.by));
            }
        }
        wrong.into_iter().for_each(|what| self.blame("somebody who may", what));
    }

    /// Whether an account was deactivated all the time between two moments.
    fn was_gone(&self, who: &str, from: usize, to: usize) -> bool {
        let mut gone = false;
        let mut always = true;
        for (at, what) in self.happened {
            if *at > to {
                break;
            }
            if *at > from {
                always &= gone;
            }
            if let Happened::Account { who: changed, gone: now } = what
                && *changed == who
            {
                gone = *now;
            }
        }
        always && gone
    }

    fn released(&self, review: &Reviewed, from: usize) -> bool {
        let text = format!("release {}", review.site.app);
        self.asks.iter().any(|ask| {
            let asks = match &ask.did {
                Did::Typed(typed) => *typed == text,
                Did::Clicked(seen) => seen.label == "Release",
                Did::Sent(..) => false,
            };
            asks && (from..=review.at).contains(&ask.at)
        })
    }

    /// No gate of an attempt is answered by the bot once it was.
    fn never_two_for_one_gate(&mut self) {
        let mut done: BTreeSet<(u64, u64, &String)> = BTreeSet::new();
        let mut wrong = Vec::new();
        for review in &self.reviews {
            for environment in &review.environments {
                if done.contains(&(review.run, review.attempt, environment)) {
                    wrong.push(format!("{environment} again: {review:?}"));
                }
            }
            if review.done {
                done.extend(review.environments.iter().map(|name| (review.run, review.attempt, name)));
            }
        }
        wrong.into_iter().for_each(|what| self.blame("never two for one gate", what));
    }

    /// What is approved stood before the approver's eyes: the run or its commit, the environments, every change.
    fn seen_by_the_approver(&mut self) {
        let mut wrong = Vec::new();
        // Who asked for a redeploy chose its environments.
        let chosen = |review: &&Reviewed| review.done && review.approved && !review.passes();
        for review in self.reviews.iter().filter(chosen) {
            let Some(run) = self.run(review) else { continue };
            let mut missing = Vec::new();
            let clicks = self.asks.iter().filter(|ask| ask.who == review.by && ask.at <= review.at);
            let seen = clicks.filter_map(|ask| match &ask.did {
                Did::Clicked(seen) if seen.label.starts_with("Approve") => Some((ask, seen)),
                _ => None,
            });
            let showed = seen.into_iter().any(|(ask, seen)| {
                let lacks = self.not_shown(review, &run, ask, seen);
                let good = lacks.is_empty();
                missing.push(lacks);
                good
            });
            if !showed {
                wrong.push(format!("{review:?} lacks {missing:?}"));
            }
            if !review.comment.contains(run["sha"].as_str().unwrap_or("?")) {
                wrong.push(format!("the comment names another commit: {review:?}"));
            }
        }
        wrong.into_iter().for_each(|what| self.blame("seen by the approver", what));
    }

    /// What a click did not show of what was approved.
    fn not_shown(&self, review: &Reviewed, run: &Value, ask: &Ask, seen: &Seen) -> Vec<String> {
        let mut lacks = Vec::new();
        let (number, sha) = (run["number"].to_string(), run["sha"].as_str().unwrap_or("?"));
        let head = format!("{} · run {number} · ", review.site.app);
        let short = format!("{} {} ", review.site.app, &sha[..7]);
        if !(seen.text.starts_with(&head) || seen.text.starts_with(&short)) {
            lacks.push(format!("run {number}"));
        }
        let attempt = format!(" · attempt {}", review.attempt);
        if review.attempt > 1 && seen.text.starts_with(&head) && !seen.text.contains(&attempt) {
            lacks.push(attempt);
        }
        let all = format!("{}\n{}", seen.text, seen.confirm);
        lacks.extend(review.environments.iter().filter(|name| !all.contains(name.as_str())).cloned());
        let titles = self.ships(review, Some(ask)).into_iter().map(|(title, _)| title);
        lacks.extend(titles.filter(|title| !all.contains(title)));
        lacks
    }

    fn site(&self, site: &Site) -> usize {
        self.plan.sites.iter().position(|known| known.repo == site.repo).expect("a site of the plan")
    }

    /// The run of a review, as it is at the end.
    fn run(&self, review: &Reviewed) -> Option<Value> {
        runs(&self.repos[self.site(review.site)]).find(|run| run["id"] == review.run).cloned()
    }

    /// The changes that a review lets go, with who merged each: those between what its environments ran when it was asked for and the run's
    /// commit; between nothing and it without an ask.
    fn ships(&self, review: &Reviewed, ask: Option<&Ask>) -> Vec<(String, usize)> {
        let index = self.site(review.site);
        let merged = self.happened.iter().filter_map(|(_, what)| match what {
            Happened::Merged { site, sha, title, by } if *site == index => Some((sha, title, *by)),
            _ => None,
        });
        let merged: Vec<_> = merged.collect();
        let place = |sha: &str| merged.iter().position(|(known, ..)| known.starts_with(sha)).map_or(0, |at| at + 1);
        let Some(run) = self.run(review) else { return Vec::new() };
        let to = place(run["sha"].as_str().unwrap_or("?"));
        let version = |name: &String| {
            let tag = ask?.versions.get(&(review.site.repo.to_owned(), name.clone()))?;
            Some(place(tag.rsplit("-g").next()?))
        };
        let from = review.environments.iter().filter_map(version).min().unwrap_or(0).min(to);
        merged[from..to].iter().map(|(_, title, by)| ((*title).clone(), *by)).collect()
    }

    /// Exactly one notice for each run, and what it says is true.
    fn one_true_notice(&mut self) {
        let mut wrong = Vec::new();
        for (site, repo) in self.plan.sites.iter().zip(&self.repos) {
            for run in runs(repo).filter(|run| self.is_news(run)) {
                let notices: Vec<&Message> = self.messages.iter().filter(|m| is_notice(m, site, run)).collect();
                match notices.as_slice() {
                    [notice] => {
                        let text = notice.reads();
                        let lies = self.lies(site, repo, run, &text);
                        wrong.extend(lies.into_iter().map(|lie| format!("{lie}\n{text}\nbut it is {run}")));
                        if self.rang.iter().any(|(_, ts)| *ts == notice.ts) {
                            wrong.push(format!("a notice rang: {text}"));
                        }
                    }
                    several => wrong.push(format!("{} has {} notices: {run}", name(site, run), several.len())),
                }
            }
        }
        wrong.into_iter().for_each(|what| self.blame("one true notice", what));
    }

    fn is_news(&self, run: &Value) -> bool {
        !run["id"].as_u64().is_some_and(|id| self.before.contains(&id)) || run["attempt"].as_u64() > Some(1)
    }

    fn lies(&self, site: &Site, repo: &Value, run: &Value, text: &str) -> Vec<String> {
        let mut lies = Vec::new();
        let mut must = |good: bool, words: &str| {
            if !good {
                lies.push(format!("the notice does not say “{words}”"));
            }
        };
        let id = run["id"].as_u64().unwrap_or_default();
        let by_person = self.cancelled_by_person(id);
        let jobs: Vec<&Value> = run["jobs"].as_array().into_iter().flatten().collect();
        if run["attempt"].as_u64() > Some(1) {
            must(text.contains(&format!(" · attempt {}", run["attempt"])) || text.contains("replaced by"), "attempt");
        }
        match run["conclusion"].as_str() {
            Some("cancelled") if by_person && jobs.is_empty() => {}
            Some("cancelled") if by_person => must(text.contains("⏹️ Cancelled by"), "Cancelled by"),
            Some("cancelled") => {
                must(text.contains("↪️ replaced by "), "replaced by");
                let others = runs(repo).filter(|other| other["id"] != run["id"]);
                let next: Vec<&Value> = others.filter(|other| other["id"].as_u64() > Some(id)).collect();
                // GitHub tells times in seconds: of redeploys that are started in the same one either may have been the one.
                let ours = !self.dispatches.is_empty();
                if self.reruns.is_empty() && !next.is_empty() {
                    let named = |run: &&&Value| text.contains(&format!("replaced by {}", label(run)));
                    let good = if ours { next.iter().any(|run| named(&run)) } else { next.last().iter().all(named) };
                    must(good, &next.last().map(|run| label(run)).unwrap_or_default());
                }
                return lies;
            }
            Some("success") if run["workflow"] == "Deploy" => {
                must(text.contains(" is live on ") || text.contains("Ended with nothing"), "is live on");
            }
            Some("failure") => {
                let said = ["❌ Failed", "🚫 Rejected", "⌛"].iter().any(|words| text.contains(words));
                must(said, "Failed or Rejected");
            }
            Some("timed_out") => must(text.contains("⌛"), "time limit"),
            Some(_) | None => {}
        }
        for job in jobs {
            let Some(environment) = job["environment"].as_str() else { continue };
            let words = self.words(run, job);
            let said = said_of(text, environment);
            let good = said.as_ref().is_some_and(|said| words.iter().any(|word| said.starts_with(word)));
            must(good || words.is_empty(), &format!("{environment}: {words:?}, but {said:?}"));
        }
        for by in self.approvers(site, run).into_iter().filter(|_| run["conclusion"] == "success") {
            must(text.contains(&format!("<@{by}>")), &format!("approved by {by}"));
        }
        lies
    }

    /// Whether a person cancelled the newest attempt of a run.
    fn cancelled_by_person(&self, id: u64) -> bool {
        let on_the_page = self.happened.iter().filter_map(|(at, what)| match what {
            Happened::Cancelled { run } if *run == id => Some(*at),
            _ => None,
        });
        let in_slack = self.cancels.iter().filter(|(_, run)| *run == id).map(|(at, _)| *at);
        let began = self.reruns.iter().filter(|(_, run)| *run == id).map(|(at, _)| *at).max();
        on_the_page.chain(in_slack).max().is_some_and(|at| began.is_none_or(|began| began <= at))
    }

    /// Who approved in Slack in the newest attempt of a run.
    fn approvers(&self, site: &Site, run: &Value) -> BTreeSet<&str> {
        let here = |review: &&Reviewed| {
            let same = review.site.repo == site.repo && run["id"] == review.run && run["attempt"] == review.attempt;
            same && review.done && review.approved
        };
        self.reviews.iter().filter(here).map(|review| review.by.as_str()).collect()
    }

    /// The words with which a notice may describe a job's environment; none where nothing is demanded.
    fn words(&self, run: &Value, job: &Value) -> Vec<&'static str> {
        let touched = job["touched"] == true;
        let redeploy = run["workflow"] == "Redeploy";
        match (job["status"].as_str(), job["conclusion"].as_str()) {
            (_, Some("success")) if redeploy => vec!["job done", "done"],
            (_, Some("success")) => vec!["done"],
            (_, Some("skipped")) if redeploy => vec![],
            (_, Some("skipped")) => vec!["skipped"],
            (_, Some(_)) if touched => vec!["unknown"],
            (_, Some("failure")) if run["attempt"].as_u64() > Some(1) => vec!["failed, not touched", "rejected"],
            (_, Some("failure")) => {
                let no = run["reviews"].as_array().into_iter().flatten().any(|review| {
                    let here = review["environments"].as_array().into_iter().flatten();
                    review["approved"] == false && here.into_iter().any(|name| *name == job["environment"])
                });
                if no { vec!["rejected"] } else { vec!["failed, not touched"] }
            }
            (_, Some("timed_out")) => vec!["timed out, not touched"],
            (_, Some("cancelled")) => vec!["cancelled, not touched"],
            (Some("waiting"), _) => vec!["waiting for approval"],
            (Some("queued"), _) => vec!["queued"],
            (Some("in_progress"), _) => vec!["deploying"],
            (_, _) => vec![],
        }
    }

    /// Everybody is mentioned for one thing once, and whoever has to act next is.
    fn each_mention_once(&mut self) {
        let mut wrong = Vec::new();
        let mut rang: BTreeSet<&(String, String)> = BTreeSet::new();
        wrong.extend(self.rang.iter().filter(|one| !rang.insert(*one)).map(|one| format!("{one:?} in one message")));
        let mut said: BTreeMap<String, usize> = BTreeMap::new();
        for message in &self.messages {
            let head = message.reads().lines().next().unwrap_or_default().to_owned();
            let head: String = head.split(" · ").take(2).collect::<Vec<_>>().join(" · ");
            for text in message.replies.iter().map(Message::reads) {
                let kinds = ["Please test", "changes nothing in production that could", "did not get to production."];
                let kind = kinds.iter().find(|kind| text.contains(**kind));
                let kind = kind.map_or_else(|| text.clone(), |kind| (*kind).to_owned());
                *said.entry(format!("in the thread of {head}: {kind}")).or_default() += 1;
            }
            if !message.reads().contains(" · ") {
                *said.entry(format!("in the channel: {}", message.reads())).or_default() += 1;
            }
        }
        let attempts = 1 + self.reruns.len();
        for (what, times) in said {
            let again = what.contains("production") || what.contains("was replaced");
            if times > if again && !what.contains("Please test") { attempts } else { 1 } {
                wrong.push(format!("{times} times {what}"));
            }
        }
        for (site, repo) in self.plan.sites.iter().zip(&self.repos) {
            let untold = runs(repo).filter(|run| self.is_news(run)).filter_map(|run| self.untold(site, repo, run));
            wrong.extend(untold);
        }
        wrong.into_iter().for_each(|what| self.blame("each mention once", what));
    }

    /// Who should have been mentioned in the thread of a run and was not.
    fn untold(&self, site: &Site, repo: &Value, run: &Value) -> Option<String> {
        let notice = self.messages.iter().find(|m| is_notice(m, site, run))?;
        let thread: Vec<String> = notice.replies.iter().map(Message::reads).collect();
        let author = |run: &Value| {
            let merged = self.happened.iter().find_map(|(_, what)| match what {
                Happened::Merged { sha, by, .. } if run["sha"] == sha.as_str() => Some(DEVELOPERS[*by].0),
                _ => None,
            });
            merged.filter(|_| run["title"].as_str().is_some_and(|title| title.starts_with("Change ")))
        };
        let me = author(run)?;
        let names: Vec<&str> = run["waiting"].as_array()?.iter().filter_map(Value::as_str).collect();
        if names.len() == site.production.len() && run["attempt"] == 1 {
            let told = thread.iter().any(|text| text.contains("Please test") && text.contains(&format!("<@{me}>")));
            if !told {
                return Some(format!("{me} was not asked to test {}: {thread:#?}", name(site, run)));
            }
        }
        // The run whose place it took.
        let old =
            runs(repo).filter(|old| old["id"].as_u64() < run["id"].as_u64()).max_by_key(|old| old["id"].as_u64())?;
        let owner = author(old).filter(|owner| *owner != me)?;
        let replaced = old["conclusion"] == "cancelled" && !self.cancelled_by_person(old["id"].as_u64()?);
        let told =
            thread.iter().any(|text| text.contains("was replaced when") && text.contains(&format!("<@{owner}>")));
        (replaced && self.reruns.is_empty() && !told)
            .then(|| format!("{owner} was not told that {} took its place: {thread:#?}", name(site, run)))
    }

    /// What was decided is in the audit log, once; and nothing else is.
    fn every_decision_in_the_audit(&mut self) {
        let mut wrong = Vec::new();
        for (site, lines) in self.plan.sites.iter().zip(&self.audit) {
            for review in self.reviews.iter().filter(|review| review.done && review.site.repo == site.repo) {
                let same = |line: &&Value| grants(line, review);
                let lines = lines.iter().filter(same).count();
                if lines != 1 {
                    wrong.push(format!("{lines} lines for {review:?}"));
                }
            }
            for line in lines.iter().filter(|line| line["outcome"] == "granted" && line["action"] != "retry") {
                let done = self.reviews.iter().any(|review| review.done && grants(line, review));
                let failed = |other: &&Value| {
                    other["outcome"].as_str().is_some_and(|outcome| outcome.starts_with("failed"))
                        && ["by", "run", "action", "environments"].iter().all(|key| other[*key] == line[*key])
                };
                let verdict = line["action"] == "approve" || line["action"] == "reject";
                if verdict && !done && !lines.iter().any(|other| failed(&other)) {
                    wrong.push(format!("granted and never done: {line}"));
                }
            }
            wrong.extend(self.undecided(site, lines));
        }
        wrong.into_iter().for_each(|what| self.blame("every decision in the audit", what));
    }

    /// Each redeploy and each start that was granted is sent once, and somebody asked for it.
    fn each_order_once(&mut self) {
        let mut wrong = Vec::new();
        for (site, lines) in self.plan.sites.iter().zip(&self.audit) {
            let sent = self.dispatches.iter().filter(|path| path.contains(&format!("/{}/", site.repo))).count();
            let order = |line: &&Value| line["action"] == "redeploy" || line["action"] == "start";
            let granted: Vec<&Value> = lines.iter().filter(order).filter(|line| line["outcome"] == "granted").collect();
            let failed = lines.iter().filter(order).filter(|line| is_failed(line)).count();
            if !(granted.len().saturating_sub(failed)..=granted.len()).contains(&sent) {
                wrong.push(format!("{}: {} granted, {failed} failed, {sent} sent", site.app, granted.len()));
            }
            for line in granted.iter().filter(|line| line["action"] == "redeploy") {
                let asked = |ask: &&Ask| line["by"] == ask.who && chose(ask, site, &line["environments"]);
                let times = self.asks.iter().filter(asked).count();
                let alike = |other: &&&Value| ["by", "environments"].iter().all(|key| other[*key] == line[*key]);
                if granted.iter().filter(|other| other["action"] == "redeploy").filter(alike).count() > times {
                    wrong.push(format!("asked for {times} times: {line}"));
                }
            }
        }
        wrong.into_iter().for_each(|what| self.blame("each order once", what));
    }

    /// How many changes the bot took back.
    pub fn reverts(&self) -> u64 {
        self.repos.iter().map(|repo| reverts_of(repo).count() as u64).sum()
    }

    /// One pull request takes a change back, and somebody confirmed that it shall.
    fn one_revert_for_a_change(&mut self) {
        let mut wrong = Vec::new();
        for ((site, repo), lines) in self.plan.sites.iter().zip(&self.repos).zip(&self.audit) {
            let mut seen = BTreeSet::new();
            for pull in reverts_of(repo) {
                let (number, body) = (&pull["number"], pull["body"].as_str().unwrap_or_default());
                if !seen.insert(body.lines().next().unwrap_or_default().to_owned()) {
                    wrong.push(format!("taken back twice: {pull}"));
                }
                let done = format!("done: #{number} reverts it");
                let told = lines.iter().filter(|line| line["action"] == "revert" && line["outcome"] == done.as_str());
                let by: Vec<&str> = told.filter_map(|line| line["by"].as_str()).collect();
                let broken = body.lines().next().and_then(|line| line.rsplit('#').next()).unwrap_or("?");
                let confirmed = |ask: &&Ask| match &ask.did {
                    Did::Clicked(seen) => seen.label == "Open the revert" && seen.text.contains(&format!("#{broken} ")),
                    Did::Typed(_) | Did::Sent(..) => false,
                };
                let asked = |who: &&&str| self.asks.iter().any(|ask| ask.who == **who && confirmed(&ask));
                if by.len() != 1 || by.iter().filter(asked).count() != 1 {
                    wrong.push(format!("{} opened for {by:?}: {pull}", site.app));
                }
            }
        }
        wrong.into_iter().for_each(|what| self.blame("one revert for a change", what));
    }

    /// Requests whose decision is missing, or is there too often.
    fn undecided(&self, site: &Site, lines: &[Value]) -> Vec<String> {
        let mut wrong = Vec::new();
        let people: BTreeSet<&str> = self.asks.iter().map(|ask| ask.who).collect();
        for who in people {
            let about = |one: &&Unwritten| {
                one.who == who && one.asked.starts_with("lockkeeper.approve.") && one.told.contains(site.repo)
            };
            let (nothing, unsure): (Vec<_>, Vec<_>) = self.unwritten.iter().filter(about).partition(|one| one.nothing);
            let clicks: Vec<&Ask> = self.asks.iter().filter(|ask| ask.who == who && approves(ask, site)).collect();
            let acked = clicks.iter().filter(|ask| ask.result == Some(Ok(()))).count();
            let ours = |line: &Value| {
                let redeploys = runs(&self.repos[self.site(site)]).filter(|run| run["workflow"] == "Redeploy");
                redeploys.filter(|run| run["actor"] == MACHINE).any(|run| run["id"] == line["run"])
            };
            let passed = lines.iter().filter(|line| line["by"] == who && ours(line)).count();
            let decided = lines.iter().filter(|line| {
                line["by"] == who
                    && !ours(line)
                    && line["action"] == "approve"
                    && line["environments"].as_array().is_some_and(|names| !names.is_empty())
                    && !line["outcome"].as_str().is_some_and(|outcome| outcome.starts_with("failed"))
            });
            let decided = decided.count();
            // A click may be about a redeploy that the bot started, where it asks for approvals by itself.
            let least = acked.saturating_sub(nothing.len() + unsure.len() + passed);
            if !(least..=clicks.len() - nothing.len()).contains(&decided) {
                wrong.push(format!(
                    "{who} clicked {} times to approve {}, acknowledged {acked} times, was told {} times that nothing was \
                     done and {} times that nobody knows; decided {decided} times",
                    clicks.len(),
                    site.app,
                    nothing.len(),
                    unsure.len()
                ));
            }
        }
        for ask in &self.asks {
            let (Did::Typed(text) | Did::Sent(text, _)) = &ask.did else { continue };
            let Some((_, note)) = text.split_once(&format!(" {} why-", site.app)) else { continue };
            let note = format!("why-{note}");
            let count = lines.iter().filter(|line| line["note"] == note.as_str() && !is_failed(line)).count();
            let unwritten = self.unwritten.iter().find(|one| one.who == ask.who && one.asked == *text);
            let least = usize::from(ask.result == Some(Ok(())) && unwritten.is_none());
            let said = |remark: &String| remark.contains("right now, so nothing was done");
            let refused = matches!(&ask.result, Some(Err(remark)) if said(remark));
            let most = usize::from(!refused && unwritten.is_none_or(|one| !one.nothing));
            if !(least..=most).contains(&count) {
                let told = unwritten.map(|one| &one.told);
                wrong.push(format!("{count} lines for {text:?} of {}, {:?}, told {told:?}", ask.who, ask.result));
            }
        }
        wrong
    }
}

/// Whether somebody asks for a redeploy of just these environments.
fn chose(ask: &Ask, site: &Site, environments: &Value) -> bool {
    let names: BTreeSet<&str> = environments.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    match &ask.did {
        Did::Sent(text, chosen) => {
            *text == format!("redeploy {}", site.app) && names == chosen.iter().map(String::as_str).collect()
        }
        Did::Clicked(seen) => {
            let asks = seen.text.lines().any(|line| line.starts_with(&format!("Redeploy {} on ", site.app)));
            asks && seen.label.starts_with("Redeploy") && names.iter().all(|name| seen.text.contains(name))
        }
        Did::Typed(_) => false,
    }
}

/// Whether somebody asks for a redeploy that has to pass there.
fn redeploys(ask: &Ask, review: &Reviewed) -> bool {
    match &ask.did {
        Did::Sent(text, chosen) => {
            *text == format!("redeploy {}", review.site.app)
                && review.environments.iter().all(|name| chosen.contains(name))
        }
        Did::Clicked(_) => chose(ask, review.site, &serde_json::json!(review.environments)),
        Did::Typed(_) => false,
    }
}

/// The pull requests that the bot opened.
fn reverts_of(repo: &Value) -> impl Iterator<Item = &Value> {
    repo["pulls"].as_array().into_iter().flatten().filter(|pull| pull["author"] == MACHINE)
}

fn is_failed(line: &Value) -> bool {
    line["outcome"].as_str().is_some_and(|outcome| outcome.starts_with("failed"))
}

/// Whether a line grants what was done.
fn grants(line: &Value, review: &Reviewed) -> bool {
    line["outcome"] == "granted"
        && line["by"] == review.by.as_str()
        && line["run"] == review.run
        && line["attempt"] == review.attempt
        && line["action"] == if review.approved { "approve" } else { "reject" }
        && line["environments"] == serde_json::json!(review.environments)
}

/// Whether a click approves something of an app.
fn approves(ask: &Ask, site: &Site) -> bool {
    let Did::Clicked(seen) = &ask.did else { return false };
    let about = seen.text.starts_with(&format!("{} · ", site.app)) || seen.text.starts_with(&format!("{} ", site.app));
    seen.label.starts_with("Approve") && about
}

fn reviews(plan: &Plan, repos: &[Value], requests: &[SeenRequest], reruns: &[(usize, u64)]) -> Vec<Reviewed> {
    let posted = requests.iter().enumerate();
    let posted = posted.filter(|(_, r)| r.method == "POST" && r.path.ends_with("/pending_deployments"));
    let read = posted.filter_map(|(at, request)| {
        let at_site = plan.sites.iter().zip(repos).find(|(s, _)| request.path.contains(&format!("/{}/", s.repo)));
        let (site, repo) = at_site?;
        let run = run_of(&request.path)?;
        let body: Value = serde_json::from_str(&request.body).ok()?;
        let name = |id: &Value| {
            let environments = repo["environments"].as_array()?;
            environments.iter().find(|environment| environment["id"] == *id)?["name"].as_str().map(str::to_owned)
        };
        let comment = body["comment"].as_str()?.to_owned();
        let by = comment.split_once("Slack user ").map(|(_, rest)| rest.split([',', ')']).next().unwrap_or_default());
        Some(Reviewed {
            at,
            site,
            run,
            attempt: 1 + reruns.iter().filter(|(when, id)| *id == run && *when <= at).count() as u64,
            approved: body["state"] == "approved",
            environments: body["environment_ids"].as_array()?.iter().filter_map(name).collect(),
            by: by.unwrap_or("nobody").to_owned(),
            comment,
            done: request.done,
        })
    });
    read.collect()
}

/// The run that a path names.
fn run_of(path: &str) -> Option<u64> {
    path.split_once("/runs/")?.1.split('/').next()?.parse().ok()
}

fn runs(repo: &Value) -> impl Iterator<Item = &Value> {
    repo["runs"].as_array().into_iter().flatten()
}

fn label(run: &Value) -> String {
    let word = if run["workflow"] == "Redeploy" { "redeploy" } else { "run" };
    format!("{word} {}", run["number"])
}

fn name(site: &Site, run: &Value) -> String {
    format!("{} · {}", site.app, label(run))
}

fn is_notice(message: &Message, site: &Site, run: &Value) -> bool {
    message.thread_ts.is_none() && message.reads().starts_with(&format!("{} · ", name(site, run)))
}

/// What a notice says of an environment: `✅ Staging, Staging (WebSocket): done 10:02`.
fn said_of(text: &str, environment: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (names, words) = line.split_once(' ')?.1.split_once(": ")?;
        names.split(", ").any(|name| name == environment).then(|| words.to_owned())
    })
}
