//! Private channels: one for each session that consumes a queue, opened at its first subscription of one.
//!
//! The session's end is a [`Private`]; a task of its own holds the channel. What passes between them is under one small
//! lock, because a settlement must neither wait nor be lost: there are never more than RabbitMQ has delivered.

mod homes;
mod ledger;
mod replies;
mod worker;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use lapin::types::ShortString;
use tokio::sync::{Notify, oneshot};

use self::ledger::{Ledger, Settlement};
use self::worker::Worker;
use super::context::Context;
use super::declarer::Queue;
use super::ids::Ids;
use super::tasks::Tasks;
use crate::broker::Pending;
use crate::delivery::Outbox;
use crate::ident::SubscriptionKey;
use crate::message::AckToken;
use crate::session::{Fault, Verdict};
pub(super) use homes::{Home, Homes};
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

/// What is consumed.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Queue(Arc<Queue>),
    /// A copy of what is published there, in a queue of this subscription alone.
    Topic(ShortString),
}

/// A session's end of its private channel. Dropping it closes the channel: RabbitMQ requeues what is unsettled.
#[derive(Debug)]
pub(super) struct Private(Arc<Shared>);

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
    Subscribe { key: SubscriptionKey, source: Source, prefetch: u16, done: Done },
    Unsubscribe { key: SubscriptionKey, done: Done },
}

type Done = oneshot::Sender<Result<(), Fault>>;

/// What the task has to do next.
#[derive(Debug)]
enum Next {
    Close,
    Command(Command),
    Nothing,
    Settle(Vec<Settlement>),
}

impl Private {
    pub(super) fn open(parts: Parts, tasks: &Tasks, outbox: Arc<Outbox>) -> Self {
        let state = State {
            commands: VecDeque::new(),
            ledger: Ledger::default(),
            scope: parts.ids.next_scope(),
            phase: Phase::Open,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() });
        tasks.spawn(Worker::new(parts, shared.clone(), outbox).run());
        Self(shared)
    }

    pub(super) fn subscribe(&self, key: SubscriptionKey, source: Source, prefetch: u16) -> Pending {
        if self.0.state().commands.len() >= WAITING_MAX {
            let text = format!("At most {WAITING_MAX} subscriptions of a session wait for RabbitMQ at a time");
            return Pending::ready(Err(Fault::Refused(text)));
        }
        let (done, answer) = oneshot::channel();
        self.command(Command::Subscribe { key, source, prefetch, done }, answer)
    }

    /// Not bounded by itself: there are no more than there were subscriptions.
    pub(super) fn unsubscribe(&self, key: SubscriptionKey) -> Pending {
        let (done, answer) = oneshot::channel();
        self.command(Command::Unsubscribe { key, done }, answer)
    }

    /// A token of another channel, or one that is not outstanding, is ignored here: RabbitMQ would close the channel.
    ///
    /// Returns how many were settled.
    pub(super) fn settle(&self, tokens: &[AckToken], verdict: Verdict) -> usize {
        let mut state = self.0.state();
        let scope = state.scope;
        let settled =
            tokens.iter().filter(|it| it.scope == scope).filter(|it| state.ledger.settle(it.tag, verdict)).count();
        drop(state);
        if settled > 0 {
            self.0.changed.notify_one();
        }
        settled
    }

    fn command(&self, command: Command, answer: oneshot::Receiver<Result<(), Fault>>) -> Pending {
        let mut state = self.0.state();
        if state.phase != Phase::Open {
            return Pending::ready(Err(Fault::Unavailable));
        }
        state.commands.push_back(command);
        drop(state);
        self.0.changed.notify_one();
        Pending::Waiting(answer)
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if state.phase == Phase::Open {
            state.phase = Phase::Closing;
        }
        drop(state);
        self.0.changed.notify_one();
    }
}

impl Shared {
    /// Settlements first: a client that acknowledges and goes has acknowledged.
    fn next(&self) -> Next {
        let mut state = self.state();
        let settlements = state.ledger.take_settled();
        if !settlements.is_empty() {
            return Next::Settle(settlements);
        }
        if state.phase == Phase::Closing {
            return Next::Close;
        }
        state.commands.pop_front().map_or(Next::Nothing, Next::Command)
    }

    /// A delivery of the present channel.
    fn delivered(&self, tag: u64) -> AckToken {
        let mut state = self.state();
        state.ledger.delivered(tag);
        AckToken { scope: state.scope, tag }
    }

    fn settle(&self, tag: u64, verdict: Verdict) {
        self.state().ledger.settle(tag, verdict);
    }

    /// Another channel takes the place of the last one, and nothing of that can be settled any more.
    fn begin_scope(&self, scope: u64) {
        let mut state = self.state();
        state.scope = scope;
        state.ledger = Ledger::default();
    }

    /// Nobody waits any longer for what was not begun.
    fn end(&self) {
        let mut state = self.state();
        state.phase = Phase::Ended;
        let commands = std::mem::take(&mut state.commands);
        drop(state);
        drop(commands);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }
}
