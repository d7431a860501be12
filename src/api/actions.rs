//! `POST /v1/actions`, and the paths of one action: join, leave, disconnect.

use tokio::time::Instant;

use super::auth::Caller;
use super::reply::{Refusal, Success, unapplied};
use super::settings::Scope;
use super::{Inner, PATIENCE};
use crate::contract::answer::{Nodes, Outcome, Report, Results, effect_id};
use crate::contract::fault::{Cause, Fault, Faulty, Place};
use crate::contract::problem::{Code, Problem};
use crate::contract::rest::{self, ActionRequest, RestContext};
use crate::hub::action::{Action, Applied, Ending};

/// An action that has a path of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Single {
    Join,
    Leave,
    Disconnect,
}

impl Single {
    /// The scope that a key needs.
    pub(super) fn scope(self) -> Scope {
        match self {
            Self::Join | Self::Leave => Scope::Rooms,
            Self::Disconnect => Scope::Disconnect,
        }
    }

    fn read(self, body: &[u8], context: &RestContext<'_>) -> Result<ActionRequest, Problem> {
        match self {
            Self::Join => rest::join(body, context),
            Self::Leave => rest::leave(body, context),
            Self::Disconnect => rest::disconnect(body, context),
        }
    }
}

/// Does one action.
pub(super) async fn one(
    api: &Inner,
    caller: &Caller<'_>,
    single: Single,
    body: &[u8],
) -> Result<Success, Refusal> {
    let ActionRequest { action, report } = single.read(body, &api.context(caller))?;
    let applied = perform(api, caller, action, Instant::now(), "").await?;
    if !report {
        return Success::accepted();
    }
    Success::ok(&Report {
        id: effect_id(),
        sockets: applied.sockets,
        nodes: Nodes::ALONE,
    })
}

/// Does actions one after the other; each is judged by itself.
pub(super) async fn list(
    api: &Inner,
    caller: &Caller<'_>,
    body: &[u8],
) -> Result<Success, Refusal> {
    let request = rest::actions(body, &api.context(caller))?;
    let begun = Instant::now();
    let mut results = Vec::with_capacity(request.actions.len());
    for (index, action) in request.actions.into_iter().enumerate() {
        let applied = match action {
            Ok(action) => {
                let pointer = format!("/actions/{index}");
                perform(api, caller, action, begun, &pointer).await
            }
            Err(problem) => Err(problem),
        };
        let is_refused = applied.is_err();
        results.push(match applied {
            Ok(_) => Outcome::Accepted,
            Err(problem) => {
                api.parts.counters.refused(problem.code);
                Outcome::Refused(problem)
            }
        });
        if is_refused && request.stop_on_error {
            break;
        }
    }
    Success::ok(&Results { results })
}

/// Does an action which stands at this place of the body, if the caller may; what it did.
async fn perform(
    api: &Inner,
    caller: &Caller<'_>,
    mut action: Action,
    begun: Instant,
    pointer: &str,
) -> Result<Applied, Problem> {
    caller.needs(scope(&action))?;
    if is_close(&action) && !caller.may_touch_all() {
        return Err(foreign_sockets(pointer));
    }
    let switchboard = &api.parts.switchboard;
    let mut why = None;
    match &mut action {
        Action::Emit { .. } => switchboard.count_encoding(),
        Action::Disconnect { reason, .. } => why = reason.take(),
        _ => {}
    }
    // All actions of a request together wait no longer than one.
    let patience = PATIENCE.saturating_sub(begun.elapsed());
    let applied = switchboard
        .perform_within(action, begun.into_std(), patience)
        .await;
    let applied = applied.map_err(unapplied)?;
    if let Some(reason) = why {
        tracing::debug!(reason, sockets = applied.sockets, "a request disconnects");
    }
    if applied.sockets == 0 && applied.limited > 0 {
        let detail = "no socket could join: each has as many rooms as it may, or the node has";
        return Err(Problem::new(Code::Limit, detail));
    }
    Ok(applied)
}

fn scope(action: &Action) -> Scope {
    match action {
        Action::Emit { .. } => Scope::Emit,
        Action::Join { .. } | Action::Leave { .. } => Scope::Rooms,
        Action::Disconnect { .. } | Action::Expire { .. } => Scope::Disconnect,
        Action::State { .. } => Scope::Admin,
    }
}

fn is_close(action: &Action) -> bool {
    matches!(
        action,
        Action::Disconnect {
            ending: Ending::Connection,
            ..
        }
    )
}

/// A connection has sockets of other namespaces, which a key with a list may not touch.
fn foreign_sockets(pointer: &str) -> Problem {
    let fault = Fault {
        place: Place::Pointer(format!("{pointer}/close").into()),
        cause: Cause::Forbidden,
        detail: "needs a key for all namespaces".into(),
    };
    Problem::from(Faulty {
        faults: vec![fault],
        count: 1,
    })
}
