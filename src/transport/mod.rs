//! How bytes come from and go to a client: text or binary in, out, close(code). Does not know STOMP.
//!
//! Everything is polled and nothing is lost when a poll is abandoned, so a driver may use each call as an arm of
//! `select!`.

pub mod memory;
mod socket;
pub mod websocket;

use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

pub use socket::{Metered, Socket};

/// One client's connection.
#[derive(Debug)]
pub enum Transport {
    Memory(memory::Pipe),
    WebSocket(Box<websocket::WebSocket>),
}

/// What comes from a client.
#[derive(Debug, Eq, PartialEq)]
pub enum Inbound {
    /// Payload of one message; where messages begin and end means nothing to STOMP.
    Data(Bytes),
    /// The client ended the connection, or it broke.
    Gone,
    /// A ping or pong of so many bytes: the client lives.
    Alive { bytes: usize },
    /// The client sent a message beyond the limit. Nothing follows.
    TooLarge { max: usize },
    /// The client broke the rules of the transport. Nothing follows.
    Violation { rule: &'static str },
}

/// How a connection is ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Closing<'a> {
    /// WebSocket close code (RFC 6455 section 7.4).
    pub code: u16,
    /// At most 123 bytes are sent.
    pub reason: &'a str,
    /// How long the client may take to read what is left and to answer.
    pub patience: Duration,
}

/// The connection can't be written to any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the connection is gone")]
pub struct Gone;

impl Transport {
    /// Where the client is, as far as the network and trusted proxies tell. Port 0 stands for one that they don't.
    pub fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Memory(_) => None,
            Self::WebSocket(socket) => Some(socket.peer()),
        }
    }

    /// The next thing from the client. Nothing more is polled after `Gone`, `TooLarge` or `Violation`.
    ///
    /// It may leave something to be written, an answer to a ping: look at [`Transport::buffered`] after it.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Inbound> {
        match self {
            Self::Memory(pipe) => pipe.poll_receive(cx),
            Self::WebSocket(socket) => socket.poll_receive(cx),
        }
    }

    /// Whether the client has ended its side, which what it sent before may keep from being received.
    pub fn has_ended(&self) -> bool {
        match self {
            Self::Memory(pipe) => pipe.has_ended(),
            Self::WebSocket(socket) => socket.has_ended(),
        }
    }

    /// Adds one message to what is to be written. Never waits; [`Transport::buffered`] tells when to stop.
    pub fn queue(&mut self, payload: Bytes) {
        match self {
            Self::Memory(pipe) => pipe.queue(payload),
            Self::WebSocket(socket) => socket.queue(payload),
        }
    }

    /// Adds a ping to what is to be written.
    pub fn queue_ping(&mut self) {
        match self {
            Self::Memory(pipe) => pipe.queue_ping(),
            Self::WebSocket(socket) => socket.queue_ping(),
        }
    }

    /// An upper bound of the bytes that wait here to be handed to the network; 0 when nothing waits.
    pub fn buffered(&self) -> usize {
        match self {
            Self::Memory(pipe) => pipe.buffered(),
            Self::WebSocket(socket) => socket.buffered(),
        }
    }

    /// Bytes that the network has taken so far. It grows also while [`Transport::buffered`] stays as it is.
    pub fn taken(&self) -> u64 {
        match self {
            Self::Memory(pipe) => pipe.taken(),
            Self::WebSocket(socket) => socket.taken(),
        }
    }

    /// Hands what is queued to the network; ready once all of it was taken.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        match self {
            Self::Memory(pipe) => pipe.poll_flush(cx),
            Self::WebSocket(socket) => socket.poll_flush(cx),
        }
    }

    /// Writes what is queued and the close, and lets the client read it.
    pub async fn close(self, closing: Closing<'_>) {
        match self {
            Self::Memory(pipe) => pipe.close(closing).await,
            Self::WebSocket(socket) => socket.close(closing).await,
        }
    }
}
