//! Who somebody is, asked from Slack. What a person may do is decided elsewhere; here a failed look-up is never an answer.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::deploy::event::Unreachable;
use crate::deploy::name::{Login, SlackId};
use crate::deploy::policy::{Account, Approvers, Person};

use super::{Profile, Slack, SlackError};

/// How old a profile may be that only serves to answer a question.
const PROFILE_AGE: Duration = Duration::from_secs(5 * 60);
/// How old a list of members may be that decides about an approval. `usergroups.users.list` allows 20 calls a minute.
const GROUP_AGE: Duration = Duration::from_secs(60);
/// Remembered people or groups; beyond it, old ones are forgotten.
const MAX_REMEMBERED: usize = 1_000;

/// The people of one workspace. Clones share what they remember.
#[derive(Clone, Debug)]
pub struct People {
    slack: Slack,
    home: Arc<str>,
    profiles: Remembered<SlackId, Profile>,
    groups: Remembered<String, BTreeSet<SlackId>>,
}

impl People {
    /// The people as seen from the workspace `home`, `T…`.
    pub fn new(slack: Slack, home: &str) -> Self {
        Self { slack, home: home.into(), profiles: Remembered::new(PROFILE_AGE), groups: Remembered::new(GROUP_AGE) }
    }

    /// Who somebody is, if that is remembered.
    pub fn recall(&self, user: &SlackId) -> Option<Profile> {
        self.profiles.get(user)
    }

    /// Who somebody is, good enough to answer a question: at most five minutes old.
    pub async fn known(&self, user: &SlackId) -> Result<Profile, Unreachable> {
        match self.profiles.get(user) {
            Some(profile) => Ok(profile),
            None => self.fresh(user).await,
        }
    }

    /// Who somebody is now, with those of the approvers' groups and teams that they are in. `in_team(team, login)` asks GitHub. Fails
    /// where anything that could matter cannot be told.
    ///
    /// Groups and teams are not asked for people who cannot act anyway, or who are approvers by name.
    pub async fn live<F, R>(
        &self,
        user: &SlackId,
        approvers: &Approvers,
        login: Option<&Login>,
        in_team: F,
    ) -> Result<Person, Unreachable>
    where
        F: Fn(String, Login) -> R,
        R: Future<Output = Result<bool, Unreachable>>,
    {
        let Profile { account, name, .. } = self.fresh(user).await?;
        let (usergroups, teams) = (BTreeSet::default(), BTreeSet::default());
        let mut person = Person { id: user.clone(), name, account, usergroups, teams };
        if account != Account::Member || approvers.include(&person) {
            return Ok(person);
        }
        for group in &approvers.slack_usergroups {
            if self.members(group).await?.contains(user) {
                person.usergroups.insert(group.clone());
            }
        }
        if let Some(login) = login.filter(|_| !approvers.include(&person)) {
            for team in &approvers.github_teams {
                if in_team(team.clone(), login.clone()).await? {
                    person.teams.insert(team.clone());
                }
            }
        }
        Ok(person)
    }

    async fn fresh(&self, user: &SlackId) -> Result<Profile, Unreachable> {
        let profile = match self.slack.person(user, &self.home).await {
            Ok(profile) => profile,
            Err(SlackError::Refused { code }) if matches!(code.as_str(), "user_not_found" | "user_not_visible") => {
                Profile { account: Account::Stranger, name: user.to_string(), tz: None }
            }
            Err(error) => return Err(unreachable(&error, "who somebody is")),
        };
        self.profiles.put(user.clone(), profile.clone());
        Ok(profile)
    }

    async fn members(&self, group: &str) -> Result<BTreeSet<SlackId>, Unreachable> {
        if let Some(members) = self.groups.get(group) {
            return Ok(members);
        }
        let members = match self.slack.usergroup_members(group).await {
            Ok(members) => members,
            // A group that is gone has no members; `check` says that it is gone.
            Err(SlackError::Refused { code }) if code == "no_such_subteam" => BTreeSet::new(),
            Err(error) => return Err(unreachable(&error, "who is in a user group")),
        };
        self.groups.put(group.to_owned(), members.clone());
        Ok(members)
    }
}

fn unreachable(error: &SlackError, what: &str) -> Unreachable {
    tracing::warn!(%error, "could not ask slack {what}");
    Unreachable::Slack
}

/// A bounded memory of answers up to an age.
#[derive(Debug)]
struct Remembered<K, V> {
    age: Duration,
    answers: Arc<Mutex<HashMap<K, (Instant, V)>>>,
}

impl<K, V> Clone for Remembered<K, V> {
    fn clone(&self) -> Self {
        Self { age: self.age, answers: self.answers.clone() }
    }
}

impl<K: Eq + Hash, V: Clone> Remembered<K, V> {
    fn new(age: Duration) -> Self {
        Self { age, answers: Arc::default() }
    }

    fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
    {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(key).filter(|(at, _)| at.elapsed() < self.age).map(|(_, answer)| answer.clone())
    }

    fn put(&self, key: K, answer: V) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= MAX_REMEMBERED {
            answers.retain(|_, (at, _)| at.elapsed() < self.age);
        }
        if answers.len() >= MAX_REMEMBERED {
            answers.clear();
        }
        answers.insert(key, (Instant::now(), answer));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::slack::tests::{Call, Fake, fake};

