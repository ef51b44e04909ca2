//! What is said about rolling forward: the question before it, what became of it, and how far it is.

use super::app::App;
use super::message::{Button, Line, Message, Style, What};
use super::name::{Login, PrNumber};
use super::phase::Phase;
use super::policy::Person;
use super::revert::{Fix, Forward, NoRevert, Reverted, Reverting, RollForward, Suspect};
use super::text::{and, cut};
use super::track::Tracked;

/// Why there is no rollback, and what there is.
pub fn no_rollback(command: &str) -> Line {
    Line::plain(
        "There is no rollback, on purpose: an older version may not fit the database that the newer one has changed, and it \
         would take away everybody else’s changes since, without a word. Roll forward instead: type ",
    )
    .code(format!("{command} revert <app> <pr>"))
    .say(" to open the pull request that takes a change back (a review, a merge, and it ships like any other, as the fast lane), or ")
    .say("merge a fix. To keep others from deploying meanwhile, type ")
    .code(format!("{command} hold <app> <reason>"))
    .say(". If only some servers are ill, they do not need another version.")
}

impl App {
    /// Asked before the pull request is opened.
    pub(super) fn revert_question(&self, suspect: &Suspect) -> Message {
        let line = Line::plain("Take back ").link(format!("#{}", suspect.number), suspect.url.clone());
        let line = line.say(format!(" “{}”", cut(&suspect.title, 120))).say(match &suspect.author {
            Some(author) => format!(" by {author}?"),
            None => "?".to_owned(),
        });
        if let Some(fix) = &suspect.reverted_by {
            let open = Line::default().link(format!("#{}", fix.number), fix.url.clone());
            let open = open.say(
                " reverts it already and is open. No second one is opened; I follow that one and tell the channel.",
            );
            let follow = self.revert_button("Follow it", suspect.number);
            return Message::line(line).text(open).buttons(vec![follow, self.button("Not now", What::Dismiss)]);
        }
        let others = self.company_of(suspect).map(|others| format!(" Nothing happens to the {others}."));
        let about = format!(
            "A new pull request is opened that reverts it, a review is asked for, and the channel is told. Production stays as it is until that is merged and deployed.{}",
            others.unwrap_or_default()
        );
        let open = Button { style: Style::Danger, ..self.revert_button("Open the revert", suspect.number) };
        Message::line(line).text(Line::plain(about)).buttons(vec![open, self.button("Not now", What::Dismiss)])
    }

    fn revert_button(&self, label: &str, pr: PrNumber) -> Button {
        self.button(label, What::RollForward(RollForward::Revert { pr, run: None, because: None }))
    }

    /// What the new pull request says. Whatever a person wrote stands in code, where Markdown and mentions mean nothing.
    pub(super) fn revert_body(&self, suspect: &Suspect, person: &Person, because: Option<&str>) -> String {
        let plain = |text: &str| format!("`{}`", cut(text, 300).replace('`', "'"));
        let repo = self.pipeline().map_or("", |pipeline| &pipeline.repo);
        let login =
            self.login(person).map(|login| format!(", {} at GitHub", plain(login.as_str()))).unwrap_or_default();
        let who = format!("{} (Slack user {}{login})", plain(&person.name), person.id);
        let because = because.map(|because| format!("\n\nWhat is wrong: {}", plain(because))).unwrap_or_default();
        format!("Reverts {repo}#{}\n\nAsked for in Slack by {who}.{because}", suspect.number)
    }

    pub(super) fn adopted(&self, fix: &Fix, pr: PrNumber) -> String {
        format!(
            "#{} reverts #{pr} already. Nothing was opened; it is followed from here on, and the channel was told.",
            fix.number
        )
    }

