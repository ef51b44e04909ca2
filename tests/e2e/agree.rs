//! What has to agree, agrees: the walls between the parts of the house, the budgets of its files and functions, and the papers
//! (manifest, examples, README, the sandbox's page) with the code. No bot and no world here: these read the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use lockkeeper::check::SCOPES;
use lockkeeper::config::Config;
use lockkeeper::deploy::command::COMMANDS;

/// A file of the project, by its path from the root.
fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Rust file below a folder, by its path from the root.
fn sources(folder: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders: Vec<PathBuf> = vec![folder.into()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(&folder)).expect("a folder") {
            let name = folder.join(entry.expect("an entry").file_name());
            let path = name.display().to_string();
            match (Path::new(env!("CARGO_MANIFEST_DIR")).join(&name).is_dir(), path.ends_with(".rs")) {
                (true, _) => folders.push(name),
                (false, true) => drop(found.insert(path.clone(), text(&path))),
                (false, false) => {}
            }
        }
    }
    assert!(!found.is_empty(), "nothing below {folder}");
    found
}

/// What is built into the product: without test files and `mod tests`, without comments.
fn product() -> BTreeMap<String, String> {
    let all = sources("src").into_iter().filter(|(path, _)| !is_test(path));
    all.map(|(path, text)| (path, without_comments(without_tests(&text)))).collect()
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// `mod tests` is the last thing in a file.
fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

fn without_comments(text: &str) -> String {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.collect::<Vec<_>>().join("\n")
}

/// The words of the crate's paths that a text names: `crate::store::…` and `use crate::{store, …}`.
fn modules_named(code: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(group) => {
                let group = group.split('}').next().unwrap_or_default();
                named.extend(group.split(',').map(|path| word(path.trim())));
            }
            None => drop(named.insert(word(rest))),
        }
    }
    named
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn the_domain_knows_no_outside() {
    let allowed = ["std", "core", "jiff", "serde", "serde_json", "strsim", "super", "self", "crate"];
    let domain = product().into_iter().filter(|(path, _)| path == "src/deploy.rs" || path.starts_with("src/deploy/"));
    for (path, code) in domain {
        let foreign: Vec<String> = modules_named(&code).into_iter().filter(|module| module != "deploy").collect();
        assert!(foreign.is_empty(), "{path} looks out of the domain, at {foreign:?}");
        let uses = code.lines().filter_map(|line| line.trim().trim_start_matches("pub ").strip_prefix("use "));
        for used in uses.map(word) {
            let own = used.chars().next().is_some_and(char::is_uppercase) || code.contains(&format!("mod {used};"));
            assert!(own || allowed.contains(&used.as_str()), "{path} uses {used}");
        }
        for outside in [
            "async fn",
            ".await",
            "tokio::",
            "tracing::",
            "std::fs",
            "std::net",
            "std::env",
            "Timestamp::now",
            "fastrand",
        ] {
            assert!(!code.contains(outside), "{path} says {outside}");
        }
    }
}

#[test]
fn the_pretend_world_knows_no_bot() {
    let parts = ["world", "github", "beanstalk", "slack", "page"];
    let files = product().into_iter().filter(|(path, _)| {
        parts
            .iter()
            .any(|part| *path == format!("src/sandbox/{part}.rs") || path.starts_with(&format!("src/sandbox/{part}/")))
    });
    for (path, code) in files {
        // Within the sandbox `crate::sandbox` is another way to say `super`.
        let foreign: Vec<String> =
            modules_named(&code).into_iter().filter(|m| !["clock", "http", "sandbox"].contains(&m.as_str())).collect();
        assert!(foreign.is_empty(), "{path} knows the bot, by {foreign:?}");
    }
}

#[test]
fn tests_are_nowhere_but_in_tests() {
    for (path, text) in sources("src") {
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("cfg(test)")) {
            let next = lines.get(i + 1).copied().unwrap_or_default().trim_start_matches("pub(crate) ");
            assert!(line.trim() == "#[cfg(test)]" && next.starts_with("mod tests"), "{path}:{}: {line}", i + 1);
        }
    }
}

