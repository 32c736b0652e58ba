//! A network between the gateway and RabbitMQ that can go silent, and can be cut.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// Forwards everything, until told otherwise.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    state: watch::Sender<State>,
    /// The number of the connection that said last that it publishes.
    publishes: Arc<AtomicUsize>,
    injected: watch::Sender<Injected>,
    poison: watch::Sender<Vec<u8>>,
}

/// For the client of one connection, between two frames of the broker.
#[derive(Clone, Debug, Default)]
struct Injected {
    connection: usize,
    frame: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Forwarding,
    Silent,
    /// Everything that was connected before is closed, and whoever comes is sent away.
    Cut,
}

impl Proxy {
    pub(crate) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, changes) = watch::channel(State::Forwarding);
        let (injected, injections) = watch::channel(Injected::default());
        let publishes = Arc::new(AtomicUsize::new(0));
        let poison = watch::Sender::new(Vec::new());
        let sniffs = (Arc::clone(&publishes), poison.subscribe(), state.clone());
        let now = changes.clone();
        TaskTracker::new().spawn(async move {
            let connections = TaskTracker::new();
            let mut connection = 0;
            while let Ok((client, _)) = listener.accept().await {
                if *now.borrow() == State::Cut {
                    continue;
                }
                let broker = TcpStream::connect(target).await.unwrap();
                let ((from_client, to_client), (from_broker, to_broker)) = (client.into_split(), broker.into_split());
                connection += 1;
                let (publishes, poison, state) = sniffs.clone();
                let sniffed = Sniffed { from: from_client, connection, publishes, poison, tail: Vec::new(), state };
                connections.spawn(forward(sniffed, to_broker, changes.clone(), None));
                let injections = Some((connection, injections.clone()));
                connections.spawn(forward(from_broker, to_client, changes.clone(), injections));
            }
        });
        Self { address, state, publishes, injected, poison }
    }

    /// Nothing passes any more, and nobody is told.
    pub(crate) fn fall_silent(&self) {
        self.state.send_replace(State::Silent);
    }

    /// As RabbitMQ does when it lacks memory: connection.blocked, on the connection that publishes.
    pub(crate) fn block(&self) {
        let reason = b"low on memory";
        let length = u8::try_from(reason.len()).unwrap();
        self.inject(60, &[&[length], &reason[..]].concat());
    }

    pub(crate) fn unblock(&self) {
        self.inject(61, &[]);
    }

    /// A frame with a method of the class connection. The connection has to be idle.
    fn inject(&self, method: u8, arguments: &[u8]) {
        let size = u8::try_from(4 + arguments.len()).unwrap();
        let frame = [&[1, 0, 0, 0, 0, 0, size, 0, 10, 0, method], arguments, &[0xce]].concat();
        let connection = self.publishes.load(Ordering::Relaxed);
        self.injected.send_replace(Injected { connection, frame });
    }

    /// Every connection of now is lost; those to come are forwarded.
    pub(crate) fn cut(&self) {
        cut(&self.state);
    }

    /// Every connection is lost, also those to come, until it is up again.
    pub(crate) fn go_down(&self) {
        self.state.send_replace(State::Cut);
    }

    pub(crate) fn come_up(&self) {
        self.state.send_replace(State::Forwarding);
    }

    /// From now on every connection is lost whenever a client sends this.
    pub(crate) fn cut_at(&self, poison: &str) {
        self.poison.send_replace(poison.as_bytes().to_vec());
    }
}

fn cut(state: &watch::Sender<State>) {
    state.send_replace(State::Cut);
    state.send_replace(State::Forwarding);
}

/// What a client sends, and whether it says that it publishes: in its name, which comes in one piece.
struct Sniffed<R> {
    from: R,
    connection: usize,
    publishes: Arc<AtomicUsize>,
    /// What ends all connections, if there is such a thing.
    poison: watch::Receiver<Vec<u8>>,
    /// The last bytes, of which the next ones may go on.
    tail: Vec<u8>,
    state: watch::Sender<State>,
}

impl<R> Sniffed<R> {
    fn is_poisoned(&mut self, bytes: &[u8]) -> bool {
        let poison = self.poison.borrow();
        if poison.is_empty() {
            return false;
        }
        self.tail.extend_from_slice(bytes);
        let is_there = self.tail.windows(poison.len()).any(|it| it == *poison);
        let passed = self.tail.len().saturating_sub(poison.len());
        self.tail.drain(..passed);
        is_there
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Sniffed<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.from).poll_read(cx, buffer);
        let name = b"stompgate publish";
        if buffer.filled()[before..].windows(name.len()).any(|it| it == name) {
            self.publishes.store(self.connection, Ordering::Relaxed);
        }
        if self.is_poisoned(&buffer.filled()[before..]) {
            // The broker never sees it.
            buffer.set_filled(before);
            cut(&self.state);
        }
        poll
    }
}

async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut changes: watch::Receiver<State>,
    mut injections: Option<(usize, watch::Receiver<Injected>)>,
) {
    changes.mark_unchanged();
    let mut buffer = vec![0; 64 * 1024];
    let mut is_silent = *changes.borrow() == State::Silent;
    loop {
        tokio::select! {
            changed = changes.changed() => {
                // A change to forwarding means that there was a cut before it.
                if changed.is_err() || *changes.borrow_and_update() != State::Silent {
                    return;
                }
                is_silent = true;
            }
            frame = next(&mut injections) => to.write_all(&frame).await.unwrap(),
            read = from.read(&mut buffer), if !is_silent => match read {
                Ok(count) if count > 0 && to.write_all(&buffer[..count]).await.is_ok() => {}
                Ok(_) | Err(_) => return,
            }
        }
    }
}

async fn next(injections: &mut Option<(usize, watch::Receiver<Injected>)>) -> Vec<u8> {
    let Some((connection, injections)) = injections else { return std::future::pending().await };
    while injections.changed().await.is_ok() {
        let injected = injections.borrow_and_update();
        if injected.connection == *connection {
            return injected.frame.clone();
        }
    }
    std::future::pending().await
}
