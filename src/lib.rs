//! Lockkeeper: a Slack bot at the gate between a team's test environment and production. What it does for people, and how it is
//! set up, is in `README.md`; this is the guide for those who change it.
//!
//! # The map
//!
//! | part | modules |
//! |---|---|
//! | **The domain**: every rule and every text. Pure and synchronous | [`deploy`] |
//! | **The shell**: what waits and talks, and decides nothing | [`bot`] starts and joins all, [`shell`] is what its parts share; [`inbox`] takes what people do, [`questions`] answers what changes nothing, [`watch`] looks at GitHub and at Elastic Beanstalk, on the one replica that has the [`lead`], [`hooks`] has it look sooner, [`herald`] reminds people afterwards, [`desk`] decides and commits, [`outbox`] performs; [`variables`] looks at environment variables |
//! | **The clients**, concrete, each with a base URL | [`slack`], [`github`], [`beanstalk`] |
//! | **What is remembered** | [`store`] |
//! | **Round about** | [`config`], [`check`], [`server`] and [`telemetry`] (seen from outside), [`log`], [`http`], [`clock`] |
//! | **The pretend world**, in which the real bot is tried by hand and by tests | [`sandbox`] |
//!
//! # One event, from the socket to the effect
//!
//! ```text
//!  Slack: command, click                    GitHub: runs, jobs, gates
//!        │ slack::socket                           │ github
//!        │ slack::inbound (pure)                   │ watch: looks, and looks up what is wanted
//!        │ inbox                                   │
//!        └────────────►  deploy::event::Event  ◄───┘ ◄──────────────────────┐
//!                                │                                          │
//!                  desk: one for each app, one event at a time              │
//!                                │                                          │
//!          deploy::app::App::handle(event, now)    pure: all rules          │ Examined,
//!                 │                      │                                  │ Performed
//!          Err(Refusal)          Ok(Vec<Effect>)                            │
//!                 └──────────┬───────────┘                                  │
//!            store::Store::commit   document, effects, audit line, at once  │
//!                            │                                              │
//!                    ack to Slack: "acked" means "remembered"               │
//!                            │                                              │
//!            outbox: claim → perform with slack and github ─────────────────┘
//! ```
//!
//! # Five rules
//!
//! 1. **A synchronous core, an asynchronous shell, an outbox between them.** [`App::handle`] is the only way in. Below [`deploy`]
//!    there is no I/O, no async, no clock, no randomness and no client's type: the time is an argument, what is known outside is an
//!    [`Event`].
//! 2. **What happens outside is observed, not remembered.** GitHub is the truth about runs. [`watch`] reads it and the core
//!    compares: a restart or an hour offline is repaired by the next look, by the same code as a quiet minute.
//! 3. **Effects are data.** [`Effect`] lists all that the bot can do. State, effects and audit lines are one commit; then the
//!    effects are performed, at least once, so each must be safe to repeat.
//! 4. **No port traits, fakes at the wire.** The tests run the real clients against pretend services on loopback. Do not add
//!    a trait to be able to test something: teach [`sandbox`] to answer.
//! 5. **The sandbox is part of the product**, and a strict judge: an unknown route, a missing token, a broken limit of Slack's or a
//!    late ack is a complaint, and complaints fail tests. It knows nothing of the bot.
//!
//! # How fast, and what the limit is made of
//!
//! `cargo bench` (`benches/speed/`) measures it beside a bare responder. A **question** waits for nobody: it is parsed, answered from
//! memory and written by the very task that read it ([`slack::socket`]), so it costs what its JSON and its blocks cost. A **decision**
//! costs one durable commit, and an fsync takes longer than dozens of decisions: all letters that wait at a [`Desk`](desk::Desk) share a
//! commit, all commits that wait share a transaction ([`store::embedded`]). Taking a request in changes nothing, so nothing is compared
//! and said at that moment: rendering sixty notices would cost more than the rest. The **answer** to a decision is two more commits and two
//! calls of Slack's away; the outbox has 256 hands for that ([`outbox`]). Memory is mostly mapped code, which is why `Cargo.toml`
//! builds the dependencies for size.
//!
//! # Walk 1: `/deploy approve h`
//!
//! 1. [`slack::socket::run`] reads an [`Envelope`](slack::socket::Envelope) and hands it to [`Inbox::take`](inbox::Inbox::take), which has
//!    [`inbound::read`](slack::inbound::read) make an [`Inbound::Command`](slack::inbound::Inbound::Command) of it and
//!    [`command::parse`](deploy::command::parse) a [`Command::Act`](deploy::command::Command::Act) with an
//!    [`Action`](deploy::action::Action). A typo ends here: its answer
//!    goes back in the ack.
//! 2. The inbox tells the app's [`Desk`](desk::Desk) that somebody [`Asked`](deploy::event::Event::Asked), with a time limit within Slack's
//!    three seconds. The core answers nearly nothing: [`Effect::Examine`](deploy::effect::Effect::Examine), "find out what is true".
//!    The desk commits that with the request's dedupe key; when [`Desk::tell`](desk::Desk::tell) returns, the inbox acks.
//! 3. [`outbox::run`] claims the effect. It looks up the person ([`Shell::person`](shell::Shell::person)) and the run
//!    ([`GitHub::facts`](github::GitHub::facts)), and tells the desk: [`Examined`](deploy::event::Event::Examined). Who cannot be looked up
//!    cannot act.
//! 4. `deploy::approve` goes through the rules, in their order. A [`Refusal`](deploy::refusal::Refusal) is told and recorded. Else
//!    the answer is a confirmation: its button carries a [`Shown`](deploy::message::Shown), the very run, attempt, commit and
//!    environments that the person has seen.
//! 5. The click comes the same way, as [`ApproveShown`](deploy::action::Action::ApproveShown), is examined again, and is granted only if
//!    all is still as shown. The claim on the gates, the audit line and [`Effect::Approve`](deploy::effect::Effect::Approve) are one
//!    commit: from here on a second click finds that somebody was faster.
//! 6. The outbox calls [`GitHub::review`](github::GitHub::review), which reads once more, posts at most once, and reads back after an
//!    unclear answer. [`Performed`](deploy::event::Event::Performed) carries the [`Outcome`](deploy::event::Outcome) into the core, which
//!    answers the person; the same commit settles the effect. The watcher is told to look now, and the notice follows what it sees.
//!
//! # Walk 2: a merge takes another's place
//!
//! 1. A [`Watcher`](watch::Watcher) for each app asks [`GitHub::look`](github::GitHub::look) for the newest runs and tells the desk what it has
//!    [`Seen`](deploy::event::Event::Seen): run 813 is new, run 812 is over.
//! 2. [`App::wanted`](deploy::app::App::wanted) lists what the core wants to know now: the jobs and gates of both, why 812 was cancelled, what
//!    lies between production and 813. The watcher finds it out and comes back with [`Learned`](deploy::event::Event::Learned), round by
//!    round, until nothing is wanted.
//! 3. `deploy::track` decides what became of each environment (deployed, not deployed, unknown), [`deploy::phase`] what the run is
//!    doing: 812 is [`Superseded`](deploy::phase::Phase::Superseded). `deploy::ledger` computes what 813 ships: all that is not in production.
//! 4. After every event `reconcile` in [`deploy::say`] renders the notices anew and compares them with what was shown. 812's folds to one
//!    line, 813's is posted: [`Effect::Notice`](deploy::effect::Effect::Notice). Each thing that has to make a sound is said
//!    once, by topic: the handover mentions both people in 813's thread ([`Effect::Thread`](deploy::effect::Effect::Thread)).
//! 5. The outbox keeps the channel's order by lane, posts with the effect's id in the message's metadata, and tells the core where the
//!    notice stands. Later, when 813 is on its test environments, `ready` asks the same people to test, once.
//!
//! # Walk 3: a new command, a new effect
//!
//! 1. **Words**: the variant in [`Question`](deploy::command::Question) or [`Action`](deploy::action::Action), its line in [`COMMANDS`](deploy::command::COMMANDS), its arm in
//!    [`parse`](deploy::command::parse), a row in the tests of that file; the table in `README.md`; the page's suggestions in
//!    `sandbox/page/page.js`.
//! 2. **If it changes nothing** it is a question: a function on [`App`] in `deploy/answer.rs`, its arm in [`questions`]. Done.
//! 3. **If it changes something**: the variant in [`Action`](deploy::action::Action). The compiler now shows every `match` that has to know it:
//!    `deploy/request.rs` (what to examine, who may, what to do, the audit line), `outbox.rs`
//!    (which facts it needs).
//! 4. **Every way in which it is refused**: a [`Refusal`](deploy::refusal::Refusal) with a sentence that says why and what to do now, and a
//!    word for the audit log.
//! 5. **If nothing that exists can do it**: the variant in [`Effect`] with its one-line `Display`; its lane and its end in `desk.rs`; how
//!    it is performed, for how long it is tried, and how a doubtful attempt is looked for, in `outbox.rs`; what its outcome means in
//!    `App::settle`. Ask first: what if this is performed twice?
//! 6. **The client's call** in `slack/` or `github/`; reads may be repeated, a write is sent once. Then the route in `sandbox/`, made from
//!    the documentation and not from the client.
//! 7. **A button**: the variant in [`What`](deploy::message::What), its arm in `inbox.rs`, where it is offered in `deploy/offer.rs`.
//!
//! The tests, in the same order: rows for the parser; a story in `deploy/tests/` that plays GitHub by hand and reads every effect;
//! if it must hold in any order of events, a law in `deploy/tests/laws.rs`; the client against a small server; and a story in
//! `tests/e2e/`, where the real bot meets the pretend world, also when the answer to its call is lost. Texts are inline snapshots:
//! `cargo insta review` shows what people will read. `tests/run` runs all of it. In `tests/e2e/chaos/` nobody chose what
//! happens: a number makes the story, and laws judge it by what the pretend world saw. A bug found there gets a story of its own.
//!
//! [`App`]: deploy::app::App
//! [`App::handle`]: deploy::app::App::handle
//! [`Event`]: deploy::event::Event
//! [`Effect`]: deploy::effect::Effect

pub mod beanstalk;
pub mod bot;
pub mod check;
pub mod clock;
pub mod config;
pub mod deploy;
pub mod desk;
pub mod github;
pub mod herald;
pub mod hooks;
pub mod http;
pub mod inbox;
pub mod lead;
pub mod log;
pub mod outbox;
pub mod questions;
pub mod sandbox;
pub mod server;
pub mod shell;
pub mod slack;
pub mod store;
pub mod telemetry;
pub mod variables;
pub mod vault;
pub mod watch;
