//! A connection in memory, for tests of what stands on a transport: its client end can refuse to read.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::task::AtomicWaker;
use tokio::task::coop;

use super::{Closing, Gone, Inbound};
use crate::sync::lock;

/// Of what was handed on, so much may seem to wait.
const UNFLUSHED_BYTES_MAX: usize = 16 * 1024;

/// The gateway's end.
#[derive(Debug)]
pub struct Pipe {
    shared: Arc<Shared>,
    queued: VecDeque<Bytes>,
    buffered: usize,
    /// As TLS does, it seems to hold what it has handed on, until all is.
    unflushed: usize,
    taken: u64,
}

/// The client's end.
#[derive(Debug)]
pub struct Peer(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    gateway: AtomicWaker,
    peer: AtomicWaker,
}

#[derive(Debug, Default)]
struct State {
    to_gateway: VecDeque<Inbound>,
    to_peer: VecDeque<Bytes>,
    pings: usize,
    is_stalled: bool,
    /// Payloads that the client takes though it is stalled.
    taken_while_stalled: usize,
    closed: Option<(u16, String)>,
    is_dropped: bool,
}

/// Both ends of a new connection.
pub fn pair() -> (Pipe, Peer) {
    let shared = Arc::new(Shared::default());
    (Pipe { shared: Arc::clone(&shared), queued: VecDeque::new(), buffered: 0, unflushed: 0, taken: 0 }, Peer(shared))
}

impl Pipe {
    /// A sign of life may have been a ping, of which the answer takes along all that waits: as over WebSocket.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Inbound> {
        self.shared.gateway.register(cx.waker());
        // A socket takes part in tokio's budget, too: a driver that is flooded has to yield.
        let budget = ready!(coop::poll_proceed(cx));
        let mut state = self.shared.lock();
        let Some(inbound) = state.to_gateway.pop_front() else { return Poll::Pending };
        budget.made_progress();
        if matches!(inbound, Inbound::Alive { .. }) && !state.is_stalled {
            state.to_peer.extend(self.queued.drain(..));
            self.taken += std::mem::take(&mut self.buffered) as u64;
            self.unflushed = 0;
            self.shared.peer.wake();
        }
        Poll::Ready(inbound)
    }

    pub fn has_ended(&self) -> bool {
        self.shared.lock().to_gateway.contains(&Inbound::Gone)
    }

    pub fn queue(&mut self, payload: Bytes) {
        self.buffered += payload.len();
        self.queued.push_back(payload);
    }

    pub fn queue_ping(&mut self) {
        self.shared.lock().pings += 1;
    }

    pub fn buffered(&self) -> usize {
        self.buffered + self.unflushed
    }

    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// One payload a poll, so that a driver sees `Pending` in the middle of what it writes.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        self.shared.gateway.register(cx.waker());
        let budget = ready!(coop::poll_proceed(cx));
        if !self.shared.lock().may_take() {
            return Poll::Pending;
        }
        budget.made_progress();
        if let Some(payload) = self.queued.pop_front() {
            self.buffered -= payload.len();
            self.taken += payload.len() as u64;
            self.unflushed = UNFLUSHED_BYTES_MAX.min(self.unflushed + payload.len());
            self.shared.lock().to_peer.push_back(payload);
            self.shared.peer.wake();
        }
        if self.queued.is_empty() {
            self.unflushed = 0;
            return Poll::Ready(Ok(()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    pub async fn close(mut self, closing: Closing<'_>) {
        let mut state = self.shared.lock();
        if !state.is_stalled {
            state.to_peer.extend(self.queued.drain(..));
        }
        state.closed = Some((closing.code, closing.reason.to_owned()));
        drop(state);
        self.shared.peer.wake();
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.shared.lock().is_dropped = true;
        self.shared.peer.wake();
    }
}

impl Peer {
    /// Something happens on the client's side.
    pub fn send(&self, inbound: Inbound) {
        self.0.lock().to_gateway.push_back(inbound);
        self.0.gateway.wake();
    }

    pub fn send_text(&self, text: &str) {
        self.send(Inbound::Data(Bytes::copy_from_slice(text.as_bytes())));
    }

    /// Stops or resumes reading.
    pub fn stall(&self, is_stalled: bool) {
        self.0.lock().is_stalled = is_stalled;
        self.0.gateway.wake();
    }

    /// Resumes reading, and in the same moment something happens on the client's side.
    pub fn resume_with(&self, inbound: Inbound) {
        let mut state = self.0.lock();
        state.is_stalled = false;
        state.to_gateway.push_back(inbound);
        drop(state);
        self.0.gateway.wake();
    }

    /// Reads one payload, and then nothing more.
    pub fn read_one(&self) {
        self.0.lock().taken_while_stalled += 1;
        self.0.gateway.wake();
    }

    /// The next payload, or `None` once the connection was closed and everything is read.
    pub async fn receive(&self) -> Option<Bytes> {
        std::future::poll_fn(|cx| {
            self.0.peer.register(cx.waker());
            let mut state = self.0.lock();
            match state.to_peer.pop_front() {
                Some(payload) => Poll::Ready(Some(payload)),
                None if state.is_dropped => Poll::Ready(None),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Code and reason of the close, if it was closed.
    pub fn closed(&self) -> Option<(u16, String)> {
        self.0.lock().closed.clone()
    }

    pub fn pings(&self) -> usize {
        self.0.lock().pings
    }
}

impl State {
    fn may_take(&mut self) -> bool {
        let is_let_through = self.is_stalled && self.taken_while_stalled > 0;
        self.taken_while_stalled -= usize::from(is_let_through);
        !self.is_stalled || is_let_through
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        lock(&self.state)
    }
}
