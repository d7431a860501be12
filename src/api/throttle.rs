//! [`Throttle`]: how many wrong keys each address may try.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use hashbrown::HashMap;

/// Wrong keys of one address within a [`WINDOW`] that are answered as such.
const WRONG_KEYS: u32 = 20;
/// What they are counted over, from the first of them on.
const WINDOW: Duration = Duration::from_mins(1);
/// Addresses that have a count of their own.
const ADDRESSES: usize = 10_000;
/// A full table is searched for what is over at most so often.
const SWEEP: Duration = Duration::from_secs(1);

/// Counts wrong keys by address, IPv6 by /64.
///
/// Bounded: when very many addresses try at once, those without a count of their own share one. That harms nobody who has a
/// right key, for such a one is never counted.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    counts: HashMap<IpAddr, Count>,
    /// The count of all for whom there is no place.
    others: Option<Count>,
    swept: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    wrong: u32,
    since: Instant,
}

impl Throttle {
    /// Notes a wrong key; where there were too many, the time until it is worth another try.
    pub(super) fn wrong_key(&mut self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let address = group(address);
        if !self.counts.contains_key(&address) && self.counts.len() >= ADDRESSES {
            self.sweep(now);
        }
        let fresh = Count {
            wrong: 0,
            since: now,
        };
        let is_known = self.counts.contains_key(&address);
        let count = if is_known || self.counts.len() < ADDRESSES {
            self.counts.entry(address).or_insert(fresh)
        } else {
            self.others.get_or_insert(fresh)
        };
        if count.is_over(now) {
            *count = fresh;
        }
        if count.wrong >= WRONG_KEYS {
            return Err(WINDOW.saturating_sub(now.saturating_duration_since(count.since)));
        }
        count.wrong += 1;
        Ok(())
    }

    /// Addresses that have a count of their own.
    pub(super) fn addresses(&self) -> usize {
        self.counts.len()
    }

    fn sweep(&mut self, now: Instant) {
        if self.swept.is_none_or(|at| now >= at + SWEEP) {
            self.swept = Some(now);
            self.counts.retain(|_, count| !count.is_over(now));
        }
    }
}

impl Count {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= WINDOW
    }
}

/// What counts as one address: whoever has one IPv6 address has 2^64 of them.
fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    fn allowed(throttle: &mut Throttle, address: IpAddr, now: Instant) -> usize {
        let tries = (0..100).map(|_| throttle.wrong_key(address, now).is_ok());
        tries.filter(|ok| *ok).count()
    }

    #[test]
    fn twenty_wrong_keys_a_minute_and_no_more() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        assert_eq!(allowed(&mut throttle, v4(1), start), 20);
        let later = start + Duration::from_secs(50);
        assert_eq!(
            throttle.wrong_key(v4(1), later),
            Err(Duration::from_secs(10))
        );
        assert_eq!(allowed(&mut throttle, v4(2), later), 20, "another address");
        assert_eq!(allowed(&mut throttle, v4(1), start + WINDOW), 20);
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address_and_a_mapped_one_as_ipv4() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(allowed(&mut throttle, ip("2001:db8::1"), now), 20);
        assert_eq!(allowed(&mut throttle, ip("2001:db8::ffff:1"), now), 0);
        assert_eq!(allowed(&mut throttle, ip("2001:db8:0:1::1"), now), 20);
        assert_eq!(allowed(&mut throttle, ip("::ffff:192.0.2.1"), now), 20);
        assert_eq!(allowed(&mut throttle, ip("192.0.2.1"), now), 0);
    }

    #[test]
    fn very_many_addresses_share_one_count_until_places_come_free() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        let many = u32::try_from(ADDRESSES).expect("few enough");
        for n in 0..many {
            assert_eq!(throttle.wrong_key(v4(n), start), Ok(()));
        }
        let others = (0..100).map(|n| throttle.wrong_key(v4(many + n), start).is_ok());
        assert_eq!(others.filter(|ok| *ok).count(), 20);
        assert_eq!(throttle.counts.len(), ADDRESSES);
        assert_eq!(
            allowed(&mut throttle, v4(7), start),
            19,
            "it has its own count"
        );
        let later = start + WINDOW;
        assert_eq!(allowed(&mut throttle, v4(many + 1), later), 20);
        assert_eq!(throttle.counts.len(), 1, "what is over was forgotten");
    }
}
