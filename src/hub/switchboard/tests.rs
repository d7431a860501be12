use std::pin::pin;

use futures_util::FutureExt as _;

use super::*;
use crate::hub::Hub;
use crate::hub::action::{Change, Ending, Names, State};
use crate::hub::effect::Effect;
use crate::hub::tests::{emit, hubs, namespace, room, to_all, to_rooms};

/// Hubs whose inboxes have so many places.
fn hubs_with(places: u32, shards: usize) -> Vec<Hub> {
    let limits = Settings::default();
    let board = Switchboard::with_places(NodeTag::random(), shards, &limits, places);
    let hubs = (0..shards).map(|shard| {
        let shard = ShardId::new(shard).expect("a few shards");
        Hub::new(shard, Arc::clone(&board), limits.clone(), Arc::default())
    });
    hubs.collect()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.expect("a runtime").block_on(future)
}

fn join(hub: &Hub, id: SocketId, name: &str) -> impl Future<Output = Applied> + use<> {
    let action = Action::Join {
        to: Audience::socket(namespace("/"), id),
        rooms: vec![room(name)],
    };
    let board = Arc::clone(hub.switchboard());
    async move { board.perform(action, Instant::now()).await }
}

#[test]
fn an_emit_is_done_when_it_is_handed_over() {
    let hubs = hubs(2, &Settings::default());
    let clients = [hubs[0].client(), hubs[1].client()];
    let done = hubs[0]
        .perform(emit(to_all(), "x"), Instant::now())
        .now_or_never();
    assert_eq!(done, Some(Applied::default()));
    for (hub, (connection, _)) in hubs.iter().zip(clients) {
        drop(hub.turn());
        assert_eq!(hub.received(connection), ["x"]);
    }
}

#[test]
fn a_join_elsewhere_is_done_when_its_shard_has_applied_it_and_its_effects() {
    let hubs = hubs(2, &Settings::default());
    let (connection, socket) = hubs[1].client();
    let mut joined = pin!(join(&hubs[0], hubs[1].id(socket), "r"));
    assert_eq!(joined.as_mut().now_or_never(), None);
    drop(hubs[0].turn());
    assert_eq!(joined.as_mut().now_or_never(), None);
    let turn = hubs[1].turn();
    assert_eq!(
        joined.as_mut().now_or_never(),
        None,
        "its effects are under way"
    );
    drop(turn);
    let one = Applied {
        sockets: 1,
        limited: 0,
    };
    assert_eq!(joined.now_or_never(), Some(one));
    let _handed_over = hubs[0]
        .perform(emit(to_rooms(&["r"]), "x"), Instant::now())
        .now_or_never();
    drop(hubs[1].turn());
    assert_eq!(hubs[1].received(connection), ["x"]);
}

#[test]
fn results_are_summed_over_shards() {
    let hubs = hubs(3, &Settings::default());
    for hub in &hubs {
        hub.client();
        let (_, socket) = hub.client();
        hub.join(socket, &[room("r")]);
    }
    let state = Change::Set(State("{}".into()));
    let to = to_rooms(&["r", "nowhere"]);
    let mut applied = pin!(hubs[0].perform(Action::State { to, set: state }, Instant::now()));
    assert_eq!(applied.as_mut().now_or_never(), None);
    for hub in &hubs {
        drop(hub.turn());
    }
    assert_eq!(
        applied.now_or_never().map(|applied| applied.sockets),
        Some(3)
    );
}

#[test]
fn nobody_means_done_at_once() {
    let hubs = hubs(2, &Settings::default());
    let stranger = SocketId::random(NodeTag::random(), hubs[0].shard());
    let board = hubs[0].switchboard();
    for to in [
        to_rooms(&["empty"]),
        to_rooms(&[]),
        Audience::socket(namespace("/"), stranger),
    ] {
        let ending = Ending::Namespace;
        let done = board
            .perform(
                Action::Disconnect {
                    to,
                    ending,
                    reason: None,
                },
                Instant::now(),
            )
            .now_or_never();
        assert_eq!(done, Some(Applied::default()));
    }
}

