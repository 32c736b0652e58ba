//! A WebSocket connection after its handshake (RFC 6455), the gateway being the server.

mod wire;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::{Sink, Stream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};

use self::wire::Wire;
use super::{Closing, Gone, Inbound, Socket};

/// The longest reason that fits in a close frame beside its code (RFC 6455 section 5.5).
const REASON_BYTES_MAX: usize = 123;

/// What comes before the payload of a ping or pong of a client, its mask included (RFC 6455 section 5.2).
const CONTROL_HEADER_BYTES: usize = 6;

/// Pongs that wait for a client that does not read. Each has at most 127 bytes.
const PONG_BYTES_MAX: usize = 1024;

/// What an operator decides about WebSocket connections.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settings {
    /// The largest message, also when it comes in fragments. A message's bytes are kept until it is whole, and the
    /// buffer that held it is kept for the next one.
    pub message_bytes_max: usize,
    /// What every connection holds for reading, idle or not. Each read call takes at most that much.
    pub read_buffer_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { message_bytes_max: 64 * 1024 + 4096, read_buffer_bytes: 1024 }
    }
}

/// One client's connection.
#[derive(Debug)]
pub struct WebSocket {
    stream: WebSocketStream<Wire>,
    message_bytes_max: usize,
}

/// What comes, for whom the kind of a message matters.
#[derive(Debug)]
pub(super) enum Received {
    Binary(Bytes),
    Other(Inbound),
    Text(Bytes),
}

/// Value of `Sec-WebSocket-Accept` for that `Sec-WebSocket-Key` (RFC 6455 section 4.2.2).
pub fn accept_key(key: &[u8]) -> String {
    derive_accept_key(key)
}

