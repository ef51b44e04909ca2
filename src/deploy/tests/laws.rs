//! Laws that hold over any order of events.

use proptest::prelude::{Just, Strategy, prop, prop_oneof, proptest};

use super::dispatch::with_redeploy;
use super::*;
use crate::deploy::dispatch::{Dispatch, Doomed, Order, Plan};
use crate::deploy::effect::Verdict;

/// Something that can happen.
#[derive(Clone, Debug)]
enum Happening {
    Merge(usize),
    Docs(usize),
    OnStaging,
    Ship,
    Fail,
    Cancel,
    Look,
    Click(usize),
    StaleClick(usize),
    Tick(usize),
    Hold(usize),
    Release(usize),
    Start(usize),
    Redeploy(usize),
    StaleRedeploy(usize),
    GitHubAnswers(bool),
    Minutes(i64),
}

const LOGINS: [&str; 3] = ["ana-gh", "ben-gh", "chi-gh"];
const PEOPLE: [&str; 6] = ["ANA", "BEN", "CHI", "GUEST", "STRANGER", "ROBOT"];

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (0..3usize).prop_map(Happening::Merge),
        (0..3usize).prop_map(Happening::Docs),
        Just(Happening::OnStaging),
        Just(Happening::Ship),
        Just(Happening::Fail),
        Just(Happening::Cancel),
        Just(Happening::Look),
        Just(Happening::Look),
        (0..6usize).prop_map(Happening::Click),
        (0..6usize).prop_map(Happening::StaleClick),
        (0..6usize).prop_map(Happening::Tick),
        (0..6usize).prop_map(Happening::Hold),
        (0..6usize).prop_map(Happening::Release),
        (0..6usize).prop_map(Happening::Start),
        (0..6usize).prop_map(Happening::Redeploy),
        (0..6usize).prop_map(Happening::StaleRedeploy),
        prop::bool::ANY.prop_map(Happening::GitHubAnswers),
        (0..30i64).prop_map(Happening::Minutes),
    ]
}

/// What somebody was shown and may still click.
#[derive(Default)]
struct Seen {
    approval: Option<Shown>,
    redeploy: Option<Plan>,
}

/// What a redeploy of Production would be now.
fn plan(story: &Story) -> Plan {
    let (run, details) = story.runs.last().expect("a run");
    let going = |step: &Step| step.status == Status::InProgress;
    let touching = details.jobs.iter().any(|job| job.steps.iter().any(going));
    let cancels = (!run.is_over()).then_some(Doomed { run: run.id, attempt: run.attempt, touching });
    Plan { workflow: Workflow::Redeploy, environments: vec!["Production".into()], cancels }
}

/// GitHub takes what waits: a workflow that is started is a run, a moment later, unless another run is in the way.
fn answer(story: &mut Story) {
    let dispatch = |effect: &Effect| if let Effect::Dispatch(order) = effect { Some(order.clone()) } else { None };
    let order = story.waiting.iter().find_map(dispatch);
    let newest = story.newest().0.clone();
    let free = order.filter(|order| newest.is_over() || order.cancels == Some(newest.id));
    let started = free.map(|order| {
        story.pass(1).start("bot-gh", "Dispatched");
        let run = &mut story.newest().0;
        (run.workflow, run.event) = (order.workflow, "workflow_dispatch".into());
        run.id
    });
    story.come_back(|effect| match (effect, started) {
        (Effect::Dispatch(_), Some(run)) => Outcome::Started { run, found: false },
        (Effect::Dispatch(_), None) => Outcome::InTheWay(Box::new(newest.clone())),
        (_, _) => Outcome::Done,
    });
}

fn play(story: &mut Story, happening: Happening, seen: &mut Seen) {
    let over = story.newest().0.is_over();
    match happening {
        Happening::Merge(n) => drop(story.merge(LOGINS[n], "Change")),
        Happening::Docs(n) => drop(story.merge_docs(LOGINS[n], "Docs")),
        Happening::OnStaging if !over && story.newest().1.gates.is_empty() => drop(story.on_staging()),
        Happening::Ship if !over => drop(story.ship()),
        Happening::Fail if !over => drop(story.finish(Conclusion::Failure)),
        Happening::Cancel if !over => drop(story.finish(Conclusion::Cancelled)),
        Happening::OnStaging | Happening::Ship | Happening::Fail | Happening::Cancel => {}
        Happening::Look => drop(story.look()),
        Happening::Click(n) => {
            let run = story.newest().0.clone();
            let environments = vec!["Production".into(), "Production (Canada)".into()];
            let now = Shown { run: run.id, attempt: run.attempt, sha: run.sha, environments };
            seen.approval = Some(now.clone());
            story.ask(PEOPLE[n], Action::ApproveShown(now));
        }
        Happening::StaleClick(n) => {
            if let Some(shown) = seen.approval.clone() {
                story.ask(PEOPLE[n], Action::ApproveShown(shown));
            }
        }
        Happening::Tick(n) => drop(story.ask(PEOPLE[n], Action::Tested { prs: vec![] })),
        Happening::Hold(n) => drop(story.ask(PEOPLE[n], Action::Hold { reason: "Because".into() })),
        Happening::Release(n) => drop(story.ask(PEOPLE[n], Action::Release)),
        Happening::Start(n) => drop(story.ask(PEOPLE[n], Action::Dispatch(Dispatch::Start))),
        Happening::Redeploy(n) => {
            let plan = plan(story);
            seen.redeploy = Some(plan.clone());
            story.ask(PEOPLE[n], Action::Dispatch(Dispatch::Confirmed(plan)));
        }
        Happening::StaleRedeploy(n) => {
            if let Some(plan) = seen.redeploy.clone() {
                story.ask(PEOPLE[n], Action::Dispatch(Dispatch::Confirmed(plan)));
            }
        }
        Happening::GitHubAnswers(true) => answer(story),
        Happening::GitHubAnswers(false) => drop(story.come_back(|_| Outcome::Failed("away".into()))),
        Happening::Minutes(minutes) => drop(story.pass(minutes)),
    }
}

