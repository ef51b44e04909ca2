//! The shapes of accounts, teams, repositories and environments, with every field that GitHub's OpenAPI requires
//! (`facts/github-openapi.json`).

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::sandbox::world::pipeline::Workflow;
use crate::sandbox::world::servers::Environment;
use crate::sandbox::world::state::{Repo, Role, State, TEAM};

/// Draws one repository's things for one client.
#[derive(Clone, Copy)]
pub(crate) struct Shape<'a> {
    /// The world.
    pub state: &'a State,
    /// The repository.
    pub repo: &'a Repo,
    /// Where the client reaches this API.
    pub api: &'a str,
}

/// A time as GitHub writes it, to the second.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// An opaque id in the newer form of GitHub's.
pub(crate) fn node_id(prefix: &str, id: u64) -> String {
    format!("{prefix}_kwDO{id:012x}")
}

/// An account in short; null for a login that nobody has.
pub(crate) fn user(state: &State, api: &str, login: &str) -> Value {
    match state.person(login) {
        Some(person) if person.role == Role::Bot => account(api, login, person.id, "Bot"),
        Some(person) => account(api, login, person.id, "User"),
        None if login == "web-flow" => account(api, login, 19_864_447, "User"),
        None => Value::Null,
    }
}

fn account(api: &str, login: &str, id: u64, kind: &str) -> Value {
    let escaped = login.replace('[', "%5B").replace(']', "%5D");
    let url = format!("{api}/users/{escaped}");
    let html = match login.strip_suffix("[bot]") {
        Some(app) => format!("https://github.com/apps/{app}"),
        None => format!("https://github.com/{login}"),
    };
    json!({
        "login": login, "id": id, "node_id": node_id("U", id), "gravatar_id": "", "type": kind, "site_admin": false,
        "avatar_url": format!("https://avatars.githubusercontent.com/u/{id}?v=4"), "url": url, "html_url": html,
        "followers_url": format!("{url}/followers"), "following_url": format!("{url}/following{{/other_user}}"),
        "gists_url": format!("{url}/gists{{/gist_id}}"), "starred_url": format!("{url}/starred{{/owner}}{{/repo}}"),
        "subscriptions_url": format!("{url}/subscriptions"), "organizations_url": format!("{url}/orgs"),
        "repos_url": format!("{url}/repos"), "events_url": format!("{url}/events{{/privacy}}"),
        "received_events_url": format!("{url}/received_events"), "user_view_type": "public",
    })
}

/// An account with its profile.
pub(crate) fn profile(state: &State, api: &str, login: &str) -> Value {
    let mut profile = user(state, api, login);
    let name = state.person(login).map(|person| person.name);
    if let Value::Object(profile) = &mut profile {
        extend(
            profile,
            json!({
                "name": name, "company": "Hypothesis", "blog": "", "location": null, "email": null, "hireable": null,
                "bio": null, "twitter_username": null, "public_repos": 3, "public_gists": 0, "followers": 1, "following": 0,
                "created_at": "2019-03-05T10:00:00Z", "updated_at": "2026-10-01T10:00:00Z",
            }),
        );
    }
    profile
}

/// The team of developers.
pub(crate) fn team(api: &str) -> Value {
    let url = format!("{api}/organizations/4651/team/7001");
    json!({
        "id": 7001, "node_id": node_id("T", 7001), "name": "Developers", "slug": TEAM, "description": "Who deploys",
        "privacy": "closed", "notification_setting": "notifications_enabled", "permission": "push", "type": "organization",
        "organization_id": 4651, "url": url, "html_url": format!("https://github.com/orgs/hypothesis/teams/{TEAM}"),
        "members_url": format!("{url}/members{{/member}}"), "repositories_url": format!("{url}/repos"), "parent": null,
    })
}

/// Adds the fields of one object to another.
pub(crate) fn extend(object: &mut Map<String, Value>, more: Value) {
    if let Value::Object(more) = more {
        object.extend(more);
    }
}

/// Fields of a repository that are its address and a suffix.
const REPOSITORY_URLS: [(&str, &str); 37] = [
    ("url", ""),
    ("archive_url", "/{archive_format}{/ref}"),
    ("assignees_url", "/assignees{/user}"),
    ("blobs_url", "/git/blobs{/sha}"),
    ("branches_url", "/branches{/branch}"),
    ("collaborators_url", "/collaborators{/collaborator}"),
    ("comments_url", "/comments{/number}"),
    ("commits_url", "/commits{/sha}"),
    ("compare_url", "/compare/{base}...{head}"),
    ("contents_url", "/contents/{+path}"),
    ("contributors_url", "/contributors"),
    ("deployments_url", "/deployments"),
    ("downloads_url", "/downloads"),
    ("events_url", "/events"),
    ("forks_url", "/forks"),
    ("git_commits_url", "/git/commits{/sha}"),
    ("git_refs_url", "/git/refs{/sha}"),
    ("git_tags_url", "/git/tags{/sha}"),
    ("hooks_url", "/hooks"),
    ("issue_comment_url", "/issues/comments{/number}"),
    ("issue_events_url", "/issues/events{/number}"),
    ("issues_url", "/issues{/number}"),
    ("keys_url", "/keys{/key_id}"),
    ("labels_url", "/labels{/name}"),
    ("languages_url", "/languages"),
    ("merges_url", "/merges"),
    ("milestones_url", "/milestones{/number}"),
    ("notifications_url", "/notifications{?since,all,participating}"),
    ("pulls_url", "/pulls{/number}"),
    ("releases_url", "/releases{/id}"),
    ("stargazers_url", "/stargazers"),
    ("statuses_url", "/statuses/{sha}"),
    ("subscribers_url", "/subscribers"),
    ("subscription_url", "/subscription"),
    ("tags_url", "/tags"),
    ("teams_url", "/teams"),
    ("trees_url", "/git/trees{/sha}"),
];

