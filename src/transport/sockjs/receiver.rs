//! An answer that carries frames to the client: attached to its session from its first frame to its last.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep};

use super::frame;
use super::session::{Outgoing, Session};

/// Who writes the frames of a session. If it is dropped while it is attached, its client has gone (S56).
#[derive(Debug)]
pub struct Receiver {
    session: Arc<Session>,
    /// One that is not can only be told why.
    is_attached: bool,
    heartbeat: Pin<Box<Sleep>>,
}

impl Receiver {
    pub(super) fn new(session: Arc<Session>, is_attached: bool) -> Self {
        let heartbeat = Box::pin(sleep(session.settings.heartbeat));
        Self { session, is_attached, heartbeat }
    }

    /// The one frame of an answer that has no other one (S51). The session is let go before it is written (S53).
    pub async fn only(mut self) -> Outgoing {
        let frame = poll_fn(|cx| self.poll_next(cx)).await;
        self.detach();
        frame
    }

    /// Not polled again after the last one.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Outgoing> {
        if self.is_attached {
            self.session.receiver.register(cx.waker());
        }
        let next = self.session.lock().next_frame();
        match next {
            Some(next) => {
                self.put_off_heartbeat();
                if next.is_last {
                    self.detach();
                }
                self.session.changed.notify_waiters();
                // It may wait until all is written.
                self.session.gateway.wake();
                Poll::Ready(next)
            }
            None => self.poll_heartbeat(cx),
        }
    }

    /// The answer ends here, and the session goes on.
    pub fn detach(&mut self) {
        if self.is_attached {
            self.is_attached = false;
            self.session.detach(false);
        }
    }

    fn poll_heartbeat(&mut self, cx: &mut Context<'_>) -> Poll<Outgoing> {
        loop {
            ready!(self.heartbeat.as_mut().poll(cx));
            self.put_off_heartbeat();
            if !self.session.heartbeats_are_promised.load(Ordering::Relaxed) {
                return Poll::Ready(Outgoing { frame: frame::HEARTBEAT, is_last: false });
            }
        }
    }

    fn put_off_heartbeat(&mut self) {
        self.heartbeat.as_mut().reset(Instant::now() + self.session.settings.heartbeat);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if self.is_attached {
            self.session.detach(true);
        }
    }
}
