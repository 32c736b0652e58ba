//! What the two ends of a session over HTTP share: what waits for the client, what has come from it, who receives now.
//!
//! ```text
//!          close                    ┌─────────────┐
//! Open ───────────▶ Closing ───────▶│  forgotten, │
//!   │ its receiver broke            │  and the id │
//!   ├─────────────▶ Interrupted ───▶│  is free    │
//!   │ nobody received for too long  │             │
//!   └─────────────▶ Expired ───────▶└─────────────┘
//! ```

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures::task::AtomicWaker;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Settings;
use super::frame::{self, Arrays};
use super::json::{Fault, Messages, Reader};
use super::metrics::Ended;
use super::receiver::Receiver;
use crate::sync::lock;

/// How long the end of a receiver may take to arrive when the next one is there already (S58).
const CHANGE_TIME_MAX: Duration = Duration::from_millis(100);

/// A session over HTTP, as requests see it.
#[derive(Debug)]
pub struct Session {
    pub(super) settings: Settings,
    state: Mutex<State>,
    /// The gateway's end waits for something.
    pub(super) gateway: AtomicWaker,
    /// Whoever receives waits for something to write.
    pub(super) receiver: AtomicWaker,
    /// Something has ended or was taken that a request may wait for.
    pub(super) changed: Notify,
    /// Sending requests go one after the other (T10).
    turn: Semaphore,
    reader: Mutex<Reader>,
    sends: AtomicUsize,
    pub(super) heartbeats_are_promised: AtomicBool,
    pub(super) over: CancellationToken,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) stage: Stage,
    is_opened: bool,
    pub(super) out: Arrays,
    is_attached: bool,
    /// Of the page of the first request that told one (S26).
    origin: Option<Bytes>,
    /// When the last receiving request began or ended.
    last_request: Instant,
    /// A receiver has come, which the gateway's end has not heard of.
    pub(super) is_alive: bool,
    /// The receiver is to end, so that the client has to ask again.
    is_pinged: bool,
    /// What a sending request has brought, as far as it is not taken.
    pub(super) inbox: Option<Messages>,
    pub(super) too_large: Option<usize>,
    /// Whether the client has ever sent something.
    pub(super) has_sent: bool,
}

#[derive(Debug)]
pub(super) enum Stage {
    Open,
    Closing { frame: Bytes, is_told: bool },
    Interrupted,
    Expired,
}

impl Stage {
    /// What came of it, once it is over.
    pub(super) const fn ended(&self) -> Ended {
        match self {
            Self::Open | Self::Expired => Ended::Expired,
            Self::Closing { .. } => Ended::Closed,
            Self::Interrupted => Ended::Interrupted,
        }
    }
}

/// A frame for a receiver.
#[derive(Debug)]
pub struct Outgoing {
    pub frame: Bytes,
    /// Nothing follows in this answer.
    pub is_last: bool,
}

/// Why a sending request fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SendFault {
    /// No JSON, or an array with something else than strings.
    Broken,
    /// The session was not read for so long.
    Late {
        limit: Duration,
    },
    NoPayload,
}

/// The place of a sending request among those of its session.
#[derive(Debug)]
pub struct Place<'a>(&'a Session);

impl Session {
    pub(super) fn new(settings: Settings, origin: Option<Bytes>) -> Self {
        let state = State {
            stage: Stage::Open,
            is_opened: false,
            out: Arrays::new(settings.stream_bytes),
            is_attached: false,
            origin,
            last_request: Instant::now(),
            is_alive: false,
            is_pinged: false,
            inbox: None,
            too_large: None,
            has_sent: false,
        };
        Self {
            settings,
            state: Mutex::new(state),
            gateway: AtomicWaker::new(),
            receiver: AtomicWaker::new(),
            changed: Notify::new(),
            turn: Semaphore::new(1),
            reader: Mutex::default(),
            sends: AtomicUsize::new(0),
            heartbeats_are_promised: AtomicBool::new(false),
            over: CancellationToken::new(),
        }
    }

    /// Cancelled when the session is forgotten.
    pub const fn over(&self) -> &CancellationToken {
        &self.over
    }

    /// Begins an answer that carries frames, or tells with which frame it ends because there is one already. A client
    /// that has closed its last answer may be here before the news of that (S58).
    pub async fn receive(self: &Arc<Self>) -> Result<Receiver, Bytes> {
        let attached = timeout(CHANGE_TIME_MAX, async {
            loop {
                let changed = self.changed.notified();
                if let Some(receiver) = self.attach() {
                    return receiver;
                }
                changed.await;
            }
        });
        attached.await.map_err(|_| frame::close(2010, "Another connection still open"))
    }

    fn attach(self: &Arc<Self>) -> Option<Receiver> {
        let mut state = self.lock();
        state.last_request = Instant::now();
        if !matches!(state.stage, Stage::Open) {
            return Some(Receiver::new(Arc::clone(self), false));
        }
        if state.is_attached {
            return None;
        }
        state.is_attached = true;
        state.is_alive = true;
        state.is_pinged = false;
        drop(state);
        self.gateway.wake();
        Some(Receiver::new(Arc::clone(self), true))
    }

