//! A STOMP client over WebSocket, small enough that ten thousand of them fit into the test.

use std::net::SocketAddr;
use std::time::Duration;

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use stompgate::stomp::{Decoder, Frame, Limits, Version};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::wait::within;

/// A gateway that sends a heart-beat each second is heard within this time, also on a busy machine.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// Small, as there are many clients.
const READ_BYTES: usize = 4096;

type Socket = WebSocketStream<TcpStream>;

pub(crate) struct Client {
    reader: Reader,
    writer: Writer,
}

pub(crate) struct Reader {
    stream: SplitStream<Socket>,
    decoder: Decoder,
}

pub(crate) struct Writer(SplitSink<Socket, Message>);

/// Who the client says it is; without accounts of clients nobody asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Login<'a> {
    pub(crate) login: &'a str,
    pub(crate) passcode: &'a str,
}

pub(crate) const GUEST: Login<'static> = Login { login: "guest", passcode: "guest" };

impl Client {
    pub(crate) async fn connect(gateway: SocketAddr, login: Login<'_>) -> Self {
        let Login { login, passcode } = login;
        let mut client = within("a client has connected", Self::open(gateway)).await;
        let headers = format!("accept-version:1.2\nheart-beat:0,1000\nlogin:{login}\npasscode:{passcode}");
        client.send(&format!("CONNECT\n{headers}\n\n\0")).await.unwrap();
        client.expect("CONNECTED").await;
        client
    }

    async fn open(gateway: SocketAddr) -> Self {
        let tcp = TcpStream::connect(gateway).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let config = WebSocketConfig::default().read_buffer_size(READ_BYTES).write_buffer_size(0);
        let (socket, _) = client_async_with_config(format!("ws://{gateway}/ws"), tcp, Some(config)).await.unwrap();
        let (sink, stream) = socket.split();
        let mut decoder = Decoder::new(Limits::default());
        decoder.set_version(Version::V1_2);
        Self { reader: Reader { stream, decoder }, writer: Writer(sink) }
    }

    pub(crate) async fn send(&mut self, frame: &str) -> Result<(), String> {
        self.writer.send(frame).await
    }

    pub(crate) async fn next(&mut self) -> Result<Frame, String> {
        self.reader.next().await
    }

    pub(crate) async fn expect(&mut self, command: &str) -> Frame {
        let frame = self.next().await.unwrap_or_else(|fault| panic!("{command} was expected: {fault}"));
        assert_eq!(frame.command.as_str(), command, "{frame:?}");
        frame
    }

    /// Sends a frame of this head and this body, and waits for its RECEIPT.
    pub(crate) async fn confirmed(&mut self, head: &str, body: &str) {
        self.send(&format!("{head}\nreceipt:r\n\n{body}\0")).await.unwrap();
        self.expect("RECEIPT").await;
    }

    pub(crate) fn split(self) -> (Reader, Writer) {
        (self.reader, self.writer)
    }
}

impl Reader {
    /// The next frame, or why there is none: an ERROR, the end of the session, or a gateway that is silent.
    pub(crate) async fn next(&mut self) -> Result<Frame, String> {
        loop {
            match self.decoder.next_frame().unwrap() {
                Some(frame) if frame.command.as_str() == "ERROR" => return Err(text_of(&frame)),
                Some(frame) => return Ok(frame),
                None => (),
            }
            let read = timeout(SILENCE_MAX, self.stream.next()).await;
            match read.map_err(|_| format!("no heart-beat for {SILENCE_MAX:?}"))? {
                Some(Ok(Message::Close(close))) => return Err(format!("closed: {close:?}")),
                Some(Ok(message)) => self.decoder.feed(&message.into_data()),
                Some(Err(fault)) => return Err(format!("cut off: {fault}")),
                None => return Err("cut off".to_owned()),
            }
        }
    }
}

/// What an ERROR says: its code, the text, and what it names.
fn text_of(error: &Frame) -> String {
    let names = ["stompgate-error", "message", "subscription", "receipt-id"];
    let headers = names.iter().filter_map(|name| Some(format!("{name}: {}", error.header(name)?)));
    format!("ERROR {}; {}", headers.collect::<Vec<_>>().join(", "), String::from_utf8_lossy(&error.body))
}

impl Writer {
    pub(crate) async fn send(&mut self, frame: &str) -> Result<(), String> {
        within("the gateway reads", self.0.send(Message::text(frame))).await.map_err(|fault| fault.to_string())
    }
}
