//! A RabbitMQ of one test's own, beside that of all tests, that can be killed and started again.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use stompgate::broker::amqp::Url;
use tokio::net::TcpStream;
use tokio::time::{Instant, interval};

use super::loss::broker_address;

pub(crate) struct Node {
    directory: PathBuf,
    port: u16,
    pub(crate) url: String,
}

impl Node {
    /// Its ports begin so many after those of the RabbitMQ of all tests: a multiple of ten, of this test alone.
    pub(crate) async fn start(ports_after: u16) -> Self {
        let port = broker_address().port() + ports_after;
        let directory = std::env::temp_dir().join(format!("stompgate-node-{port}-{}", std::process::id()));
        let node = Self { directory, port, url: format!("amqp://guest:guest@127.0.0.1:{port}/%2f") };
        node.start_again().await;
        node
    }

    pub(crate) fn url(&self) -> Url {
        self.url.parse().expect("it is an AMQP URL")
    }

    /// Returns when it accepts connections.
    pub(crate) async fn start_again(&self) {
        let directory = self.directory.to_str().expect("a path of this test");
        run("tests/rabbitmq.sh", &["start", directory, &self.port.to_string()]).await;
    }

    /// In order, and the Erlang machine stays.
    pub(crate) async fn stop(&self) {
        self.control(&["stop_app"]).await;
    }

    /// After [`Self::stop`]. Returns when it accepts connections.
    pub(crate) async fn resume(&self) {
        self.control(&["start_app"]).await;
        self.control(&["await_startup"]).await;
    }

    /// Until what was declared is on the disk. RabbitMQ 3 forgets a queue with all that it has confirmed for it when it is
    /// killed within about two seconds after the declare.
    pub(crate) async fn keeps_what_was_declared(&self) {
        self.control(&["eval", "catch mnesia:sync_log(), ok."]).await;
    }

    /// Returns when it accepts connections: the moment of that.
    pub(crate) async fn is_back(&self) -> Instant {
        let mut again = interval(Duration::from_millis(20));
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            again.tick().await;
        }
        Instant::now()
    }

    async fn control(&self, arguments: &[&str]) {
        let program = self.directory.join("rabbitmqctl");
        run(program.to_str().expect("a path of this test"), arguments).await;
    }

    /// With SIGKILL; what it has written is kept.
    pub(crate) async fn kill(&self) {
        let pid = fs::read_to_string(self.directory.join("node.pid")).expect("it runs");
        run("kill", &["-KILL", pid.trim()]).await;
        fs::remove_file(self.directory.join("server.pid")).expect("it was started");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let directory = self.directory.to_str().expect("a path of this test");
        let stopped = Command::new("tests/rabbitmq.sh").args(["stop", directory]).status();
        if !std::thread::panicking() {
            assert!(stopped.expect("it can be run").success(), "the node does not stop");
            fs::remove_dir_all(&self.directory).expect("it is this test's own");
        }
    }
}

async fn run(program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null());
    let status = tokio::task::spawn_blocking(move || command.status()).await.unwrap().expect("it can be run");
    assert!(status.success(), "{program} failed");
}
