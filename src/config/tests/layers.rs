//! Variables over the file.

use std::time::Duration;

use super::{Environment, REST, load_with, machine};
use crate::config::Config;
use crate::webhook::settings::Url;

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let environment: Environment = variables.iter().copied().collect();
    load_with(&format!("{text}\n{REST}"), &environment, &machine())
}

#[test]
fn variables_override_the_file() {
    let config = load(
        "[engine]\nping_interval = 'wrong'\ncookie = { name = 'a' }\n[server]\nlisten = '1.2.3.4:5'",
        &[
            ("SOCKGATE__ENGINE__PING_INTERVAL", "10s"),
            ("SOCKGATE__ENGINE__COOKIE__PATH", "/x"),
            ("SOCKGATE__SERVER__LISTEN", "[\"127.0.0.1:1\", \"127.0.0.1:2\"]"),
            ("SOCKGATE__SERVER__SERVE_CLIENT", "false"),
            ("SOCKGATE__SERVER__NODE", "web-1"),
            ("SOCKGATE__LIMITS__ROOMS", "5"),
            ("SOCKGATE__DRAIN", "{ delay = \"1s\" }"),
            ("SOCKGATE_KEY", "is no key"),
        ],
    )
    .expect("valid");
    assert_eq!(config.transport.ping_interval, Duration::from_secs(10));
    let cookie = config.transport.cookie.expect("written");
    assert_eq!((&*cookie.name, &*cookie.path), ("a", "/x"));
    assert_eq!(config.server.listen.len(), 2);
    assert!(!config.server.serve_client);
    assert_eq!(&*config.server.node, "web-1");
    assert_eq!(config.hub.rooms, 5);
    assert_eq!(config.server.drain.delay, Duration::from_secs(1));
    assert_eq!(config.server.drain.spread, Duration::from_secs(20));
}

#[test]
fn tables_with_a_name_are_reached_by_it() {
    let key = "[[api.key]]\nname = 'Billing.v2'\nsecret = 'env:OLD'\nscopes = ['emit']";
    let secret = format!("sgk_{}", "k".repeat(43));
    let config = load(
        key,
        &[
            ("SOCKGATE__UPSTREAM__APP__URL", "http://localhost:9/x"),
            ("SOCKGATE__UPSTREAM__APP__CONCURRENCY__MAX", "7"),
            ("SOCKGATE__UPSTREAM__APP", "{ timeout = \"2s\" }"),
            ("SOCKGATE__API__KEY__BILLING_V2__SECRET", "env:NEW"),
            ("NEW", &secret),
        ],
    )
    .expect("valid");
    assert_eq!(
        config.upstreams[0].url,
        Url::Http("http://localhost:9/x".into())
    );
    assert_eq!(
        (config.upstreams[0].concurrency, config.upstreams[0].queue),
        (7, 1000)
    );
    assert_eq!(config.upstreams[0].timeout, Duration::from_secs(2));
    assert_eq!(config.api.keys.len(), 1);
}

#[test]
fn a_variable_that_reaches_nothing_is_told_by_its_name() {
    for (name, value, message) in [
        (
            "SOCKGATE__ENGINE__PING_INTERVALL",
            "1s",
            "engine.ping_intervall: unknown key; the nearest valid key is `ping_interval`",
        ),
        (
            "SOCKGATE__ENGIN__X",
            "1",
            "engin: unknown key; the nearest valid key is `engine`",
        ),
        (
            "SOCKGATE__ENGINE__PING_INTERVAL",
            "10",
            "engine.ping_interval: expected a duration",
        ),
        (
            "SOCKGATE__SERVER__LISTEN",
            "[\"x\"]",
            "server.listen[0]: expected an IP address",
        ),
        (
            "SOCKGATE__UPSTREAM__AP__URL",
            "x",
            "there is no [[upstream]] named ap; the nearest is app",
        ),
        (
            "SOCKGATE__API__KEY__A__SECRET",
            "x",
            "there is no [[api.key]] named a, nor any other",
        ),
        ("SOCKGATE__UPSTREAM__APP", "x", "must be a table"),
        ("SOCKGATE__UPSTREAM", "[]", "is reached by its name"),
        ("SOCKGATE__NAMESPACE", "[]", "cannot be overridden"),
        (
            "SOCKGATE__NAMESPACE__CHAT__HOLD",
            "1s",
            "cannot be overridden",
        ),
        (
            "SOCKGATE__API",
            "{ key = [{ name = \"x\" }] }",
            "cannot be overridden",
        ),
        ("SOCKGATE__", "x", "names no key"),
        ("SOCKGATE__ENGINE____X", "x", "names no key"),
        ("SOCKGATE__ENGINE__A.B", "x", "names no key"),
    ] {
        let problems = load("", &[(name, value)]).expect_err(name);
        assert_eq!(problems.len(), 1, "{name}: {problems:#?}");
        assert!(
            problems[0].starts_with(&format!("{name}: ")),
            "{problems:?}"
        );
        assert!(problems[0].contains(message), "{name}: {problems:?}");
    }
}

#[test]
fn problems_of_the_file_and_of_variables_are_told_together() {
    let problems = load("[server]\nprot = 1", &[("SOCKGATE__SERVER__SHARDS", "x")]);
    let problems = problems.expect_err("two problems");
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(
        problems[0].starts_with("2:1: server.prot: "),
        "{problems:?}"
    );
    assert!(
        problems[1].starts_with("SOCKGATE__SERVER__SHARDS: "),
        "{problems:?}"
    );
}
