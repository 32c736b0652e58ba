//! The loop of one session: owns its transport, decoder, session and link; carries out actions; knows no rule of STOMP.

mod actions;
mod events;
mod handled;
mod hooks;
mod metrics;

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::Instant;

use crate::auth::{Authenticator, Rules};
use crate::broker::{Broker, Link};
use crate::delivery::{Outbox, Outboxes};
use crate::handlers::{Attributes, Handlers};
use crate::ident::{OpId, SessionId, SubscriptionId, SubscriptionKey};
use crate::lifecycle::Lifecycle;
use crate::message::AckToken;
use crate::registry::{Admission, UserSession, Users};
use crate::session::{self, CloseReason, Fault, Input, Level, Phase, Session};
use crate::stomp::{self, Decoder};
use crate::transport::{Closing, Kind, Transport};
use handled::{Calls, Step};
use hooks::Subscribed;
pub use metrics::Metrics;

/// What all sessions share. Cloned when what an operator decides changes: a session keeps what it began with.
#[derive(Clone, Debug)]
pub struct Context {
    pub authenticator: Authenticator,
    pub broker: Broker,
    /// Over how long the sessions are told to go when the process drains; each picks a moment of its own.
    pub drain_period: Duration,
    /// Of frames to `/app`; none if there are neither routes nor hooks.
    pub handlers: Option<Handlers>,
    pub lifecycle: Lifecycle,
    pub limits: stomp::Limits,
    pub metrics: Metrics,
    pub outboxes: Outboxes,
    /// What of the broker is open to clients.
    pub rules: Rules,
    pub session: Arc<session::Settings>,
    pub users: Users,
}

/// Bytes that may wait in the transport. More stays where it is bounded: deliveries in the outbox, frames unread.
const WRITE_BUFFER_MAX: usize = 64 * 1024;

/// When the timer looks again while no deadline is set.
const NOTHING_DUE: Duration = Duration::from_secs(3_600);

/// How often a client that is not read from, as it has sent more than it may, is looked after.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// How long a client may take to read the last bytes and to answer the close.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// Serves one client until its session is over.
pub async fn run(context: Arc<Context>, transport: Transport, admission: Admission) {
    serve(Driver::new(context, transport)).await;
    drop(admission);
}

/// A panic ends the session of which it is, with a close that says so, and nothing else.
#[expect(clippy::manual_async_fn, reason = "an async fn would keep the driver twice, once as its argument")]
fn serve(mut driver: Driver) -> impl Future<Output = ()> + Send {
    async move {
        let driven = AssertUnwindSafe(driver.drive()).catch_unwind().await;
        let reason = driven.unwrap_or(CloseReason::Panicked);
        driver.finish(&reason);
        let closing = reason.closing();
        let closing = Closing { code: closing.code, reason: closing.reason, patience: CLOSE_PATIENCE };
        driver.into_transport().close(closing).await;
    }
}

struct Driver {
    context: Arc<Context>,
    transport: Transport,
    /// Why nothing more is read from the transport; told to the session when all that came before has taken effect.
    ended: Option<Input>,
    decoder: Decoder,
    session: Session,
    /// For what is logged; the session has its own.
    id: SessionId,
    /// Asked for at the start: the network forgets it with the connection.
    peer: Option<SocketAddr>,
    user: Option<UserSession>,
    outbox: Arc<Outbox>,
    opening: Option<Opening>,
    link: Option<Link>,
    in_flight: VecDeque<InFlight>,
    calls: Calls,
    /// Once a handler was called.
    attributes: Option<Attributes>,
    /// Things that hooks were told of this session.
    notices: u64,
    settle_when_written: Vec<AckToken>,
    is_write_blocked: bool,
    is_reading: bool,
    reads_in_a_row: u32,
    /// When this session is told that the process drains.
    drain_at: Option<Instant>,
    /// When a client that has gone is not waited for any more.
    abandon_at: Option<Instant>,
    /// The session is over.
    closed: Option<CloseReason>,
    /// What the gauges say of this session.
    counted: Counted,
}

type OpenFuture = Pin<Box<dyn Future<Output = Result<Opened, Fault>> + Send>>;

/// A client was let in.
struct Opened {
    link: Link,
    user: Option<UserSession>,
}

struct Opening {
    op: OpId,
    future: OpenFuture,
}

struct InFlight {
    op: OpId,
    step: Step,
    asked: Asked,
}

/// What the driver has to do with the answer, beside passing it on.
enum Asked {
    /// A handler is asked, about a SUBSCRIBE if there is one.
    Call(Option<Box<Subscribed>>),
    /// When it was asked.
    Publish(Instant),
    /// What hooks are to be told, if any is.
    Subscribe(Option<Box<Subscribed>>),
    Unsubscribe(SubscriptionKey, SubscriptionId),
}

/// Dropped with its driver, wherever that ends: the gauges stay exact.
struct Counted {
    context: Arc<Context>,
    kind: Kind,
    phase: Phase,
    subscriptions: usize,
}

