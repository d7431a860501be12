//! What must hold whatever a backend writes, and for what a backend is told of what clients wrote (contract 2 to 9).

use std::collections::HashSet;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use sockgate::contract::acks::{AckReport, Answers};
use sockgate::contract::action::MAX_ACTIONS;
use sockgate::contract::answer::Nodes;
use sockgate::contract::audience::{Closed, Namespaces};
use sockgate::contract::fault::{Fault, Faulty};
use sockgate::contract::problem::Problem;
use sockgate::contract::query::{self, Cursor, DEFAULT_LIMIT, MAX_LIMIT};
use sockgate::contract::reply::{self, ReplyContext, ReplyKind};
use sockgate::contract::rest::{self, RestContext};
use sockgate::contract::{call, reply::MAX_REJECT_MESSAGE};
use sockgate::hub::action::{Action, Target, UserRoom};
use sockgate::hub::id::{ConnectionId, MAX_NAME, Namespace, Room, SocketId};
use sockgate::hub::reads::Query;
use sockgate::protocol::socket_io::{Body, Limits};
use sockgate::session::backend::{Call, CallKind, ConnectInfo, SocketFacts, Step};
use sockgate::session::settings::Forward;

use super::allocation::{bounded, bounded_by};
use super::json::{self, Json};
use super::placeholders::{index, numbers};
use super::socket_io::{self, Message, sent, socket};

/// Largest packet that a backend may send.
const MAX_EMIT: usize = 500;
/// Deepest nesting of a body.
const MAX_DEPTH: usize = 64;

/// `/` and `/chat`, with the usual rooms of users; `/closed`, to which nobody has a key.
#[derive(Default)]
pub struct Sites(UserRoom);

impl Namespaces for Sites {
    fn user_room(&self, namespace: &Namespace) -> Result<&UserRoom, Closed> {
        match namespace.as_str() {
            "/" | "/chat" => Ok(&self.0),
            "/closed" => Err(Closed::Forbidden),
            _ => Err(Closed::Unknown),
        }
    }
}

fn chat() -> Namespace {
    Namespace::new("/chat").expect("a namespace")
}

/// What reading a body of so many bytes may hold: besides the usual, a name or an action is larger than its few bytes of JSON, and
/// at most fifty faults are written down.
///
/// # Why
/// A backend has a key or is called by us, and its bodies have a limit of their own.
pub fn cost(bytes: usize) -> usize {
    24 * bytes + (32 << 10)
}

/// The body of a webhook's answer, after a byte for what was asked.
pub fn webhook_reply(input: &[u8]) {
    let Some((&kind, body)) = input.split_first() else {
        return;
    };
    let kind = if kind % 2 == 0 {
        ReplyKind::Connect
    } else {
        ReplyKind::Event
    };
    let (sites, chat) = (Sites::default(), chat());
    let context = ReplyContext {
        socket: socket(),
        namespace: &chat,
        namespaces: &sites,
        max_emit: MAX_EMIT,
        max_rooms: 3,
        now: SystemTime::UNIX_EPOCH + Duration::from_hours(490_000),
    };
    let parsed = bounded_by(cost(body.len()), body.len(), || {
        reply::parse(kind, body, &context)
    });
    refusals(body);
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(bad) => return all_told(&bad.0),
    };
    if body.trim_ascii().is_empty() {
        assert!(parsed.reply.steps.is_empty());
        return;
    }
    let json = valid(body);
    let reply = parsed.reply;
    if let Some(reject) = &reply.reject {
        assert!(kind == ReplyKind::Connect && json.get("reject").is_some());
        assert!(reject.message.len() <= MAX_REJECT_MESSAGE);
        return;
    }
    let rooms: HashSet<_> = reply.rooms.iter().collect();
    assert!(rooms.len() <= 3 && (rooms.is_empty() || kind == ReplyKind::Connect));
    let is_ack = |step: &&Step| matches!(step, Step::Ack(_));
    let acks = reply.steps.iter().filter(is_ack).count();
    assert!(acks <= usize::from(kind == ReplyKind::Event));

    // The actions come out one by one, in order.
    let written = json.get("actions").and_then(Json::items).unwrap_or(&[]);
    let is_action = |action: &&Json| !type_is(action, "ack");
    let mut written = written.iter().filter(is_action);
    for step in &reply.steps {
        if let Step::Action(action) = step {
            let written = written.next().expect("as many as there were");
            same_action(action, written, &json);
        }
    }
    assert_eq!(written.next(), None);
}

