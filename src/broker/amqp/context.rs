//! What all parts of one account share: settings, who they are to RabbitMQ, metrics, and the way to wait for the broker.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use lapin::types::{AMQPValue, FieldTable, ShortString};
use tokio::time::timeout;

use super::metrics::Metrics;
use super::settings::Settings;
use crate::delivery::Budget;
use crate::lifecycle::Lifecycle;
use crate::session::Fault;

#[derive(Debug)]
pub(super) struct Context {
    pub(super) settings: Arc<Settings>,
    pub(super) account: Account,
    pub(super) metrics: Metrics,
    pub(super) lifecycle: Lifecycle,
    /// For what is held until it can be published.
    pub(super) budget: Budget,
    pub(super) topic_exchange: ShortString,
    pub(super) user_exchange: ShortString,
    pub(super) session_exchange: ShortString,
    /// Which of [`Settings::urls`] is tried first: the one that let the last connection in, so that those of a generation
    /// are in one place.
    pub(super) first_url: AtomicUsize,
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
    pub(super) fn new(
        settings: Arc<Settings>,
        account: Account,
        metrics: Metrics,
        lifecycle: Lifecycle,
        budget: Budget,
    ) -> Self {
        // Names are short enough.
        let exchanges = [&settings.topic_exchange, &settings.user_exchange, &settings.session_exchange];
        let [topic_exchange, user_exchange, session_exchange] = exchanges.map(|it| ShortString::from(it.as_str()));
        let first_url = AtomicUsize::new(0);
        Self {
            settings,
            account,
            metrics,
            lifecycle,
            budget,
            topic_exchange,
            user_exchange,
            session_exchange,
            first_url,
        }
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
}

/// Each session that consumes a queue has a channel.
pub(super) fn no_channel() -> Fault {
    let text = "RabbitMQ allows no more channels on the connection for queues (channel_max of RabbitMQ)";
    Fault::Refused(text.to_owned())
}

#[cfg(test)]
pub(super) fn unbounded() -> Budget {
    Budget::new(usize::MAX, crate::delivery::Metrics::new(&crate::telemetry::Registry::default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Registry;

    fn context() -> Context {
        Context::new(
            Arc::default(),
            Account::Gateway,
            Metrics::new(&Registry::default()),
            Lifecycle::default(),
            unbounded(),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_come_is_a_fault_with_the_time_waited() {
        let outcome = context().answer(std::future::pending::<lapin::Result<()>>()).await;
        assert_eq!(outcome, Err(Fault::TimedOut(10_000)));
    }
}
