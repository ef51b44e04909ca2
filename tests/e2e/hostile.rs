//! Bad input: everything that comes from outside is twisted in ways that its makers never meant. What must hold: no panic, no work or
//! memory without bound, and what people read afterwards is well-formed, escaped and within Slack's limits.
//!
//! Each property runs some hundred cases here; `PROPTEST_CASES=200000 cargo nextest run --test e2e hostile::` looks long and hard. What
//! was found stays as a row of a named test beside the code that was mended.

mod answers;
mod files;
mod forged;
mod hooks;
mod words;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use peak_alloc::PeakAlloc;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop, prop_oneof};
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};

/// Counts for the whole process, and nextest gives each test one of its own.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Does some work that may take no more memory than that, in bytes.
pub fn within<T>(most: usize, work: impl FnOnce() -> T) -> T {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let done = work();
    let peak = MEMORY.peak_usage().saturating_sub(before);
    assert!(peak <= most, "it took {peak} bytes, more than {most}");
    done
}

/// Counts the panics of the whole process from now on.
pub fn count_panics() -> Arc<AtomicUsize> {
    let (count, before) = (Arc::new(AtomicUsize::new(0)), std::panic::take_hook());
    let counter = count.clone();
    std::panic::set_hook(Box::new(move |panic| {
        counter.fetch_add(1, Ordering::SeqCst);
        before(panic);
    }));
    count
}

/// So many cases, the same ones every time, unless `PROPTEST_CASES` asks for others.
fn runner(cases: u32) -> TestRunner {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let config = Config { cases: asked.unwrap_or(cases), failure_persistence: None, ..Config::default() };
    match asked {
        Some(_) => TestRunner::new(config),
        None => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    }
}

/// Text that somebody might choose in order to do harm.
fn nasty() -> BoxedStrategy<String> {
    let table = [
        "",
        " ",
        "<!channel>",
        "<@U012ABCDEF>",
        "<https://evil.example|safe>",
        "&lt;!here&gt;",
        "@everyone *b* _i_ ~s~ `c`",
        "\u{202e}drowssap\u{202c}",
        "a\u{200b}\u{2060}\u{feff}b",
        "\0\u{1b}[31mred\u{7}",
        "line\nbreak\r\ttab\u{2028}\u{85}",
        "🏴\u{e0067}\u{e0062}\u{e007f}👩‍👩‍👧‍👦",
        "Z\u{300}\u{301}\u{302}\u{303}\u{304}\u{305}",
        "مرحبا שלום",
        "ﬀİıſK",
        "${{ github.token }}",
        "${{",
        "'; DROP TABLE app; --",
        "../../../../etc/passwd",
        "{\"what\":\"release\"}",
        "-1",
        "1e999",
        "18446744073709551616",
        "0000-00-00T00:00:00Z",
        "9999-12-31T23:59:59.999999999Z",
        "-009999-01-02T00:00:00Z",
        "2026-11-28T24:60:60Z",
    ];
    let long = (prop_oneof![Just("x"), Just("é"), Just("<!channel>"), Just("a "), Just("\u{202e}")], 1..20_000usize);
    prop_oneof![
        4 => prop::sample::select(table.to_vec()).prop_map(str::to_owned),
        2 => any::<String>(),
        1 => long.prop_map(|(piece, times)| piece.repeat(times)),
    ]
    .boxed()
}

/// A value that nobody expects.
fn odd() -> BoxedStrategy<Value> {
    let deep = (1..120usize, any::<bool>()).prop_map(|(depth, list)| {
        (0..depth).fold(Value::Null, |inner, _| if list { json!([inner]) } else { json!({ "a": inner }) })
    });
    let many = (prop_oneof![Just(Value::Null), Just(json!({})), Just(json!("x"))], 1..3_000usize);
    prop_oneof![
        4 => nasty().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => Just(json!({})),
        1 => Just(json!([])),
        1 => deep,
        1 => many.prop_map(|(value, times)| Value::Array(vec![value; times])),
    ]
    .boxed()
}

/// One thing done to a value somewhere inside of another.
#[derive(Clone, Debug)]
enum Twist {
    Put(Value),
    Drop,
    Wrap,
    Repeat(usize),
    Swap(Index),
}

/// The value with a few twists, each anywhere in it.
fn twisted(seed: Value) -> BoxedStrategy<Value> {
    let twist = prop_oneof![
        6 => odd().prop_map(Twist::Put),
        1 => Just(Twist::Drop),
        1 => Just(Twist::Wrap),
        1 => (2..40usize).prop_map(Twist::Repeat),
        2 => any::<Index>().prop_map(Twist::Swap),
    ];
    prop::collection::vec((any::<Index>(), twist), 0..5)
        .prop_map(move |twists| twists.into_iter().fold(seed.clone(), |value, (at, twist)| apply(value, &at, twist)))
        .boxed()
}

