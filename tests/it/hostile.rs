//! Clients that mean harm: each is answered as `docs/PROTOCOL.md` says and counted once, and a neighbour goes on.

mod floods;
mod frames;
mod requests;
mod sessions;

use std::cell::Cell;
use std::collections::BTreeMap;

use stompgate::app::App;
use stompgate::config::Settings;
use stompgate::stomp::{Decoder, Frame, Limits, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{self, Client, metrics, until, within};

const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

const CONNECT: &str = "CONNECT\naccept-version:1.2\n\n\0";

/// Counters that tell an operator of an attack.
const FAULTS: [&str; 4] = [
    "stompgate_http_timeouts_total",
    "stompgate_http_refused_total{",
    "stompgate_sessions_closed_total{",
    "stompgate_outbox_overflows_total",
];

/// A gateway with a neighbour, who sends messages to itself.
struct Stage {
    app: App,
    neighbour: Client,
}

impl Stage {
    async fn set(change: impl FnOnce(&mut Settings)) -> Self {
        let app = client::start(change).await;
        let neighbour = Client::subscribe(&app, "/topic/neighbour").await;
        Self { app, neighbour }
    }

    /// Runs the attack, after which only that counter must have moved, by so much. The neighbour's messages arrive
    /// meanwhile and afterwards.
    async fn attacked(&mut self, series: &str, count: usize, attack: impl AsyncFnOnce(&App)) {
        let app = &self.app;
        let before = faults(app).await;
        let (rounds, is_over) = (Cell::new(0), Cell::new(false));
        let attack = async {
            attack(app).await;
            if count > 0 {
                until(app, series, before.get(series).unwrap_or(&0.0) + count as f64).await;
            }
            let end = rounds.get() + 2;
            within(async {
                while rounds.get() < end {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            is_over.set(true);
        };
        let neighbour = &mut self.neighbour;
        let exchange = async {
            while !is_over.get() {
                let number = rounds.get().to_string();
                neighbour.send(&format!("SEND\ndestination:/topic/neighbour\nreceipt:r\n\n{number}\0")).await;
                let mut commands = Vec::new();
                for _ in 0..2 {
                    let frame = neighbour.next().await.expect("the neighbour's session goes on");
                    assert!(frame.body.is_empty() || *frame.body == *number.as_bytes());
                    commands.push(frame.command.as_str());
                }
                commands.sort_unstable();
                assert_eq!(commands, ["MESSAGE", "RECEIPT"]);
                rounds.set(rounds.get() + 1);
            }
        };
        tokio::join!(attack, exchange);
        let mut moved = faults(app).await;
        moved.retain(|series, value| before.get(series) != Some(value));
        let expected: Vec<_> = if count > 0 { vec![series] } else { Vec::new() };
        assert_eq!(moved.keys().collect::<Vec<_>>(), expected, "counters that have moved");
    }
}

async fn faults(app: &App) -> BTreeMap<String, f64> {
    let text = metrics(app).await;
    let series = text.lines().filter(|line| FAULTS.iter().any(|it| line.starts_with(it)));
    let values = series.map(|line| line.rsplit_once(' ').unwrap());
    values.map(|(series, value)| (series.to_owned(), value.parse().unwrap())).filter(|(_, it)| *it > 0.0).collect()
}

fn closed(reason: &str) -> String {
    format!("stompgate_sessions_closed_total{{reason=\"{reason}\"}}")
}

/// A connection on which any bytes are written.
struct Raw(TcpStream);

/// How the gateway has ended a connection.
#[derive(Debug, Default)]
struct End {
    /// Of HTTP, or of STOMP.
    text: String,
    frames: Vec<Frame>,
    code: Option<u16>,
    reason: String,
}

impl Raw {
    async fn connect(app: &App) -> Self {
        Self(within(TcpStream::connect(app.http_addr)).await.unwrap())
    }

    async fn upgraded(app: &App) -> Self {
        let mut raw = Self::connect(app).await;
        raw.write(HANDSHAKE.as_bytes()).await;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within(raw.0.read_u8()).await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "));
        raw
    }

    /// Whose CONNECT was accepted.
    async fn stomp(app: &App) -> Self {
        let mut raw = Self::upgraded(app).await;
        raw.say(CONNECT).await;
        let mut head = [0; 2];
        within(raw.0.read_exact(&mut head)).await.unwrap();
        // The length is in the next two bytes.
        let length = if head[1] == 126 { within(raw.0.read_u16()).await.unwrap().into() } else { usize::from(head[1]) };
        let mut connected = vec![0; length];
        within(raw.0.read_exact(&mut connected)).await.unwrap();
        assert!(connected.starts_with(b"CONNECTED\n"));
        raw
    }

    /// Says whether the gateway still takes it.
    async fn write(&mut self, bytes: &[u8]) -> bool {
        within(self.0.write_all(bytes)).await.is_ok()
    }

    /// A message of text.
    async fn say(&mut self, text: &str) -> bool {
        self.write(&masked(0x81, text.as_bytes())).await
    }

    /// Reads until the gateway has ended its side, and answers its close.
    async fn end(mut self) -> End {
        let mut bytes = Vec::new();
        // What was not read by the gateway may make this a reset.
        let _read = within(self.0.read_to_end(&mut bytes)).await;
        let _ended = self.0.shutdown().await;
        let mut end = End::default();
        if bytes.starts_with(b"HTTP/") || bytes.is_empty() {
            end.text = String::from_utf8(bytes).unwrap();
            return end;
        }
        let mut decoder = Decoder::new(Limits::default());
        decoder.set_version(Version::V1_2);
        let mut rest = &bytes[..];
        while let [first, second, after @ ..] = rest {
            let (length, after) = match second {
                126 => (usize::from(u16::from_be_bytes([after[0], after[1]])), &after[2..]),
                127 => panic!("no frame here is as long"),
                length => (usize::from(*length), after),
            };
            let (payload, after) = after.split_at(length);
            match first {
                0x81 => decoder.feed(payload),
                0x88 => {
                    end.code = Some(u16::from_be_bytes([payload[0], payload[1]]));
                    end.reason = String::from_utf8_lossy(&payload[2..]).into_owned();
                }
                _ => {}
            }
            rest = after;
        }
        end.frames = std::iter::from_fn(|| decoder.next_frame().unwrap()).collect();
        end
    }
}

impl End {
    /// The word of the ERROR that came last.
    fn error(&self) -> Option<&str> {
        self.frames.last()?.header("stompgate-error")
    }
}

/// A frame of a client; the mask is of zeros.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = match payload.len() {
        length @ 0..126 => vec![0x80 | length as u8],
        length @ 126..65_536 => [&[0xfe][..], &(length as u16).to_be_bytes()].concat(),
        length => [&[0xff][..], &(length as u64).to_be_bytes()].concat(),
    };
    [&[first], &*length, &[0; 4], payload].concat()
}
