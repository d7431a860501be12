use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

use super::*;
use crate::hub::Hub;
use crate::hub::action::{Audience, Names, Target};
use crate::hub::key::ConnectionKey;
use crate::hub::settings::Settings;
use crate::hub::switchboard::{ApplyError, Asking};
use crate::hub::tests::{frame, hub, hub_with, namespace, to_all, to_rooms};

const PATIENCE: Duration = Duration::from_secs(5);

/// Emits with an acknowledgement while the hub turns.
fn emit_with_ack(hub: &Hub, to: Audience, bytes: usize) -> Result<(u64, Asking), ApplyError> {
    ask(hub, to, false, bytes)
}

fn ask(hub: &Hub, to: Audience, volatile: bool, bytes: usize) -> Result<(u64, Asking), ApplyError> {
    let id = hub.switchboard().next_ack_id();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let asking = runtime.expect("a runtime").block_on(async {
        let board = hub.switchboard();
        let mut asking =
            Box::pin(board.emit_with_ack(to, id, frame("ask"), volatile, bytes, PATIENCE));
        loop {
            if let Some(asking) = asking.as_mut().now_or_never() {
                break asking;
            }
            drop(hub.turn());
        }
    });
    Ok((id, asking?))
}

fn events(asking: &mut Asking) -> Vec<AckEvent> {
    std::iter::from_fn(|| asking.next().now_or_never().flatten()).collect()
}

fn is_over(asking: &mut Asking) -> bool {
    matches!(asking.next().now_or_never(), Some(None))
}

fn clients(hub: &Hub, count: usize) -> Vec<(ConnectionKey, SocketKey)> {
    (0..count).map(|_| hub.client()).collect()
}

fn answered(hub: &Hub, socket: SocketKey, args: &str) -> AckEvent {
    AckEvent::Answered {
        socket: hub.id(socket),
        user: None,
        answer: Some(AckAnswer {
            args: args.into(),
            attachments: Vec::new(),
        }),
    }
}

#[test]
fn answers_come_once_and_the_end_comes_after_the_last() {
    let hub = hub();
    let clients = clients(&hub, 2);
    let (id, mut asking) = emit_with_ack(&hub, to_all(), 100).expect("few acknowledgements");
    assert!(matches!(&events(&mut asking)[..], [AckEvent::Asked(ids)] if ids.len() == 2));
    assert_eq!(hub.switchboard().pending_acks(), 2);
    let (first, second) = (clients[0].1, clients[1].1);
    hub.acknowledge(first, id + 7, "\"made up\"", Vec::new());
    hub.acknowledge(first, id, "1", Vec::new());
    hub.acknowledge(first, id, "\"again\"", Vec::new());
    assert_eq!(events(&mut asking), [answered(&hub, first, "1")]);
    assert!(!is_over(&mut asking));
    hub.acknowledge(second, id, "", Vec::new());
    assert_eq!(events(&mut asking), [answered(&hub, second, "")]);
    assert!(is_over(&mut asking));
    assert_eq!(hub.switchboard().pending_acks(), 0);
}

#[test]
fn a_socket_that_leaves_is_gone_at_once() {
    let hub = hub();
    let clients = clients(&hub, 1);
    let (_, mut asking) = emit_with_ack(&hub, to_all(), 100).expect("few acknowledgements");
    let id = hub.id(clients[0].1);
    drop(hub.close(clients[0].0));
    assert_eq!(
        events(&mut asking),
        [AckEvent::Asked(vec![id]), AckEvent::Gone(id)]
    );
    assert!(is_over(&mut asking));
    assert_eq!(hub.switchboard().pending_acks(), 0);
}

#[test]
fn nobody_asked_is_over_at_once() {
    let hub = hub();
    clients(&hub, 1);
    let (_, mut asking) = emit_with_ack(&hub, to_rooms(&["empty"]), 100).expect("none at all");
    assert!(is_over(&mut asking));
}

