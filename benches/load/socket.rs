//! Non-blocking reads and writes, the same for clients and the floor.

use std::io::{self, Read, Write};

/// The bytes of a socket from which no whole frame could be made yet. Without a buffer while there are none.
#[derive(Debug, Default)]
pub(crate) struct Inbox(Vec<u8>);

impl Inbox {
    /// Reads until the socket is empty. `consume` says how many of the bytes it has used.
    pub(crate) fn read(
        &mut self,
        stream: &mut impl Read,
        scratch: &mut [u8],
        mut consume: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        let Self(held) = self;
        loop {
            let count = match stream.read(scratch) {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the peer closed the connection")),
                Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(fault) if fault.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if held.is_empty() {
                let used = consume(&mut scratch[..count])?;
                held.extend_from_slice(&scratch[used..count]);
            } else {
                held.extend_from_slice(&scratch[..count]);
                let used = consume(held)?;
                held.drain(..used);
            }
            // A short read has emptied the socket: epoll(7) lets an edge-triggered reader stop here.
            if count < scratch.len() {
                return Ok(());
            }
        }
    }
}

/// Writes as much as the socket takes, and says how much that was.
pub(crate) fn write_some(stream: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match stream.write(&bytes[written..]) {
            Ok(count) => written += count,
            Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => break,
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => (),
            Err(fault) => return Err(fault),
        }
    }
    Ok(written)
}
