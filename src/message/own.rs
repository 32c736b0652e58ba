//! Which headers of a MESSAGE only the gateway writes.

/// What the gateway alone says to a subscriber, or may come to say.
const NAMES: [&str; 7] =
    ["ack", "content-length", "destination", "message-id", "redelivered", "subscription", "user-name"];
const PREFIX: &str = "stompgate-";

/// Whether a publisher's header of that name is left out of a message, wherever it came from. It is asked once for each
/// message that enters the gateway, and not again for each subscriber.
pub fn is_own_header(name: &str) -> bool {
    // Clients such as stomp.js cut blanks off a name, so with blanks it would pass for the gateway's own.
    let plain = name.trim_matches(|it: char| it.is_whitespace() || it == '\u{FEFF}');
    NAMES.contains(&plain) || plain.starts_with(PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publisher_can_not_speak_for_the_gateway() {
        for name in NAMES.into_iter().chain(["stompgate-", "stompgate-error"]) {
            for written in [name.to_owned(), format!("{name} "), format!("\t{name}"), format!("\u{FEFF}{name}\u{A0}")] {
                assert!(is_own_header(&written), "{written:?}");
            }
        }
        for name in
            ["", " ", "Ack", "message", "message-id-2", "user", "stompgate", "x-stompgate-error", "content-type"]
        {
            assert!(!is_own_header(name), "{name:?}");
        }
    }
}
