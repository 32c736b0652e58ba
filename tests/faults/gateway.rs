//! The gateway as its users run it, and what it says of itself.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::wait::{DEADLINE, eventually, within};

/// Those that are 0 when no client is there.
const GAUGES: &[&str] = &[
    "stompgate_broker_amqp_private_channels",
    "stompgate_broker_amqp_private_consumers",
    "stompgate_broker_amqp_publishes_in_flight",
    "stompgate_broker_amqp_unsettled",
    "stompgate_outbox_bytes",
    "stompgate_sessions",
    "stompgate_subscriptions",
];

pub(crate) struct Gateway {
    child: Child,
    pub(crate) clients: SocketAddr,
    operators: SocketAddr,
    /// Removed when all went well.
    log: PathBuf,
}

impl Gateway {
    /// In front of that RabbitMQ, with settings as `broker.amqp.url`. It is ready.
    pub(crate) async fn start(url: &str, settings: &[(&str, &str)]) -> Self {
        let gateway = Self::spawn(url, settings);
        eventually("the gateway is ready", async || gateway.get("/ready").await.starts_with("HTTP/1.1 200")).await;
        gateway
    }

    fn spawn(url: &str, settings: &[(&str, &str)]) -> Self {
        // Each client is an open file here, too.
        rlimit::increase_nofile_limit(u64::MAX).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_stompgate"));
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped());
        let defaults = [
            ("http.listen", "127.0.0.1:0"),
            ("admin.listen", "127.0.0.1:0"),
            ("http.connections_max", "20000"),
            ("stomp.heartbeat_send", "1s"),
            ("broker.kind", "amqp"),
            ("broker.amqp.url", url),
            ("drain.period", "0s"),
            ("log.format", "json"),
        ];
        for (key, value) in defaults.iter().chain(settings) {
            command.env(format!("STOMPGATE__{}", key.replace('.', "__").to_uppercase()), value);
        }
        let mut child = command.spawn().unwrap();
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("gateway-{}.log", child.id()));
        let lines = lines_of(&mut child, File::create(&log).unwrap());
        let after = |text: &str| loop {
            let line = lines.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("the log has no {text:?}"));
            if let Some((_, rest)) = line.split_once(text) {
                break rest.split(['/', '"']).next().unwrap().parse().unwrap();
            }
        };
        let operators = after("operators: http://");
        let clients = after("clients: ws://");
        Self { child, clients, operators, log }
    }

    /// The sum of the series of that name, with all labels that begin so: `name`, or `name{label="value"`.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let text = self.get("/metrics").await;
        let values =
            text.lines().filter_map(|it| it.strip_prefix(series)).filter(|it| it.starts_with([' ', '{', ',', '}']));
        let values: Vec<f64> = values.map(|it| it.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        assert!(!values.is_empty(), "no series {series}");
        values.iter().sum()
    }

    /// Nothing is left of clients that have gone.
    pub(crate) async fn is_idle(&self) {
        for gauge in GAUGES {
            eventually(&format!("{gauge} is 0"), async || self.metric(gauge).await == 0.0).await;
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its clients have gone; it ends as it is told to.
    pub(crate) async fn stop(mut self) {
        self.is_idle().await;
        assert!(Command::new("kill").arg(self.pid().to_string()).status().unwrap().success());
        let mut status = None;
        eventually("the gateway has ended", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        assert_eq!(status.unwrap().code(), Some(0));
        std::fs::remove_file(&self.log).unwrap();
    }

    async fn get(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let mut text = String::new();
        within("the gateway answers its operators", async {
            let mut tcp = TcpStream::connect(self.operators).await.unwrap();
            tcp.write_all(request.as_bytes()).await.unwrap();
            tcp.read_to_string(&mut text).await.unwrap();
        })
        .await;
        text
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It has ended already when the test went well.
        let _killed = self.child.kill();
        self.child.wait().unwrap();
    }
}

/// The first lines of its log, all of which is in the file.
fn lines_of(child: &mut Child, mut file: File) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::sync_channel(64);
    let stdout = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            writeln!(file, "{line}").unwrap();
            // Nobody listens any more once the addresses are known.
            let _known = sender.try_send(line);
        }
    });
    lines
}
