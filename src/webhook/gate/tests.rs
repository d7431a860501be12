#![expect(clippy::unwrap_used, reason = "tests")]

use futures_util::future::{BoxFuture, poll_immediate};

use super::super::settings::Url;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn gate(concurrency: usize, queue: usize) -> Gate {
    let mut settings = Settings::new("app", Url::Http("http://app/".into()));
    settings.concurrency = concurrency;
    settings.queue = queue;
    Gate::new(&settings)
}

type Entering<'a> = BoxFuture<'a, Result<Pass<'a>, Refused>>;

/// A wish that has been expressed, but may have to wait.
async fn wish<'a>(
    gate: &'a Gate,
    class: Class,
) -> (Entering<'a>, Option<Result<Pass<'a>, Refused>>) {
    let mut entering: Entering<'a> = Box::pin(gate.enter(class));
    let result = poll_immediate(&mut entering).await;
    (entering, result)
}

async fn waits(gate: &Gate, class: Class) -> Entering<'_> {
    let (entering, result) = wish(gate, class).await;
    assert!(result.is_none(), "{class:?} got {result:?} at once");
    entering
}

async fn enters(gate: &Gate, class: Class) -> Pass<'_> {
    wish(gate, class).await.1.expect("no waiting").unwrap()
}

async fn refused(gate: &Gate, class: Class) -> Refused {
    wish(gate, class).await.1.expect("no waiting").unwrap_err()
}

/// Opens the breaker.
async fn open(gate: &Gate) {
    for _ in 0..20 {
        enters(gate, Class::Event).await.record(Err(Fault::Timeout));
    }
    assert_eq!(gate.status().phase, Phase::Open);
}

/// Lets the breaker's time pass, at its longest.
async fn open_time() {
    tokio::time::advance(6 * SECOND).await;
}

