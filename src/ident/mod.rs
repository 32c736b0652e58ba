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
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Base64Url(self.0).fmt(f)
    }
}

/// Prints 16 bytes as 22 characters of unpadded base64url.
#[derive(Clone, Copy, Debug)]
pub struct Base64Url(pub [u8; 16]);

impl fmt::Display for Base64Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
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
}