/// A refusal by status: a 401 or 403 always is one, another 4xx only with a `reject`, others never.
fn refusals(body: &[u8]) {
    let refusal = |status| {
        bounded_by(cost(body.len()), body.len(), || {
            reply::reject_body(status, body)
        })
    };
    let is_bare = |status| refusal(status).is_none();
    assert!(is_bare(200) && is_bare(500) && !is_bare(401));
    if let Some(refusal) = refusal(404) {
        assert!(valid(body).get("reject").is_some());
        assert!(refusal.reject.message.len() <= MAX_REJECT_MESSAGE);
    }
}

fn all_told(faulty: &Faulty) {
    assert!(!faulty.faults.is_empty() && faulty.faults.len() <= Faulty::MAX);
    assert!(faulty.count >= faulty.faults.len());
    let is_short = |fault: &Fault| fault.to_string().len() < 10_000;
    assert!(faulty.faults.iter().all(is_short));
}

/// A body that was accepted is an object of JSON within the depth.
fn valid(body: &[u8]) -> Json {
    let text = std::str::from_utf8(body).expect("an accepted body is UTF-8");
    let json = json::parse(text).expect("an accepted body is JSON");
    assert!(matches!(json, Json::Object(_)) && json.depth() <= MAX_DEPTH);
    json
}

fn type_is(action: &Json, name: &str) -> bool {
    match action.get("type") {
        Some(Json::Scalar(kind)) => json::means(kind, name),
        _ => false,
    }
}

/// An action means what was written: nobody is added to the recipients, and arguments pass verbatim.
fn same_action(action: &Action, written: &Json, body: &Json) {
    let audience = action.audience();
    assert!(matches!(audience.namespace.as_str(), "/" | "/chat"));
    let all = written.get("to").and_then(|to| to.get("all"));
    assert_eq!(
        audience.to == Target::All,
        all.is_some_and(|all| all.is("true")),
        "everybody is never guessed"
    );
    let kind = match action {
        Action::Emit { .. } => "emit",
        Action::Join { .. } => "join",
        Action::Leave { .. } => "leave",
        Action::Disconnect { .. } => "disconnect",
        Action::State { .. } => "state",
        Action::Expire { .. } => "expire",
    };
    assert!(written.get("type").is_none() || type_is(written, kind));
    if let Action::Emit { frame, .. } = action {
        let (text, attachments) = sent(frame);
        let size: usize = attachments.iter().map(|bytes| bytes.len()).sum();
        assert!(text.len() + "4".len() + size <= MAX_EMIT && attachments.len() <= 10);
        same_arguments(text, &attachments, written, body);
    }
}

/// The packet has the name and the arguments that were written, and each placeholder means the same bytes.
fn same_arguments(text: &str, attachments: &[&[u8]], written: &Json, body: &Json) {
    let start = text.find('[').expect("an event has an array");
    let Some(Json::List(items)) = json::parse(&text[start..]) else {
        panic!("{text} is no event");
    };
    let none = Json::List(Vec::new());
    let args = written.get("args").unwrap_or(&none);
    let sent = Json::List(items[1..].to_vec());
    let Some(list) = body.get("attachments").and_then(Json::items) else {
        assert_eq!(sent, *args);
        assert!(attachments.is_empty());
        return;
    };
    let (mut old, mut new) = (Vec::new(), Vec::new());
    numbers(args, &mut old);
    numbers(&sent, &mut new);
    assert_eq!(old.len(), new.len());
    for (old, new) in old.iter().zip(&new) {
        let old = old.as_deref().and_then(|num| index(num, list.len()));
        let new = new.as_deref().and_then(|num| index(num, attachments.len()));
        let Json::Scalar(base64) = &list[old.expect("inside the list")] else {
            panic!("an attachment is a string");
        };
        let units = json::units(base64).expect("a string");
        let base64 = String::from_utf16(&units).expect("ASCII");
        let bytes = BASE64_STANDARD.decode(base64).expect("base64");
        assert_eq!(attachments[new.expect("has its attachment")], bytes);
    }
}

