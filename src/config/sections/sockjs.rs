//! What `[sockjs]` says.

use std::time::Duration;

use super::{HOUR, MIB};
use crate::config::kind::{choice, duration, flag, list, number, string};
use crate::config::reader::Reader;
use crate::http::sockjs::{Receiving, Settings};
use crate::transport::sockjs;

/// jsonp clients give up after 35 s of silence (S37).
const HEARTBEAT_MAX: Duration = Duration::from_secs(34);

const TRANSPORTS: &[(&str, Receiving)] = &[
    ("eventsource", Receiving::EventSource),
    ("htmlfile", Receiving::HtmlFile),
    ("jsonp", Receiving::Jsonp),
    ("xhr", Receiving::Xhr),
    ("xhr_streaming", Receiving::XhrStreaming),
];

/// `None` if it is off.
pub(super) fn sockjs(reader: &mut Reader) -> Option<Settings> {
    let (default, of_session) = (Settings::default(), sockjs::Settings::default());
    let is_enabled = reader.key("sockjs.enabled", flag(), true);
    let transports = list(choice(TRANSPORTS));
    let transports: Vec<_> = reader.key("sockjs.transports", transports, Vec::new());
    let library = string("a URL that begins with `/` or `http`, without quotes and blanks", is_url);
    let base = string("a URL that begins with `http`, without quotes and blanks; empty for none", |it| {
        it.is_empty() || (is_url(it) && it.starts_with("http"))
    });
    let second = Duration::from_secs(1);
    let settings = Settings {
        transports: (!transports.is_empty()).then_some(transports),
        websocket: reader.key("sockjs.websocket", flag(), default.websocket),
        client_library_url: reader.key("sockjs.client_library_url", library, default.client_library_url),
        base_url: Some(reader.key("sockjs.base_url", base, String::new())).filter(|it| !it.is_empty()),
        cookie_needed: reader.key("sockjs.cookie_needed", flag(), default.cookie_needed),
        suppress_cors: reader.key("sockjs.suppress_cors", flag(), default.suppress_cors),
        sessions: sockjs::Settings {
            heartbeat: reader.key("sockjs.heartbeat", duration(second..=HEARTBEAT_MAX), of_session.heartbeat),
            disconnect_delay: reader.key(
                "sockjs.disconnect_delay",
                duration(second..=HOUR),
                of_session.disconnect_delay,
            ),
            stream_bytes: reader.size("sockjs.stream_bytes", 64 * MIB, of_session.stream_bytes),
            sends_waiting_max: reader.key("sockjs.sends_waiting_max", number(1..=1_000), of_session.sends_waiting_max),
            send_time_max: reader.time("sockjs.send_time_limit", of_session.send_time_max),
        },
        body_bytes_max: reader.size("sockjs.body_bytes_max", 64 * MIB, default.body_bytes_max),
    };
    is_enabled.then_some(settings)
}

fn is_url(text: &str) -> bool {
    let is_plain = |it: char| it.is_ascii_graphic() && !"\"'<>".contains(it);
    (text.starts_with('/') || text.starts_with("http")) && text.chars().all(is_plain)
}
