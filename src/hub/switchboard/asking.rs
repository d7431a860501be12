//! Emits whose recipients acknowledge: the bound on what is awaited, and the stream of answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::message::{AckRequest, Message, Work};
use super::{ApplyError, Switchboard};
use crate::hub::acks::AckEvent;
use crate::hub::action::{Audience, Target};
use crate::protocol::frame::Frame;

impl Switchboard {
    /// Emits a packet that asks for an acknowledgement. The frame must carry `id`, from [`next_ack_id`](Self::next_ack_id).
    ///
    /// Whom a volatile one does not reach is not asked. Of the answers at most `answer_bytes` are kept. Dropping what is returned
    /// ends the waiting.
    ///
    /// # Why
    /// The bound must be known before anything is sent, but only the shards know who is meant: they count first. Sockets that
    /// join between the count and the emit may pass the bound by their number.
    pub async fn emit_with_ack(
        self: &Arc<Self>,
        to: Audience,
        id: u64,
        frame: Frame,
        volatile: bool,
        answer_bytes: usize,
        patience: Duration,
    ) -> Result<Asking, ApplyError> {
        let begun = Instant::now();
        let wanted = match &to.to {
            Target::Names(names) if names.rooms.is_empty() => names.sockets.len(),
            _ => {
                let count = Work::Count(to.clone());
                self.counted(count, begun, patience).await?.sockets
            }
        };
        let reserved = self.reserve_acks(wanted)?;
        let (events, receiver) = mpsc::unbounded_channel();
        let request = AckRequest {
            id,
            events,
            budget: Arc::new(AtomicUsize::new(answer_bytes)),
            volatile: volatile.then_some(begun),
        };
        // Made before the hand-over, so that dropping this future in the middle forgets everything too.
        let asking = Asking {
            switchboard: Arc::clone(self),
            id,
            events: receiver,
        };
        let work = Work::Request { to, frame, request };
        self.counted(work, begun, patience.saturating_sub(begun.elapsed()))
            .await?;
        drop(reserved);
        Ok(asking)
    }

    fn reserve_acks(&self, wanted: usize) -> Result<ReservedAcks, ApplyError> {
        let fits = |pending: usize| {
            pending
                .checked_add(wanted)
                .filter(|sum| *sum <= self.max_acks)
        };
        let reserved = self
            .pending_acks
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        reserved.map_err(|_pending| ApplyError::TooManyAcks)?;
        Ok(ReservedAcks {
            pending: Arc::clone(&self.pending_acks),
            wanted,
        })
    }
}

/// Acknowledgements that are about to be awaited.
struct ReservedAcks {
    pending: Arc<AtomicUsize>,
    wanted: usize,
}

impl Drop for ReservedAcks {
    fn drop(&mut self) {
        self.pending.fetch_sub(self.wanted, Ordering::Relaxed);
    }
}

/// The acknowledgements of one emit, as they come in.
#[derive(Debug)]
pub struct Asking {
    switchboard: Arc<Switchboard>,
    id: u64,
    events: mpsc::UnboundedReceiver<AckEvent>,
}

impl Asking {
    /// The next event; `None` when every socket that was asked has answered or left.
    ///
    /// The sockets that were asked are all told before the first call waits.
    pub async fn next(&mut self) -> Option<AckEvent> {
        self.events.recv().await
    }

    /// The next event, if it has come already.
    pub fn try_next(&mut self) -> Option<AckEvent> {
        self.events.try_recv().ok()
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.events.close();
        if self.events.sender_strong_count() == 0 {
            return;
        }
        for inbox in &self.switchboard.inboxes {
            // Without a place: at most one for each emit that had one, and refusing it would leak what waits.
            inbox.push(Message::Forget(self.id), 0);
            inbox.ring();
        }
    }
}