/// A function as rustfmt lays it out.
struct Function {
    place: String,
    lines: usize,
    parameters: usize,
}

fn functions(path: &str, code: &str) -> Vec<Function> {
    let lines: Vec<&str> = code.lines().collect();
    let starts = lines.iter().enumerate().filter_map(|(i, line)| Some((i, *line, name_of(line)?)));
    let found = starts.filter_map(|(start, line, name)| {
        let indent = &line[..line.len() - line.trim_start().len()];
        // The body opens on the first line that ends with a brace; a line that ends otherwise has no body, or all of it.
        let open = lines[start..].iter().position(|line| line.ends_with('{') || line.ends_with(['}', ';']))? + start;
        let end = match lines[open].ends_with('{') {
            true => lines[open..].iter().position(|line| *line == format!("{indent}}}"))? + open,
            false => open,
        };
        let head = lines[start..=open].join("\n");
        let place = format!("{path}: {name}");
        Some(Function { place, lines: end - start + 1, parameters: parameters(&head) })
    });
    found.collect()
}

/// The name of the function that begins on this line.
fn name_of(line: &str) -> Option<String> {
    let (before, after) = line.split_once("fn ")?;
    let mut words = before.split_whitespace();
    let is_item =
        words.all(|word| word.starts_with("pub") || ["const", "async", "extern"].contains(&word) || word == "in");
    is_item.then(|| word(after)).filter(|name| !name.is_empty())
}

/// Top-level commas between the parentheses of a signature; `self` does not count.
fn parameters(head: &str) -> usize {
    // Arrows are no brackets.
    let head = head.replace("->", "");
    let Some(open) = head.find("fn ").and_then(|name| Some(name + opening(&head[name..])?)) else { return 0 };
    let (mut depth, mut all) = (0, vec![String::new()]);
    for c in head[open + 1..].chars() {
        match c {
            '(' | '[' | '<' | '{' => depth += 1,
            ')' if depth == 0 => break,
            ')' | ']' | '>' | '}' => depth -= 1,
            ',' if depth == 0 => all.push(String::new()),
            _ => {}
        }
        if let Some(last) = all.last_mut() {
            last.push(c);
        }
    }
    let own = |parameter: &&String| {
        let parameter = parameter.trim_matches(|c: char| c == ',' || c.is_whitespace());
        !parameter.is_empty() && !parameter.split(|c: char| !c.is_alphanumeric()).take(3).any(|word| word == "self")
    };
    all.iter().filter(own).count()
}

/// Where the parameters begin: the first parenthesis outside of the generics.
fn opening(head: &str) -> Option<usize> {
    let mut depth = 0;
    for (i, c) in head.char_indices() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            '(' if depth == 0 => return Some(i),
            _ => {}
        }
    }
    None
}

fn percentile(mut all: Vec<usize>, percent: usize) -> usize {
    all.sort_unstable();
    all[(all.len() * percent / 100).min(all.len() - 1)]
}

#[test]
fn files_and_functions_keep_their_budgets() {
    let product = product();
    let files: BTreeMap<&String, usize> = product.iter().map(|(path, code)| (path, code.lines().count())).collect();
    for (path, lines) in &files {
        assert!(*lines <= 600, "{path} has {lines} lines");
    }
    assert!(percentile(files.values().copied().collect(), 90) <= 400, "too many long files: {files:#?}");

    let all: Vec<Function> = product.iter().flat_map(|(path, code)| functions(path, code)).collect();
    assert!(all.len() > 800, "only {} functions were found", all.len());
    for function in &all {
        assert!(function.lines <= 80, "{} has {} lines", function.place, function.lines);
        assert!(function.parameters <= 5, "{} has {} parameters", function.place, function.parameters);
    }
    let lines: Vec<usize> = all.iter().map(|function| function.lines).collect();
    assert!(percentile(lines.clone(), 50) <= 10, "the median function has {} lines", percentile(lines, 50));
    assert!(percentile(lines.clone(), 90) <= 40, "the 90th percentile is {} lines", percentile(lines, 90));
}

