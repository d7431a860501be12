use std::borrow::Cow;

use super::*;

fn packet<'a>(namespace: &'a str, body: Body<'a>) -> Packet<'a> {
    Packet {
        namespace: Cow::Borrowed(namespace),
        body,
    }
}

fn event(name: &str) -> Body<'_> {
    Body::Event(Event {
        name: Cow::Borrowed(name),
        args: Cow::Borrowed(""),
        id: None,
        attachments: Vec::new(),
    })
}

fn ack() -> Body<'static> {
    Body::Ack(Ack {
        id: 1,
        args: Cow::Borrowed(""),
        attachments: vec![],
    })
}

fn joined(namespace: &str) -> Conversation<u32> {
    let mut conversation = Conversation::default();
    let name = Namespace::new(namespace).unwrap();
    conversation.add(name.clone(), 1);
    assert!(conversation.joined(&name, |s| *s == 1));
    conversation
}

#[test]
fn a_connect_is_asked_for_once() {
    let mut conversation: Conversation<u32> = Conversation::default();
    let name = Namespace::new("/chat").unwrap();
    let effect = conversation.receive(packet("/chat", Body::Connect(Some(Cow::Borrowed("{}")))), 0);
    assert_eq!(
        effect,
        Effect::Connect {
            namespace: name.clone(),
            auth: Some(Cow::Borrowed("{}"))
        }
    );
    conversation.add(name, 1);
    let effect = conversation.receive(packet("/chat", Body::Connect(None)), 0);
    assert_eq!(
        effect,
        Effect::Close(Reason::ForcedClose),
        "while it is undecided"
    );
    let effect = joined("/chat").receive(packet("/chat", Body::Connect(None)), 0);
    assert_eq!(
        effect,
        Effect::Close(Reason::ForcedClose),
        "after it was accepted"
    );
}

#[test]
fn a_malformed_namespace_is_a_parse_error() {
    let mut conversation: Conversation<u32> = Conversation::default();
    let effect = conversation.receive(packet("nope", Body::Connect(None)), 0);
    assert_eq!(effect, Effect::Close(Reason::ParseError));
}

#[test]
fn packets_for_a_namespace_never_joined_close_the_connection() {
    for body in [event("x"), Body::Disconnect, ack()] {
        let effect = joined("/").receive(packet("/other", body), 0);
        assert_eq!(effect, Effect::Close(Reason::ForcedClose));
    }
}

#[test]
fn packets_for_a_namespace_left_less_than_30_seconds_ago_are_ignored() {
    let mut conversation = joined("/chat");
    assert_eq!(
        conversation.receive(packet("/chat", Body::Disconnect), 100),
        Effect::Leave(1)
    );
    assert_eq!(
        conversation.receive(packet("/chat", event("late")), 129),
        Effect::Ignore
    );
    let effect = conversation.receive(packet("/chat", event("too late")), 130);
    assert_eq!(effect, Effect::Close(Reason::ForcedClose));
}

#[test]
fn a_namespace_that_was_left_may_be_joined_again() {
    let mut conversation = joined("/chat");
    conversation.receive(packet("/chat", Body::Disconnect), 0);
    let effect = conversation.receive(packet("/chat", Body::Connect(None)), 0);
    assert!(matches!(effect, Effect::Connect { .. }));
}

#[test]
fn reserved_event_names_close_the_connection() {
    for name in crate::hub::id::RESERVED_EVENTS {
        assert_eq!(
            joined("/").receive(packet("/", event(name)), 0),
            Effect::Close(Reason::ParseError)
        );
    }
    assert!(matches!(
        joined("/").receive(packet("/", event("message")), 0),
        Effect::Event(1, _)
    ));
    assert!(
        matches!(
            joined("/").receive(packet("/", event("")), 0),
            Effect::Event(1, _)
        ),
        "an empty name is allowed"
    );
}

#[test]
fn events_wait_for_the_decision_but_acks_have_nothing_to_answer() {
    let mut conversation = Conversation::default();
    conversation.add(Namespace::new("/").unwrap(), 1);
    assert!(matches!(
        conversation.receive(packet("/", event("early")), 0),
        Effect::Event(1, _)
    ));
    assert_eq!(conversation.receive(packet("/", ack()), 0), Effect::Ignore);
}

#[test]
fn the_memory_of_left_namespaces_is_bounded() {
    let mut conversation: Conversation<u32> = Conversation::default();
    for i in 0..1000 {
        conversation.refused(Namespace::new(&format!("/{i}")).unwrap(), 0);
    }
    assert_eq!(conversation.left.len(), LEFT_MAX);
    assert_eq!(
        conversation.receive(packet("/999", event("x")), 1),
        Effect::Ignore
    );
}
