//! Stories of environment variables: the parity board, pull requests that require some, and setting one.

use std::collections::BTreeMap;

use insta::assert_snapshot;

use super::{Story, pipeline, policy};
use crate::deploy::action::Action;
use crate::deploy::event::{Event, Outcome};
use crate::deploy::name::EnvName;
use crate::deploy::pipeline::{Beanstalk, Pipeline};
use crate::deploy::policy::{Policy, VariableRules};
use crate::deploy::server::Unread;
use crate::deploy::variable::{Fingerprint, Inventory, Keys, Proposal, Stepped, Stop, Variables, required};

/// The pipeline of the other stories, on Elastic Beanstalk.
fn placed() -> Pipeline {
    let mut pipeline = pipeline();
    for (environment, (region, name)) in pipeline.environments.iter_mut().zip([
        ("us-west-1", "h-staging"),
        ("us-west-1", "h-prod"),
        ("ca-central-1", "h-prod"),
    ]) {
        environment.region = Some(region.into());
        environment.beanstalk = Some(Beanstalk { application: "h".into(), environment: name.into() });
    }
    pipeline
}

fn rules(settable: bool) -> Policy {
    let may_differ = ["SECRET_KEY".to_owned()].into();
    let required = ["SENTRY_DSN".to_owned()].into();
    Policy { variables: VariableRules { required, may_differ, settable }, ..policy() }
}

fn story(settable: bool) -> Story {
    Story::with(rules(settable), placed())
}

/// Keys with a number for each value; 0 is the address of a secret.
fn keys(all: &[(&str, u8)]) -> Result<Keys, Unread> {
    let print = |value: u8| (value > 0).then_some(Fingerprint([value; 32]));
    Ok(all.iter().map(|(key, value)| ((*key).to_owned(), print(*value))).collect())
}

fn inventory(all: [Result<Keys, Unread>; 3], proposals: Option<Vec<Proposal>>) -> Event {
    let names = ["Staging", "Production", "Production (Canada)"].map(EnvName::from);
    let environments: BTreeMap<_, _> = names.into_iter().zip(all).collect();
    Event::Inventoried(Inventory { environments, proposals })
}

fn proposal(requires: &str, sha: usize) -> Proposal {
    Proposal { pr: 4600, title: "Use the cache".into(), sha: super::sha(sha), requires: required(requires) }
}

/// What an environment of each kind has: the first lacks one, the last another.
fn three() -> [Result<Keys, Unread>; 3] {
    [
        keys(&[("DATABASE", 1), ("SECRET_KEY", 1), ("LOG", 1), ("ARN", 0), ("SAME", 7)]),
        keys(&[("DATABASE", 2), ("SECRET_KEY", 2), ("LOG", 1), ("ARN", 0), ("SAME", 7), ("CACHE_URL", 1)]),
        keys(&[("DATABASE", 2), ("SECRET_KEY", 3), ("ARN", 0), ("SAME", 7), ("CACHE_URL", 1)]),
    ]
}

fn set(environments: &[&str]) -> Action {
    let environments = environments.iter().map(|name| EnvName::from(*name)).collect();
    Action::Variables(Variables::Set { key: "CACHE_URL".into(), environments })
}

