//! The core in stories. A story plays a small GitHub by hand, lets the core look at it, and reads what it says, one line per
//! effect. What is said and not read fails the story.

mod approving;
mod dispatch;
mod endings;
mod forward;
mod laws;
mod mending;
mod remind;
mod servers;
mod telling;
mod variables;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::action::{Action, Reply, Request};
use super::app::App;
use super::change::{Change, ChangeKey, PrRef, Range, Standing};
use super::effect::Effect;
use super::event::{Event, Facts, Finding, Look, Outcome, RunFacts, Unreachable, Wanted};
use super::form::{Entry, Input, Tick, View};
use super::mend::{Attempt, Mend};
use super::message::{Message, Part, Shown, What};
use super::name::{EnvName, Login, RequestId, RunId, Sha, SlackId};
use super::pipeline::{Environment, Kind, Pipeline};
use super::policy::{Account, Approvers, People, Person, Policy, RequireTested, VariableRules};
use super::revert::{Fix, Stands, Suspect};
use super::run::{CancelledBy, Conclusion, Details, Gate, Job, Review, Run, Status, Step, Workflow};
use super::server::{ServerEvent, Servers, Unread};

/// A GitHub to be told by hand, the app that watches it, and what the app said.
pub struct Story {
    pub app: App,
    pub now: Timestamp,
    pub main: Vec<Change>,
    pub runs: Vec<(Run, Details)>,
    pub why: BTreeMap<RunId, CancelledBy>,
    /// What the check of any failed job says.
    pub symptoms: Vec<String>,
    pub said: Vec<String>,
    pub waiting: Vec<Effect>,
    /// Open pull requests that revert another one.
    pub reverts: BTreeMap<u64, Fix>,
    requests: u32,
}

pub fn policy() -> Policy {
    let people = [("ana-gh", "ANA"), ("ben-gh", "BEN"), ("chi-gh", "CHI")];
    Policy {
        approvers: Approvers { slack_users: ["ANA".into(), "BEN".into()].into(), ..Approvers::default() },
        require_tested: RequireTested::Warn,
        four_eyes: false,
        remind_after: Some(SignedDuration::from_hours(4)),
        variables: VariableRules::default(),
        people: People(people.map(|(login, id)| (Login::from(login), SlackId::from(id))).into()),
        command: "/deploy".into(),
        verify_after: None,
        workspace: Some("https://team.slack.com/".into()),
    }
}

pub fn pipeline() -> Pipeline {
    let environment = |name: &str, kind: Kind, needs: &[&str]| Environment {
        name: name.into(),
        label: name.into(),
        kind,
        job: name.into(),
        needs: needs.iter().map(|name| EnvName::from(*name)).collect(),
        region: None,
        beanstalk: None,
        url: None,
        links: BTreeMap::new(),
        gated: Some(kind == Kind::Production),
    };
    Pipeline {
        app: "h".into(),
        repo: "hypothesis/h".into(),
        branch: "main".into(),
        deploy: "deploy.yml".into(),
        redeploy: None,
        group: Some("deploy".into()),
        environments: vec![
            environment("Staging", Kind::Test, &[]),
            environment("Production", Kind::Production, &["Staging"]),
            environment("Production (Canada)", Kind::Production, &["Staging"]),
        ],
    }
}

impl Story {
    /// Production runs the first commit, a day ago.
    pub fn new() -> Self {
        Self::with(policy(), pipeline())
    }

    pub fn with(policy: Policy, pipeline: Pipeline) -> Self {
        let now: Timestamp = "2026-11-23T10:00:00Z".parse().expect("a timestamp");
        let mut story = Self {
            app: App::new("h".into(), Arc::new(policy)),
            now: now - SignedDuration::from_hours(24),
            main: Vec::new(),
            runs: Vec::new(),
            why: BTreeMap::new(),
            symptoms: Vec::new(),
            said: Vec::new(),
            waiting: Vec::new(),
            reverts: BTreeMap::new(),
            requests: 0,
        };
        story.tell(Event::Discovered(pipeline.clone()));
        story.merge("ana-gh", "The beginning");
        for environment in &pipeline.environments {
            story.job(environment.name.as_str(), Status::Completed, Some(Conclusion::Success));
        }
        story.finish(Conclusion::Success);
        story.now = now;
        story.look();
        assert!(story.said.is_empty(), "history is not news: {:?}", story.said);
        story
    }

    pub fn pass(&mut self, minutes: i64) -> &mut Self {
        self.now += SignedDuration::from_mins(minutes);
        self
    }

