//! Private channels: one for each session that consumes a queue, opened at its first subscription of one.
//!
//! The session's end is a [`Private`]; a task of its own holds the channel, and another one in the next generation, where
//! it consumes again what the session has subscribed to. What passes between the two is under one small lock, because a
//! settlement must neither wait nor be lost: there are never more than RabbitMQ has delivered.

mod cause;
mod exclusives;
mod homes;
mod ledger;
mod operations;
mod replies;
mod subscriptions;
mod unsubscribing;
mod worker;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use lapin::types::{FieldTable, ShortString};
use tokio::sync::{Notify, oneshot};

use self::ledger::{Ledger, Origin, Settlement};
use self::replies::ReplyQueue;
use self::worker::Worker;
use super::context::Context;
use super::declarer::Queue;
use super::epochs::Epochs;
use super::ids::Ids;
use super::metrics::Share;
use super::tasks::Tasks;
use crate::broker::Pending;
use crate::delivery::Outbox;
use crate::ident::{SessionId, SubscriptionKey};
use crate::message::AckToken;
use crate::session::{Fault, Verdict};
use crate::sync::lock;
pub(super) use exclusives::Claim;
pub(super) use homes::Homes;
pub(super) use replies::Replies;

/// Subscriptions of one session that were not begun yet. Beyond it they fail.
const WAITING_MAX: usize = 1_024;

/// What a private channel is made of.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub(super) context: Arc<Context>,
    pub(super) homes: Homes,
    pub(super) ids: Arc<Ids>,
}

/// A SUBSCRIBE, or the replies to a session.
#[derive(Clone, Debug)]
pub(super) struct Consume {
    pub(super) key: SubscriptionKey,
    pub(super) source: Source,
    pub(super) prefetch: u16,
    pub(super) arguments: FieldTable,
}

/// What is consumed.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// A queue of this subscription, which an exchange fills (D12, D13).
    Bound(Arc<Bound>),
    /// A queue that is declared first (D10).
    Declared(Arc<Queue>),
    /// A queue as somebody else declared it (D11, D16).
    Existing(ShortString),
    Replies(Arc<ReplyQueue>),
}

#[derive(Debug)]
pub(super) struct Bound {
    pub(super) queue: Queue,
    pub(super) exchange: ShortString,
    pub(super) key: ShortString,
    /// A final UNSUBSCRIBE deletes it (U3, U5).
    pub(super) is_topic: bool,
}

/// A session's end of its private channel. Dropping it closes the channel: RabbitMQ requeues what is unsettled.
#[derive(Debug)]
pub(super) struct Private {
    shared: Arc<Shared>,
    epochs: Epochs,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Something changed that the task has to act on.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    commands: VecDeque<Command>,
    ledger: Ledger,
    unsettled: Share,
    /// Of the tokens that the ledger knows; another channel, another scope.
    scope: u64,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Open,
    /// The session wants no more.
    Closing,
    /// The task has ended.
    Ended,
}

#[derive(Debug)]
enum Command {
    Subscribe { consume: Consume, done: Done },
    Unsubscribe { key: SubscriptionKey, is_final: bool, done: Done },
}

type Done = oneshot::Sender<Result<(), Fault>>;

/// What became of some tokens.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Settled {
    pub(super) settled: usize,
    /// Of a channel that is no more. RabbitMQ delivers these again.
    pub(super) stale: usize,
}

/// What the task is occupied with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Busy {
    Nothing,
    /// RabbitMQ was asked for something.
    Operation,
    /// A SUBSCRIBE waits until RabbitMQ can be asked. When the session goes, nobody needs it.
    Waiting,
}

/// What the task has to do next.
#[derive(Debug)]
enum Next {
    Close,
    Command(Command),
    Nothing,
    Settle(Vec<Settlement>),
}

