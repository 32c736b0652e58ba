//! The bytes of the current frame as they come in, cut into lines and a body.
//!
//! The frame always begins at the first byte held, so an offset is a size, and a limit is an offset. A byte is searched
//! once: what was looked at and is not enough is remembered. The bytes are searched in order and the first one that is
//! wrong decides, so the outcome does not depend on how they were cut when they came in.

use bytes::{Buf, Bytes, BytesMut};

use super::DecodeError;
use super::limits::Bound;

/// Smaller bodies are copied: a part of the buffer would keep all of it in memory.
const COPIED_BODY_MAX: usize = 16 * 1024;

/// How much memory is taken for a body on a peer's word alone; beyond it, it grows with what was received.
const RESERVED_MAX: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(super) struct Input {
    /// From the first byte of the current frame on.
    bytes: BytesMut,
    /// Where the current line begins, or the body.
    start: usize,
    /// How far it was searched for its end.
    searched: usize,
}

impl Input {
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// An idle session keeps no buffer.
    pub(super) fn release_if_empty(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        }
    }

    /// Between frames: line ends (heart-beats, what some clients send after a frame) and stray NULs mean nothing.
    ///
    /// Says whether a frame has begun.
    pub(super) fn skip_blank(&mut self) -> Result<bool, DecodeError> {
        let mut at = 0;
        let has_begun = loop {
            match (self.bytes.get(at), self.bytes.get(at + 1)) {
                (Some(b'\n' | 0), _) => at += 1,
                (Some(b'\r'), Some(b'\n')) => at += 2,
                (Some(b'\r'), Some(_)) => return Err(DecodeError::BareCarriageReturn),
                (Some(b'\r') | None, _) => break false,
                (Some(_), _) => break true,
            }
        };
        self.bytes.advance(at);
        Ok(has_begun)
    }

    /// The next line without its end, or `None` as long as it is not whole.
    pub(super) fn line(&mut self, bound: Bound) -> Result<Option<&[u8]>, DecodeError> {
        let ahead = self.ahead(self.searched, bound);
        let Some(at) = memchr::memchr3(b'\n', b'\r', 0, ahead) else {
            return self.wait_from(self.bytes.len(), bound);
        };
        let end = self.searched + at;
        let next = match (ahead[at], ahead.get(at + 1)) {
            (b'\n', _) => end + 1,
            (b'\r', Some(b'\n')) => end + 2,
            (b'\r', Some(_)) => return Err(DecodeError::BareCarriageReturn),
            (b'\r', None) => return self.wait_from(end, bound),
            (_, _) => return Err(DecodeError::NulInHeaders),
        };
        let start = std::mem::replace(&mut self.start, next);
        self.searched = next;
        Ok(Some(&self.bytes[start..end]))
    }

    /// Number and bytes of the whole header lines that are there, without their colons and ends.
    pub(super) fn headers_ahead(&self, bound: Bound) -> (usize, usize) {
        let ahead = self.ahead(self.start, bound);
        let (mut count, mut start) = (0, 0);
        for end in memchr::memchr_iter(b'\n', ahead) {
            if matches!(ahead[start..end], [] | [b'\r']) {
                break;
            }
            count += 1;
            start = end + 1;
        }
        (count, start - 2 * count)
    }

    /// Makes room for a body of that length, and refuses one that is too long.
    pub(super) fn expect_body(&mut self, length: usize, bound: Bound) -> Result<(), DecodeError> {
        let whole = self.start.saturating_add(length).saturating_add(1);
        if whole > bound.max() {
            return Err(bound.passed());
        }
        self.bytes.reserve(whole.saturating_sub(self.bytes.len()).min(RESERVED_MAX));
        Ok(())
    }

    /// The first byte of the body.
    pub(super) fn body_start(&self) -> Option<u8> {
        self.bytes.get(self.start).copied()
    }

    /// The body of that length once it and the NUL after it are there. The frame ends with it.
    pub(super) fn body_of(&mut self, length: usize) -> Result<Option<Bytes>, DecodeError> {
        match self.bytes.get(self.start + length) {
            None => Ok(None),
            Some(0) => Ok(Some(self.take_body(length))),
            Some(_) => Err(DecodeError::NotTerminated { content_length: length }),
        }
    }

    /// The body before the next NUL. The frame ends with it.
    pub(super) fn body_to_nul(&mut self, bound: Bound) -> Result<Option<Bytes>, DecodeError> {
        match memchr::memchr(0, self.ahead(self.searched, bound)) {
            Some(at) => Ok(Some(self.take_body(self.searched + at - self.start))),
            None => self.wait_from(self.bytes.len(), bound),
        }
    }

    fn take_body(&mut self, length: usize) -> Bytes {
        let start = std::mem::take(&mut self.start);
        self.searched = 0;
        let fills_buffer = length >= self.bytes.capacity() / 2;
        if length <= COPIED_BODY_MAX || !fills_buffer {
            let body = Bytes::copy_from_slice(&self.bytes[start..start + length]);
            self.bytes.advance(start + length + 1);
            return body;
        }
        self.bytes.advance(start);
        let body = self.bytes.split_to(length).freeze();
        self.bytes.advance(1);
        body
    }

    /// What is there from that offset on and within the bound.
    fn ahead(&self, from: usize, bound: Bound) -> &[u8] {
        self.bytes.get(from..self.bytes.len().min(bound.max())).unwrap_or_default()
    }

    /// Remembers where to search when more is there, unless more would be too much.
    fn wait_from<T>(&mut self, searched: usize, bound: Bound) -> Result<Option<T>, DecodeError> {
        if self.bytes.len() > bound.max() {
            return Err(bound.passed());
        }
        self.searched = searched;
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
