//! Requests that carry frames to the client.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use hyper::header::{CONNECTION, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode, Version};

use super::answer::page;
use super::wrapper::Receiving;
use super::{Asked, body, callback};
use crate::http::refusal::Refusal;
use crate::http::site::Page;
use crate::transport::Kind;
use crate::transport::sockjs::{Found, Receiver, Session};

/// The body of an answer that goes on: first bytes, frames, the last frame.
#[derive(Debug)]
pub(in crate::http) struct Streaming {
    receiving: Receiving,
    callback: String,
    prelude: Option<Bytes>,
    frames: Frames,
    /// Bytes of frames until it ends (S63).
    left: usize,
}

#[derive(Debug)]
enum Frames {
    Ended,
    /// One alone.
    Last(Bytes),
    Of(Receiver),
}

pub(super) async fn answer<B>(
    asked: &Asked<'_>,
    receiving: Receiving,
    id: &str,
    body: B,
) -> Result<Response<Page>, Refusal>
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static>,
{
    let callback = if receiving.needs_callback() { callback::of(asked.head.uri.query())? } else { String::new() };
    // It says nothing (S70), but the end of the connection is not seen before it is read.
    body::ignore(asked, body).await?;
    let session = session(asked, receiving, id)?;
    asked.asker.lease.serves(&session);
    let mut response = page(StatusCode::OK, receiving.content_type(), "");
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if receiving.is_streaming() && asked.head.version < Version::HTTP_11 {
        // Its end is that of the connection (S92), which hyper would keep if the answer were of HTTP/1.1.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        *response.version_mut() = Version::HTTP_10;
    }
    let received = session.receive().await;
    *response.body_mut() = if receiving.is_streaming() {
        let frames = received.map_or_else(Frames::Last, Frames::Of);
        let prelude = receiving.prelude(&callback);
        let left = asked.settings.sessions.stream_bytes;
        Page::Streaming(Box::new(Streaming { receiving, callback, prelude, frames, left }))
    } else {
        let frame = match received {
            Ok(receiver) => receiver.only().await.frame,
            Err(frame) => frame,
        };
        Page::new(receiving.wrap(&frame, &callback))
    };
    Ok(response)
}

/// The one of that id; a new one, if there is none (S25).
fn session(asked: &Asked<'_>, receiving: Receiving, id: &str) -> Result<Arc<Session>, Refusal> {
    let key = asked.key(id);
    match asked.service.sessions.find(key) {
        Found::Known(session) => return Ok(session),
        Found::Foreign => return Err(Refusal::SessionUnknown),
        Found::Unknown if asked.site.lifecycle.draining().is_cancelled() => return Err(Refusal::Draining),
        Found::Unknown => (),
    }
    let client = asked.asker.client;
    let admission = asked.site.admit_session(client)?;
    let kind = if receiving.is_streaming() { Kind::HttpStreaming } else { Kind::HttpPolling };
    match asked.service.sessions.open(key, client, kind) {
        Some((session, transport)) => {
            asked.site.hand_over(asked.service, transport, admission);
            Ok(session)
        }
        // Another request was faster.
        None => match asked.service.sessions.find(key) {
            Found::Known(session) => Ok(session),
            Found::Foreign | Found::Unknown => Err(Refusal::SessionUnknown),
        },
    }
}

impl Streaming {
    fn wrap(&self, frame: &Bytes) -> Bytes {
        self.receiving.wrap(frame, &self.callback)
    }
}

impl Body for Streaming {
    type Data = Bytes;
    type Error = Infallible;

    /// Each piece is a chunk of its own (S90).
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if let Some(prelude) = this.prelude.take() {
            return Poll::Ready(Some(Ok(Frame::data(prelude))));
        }
        let piece = match &mut this.frames {
            Frames::Ended => return Poll::Ready(None),
            Frames::Last(frame) => {
                let frame = std::mem::take(frame);
                this.frames = Frames::Ended;
                this.wrap(&frame)
            }
            Frames::Of(receiver) => {
                let next = ready!(receiver.poll_next(cx));
                let piece = this.wrap(&next.frame);
                this.left = this.left.saturating_sub(piece.len());
                if next.is_last || this.left == 0 {
                    this.end();
                }
                piece
            }
        };
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.prelude.is_none() && matches!(self.frames, Frames::Ended)
    }
}

impl Streaming {
    /// Before the client can have the last piece (S53).
    fn end(&mut self) {
        if let Frames::Of(mut receiver) = std::mem::replace(&mut self.frames, Frames::Ended) {
            receiver.detach();
        }
    }
}
