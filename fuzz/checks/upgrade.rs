//! Any bytes to the public listener, of HTTP and then of WebSocket. Shared by the fuzz target and `tests/fuzz.rs`.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use stompgate::http::{Listener, Metrics, Settings};
use stompgate::lifecycle::Lifecycle;
use stompgate::registry::Registry;
use stompgate::telemetry;
use stompgate::transport::websocket::{self, accept_key};
use stompgate::transport::{Closing, Inbound, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Small enough that a short input passes it.
const MESSAGE_BYTES_MAX: usize = 100;

/// Of a control frame of a client.
const CONTROL_HEADER_BYTES: usize = 6;

/// Far longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(10);

const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A listener whose clients hear their own words.
pub(crate) struct Gateway {
    runtime: Runtime,
    address: SocketAddr,
    connections: Registry,
    telemetry: telemetry::Registry,
    /// What came of each upgraded connection.
    heard: Receiver<Vec<Inbound>>,
}

impl Gateway {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        let websocket = websocket::Settings { message_bytes_max: MESSAGE_BYTES_MAX, read_buffer_bytes: 64 };
        let settings = Settings { listen: (Ipv4Addr::LOCALHOST, 0).into(), websocket, ..Settings::default() };
        let (lifecycle, telemetry) = (Lifecycle::default(), telemetry::Registry::default());
        let connections = Registry::new(settings.connections_max, settings.connections_per_ip_max);
        let (report, heard) = channel(1);
        let address = runtime.block_on(async {
            let listener = Listener::bind(settings).expect("a port is free");
            let address = listener.local_addr().expect("it is bound");
            let clients = lifecycle.clone();
            let on_client = move |_: &_, transport, admission| {
                let report = report.clone();
                clients.spawn(async move {
                    echo(transport, report).await;
                    drop(admission);
                });
            };
            let metrics = Metrics::new(&telemetry);
            lifecycle.spawn(listener.serve(connections.clone(), metrics, lifecycle.clone(), on_client));
            address
        });
        Self { runtime, address, connections, telemetry, heard }
    }

    /// The first byte says whether a good handshake goes before the rest, and the second one where the stream is cut.
    pub(crate) fn check(&mut self, script: &[u8]) {
        let [how, cut, rest @ ..] = script else { return };
        // The network may have dropped the 101 of the connection before.
        while self.heard.try_recv().is_ok() {}
        let is_upgraded = how % 2 == 1;
        let before = if is_upgraded { HANDSHAKE } else { "" };
        let stream = [before.as_bytes(), rest].concat();
        let cut = before.len().saturating_sub(2) + usize::from(*cut);
        let answer = self.runtime.block_on(exchange(self.address, &stream, cut, is_upgraded));
        let frames = self.answered(&stream, &answer);
        assert!(frames.is_some() || !is_upgraded, "a good handshake is answered: {:?}", text(&answer));
        if let Some(frames) = frames {
            let heard = self.runtime.block_on(within(self.heard.recv())).expect("the listener runs");
            if is_upgraded {
                assert_eq!(heard, naive(rest), "of {rest:?}");
            }
            let said: Vec<_> =
                heard.iter().filter_map(|it| if let Inbound::Data(it) = it { Some(it) } else { None }).collect();
            let echoed: Vec<_> = frames.iter().filter(|it| it.opcode < 8).map(|it| it.payload).collect();
            // The network may have dropped what was not read when the gateway left.
            assert!(echoed.len() <= said.len() && echoed.iter().zip(&said).all(|(echo, word)| echo == word));
        }
        // One that ended by a panic would be counted for ever.
        self.runtime.block_on(within(async {
            while self.connections.live() > 0 || self.requests() > 0.0 {
                tokio::task::yield_now().await;
            }
        }));
    }

    /// Connections that are used for requests.
    fn requests(&self) -> f64 {
        let families = self.telemetry.gather();
        let open = families.iter().find(|it| it.name() == "stompgate_http_connections").expect("it is counted");
        open.get_metric()[0].get_gauge().get_value()
    }

    /// Checks the answers; what follows a 101 is frames.
    fn answered<'a>(&self, stream: &[u8], answer: &'a [u8]) -> Option<Vec<Frame<'a>>> {
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{:?}", text(answer));
        let begin = find(answer, b" 101 Switching Protocols\r\n")?;
        let head = begin + find(&answer[begin..], b"\r\n\r\n").expect("the head of a 101 is whole") + 4;
        let accept = b"sec-websocket-accept: ";
        let accept = begin + find(&answer[begin..head], accept).expect("a 101 accepts") + accept.len();
        let accept = answer[accept..head].split(|it| *it == b'\r').next().expect("the first part is there");
        let is_of = |key: &[u8]| accept_key(key).as_bytes() == accept;
        assert!(stream.windows(24).any(is_of), "the key was the client's own: {:?}", text(stream));
        Some(frames(&answer[head..]))
    }
}

async fn echo(mut transport: Transport, report: Sender<Vec<Inbound>>) {
    let mut heard = Vec::new();
    let code = loop {
        let inbound = poll_fn(|cx| transport.poll_receive(cx)).await;
        if let Inbound::Data(payload) = &inbound {
            assert!(payload.len() <= MESSAGE_BYTES_MAX, "a message has at most what it may");
            transport.queue(payload.clone());
            // Who can't be written to is gone, which the next read says.
            let _written = poll_fn(|cx| transport.poll_flush(cx)).await;
        }
        let code = match &inbound {
            Inbound::Alive { .. } | Inbound::Data(_) => None,
            Inbound::Gone => Some(1006),
            Inbound::TooLarge { .. } => Some(1009),
            Inbound::Violation { .. } => Some(1002),
        };
        heard.push(inbound);
        if let Some(code) = code {
            break code;
        }
    };
    transport.close(Closing { code, reason: "", patience: DEADLINE }).await;
    report.send(heard).await.expect("somebody listens");
}