fn apply(mut value: Value, at: &Index, twist: Twist) -> Value {
    let places = pointers(&value);
    let place = at.get(&places).clone();
    let other = match &twist {
        Twist::Swap(from) => value.pointer(from.get(&places).as_str()).cloned(),
        Twist::Put(_) | Twist::Drop | Twist::Wrap | Twist::Repeat(_) => None,
    };
    if let Twist::Drop = twist {
        let (parent, key) = place.rsplit_once('/').unwrap_or_default();
        match value.pointer_mut(parent) {
            Some(Value::Object(map)) => drop(map.remove(&key.replace("~1", "/").replace("~0", "~"))),
            Some(Value::Array(list)) => {
                drop(key.parse().ok().filter(|n| *n < list.len()).map(|n: usize| list.remove(n)))
            }
            _ => {}
        }
        return value;
    }
    if let Some(inner) = value.pointer_mut(&place) {
        let before = inner.take();
        *inner = match twist {
            Twist::Put(new) => new,
            Twist::Wrap => json!([before]),
            Twist::Repeat(times) => Value::Array(vec![before; times]),
            Twist::Swap(_) => other.unwrap_or_default(),
            Twist::Drop => Value::Null,
        };
    }
    value
}

/// Where there is anything in a value, as JSON pointers.
fn pointers(value: &Value) -> Vec<String> {
    let escape = |key: &str| key.replace('~', "~0").replace('/', "~1");
    let mut all = vec![String::new()];
    let inner: Vec<(String, &Value)> = match value {
        Value::Array(list) => list.iter().enumerate().map(|(n, inner)| (n.to_string(), inner)).collect(),
        Value::Object(map) => map.iter().map(|(key, inner)| (escape(key), inner)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    for (key, inner) in inner {
        all.extend(pointers(inner).into_iter().map(|below| format!("/{key}{below}")));
    }
    all
}

/// What is wrong with a message as Slack's methods take it. Made from Slack's documentation, not from the code that is judged.
fn faults(content: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let blocks = content["blocks"].as_array().cloned().unwrap_or_default();
    let size = json!(blocks).to_string().chars().count();
    if blocks.len() > 50 || size > 13_000 {
        faults.push(format!("{} blocks of {size} characters", blocks.len()));
    }
    blocks.iter().for_each(|block| inspect(block, &mut faults));
    let text = content["text"].as_str().unwrap_or_default();
    let bare = without_mentions(text);
    if text.chars().count() > 4_000 || bare.contains(['<', '>']) || bare.chars().any(is_unseen) {
        faults.push(format!("the text beside the blocks: {text:?}"));
    }
    faults
}

fn inspect(value: &Value, faults: &mut Vec<String>) {
    match value {
        Value::Array(list) => list.iter().for_each(|inner| inspect(inner, faults)),
        Value::Object(map) => {
            element(map, faults);
            map.values().for_each(|inner| inspect(inner, faults));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn element(map: &Map<String, Value>, faults: &mut Vec<String>) {
    let said = |key: &str| map.get(key).and_then(Value::as_str);
    let length = |key: &str| said(key).map_or(0, |text| text.chars().count());
    let mut must = |holds: bool| {
        if !holds {
            faults.push(json!(map).to_string().chars().take(300).collect());
        }
    };
    match said("type") {
        Some("text" | "plain_text") => {
            must(
                (1..=3_000).contains(&length("text")) && !said("text").unwrap_or_default().contains(is_unseen_in_text),
            );
        }
        Some("link") => {
            let web = said("url").is_some_and(|url| url.starts_with("https://") || url.starts_with("http://"));
            must(web && length("url") <= 3_000 && length("text") >= 1);
        }
        Some("user") => must(said("user_id").is_some_and(is_user)),
        Some("date") => must(map["timestamp"].as_i64().is_some_and(|at| (0..=7_258_118_400).contains(&at))),
        Some("button") => {
            must((1..=255).contains(&length("action_id")) && length("value") <= 2_000);
            must(map["text"]["text"].as_str().is_some_and(|text| text.chars().count() <= 75));
        }
        Some("actions") => must(map["elements"].as_array().is_some_and(|all| (1..=25).contains(&all.len()))),
        Some("input") => must((1..=255).contains(&length("block_id"))),
        Some("checkboxes") => must(map["options"].as_array().is_some_and(|all| (1..=10).contains(&all.len()))),
        Some("static_select") => must(map["options"].as_array().is_some_and(|all| (1..=100).contains(&all.len()))),
        Some(_) => {}
        // An option: the only thing without a type that has a value.
        None if map.contains_key("value") => must((1..=150).contains(&length("value"))),
        None => {}
    }
}

fn is_user(id: &str) -> bool {
    id.len() <= 20 && id.starts_with(['U', 'W']) && id.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

/// Line breaks are ours: paragraphs are joined by them.
fn is_unseen_in_text(c: char) -> bool {
    c != '\n' && is_unseen(c)
}

/// Controls, and what turns the direction of writing.
fn is_unseen(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn without_mentions(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<@") {
        out.push_str(before);
        rest = match after.split_once('>') {
            Some((id, behind)) if is_user(id) => behind,
            _ => return out + "<",
        };
    }
    out + rest
}

/// What is wrong with a form as `views.open` takes it.
fn form_faults(view: &Value) -> Vec<String> {
    let mut faults = faults(&json!({ "blocks": view["blocks"], "text": "" }));
    faults.retain(|fault| !fault.contains(" blocks of "));
    let length = |text: &Value| text.as_str().unwrap_or_default().chars().count();
    let metadata = length(&view["private_metadata"]);
    if view["blocks"].as_array().is_none_or(|all| all.len() > 100) || metadata > 3_000 {
        faults.push(format!("{metadata} characters of metadata, or too many blocks"));
    }
    for text in [&view["title"], &view["close"], &view["submit"]].into_iter().filter(|text| !text.is_null()) {
        if !(1..=24).contains(&length(&text["text"])) {
            faults.push(text.to_string());
        }
    }
    faults
}
