//! The body of a request, up to a bound of bytes and time.

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use tokio::time::timeout;

use super::Asked;
use crate::http::refusal::Refusal;

pub(super) async fn read<B>(asked: &Asked<'_>, body: B) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static>,
{
    let (max, limit) = (asked.body_bytes_max(), asked.settings.sessions.send_time_max);
    let collected = timeout(limit, Limited::new(body, max).collect());
    match collected.await.map_err(|_| Refusal::BodyLate { limit })? {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refusal::BodyTooLarge { max }),
        // The connection is broken; nobody reads the answer.
        Err(_) => Err(Refusal::BodyLate { limit }),
    }
}
