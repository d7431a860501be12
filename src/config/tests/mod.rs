//! What is written becomes what it means; what is wrong is told, all of it, with its place.

mod files;
mod layers;
mod random;
mod routes;
mod secrets;
mod tables;

use ::config::{Map, Value};

use super::raw::RawConfig;
use super::{Config, ConfigError, Environment, Source, System, file, layers as merging};

/// A machine on which nothing is scarce.
fn machine() -> System {
    System {
        host_name: String::new(),
        cores: 1,
        memory: 4 << 30,
        files: 1 << 20,
    }
}

/// The smallest valid rest of a configuration.
const REST: &str = r#"
[[upstream]]
name = "app"
url = "http://127.0.0.1:8000/sockgate"

[[namespace]]
match = "/"

[[namespace.route]]
on = ["connect", "disconnect"]
upstream = "app"

[[namespace.route]]
event = "*"
upstream = "app"
"#;

/// What a text means with these variables on this machine; its problems as they are printed.
fn load_with(
    text: &str,
    environment: &Environment,
    system: &System,
) -> Result<Config, Vec<String>> {
    let (tree, mut problems) = match file::parse(text) {
        Ok(tree) => (tree, Vec::new()),
        Err(problems) => (Value::new(None, Map::<String, Value>::new()), problems),
    };
    let raw = RawConfig {
        tree: merging::merge(tree, environment, Vec::new(), &mut problems),
        file: None,
        directory: ".".into(),
        problems,
        built_in: false,
    };
    let (config, problems) = Config::resolve(&raw, environment, system);
    if problems.is_empty() {
        return Ok(config);
    }
    Err(printed(&ConfigError::new(None, problems)))
}

fn printed(error: &ConfigError) -> Vec<String> {
    error.to_string().lines().map(str::to_owned).collect()
}

fn load(text: &str) -> Result<Config, Vec<String>> {
    load_with(text, &Environment::default(), &machine())
}

/// What a text followed by [`REST`] means.
fn valid(text: &str) -> Config {
    match load(&format!("{text}\n{REST}")) {
        Ok(config) => config,
        Err(problems) => panic!("{text}\n{problems:#?}"),
    }
}

/// The problems of a text followed by [`REST`].
fn wrong(text: &str) -> Vec<String> {
    match load(&format!("{text}\n{REST}")) {
        Ok(_) => panic!("was accepted: {text}"),
        Err(problems) => problems,
    }
}

/// Asserts that each text is wrong in exactly one way, which is told in these words.
fn assert_wrong(cases: &[(&str, &str)]) {
    for (text, message) in cases {
        let problems = wrong(text);
        assert_eq!(problems.len(), 1, "{text}\n{problems:#?}");
        assert!(
            problems[0].contains(message),
            "{text}\n{problems:#?}\nlacks {message:?}"
        );
    }
}

#[test]
fn default_toml_is_the_defaults() {
    let text = include_str!("../../../config/default.toml");
    let config = load(&format!("{text}\n{REST}")).expect("valid");
    let rest = load(REST).expect("valid");
    assert_eq!(config, rest);
    let defaults = Config {
        upstreams: config.upstreams.clone(),
        namespaces: config.namespaces.clone(),
        ..Config::default()
    };
    assert_eq!(config, defaults);
}

/// `default.toml` with what stands behind one `#`, and as it is.
fn uncommented() -> String {
    let is_toml = |line: &str| {
        let is_key = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| is_key(key))
    };
    include_str!("../../../config/default.toml")
        .lines()
        .map(|line| {
            line.strip_prefix("# ")
                .filter(|rest| is_toml(rest))
                .unwrap_or(line)
        })
        .flat_map(|line| [line, "\n"])
        .collect()
}

#[test]
fn what_default_toml_has_behind_a_sign_can_be_written_and_is_the_default() {
    let directory = files::Directory::new("default");
    directory.write("ca.pem", files::AUTHORITY);
    let path = directory.write("all.toml", &uncommented());
    let config = Config::load(&Source::File(Some(path)), &example_secrets(), &machine());
    let config = config.expect("valid");
    let mut upstream = config.upstreams[0].clone();
    assert_eq!((upstream.secrets.len(), upstream.headers.len()), (2, 1));
    upstream.secrets.clear();
    upstream.headers.clear();
    upstream.ca = None;
    let defaults = crate::webhook::settings::Settings::new("app", upstream.url.clone());
    assert_eq!(upstream, defaults);
    let [life, messages, typing, ..] = config.namespaces[0].routes.as_slice() else {
        panic!("{:?}", config.namespaces);
    };
    let plain = load(&REST.replace("match = \"/\"", "match = \"/chat\"").replace(
        "\"*\"\nupstream",
        "[\"typing\", \"cursor\"]\nrelay = { to = \"rooms\" }\n#",
    ));
    let plain = &plain.expect("valid").namespaces[0];
    assert_eq!([life, typing], [&plain.routes[0], &plain.routes[1]]);
    assert_eq!(messages.target, plain.routes[0].target);
    assert_eq!(config.namespaces[0].forward, plain.forward);
    assert_eq!(config.namespaces[0].hold, plain.hold);
    let cookie = crate::transport::settings::Cookie::default();
    assert_eq!(config.transport.cookie, Some(cookie));
}

#[test]
fn default_toml_explains_every_key() {
    let text = uncommented();
    for line in text
        .lines()
        .filter(|line| line.contains(" = ") && !line.starts_with('#'))
    {
        assert!(line.contains(" # "), "{line}");
    }
    for key in super::LIMIT_KEYS {
        assert!(text.contains(&format!("\n{key} = ")), "{key}");
    }
}

/// The variables that `default.toml` and `example.toml` name.
fn example_secrets() -> Environment {
    let key = format!("sgk_{}", "k".repeat(43));
    let secret = format!("whsec_{}", "A".repeat(32));
    [
        ("SOCKGATE_KEY_BILLING", key.as_str()),
        ("APP_WHSEC", &secret),
        ("APP_WHSEC_OLD", &secret),
        ("APP_BASIC", "Basic YTpi"),
    ]
    .into_iter()
    .collect()
}

#[test]
fn the_example_configurations_are_valid() {
    let example = include_str!("../../../config/example.toml");
    let config = load_with(example, &example_secrets(), &machine()).expect("valid");
    assert_eq!(config.upstreams[0].secrets.len(), 2);
    assert_eq!(config.namespaces[0].routes.len(), 5);
    let minimal = include_str!("../../../config/minimal.toml");
    assert_eq!(load(minimal), load(REST));
}

#[test]
fn a_text_in_the_program_may_hold_secrets() {
    let text = concat!(
        "[[api.key]]\nname = \"demo\"\nsecret = \"sgk_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\nscopes = [\"emit\"]\n",
        "[[namespace]]\nmatch = \"/\"\nauth = \"none\"\n",
    );
    let load = |source| Config::load(&source, &Environment::default(), &machine());
    let config = load(Source::BuiltIn(text)).expect("valid");
    assert_eq!(config.api.keys.len(), 1);
}
