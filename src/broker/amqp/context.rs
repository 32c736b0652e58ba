//! What all parts of the back end share: settings, metrics, the way to wait for the broker, and the words for its refusals.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use lapin::ErrorKind;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use tokio::time::timeout;

use super::metrics::Metrics;
use super::settings::Settings;
use crate::lifecycle::Lifecycle;
use crate::session::Fault;

#[derive(Debug)]
pub(super) struct Context {
    pub(super) settings: Arc<Settings>,
    pub(super) account: Account,
    pub(super) metrics: Metrics,
    pub(super) lifecycle: Lifecycle,
    pub(super) topic_exchange: ShortString,
}

/// Who the gateway is to RabbitMQ.
#[derive(Clone, Eq, Hash, PartialEq)]
pub(super) enum Account {
    /// What a session said in its CONNECT.
    Client { login: Box<str>, passcode: Box<str>, vhost: Box<str> },
    /// What [`Settings::urls`] say.
    Gateway,
}

/// Never prints the passcode.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client { login, vhost, .. } => write!(f, "Client({login:?}, {vhost:?})"),
            Self::Gateway => f.write_str("Gateway"),
        }
    }
}

impl Context {
    pub(super) fn new(settings: Arc<Settings>, account: Account, metrics: Metrics, lifecycle: Lifecycle) -> Self {
        let topic_exchange = ShortString::from(settings.topic_exchange.as_str());
        Self { settings, account, metrics, lifecycle, topic_exchange }
    }

    /// Of queues that RabbitMQ fills whether they are emptied or not.
    pub(super) fn exclusive_arguments(&self) -> FieldTable {
        let mut arguments = FieldTable::default();
        let bytes_max = self.settings.feed_queue_bytes_max;
        arguments.insert("x-max-length-bytes".into(), AMQPValue::LongLongInt(bytes_max.into()));
        arguments.insert("x-overflow".into(), AMQPValue::LongString("drop-head".into()));
        arguments
    }

    /// Waits for one answer of the broker, and not for ever.
    pub(super) async fn answer<T>(&self, answer: impl Future<Output = lapin::Result<T>>) -> Result<T, Fault> {
        match timeout(self.settings.operation_timeout, answer).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.fault(&error)),
            Err(_) => Err(self.timed_out()),
        }
    }

    pub(super) fn timed_out(&self) -> Fault {
        Fault::TimedOut(u64::try_from(self.settings.operation_timeout.as_millis()).unwrap_or(u64::MAX))
    }

    /// What a client is told: the broker's own words for a refusal, without the gateway's vhost and account.
    pub(super) fn fault(&self, error: &lapin::Error) -> Fault {
        match error.kind() {
            ErrorKind::ProtocolError(error) => {
                let uri = self.settings.urls[0].uri();
                let vhost = format!(" in vhost '{}'", uri.vhost);
                let login = format!(" for user '{}'", uri.authority.userinfo.username);
                Fault::Refused(error.get_message().as_str().replace(&vhost, "").replace(&login, ""))
            }
            ErrorKind::ChannelsLimitReached => no_channel(),
            // A channel or connection that is gone, for a reason that was logged where it was noticed. The library's
            // kinds are not a closed set.
            _ => Fault::Unavailable,
        }
    }
}

/// Each session that consumes a queue has a channel.
pub(super) fn no_channel() -> Fault {
    let text = "RabbitMQ allows no more channels on the connection for queues (channel_max of RabbitMQ)";
    Fault::Refused(text.to_owned())
}

#[cfg(test)]
mod tests {
    use lapin::protocol::{AMQPError, AMQPSoftError};

    use super::*;
    use crate::telemetry::Registry;

    fn context() -> Context {
        Context::new(Arc::default(), Account::Gateway, Metrics::new(&Registry::default()), Lifecycle::default())
    }

    #[test]
    fn a_refusal_names_neither_the_vhost_nor_the_account() {
        let text = "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'guest'";
        let error = AMQPError::new(AMQPSoftError::ACCESSREFUSED.into(), text.into());
        let fault = context().fault(&ErrorKind::ProtocolError(error).into());
        assert_eq!(fault, Fault::Refused("ACCESS_REFUSED - access to queue 'q' refused".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_come_is_a_fault_with_the_time_waited() {
        let outcome = context().answer(std::future::pending::<lapin::Result<()>>()).await;
        assert_eq!(outcome, Err(Fault::TimedOut(10_000)));
    }
}
