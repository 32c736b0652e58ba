//! A STOMP broker that does as the test says.

use std::time::Duration;

use stompgate::broker::stomp::{Address, Settings};
use stompgate::stomp::{Decoder, Frame, Limits, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Far longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Upstream {
    listener: TcpListener,
}

/// One connection of the gateway.
pub(crate) struct Peer {
    stream: TcpStream,
    decoder: Decoder,
    /// Line ends between frames.
    pub(crate) heartbeats: usize,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(crate) fn address(&self) -> Address {
        self.listener.local_addr().unwrap().to_string().parse().unwrap()
    }

    /// Of a gateway in front of it, without heart-beats.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            addresses: vec![self.address()],
            reconnect_delay_min: Duration::from_millis(1),
            ..Settings::default()
        }
    }

    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = within(self.listener.accept()).await.unwrap();
        let mut decoder = Decoder::new(Limits { frame_bytes_max: 1 << 20, ..Limits::default() });
        decoder.set_version(Version::V1_2);
        Peer { stream, decoder, heartbeats: 0 }
    }

    /// A connection that is let in. Returns its CONNECT, too.
    pub(crate) async fn greet(&self) -> (Peer, Frame) {
        let mut peer = self.accept().await;
        let connect = peer.expect("CONNECT").await;
        peer.send("CONNECTED\nversion:1.2\n\n\0").await;
        (peer, connect)
    }
}

impl Peer {
    pub(crate) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next frame; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Some(frame);
            }
            if !self.read().await {
                return None;
            }
        }
    }

    pub(crate) async fn expect(&mut self, command: &str) -> Frame {
        let frame = self.next().await.unwrap_or_else(|| panic!("{command} was expected, and not the end"));
        assert_eq!(frame.command.as_str(), command, "{frame:?}");
        frame
    }

    /// Answers the next frame, which is this one, with the RECEIPT that it asks for.
    pub(crate) async fn confirm(&mut self, command: &str) -> Frame {
        let frame = self.expect(command).await;
        let receipt = frame.header("receipt").expect("it asks for a receipt");
        self.send(&format!("RECEIPT\nreceipt-id:{receipt}\n\n\0")).await;
        frame
    }

    /// Reads until it was sent so many heart-beats.
    pub(crate) async fn beaten(&mut self, times: usize) {
        while self.heartbeats < times {
            assert!(self.read().await, "the connection ended");
        }
    }

    /// Whether there was something, and not the end.
    async fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let count = within(self.stream.read(&mut bytes)).await.unwrap_or(0);
        let bytes = &bytes[..count];
        self.heartbeats += usize::from(bytes == b"\n");
        self.decoder.feed(bytes);
        count > 0
    }
}

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    timeout(DEADLINE, future).await.expect("no answer in time")
}
