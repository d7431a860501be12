//! The reads: pages of namespaces, rooms and sockets; nodes, upstreams, and the document about all of it.
//!
//! A page is asked for with one item more than it may have: if that is there, there is a next page. A cursor names the last
//! item of a page, so whatever is there during a whole walk is given exactly once.

use std::time::Duration;

use super::auth::Caller;
use super::reply::{Refusal, Success, unapplied};
use super::{Inner, PATIENCE};
use crate::contract::answer::{NamespaceItem, Nodes, Page, RoomItem, SocketItem};
use crate::contract::problem::{Code, Problem};
use crate::contract::query::{self, Cursor, MAX_LIMIT};
use crate::hub::id::Namespace;
use crate::hub::reads::{
    Answer, Counted, Query, SocketRecord, merge_namespaces, merge_rooms, merge_sockets,
};
use crate::hub::switchboard::ApplyError;

/// How long the shards have for their answers.
const ANSWERS: Duration = Duration::from_secs(5);
/// Pages of namespaces that are looked through for one whose key allows few of them.
const LOOKED_THROUGH: usize = 16;
/// Bytes of names and state in one page of sockets; beyond, the page ends early.
const PAGE_BYTES: usize = 8 << 20;

/// `GET /v1/namespaces`: those that have sockets, as far as the key allows them.
pub(super) async fn namespaces(
    api: &Inner,
    caller: &Caller<'_>,
    query: &str,
) -> Result<Success, Refusal> {
    let Query::Namespaces { mut after, limit } = query::namespaces(query)? else {
        unreachable!("it asks for namespaces");
    };
    let mut items = Vec::new();
    let mut next = None;
    let round = if caller.may_touch_all() {
        limit + 1
    } else {
        MAX_LIMIT
    };
    for _ in 0..LOOKED_THROUGH {
        let query = Query::Namespaces {
            after: after.take(),
            limit: round,
        };
        let page = merge_namespaces(ask(api, query).await?, round);
        let is_last = page.len() < round;
        after = page.last().map(|counted| counted.name.clone());
        items.extend(page.into_iter().filter_map(|counted| item(caller, counted)));
        next = cut(&mut items, limit, |item: &NamespaceItem| item.name.as_str());
        if is_last || next.is_some() {
            return page_of(items, next);
        }
        next = after.as_ref().map(|name| Cursor::after(name.as_str()));
    }
    page_of(items, next)
}

fn item(caller: &Caller<'_>, counted: Counted<Namespace>) -> Option<NamespaceItem> {
    let Counted { name, sockets } = counted;
    let table = caller.table(&name).filter(|_| caller.may_touch(&name))?;
    Some(NamespaceItem {
        pattern: table.pattern.as_str().into(),
        name,
        sockets,
    })
}

/// `GET /v1/rooms`.
pub(super) async fn rooms(
    api: &Inner,
    caller: &Caller<'_>,
    query: &str,
) -> Result<Success, Refusal> {
    let mut query = query::rooms(query, caller)?;
    let Query::Rooms { limit, .. } = &mut query else {
        unreachable!("it asks for rooms");
    };
    *limit += 1;
    let wanted = *limit;
    let items = merge_rooms(ask(api, query).await?, wanted).into_iter();
    let mut items: Vec<RoomItem> = items.map(RoomItem::from).collect();
    let next = cut(&mut items, wanted - 1, |item| item.name.as_str());
    page_of(items, next)
}

/// `GET /v1/sockets`.
pub(super) async fn sockets(
    api: &Inner,
    caller: &Caller<'_>,
    query: &str,
) -> Result<Success, Refusal> {
    let mut query = query::sockets(query, caller)?;
    let (limit, is_one) = (query.limit, query.id.is_some());
    query.limit += 1;
    let mut page = merge_sockets(ask(api, Query::Sockets(query)).await?, limit + 1);
    let fits = fitting(&page).min(limit);
    let next = cut(&mut page, fits, |record| record.id.as_str());
    let node = &*api.parts.node_name;
    let items = page.into_iter();
    let items: Vec<_> = items
        .filter_map(|record| SocketItem::new(record, node))
        .collect();
    if is_one && items.is_empty() {
        let detail = "no socket of this namespace has this id";
        return Err(Problem::new(Code::UnknownSocket, detail).into());
    }
    page_of(items, next)
}

/// How many of the records make a page; the first always does.
fn fitting(records: &[SocketRecord]) -> usize {
    let mut left = PAGE_BYTES;
    let fits = |record: &&SocketRecord| {
        let rooms: usize = record.rooms.iter().map(|room| room.as_str().len()).sum();
        let state = record.state.as_ref().map_or(0, |state| state.0.len());
        left = left.saturating_sub(rooms + state);
        left > 0
    };
    records.iter().take_while(fits).count().max(1)
}

/// `GET /v1/nodes`.
pub(super) fn nodes(api: &Inner, query: &str) -> Result<Success, Refusal> {
    query::none(query)?;
    page_of(vec![(api.parts.node)()], None)
}

/// `GET /v1/upstreams`.
pub(super) fn upstreams(api: &Inner, query: &str) -> Result<Success, Refusal> {
    query::none(query)?;
    page_of((api.parts.upstreams)(), None)
}

/// `GET /v1/openapi.json`.
pub(super) fn openapi(query: &str) -> Result<Success, Refusal> {
    query::none(query)?;
    Ok(Success::text(crate::contract::openapi::DOCUMENT))
}

async fn ask(api: &Inner, query: Query) -> Result<Vec<Answer>, Problem> {
    let answers = tokio::time::timeout(ANSWERS, api.parts.switchboard.ask(query, PATIENCE));
    let answers = answers
        .await
        .map_err(|_late| unapplied(ApplyError::Overloaded))?;
    answers.map_err(unapplied)
}

/// Cuts a page to its length; the cursor where there was more.
fn cut<T>(items: &mut Vec<T>, limit: usize, name: impl Fn(&T) -> &str) -> Option<Cursor> {
    if items.len() <= limit {
        return None;
    }
    items.truncate(limit);
    items.last().map(|last| Cursor::after(name(last)))
}

fn page_of<T: serde::Serialize>(items: Vec<T>, next: Option<Cursor>) -> Result<Success, Refusal> {
    Success::ok(&Page {
        items,
        next,
        nodes: Nodes::ALONE,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::hub::action::State;
    use crate::hub::tests::hub;

    #[test]
    fn a_page_of_heavy_sockets_ends_early() {
        let hub = hub();
        let (_, socket) = hub.client();
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "the method alone is not general enough over its lifetimes"
        )]
        let record = hub.socket(socket, |view| view.record());
        let mut record = record.expect("it is there");
        assert_eq!(fitting(&vec![record.clone(); 1_000]), 1_000);
        record.state = Some(State(Arc::from("x".repeat(State::MAX))));
        let heavy = fitting(&vec![record; 1_000]);
        assert!((500..=PAGE_BYTES / State::MAX).contains(&heavy), "{heavy}");
        assert_eq!(fitting(&[]), 1);
    }
}
