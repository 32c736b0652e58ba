//! One STOMP session as a value: no I/O, no clock, no task.
//!
//! Everything that can happen to a session is an [`Input`], everything it can want is an [`Action`]. The driver feeds
//! the one, carries out the other, and reports what came of it. All of STOMP's rules are here, and nothing else is:
//! a session does not know which broker or transport it has.
//!
//! Frames take effect strictly in order. While something is pending that a later frame must not overtake,
//! [`Session::wants_frames`] is false and the driver leaves the bytes where they are.

mod acks;
mod action;
mod close;
mod connect;
mod connected;
mod core;
mod fault;
mod in_flight;
mod input;
mod name;
mod place;
mod rate;
mod refusal;
mod send;
mod settings;
mod state;
mod subscriptions;
mod timers;
mod transactions;

pub use action::{AckMode, Action, Credentials, Publish, Sent, Subscribe, Unsubscribe, Verdict};
pub use close::{CloseReason, Closing, LABELS, Level};
pub use fault::Fault;
pub use input::{Answer, Input, Outcome};
pub use name::SubscriptionName;
pub use rate::Rate;
pub use refusal::{Limit, Refusal};
pub use settings::{AckScope, Grammar, Settings};
pub use state::{Phase, Session};

#[cfg(test)]
mod tests;
