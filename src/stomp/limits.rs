//! What a peer may make a decoder hold.

use super::DecodeError;

/// Bounds of one frame. All are inclusive: a frame of exactly that size passes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Bytes from the first one of the command to the terminating NUL.
    pub frame_bytes_max: usize,
    /// The same before CONNECT was accepted.
    pub frame_bytes_max_before_connect: usize,
    /// Header lines, repeated ones included.
    pub header_count_max: usize,
    /// Bytes of the command, the header lines and the empty line after them, as received.
    pub header_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes_max: 64 * 1024,
            frame_bytes_max_before_connect: 16 * 1024,
            header_count_max: 100,
            header_bytes_max: 16 * 1024,
        }
    }
}

/// Whose limits are in force.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Peer {
    Connected,
    Stranger,
}

/// The limit that a part of a frame comes up against first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Bound {
    Frame { max: usize, peer: Peer },
    Headers { max: usize },
}

impl Limits {
    pub(super) const fn of_frame(&self, peer: Peer) -> Bound {
        let max = match peer {
            Peer::Connected => self.frame_bytes_max,
            Peer::Stranger => self.frame_bytes_max_before_connect,
        };
        Bound::Frame { max, peer }
    }

    pub(super) const fn of_headers(&self, peer: Peer) -> Bound {
        let frame = self.of_frame(peer);
        if frame.max() < self.header_bytes_max { frame } else { Bound::Headers { max: self.header_bytes_max } }
    }
}

impl Bound {
    /// Offset in the frame of the first byte that is too many.
    pub(super) const fn max(self) -> usize {
        match self {
            Self::Frame { max, .. } | Self::Headers { max } => max,
        }
    }

    pub(super) fn passed(self) -> DecodeError {
        match self {
            Self::Frame { max, peer } => DecodeError::FrameTooLarge { max, before_connect: peer == Peer::Stranger },
            Self::Headers { max } => DecodeError::HeadersTooLarge { max },
        }
    }
}
