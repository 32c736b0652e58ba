//! Names and numbers that tell things apart: newtypes, so that one is never passed for another.
//!
//! Nothing here knows what the named thing does.

use std::fmt;
use std::sync::Arc;

/// Identifies a STOMP session. Random, made by the gateway, never taken from a client.
///
/// Shown to the client as the `session` header of CONNECTED: 22 characters of unpadded base64url for 16 random bytes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// Wraps 16 bytes that the caller drew from a cryptographic source.
    pub const fn from_random(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// What prints as that text.
    pub fn parse(text: &str) -> Option<Self> {
        Base64Url::parse(text).map(|it| Self(it.0))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Base64Url(self.0).fmt(f)
    }
}

/// Prints 16 bytes as 22 characters of unpadded base64url.
#[derive(Clone, Copy, Debug)]
pub struct Base64Url(pub [u8; 16]);

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Base64Url {
    /// 22 letters carry four bits more than 16 bytes; these have to be zero, so that a value has one text.
    fn parse(text: &str) -> Option<Self> {
        if text.len() != 22 {
            return None;
        }
        let digits = text.bytes().map(|it| ALPHABET.iter().position(|letter| *letter == it));
        let mut bits: u128 = 0;
        for (place, digit) in digits.enumerate() {
            let digit = digit? as u128;
            bits = if place < 21 { bits << 6 | digit } else { bits << 2 | digit >> 4 };
            if place == 21 && digit & 0b1111 != 0 {
                return None;
            }
        }
        Some(Self(bits.to_be_bytes()))
    }
}

impl fmt::Display for Base64Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.chunks(3) {
            let mut bits = [0; 3];
            bits[..chunk.len()].copy_from_slice(chunk);
            let word = u32::from_be_bytes([0, bits[0], bits[1], bits[2]]);
            for i in 0..=chunk.len() {
                let index = (word >> (18 - 6 * i)) & 63;
                write!(f, "{}", char::from(ALPHABET[index as usize]))?;
            }
        }
        Ok(())
    }
}

/// The `id` header of a SUBSCRIBE: chosen by the client, unique within its session.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SubscriptionId(Arc<str>);

impl SubscriptionId {
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One SUBSCRIBE of one session: minted by the session, never used again after its UNSUBSCRIBE.
///
/// Back ends carry it instead of the [`SubscriptionId`], which a client may use again for another subscription.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SubscriptionKey(pub u32);

/// Ties an answer of the broker to the action that asked for it. Minted by the session, rising.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct OpId(pub u64);

/// Who a session acts for, once it is authenticated.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Principal(Arc<str>);

impl Principal {
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    pub fn name(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_prints_as_base64url() {
        let zeros = SessionId::from_random([0; 16]).to_string();
        assert_eq!(zeros, "A".repeat(22));
        let ones = SessionId::from_random([0xff; 16]).to_string();
        assert_eq!(ones, format!("{}w", "_".repeat(21)));
    }

    #[test]
    fn a_session_id_is_read_as_it_prints_and_in_no_other_way() {
        let id = SessionId::from_random([0xfb, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0x8f]);
        let text = id.to_string();
        assert_eq!(SessionId::parse(&text), Some(id));
        let others = [&text[1..], &format!("{text}A"), &format!("{}x", &text[..21]), &format!("{}=", &text[..21]), ""];
        others.iter().for_each(|it| assert_eq!(SessionId::parse(it), None, "{it}"));
    }
}
