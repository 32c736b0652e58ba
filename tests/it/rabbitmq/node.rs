//! A RabbitMQ of one test's own, which can be killed and started again with what it had on disk.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::loss::broker_address;

pub(crate) struct Node {
    dir: PathBuf,
    port: u16,
}

impl Node {
    /// Its ports are so far above those of the tests' RabbitMQ.
    pub(crate) async fn start(offset: u16) -> Self {
        let port = broker_address().port() + offset;
        let dir = std::env::temp_dir().join(format!("stompgate-node-{port}-{}", std::process::id()));
        let node = Self { dir, port };
        node.start_again().await;
        node
    }

    pub(crate) fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    pub(crate) async fn start_again(&self) {
        drop(std::fs::remove_file(self.dir.join("server.pid")));
        self.script(&["start", self.dir.to_str().unwrap(), &self.port.to_string()]).await;
    }

    /// As `kill -9` does.
    pub(crate) async fn kill(&self) {
        let pid = std::fs::read_to_string(self.dir.join("node.pid")).unwrap();
        run(Command::new("kill").args(["-KILL", pid.trim()])).await;
    }

    pub(crate) async fn stop(self) {
        self.script(&["stop", self.dir.to_str().unwrap()]).await;
        std::fs::remove_dir_all(&self.dir).unwrap();
    }

    async fn script(&self, arguments: &[&str]) {
        run(Command::new("tests/rabbitmq.sh").current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments)).await;
    }
}

async fn run(command: &mut Command) {
    let mut command = std::mem::replace(command, Command::new("true"));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let status = tokio::task::spawn_blocking(move || command.status()).await.unwrap().unwrap();
    assert!(status.success());
}
