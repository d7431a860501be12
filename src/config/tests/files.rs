//! Files: the configuration itself, and what it names; and a start without one.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Config, Environment, REST, Source, machine, printed};
use crate::api::settings::Scope;
use crate::webhook::settings::Url;

/// A directory of one test, removed at its end.
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new(test: &str) -> Self {
        let name = format!("sockgate-config-{}-{test}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a directory for the test");
        Self(path)
    }

    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a file of the test");
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// A certificate of an authority.
pub(super) const AUTHORITY: &str = include_str!("../../webhook/client/tls/ca.pem");

fn load(source: &Source, variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let environment: Environment = variables.iter().copied().collect();
    Config::load(source, &environment, &machine()).map_err(|error| printed(&error))
}

fn file(path: &Path) -> Source {
    Source::File(Some(path.to_owned()))
}

fn backend(url: &str, secret: Option<&str>) -> Source {
    Source::Backend {
        url: url.to_owned(),
        secret: secret.map(str::to_owned),
    }
}

#[test]
fn secrets_are_read_from_files_beside_the_configuration() {
    let directory = Directory::new("secrets");
    directory.write("whsec", &format!("whsec_{}\n", "A".repeat(32)));
    directory.write("ca.pem", AUTHORITY);
    let text = REST
        .replace("http://127.0.0.1:8000/sockgate", "https://app/")
        .replace("url =", "secrets = ['file:whsec']\nca = 'ca.pem'\nurl =");
    let config = load(&file(&directory.write("a.toml", &text)), &[]).expect("valid");
    assert_eq!(config.upstreams[0].secrets[0].expose(), [0; 24]);
    assert!(config.upstreams[0].ca.is_some());
    // Only one line end is cut, and a certificate must be there.
    directory.write("whsec", &format!("whsec_{}\n\n", "A".repeat(32)));
    directory.write("ca.pem", "no certificate");
    let problems = load(&file(&directory.write("a.toml", &text)), &[]).expect_err("two problems");
    assert_eq!(problems.len(), 2, "{problems:#?}");
}

#[test]
fn a_broken_authority_is_found_before_anything_is_bound() {
    let directory = Directory::new("authority");
    let text = REST
        .replace("http://127.0.0.1:8000/sockgate", "https://app/")
        .replace("url =", "insecure_unsigned = true\nca = 'ca.pem'\nurl =");
    let path = directory.write("a.toml", &text);
    let pem =
        |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    let (unreadable, none) = (
        "file ca.pem holds a PEM certificate that cannot be read",
        "file ca.pem holds no PEM certificate",
    );
    for (ca, message) in [
        (pem("!!!!"), unreadable),
        (pem("bm90IGEgY2VydGlmaWNhdGU="), unreadable),
        (AUTHORITY.to_owned() + &pem("AAAA"), unreadable),
        (AUTHORITY.replace("-----END", "----END"), unreadable),
        (AUTHORITY.replace("CERTIFICATE", "THING"), none),
        (String::new(), none),
    ] {
        directory.write("ca.pem", &ca);
        let problems = load(&file(&path), &[]).expect_err(&ca);
        assert_eq!(problems.len(), 1, "{ca}\n{problems:#?}");
        assert!(problems[0].contains(message), "{ca}\n{problems:#?}");
    }
    directory.write("ca.pem", AUTHORITY);
    load(&file(&path), &[]).expect("valid");
}

#[test]
fn a_file_that_cannot_be_read_is_the_only_problem() {
    let problems = load(&file(Path::new("/no/such/file.toml")), &[]).expect_err("no file");
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(
        problems[0].starts_with("/no/such/file.toml: cannot be read: "),
        "{problems:?}"
    );
}

#[test]
fn variables_are_no_problem_while_the_file_cannot_be_read() {
    let directory = Directory::new("broken");
    let path = directory.write("broken.toml", "[server\n");
    let variables = [("SOCKGATE__UPSTREAM__APP__URL", "http://localhost/")];
    let problems = load(&file(&path), &variables).expect_err("no TOML");
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(
        problems[0].ends_with("broken.toml:1:8: unclosed table, expected `]`"),
        "{problems:?}"
    );
}

#[test]
fn the_variable_names_the_file_and_the_flag_wins() {
    let directory = Directory::new("named");
    let one = directory.write("one.toml", &format!("[server]\nshards = 1\n{REST}"));
    let two = directory.write("two.toml", &format!("[server]\nshards = 2\n{REST}"));
    let two = two.to_str().expect("a text");
    let config = load(&Source::File(None), &[("SOCKGATE_CONFIG", two)]).expect("valid");
    assert_eq!(config.server.shards, 2);
    let config = load(&file(&one), &[("SOCKGATE_CONFIG", two)]).expect("valid");
    assert_eq!(config.server.shards, 1);
    let both = [
        ("SOCKGATE_CONFIG", two),
        ("SOCKGATE_BACKEND", "http://localhost/"),
    ];
    let problems = load(&Source::File(None), &both).expect_err("contradiction");
    assert!(
        problems[0].starts_with("SOCKGATE_BACKEND: is for a start without"),
        "{problems:?}"
    );
}

#[test]
fn a_backend_alone_is_enough() {
    let config = load(&backend("http://localhost:8000/hook", None), &[]).expect("valid");
    let expected = super::load(&REST.replace(
        "http://127.0.0.1:8000/sockgate",
        "http://localhost:8000/hook",
    ));
    assert_eq!(config, expected.expect("valid"));
    assert!(config.api.keys.is_empty());
}

