//! Clients that do not read hurt nobody but themselves (architecture 9): a room at a steady pace, a tenth of whose members stop reading.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

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
/// What each session may leave behind, in all.
const LEFT: u64 = 8 * 1024 * (READING + SILENT) as u64;
/// At this pace an outbox is full after a third of it, whatever the kernel takes.
const PATIENCE: Duration = Duration::from_secs(80);

const FULLEST: &str = "sockgate_out_queue_max_bytes";
const SLOW: &str = "sockgate_slow_clients_total";

/// A room whose backend is told who leaves it.
struct Room {
    gateway: Gateway,
    backend: Backend,
    reading: Vec<Frames>,
}

impl Room {
    async fn open() -> Self {
        let backend = Backend::start().await;
        backend.answer(|_| json!({"rooms": ["r"]}));
        // So that it is the bound of the outbox which cuts them.
        let config = format!("limits.write_stall = \"10m\"\n{}", backend.everything());
        let gateway = Gateway::start(&config).await;
        let mut reading = Vec::new();
        for _ in 0..READING {
            reading.push(Frames::joined(&gateway).await);
        }
        Self {
            gateway,
            backend,
            reading,
        }
    }

    async fn send(&self, event: &str, args: &serde_json::Value) {
        let room = json!({"rooms": ["r"]});
        self.gateway.emit(&room, event, args).await;
    }

    /// Sends 1 KiB again and again until so many clients are cut in all; how often, and the most memory that there was meanwhile.
    async fn flood(&self, cut: u32, mut pace: Option<Interval>) -> (usize, u64) {
        let (end, mut most) = (Instant::now() + PATIENCE, 0);
        for sent in 0.. {
            if let Some(pace) = &mut pace {
                pace.tick().await;
            }
            let text = "x".repeat(1000);
            self.send("tick", &json!([sent, text])).await;
            let metrics = self.gateway.metrics().await;
            let fullest = metrics[FULLEST];
            assert!(fullest <= BOUND, "{fullest} bytes wait for one");
            most = self.gateway.resident_bytes().max(most);
            if metrics[SLOW] >= f64::from(cut) {
                return (sent + 1, most);
            }
            assert!(Instant::now() < end, "{} are cut", metrics[SLOW]);
        }
        unreachable!("the numbers do not end")
    }

    /// Ten more members, who stop reading, are cut, and have left; those who read get everything. The most memory meanwhile.
    async fn burst(&mut self, cut: u32, pace: Option<Interval>) -> u64 {
        let mut silent = Vec::new();
        for _ in 0..SILENT {
            silent.push(Frames::joined_with_small_buffers(&self.gateway).await);
        }
        self.backend.forget();
        let mut readers = JoinSet::new();
        for member in self.reading.drain(..) {
            readers.spawn(read_all(member));
        }
        let (sent, most) = self.flood(cut, pace).await;
        self.send("end", &json!([])).await;
        while let Some(reader) = within("the end of the readers", readers.join_next()).await {
            let (member, numbers) = reader.unwrap();
            let all: Vec<_> = (0..sent).collect();
            assert_eq!(numbers, all);
            self.reading.push(member);
        }
        assert_eq!(self.reading.len(), READING as usize);
        self.are_gone(silent).await;
        self.gateway.metric_is(SLOW, f64::from(cut)).await;
        most
    }

    async fn are_gone(&mut self, silent: Vec<Frames>) {
        let mut told = Vec::new();
        for _ in 0..SILENT {
            let notice = self.backend.next_of("disconnect").await;
            assert_eq!(notice.body["reason"], "slow consumer", "{}", notice.body);
            assert_eq!(notice.body["initiator"], "gateway", "{}", notice.body);
            told.push(notice.socket().to_owned());
        }
        let mut gone = Vec::new();
        for mut member in silent {
            // What the kernel has taken, and then the end.
            while member.next().await.is_some() {}
            gone.push(member.socket);
        }
        told.sort();
        gone.sort();
        assert_eq!(told, gone);
    }
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
    let mut room = Room::open().await;
    // The allocator keeps what the first burst took, more than a megabyte, for the next one, however many sessions there are: so
    // the memory is compared after one. Without pace, since it proves nothing else.
    let before = room.gateway.resident_bytes();
    let most = room.burst(SILENT, None).await;
    let taken = most.saturating_sub(before);
    assert!(taken > LEFT, "{taken} bytes would not be missed");

    let before = room.gateway.resident_bytes();
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    room.burst(2 * SILENT, Some(pace)).await;
    let gateway = &room.gateway;
    gateway.metric_is("sockgate_out_queue_bytes", 0.0).await;
    // Within ten seconds.
    eventually("the memory to be given back", async || {
        let left = gateway.resident_bytes().saturating_sub(before);
        let is_back = left <= LEFT;
        is_back
            .then_some(())
            .ok_or_else(|| format!("{left} bytes more than before"))
    })
    .await;
}
