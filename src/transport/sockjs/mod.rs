//! SockJS: sessions that look like a WebSocket to both sides, over one or over HTTP requests (SockJS protocol 0.3.3).
//!
//! Over WebSocket a session is a [`OverWebSocket`]. Over HTTP it is a [`Session`], found in a [`Table`] by an id that
//! the client chose, to which requests attach as [`Receiver`] or bring messages; [`OverHttp`] is its end in the gateway.
//! What HTTP looks like, paths and headers and how a frame is wrapped, is not known here.
//!
//! While nobody receives, what is to be written stays where it came from: [`Transport::poll_room`] says so.
//!
//! [`Transport::poll_room`]: super::Transport::poll_room

mod frame;
mod json;
mod metrics;
mod over_http;
mod over_websocket;
mod receiver;
mod session;
mod table;

use std::time::Duration;

pub use frame::{Quoted, quote};
pub use metrics::Metrics;
pub use over_http::OverHttp;
pub use over_websocket::OverWebSocket;
pub use receiver::Receiver;
pub use session::{Outgoing, Place, SendFault, Session};
pub use table::{Asked, Found, Table};

/// What an operator decides about sessions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settings {
    /// How long a session lives without a receiver.
    pub disconnect_delay: Duration,
    /// How long nothing is written before an `h` is.
    pub heartbeat: Duration,
    /// How long a sending request may wait for its session, or for its own body.
    pub send_time_max: Duration,
    /// Sending requests of one session at a time.
    pub sends_waiting_max: usize,
    /// Bytes of frames in one streaming answer, which then ends, and of one array of messages.
    pub stream_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            disconnect_delay: Duration::from_secs(5),
            heartbeat: Duration::from_secs(25),
            send_time_max: Duration::from_secs(20),
            sends_waiting_max: 16,
            stream_bytes: 128 * 1024,
        }
    }
}
