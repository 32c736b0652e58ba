//! The connection below a WebSocket, with the frames that wait to be written to it.
//!
//! tungstenite reads and answers (pong, close); what the gateway sends goes past it. Its own way out copies every
//! payload into a buffer that never shrinks and moves the rest of that buffer after every partial write. Here the
//! payload that all clients share goes to the network from where it is, many frames a call.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::OpCode;

use crate::transport::socket::{Socket, TLS_UNSENT_BYTES_MAX};

/// Frames handed to the network in one call.
const FRAMES_PER_WRITE: usize = 64;

/// Frames whose place is kept once nothing waits; the places of a longer queue are given back.
const FRAMES_KEPT: usize = 8;

/// A header without mask: two bytes, and up to eight of length (RFC 6455 section 5.2).
const HEADER_BYTES_MAX: usize = 10;

#[derive(Debug)]
pub(super) struct Wire {
    socket: Socket,
    peer: SocketAddr,
    waiting: VecDeque<Frame>,
    /// Bytes of the first waiting frame that are written.
    written: usize,
    /// Bytes that wait.
    buffered: usize,
    /// Bytes that TLS took and may not have handed to the network.
    unflushed: usize,
}

#[derive(Debug)]
struct Frame {
    header: [u8; HEADER_BYTES_MAX],
    header_len: u8,
    payload: Bytes,
}

impl Wire {
    pub(super) fn new(socket: Socket, peer: SocketAddr) -> Self {
        Self { socket, peer, waiting: VecDeque::new(), written: 0, buffered: 0, unflushed: 0 }
    }

    pub(super) const fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(super) fn has_ended(&self) -> bool {
        self.socket.has_ended()
    }

    pub(super) fn queue(&mut self, opcode: OpCode, payload: Bytes) {
        let header = FrameHeader { opcode, ..FrameHeader::default() };
        let mut frame = Frame { header: [0; HEADER_BYTES_MAX], header_len: 0, payload };
        let mut unwritten = &mut frame.header[..];
        header.format(frame.payload.len() as u64, &mut unwritten).expect("a header without mask fits");
        let unwritten = unwritten.len();
        frame.header_len = (HEADER_BYTES_MAX - unwritten) as u8;
        self.push(frame);
    }

    /// Bytes that wait.
    pub(super) const fn buffered(&self) -> usize {
        self.buffered + self.unflushed
    }

    /// Bytes that the network has taken.
    pub(super) fn taken(&self) -> u64 {
        self.socket.taken()
    }

    /// Hands everything that waits to the network.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            let mut slices = [IoSlice::new(&[]); 2 * FRAMES_PER_WRITE];
            let filled = fill(&mut slices, &self.waiting, self.written);
            let written = ready!(Pin::new(&mut self.socket).poll_write_vectored(cx, &slices[..filled]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        // TCP has nothing to flush.
        ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
        self.unflushed = 0;
        self.waiting.shrink_to(FRAMES_KEPT);
        Poll::Ready(Ok(()))
    }

    /// Ends the writing side.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    /// Reads and forgets until the client has ended its side.
    pub(super) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scratch = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn push(&mut self, frame: Frame) {
        self.buffered += frame.len();
        self.waiting.push_back(frame);
    }

    fn advance(&mut self, written: usize) {
        self.buffered -= written;
        self.written += written;
        if matches!(self.socket, Socket::Tls(_)) {
            // Taking more than it holds, it has handed on what it took before.
            self.unflushed = TLS_UNSENT_BYTES_MAX.min(self.unflushed + written);
        }
        while let Some(first) = self.waiting.front()
            && first.len() <= self.written
        {
            self.written -= first.len();
            self.waiting.pop_front();
        }
    }
}

impl Frame {
    fn header(&self) -> &[u8] {
        &self.header[..usize::from(self.header_len)]
    }

    fn len(&self) -> usize {
        usize::from(self.header_len) + self.payload.len()
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

/// What tungstenite sends of itself: a pong, a close.
impl AsyncWrite for Wire {
    /// Takes whole frames only, so that none begins in the middle of one of ours, and only when nothing waits: a
    /// client that pings and does not read fills tungstenite's buffer, which has a bound, and not this queue.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, frames: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(cx))?;
        self.push(Frame { header: [0; HEADER_BYTES_MAX], header_len: 0, payload: Bytes::copy_from_slice(frames) });
        Poll::Ready(Ok(frames.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_drain(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_end(cx)
    }
}

/// Points `slices` at what waits, but for the `written` bytes of the first frame; returns how many are used.
fn fill<'a>(slices: &mut [IoSlice<'a>; 2 * FRAMES_PER_WRITE], waiting: &'a VecDeque<Frame>, written: usize) -> usize {
    let mut filled = 0;
    let mut skipped = written;
    for frame in waiting.iter().take(FRAMES_PER_WRITE) {
        for part in [frame.header(), &frame.payload] {
            let rest = &part[skipped.min(part.len())..];
            skipped -= part.len() - rest.len();
            if !rest.is_empty() {
                slices[filled] = IoSlice::new(rest);
                filled += 1;
            }
        }
    }
    filled
}
