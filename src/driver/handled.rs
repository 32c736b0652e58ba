//! Frames to handlers: calling, what has to wait behind a call, and carrying out what was answered.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::FutureExt;

use super::{Asked, Driver, InFlight, Subscribed};
use crate::broker::{Link, Pending, memory_full};
use crate::destination::Destination;
use crate::handlers::{Call, Cause, Concurrency, Event, Failure, Handled, Reply, Request, Sender, To, Told};
use crate::ident::OpId;
use crate::message::{Delivery, Message, Share};
use crate::session::{Answer, Fault, HandlerFault, Input, Outcome, Publish, Subscribe, Unsubscribe};
use crate::stomp::Headers;

/// How far something is that the session asked for.
pub(super) enum Step {
    /// The link was asked.
    Asked(Pending),
    /// A handler is, once it is its turn.
    Called(Box<Called>),
    /// Waits for the calls before it.
    Held(Box<Held>),
    /// A handler has answered.
    Replied(Box<Replied>),
}

pub(super) struct Called {
    call: Call,
    #[expect(dead_code, reason = "it is kept for its drop")]
    memory: Share,
}

pub(super) struct Held {
    work: Work,
    /// Of a SEND.
    #[expect(dead_code, reason = "it is kept for its drop")]
    memory: Option<Share>,
}

/// What the link is asked for.
pub(super) enum Work {
    Nothing,
    Publish(Publish),
    Subscribe(Box<Subscribe>),
    Unsubscribe(Unsubscribe),
}

/// Waits until the broker has taken the replies.
pub(super) struct Replied {
    /// In their order.
    pending: VecDeque<Pending>,
    fault: Option<Fault>,
    told: Told,
    /// For the SUBSCRIBE that was answered.
    direct: Vec<Delivery>,
    ends_session: bool,
}

/// Bytes that a SEND takes beside its own while it waits.
const OVERHEAD: usize = 512;

/// How many steps are not where the broker alone decides when they end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Calls {
    /// [`Step::Called`] and [`Step::Held`].
    unfinished: usize,
    /// Of the calls, those that hold up what comes after them.
    ordered: usize,
}

impl Step {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        match self {
            Self::Asked(pending) => Pin::new(pending).poll(cx).map_ok(|()| Answer::Done),
            Self::Called(_) | Self::Held(_) => Poll::Pending,
            Self::Replied(replied) => replied.poll(cx),
        }
    }
}

impl Replied {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        while let Some(pending) = self.pending.front_mut() {
            let outcome = ready!(Pin::new(pending).poll(cx));
            self.pending.pop_front();
            if let Err(fault) = outcome {
                self.fault.get_or_insert(fault);
            }
        }
        Poll::Ready(match (self.fault.take(), self.told) {
            (None, _) => Ok(Answer::Done),
            (Some(fault), Told::Sender) => Err(fault),
            (Some(fault), Told::WhoAskedForReceipt) => Ok(Answer::Untold(Some(fault))),
            (Some(_), Told::Nobody) => Ok(Answer::Untold(None)),
        })
    }
}

impl Driver {
    pub(super) fn call_for_send(&mut self, op: OpId, publish: Publish) {
        let Publish { destination, headers, body, reply_to: _, is_receipted: _ } = publish;
        let request = self.request(Event::Send, op, &destination, headers);
        self.call(op, Request { body, ..request }, None);
    }

    pub(super) fn call_for_subscribe(&mut self, op: OpId, subscribe: Subscribe) {
        let Subscribe { key, id, destination, headers, .. } = subscribe;
        let request = self.request(Event::Subscribe, op, &destination, headers);
        let subscribed = Subscribed { key, id: id.clone(), destination: destination.to_string().into() };
        self.call(op, Request { subscription: Some(id), ..request }, Some(Box::new(subscribed)));
    }

    /// Asks the link, unless it must not be; the answer has its place among the others either way.
    pub(super) fn ask(&mut self, op: OpId, checked: Result<(), Fault>, asked: Asked, work: Work) {
        let step = match checked {
            Ok(()) if self.calls.ordered > 0 => self.hold(work),
            Ok(()) => Ok(Step::Asked(self.begin(work))),
            Err(fault) => Err(fault),
        };
        let step = step.unwrap_or_else(|fault| Step::Asked(Pending::ready(Err(fault))));
        self.in_flight.push_back(InFlight { op, step, asked });
    }

    /// Calls are polled side by side, as far as their order allows, and not only the oldest as everything else.
    pub(super) fn poll_calls(&mut self, cx: &mut Context<'_>) {
        let mut is_free = true;
        for at in 0..self.in_flight.len() {
            if self.calls.unfinished == 0 {
                return;
            }
            match &mut self.in_flight[at].step {
                Step::Called(called) if is_free || called.call.concurrency == Concurrency::Unordered => {
                    let is_ordered = called.call.concurrency == Concurrency::PerSession;
                    match called.call.handled.poll_unpin(cx) {
                        Poll::Ready(handled) => {
                            self.calls.unfinished -= 1;
                            self.calls.ordered -= usize::from(is_ordered);
                            self.reply(at, handled);
                        }
                        Poll::Pending => is_free &= !is_ordered,
                    }
                }
                step @ Step::Held(_) if is_free => {
                    let Step::Held(held) = std::mem::replace(step, Step::Asked(Pending::ready(Ok(())))) else {
                        continue;
                    };
                    self.calls.unfinished -= 1;
                    self.in_flight[at].step = Step::Asked(self.begin(held.work));
                }
                Step::Asked(_) | Step::Called(_) | Step::Held(_) | Step::Replied(_) => {}
            }
        }
    }