#[test]
fn the_scan_of_functions_sees_what_is_there() {
    let code = "fn one(a: u8) {}\n\nimpl X {\n    pub(super) async fn two<F: Fn(u8) -> u8>(\n        &self,\n        a: (u8, u8),\n        \
                b: F,\n    ) -> u8 {\n        a.0\n    }\n\n    const fn three() -> u8 {\n        3\n    }\n}\n";
    let found = functions("x", code);
    let found: Vec<_> = found.iter().map(|f| (f.place.as_str(), f.lines, f.parameters)).collect();
    assert_eq!(found, [("x: one", 1, 1), ("x: two", 7, 2), ("x: three", 3, 0)]);
}

#[test]
fn the_manifest_asks_for_what_is_needed() {
    let manifest: serde_json::Value = serde_saphyr::from_str(&text("manifest.yml")).expect("YAML");
    let asked = manifest["oauth_config"]["scopes"]["bot"].as_array().expect("scopes");
    let asked: BTreeSet<&str> = asked.iter().filter_map(|scope| scope.as_str()).collect();
    assert_eq!(asked, SCOPES.iter().map(|(scope, _)| *scope).collect());
    assert_eq!(manifest["features"]["slash_commands"][0]["command"], "/deploy", "as the settings have it unless told");
}

/// The variables that the code reads, by the texts in it.
fn variables() -> BTreeSet<String> {
    let product = product();
    let code = product.iter().filter(|(path, _)| path.starts_with("src/config") || *path == "src/main.rs");
    let texts = code.flat_map(|(_, code)| code.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>());
    texts.filter(|text| is_variable(text)).collect()
}

fn is_variable(text: &str) -> bool {
    text.contains('_') && text.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

#[test]
fn the_environments_example_names_every_variable() {
    let example = text(".env.example");
    let set = example.lines().filter_map(|line| Some(line.trim_start_matches("# ").split_once('=')?.0));
    let named: BTreeSet<String> = set.filter(|name| is_variable(name)).map(str::to_owned).collect();
    // These are read by the AWS SDK.
    let own: BTreeSet<String> = named.iter().filter(|name| !name.starts_with("AWS_")).cloned().collect();
    assert_eq!(own, variables());
    assert!(named.contains("AWS_ENDPOINT_URL_ELASTIC_BEANSTALK"));
}

#[test]
fn the_settings_example_has_no_mistakes() {
    let tokens =
        [("SLACK_APP_TOKEN", "xapp-1-x"), ("SLACK_BOT_TOKEN", "xoxb-1-x"), ("GITHUB_TOKEN", "ghp_0123456789abcdef")];
    let environment = tokens.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let config = Config::read(&environment, Some(&text("lockkeeper.example.toml")));
    let config = config.unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    assert_eq!(config.warnings(), [""; 0]);
    assert!(config.apps.len() >= 2);
}

#[test]
fn the_readme_names_commands_and_variables() {
    let readme = text("README.md");
    for usage in COMMANDS {
        let command = format!("/deploy {}", usage.name);
        assert!(readme.contains(command.trim()), "README.md does not name {command}");
    }
    for variable in variables() {
        assert!(readme.contains(&variable), "README.md does not name {variable}");
    }
}

/// The page must not know the bot, so it repeats the commands.
#[test]
fn the_page_offers_the_commands_that_there_are() {
    let script = text("src/sandbox/page/page.js");
    let list = script.split("const COMMANDS = [").nth(1).and_then(|rest| rest.split("];").next()).expect("a list");
    let offered: BTreeSet<String> = list.split("[\"").skip(1).map(word).collect();
    let there: BTreeSet<String> =
        COMMANDS.iter().map(|usage| usage.name.to_owned()).filter(|n| !n.is_empty()).collect();
    assert_eq!(offered, there);
}
