//! The four services that tools which test SockJS expect, on the same code as the gateway:
//! `cargo run --example sockjs_services` serves them at <http://127.0.0.1:8081/>.
//!
//! `/echo` returns every message, `/disabled_websocket_echo` does so without WebSocket, `/cookie_needed_echo` with a
//! cookie, and `/close` closes every session with 3000 as soon as it is open.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

use stompgate::http::sockjs::Settings;
use stompgate::http::{Endpoint, Listener, Metrics, Settings as HttpSettings};
use stompgate::lifecycle::Lifecycle;
use stompgate::registry::{Admission, Registry};
use stompgate::telemetry;
use stompgate::transport::sockjs::Settings as SessionSettings;
use stompgate::transport::{Closing, Gone, Inbound, Transport};

/// Bytes that may wait for a client; then nothing more is read from it.
const BUFFER_MAX: usize = 64 * 1024;

const CLOSE: &str = "/close";

#[tokio::main]
async fn main() -> io::Result<()> {
    let lifecycle = Lifecycle::default();
    let registry = telemetry::Registry::default();
    let address = start(&lifecycle, &registry, SocketAddr::from(([127, 0, 0, 1], 8081)), |_| ())?;
    println!("http://{address}/echo, /disabled_websocket_echo, /cookie_needed_echo, /close");
    tokio::signal::ctrl_c().await
}

/// Serves them until the process drains.
pub(crate) fn start(
    lifecycle: &Lifecycle,
    telemetry: &telemetry::Registry,
    listen: SocketAddr,
    change: impl FnOnce(&mut HttpSettings),
) -> io::Result<SocketAddr> {
    let sessions = SessionSettings { stream_bytes: 4096, ..SessionSettings::default() };
    let settings = Settings { sessions, ..Settings::default() };
    let endpoint = |path: &str, settings| Endpoint { path: path.to_owned(), sockjs: Some(settings) };
    let endpoints = vec![
        endpoint("/echo", settings.clone()),
        endpoint("/disabled_websocket_echo", Settings { websocket: false, ..settings.clone() }),
        endpoint("/cookie_needed_echo", Settings { cookie_needed: true, ..settings.clone() }),
        endpoint(CLOSE, settings),
    ];
    let mut settings = HttpSettings {
        allowed_origins: vec!["*".to_owned()],
        demo: false,
        endpoints,
        listen,
        ..HttpSettings::default()
    };
    change(&mut settings);
    let registry = Registry::new(settings.connections_max, settings.connections_per_ip_max);
    let listener = Listener::bind(settings)?;
    let address = listener.local_addr()?;
    let clients = lifecycle.clone();
    let on_client = move |endpoint: &Endpoint, transport, admission| {
        let closes = endpoint.path == CLOSE;
        let draining = clients.draining().clone();
        clients.spawn(async move {
            if closes {
                close(transport, 3000, "Go away!").await;
            } else {
                draining.run_until_cancelled(Box::pin(echo(transport))).await;
            }
            drop::<Admission>(admission);
        });
    };
    lifecycle.spawn(listener.serve(registry, Metrics::new(telemetry), lifecycle.clone(), on_client));
    Ok(address)
}

async fn echo(mut transport: Transport) {
    let end = poll_fn(|cx| {
        loop {
            // Time passes there, too.
            let _has_receiver = transport.poll_room(cx);
            let received = if transport.buffered() < BUFFER_MAX { transport.poll_receive(cx) } else { Poll::Pending };
            match received {
                Poll::Ready(Inbound::Data(message)) => transport.queue(message),
                Poll::Ready(Inbound::Alive { .. }) => (),
                Poll::Ready(end) => return Poll::Ready(end),
                // All that has come is written together.
                Poll::Pending if transport.buffered() == 0 => return Poll::Pending,
                Poll::Pending => match transport.poll_flush(cx) {
                    Poll::Ready(Ok(())) => (),
                    Poll::Ready(Err(Gone)) => return Poll::Ready(Inbound::Gone),
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    })
    .await;
    match end {
        Inbound::TooLarge { .. } => close(transport, 1009, "Message too large").await,
        Inbound::Violation { rule } => close(transport, 1002, rule).await,
        Inbound::Alive { .. } | Inbound::Data(_) | Inbound::Gone => close(transport, 1006, "").await,
    }
}

async fn close(transport: Transport, code: u16, reason: &str) {
    transport.close(Closing { code, reason, patience: Duration::from_secs(1) }).await;
}
