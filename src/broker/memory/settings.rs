//! What an operator decides about the embedded broker.

use crate::destination::UserPrefix;

/// Bounds. A publish beyond one of them is refused, and the refusal names it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes of all queues together.
    pub bytes_max: usize,
    /// Bytes of one queue, what its consumers have not settled included.
    pub queue_bytes_max: usize,
    /// Messages of one queue, what its consumers have not settled included.
    pub queue_messages_max: usize,
    /// Queues that have a name: `/queue`, durable topic subscriptions, and those that replies come to.
    pub queues_max: usize,
    /// What the destinations begin with that users are shown.
    pub user_prefix: UserPrefix,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bytes_max: 256 * 1024 * 1024,
            queue_bytes_max: 64 * 1024 * 1024,
            queue_messages_max: 10_000,
            queues_max: 10_000,
            user_prefix: UserPrefix::default(),
        }
    }
}
