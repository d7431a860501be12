//! The tables `namespace`.

use std::time::Duration;

use ::config::Value;

use super::name::{MAX_LABEL, Taken, namespaces};
use super::problem::Place;
use super::raw::Table;
use super::route::{self, Draft};
use super::upstream::Named;
use super::value::{Reading, at_least, quote, text, word};
use super::{header, reach};
use crate::hub::action::UserRoom;
use crate::hub::id::{MAX_NAME, MAX_USER};
use crate::hub::pattern::Pattern;
use crate::session::settings::{Allow, Auth, Forward, Life, NamespaceSettings, OnUnavailable};

/// Routes of all namespaces: their names are a label of metrics.
const MAX_ROUTES: usize = 64;
/// Shortest `hold`: in less nobody can be asked.
const MIN_HOLD: Duration = Duration::from_millis(100);
/// Query parameters that are the transport's own and never told (contract 2).
const HIDDEN_QUERY: [&str; 4] = ["sid", "t", "j", "b64"];

/// What the tables of all namespaces share.
#[derive(Debug)]
pub(super) struct Shared<'a> {
    /// The upstreams.
    pub(super) upstreams: &'a mut [Named],
    /// The largest message, which is also the default limit of a relay.
    pub(super) max_payload: usize,
    /// Names of routes.
    pub(super) names: Taken,
    /// Routes so far.
    pub(super) routes: usize,
    /// Namespaces so far.
    pub(super) patterns: Vec<(Pattern, Place)>,
}

/// `[[namespace]]`: the settings, if they are complete.
pub(super) fn namespace(
    table: &mut Table<'_>,
    shared: &mut Shared<'_>,
) -> Option<NamespaceSettings> {
    let pattern = table.require("match", namespaces);
    if let Some(pattern) = &pattern {
        reach::namespace(table, pattern, &mut shared.patterns);
    }
    let auths = [("webhook", Auth::Webhook), ("none", Auth::None)];
    let auth = table.get("auth", word(&auths, &["jwt", "jwt+webhook"]));
    let user_room = table.get("user_room", user_room).unwrap_or_default();
    let forward = table.table("forward", forward).unwrap_or_default();
    let outcomes = [
        ("close", OnUnavailable::Close),
        ("reject", OnUnavailable::Reject),
    ];
    let on_unavailable = table.get("on_unavailable", word(&outcomes, &[]));
    let hold = table.get("hold", at_least(MIN_HOLD)).unwrap_or(route::HOLD);
    later(table);
    let first_word = |draft: &Draft| route_name(pattern.as_ref(), draft);
    let routes = table.tables("route", |table| {
        let mut draft = route::route(table, shared.upstreams, shared.max_payload);
        draft.name = draft.name.take().or_else(|| first_word(&draft));
        if let Some(name) = &draft.name {
            shared.names.take(table, name);
        }
        shared.routes += 1;
        if shared.routes > MAX_ROUTES {
            table.wrong_here(format!(
                "there can be at most {MAX_ROUTES} routes; a route can list several events"
            ));
        }
        draft
    });
    reach::routes(table, &routes);
    // A wrong word in `auth` is one problem, not two.
    if !table.has("auth") || auth.is_some() {
        connect(table, auth.unwrap_or_default(), &routes);
    }
    Some(NamespaceSettings {
        pattern: pattern?,
        auth: auth.unwrap_or_default(),
        user_room,
        forward,
        on_unavailable: on_unavailable.unwrap_or_default(),
        hold,
        routes: routes.into_iter().filter_map(Draft::finish).collect(),
    })
}

/// What is to come.
fn later(table: &mut Table<'_>) {
    for key in [
        "jwt",
        "recover",
        "refresh",
        "max_sockets_per_user",
        "policy",
    ] {
        table.later(key);
    }
    table.table("disconnect", |table| table.later_time("grace"));
}

/// Who decides about CONNECT must be asked, and nobody else.
fn connect(table: &Table<'_>, auth: Auth, routes: &[Draft]) {
    if routes.iter().any(|route| route.is_trigger_unknown) {
        return;
    }
    let connect = routes.iter().find_map(|route| {
        let mut lives = route.lives.iter();
        let (_, place) = lives.find(|(life, _)| *life == Life::Connect)?;
        Some((route, place))
    });
    match (auth, connect) {
        (Auth::Webhook, None) => table.wrong(
            "auth",
            "\"webhook\" needs a route with `on = [\"connect\"]` and an upstream; or write `auth = \"none\"`",
        ),
        (Auth::None, Some((route, place))) => table.context().problem(
            place.clone(),
            format!("{}.on", route.path),
            "nobody is asked about CONNECT with `auth = \"none\"`: take \"connect\" out",
        ),
        _ => {}
    }
}

/// `match:word`, cut to the length of a label.
fn route_name(pattern: Option<&Pattern>, draft: &Draft) -> Option<Box<str>> {
    let mut name = format!("{}:{}", pattern?.as_str(), draft.first_word()?);
    name.truncate(name.floor_char_boundary(MAX_LABEL));
    Some(name.into())
}

/// A template whose room exists for every valid user.
fn user_room(value: &Value) -> Reading<UserRoom> {
    let template = text(value)?;
    let room = UserRoom::new(template)
        .ok_or_else(|| format!("must hold {{user}} once, found {}", quote(template)))?;
    let most = MAX_NAME - MAX_USER + "{user}".len();
    if template.len() > most || template.chars().any(char::is_control) {
        return Err(format!(
            "must be at most {most} bytes without control characters"
        ));
    }
    Ok(room)
}

fn forward(table: &mut Table<'_>) -> Forward {
    Forward {
        headers: allow(table, "headers", header::name),
        query: allow(table, "query", query),
        pass: table
            .list("pass", |value| {
                let name = text(value)?;
                if name == "*" {
                    return Err("headers that are passed are listed by name".to_owned());
                }
                header::sendable(name)
            })
            .into_iter()
            .flatten()
            .map(|(name, _)| name)
            .collect(),
    }
}

fn query(value: &Value) -> Reading<Box<str>> {
    let name = text(value)?;
    if HIDDEN_QUERY.contains(&name) {
        return Err(format!(
            "`{name}` belongs to the transport and is never told"
        ));
    }
    Ok(name.into())
}

/// A list of names, or `["*"]`.
fn allow<'a>(
    table: &mut Table<'a>,
    key: &'static str,
    read: impl Fn(&'a Value) -> Reading<Box<str>>,
) -> Allow {
    let names = table.list(key, |value| match text(value)? {
        "*" => Ok(None),
        _ => read(value).map(Some),
    });
    let names = names.unwrap_or_default();
    if names.iter().all(|(name, _)| name.is_some()) {
        return Allow::Only(names.into_iter().filter_map(|(name, _)| name).collect());
    }
    if names.len() > 1 {
        table.wrong(key, "\"*\" means all and stands alone");
    }
    Allow::All
}
