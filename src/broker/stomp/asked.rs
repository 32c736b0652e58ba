//! What the session asked for and the broker has not answered, in the order of the asking, which is that of the answers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::broker::room::Place;
use crate::ident::SubscriptionKey;
use crate::session::Fault;

/// The number of an operation; the `receipt` of its frame.
pub(super) type Number = u64;

#[derive(Debug)]
pub(super) enum What {
    Publish {
        frame: Bytes,
        is_receipted: bool,
        /// Given back with the answer.
        _place: Place,
    },
    /// Refused before it could be written; answered in its turn.
    Refused,
    Subscribe(SubscriptionKey),
    Unsubscribe(Bytes),
}

#[derive(Debug)]
pub(super) struct Operation {
    pub(super) what: What,
    pub(super) state: State,
    asked: Instant,
    answer: oneshot::Sender<Result<(), Fault>>,
}

#[derive(Debug)]
pub(super) enum State {
    Answered(Result<(), Fault>),
    Waiting,
    Written(Instant),
}

#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Their numbers follow each other.
    operations: VecDeque<Operation>,
    first: Number,
}

/// How long answers may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From the asking, written or not.
    pub(super) publish: Duration,
    /// From the writing.
    pub(super) others: Duration,
}

/// What is given up at a moment.
#[derive(Debug, Default)]
pub(super) struct GivenUp {
    pub(super) publishes: Vec<Number>,
    pub(super) others: Vec<Number>,
}

impl Asked {
    /// That of the next one.
    pub(super) fn next_number(&self) -> Number {
        self.first + self.operations.len() as u64
    }

    pub(super) fn push(
        &mut self,
        what: What,
        outcome: Option<Result<(), Fault>>,
        now: Instant,
    ) -> oneshot::Receiver<Result<(), Fault>> {
        let (answer, pending) = oneshot::channel();
        let state = outcome.map_or(State::Waiting, State::Answered);
        self.operations.push_back(Operation { what, state, asked: now, answer });
        self.answer_front();
        pending
    }

    pub(super) fn get_mut(&mut self, number: Number) -> Option<&mut Operation> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.operations.get_mut(at)
    }

    /// Says whether it waited for this.
    pub(super) fn answer(&mut self, number: Number, outcome: Result<(), Fault>) -> bool {
        let Some(operation) = self.get_mut(number) else { return false };
        if matches!(operation.state, State::Answered(_)) {
            return false;
        }
        operation.state = State::Answered(outcome);
        self.answer_front();
        true
    }

    pub(super) fn fail_all(&mut self, fault: &Fault) {
        for it in &mut self.operations {
            if !matches!(it.state, State::Answered(_)) {
                it.state = State::Answered(Err(fault.clone()));
            }
        }
        self.answer_front();
    }

    /// The connection is lost: what has to be written again waits again. An UNSUBSCRIBE has nothing left to end.
    ///
    /// Returns how many SENDs will be written once more.
    pub(super) fn lost(&mut self) -> usize {
        let is_again = |it: &&Operation| matches!((&it.what, &it.state), (What::Publish { .. }, State::Written(_)));
        let again = self.operations.iter().filter(is_again).count();
        for it in &mut self.operations {
            match (&it.what, &it.state) {
                (_, State::Answered(_)) => {}
                (What::Unsubscribe(_), _) => it.state = State::Answered(Ok(())),
                (What::Publish { .. } | What::Refused | What::Subscribe(_), _) => it.state = State::Waiting,
            }
        }
        self.answer_front();
        again
    }

    /// What has to be written, in order.
    pub(super) fn waiting(&self) -> impl Iterator<Item = Number> {
        let numbered = self.operations.iter().zip(self.first..);
        numbered.filter(|(it, _)| matches!(it.state, State::Waiting)).map(|(_, number)| number)
    }

    /// When something is given up, unless it is answered before.
    pub(super) fn deadline(&self, patience: Patience) -> Option<Instant> {
        self.operations.iter().filter_map(|it| it.deadline(patience)).min()
    }

    pub(super) fn given_up(&self, patience: Patience, now: Instant) -> GivenUp {
        let mut given_up = GivenUp::default();
        for (it, number) in self.operations.iter().zip(self.first..) {
            if it.deadline(patience).is_some_and(|it| it <= now) {
                let is_publish = matches!(it.what, What::Publish { .. });
                let numbers = if is_publish { &mut given_up.publishes } else { &mut given_up.others };
                numbers.push(number);
            }
        }
        given_up
    }

    fn answer_front(&mut self) {
        while let Some(Operation { state: State::Answered(_), .. }) = self.operations.front() {
            let Some(Operation { state: State::Answered(outcome), answer, what, .. }) = self.operations.pop_front()
            else {
                return;
            };
            self.first += 1;
            drop(what);
            // Whoever has gone does not hear of it.
            drop(answer.send(outcome));
        }
    }
}

impl Operation {
    fn deadline(&self, patience: Patience) -> Option<Instant> {
        match (&self.what, &self.state) {
            (_, State::Answered(_)) | (What::Refused, _) => None,
            (What::Publish { .. }, _) => Some(self.asked + patience.publish),
            (What::Subscribe(_) | What::Unsubscribe(_), State::Written(at)) => Some(*at + patience.others),
            (What::Subscribe(_) | What::Unsubscribe(_), State::Waiting) => None,
        }
    }
}
