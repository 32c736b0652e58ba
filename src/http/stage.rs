//! What a connection is slow with when its time is over. hyper does not tell a slow client from an idle one, so it is
//! watched what it reads.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport::Socket;

/// What the client had to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// Begin with a request, or with the next one.
    Idle,
    ProxyHeader,
    /// Finish the head of a request.
    RequestHead,
    /// End its use of the connection for requests.
    Requests,
    TlsHandshake,
}

/// Whether something came since the last request that was answered. Cloning it clones a handle.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<AtomicBool>);

/// A connection that is listened to.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) socket: Socket,
    pub(super) heard: Heard,
}

impl Stage {
    /// All values of the metric label `stage`.
    pub(super) const LABELS: [&str; 5] = ["idle", "proxy_header", "request_head", "requests", "tls_handshake"];

    /// One of [`Stage::LABELS`].
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::ProxyHeader => "proxy_header",
            Self::RequestHead => "request_head",
            Self::Requests => "requests",
            Self::TlsHandshake => "tls_handshake",
        }
    }
}

impl Heard {
    /// A whole request was read.
    pub(super) fn forget(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// What a client is slow with that has not sent a whole head.
    pub(super) fn stage(&self) -> Stage {
        if self.0.load(Ordering::Relaxed) { Stage::RequestHead } else { Stage::Idle }
    }
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.socket).poll_read(cx, buffer))?;
        if before < buffer.filled().len() {
            this.heard.0.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
