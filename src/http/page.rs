//! Body of an answer.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};

use super::sockjs::Streaming;

#[derive(Debug)]
pub(super) enum Page {
    Streaming(Box<Streaming>),
    Whole(Full<Bytes>),
}

impl Page {
    pub(super) fn new(content: Bytes) -> Self {
        Self::Whole(Full::new(content))
    }
}

impl Default for Page {
    fn default() -> Self {
        Self::new(Bytes::new())
    }
}

impl Body for Page {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Streaming(body) => Pin::new(body).poll_frame(cx),
            Self::Whole(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Streaming(body) => body.is_end_stream(),
            Self::Whole(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Streaming(body) => body.size_hint(),
            Self::Whole(body) => body.size_hint(),
        }
    }
}
