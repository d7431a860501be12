//! Questions about who is where, and their answers: pages in the order of bytes, merged over shards.
//!
//! A page begins after a name, not at a number, so that whatever exists during a whole walk is given exactly once, whatever
//! else comes and goes (contract 9). Each shard answers for itself; [`merge_namespaces`], [`merge_rooms`] and
//! [`merge_sockets`] make one page of them.

use std::collections::{BTreeMap, BinaryHeap};
use std::ops::Bound;
use std::time::SystemTime;

use crate::hub::action::State;
use crate::hub::id::{ConnectionId, Namespace, Room, SocketId, UserId};
use crate::hub::roster::Roster;

/// A question to a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Namespaces with sockets.
    Namespaces {
        /// Only those after this one.
        after: Option<Namespace>,
        /// At most so many.
        limit: usize,
    },
    /// Rooms of a namespace.
    Rooms {
        /// The namespace.
        namespace: Namespace,
        /// Only those that begin so.
        prefix: Box<str>,
        /// Only those after this one.
        after: Option<Room>,
        /// At most so many.
        limit: usize,
    },
    /// Sockets.
    Sockets(SocketsQuery),
}

/// Which sockets are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketsQuery {
    /// The namespace.
    pub namespace: Namespace,
    /// Only those that are in all of these rooms; the user's room is one of them where a user is asked for.
    pub rooms: Vec<Room>,
    /// Only this one.
    pub id: Option<SocketId>,
    /// Only those after this one.
    pub after: Option<SocketId>,
    /// At most so many.
    pub limit: usize,
    /// Whether the facts of the handshake are wanted.
    pub handshake: bool,
}

/// A name and the number of its sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted<T> {
    /// The name.
    pub name: T,
    /// Sockets in it.
    pub sockets: usize,
}

/// A shard's answer to a [`Query`], of the same kind.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Namespaces in order.
    Namespaces(Vec<Counted<Namespace>>),
    /// Rooms in order.
    Rooms(Vec<Counted<Room>>),
    /// Sockets in the order of their ids.
    Sockets(Vec<SocketRecord>),
}

/// Everything that reads tell about a socket.
#[derive(Clone, Debug)]
pub struct SocketRecord {
    /// Public id.
    pub id: SocketId,
    /// Namespace.
    pub namespace: Namespace,
    /// Public name of the connection.
    pub connection: ConnectionId,
    /// The user.
    pub user: Option<UserId>,
    /// The backend's notes.
    pub state: Option<State>,
    /// Rooms in order, its own id excluded.
    pub rooms: Vec<Room>,
    /// When its CONNECT was accepted.
    pub connected_at: SystemTime,
    /// Its hard end.
    pub expires_at: Option<SystemTime>,
    /// Rises with state, user and expiry.
    pub version: u64,
    /// Frames waiting for its connection.
    pub queue_frames: usize,
    /// Bytes waiting for its connection.
    pub queue_bytes: usize,
    /// What only the session knows; filled in by it.
    pub session: Option<SessionRecord>,
}

/// What reads tell about the connection of a socket.
#[derive(Clone, Debug)]
pub struct SessionRecord {
    /// Name of the transport.
    pub transport: &'static str,
    /// When bytes last came from the client.
    pub last_seen: SystemTime,
    /// Address, headers and query as far as forwarded, where asked for.
    pub handshake: Option<HandshakeRecord>,
}

/// What reads tell about the request that opened a connection.
#[derive(Clone, Debug, Default)]
pub struct HandshakeRecord {
    /// Address of the client.
    pub ip: Option<std::net::IpAddr>,
    /// Headers as far as forwarded.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// Query parameters as far as forwarded.
    pub query: Vec<(Box<str>, Box<str>)>,
}

/// A page of namespaces.
pub(crate) fn namespaces(
    roster: &Roster,
    after: Option<&Namespace>,
    limit: usize,
) -> Vec<Counted<Namespace>> {
    let from =
        roster.namespaces_from(after.map_or(Bound::Unbounded, |n| Bound::Excluded(n.as_str())));
    let page = from.take(limit).map(|(name, sockets)| Counted {
        name: name.clone(),
        sockets,
    });
    page.collect()
}

