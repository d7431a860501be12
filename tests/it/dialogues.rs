//! Golden dialogues: what a client says, what the gateway asks its backend, what that answers, and what the client gets.
//!
//! Each file of `tests/dialogues/*.txt` is one connection, driven through the session's real parts (decoders, conversation, lanes,
//! hub, timers) without sockets and with a clock of the dialogue's own. A file is a script and its golden answer in one: lines of
//! input are played one by one, and what comes of each stands behind it. `DIALOGUES=write` writes what comes.
//!
//! ```text
//! # a comment                        transport: polling    (the first line that is none; websocket unless it says so)
//! > 40{"token":"1"}                  the client sends a packet; with polling, a payload (␞ is the separator)
//! > bytes 01 02                      the client sends bytes
//! = {"ack":[1]}                      the backend answers the oldest open call; or: refused, bad reply, unavailable
//! @ {"event":"x","to":{"all":true}}  an emit over REST, to the namespace that it names; / without one
//! ~ 25s                              time passes
//! x                                  the client goes away
//! probe 2probe                       the client sends a message on a second connection, which asks for the upgrade
//!
//! < 42["a"]                          the client gets a packet
//! < 200 ok                           the client's POST gets an answer
//! probe < 3probe                     the second connection gets a packet
//! ! connect / {"token":"1"}          the backend is asked, or told
//! @ answered [true]                  whoever emitted with an ack is told
//! . closing: parse error             the session ends
//! ```
//! Ids of sockets are written as `<1>`, `<2>` in the order in which they appear.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use sockgate::config::{Config, Environment, Source, System};
use sockgate::contract::audience::{Closed, Namespaces};
use sockgate::contract::reply::{self, ReplyContext, ReplyKind};
use sockgate::contract::rest::{self, RestContext};
use sockgate::hub::Hub;
use sockgate::hub::acks::AckEvent;
use sockgate::hub::action::{Action, UserRoom};
use sockgate::hub::id::{Namespace, NodeTag, ShardId};
use sockgate::hub::reason::{Initiator, Reason};
use sockgate::hub::switchboard::Switchboard;
use sockgate::protocol::engine_io::PROBE_PONG;
use sockgate::protocol::websocket::{self, Message};
use sockgate::session::admission::{Admission, Bounds};
use sockgate::session::backend::{Backend, BackendError, Call, CallKind, ConnectInfo, Reply};
use sockgate::session::routes::Routes;
use sockgate::session::shard::{Parts, Shard};
use sockgate::session::{Phase, Session, TransportKind};
use sockgate::telemetry::traffic::Traffic;
use sockgate::transport::answer::Answer;
use sockgate::transport::upgrade::{self, Step};
use sockgate::transport::{polling, pump, settings::Settings};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, LocalSet, yield_now};

const CONFIG: &str = include_str!("../dialogues/gateway.toml");
const SEPARATOR: &str = "\u{1e}";

#[test]
fn dialogues() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogues");
    let entries = std::fs::read_dir(&directory).expect("the directory is there");
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    assert!(files.len() >= 20, "only {} dialogues", files.len());
    let rewrite = std::env::var("DIALOGUES").is_ok_and(|wish| wish == "write");
    let mut different = String::new();
    for path in files {
        let golden = std::fs::read_to_string(&path).unwrap();
        let played = play(&golden);
        if played == golden {
            continue;
        }
        if rewrite {
            std::fs::write(&path, &played).unwrap();
        }
        let name = path.file_name().unwrap().to_string_lossy();
        write!(different, "\n--- {name}\n{}", difference(&golden, &played)).unwrap();
    }
    assert!(rewrite || different.is_empty(), "{different}");
}

/// Lines that are missing and lines that are new, up to where both go on alike.
fn difference(golden: &str, played: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (golden.lines().collect(), played.lines().collect());
    let same = |pair: &(&&str, &&str)| pair.0 == pair.1;
    let head = old.iter().zip(&new).take_while(same).count();
    let (old_rest, new_rest) = (&old[head..], &new[head..]);
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev());
    let tail = tail.take_while(same).count();
    let mut text = String::new();
    for line in &old[head.saturating_sub(2)..head] {
        writeln!(text, "  {line}").unwrap();
    }
    for line in &old_rest[..old_rest.len() - tail] {
        writeln!(text, "- {line}").unwrap();
    }
    for line in &new_rest[..new_rest.len() - tail] {
        writeln!(text, "+ {line}").unwrap();
    }
    text
}

