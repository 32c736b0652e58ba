//! The internal listener of a whole gateway.

use std::net::SocketAddr;
use std::time::Duration;

use stompgate::admin::{NotReady, check_ready};
use stompgate::app::App;
use stompgate::config::Settings;
use stompgate::lifecycle::Drained;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

async fn start() -> (App, SocketAddr) {
    let mut settings = Settings::default();
    let ephemeral = SocketAddr::from(([127, 0, 0, 1], 0));
    settings.http.listen = ephemeral;
    settings.admin.listen = Some(ephemeral);
    let app = App::start(settings).await.unwrap();
    let admin = app.admin_addr.unwrap();
    (app, admin)
}

/// Status line, headers and body of one answer.
async fn ask(admin: SocketAddr, request: &str) -> String {
    let ask = async {
        let mut stream = TcpStream::connect(admin).await.unwrap();
        let request = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    timeout(PATIENCE, ask).await.unwrap()
}

#[tokio::test]
async fn a_gateway_with_the_embedded_broker_is_ready_once_it_has_started() {
    let (_app, admin) = start().await;
    assert!(ask(admin, "GET /live").await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(ask(admin, "GET /ready").await.ends_with("\r\n\r\nready\n"));
    assert!(check_ready(admin).await.is_ok());
    assert!(ask(admin, "GET /nothing").await.starts_with("HTTP/1.1 404 Not Found\r\n"));
    assert!(ask(admin, "DELETE /live").await.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"));
}

#[tokio::test]
async fn metrics_tell_the_version_and_the_memory() {
    let (_app, admin) = start().await;
    let answer = ask(admin, "GET /metrics").await;
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    let version = format!("stompgate_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"));
    assert!(answer.contains(&version), "{answer}");
    assert!(answer.contains("\nprocess_resident_memory_bytes "), "{answer}");
    assert!(answer.contains("\nstompgate_uptime_seconds "), "{answer}");
}

#[tokio::test]
async fn while_it_drains_a_gateway_is_live_and_not_ready() {
    let (app, admin) = start().await;
    app.lifecycle.drain();
    assert!(ask(admin, "GET /live").await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(ask(admin, "GET /ready").await.ends_with("\r\n\r\nnot ready: draining\n"));
    let refused = check_ready(admin).await.unwrap_err();
    assert!(matches!(&refused, NotReady::Refused { body, .. } if body == "not ready: draining"), "{refused}");
    assert_eq!(app.shut_down().await, Drained::All);
    // Its thread ends by itself: until then the kernel may still take a connection that nobody answers.
    let unreachable = async {
        while !matches!(check_ready(admin).await, Err(NotReady::Unreachable { .. })) {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, unreachable).await.expect("the admin listener outlives the process");
}

/// The test's runtime has one thread, and this keeps it: whoever answers has another.
#[tokio::test]
async fn operators_are_answered_while_the_main_runtime_is_stuck() {
    let (_app, admin) = start().await;
    let mut stream = std::net::TcpStream::connect(admin).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    std::io::Write::write_all(&mut stream, b"GET /live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\nlive\n"), "{answer}");
}
