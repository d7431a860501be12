//! Clients that do not read hurt nobody but themselves (architecture 9): a room at a steady pace, a tenth of whose members stop reading.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::support::backend::Backend;
use crate::support::frames::Frames;
use crate::support::gateway::Gateway;
use crate::support::wait::{eventually, within, within_time};

const READING: u32 = 90;
const SILENT: u32 = 10;

/// Between two messages to the room.
const PACE: Duration = Duration::from_millis(20);
/// What a member may have waiting: the default of `limits.outbox`.
const BOUND: f64 = 1024.0 * 1024.0;
/// What each session may leave behind.
const LEFT: u64 = 8 * 1024 * (READING + SILENT) as u64;
/// For that it has so long.
const BACK: Duration = Duration::from_secs(10);
/// At this pace an outbox is full after a third of it, whatever the kernel takes.
const PATIENCE: Duration = Duration::from_secs(80);

const FULLEST: &str = "sockgate_out_queue_max_bytes";
const SLOW: &str = "sockgate_slow_clients_total";

/// 1 KiB.
fn message(number: usize) -> serde_json::Value {
    json!([number, "x".repeat(1000)])
}

/// Everything that a member gets up to `end`: the numbers of the messages. It stays.
async fn read_all(mut member: Frames) -> (Frames, Vec<usize>) {
    let mut numbers = Vec::new();
    loop {
        let frame = within_time(PATIENCE, "a message", member.read()).await;
        let frame = frame.expect("a reader's connection does not end");
        let text = String::from_utf8(frame.payload).unwrap();
        if text == "2" {
            member.text("3").await;
            continue;
        }
        if text == r#"42["end"]"# {
            return (member, numbers);
        }
        let number = text
            .strip_prefix(r#"42["tick","#)
            .and_then(|rest| rest.split(',').next());
        let number = number.unwrap_or_else(|| panic!("{text} was not sent"));
        numbers.push(number.parse().unwrap());
    }
}

#[tokio::test]
async fn of_a_hundred_members_the_ten_that_stop_reading_are_cut_and_the_others_get_everything() {
    let mut backend = Backend::start().await;
    backend.answer(|_| json!({"rooms": ["r"]}));
    // So that it is the bound of the outbox which cuts them.
    let config = format!("limits.write_stall = \"10m\"\n{}", backend.everything());
    let gateway = Gateway::start(&config).await;
    let room = json!({"rooms": ["r"]});
    let (mut reading, mut silent) = (Vec::new(), Vec::new());
    for _ in 0..READING {
        reading.push(Frames::joined(&gateway).await);
    }
    for _ in 0..SILENT {
        silent.push(Frames::joined_with_small_buffers(&gateway).await);
    }
    // While all still read, everything has happened once.
    for number in 0..20 {
        gateway.emit(&room, "warm", &message(number)).await;
        for member in reading.iter_mut().chain(&mut silent) {
            member.next().await.expect("everybody reads");
        }
        gateway.metrics().await;
    }
    backend.forget();
    let before = gateway.resident_bytes();

    let mut readers = JoinSet::new();
    for member in reading {
        readers.spawn(read_all(member));
    }
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (end, mut sent, mut most) = (Instant::now() + PATIENCE, 0, 0);
    loop {
        pace.tick().await;
        gateway.emit(&room, "tick", &message(sent)).await;
        sent += 1;
        let metrics = gateway.metrics().await;
        assert!(metrics[FULLEST] <= BOUND, "{} wait", metrics[FULLEST]);
        most = gateway.resident_bytes().max(most);
        if metrics[SLOW] >= f64::from(SILENT) {
            break;
        }
        assert!(Instant::now() < end, "{} were cut", metrics[SLOW]);
    }
    let since = Instant::now();
    gateway.emit(&room, "end", &json!([])).await;
    let mut staying = Vec::new();
    while let Some(reader) = within("the end of the readers", readers.join_next()).await {
        let (member, numbers) = reader.unwrap();
        let all: Vec<_> = (0..sent).collect();
        assert_eq!(numbers, all);
        staying.push(member);
    }
    gateway.metric_is(SLOW, f64::from(SILENT)).await;
    gateway.metric_is("sockgate_out_queue_bytes", 0.0).await;

    let mut gone: Vec<String> = silent.iter().map(|member| member.socket.clone()).collect();
    let mut told = Vec::new();
    for _ in 0..SILENT {
        let notice = backend.next_of("disconnect").await;
        assert_eq!(notice.body["reason"], "slow consumer", "{}", notice.body);
        assert_eq!(notice.body["initiator"], "gateway");
        told.push(notice.socket().to_owned());
    }
    gone.sort();
    told.sort();
    assert_eq!(told, gone);
    for member in &mut silent {
        while member.next().await.is_some() {}
    }

    let grown = most.saturating_sub(before);
    assert!(
        grown > LEFT,
        "{grown} more bytes at most: nothing to give back"
    );
    eventually("the memory to be given back", async || {
        let left = gateway.resident_bytes().saturating_sub(before);
        let is_back = left <= LEFT || since.elapsed() > BACK;
        is_back
            .then(|| assert!(left <= LEFT, "{left} more bytes than before"))
            .ok_or_else(|| format!("{left} more bytes than before"))
    })
    .await;
    println!("{sent} messages, {grown} bytes more at most");
    assert_eq!(staying.len(), READING as usize);
}