/// The body of a REST request, after a byte for the endpoint.
pub fn rest_body(input: &[u8]) {
    let Some((&endpoint, body)) = input.split_first() else {
        return;
    };
    let sites = Sites::default();
    let context = RestContext {
        namespaces: &sites,
        max_emit: MAX_EMIT,
    };
    // An action that is refused has a problem of its own.
    let actions = body.split(|byte| *byte == b',').count();
    let bound = cost(body.len()) + 1024 * actions.min(MAX_ACTIONS);
    let read = || -> Result<Vec<Result<Action, Problem>>, Problem> {
        let one = |request: Result<rest::ActionRequest, Problem>| Ok(vec![Ok(request?.action)]);
        match endpoint % 5 {
            0 => Ok(vec![Ok(rest::emit(body, &context)?.emit.into_action(None))]),
            1 => one(rest::join(body, &context)),
            2 => one(rest::leave(body, &context)),
            3 => one(rest::disconnect(body, &context)),
            _ => Ok(rest::actions(body, &context)?.actions),
        }
    };
    let actions = match bounded_by(bound, body.len(), read) {
        Ok(actions) => actions,
        Err(problem) => return told(&problem),
    };
    let json = valid(body);
    if endpoint % 5 < 4 {
        let [Ok(action)] = &actions[..] else {
            panic!("a single action is valid or a problem");
        };
        assert!(
            json.get("to").is_some(),
            "over REST nobody is meant by default"
        );
        return same_action(action, &json, &json);
    }
    let written = json.get("actions").and_then(Json::items);
    let written = written.expect("there is a list");
    assert_eq!(actions.len(), written.len());
    for (action, written) in actions.iter().zip(written) {
        match action {
            Ok(action) => {
                assert!(written.get("to").is_some());
                same_action(action, written, &json);
            }
            Err(problem) => told(problem),
        }
    }
}

/// A problem is the caller's fault, says where, and is a JSON document.
fn told(problem: &Problem) {
    assert!((400..500).contains(&problem.code.status()));
    let document = problem.to_json();
    let document = std::str::from_utf8(document.as_ref()).expect("UTF-8");
    let document = json::parse(document).expect("a problem is JSON");
    let status = problem.code.status().to_string();
    assert!(document.get("status").is_some_and(|it| it.is(&status)));
    assert!(problem.errors.len() <= Faulty::MAX);
}

/// The query of a read, after a byte for the endpoint: what is taken is what any form decoder reads.
pub fn rest_query(input: &[u8]) {
    let Some((&endpoint, text)) = input.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    cursor(text);
    let sites = Sites::default();
    let bound = cost(text.len());
    let (known, read) = bounded_by(bound, text.len(), || match endpoint % 4 {
        0 => ("cursor limit", query::namespaces(text)),
        1 => ("namespace prefix cursor limit", query::rooms(text, &sites)),
        2 => (
            "namespace room user id fields cursor limit",
            query::sockets(text, &sites).map(Query::Sockets),
        ),
        _ => ("", query::none(text).map(|()| Query::Sockets(everything()))),
    });
    let read = match read {
        Ok(read) => read,
        Err(problem) => return told(&problem),
    };
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let pairs: Vec<(String, String)> = pairs.map(decoded).collect();
    for (place, (name, _)) in pairs.iter().enumerate() {
        assert!(known.split(' ').any(|known| known == name), "{name}");
        assert!(pairs[..place].iter().all(|(other, _)| other != name));
    }
    let get = |name: &str| pairs.iter().find(|(n, _)| n == name).map(|(_, v)| &**v);
    let asked = get("limit").map_or(Ok(DEFAULT_LIMIT), str::parse);
    match &read {
        Query::Namespaces { limit, .. } => assert_eq!(Ok(*limit), asked),
        Query::Rooms {
            namespace,
            prefix,
            limit,
            ..
        } => {
            assert_eq!(Ok(*limit), asked);
            assert_eq!(namespace.as_str(), get("namespace").unwrap_or("/"));
            assert_eq!(&**prefix, get("prefix").unwrap_or_default());
        }
        Query::Sockets(query) => {
            assert_eq!(Ok(query.limit), asked);
            assert_eq!(query.namespace.as_str(), get("namespace").unwrap_or("/"));
            let user = get("user").map(|user| format!("user:{user}"));
            let asked: Vec<_> = get("room")
                .map(str::to_owned)
                .into_iter()
                .chain(user)
                .collect();
            let rooms: Vec<_> = query
                .rooms
                .iter()
                .map(|room| room.as_str().to_owned())
                .collect();
            assert_eq!(rooms, asked);
            assert_eq!(query.id.as_ref().map(SocketId::as_str), get("id"));
        }
    }
    assert!((1..=MAX_LIMIT).contains(&asked.expect("a number")));
}