    fn user(changes: Value) -> Value {
        let mut user = json!({ "id": "U1", "team_id": "T1", "name": "ana", "real_name": "Ana Long", "deleted": false, "is_bot": false,
            "is_restricted": false, "is_ultra_restricted": false, "is_app_user": true, "tz": "Europe/Berlin",
            "profile": { "display_name": "Ana" } });
        for (key, value) in changes.as_object().unwrap() {
            user[key] = value.clone();
        }
        json!({ "ok": true, "user": user })
    }

    async fn workspace(answer: Value) -> (Fake, People) {
        let fake = fake(move |call: &Call| match call.method.as_str() {
            "users.info" => crate::http::json(200, &answer),
            "usergroups.users.list" if call.query["usergroup"] == "S1" => {
                crate::http::json(200, &json!({ "ok": true, "users": ["U1"] }))
            }
            "usergroups.users.list" if call.query["usergroup"] == "SGONE" => {
                crate::http::json(200, &json!({ "ok": false, "error": "no_such_subteam" }))
            }
            _ => crate::http::json(500, &json!({})),
        })
        .await;
        let people = People::new(fake.slack(), "T1");
        (fake, people)
    }

    async fn live(people: &People, groups: &[&str], teams: &[&str]) -> Result<Person, Unreachable> {
        let approvers = Approvers {
            slack_users: BTreeSet::from([SlackId::new("U9")]),
            slack_usergroups: groups.iter().map(|group| (*group).to_owned()).collect(),
            github_teams: teams.iter().map(|team| (*team).to_owned()).collect(),
        };
        let in_team = async |team: String, _login| match team.as_str() {
            "o/down" => Err(Unreachable::GitHub),
            team => Ok(team == "o/devs"),
        };
        people.live(&SlackId::new("U1"), &approvers, Some(&Login::new("ana-gh")), in_team).await
    }

    #[tokio::test]
    async fn accounts_are_told_apart() {
        let table = [
            (user(json!({})), Account::Member),
            (user(json!({ "is_restricted": true })), Account::Guest),
            (user(json!({ "is_ultra_restricted": true })), Account::Guest),
            (user(json!({ "deleted": true })), Account::Deactivated),
            (user(json!({ "is_bot": true })), Account::Bot),
            (user(json!({ "id": "USLACKBOT" })), Account::Bot),
            (user(json!({ "team_id": "T2" })), Account::Stranger),
            (user(json!({ "team_id": null })), Account::Stranger),
            (user(json!({ "is_stranger": true })), Account::Stranger),
            (json!({ "ok": false, "error": "user_not_found" }), Account::Stranger),
            (json!({ "ok": false, "error": "user_not_visible" }), Account::Stranger),
        ];
        for (answer, account) in table {
            let (_fake, people) = workspace(answer.clone()).await;
            assert_eq!(live(&people, &["S1"], &[]).await.map(|person| person.account), Ok(account), "{answer}");
        }
    }

    #[tokio::test]
    async fn whoever_cannot_be_looked_up_is_nobody() {
        for answer in [json!({ "ok": false, "error": "ratelimited" }), json!({ "ok": true }), json!({ "ok": false })] {
            let (_fake, people) = workspace(answer).await;
            assert_eq!(live(&people, &[], &[]).await, Err(Unreachable::Slack));
        }
        let (_fake, people) = workspace(user(json!({}))).await;
        assert_eq!(live(&people, &["SDOWN"], &[]).await, Err(Unreachable::Slack));
        assert_eq!(live(&people, &[], &["o/down"]).await, Err(Unreachable::GitHub));
    }

    #[tokio::test]
    async fn groups_and_teams_are_found() {
        let (fake, people) = workspace(user(json!({}))).await;
        let person = live(&people, &["S1", "SGONE"], &["o/down"]).await.unwrap();
        assert_eq!(person.usergroups, BTreeSet::from(["S1".to_owned()]));
        let person = live(&people, &["SGONE"], &["o/devs", "o/ops"]).await.unwrap();
        assert_eq!(person.teams, BTreeSet::from(["o/devs".to_owned()]));
        assert_eq!(fake.calls_of("usergroups.users.list").len(), 2, "members are remembered for a minute");
        assert_eq!(fake.calls_of("users.info").len(), 2, "people are not, where it matters");
    }

    #[tokio::test]
    async fn questions_are_answered_from_memory() {
        let (fake, people) = workspace(user(json!({}))).await;
        for _ in 0..3 {
            let profile = people.known(&SlackId::new("U1")).await.unwrap();
            assert_eq!((profile.name.as_str(), profile.tz.as_deref()), ("Ana", Some("Europe/Berlin")));
        }
        assert_eq!(fake.calls_of("users.info").len(), 1);
    }

    #[test]
    fn memory_is_bounded_and_ages() {
        let memory = Remembered::new(Duration::from_secs(60));
        for i in 0..MAX_REMEMBERED + 5 {
            memory.put(i, i);
        }
        assert!(memory.answers.lock().unwrap().len() <= MAX_REMEMBERED);
        assert_eq!(memory.get(&(MAX_REMEMBERED + 4)), Some(MAX_REMEMBERED + 4));
        let forgetful = Remembered::new(Duration::ZERO);
        forgetful.put(1, 1);
        assert_eq!(forgetful.get(&1), None);
    }
}
