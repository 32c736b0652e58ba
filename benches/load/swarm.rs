//! All clients of a scenario on one thread and one epoll: cheap enough not to be what is measured.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, net::TcpStream};
use socket2::{Domain, Socket, Type};

use crate::client::{Client, Outgoing, Subscription};
use crate::interrupt;
use crate::wire::Frame;

/// Handshakes under way at once. Below any server's listen backlog, so that no SYN is dropped and retried after a second.
const OPENING_MAX: usize = 64;

/// How long no client at all may become ready before the run is given up.
const OPENING_PATIENCE: Duration = Duration::from_secs(20);

const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Clients that share a source address, far below the 28,000 ports that an address has for one server.
const CLIENTS_PER_ADDRESS: usize = 1_000;

/// Larger than what one client is sent in a turn, so that a turn needs one read per client.
const READ_BYTES: usize = 256 * 1024;

pub(crate) struct Swarm {
    server: SocketAddr,
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    ready: usize,
    scratch: Vec<u8>,
}

impl Swarm {
    pub(crate) fn new(server: SocketAddr) -> io::Result<Self> {
        let (poll, events) = (Poll::new()?, Events::with_capacity(1024));
        Ok(Self { server, poll, events, clients: Vec::new(), ready: 0, scratch: vec![0; READ_BYTES] })
    }

    /// Adds clients until there are `count`, and returns when all of them are connected and subscribed.
    pub(crate) fn open(
        &mut self,
        count: usize,
        subscription: impl Fn(usize) -> Option<Subscription>,
    ) -> io::Result<()> {
        self.open_within(Duration::MAX, count, subscription).map(drop)
    }

    /// The same, but gives up when `limit` is over: whether there are `count` clients.
    pub(crate) fn open_within(
        &mut self,
        limit: Duration,
        count: usize,
        subscription: impl Fn(usize) -> Option<Subscription>,
    ) -> io::Result<bool> {
        let started = Instant::now();
        let (mut ready, mut deadline) = (self.ready, started + OPENING_PATIENCE);
        while self.ready < count {
            if limit < started.elapsed() {
                return Ok(false);
            }
            while self.clients.len() < count && self.clients.len() - self.ready < OPENING_MAX {
                let index = self.clients.len();
                self.start_client(subscription(index)).map_err(|fault| fault_of(index, &fault))?;
            }
            self.turn(Duration::from_millis(100), |_, frame, _| {
                Err(io::Error::other(format!("{frame} came while clients were connecting")))
            })?;
            if ready < self.ready {
                (ready, deadline) = (self.ready, Instant::now() + OPENING_PATIENCE);
            } else if deadline < Instant::now() {
                let fault =
                    format!("only {ready} of {count} clients could connect, none in the last {OPENING_PATIENCE:?}");
                return Err(io::Error::other(fault));
            }
        }
        Ok(true)
    }

    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// Sends one STOMP frame, NUL included.
    pub(crate) fn send(&mut self, client: usize, stomp: &[u8]) -> io::Result<()> {
        let client = &mut self.clients[client];
        client.outgoing().frame(stomp);
        client.flush()
    }

    /// Waits up to `wait` for something to happen, and handles all of it. What `on_frame` queues is sent by its client.
    pub(crate) fn turn(
        &mut self,
        wait: Duration,
        mut on_frame: impl FnMut(usize, &Frame<'_>, &mut Outgoing) -> io::Result<()>,
    ) -> io::Result<()> {
        interrupt::check()?;
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in &self.events {
            let Token(index) = event.token();
            let client = &mut self.clients[index];
            let was_ready = client.is_ready();
            let received = match event.is_readable() {
                true => client.receive(&mut self.scratch, &mut |frame, out| on_frame(index, frame, out)),
                false => Ok(()),
            };
            received.and_then(|()| client.flush()).map_err(|fault| fault_of(index, &fault))?;
            if !was_ready && client.is_ready() {
                self.ready += 1;
            }
        }
        Ok(())
    }

    fn start_client(&mut self, subscription: Option<Subscription>) -> io::Result<()> {
        let index = self.clients.len();
        let source = Ipv4Addr::new(127, 0, 0, 2 + (index / CLIENTS_PER_ADDRESS) as u8);
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_tcp_nodelay(true)?;
        socket.bind(&SocketAddr::from((source, 0)).into())?;
        // The kernel accepts at once on loopback while the backlog has room, which `OPENING_MAX` sees to.
        socket.connect_timeout(&self.server.into(), CONNECT_PATIENCE)?;
        socket.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(socket.into());
        self.poll.registry().register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
        self.clients.push(Client::new(stream, subscription));
        Ok(())
    }
}

fn fault_of(client: usize, fault: &io::Error) -> io::Error {
    io::Error::new(fault.kind(), format!("client {client}: {fault}"))
}