    /// The client has gone, and what it sent before is not done yet.
    pub(super) fn owes_calls(&self) -> bool {
        self.calls.unfinished > 0 && matches!(self.ended, Some(Input::Gone))
    }

    /// After the session has heard of it.
    pub(super) fn finish_call(&mut self, step: Step) {
        let Step::Replied(replied) = step else { return };
        for delivery in replied.direct {
            // If there is no room, the outbox says so itself.
            let _pushed = self.outbox.push(delivery);
        }
        if replied.ends_session {
            self.handle(Input::Dismissed);
        }
    }

    pub(super) fn sender(&self) -> Sender {
        Sender { session: self.id, user: self.user.as_ref().map(|it| it.user().clone()) }
    }

    fn request(&mut self, event: Event, op: OpId, destination: &Destination, headers: Headers) -> Request {
        let path = if let Destination::App(path) = destination { path.clone() } else { Box::default() };
        let (sender, subscription, body) = (self.sender(), None, bytes::Bytes::new());
        let attributes = self.attributes.get_or_insert_default().clone();
        Request { event, path, sender, number: op.0, subscription, headers, body, attributes }
    }

    fn call(&mut self, op: OpId, request: Request, subscribed: Option<Box<Subscribed>>) {
        let step = self.start_call(request).unwrap_or_else(|fault| Step::Asked(Pending::ready(Err(fault))));
        self.in_flight.push_back(InFlight { op, step, asked: Asked::Call(subscribed) });
    }

    fn start_call(&mut self, request: Request) -> Result<Step, Fault> {
        let no_routes = Fault::Unsupported("there are no routes for /app (app.routes)");
        let handlers = self.context.handlers.as_ref().ok_or(no_routes)?;
        let memory = self.memory(request.headers.size() + request.body.len())?;
        let call = handlers.call(request);
        self.calls.unfinished += 1;
        self.calls.ordered += usize::from(call.concurrency == Concurrency::PerSession);
        Ok(Step::Called(Box::new(Called { call, memory })))
    }

    fn hold(&mut self, work: Work) -> Result<Step, Fault> {
        let memory = match &work {
            Work::Publish(publish) => Some(self.memory(publish.size())?),
            Work::Nothing | Work::Subscribe(_) | Work::Unsubscribe(_) => None,
        };
        self.calls.unfinished += 1;
        Ok(Step::Held(Box::new(Held { work, memory })))
    }

    /// For what waits.
    fn memory(&self, bytes: usize) -> Result<Share, Fault> {
        self.context.outboxes.budget().try_take(bytes + OVERHEAD).map_err(memory_full)
    }

    fn begin(&mut self, work: Work) -> Pending {
        // A session asks for nothing before its link is open, so there is one.
        let Some(link) = &mut self.link else { return Pending::ready(Err(Fault::Unavailable)) };
        match work {
            Work::Nothing => Pending::ready(Ok(())),
            Work::Publish(publish) => link.publish(publish),
            Work::Subscribe(subscribe) => link.subscribe(*subscribe),
            Work::Unsubscribe(unsubscribe) => link.unsubscribe(unsubscribe),
        }
    }

    /// Publishes what a handler replies. Calling fixes the order, so what comes after may go on.
    fn reply(&mut self, at: usize, handled: Handled) {
        let Handled { replies, outcome, told, ends_session } = handled;
        let (mut pending, mut direct) = (VecDeque::new(), Vec::new());
        for (number, Reply { to, headers, body }) in replies.into_iter().enumerate() {
            match (to, &self.in_flight[at].asked) {
                (To::Destination(destination), _) => {
                    let publish = Publish { destination, headers, body, reply_to: None, is_receipted: true };
                    pending.push_back(self.link.as_mut().map_or_else(
                        || Pending::ready(Err(Fault::Unavailable)),
                        |link: &mut Link| link.publish(publish),
                    ));
                }
                (To::Subscription, Asked::Call(Some(subscribed))) => {
                    // As no broker has them, and not in the form of those that an ACK may name.
                    let id = format!("app-{}-{}-{number}", self.id, self.in_flight[at].op.0);
                    let message = Message::new(&id, &subscribed.destination, headers, body);
                    direct.push(Delivery { subscription: subscribed.key, message, token: None, redelivered: false });
                }
                (To::Subscription, _) => {}
            }
        }
        let fault = outcome.err().map(fault);
        let replied = Replied { pending, fault, told, direct, ends_session };
        self.in_flight[at].step = Step::Replied(Box::new(replied));
    }
}

fn fault(failure: Failure) -> Fault {
    let cause = match failure.cause {
        Cause::Failed => HandlerFault::Failed,
        Cause::Limit => HandlerFault::Limit,
        Cause::Missing => HandlerFault::Missing,
        Cause::Refused => HandlerFault::Refused,
        Cause::TimedOut => HandlerFault::TimedOut,
        Cause::Unavailable => HandlerFault::Unavailable,
    };
    Fault::Handler { cause, text: failure.text }
}
