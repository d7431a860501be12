use std::sync::Arc;

use futures_util::FutureExt as _;

use super::*;
use crate::hub::Hub;
use crate::hub::effect::Effect;
use crate::hub::key::SocketKey;
use crate::hub::settings::Settings;
use crate::hub::switchboard::Switchboard;
use crate::hub::tests::{hubs, namespace, room};

/// Puts a question and lets all hubs answer; sockets are answered as the session layer does.
fn ask(hubs: &[Hub], query: &Query) -> Vec<Answer> {
    let switchboard: &Arc<Switchboard> = hubs[0].switchboard();
    let patience = std::time::Duration::from_secs(5);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        let mut answers = Box::pin(switchboard.ask(query.clone(), patience));
        assert!(
            answers.as_mut().now_or_never().is_none(),
            "nobody has answered yet"
        );
        for hub in hubs {
            for effect in hub.turn().effects {
                let Effect::Ask(query, answer) = effect else {
                    panic!("only reads");
                };
                let page = hub.sockets(&query).into_iter();
                let page = page.filter_map(|key| hub.record(key));
                answer
                    .send(Answer::Sockets(page.collect()))
                    .expect("it is waited for");
            }
        }
        answers.await.expect("there are places")
    })
}

fn names<T: std::fmt::Display>(page: &[Counted<T>]) -> Vec<(String, usize)> {
    page.iter()
        .map(|counted| (counted.name.to_string(), counted.sockets))
        .collect()
}

fn with_rooms(hubs: &[Hub], shard: usize, names: &[&str]) -> SocketKey {
    let (_, socket) = hubs[shard].client();
    let rooms: Vec<Room> = names.iter().map(|name| room(name)).collect();
    hubs[shard].join(socket, &rooms);
    socket
}

#[test]
fn rooms_come_in_order_with_the_sums_of_all_shards() {
    let hubs = hubs(3, &Settings::default());
    with_rooms(&hubs, 0, &["doc:2", "doc:9", "lobby"]);
    with_rooms(&hubs, 1, &["doc:10", "doc:2"]);
    with_rooms(&hubs, 2, &["doc:2", "Doc"]);
    let page = |prefix: &str, after: Option<&str>, limit| {
        let query = Query::Rooms {
            namespace: namespace("/"),
            prefix: prefix.into(),
            after: after.map(room),
            limit,
        };
        names(&merge_rooms(ask(&hubs, &query), limit))
    };
    let expect = |list: &[(&str, usize)]| -> Vec<(String, usize)> {
        list.iter()
            .map(|(name, sockets)| ((*name).to_owned(), *sockets))
            .collect()
    };
    assert_eq!(
        page("", None, 100),
        expect(&[
            ("Doc", 1),
            ("doc:10", 1),
            ("doc:2", 3),
            ("doc:9", 1),
            ("lobby", 1)
        ])
    );
    assert_eq!(
        page("doc:", None, 2),
        expect(&[("doc:10", 1), ("doc:2", 3)])
    );
    assert_eq!(page("doc:", Some("doc:2"), 2), expect(&[("doc:9", 1)]));
    assert_eq!(page("doc:", Some("A"), 1), expect(&[("doc:10", 1)]));
    assert_eq!(page("nothing", None, 2), expect(&[]));
}

#[test]
fn a_walk_over_pages_gives_everything_once() {
    let hubs = hubs(3, &Settings::default());
    let mut expected = Vec::new();
    for number in 0..50 {
        let socket = with_rooms(&hubs, number % 3, &["all"]);
        expected.push(hubs[number % 3].id(socket));
    }
    with_rooms(&hubs, 0, &["other"]);
    let mut query = SocketsQuery {
        namespace: namespace("/"),
        rooms: vec![room("all")],
        id: None,
        after: None,
        limit: 7,
        handshake: false,
    };
    let mut got = Vec::new();
    loop {
        let page = merge_sockets(ask(&hubs, &Query::Sockets(query.clone())), 7);
        assert!(page.len() <= 7);
        let Some(last) = page.last() else {
            break;
        };
        query.after = Some(last.id);
        got.extend(page.iter().map(|record| record.id));
    }
    expected.sort_unstable();
    assert_eq!(got, expected);
}

#[test]
fn sockets_are_found_by_id_room_and_user_together() {
    let hubs = hubs(2, &Settings::default());
    let both = with_rooms(&hubs, 1, &["a", "b"]);
    with_rooms(&hubs, 1, &["a"]);
    with_rooms(&hubs, 0, &["b"]);
    let id = hubs[1].id(both);
    let find = |rooms: &[&str], id, space: &str| {
        let query = SocketsQuery {
            namespace: namespace(space),
            rooms: rooms.iter().map(|name| room(name)).collect(),
            id,
            after: None,
            limit: 10,
            handshake: false,
        };
        let found = merge_sockets(ask(&hubs, &Query::Sockets(query)), 10);
        found
            .into_iter()
            .map(|record| record.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(find(&["a", "b"], None, "/"), [id]);
    assert_eq!(find(&[], Some(id), "/"), [id]);
    assert_eq!(find(&["b"], Some(id), "/"), [id]);
    assert_eq!(find(&["c"], Some(id), "/"), []);
    assert_eq!(find(&[], Some(id), "/chat"), []);
    assert_eq!(find(&["nowhere"], None, "/"), []);
}

#[test]
fn namespaces_are_those_with_sockets() {
    let hubs = hubs(2, &Settings::default());
    let (connection, _) = hubs[0].client();
    hubs[0].socket_in(connection, "/chat");
    let (_, other) = hubs[1].client();
    let page = |after: Option<&str>, limit| {
        let after = after.map(namespace);
        names(&merge_namespaces(
            ask(&hubs, &Query::Namespaces { after, limit }),
            limit,
        ))
    };
    assert_eq!(
        page(None, 9),
        [("/".to_owned(), 2), ("/chat".to_owned(), 1)]
    );
    assert_eq!(page(Some("/"), 9), [("/chat".to_owned(), 1)]);
    hubs[1].detach(other).expect("it was there");
    assert_eq!(page(None, 1), [("/".to_owned(), 1)]);
}