/// All that the gateway answers to the stream and its end. Who ends it before the answer to a request need not get one.
async fn exchange(address: SocketAddr, stream: &[u8], cut: usize, is_answer_awaited: bool) -> Vec<u8> {
    let mut tcp = within(TcpStream::connect(address)).await.expect("the listener accepts");
    let (mut reader, mut writer) = tcp.split();
    let (first, second) = stream.split_at(cut.min(stream.len()));
    let mut answer = Vec::new();
    let answered = Notify::new();
    let write = async {
        // Who was refused is not read from any more.
        let _sent = writer.write_all(first).await;
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        let _sent = writer.write_all(second).await;
        if is_answer_awaited {
            answered.notified().await;
        }
        let _ended = writer.shutdown().await;
    };
    let read = async {
        // A reset ends it, too.
        while let Ok(1..) = reader.read_buf(&mut answer).await {
            if find(&answer, b"\r\n\r\n").is_some() {
                answered.notify_one();
            }
        }
        answered.notify_one();
    };
    within(async { tokio::join!(write, read) }).await;
    answer
}

struct Frame<'a> {
    opcode: u8,
    payload: &'a [u8],
}

/// Frames of a server; the last one may be cut.
fn frames(mut bytes: &[u8]) -> Vec<Frame<'_>> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        assert!(second & 0x80 == 0, "a server does not mask");
        assert!(matches!(first, 0x81 | 0x82 | 0x88 | 0x89 | 0x8a), "{first:#x} is no frame of the gateway");
        // No message is longer than what one byte says of a length.
        let length = usize::from(*second);
        assert!(length < 126, "{length} bytes");
        let Some((payload, after)) = rest.split_at_checked(length) else { break };
        frames.push(Frame { opcode: first & 15, payload });
        bytes = after;
    }
    let close = frames.iter().position(|it| it.opcode == 8);
    assert!(close.is_none_or(|it| it + 1 == frames.len()), "nothing follows a close");
    frames
}

/// What a client says by those bytes, read by RFC 6455 alone.
fn naive(mut bytes: &[u8]) -> Vec<Inbound> {
    let mut heard = Vec::new();
    let mut message: Option<(bool, Vec<u8>)> = None;
    loop {
        let (inbound, rest) = match naive_frame(bytes, &mut message) {
            Ok((inbound, rest)) => (inbound, rest),
            Err(end) => {
                heard.push(end);
                return heard;
            }
        };
        heard.extend(inbound);
        bytes = rest;
    }
}

/// One frame and what follows it; or how the connection ends.
fn naive_frame<'a>(
    bytes: &'a [u8],
    message: &mut Option<(bool, Vec<u8>)>,
) -> Result<(Option<Inbound>, &'a [u8]), Inbound> {
    let violated = |rule| Err(Inbound::Violation { rule });
    let too_large = Err(Inbound::TooLarge { max: MESSAGE_BYTES_MAX });
    let [first, second, rest @ ..] = bytes else { return Err(Inbound::Gone) };
    let (is_final, opcode, is_masked) = (first & 0x80 != 0, first & 15, second & 0x80 != 0);
    let length_bytes = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let (length, rest) = rest.split_at_checked(length_bytes).ok_or(Inbound::Gone)?;
    let length = length.iter().fold(0_u64, |length, it| length << 8 | u64::from(*it));
    let length = if length_bytes == 0 { u64::from(second & 0x7f) } else { length };
    let (mask, rest) = rest.split_at_checked(if is_masked { 4 } else { 0 }).ok_or(Inbound::Gone)?;
    if !matches!(opcode, 0..=2 | 8..=10) {
        return violated("Unknown opcode");
    }
    if length > MESSAGE_BYTES_MAX as u64 {
        return too_large;
    }
    let (payload, rest) = rest.split_at_checked(length as usize).ok_or(Inbound::Gone)?;
    let payload: Vec<u8> = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    if !is_masked {
        return violated("The frames of a client must be masked");
    }
    if first & 0x70 != 0 {
        return violated("Reserved bits must be 0, no extension was negotiated");
    }
    if opcode >= 8 {
        if !is_final {
            return violated("A control frame must not be fragmented");
        }
        return match (opcode, &*payload) {
            (8, [_]) => violated("A close frame has a code or nothing"),
            (8, [_, _, reason @ ..]) if std::str::from_utf8(reason).is_err() => violated("Text must be UTF-8"),
            (8, _) => Err(Inbound::Gone),
            _ => Ok((Some(Inbound::Alive { bytes: CONTROL_HEADER_BYTES + payload.len() }), rest)),
        };
    }
    match (opcode, &message) {
        (0, None) => return violated("A continuation needs a message to continue"),
        (1 | 2, Some(_)) => return violated("A fragmented message must be finished before the next one"),
        _ => {}
    }
    let (is_text, mut whole) = message.take().unwrap_or((opcode == 1, Vec::new()));
    if whole.len() + payload.len() > MESSAGE_BYTES_MAX {
        return too_large;
    }
    whole.extend(payload);
    if is_text && !may_be_text(&whole, is_final) {
        return violated("Text must be UTF-8");
    }
    if is_final {
        return Ok((Some(Inbound::Data(whole.into())), rest));
    }
    *message = Some((is_text, whole));
    Ok((None, rest))
}

/// A message that goes on may be cut within a character.
fn may_be_text(bytes: &[u8], is_whole: bool) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => !is_whole && error.error_len().is_none(),
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|it| it == part)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future).await.expect("it happens in time")
}
