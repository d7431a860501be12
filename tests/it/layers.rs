//! The layers of the house: which module may use which. The compiler would check this in a workspace of crates; here a test does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// `(module, what it may use)`. Everybody may use the standard library and other crates, save those in [`FORBIDDEN`].
const TABLE: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("hub", &["protocol", "telemetry"]),
    ("session", &["hub", "protocol", "telemetry", "tasks"]),
    ("contract", &["session", "hub", "protocol"]),
    (
        "transport",
        &["session", "hub", "protocol", "telemetry", "tasks"],
    ),
    (
        "webhook",
        &["contract", "session", "hub", "telemetry", "tasks"],
    ),
    (
        "builtin",
        &["contract", "session", "hub", "telemetry", "tasks"],
    ),
    ("api", &["contract", "hub", "telemetry", "tasks"]),
    (
        "server",
        &[
            "transport",
            "webhook",
            "api",
            "session",
            "hub",
            "protocol",
            "telemetry",
            "tasks",
        ],
    ),
    ("telemetry", &["hub"]),
    ("tasks", &[]),
    ("config", &["hub", "telemetry"]),
    (
        "cli",
        &["config", "app", "server", "builtin", "contract", "webhook"],
    ),
    ("app", &["*"]),
    ("lib", &["*"]),
    ("main", &["*"]),
];

/// Words that the core never names: it has no I/O.
const FORBIDDEN: &[&str] = &[
    "tokio::net",
    "hyper::",
    "http::",
    "reqwest",
    "redis::",
    "async_nats",
];
const CORE: &[&str] = &["protocol", "hub", "session"];

#[test]
fn modules_use_only_what_is_below_them() {
    let mut faults = BTreeSet::new();
    for (module, path, text) in sources() {
        let Some((_, allowed)) = TABLE.iter().find(|(name, _)| *name == module) else {
            faults.insert(format!(
                "{}: module '{module}' is not in the table",
                path.display()
            ));
            continue;
        };
        for (used, part) in crate_paths(&text) {
            let settings = part.starts_with("settings");
            let fine = used == module || allowed.contains(&"*") || allowed.contains(&used.as_str());
            // A component's settings are open to the configuration.
            if !(fine || module == "config" && (settings || used == "config")) {
                faults.insert(format!(
                    "{}: '{module}' may not use 'crate::{used}'",
                    path.display()
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_core_does_no_io() {
    let mut faults = BTreeSet::new();
    for (module, path, text) in sources()
        .into_iter()
        .filter(|(m, ..)| CORE.contains(&m.as_str()))
    {
        for word in FORBIDDEN.iter().filter(|word| text.contains(*word)) {
            faults.insert(format!("{}: '{module}' names {word}", path.display()));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_check_itself_can_fail() {
    let text = "use crate::transport::pump;\n// crate::ignored\nlet x = crate::{api::emit, hub};";
    let used: Vec<String> = crate_paths(text)
        .into_iter()
        .map(|(used, _)| used)
        .collect();
    assert_eq!(used, ["transport", "api", "hub"]);
}

/// Every source file with the name of its top module, without comments.
fn sources() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let inside = path.strip_prefix(&root).unwrap();
                let top = inside.iter().next().unwrap().to_str().unwrap();
                let text = fs::read_to_string(&path).unwrap();
                found.push((
                    top.trim_end_matches(".rs").to_owned(),
                    path,
                    uncommented(&text),
                ));
            }
        }
    }
    assert!(found.len() > 50, "the sources were not found");
    found
}

fn uncommented(text: &str) -> String {
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The modules that follow `crate::`, each with what follows it.
fn crate_paths(text: &str) -> Vec<(String, String)> {
    let text = uncommented(text);
    let mut found = Vec::new();
    for part in text.split("crate::").skip(1) {
        let group = part
            .strip_prefix('{')
            .and_then(|p| p.split_once('}'))
            .map(|(inside, _)| inside);
        for path in group
            .unwrap_or(part)
            .split(if group.is_some() { ',' } else { '\0' })
        {
            let (module, rest) = split_word(path.trim_start());
            found.push((module.to_owned(), rest.trim_start_matches("::").to_owned()));
        }
    }
    found
}

fn split_word(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    text.split_at(end)
}
