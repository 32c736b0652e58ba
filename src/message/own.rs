//! Which headers of a MESSAGE only the gateway writes.

/// What the gateway alone says to a subscriber, or may come to say.
const NAMES: [&str; 9] = [
    "ack",
    "content-length",
    "destination",
    "message-id",
    "redelivered",
    // By which Spring has its own services choose the `destination` that a client is shown.
    "simpOrigDestination",
    "subscription",
    "user-name",
    "x-dropped",
];
const PREFIX: &str = "stompgate-";

/// Whether a publisher's header of that name is left out of a message, wherever it came from. It is asked once for each
/// message that enters the gateway, and not again for each subscriber.
pub fn is_own_header(name: &str) -> bool {
    // Clients such as stomp.js cut blanks off a name, so with blanks it would pass for the gateway's own.
    let plain = name.trim_matches(|it: char| it.is_whitespace() || it == '\u{FEFF}');
    NAMES.contains(&plain) || plain.starts_with(PREFIX)
}
