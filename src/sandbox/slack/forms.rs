//! The inputs of a modal: what is in them, what a person filled in, and what the bot answers to that.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::message::View;
use super::modals::check_view;
use super::state::State;
use super::{Input, Values};

/// The `action` of a click on `element`: of a button if it carries `value` (or any, if None), of a menu if it has
/// an option with that value.
pub(super) fn action(element: &Value, value: Option<&str>) -> Option<Value> {
    let mut action = json!({"type": element["type"], "action_id": element["action_id"]});
    if element["type"] == "button" {
        if value.is_some_and(|value| element["value"].as_str().unwrap_or_default() != value) {
            return None;
        }
        for key in ["text", "value", "style", "url", "confirm"] {
            if let Some(given) = element.get(key).filter(|_| key != "confirm") {
                action[key] = given.clone();
            }
        }
        return Some(action);
    }
    let option = options(element).iter().find(|option| option["value"].as_str() == value)?;
    let key = if is_multiple(element) { "selected_options" } else { "selected_option" };
    action[key] = if is_multiple(element) { json!([option]) } else { option.clone() };
    Some(action)
}

fn options(element: &Value) -> &[Value] {
    element["options"].as_array().map_or(&[], Vec::as_slice)
}

fn is_multiple(element: &Value) -> bool {
    matches!(element["type"].as_str(), Some("checkboxes" | "multi_static_select"))
}

fn inputs(view: &View) -> impl Iterator<Item = (&str, &Value, &Value)> {
    let inputs = view.blocks().iter().filter(|block| block["type"] == "input");
    inputs.map(|block| (block["block_id"].as_str().unwrap_or_default(), block, &block["element"]))
}

/// `state.values` before anybody filled in anything.
pub(super) fn initial(view: &View) -> Value {
    filled(view, &Values::new()).unwrap_or_default()
}

/// `state.values` with what a person filled in. `Err` if the form has no such input or option.
pub(super) fn filled(view: &View, values: &Values) -> Result<Value, String> {
    let mut state = json!({});
    for (block_id, _, element) in inputs(view) {
        let action_id = element["action_id"].as_str().unwrap_or_default();
        let given = values.get(block_id).and_then(|block| block.get(action_id));
        state[block_id][action_id] = match given {
            Some(input) => entered(element, input)?,
            None => untouched(element),
        };
    }
    for (block_id, block) in values {
        if let Some(action_id) = block.keys().find(|action_id| state[block_id].get(action_id.as_str()).is_none()) {
            return Err(format!("the form has no input {block_id:?} {action_id:?}"));
        }
    }
    Ok(state)
}

fn untouched(element: &Value) -> Value {
    let initial = |key: &str, otherwise: Value| element.get(key).cloned().unwrap_or(otherwise);
    let kind = &element["type"];
    match kind.as_str() {
        Some("checkboxes" | "multi_static_select") => {
            json!({"type": kind, "selected_options": initial("initial_options", json!([]))})
        }
        Some("radio_buttons" | "static_select") => {
            json!({"type": kind, "selected_option": initial("initial_option", Value::Null)})
        }
        Some("users_select") => {
            json!({"type": kind, "selected_user": initial("initial_user", Value::Null)})
        }
        Some(_) | None => json!({"type": kind, "value": initial("initial_value", Value::Null)}),
    }
}

fn entered(element: &Value, input: &Input) -> Result<Value, String> {
    let (kind, words) = (&element["type"], input.words());
    let first = words.iter().find(|word| !word.is_empty());
    let chosen = |word: &String| {
        let option = options(element).iter().find(|option| option["value"] == word.as_str());
        option.cloned().ok_or_else(|| format!("there is no option {word:?}"))
    };
    Ok(match kind.as_str() {
        Some("checkboxes" | "multi_static_select") => {
            let chosen = words.iter().filter(|word| !word.is_empty()).map(chosen).collect::<Result<Vec<_>, _>>()?;
            json!({"type": kind, "selected_options": chosen})
        }
        Some("radio_buttons" | "static_select") => {
            json!({"type": kind, "selected_option": first.map(chosen).transpose()?})
        }
        Some("users_select") => json!({"type": kind, "selected_user": first}),
        Some(_) | None => json!({"type": kind, "value": first}),
    })
}

/// What Slack itself refuses before the bot hears of it.
pub(super) fn missing(view: &View, state: &Value) -> BTreeMap<String, String> {
    let mut errors = BTreeMap::new();
    for (block_id, block, element) in inputs(view) {
        let entry = &state[block_id][element["action_id"].as_str().unwrap_or_default()];
        let value =
            ["value", "selected_option", "selected_options", "selected_user"].iter().find_map(|key| entry.get(*key));
        let empty = value.is_none_or(|value| value.is_null() || value.as_array().is_some_and(Vec::is_empty));
        let length = entry["value"].as_str().unwrap_or_default().chars().count() as u64;
        let error = if empty && block["optional"] != true {
            "Please complete this required field."
        } else if element["max_length"].as_u64().is_some_and(|max| length > max) {
            "This is too long."
        } else if !empty && element["min_length"].as_u64().is_some_and(|min| length < min) {
            "This is too short."
        } else {
            continue;
        };
        errors.insert(block_id.to_owned(), error.to_owned());
    }
    errors
}

/// Does what the ack of a submission asks for; the errors to show beside the inputs, if any.
pub(super) fn answered(state: &mut State, view_id: &str, answer: &Value) -> Option<BTreeMap<String, String>> {
    let view = state.views.iter().find(|view| view.id == view_id)?.clone();
    match answer["response_action"].as_str() {
        None if answer.as_object().is_some_and(serde_json::Map::is_empty) => close(state, view_id),
        Some("clear") => state.views.retain(|open| open.user != view.user),
        Some("errors") => return Some(remarks(state, &view, answer)),
        Some("update") => {
            if good_view(state, answer) {
                state.change_view(view_id, answer["view"].clone());
            }
        }
        Some("push") => {
            if good_view(state, answer) {
                state.show_view(&view.user, answer["view"].clone());
            }
        }
        Some(_) | None => state.complain(format!("the ack of a view_submission says {answer}")),
    }
    None
}

fn close(state: &mut State, view_id: &str) {
    state.views.retain(|view| view.id != view_id);
}

fn good_view(state: &mut State, answer: &Value) -> bool {
    match check_view(state, &answer["view"]) {
        Ok(()) => true,
        Err(refused) => {
            state.complain(format!("the ack of a view_submission: {}", refused.blame.unwrap_or_default()));
            false
        }
    }
}

fn remarks(state: &mut State, view: &View, answer: &Value) -> BTreeMap<String, String> {
    let known = inputs(view).map(|(block_id, ..)| block_id.to_owned()).collect::<Vec<_>>();
    let mut errors = BTreeMap::new();
    for (block_id, text) in answer["errors"].as_object().into_iter().flatten() {
        match text.as_str() {
            Some(text) if known.contains(block_id) => {
                errors.insert(block_id.clone(), text.to_owned());
            }
            Some(_) | None => state.complain(format!("an error for {block_id:?}, which is no input of the form")),
        }
    }
    if errors.is_empty() {
        state.complain("response_action errors without an error");
    }
    state.remark(&view.id, &errors);
    errors
}
