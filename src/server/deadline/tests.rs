#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use http_body_util::{BodyExt as _, Full};
use std::future::poll_fn;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

const HEAD: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_secs(30);
const STALL: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(1000);
/// A little less than the shortest of them.
const SHORT: Duration = Duration::from_secs(4);

fn connection() -> (DuplexStream, Timed<DuplexStream>, Talk) {
    let (client, server) = tokio::io::duplex(16);
    let deadlines = Deadlines {
        head: HEAD,
        idle: IDLE,
        stall: STALL,
    };
    let (timed, talk) = Timed::new(server, Bytes::new(), deadlines);
    (client, timed, talk)
}

/// Reads until a deadline ends it; how long that took.
async fn until_missed(timed: &mut Timed<DuplexStream>) -> Duration {
    let begin = Instant::now();
    loop {
        match timed.read(&mut [0; 16]).await {
            Ok(bytes) => assert_ne!(bytes, 0, "the client has closed"),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                return begin.elapsed();
            }
        }
    }
}

/// As hyper does at the end of a turn.
async fn turn(timed: &mut Timed<DuplexStream>) {
    timed.flush().await.unwrap();
}

fn near(took: Duration, expected: Duration) {
    let off = took.abs_diff(expected);
    assert!(
        off < Duration::from_millis(10),
        "{took:?}, not {expected:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_first_head_has_its_time_from_the_beginning() {
    let (mut client, mut timed, talk) = connection();
    client.write_all(b"GET").await.unwrap();
    near(until_missed(&mut timed).await, HEAD);
    assert_eq!(talk.missed(), Some(Missed::Head));
    assert_eq!(talk.head_bytes(), 3);
}

#[tokio::test(start_paused = true)]
async fn while_a_request_is_under_way_nothing_is_waited_for() {
    let (_client, mut timed, talk) = connection();
    let answering = talk.request();
    let read = tokio::time::timeout(LONG, until_missed(&mut timed)).await;
    assert!(read.is_err(), "{read:?}");
    drop(answering);
    turn(&mut timed).await;
    near(until_missed(&mut timed).await, IDLE);
    assert_eq!(talk.missed(), Some(Missed::Idle));
}

#[tokio::test(start_paused = true)]
async fn the_first_byte_of_the_next_head_begins_its_time() {
    let (mut client, mut timed, talk) = connection();
    drop(talk.request());
    turn(&mut timed).await;
    tokio::time::advance(SHORT).await;
    client.write_all(b"GET").await.unwrap();
    near(until_missed(&mut timed).await, HEAD);
    assert_eq!(talk.missed(), Some(Missed::Head));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_and_goes_in_one_turn_is_noticed() {
    let (_client, mut timed, talk) = connection();
    for _ in 0..3 {
        tokio::time::advance(SHORT).await;
        drop(talk.request());
        turn(&mut timed).await;
    }
    near(until_missed(&mut timed).await, IDLE);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_under_way_until_its_body_was_handed_over() {
    let (_client, mut timed, talk) = connection();
    let mut body = talk.request().with(Full::new(Bytes::from_static(b"ok")));
    assert_eq!(body.size_hint().exact(), Some(2));
    let read = tokio::time::timeout(LONG, until_missed(&mut timed)).await;
    assert!(read.is_err(), "{read:?}");
    assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
    assert!(body.is_end_stream());
    drop(body);
    turn(&mut timed).await;
    near(until_missed(&mut timed).await, IDLE);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_taken_ends_the_connection() {
    let (_client, mut timed, talk) = connection();
    let _answering = talk.request();
    let begin = Instant::now();
    let error = timed.write_all(&[0; 17]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    near(begin.elapsed(), STALL);
    assert_eq!(talk.missed(), Some(Missed::Stall));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_taken_slowly_goes_on() {
    let (mut client, mut timed, talk) = connection();
    let _answering = talk.request();
    let writing = timed.write_all(&[0; 100]);
    let reading = async {
        for _ in 0..7 {
            tokio::time::sleep(SHORT * 2).await;
            client.read_exact(&mut [0; 16]).await.ok();
        }
    };
    tokio::select! {
        written = writing => written.unwrap(),
        () = reading => panic!("not all was written"),
    }
    assert_eq!(talk.missed(), None);
}

#[tokio::test(start_paused = true)]
async fn what_was_read_before_comes_first_and_counts_as_the_head() {
    let (mut client, server) = tokio::io::duplex(16);
    let deadlines = Deadlines {
        head: HEAD,
        idle: IDLE,
        stall: STALL,
    };
    let (mut timed, talk) = Timed::new(server, Bytes::from_static(b"GET "), deadlines);
    client.write_all(b"/").await.unwrap();
    let mut read = [0; 5];
    timed.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"GET /");
    assert_eq!(talk.head_bytes(), 5);
    assert!(timed.into_parts().1.is_empty());
}

#[tokio::test(start_paused = true)]
async fn after_the_end_the_client_is_read_until_it_closes() {
    let (mut client, mut timed, _talk) = connection();
    let end = poll_fn(|cx| Pin::new(&mut timed).poll_shutdown(cx));
    let talking = async {
        client.write_all(&[0; 1000]).await.unwrap();
        assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0, "the end");
        client.shutdown().await.unwrap();
    };
    let begin = Instant::now();
    let (ended, ()) = tokio::join!(end, talking);
    ended.unwrap();
    assert!(begin.elapsed() < GOODBYE);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_closes_is_not_read_for_ever() {
    let (_client, mut timed, talk) = connection();
    tokio::time::advance(SHORT).await;
    let begin = Instant::now();
    let end = poll_fn(|cx| {
        // hyper flushes in each turn.
        let _flushed = Pin::new(&mut timed).poll_flush(cx)?;
        Pin::new(&mut timed).poll_shutdown(cx)
    });
    end.await.unwrap();
    near(begin.elapsed(), GOODBYE);
    assert_eq!(talk.missed(), None);
}
