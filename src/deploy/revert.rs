//! Rolling forward: a change that broke something is taken back by a new pull request and followed until it is live. There is
//! no rollback. The words are in `revert_text`.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::action::Request;
use super::app::App;
use super::change::{ChangeKey, PrRef, Range};
use super::effect::{Effect, Record};
use super::event::{Facts, Outcome};
use super::hours;
use super::name::{Login, PrNumber, RunId, Sha, SlackId};
use super::phase::Phase;
use super::pipeline::Pipeline;
use super::policy::Person;
use super::refusal::Refusal;
use super::run::Workflow;
use super::say::Said;
use super::text::{cut, plural};
use super::track::{State, Tracked};

/// How many roll-forwards are remembered.
const REMEMBERED: usize = 12;
/// Opening one is given up before this; a claim that is older holds nobody back.
const OPENING: SignedDuration = SignedDuration::from_mins(15);
/// GitHub's times are whole seconds, and its clock is not ours.
const CLOCKS: SignedDuration = SignedDuration::from_secs(60);

/// What people do to repair by a new change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollForward {
    /// Typed: revert this one. Answered with a confirmation.
    Propose(PrRef),
    /// Confirmed: open the pull request that reverts it.
    Revert {
        /// The pull request to revert.
        pr: PrNumber,
        /// The run whose notice said that it is live, where it was chosen there.
        run: Option<RunId>,
        /// What is wrong; from a person.
        because: Option<String>,
    },
}

/// A change that is taken back, from the decision on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forward {
    /// The pull request that is reverted.
    pub broken: PrNumber,
    /// The run that brought it to production, where that is known.
    pub run: Option<RunId>,
    /// Who wants it.
    pub by: SlackId,
    /// When they decided.
    pub at: Timestamp,
    /// What is wrong; from a person.
    pub because: Option<String>,
    /// The pull request that takes it back, once it is there.
    pub fix: Option<Fix>,
    /// Whether the bot's account opened it: then its author is nobody who could test it.
    #[serde(default)]
    pub opened: bool,
}

/// The pull request that takes a change back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fix {
    /// Its number.
    pub number: PrNumber,
    /// Its page.
    pub url: String,
}

/// A pull request that is to be reverted, as GitHub shows it now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suspect {
    /// Its number.
    pub number: PrNumber,
    /// Its title. From outside.
    pub title: String,
    /// Its page.
    pub url: String,
    /// Who wrote it; `None` where the account is gone, or a bot's.
    pub author: Option<Login>,
    /// Who merged it; `None` where it is not merged.
    pub merged_by: Option<Login>,
    /// The commit by which it was merged; `None` where it is not merged.
    pub commit: Option<Sha>,
    /// The branch that it went to.
    pub base: String,
    /// An open pull request that reverts it already.
    pub reverted_by: Option<Fix>,
    /// The pull request that was known to take it back when this was read, and how that one stands.
    pub followed: Option<(PrNumber, Stands)>,
}

/// How a pull request stands that takes a change back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stands {
    /// It waits for its review and its merge.
    Open,
    /// It is merged.
    Merged,
    /// It was closed, and is not merged.
    Closed,
}

/// A change to be reverted by a pull request, opened once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reverting {
    /// Who asked, and where the answer goes.
    pub request: Request,
    /// The pull request to revert.
    pub pr: PrNumber,
    /// Its title. From outside.
    pub title: String,
    /// The commit by which it was merged, for those who have to do it by hand.
    pub commit: Option<Sha>,
    /// What the new one says about who wants it; made safe for Markdown.
    pub body: String,
    /// Who is asked for a review.
    pub reviewers: Vec<Login>,
}

/// What became of a revert.
#[derive(Clone, Debug, PartialEq)]
pub enum Reverted {
    /// The pull request is open.
    Opened {
        /// Which.
        fix: Fix,
        /// Those who were asked for a review.
        asked: Vec<Login>,
    },
    /// GitHub could not revert it by itself. Its words: from outside.
    Conflict(String),
    /// GitHub does not let the bot's account do this. Its words: from outside.
    Forbidden(String),
    /// After an unclear answer no such pull request was found.
    Lost,
}

/// Why a change is not reverted.
#[derive(Clone, Debug, PartialEq)]
pub enum NoRevert {
    /// There is no such pull request.
    Unknown(PrNumber),
    /// It is not merged.
    NotMerged(PrNumber),
    /// It went to another branch than the one that is deployed.
    Elsewhere(PrNumber, String),
    /// Somebody is at it.
    Again(Box<Forward>),
    /// It was done before, and is merged.
    Shipped(Box<Forward>),
}

