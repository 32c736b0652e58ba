//! One upstream connection: how it is made, its bytes and its heart-beats.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tracing::debug;

use super::Shared;
use super::frames::{self, Login};
use super::metrics::Loss;
use super::settings::{Address, Settings};
use super::worker::Lost;
use crate::broker::Tls;
use crate::session::Fault;
use crate::stomp::{Command, DecodeError, Decoder, Frame, HeartBeat, Limits, Version};

/// Headers of a frame from a broker: it is trusted more than a client, and yet not without end.
const HEADER_COUNT_MAX: usize = 1_000;
const HEADER_BYTES_MAX: usize = 256 * 1024;

/// What is read at once.
const READ_BYTES: usize = 8 * 1024;

/// A broker is given up when nothing was heard for so many of its heart-beats, as with Spring.
const SILENCE: u32 = 3;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{address}: {source}")]
    Io { address: Address, source: io::Error },
    #[error("{address}: {text}")]
    Malformed { address: Address, text: String },
    #[error("{address}: no CONNECTED frame received in {ms} ms")]
    NotConnected { address: Address, ms: u128 },
    #[error("{address} refused: {fault}")]
    Refused { address: Address, fault: Fault },
    #[error("{address}: not connected in {ms} ms")]
    TimedOut { address: Address, ms: u128 },
}

/// A socket, with TLS or without.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Reading and writing keep their progress here, so that whoever waits for both can be interrupted.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    decoder: Decoder,
    pub(super) output: BytesMut,
    is_flushed: bool,
    pub(super) version: Version,
    sending: Option<Duration>,
    receiving: Option<Duration>,
    last_written: Instant,
    last_read: Instant,
}

impl ConnectError {
    pub(super) const fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// In the words of Spring's relay, without what a client need not know.
    pub(super) fn fault(&self) -> Fault {
        match self {
            Self::Io { source, .. } => Fault::LinkBroken(format!("Failed to connect: {}", source.kind())),
            Self::Malformed { text, .. } => Fault::LinkBroken(format!("Transport failure: {text}")),
            Self::NotConnected { ms, .. } => Fault::LinkBroken(format!("No CONNECTED frame received in {ms} ms.")),
            Self::Refused { fault, .. } => fault.clone(),
            Self::TimedOut { ms, .. } => Fault::LinkBroken(format!("Failed to connect: no answer in {ms} ms")),
        }
    }
}

impl Connection {
    /// Tries the addresses, from the one that let the last connection in. A refusal is final: another address would
    /// refuse as well.
    pub(super) async fn open(shared: &Shared, login: &Login) -> Result<Self, ConnectError> {
        let turn = shared.connects.acquire().await.expect("it is never closed");
        let addresses = &shared.settings.addresses;
        let first = shared.first_address.load(Ordering::Relaxed);
        let mut attempt = 0;
        let outcome = loop {
            let at = (first + attempt) % addresses.len();
            let outcome = Self::open_at(&addresses[at], shared, login).await;
            match &outcome {
                Ok(_) => {
                    shared.metrics.connects.inc();
                    shared.first_address.store(at, Ordering::Relaxed);
                    break outcome;
                }
                Err(error) => {
                    shared.metrics.connect_failures.inc();
                    debug!(%error, "no connection to the STOMP broker");
                }
            }
            attempt += 1;
            if attempt == addresses.len() || outcome.as_ref().is_err_and(ConnectError::is_refusal) {
                break outcome;
            }
        };
        drop(turn);
        outcome
    }

    async fn open_at(address: &Address, shared: &Shared, login: &Login) -> Result<Self, ConnectError> {
        let settings = &shared.settings;
        let address = || address.clone();
        let io = |source| ConnectError::Io { address: address(), source };
        let limit = settings.connect_timeout;
        let Ok(stream) = timeout(limit, dial(&address(), settings.tls.as_ref())).await else {
            return Err(ConnectError::TimedOut { address: address(), ms: limit.as_millis() });
        };
        let mut connection = Self::new(stream.map_err(io)?, settings);
        let limit = settings.connected_timeout;
        let greeting = async {
            connection.stream.write_all(&frames::connect(login, settings)).await?;
            connection.stream.flush().await?;
            connection.first_frame().await
        };
        let Ok(greeting) = timeout(limit, greeting).await else {
            return Err(ConnectError::NotConnected { address: address(), ms: limit.as_millis() });
        };
        let frame = greeting.map_err(io)?;
        let malformed = |text: String| ConnectError::Malformed { address: address(), text };
        match frame {
            Ok(frame) if frame.command == Command::Connected => {
                connection.greeted(&frame, settings).map_err(malformed)?;
                Ok(connection)
            }
            Ok(frame) if frame.command == Command::Error => {
                shared.metrics.errors.inc();
                Err(ConnectError::Refused { address: address(), fault: frames::error(&frame, "") })
            }
            Ok(frame) => Err(malformed(format!("{} instead of CONNECTED", frame.command.as_str()))),
            Err(text) => Err(malformed(text)),
        }
    }