    /// What became of it, for whoever asked.
    pub(super) fn revert_answer(&self, reverting: &Reverting, reverted: Option<&Reverted>) -> Message {
        let pr = reverting.pr;
        let repo = self.pipeline().map_or("", |pipeline| &pipeline.repo);
        let page = |words: &str| Line::plain(words).link("pull requests", format!("https://github.com/{repo}/pulls"));
        let again = format!("{} revert {} {pr}", self.policy.command, self.state.name);
        match reverted {
            Some(Reverted::Opened { fix, asked }) => {
                let line = Line::default().link(format!("#{}", fix.number), fix.url.clone());
                let line = line.say(format!(" is open and reverts #{pr}. "));
                Message::line(line.say(if asked.is_empty() {
                    "Nobody could be asked to review it: find somebody, then merge it. I follow it until it is live."
                        .to_owned()
                } else {
                    let names: Vec<&str> = asked.iter().map(Login::as_str).collect();
                    format!("A review is asked of {}. Then merge it; I follow it until it is live.", and(&names))
                }))
            }
            Some(Reverted::Conflict(said)) => {
                let line = Line::plain(format!(
                    "GitHub cannot revert #{pr} by itself: later changes touch the same lines, or it is reverted already. Nothing was opened. It says “"
                ));
                let message = Message::line(line.say(cut(said, 200)).say("”."));
                message.text(self.by_hand(reverting)).text(
                    Line::plain("Once that pull request is open, type ")
                        .code(again)
                        .say(": then it is followed from here like any other revert."),
                )
            }
            Some(Reverted::Forbidden(said)) => {
                let line = Line::plain(format!(
                    "GitHub does not let Lockkeeper’s account open the revert of #{pr}, so nothing was opened. It says “"
                ));
                let line = line.say(cut(said, 200)).say("”. Whoever runs Lockkeeper gives its token write access to contents and pull requests; meanwhile, press Revert on the page of ");
                Message::line(line.link(format!("#{pr}"), format!("https://github.com/{repo}/pull/{pr}")).say("."))
            }
            Some(Reverted::Lost) => {
                let line = page(
                    "GitHub did not say whether it opened the revert, and no such pull request is to be seen. Nothing is repeated blindly: look at the ",
                );
                Message::line(line.say(", and if there is none in a minute, type ").code(again).say(" again."))
            }
            None => {
                let line =
                    page("GitHub could not be asked to open the revert, or did not answer to the end. Look at the ");
                Message::line(line.say(" before anything else. If there is none, type ").code(again).say(" again."))
            }
        }
    }

    fn by_hand(&self, reverting: &Reverting) -> Line {
        let (pr, branch) = (reverting.pr, self.pipeline().map_or("main", |pipeline| &pipeline.branch));
        let commit = reverting.commit.as_ref().map_or("<commit>", |commit| commit.short());
        Line::plain("By hand: ")
            .code(format!("git switch -c revert-{pr} origin/{branch} && git revert {commit}"))
            .say(" (with ")
            .code("-m 1")
            .say(" if that is a merge commit), solve the conflicts with whoever wrote the later changes, push, open a pull request. A small fix may be quicker.")
    }

    /// A change is being taken back: said to the channel once.
    pub(super) fn forward_text(&self, forward: &Forward, fix: &Fix, title: &str, asked: &[Login]) -> Message {
        let line = Line::plain("⏪ ").mention(&forward.by).say(format!(
            " takes back #{} “{}”",
            forward.broken,
            cut(title, 120)
        ));
        let line = line.say(": ").link(format!("#{}", fix.number), fix.url.clone()).say(" reverts it.");
        let line = match &forward.because {
            Some(because) => line.say(format!(" What is wrong: “{}”.", cut(because, 300))),
            None => line,
        };
        let review = match self.mentions(asked.iter()) {
            Some(people) => people.say("please review it. "),
            None => Line::plain("Somebody please review it. "),
        };
        Message::line(line).text(review.say(
            "Once it is merged its run is the fast lane: test it, approve it, let nothing else go first. Production stays as it is until then.",
        ))
    }