async fn still_waits(entering: &mut Entering<'_>) {
    assert!(poll_immediate(entering).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn attempts_at_once_are_bounded_and_served_in_order() {
    let gate = gate(2, 10);
    let (first, second) = (
        enters(&gate, Class::Event).await,
        enters(&gate, Class::Connect).await,
    );
    let (mut third, mut fourth) = (
        waits(&gate, Class::Event).await,
        waits(&gate, Class::Connect).await,
    );
    assert_eq!(gate.status().in_flight, 2);
    assert_eq!(gate.status().waiting, 2);
    drop(first);
    still_waits(&mut fourth).await;
    let third = third.as_mut().await.unwrap();
    second.record(Ok(()));
    drop(fourth.await.unwrap());
    drop(third);
    assert_eq!((gate.status().in_flight, gate.status().waiting), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_full_waiting_room_sends_connects_away_and_lets_events_wait_outside() {
    let gate = gate(1, 1);
    let pass = enters(&gate, Class::Event).await;
    let inside = waits(&gate, Class::Event).await;
    let mut outside = waits(&gate, Class::Event).await;
    let mut notice = waits(&gate, Class::Notice).await;
    assert_eq!(refused(&gate, Class::Connect).await, Refused::Full);
    assert_eq!(gate.status().waiting, 1);
    drop(pass);
    drop(inside.await.unwrap());
    drop(outside.as_mut().await.unwrap());
    drop(notice.as_mut().await.unwrap());
    enters(&gate, Class::Connect).await.record(Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_connect_does_not_overtake_events_that_wait_outside() {
    let gate = gate(1, 1);
    let pass = enters(&gate, Class::Event).await;
    let inside = waits(&gate, Class::Event).await;
    let outside = waits(&gate, Class::Event).await;
    drop(inside);
    assert_eq!(
        refused(&gate, Class::Connect).await,
        Refused::Full,
        "the free place belongs to the event"
    );
    drop(pass);
    drop(outside.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_leaves_no_trace() {
    let gate = gate(1, 1);
    let pass = enters(&gate, Class::Event).await;
    drop(waits(&gate, Class::Event).await);
    let next = waits(&gate, Class::Connect).await;
    drop(pass);
    next.await.unwrap().record(Ok(()));
    assert_eq!((gate.status().in_flight, gate.status().waiting), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_sends_events_away_and_lets_others_wait() {
    let gate = gate(10, 10);
    open(&gate).await;
    assert!(gate.is_open());
    assert_eq!(refused(&gate, Class::Event).await, Refused::Open);
    let (connect, notice) = (
        waits(&gate, Class::Connect).await,
        waits(&gate, Class::Notice).await,
    );
    assert_eq!(gate.status().in_flight, 0, "who waits holds nothing");
    // Both wait by themselves for the breaker's time: the runtime's clock moves on when nothing else can happen.
    let (connect, notice) = tokio::join!(connect, notice);
    assert!(!gate.is_open());
    drop((connect.unwrap(), notice.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn opening_turns_those_away_that_wait_for_a_permit() {
    let gate = gate(1, 10);
    let mut waiting = Vec::new();
    let mut connects = Vec::new();
    let mut pass = enters(&gate, Class::Event).await;
    for _ in 0..19 {
        pass.record(Err(Fault::Timeout));
        pass = enters(&gate, Class::Event).await;
    }
    for _ in 0..3 {
        waiting.push(waits(&gate, Class::Event).await);
    }
    connects.push(waits(&gate, Class::Connect).await);
    pass.record(Err(Fault::Timeout));
    for event in waiting {
        assert_eq!(event.await.unwrap_err(), Refused::Open);
    }
    for connect in &mut connects {
        still_waits(connect).await;
    }
    assert_eq!((gate.status().in_flight, gate.status().waiting), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn probes_go_to_held_connects_first() {
    let gate = gate(10, 10);
    open(&gate).await;
    let mut notice = waits(&gate, Class::Notice).await;
    let mut connects = Vec::new();
    for _ in 0..7 {
        connects.push(waits(&gate, Class::Connect).await);
    }
    open_time().await;
    assert_eq!(refused(&gate, Class::Event).await, Refused::Open);
    still_waits(&mut notice).await;
    let mut probes = Vec::new();
    for connect in &mut connects {
        probes.extend(poll_immediate(connect).await.map(Result::unwrap));
    }
    assert_eq!(probes.len(), 5);
    assert_eq!(refused(&gate, Class::Event).await, Refused::Open);
    for probe in probes {
        probe.record(Ok(()));
    }
    assert_eq!(gate.status().phase, Phase::Closed);
    enters(&gate, Class::Event).await.record(Ok(()));
    notice.await.unwrap().record(Ok(()));
    for connect in connects.split_off(5) {
        connect.await.unwrap().record(Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn events_and_notices_probe_where_no_connect_waits() {
    let gate = gate(10, 10);
    open(&gate).await;
    let notice = waits(&gate, Class::Notice).await;
    drop(waits(&gate, Class::Connect).await);
    open_time().await;
    let event = enters(&gate, Class::Event).await;
    let notice = notice.await.unwrap();
    event.record(Ok(()));
    notice.record(Err(Fault::Timeout));
    assert_eq!(gate.status().phase, Phase::Open);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_given_up_goes_to_the_next() {
    let gate = gate(10, 10);
    open(&gate).await;
    open_time().await;
    let mut probes = Vec::new();
    for _ in 0..5 {
        probes.push(enters(&gate, Class::Connect).await);
    }
    let mut next = waits(&gate, Class::Connect).await;
    still_waits(&mut next).await;
    probes.pop();
    next.await.unwrap().record(Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_held_connect_goes_away_when_there_is_no_place_for_its_probe() {
    let gate = gate(1, 0);
    let hanging = enters(&gate, Class::Event).await;
    {
        // Failures of attempts that ended before.
        let mut state = gate.state.lock();
        for _ in 0..20 {
            let Admission::Granted(ticket) = state.breaker.admit(now()) else {
                panic!("closed until then");
            };
            state.breaker.record(ticket, false, now(), 1000);
        }
    }
    assert_eq!(refused(&gate, Class::Connect).await, Refused::Full);
    drop(hanging);
    let connect = waits(&gate, Class::Connect).await;
    connect.await.unwrap().record(Ok(()));
}

#[tokio::test(start_paused = true)]
async fn the_last_error_is_told() {
    let gate = gate(1, 1);
    assert_eq!(gate.status().last_error, None);
    enters(&gate, Class::Event)
        .await
        .record(Err(Fault::Status(502)));
    enters(&gate, Class::Event).await.record(Ok(()));
    let (fault, _) = gate.status().last_error.unwrap();
    assert_eq!(fault.to_string(), "status 502");
}

#[test]
fn a_gate_is_shared_by_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&gate(1, 1));
}