impl RollForward {
    /// The word for it, in the audit log.
    pub fn word(&self) -> &'static str {
        "revert"
    }

    /// The pull request to revert.
    pub fn pr(&self) -> PrNumber {
        match self {
            Self::Propose(pr) => pr.number,
            Self::Revert { pr, .. } => *pr,
        }
    }

    /// What the person typed or chose with it.
    pub fn note(&self) -> Option<String> {
        match self {
            Self::Propose(pr) => Some(format!("#{}", pr.number)),
            Self::Revert { pr, because: Some(because), .. } => Some(format!("#{pr}: {because}")),
            Self::Revert { pr, because: None, .. } => Some(format!("#{pr}")),
        }
    }
}

impl App {
    /// Decides it on fresh facts.
    pub(super) fn roll_forward(
        &mut self,
        request: Request,
        facts: Facts,
        what: RollForward,
        now: Timestamp,
    ) -> Result<Vec<Effect>, Refusal> {
        self.may_approve(&facts.person)?;
        if let RollForward::Propose(PrRef { repo: Some(repo), number }) = &what
            && self.pipeline().is_some_and(|p| !p.repo.eq_ignore_ascii_case(repo))
        {
            return Err(Refusal::OtherRepo(*number, self.state.name.clone()));
        }
        let suspect = self.revertible(what.pr(), facts.suspect, now).map_err(Refusal::NoRevert)?;
        match what {
            RollForward::Propose(_) => {
                let message = self.revert_question(&suspect);
                Ok(vec![Effect::Answer(request.reply, request.by, message)])
            }
            RollForward::Revert { run, because, .. } => {
                let run = run.or_else(|| self.bringer(suspect.number));
                let forward = Forward {
                    broken: suspect.number,
                    run,
                    by: request.by.clone(),
                    at: now,
                    because,
                    fix: suspect.reverted_by.clone(),
                    opened: false,
                };
                Ok(self.revert(request, &facts.person, suspect, forward))
            }
        }
    }

    /// Whether a pull request can be reverted: it is merged into the branch that is deployed, and nobody is at it.
    fn revertible(&self, pr: PrNumber, suspect: Option<Suspect>, now: Timestamp) -> Result<Suspect, NoRevert> {
        let suspect = suspect.ok_or(NoRevert::Unknown(pr))?;
        if suspect.merged_by.is_none() && suspect.commit.is_none() {
            return Err(NoRevert::NotMerged(pr));
        }
        if self.pipeline().is_some_and(|p| p.branch != suspect.base) {
            return Err(NoRevert::Elsewhere(pr, suspect.base));
        }
        let Some(forward) = self.state.forwards.iter().find(|forward| forward.broken == pr) else { return Ok(suspect) };
        let known = Box::new(forward.clone());
        let Some(fix) = &forward.fix else {
            let given_up = now.duration_since(forward.at) >= OPENING;
            return if given_up { Ok(suspect) } else { Err(NoRevert::Again(known)) };
        };
        match suspect.followed.filter(|(number, _)| *number == fix.number) {
            Some((_, Stands::Closed)) => Ok(suspect),
            Some((_, Stands::Merged)) => Err(NoRevert::Shipped(known)),
            // Also where it was opened after GitHub had been read.
            Some((_, Stands::Open)) | None => Err(NoRevert::Again(known)),
        }
    }

    /// The pull request that is known to take a change back.
    pub fn fix_of(&self, pr: PrNumber) -> Option<PrNumber> {
        self.state.forwards.iter().find(|forward| forward.broken == pr)?.fix.as_ref().map(|fix| fix.number)
    }

    /// From here on nobody else opens one for this change: the claim is committed with the effect.
    fn revert(&mut self, request: Request, person: &Person, suspect: Suspect, forward: Forward) -> Vec<Effect> {
        let mut record = self.record(&request, forward.at, "granted");
        self.about(&mut record, forward.run);
        self.state.forwards.retain(|known| known.broken != forward.broken);
        if let Some(run) = forward.run {
            self.note_wrong(run, &forward.by, forward.at);
        }
        self.state.forwards.push(forward.clone());
        let surplus = self.state.forwards.len().saturating_sub(REMEMBERED);
        self.state.forwards.drain(..surplus);
        if let Some(fix) = &suspect.reverted_by {
            // Opened by hand: it is followed like our own.
            let mut effects = vec![Effect::Record(record), self.done(&request, &self.adopted(fix, suspect.number))];
            effects.extend(self.tell_of(&forward, &suspect.title, &[]));
            return effects;
        }
        let reviewers = self.reviewers(&suspect, person);
        let body = self.revert_body(&suspect, person, forward.because.as_deref());
        let Suspect { number: pr, title, commit, .. } = suspect;
        let reverting = Reverting { request, pr, title, commit, body, reviewers };
        vec![Effect::Record(record), Effect::Revert(reverting)]
    }

