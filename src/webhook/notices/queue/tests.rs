#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn queue(items: usize, bytes: usize) -> Queue<u32> {
    Queue::new(Retention {
        age: 10 * SECOND,
        items,
        bytes,
    })
}

#[test]
fn notices_leave_when_they_are_due() {
    let (mut queue, now) = (queue(10, 100), Instant::now());
    assert_eq!(queue.next(), None);
    queue.push(1, 5, now);
    queue.push(2, 5, now);
    assert_eq!(queue.next(), Some(now));
    let first = queue.take(now).unwrap();
    assert_eq!(first.item, 1);
    queue.put_back(first, now + SECOND);
    let second = queue.take(now).unwrap();
    assert_eq!(queue.finish(second), 2);
    assert!(queue.take(now).is_none(), "not due yet");
    assert_eq!(queue.next(), Some(now + SECOND));
    assert_eq!(queue.pending(), 1);
    let first = queue.take(now + SECOND).unwrap();
    assert_eq!(queue.finish(first), 1);
    assert_eq!(queue.pending(), 0);
}

#[test]
fn the_oldest_is_dropped_for_the_newest() {
    let (mut queue, now) = (queue(2, 100), Instant::now());
    assert_eq!(queue.push(1, 5, now), 0);
    assert_eq!(queue.push(2, 5, now), 0);
    assert_eq!(queue.push(3, 5, now), 1);
    let left = [queue.take(now).unwrap().item, queue.take(now).unwrap().item];
    assert_eq!(left, [2, 3]);
}

#[test]
fn bytes_are_bounded_as_well_as_numbers() {
    let (mut queue, now) = (queue(10, 100), Instant::now());
    for item in 0..4 {
        assert_eq!(queue.push(item, 25, now), 0);
    }
    assert_eq!(queue.push(4, 60, now), 3);
    assert_eq!(queue.pending(), 2);
}

#[test]
fn a_notice_that_can_never_have_room_costs_nobody_elses() {
    let (mut queue, now) = (queue(10, 100), Instant::now());
    queue.push(1, 40, now);
    queue.push(2, 40, now);
    assert_eq!(queue.push(3, 101, now), 1, "itself");
    assert_eq!((queue.pending(), queue.bytes()), (2, 80));
    assert_eq!(queue.push(4, 100, now), 2, "it has room alone");
    assert_eq!(queue.pending(), 1);
}

#[test]
fn what_is_under_way_counts_but_is_not_dropped() {
    let (mut queue, now) = (queue(2, 100), Instant::now());
    queue.push(1, 5, now);
    queue.push(2, 5, now);
    let (first, second) = (queue.take(now).unwrap(), queue.take(now).unwrap());
    assert_eq!(
        queue.push(3, 5, now),
        1,
        "there is nothing to drop but itself"
    );
    queue.put_back(first, now);
    assert_eq!(queue.push(4, 5, now), 1);
    assert_eq!(queue.finish(second), 2);
    assert_eq!(queue.take(now).unwrap().item, 4);
}

#[test]
fn age_counts_from_the_first_push() {
    let (mut queue, now) = (queue(10, 100), Instant::now());
    queue.push(1, 5, now);
    queue.push(2, 5, now + SECOND);
    let first = queue.take(now).unwrap();
    assert_eq!(first.expires, now + 10 * SECOND);
    queue.put_back(first, now + 60 * SECOND);
    assert_eq!(queue.expire(now + 9 * SECOND), 0);
    assert_eq!(queue.next(), Some(now + SECOND));
    assert_eq!(queue.expire(now + 10 * SECOND), 1);
    assert_eq!(queue.expire(now + 11 * SECOND), 1);
    assert_eq!(queue.next(), None);
}

#[test]
fn a_late_repetition_is_woken_for_its_expiry() {
    let (mut queue, now) = (queue(10, 100), Instant::now());
    queue.push(1, 5, now);
    let first = queue.take(now).unwrap();
    queue.put_back(first, now + 60 * SECOND);
    assert_eq!(queue.next(), Some(now + 10 * SECOND));
}

proptest! {
    /// Whatever is done, the bounds hold, nothing is lost without being told, and the sums add up.
    #[test]
    fn bounds_hold_and_nothing_vanishes(
        steps in prop::collection::vec((0u8..5, 0usize..60, 0u64..4000), 0..300),
    ) {
        let mut queue = queue(5, 100);
        let mut now = Instant::now();
        let (mut pushed, mut lost, mut done) = (0, 0, 0);
        let mut out = Vec::new();
        for (step, size, millis) in steps {
            match step {
                0 | 1 => {
                    pushed += 1;
                    lost += queue.push(0, size, now);
                }
                2 => out.extend(queue.take(now)),
                3 => match out.pop() {
                    Some(entry) if size % 2 == 0 => {
                        queue.finish(entry);
                        done += 1;
                    }
                    Some(entry) => queue.put_back(entry, now + Duration::from_millis(millis)),
                    None => {}
                },
                _ => {
                    now += Duration::from_millis(millis);
                    lost += queue.expire(now);
                }
            }
            prop_assert!(queue.pending() <= 5);
            prop_assert!(queue.bytes <= 100);
            prop_assert_eq!(queue.due.len(), queue.waiting.len());
            prop_assert_eq!(pushed, lost + done + queue.pending());
        }
    }
}
