//! Whether RabbitMQ can be used, when no account of the gateway's own says so: one of its addresses has to answer, up to
//! `connection.start`, which needs no login.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use lapin::runtime::default_runtime;
use lapin::tcp::{AMQPUriTcpExt, RustlsConnector};
use lapin::uri::AMQPScheme;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::accounts::Accounts;
use super::settings::Settings;
use super::url::Url;
use crate::broker::backoff::Backoff;

/// RabbitMQ logs a warning of each, so they are few; and there are none while an account is connected.
const INTERVAL: Duration = Duration::from_secs(15);

const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";

/// A method frame on channel 0: type and channel, size, then class and method of `connection.start`.
const START: ([u8; 3], [u8; 4]) = ([1, 0, 0], [0, 10, 0, 10]);

pub(super) async fn run(accounts: Arc<Accounts>) {
    let stopping = accounts.lifecycle.stopping();
    stopping.run_until_cancelled(watch(&accounts)).await;
    tell(&accounts, false);
}

async fn watch(accounts: &Accounts) {
    let settings = &accounts.settings;
    let mut told = None;
    let mut backoff = Backoff::new(settings.reconnect_delay_min, settings.reconnect_delay_max);
    loop {
        let is_there = accounts.is_connected() || answers(settings).await;
        if told != Some(is_there) {
            tell(accounts, is_there);
            told = Some(is_there);
        }
        let pause = if is_there {
            backoff.reset();
            INTERVAL
        } else {
            backoff.pause(false, rand::random())
        };
        // Both are cancel-safe: a notification that comes now is kept.
        tokio::select! {
            () = accounts.changed.notified() => {}
            () = sleep(pause) => {}
        }
    }
}

fn tell(accounts: &Accounts, is_there: bool) {
    let Accounts { availability, lifecycle, settings, .. } = accounts;
    if is_there {
        info!(urls = ?settings.urls, "RabbitMQ answers");
    } else if !lifecycle.stopping().is_cancelled() {
        warn!(urls = ?settings.urls, "RabbitMQ does not answer; {}", settings.outage.consequence());
    }
    availability.set(is_there);
}

/// Whether any of the addresses does.
async fn answers(settings: &Settings) -> bool {
    let first = rand::random_range(0..settings.urls.len());
    for url in settings.urls.iter().cycle().skip(first).take(settings.urls.len()) {
        let outcome = timeout(settings.connect_timeout, start(settings, url)).await;
        match outcome.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(()) => return true,
            Err(error) => debug!(address = url.address(), %error, "RabbitMQ does not answer"),
        }
    }
    false
}

async fn start(settings: &Settings, url: &Url) -> io::Result<()> {
    let (mut plain, runtime) = (url.uri().clone(), default_runtime().map_err(io::Error::other)?);
    plain.scheme = AMQPScheme::AMQP;
    let mut stream = plain.connect_async(&runtime).await?;
    if let (true, Some(tls)) = (url.is_tls(), &settings.tls) {
        stream = stream.into_rustls(&RustlsConnector::from(tls.config().clone()), tls.name_of(url.host())).await?;
    }
    stream.write_all(&PROTOCOL_HEADER).await?;
    stream.flush().await?;
    let mut answer = [0; 11];
    stream.read_exact(&mut answer).await?;
    let (head, method) = START;
    if answer.starts_with(&head) && answer.ends_with(&method) {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "what answers there does not speak AMQP 0-9-1"))
    }
}
