//! A RabbitMQ of the test's own, which it may kill.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::ledger::Outage;
use crate::wait::eventually;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rabbitmq.sh");

/// What one node takes, by the order of `tests/rabbitmq.sh`.
const PORTS: u16 = 10;

pub(crate) struct Node {
    dir: PathBuf,
    port: u16,
}

/// How a node is ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    Kill,
    Term,
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The second node of a cluster.
    pub(crate) async fn start_beside(peer: &Self) -> Self {
        Self::start_with(&[("STOMPGATE_RABBITMQ_PEER", peer.dir.to_str().unwrap())]).await
    }

    async fn start_with(environment: &[(&str, &str)]) -> Self {
        let (dir, port) = vacancy();
        let mut command = Command::new(SCRIPT);
        command.arg("start").arg(&dir).arg(port.to_string()).envs(environment.iter().copied());
        let node = Self { dir, port };
        run(command).await;
        node
    }

    pub(crate) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    pub(crate) fn url(&self) -> String {
        format!("amqp://guest:guest@{}/%2f", self.address())
    }

    /// What the broker answers, line by line.
    pub(crate) async fn ctl(&self, arguments: &[&str]) -> Vec<String> {
        let mut command = Command::new(self.dir.join("rabbitmqctl"));
        command.args(arguments);
        run(command).await.lines().map(str::to_owned).collect()
    }

    /// What was received was settled as well.
    pub(crate) async fn queues_are_empty(&self) {
        eventually("nothing is left in queues", async || {
            let counts = self.ctl(&["list_queues", "--no-table-headers", "messages"]).await;
            counts.iter().all(|it| it.trim() == "0")
        })
        .await;
    }

    /// Ends it, and starts it again on the data that it had.
    pub(crate) async fn bounce(&self, signal: Signal) -> Outage {
        let begun = Instant::now();
        self.end(signal).await;
        let gone = Instant::now();
        Outage { begun, gone, over: self.restart().await }
    }

    pub(crate) async fn end(&self, signal: Signal) {
        let pid = self.pid();
        self.signal(match signal {
            Signal::Kill => "KILL",
            Signal::Term => "TERM",
        });
        eventually("RabbitMQ has ended", async || !is_alive(&pid)).await;
    }

    /// When it accepts connections.
    pub(crate) async fn restart(&self) -> Instant {
        let mut command = Command::new(SCRIPT);
        command.arg("restart").arg(&self.dir);
        run(command).await;
        eventually("RabbitMQ accepts", async || TcpStream::connect(self.address()).await.is_ok()).await;
        Instant::now()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.pid()]).status().unwrap();
        assert!(status.success(), "RabbitMQ can't be sent a signal");
    }

    fn pid(&self) -> String {
        std::fs::read_to_string(self.dir.join("node.pid")).unwrap().trim().to_owned()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // One that a failed test has stopped could not end.
        if let Ok(pid) = std::fs::read_to_string(self.dir.join("node.pid")) {
            let _continued = Command::new("kill").args(["-s", "CONT", pid.trim()]).stderr(Stdio::null()).status();
        }
        stop(&self.dir);
    }
}

/// A folder and ports that nobody uses. What an earlier run that was interrupted has left there is stopped.
fn vacancy() -> (PathBuf, u16) {
    static BLOCKS: AtomicU16 = AtomicU16::new(0);
    loop {
        let port = first_port() + PORTS * BLOCKS.fetch_add(1, Ordering::Relaxed);
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("rabbitmq-{port}"));
        if dir.exists() {
            stop(&dir);
        }
        if (port..port + PORTS).all(|it| std::net::TcpListener::bind(("127.0.0.1", it)).is_ok()) {
            return (dir, port);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "tests are told by their environment which ports are theirs")]
fn first_port() -> u16 {
    std::env::var("STOMPGATE_TEST_PORTS").map_or(25_900, |it| it.parse().expect("STOMPGATE_TEST_PORTS is a port"))
}

fn stop(dir: &Path) {
    let stopped = Command::new(SCRIPT).arg("stop").arg(dir).status();
    assert!(std::thread::panicking() || stopped.unwrap().success(), "RabbitMQ can't be stopped");
}

async fn run(mut command: Command) -> String {
    let output = tokio::task::spawn_blocking(move || command.stderr(Stdio::inherit()).output()).await.unwrap().unwrap();
    assert!(output.status.success(), "a command of RabbitMQ failed");
    String::from_utf8(output.stdout).unwrap()
}

fn is_alive(pid: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/status"));
    state.is_ok_and(|it| !it.lines().any(|line| line.starts_with("State:\tZ")))
}
