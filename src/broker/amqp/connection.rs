//! One connection to RabbitMQ: how it is opened, and how its end is noticed.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{Stream, StreamExt};
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::runtime::default_runtime;
use lapin::tcp::{AMQPUriTcpExt, RustlsConnector};
use lapin::uri::{AMQPScheme, AMQPUri, AMQPUserInfo, SASLMechanism};
use lapin::{Connection, ConnectionProperties, ErrorKind, Event};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::context::{Account, Context};
use super::metrics::Counted;
use super::url::Url;
use crate::broker::Tls;
use crate::session::Fault;
use crate::sync::lock;

/// Seconds. RabbitMQ's own default notices a dead peer after two minutes only, and heart-beats are the only sign of life.
const HEARTBEAT: u16 = 10;

/// Bytes of an AMQP frame on the connection for publishing: it bounds the library's buffers, 64 of them.
const PUBLISH_FRAME_MAX: u32 = 32 * 1024;

/// The same where messages of others arrive. Their headers come in one frame, as large as RabbitMQ granted their
/// publisher; the library gives up the connection for one that is larger than its own, so this is RabbitMQ's default.
const CONSUME_FRAME_MAX: u32 = 128 * 1024;

/// The library does not report each way in which a connection can end.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A connection that RabbitMQ blocks, or that is dead already, does not close in order.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A login may be as long as a frame of STOMP.
const LOGIN_CHARS_SHOWN: usize = 64;

/// What a connection is for. They are apart because RabbitMQ blocks one that publishes when it lacks memory or disk.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    /// Calls of handlers, and their answers.
    Calls,
    /// What RabbitMQ may refuse, and no session depends on.
    Checks,
    Feeds,
    Private,
    Publish,
}

impl Role {
    pub(super) const ALL: [Self; 5] = [Self::Calls, Self::Checks, Self::Feeds, Self::Private, Self::Publish];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Checks => "checks",
            Self::Feeds => "feeds",
            Self::Private => "private",
            Self::Publish => "publish",
        }
    }
}

/// Cloning it lets several learn of one attempt.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// Of the network, of TLS or of the handshake.
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
        match self {
            Self::Broker(error) => context.refused(error),
            Self::Fault(fault) => fault.clone(),
            Self::TimedOut(_) => Fault::Unavailable,
        }
    }

    /// Whether RabbitMQ answered, and will most likely say the same again.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::Broker(error) => match error.kind() {
                ErrorKind::ProtocolError(error) => matches!(
                    error.kind(),
                    AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED)
                ),
                _ => false,
            },
            Self::Fault(fault) => matches!(fault, Fault::Amqp { name: "not_found" | "access_refused", .. }),
            Self::TimedOut(_) => false,
        }
    }
}

/// Tries one address after the other. What RabbitMQ has against a client's account, it has everywhere.
pub(super) async fn connect(context: &Context, role: Role) -> Result<Connection, ConnectError> {
    let urls = &context.settings.urls;
    let first = context.first_url.load(Ordering::Relaxed);
    let mut refusal = None;
    for number in (first..first + urls.len()).map(|it| it % urls.len()) {
        let (url, account) = (&urls[number], &context.account);
        match connect_to(context, role, url).await {
            Ok(connection) => {
                context.first_url.store(number, Ordering::Relaxed);
                if let Some((address, error)) = refusal {
                    warn!(address, connection = role.as_str(), %error, "can't connect to RabbitMQ; another address works");
                }
                return Ok(connection);
            }
            Err(error) if *account != Account::Gateway && error.fault(context) != Fault::Unavailable => {
                debug!(address = url.address(), ?account, %error, "RabbitMQ does not let a client in");
                return Err(error);
            }
            Err(error) => {
                debug!(address = url.address(), connection = role.as_str(), %error, "can't connect to RabbitMQ");
                refusal = Some((url.address(), error));
            }
        }
    }
    Err(refusal.expect("there is an address").1)
}

async fn connect_to(context: &Context, role: Role, url: &Url) -> Result<Connection, ConnectError> {
    let settings = &context.settings;
    let opened = open(uri(context, role, url), properties(context, role), settings.tls.clone());
    // The library's own timeout does not count here.
    match timeout(settings.connect_timeout, opened).await {
        Ok(connection) => Ok(connection?),
        Err(_) => Err(ConnectError::TimedOut(settings.connect_timeout)),
    }
}

fn uri(context: &Context, role: Role, url: &Url) -> AMQPUri {
    let mut uri = url.uri().clone();
    uri.query.heartbeat = Some(HEARTBEAT);
    uri.query.frame_max = Some(match role {
        Role::Calls | Role::Feeds | Role::Private => CONSUME_FRAME_MAX,
        Role::Checks | Role::Publish => PUBLISH_FRAME_MAX,
    });
    if let Account::Client { login, passcode, vhost } = &context.account {
        uri.authority.userinfo = AMQPUserInfo { username: login.to_string(), password: passcode.to_string() };
        uri.vhost = vhost.to_string();
        // With another one, the gateway's certificate would let everybody in.
        uri.query.auth_mechanism = Some(SASLMechanism::Plain);
    }
    uri
}