    /// Whoever wrote or merged the change knows it; whoever asks does not review their own wish.
    fn reviewers(&self, suspect: &Suspect, person: &Person) -> Vec<Login> {
        let mut reviewers: Vec<Login> = Vec::new();
        for login in suspect.author.iter().chain(&suspect.merged_by) {
            let asks = self.login(person).is_some_and(|me| me.is(login));
            if !asks && !reviewers.iter().any(|known| known.is(login)) {
                reviewers.push(login.clone());
            }
        }
        reviewers
    }

    /// The newest run with this change that came to production.
    fn bringer(&self, pr: PrNumber) -> Option<RunId> {
        let there = |t: &&Tracked| self.deploys(t, pr) && (self.live_since(t).is_some() || self.is_done_after_all(t));
        self.state.runs.values().filter(there).max_by_key(|t| (t.run.started_at, t.run.id)).map(|t| t.run.id)
    }

    /// The newest run that ships this change, whatever became of it.
    pub(super) fn carrier(&self, pr: PrNumber) -> Option<&Tracked> {
        let carriers = self.state.runs.values().filter(|t| self.deploys(t, pr));
        carriers.max_by_key(|t| (self.phase(t) == Phase::Done, t.run.started_at, t.run.id))
    }

    fn deploys(&self, tracked: &Tracked, pr: PrNumber) -> bool {
        tracked.run.workflow == Workflow::Deploy
            && self.ships(tracked).is_some_and(|ships| ships.iter().any(|s| s.change.key == ChangeKey::Pr(pr)))
    }

    /// A pull request that the bot's account opened is its merger's, like any other bot's.
    pub(super) fn disown(&self, range: &mut Range) {
        let opened = |key: &ChangeKey| {
            let fixes = self.state.forwards.iter().filter(|forward| forward.opened).filter_map(|f| f.fix.as_ref());
            fixes.into_iter().any(|fix| ChangeKey::Pr(fix.number) == *key)
        };
        range.changes.iter_mut().filter(|change| opened(&change.key)).for_each(|change| change.author_is_bot = true);
    }

    /// The run that a decision is about.
    pub(super) fn about(&self, record: &mut Record, run: Option<RunId>) {
        record.run = run;
        if let Some(tracked) = run.and_then(|run| self.state.runs.get(&run)) {
            record.number = Some(tracked.run.number);
            record.attempt = Some(tracked.run.attempt);
            record.sha = Some(tracked.run.sha.clone());
        }
    }

    /// The revert came back.
    pub(super) fn reverted(&mut self, reverting: Reverting, outcome: Outcome, now: Timestamp) -> Vec<Effect> {
        let pr = reverting.pr;
        let reverted = if let Outcome::Revert(reverted) = outcome { Ok(reverted) } else { Err(failure(outcome)) };
        let answer = self.revert_answer(&reverting, reverted.as_ref().ok());
        let answer = Effect::Answer(reverting.request.reply.clone(), reverting.request.by.clone(), answer);
        let (fix, asked) = match reverted {
            Ok(Reverted::Opened { fix, asked }) => (fix, asked),
            Ok(other) => return self.not_reverted(&reverting, &format!("failed: {}", other.word()), now, answer),
            Err(why) => return self.not_reverted(&reverting, &format!("failed: {why}"), now, answer),
        };
        let Some(forward) = self.state.forwards.iter_mut().find(|forward| forward.broken == pr) else {
            return vec![answer];
        };
        if forward.fix.as_ref() == Some(&fix) {
            // The first of two who were at it opened it, and the channel knows.
            let refusal = Refusal::NoRevert(NoRevert::Again(Box::new(forward.clone())));
            let record = self.record_refusal(&reverting.request, None, &refusal, now);
            let Request { reply, by, .. } = reverting.request;
            return vec![Effect::Record(record), Effect::Answer(reply, by, refusal.message())];
        }
        forward.by = reverting.request.by.clone();
        forward.fix = Some(fix.clone());
        forward.opened = true;
        let forward = forward.clone();
        let mut record = self.record(&reverting.request, now, &format!("done: #{} reverts it", fix.number));
        self.about(&mut record, forward.run);
        let mut effects = vec![Effect::Record(record), answer];
        effects.extend(self.tell_of(&forward, &reverting.title, &asked));
        effects
    }

    /// Nothing holds the next try back.
    fn not_reverted(&mut self, reverting: &Reverting, outcome: &str, now: Timestamp, answer: Effect) -> Vec<Effect> {
        self.state.forwards.retain(|forward| forward.broken != reverting.pr || forward.fix.is_some());
        vec![Effect::Record(self.record(&reverting.request, now, outcome)), answer]
    }

