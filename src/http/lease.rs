//! Connections that sessions need stay open as long as those live.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::sync::lock;
use crate::transport::sockjs::Session;

/// The session of the last request of a connection that was about one.
#[derive(Debug, Default)]
pub(super) struct Lease(Mutex<Option<CancellationToken>>);

impl Lease {
    pub(super) fn serves(&self, session: &Session) {
        *lock(&self.0) = Some(session.over().clone());
    }

    /// Until there is no such session any more.
    pub(super) async fn over(&self) {
        while let Some(over) = self.held() {
            over.cancelled().await;
        }
    }

    /// Until so much time has passed without one.
    pub(super) async fn overdue(&self, time_max: Duration) {
        loop {
            sleep(time_max).await;
            if self.held().is_none() {
                return;
            }
            self.over().await;
        }
    }

    fn held(&self) -> Option<CancellationToken> {
        lock(&self.0).clone().filter(|it| !it.is_cancelled())
    }
}
