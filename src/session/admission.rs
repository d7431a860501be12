//! [`Admission`]: counts that all shards share, so that limits hold for the node.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::hub::id::SessionId;

/// How much of something there is on the node, and how much there may be.
#[derive(Debug)]
pub struct Places {
    taken: AtomicUsize,
    limit: usize,
}

impl Places {
    /// So many places; 0 is no limit.
    pub fn new(limit: usize) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            limit,
        }
    }

    /// Takes a place, if there is one.
    pub fn take(&self) -> bool {
        if self.limit == 0 {
            self.taken.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        self.taken
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n < self.limit).then_some(n + 1)
            })
            .is_ok()
    }

    /// Gives a place back.
    pub fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether every place is taken.
    pub fn is_full(&self) -> bool {
        self.limit != 0 && self.taken.load(Ordering::Relaxed) >= self.limit
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// The limit; 0: none.
    pub fn limit(&self) -> usize {
        self.limit
    }
}

/// Sessions that sent no CONNECT yet, in the order in which they came.
#[derive(Debug)]
pub struct Opening {
    limit: usize,
    queue: Mutex<OpeningQueue>,
}

#[derive(Debug, Default)]
struct OpeningQueue {
    last: u64,
    waiting: BTreeMap<u64, SessionId>,
}

impl Opening {
    /// So many at most; 0 is no limit.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            queue: Mutex::default(),
        }
    }

    /// Adds a session, under a number of its own. Where there are too many now, the oldest is removed and returned: it is to be
    /// ended.
    pub fn begin(&self, session: SessionId) -> (u64, Option<SessionId>) {
        if self.limit == 0 {
            return (0, None);
        }
        let mut queue = self.queue.lock();
        queue.last += 1;
        let number = queue.last;
        queue.waiting.insert(number, session);
        let is_over = queue.waiting.len() > self.limit;
        let oldest = is_over.then(|| queue.waiting.pop_first()).flatten();
        (number, oldest.map(|(_, session)| session))
    }

    /// How many there are; 0 where there is no limit.
    pub fn count(&self) -> usize {
        self.queue.lock().waiting.len()
    }

    /// Removes the session with this number, if it is still there.
    pub fn end(&self, number: u64) {
        if self.limit != 0 {
            self.queue.lock().waiting.remove(&number);
        }
    }
}

/// How much of everything there may be; 0: no limit.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// CONNECTs that wait for a decision.
    pub held: usize,
    /// Connections, and sessions.
    pub connections: usize,
    /// Connections of one address.
    pub per_address: usize,
    /// Sessions that sent no CONNECT.
    pub opening: usize,
    /// Shards; at least 1.
    pub shards: usize,
}

/// The counts of a node.
#[derive(Debug)]
pub struct Admission {
    /// CONNECTs that wait for a decision.
    pub held: Places,
    /// Connections on the client listener.
    connections: Places,
    /// Sessions; a polling session may have no connection at the moment.
    pub sessions: Places,
    /// Sessions that sent no CONNECT.
    pub opening: Opening,
    /// Connections of one address (IPv6: of one /64); 0: unlimited.
    per_address: usize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    /// Connections of each shard.
    by_shard: Vec<AtomicUsize>,
}

/// Why a connection is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `max_connections`.
    Limit,
    /// `connections_per_address`.
    AddressLimit,
}

impl Admission {
    /// Nothing is taken yet.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            held: Places::new(bounds.held),
            connections: Places::new(bounds.connections),
            sessions: Places::new(0),
            opening: Opening::new(bounds.opening),
            per_address: bounds.per_address,
            by_address: Mutex::default(),
            by_shard: (0..bounds.shards).map(|_| AtomicUsize::new(0)).collect(),
        }
    }

    /// Lets a connection in; it goes to the shard with the fewest. Its address is [claimed](Place::claim) once it is known.
    pub fn enter(self: &Arc<Self>) -> Result<Place, Refusal> {
        if !self.connections.take() {
            return Err(Refusal::Limit);
        }
        let loads = self.by_shard.iter().map(|n| n.load(Ordering::Relaxed));
        let shard = loads
            .enumerate()
            .min_by_key(|(_, load)| *load)
            .map_or(0, |(shard, _)| shard);
        self.by_shard[shard].fetch_add(1, Ordering::Relaxed);
        Ok(Place {
            admission: Arc::clone(self),
            address: None,
            shard,
        })
    }

    fn enter_address(&self, address: IpAddr) -> bool {
        let mut by_address = self.by_address.lock();
        let count = by_address.entry(address).or_insert(0);
        *count += 1;
        let allowed = *count <= self.per_address;
        if !allowed {
            *count -= 1;
        }
        allowed
    }

    fn leave_address(&self, address: IpAddr) {
        let mut by_address = self.by_address.lock();
        if let Some(count) = by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&address);
            }
        }
    }

    /// Connections now.
    pub fn connections(&self) -> usize {
        self.connections.taken()
    }

    /// Whether there are as many sessions as there may be connections: by polling, sessions could outgrow them.
    pub fn is_full_of_sessions(&self) -> bool {
        let most = self.connections.limit();
        most != 0 && self.sessions.taken() >= most
    }

    /// Connections at most; 0: unlimited.
    pub fn max_connections(&self) -> usize {
        self.connections.limit()
    }
}

