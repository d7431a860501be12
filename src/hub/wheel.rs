//! [`Wheel`]: coarse timers for very many sessions, sixteen bytes each.
//!
//! Time is a number of ticks; what a tick is, the caller decides. An item is a key and a kind, and comes out once when its tick
//! has come. Nothing is ever cancelled: the caller checks whether what the key means still wants to hear of it, and puts it back
//! for a later tick where it came too early.
//!
//! # Why
//! A runtime timer costs a few hundred bytes per session, and a cancellation needs a handle kept somewhere. Deadlines here move
//! far more often than they pass: the pong that puts a deadline off touches one number, and the wheel finds out when it looks.

/// Slots; items that are due later than one revolution stay for another one.
const SLOTS: u64 = 256;

/// Ticks that an item can be put ahead at most; one that is due later comes out then.
pub const HORIZON: u64 = 1 << 31;

/// Something that is due at some tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is about, for example [`ConnectionKey::as_u64`](super::key::ConnectionKey::as_u64).
    pub key: u64,
    /// What is due; the caller's own numbers.
    pub kind: u8,
}

/// An item in its slot.
#[derive(Clone, Copy, Debug)]
struct Entry {
    key: u64,
    /// The low bits of the tick; [`HORIZON`] keeps them unambiguous.
    due: u32,
    kind: u8,
}

/// Timers of one shard.
#[derive(Debug)]
pub struct Wheel {
    slots: Box<[Vec<Entry>]>,
    now: u64,
    len: usize,
}

impl Default for Wheel {
    fn default() -> Self {
        Self::new()
    }
}

impl Wheel {
    /// An empty wheel at tick 0.
    pub fn new() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            now: 0,
            len: 0,
        }
    }

    /// The tick up to which [`advance`](Self::advance) was called.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Items that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts an item in for a tick; one that has passed means the next one.
    pub fn schedule(&mut self, at: u64, item: Item) {
        let at = at.clamp(self.now + 1, self.now + HORIZON);
        self.slots[slot(at)].push(Entry {
            key: item.key,
            due: low(at),
            kind: item.kind,
        });
        self.len += 1;
    }

    /// Goes on to a tick and gives out what is due by then: tick by tick, within one in the order of scheduling.
    ///
    /// The work is a visit to each slot on the way, at most one revolution, and to what lies in it. A tick that has passed
    /// already does nothing. What comes out must be scheduled again after this call, not during it.
    pub fn advance(&mut self, to: u64, mut due: impl FnMut(Item)) {
        if to <= self.now {
            return;
        }
        // After a long pause a single revolution finds everything, in the order of slots instead of ticks.
        let first = (self.now + 1).max(to.saturating_sub(SLOTS - 1));
        self.now = to;
        for tick in first..=to {
            let entries = &mut self.slots[slot(tick)];
            let before = entries.len();
            entries.retain(|entry| {
                let is_due = low(to).wrapping_sub(entry.due) < low(HORIZON);
                if is_due {
                    due(Item {
                        key: entry.key,
                        kind: entry.kind,
                    });
                }
                !is_due
            });
            self.len -= before - entries.len();
            if entries.capacity() > 64 && entries.len() < entries.capacity() / 4 {
                entries.shrink_to(entries.len() * 2);
            }
        }
    }
}

fn slot(tick: u64) -> usize {
    usize::try_from(tick % SLOTS).expect("fewer slots than any index")
}

fn low(tick: u64) -> u32 {
    u32::try_from(tick & u64::from(u32::MAX)).expect("masked")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(key: u64) -> Item {
        Item { key, kind: 0 }
    }

    fn advance(wheel: &mut Wheel, to: u64) -> Vec<u64> {
        let mut keys = Vec::new();
        wheel.advance(to, |item| keys.push(item.key));
        keys
    }

    #[test]
    fn items_come_out_once_at_their_tick() {
        let mut wheel = Wheel::new();
        wheel.schedule(3, at(3));
        wheel.schedule(1, at(1));
        wheel.schedule(1000, at(1000));
        wheel.schedule(0, at(0));
        assert_eq!(advance(&mut wheel, 1), [1, 0]);
        assert_eq!(advance(&mut wheel, 2), [0; 0]);
        assert_eq!(advance(&mut wheel, 3), [3]);
        assert_eq!(advance(&mut wheel, 999), [0; 0]);
        assert_eq!(advance(&mut wheel, 1000), [1000]);
        assert!(wheel.is_empty());
    }

    #[test]
    fn an_item_beyond_the_horizon_comes_at_the_horizon() {
        let mut wheel = Wheel::new();
        assert_eq!(advance(&mut wheel, 10), [0; 0]);
        wheel.schedule(u64::MAX / 2, at(7));
        assert_eq!(advance(&mut wheel, 9 + HORIZON), [0; 0]);
        assert_eq!(advance(&mut wheel, 10 + HORIZON), [7]);
    }

    #[test]
    fn a_burst_leaves_no_memory_behind() {
        let mut wheel = Wheel::new();
        for key in 0..10_000 {
            wheel.schedule(5, at(key));
        }
        assert_eq!(advance(&mut wheel, 5).len(), 10_000);
        assert_eq!(wheel.slots.iter().map(Vec::capacity).sum::<usize>(), 0);
    }

    proptest! {
        /// A sorted list does the same.
        #[test]
        fn a_wheel_is_a_sorted_list(steps in prop::collection::vec((0_u64..700, 0_u64..700), 1..60)) {
            let mut wheel = Wheel::new();
            let mut expected: Vec<(u64, u64)> = Vec::new();
            let mut now = 0;
            for (key, (ahead, pause)) in (0..).zip(steps) {
                wheel.schedule(now + ahead, at(key));
                expected.push(((now + ahead).max(now + 1), key));
                now += pause;
                let mut due: Vec<u64> = expected.iter().filter(|(at, _)| *at <= now).map(|(_, key)| *key).collect();
                expected.retain(|(at, _)| *at > now);
                let mut got = advance(&mut wheel, now);
                due.sort_unstable();
                got.sort_unstable();
                prop_assert_eq!(got, due);
                prop_assert_eq!(wheel.len(), expected.len());
            }
        }
    }
}
