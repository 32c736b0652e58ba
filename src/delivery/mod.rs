//! From a broker to the clients: who is subscribed to what, and what waits for each of them.
//!
//! Nothing here waits: a push is synchronous and bounded, so no broker task is ever held up by a slow client. Does not
//! know sessions, nor where messages come from.

mod budget;
mod globs;
mod metrics;
mod outbox;
mod table;
mod trie;

pub use budget::{Budget, MEMORY_SETTING, MemoryFull};
pub use metrics::Metrics;
pub use outbox::{AfterLoss, Item, Outbox, Outboxes, Pushed, Settings};
pub use table::{Subscriber, Table};
