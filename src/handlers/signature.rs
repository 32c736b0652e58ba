//! How a service knows that a request is the gateway's: HMAC-SHA256 over the time and the body.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};

use super::settings::Secret;

/// Cloning it clones a handle.
#[derive(Clone, Debug)]
pub(super) struct Signer(Key);

/// Values of two headers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Signature {
    /// Seconds since 1970.
    pub(super) timestamp: String,
    /// `v1=` and hexadecimal digits.
    pub(super) signature: String,
}

impl Signer {
    pub(super) fn new(secret: &Secret) -> Self {
        Self(Key::new(HMAC_SHA256, secret.as_bytes()))
    }

    pub(super) fn sign(&self, at: SystemTime, body: &[u8]) -> Signature {
        let timestamp = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().to_string();
        let mut context = hmac::Context::with_key(&self.0);
        context.update(timestamp.as_bytes());
        context.update(b".");
        context.update(body);
        let mut signature = String::from("v1=");
        for byte in context.sign().as_ref() {
            write!(signature, "{byte:02x}").expect("a String takes every write");
        }
        Signature { timestamp, signature }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Compare: `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret`.
    #[test]
    fn the_signature_is_that_of_openssl() {
        let signer = Signer::new(&Secret::new("secret"));
        let signed = signer.sign(UNIX_EPOCH + Duration::from_secs(1_700_000_000), br#"{"a":1}"#);
        assert_eq!(signed.timestamp, "1700000000");
        let expected = "49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686";
        assert_eq!(signed.signature, format!("v1={expected}"));
    }
}
