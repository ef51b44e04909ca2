//! `views.*` and `blocks.validate`.

use serde_json::{Value, json};

use super::api::Args;
use super::judge::{Surface, judge, judge_modal};
use super::markup::Markup;
use super::message::View;
use super::refused::Refused;
use super::state::State;

/// How many views may lie on each other.
const MAX_DEPTH: usize = 3;

pub(super) fn open(state: &mut State, args: &Args) -> Result<Value, Refused> {
    let body = view(state, args)?;
    let user = pull(state, args)?;
    state.views.retain(|view| view.user != user);
    Ok(shown(&state.show_view(&user, body)))
}

pub(super) fn push(state: &mut State, args: &Args) -> Result<Value, Refused> {
    let body = view(state, args)?;
    let user = pull(state, args)?;
    match state.stack(&user).len() {
        0 => Err(Refused::because("not_found")),
        depth if depth >= MAX_DEPTH => Err(Refused::blame("push_limit_reached", "more than three views")),
        _ => Ok(shown(&state.show_view(&user, body))),
    }
}

pub(super) fn update(state: &mut State, args: &Args) -> Result<Value, Refused> {
    let body = view(state, args)?;
    if args.has("view_id") == args.has("external_id") {
        return Err(Refused::blame("invalid_arguments", "one of view_id and external_id is needed"));
    }
    let is_it = |view: &&View| {
        view.id == args.str("view_id") || args.has("external_id") && view.body["external_id"] == args.str("external_id")
    };
    let Some(known) = state.views.iter().find(is_it) else {
        return Err(Refused::because("not_found"));
    };
    if args.has("hash") && known.hash != args.str("hash") {
        return Err(Refused::because("hash_conflict"));
    }
    let id = known.id.clone();
    let changed = state.change_view(&id, body).ok_or_else(|| Refused::because("not_found"))?;
    Ok(shown(&changed))
}

fn shown(view: &View) -> Value {
    json!({"view": view.json(&json!({}))})
}

fn pull(state: &mut State, args: &Args) -> Result<String, Refused> {
    state.pull(args.str("trigger_id")).map_err(|error| match error {
        // Two replicas that were handed the same click do not know of each other.
        "exchanged_trigger_id" => Refused::because(error),
        _ => Refused::blame(error, "a trigger_id is good for 3 s"),
    })
}

fn view(state: &mut State, args: &Args) -> Result<Value, Refused> {
    let view = args.json("view")?.unwrap_or_default();
    check_view(state, &view)?;
    Ok(view)
}

/// Judges a modal, wherever it comes from.
pub(super) fn check_view(state: &mut State, view: &Value) -> Result<(), Refused> {
    let issues = judge_modal(view);
    if !issues.is_empty() {
        return Err(Refused::issues("invalid_arguments", &issues));
    }
    let mut markup = Markup::default();
    markup.read_blocks(&view["blocks"], true);
    markup.broken.into_iter().for_each(|broken| state.complain(broken));
    Ok(())
}

pub(super) fn validate(_: &mut State, args: &Args) -> Result<Value, Refused> {
    let (blocks, message, view) = (args.json("blocks")?, args.json("message")?, args.json("view")?);
    let (error, issues) = match (blocks, message, view) {
        (Some(blocks), None, None) => ("invalid_blocks", judge(&blocks, Surface::Message, "")),
        (None, Some(message), None) => ("invalid_message", judge(&message["blocks"], Surface::Message, "/blocks")),
        (None, None, Some(view)) => ("invalid_view", judge_modal(&view)),
        (_, _, _) => {
            return Err(Refused::blame("invalid_arguments", "exactly one of blocks, message and view"));
        }
    };
    if issues.is_empty() { Ok(json!({})) } else { Err(Refused::issues(error, &issues)) }
}