fn everything() -> sockgate::hub::reads::SocketsQuery {
    query::sockets("", &Sites::default()).expect("valid")
}

/// A pair as forms write it.
fn decoded(pair: &str) -> (String, String) {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    let decode = |text: &str| {
        let (mut bytes, mut rest) = (Vec::new(), text.bytes());
        while let Some(byte) = rest.next() {
            let mut ahead = rest.clone();
            let mut digit = || char::from(ahead.next()?).to_digit(16);
            let escaped = (byte == b'%')
                .then(|| Some(digit()? * 16 + digit()?))
                .flatten();
            bytes.push(match (byte, escaped) {
                (_, Some(escaped)) => {
                    rest = ahead;
                    u8::try_from(escaped).expect("two digits")
                }
                (b'+', None) => b' ',
                (other, None) => other,
            });
        }
        String::from_utf8(bytes).expect("what is accepted is UTF-8")
    };
    (decode(name), decode(value))
}

/// Any name of a room can be the place where a page ended, and is read again.
fn cursor(name: &str) {
    let Ok(room) = Room::new(name) else {
        return;
    };
    let text = Cursor::after(name).to_string();
    let query = query::rooms(&format!("cursor={text}"), &Sites::default());
    let Ok(Query::Rooms { after, .. }) = query else {
        panic!("{text} is refused");
    };
    assert_eq!(after, Some(room));
    assert!(name.len() <= MAX_NAME);
}

/// What a client sends and what a backend is told of it: a first byte for the kind of packet, then the packet's payload, or for an
/// event the messages of a connection.
pub fn webhook_body(input: &[u8]) {
    let Some((&kind, rest)) = input.split_first() else {
        return;
    };
    if kind % 2 == 0 {
        let Ok(text) = std::str::from_utf8(rest) else {
            return;
        };
        return connect_body(&format!("0{text}"));
    }
    let mut decoder = sockgate::protocol::socket_io::Decoder::default();
    for message in socket_io::messages(rest) {
        let received = socket_io::decode(&mut decoder, message, &Limits::default());
        let Ok(Some(packet)) = received else { continue };
        let Body::Event(event) = packet.body else {
            continue;
        };
        let size = event.name.len() + event.args.len();
        let size = size + event.attachments.iter().map(Bytes::len).sum::<usize>();
        let body = told_to_backend(
            size,
            CallKind::Event {
                name: event.name.as_ref().into(),
                args: event.args.as_ref().into(),
                attachments: event.attachments.clone(),
                ack: event.id.is_some(),
            },
        );
        assert!(
            body.get("event")
                .is_some_and(|name| scalar_means(name, &event.name))
        );
        let args = json::parse(&format!("[{}]", event.args));
        assert_eq!(body.get("args").cloned(), args);
        let attachments = body.get("attachments").and_then(Json::items).unwrap_or(&[]);
        assert_eq!(attachments.len(), event.attachments.len());
        for (written, bytes) in attachments.iter().zip(&event.attachments) {
            assert!(scalar_means(written, &BASE64_STANDARD.encode(bytes)));
        }
    }
}

