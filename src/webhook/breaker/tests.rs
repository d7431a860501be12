use super::*;

use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

struct Clock(Instant);

impl Clock {
    fn new() -> Self {
        Self(Instant::now())
    }

    fn pass(&mut self, time: Duration) -> Instant {
        self.0 += time;
        self.0
    }
}

fn breaker(clock: &Clock) -> Breaker {
    Breaker::new(Settings::default(), clock.0)
}

fn ticket(breaker: &mut Breaker, now: Instant) -> Ticket {
    match breaker.admit(now) {
        Admission::Granted(ticket) => ticket,
        other => panic!("refused: {other:?}"),
    }
}

fn attempt(breaker: &mut Breaker, now: Instant, success: bool) -> Option<Transition> {
    let ticket = ticket(breaker, now);
    breaker.record(ticket, success, now, 1000)
}

fn attempts(breaker: &mut Breaker, now: Instant, n: u32, success: bool) -> Option<Transition> {
    (0..n).find_map(|_| attempt(breaker, now, success))
}

fn opened(clock: &Clock) -> Breaker {
    let mut breaker = breaker(clock);
    assert_eq!(
        attempts(&mut breaker, clock.0, 20, false),
        Some(Transition::Opened)
    );
    breaker
}

#[test]
fn too_few_attempts_never_open_it() {
    let clock = Clock::new();
    let mut breaker = breaker(&clock);
    assert_eq!(attempts(&mut breaker, clock.0, 19, false), None);
    assert_eq!(breaker.phase(clock.0), Phase::Closed);
    assert_eq!(
        attempt(&mut breaker, clock.0, false),
        Some(Transition::Opened)
    );
    assert_eq!(breaker.phase(clock.0), Phase::Open);
}

#[test]
fn it_opens_at_the_share_of_failures_and_not_below() {
    let clock = Clock::new();
    let mut breaker = breaker(&clock);
    assert_eq!(attempts(&mut breaker, clock.0, 21, true), None);
    assert_eq!(attempts(&mut breaker, clock.0, 20, false), None);
    assert_eq!(
        attempt(&mut breaker, clock.0, false),
        Some(Transition::Opened)
    );
}

#[test]
fn a_success_never_opens_it() {
    let clock = Clock::new();
    let mut breaker = breaker(&clock);
    assert_eq!(attempts(&mut breaker, clock.0, 19, false), None);
    assert_eq!(attempt(&mut breaker, clock.0, true), None);
    assert_eq!(breaker.phase(clock.0), Phase::Closed);
}

#[test]
fn failures_leave_the_window() {
    let mut clock = Clock::new();
    let mut breaker = breaker(&clock);
    assert_eq!(attempts(&mut breaker, clock.0, 19, false), None);
    let now = clock.pass(10 * SECOND);
    assert_eq!(attempts(&mut breaker, now, 19, false), None);
    let now = clock.pass(5 * SECOND);
    assert_eq!(
        attempt(&mut breaker, now, false),
        Some(Transition::Opened),
        "what is five seconds old still counts"
    );
}

#[test]
fn a_long_silence_empties_the_window() {
    let mut clock = Clock::new();
    let mut breaker = breaker(&clock);
    assert_eq!(attempts(&mut breaker, clock.0, 19, false), None);
    let now = clock.pass(3600 * SECOND);
    assert_eq!(attempts(&mut breaker, now, 19, false), None);
}

#[test]
fn a_clock_that_seems_to_go_back_is_harmless() {
    let clock = Clock::new();
    let mut breaker = Breaker::new(Settings::default(), clock.0 + 5 * SECOND);
    assert_eq!(attempts(&mut breaker, clock.0, 19, false), None);
    assert_eq!(
        attempt(&mut breaker, clock.0, false),
        Some(Transition::Opened)
    );
}

#[test]
fn open_it_forbids_until_its_time_has_come() {
    let mut clock = Clock::new();
    let mut breaker = opened(&clock);
    let until = clock.0 + 5 * SECOND;
    let now = clock.pass(Duration::from_nanos(4_999_999_999));
    assert!(matches!(breaker.admit(now), Admission::Until(at) if at == until));
    assert_eq!(breaker.phase(now), Phase::Open);
    let now = clock.pass(Duration::from_nanos(1));
    assert_eq!(breaker.phase(now), Phase::HalfOpen);
    assert!(matches!(breaker.admit(now), Admission::Granted(_)));
}

#[test]
fn the_time_open_follows_chance() {
    let clock = Clock::new();
    for permille in [800, 1200] {
        let mut breaker = breaker(&clock);
        assert_eq!(attempts(&mut breaker, clock.0, 19, false), None);
        let last = ticket(&mut breaker, clock.0);
        assert_eq!(
            breaker.record(last, false, clock.0, permille),
            Some(Transition::Opened)
        );
        let until = clock.0 + 5 * SECOND * permille / 1000;
        assert!(matches!(breaker.admit(clock.0), Admission::Until(at) if at == until));
    }
}