    /// Merges a PR: the branch moves, a run starts and cancels the one before.
    pub fn merge(&mut self, login: &str, title: &str) -> &mut Self {
        let change = self.change(login, title);
        self.main.push(change);
        self.start(login, title)
    }

    /// A merge of ignored paths: no run.
    pub fn merge_docs(&mut self, login: &str, title: &str) -> &mut Self {
        let change = self.change(login, title);
        self.main.push(change);
        self
    }

    pub fn change(&self, login: &str, title: &str) -> Change {
        let number = 4500 + self.main.len() as u64;
        let head = sha(self.main.len());
        Change {
            key: ChangeKey::Pr(number),
            title: title.into(),
            url: format!("https://github.com/hypothesis/h/pull/{number}"),
            author: Some(login.into()),
            author_is_bot: login.ends_with("[bot]"),
            merged_by: Some(login.into()),
            merged_at: self.now,
            head: head.clone(),
            commits: vec![head],
        }
    }

    /// A new Deploy run on the head of main.
    pub fn start(&mut self, actor: &str, title: &str) -> &mut Self {
        if let Some((run, _)) = self.runs.iter().find(|(run, _)| !run.is_over()) {
            let id = run.id;
            self.end(id, Conclusion::Cancelled);
            self.why.insert(id, CancelledBy::Group);
        }
        let number = 811 + self.runs.len() as u64;
        let run = Run {
            id: RunId(19_000_000_000 + number),
            number,
            workflow: Workflow::Deploy,
            title: title.into(),
            url: format!("https://github.com/hypothesis/h/actions/runs/{}", 19_000_000_000 + number),
            sha: sha(self.main.len().saturating_sub(1)),
            branch: "main".into(),
            event: "push".into(),
            attempt: 1,
            status: Status::InProgress,
            conclusion: None,
            actor: actor.into(),
            triggered_by: actor.into(),
            created_at: self.now,
            started_at: self.now,
            updated_at: self.now,
        };
        self.runs.push((run, Details::default()));
        self
    }

    pub fn newest(&mut self) -> &mut (Run, Details) {
        self.runs.last_mut().expect("a run")
    }

    /// Sets a job of the newest run.
    pub fn job(&mut self, environment: &str, status: Status, conclusion: Option<Conclusion>) -> &mut Self {
        let now = self.now;
        let (run, details) = self.newest();
        let attempt = run.attempt;
        let name = format!("{environment} / Deploy");
        details.jobs.retain(|job| job.name != name || job.attempt != attempt);
        let id = run.id.0 * 1000 + details.jobs.len() as u64;
        details.jobs.push(Job {
            id,
            attempt,
            name,
            url: Some(format!("https://github.com/hypothesis/h/actions/runs/{}/job/{id}", run.id)),
            status,
            conclusion,
            started_at: Some(now),
            completed_at: conclusion.map(|_| now),
            steps: Vec::new(),
        });
        run.updated_at = now;
        self
    }

    /// Puts the newest run's job of an environment past its deploy step.
    pub fn step(&mut self, environment: &str, conclusion: Option<Conclusion>) -> &mut Self {
        let name = format!("{environment} / Deploy");
        let (_, details) = self.newest();
        let job = details.jobs.iter_mut().rfind(|job| job.name == name).expect("a job");
        let status = if conclusion.is_some() { Status::Completed } else { Status::InProgress };
        job.steps = vec![
            Step { name: "Set up job".into(), status: Status::Completed, conclusion: Some(Conclusion::Success) },
            Step { name: "Install dependencies and run deploy script".into(), status, conclusion },
        ];
        self
    }

    /// The newest run is on Staging and waits at both production gates.
    pub fn on_staging(&mut self) -> &mut Self {
        self.job("Staging", Status::Completed, Some(Conclusion::Success));
        for (id, name) in [(1, "Production"), (2, "Production (Canada)")] {
            self.job(name, Status::Waiting, None);
            self.newest().1.gates.push(Gate { environment_id: id, environment: name.into(), can_approve: true });
        }
        self.newest().0.status = Status::Waiting;
        self
    }

    /// GitHub takes an approval of all gates and every job succeeds.
    pub fn ship(&mut self) -> &mut Self {
        self.newest().1.gates.clear();
        for name in ["Production", "Production (Canada)"] {
            self.job(name, Status::Completed, Some(Conclusion::Success));
        }
        self.finish(Conclusion::Success)
    }

