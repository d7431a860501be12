//! What can never be reached: namespaces and routes behind others, upstreams without routes.
//!
//! Only what one earlier pattern covers is found; what several cover together is not.

use super::name::at;
use super::problem::Place;
use super::raw::{Context, Table};
use super::route::{Draft, word_of};
use super::upstream::Named;
use super::value::quote;
use crate::hub::pattern::Pattern;

/// Compares a namespace's `match` with the earlier ones, and adds it to them.
pub(super) fn namespace(table: &Table<'_>, pattern: &Pattern, earlier: &mut Vec<(Pattern, Place)>) {
    if let Some((first, place)) = earlier.iter().find(|(first, _)| first.covers(pattern)) {
        let message = if first == pattern {
            format!(
                "there is already a namespace {}{}",
                quote(first.as_str()),
                at(place)
            )
        } else {
            format!(
                "is never reached: {}{} matches first",
                quote(first.as_str()),
                at(place)
            )
        };
        table.wrong("match", message);
    }
    earlier.push((pattern.clone(), table.place_of("match")));
}

/// Looks for events and steps of life that an earlier route takes.
pub(super) fn routes(namespace: &Table<'_>, routes: &[Draft]) {
    let context = namespace.context();
    let mut patterns: Vec<(&Pattern, &Draft)> = Vec::new();
    let mut lives: Vec<(_, &Draft)> = Vec::new();
    for route in routes {
        for (life, place) in &route.lives {
            if let Some((_, first)) = lives.iter().find(|(first, _)| first == life) {
                unreachable_word(context, place, route, word_of(*life), first);
            }
            lives.push((*life, route));
        }
        for (pattern, place) in &route.events {
            if let Some((_, first)) = patterns.iter().find(|(first, _)| first.covers(pattern)) {
                unreachable_word(context, place, route, pattern.as_str(), first);
            }
            patterns.push((pattern, route));
        }
    }
}

fn unreachable_word(
    context: &Context<'_>,
    place: &Place,
    route: &Draft,
    word: &str,
    first: &Draft,
) {
    let word = quote(word);
    let message = if std::ptr::eq(route, first) {
        format!("{word} is already covered by this route")
    } else {
        let name = first.name.as_deref().unwrap_or_default();
        let taker = format!("route {}{} takes it first", quote(name), at(&first.place));
        format!("{word} never gets here: {taker}")
    };
    context.problem(place.clone(), &*route.path, message);
}

/// Looks for upstreams that no route leads to.
pub(super) fn upstreams(context: &Context<'_>, upstreams: &[Named]) {
    for upstream in upstreams.iter().filter(|upstream| !upstream.is_used) {
        let message = format!("no route leads to the upstream {}", quote(&upstream.name));
        context.problem(upstream.place.clone(), &*upstream.path, message);
    }
}
