//! What a peer may make a decoder hold.

/// Bounds of one frame. All are inclusive: a frame of exactly that size passes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Bytes from the first one of the command to the terminating NUL.
    pub frame_bytes_max: usize,
    /// The same before CONNECT was accepted.
    pub frame_bytes_max_before_connect: usize,
    /// Header lines, repeated ones included.
    pub header_count_max: usize,
    /// Bytes of all header lines as received.
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