/// Plays a script; its inputs and comments, with what really comes of them.
fn play(script: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let mut lines = script.lines().peekable();
        let mut out = String::new();
        let is_head = |line: &&str| line.starts_with('#') || line.starts_with("transport:");
        let mut transport = TransportKind::WebSocket;
        while let Some(line) = lines.next_if(is_head) {
            if line == "transport: polling" {
                transport = TransportKind::Polling;
            }
            writeln!(out, "{line}").unwrap();
        }
        let mut stage = Stage::new(transport);
        for line in lines {
            if is_input(line) {
                writeln!(out, "{line}").unwrap();
                stage.input(line).await;
                out.push_str(&stage.outcome().await);
            } else if line.is_empty() || line.starts_with('#') {
                writeln!(out, "{line}").unwrap();
            }
        }
        out
    })
}

fn is_input(line: &str) -> bool {
    let starts = |starts: &[&str]| starts.iter().any(|start| line.starts_with(start));
    line == "x"
        || starts(&["> ", "= ", "@ {", "~ "])
        || (starts(&["probe "]) && !starts(&["probe <"]))
}

/// What has happened, in the order in which it did.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn note(&self, line: impl Into<String>) {
        self.0.borrow_mut().push(line.into());
    }
}

/// One session on a shard of its own.
struct Stage {
    session: Rc<Session>,
    shard: Rc<Shard>,
    settings: Settings,
    backend: Rc<Scripted>,
    log: Log,
    poll: Option<JoinHandle<Answer>>,
    posts: Vec<JoinHandle<()>>,
    /// Whether the WebSocket has the lease of the outbox.
    drains: bool,
    phase: Phase,
    ids: Vec<String>,
}

impl Stage {
    fn new(transport: TransportKind) -> Self {
        let system = System {
            host_name: "gw-1".to_owned(),
            cores: 1,
            memory: 1 << 30,
            files: 1 << 16,
        };
        let config = Config::load(&Source::BuiltIn(CONFIG), &Environment::default(), &system);
        let config = config.expect("the dialogues' configuration is valid");
        let log = Log::default();
        let backend = Rc::new(Scripted {
            log: log.clone(),
            open: RefCell::default(),
        });
        let routes = Routes::new(&config.namespaces, &mut |_, _, _| {
            Rc::<Scripted>::clone(&backend)
        });
        let (node, id) = (NodeTag::random(), ShardId::new(0).unwrap());
        let switchboard = Switchboard::new(node, 1, &config.hub);
        let counters = Arc::default();
        let hub = Hub::new(id, switchboard, config.hub.clone(), Arc::clone(&counters));
        let bounds = Bounds {
            held: 0,
            connections: 0,
            per_address: 0,
            opening: 0,
            shards: 1,
        };
        let shard = Rc::new(Shard::new(Parts {
            hub,
            id,
            node,
            settings: config.session.clone(),
            heartbeat: (
                config.transport.ping_interval,
                config.transport.ping_timeout,
            ),
            routes,
            admission: Arc::new(Admission::new(&bounds)),
            counters,
            traffic: Arc::new(Traffic::new(config.namespaces.len())),
            half_outbox: (config.hub.outbox / 2, config.hub.outbox_frames / 2),
            began: Instant::now(),
        }));
        let session = shard.open(ConnectInfo::default(), transport);
        Self {
            session,
            shard,
            settings: config.transport,
            backend,
            log,
            poll: None,
            posts: Vec::new(),
            drains: false,
            phase: Phase::Open,
            ids: Vec::new(),
        }
    }

    async fn input(&mut self, line: &str) {
        let (sign, text) = line.split_once(' ').unwrap_or((line, ""));
        match sign {
            ">" => self.says(text),
            "=" => self.backend.answer(text),
            "@" => self.emit(text),
            "~" => self.pass(text).await,
            "x" => {
                self.poll.take().inspect(JoinHandle::abort);
                yield_now().await;
                self.session.gone(Reason::TransportClose, Initiator::Client);
            }
            "probe" => self.probe(text),
            other => panic!("{other} is no input"),
        }
    }

    fn says(&mut self, text: &str) {
        let bytes = text.strip_prefix("bytes ").map(|hex| {
            let bytes = hex.split(' ').filter(|byte| !byte.is_empty());
            let byte = |byte| u8::from_str_radix(byte, 16).unwrap();
            bytes.map(byte).collect::<Vec<u8>>()
        });
        if self.session.transport() == TransportKind::WebSocket {
            let message = match bytes {
                Some(bytes) => Message::Binary(bytes.into()),
                None => Message::Text(text.into()),
            };
            // As the pump does: nothing is read while the session is paused or closing.
            if self.session.is_paused() {
                self.log.note(". not read");
            } else if self.session.is_open() {
                self.session.seen(text.len());
                pump::receive(&self.session, message);
            }
            return;
        }
        let body = Bytes::from(text.replace('␞', SEPARATOR));
        let (session, settings) = (Rc::clone(&self.session), self.settings.clone());
        let log = self.log.clone();
        self.posts.push(tokio::task::spawn_local(async move {
            let answer = polling::post(&session, &settings, async { Ok(body) }).await;
            log.note(format!("< {}", told(&answer)));
        }));
    }

