//! How bytes come from and go to a client: text or binary in, out, close(code). Does not know STOMP.
//!
//! Everything is polled and nothing is lost when a poll is abandoned, so a driver may use each call as an arm of
//! `select!`.

pub mod memory;
mod socket;
pub mod sockjs;
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
    SockJsHttp(Box<sockjs::OverHttp>),
    SockJsWebSocket(Box<sockjs::OverWebSocket>),
    WebSocket(Box<websocket::WebSocket>),
}

/// How a client is connected, as an operator sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// One answer of HTTP a frame.
    HttpPolling,
    /// Answers of HTTP that go on.
    HttpStreaming,
    SockJsWebSocket,
    WebSocket,
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
            Self::SockJsHttp(session) => Some(session.peer()),
            Self::SockJsWebSocket(session) => Some(session.peer()),
            Self::WebSocket(socket) => Some(socket.peer()),
        }
    }

    /// What stands in for a WebSocket in tests is one.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Memory(_) | Self::WebSocket(_) => Kind::WebSocket,
            Self::SockJsHttp(session) => session.kind(),
            Self::SockJsWebSocket(_) => Kind::SockJsWebSocket,
        }
    }

    /// Whether nothing but UTF-8 can be written.
    pub const fn is_text_only(&self) -> bool {
        matches!(self, Self::SockJsHttp(_) | Self::SockJsWebSocket(_))
    }

    /// From now on what is queued tells the client often enough that the connection lives.
    pub fn promise_heartbeats(&mut self) {
        match self {
            Self::Memory(_) | Self::WebSocket(_) => (),
            Self::SockJsHttp(session) => session.promise_heartbeats(),
            Self::SockJsWebSocket(session) => session.promise_heartbeats(),
        }
    }

    /// The next thing from the client. Nothing more is polled after `Gone`, `TooLarge` or `Violation`.
    ///
    /// It may leave something to be written, an answer to a ping: look at [`Transport::buffered`] after it.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Inbound> {
        match self {
            Self::Memory(pipe) => pipe.poll_receive(cx),
            Self::SockJsHttp(session) => session.poll_receive(cx),
            Self::SockJsWebSocket(session) => session.poll_receive(cx),
            Self::WebSocket(socket) => socket.poll_receive(cx),
        }
    }

    /// Whether the client has ended its side, which what it sent before may keep from being received.
    pub fn has_ended(&self) -> bool {
        match self {
            Self::Memory(pipe) => pipe.has_ended(),
            Self::SockJsHttp(session) => session.has_ended(),
            Self::SockJsWebSocket(session) => session.has_ended(),
            Self::WebSocket(socket) => socket.has_ended(),
        }
    }

    /// Adds one message to what is to be written. Never waits; [`Transport::buffered`] tells when to stop.
    pub fn queue(&mut self, payload: Bytes) {
        match self {
            Self::Memory(pipe) => pipe.queue(payload),
            Self::SockJsHttp(session) => session.queue(&payload),
            Self::SockJsWebSocket(session) => session.queue(&payload),
            Self::WebSocket(socket) => socket.queue(payload),
        }
    }

    /// Adds a ping to what is to be written.
    pub fn queue_ping(&mut self) {
        match self {
            Self::Memory(pipe) => pipe.queue_ping(),
            Self::SockJsHttp(session) => session.queue_ping(),
            Self::SockJsWebSocket(session) => session.queue_ping(),
            Self::WebSocket(socket) => socket.queue_ping(),
        }
    }

    /// An upper bound of the bytes that wait here to be handed to the network; 0 when nothing waits.
    pub fn buffered(&self) -> usize {
        match self {
            Self::Memory(pipe) => pipe.buffered(),
            Self::SockJsHttp(session) => session.buffered(),
            Self::SockJsWebSocket(session) => session.buffered(),
            Self::WebSocket(socket) => socket.buffered(),
        }
    }

    /// Bytes that the network has taken so far. It grows also while [`Transport::buffered`] stays as it is. What goes by
    /// requests of the client is not counted.
    pub fn taken(&self) -> u64 {
        match self {
            Self::Memory(pipe) => pipe.taken(),
            Self::SockJsHttp(_) => 0,
            Self::SockJsWebSocket(session) => session.taken(),
            Self::WebSocket(socket) => socket.taken(),
        }
    }

    /// Ready while there is somebody to write to; what can wait elsewhere should wait there until then. To be polled
    /// along with the rest: time passes here.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Memory(_) | Self::WebSocket(_) => Poll::Ready(()),
            Self::SockJsHttp(session) => session.poll_room(cx),
            Self::SockJsWebSocket(session) => session.poll_room(cx),
        }
    }

    /// Hands what is queued to the network; ready once all of it was taken.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        match self {
            Self::Memory(pipe) => pipe.poll_flush(cx),
            Self::SockJsHttp(session) => session.poll_flush(cx),
            Self::SockJsWebSocket(session) => session.poll_flush(cx),
            Self::WebSocket(socket) => socket.poll_flush(cx),
        }
    }

    /// Writes what is queued and the close, and lets the client read it.
    pub async fn close(self, closing: Closing<'_>) {
        match self {
            Self::Memory(pipe) => pipe.close(closing).await,
            Self::SockJsHttp(session) => session.close(closing).await,
            Self::SockJsWebSocket(session) => session.close(closing).await,
            Self::WebSocket(socket) => socket.close(closing).await,
        }
    }
}
