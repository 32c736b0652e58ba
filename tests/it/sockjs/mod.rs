//! SockJS, byte by byte over TCP, against the four services of `examples/sockjs_services.rs`, and STOMP over it.

mod raw;
#[expect(dead_code, reason = "its own main")]
#[path = "../../../examples/sockjs_services.rs"]
mod services;
mod stomp;

use raw::Raw;