#[test]
fn the_board_shows_what_is_missing_and_what_differs() {
    let mut story = story(false);
    story.tell(inventory(three(), None));
    assert_snapshot!(story.app.parity(story.now), @"
    *h* · variables of 3 environments
    Missing somewhere:
    • `CACHE_URL`: not in Staging
    • `LOG`: not in Production (Canada)
    • `SENTRY_DSN`: not in Staging, Production and Production (Canada), and this app requires it
    Not the same everywhere:
    • `DATABASE`: Staging | Production and Production (Canada)
    Differ, as expected: `SECRET_KEY`.
    The same everywhere: 2 variables.
    AWS console: [Staging] · [Production] · [Production (Canada)]
    ");
    story.pass(3);
    assert_snapshot!(story.app.one_variable("database", story.now), @"
    *h* · `DATABASE` · read 3 min ago
    • [Staging] (us-west-1): set, value A
    • [Production] (us-west-1): set, value B
    • [Production (Canada)] (ca-central-1): set, value B
    AWS console: [Staging] · [Production] · [Production (Canada)]
    ");
    assert_snapshot!(story.app.one_variable("CACHE_URI", story.now), @"
    *h* · `CACHE_URI` · read 3 min ago
    No environment that could be looked at has it. Did you mean `CACHE_URL`?
    AWS console: [Staging] · [Production] · [Production (Canada)]
    ");
    assert_snapshot!(story.app.one_variable("a b", story.now), @"`a b` cannot be the name of a variable.");
}

#[test]
fn what_could_not_be_looked_at_is_named_and_spoils_nothing() {
    let mut story = story(true);
    let [staging, production, _] = three();
    story.tell(inventory([staging, production, Err(Unread::Denied("ExpiredToken".into()))], None));
    assert_snapshot!(story.app.parity(story.now), @"
    *h* · variables of 2 environments
    Missing somewhere:
    • `CACHE_URL`: not in Staging
    • `SENTRY_DSN`: not in Staging and Production, and this app requires it
    Not the same everywhere:
    • `DATABASE`: Staging | Production
    Differ, as expected: `SECRET_KEY`.
    The same everywhere: 3 variables.
    Not known, because it could not be looked at:
    • Production (Canada) (ca-central-1): AWS does not let Lockkeeper look (`ExpiredToken`)
    AWS console: [Staging] · [Production] · [Production (Canada)]
    ");
    assert_snapshot!(story.app.one_variable("SECRET_KEY", story.now), @"
    *h* · `SECRET_KEY`
    • [Staging] (us-west-1): set, value A
    • [Production] (us-west-1): set, value B
    It is expected to differ.
    Not known, because it could not be looked at:
    • Production (Canada) (ca-central-1): AWS does not let Lockkeeper look (`ExpiredToken`)
    AWS console: [Staging] · [Production] · [Production (Canada)]
    [Set SECRET_KEY…]
    ");
    story.tell(inventory([Err(Unread::NotConfigured), Err(Unread::NotConfigured), Err(Unread::NotConfigured)], None));
    assert_snapshot!(story.app.parity(story.now), @"
    *h* · variables
    Elastic Beanstalk is not asked: AWS is not set up for this app. Whoever runs Lockkeeper gives it AWS credentials; aws = false in its settings turns it off.
    AWS console: [Staging] · [Production] · [Production (Canada)]
    ");
    let nowhere = Story::new();
    assert_snapshot!(nowhere.app.parity(nowhere.now), @"h has no environment that is known at Elastic Beanstalk, so nothing can be said about its variables. Region and name are read from the workflow file, or written in lockkeeper.toml; aws = true has to be set.");
}

#[test]
fn a_pull_request_is_red_until_every_environment_has_what_it_requires() {
    let mut story = story(false);
    let asks = proposal("Hello\n- **Requires-Env:** `CACHE_URL`, SAME\n", 9);
    story.tell(inventory(three(), Some(vec![asks.clone()])));
    assert_snapshot!(story.heard(), @"mark #4600 at a000009: CACHE_URL missing in Staging");
    assert_snapshot!(story.app.requirements(&asks), @"
    [#4600] Use the cache requires 2 variables:
    • `CACHE_URL`: missing in Staging
    • `SAME`: there
    Its commit status is red until every environment has all of them; it turns green by itself.
    AWS console: [Staging] · [Production] · [Production (Canada)]
    ");
    story.tell(inventory(three(), Some(vec![asks.clone()])));
    assert_eq!(story.heard(), "", "said once");
    let [_, production, canada] = three();
    story.tell(inventory([Err(Unread::Throttled), production.clone(), canada.clone()], Some(vec![asks.clone()])));
    assert_eq!(story.heard(), "", "what cannot be told changes nothing");
    let staging = keys(&[("CACHE_URL", 1), ("SAME", 7)]);
    story.tell(inventory([staging.clone(), production.clone(), canada.clone()], Some(vec![asks.clone()])));
    assert_snapshot!(story.heard(), @"mark #4600 at a000009: CACHE_URL and SAME set in all 3 environments");
    let pushed = proposal("Requires-Env: CACHE_URL, SAME", 10);
    story.tell(inventory([Err(Unread::Throttled), production.clone(), canada.clone()], Some(vec![pushed.clone()])));
    assert_snapshot!(story.heard(), @"mark #4600 at a00000a: Not known in Staging");
    assert_snapshot!(story.app.requirements(&pushed), @"
    [#4600] Use the cache requires 2 variables:
    • `CACHE_URL`: there, as far as it could be looked at
    • `SAME`: there, as far as it could be looked at
    Its commit status stays open: not every environment could be looked at. That is tried again by itself.
    Not known, because it could not be looked at:
    • Staging (us-west-1): AWS asks to be asked less; try again in a minute
    AWS console: [Staging] · [Production] · [Production (Canada)]
    ");
    let nothing = proposal("no more", 10);
    story.tell(inventory(three(), Some(vec![nothing.clone()])));
    assert_snapshot!(story.heard(), @"mark #4600 at a00000a: Requires no variable any more");
    story.tell(inventory(three(), Some(vec![nothing])));
    assert_eq!(story.heard(), "");
    assert!(story.app.watches_proposals());
    story.tell(inventory(three(), Some(Vec::new())));
    assert!(!story.app.watches_proposals(), "it is not open any more");
}

#[test]
fn a_status_that_github_did_not_take_is_given_again() {
    let mut story = story(false);
    let asks = proposal("Requires-Env: CACHE_URL", 9);
    story.tell(inventory(three(), Some(vec![asks.clone()])));
    let mark = story.app.state.variables.marks[&4600].clone();
    let effect = crate::deploy::effect::Effect::Mark(mark);
    story.tell(Event::Performed(effect, Outcome::Failed("forbidden".into())));
    story.tell(inventory(three(), Some(vec![asks])));
    assert_eq!(story.heard().lines().count(), 2, "given twice");
}

#[test]
fn what_a_description_requires() {
    let names = |body: &str| required(body).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(names("Requires-Env: A"), "A");
    assert_eq!(names("text\r\n  * requires-env:  `A_1`,B\r\nRequires-Env: C\r\n"), "A_1 B C");
    assert_eq!(names("This Requires-Env: A does not count\nRequires-Environment: B\nRequires-Env:"), "");
    assert_eq!(names("Requires-Env: <!channel>, A\u{202e}B, ok"), "ok", "only what can be a name");
    assert_eq!(names("é"), "");
}

#[test]
fn setting_goes_from_one_environment_to_the_next() {
    let mut story = story(true);
    story.ask("ANA", set(&["Production (Canada)", "Staging"]));
    story.come_back(|_| Outcome::Setting(Stepped::Checked));
    let now = story.now;
    story.come_back(|_| Outcome::Setting(Stepped::Begun(now)));
    story.come_back(|_| Outcome::Setting(Stepped::Set));
    assert_snapshot!(story.heard(), @"
    record set by ANA: granted
    set CACHE_URL for ANA, Check
    show: *h* · 🔧 @ANA sets `CACHE_URL` in 2 environments, one after the other
    • Staging: next
    • Production (Canada): not touched
    set CACHE_URL for ANA, Change(0)
    show: *h* · 🔧 @ANA sets `CACHE_URL` in 2 environments, one after the other
    • Staging: its servers take it over
    • Production (Canada): not touched
    set CACHE_URL for ANA, Follow(0, 2026-11-23T10:00:00Z)
    show: *h* · 🔧 @ANA sets `CACHE_URL` in 2 environments, one after the other
    • Staging: set
    • Production (Canada): next
    set CACHE_URL for ANA, Change(1)
    ");
    story.ask("BEN", set(&["Production"]));
    assert_snapshot!(story.heard(), @"
    refuse BEN: @ANA is just setting `CACHE_URL`. Its message in the channel shows when that is over; then try again.
    record set by BEN: refused: another variable is being set
    ");
    story.restart();
    story.come_back(|_| Outcome::Setting(Stepped::Begun(now)));
    story.come_back(|_| Outcome::Setting(Stepped::Set));
    assert_snapshot!(story.heard(), @"
    show: *h* · 🔧 @ANA sets `CACHE_URL` in 2 environments, one after the other
    • Staging: set
    • Production (Canada): its servers take it over
    set CACHE_URL for ANA, Follow(1, 2026-11-23T10:00:00Z)
    record set by ANA: done
    show: *h* · ✅ @ANA set `CACHE_URL` in 2 environments
    • Staging: set
    • Production (Canada): set
    ");
    assert!(story.waiting.is_empty());
    story.ask("BEN", set(&["Production"]));
    assert_snapshot!(story.heard().lines().next().unwrap_or_default(), @"record set by BEN: granted");
}

#[test]
fn a_setting_that_stops_says_where_and_what_that_means() {
    let stops = [
        Stop::Busy("Updating".into()),
        Stop::Refused(Some("too long".into())),
        Stop::Refused(None),
        Stop::Reverted,
        Stop::Ill("Red".into()),
        Stop::Unsure,
        Stop::Forgotten,
        Stop::Unread(Unread::Denied("ExpiredToken".into())),
        Stop::Slow,
    ];
    let mut told = Vec::new();
    for stop in stops {
        let mut story = story(true);
        story.ask("ANA", set(&["Staging", "Production", "Production (Canada)"]));
        story.come_back(|_| Outcome::Setting(Stepped::Checked));
        story.come_back(|_| Outcome::Setting(Stepped::Set));
        story.heard();
        story.come_back(|_| Outcome::Setting(Stepped::Stopped("Production".into(), stop.clone())));
        assert!(story.waiting.is_empty(), "nothing more is done");
        let heard = story.heard();
        told.push(if told.is_empty() { heard } else { heard.lines().nth(3).unwrap_or_default().to_owned() });
    }
    assert_snapshot!(told.join("\n"), @"
    record set by ANA: failed: not ready
    show: *h* · ⚠️ @ANA was setting `CACHE_URL`, and it stopped
    • Staging: set
    • Production: not set: it is `Updating` and takes changes only when it is ready
    • Production (Canada): not touched
    The others keep what they had. See where it is now with `/deploy env h CACHE_URL`; then set what is left.
    • Production: not set: Elastic Beanstalk refuses it: “too long”
    • Production: not set: Elastic Beanstalk refuses the value. Its words would show it, so they are kept back
    • Production: not set: Elastic Beanstalk went back to the settings of before. Its events say why
    • Production: set, and its health is red since. Look at it before anything else
    • Production: nobody knows: no clear answer came, and it does not show there. It was not sent again
    • Production: nobody knows: Lockkeeper was started again meanwhile, and it keeps no values. It was not sent again
    • Production: nobody knows: AWS does not let Lockkeeper look (`ExpiredToken`)
    • Production: nobody knows: it took longer than an hour. What was begun goes on by itself
    ");
}

#[test]
fn nothing_is_said_in_the_channel_of_a_value_that_is_not_taken() {
    let mut story = story(true);
    story.ask("ANA", set(&["Staging", "Production"]));
    story.come_back(|_| Outcome::Setting(Stepped::Stopped("Production".into(), Stop::Refused(None))));
    assert_snapshot!(story.heard(), @"
    record set by ANA: granted
    set CACHE_URL for ANA, Check
    record set by ANA: failed: refused by elastic beanstalk
    answer ANA: Nothing was set. `CACHE_URL` in Production: Elastic Beanstalk refuses the value. Its words would show it, so they are kept back.
    ");
    story.ask("ANA", set(&["Staging"]));
    story.come_back(|_| Outcome::Failed("it took too long".into()));
    assert_snapshot!(story.heard(), @"
    record set by ANA: granted
    set CACHE_URL for ANA, Check
    record set by ANA: failed: too slow
    answer ANA: Nothing was set. `CACHE_URL` in Staging: it took longer than an hour. What was begun goes on by itself.
    ");
}

#[test]
fn who_may_not_set_is_told_why() {
    let mut told = Vec::new();
    for (who, settable, action) in [
        ("ANA", false, set(&["Staging"])),
        ("CHI", true, set(&["Staging"])),
        ("GUEST", true, set(&["Staging"])),
        ("ANA", true, set(&[])),
        ("ANA", true, set(&["Mars"])),
        ("ANA", true, Action::Variables(Variables::Set { key: "A B".into(), environments: vec!["Staging".into()] })),
    ] {
        let mut story = story(settable);
        story.ask(who, action);
        assert!(story.waiting.is_empty(), "nothing is done");
        told.push(story.heard());
    }
    assert_snapshot!(told.join("\n"), @"
    refuse ANA: Setting variables from Slack is off. Whoever runs Lockkeeper turns it on with set_variables = true; until then the AWS console does it.
    record set by ANA: refused: setting is off
    refuse CHI: You are not among the approvers of this app. Ask one of them, or ask whoever runs Lockkeeper to add you.
    record set by CHI: refused: not an approver
    refuse GUEST: Guests of this workspace cannot use Lockkeeper. Ask a member of the team.
    record set by GUEST: refused: guest
    refuse ANA: Nothing was set: no field was filled in.
    record set by ANA: refused: nothing filled in
    refuse ANA: Nothing was set: no field was filled in.
    record set by ANA: refused: nothing filled in
    refuse ANA: “A B” cannot be the name of a variable.
    record set by ANA: refused: not a variable's name
    ");
}

#[test]
fn no_debug_line_shows_a_value() {
    let filled = crate::deploy::form::Filled {
        words: [("Staging".to_owned(), "canary".to_owned())].into(),
        ..Default::default()
    };
    let form = crate::deploy::form::Form::Variable("h".into(), "KEY".into());
    let action = form.read(&filled).expect("an action");
    let stored = serde_json::to_string(&action).expect("JSON");
    let mut story = story(true);
    story.tell(inventory(three(), None));
    let state = format!("{:?}", story.app.state);
    assert!(state.contains("Fingerprint") && !state.contains("Fingerprint("), "{state}");
    for text in [format!("{filled:?}"), format!("{action:?}"), stored, action.to_string()] {
        assert!(!text.contains("canary"), "{text}");
    }
    let document = story.app.document().expect("a document");
    assert!(!document.contains("DATABASE"), "not even the names are remembered");
}
