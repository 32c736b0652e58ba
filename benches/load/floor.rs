//! The floor: a server that does no more than the kernel makes it do. One epoll loop without a task, a queue or a check
//! copies the body of each SEND into one MESSAGE and writes those bytes to every subscriber. What came in one turn goes
//! out in one write per client. It trusts its clients and answers them by canned frames.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

use crate::socket::{self, Inbox};
use crate::wire::{self, Frame, Head, Opcode, Side};

const LISTENER: Token = Token(usize::MAX);
const BACKLOG: i32 = 4096;
const READ_BYTES: usize = 64 * 1024;

/// The key of the handshake is a constant of this bench (the example of RFC 6455), and so is its answer.
const UPGRADED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: v12.stomp\r\n\r\n";

/// Serves until the process is killed, or its standard input ends because the bench is gone.
pub(crate) fn serve(address: SocketAddr) -> io::Result<()> {
    std::thread::spawn(|| {
        let ended = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(i32::from(ended.is_err()));
    });
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let mut listener = TcpListener::from_std(socket.into());
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut floor = Floor { poll, listener, peers: Vec::new(), topics: Topics::default() };
    let (mut events, mut scratch) = (Events::with_capacity(1024), vec![0; READ_BYTES]);
    loop {
        floor.turn(&mut events, &mut scratch)?;
    }
}

struct Floor {
    poll: Poll,
    listener: TcpListener,
    /// By token; `None` once a client has gone.
    peers: Vec<Option<Peer>>,
    topics: Topics,
}

impl Floor {
    fn turn(&mut self, events: &mut Events, scratch: &mut [u8]) -> io::Result<()> {
        match self.poll.poll(events, None::<Duration>) {
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in &*events {
            if event.token() == LISTENER {
                self.accept()?;
                continue;
            }
            let Token(index) = event.token();
            let Some(peer) = &mut self.peers[index] else { continue };
            let received = match event.is_readable() {
                true => peer.receive(index, scratch, &mut self.topics),
                false => Ok(()),
            };
            if received.and_then(|()| peer.flush()).is_err() {
                self.peers[index] = None;
            }
        }
        self.deliver();
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let (mut stream, _) = match self.listener.accept() {
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                other => other?,
            };
            stream.set_nodelay(true)?;
            let token = Token(self.peers.len());
            self.poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
            self.peers.push(Some(Peer { stream, inbox: Inbox::default(), dialogue: Dialogue::default() }));
        }
    }

    /// Writes what the turn has collected for each topic to its subscribers.
    fn deliver(&mut self) {
        for dirty in self.topics.dirty.drain(..) {
            let Topic { subscribers, batch } = &mut self.topics.all[dirty];
            subscribers.retain(|subscriber| {
                let peer = &mut self.peers[*subscriber];
                if peer.as_mut().is_some_and(|it| it.write(batch).is_err()) {
                    *peer = None;
                }
                peer.is_some()
            });
            batch.clear();
        }
    }
}

#[derive(Default)]
struct Topics {
    names: HashMap<Vec<u8>, usize>,
    all: Vec<Topic>,
    dirty: Vec<usize>,
    messages: u64,
}

#[derive(Default)]
struct Topic {
    subscribers: Vec<usize>,
    batch: Vec<u8>,
}

impl Topics {
    fn subscribe(&mut self, destination: &[u8], peer: usize) {
        let index = *self.names.entry(destination.to_vec()).or_insert(self.all.len());
        if index == self.all.len() {
            self.all.push(Topic::default());
        }
        self.all[index].subscribers.push(peer);
    }

    fn publish(&mut self, destination: &[u8], body: &[u8]) -> io::Result<()> {
        let Some(index) = self.names.get(destination) else { return Ok(()) };
        self.messages += 1;
        let mut message = Vec::with_capacity(destination.len() + body.len() + 128);
        message.extend_from_slice(b"MESSAGE\nsubscription:sub-0\ndestination:");
        message.extend_from_slice(destination);
        write!(message, "\nmessage-id:{0}\nack:{0}\ncontent-length:{1}\n\n", self.messages, body.len())?;
        message.extend_from_slice(body);
        message.push(0);
        let batch = &mut self.all[*index].batch;
        if batch.is_empty() {
            self.dirty.push(*index);
        }
        wire::push(batch, Side::Server, Opcode::Text, &message);
        Ok(())
    }
}

struct Peer {
    stream: TcpStream,
    inbox: Inbox,
    dialogue: Dialogue,
}

impl Peer {
    fn receive(&mut self, index: usize, scratch: &mut [u8], topics: &mut Topics) -> io::Result<()> {
        self.inbox.read(&mut self.stream, scratch, |bytes| self.dialogue.consume(index, bytes, topics))
    }

    /// Writes `bytes` without a copy, unless earlier ones still wait.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = match self.dialogue.unsent.is_empty() {
            true => socket::write_some(&mut self.stream, bytes)?,
            false => 0,
        };
        self.dialogue.unsent.extend_from_slice(&bytes[written..]);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let unsent = &mut self.dialogue.unsent;
        let written = socket::write_some(&mut self.stream, unsent)?;
        unsent.drain(..written);
        if unsent.is_empty() {
            // An idle client costs no buffer, so that the floor is one for memory as well.
            *unsent = Vec::new();
        }
        Ok(())
    }
}

/// The server's side of the protocol, without its socket.
#[derive(Default)]
struct Dialogue {
    is_upgraded: bool,
    unsent: Vec<u8>,
}

impl Dialogue {
    fn consume(&mut self, index: usize, bytes: &mut [u8], topics: &mut Topics) -> io::Result<usize> {
        let mut used = 0;
        if !self.is_upgraded {
            let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Ok(0) };
            self.unsent.extend_from_slice(UPGRADED);
            self.is_upgraded = true;
            used = end + 4;
        }
        while let Some(head) = Head::parse(&bytes[used..])? {
            let payload = &mut bytes[used..][head.payload.clone()];
            used += head.payload.end;
            if let Some(key) = head.mask {
                wire::apply_mask(payload, key);
            }
            match head.opcode {
                Opcode::Text | Opcode::Binary => {
                    for frame in wire::frames(payload) {
                        self.on_stomp(index, &frame?, topics)?;
                    }
                }
                Opcode::Close => return Err(io::ErrorKind::ConnectionReset.into()),
                Opcode::Ping | Opcode::Pong => (),
            }
        }
        Ok(used)
    }

    fn on_stomp(&mut self, index: usize, frame: &Frame<'_>, topics: &mut Topics) -> io::Result<()> {
        match frame.command {
            b"CONNECT" => self.answer(b"CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\0"),
            b"SUBSCRIBE" => topics.subscribe(frame.required("destination")?, index),
            b"SEND" => topics.publish(frame.required("destination")?, frame.body)?,
            b"ACK" => (),
            _ => return Err(io::Error::other(format!("the floor does not know {frame}"))),
        }
        if let Some(receipt) = frame.header(b"receipt") {
            self.answer(&[b"RECEIPT\nreceipt-id:", receipt, b"\n\n\0"].concat());
        }
        Ok(())
    }

    fn answer(&mut self, stomp: &[u8]) {
        wire::push(&mut self.unsent, Side::Server, Opcode::Text, stomp);
    }
}
