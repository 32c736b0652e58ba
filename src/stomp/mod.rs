//! The STOMP protocol as values: versions 1.0, 1.1 and 1.2, frames, their bytes, heart-beat arithmetic, limits.
//!
//! Bytes in, values out, and back. No I/O, no clock, no session: what a frame *means* is decided elsewhere.

mod command;
mod decoder;
mod encoder;
mod error;
mod escape;
mod frame;
mod headers;
mod heartbeat;
mod input;
mod limits;
mod line;
mod text;
mod version;

pub use command::Command;
pub use decoder::Decoder;
pub use encoder::Encoder;
pub use error::DecodeError;
pub use frame::Frame;
pub use headers::Headers;
pub use heartbeat::{HeartBeat, HeartBeatError};
pub use limits::Limits;
pub use text::{is_printed_bytes, text_only};
pub use version::Version;
