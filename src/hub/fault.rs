//! Faults that the simulation plants to prove that it would find them. In the product none of them exists.

#[cfg(not(test))]
pub(crate) use absent::{acknowledged, is_planted};
#[cfg(test)]
pub(crate) use planted::{acknowledged, is_planted, plant};

/// A mistake in the protocol of the switchboard.
#[cfg_attr(not(test), expect(dead_code, reason = "the product plants none"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A stripe is unlocked before the pushes.
    StripeReleasedEarly,
    /// A place of an inbox is not given back.
    PlaceLost,
    /// A join is acknowledged before the directory knows of it.
    JoinAcknowledgedEarly,
    /// Messages that were under way when a room ended reach those who join it next.
    StaleMessageDelivered,
}

#[cfg(not(test))]
mod absent {
    use std::sync::Arc;

    use super::Fault;
    use crate::hub::switchboard::message::Order;

    #[inline]
    pub(crate) const fn is_planted(_: Fault) -> bool {
        false
    }

    /// The order whose drop acknowledges.
    #[inline]
    pub(crate) fn acknowledged(order: Arc<Order>) -> Arc<Order> {
        order
    }
}

#[cfg(test)]
mod planted {
    use std::cell::Cell;
    use std::sync::Arc;

    use super::Fault;
    use crate::hub::action::Action;
    use crate::hub::switchboard::message::{Order, Work};

    thread_local! {
        static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
    }

    /// Plants a fault on this thread, or takes it out.
    pub(crate) fn plant(fault: Option<Fault>) {
        PLANTED.set(fault);
    }

    pub(crate) fn is_planted(fault: Fault) -> bool {
        PLANTED.get() == Some(fault)
    }

    /// The order whose drop acknowledges; with the fault, a copy of a join that does not, while the original is dropped now.
    pub(crate) fn acknowledged(order: Arc<Order>) -> Arc<Order> {
        match &order.work {
            Work::Act(join @ Action::Join { .. }) if is_planted(Fault::JoinAcknowledgedEarly) => {
                Arc::new(Order::new(Work::Act(join.clone()), order.begun, None))
            }
            _ => order,
        }
    }
}
