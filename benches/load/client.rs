//! One STOMP client over WebSocket: its handshake, and its bytes in and out. Holds no buffer while it is idle.

use std::io;

use mio::net::TcpStream;

use crate::socket::{self, Inbox};
use crate::wire::{self, Frame, Head, Opcode, Side};

pub(crate) const UPGRADE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v12.stomp\r\n\r\n";

/// The login is RabbitMQ's own default, which its plugin wants.
pub(crate) const CONNECT: &[u8] =
    b"CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:guest\nheart-beat:0,0\n\n\0";

/// The receipt that ends a client's handshake.
const SUBSCRIBED: &[u8] = b"subscribed";

/// What a client subscribes to before it counts as ready.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) destination: String,
    pub(crate) ack: &'static str,
}

impl Subscription {
    pub(crate) fn auto(destination: impl Into<String>) -> Self {
        Self { destination: destination.into(), ack: "auto" }
    }
}

/// STOMP frames on their way to the server.
#[derive(Debug, Default)]
pub(crate) struct Outgoing(Vec<u8>);

impl Outgoing {
    /// Queues one STOMP frame, NUL included, as a WebSocket message of its own.
    pub(crate) fn frame(&mut self, stomp: &[u8]) {
        wire::push(&mut self.0, Side::Client, Opcode::Text, stomp);
    }
}

#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    inbox: Inbox,
    dialogue: Dialogue,
}

impl Client {
    pub(crate) fn new(stream: TcpStream, subscription: Option<Subscription>) -> Self {
        let dialogue = Dialogue { stage: Stage::Upgrading(subscription), out: Outgoing(UPGRADE.to_vec()) };
        Self { stream, inbox: Inbox::default(), dialogue }
    }

    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.dialogue.stage, Stage::Ready)
    }

    pub(crate) fn outgoing(&mut self) -> &mut Outgoing {
        &mut self.dialogue.out
    }

    /// Writes what waits, as far as the socket takes it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let Outgoing(bytes) = &mut self.dialogue.out;
        let written = socket::write_some(&mut self.stream, bytes)?;
        bytes.drain(..written);
        Ok(())
    }

    /// Reads until the socket is empty. Frames of the handshake are answered here, all others go to `on_frame`.
    pub(crate) fn receive(
        &mut self,
        scratch: &mut [u8],
        on_frame: &mut impl FnMut(&Frame<'_>, &mut Outgoing) -> io::Result<()>,
    ) -> io::Result<()> {
        self.inbox.read(&mut self.stream, scratch, |bytes| self.dialogue.consume(bytes, on_frame))
    }
}

/// The client's side of the protocol, without its socket.
#[derive(Debug)]
struct Dialogue {
    stage: Stage,
    out: Outgoing,
}

#[derive(Debug)]
enum Stage {
    Upgrading(Option<Subscription>),
    Connecting(Option<Subscription>),
    Subscribing,
    Ready,
}

impl Dialogue {
    /// Handles all complete frames, and says how many bytes they were.
    fn consume(
        &mut self,
        bytes: &[u8],
        on_frame: &mut impl FnMut(&Frame<'_>, &mut Outgoing) -> io::Result<()>,
    ) -> io::Result<usize> {
        let mut used = 0;
        if let Stage::Upgrading(subscription) = &mut self.stage {
            let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Ok(0) };
            if !bytes.starts_with(b"HTTP/1.1 101") {
                return Err(io::Error::other(format!("no upgrade: {}", String::from_utf8_lossy(bytes))));
            }
            self.stage = Stage::Connecting(subscription.take());
            self.out.frame(CONNECT);
            used = end + 4;
        }
        while let Some(head) = Head::parse(&bytes[used..])? {
            let payload = &bytes[used..][head.payload.clone()];
            used += head.payload.end;
            match head.opcode {
                Opcode::Text | Opcode::Binary => {
                    for frame in wire::frames(payload) {
                        self.on_stomp(&frame?, on_frame)?;
                    }
                }
                Opcode::Ping => wire::push(&mut self.out.0, Side::Client, Opcode::Pong, payload),
                Opcode::Pong => (),
                Opcode::Close => {
                    let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default());
                    return Err(io::Error::other(format!("the server closed the WebSocket: {reason}")));
                }
            }
        }
        Ok(used)
    }

    fn on_stomp(
        &mut self,
        frame: &Frame<'_>,
        on_frame: &mut impl FnMut(&Frame<'_>, &mut Outgoing) -> io::Result<()>,
    ) -> io::Result<()> {
        let unexpected = || Err(io::Error::other(format!("the server sent {frame}")));
        match &mut self.stage {
            _ if frame.command == b"ERROR" => unexpected(),
            Stage::Ready => on_frame(frame, &mut self.out),
            Stage::Connecting(subscription) if frame.command == b"CONNECTED" => {
                let Some(Subscription { destination, ack }) = subscription.take() else {
                    self.stage = Stage::Ready;
                    return Ok(());
                };
                let subscribe =
                    format!("SUBSCRIBE\nid:sub-0\ndestination:{destination}\nack:{ack}\nreceipt:subscribed\n\n\0");
                self.out.frame(subscribe.as_bytes());
                self.stage = Stage::Subscribing;
                Ok(())
            }
            Stage::Subscribing if frame.command == b"RECEIPT" && frame.header(b"receipt-id") == Some(SUBSCRIBED) => {
                self.stage = Stage::Ready;
                Ok(())
            }
            Stage::Upgrading(_) | Stage::Connecting(_) | Stage::Subscribing => unexpected(),
        }
    }
}
