//! What the lines above the body say: the command, one header each, and how long the body is.

use super::escape::unescape;
use super::{Command, DecodeError, Frame, Headers, Version};

/// How much of a client's own text an error quotes, in bytes.
const QUOTED_MAX: usize = 64;

pub(super) fn command(line: &[u8]) -> Result<Command, DecodeError> {
    Command::parse(line).ok_or_else(|| match std::str::from_utf8(line) {
        Ok(text) => DecodeError::UnknownCommand(quoted(text)),
        Err(_) => DecodeError::NotUtf8,
    })
}

pub(super) fn push_header(
    frame: &mut Frame,
    line: &[u8],
    version: Option<Version>,
    count_max: usize,
) -> Result<(), DecodeError> {
    if frame.headers.len() >= count_max {
        return Err(DecodeError::TooManyHeaders { max: count_max });
    }
    let line = std::str::from_utf8(line).map_err(|_| DecodeError::NotUtf8)?;
    let (name, value) = match memchr::memchr(b':', line.as_bytes()) {
        Some(colon) if colon > 0 => (&line[..colon], &line[colon + 1..]),
        // It may be the second line of a passcode, and errors are logged.
        Some(_) | None if !frame.command.is_escaped() => return Err(DecodeError::BadHeader("...".to_owned())),
        Some(_) | None => return Err(DecodeError::BadHeader(quoted(line))),
    };
    let has_escapes = || memchr::memchr(b'\\', line.as_bytes()).is_some();
    match version {
        Some(Version::V1_1 | Version::V1_2) if frame.command.is_escaped() && has_escapes() => {
            let plain = |text| unescape(text).ok_or_else(|| DecodeError::BadEscape(quoted(name)));
            frame.headers.push(&plain(name)?, &plain(value)?);
        }
        Some(Version::V1_0) => frame.headers.push(name, without_blanks(value)),
        Some(Version::V1_1 | Version::V1_2) | None => frame.headers.push(name, value),
    }
    Ok(())
}

/// Takes the headers out of a frame that has all of them.
///
/// Only now it is known whether a CONNECT is one of STOMP 1.0.
pub(super) fn whole_headers(frame: &mut Frame, version: Option<Version>) -> Headers {
    let headers = std::mem::take(&mut frame.headers);
    let is_connect = version.is_none() && matches!(frame.command, Command::Connect | Command::Stomp);
    let is_1_0 = || Version::negotiate(headers.get("accept-version")) == Some(Version::V1_0);
    if is_connect && headers.iter().any(|(_, value)| value.starts_with(' ')) && is_1_0() {
        return headers.iter().map(|(name, value)| (name, without_blanks(value))).collect();
    }
    headers
}

pub(super) fn content_length(headers: &Headers) -> Result<Option<usize>, DecodeError> {
    let Some(text) = headers.get("content-length") else { return Ok(None) };
    let digits = text.as_bytes().trim_ascii();
    if digits.is_empty() {
        return Err(DecodeError::BadContentLength(quoted(text)));
    }
    let mut length = 0_usize;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(DecodeError::BadContentLength(quoted(text)));
        }
        // What does not fit is more than any limit allows, and is refused as that.
        length = length.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
    }
    Ok(Some(length))
}

/// STOMP 1.0 has no escapes, and its examples put a blank after the colon.
fn without_blanks(value: &str) -> &str {
    value.trim_start_matches(' ')
}

/// Enough of it to recognise it by.
fn quoted(text: &str) -> String {
    let mut end = text.len().min(QUOTED_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