impl Shape<'_> {
    /// The repository's address in the API.
    pub fn url(&self) -> String {
        format!("{}/repos/{}", self.api, self.repo.full_name())
    }

    /// The repository's page.
    pub fn html(&self) -> String {
        format!("https://github.com/{}", self.repo.full_name())
    }

    /// An account in short.
    pub fn user(&self, login: &str) -> Value {
        user(self.state, self.api, login)
    }

    /// The repository in short, as runs have it.
    pub fn repository_in_short(&self) -> Value {
        let url = self.url();
        let mut repository: Map<String, Value> =
            REPOSITORY_URLS.iter().map(|(key, rest)| ((*key).to_owned(), json!(format!("{url}{rest}")))).collect();
        extend(
            &mut repository,
            json!({
                "id": self.repo.id, "node_id": node_id("R", self.repo.id), "name": self.repo.name,
                "full_name": self.repo.full_name(), "owner": account(self.api, self.repo.owner, 4651, "Organization"),
                "private": false, "html_url": self.html(), "description": null, "fork": false,
            }),
        );
        Value::Object(repository)
    }

    /// The repository as what happens in it has it.
    pub fn repository_of_events(&self) -> Value {
        let (html, full_name) = (self.html(), self.repo.full_name());
        let mut repository = self.repository_in_short();
        if let Value::Object(repository) = &mut repository {
            extend(
                repository,
                json!({
                    "visibility": "public", "created_at": time(self.repo.created_at), "updated_at": time(self.last_push()),
                    "pushed_at": time(self.last_push()), "default_branch": "main", "homepage": null, "language": "Python",
                    "git_url": format!("git://github.com/{full_name}.git"), "ssh_url": format!("git@github.com:{full_name}.git"),
                    "clone_url": format!("{html}.git"), "svn_url": html, "mirror_url": null, "size": 4_096, "license": null,
                }),
            );
            extend(
                repository,
                json!({
                    "stargazers_count": 10, "watchers_count": 10, "watchers": 10, "forks_count": 2, "forks": 2,
                    "open_issues_count": 0, "open_issues": 0, "has_issues": true, "has_projects": false,
                    "has_downloads": true, "has_wiki": false, "has_pages": false, "has_discussions": false,
                    "archived": false, "disabled": false, "topics": [],
                }),
            );
        }
        repository
    }

    /// The repository as it is told to those who ask for it.
    pub fn repository(&self) -> Value {
        let mut repository = self.repository_of_events();
        if let Value::Object(repository) = &mut repository {
            extend(repository, json!({"network_count": 2, "subscribers_count": 5}));
        }
        repository
    }

    /// A workflow.
    pub fn workflow(&self, workflow: Workflow) -> Value {
        let (url, html, id, path) = (self.url(), self.html(), self.workflow_id(workflow), workflow.path());
        json!({
            "id": id, "node_id": node_id("W", id), "name": workflow.name(), "path": path, "state": "active",
            "created_at": time(self.repo.created_at), "updated_at": time(self.repo.created_at),
            "url": format!("{url}/actions/workflows/{id}"), "html_url": format!("{html}/blob/main/{path}"),
            "badge_url": format!("{html}/workflows/{}/badge.svg", workflow.name()),
        })
    }

    /// A workflow's numeric id.
    pub fn workflow_id(&self, workflow: Workflow) -> u64 {
        match workflow {
            Workflow::Deploy => self.repo.id + 1,
            Workflow::Redeploy => self.repo.id + 2,
        }
    }

    /// An environment with its protection rules.
    pub fn environment(&self, environment: &Environment) -> Value {
        let rules = if environment.gated {
            json!([{
                "id": environment.id + 1, "node_id": node_id("GA", environment.id + 1), "type": "required_reviewers",
                "prevent_self_review": false, "reviewers": self.reviewers(),
            }])
        } else {
            json!([])
        };
        let mut shape = self.environment_in_short(environment);
        if let Value::Object(shape) = &mut shape {
            extend(
                shape,
                json!({
                    "created_at": time(environment.created_at), "updated_at": time(environment.created_at),
                    "protection_rules": rules, "deployment_branch_policy": null,
                }),
            );
        }
        shape
    }

    /// An environment's name and addresses.
    pub fn environment_in_short(&self, environment: &Environment) -> Value {
        let name: String = url::form_urlencoded::byte_serialize(environment.name.as_bytes()).collect();
        let name = name.replace('+', "%20");
        let html = format!("{}/deployments/activity_log?environments_filter={name}", self.html());
        json!({
            "id": environment.id, "node_id": node_id("EN", environment.id), "name": environment.name,
            "url": format!("{}/environments/{name}", self.url()), "html_url": html,
        })
    }

    /// Who may approve.
    pub fn reviewers(&self) -> Value {
        json!([
            {"type": "User", "reviewer": self.user(crate::sandbox::world::MACHINE_USER)},
            {"type": "Team", "reviewer": team(self.api)},
        ])
    }

    fn last_push(&self) -> Timestamp {
        self.repo.history.get(self.repo.history.main()).map_or(self.repo.created_at, |commit| commit.at)
    }
}
