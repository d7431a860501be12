//! Models of the switchboard for loom, which tries every interleaving of their locks. They run the product's own types.
//!
//! `RUSTFLAGS="--cfg sockgate_loom" cargo test --profile ci --lib loom --target-dir target/loom`
//!
//! # Why
//! The flag is not `loom`: tokio takes that one for itself. What tokio's semaphore and bell do is one step each to loom, as it
//! is to anybody who looks from outside; their insides are tokio's to check.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use loom::future::block_on;
use loom::thread;

use super::Switchboard;
use super::message::{Message, Work};
use crate::hub::action::{Action, Audience, Names, Target};
use crate::hub::fault::{Fault, plant};
use crate::hub::id::{Namespace, NodeTag, Room, ShardId};
use crate::hub::settings::Settings;
use crate::protocol::frame::Frame;

/// A switchboard with a room on the first so many shards.
fn switchboard(shards: usize, occupied: usize, places: u32) -> Arc<Switchboard> {
    let board = Switchboard::with_places(NodeTag::random(), shards, &Settings::default(), places);
    for shard in 0..occupied {
        occupy(&board, shard);
    }
    board
}

fn namespace() -> Namespace {
    Namespace::new("/").expect("a valid name")
}

fn room() -> Room {
    Room::new("room").expect("a valid name")
}

fn occupy(board: &Switchboard, shard: usize) -> u64 {
    let shard = ShardId::new(shard).expect("a few shards");
    let name = (&namespace(), Some(&room()));
    board.occupy(shard, name, true).expect("without limit")
}

fn vacate(board: &Switchboard, shard: usize) {
    let shard = ShardId::new(shard).expect("a few shards");
    board.vacate(shard, &namespace(), Some(&room()));
}

fn emit(number: u8) -> Action {
    Action::Emit {
        to: Audience {
            namespace: namespace(),
            to: Target::Names(Names {
                rooms: vec![room()],
                sockets: Vec::new(),
            }),
            except: Names::default(),
        },
        frame: Frame::new(Bytes::copy_from_slice(&[number]), Vec::new()),
        volatile: false,
    }
}

/// Emits in a thread, waiting for places.
fn emitter(board: &Arc<Switchboard>, numbers: &'static [u8]) -> thread::JoinHandle<()> {
    let board = Arc::clone(board);
    thread::spawn(move || {
        for number in numbers {
            block_on(board.perform(emit(*number), Instant::now()));
        }
    })
}

/// What a shard finds, each with its number in the inbox.
fn look(board: &Switchboard, shard: usize) -> Vec<(u64, u8)> {
    let mut messages = Vec::new();
    let first = board.inbox(shard).swap(&mut messages);
    let numbers = messages.into_iter().map(|message| match message {
        Message::Order(order) => match &order.work {
            Work::Act(Action::Emit { frame, .. }) => frame.parts()[0][0],
            other => unreachable!("only emits: {other:?}"),
        },
        other => unreachable!("only emits: {other:?}"),
    });
    (first..).zip(numbers).collect()
}

fn bytes(found: &[(u64, u8)]) -> Vec<u8> {
    found.iter().map(|(_, byte)| *byte).collect()
}

/// The end of the other list, and nothing else.
fn is_suffix(list: &[u8], whole: &[u8]) -> bool {
    whole.ends_with(list)
}

fn model_of_two_emitters() {
    loom::model(|| {
        let board = switchboard(2, 2, 64);
        let others = emitter(&board, &[1, 2]);
        block_on(board.perform(emit(3), Instant::now()));
        others.join().expect("no panic");
        let orders = [look(&board, 0), look(&board, 1)].map(|found| bytes(&found));
        assert_eq!(orders[0], orders[1], "two orders");
        assert_eq!(orders[0].len(), 3);
    });
}

#[test]
fn loom_two_emitters_have_one_order() {
    model_of_two_emitters();
}

#[test]
fn loom_a_joiner_sees_a_suffix() {
    loom::model(|| {
        let board = switchboard(2, 1, 64);
        let others = [emitter(&board, &[1, 2]), emitter(&board, &[3])];
        let since = occupy(&board, 1);
        for other in others {
            other.join().expect("no panic");
        }
        let whole = bytes(&look(&board, 0));
        let mut joined = look(&board, 1);
        joined.retain(|(number, _)| *number >= since);
        assert!(
            is_suffix(&bytes(&joined), &whole),
            "{joined:?} of {whole:?}"
        );
    });
}

#[test]
fn loom_who_joins_a_room_that_has_just_ended_sees_a_suffix() {
    loom::model(|| {
        let board = switchboard(2, 2, 64);
        let others = emitter(&board, &[1, 2, 3]);
        vacate(&board, 1);
        let since = occupy(&board, 1);
        others.join().expect("no panic");
        let whole = bytes(&look(&board, 0));
        let mut joined = look(&board, 1);
        joined.retain(|(number, _)| *number >= since);
        assert!(
            is_suffix(&bytes(&joined), &whole),
            "{joined:?} of {whole:?}"
        );
    });
}

#[test]
fn loom_with_one_place_nobody_waits_for_ever_and_all_arrives_everywhere() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let board = switchboard(2, 2, 1);
        let others = emitter(&board, &[1]);
        let shards: Vec<_> = (0..2)
            .map(|shard| {
                let board = Arc::clone(&board);
                thread::spawn(move || {
                    let mut found = Vec::new();
                    while found.len() < 2 {
                        block_on(board.inbox(shard).rung());
                        found.extend(look(&board, shard));
                    }
                    bytes(&found)
                })
            })
            .collect();
        block_on(board.perform(emit(2), Instant::now()));
        others.join().expect("no panic");
        let orders: Vec<_> = shards
            .into_iter()
            .map(|shard| shard.join().expect("no panic"))
            .collect();
        assert_eq!(orders[0], orders[1]);
    });
}

#[test]
fn loom_an_emit_at_once_is_all_or_nothing() {
    loom::model(|| {
        let board = switchboard(2, 2, 1);
        let others = emitter(&board, &[1]);
        let is_sent = board.try_emit(emit(2), Instant::now()).is_ok();
        let found = [look(&board, 0), look(&board, 1)];
        for list in &found {
            assert_eq!(bytes(list).contains(&2), is_sent, "{found:?}");
        }
        others.join().expect("places were given back");
        drop((look(&board, 0), look(&board, 1)));
        assert!((0..2).all(|shard| board.inbox(shard).is_unused()));
    });
}

/// The models can fail: with the lock given up before the pushes, loom finds two orders.
#[test]
#[should_panic(expected = "two orders")]
fn loom_finds_a_stripe_released_early() {
    plant(Some(Fault::StripeReleasedEarly));
    model_of_two_emitters();
}
