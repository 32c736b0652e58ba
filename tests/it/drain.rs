//! A gateway that is told to end while clients send: what was receipted took effect, and nobody is told anything wrong.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;

use crate::client::{Client, within};
use crate::process::{Process, stompgate};

/// SENDs that one client has on their way.
const AT_A_TIME: usize = 10;

/// Sends what is numbered from 1 on, until the gateway closes the connection, which it has to do with 1012 and after nothing
/// but RECEIPTs in their order. Returns their number.
async fn send_until_closed(gateway: SocketAddr, destination: &str, of_all: &AtomicUsize) -> usize {
    let mut client = Client::connect_at(gateway).await;
    let (mut sent, mut receipted) = (0, 0);
    loop {
        let next = sent + 1..=sent + AT_A_TIME;
        let frames: String =
            next.map(|it| format!("SEND\ndestination:{destination}\nreceipt:{it}\n\n{it}\0")).collect();
        sent += AT_A_TIME;
        // When it is closed already, what was written before is still to be read.
        let _is_open = client.try_send(&frames).await;
        while receipted < sent {
            match client.next().await {
                Ok(frame) => {
                    receipted += 1;
                    assert_eq!(
                        (frame.command.as_str(), frame.header("receipt-id")),
                        ("RECEIPT", Some(&*receipted.to_string()))
                    );
                    of_all.fetch_add(1, Ordering::Relaxed);
                }
                Err(code) => {
                    assert_eq!(code, 1012);
                    return receipted;
                }
            }
        }
    }
}

/// One sender for each destination; TERM comes when all are at full speed. Returns how much of each was receipted.
pub(crate) async fn terminate_under_load(gateway: Process, destinations: &[String]) -> Vec<usize> {
    let receipted = AtomicUsize::new(0);
    let sending = join_all(destinations.iter().map(|it| send_until_closed(gateway.http, it, &receipted)));
    let terminating = async {
        while receipted.load(Ordering::Relaxed) < 100 * destinations.len() {
            tokio::task::yield_now().await;
        }
        gateway.signal("TERM");
    };
    let (of_each, ()) = within(async { tokio::join!(sending, terminating) }).await;
    gateway.wait_for("every session has ended in time");
    assert_eq!(gateway.wait(), 0);
    of_each
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_send_while_the_gateway_ends_get_receipts_and_1012() {
    let mut command = stompgate(&["serve"]);
    let gateway = Process::start(command.env("STOMPGATE__DRAIN__PERIOD", "500ms"));
    let mut reader = Client::connect_at(gateway.http).await;
    reader.confirmed("SUBSCRIBE\nid:s\ndestination:/topic/load.0", "").await;
    let reading = async {
        let mut bodies = Vec::new();
        loop {
            match reader.next().await {
                Ok(message) => bodies.push(String::from_utf8(message.body.to_vec()).unwrap()),
                Err(code) => return (bodies, code),
            }
        }
    };
    let destinations: Vec<_> = (0..20).map(|it| format!("/topic/load.{it}")).collect();
    let (receipted, (bodies, code)) = tokio::join!(terminate_under_load(gateway, &destinations), reading);
    assert!(receipted.iter().all(|it| *it > 0), "{receipted:?}");
    // Up to the reader's own moment, which may be before the sender's.
    let expected: Vec<_> = (1..=bodies.len()).map(|it| it.to_string()).collect();
    assert_eq!((bodies, code), (expected, 1012));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_delay_the_gateway_is_not_ready_and_serves_on_until_a_second_signal() {
    let mut command = stompgate(&["serve"]);
    let gateway = Process::start(command.env("STOMPGATE__DRAIN__DELAY", "1h"));
    gateway.signal("TERM");
    gateway.wait_for("draining");
    let refused = stompgate::admin::check_ready(gateway.admin).await.unwrap_err().to_string();
    assert!(refused.ends_with("answered 503 Service Unavailable: not ready: draining"), "{refused}");
    let mut client = Client::connect_at(gateway.http).await;
    client.confirmed("SEND\ndestination:/topic/a", "served").await;
    gateway.signal("HUP");
    gateway.signal("INT");
    assert_eq!(gateway.wait(), 130);
}