    fn new(stream: Box<dyn Stream>, settings: &Settings) -> Self {
        let limits = Limits {
            frame_bytes_max: settings.frame_bytes_max,
            frame_bytes_max_before_connect: HEADER_BYTES_MAX.min(settings.frame_bytes_max),
            header_count_max: HEADER_COUNT_MAX,
            header_bytes_max: HEADER_BYTES_MAX,
        };
        let now = Instant::now();
        Self {
            stream,
            decoder: Decoder::new(limits),
            output: BytesMut::new(),
            is_flushed: true,
            version: Version::V1_2,
            sending: None,
            receiving: None,
            last_written: now,
            last_read: now,
        }
    }

    async fn first_frame(&mut self) -> io::Result<Result<Frame, String>> {
        loop {
            match self.decoder.next_frame() {
                Ok(Some(frame)) => return Ok(Ok(frame)),
                Ok(None) => {}
                Err(error) => return Ok(Err(words(&error))),
            }
            std::future::poll_fn(|cx| self.poll_read(cx)).await?;
        }
    }

    fn greeted(&mut self, connected: &Frame, settings: &Settings) -> Result<(), String> {
        let version = connected.header("version");
        self.version = match Version::negotiate(version) {
            Some(version @ (Version::V1_1 | Version::V1_2)) => version,
            Some(Version::V1_0) | None => {
                return Err(format!("version {:?} instead of one of {}", version.unwrap_or("1.0"), frames::VERSIONS));
            }
        };
        let theirs = connected.header("heart-beat").map_or(Ok(HeartBeat::default()), HeartBeat::parse);
        let theirs = theirs.map_err(|error| error.to_string())?;
        self.sending = settings.heartbeat.sending_to(theirs);
        self.receiving = settings.heartbeat.receiving_from(theirs);
        self.decoder.set_version(self.version);
        Ok(())
    }

    /// The next whole frame of what was read.
    pub(super) fn next_frame(&mut self) -> Result<Option<Frame>, Lost> {
        self.decoder.next_frame().map_err(|error| Lost::malformed(&words(&error)))
    }

    /// Ready when something was read.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [std::mem::MaybeUninit::uninit(); READ_BYTES];
        let mut read = ReadBuf::uninit(&mut bytes);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
        if read.filled().is_empty() {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.decoder.feed(read.filled());
        self.last_read = Instant::now();
        Poll::Ready(Ok(()))
    }

    /// Ready when all of the output was handed to the network.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.output))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(written);
            self.is_flushed = false;
            self.last_written = Instant::now();
        }
        // An idle connection keeps no buffer.
        self.output = BytesMut::new();
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.is_flushed = true;
        Poll::Ready(Ok(()))
    }

    pub(super) fn has_output(&self) -> bool {
        !self.output.is_empty() || !self.is_flushed
    }

    /// When [`Connection::beat`] is wanted, unless something passes before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let sending = self.sending.filter(|_| !self.has_output()).map(|it| self.last_written + it);
        sending.into_iter().chain(self.receiving.map(|it| self.last_read + it * SILENCE)).min()
    }

    /// Says that the gateway lives, or finds out that the broker does not.
    pub(super) fn beat(&mut self, now: Instant) -> Result<(), Lost> {
        if let Some(silence) = self.receiving.map(|it| it * SILENCE).filter(|it| self.last_read + *it <= now) {
            let text = format!("No messages received in {} ms.", silence.as_millis());
            return Err(Lost { loss: Loss::Silent, fault: Fault::LinkBroken(text) });
        }
        if !self.has_output() && self.sending.is_some_and(|it| self.last_written + it <= now) {
            self.output.extend_from_slice(b"\n");
        }
        Ok(())
    }
}

/// The settings behind the limits are others than with clients.
fn words(error: &DecodeError) -> String {
    match error {
        DecodeError::FrameTooLarge { max, .. } => format!("a frame larger than {max} bytes"),
        DecodeError::HeadersTooLarge { max } => format!("headers larger than {max} bytes"),
        DecodeError::TooManyHeaders { max } => format!("more than {max} headers"),
        error => error.to_string(),
    }
}

async fn dial(address: &Address, tls: Option<&Tls>) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from(tls.name_of(&address.host).to_owned()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(Arc::clone(tls.config())).connect(name, stream).await?;
    Ok(Box::new(stream))
}
