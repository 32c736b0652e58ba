//! Clients that behave badly, on threads of their own: one reads nothing, one sends all it can, one breaks every rule.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::setpriority_process;
use socket2::{Domain, Socket, Type};

use crate::client::{CONNECT, UPGRADE};
use crate::wire::{self, Opcode, Side};

/// How long a thread may not look whether it has to end.
const STEP: Duration = Duration::from_millis(20);

/// Small, so that what is not read waits in the server.
const RECEIVE_BUFFER_BYTES: usize = 4096;

/// The server closes what is hostile before this is over, or it counts as not closed.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

/// The lowest priority: the clients that are measured run on the same processors.
const NICE: i32 = 19;

/// What an attack costs the server, it costs as processor time: as fast as one client can, it would be the share of two
/// processors that is measured, and not whether others are in the way.
const ATTACK_INTERVAL: Duration = Duration::from_millis(20);

const FLOODED: &str = "/topic/bench.flood";

pub(crate) struct Nuisance {
    end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<io::Result<String>>>,
}

impl Nuisance {
    pub(crate) fn start(server: SocketAddr) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let threads = [be_stuck, flood, be_hostile].map(|behave| {
            let end = Arc::clone(&end);
            std::thread::spawn(move || {
                // What it costs to be a nuisance is not what the server does about it.
                setpriority_process(None, NICE)?;
                behave(server, &|| end.load(Ordering::Relaxed))
            })
        });
        Self { end, threads: threads.into() }
    }

    /// What they did.
    pub(crate) fn stop(self) -> io::Result<String> {
        self.end.store(true, Ordering::Relaxed);
        let told = self.threads.into_iter().map(|it| it.join().expect("a nuisance does not panic"));
        Ok(told.collect::<io::Result<Vec<_>>>()?.join(", "))
    }
}

/// Subscribes to what another one floods, reads nothing, and comes again when it is thrown out.
fn be_stuck(server: SocketAddr, is_over: &dyn Fn() -> bool) -> io::Result<String> {
    let mut times = 0;
    while !is_over() {
        let mut stream = connect(server)?;
        send(&mut stream, format!("SUBSCRIBE\nid:s\ndestination:{FLOODED}\n\n\0").as_bytes())?;
        times += 1;
        // A client that is thrown out can't write any more: heart-beats tell.
        while !is_over() && send(&mut stream, b"\n").is_ok() {
            std::thread::sleep(STEP);
        }
    }
    Ok(format!("stuck {times} times"))
}

/// Sends as fast as it is read from.
fn flood(server: SocketAddr, is_over: &dyn Fn() -> bool) -> io::Result<String> {
    let mut sent = 0_usize;
    let mut times = 0;
    while !is_over() {
        let mut stream = connect(server)?;
        times += 1;
        let batch = message(format!("SEND\ndestination:{FLOODED}\n\n{:x<1000}\0", "").as_bytes()).repeat(32);
        while !is_over() && write_all(&mut stream, &batch, is_over) {
            sent += 32;
        }
    }
    Ok(format!("flooded with {sent} messages in {times} sessions"))
}

/// All of it, unless it is over or the server has closed.
fn write_all(stream: &mut TcpStream, mut bytes: &[u8], is_over: &dyn Fn() -> bool) -> bool {
    while !bytes.is_empty() && !is_over() {
        match stream.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(fault) if is_timeout(&fault) => (),
            Err(_) => return false,
        }
    }
    bytes.is_empty()
}

/// One attack after the other, each on a connection of its own, which the server has to close.
fn be_hostile(server: SocketAddr, is_over: &dyn Fn() -> bool) -> io::Result<String> {
    let attacks = [
        // A declared length of 2^62.
        vec![0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
        // Not masked.
        b"\x81\x04SEND".to_vec(),
        // A reserved opcode.
        vec![0x83, 0x80, 1, 2, 3, 4],
        // An ACK of nothing.
        message(b"ACK\nid:1\n\n\0"),
        // A frame without an end.
        message(format!("SEND\nx:{}", "y".repeat(100_000)).as_bytes()),
        // Bytes that are no text.
        message(b"SEND\ndestination:\xff\xfe\n\n\0"),
    ];
    let (started, mut count) = (Instant::now(), 0);
    for attack in attacks.iter().cycle() {
        if is_over() {
            break;
        }
        let due = started + count * ATTACK_INTERVAL;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut stream = connect(server)?;
        // The server may close before all of it is written.
        let _refused = stream.write_all(attack);
        read_to_the_end(&mut stream)?;
        count += 1;
    }
    Ok(format!("attacked {count} times"))
}

/// An open session.
fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    socket.connect_timeout(&server.into(), ANSWER_PATIENCE)?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
    stream.set_write_timeout(Some(STEP))?;
    stream.write_all(UPGRADE)?;
    read_until(&mut stream, b"\r\n\r\n")?;
    send(&mut stream, CONNECT)?;
    read_until(&mut stream, b"\0")?;
    Ok(stream)
}

fn send(stream: &mut TcpStream, stomp: &[u8]) -> io::Result<()> {
    stream.write_all(&message(stomp))
}

fn message(stomp: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::push(&mut bytes, Side::Client, Opcode::Text, stomp);
    bytes
}

fn read_until(stream: &mut TcpStream, end: &[u8]) -> io::Result<()> {
    let (mut read, mut part) = (Vec::new(), [0; 1024]);
    // Nothing follows before the client has sent something.
    while !read.ends_with(end) {
        match stream.read(&mut part)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => read.extend_from_slice(&part[..count]),
        }
    }
    Ok(())
}

fn read_to_the_end(stream: &mut TcpStream) -> io::Result<()> {
    match stream.read_to_end(&mut Vec::new()) {
        Err(fault) if is_timeout(&fault) => Err(io::Error::other("a hostile client was not closed")),
        // A reset is an end, too.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn is_timeout(fault: &io::Error) -> bool {
    matches!(fault.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
