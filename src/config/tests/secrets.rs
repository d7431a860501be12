//! Secrets, and that no message tells them.

use super::{Environment, REST, load_with, machine};
use crate::api::settings::Scope;
use crate::config::Config;

const KEY: &str = "sgk_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
/// SHA-256 of [`KEY`], made with another program.
const KEY_SHA256: &str = "14380c638496bfceb8c47e6244bd2c525584f0ec031078f14eed17a9dbd12663";

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let environment: Environment = variables.iter().copied().collect();
    load_with(&format!("{text}\n{REST}"), &environment, &machine())
}

fn key(rest: &str) -> String {
    format!("[[api.key]]\nname = 'billing'\n{rest}")
}

#[test]
fn an_api_key_is_kept_as_its_hash() {
    let by_secret =
        key("secret = 'env:K'\nscopes = ['emit', 'read', 'emit']\nnamespaces = ['/a', '/b-*']");
    let config = load(&by_secret, &[("K", KEY)]).expect("valid");
    let read = &config.api.keys[0];
    assert_eq!(read.scopes, [Scope::Emit, Scope::Read]);
    assert_eq!(read.namespaces.as_ref().map(Vec::len), Some(2));
    let by_hash = key(&format!("sha256 = '{KEY_SHA256}'\nscopes = ['emit']"));
    let config = load(&by_hash, &[]).expect("valid");
    assert_eq!(config.api.keys[0].sha256, read.sha256);
    assert_eq!(config.api.keys[0].namespaces, None);
}

#[test]
fn api_keys_are_checked() {
    let short = "sgk_0123456789";
    for (rest, message) in [
        ("scopes = ['emit']", "secret: is missing; or write `sha256`"),
        (
            "secret = 'env:NONE'\nscopes = ['emit']",
            "environment variable NONE is not set",
        ),
        (
            "secret = 'env:EMPTY'\nscopes = ['emit']",
            "environment variable EMPTY is empty",
        ),
        ("secret = 'env:SHORT'\nscopes = ['emit']", "at least 43"),
        (
            "secret = 'file:no/such'\nscopes = ['emit']",
            "cannot read file no/such",
        ),
        ("secret = 'env:K'", "scopes: is missing"),
        ("secret = 'env:K'\nscopes = []", "scopes: must not be empty"),
        (
            "secret = 'env:K'\nscopes = ['emti']",
            "the nearest is \"emit\"",
        ),
        (
            "secret = 'env:K'\nscopes = ['emit']\nnamespaces = []",
            "an empty list allows nothing",
        ),
        (
            "secret = 'env:K'\nscopes = ['emit']\nnamespaces = ['a']",
            "must begin with '/'",
        ),
        ("sha256 = 'abc'\nscopes = ['emit']", "64 hexadecimal digits"),
        ("sha256 = '+0'\nscopes = ['emit']", "64 hexadecimal digits"),
    ] {
        let variables = [("K", KEY), ("EMPTY", ""), ("SHORT", short)];
        let problems = load(&key(rest), &variables).expect_err(rest);
        assert_eq!(problems.len(), 1, "{rest}\n{problems:#?}");
        assert!(problems[0].contains(message), "{rest}\n{problems:#?}");
        assert!(!problems[0].contains(short), "{problems:?}");
    }
    let both = format!("secret = 'env:K'\nsha256 = '{KEY_SHA256}'\nscopes = ['emit']");
    let problems = load(&key(&both), &[("K", KEY)]).expect_err("both");
    assert!(problems[0].contains("contradicts `secret`"), "{problems:?}");
}

#[test]
fn keys_differ_in_name_and_text() {
    let one = key("secret = 'env:K'\nscopes = ['emit']");
    let problems = load(&format!("{one}\n{one}"), &[("K", KEY)]).expect_err("twice");
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(
        problems[0].contains("is the same key as another (line 1)"),
        "{problems:?}"
    );
    assert!(
        problems[1].contains("\"billing\" is taken (line 2)"),
        "{problems:?}"
    );
}

#[test]
fn beyond_loopback_the_api_needs_a_key() {
    let open = "[api]\nlisten = '0.0.0.0:3001'\n";
    let problems = load(open, &[]).expect_err("open");
    assert!(
        problems[0].contains("beyond loopback the API needs a key"),
        "{problems:?}"
    );
    let one = key("secret = 'env:K'\nscopes = ['emit']");
    assert!(load(&format!("{open}{one}"), &[("K", KEY)]).is_ok());
    assert!(load("[api]\nlisten = '[::1]:3001'", &[]).is_ok());
}

#[test]
fn inline_secrets_are_refused_and_not_repeated() {
    let inline = key(&format!("secret = '{KEY}'\nscopes = ['emit']"));
    let problems = load(&inline, &[]).expect_err("inline");
    assert!(
        problems[0].contains("\"env:NAME\" or \"file:PATH\", never itself"),
        "{problems:?}"
    );
    assert!(!problems[0].contains(KEY), "{problems:?}");
    let text = REST.replace(
        "url =",
        "secrets = ['whsec_c2VjcmV0']\nheaders = { authorization = 'Basic c2VjcmV0' }\nurl =",
    );
    let problems = load_with(&text, &Environment::default(), &machine()).expect_err("inline");
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(
        problems.iter().all(|problem| !problem.contains("c2VjcmV0")),
        "{problems:?}"
    );
}

#[test]
fn signing_secrets_have_24_to_64_bytes() {
    let load = |secret: &str| {
        let text = REST.replace("url =", "secrets = ['env:S']\nurl =");
        let environment: Environment = [("S", secret)].into_iter().collect();
        load_with(&text, &environment, &machine())
    };
    // 24 and 64 bytes, the second with padding and without.
    for right in [
        format!("whsec_{}", "A".repeat(32)),
        format!("whsec_{}==", "A".repeat(86)),
        format!("whsec_{}", "A".repeat(86)),
    ] {
        let config = load(&right).expect(&right);
        let bytes = config.upstreams[0].secrets[0].expose().len();
        assert!(bytes == 24 || bytes == 64, "{bytes}");
    }
    for wrong in [
        "A".repeat(32),
        "whsec_AAAA".to_owned(),
        format!("whsec_{}", "A".repeat(88)),
        format!("whsec_{}", "!".repeat(32)),
    ] {
        let problems = load(&wrong).expect_err(&wrong);
        assert!(problems[0].contains("24 to 64 bytes"), "{problems:?}");
        assert!(!problems[0].contains(&wrong), "{problems:?}");
    }
}
