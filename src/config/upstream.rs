//! The tables `upstream`.

use ::config::Value;

use super::address::{self, Backend};
use super::name::{Taken, label};
use super::problem::Place;
use super::raw::{Context, Table};
use super::value::{self, Reading, count, flag, positive, ratio, size, some_time, text};
use super::{header, secret};
use crate::session::settings::BUILT_IN;
use crate::webhook::settings::{Breaker, Retention, Secret, Settings, authorities};

/// Signatures of one request: enough for any rotation, and a header stays small.
const MAX_SECRETS: usize = 10;

/// An upstream as the routes see it: known by name even if the rest is wrong.
#[derive(Debug)]
pub(super) struct Named {
    /// Its name.
    pub(super) name: Box<str>,
    /// Where it is.
    pub(super) place: Place,
    /// Path of its table.
    pub(super) path: String,
    /// Whether a route leads to it.
    pub(super) is_used: bool,
}

impl Named {
    /// The one that needs no table.
    pub(super) fn built_in() -> Self {
        Self {
            name: BUILT_IN.into(),
            place: Place::Nowhere,
            path: String::new(),
            is_used: true,
        }
    }
}

/// `[[upstream]]`: the settings, if they are complete.
pub(super) fn upstream(
    table: &mut Table<'_>,
    names: &mut Taken,
    known: &mut Vec<Named>,
) -> Option<Settings> {
    let name = table.require("name", label);
    if let Some(name) = name.filter(|name| names.take(table, name)) {
        known.push(Named {
            name: name.into(),
            place: table.place(),
            path: table.path().to_owned(),
            is_used: false,
        });
    }
    let backend = table.require("url", address::backend);
    // Everything is read even if the name or the address is wrong, so that all problems are found.
    let url = backend.as_ref().map_or_else(
        || crate::webhook::settings::Url::Http("".into()),
        |backend| backend.url.clone(),
    );
    let mut settings = Settings::new(name.unwrap_or_default(), url);
    security(table, backend.as_ref(), &mut settings);
    table.table("headers", |table| headers(table, &mut settings.headers));
    table.set("timeout", some_time, &mut settings.timeout);
    table.set("connect_timeout", some_time, &mut settings.connect_timeout);
    table.set("keep_alive", value::duration, &mut settings.keep_alive);
    table.set("max_reply", size, &mut settings.max_reply);
    table.table("concurrency", |table| {
        table.set("max", positive, &mut settings.concurrency);
        table.set("queue", count, &mut settings.queue);
        table.later_but("adaptive", false);
    });
    table.table("breaker", |table| breaker(table, &mut settings.breaker));
    table.table("retention", |table| {
        retention(table, &mut settings.retention);
    });
    (name.is_some() && backend.is_some()).then_some(settings)
}

/// Signatures and certificates.
fn security(table: &mut Table<'_>, backend: Option<&Backend>, settings: &mut Settings) {
    let context = table.context();
    let secrets = table.list("secrets", secret::signing(context));
    let unsigned = table.get("insecure_unsigned", flag).unwrap_or(false);
    settings.ca = table.get("ca", |value| certificates(context, value));
    let skip_verify = table.get("insecure_skip_verify", flag).unwrap_or(false);
    settings.insecure_skip_verify = skip_verify;
    let count = secrets.as_ref().map_or(0, Vec::len);
    if count > MAX_SECRETS {
        table.wrong("secrets", format!("must be at most {MAX_SECRETS}"));
    }
    if unsigned && count > 0 {
        table.wrong("insecure_unsigned", "contradicts `secrets`");
    }
    if let Some(backend) = backend {
        // Secrets that were written but are wrong are a problem already.
        let is_signed =
            table.has("secrets") && secrets.as_ref().is_none_or(|list| !list.is_empty());
        if !is_signed && !unsigned && !backend.is_local {
            table.wrong("secrets", must_be_signed(&table.place()));
        }
        for (key, is_set) in [
            ("ca", table.has("ca")),
            ("insecure_skip_verify", skip_verify),
        ] {
            if is_set && !backend.is_tls {
                table.wrong(key, "has a meaning only where `url` is https://");
            }
        }
    }
    let secrets = secrets.into_iter().flatten();
    settings.secrets = secrets.map(|(secret, _)| secret).collect();
}

fn must_be_signed(place: &Place) -> String {
    let how = match place {
        Place::Flag(_) | Place::Variable(_) => "add `--secret env:NAME` or SOCKGATE_BACKEND_SECRET",
        Place::File { .. } | Place::Nowhere => "add `secrets = [\"env:NAME\"]`",
    };
    format!(
        "requests that leave this machine must be signed: {how} (`sockgate keys` prints a secret), or `insecure_unsigned = true`"
    )
}

/// The bytes of a PEM file whose certificates can be used.
fn certificates(context: &Context<'_>, value: &Value) -> Reading<Vec<u8>> {
    let path = text(value)?;
    let bytes = secret::read_file(context, path)?;
    match authorities(&bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!("file {path} {error}")),
    }
}

/// Fixed headers: plain text, or a secret.
fn headers(table: &mut Table<'_>, headers: &mut Vec<(Box<str>, Secret)>) {
    let context = table.context();
    for (written, value) in table.entries() {
        let header = fixed_header(context, written, value).and_then(|(name, value)| {
            if headers.iter().any(|(other, _)| *other == name) {
                return Err(format!("`{name}` is there already"));
            }
            Ok((name, value))
        });
        match header {
            Ok(header) => headers.push(header),
            Err(message) => context.problem(Place::of(value), table.path_of(written), message),
        }
    }
}

fn fixed_header(
    context: &Context<'_>,
    written: &str,
    value: &Value,
) -> Reading<(Box<str>, Secret)> {
    let name = header::sendable(written)?;
    let plain = text(value)?;
    let is_reference = plain.starts_with("env:") || plain.starts_with("file:");
    let text = if is_reference || header::is_secret(&name) {
        secret::resolve(context, value)?
    } else {
        plain.to_owned()
    };
    header::check_value(&text)?;
    Ok((name, Secret::new(text.into_bytes())))
}

fn breaker(table: &mut Table<'_>, breaker: &mut Breaker) {
    table.set("window", some_time, &mut breaker.window);
    table.set("min_requests", positive, &mut breaker.min_requests);
    table.set("failure_ratio", ratio, &mut breaker.failure_permille);
    table.set("open", some_time, &mut breaker.open);
}

fn retention(table: &mut Table<'_>, retention: &mut Retention) {
    table.set("age", some_time, &mut retention.age);
    table.set("items", positive, &mut retention.items);
    table.set("bytes", size, &mut retention.bytes);
}
