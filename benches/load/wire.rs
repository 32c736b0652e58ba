//! The bytes of both sides: WebSocket frames (RFC 6455 section 5.2) and STOMP frames, as much of them as a measurement needs.

use std::io;
use std::ops::Range;

/// RFC 6455 wants a fresh key for every frame, against caches on the way of a browser. Between a bench and a server on
/// loopback it is enough that the server has to do the work of unmasking.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xa,
}

/// Which side writes a WebSocket frame: clients mask, servers do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// The header of a WebSocket frame that has arrived whole.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) opcode: Opcode,
    pub(crate) mask: Option<[u8; 4]>,
    /// Where the payload lies; its end is the end of the frame.
    pub(crate) payload: Range<usize>,
}

impl Head {
    /// `None` while the frame is not complete.
    pub(crate) fn parse(bytes: &[u8]) -> io::Result<Option<Self>> {
        let [first, second, ..] = *bytes else { return Ok(None) };
        let opcode = match first {
            0x81 => Opcode::Text,
            0x82 => Opcode::Binary,
            0x88 => Opcode::Close,
            0x89 => Opcode::Ping,
            0x8a => Opcode::Pong,
            other => return Err(io::Error::other(format!("a WebSocket frame begins with {other:#04x}"))),
        };
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let key = if second & 0x80 == 0 { 0 } else { 4 };
        let start = 2 + extended + key;
        let Some(header) = bytes.get(2..start) else { return Ok(None) };
        let (extended, key) = header.split_at(extended);
        let length = match extended {
            [] => usize::from(second & 0x7f),
            digits => digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)),
        };
        let payload = start..start + length;
        let mask = <[u8; 4]>::try_from(key).ok();
        Ok((payload.end <= bytes.len()).then_some(Self { opcode, mask, payload }))
    }
}

/// Appends one WebSocket frame.
pub(crate) fn push(out: &mut Vec<u8>, side: Side, opcode: Opcode, payload: &[u8]) {
    let masked = if side == Side::Client { 0x80 } else { 0 };
    out.push(0x80 | opcode as u8);
    match payload.len() {
        short @ 0..=125 => out.push(masked | short as u8),
        medium @ 126..=0xffff => {
            out.push(masked | 126);
            out.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            out.push(masked | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    match side {
        Side::Client => {
            out.extend_from_slice(&MASK);
            let start = out.len();
            out.extend_from_slice(payload);
            apply_mask(&mut out[start..], MASK);
        }
        Side::Server => out.extend_from_slice(payload),
    }
}

pub(crate) fn apply_mask(payload: &mut [u8], key: [u8; 4]) {
    for (at, byte) in payload.iter_mut().enumerate() {
        *byte ^= key[at % 4];
    }
}

/// A STOMP frame, as slices of what was read. Header values stay escaped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) command: &'a [u8],
    headers: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl<'a> Frame<'a> {
    pub(crate) fn header(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.headers
            .split(|byte| *byte == b'\n')
            .find_map(|line| line.strip_prefix(name).and_then(|rest| rest.strip_prefix(b":")))
    }

    /// The header, or the fault that it is missing.
    pub(crate) fn required(&self, name: &str) -> io::Result<&'a [u8]> {
        let missing = || io::Error::other(format!("{self} has no header {name}"));
        self.header(name.as_bytes()).ok_or_else(missing)
    }

    fn parse(bytes: &'a [u8]) -> io::Result<Self> {
        let fault = || io::Error::other(format!("not a STOMP frame: {}", String::from_utf8_lossy(bytes)));
        let end = memchr::memmem::find(bytes, b"\n\n").ok_or_else(fault)?;
        let line = memchr::memchr(b'\n', bytes).ok_or_else(fault)?;
        Ok(Self {
            command: &bytes[..line],
            headers: bytes.get(line + 1..end).unwrap_or_default(),
            body: &bytes[end + 2..],
        })
    }
}

impl std::fmt::Display for Frame<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for part in [self.command, self.headers, self.body] {
            write!(f, "{} ", String::from_utf8_lossy(part).escape_debug())?;
        }
        Ok(())
    }
}

/// The STOMP frames in one WebSocket message. Bodies of this bench hold no NUL, so that NUL ends a frame.
pub(crate) fn frames(mut message: &[u8]) -> impl Iterator<Item = io::Result<Frame<'_>>> {
    std::iter::from_fn(move || {
        while let [b'\n' | b'\r', rest @ ..] = message {
            message = rest;
        }
        if message.is_empty() {
            return None;
        }
        let end = memchr::memchr(0, message).unwrap_or(message.len());
        let frame = Frame::parse(&message[..end]);
        message = message.get(end + 1..).unwrap_or_default();
        Some(frame)
    })
}
