//! [`Heartbeat`]: when to ping a session, and when to give it up (protocol 1.8). Time is counted in ticks of the shard.
//!
//! - The next ping is due `interval` after the *pong*, the first one `interval × U(0.8, 1.0)` after the handshake, never later.
//! - Without a pong the session is dead `timeout` after the ping; any received bytes prolong that, at the latest until three
//!   timeouts after the ping: a slow upload is not dead, a client that never pongs is.
//! - While the gateway itself does not read (a full lane), the clock stands still, and pings go on: the client has a clock, too.

/// Interval and timeout in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From a pong to the next ping.
    pub interval: u32,
    /// From a ping to its pong.
    pub timeout: u32,
}

/// What there is to do at a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Look again at this tick.
    Wait(u32),
    /// Send a ping, and look again at this tick.
    Ping(u32),
    /// Close the session as `ping timeout`.
    Dead,
}

/// The state of one session's heartbeat: 12 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Heartbeat {
    /// Tick of the last ping without a pong, or of the next ping.
    at: u32,
    waiting: bool,
    last_seen: u32,
}

impl Heartbeat {
    /// A session that was opened at `now`; `spread` of 0 to 200 thousandths brings the first ping forward.
    pub fn new(now: u32, timing: Timing, spread: u32) -> Self {
        let early = u64::from(timing.interval) * u64::from(spread.min(200)) / 1000;
        let early = u32::try_from(early).expect("at most a fifth of an u32");
        Self {
            at: now.saturating_add(timing.interval - early),
            waiting: false,
            last_seen: now,
        }
    }

    /// Bytes came.
    pub fn seen(&mut self, now: u32) {
        self.last_seen = now;
    }

    /// When bytes came last.
    pub fn last_seen(&self) -> u32 {
        self.last_seen
    }

    /// A pong came. Unsolicited ones are harmless.
    pub fn pong(&mut self, now: u32, timing: Timing) {
        self.last_seen = now;
        self.waiting = false;
        self.at = now.saturating_add(timing.interval);
    }

    /// The gateway reads again: the time for a pong begins anew, since it may be behind what was not read.
    pub fn resumed(&mut self, now: u32) {
        if self.waiting {
            self.at = now;
        }
    }

    /// What to do now; `paused`: the gateway does not read from this session.
    pub fn check(&mut self, now: u32, timing: Timing, paused: bool) -> Beat {
        if !self.waiting {
            if now < self.at {
                return Beat::Wait(self.at);
            }
            (self.at, self.waiting) = (now, true);
            return Beat::Ping(self.next_look(now, timing));
        }
        if paused {
            // Its pong may be among what is not read. Without another ping the client would give us up after a while.
            self.at = now;
            return Beat::Ping(self.next_look(now, timing));
        }
        // One tick more: the ping may have left at the end of its tick.
        let deadline = self.deadline(timing);
        if now < deadline {
            Beat::Wait(deadline)
        } else {
            Beat::Dead
        }
    }

    /// When to look again after a ping.
    fn next_look(&self, now: u32, timing: Timing) -> u32 {
        let interval = now.saturating_add(timing.interval.max(1));
        self.deadline(timing).min(interval)
    }

    fn deadline(&self, timing: Timing) -> u32 {
        let alive = self.at.max(self.last_seen).saturating_add(timing.timeout);
        let latest = self.at.saturating_add(timing.timeout.saturating_mul(3));
        alive.min(latest).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing {
        interval: 25,
        timeout: 20,
    };

    #[test]
    fn the_first_ping_comes_within_the_interval_and_not_before_80_percent_of_it() {
        for spread in [0, 100, 200, 999] {
            let mut heart = Heartbeat::new(100, TIMING, spread);
            let Beat::Wait(due) = heart.check(100, TIMING, false) else {
                panic!("not at once")
            };
            assert!((120..=125).contains(&due), "{due}");
            assert!(matches!(heart.check(due, TIMING, false), Beat::Ping(_)));
        }
    }

    #[test]
    fn the_next_ping_is_counted_from_the_pong() {
        let mut heart = Heartbeat::new(0, TIMING, 0);
        assert!(matches!(heart.check(25, TIMING, false), Beat::Ping(_)));
        heart.pong(30, TIMING);
        assert_eq!(heart.check(54, TIMING, false), Beat::Wait(55));
        assert!(matches!(heart.check(55, TIMING, false), Beat::Ping(_)));
    }

    #[test]
    fn silence_after_a_ping_is_death() {
        let mut heart = Heartbeat::new(0, TIMING, 0);
        assert_eq!(heart.check(25, TIMING, false), Beat::Ping(46));
        assert_eq!(heart.check(45, TIMING, false), Beat::Wait(46));
        assert_eq!(heart.check(46, TIMING, false), Beat::Dead);
    }

    #[test]
    fn bytes_prolong_life_until_three_timeouts_after_the_ping() {
        let mut heart = Heartbeat::new(0, TIMING, 0);
        heart.check(25, TIMING, false);
        for now in 26..=85 {
            heart.seen(now);
            assert!(
                matches!(heart.check(now, TIMING, false), Beat::Wait(_)),
                "{now}"
            );
        }
        heart.seen(86);
        assert_eq!(heart.check(86, TIMING, false), Beat::Dead);
    }

    #[test]
    fn the_clock_stands_still_while_we_do_not_read_and_pings_go_on() {
        let mut heart = Heartbeat::new(0, TIMING, 0);
        heart.check(25, TIMING, false);
        assert_eq!(heart.check(46, TIMING, true), Beat::Ping(67));
        assert_eq!(heart.check(500, TIMING, true), Beat::Ping(521));
        assert_eq!(heart.check(521, TIMING, false), Beat::Dead);
        let mut heart = Heartbeat::new(0, TIMING, 0);
        heart.check(25, TIMING, false);
        heart.resumed(45);
        assert_eq!(heart.check(46, TIMING, false), Beat::Wait(66));
        assert_eq!(heart.last_seen(), 0, "nothing was seen");
        let rare = Timing {
            interval: 25,
            timeout: 100,
        };
        let mut heart = Heartbeat::new(0, rare, 0);
        heart.check(25, rare, false);
        assert_eq!(heart.check(50, rare, true), Beat::Ping(75));
    }
}
