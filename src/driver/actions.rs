//! Carrying out what a session wants.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::handled::Work;
use super::{Asked, Driver, Opened, Opening, WRITE_BUFFER_MAX};
use crate::auth::{Access, NotOpen};
use crate::broker::LinkRequest;
use crate::destination::Destination;
use crate::ident::{OpId, Principal};
use crate::registry::{TooMany, UserSession, Users};
use crate::session::{Action, Credentials, Fault, Holder, Input, Phase, Verdict};
use crate::stomp::{Headers, text_only};

impl Driver {
    /// Reads frames and carries out what follows from them, until something has to be waited for.
    pub(super) fn carry_on(&mut self) {
        loop {
            self.carry_out();
            let has_room = self.ended.is_some() || self.transport.buffered() < WRITE_BUFFER_MAX;
            if self.closed.is_some() || !has_room || !(self.session.wants_frames() || self.is_abandoned()) {
                break;
            }
            let input = match self.decoder.next_frame() {
                Ok(Some(frame)) => {
                    self.context.metrics.frames_received(frame.command).inc();
                    Input::Frame(frame)
                }
                Ok(None) if self.owes_calls() => break,
                Ok(None) => match self.ended.take() {
                    Some(ended) => ended,
                    None => break,
                },
                Err(error) => Input::Malformed { error, receipt: self.decoder.failed_receipt().map(Into::into) },
            };
            self.handle(input);
        }
        self.count();
    }

    /// The client is gone and has left nothing that could still take effect: what is pending at the broker need not be
    /// waited for, and it may take for ever while a broker blocks publishers.
    fn is_abandoned(&self) -> bool {
        let has_frames = self.session.phase() != Phase::Closing && self.decoder.buffered() > 0;
        matches!(self.ended, Some(Input::Gone)) && !has_frames && !self.owes_calls()
    }

    pub(super) fn handle(&mut self, input: Input) {
        self.session.handle(Instant::now().into_std(), input);
    }

    pub(super) fn carry_out(&mut self) {
        while let Some(action) = self.session.poll_action() {
            match action {
                Action::Close(reason) => self.closed = Some(reason),
                Action::Open { op, credentials } => self.open(op, credentials),
                Action::Ping => self.transport.queue_ping(),
                Action::Publish { op, publish } if matches!(publish.destination, Destination::App(_)) => {
                    self.call_for_send(op, publish);
                }
                Action::Publish { op, publish } => {
                    let checked = self.check(Access::Send, &publish.destination, &publish.headers);
                    self.ask(op, checked, Asked::Publish(Instant::now()), Work::Publish(publish));
                }
                Action::Settle { tokens, verdict } => {
                    if let Some(link) = &mut self.link {
                        link.settle(&tokens, verdict);
                    }
                }
                Action::SettleWhenWritten(token) => self.settle_when_written.push(token),
                Action::Subscribe { op, subscribe } if matches!(subscribe.destination, Destination::App(_)) => {
                    self.call_for_subscribe(op, subscribe);
                }
                Action::Subscribe { op, subscribe } => {
                    let checked = self.check(Access::Subscribe, &subscribe.destination, &subscribe.headers);
                    let asked = Asked::Subscribe(self.subscribed(&subscribe));
                    self.ask(op, checked, asked, Work::Subscribe(Box::new(subscribe)));
                }
                Action::Throttle(rate) => self.context.metrics.throttled(rate).inc(),
                Action::Transmit { sent, bytes } => {
                    self.context.metrics.frames_sent(sent).inc();
                    let bytes = if self.transport.is_text_only() { self.as_text(bytes) } else { bytes };
                    self.context.metrics.sent_bytes.inc_by(bytes.len() as u64);
                    self.transport.queue(bytes);
                }
                Action::Unsubscribe { op, id, holder, unsubscribe } => {
                    let asked = Asked::Unsubscribe(unsubscribe.key, id);
                    let work = match holder {
                        Holder::Broker => Work::Unsubscribe(unsubscribe),
                        Holder::Nobody => Work::Nothing,
                    };
                    self.ask(op, Ok(()), asked, work);
                }
            }
        }
        if let Some(version) = self.session.version() {
            self.decoder.set_version(version);
        }
        if self.session.promises_heartbeats() {
            self.transport.promise_heartbeats();
        }
    }

    /// A body that is no UTF-8 can't pass (T5).
    fn as_text(&self, frame: Bytes) -> Bytes {
        text_only(frame).unwrap_or_else(|replaced| {
            self.context.metrics.bodies_replaced.inc();
            replaced
        })
    }

    /// Everything queued so far was handed to the network.
    pub(super) fn settle_written(&mut self) {
        if let (false, Some(link)) = (self.settle_when_written.is_empty(), &mut self.link) {
            link.settle(&self.settle_when_written, Verdict::Accepted);
        }
        self.settle_when_written.clear();
    }

    fn open(&mut self, op: OpId, credentials: Credentials) {
        let context = Arc::clone(&self.context);
        let (session, outbox) = (self.id, Arc::clone(&self.outbox));
        let future = Box::pin(async move {
            let (login, passcode) = (credentials.login.as_deref(), credentials.passcode.as_deref());
            let principal: Option<Principal> = context.authenticator.authenticate(login, passcode).map_err(|_| {
                let login = login.unwrap_or_default().to_owned();
                Fault::AccessRefused { login }
            })?;
            let link =
                context.broker.open(LinkRequest { session, credentials, user: principal.clone(), outbox }).await?;
            // Who is not let in by the broker takes nobody's place.
            let user = principal.map(|it| admit(&context.users, it)).transpose()?;
            Ok(Opened { link, user })
        });
        self.opening = Some(Opening { op, future });
    }

    fn check(&self, access: Access, destination: &Destination, headers: &Headers) -> Result<(), Fault> {
        let checked = self.context.rules.check(access, destination, headers);
        checked.map_err(|NotOpen(destination)| Fault::Forbidden { destination })
    }
}

fn admit(users: &Users, user: Principal) -> Result<UserSession, Fault> {
    let name = user.name().to_owned();
    users.admit(user).map_err(|TooMany { max }| Fault::UserSessions { user: name, max })
}
