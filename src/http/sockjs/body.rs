//! The body of a request, up to a bound of bytes and time.

use std::error::Error;
use std::future::Future;
use std::pin::pin;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use tokio::time::timeout;

use super::Asked;
use crate::http::refusal::Refusal;

pub(super) async fn read<B>(asked: &Asked<'_>, body: B) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes, Error: Error + Send + Sync + 'static>,
{
    let body = Limited::new(body, asked.body_bytes_max());
    bounded(asked, async { Ok(body.collect().await?.to_bytes()) }).await
}

/// Nothing of it is kept.
pub(super) async fn ignore<B>(asked: &Asked<'_>, body: B) -> Result<(), Refusal>
where
    B: Body<Data = Bytes, Error: Error + Send + Sync + 'static>,
{
    let mut body = pin!(Limited::new(body, asked.body_bytes_max()));
    let reading = async {
        while let Some(frame) = body.frame().await {
            drop(frame?);
        }
        Ok(())
    };
    bounded(asked, reading).await
}

async fn bounded<T, F>(asked: &Asked<'_>, reading: F) -> Result<T, Refusal>
where
    F: Future<Output = Result<T, Box<dyn Error + Send + Sync>>>,
{
    let limit = asked.settings.sessions.send_time_max;
    match timeout(limit, reading).await.map_err(|_| Refusal::BodyLate { limit })? {
        Ok(it) => Ok(it),
        Err(error) if error.is::<LengthLimitError>() => Err(Refusal::BodyTooLarge { max: asked.body_bytes_max() }),
        // The connection is broken; nobody reads the answer.
        Err(_) => Err(Refusal::BodyLate { limit }),
    }
}
