//! How answers carry frames (section 8 of the protocol: one row a transport).

use bytes::Bytes;

use crate::transport::sockjs::{Quoted, quote};

/// The transports over HTTP, by how clients receive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Receiving {
    EventSource,
    HtmlFile,
    Jsonp,
    Xhr,
    XhrStreaming,
}

/// What a browser has to read before it hands on what follows (S62).
const XHR_PRELUDE_BYTES: usize = 2048;

/// The page of `htmlfile` is longer than this, with blanks behind it (S76).
const HTML_PAGE_BYTES: usize = 1024;

impl Receiving {
    pub const ALL: [Self; 5] = [Self::EventSource, Self::HtmlFile, Self::Jsonp, Self::Xhr, Self::XhrStreaming];

    pub const fn name(self) -> &'static str {
        match self {
            Self::EventSource => "eventsource",
            Self::HtmlFile => "htmlfile",
            Self::Jsonp => "jsonp",
            Self::Xhr => "xhr",
            Self::XhrStreaming => "xhr_streaming",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    pub(super) const fn methods(self) -> &'static str {
        match self {
            Self::EventSource | Self::HtmlFile | Self::Jsonp => "GET",
            Self::Xhr | Self::XhrStreaming => "OPTIONS, POST",
        }
    }

    /// Whether one answer carries many frames.
    pub(super) const fn is_streaming(self) -> bool {
        match self {
            Self::EventSource | Self::HtmlFile | Self::XhrStreaming => true,
            Self::Jsonp | Self::Xhr => false,
        }
    }

    /// A page can load the others as scripts or frames, of which browsers tell no origin (S80).
    pub(super) const fn tells_origin(self) -> bool {
        !self.needs_callback()
    }

    pub(super) const fn needs_callback(self) -> bool {
        matches!(self, Self::HtmlFile | Self::Jsonp)
    }

    /// S28.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::EventSource => "text/event-stream",
            Self::HtmlFile => "text/html; charset=UTF-8",
            Self::Jsonp | Self::Xhr | Self::XhrStreaming => "application/javascript; charset=UTF-8",
        }
    }

    /// First bytes of every answer.
    pub(super) fn prelude(self, callback: &str) -> Option<Bytes> {
        match self {
            // For Opera, which needs a blank line (S72).
            Self::EventSource => Some(Bytes::from_static(b"\r\n")),
            Self::HtmlFile => Some(html_page(callback)),
            Self::Jsonp | Self::Xhr => None,
            Self::XhrStreaming => {
                let mut prelude = vec![b'h'; XHR_PRELUDE_BYTES];
                prelude.push(b'\n');
                Some(prelude.into())
            }
        }
    }

    /// One frame as it is written.
    pub(super) fn wrap(self, frame: &Bytes, callback: &str) -> Bytes {
        let mut out = Vec::with_capacity(frame.len() + 32);
        match self {
            Self::EventSource => {
                out.extend_from_slice(b"data: ");
                // The client decodes what it gets like a URI (S73).
                for (i, part) in frame.split(|it| *it == b'%').enumerate() {
                    out.extend_from_slice(if i == 0 { b"" } else { b"%25" });
                    out.extend_from_slice(part);
                }
                out.extend_from_slice(b"\r\n\r\n");
            }
            Self::HtmlFile => {
                out.extend_from_slice(b"<script>\np(");
                quote(&mut out, frame, Quoted::Script);
                out.extend_from_slice(b");\n</script>\r\n");
            }
            Self::Jsonp => {
                // The comment keeps Flash from running it (S77).
                out.extend_from_slice(format!("/**/{callback}(").as_bytes());
                quote(&mut out, frame, Quoted::Text);
                out.extend_from_slice(b");\r\n");
            }
            Self::Xhr | Self::XhrStreaming => {
                out.extend_from_slice(frame);
                out.push(b'\n');
            }
        }
        out.into()
    }
}

fn html_page(callback: &str) -> Bytes {
    let mut page = include_str!("htmlfile.html").replace("CALLBACK", callback);
    page.extend(std::iter::repeat_n(' ', HTML_PAGE_BYTES.saturating_sub(page.len())));
    page.push_str("\r\n\r\n");
    page.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(receiving: Receiving, frame: &str) -> String {
        let wrapped = receiving.wrap(&Bytes::copy_from_slice(frame.as_bytes()), "x");
        String::from_utf8(wrapped.to_vec()).unwrap()
    }

    #[test]
    fn s75_s77_a_frame_is_wrapped_as_its_transport_wants() {
        assert_eq!(wrapped(Receiving::Xhr, "o"), "o\n");
        assert_eq!(wrapped(Receiving::EventSource, "h"), "data: h\r\n\r\n");
        assert_eq!(wrapped(Receiving::HtmlFile, r#"a["x"]"#), "<script>\np(\"a[\\\"x\\\"]\");\n</script>\r\n");
        assert_eq!(wrapped(Receiving::HtmlFile, "</script>"), "<script>\np(\"\\u003c/script>\");\n</script>\r\n");
        assert_eq!(wrapped(Receiving::Jsonp, "o"), "/**/x(\"o\");\r\n");
        assert_eq!(wrapped(Receiving::Jsonp, r#"a["a[\"b\"]"]"#), "/**/x(\"a[\\\"a[\\\\\\\"b\\\\\\\"]\\\"]\");\r\n");
        assert_eq!(wrapped(Receiving::Jsonp, r#"c[3000,"Go away!"]"#), "/**/x(\"c[3000,\\\"Go away!\\\"]\");\r\n");
    }

    #[test]
    fn s73_a_percent_sign_survives_the_decoding_of_the_client() {
        assert_eq!(wrapped(Receiving::EventSource, r#"a["%41","%"]"#), "data: a[\"%2541\",\"%25\"]\r\n\r\n");
    }

    #[test]
    fn s76_the_page_is_longer_than_a_kibibyte_and_names_its_callback() {
        let page = Receiving::HtmlFile.prelude("_jp.a1").unwrap();
        let text = String::from_utf8(page.to_vec()).unwrap();
        assert!(1024 < text.len() && text.ends_with(" \r\n\r\n"), "{}", text.len());
        assert!(text.contains("\n    var c = parent._jp.a1;\n    c.start();\n"), "{text}");
    }
}