    /// The channel hears of it, in the thread of the notice that said that the change is live.
    fn tell_of(&self, forward: &Forward, title: &str, asked: &[Login]) -> Option<Effect> {
        let fix = forward.fix.as_ref()?;
        let message = self.forward_text(forward, fix, title, asked);
        let topic = format!("forward #{}", fix.number);
        let noticed = forward.run.filter(|run| self.state.runs.get(run).is_some_and(|t| t.noticed));
        Some(match noticed {
            Some(run) => Effect::Thread { topic: format!("{topic}:{run}"), run, message, broadcast: true },
            None => Effect::Announce { topic, message },
        })
    }

    /// The roll-forwards whose fix is there, as far as they concern a run: it brought the harm, or it ships the fix.
    pub(super) fn forwards_of(&self, tracked: &Tracked) -> impl Iterator<Item = (&Forward, &Fix)> {
        let known = self.state.forwards.iter().filter_map(|forward| Some((forward, forward.fix.as_ref()?)));
        // A run from before the decision cannot ship what was opened after it.
        let later = |forward: &Forward| hours::later(tracked.run.created_at, CLOCKS) >= forward.at;
        known.filter(move |(forward, fix)| {
            forward.run == Some(tracked.run.id) || (later(forward) && self.deploys(tracked, fix.number))
        })
    }

    /// The run with which a fix came to production, all of it.
    pub(super) fn repaired_by(&self, fix: &Fix) -> Option<&Tracked> {
        self.carrier(fix.number).filter(|t| {
            let mut production = self.pipeline().into_iter().flat_map(Pipeline::production);
            self.phase(t) == Phase::Done && production.all(|e| t.state(&e.name) == Some(State::Deployed))
        })
    }

    /// The repair is live: the threads of both notices hear of it, each with a link to the other.
    pub(super) fn repaired(&self, tracked: &Tracked, broken: PrNumber) -> Option<Said> {
        let (forward, fix) = self.forwards_of(tracked).find(|(forward, _)| forward.broken == broken)?;
        let by = self.repaired_by(fix)?;
        let here = tracked.run.id;
        // Neither the runs that another one replaced on the way.
        if here != by.run.id && Some(here) != forward.run {
            return None;
        }
        let message = self.repaired_text(forward, fix, tracked, by);
        Some(Said { thread: here, message, broadcast: false })
    }

    /// The changes whose repair a run may have to tell of.
    pub(super) fn taken_back(&self, id: RunId) -> Vec<PrNumber> {
        let Some(tracked) = self.state.runs.get(&id) else { return Vec::new() };
        self.forwards_of(tracked).map(|(forward, _)| forward.broken).collect()
    }

    /// Whether somebody took back what a run brought, and that is live.
    pub(super) fn is_repaired(&self, run: RunId) -> bool {
        let fixes = self.state.forwards.iter().filter(|forward| forward.run == Some(run));
        fixes.filter_map(|forward| forward.fix.as_ref()).any(|fix| self.repaired_by(fix).is_some())
    }

    /// What went live together with a change, and stays.
    pub(super) fn company_of(&self, suspect: &Suspect) -> Option<String> {
        let all = self.bringer(suspect.number).and_then(|run| self.ships(self.state.runs.get(&run)?))?;
        let others = all.iter().filter(|s| s.change.key != ChangeKey::Pr(suspect.number)).count();
        (others > 0).then(|| format!("{} that went live with it", plural(others, "other change")))
    }
}

/// Why something came to nothing, for the audit log.
fn failure(outcome: Outcome) -> String {
    if let Outcome::Failed(why) = outcome { why } else { "an outcome of something else".to_owned() }
}

impl Reverted {
    /// For the audit log.
    fn word(&self) -> &'static str {
        match self {
            Self::Opened { .. } => "opened",
            Self::Conflict(_) => "github cannot revert it by itself",
            Self::Forbidden(_) => "github does not allow it",
            Self::Lost => "outcome unknown, no pull request found",
        }
    }
}

impl NoRevert {
    /// For the audit log.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "no such pull request",
            Self::NotMerged(_) => "not merged",
            Self::Elsewhere(..) => "merged to another branch",
            Self::Again(_) => "being reverted already",
            Self::Shipped(_) => "reverted already",
        }
    }
}

impl fmt::Display for Reverting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reviewers: Vec<&str> = self.reviewers.iter().map(Login::as_str).collect();
        write!(f, "#{} “{}” for {}", self.pr, cut(&self.title, 60), self.request.by)?;
        if reviewers.is_empty() { Ok(()) } else { write!(f, ", review by {}", reviewers.join(", ")) }
    }
}
