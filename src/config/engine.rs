//! The tables `engine`, `cors` and `socket`.

use ::config::Value;
use hyper::Method;

use super::Config;
use super::raw::Table;
use super::value::{Reading, flag, positive, quote, size_within, some_time, text, word};
use super::{address, header, value};

use crate::transport::settings::{Cookie, Cors, SameSite, Settings};

/// Largest message: lengths of the protocols' own arithmetic stay far from their ends.
const MAX_PAYLOAD: u64 = 1 << 30;

/// `[engine]`.
pub(super) fn engine(table: &mut Table<'_>, config: &mut Config) {
    let settings = &mut config.transport;
    transports(table, settings);
    table.set("allow_upgrades", flag, &mut settings.allow_upgrades);
    table.set("ping_interval", some_time, &mut settings.ping_interval);
    table.set("ping_timeout", some_time, &mut settings.ping_timeout);
    table.set("upgrade_timeout", some_time, &mut settings.upgrade_timeout);
    let payload = size_within(1..=MAX_PAYLOAD);
    table.set("max_payload", payload, &mut settings.max_payload);
    config.session.max_payload = settings.max_payload;
    table.set("polling_packets", positive, &mut settings.polling_packets);
    table.table("http_compression", |table| compression(table, settings));
    table.later_but("eio3", false);
    settings.cookie = table.table("cookie", cookie);
}

fn transports(table: &mut Table<'_>, settings: &mut Settings) {
    let words = [("polling", true), ("websocket", false)];
    let Some(transports) = table.list("transports", word(&words, &["webtransport"])) else {
        return;
    };
    settings.polling = transports.iter().any(|(is_polling, _)| *is_polling);
    settings.websocket = transports.iter().any(|(is_polling, _)| !*is_polling);
    if transports.is_empty() {
        table.wrong("transports", "must not be empty");
    }
}

fn compression(table: &mut Table<'_>, settings: &mut Settings) {
    let enabled = table.get("enabled", flag).unwrap_or(true);
    let threshold = table
        .get("threshold", size_within(0..=MAX_PAYLOAD))
        .or(settings.compress_from);
    settings.compress_from = threshold.filter(|_| enabled);
}

fn cookie(table: &mut Table<'_>) -> Cookie {
    let mut cookie = Cookie::default();
    table.set("name", cookie_name, &mut cookie.name);
    table.set("path", cookie_path, &mut cookie.path);
    table.set("http_only", flag, &mut cookie.http_only);
    let words = [
        ("lax", SameSite::Lax),
        ("strict", SameSite::Strict),
        ("none", SameSite::None),
    ];
    table.set("same_site", word(&words, &[]), &mut cookie.same_site);
    table.set("secure", flag, &mut cookie.secure);
    if cookie.same_site == SameSite::None && !cookie.secure {
        table.wrong(
            "same_site",
            "browsers take \"none\" only with `secure = true`",
        );
    }
    cookie
}

fn cookie_name(value: &Value) -> Reading<Box<str>> {
    // A header's name and a cookie's name are the same kind of token.
    let name = text(value)?;
    header::name(value)
        .map(|_| name.into())
        .map_err(|_| format!("{} is no name of a cookie", quote(name)))
}

fn cookie_path(value: &Value) -> Reading<Box<str>> {
    let path = text(value)?;
    if !address::is_path(path) || path.contains([';', ',']) {
        return Err(format!(
            "expected a path such as \"/\", found {}",
            quote(path)
        ));
    }
    Ok(path.into())
}

/// `[cors]`.
pub(super) fn cors(table: &mut Table<'_>, cors: &mut Cors) {
    if let Some(origins) = table.list("origins", address::origin) {
        cors.origins = origins.into_iter().map(|(origin, _)| origin).collect();
    }
    table.set("insecure_any_origin", flag, &mut cors.any_origin);
    table.set("credentials", flag, &mut cors.credentials);
    if cors.any_origin && cors.credentials {
        table.wrong(
            "credentials",
            "with `insecure_any_origin` every page of the web could act as its visitor; list `origins` instead",
        );
    }
    if cors.any_origin && !cors.origins.is_empty() {
        table.wrong("origins", "contradicts `insecure_any_origin = true`");
    }
    if let Some(methods) = table.list("methods", method) {
        cors.methods = methods.into_iter().map(|(method, _)| method).collect();
    }
    if let Some(headers) = table.list("headers", header::name) {
        cors.headers = headers.into_iter().map(|(header, _)| header).collect();
    }
    table.set("max_age", value::duration, &mut cors.max_age);
}

fn method(value: &Value) -> Reading<Box<str>> {
    let written = text(value)?;
    let upper = written.to_ascii_uppercase();
    match Method::from_bytes(upper.as_bytes()) {
        Ok(_) => Ok(upper.into()),
        Err(_) => Err(format!("{} is no HTTP method", quote(written))),
    }
}

/// `[socket]`.
pub(super) fn socket(table: &mut Table<'_>, settings: &mut crate::session::settings::Settings) {
    table.set("connect_timeout", some_time, &mut settings.connect_timeout);
    table.get("parser", word(&[("json", ())], &["msgpack"]));
    table.table("recovery", |table| {
        table.later_but("enabled", false);
        table.get("max_age", some_time);
        table.get("max_packets", positive::<usize>);
    });
}
