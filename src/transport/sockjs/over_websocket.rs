//! A session of SockJS over a WebSocket, with which it lives and dies (S84).

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep};

use super::Settings;
use super::frame::{self, Arrays};
use super::json::{Messages, Reader};
use crate::transport::websocket::{Received, WebSocket};
use crate::transport::{Closing, Gone, Inbound};

/// How long the client may take to answer the close (S83).
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// Bytes that messages share an array up to. Spring's own client takes 8 KiB at a time, where Spring sends each message
/// alone (P21).
const ARRAY_BYTES_MAX: usize = 4 * 1024;

/// Nobody is there to be told anything (RFC 6455 section 7.4.1).
const GONE: u16 = 1006;

/// The transport of a session over WebSocket.
#[derive(Debug)]
pub struct OverWebSocket {
    socket: Box<WebSocket>,
    reader: Reader,
    /// Of the last message of the WebSocket.
    messages: Messages,
    out: Arrays,
    heartbeat: Option<Pin<Box<Sleep>>>,
    heartbeat_every: Duration,
    last_write: Instant,
    /// With which code the WebSocket is closed, as the client broke a rule.
    violation: Option<u16>,
}

impl OverWebSocket {
    pub fn new(socket: WebSocket, settings: Settings) -> Self {
        let mut socket = Box::new(socket);
        socket.queue(frame::OPEN);
        Self {
            socket,
            reader: Reader::default(),
            messages: Messages::default(),
            out: Arrays::new(settings.stream_bytes.min(ARRAY_BYTES_MAX)),
            heartbeat: Some(Box::pin(sleep(settings.heartbeat))),
            heartbeat_every: settings.heartbeat,
            last_write: Instant::now(),
            violation: None,
        }
    }

    pub(in crate::transport) fn peer(&self) -> SocketAddr {
        self.socket.peer()
    }

    pub(in crate::transport) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Inbound> {
        loop {
            if let Some(message) = self.messages.next() {
                return Poll::Ready(Inbound::Data(message));
            }
            match ready!(self.socket.poll_message(cx)) {
                Received::Text(text) if text.is_empty() => (),
                Received::Text(text) => match self.reader.array_or_string(&text) {
                    Ok(messages) => self.messages = messages,
                    Err(_) => return Poll::Ready(self.violated(1007, "A message must be a JSON array of strings")),
                },
                Received::Binary(_) => return Poll::Ready(self.violated(1003, "Messages of SockJS are text")),
                Received::Other(inbound) => return Poll::Ready(inbound),
            }
        }
    }

    pub(in crate::transport) fn has_ended(&self) -> bool {
        self.socket.has_ended()
    }

    pub(in crate::transport) fn taken(&self) -> u64 {
        self.socket.taken()
    }

    pub(in crate::transport) fn queue(&mut self, message: &[u8]) {
        self.out.push(message);
    }

    pub(in crate::transport) fn queue_ping(&mut self) {
        self.socket.queue_ping();
    }

    pub(in crate::transport) fn buffered(&self) -> usize {
        self.out.bytes() + self.socket.buffered()
    }

    /// There is always room, and sometimes a heart-beat to write.
    pub(in crate::transport) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(heartbeat) = &mut self.heartbeat
            && heartbeat.as_mut().poll(cx).is_ready()
        {
            if self.last_write + self.heartbeat_every <= Instant::now() {
                self.write(frame::HEARTBEAT);
            }
            let next = self.last_write + self.heartbeat_every;
            self.heartbeat.iter_mut().for_each(|it| it.as_mut().reset(next));
        }
        Poll::Ready(())
    }

    pub(in crate::transport) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        self.write_arrays();
        self.socket.poll_flush(cx)
    }

    pub(in crate::transport) fn promise_heartbeats(&mut self) {
        self.heartbeat = None;
    }

    pub(in crate::transport) async fn close(mut self: Box<Self>, closing: Closing<'_>) {
        if closing.code == GONE {
            return;
        }
        let patience = CLOSE_WAIT.min(closing.patience);
        if let Some(code) = self.violation {
            // Without a frame that says it (S85).
            return self.socket.close(Closing { code, patience, ..closing }).await;
        }
        self.write_arrays();
        self.write(frame::close(closing.code, closing.reason));
        let code = if is_allowed(closing.code) { closing.code } else { 1000 };
        self.socket.close(Closing { code, patience, ..closing }).await;
    }

    fn write_arrays(&mut self) {
        while let Some(array) = self.out.pop() {
            self.write(array);
        }
    }

    fn write(&mut self, frame: Bytes) {
        self.socket.queue(frame);
        self.last_write = Instant::now();
    }

    const fn violated(&mut self, code: u16, rule: &'static str) -> Inbound {
        self.violation = Some(code);
        Inbound::Violation { rule }
    }
}

/// Whether a WebSocket may be closed with that code (RFC 6455 section 7.4).
const fn is_allowed(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
