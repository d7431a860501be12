//! The table `api` and its keys.

use super::name::{Taken, at, label, namespaces};
use super::problem::Place;
use super::raw::Table;
use super::secret;
use super::server::listen;
use super::value::word;
use crate::api::settings::{Key, Scope, Settings};

/// The scopes by their names.
const SCOPES: [(&str, Scope); 5] = [
    ("emit", Scope::Emit),
    ("rooms", Scope::Rooms),
    ("disconnect", Scope::Disconnect),
    ("read", Scope::Read),
    ("admin", Scope::Admin),
];

/// `[api]`.
pub(super) fn api(table: &mut Table<'_>, settings: &mut Settings) {
    listen(table, &mut settings.listen);
    let mut names = Taken::default();
    let mut hashes = Vec::new();
    let keys = table.tables("key", |table| key(table, &mut names, &mut hashes));
    let has_keys = !keys.is_empty();
    settings.keys = keys.into_iter().flatten().collect();
    let is_open = settings
        .listen
        .iter()
        .any(|a| !a.ip().to_canonical().is_loopback());
    if is_open && !has_keys {
        table.wrong(
            "listen",
            "beyond loopback the API needs a key: add an [[api.key]] (`sockgate keys` prints one)",
        );
    }
}

fn key(
    table: &mut Table<'_>,
    names: &mut Taken,
    hashes: &mut Vec<([u8; 32], Place)>,
) -> Option<Key> {
    let name = table.require("name", label);
    if let Some(name) = name {
        names.take(table, name);
    }
    let sha256 = hash(table);
    if let Some(hash) = sha256 {
        match hashes.iter().find(|(other, _)| *other == hash) {
            Some((_, first)) => {
                table.wrong_here(format!("is the same key as another{}", at(first)));
            }
            None => hashes.push((hash, table.place())),
        }
    }
    let scopes = scopes(table);
    let namespaces = table.list("namespaces", namespaces);
    if namespaces.as_ref().is_some_and(Vec::is_empty) {
        table.wrong(
            "namespaces",
            "an empty list allows nothing; leave the key out to allow all",
        );
    }
    Some(Key {
        name: name?.into(),
        sha256: sha256?,
        scopes: scopes?,
        namespaces: namespaces.map(|list| list.into_iter().map(|(pattern, _)| pattern).collect()),
    })
}

fn hash(table: &mut Table<'_>) -> Option<[u8; 32]> {
    match (table.has("secret"), table.has("sha256")) {
        (true, true) => table.wrong("sha256", "contradicts `secret`: write one of the two"),
        (false, false) => table.wrong("secret", "is missing; or write `sha256`"),
        _ => {}
    }
    let context = table.context();
    let of_secret = table.get("secret", secret::api_key(context));
    let written = table.get("sha256", secret::hash);
    of_secret.or(written)
}

fn scopes(table: &mut Table<'_>) -> Option<Vec<Scope>> {
    if !table.has("scopes") {
        table.wrong("scopes", "is missing");
    }
    let written = table.list("scopes", word(&SCOPES, &[]))?;
    if written.is_empty() {
        table.wrong("scopes", "must not be empty");
    }
    let mut scopes = Vec::new();
    for (scope, _) in written {
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Some(scopes)
}