impl WebSocket {
    /// Takes over a connection of `peer` whose handshake is done; `early` is what was read behind the handshake.
    pub async fn after_handshake(socket: Socket, peer: SocketAddr, early: &[u8], settings: Settings) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(settings.read_buffer_bytes)
            // tungstenite writes nothing but its own answers, each at once.
            .write_buffer_size(0)
            .max_write_buffer_size(PONG_BYTES_MAX)
            .max_message_size(Some(settings.message_bytes_max))
            .max_frame_size(Some(settings.message_bytes_max))
            .accept_unmasked_frames(false);
        let wire = Wire::new(socket, peer);
        let stream = WebSocketStream::from_partially_read(wire, early.to_vec(), Role::Server, Some(config)).await;
        Self { stream, message_bytes_max: settings.message_bytes_max }
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.stream.get_ref().peer()
    }

    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Inbound> {
        self.poll_message(cx).map(|it| match it {
            Received::Binary(payload) | Received::Text(payload) => Inbound::Data(payload),
            Received::Other(inbound) => inbound,
        })
    }

    pub(super) fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Received> {
        let inbound = match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
            Some(Ok(Message::Text(text))) => return Poll::Ready(Received::Text(text.into())),
            Some(Ok(Message::Binary(bytes))) => return Poll::Ready(Received::Binary(bytes)),
            Some(Ok(Message::Ping(payload))) => {
                self.answer(cx);
                Inbound::Alive { bytes: CONTROL_HEADER_BYTES + payload.len() }
            }
            Some(Ok(Message::Pong(payload))) => Inbound::Alive { bytes: CONTROL_HEADER_BYTES + payload.len() },
            // Raw frames are for writing; none is ever read.
            Some(Ok(Message::Frame(frame))) => Inbound::Alive { bytes: frame.len() },
            Some(Ok(Message::Close(_))) => {
                self.answer(cx);
                Inbound::Gone
            }
            Some(Err(error)) => self.failed(&error),
            None => Inbound::Gone,
        };
        Poll::Ready(Received::Other(inbound))
    }

    pub fn has_ended(&self) -> bool {
        self.stream.get_ref().has_ended()
    }

    /// A text message; a binary one if it is not UTF-8, for which a browser would end the connection
    /// (RFC 6455 section 8.1; H4).
    pub fn queue(&mut self, payload: Bytes) {
        let kind = if std::str::from_utf8(&payload).is_ok() { Data::Text } else { Data::Binary };
        self.stream.get_mut().queue(OpCode::Data(kind), payload);
    }

    pub fn queue_ping(&mut self) {
        self.stream.get_mut().queue(OpCode::Control(Control::Ping), Bytes::new());
    }

    pub fn buffered(&self) -> usize {
        self.stream.get_ref().buffered()
    }

    pub fn taken(&self) -> u64 {
        self.stream.get_ref().taken()
    }

    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx)).map_err(|_| Gone)?;
        // Once the client has closed, tungstenite hands over its answer and no longer flushes.
        self.stream.get_mut().poll_drain(cx).map_err(|_| Gone)
    }

    /// Does nothing but drop the connection if the code is one that must not be sent (RFC 6455 section 7.4).
    // The box keeps the connection out of the future, whose size every session pays for from its start.
    pub async fn close(mut self: Box<Self>, closing: Closing<'_>) {
        let code = CloseCode::from(closing.code);
        let frame = CloseFrame { code, reason: truncated(closing.reason).into() };
        if !code.is_allowed() || Pin::new(&mut self.stream).start_send(Message::Close(Some(frame))).is_err() {
            return;
        }
        // Whether the client took it or not, nothing more can be done for it.
        if let Err(_) | Ok(Err(_)) = tokio::time::timeout(closing.patience, self.part()).await {
            tracing::trace!(code = closing.code, "the client did not take its leave");
        }
    }

    /// Writes what is left, ends the writing side and waits for the client's own close. Closing a socket that has
    /// unread data would reset it, and what the client has not read yet would be lost (RFC 6455 section 7.1.1).
    async fn part(&mut self) -> io::Result<()> {
        let mut is_heard = false;
        let mut is_said = false;
        poll_fn(|cx| {
            // Both at once: the client may be stuck in writing and read only after that.
            if !is_heard && self.poll_heard(cx)?.is_ready() {
                is_heard = true;
            }
            if !is_said {
                ready!(self.poll_flush(cx)).map_err(|Gone| io::ErrorKind::BrokenPipe)?;
                ready!(self.stream.get_mut().poll_end(cx))?;
                is_said = true;
            }
            if is_heard { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }

    /// Reads until the client has closed, or has ended its side if what it sends can't be understood any more.
    fn poll_heard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
                Some(Ok(Message::Close(_))) => return Poll::Ready(Ok(())),
                Some(Ok(_)) => (),
                Some(Err(_)) | None => return self.stream.get_mut().poll_discard(cx),
            }
        }
    }

    /// Writes an answer of the protocol's own without waiting for a flush that nobody may have a reason to ask for.
    fn answer(&mut self, cx: &mut Context<'_>) {
        match self.poll_flush(cx) {
            // What is stuck shows in `buffered`, and what fails fails again at the next read.
            Poll::Pending | Poll::Ready(_) => (),
        }
    }

    fn failed(&self, error: &Error) -> Inbound {
        match error {
            Error::Capacity(_) => Inbound::TooLarge { max: self.message_bytes_max },
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Inbound::Gone,
            Error::Protocol(error) => Inbound::Violation { rule: rule(error) },
            Error::Utf8(_) => Inbound::Violation { rule: "Text must be UTF-8" },
            _ => Inbound::Gone,
        }
    }
}

/// The rule of RFC 6455 that was broken.
const fn rule(error: &ProtocolError) -> &'static str {
    match error {
        ProtocolError::ControlFrameTooBig => "A control frame has at most 125 bytes",
        ProtocolError::ExpectedFragment(_) => "A fragmented message must be finished before the next one",
        ProtocolError::FragmentedControlFrame => "A control frame must not be fragmented",
        ProtocolError::InvalidCloseSequence => "A close frame has a code or nothing",
        ProtocolError::NonZeroReservedBits => "Reserved bits must be 0, no extension was negotiated",
        ProtocolError::ReceivedAfterClosing => "Nothing may follow a close frame",
        ProtocolError::UnexpectedContinueFrame => "A continuation needs a message to continue",
        ProtocolError::UnmaskedFrameFromClient => "The frames of a client must be masked",
        ProtocolError::InvalidOpcode(_)
        | ProtocolError::UnknownControlFrameType(_)
        | ProtocolError::UnknownDataFrameType(_) => "Unknown opcode",
        _ => "The WebSocket protocol was violated",
    }
}

/// As much of it as fits, not cut within a character.
fn truncated(reason: &str) -> &str {
    let end = (0..=REASON_BYTES_MAX.min(reason.len())).rev().find(|at| reason.is_char_boundary(*at));
    &reason[..end.expect("0 is a boundary")]
}
