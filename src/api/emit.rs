//! `POST /v1/emit`: sends a packet; with `report` counts whom it reaches, with `ack` gathers what they answer.

use std::time::Instant;

use super::acks::Gathering;
use super::auth::Caller;
use super::reply::{Refusal, Success};
use super::{Inner, PATIENCE};
use crate::contract::acks::MAX_BYTES;
use crate::contract::answer::{Nodes, Report, effect_id};
use crate::contract::packet::Emit;
use crate::contract::rest::{self, AckRequest};
use crate::hub::action::Action;

pub(super) async fn emit(
    api: &Inner,
    caller: &Caller<'_>,
    body: &[u8],
) -> Result<Success, Refusal> {
    let request = rest::emit(body, &api.context(caller))?;
    let begun = Instant::now();
    let switchboard = &api.parts.switchboard;
    if let Some(ack) = request.ack {
        return ask(api, request.emit, ack).await;
    }
    let action = request.emit.into_action(None);
    switchboard.count_encoding();
    if !request.report {
        switchboard.perform_within(action, begun, PATIENCE).await?;
        return Success::accepted();
    }
    let applied = switchboard
        .perform_with_report(action, begun, PATIENCE)
        .await?;
    Success::ok(&Report {
        id: effect_id(),
        sockets: applied.sockets,
        nodes: Nodes::ALONE,
    })
}

/// Emits with an acknowledgement. Dropping the future, as when the caller closes its connection, ends the waiting.
async fn ask(api: &Inner, emit: Emit, ack: AckRequest) -> Result<Success, Refusal> {
    let switchboard = &api.parts.switchboard;
    let number = switchboard.next_ack_id();
    let Action::Emit {
        to,
        frame,
        volatile,
    } = emit.into_action(Some(number))
    else {
        unreachable!("an emit makes an emit");
    };
    switchboard.count_encoding();
    let asking = switchboard.emit_with_ack(to, number, frame, volatile, MAX_BYTES, PATIENCE);
    let asking = asking.await?;
    let gathered = Gathering::new(ack.enough).gather(asking, ack.timeout).await;
    Ok(Success::text(gathered.report(effect_id()).to_json()))
}