    pub fn finish(&mut self, conclusion: Conclusion) -> &mut Self {
        let id = self.newest().0.id;
        self.end(id, conclusion);
        self
    }

    fn end(&mut self, id: RunId, conclusion: Conclusion) {
        let now = self.now;
        let (run, details) = self.runs.iter_mut().find(|(run, _)| run.id == id).expect("a run");
        run.status = Status::Completed;
        run.conclusion = Some(conclusion);
        run.updated_at = now;
        details.gates.clear();
        for job in details.jobs.iter_mut().filter(|job| job.status != Status::Completed) {
            job.status = Status::Completed;
            job.conclusion = Some(conclusion);
            job.completed_at = Some(now);
        }
    }

    /// The bot is killed and starts again from what was remembered.
    pub fn restart(&mut self) -> &mut Self {
        let document = self.app.document().expect("a document");
        self.app = App::new("h".into(), self.app.policy.clone()).anew(&document).expect("our own document");
        self
    }

    /// The core looks at GitHub until it wants to know nothing more.
    pub fn look(&mut self) -> &mut Self {
        self.tell(Event::Seen(self.lists()));
        for _ in 0..20 {
            let wanted = self.app.wanted(self.now);
            if wanted.is_empty() {
                return self;
            }
            let findings = wanted.into_iter().map(|wanted| self.find(wanted)).collect();
            self.tell(Event::Learned(findings));
        }
        panic!("the core never has enough: {:?}", self.app.wanted(self.now));
    }

    fn find(&self, wanted: Wanted) -> Finding {
        match wanted {
            Wanted::Details(id) => {
                let (run, details) = self.runs.iter().find(|(run, _)| run.id == id).expect("a run");
                Finding::Details(Box::new(run.clone()), details.clone())
            }
            Wanted::WhyCancelled(id, _) => {
                Finding::WhyCancelled(id, self.why.get(&id).cloned().unwrap_or(CancelledBy::Unsaid))
            }
            Wanted::Symptoms(id, job) => Finding::Symptoms(id, job, self.symptoms.clone()),
            Wanted::Range { base, head } => {
                let range = self.range(&base, &head);
                Finding::Range { base, head, range }
            }
        }
    }

    pub fn range(&self, base: &Sha, head: &Sha) -> Option<Range> {
        let at = |sha: &Sha| self.main.iter().position(|change| change.head == *sha);
        let (from, to) = (at(base)?, at(head)?);
        let standing = match from.cmp(&to) {
            std::cmp::Ordering::Less => Standing::Ahead,
            std::cmp::Ordering::Equal => Standing::Identical,
            std::cmp::Ordering::Greater => Standing::Behind,
        };
        let changes = if from < to { self.main[from + 1..=to].to_vec() } else { Vec::new() };
        Some(Range { standing, changes })
    }

    /// Somebody asks; what has to be looked up is looked up; the answer is heard.
    pub fn ask(&mut self, who: &str, action: Action) -> &mut Self {
        let request = self.request(who, action);
        self.tell(Event::Asked(request));
        self.examine();
        self
    }

    pub fn request(&mut self, who: &str, action: Action) -> Request {
        self.requests += 1;
        Request {
            id: RequestId::new(format!("request {}", self.requests)),
            app: "h".into(),
            by: who.into(),
            action,
            reply: Reply {
                url: "https://hooks.slack.com/x".into(),
                channel: "C1".into(),
                replace: false,
                view: None,
                at: self.now,
            },
        }
    }

    /// Looks up what the requests that wait need.
    pub fn examine(&mut self) {
        for effect in std::mem::take(&mut self.waiting) {
            match effect {
                Effect::Examine(request, run) => {
                    let facts = self.facts(&request, run);
                    self.tell(Event::Examined(request, Ok(Box::new(facts))));
                }
                other => self.waiting.push(other),
            }
        }
    }

    pub fn facts(&self, request: &Request, shown: Option<RunId>) -> Facts {
        let (newest, details) = self.runs.last().expect("a run");
        let about = shown.and_then(|id| self.runs.iter().find(|(run, _)| run.id == id));
        let (run, details) = about.map_or((newest, details), |(run, details)| (run, details));
        let compared = self.app.deployed().into_iter().filter_map(|(name, base)| {
            let range = self.range(&base, &run.sha)?;
            Some((name, base, range))
        });
        let facts = RunFacts {
            newest: newest.clone(),
            run: run.clone(),
            gates: details.gates.clone(),
            ranges: compared.collect(),
        };
        let suspect =
            if let Action::RollForward(forward) = &request.action { self.suspect(forward.pr()) } else { None };
        let person = person(request.by.as_str());
        Facts { run: Some(facts), look: Some(self.lists()), suspect, ..Facts::of(person) }
    }

