//! What an operator decides about the embedded broker.

use crate::destination::{Syntax, UserPrefix};

/// Bounds and habits. A publish beyond a bound is refused, and the refusal names it.
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
    /// How wildcards are written.
    pub patterns: Syntax,
    /// A message to a `/queue` is for everybody who is subscribed, as one to a topic is.
    pub queue_fan_out: bool,
    /// The header of SUBSCRIBE that holds a selector; `None` if none does.
    pub selector_header: Option<Box<str>>,
    /// Of the text of a selector. What it costs to evaluate it grows with that.
    pub selector_bytes_max: usize,
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
            patterns: Syntax::Words,
            queue_fan_out: false,
            selector_header: None,
            selector_bytes_max: 512,
            user_prefix: UserPrefix::default(),
        }
    }
}