/// One subscriber has at least a /64.
fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}

/// The place of one connection; given back when dropped.
#[derive(Debug)]
pub struct Place {
    admission: Arc<Admission>,
    address: Option<IpAddr>,
    shard: usize,
}

impl Place {
    /// The shard that the connection belongs to.
    pub fn shard(&self) -> usize {
        self.shard
    }

    /// Counts the connection for its client's address. Where that has too many, the connection is to be dropped.
    pub fn claim(&mut self, address: IpAddr) -> Result<(), Refusal> {
        if self.admission.per_address == 0 {
            return Ok(());
        }
        let address = subscriber(address);
        if !self.admission.enter_address(address) {
            return Err(Refusal::AddressLimit);
        }
        if let Some(former) = self.address.replace(address) {
            self.admission.leave_address(former);
        }
        Ok(())
    }

    /// The connection goes to another shard.
    pub fn move_to(&mut self, shard: usize) {
        self.admission.by_shard[shard].fetch_add(1, Ordering::Relaxed);
        self.admission.by_shard[self.shard].fetch_sub(1, Ordering::Relaxed);
        self.shard = shard;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.by_shard[self.shard].fetch_sub(1, Ordering::Relaxed);
        if let Some(address) = self.address {
            self.admission.leave_address(address);
        }
        self.admission.connections.give_back();
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn places_end_at_the_limit_and_come_back() {
        let places = Places::new(2);
        assert!(places.take() && places.take());
        assert!(!places.take() && places.is_full());
        places.give_back();
        assert!(places.take());
        let unlimited = Places::new(0);
        assert!((0..100).all(|_| unlimited.take()) && !unlimited.is_full());
    }

    fn admission(connections: usize, per_address: usize, shards: usize) -> Arc<Admission> {
        Arc::new(Admission::new(&Bounds {
            held: 1,
            connections,
            per_address,
            opening: 0,
            shards,
        }))
    }

    #[test]
    fn beyond_the_limit_the_oldest_that_sent_no_connect_is_ended() {
        use crate::hub::id::{NodeTag, ShardId};
        let (node, shard) = (NodeTag::random(), ShardId::new(0).unwrap());
        let session = || SessionId::random(node, shard);
        let sessions = [session(), session(), session(), session()];
        let opening = Opening::new(2);
        let (first, oldest) = opening.begin(sessions[0]);
        assert_eq!(oldest, None);
        assert_eq!(opening.begin(sessions[1]).1, None);
        opening.end(first);
        assert_eq!(opening.begin(sessions[2]).1, None);
        let (last, oldest) = opening.begin(sessions[3]);
        assert_eq!(oldest, Some(sessions[1]));
        opening.end(last);
        opening.end(last);
        assert_eq!(opening.queue.lock().waiting.len(), 1);
        assert_eq!(Opening::new(0).begin(sessions[0]), (0, None));
    }

    #[test]
    fn connections_go_to_the_shard_with_the_fewest() {
        let admission = admission(4, 0, 2);
        let mut places: Vec<Place> = (0..4).map(|_| admission.enter().unwrap()).collect();
        assert_eq!(places.iter().filter(|p| p.shard() == 0).count(), 2);
        assert_eq!(admission.enter().unwrap_err(), Refusal::Limit);
        let other = 1 - places[0].shard();
        places[0].move_to(other);
        drop(places);
        assert_eq!(admission.connections(), 0);
    }

    #[test]
    fn an_ipv6_subscriber_is_counted_by_its_64_bits() {
        let admission = admission(0, 1, 1);
        let enter = |address: &str| {
            let mut place = admission.enter().unwrap();
            place.claim(address.parse().unwrap()).map(|()| place)
        };
        let first = enter("2001:db8::1").unwrap();
        assert_eq!(enter("2001:db8::2").unwrap_err(), Refusal::AddressLimit);
        assert!(enter("2001:db8:0:1::1").is_ok());
        drop(first);
        assert!(enter("2001:db8::2").is_ok());
        assert!(admission.by_address.lock().is_empty());
    }

    #[test]
    fn sessions_are_as_many_as_connections_may_be() {
        let admission = admission(2, 0, 1);
        assert!(admission.sessions.take() && !admission.is_full_of_sessions());
        assert!(admission.sessions.take() && admission.is_full_of_sessions());
        admission.sessions.give_back();
        assert!(!admission.is_full_of_sessions());
    }
}