    fn suspect(&self, number: u64) -> Option<Suspect> {
        let change = self.main.iter().find(|change| change.key == ChangeKey::Pr(number))?;
        Some(Suspect {
            number,
            title: change.title.clone(),
            url: change.url.clone(),
            author: change.author.clone().filter(|_| !change.author_is_bot),
            merged_by: change.merged_by.clone(),
            commit: Some(change.head.clone()),
            base: "main".into(),
            reverted_by: self.reverts.get(&number).cloned(),
            followed: self.app.fix_of(number).map(|fix| (fix, self.stands(number, fix))),
        })
    }

    /// All jobs of a run were run again, and were over before anybody looked.
    pub fn ran_again(&mut self, nth: usize) -> &mut Self {
        let (now, (run, details)) = (self.now, &mut self.runs[nth]);
        run.attempt += 1;
        (run.started_at, run.updated_at) = (now, now);
        let attempt = run.attempt;
        let again = |job: &Job| Job {
            id: job.id + 500,
            attempt,
            started_at: Some(now),
            completed_at: Some(now),
            ..job.clone()
        };
        let again: Vec<Job> = details.jobs.iter().map(again).collect();
        details.jobs.extend(again);
        self
    }

    fn stands(&self, broken: u64, fix: u64) -> Stands {
        match self.main.iter().any(|change| change.key == ChangeKey::Pr(fix)) {
            true => Stands::Merged,
            false if self.reverts.get(&broken).is_some_and(|open| open.number == fix) => Stands::Open,
            false => Stands::Closed,
        }
    }

    fn lists(&self) -> Look {
        let runs = self.runs.iter().rev().map(|(run, _)| run.clone()).collect();
        Look { runs, main: self.main.last().expect("a commit").head.clone() }
    }

    /// Tells the core something, and hears what it says.
    pub fn tell(&mut self, event: Event) {
        let mut app = self.app.clone();
        let asked = match &event {
            Event::Examined(request, facts) => Some((request.clone(), facts.clone().ok().and_then(|facts| facts.run))),
            _ => None,
        };
        match app.handle(event, self.now) {
            Ok(effects) => {
                self.app = app;
                effects.into_iter().for_each(|effect| self.hear(effect));
            }
            Err(refusal) => {
                let (request, run) = asked.expect("only requests are refused");
                let run = run.as_ref().map(|facts| &facts.run);
                let record = self.app.record_refusal(&request, run, &refusal, self.now);
                self.said.push(format!("refuse {}: {refusal}", request.by));
                self.said.push(format!("record {record}"));
            }
        }
        self.survives();
    }

    /// What is remembered is read as it was written.
    fn survives(&self) {
        let document = self.app.document().expect("a document");
        let again = self.app.anew(&document).expect("our own document");
        assert_eq!(again.document().expect("a document"), document, "the document loses something");
    }

    fn hear(&mut self, effect: Effect) {
        match &effect {
            Effect::Examine(..) => self.waiting.push(effect),
            Effect::Approve(_) | Effect::Reject(_) => {
                self.said.push(effect.to_string());
                self.waiting.push(effect);
            }
            Effect::Notice(run, message) => {
                self.said.push(format!("notice of {}: {message}", self.number(*run)));
                let posted = Outcome::Posted { channel: "C1".into(), ts: format!("{run}") };
                self.tell(Event::Performed(effect, posted));
            }
            Effect::Thread { topic, run, message, broadcast } => {
                let topic = topic.split([' ', ':']).next().unwrap_or_default();
                let place = if *broadcast { "channel and thread" } else { "thread" };
                self.said.push(format!("{topic} in {place} of {}: {message}", self.number(*run)));
            }
            Effect::Show { message, .. } => {
                self.said.push(format!("show: {message}"));
                let posted = Outcome::Posted { channel: "C1".into(), ts: "1.1".into() };
                self.tell(Event::Performed(effect, posted));
            }
            Effect::Announce { message, .. } => self.said.push(format!("announce: {message}")),
            Effect::Form(_, to, form) => {
                let view = self.app.view(form, self.now);
                self.said.push(format!("form for {to}: {}", read(&view)));
            }
            Effect::Dispatch(_) | Effect::Mend(_) | Effect::Revert(_) | Effect::Set(_) => {
                self.said.push(effect.to_string());
                self.waiting.push(effect);
            }
            Effect::Whisper { to, message, .. } => self.said.push(format!("whisper to {to}: {message}")),
            Effect::Mark(_) | Effect::Answer(..) | Effect::Record(_) => self.said.push(effect.to_string()),
        }
    }

