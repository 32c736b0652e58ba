//! Paths below an endpoint, as they were sent (S4).

use hyper::Method;

use super::send::Sending;
use super::wrapper::Receiving;

/// The longest segment of a session's path (S24).
const SEGMENT_BYTES_MAX: usize = 128;

/// What a path names. Ids are decoded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Route {
    Greeting,
    Iframe,
    Info,
    RawWebSocket,
    Receive(Receiving, String),
    Send(Sending, String),
    /// Its session needs no id: it is the connection's (S84).
    WebSocket,
}

impl Route {
    pub(super) fn of(below: &str) -> Option<Self> {
        if matches!(below, "" | "/") {
            return Some(Self::Greeting);
        }
        // One slash behind it is let pass, more are not.
        let path = below.strip_prefix('/')?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut segments = path.split('/');
        match (segments.next()?, segments.next(), segments.next(), segments.next()) {
            ("info", None, ..) => Some(Self::Info),
            ("websocket", None, ..) => Some(Self::RawWebSocket),
            (name, None, ..) if is_iframe(name) => Some(Self::Iframe),
            (server, Some(session), Some(transport), None) => {
                // The first segment is for balancers (S22).
                segment(server)?;
                Self::of_session(segment(session)?, transport)
            }
            _ => None,
        }
    }

    fn of_session(id: String, transport: &str) -> Option<Self> {
        Some(match transport {
            "jsonp_send" => Self::Send(Sending::Jsonp, id),
            "websocket" => Self::WebSocket,
            "xhr_send" => Self::Send(Sending::Xhr, id),
            name => Self::Receive(Receiving::named(name)?, id),
        })
    }

    pub(super) fn allows(&self, method: &Method) -> bool {
        self.methods().split(", ").any(|it| it == method.as_str())
    }

    /// As `Allow` lists them.
    pub(super) const fn methods(&self) -> &'static str {
        match self {
            Self::Greeting | Self::Iframe | Self::RawWebSocket | Self::WebSocket => "GET",
            Self::Info => "OPTIONS, GET",
            Self::Receive(receiving, _) => receiving.methods(),
            Self::Send(Sending::Jsonp, _) => "POST",
            Self::Send(Sending::Xhr, _) => "OPTIONS, POST",
        }
    }

    /// Whether a page's origin decides (S32).
    pub(super) const fn is_of_pages(&self) -> bool {
        match self {
            Self::Greeting | Self::Iframe => false,
            Self::Info | Self::RawWebSocket | Self::Receive(..) | Self::Send(..) | Self::WebSocket => true,
        }
    }
}

/// S11.
fn is_iframe(name: &str) -> bool {
    let between = name.strip_prefix("iframe").and_then(|it| it.strip_suffix(".html"));
    between.is_some_and(|it| it.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'z' | b'-' | b'.' | b'_')))
}

/// Decoded once, and checked before and after it (S21, S24).
fn segment(raw: &str) -> Option<String> {
    let is_plain = |it: &str| !it.is_empty() && !it.contains(['.', '/']) && !it.contains(char::is_control);
    if raw.len() > SEGMENT_BYTES_MAX || !is_plain(raw) {
        return None;
    }
    decoded(raw).filter(|it| is_plain(it))
}

/// `None` where a `%` begins no byte, or where the bytes are no text.
pub(super) fn decoded(raw: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut parts = raw.split('%');
    bytes.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        let is_hex = digits.bytes().all(|it| it.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expected: Option<Route>) {
        assert_eq!(Route::of(path), expected, "{path}");
    }

    fn xhr(id: &str) -> Option<Route> {
        Some(Route::Receive(Receiving::Xhr, id.to_owned()))
    }

    #[test]
    fn s8_what_is_no_route_is_none() {
        for path in
            ["/a", "/a/", "/a.html", "/a/a", "/a/a/", "//", "///", "/info//", "/a/b/c", "/a/b/xhr/c", "/a/b/xhr//"]
        {
            check(path, None);
        }
    }

    #[test]
    fn s4_one_slash_behind_a_route_is_let_pass_and_nothing_is_folded() {
        check("", Some(Route::Greeting));
        check("/", Some(Route::Greeting));
        check("/info/", Some(Route::Info));
        check("/a/b/xhr/", xhr("b"));
        for path in ["/INFO", "//info", "/./info", "/a/../info", "/a/b/XHR", "//a/b/xhr", "/%69nfo"] {
            check(path, None);
        }
    }

    #[test]
    fn s11_iframe_pages_have_names_of_a_few_characters() {
        for name in
            ["iframe.html", "iframe-.html", "iframe-a.html", "iframe-0.1.2.html", "iframe-0.1.2abc-dirty.2144.html"]
        {
            check(&format!("/{name}"), Some(Route::Iframe));
        }
        for name in ["iframe", "iframe.htm", "iframe.xml", "iframe.HTML", "IFRAME", "IFRAME.HTML", "iframe-/.html"] {
            check(&format!("/{name}"), None);
        }
    }

    #[test]
    fn s21_segments_are_any_text_without_a_dot() {
        for (path, id) in
            [("/a/a", "a"), ("/_/_", "_"), ("/1/1", "1"), ("/abcdefgh_i-j%20/abcdefg_i-j%20", "abcdefg_i-j ")]
        {
            check(&format!("{path}/xhr"), xhr(id));
        }
        for path in ["", "/", "//", "///", "/a./a", "/a/a.", "/./.", "/a", "/a/"] {
            check(&format!("{path}/xhr"), None);
        }
    }

    #[test]
    fn s24_ids_are_decoded_once_and_bounded() {
        check("/a/%41%2525/xhr", xhr("A%25"));
        check(&format!("/a/{}/xhr", "x".repeat(128)), xhr(&"x".repeat(128)));
        check(&format!("/a/{}/xhr", "x".repeat(129)), None);
        for id in ["%2e", "%2F", "%00", "%0a", "%", "%4", "%zz", "%+1", "%ff", "a%7f"] {
            check(&format!("/a/{id}/xhr"), None);
            check(&format!("/{id}/a/xhr"), None);
        }
    }
}