#[test]
fn a_report_counts_the_recipients() {
    let hubs = hubs(2, &Settings::default());
    for hub in [&hubs[0], &hubs[1], &hubs[1]] {
        hub.client();
    }
    let reported = block_on(async {
        let board = hubs[0].switchboard();
        let patience = Duration::from_secs(5);
        let report = board.perform_with_report(emit(to_all(), "x"), Instant::now(), patience);
        let mut report = pin!(report);
        assert_eq!(report.as_mut().now_or_never(), None);
        for hub in &hubs {
            drop(hub.turn());
        }
        report.await
    });
    assert_eq!(reported.map(|applied| applied.sockets), Ok(3));
}

#[test]
fn without_places_an_emit_comes_back_and_nothing_of_it_is_sent() {
    let hubs = hubs_with(1, 2);
    let clients = [hubs[0].client(), hubs[1].client()];
    let board = hubs[0].switchboard();
    // Only the second shard is full.
    let only = Audience::socket(namespace("/"), hubs[1].id(clients[1].1));
    assert!(board.try_emit(emit(only, "full"), Instant::now()).is_ok());
    let refused = board.try_emit(emit(to_all(), "x"), Instant::now());
    assert!(matches!(
        *refused.expect_err("no place"),
        Action::Emit { .. }
    ));
    let patience = Duration::ZERO;
    let refused = block_on(board.perform_within(emit(to_all(), "x"), Instant::now(), patience));
    assert_eq!(refused, Err(ApplyError::Overloaded));
    let refused = block_on(board.ask(
        Query::Namespaces {
            after: None,
            limit: 1,
        },
        patience,
    ));
    assert_eq!(refused.err(), Some(ApplyError::Overloaded));
    for hub in &hubs {
        drop(hub.turn());
    }
    assert_eq!(hubs[0].received(clients[0].0), [""; 0]);
    assert_eq!(hubs[1].received(clients[1].0), ["full"]);
    assert!((0..2).all(|shard| board.inbox(shard).is_unused()));
    assert!(
        board
            .try_emit(emit(to_all(), "now"), Instant::now())
            .is_ok()
    );
}

#[test]
fn who_waits_for_places_is_served_in_order_and_not_overtaken() {
    let hubs = hubs_with(1, 1);
    let (connection, _) = hubs[0].client();
    let board = hubs[0].switchboard();
    let now = Instant::now();
    assert!(board.try_emit(emit(to_all(), "1"), now).is_ok());
    let (mut second, mut third) = (
        pin!(board.perform(emit(to_all(), "2"), now)),
        pin!(board.perform(emit(to_all(), "3"), now)),
    );
    assert_eq!(second.as_mut().now_or_never(), None);
    assert_eq!(third.as_mut().now_or_never(), None);
    drop(hubs[0].turn());
    assert!(board.try_emit(emit(to_all(), "overtaking"), now).is_err());
    assert_eq!(third.as_mut().now_or_never(), None);
    assert!(second.now_or_never().is_some());
    drop(hubs[0].turn());
    assert!(third.now_or_never().is_some());
    drop(hubs[0].turn());
    assert_eq!(hubs[0].received(connection), ["1", "2", "3"]);
}

#[test]
fn a_message_larger_than_an_inbox_takes_all_of_it() {
    let hubs = hubs_with(3, 1);
    let (connection, _) = hubs[0].client();
    let board = hubs[0].switchboard();
    let huge = "x".repeat(1 << 20);
    assert!(
        board
            .try_emit(emit(to_all(), &huge), Instant::now())
            .is_ok()
    );
    assert!(board.try_emit(emit(to_all(), "x"), Instant::now()).is_err());
    drop(hubs[0].turn());
    assert_eq!(hubs[0].received(connection), [huge]);
    assert!(board.inbox(0).is_unused());
}

#[test]
fn places_count_the_bytes_that_wait() {
    let of = |action| Work::Act(action).places();
    assert_eq!(of(emit(to_all(), "x")), 1);
    assert_eq!(of(emit(to_all(), &"x".repeat(64 << 10))), 5);
    let names = (0..1000)
        .map(|number| room(&format!("{number:0200}")))
        .collect();
    let to = Target::Names(Names {
        rooms: names,
        sockets: Vec::new(),
    });
    let to = Audience { to, ..to_all() };
    assert_eq!(of(emit(to, "x")), 1 + (200_000 + 1) / (16 << 10));
}