#[test]
fn without_a_file_variables_hold_the_secrets_themselves() {
    let secret = format!("whsec_{}", "A".repeat(32));
    let key = format!("sgk_{}", "k".repeat(43));
    let variables = [
        ("SOCKGATE_BACKEND", "https://app.example/hook"),
        ("SOCKGATE_BACKEND_SECRET", &secret),
        ("SOCKGATE_API_KEY", &key),
        ("SOCKGATE__API__LISTEN", "0.0.0.0:3001"),
        ("SOCKGATE__UPSTREAM__APP__TIMEOUT", "2s"),
        ("OTHER", &secret),
    ];
    let config = load(&Source::File(None), &variables).expect("valid");
    assert_eq!(config.upstreams[0].secrets.len(), 1);
    assert_eq!(config.upstreams[0].timeout.as_secs(), 2);
    assert_eq!(config.api.keys[0].scopes, [Scope::Admin]);
    // A flag is over all variables.
    let flags = backend("https://b.example/", Some("env:OTHER"));
    let over = [
        variables[5],
        ("SOCKGATE__UPSTREAM__APP__URL", "https://c.example/"),
    ];
    let config = load(&flags, &over).expect("valid");
    assert_eq!(
        config.upstreams[0].url,
        Url::Http("https://b.example/".into())
    );
}

#[test]
fn secrets_that_a_file_does_not_name_are_told() {
    let directory = Directory::new("ignored");
    let secret = format!("whsec_{}", "A".repeat(32));
    let key = format!("sgk_{}", "k".repeat(43));
    let variables = [
        ("SOCKGATE_BACKEND_SECRET", &*secret),
        ("SOCKGATE_API_KEY", &key),
    ];
    let ignored = |text: &str, variables: &[(&str, &str)]| {
        let config = load(&file(&directory.write("a.toml", text)), variables).expect("valid");
        let warnings = config.warnings();
        let ignored = warnings
            .iter()
            .filter(|warning| warning.contains(" is ignored"));
        let first_word = |warning: &String| warning.split(' ').next().map(str::to_owned);
        ignored.filter_map(first_word).collect::<Vec<_>>()
    };
    let both = ["SOCKGATE_BACKEND_SECRET", "SOCKGATE_API_KEY"];
    assert_eq!(ignored(REST, &variables), both);
    let named = REST.replace("url =", "secrets = ['env:SOCKGATE_BACKEND_SECRET']\nurl =");
    assert_eq!(ignored(&named, &variables), both[1..]);
    let empty = [("SOCKGATE_BACKEND_SECRET", ""), ("SOCKGATE_API_KEY", "")];
    assert_eq!(ignored(REST, &empty), [""; 0]);
    let started = load(&backend("http://127.0.0.1/", None), &variables).expect("valid");
    assert!(started.ignored.is_empty());
}

#[test]
fn a_backend_alone_is_checked_like_a_file() {
    let problems = load(&backend("http://app/", None), &[]).expect_err("unsigned");
    assert!(
        problems[0].starts_with("--backend: upstream[0].secrets: "),
        "{problems:?}"
    );
    assert!(
        problems[0].contains("add `--secret env:NAME`"),
        "{problems:?}"
    );
    let problems = load(&backend("app:80", None), &[]).expect_err("no URL");
    assert!(
        problems[0].starts_with("--backend: upstream[0].url: "),
        "{problems:?}"
    );
    let problems = load(&backend("http://app/", Some("env:NONE")), &[]).expect_err("no secret");
    assert!(
        problems[0].starts_with("--secret: upstream[0].secrets[0]: "),
        "{problems:?}"
    );
    let problems = load(
        &backend("http://localhost/", None),
        &[("SOCKGATE_CONFIG", "x")],
    );
    assert!(problems.expect_err("contradiction")[0].contains("SOCKGATE_CONFIG names one"));
}

#[test]
fn without_any_namespace_it_is_told_what_to_add() {
    let directory = Directory::new("empty");
    let path = directory.write("empty.toml", "[log]\nlevel = \"info\"");
    let problems = load(&file(&path), &[]).expect_err("nothing to do");
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(
        problems[0].contains("empty.toml: namespace: without any [[namespace]]"),
        "{problems:?}"
    );
    assert!(problems[0].contains("`sockgate init`"), "{problems:?}");
}

#[test]
fn who_asks_a_running_gateway_needs_no_secrets() {
    let directory = Directory::new("admin");
    let text = "[admin]\nlisten = '127.0.0.1:9'\n[[upstream]]\nname = 'a'\nurl = 'http://a/'\nsecrets = ['env:GONE']";
    let path = directory.write("a.toml", text);
    let ask = |variables: &[(&str, &str)]| {
        let environment = variables.iter().copied().collect();
        crate::config::admin_addresses(&file(&path), &environment, &machine())
    };
    assert_eq!(
        ask(&[]),
        Ok(vec!["127.0.0.1:9".parse().expect("an address")])
    );
    let other = [("SOCKGATE__ADMIN__LISTEN", "0.0.0.0:3002")];
    assert_eq!(
        ask(&other),
        Ok(vec!["0.0.0.0:3002".parse().expect("an address")])
    );
    assert!(ask(&[("SOCKGATE__ADMIN__LISTEN", "x")]).is_err());
}
