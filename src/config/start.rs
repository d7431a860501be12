//! Where the configuration begins: a file, or a backend's address alone.

use std::path::{Path, PathBuf};

use ::config::{Map, Value, ValueKind};

use super::environment::Environment;
use super::layers::{self, Layer};
use super::problem::{Place, Problem};
use super::raw::RawConfig;
use super::{Source, file};

/// Where a file is looked for when none is named.
const SEARCHED: [&str; 2] = ["sockgate.toml", "/etc/sockgate/sockgate.toml"];

/// Names the file.
const CONFIG: &str = "SOCKGATE_CONFIG";
/// Instead of a file: the backend's address.
const BACKEND: &str = "SOCKGATE_BACKEND";
/// Instead of a file: the signing secret itself.
const BACKEND_SECRET: &str = "SOCKGATE_BACKEND_SECRET";
/// Instead of a file: an API key itself.
const API_KEY: &str = "SOCKGATE_API_KEY";

/// Reads and merges the layers.
pub(super) fn read(source: &Source, environment: &Environment) -> RawConfig {
    let mut raw = RawConfig {
        tree: Value::new(None, Map::<String, Value>::new()),
        file: None,
        directory: PathBuf::new(),
        problems: Vec::new(),
        built_in: false,
    };
    let mut flags = Vec::new();
    match source {
        Source::File(named) => match named_file(named.as_deref(), environment) {
            Some(path) => raw.begin_with_file(path, environment),
            None => raw.begin_with_variables(environment),
        },
        Source::Backend { url, secret } => {
            raw.begin_with_flags(url, environment);
            flags = overrides(url, secret.as_deref());
        }
        Source::BuiltIn(text) => {
            raw.built_in = true;
            raw.parse(text);
        }
    }
    // Variables could reach nothing in what is not there.
    if raw.is_readable() {
        let base = std::mem::take(&mut raw.tree);
        raw.tree = layers::merge(base, environment, flags, &mut raw.problems);
    }
    raw
}

impl RawConfig {
    fn begin_with_file(&mut self, path: PathBuf, environment: &Environment) {
        let text = file::read(&path);
        self.directory = path.parent().map(Path::to_owned).unwrap_or_default();
        self.file = Some(path);
        match text {
            Ok(text) => self.parse(&text),
            Err(message) => self.problem(Place::Nowhere, message),
        }
        if variable(environment, BACKEND).is_some() {
            self.problem(
                Place::Variable(BACKEND.to_owned()),
                "is for a start without a configuration file, but there is one",
            );
        }
    }

    fn begin_with_variables(&mut self, environment: &Environment) {
        if let Some(url) = variable(environment, BACKEND) {
            self.tree = backend(url, &Place::Variable(BACKEND.to_owned()), environment);
        }
    }

    fn begin_with_flags(&mut self, url: &str, environment: &Environment) {
        let place = Place::Flag("--backend");
        self.tree = backend(url, &place, environment);
        if variable(environment, CONFIG).is_some() {
            self.problem(
                place,
                "is for a start without a configuration file, but SOCKGATE_CONFIG names one",
            );
        }
    }

    fn parse(&mut self, text: &str) {
        match file::parse(text) {
            Ok(tree) => self.tree = tree,
            Err(problems) => self.problems.extend(problems),
        }
    }

    /// Secrets that would be taken for what the gateway uses; see [`Config::ignored`](super::Config::ignored).
    pub(super) fn ignored(&self, environment: &Environment) -> Vec<&'static str> {
        let is_ignored = |name: &&str| {
            self.file.is_some()
                && variable(environment, name).is_some()
                && !mentions(&self.tree, &format!("env:{name}"))
        };
        [BACKEND_SECRET, API_KEY]
            .into_iter()
            .filter(is_ignored)
            .collect()
    }

    fn problem(&mut self, place: Place, message: impl Into<String>) {
        self.problems.push(Problem {
            place,
            key: String::new(),
            message: message.into(),
        });
    }
}

/// The file that is to be read, if there is one.
fn named_file(named: Option<&Path>, environment: &Environment) -> Option<PathBuf> {
    named
        .map(Path::to_owned)
        .or_else(|| variable(environment, CONFIG).map(PathBuf::from))
        .or_else(|| {
            SEARCHED
                .map(PathBuf::from)
                .into_iter()
                .find(|path| path.exists())
        })
}

/// A variable that is set to something: an empty one counts as unset, as container tools pass them.
fn variable<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    environment.text(name).ok().filter(|text| !text.is_empty())
}

/// Whether the text stands anywhere in the tree.
fn mentions(value: &Value, text: &str) -> bool {
    match &value.kind {
        ValueKind::String(written) => written == text,
        ValueKind::Array(list) => list.iter().any(|value| mentions(value, text)),
        ValueKind::Table(table) => table.values().any(|value| mentions(value, text)),
        _ => false,
    }
}

/// What a start without a file means: upstream `app`, and namespace `/` with everything routed to it.
fn backend(url: &str, place: &Place, environment: &Environment) -> Value {
    let text = |text: &str| Value::new(place.to_origin().as_ref(), text);
    let list = |items: Vec<Value>| Value::new(place.to_origin().as_ref(), items);
    let table = |entries: &[(&str, Value)]| {
        let entries = entries.iter().cloned();
        let map: Map<_, _> = entries
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        Value::new(place.to_origin().as_ref(), map)
    };
    let mut upstream = vec![("name", text("app")), ("url", text(url))];
    if variable(environment, BACKEND_SECRET).is_some() {
        upstream.push((
            "secrets",
            secrets(&Place::Variable(BACKEND_SECRET.to_owned()), None),
        ));
    }
    let life = table(&[
        ("on", list(vec![text("connect"), text("disconnect")])),
        ("upstream", text("app")),
    ]);
    let events = table(&[("event", text("*")), ("upstream", text("app"))]);
    let namespace = table(&[("match", text("/")), ("route", list(vec![life, events]))]);
    let mut root = vec![
        ("upstream", list(vec![table(&upstream)])),
        ("namespace", list(vec![namespace])),
    ];
    if variable(environment, API_KEY).is_some() {
        let origin = Some(API_KEY.to_owned());
        let text = |text: &str| Value::new(origin.as_ref(), text);
        let key = table(&[
            ("name", text("default")),
            ("secret", text(&format!("env:{API_KEY}"))),
            ("scopes", Value::new(origin.as_ref(), vec![text("admin")])),
        ]);
        root.push(("api", table(&[("key", list(vec![key]))])));
    }
    table(&root)
}

/// The flags, over everything else.
fn overrides(url: &str, secret: Option<&str>) -> Vec<Layer> {
    let backend = Place::Flag("--backend").to_origin();
    let mut overrides = vec![Layer {
        key: "upstream[0].url".to_owned(),
        value: Value::new(backend.as_ref(), url),
    }];
    overrides.extend(secret.map(|secret| Layer {
        key: "upstream[0].secrets".to_owned(),
        value: secrets(&Place::Flag("--secret"), Some(secret)),
    }));
    overrides
}

fn secrets(place: &Place, written: Option<&str>) -> Value {
    let written = written.map_or_else(|| format!("env:{BACKEND_SECRET}"), str::to_owned);
    let origin = place.to_origin();
    let secret = Value::new(origin.as_ref(), written);
    Value::new(origin.as_ref(), ValueKind::Array(vec![secret]))
}
