//! Requests that bring messages of the client.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::body::Body;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use super::answer::{PLAIN, page};
use super::{Asked, body, form};
use crate::http::refusal::Refusal;
use crate::http::site::Page;
use crate::transport::sockjs::{Found, SendFault};

/// How the messages come, and what says that they were taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sending {
    Jsonp,
    Xhr,
}

pub(super) async fn answer<B>(asked: &Asked<'_>, sending: Sending, id: &str, body: B) -> Result<Response<Page>, Refusal>
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static>,
{
    let session = match asked.service.sessions.find(asked.key(id)) {
        Found::Known(session) => session,
        Found::Foreign => return Err(Refusal::SessionUnknown),
        Found::Unknown => {
            asked.site.metrics.sockjs.stray_sending();
            return Err(Refusal::SessionUnknown);
        }
    };
    asked.asker.lease.serves(&session);
    let max = asked.settings.sessions.sends_waiting_max;
    let place = session.place().ok_or(Refusal::SendsMax { max })?;
    let body = body::read(asked, body).await.inspect_err(|refusal| {
        if let Refusal::BodyTooLarge { max } = refusal {
            session.refuse(*max);
        }
    })?;
    let payload = match sending {
        Sending::Jsonp => form::payload(&asked.head.headers, &body)?,
        Sending::Xhr => Cow::Borrowed(&*body),
    };
    place.send(&payload).await.map_err(|fault| match fault {
        SendFault::Broken => Refusal::PayloadBroken,
        SendFault::Late { limit } => Refusal::SendLate { limit },
        SendFault::NoPayload => Refusal::PayloadMissing,
    })?;
    Ok(taken(sending))
}

fn taken(sending: Sending) -> Response<Page> {
    match sending {
        Sending::Jsonp => page(StatusCode::OK, PLAIN, "ok"),
        Sending::Xhr => {
            let mut response = Response::new(Page::default());
            *response.status_mut() = StatusCode::NO_CONTENT;
            // Without a type, Firefox reads it as XML (S66).
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PLAIN));
            response
        }
    }
}
