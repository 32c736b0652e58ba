//! A real broker that is killed and started again.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use stompgate::broker::stomp::{Address, Settings};
use stompgate::destination::Destination;
use tokio::net::TcpStream;

use super::support::{Gateway, address};
use crate::broker_contract::fixture::done;

/// ActiveMQ Classic, of one test's own, beside that of all tests.
struct Private {
    folder: PathBuf,
    address: Address,
}

impl Private {
    async fn start() -> Self {
        let Address { host, port } = address("STOMPGATE_TEST_STOMP_ACTIVEMQ");
        let address = Address { host, port: port + 5 };
        let folder = std::env::temp_dir().join(format!("stompgate-activemq-{}", std::process::id()));
        let private = Self { folder, address };
        private.script(&["start", "activemq", private.folder(), &private.address.port.to_string()]).await;
        private
    }

    /// With SIGKILL; what it has written is kept.
    async fn kill(&self) {
        let pid = std::fs::read_to_string(self.folder.join("broker.pid")).unwrap();
        assert!(Command::new("kill").args(["-KILL", pid.trim()]).status().unwrap().success());
        let mut again = tokio::time::interval(Duration::from_millis(20));
        while TcpStream::connect((self.address.host.as_str(), self.address.port)).await.is_ok() {
            again.tick().await;
        }
    }

    async fn start_again(&self) {
        self.script(&["restart", self.folder()]).await;
    }

    fn folder(&self) -> &str {
        self.folder.to_str().unwrap()
    }

    async fn script(&self, arguments: &[&str]) {
        let mut command = Command::new("tests/brokers.sh");
        command.args(arguments).stdout(Stdio::null());
        let status = tokio::task::spawn_blocking(move || command.status()).await.unwrap();
        assert!(status.expect("it can be run").success(), "tests/brokers.sh failed");
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        let stopped = Command::new("tests/brokers.sh").args(["stop", self.folder()]).status();
        if !std::thread::panicking() {
            assert!(stopped.unwrap().success(), "the broker does not stop");
            std::fs::remove_dir_all(&self.folder).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_costs_no_session_and_no_message_that_was_receipted() {
    let broker = Private::start().await;
    let gateway = Gateway::connected(Settings {
        addresses: vec![broker.address.clone()],
        hold_time: Duration::from_secs(300),
        reconnect_delay_max: Duration::from_millis(500),
        ..Settings::default()
    })
    .await;
    let fixture = gateway.fixture();
    let (mut sender, mut reader) = (fixture.open().await, fixture.open().await);
    let [topic, queue] = ["/topic/t", "/queue/q"].map(|it| Destination::Foreign(it.into()));
    reader.subscribe(&topic).await;
    reader.subscribe(&queue).await;
    sender.publish(&queue, "before").await;
    reader.expect(&["before"]).await;
    broker.kill().await;
    let held: Vec<_> = (0..20).map(|it| sender.start_publish(&queue, &it.to_string())).collect();
    let mut late = fixture.open().await;
    let also_held = late.start_publish(&topic, "of a new session");
    broker.start_again().await;
    for it in held {
        done(it).await;
    }
    done(also_held).await;
    // Topics come back before queues here, as they were subscribed before. What was sent to one meanwhile may be missed.
    let mut received = Vec::new();
    while received.len() < 20 {
        let delivery = reader.receive().await;
        if delivery.message.destination() == "/queue/q" {
            received.push(String::from_utf8(delivery.message.body().to_vec()).unwrap());
        }
    }
    // What was written before the loss was noticed has no answer, and comes again.
    let expected: Vec<_> = (0..20).map(|it| it.to_string()).collect();
    assert_eq!(received, expected);
    sender.publish(&topic, "after").await;
    while &reader.receive().await.message.body()[..] != b"after" {}
    assert!(gateway.latch.is_set(), "readiness has its grace");
    for session in [sender, reader, late] {
        session.close();
    }
    gateway.stop().await;
}