    /// A message on a second connection.
    fn probe(&mut self, text: &str) {
        self.session.link.upgrading.set(true);
        match upgrade::step(&self.session, &Message::Text(text.into())) {
            Ok(Step::Answer(frame)) => {
                self.log.note(format!("probe < {}", shown(&frame)));
                if frame == PROBE_PONG {
                    upgrade::probed(&self.session);
                }
            }
            Ok(Step::Upgraded) => {
                self.session.link.upgrading.set(false);
                upgrade::upgraded(&self.session);
            }
            Err(_) => {
                self.session.link.upgrading.set(false);
                self.session.link.probed.set(false);
                self.log.note("probe < closed");
            }
        }
    }

    fn emit(&self, text: &str) {
        let context = RestContext {
            namespaces: &Anywhere::default(),
            max_emit: 0,
        };
        let request = rest::emit(text.as_bytes(), &context).expect("a valid emit");
        let switchboard = Arc::clone(self.shard.hub.switchboard());
        let (log, begun) = (self.log.clone(), Instant::now());
        drop(tokio::task::spawn_local(async move {
            let Some(ack) = request.ack else {
                let action = request.emit.into_action(None);
                switchboard.perform(action, begun).await;
                return;
            };
            let id = switchboard.next_ack_id();
            let Action::Emit { to, frame, .. } = request.emit.into_action(Some(id)) else {
                unreachable!("an emit makes an emit");
            };
            let asking = switchboard.emit_with_ack(to, id, frame, false, 1000, ack.timeout);
            let mut asking = asking.await.expect("there is room");
            while let Some(event) = asking.next().await {
                match event {
                    AckEvent::Asked(sockets) => log.note(format!("@ asks {}", sockets.len())),
                    AckEvent::Answered { answer, .. } => {
                        let args = answer.map(|answer| answer.args).unwrap_or_default();
                        log.note(format!("@ answered [{args}]"));
                    }
                    AckEvent::Gone(_) => log.note("@ gone"),
                }
            }
        }));
    }

    async fn pass(&mut self, text: &str) {
        let seconds = text.strip_suffix('s').expect("so many seconds");
        let mut left = Duration::from_secs(seconds.parse().unwrap());
        while !left.is_zero() {
            let step = self.shard.tick_length().min(left);
            left -= step;
            tokio::time::advance(step).await;
            self.shard.step();
            self.settle().await;
        }
    }

    /// Lets everything run that can.
    async fn settle(&mut self) {
        for _ in 0..50 {
            self.shard.catch_up();
            self.receive().await;
            yield_now().await;
        }
    }

    /// What the client gets: a poll is always open, or the connection is read.
    async fn receive(&mut self) {
        if self.session.transport() == TransportKind::WebSocket && self.poll.is_none() {
            self.drains = self.drains || self.session.acquire();
            if !self.drains {
                return;
            }
            let frames = self.shard.hub.outbox(self.session.key, |outbox| {
                outbox.take(usize::MAX, usize::MAX)
            });
            for frame in frames.into_iter().flatten() {
                self.log.note(format!("< {}", shown(&frame)));
            }
            self.session.wrote();
            if matches!(self.session.phase(), Phase::Closing(_)) {
                self.session.gone(Reason::TransportClose, Initiator::Client);
            }
            return;
        }
        if let Some(poll) = self.poll.take_if(|poll| poll.is_finished()) {
            let answer = poll.await.expect("a poll does not panic");
            let Answer::Body {
                status: 200, body, ..
            } = &answer
            else {
                return self.log.note(format!("< GET {}", told(&answer)));
            };
            let text = std::str::from_utf8(body).unwrap();
            for packet in text.split(SEPARATOR) {
                self.log.note(format!("< {packet}"));
            }
        }
        let polls = self.session.transport() == TransportKind::Polling;
        if self.poll.is_none() && polls && !matches!(self.session.phase(), Phase::Closed(_)) {
            let (session, settings) = (Rc::clone(&self.session), self.settings.clone());
            let poll = async move { polling::get(&session, &settings).await };
            self.poll = Some(tokio::task::spawn_local(poll));
        }
    }

