//! The gateway as a process of its own: its log, its signals, its end.

#![allow(dead_code, reason = "not every test needs all of it")]
#![allow(clippy::disallowed_methods, reason = "there is no runtime here whose clock could be asked")]

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Runs until it is told to end; killed when a test fails.
pub(crate) struct Process {
    child: Child,
    log: mpsc::Receiver<String>,
    pub(crate) admin: SocketAddr,
    pub(crate) http: SocketAddr,
}

/// The binary without a trace of our own environment.
pub(crate) fn stompgate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stompgate"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

impl Process {
    /// Waits until it serves.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut process = Self::spawn(command);
        process.admin = address(&process.wait_for("operators: http://"), "http://");
        process.http = address(&process.wait_for("clients: ws://"), "ws://");
        process
    }

    /// Does not wait until it serves.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        command.env("STOMPGATE__HTTP__LISTEN", "127.0.0.1:0").env("STOMPGATE__ADMIN__LISTEN", "127.0.0.1:0");
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let (sender, log) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { child, log, admin: unknown, http: unknown }
    }

    /// Nobody reads its log. Waits until it is ready.
    pub(crate) fn start_unread(command: &mut Command, stdout: impl Into<Stdio>) -> Self {
        let (admin, http) = (free(), free());
        let (_, log) = mpsc::channel();
        command.env("STOMPGATE__HTTP__LISTEN", http.to_string()).env("STOMPGATE__ADMIN__LISTEN", admin.to_string());
        let child = command.stdout(stdout).spawn().unwrap();
        let process = Self { child, log, admin, http };
        let deadline = Instant::now() + PATIENCE;
        let mut ask = stompgate(&["healthcheck"]);
        ask.env("STOMPGATE__ADMIN__LISTEN", admin.to_string()).stderr(Stdio::null());
        while !ask.status().unwrap().success() {
            assert!(Instant::now() < deadline, "the gateway is not ready");
        }
        process
    }

    /// The first line that holds the text.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.log.recv_timeout(left).unwrap_or_else(|_| panic!("the log has no {text:?}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line, if one comes within that time.
    pub(crate) fn next_line(&self, time: Duration) -> Option<String> {
        self.log.recv_timeout(time).ok()
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// The exit code.
    pub(crate) fn wait(mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().expect("it is not killed by a signal");
            }
            assert!(Instant::now() < deadline, "the process has not ended");
            // The log ends when the process does.
            let _line = self.log.recv_timeout(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            self.log.try_iter().for_each(|line| println!("{line}"));
        }
        // It has ended already when the test went well.
        let _killed = self.child.kill();
        self.child.wait().unwrap();
    }
}

/// What follows the scheme in a line of the log.
fn address(line: &str, scheme: &str) -> SocketAddr {
    let (_, rest) = line.split_once(scheme).unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}

/// Bound and closed again: nobody listens there.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