#[test]
fn five_probes_and_all_must_succeed() {
    let mut clock = Clock::new();
    let mut breaker = opened(&clock);
    let now = clock.pass(5 * SECOND);
    let probes: Vec<_> = (0..PROBES).map(|_| ticket(&mut breaker, now)).collect();
    assert!(matches!(breaker.admit(now), Admission::ProbesOut));
    for (n, probe) in (1..).zip(probes) {
        let change = breaker.record(probe, true, now, 1000);
        assert_eq!(change, (n == PROBES).then_some(Transition::Closed));
        if n < PROBES {
            assert!(
                matches!(breaker.admit(now), Admission::ProbesOut),
                "a success makes no place for a sixth probe"
            );
        }
    }
    assert_eq!(breaker.phase(now), Phase::Closed);
    assert_eq!(
        attempts(&mut breaker, now, 19, false),
        None,
        "it starts with an empty window"
    );
}

#[test]
fn one_failed_probe_opens_it_again() {
    let mut clock = Clock::new();
    let mut breaker = opened(&clock);
    let now = clock.pass(5 * SECOND);
    let (first, second) = (ticket(&mut breaker, now), ticket(&mut breaker, now));
    assert_eq!(
        breaker.record(first, false, now, 1000),
        Some(Transition::Opened)
    );
    assert_eq!(
        breaker.record(second, false, now, 1000),
        None,
        "the other probe belongs to the past"
    );
    let until = now + 5 * SECOND;
    assert!(matches!(breaker.admit(now), Admission::Until(at) if at == until));
}

#[test]
fn an_abandoned_probe_makes_place_for_another() {
    let mut clock = Clock::new();
    let mut breaker = opened(&clock);
    let now = clock.pass(5 * SECOND);
    let mut probes: Vec<_> = (0..PROBES).map(|_| ticket(&mut breaker, now)).collect();
    let probe = probes.pop().expect("five of them");
    assert!(breaker.abandon(probe));
    assert!(matches!(breaker.admit(now), Admission::Granted(_)));
    assert!(matches!(breaker.admit(now), Admission::ProbesOut));
}

#[test]
fn results_of_an_earlier_phase_do_not_count() {
    let mut clock = Clock::new();
    let mut breaker = breaker(&clock);
    let (slow_failure, slow_success, slow_nothing) = (
        ticket(&mut breaker, clock.0),
        ticket(&mut breaker, clock.0),
        ticket(&mut breaker, clock.0),
    );
    assert!(breaker.honours(&slow_failure));
    assert_eq!(
        attempts(&mut breaker, clock.0, 20, false),
        Some(Transition::Opened)
    );
    let now = clock.pass(5 * SECOND);
    let probe = ticket(&mut breaker, now);
    assert!(!breaker.honours(&slow_failure));
    assert_eq!(breaker.record(slow_failure, false, now, 1000), None);
    assert_eq!(breaker.record(slow_success, true, now, 1000), None);
    assert!(!breaker.abandon(slow_nothing));
    assert_eq!(breaker.phase(now), Phase::HalfOpen);
    assert!(breaker.honours(&probe));
}

#[test]
fn an_abandoned_attempt_of_a_closed_breaker_is_no_attempt() {
    let clock = Clock::new();
    let mut breaker = breaker(&clock);
    assert_eq!(attempts(&mut breaker, clock.0, 19, false), None);
    let lost = ticket(&mut breaker, clock.0);
    assert!(!breaker.abandon(lost));
    assert_eq!(breaker.phase(clock.0), Phase::Closed);
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Admit,
    Record(usize, bool),
    Abandon(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0u64..4000).prop_map(Step::Wait),
        6 => Just(Step::Admit),
        5 => (any::<usize>(), prop::bool::weighted(0.4)).prop_map(|(n, ok)| Step::Record(n, ok)),
        1 => any::<usize>().prop_map(Step::Abandon),
    ];
    prop::collection::vec(step, 0..400)
}

proptest! {
    /// Whatever happens in whatever order: an open breaker lets nothing through, a half-open one at most five at a time, and
    /// it is never stuck once its attempts have ended.
    #[test]
    fn it_keeps_its_word(steps in steps()) {
        let mut clock = Clock::new();
        let mut breaker = breaker(&clock);
        let mut out: Vec<Ticket> = Vec::new();
        for step in steps {
            match step {
                Step::Wait(ms) => {
                    clock.pass(Duration::from_millis(ms));
                }
                Step::Admit => {
                    let before = breaker.phase(clock.0);
                    match breaker.admit(clock.0) {
                        Admission::Granted(ticket) => {
                            prop_assert_ne!(before, Phase::Open);
                            out.push(ticket);
                        }
                        Admission::Until(at) => {
                            prop_assert_eq!(before, Phase::Open);
                            prop_assert!(at > clock.0);
                        }
                        Admission::ProbesOut => prop_assert_eq!(before, Phase::HalfOpen),
                    }
                }
                Step::Record(n, ok) if !out.is_empty() => {
                    let ticket = out.swap_remove(n % out.len());
                    breaker.record(ticket, ok, clock.0, 1000);
                }
                Step::Abandon(n) if !out.is_empty() => {
                    let ticket = out.swap_remove(n % out.len());
                    breaker.abandon(ticket);
                }
                Step::Record(..) | Step::Abandon(_) => {}
            }
            if breaker.phase(clock.0) == Phase::HalfOpen {
                let probes = out.iter().filter(|ticket| breaker.honours(ticket)).count();
                prop_assert!(probes <= PROBES as usize);
            }
        }
        for ticket in out {
            breaker.record(ticket, true, clock.0, 1000);
        }
        clock.pass(6 * SECOND);
        prop_assert!(matches!(breaker.admit(clock.0), Admission::Granted(_)));
    }
}
