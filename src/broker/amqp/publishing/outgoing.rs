//! One publish on its way.

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::warn;

use super::{Content, Routed, lanes};
use crate::broker::amqp::generation::Generation;
use crate::broker::room::Place;
use crate::ident::SessionId;
use crate::lifecycle::Held;
use crate::session::Fault;

/// Generations that may be lost under a publish that was written with others. It could be what they are lost for, so it
/// is written alone then.
const LOSSES_TOGETHER_MAX: u32 = 2;

/// Generations that may be lost under any one publish. A broker that stops or starts may let the gateway in and drop it
/// some times in a row, for no publish at all.
pub(super) const LOSSES_MAX: u32 = 10;

#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) session: SessionId,
    pub(super) turn: Turn,
    /// When the session asked for it.
    pub(super) called: Instant,
    /// Generations that ended while it was written and not answered.
    pub(super) losses: u32,
    pub(super) done: oneshot::Sender<Result<(), Fault>>,
    _place: Place,
    /// A drain waits for it, also when its session has gone.
    _held: Held,
}

/// What happens when all that was before it is written.
#[derive(Debug)]
pub(super) enum Turn {
    Answer(Result<(), Fault>),
    Write(Box<Routed>),
}

impl Outgoing {
    pub(super) fn new(
        session: SessionId,
        content: Content,
        place: Place,
        held: Held,
        done: oneshot::Sender<Result<(), Fault>>,
    ) -> Self {
        let turn = content.map_or_else(|fault| Turn::Answer(Err(fault)), Turn::Write);
        Self { session, turn, called: Instant::now(), losses: 0, done, _place: place, _held: held }
    }

    pub(super) fn content(&self) -> Option<&Routed> {
        match &self.turn {
            Turn::Write(routed) => Some(routed),
            Turn::Answer(_) => None,
        }
    }

    /// Whether something has to be done before it can be written.
    pub(super) fn needs_preparation(&self, generation: &Generation) -> bool {
        let Some(routed) = self.content() else { return false };
        routed.queue.as_ref().is_some_and(|it| !it.is_declared(generation.number))
            || routed.replies.as_ref().is_some_and(|it| it.address().is_none() && !it.is_over())
            || (routed.is_exchange_unsure && !generation.exchanges.is_known(&routed.exchange))
    }

    /// The generation in which it was written has ended without an answer.
    pub(super) fn lost(&mut self) {
        self.losses += 1;
        if self.losses > LOSSES_MAX {
            warn!(session = %self.session, "RabbitMQ was lost each time a message was published; it is given up");
            self.turn = Turn::Answer(Err(Fault::Unavailable));
        }
    }

    pub(super) const fn goes_alone(&self) -> bool {
        self.losses >= LOSSES_TOGETHER_MAX
    }
}

impl lanes::Publish for Outgoing {
    fn session(&self) -> SessionId {
        self.session
    }

    fn fail(&mut self, fault: Fault) {
        self.turn = Turn::Answer(Err(fault));
    }
}
