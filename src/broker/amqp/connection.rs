//! One connection to RabbitMQ: how it is opened, and how its end is noticed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{Stream, StreamExt};
use lapin::{Connection, ConnectionProperties, Event};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::context::Context;
use super::metrics::Counted;
use crate::session::Fault;

/// Seconds. RabbitMQ's own default notices a dead peer after two minutes only, and heart-beats are the only sign of life.
const HEARTBEAT: u16 = 10;

/// Bytes of an AMQP frame on the connection for publishing: it bounds the library's buffers, 64 of them.
const PUBLISH_FRAME_MAX: u32 = 32 * 1024;

/// The same where messages of others arrive. Their headers come in one frame, as large as RabbitMQ granted their
/// publisher; the library gives up the connection for one that is larger than its own, so this is RabbitMQ's default.
const CONSUME_FRAME_MAX: u32 = 128 * 1024;

/// The library does not report each way in which a connection can end.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// What a connection is for. They are apart because RabbitMQ blocks one that publishes when it lacks memory or disk.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    Feeds,
    Private,
    Publish,
}

impl Role {
    pub(super) const ALL: [Self; 3] = [Self::Feeds, Self::Private, Self::Publish];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Feeds => "feeds",
            Self::Private => "private",
            Self::Publish => "publish",
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{0}")]
    Broker(#[from] lapin::Error),
    #[error("{0}")]
    Fault(#[from] Fault),
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
}

impl ConnectError {
    /// What a session is told that needs the connection.
    pub(super) fn fault(&self, context: &Context) -> Fault {
        warn!(error = %self, "can't connect to RabbitMQ");
        match self {
            Self::Broker(error) => context.fault(error),
            Self::Fault(fault) => fault.clone(),
            Self::TimedOut(_) => Fault::Unavailable,
        }
    }
}

pub(super) async fn connect(context: &Context, role: Role) -> Result<Connection, ConnectError> {
    let settings = &context.settings;
    let mut uri = settings.urls[0].uri().clone();
    uri.query.heartbeat = Some(HEARTBEAT);
    uri.query.frame_max = Some(match role {
        Role::Feeds | Role::Private => CONSUME_FRAME_MAX,
        Role::Publish => PUBLISH_FRAME_MAX,
    });
    let name = format!("{} {}", settings.connection_name, role.as_str());
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    // The library's own timeout does not count here.
    match timeout(settings.connect_timeout, Connection::connect_uri(uri, properties)).await {
        Ok(connection) => Ok(connection?),
        Err(_) => Err(ConnectError::TimedOut(settings.connect_timeout)),
    }
}

/// Returns when the connection has ended; says meanwhile when RabbitMQ blocks it.
pub(super) async fn watch(
    context: Arc<Context>,
    connection: Arc<Connection>,
    role: Role,
    lost: CancellationToken,
    unblocked: Arc<Mutex<Option<Instant>>>,
) {
    let _counted = Counted::new(context.metrics.connections(role));
    let mut events = connection.events_listener();
    let mut check = interval(CHECK_INTERVAL);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut cause = None;
    while connection.status().connected() {
        // Both are cancel-safe: an event stays in its channel, a tick is due until it was taken.
        tokio::select! {
            event = next(&mut events) => match event {
                Event::ConnectionBlocked(reason) => {
                    context.metrics.blocked.set(1);
                    warn!(connection = role.as_str(), reason, "RabbitMQ takes no publishes; they wait");
                }
                Event::ConnectionUnblocked => {
                    *unblocked.lock().expect("no panic while held") = Some(Instant::now());
                    context.metrics.blocked.set(0);
                    info!(connection = role.as_str(), "RabbitMQ takes publishes again");
                }
                // Of a channel, too: whether the connection is meant, its status says.
                Event::Error(error) => cause = Some(error),
                // The library's events are not a closed set.
                _ => {}
            },
            _ = check.tick() => {}
        }
    }
    let cause = cause.map_or_else(|| "closed".to_owned(), |it| it.to_string());
    warn!(connection = role.as_str(), cause, "lost a connection to RabbitMQ");
    lost.cancel();
}

async fn next(events: &mut (impl Stream<Item = Event> + Unpin)) -> Event {
    match events.next().await {
        Some(event) => event,
        None => std::future::pending().await,
    }
}