#[test]
fn giving_up_forgets_everything_and_late_answers_are_ignored() {
    let hub = hub();
    let clients = clients(&hub, 3);
    let (id, asking) = emit_with_ack(&hub, to_all(), 100).expect("few acknowledgements");
    hub.acknowledge(clients[0].1, id, "", Vec::new());
    drop(asking);
    drop(hub.turn());
    assert_eq!(hub.switchboard().pending_acks(), 0);
    hub.acknowledge(clients[1].1, id, "\"late\"", Vec::new());
    hub.detach(clients[2].1).expect("it was there");
    assert_eq!(hub.switchboard().pending_acks(), 0);
    assert!(hub.state.borrow().acks.waiting.is_empty());
}

#[test]
fn too_many_acknowledgements_are_refused_before_anything_is_sent() {
    let limits = Settings {
        acks: 3,
        ..Settings::default()
    };
    let hub = hub_with(&limits);
    let clients = clients(&hub, 2);
    let (_, asking) = emit_with_ack(&hub, to_all(), 100).expect("two of three");
    assert_eq!(hub.received(clients[0].0), ["ask"]);
    let refused = emit_with_ack(&hub, to_all(), 100);
    assert_eq!(refused.err(), Some(ApplyError::TooManyAcks));
    assert_eq!(hub.received(clients[0].0), [""; 0]);
    let ids = (0..2)
        .map(|client: usize| hub.id(clients[client].1))
        .collect();
    let by_id = Audience {
        namespace: namespace("/"),
        to: Target::Names(Names {
            rooms: Vec::new(),
            sockets: ids,
        }),
        except: Names::default(),
    };
    assert_eq!(
        emit_with_ack(&hub, by_id, 100).err(),
        Some(ApplyError::TooManyAcks)
    );
    let one = Audience::socket(namespace("/"), hub.id(clients[0].1));
    let (_, third) = emit_with_ack(&hub, one, 100).expect("the third of three");
    assert_eq!(hub.switchboard().pending_acks(), 3);
    drop((asking, third));
    drop(hub.turn());
    assert_eq!(hub.switchboard().pending_acks(), 0);
}

#[test]
fn answers_beyond_the_budget_are_told_without_their_content() {
    let hub = hub();
    let clients = clients(&hub, 3);
    let (id, mut asking) = emit_with_ack(&hub, to_all(), 10).expect("few acknowledgements");
    hub.acknowledge(clients[0].1, id, "12345", vec![Bytes::from_static(b"123")]);
    hub.acknowledge(clients[1].1, id, "123", Vec::new());
    hub.acknowledge(clients[2].1, id, "12", Vec::new());
    let kept = events(&mut asking)
        .into_iter()
        .filter_map(|event| match event {
            AckEvent::Answered { answer, .. } => Some(answer.is_some()),
            AckEvent::Asked(_) | AckEvent::Gone(_) => None,
        });
    assert_eq!(kept.collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn whom_a_volatile_packet_does_not_reach_is_not_asked() {
    let hub = hub();
    let clients = clients(&hub, 2);
    let (blocked, _) = clients[0];
    let before = Instant::now();
    assert!(
        hub.outbox(blocked, |outbox| outbox.block(before)).is_some(),
        "a polling session without a request"
    );
    let (id, mut asking) = ask(&hub, to_all(), true, 100).expect("few acknowledgements");
    let reached = hub.id(clients[1].1);
    assert_eq!(events(&mut asking), [AckEvent::Asked(vec![reached])]);
    assert_eq!(hub.received(blocked), [""; 0]);
    assert_eq!(hub.received(clients[1].0), ["ask"]);
    hub.acknowledge(clients[1].1, id, "", Vec::new());
    assert_eq!(events(&mut asking).len(), 1);
    assert!(is_over(&mut asking));
    assert_eq!(hub.switchboard().pending_acks(), 0);
}
