//! `idle`: resident memory before and after, divided by the clients between. Those of the warm-up are there at both readings.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Case, Pass};
use crate::client::Crowd;
use crate::meter::{Meter, resident};
use crate::server::Server;

/// Clients of the warm-up.
const WARM_UP: usize = 20;
/// Between two readings.
const STEP: Duration = Duration::from_millis(300);
/// Readings until memory has settled, at most.
const READINGS: usize = 20;

pub(super) fn run(case: &Case, server: &Server) -> Result<Pass> {
    let mut crowd = Crowd::new(server.clients)?;
    crowd.open(WARM_UP)?;
    let before = settled(&mut crowd, server)?;
    let meter = Meter::start(server.pid())?;
    crowd.open(case.clients)?;
    let spent = meter.stop()?;
    let after = settled(&mut crowd, server)?;
    let figure = after.saturating_sub(before) as f64 / case.clients as f64;
    let mut pass = Pass::new(figure, case.operations, spent);
    pass.more = vec![
        ("resident_before_kib", before as f64),
        ("resident_after_kib", after as f64),
    ];
    Ok(pass)
}

/// Resident memory in KiB once it stays the same for four readings; the connections to the backend have ended by then.
fn settled(crowd: &mut Crowd, server: &Server) -> Result<u64> {
    let mut last = 0;
    let mut same = 0;
    for _ in 0..READINGS {
        crowd.rest(STEP)?;
        let now = resident(server.pid())?;
        same = if now == last { same + 1 } else { 0 };
        last = now;
        if same == 4 {
            break;
        }
    }
    ensure!(last > 0, "a server without memory");
    Ok(last)
}
