//! What can be wrong with a frame's bytes.

use super::Command;

/// Why the bytes received are not a frame. Nothing after it can be read: where the next frame starts is unknown.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    #[error("content-length must be a whole number of bytes, not '{0}'")]
    BadContentLength(String),
    /// Names the header; its value may be a secret.
    #[error("illegal escape sequence in header '{0}': only \\n, \\r, \\c and \\\\ are defined")]
    BadEscape(String),
    #[error("a carriage return must be followed by a line feed")]
    BareCarriageReturn,
    #[error("header line '{0}' has no name before a colon")]
    BadHeader(String),
    #[error("a {} frame must not have a body", .0.as_str())]
    BodyNotAllowed(Command),
    #[error("frame is larger than {max} bytes (stomp.{setting})", setting = frame_setting(*.before_connect))]
    FrameTooLarge { max: usize, before_connect: bool },
    #[error("headers are larger than {max} bytes (stomp.header_bytes_max)")]
    HeadersTooLarge { max: usize },
    #[error("frame is not terminated by a NUL byte after the {content_length} bytes of its body")]
    NotTerminated { content_length: usize },
    #[error("command and headers must be UTF-8")]
    NotUtf8,
    #[error("a NUL byte ends the frame before the empty line that ends its headers")]
    NulInHeaders,
    #[error("more than {max} headers (stomp.header_count_max)")]
    TooManyHeaders { max: usize },
    #[error("unknown command '{0}'")]
    UnknownCommand(String),
}

const fn frame_setting(before_connect: bool) -> &'static str {
    if before_connect { "frame_bytes_max_before_connect" } else { "frame_bytes_max" }
}
