//! A whole gateway over real sockets: many clients, one that does not read, and nothing left behind.

use std::future::Future;
use std::time::Duration;

use futures::future::join_all;
use futures::{SinkExt, StreamExt};
use stompgate::app::App;
use stompgate::config::Settings;
use stompgate::stomp::{Decoder, Frame, Limits, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Far longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Client {
    socket: WebSocketStream<TcpStream>,
    decoder: Decoder,
}

async fn start() -> App {
    let mut settings = Settings::default();
    settings.http.listen = ([127, 0, 0, 1], 0).into();
    settings.admin.listen = Some(([127, 0, 0, 1], 0).into());
    settings.delivery.bytes_max = 64 * 1024;
    App::start(settings).await.unwrap()
}

impl Client {
    pub(crate) async fn connect(app: &App) -> Self {
        let tcp = TcpStream::connect(app.http_addr).await.unwrap();
        let (socket, _) = client_async(format!("ws://{}/ws", app.http_addr), tcp).await.unwrap();
        let mut decoder = Decoder::new(Limits { frame_bytes_max: 1 << 20, ..Limits::default() });
        decoder.set_version(Version::V1_2);
        let mut client = Self { socket, decoder };
        client.send("CONNECT\naccept-version:1.2\n\n\0").await;
        client.expect("CONNECTED").await;
        client
    }

    pub(crate) async fn subscribe(app: &App, destination: &str) -> Self {
        let mut client = Self::connect(app).await;
        client.send(&format!("SUBSCRIBE\nid:s\ndestination:{destination}\nreceipt:r\n\n\0")).await;
        client.expect("RECEIPT").await;
        client
    }

    pub(crate) async fn send(&mut self, text: &str) {
        within(self.socket.send(Message::text(text))).await.unwrap();
    }

    /// The next frame, or the code of the close.
    async fn next(&mut self) -> Result<Frame, u16> {
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

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future).await.expect("no answer in time")
}

/// The value of a series, by its name and labels as they are written.
async fn metric(app: &App, series: &str) -> f64 {
    let mut tcp = TcpStream::connect(app.admin_addr.unwrap()).await.unwrap();
    tcp.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    within(tcp.read_to_string(&mut text)).await.unwrap();
    let line = text.lines().find_map(|it| it.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no series {series}")).parse().unwrap()
}

pub(crate) async fn until(app: &App, series: &str, value: f64) {
    within(async {
        while metric(app, series).await != value {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_clients_of_one_topic_are_served_though_one_does_not_read() {
    const CLIENTS: usize = 1_000;
    const MESSAGES: usize = 40;
    let app = start().await;
    let mut stuck = Client::subscribe(&app, "/topic/all").await;
    let mut clients = join_all((0..CLIENTS).map(|_| Client::subscribe(&app, "/topic/all"))).await;
    let mut publisher = Client::connect(&app).await;
    let body = "x".repeat(60_000);
    // One message at a time for each of them, so that only who does not read falls behind.
    let all_have_it = Barrier::new(CLIENTS + 1);
    let reading = join_all(clients.iter_mut().map(async |client| {
        for i in 0..MESSAGES {
            let frame = client.expect("MESSAGE").await;
            assert_eq!(frame.header("number"), Some(&*i.to_string()));
            all_have_it.wait().await;
        }
    }));
    let writing = async {
        for i in 0..MESSAGES {
            let frame = format!("SEND\ndestination:/topic/all\nnumber:{i}\nreceipt:{i}\n\n{body}\0");
            publisher.send(&frame).await;
            publisher.expect("RECEIPT").await;
            within(all_have_it.wait()).await;
        }
    };
    tokio::join!(reading, writing);
    until(&app, "stompgate_sessions_closed_total{reason=\"slow_consumer\"}", 1.0).await;
    let code = loop {
        if let Err(code) = stuck.next().await {
            break code;
        }
    };
    // The kernel may have dropped the close frame behind what was not read.
    assert!([4500, 1006].contains(&code), "{code}");
    drop(clients);
    drop(publisher);
    until(&app, "stompgate_sessions{phase=\"connected\"}", 0.0).await;
    for series in ["stompgate_subscriptions", "stompgate_outbox_bytes", "stompgate_sessions{phase=\"closing\"}"] {
        until(&app, series, 0.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_come_and_go_leave_nothing_behind() {
    let app = start().await;
    for round in 0..10 {
        let clients = join_all((0..100).map(|_| Client::subscribe(&app, "/topic/all"))).await;
        assert_eq!(metric(&app, "stompgate_subscriptions").await, 100.0, "round {round}");
        drop(clients);
        until(&app, "stompgate_subscriptions", 0.0).await;
    }
    until(&app, "stompgate_sessions{phase=\"connected\"}", 0.0).await;
    assert_eq!(metric(&app, "stompgate_http_upgrades_total").await, 1_000.0);
    assert_eq!(metric(&app, "stompgate_sessions_closed_total{reason=\"gone\"}").await, 1_000.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_closes_every_client_with_1012_and_then_the_gateway_ends() {
    let app = start().await;
    let mut clients = join_all((0..50).map(|_| Client::subscribe(&app, "/topic/all"))).await;
    let closing = join_all(clients.iter_mut().map(async |client| client.next().await.unwrap_err()));
    let (drained, codes) = within(async { tokio::join!(app.shut_down(), closing) }).await;
    assert_eq!(drained, stompgate::lifecycle::Drained::All);
    assert!(codes.iter().all(|it| *it == 1012), "{codes:?}");
}