    fn number(&self, id: RunId) -> u64 {
        self.runs.iter().find(|(run, _)| run.id == id).map_or(0, |(run, _)| run.number)
    }

    /// GitHub takes the verdicts that wait.
    pub fn taken(&mut self) -> &mut Self {
        self.come_back(|_| Outcome::Done)
    }

    pub fn come_back(&mut self, outcome: impl Fn(&Effect) -> Outcome) -> &mut Self {
        for effect in std::mem::take(&mut self.waiting) {
            let outcome = outcome(&effect);
            self.tell(Event::Performed(effect, outcome));
        }
        self
    }

    /// What was said since the last time, without the notices.
    pub fn heard(&mut self) -> String {
        let said = std::mem::take(&mut self.said);
        said.into_iter().filter(|line| !line.starts_with("notice ")).collect::<Vec<_>>().join("\n")
    }

    /// The newest notice of a run; everything said since is read with it.
    pub fn notice(&mut self, number: u64) -> String {
        let start = format!("notice of {number}: ");
        let said = std::mem::take(&mut self.said);
        said.iter().rev().find_map(|line| line.strip_prefix(&start)).unwrap_or("not shown").to_owned()
    }

    /// What the approve button in the newest run's notice means.
    pub fn button(&self) -> Shown {
        let run = &self.runs.last().expect("a run").0;
        let tracked = &self.app.state.runs[&run.id];
        let message: Message = self.app.notice(tracked, self.now);
        let buttons = message
            .parts
            .iter()
            .filter_map(|part| if let Part::Buttons(buttons) = part { Some(buttons) } else { None });
        let shown = buttons
            .flatten()
            .find_map(|b| if let What::Approve(shown) = &b.press.what { Some(shown.clone()) } else { None });
        shown.expect("an approve button")
    }

    pub fn click(&mut self, who: &str) -> &mut Self {
        let shown = self.button();
        self.ask(who, Action::ApproveShown(shown))
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        let unread = std::mem::take(&mut self.said);
        let unread: Vec<&String> = unread.iter().filter(|line| !line.starts_with("notice ")).collect();
        if !std::thread::panicking() {
            assert!(unread.is_empty(), "said and not looked at: {unread:#?}");
        }
    }
}

/// A form as somebody reads it.
fn read(view: &View) -> String {
    let entry = |tick: &Tick| {
        format!(
            "[{}] {} ({})",
            if tick.chosen { "x" } else { " " },
            tick.label,
            tick.about.as_deref().unwrap_or_default()
        )
    };
    let input = |input: &Input| {
        let choices = match &input.kind {
            Entry::Words { .. } => Vec::new(),
            Entry::Ticks(ticks) | Entry::Pick(ticks) => ticks.iter().map(entry).collect(),
        };
        format!("{}:\n{}", input.label, choices.join("\n"))
    };
    let parts = view.parts.iter().map(ToString::to_string).chain(view.inputs.iter().map(input));
    format!("{}\n{}\n[{}]", view.title, parts.collect::<Vec<_>>().join("\n"), view.submit.as_deref().unwrap_or("Close"))
}

pub fn person(id: &str) -> Person {
    let account = match id {
        "GUEST" => Account::Guest,
        "STRANGER" => Account::Stranger,
        "GONE" => Account::Deactivated,
        "ROBOT" => Account::Bot,
        _ => Account::Member,
    };
    let mut name = id.to_lowercase();
    name[..1].make_ascii_uppercase();
    Person { id: id.into(), name, account, usergroups: BTreeSet::new(), teams: BTreeSet::new() }
}

pub fn sha(n: usize) -> Sha {
    Sha::new(format!("{:07x}{}", 0xa00_0000 + n, "0".repeat(33)))
}

pub fn review(login: &str, approved: bool) -> Review {
    let environments = vec!["Production".into(), "Production (Canada)".into()];
    Review { approved, by: login.into(), comment: String::new(), environments }
}

pub fn unreachable(request: Request) -> Event {
    Event::Examined(request, Err(Unreachable::Slack))
}