/// A page of the rooms of a namespace.
pub(crate) fn rooms(
    roster: &Roster,
    namespace: &Namespace,
    prefix: &str,
    after: Option<&Room>,
    limit: usize,
) -> Vec<Counted<Room>> {
    let from = match after {
        Some(after) if after.as_str() >= prefix => Bound::Excluded(after.as_str()),
        _ => Bound::Included(prefix),
    };
    let page = roster.rooms_from(namespace, from);
    let page = page.take_while(|(name, _)| name.as_str().starts_with(prefix));
    let page = page.take(limit).map(|(name, sockets)| Counted {
        name: name.clone(),
        sockets,
    });
    page.collect()
}

/// Indexes of a page of sockets, in the order of their ids.
///
/// Walks the members of the smallest of the groups asked for, and keeps no more than the page.
pub(crate) fn sockets(roster: &Roster, query: &SocketsQuery) -> Vec<u32> {
    let Some(everybody) = roster.group(&query.namespace, None) else {
        return Vec::new();
    };
    let groups = query
        .rooms
        .iter()
        .map(|room| roster.group(&query.namespace, Some(room)));
    let Some(mut groups) = groups.collect::<Option<Vec<u32>>>() else {
        return Vec::new();
    };
    groups.push(everybody);
    let matches = |index: u32| groups.iter().all(|group| roster.is_in(index, *group));
    if let Some(id) = &query.id {
        let found = roster.find(id).filter(|index| matches(*index));
        return found.into_iter().take(query.limit).collect();
    }
    let smallest = groups
        .iter()
        .copied()
        .min_by_key(|group| roster.members(*group).len());
    let mut page = BinaryHeap::new();
    for member in roster.members(smallest.unwrap_or(everybody)) {
        let id = roster.socket(member.socket).id;
        let is_wanted = query.after.is_none_or(|after| id > after)
            && (page.len() < query.limit || page.peek().is_some_and(|(last, _)| id < *last));
        if is_wanted && (groups.len() == 1 || matches(member.socket)) {
            page.push((id, member.socket));
            if page.len() > query.limit {
                page.pop();
            }
        }
    }
    page.into_sorted_vec()
        .into_iter()
        .map(|(_, index)| index)
        .collect()
}

/// One page of the namespaces of all shards.
pub fn merge_namespaces(answers: Vec<Answer>, limit: usize) -> Vec<Counted<Namespace>> {
    merge(answers, limit, |answer| match answer {
        Answer::Namespaces(page) => page,
        Answer::Rooms(_) | Answer::Sockets(_) => Vec::new(),
    })
}

/// One page of the rooms of all shards.
pub fn merge_rooms(answers: Vec<Answer>, limit: usize) -> Vec<Counted<Room>> {
    merge(answers, limit, |answer| match answer {
        Answer::Rooms(page) => page,
        Answer::Namespaces(_) | Answer::Sockets(_) => Vec::new(),
    })
}

/// One page of the sockets of all shards.
pub fn merge_sockets(answers: Vec<Answer>, limit: usize) -> Vec<SocketRecord> {
    let pages = answers.into_iter().filter_map(|answer| match answer {
        Answer::Sockets(page) => Some(page),
        Answer::Namespaces(_) | Answer::Rooms(_) => None,
    });
    let mut all: Vec<_> = pages.flatten().collect();
    all.sort_unstable_by_key(|record| record.id);
    all.truncate(limit);
    all
}

/// Sums names that several shards know. The first `limit` of the union are complete: each is among the first `limit` of every
/// shard that knows it.
fn merge<T: Ord>(
    answers: Vec<Answer>,
    limit: usize,
    page: impl Fn(Answer) -> Vec<Counted<T>>,
) -> Vec<Counted<T>> {
    let mut sums = BTreeMap::new();
    for counted in answers.into_iter().flat_map(page) {
        *sums.entry(counted.name).or_insert(0) += counted.sockets;
    }
    let sums = sums.into_iter().take(limit);
    sums.map(|(name, sockets)| Counted { name, sockets })
        .collect()
}

#[cfg(test)]
mod tests;
