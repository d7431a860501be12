//! `ping`: clients that do nothing but answer pings. The interval is shorter than usual, so that a few seconds are enough; the
//! gateway's ticks are shorter by as much, so that as many pings as usual share one.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Case, PING_INTERVAL, Pass};
use crate::client::DEADLINE;
use crate::meter::Meter;
use crate::server::Server;

/// Between two looks.
const STEP: Duration = Duration::from_millis(100);

pub(super) fn run(case: &Case, server: &Server) -> Result<Pass> {
    let mut crowd = case.crowd(server)?;
    // The first ping of everybody.
    crowd.rest(Duration::from_secs(PING_INTERVAL))?;
    let before = crowd.pings();
    ensure!(
        before >= case.clients as u64,
        "only {before} pings in the first interval"
    );
    let meter = Meter::start(server.pid())?;
    for _ in 0..DEADLINE.as_millis() / STEP.as_millis() {
        crowd.rest(STEP)?;
        if crowd.pings() - before >= case.operations {
            break;
        }
    }
    let pings = crowd.pings() - before;
    let spent = meter.stop()?;
    ensure!(
        pings >= case.operations,
        "{pings} pings of {}",
        case.operations
    );
    Ok(Pass::new(spent.micros_per(pings), pings, spent))
}
