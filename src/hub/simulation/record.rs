//! What was done in a run, and whether what was received agrees with it.
//!
//! Every operation has a moment when it began and one when it ended; what it does happens somewhere in between. So a socket is
//! *certainly in* a room between the end of a join and the beginning of the next leave, *certainly out* the other way round,
//! and in between anything may be true; but order, completeness and uniqueness are never in doubt.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use super::WATCHED;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Violation {
    /// Somebody waits for ever.
    Stuck,
    /// Places of an inbox were not given back.
    PlacesMissing { shard: usize },
    /// The directory and a roster disagree.
    DirectoryWrong { shard: usize, room: usize },
    /// A client got an emit twice.
    Twice { client: usize, number: usize },
    /// A member did not get an emit.
    Missing { client: usize, number: usize },
    /// A client got an emit of a room that it was not in.
    Stray { client: usize, number: usize },
    /// Two clients got two emits of a room in different orders.
    Order {
        clients: (usize, usize),
        room: Option<usize>,
    },
    /// A client got two emits of one performer in the wrong order.
    PerformerOrder { client: usize, number: usize },
    /// A member's view of a room has more gaps than it has left.
    Gap { client: usize, room: usize },
    /// An emit that was given up reached some members only.
    Half { number: usize },
    /// A change of a client's rooms was reported as done by nobody.
    Unapplied { client: usize },
}

/// An emit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Emit {
    pub(super) number: usize,
    pub(super) performer: usize,
    /// Its rooms; none is everybody.
    pub(super) rooms: Vec<usize>,
    pub(super) began: u64,
    pub(super) ended: u64,
    /// False where it was given up, and may be sent or not.
    pub(super) is_sent: bool,
}

/// A join or a leave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Membership {
    client: usize,
    room: usize,
    joins: bool,
    began: u64,
    ended: u64,
}

/// Everything that was done.
#[derive(Debug, Default)]
pub(super) struct Record {
    emits: RefCell<Vec<Emit>>,
    memberships: RefCell<Vec<Membership>>,
    unapplied: Cell<Option<usize>>,
    numbers: Cell<usize>,
}

impl Record {
    /// A number for an emit.
    pub(super) fn number(&self) -> usize {
        self.numbers.replace(self.numbers.get() + 1)
    }

    pub(super) fn emit(&self, emit: Emit) {
        self.emits.borrow_mut().push(emit);
    }

    pub(super) fn membership(
        &self,
        client: usize,
        room: usize,
        joins: bool,
        began: u64,
        ended: u64,
    ) {
        self.memberships.borrow_mut().push(Membership {
            client,
            room,
            joins,
            began,
            ended,
        });
    }

    /// A change of this client's rooms came back without having touched it.
    pub(super) fn unapplied(&self, client: usize) {
        self.unapplied.set(Some(client));
    }

    pub(super) fn emits(&self) -> Vec<Emit> {
        self.emits.borrow().clone()
    }

    /// Holds what each client has received against the record.
    pub(super) fn check(&self, received: &[Vec<usize>]) -> Result<(), Violation> {
        let mut emits = self.emits();
        emits.sort_by_key(|emit| emit.number);
        let checked = Check {
            emits,
            memberships: self.memberships.borrow().clone(),
            received,
            positions: received.iter().map(|list| positions(list)).collect(),
        };
        checked.uniqueness()?;
        checked.completeness()?;
        checked.room_order()?;
        checked.performer_order()?;
        checked.gaps()?;
        checked.halves()?;
        match self.unapplied.get() {
            Some(client) => Err(Violation::Unapplied { client }),
            None => Ok(()),
        }
    }
}

fn positions(list: &[usize]) -> HashMap<usize, usize> {
    list.iter()
        .enumerate()
        .map(|(position, number)| (*number, position))
        .collect()
}

struct Check<'a> {
    /// By number.
    emits: Vec<Emit>,
    memberships: Vec<Membership>,
    received: &'a [Vec<usize>],
    positions: Vec<HashMap<usize, usize>>,
}

