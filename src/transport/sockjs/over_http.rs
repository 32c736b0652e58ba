//! The gateway's end of a session over HTTP. It lives as long as the session does, requests come and go.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use tokio::task::coop;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::Table;
use super::session::{Session, Stage};
use crate::transport::{Closing, Gone, Inbound, Kind};

/// The transport of a session over HTTP.
#[derive(Debug)]
pub struct OverHttp {
    table: Arc<Table>,
    id: Box<str>,
    session: Arc<Session>,
    peer: SocketAddr,
    kind: Kind,
    expiry: Pin<Box<Sleep>>,
}

impl OverHttp {
    pub(super) fn new(table: Arc<Table>, id: Box<str>, session: Arc<Session>, peer: SocketAddr, kind: Kind) -> Self {
        let expiry = Box::pin(sleep_until(session.deadline()));
        Self { table, id, session, peer, kind, expiry }
    }

    pub(in crate::transport) const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Of the request that the session began with.
    pub(in crate::transport) const fn kind(&self) -> Kind {
        self.kind
    }

    pub(in crate::transport) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Inbound> {
        self.session.gateway.register(cx.waker());
        self.poll_expiry(cx);
        // A socket takes part in tokio's budget, too: a driver that is flooded has to yield.
        let budget = ready!(coop::poll_proceed(cx));
        let mut state = self.session.lock();
        let message = state.inbox.as_mut().and_then(Iterator::next);
        if message.is_none() && state.inbox.take().is_some() {
            // Who asks for more has dealt with the last one.
            self.session.changed.notify_waiters();
        }
        let inbound = if let Some(message) = message {
            Inbound::Data(message)
        } else if let Some(max) = state.too_large.take() {
            Inbound::TooLarge { max }
        } else if std::mem::take(&mut state.is_alive) {
            // The bytes of a request are not counted.
            Inbound::Alive { bytes: 0 }
        } else {
            match state.stage {
                Stage::Open | Stage::Closing { .. } => return Poll::Pending,
                Stage::Interrupted | Stage::Expired => Inbound::Gone,
            }
        };
        budget.made_progress();
        Poll::Ready(inbound)
    }

    /// A client between two requests has not ended.
    pub(in crate::transport) fn has_ended(&self) -> bool {
        matches!(self.session.lock().stage, Stage::Interrupted | Stage::Expired)
    }

    pub(in crate::transport) fn queue(&mut self, message: &[u8]) {
        let mut state = self.session.lock();
        if matches!(state.stage, Stage::Open) {
            state.out.push(message);
        }
    }

    pub(in crate::transport) fn queue_ping(&mut self) {
        self.session.lock().ping();
        self.session.receiver.wake();
    }

    pub(in crate::transport) fn buffered(&self) -> usize {
        self.session.lock().out.bytes()
    }

    pub(in crate::transport) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.session.gateway.register(cx.waker());
        self.poll_expiry(cx);
        if self.session.lock().is_receiving() { Poll::Ready(()) } else { Poll::Pending }
    }

    pub(in crate::transport) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        self.session.gateway.register(cx.waker());
        self.poll_expiry(cx);
        let budget = ready!(coop::poll_proceed(cx));
        let state = self.session.lock();
        if matches!(state.stage, Stage::Interrupted | Stage::Expired) {
            return Poll::Ready(Err(Gone));
        }
        if state.out.bytes() == 0 {
            budget.made_progress();
            return Poll::Ready(Ok(()));
        }
        drop(state);
        self.session.receiver.wake();
        Poll::Pending
    }

    pub(in crate::transport) fn promise_heartbeats(&self) {
        self.session.heartbeats_are_promised.store(true, Ordering::Relaxed);
    }

    /// Returns when the session is forgotten. Until then whoever asks is told its end (S50, S55); when the process
    /// drains, only the first one, who may take no longer than others.
    pub(in crate::transport) async fn close(self, closing: Closing<'_>) {
        self.session.lock().close(closing.code, closing.reason);
        self.session.receiver.wake();
        self.session.changed.notify_waiters();
        let told = async {
            self.table.lifecycle.draining().cancelled().await;
            timeout(closing.patience, self.until_told()).await
        };
        tokio::select! {
            () = self.until_forgotten() => (),
            Ok(()) | Err(_) = told => (),
        }
    }

    async fn until_forgotten(&self) {
        loop {
            let deadline = self.session.deadline();
            if deadline <= Instant::now() {
                return;
            }
            sleep_until(deadline).await;
        }
    }

    async fn until_told(&self) {
        loop {
            let changed = self.session.changed.notified();
            if !matches!(self.session.lock().stage, Stage::Closing { is_told: false, .. }) {
                return;
            }
            changed.await;
        }
    }

    /// Ends a session that nobody has received from for too long (S54).
    fn poll_expiry(&mut self, cx: &mut Context<'_>) {
        while self.session.is_deserted() {
            let deadline = self.session.deadline();
            if deadline <= Instant::now() {
                self.session.lock().end(Stage::Expired);
                self.session.changed.notify_waiters();
                self.table.forget(&self.id, &self.session);
                return;
            }
            if self.expiry.deadline() != deadline {
                self.expiry.as_mut().reset(deadline);
            }
            if self.expiry.as_mut().poll(cx).is_pending() {
                return;
            }
        }
    }
}

impl Drop for OverHttp {
    fn drop(&mut self) {
        let mut state = self.session.lock();
        if matches!(state.stage, Stage::Open) {
            // It was given up without a close.
            state.end(Stage::Expired);
        }
        let (how, has_sent) = (state.stage.ended(), state.has_sent);
        drop(state);
        self.session.receiver.wake();
        self.session.changed.notify_waiters();
        self.session.over.cancel();
        self.table.forget(&self.id, &self.session);
        self.table.metrics.ended(how, has_sent);
    }
}
