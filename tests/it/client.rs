//! A STOMP client over a real socket, and what the gateway in front of it says of itself.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use stompgate::app::App;
use stompgate::config::Settings;
use stompgate::stomp::{Decoder, Frame, Limits, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Far longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(60);

/// Its version is 1.2, and it asks for no heart-beats.
pub(crate) struct Client {
    socket: WebSocketStream<TcpStream>,
    decoder: Decoder,
}

/// A gateway with listeners of its own.
pub(crate) async fn start(change: impl FnOnce(&mut Settings)) -> App {
    // The clients are in this process too, and many systems give it a thousand files unless it asks for more.
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let mut settings = Settings::default();
    settings.http.listen = ([127, 0, 0, 1], 0).into();
    settings.admin.listen = Some(([127, 0, 0, 1], 0).into());
    change(&mut settings);
    App::start(settings).await.unwrap()
}

impl Client {
    pub(crate) async fn connect(app: &App) -> Self {
        Self::connect_at(app.http_addr).await
    }

    pub(crate) async fn connect_at(address: SocketAddr) -> Self {
        let mut client = Self::open_at(address).await;
        client.send("CONNECT\naccept-version:1.2\n\n\0").await;
        client.expect("CONNECTED").await;
        client
    }

    /// With a login whose passcode is the same. Returns the id of its session, too.
    pub(crate) async fn connect_as(app: &App, login: &str) -> (Self, String) {
        let mut client = Self::open(app).await;
        client.send(&format!("CONNECT\naccept-version:1.2\nlogin:{login}\npasscode:{login}\n\n\0")).await;
        let connected = client.expect("CONNECTED").await;
        (client, connected.header("session").expect("a session has an id").to_owned())
    }

    /// It has not sent CONNECT yet.
    pub(crate) async fn open(app: &App) -> Self {
        Self::open_at(app.http_addr).await
    }

    pub(crate) async fn open_at(address: SocketAddr) -> Self {
        let tcp = TcpStream::connect(address).await.unwrap();
        let (socket, _) = client_async(format!("ws://{address}/ws"), tcp).await.unwrap();
        let mut decoder = Decoder::new(Limits { frame_bytes_max: 1 << 20, ..Limits::default() });
        decoder.set_version(Version::V1_2);
        Self { socket, decoder }
    }

    pub(crate) async fn subscribe(app: &App, destination: &str) -> Self {
        let mut client = Self::connect(app).await;
        client.confirmed(&format!("SUBSCRIBE\nid:s\ndestination:{destination}"), "").await;
        client
    }

    /// Sends a frame of this head and this body, and waits for its RECEIPT.
    pub(crate) async fn confirmed(&mut self, head: &str, body: &str) {
        self.send(&format!("{head}\nreceipt:r\n\n{body}\0")).await;
        self.expect("RECEIPT").await;
    }

    pub(crate) async fn send(&mut self, text: &str) {
        assert!(self.try_send(text).await, "the connection is closed");
    }

    /// Whether the connection was open.
    pub(crate) async fn try_send(&mut self, text: &str) -> bool {
        within(self.socket.send(Message::text(text))).await.is_ok()
    }

    /// The next frame, or the code of the close.
    pub(crate) async fn next(&mut self) -> Result<Frame, u16> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Ok(frame);
            }
            match within(self.socket.next()).await {
                Some(Ok(Message::Close(Some(close)))) => return Err(close.code.into()),
                Some(Ok(message)) => self.decoder.feed(&message.into_data()),
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }

    pub(crate) async fn expect(&mut self, command: &str) -> Frame {
        let frame = self.next().await.unwrap();
        assert_eq!(frame.command.as_str(), command, "{frame:?}");
        frame
    }
}

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future).await.expect("no answer in time")
}

/// The value of a series, by its name and labels as they are written.
pub(crate) async fn metric(app: &App, series: &str) -> f64 {
    metric_at(app.admin_addr.unwrap(), series).await
}

pub(crate) async fn metric_at(admin: SocketAddr, series: &str) -> f64 {
    let text = metrics_at(admin).await;
    let line = text.lines().find_map(|it| it.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no series {series}")).parse().unwrap()
}

/// What `/metrics` says.
pub(crate) async fn metrics(app: &App) -> String {
    metrics_at(app.admin_addr.unwrap()).await
}

async fn metrics_at(admin: SocketAddr) -> String {
    let mut tcp = TcpStream::connect(admin).await.unwrap();
    tcp.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    within(tcp.read_to_string(&mut text)).await.unwrap();
    text
}

/// Waits until the series has that value.
pub(crate) async fn until(app: &App, series: &str, value: f64) {
    within(async {
        while metric(app, series).await != value {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