#[test]
fn nobody_waits_for_a_shard_that_has_ended() {
    let mut hubs = hubs_with(1, 2);
    hubs[0].client();
    let (_, socket) = hubs[1].client();
    let id = hubs[1].id(socket);
    let mut lying = pin!(join(&hubs[0], id, "r"));
    assert_eq!(lying.as_mut().now_or_never(), None);
    let mut waiting = pin!(join(&hubs[0], id, "r"));
    assert_eq!(waiting.as_mut().now_or_never(), None);
    drop(hubs.pop());
    assert_eq!(lying.now_or_never(), Some(Applied::default()));
    assert_eq!(waiting.now_or_never(), Some(Applied::default()));
    assert!(
        hubs[0]
            .perform(emit(to_all(), "x"), Instant::now())
            .now_or_never()
            .is_some()
    );
}

#[test]
fn an_expiry_is_the_sessions_to_watch() {
    let hubs = hubs(1, &Settings::default());
    let (_, socket) = hubs[0].client();
    let at = Some(std::time::SystemTime::UNIX_EPOCH);
    let turn = hubs[0].act_now(Action::Expire { to: to_all(), at });
    assert!(
        matches!(&turn.effects[..], [Effect::Expiry { socket: s, at: a }] if (*s, *a) == (socket, at))
    );
    assert_eq!(
        hubs[0].socket(socket, |view| (view.expires_at, view.version)),
        Some((at, 1))
    );
}

#[test]
fn ids_of_acknowledgements_never_repeat() {
    let board = Switchboard::new(NodeTag::random(), 1, &Settings::default());
    let ids: std::collections::BTreeSet<u64> = (0..1000).map(|_| board.next_ack_id()).collect();
    assert_eq!(ids.len(), 1000);
    assert!(ids.last().is_some_and(|last| *last < 1 << 53));
}

/// Several real threads, few places, and every performer waits for its turn: same order everywhere, and nobody is stuck.
#[test]
fn threads_see_one_order() {
    const EMITS: usize = 500;
    let limits = Settings {
        outbox_frames: 10 * EMITS,
        ..Settings::default()
    };
    let board = Switchboard::with_places(NodeTag::random(), 3, &limits, 2);
    let ready = std::sync::Barrier::new(6);
    let received: Vec<Vec<String>> = std::thread::scope(|scope| {
        let shards: Vec<_> = (0..3)
            .map(|shard| {
                let (board, limits, ready) = (Arc::clone(&board), limits.clone(), &ready);
                scope.spawn(move || {
                    let shard = ShardId::new(shard).expect("a few shards");
                    let hub = Hub::new(shard, board, limits, Arc::default());
                    let (connection, socket) = hub.client();
                    hub.join(socket, &[room("r")]);
                    ready.wait();
                    let mut received = Vec::new();
                    block_on(async {
                        while received.len() < 3 * EMITS {
                            hub.ready().await;
                            drop(hub.turn());
                            received.extend(hub.received(connection));
                        }
                    });
                    received
                })
            })
            .collect();
        for performer in 0..3 {
            let (board, ready) = (Arc::clone(&board), &ready);
            scope.spawn(move || {
                ready.wait();
                block_on(async {
                    for number in 0..EMITS {
                        let text = format!("{performer} {number}");
                        board
                            .perform(emit(to_rooms(&["r"]), &text), Instant::now())
                            .await;
                    }
                });
            });
        }
        shards
            .into_iter()
            .map(|shard| shard.join().expect("no panic"))
            .collect()
    });
    assert_eq!(received[0], received[1]);
    assert_eq!(received[0], received[2]);
    for performer in 0..3 {
        let own = received[0]
            .iter()
            .filter_map(|text| text.strip_prefix(&format!("{performer} ")));
        assert!(
            own.map(|number| number.parse::<usize>().expect("a number"))
                .eq(0..EMITS)
        );
    }
    assert!((0..3).all(|shard| board.inbox(shard).is_empty()));
}