/// What RabbitMQ shows of a connection. The library adds its capabilities, and its platform.
fn properties(context: &Context, role: Role) -> ConnectionProperties {
    let (name, role) = (&context.settings.connection_name, role.as_str());
    let name = match &context.account {
        Account::Client { login, .. } => {
            let login: String = login.chars().take(LOGIN_CHARS_SHOWN).collect();
            format!("{name} {role} ({login})")
        }
        Account::Gateway => format!("{name} {role}"),
    };
    ConnectionProperties::default()
        .with_connection_name(name.into())
        .with_client_property("product".into(), "stompgate".into())
        .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into())
        .with_client_property("information".into(), env!("CARGO_PKG_DESCRIPTION").into())
}

async fn open(uri: AMQPUri, properties: ConnectionProperties, tls: Option<Tls>) -> lapin::Result<Connection> {
    let (AMQPScheme::AMQPS, Some(tls)) = (&uri.scheme, tls) else {
        return Connection::connect_uri(uri, properties).await;
    };
    let dial = async move |mut uri: AMQPUri, runtime| {
        uri.scheme = AMQPScheme::AMQP;
        let stream = uri.connect_async(&runtime).await?;
        Ok(stream.into_rustls(&RustlsConnector::from(tls.config().clone()), tls.name_of(&uri.authority.host)).await?)
    };
    Connection::connector(uri, default_runtime()?, dial, properties).await
}

pub(super) async fn close(connection: &Connection) {
    match timeout(CLOSE_TIMEOUT, connection.close(200, "OK".into())).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a connection was gone before it was closed"),
        Err(_) => debug!("a connection did not close in order"),
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
    let mut blocked = None;
    while connection.status().connected() {
        // Both are cancel-safe: an event stays in its channel, a tick is due until it was taken.
        tokio::select! {
            event = next(&mut events) => match event {
                Event::ConnectionBlocked(reason) => {
                    blocked.get_or_insert_with(|| Counted::new(&context.metrics.blocked));
                    warn!(connection = role.as_str(), reason, "RabbitMQ takes no publishes; they wait");
                }
                Event::ConnectionUnblocked => {
                    blocked = None;
                    *lock(&unblocked) = Some(Instant::now());
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
    let (connection, account) = (role.as_str(), &context.account);
    if lost.is_cancelled() {
        debug!(connection, ?account, cause, "lost a further connection to RabbitMQ");
    } else {
        warn!(connection, ?account, cause, "lost a connection to RabbitMQ");
    }
    lost.cancel();
}

async fn next(events: &mut (impl Stream<Item = Event> + Unpin)) -> Event {
    match events.next().await {
        Some(event) => event,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::broker::amqp::context::unbounded;
    use crate::broker::amqp::metrics::Metrics;
    use crate::broker::amqp::settings::Settings;
    use crate::lifecycle::Lifecycle;
    use crate::telemetry::Registry;

    fn context(account: Account) -> Context {
        let url = "amqps://gw:secret@rabbit/site?auth_mechanism=external&heartbeat=60".parse().unwrap();
        let settings = Arc::new(Settings { urls: vec![url], ..Settings::default() });
        Context::new(settings, account, Metrics::new(&Registry::default()), Lifecycle::default(), unbounded())
    }

    #[test]
    fn the_gateway_logs_in_as_its_url_says() {
        let context = context(Account::Gateway);
        let uri = uri(&context, Role::Feeds, &context.settings.urls[0]);
        assert_eq!((&*uri.authority.userinfo.username, &*uri.vhost), ("gw", "site"));
        assert_eq!(uri.query.auth_mechanism, Some(SASLMechanism::External));
        assert_eq!((uri.query.heartbeat, uri.query.frame_max), (Some(10), Some(128 * 1024)));
    }

    /// With the gateway's certificate as login, everybody would be the gateway.
    #[test]
    fn g1_a_client_logs_in_with_its_own_passcode_whatever_the_url_says() {
        let context = context(Account::Client { login: "ann".into(), passcode: "a/b:c".into(), vhost: "/".into() });
        let uri = uri(&context, Role::Publish, &context.settings.urls[0]);
        let userinfo = AMQPUserInfo { username: "ann".to_owned(), password: "a/b:c".to_owned() };
        assert_eq!((&uri.authority.userinfo, &*uri.vhost, &*uri.authority.host), (&userinfo, "/", "rabbit"));
        assert_eq!(uri.query.auth_mechanism, Some(SASLMechanism::Plain));
    }

    #[test]
    fn no_account_is_printed_with_its_passcode() {
        let context = context(Account::Client { login: "ann".into(), passcode: "s3cr3t".into(), vhost: "v".into() });
        let printed = format!("{context:?}");
        assert!(printed.contains("ann") && !printed.contains("s3cr3t") && !printed.contains("secret"), "{printed}");
    }
}
