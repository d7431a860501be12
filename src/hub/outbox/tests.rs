use std::cell::RefCell;
use std::collections::VecDeque as Deque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use proptest::prelude::*;

use super::*;

const ROOMY: Bounds = Bounds {
    bytes: 1 << 20,
    frames: 4096,
};

fn frame(parts: &[&str]) -> Frame {
    let mut parts = parts
        .iter()
        .map(|part| Bytes::copy_from_slice(part.as_bytes()));
    let text = parts.next().expect("a packet has a text");
    Frame::new(text, parts.collect())
}

fn outbox(packets: &[&str]) -> Outbox {
    let mut outbox = Outbox::default();
    for packet in packets {
        outbox.push(&frame(&[packet]), ROOMY);
    }
    outbox
}

/// What a kernel has taken.
type Taken = Rc<RefCell<Vec<u8>>>;

/// A kernel that takes so many bytes per call, as long as there are entries, and then no more.
fn kernel(takes: &[usize]) -> (Taken, impl FnMut(&[IoSlice<'_>]) -> Poll<io::Result<usize>>) {
    let bytes = Rc::new(RefCell::new(Vec::new()));
    let (sink, mut takes) = (Rc::clone(&bytes), takes.to_vec());
    takes.reverse();
    let write = move |slices: &[IoSlice<'_>]| {
        let Some(take) = takes.pop() else {
            return Poll::Pending;
        };
        let all: Vec<u8> = slices
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        let take = take.min(all.len());
        sink.borrow_mut().extend_from_slice(&all[..take]);
        Poll::Ready(Ok(take))
    };
    (bytes, write)
}

/// A transport whose kernel takes so many bytes in all.
struct Room(RefCell<usize>, RefCell<Vec<u8>>);

impl Sink for Room {
    fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let take = slices[0].len().min(*self.0.borrow());
        if take == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        *self.0.borrow_mut() -= take;
        self.1.borrow_mut().extend_from_slice(&slices[0][..take]);
        Ok(take)
    }
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn many_frames_leave_with_one_write() {
    let mut outbox = outbox(&["one", "two", "three"]);
    let (taken, mut kernel) = kernel(&[usize::MAX]);
    assert!(outbox.write(Instant::now(), &mut kernel).is_ready());
    assert_eq!(*taken.borrow(), b"onetwothree");
    assert_eq!((outbox.len(), outbox.bytes()), (0, 0));
}

#[test]
fn a_partial_write_goes_on_where_it_stopped() {
    let mut outbox = outbox(&["one", "two", "three"]);
    let (taken, mut kernel) = kernel(&[1, 4, 1]);
    let now = Instant::now();
    assert!(outbox.write(now, &mut kernel).is_pending());
    assert_eq!(*taken.borrow(), b"onetwo");
    assert_eq!((outbox.len(), outbox.bytes()), (1, 5));
    assert_eq!(outbox.take(9, 99), [Bytes::from_static(b"three")]);
}

#[test]
fn what_was_sent_of_the_head_is_not_given_out_again() {
    let mut outbox = outbox(&["one", "two"]);
    let (_, mut kernel) = kernel(&[2]);
    assert!(outbox.write(Instant::now(), &mut kernel).is_pending());
    assert_eq!(outbox.bytes(), 4);
    assert_eq!(
        outbox.take(9, 99),
        [Bytes::from_static(b"e"), Bytes::from_static(b"two")]
    );
}

#[test]
fn a_transport_is_blocked_from_the_first_refusal_until_all_is_taken() {
    let mut outbox = outbox(&["one", "two"]);
    let begun = Instant::now();
    let later = |seconds| begun + Duration::from_secs(seconds);
    let (_, mut kernel_a) = kernel(&[]);
    assert!(outbox.write(begun, &mut kernel_a).is_pending());
    assert_eq!(outbox.blocked_since(), Some(begun));
    assert!(!outbox.is_stalled(later(9), Duration::from_secs(10)));
    assert!(outbox.is_stalled(later(10), Duration::from_secs(10)));
    // Some bytes end the stall, but not the block.
    let (_, mut kernel_b) = kernel(&[1]);
    assert!(outbox.write(later(10), &mut kernel_b).is_pending());
    assert!(!outbox.is_stalled(later(19), Duration::from_secs(10)));
    assert_eq!(outbox.blocked_since(), Some(begun));
    let (_, mut kernel_c) = kernel(&[9]);
    assert!(outbox.write(later(19), &mut kernel_c).is_ready());
    assert_eq!(outbox.blocked_since(), None);
    assert!(!outbox.is_stalled(later(999), Duration::from_secs(10)));
}

#[test]
fn a_transport_that_takes_nothing_or_fails_ends_the_write() {
    let mut outbox = outbox(&["one"]);
    let mut nothing = |_: &[IoSlice<'_>]| Poll::Ready(Ok(0));
    let zero = outbox.write(Instant::now(), &mut nothing);
    assert!(matches!(zero, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::WriteZero));
    let mut broken = |_: &[IoSlice<'_>]| Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
    let failed = outbox.write(Instant::now(), &mut broken);
    assert!(matches!(failed, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe));
}

#[test]
fn one_transport_drains() {
    let mut outbox = Outbox::default();
    assert!(outbox.acquire());
    assert!(!outbox.acquire());
    outbox.release();
    assert!(outbox.acquire());
}

#[test]
fn a_packet_and_its_attachments_are_one_unit() {
    let bounds = Bounds {
        bytes: 1000,
        frames: 3,
    };
    let mut outbox = Outbox::default();
    assert_eq!(outbox.push(&frame(&["a"]), bounds), Pushed::First);
    assert_eq!(outbox.push(&frame(&["b", "1", "2"]), bounds), Pushed::Full);
    assert_eq!(outbox.len(), 1);
    assert_eq!(outbox.push(&frame(&["b", "1"]), bounds), Pushed::Behind);
    assert_eq!(outbox.push(&frame(&["c"]), bounds), Pushed::Full);
}

#[test]
fn a_large_packet_is_admitted_only_into_an_empty_outbox() {
    let bounds = Bounds {
        bytes: 4,
        frames: 9,
    };
    let mut outbox = Outbox::default();
    assert_eq!(outbox.push(&frame(&["larger"]), bounds), Pushed::First);
    assert_eq!(outbox.push(&frame(&["x"]), bounds), Pushed::Full);
    assert_eq!(outbox.take(1, 1).len(), 1);
    assert_eq!(outbox.push(&frame(&["x"]), bounds), Pushed::First);
    assert_eq!(outbox.push(&frame(&["larger"]), bounds), Pushed::Full);
}

#[test]
fn a_push_that_would_pass_the_bound_lets_the_transport_write_first() {
    let bounds = Bounds {
        bytes: 6,
        frames: 9,
    };
    let room = Rc::new(Room(RefCell::new(4), RefCell::default()));
    let mut outbox = Outbox::default();
    assert!(outbox.set_sink(Some(Rc::<Room>::clone(&room))).is_none());
    assert_eq!(outbox.push(&frame(&["one"]), bounds), Pushed::First);
    assert_eq!(outbox.push(&frame(&["two"]), bounds), Pushed::Behind);
    assert!(room.1.borrow().is_empty());
    assert_eq!(outbox.push(&frame(&["xyz"]), bounds), Pushed::Behind);
    assert_eq!(*room.1.borrow(), b"onet");
    assert_eq!(outbox.bytes(), 5);
    assert!(outbox.blocked_since().is_some());
    assert_eq!(outbox.push(&frame(&["xyz"]), bounds), Pushed::Full);
}

#[test]
fn a_polling_answer_takes_what_fits_and_at_least_one() {
    let mut outbox = outbox(&["12345", "12", "12", "12"]);
    assert_eq!(outbox.take(9, 1).len(), 1);
    assert_eq!(outbox.take(2, 99).len(), 2);
    outbox.push(&frame(&["new"]), ROOMY);
    assert_eq!(outbox.bytes(), 5);
    assert_eq!(
        outbox.take(9, 99),
        [Bytes::from_static(b"12"), Bytes::from_static(b"new")]
    );
}

#[test]
fn a_cut_outbox_is_empty_refuses_everything_and_wakes_its_transport() {
    let mut outbox = outbox(&["one"]);
    let woken = Arc::new(Woken::default());
    assert!(outbox.register(&Waker::from(Arc::clone(&woken))).is_none());
    outbox.cut();
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert_eq!(outbox.push(&frame(&["x"]), ROOMY), Pushed::Cut);
    assert!(outbox.is_cut() && outbox.is_empty() && outbox.bytes() == 0);
}

#[test]
fn the_same_waker_is_stored_once() {
    let mut outbox = Outbox::default();
    let (first, second) = (
        Waker::from(Arc::new(Woken::default())),
        Waker::from(Arc::new(Woken::default())),
    );
    assert!(outbox.register(&first).is_none());
    assert!(outbox.register(&first).is_none());
    let former = outbox.register(&second).expect("the first one comes back");
    assert!(former.will_wake(&first));
}

#[test]
fn a_burst_leaves_no_memory_behind() {
    let mut outbox = outbox(&["x"; 100]);
    let (_, mut kernel) = kernel(&[usize::MAX; 9]);
    assert!(outbox.write(Instant::now(), &mut kernel).is_ready());
    assert_eq!(outbox.queue.capacity(), 0);
    outbox.push(&frame(&["x"]), ROOMY);
    assert_eq!(outbox.take(1, 1).len(), 1);
    assert!(outbox.queue.capacity() <= KEPT);
}

#[derive(Clone, Debug)]
enum Step {
    Push(Vec<usize>),
    Write(Vec<usize>),
    Take { frames: usize, bytes: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let sizes = || prop::collection::vec(1_usize..40, 1..4);
    prop_oneof![
        sizes().prop_map(Step::Push),
        prop::collection::vec(0_usize..50, 0..4).prop_map(Step::Write),
        (1_usize..5, 1_usize..60).prop_map(|(frames, bytes)| Step::Take { frames, bytes }),
    ]
}

proptest! {
    /// Whatever happens, the bytes leave once and in order, and the sum is right.
    #[test]
    fn bytes_leave_in_the_order_in_which_they_came(steps in prop::collection::vec(step(), 1..60)) {
        let bounds = Bounds { bytes: 200, frames: 12 };
        let mut outbox = Outbox::default();
        let (mut expected, mut next) = (Deque::new(), 0_u8);
        for step in steps {
            match step {
                Step::Push(sizes) => {
                    let parts = sizes.iter().map(|size| (0..*size).map(|_| { next = next.wrapping_add(1); next }).collect::<Vec<u8>>());
                    let parts: Vec<Bytes> = parts.map(Bytes::from).collect();
                    let packet = Frame::new(parts[0].clone(), parts[1..].to_vec());
                    if outbox.push(&packet, bounds) != Pushed::Full {
                        expected.extend(parts.iter().flatten().copied());
                        prop_assert!(outbox.bytes() <= bounds.bytes);
                        prop_assert!(outbox.len() <= bounds.frames);
                    }
                }
                Step::Write(takes) => {
                    let takes: Vec<usize> = takes.into_iter().filter(|take| *take > 0).collect();
                    let (taken, mut kernel) = kernel(&takes);
                    let is_empty = outbox.write(Instant::now(), &mut kernel).is_ready();
                    prop_assert_eq!(is_empty, outbox.is_empty());
                    for byte in taken.take() {
                        prop_assert_eq!(Some(byte), expected.pop_front());
                    }
                }
                Step::Take { frames, bytes } => {
                    let taken = outbox.take(frames, bytes);
                    prop_assert!(taken.len() <= frames);
                    for byte in taken.iter().flatten() {
                        prop_assert_eq!(Some(*byte), expected.pop_front());
                    }
                }
            }
            prop_assert_eq!(outbox.bytes(), expected.len());
        }
    }
}