    /// The receiver has ended; `is_broken` if its client did that.
    pub(super) fn detach(&self, is_broken: bool) {
        let mut state = self.lock();
        state.is_attached = false;
        state.last_request = Instant::now();
        if is_broken && matches!(state.stage, Stage::Open) {
            // What was written may be lost, and so would be the order of all that follows (S56).
            state.end(Stage::Interrupted);
        }
        drop(state);
        self.gateway.wake();
        self.changed.notify_waiters();
    }

    /// `None` if as many wait as may.
    pub fn place(&self) -> Option<Place<'_>> {
        let before = self.sends.fetch_add(1, Ordering::Relaxed);
        // Dropping it takes the count back.
        let place = Place(self);
        (before < self.settings.sends_waiting_max).then_some(place)
    }

    /// A sending request had more than so many bytes. What it brought can't be taken, so nothing that follows can be.
    pub fn refuse(&self, bytes_max: usize) {
        self.lock().too_large = Some(bytes_max);
        self.gateway.wake();
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Open, and nobody receives.
    pub(super) fn is_deserted(&self) -> bool {
        let state = self.lock();
        matches!(state.stage, Stage::Open) && !state.is_attached
    }

    /// When it has been deserted for too long, or has told its end for long enough.
    pub(super) fn deadline(&self) -> Instant {
        self.lock().last_request + self.settings.disconnect_delay
    }

    /// Waits until the gateway's end has taken what the last sending request brought.
    async fn until_taken(&self) {
        loop {
            let changed = self.changed.notified();
            if self.lock().inbox.is_none() {
                return;
            }
            changed.await;
        }
    }
}

impl Place<'_> {
    /// Hands over the messages of a sending request, and returns when the session has dealt with them (S59). Where
    /// nobody reads any more it is as if they were taken: the close says why (S50).
    pub async fn send(&self, body: &[u8]) -> Result<(), SendFault> {
        let session = self.0;
        let limit = session.settings.send_time_max;
        let deadline = Instant::now() + limit;
        let late = |_| SendFault::Late { limit };
        let turn = timeout_at(deadline, async {
            let turn = session.turn.acquire().await.expect("it is never closed");
            session.until_taken().await;
            turn
        });
        let _turn = turn.await.map_err(late)?;
        let messages = lock(&session.reader).array(body).map_err(|fault| match fault {
            Fault::Broken if body.is_empty() => SendFault::NoPayload,
            Fault::Broken => SendFault::Broken,
            Fault::NoArray => SendFault::NoPayload,
        })?;
        session.lock().put(messages);
        session.gateway.wake();
        timeout_at(deadline, session.until_taken()).await.map_err(|it| {
            session.lock().inbox = None;
            late(it)
        })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.sends.fetch_sub(1, Ordering::Relaxed);
    }
}

impl State {
    pub(super) fn is_receiving(&self) -> bool {
        self.is_attached && matches!(self.stage, Stage::Open)
    }

    /// Whether a request may be of the client of this session (S26).
    pub(super) fn admits(&mut self, origin: Option<&[u8]>) -> bool {
        match (&self.origin, origin) {
            (Some(known), Some(origin)) => known == origin,
            (None, Some(origin)) => {
                self.origin = Some(Bytes::copy_from_slice(origin));
                true
            }
            (_, None) => true,
        }
    }

    fn put(&mut self, messages: Messages) {
        if matches!(self.stage, Stage::Open) {
            self.inbox = Some(messages);
            self.has_sent = true;
        }
    }

    /// What is written next.
    pub(super) fn next_frame(&mut self) -> Option<Outgoing> {
        if !self.is_opened {
            self.is_opened = true;
            return Some(Outgoing { frame: frame::OPEN, is_last: false });
        }
        if let Some(frame) = self.out.pop() {
            return Some(Outgoing { frame, is_last: false });
        }
        let frame = match &mut self.stage {
            Stage::Open if self.is_pinged => frame::HEARTBEAT,
            Stage::Open => return None,
            Stage::Closing { frame, is_told } => {
                *is_told = true;
                frame.clone()
            }
            Stage::Interrupted | Stage::Expired => frame::close(1002, "Connection interrupted"),
        };
        Some(Outgoing { frame, is_last: true })
    }

    /// The gateway's end says that this is all.
    pub(super) fn close(&mut self, code: u16, reason: &str) {
        if matches!(self.stage, Stage::Open) {
            self.last_request = Instant::now();
            self.inbox = None;
            self.stage = Stage::Closing { frame: frame::close(code, reason), is_told: false };
        }
    }

    /// Nobody is there to hear of anything.
    pub(super) fn end(&mut self, stage: Stage) {
        self.stage = stage;
        self.inbox = None;
        self.out.clear();
    }

    pub(super) fn ping(&mut self) {
        self.is_pinged = self.is_attached;
    }
}