fn scalar_means(value: &Json, text: &str) -> bool {
    matches!(value, Json::Scalar(scalar) if json::means(scalar, text))
}

/// A CONNECT's payload reaches the backend without the members that belong to the protocol, and with all others.
fn connect_body(text: &str) {
    let mut decoder = sockgate::protocol::socket_io::Decoder::default();
    let received = socket_io::decode(&mut decoder, Message::Text(text), &Limits::default());
    let Ok(Some(packet)) = received else { return };
    let Body::Connect(Some(auth)) = packet.body else {
        return;
    };
    let body = told_to_backend(
        auth.len(),
        CallKind::Connect {
            auth: auth.as_ref().into(),
            info: Rc::new(ConnectInfo::default()),
            transport: "websocket",
            hold: Duration::from_secs(1),
        },
    );
    let Some(Json::Object(members)) = json::parse(&auth) else {
        panic!("a payload is an object");
    };
    let is_own = |(key, _): &(String, Json)| json::means(key, "pid") || json::means(key, "offset");
    let kept = members.into_iter().filter(|member| !is_own(member));
    let told = body.get("request").and_then(|request| request.get("auth"));
    assert_eq!(told, Some(&Json::Object(kept.collect())));
}

/// The body of a call about so many bytes of a client.
fn told_to_backend(size: usize, kind: CallKind) -> Json {
    let facts = SocketFacts {
        id: socket(),
        namespace: chat(),
        connection: ConnectionId::random(),
        user: None,
        state: None,
    };
    let call = Call::new(SystemTime::UNIX_EPOCH, 0, facts, kind);
    let forward = Forward::default();
    let body = bounded(size, || call::body(&call, "gw-1", &forward));
    let text = std::str::from_utf8(&body).expect("UTF-8");
    json::parse(text).expect("what a backend is told is JSON")
}

/// What clients answered, in one document for the backend that asked: valid, complete, and every placeholder means the bytes that
/// its client sent.
pub fn ack_report(input: &[u8]) {
    let said = socket_io::answers(input);
    let mut collected = Answers::default();
    for answer in &said {
        collected.add(socket(), None, Some(answer.clone()));
    }
    let report = AckReport {
        id: "em_1".to_owned(),
        sockets: said.len(),
        complete: true,
        answers: collected,
        missing: Vec::new(),
        missing_count: 0,
        nodes: Nodes::ALONE,
    };
    // Each answer is there once more, with its socket.
    let size = input.len() + 128 * said.len();
    let document = bounded(size, || report.to_json());
    let document = json::parse(&document).expect("a report is JSON");
    let acks = document.get("acks").and_then(Json::items);
    let acks = acks.expect("a list of answers");
    assert_eq!(acks.len(), said.len());
    let list = document.get("attachments").and_then(Json::items);
    let list = list.unwrap_or(&[]);
    for (written, said) in acks.iter().zip(&said) {
        let args = written.get("args").expect("arguments");
        let sent = json::parse(&format!("[{}]", said.args)).expect("JSON");
        let (mut old, mut new) = (Vec::new(), Vec::new());
        numbers(&sent, &mut old);
        numbers(args, &mut new);
        if said.attachments.is_empty() && !old.is_empty() && !list.is_empty() {
            assert_eq!(args.items(), Some(&[][..]), "it would mean another's bytes");
            continue;
        }
        assert_eq!(old.len(), new.len());
        if said.attachments.is_empty() {
            assert_eq!(*args, sent);
            continue;
        }
        for (old, new) in old.iter().zip(&new) {
            let old = old
                .as_deref()
                .and_then(|n| index(n, said.attachments.len()));
            let new = new.as_deref().and_then(|n| index(n, list.len()));
            let bytes = &said.attachments[old.expect("checked by the decoder")];
            let written = &list[new.expect("in the list")];
            assert!(scalar_means(written, &BASE64_STANDARD.encode(bytes)));
        }
    }
}
