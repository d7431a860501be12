//! [`Recipients`]: from an audience to the members it means, each once.
//!
//! # Why
//! The common audiences, one room or a whole namespace without exceptions, are the member lists themselves: nothing is copied or
//! marked. For the others every socket has a mark, dense and four bytes each; a socket whose mark is the number of the current
//! walk was taken or excepted already. A hash set would touch more memory and allocate.

use crate::hub::action::{Audience, Names, Target};
use crate::hub::id::Namespace;
use crate::hub::roster::{Member, Roster};

/// Capacity that the list of found members may keep between walks.
const KEPT: usize = 4096;

/// Finds recipients; the memory is reused.
#[derive(Debug, Default)]
pub(crate) struct Recipients {
    marks: Marks,
    found: Vec<Member>,
}

impl Recipients {
    /// The sockets of this shard that the audience of a message means, each once, in no order.
    pub(crate) fn of<'a>(
        &'a mut self,
        roster: &'a Roster,
        audience: &Audience,
        number: u64,
    ) -> &'a [Member] {
        let Self { marks, found } = self;
        found.clear();
        found.shrink_to(KEPT);
        let namespace = &audience.namespace;
        let Some(everybody) = roster.group(namespace, None) else {
            return &[];
        };
        if audience.except.is_empty() {
            match &audience.to {
                Target::All => return roster.members_at(everybody, number),
                Target::Names(names) if names.sockets.is_empty() && names.rooms.len() == 1 => {
                    let group = roster.group(namespace, names.rooms.first());
                    return group.map_or(&[], |group| roster.members_at(group, number));
                }
                Target::Names(_) => {}
            }
        }
        marks.begin(roster.capacity());
        for_each(roster, namespace, &audience.except, u64::MAX, |member| {
            marks.is_first(member);
        });
        let mut take = |member| {
            if marks.is_first(member) {
                found.push(member);
            }
        };
        match &audience.to {
            Target::All => roster
                .members_at(everybody, number)
                .iter()
                .copied()
                .for_each(take),
            Target::Names(names) => for_each(roster, namespace, names, number, &mut take),
        }
        found
    }
}

/// Calls the function for each member that each name has for this message, so for some members more than once.
fn for_each(
    roster: &Roster,
    namespace: &Namespace,
    names: &Names,
    number: u64,
    mut f: impl FnMut(Member),
) {
    for room in &names.rooms {
        if let Some(group) = roster.group(namespace, Some(room)) {
            roster
                .members_at(group, number)
                .iter()
                .copied()
                .for_each(&mut f);
        }
    }
    for id in &names.sockets {
        if let Some(socket) = roster.find(id)
            && roster.namespace(socket) == namespace
        {
            f(Member {
                socket,
                connection: roster.socket(socket).connection,
            });
        }
    }
}

/// For each index of a socket the number of the walk that came by last.
#[derive(Debug, Default)]
struct Marks {
    marks: Vec<u32>,
    walk: u32,
}

impl Marks {
    /// Starts a walk over sockets with indexes below the limit.
    fn begin(&mut self, limit: usize) {
        self.walk = self.walk.wrapping_add(1);
        if self.walk == 0 {
            self.marks.fill(0);
            self.walk = 1;
        }
        if self.marks.len() < limit {
            self.marks.resize(limit, 0);
        }
    }

    /// Whether this walk meets the member for the first time.
    fn is_first(&mut self, member: Member) -> bool {
        let mark = &mut self.marks[member.socket as usize];
        std::mem::replace(mark, self.walk) != self.walk
    }
}
