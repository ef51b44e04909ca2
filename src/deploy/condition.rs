//! What an app is like at a glance, for machines that watch over it. Several conditions may hold at once, or none.

use super::app::App;
use super::phase::Phase;

/// Something that can be true of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// GitHub was never seen: its workflow files cannot be read, or not yet.
    Unseen,
    /// A run goes on.
    Active,
    /// A run waits for somebody to approve production.
    Waiting,
    /// Somebody put it on hold.
    Held,
    /// Changes are merged and not in production.
    Behind,
    /// Production runs different versions, or nobody knows which.
    Split,
}

impl Condition {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Unseen, Self::Active, Self::Waiting, Self::Held, Self::Behind, Self::Split];

    /// As a label says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unseen => "unseen",
            Self::Active => "active",
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Behind => "behind",
            Self::Split => "split",
        }
    }
}

impl App {
    /// Whether something is true of it now.
    pub fn is(&self, condition: Condition) -> bool {
        match condition {
            Condition::Unseen => self.looked_at().is_none(),
            Condition::Active => self.is_active(),
            Condition::Waiting => {
                let mut going = self.state.runs.values().filter(|tracked| !tracked.run.is_over());
                going.any(|tracked| self.phase(tracked) == Phase::Waiting)
            }
            Condition::Held => self.state.hold.is_some(),
            Condition::Behind => self.has_pending(),
            Condition::Split => self.is_split(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Story, pipeline, policy};
    use super::*;
    use crate::deploy::action::Action;
    use crate::deploy::event::Event;
    use crate::deploy::run::{Conclusion, Status};

    fn words(app: &App) -> String {
        let is = Condition::ALL.into_iter().filter(|condition| app.is(*condition));
        is.map(Condition::word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_app_is_what_it_does() {
        let mut new = App::new("h".into(), std::sync::Arc::new(policy()));
        assert_eq!(words(&new), "unseen");
        new.handle(Event::Discovered(pipeline()), jiff::Timestamp::UNIX_EPOCH).expect("nothing to refuse");
        assert_eq!(words(&new), "unseen", "its files were read, and no run yet");

        let mut story = Story::new();
        assert_eq!(words(&story.app), "");
        story.merge("ana-gh", "Fix RPC").look();
        assert_eq!(words(&story.app), "active behind");
        story.on_staging().look();
        assert_eq!(words(&story.app), "active waiting behind");
        story.newest().1.gates.clear();
        story.job("Production", Status::Completed, Some(Conclusion::Success));
        story.job("Production (Canada)", Status::Completed, Some(Conclusion::Failure));
        story.finish(Conclusion::Failure).look();
        assert_eq!(words(&story.app), "behind split");
        story.ask("BEN", Action::Hold { reason: "migrating".into() });
        assert_eq!(words(&story.app), "held behind split");
        story.said.clear();
    }
}