impl Driver {
    fn new(context: Arc<Context>, transport: Transport) -> Self {
        let id = SessionId::from_random(rand::random());
        let session = Session::new(id, Arc::clone(&context.session), Instant::now().into_std());
        let counted = Counted::new(Arc::clone(&context), transport.kind());
        Self {
            decoder: Decoder::new(context.limits),
            outbox: Arc::new(context.outboxes.open()),
            context,
            peer: transport.peer(),
            user: None,
            transport,
            ended: None,
            session,
            id,
            opening: None,
            link: None,
            in_flight: VecDeque::new(),
            calls: Calls::default(),
            attributes: None,
            notices: 0,
            settle_when_written: Vec::new(),
            is_write_blocked: false,
            is_reading: true,
            reads_in_a_row: 0,
            drain_at: None,
            abandon_at: None,
            closed: None,
            counted,
        }
    }

    /// Everything that can happen is polled in one place, and what happened is carried out before the next poll. No
    /// future holds progress that would be lost when another one is ready first.
    async fn drive(&mut self) -> CloseReason {
        let context = Arc::clone(&self.context);
        let mut told_to_end = pin!(context.lifecycle.draining().cancelled());
        let mut is_draining = false;
        let mut timer = pin!(tokio::time::sleep_until(Instant::now()));
        loop {
            self.carry_on();
            if let Some(reason) = self.closed.take() {
                return reason;
            }
            self.note_reading();
            self.arm(timer.as_mut());
            let event = std::future::poll_fn(|cx| {
                if told_to_end.as_mut().poll(cx).is_ready() {
                    let event = if is_draining { events::Event::Stop } else { events::Event::Drain };
                    is_draining = true;
                    told_to_end.set(context.lifecycle.stopping().cancelled());
                    return std::task::Poll::Ready(event);
                }
                self.poll_event(cx, timer.as_mut())
            })
            .await;
            self.take(event);
        }
    }

    /// All else is dropped: the gauges don't count who is only being closed.
    fn into_transport(self) -> Transport {
        self.transport
    }

    /// Makes the timer fire no later than the session wants it. It may fire earlier, after which it is armed again:
    /// most deadlines move on with every byte, and moving the timer each time would cost more than the few wake-ups.
    fn arm(&self, timer: Pin<&mut tokio::time::Sleep>) {
        let look_at = (!self.session.wants_input()).then(|| Instant::now() + LOOK_AFTER);
        let deadlines = [self.session.poll_timeout().map(Instant::from_std), self.drain_at, self.abandon_at, look_at];
        // Of a session that is not read and sends no heart-beats nothing may be due at all.
        let deadline = deadlines.into_iter().flatten().min().unwrap_or_else(|| Instant::now() + NOTHING_DUE);
        if deadline < timer.deadline() || timer.is_elapsed() {
            timer.reset(deadline);
        }
    }

    /// Ends what this session holds at the broker and in the gauges.
    fn finish(&mut self, reason: &CloseReason) {
        self.outbox.close();
        let closing = reason.closing();
        if let Some(link) = self.link.take() {
            link.close();
            self.tell_disconnected(closing.label);
        }
        self.context.metrics.closed(closing.label);
        let text = closing.error.map_or_else(|| closing.reason.to_owned(), |(_, text)| text);
        let (session, reason) = (self.id, closing.label);
        let peer = self.peer.map(tracing::field::display);
        let user = self.user.as_ref().map(|it| it.user().name());
        match closing.level {
            Level::Debug => tracing::debug!(%session, peer, user, reason, text, "session closed"),
            Level::Info => tracing::info!(%session, peer, user, reason, text, "session closed"),
            Level::Warn => tracing::warn!(%session, peer, user, reason, text, "session closed"),
            Level::Error => tracing::error!(%session, peer, user, reason, text, "session closed"),
        }
    }

    /// Brings the gauges up to date.
    fn count(&mut self) {
        self.counted.set(self.session.phase(), self.session.subscriptions());
    }
}

impl Counted {
    fn new(context: Arc<Context>, kind: Kind) -> Self {
        context.metrics.sessions(Phase::Connecting).inc();
        context.metrics.transports(kind).inc();
        Self { context, kind, phase: Phase::Connecting, subscriptions: 0 }
    }

    fn set(&mut self, phase: Phase, subscriptions: usize) {
        let metrics = &self.context.metrics;
        if phase != self.phase {
            metrics.sessions(self.phase).dec();
            metrics.sessions(phase).inc();
            self.phase = phase;
        }
        if subscriptions != self.subscriptions {
            metrics.subscriptions.add(gauge(subscriptions) - gauge(self.subscriptions));
            self.subscriptions = subscriptions;
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.set(self.phase, 0);
        self.context.metrics.sessions(self.phase).dec();
        self.context.metrics.transports(self.kind).dec();
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