impl Private {
    pub(super) fn open(
        context: &Arc<Context>,
        epochs: &Epochs,
        tasks: &Tasks,
        outbox: Arc<Outbox>,
        session: SessionId,
    ) -> Self {
        let state = State {
            commands: VecDeque::new(),
            ledger: Ledger::default(),
            unsettled: Share::new(&context.metrics.unsettled),
            // Anywhere, so that no session takes the tokens of another for its own.
            scope: rand::random(),
            phase: Phase::Open,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() });
        let worker = Worker::new(context.clone(), epochs.clone(), shared.clone(), outbox.clone(), session);
        tasks.spawn_for(outbox, worker.run());
        Self { shared, epochs: epochs.clone() }
    }

    pub(super) fn subscribe(&self, consume: Consume) -> Pending {
        self.shared.subscribe(consume)
    }

    /// Not bounded by itself: there are no more than there were subscriptions.
    pub(super) fn unsubscribe(&self, key: SubscriptionKey, is_final: bool) -> Pending {
        let (done, answer) = oneshot::channel();
        self.shared.command(Command::Unsubscribe { key, is_final, done }, answer)
    }

    /// Where replies come to that are delivered under that key.
    pub(super) fn replies(&self, key: SubscriptionKey) -> Replies {
        Replies::new(self.shared.clone(), self.epochs.clone(), key)
    }

    /// A token of another channel, or one that is not outstanding, is ignored here: RabbitMQ would close the channel.
    pub(super) fn settle(&self, tokens: &[AckToken], verdict: Verdict) -> Settled {
        let mut state = self.shared.state();
        let mut outcome = Settled::default();
        for AckToken { scope, tag } in tokens {
            if *scope == state.scope {
                outcome.settled += usize::from(state.settle(*tag, verdict));
            } else {
                outcome.stale += 1;
            }
        }
        drop(state);
        if outcome.settled > 0 {
            self.shared.changed.notify_one();
        }
        outcome
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if state.phase == Phase::Open {
            state.phase = Phase::Closing;
        }
        drop(state);
        self.shared.changed.notify_one();
    }
}

impl State {
    fn settle(&mut self, tag: u64, verdict: Verdict) -> bool {
        let is_settled = self.ledger.settle(tag, verdict);
        self.unsettled.change(-i64::from(is_settled));
        is_settled
    }

    /// Of a session that has ended: all else goes with its channel.
    fn last_command(&mut self) -> Option<Command> {
        let is_final = |it: &Command| matches!(it, Command::Unsubscribe { is_final: true, .. });
        std::iter::from_fn(|| self.commands.pop_front()).find(is_final)
    }

    fn forget_deliveries(&mut self) {
        self.ledger = Ledger::default();
        self.unsettled.set(0);
    }
}

impl Shared {
    fn subscribe(&self, consume: Consume) -> Pending {
        if self.state().commands.len() >= WAITING_MAX {
            let text = format!("At most {WAITING_MAX} subscriptions of a session wait for RabbitMQ at a time");
            return Pending::ready(Err(Fault::Refused(text)));
        }
        let (done, answer) = oneshot::channel();
        self.command(Command::Subscribe { consume, done }, answer)
    }

    fn command(&self, command: Command, answer: oneshot::Receiver<Result<(), Fault>>) -> Pending {
        let mut state = self.state();
        if state.phase != Phase::Open {
            return Pending::ready(Err(Fault::Unavailable));
        }
        state.commands.push_back(command);
        drop(state);
        self.changed.notify_one();
        Pending::Waiting(answer)
    }

    /// Settlements first: a client that acknowledges and goes has acknowledged. Commands one after the other, so only
    /// while the last one is not under way any more.
    fn next(&self, busy: Busy) -> Next {
        let mut state = self.state();
        let settlements = state.ledger.take_settled();
        match (state.phase, busy) {
            _ if !settlements.is_empty() => Next::Settle(settlements),
            (_, Busy::Operation) => Next::Nothing,
            (Phase::Closing, _) => state.last_command().map_or(Next::Close, Next::Command),
            (_, Busy::Waiting) => Next::Nothing,
            (Phase::Ended | Phase::Open, _) => state.commands.pop_front().map_or(Next::Nothing, Next::Command),
        }
    }

    /// The session wants no more.
    fn is_over(&self) -> bool {
        self.state().phase != Phase::Open
    }

    fn is_closing(&self) -> bool {
        self.state().phase == Phase::Closing
    }

    /// A delivery of the present channel.
    fn delivered(&self, tag: u64, origin: Origin) -> AckToken {
        let mut state = self.state();
        state.ledger.delivered(tag, origin);
        state.unsettled.change(1);
        AckToken { scope: state.scope, tag }
    }

    fn settle(&self, tag: u64, verdict: Verdict) {
        self.state().settle(tag, verdict);
    }

    /// Another channel takes the place of the last one, and nothing of that can be settled any more.
    fn begin_scope(&self) {
        let mut state = self.state();
        state.scope = state.scope.wrapping_add(1);
        state.forget_deliveries();
    }

    /// Nobody waits any longer for what was not begun.
    fn end(&self) {
        let mut state = self.state();
        state.phase = Phase::Ended;
        state.forget_deliveries();
        let commands = std::mem::take(&mut state.commands);
        drop(state);
        drop(commands);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}
