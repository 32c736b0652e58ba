//! A RabbitMQ of the test's own, which it may kill.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::ledger::Outage;
use crate::wait::eventually;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rabbitmq.sh");

const FOLDER: &str = env!("CARGO_TARGET_TMPDIR");

/// What one node takes, by the order of `tests/rabbitmq.sh`.
const PORTS: u16 = 10;

pub(crate) struct Node {
    dir: PathBuf,
    port: u16,
    place: Place,
}

/// Where a node is in the network.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    Loopback,
    /// That of the name which `tests/namespace.sh` has made.
    Namespace(String),
}

/// How a node is ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    Kill,
    Term,
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::start_in(Place::Loopback).await
    }

    pub(crate) async fn start_in(place: Place) -> Self {
        Self::start_with(place, &[]).await
    }

    /// The second node of a cluster.
    pub(crate) async fn start_beside(peer: &Self) -> Self {
        let peer_dir = peer.dir.to_str().unwrap();
        Self::start_with(peer.place.clone(), &[("STOMPGATE_RABBITMQ_PEER", peer_dir)]).await
    }

    async fn start_with(place: Place, environment: &[(&str, &str)]) -> Self {
        let (dir, port) = vacancy();
        let node = Self { dir, port, place };
        let mut command = node.command(SCRIPT.as_ref());
        command.arg("start").arg(&node.dir).arg(port.to_string()).envs(environment.iter().copied());
        if node.place != Place::Loopback {
            let conf = Path::new(FOLDER).join("namespace.conf");
            std::fs::write(&conf, "loopback_users = none\n").unwrap();
            command.env("STOMPGATE_RABBITMQ_CONF", conf);
            command.env("STOMPGATE_RABBITMQ_ADDRESS", node.address().ip().to_string());
        }
        run(command).await;
        node
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match self.place {
            Place::Loopback => ([127, 0, 0, 1], self.port).into(),
            Place::Namespace(_) => ([192, 0, 2, 2], self.port).into(),
        }
    }

    /// A program that runs where the node does.
    fn command(&self, program: &Path) -> Command {
        match &self.place {
            Place::Loopback => Command::new(program),
            Place::Namespace(name) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net=/run/netns/{name}")).arg(program);
                command
            }
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("amqp://guest:guest@{}/%2f", self.address())
    }

    /// What the broker answers, line by line.
    pub(crate) async fn ctl(&self, arguments: &[&str]) -> Vec<String> {
        let mut command = self.command(&self.dir.join("rabbitmqctl"));
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
        let mut command = self.command(SCRIPT.as_ref());
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
        stop(self.command(SCRIPT.as_ref()), &self.dir);
    }
}

/// A folder and ports that nobody uses.
fn vacancy() -> (PathBuf, u16) {
    static BLOCKS: AtomicU16 = AtomicU16::new(0);
    static SWEPT: Once = Once::new();
    SWEPT.call_once(stop_leftovers);
    loop {
        let port = first_port() + PORTS * BLOCKS.fetch_add(1, Ordering::Relaxed);
        if (port..port + PORTS).all(|it| std::net::TcpListener::bind(("127.0.0.1", it)).is_ok()) {
            return (Path::new(FOLDER).join(format!("rabbitmq-{port}-{}", std::process::id())), port);
        }
    }
}

/// Nodes of runs that were interrupted.
fn stop_leftovers() {
    for entry in std::fs::read_dir(FOLDER).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some((_, owner)) = name.strip_prefix("rabbitmq-").and_then(|it| it.split_once('-')) else { continue };
        if path.is_dir() && !is_alive(owner) {
            stop(Command::new(SCRIPT), &path);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "tests are told by their environment which ports are theirs")]
fn first_port() -> u16 {
    std::env::var("STOMPGATE_TEST_PORTS").map_or(25_900, |it| it.parse().expect("STOMPGATE_TEST_PORTS is a port"))
}

fn stop(mut script: Command, dir: &Path) {
    if !dir.exists() {
        return;
    }
    let stopped = script.arg("stop").arg(dir).status();
    if std::thread::panicking() {
        // Its log may say why.
        return;
    }
    assert!(stopped.unwrap().success(), "RabbitMQ can't be stopped");
    std::fs::remove_dir_all(dir).unwrap();
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