    /// How far the repair of what a run brought is, or what a run repairs: lines of its notice.
    pub(super) fn forward_lines(&self, tracked: &Tracked) -> Vec<Line> {
        let lines = self.forwards_of(tracked).map(|(forward, fix)| {
            let reverts = Line::default().link(format!("#{}", fix.number), fix.url.clone());
            if forward.run == Some(tracked.run.id) {
                self.progress_line(forward, fix)
            } else if self.phase(tracked) == Phase::Done {
                Line::plain("⏩ ").then(reverts).say(format!(" took back #{}.", forward.broken))
            } else {
                let line = Line::plain("⏩ Fast lane: ").then(reverts).say(format!(" takes back #{}", forward.broken));
                line.say(". Test it and approve it before anything else.")
            }
        });
        lines.collect()
    }

    fn progress_line(&self, forward: &Forward, fix: &Fix) -> Line {
        let line = Line::plain(format!("⏪ #{} is taken back by ", forward.broken));
        let line = line.link(format!("#{}", fix.number), fix.url.clone());
        match (self.repaired_by(fix), self.carrier(fix.number)) {
            (Some(by), _) => line.say(", live with ").then(self.notice_link(by)).say("."),
            (None, Some(by)) => line.say(", which ships with ").then(self.notice_link(by)).say("."),
            (None, None) => line.say(", which waits for its review and its merge."),
        }
    }

    /// The run, linked to its notice where that stands, else to its page.
    fn notice_link(&self, tracked: &Tracked) -> Line {
        let label = format!("run {}", tracked.run.number);
        let notice = self.policy.workspace.as_ref().zip(tracked.address.as_ref()).map(|(workspace, address)| {
            let ts = address.ts.replace('.', "");
            format!("{}/archives/{}/p{ts}", workspace.trim_end_matches('/'), address.channel)
        });
        Line::default().link(label, notice.unwrap_or_else(|| tracked.run.url.clone()))
    }

    /// The repair is live; said in the thread of the run that brought the harm, and of the one that ended it.
    pub(super) fn repaired_text(&self, forward: &Forward, fix: &Fix, here: &Tracked, by: &Tracked) -> Message {
        let reverts = Line::default().link(format!("#{}", fix.number), fix.url.clone());
        if here.run.id == by.run.id {
            let line = Line::plain("⏩ ").then(reverts).say(format!(" is live: it takes back #{}", forward.broken));
            let broke = forward.run.and_then(|run| self.state.runs.get(&run));
            return Message::line(match broke {
                Some(broke) => line.say(", which came with ").then(self.notice_link(broke)).say("."),
                None => line.say("."),
            });
        }
        let line =
            Line::plain("✅ ").mention(&forward.by).say(format!(", #{} is taken back: ", forward.broken)).then(reverts);
        Message::line(
            line.say(" is live with ").then(self.notice_link(by)).say(". Look whether production is well again."),
        )
    }
}

impl NoRevert {
    /// What the person reads.
    pub fn line(&self) -> Line {
        match self {
            Self::Unknown(pr) => Line::plain(format!(
                "There is no pull request #{pr} in this app’s repo. Nothing was opened; look at the number again."
            )),
            Self::NotMerged(pr) => {
                Line::plain(format!("#{pr} is not merged, so there is nothing to revert: close it on GitHub instead."))
            }
            Self::Elsewhere(pr, base) => Line::plain(format!("#{pr} was merged into "))
                .code(cut(base, 60))
                .say(", which is not what is deployed here. Nothing was opened."),
            Self::Shipped(forward) => {
                let line = Line::plain(format!("#{} is taken back already", forward.broken));
                match &forward.fix {
                    Some(fix) => line
                        .say(": ")
                        .link(format!("#{}", fix.number), fix.url.clone())
                        .say(" reverted it and is merged. Nothing was opened."),
                    None => line.say(". Nothing was opened."),
                }
            }
            Self::Again(forward) => {
                let line = Line::default()
                    .mention(&forward.by)
                    .say(format!(" takes back #{} already, since ", forward.broken))
                    .time(forward.at);
                match &forward.fix {
                    Some(fix) => line
                        .say(": ")
                        .link(format!("#{}", fix.number), fix.url.clone())
                        .say(" reverts it. Nothing was opened; help by reviewing that."),
                    None => line.say("; the pull request is being opened. Nothing is left to do but to review it."),
                }
            }
        }
    }
}