/// A granted approval is of somebody who may, of the newest run as it is, at gates that wait, while nothing is on hold; and
/// no gate is granted twice while its answer is out.
fn assert_lawful(story: &Story, held: bool, out: usize) {
    for new in &story.waiting[out..] {
        match new {
            Effect::Approve(verdict) => assert_approved_lawfully(story, verdict, held, out),
            Effect::Dispatch(order) => assert_started_lawfully(story, order, held),
            _ => {}
        }
    }
}

/// A workflow is started for somebody who may, one at a time, in no other run's place than the one that was shown.
fn assert_started_lawfully(story: &Story, order: &Order, held: bool) {
    assert!(["ANA", "BEN"].contains(&order.request.by.as_str()), "{order} by somebody who may not");
    assert!(!held || order.workflow == Workflow::Deploy, "{order} on hold");
    let dispatches = story.waiting.iter().filter(|effect| matches!(effect, Effect::Dispatch(_)));
    assert_eq!(dispatches.count(), 1, "{order} beside another");
    let (run, _) = story.runs.last().expect("a run");
    assert!(run.is_over() || order.cancels == Some(run.id), "{order} in the place of another run");
    let shown = match &order.request.action {
        Action::Dispatch(Dispatch::Confirmed(plan)) => plan.cancels.map(|doomed| doomed.run),
        _ => None,
    };
    assert!(order.cancels.is_none() || order.cancels == shown, "{order} cancels what was not shown");
}

fn assert_approved_lawfully(story: &Story, verdict: &Verdict, held: bool, out: usize) {
    let (run, details) = story.runs.last().expect("a run");
    assert!(["ANA", "BEN"].contains(&verdict.request.by.as_str()), "{verdict} by somebody who may not");
    assert_eq!((verdict.run, verdict.attempt, &verdict.sha), (run.id, run.attempt, &run.sha), "not the newest run");
    assert!(!held, "{verdict} on hold");
    for (id, _) in &verdict.gates {
        assert!(details.gates.iter().any(|gate| gate.environment_id == *id), "{verdict} where nothing waits");
        let twice = story.waiting[..out].iter().any(|other| match other {
            Effect::Approve(other) => other.run == verdict.run && other.gates.iter().any(|(known, _)| known == id),
            _ => false,
        });
        assert!(!twice, "{verdict} twice");
    }
}

proptest! {
    #[test]
    fn approvals_are_lawful_and_nothing_is_said_twice(happenings in prop::collection::vec(happening(), 1..60)) {
        let mut story = Story::with(policy(), with_redeploy());
        let mut seen = Seen::default();
        let mut once = BTreeSet::new();
        for happening in happenings {
            let (held, out) = (story.app.state.hold.is_some(), story.waiting.len());
            play(&mut story, happening, &mut seen);
            if story.waiting.len() > out {
                assert_lawful(&story, held, out);
            }
            for line in std::mem::take(&mut story.said) {
                let once_only = ["ready ", "handover ", "trouble ", "start "].iter().any(|topic| line.starts_with(topic));
                assert!(!once_only || once.insert(line.clone()), "said twice: {line}");
            }
        }
        story.look();
        let document = story.app.document().expect("a document");
        assert!(document.len() < 1_000_000, "the document grows without end");
        story.said.clear();
    }

    #[test]
    fn looking_again_says_nothing_new(happenings in prop::collection::vec(happening(), 1..40)) {
        let mut story = Story::with(policy(), with_redeploy());
        let mut seen = Seen::default();
        for happening in happenings {
            play(&mut story, happening, &mut seen);
        }
        story.look();
        story.said.clear();
        story.look();
        assert!(story.said.is_empty(), "{:#?}", story.said);
    }
}
