//! Answers to GETs about accounts, teams and limits.

use serde_json::{Value, json};

use super::call::{Answer, Call};
use super::shape::{extend, profile, team as team_shape, user};
use crate::sandbox::world::MACHINE_USER;
use crate::sandbox::world::state::{HOURLY_LIMIT, Quota, Role, State, TEAM};

/// `GET /user`: the token's owner.
pub(crate) fn me(state: &State, call: &Call) -> Answer {
    let mut me = profile(state, &call.api, MACHINE_USER);
    if let Value::Object(me) = &mut me {
        extend(
            me,
            json!({
                "private_gists": 0, "total_private_repos": 0, "owned_private_repos": 0, "disk_usage": 0, "collaborators": 0,
                "two_factor_authentication": true,
            }),
        );
    }
    Answer::ok(me).with("x-oauth-scopes", "repo, read:org")
}

/// `GET /users/{login}`.
pub(crate) fn account(state: &State, call: &Call, login: &str) -> Answer {
    match state.person(login) {
        Some(person) => Answer::ok(profile(state, &call.api, person.login)),
        None => Answer::not_found(),
    }
}

/// `GET /rate_limit`.
pub(crate) fn rate_limit(state: &State) -> Answer {
    let Quota { resets_at, core, graphql } = state.quota;
    let limit = |used: u32| json!({"limit": HOURLY_LIMIT, "used": used, "remaining": HOURLY_LIMIT.saturating_sub(used), "reset": resets_at});
    let resources = json!({"core": limit(core), "graphql": limit(graphql), "search": limit(0)});
    Answer::ok(json!({"resources": resources, "rate": limit(core)}))
}

/// `GET /orgs/hypothesis/teams/{slug}/members` and `…/memberships/{login}`.
pub(crate) fn team(state: &State, call: &Call, slug: &str, rest: &[&str]) -> Answer {
    let is_member = |role: Role| role == Role::Developer;
    match rest {
        _ if slug != TEAM => Answer::not_found(),
        [] => Answer::ok(team_shape(&call.api)),
        ["members"] => {
            let members = state.people.iter().filter(|person| is_member(person.role));
            let members: Vec<Value> = members.map(|person| user(state, &call.api, person.login)).collect();
            call.paged(&members, |part| json!(part))
        }
        ["memberships", login] => match state.person(login).filter(|person| is_member(person.role)) {
            Some(_) => Answer::ok(json!({
                "url": format!("{}/orgs/hypothesis/teams/{slug}/memberships/{login}", call.api),
                "role": "member", "state": "active",
            })),
            None => Answer::not_found(),
        },
        _ => {
            call.complain("unknown route");
            Answer::not_found()
        }
    }
}