impl Check<'_> {
    fn uniqueness(&self) -> Result<(), Violation> {
        for (client, list) in self.received.iter().enumerate() {
            for (position, number) in list.iter().enumerate() {
                if self.positions[client][number] != position {
                    return Err(Violation::Twice {
                        client,
                        number: *number,
                    });
                }
            }
        }
        Ok(())
    }

    /// Visibility: who is certainly in gets it, who is certainly out does not.
    fn completeness(&self) -> Result<(), Violation> {
        for client in 0..self.received.len() {
            for emit in &self.emits {
                let number = emit.number;
                let got = self.positions[client].contains_key(&number);
                if !got && emit.is_sent && self.is_certain(client, emit, true) {
                    return Err(Violation::Missing { client, number });
                }
                if got && self.is_certain(client, emit, false) {
                    return Err(Violation::Stray { client, number });
                }
            }
        }
        Ok(())
    }

    /// Whether the client was in one (or, for `false`, in none) of the emit's rooms for as long as the emit took.
    fn is_certain(&self, client: usize, emit: &Emit, is_in: bool) -> bool {
        if emit.rooms.is_empty() {
            return is_in;
        }
        let certainly =
            |room: &usize| self.is_certainly(client, *room, is_in, emit.began, emit.ended);
        if is_in {
            emit.rooms.iter().any(certainly)
        } else {
            emit.rooms.iter().all(certainly)
        }
    }

    fn is_certainly(&self, client: usize, room: usize, is_in: bool, from: u64, to: u64) -> bool {
        let of_pair = || {
            self.memberships
                .iter()
                .filter(move |m| m.client == client && m.room == room)
        };
        let unchanged_since = |moment: u64| {
            of_pair()
                .filter(|m| m.joins != is_in)
                .all(|m| m.ended < moment || m.began > to)
        };
        let before = of_pair().filter(|m| m.joins == is_in && m.ended < from);
        // At first nobody is in a room.
        before.map(|m| m.began).any(unchanged_since) || (!is_in && unchanged_since(0))
    }

    /// All see one order of a room, and of the whole namespace.
    fn room_order(&self) -> Result<(), Violation> {
        let rooms = self
            .emits
            .iter()
            .flat_map(|emit| &emit.rooms)
            .max()
            .map_or(0, |last| last + 1);
        for room in (0..rooms).map(Some).chain([None]) {
            for first in 0..self.received.len() {
                for second in 0..first {
                    let common = self.received[first].iter().filter(|number| {
                        self.is_of(**number, room) && self.positions[second].contains_key(*number)
                    });
                    if !common
                        .map(|number| self.positions[second][number])
                        .is_sorted()
                    {
                        let clients = (first, second);
                        return Err(Violation::Order { clients, room });
                    }
                }
            }
        }
        Ok(())
    }

    fn is_of(&self, number: usize, room: Option<usize>) -> bool {
        let rooms = &self.emits[number].rooms;
        room.map_or(rooms.is_empty(), |room| rooms.contains(&room))
    }

    /// What a performer did one after the other arrives so, whatever the rooms.
    fn performer_order(&self) -> Result<(), Violation> {
        for (client, list) in self.received.iter().enumerate() {
            let mut last = HashMap::new();
            for number in list {
                let emit = &self.emits[*number];
                let before = last.insert(emit.performer, emit.ended);
                if before.is_some_and(|ended| emit.began < ended) {
                    return Err(Violation::PerformerOrder {
                        client,
                        number: *number,
                    });
                }
            }
        }
        Ok(())
    }

    /// A member sees a suffix of the room without gaps; each leave may begin one. The first client sees all of some rooms.
    fn gaps(&self) -> Result<(), Violation> {
        for room in 0..WATCHED {
            // One that was sent to a second room too may come to those who are not in this one.
            let whole = self.received[0]
                .iter()
                .filter(|number| self.emits[**number].rooms == [room]);
            let whole: Vec<usize> = whole.copied().collect();
            for (client, positions) in self.positions.iter().enumerate() {
                let seen = whole.iter().map(|number| positions.contains_key(number));
                let seen: Vec<bool> = seen.collect();
                let ends = seen.windows(2).filter(|pair| pair[0] && !pair[1]).count();
                let of_room = self
                    .memberships
                    .iter()
                    .filter(|m| m.client == client && m.room == room);
                if ends > of_room.filter(|m| !m.joins).count() {
                    return Err(Violation::Gap { client, room });
                }
            }
        }
        Ok(())
    }

    /// All or nothing, where the performer has lost patience.
    fn halves(&self) -> Result<(), Violation> {
        for emit in self.emits.iter().filter(|emit| !emit.is_sent) {
            let members =
                (0..self.received.len()).filter(|client| self.is_certain(*client, emit, true));
            let got = members.map(|client| self.positions[client].contains_key(&emit.number));
            let got: Vec<bool> = got.collect();
            let anybody = self
                .positions
                .iter()
                .any(|positions| positions.contains_key(&emit.number));
            if anybody && got.contains(&false) {
                return Err(Violation::Half {
                    number: emit.number,
                });
            }
        }
        Ok(())
    }
}