    /// What came of the last input.
    async fn outcome(&mut self) -> String {
        self.settle().await;
        let phase = self.session.phase();
        if phase != self.phase {
            self.phase = phase;
            if let Phase::Closing(reason) | Phase::Closed(reason) = phase {
                self.log.note(format!(". closed: {reason}"));
            }
        }
        // What the client gets and what the backend is told have no order among each other.
        let party = |line: &String| match line.as_bytes().first() {
            Some(b'!' | b'@') => 0,
            Some(b'.') => 2,
            _ => 1,
        };
        let mut lines = self.log.0.take();
        lines.sort_by_key(party);
        let mut text = String::new();
        for line in lines {
            writeln!(text, "{}", self.without_ids(line)).unwrap();
        }
        text
    }

    /// Writes ids of sockets as numbers.
    fn without_ids(&mut self, mut line: String) -> String {
        if let Some((_, rest)) = line.split_once("{\"sid\":\"")
            && let Some((id, _)) = rest.split_once('"')
            && !self.ids.iter().any(|known| known == id)
        {
            self.ids.push(id.to_owned());
        }
        for (index, id) in self.ids.iter().enumerate() {
            line = line.replace(id.as_str(), &format!("<{}>", index + 1));
        }
        line
    }
}

/// An answer without its headers.
fn told(answer: &Answer) -> String {
    match answer {
        Answer::Body { status, body, .. } => {
            let body = String::from_utf8_lossy(body);
            format!("{status} {body}").trim_end().to_owned()
        }
        Answer::Abort => "no answer".to_owned(),
    }
}

/// What a frame holds.
fn shown(frame: &[u8]) -> String {
    let payload = websocket::payload(frame);
    if websocket::is_text(frame) {
        return String::from_utf8_lossy(payload).into_owned();
    }
    let hex: Vec<_> = payload.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("bytes {}", hex.join(" "))
}

type Answered = Result<Reply, BackendError>;

/// A backend that answers when the dialogue says so.
struct Scripted {
    log: Log,
    open: RefCell<VecDeque<(Rc<Call>, oneshot::Sender<Answered>)>>,
}

impl Backend for Scripted {
    fn call(&self, call: Rc<Call>) -> LocalBoxFuture<'_, Answered> {
        let namespace = call.socket.namespace.as_str().to_owned();
        let (line, is_question) = match &call.kind {
            CallKind::Connect { auth, .. } => (format!("! connect {namespace} {auth}"), true),
            CallKind::Event {
                name,
                args,
                attachments,
                ack,
            } => {
                let mut line = format!("! event {namespace} {name} [{args}]");
                for bytes in attachments {
                    let frame = websocket::binary(bytes);
                    write!(line, " + {}", shown(&frame)).unwrap();
                }
                line.push_str(if *ack { ", ack" } else { "" });
                (line, true)
            }
            CallKind::Disconnect {
                reason, initiator, ..
            } => {
                let line = format!(
                    "! disconnect {namespace}: {reason}, by {}",
                    initiator.as_str()
                );
                (line, false)
            }
        };
        self.log.note(line);
        if !is_question {
            return async { Ok(Reply::default()) }.boxed_local();
        }
        let (sender, receiver) = oneshot::channel();
        self.open.borrow_mut().push_back((call, sender));
        let gone = BackendError::Unavailable { retry_after: None };
        async move { receiver.await.unwrap_or(Err(gone)) }.boxed_local()
    }
}

impl Scripted {
    fn answer(&self, text: &str) {
        let Some((call, sender)) = self.open.borrow_mut().pop_front() else {
            return self.log.note(". nothing was asked");
        };
        let kind = match call.kind {
            CallKind::Connect { .. } => ReplyKind::Connect,
            CallKind::Event { .. } | CallKind::Disconnect { .. } => ReplyKind::Event,
        };
        let context = ReplyContext {
            socket: call.socket.id,
            namespace: &call.socket.namespace,
            namespaces: &Anywhere::default(),
            max_emit: 0,
            max_rooms: 0,
            now: SystemTime::now(),
        };
        let answer = match text {
            "refused" => Err(BackendError::Refused),
            "bad reply" => Err(BackendError::BadReply),
            "unavailable" => Err(BackendError::Unavailable { retry_after: None }),
            body => Ok(reply::parse(kind, body.as_bytes(), &context)
                .expect("a valid reply")
                .reply),
        };
        if sender.send(answer).is_err() {
            self.log.note(". nobody waits for it");
        }
    }
}

/// Every namespace, with the usual rooms of users.
#[derive(Default)]
struct Anywhere(UserRoom);

impl Namespaces for Anywhere {
    fn user_room(&self, _: &Namespace) -> Result<&UserRoom, Closed> {
        Ok(&self.0)
    }
}
