//! The binary as its users meet it: commands, exit codes, what is printed.

#![allow(clippy::disallowed_methods, reason = "there is no runtime here whose clock could be asked")]
#![allow(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

mod process;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use process::{PATIENCE, Process, stompgate};

fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// A file in the folder that Cargo gives to tests; each test has a name of its own.
fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn check_config_tells_every_fault_and_exits_with_64() {
    let path = file("faults.toml", "[http]\nlisten = 'here'\nprot = 1\n");
    let name = path.to_str().unwrap();
    let mut command = stompgate(&["check-config", "--config", name]);
    let (code, stdout, stderr) = run(command.env("STOMPGATE__HTTP__BACKLOG", "many").env("STOMPGATE__NONSENSE", "1"));
    assert_eq!((code, &*stdout), (64, ""));
    let lines: Vec<_> = stderr.lines().collect();
    assert_eq!(lines[0], "stompgate: the configuration has 4 faults:");
    assert_eq!(lines[1], format!("  {name}: http.listen is \"here\": it must be an IP address and a port"));
    assert!(lines[2].starts_with("  STOMPGATE__HTTP__BACKLOG: http.backlog is \"many\""), "{stderr}");
    assert!(lines[3].starts_with(&format!("  {name}: http.prot is unknown")), "{stderr}");
    assert!(lines[4].starts_with("  STOMPGATE__NONSENSE: nonsense is unknown"), "{stderr}");
    assert_eq!(lines.len(), 5);
}

#[test]
fn check_config_has_nothing_to_say_about_no_configuration() {
    assert_eq!(run(&mut stompgate(&["check-config"])), (0, "the configuration has no fault\n".into(), String::new()));
}

#[test]
fn the_example_of_a_file_has_no_fault() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/stompgate.toml");
    let (code, stdout, stderr) = run(&mut stompgate(&["check-config", "--config", example]));
    assert_eq!((code, &*stdout, &*stderr), (0, "the configuration has no fault\n", ""));
}

#[test]
fn a_faulty_configuration_does_not_start() {
    let (code, _, stderr) = run(stompgate(&[]).env("STOMPGATE__HTTP__LISTN", "127.0.0.1:0"));
    assert_eq!(code, 64);
    assert!(stderr.contains("STOMPGATE__HTTP__LISTN: http.listn is unknown"), "{stderr}");
}

#[test]
fn the_default_file_is_named_by_a_variable_and_an_argument_goes_before_it() {
    let (one, other) = (file("one.toml", "http.backlog = 1"), file("other.toml", "http.backlog = 2"));
    let (_, printed, _) = run(stompgate(&["print-config"]).env("STOMPGATE_CONFIG", &one));
    assert!(printed.contains("backlog = 1\n"), "{printed}");
    let mut command = stompgate(&["--config", other.to_str().unwrap(), "print-config"]);
    let (_, printed, _) = run(command.env("STOMPGATE_CONFIG", &one));
    assert!(printed.contains("backlog = 2\n"), "{printed}");
}

#[test]
fn print_config_masks_secrets_and_prints_valid_input() {
    let mut command = stompgate(&["print-config"]);
    command.env("STOMPGATE__BROKER__AMQP__URL", "amqp://u:s3cret@rabbit/v").env("STOMPGATE__AUTH__USERS", "ann:s3cret");
    let (code, printed, stderr) = run(&mut command);
    assert_eq!((code, &*stderr), (0, ""));
    assert!(printed.contains(r#"url = "amqp://u:***@rabbit:5672/v""#), "{printed}");
    assert!(printed.contains(r#"users = [{ login = "ann", passcode = "***" }]"#), "{printed}");
    let again = file("printed.toml", &printed);
    assert_eq!(run(&mut stompgate(&["print-config", "--config", again.to_str().unwrap()])).1, printed);
}

#[test]
fn the_version_is_that_of_the_package() {
    let expected = format!("stompgate {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&mut stompgate(&["--version"])), (0, expected, String::new()));
}

#[test]
fn healthcheck_fails_when_nobody_answers() {
    // Bound and closed again: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (code, _, stderr) = run(stompgate(&["healthcheck"]).env("STOMPGATE__ADMIN__LISTEN", &free));
    assert_eq!(code, 1);
    assert!(stderr.starts_with(&format!("stompgate: {free} (admin.listen) can't be reached")), "{stderr}");
    let (code, _, stderr) = run(stompgate(&["healthcheck"]).env("STOMPGATE__ADMIN__LISTEN", "off"));
    assert_eq!((code, stderr.contains("admin.listen is off")), (1, true));
}

#[test]
fn an_address_that_is_taken_is_named_with_its_setting() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = stompgate(&["serve"]);
    command.env("STOMPGATE__HTTP__LISTEN", &address).env("STOMPGATE__ADMIN__LISTEN", "off");
    let (code, _, stderr) = run(&mut command);
    assert_eq!(code, 1);
    assert!(stderr.starts_with(&format!("stompgate: can't listen on {address} (http.listen): ")), "{stderr}");
}

/// A STOMP client on a socket of its own.
struct Client(TcpStream);

impl Client {
    const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                           Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    /// The client, or what it was refused with.
    fn connect(address: SocketAddr) -> Result<Self, String> {
        let mut tcp = TcpStream::connect(address).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        // Who is turned away may be so before it has asked.
        let _asked = tcp.write_all(Self::UPGRADE.as_bytes());
        let mut client = Self(tcp);
        let head = client.read_until("\r\n\r\n");
        if !head.starts_with("HTTP/1.1 101 ") {
            return Err(head + &client.read_until("\n"));
        }
        assert!(client.ask("CONNECT\naccept-version:1.2\n\n\0").contains("CONNECTED\n"));
        Ok(client)
    }

    /// Sends a short frame, and returns the one that it is answered with.
    fn ask(&mut self, frame: &str) -> String {
        let length = u8::try_from(frame.len()).ok().filter(|it| *it < 126).unwrap();
        // Text, masked by zeros.
        let head = [0x81, 0x80 | length, 0, 0, 0, 0];
        self.0.write_all(&[&head, frame.as_bytes()].concat()).unwrap();
        self.read_until("\0")
    }

    fn read_until(&mut self, end: &str) -> String {
        let mut read = Vec::new();
        while !read.ends_with(end.as_bytes()) {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            read.push(byte[0]);
        }
        String::from_utf8_lossy(&read).into_owned()
    }
}

#[test]
fn a_gateway_without_configuration_is_healthy_and_ends_cleanly_when_it_is_told_to() {
    for signal in ["TERM", "INT"] {
        let gateway = Process::start(&mut stompgate(&["serve"]));
        let (code, stdout, stderr) =
            run(stompgate(&["healthcheck"]).env("STOMPGATE__ADMIN__LISTEN", gateway.admin.to_string()));
        assert_eq!((code, &*stdout, &*stderr), (0, "", ""));
        gateway.signal(signal);
        let line = gateway.wait_for("draining");
        assert!(line.contains(&format!("SIG{signal}")), "{line}");
        gateway.wait_for("every session has ended in time");
        assert_eq!(gateway.wait(), 0);
    }
}

#[test]
fn a_hang_up_does_not_end_the_gateway() {
    let gateway = Process::start(&mut stompgate(&["serve"]));
    gateway.signal("HUP");
    let line = gateway.wait_for("the configuration was read again");
    assert!(line.contains("\"changed\":\"\""), "{line}");
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), 0);
}

#[test]
fn what_cannot_be_printed_is_a_failure_and_no_panic() {
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    for (command, code) in [("check-config", 1), ("print-config", 1), ("healthcheck", 1)] {
        let mut command = stompgate(&[command]);
        command.env("STOMPGATE__ADMIN__LISTEN", "off").stdout(full()).stderr(full());
        assert_eq!(command.status().unwrap().code(), Some(code), "{command:?}");
    }
}

#[test]
fn a_log_that_is_not_for_a_terminal_is_json() {
    let gateway = Process::start(&mut stompgate(&["serve"]));
    gateway.signal("TERM");
    let line = gateway.wait_for("draining");
    assert!(line.starts_with("{\"timestamp\":") && line.contains("\"level\":\"INFO\""), "{line}");
    assert_eq!(gateway.wait(), 0);
}

#[test]
fn the_limit_of_open_files_is_raised_as_far_as_it_may_and_named_when_that_is_not_enough() {
    let mut shell = Command::new("/bin/sh");
    let script = "ulimit -S -n 100 && ulimit -H -n 300 && exec \"$0\"";
    shell.args(["-c", script, env!("CARGO_BIN_EXE_stompgate")]).env_clear().stdin(Stdio::null());
    let gateway = Process::spawn(&mut shell);
    let line = gateway.wait_for("open files");
    assert!(line.contains("\"limit\":300") && line.contains("http.connections_max"), "{line}");
    gateway.wait_for("/demo/");
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn without_a_file_descriptor_left_who_comes_is_told_so_and_who_is_there_notices_nothing() {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "ulimit -n 100 && exec \"$0\"", env!("CARGO_BIN_EXE_stompgate")]);
    let gateway = Process::start(shell.env_clear().stdin(Stdio::null()));
    let (admin, address) = (gateway.admin, gateway.http);

    let mut clients = Vec::new();
    let refused = loop {
        match Client::connect(address) {
            Ok(client) => clients.push(client),
            Err(refused) => break refused,
        }
        assert!(clients.len() < 100, "there are no more files than that");
    };
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("Retry-After: 5\r\n"), "{refused}");
    assert!(refused.ends_with("as it may have: 100 in all (ulimit -n).\n"), "{refused}");
    gateway.wait_for("cannot accept connections");
    // Some descriptors are kept for others than clients.
    assert_eq!(run(stompgate(&["healthcheck"]).env("STOMPGATE__ADMIN__LISTEN", admin.to_string())).0, 0);

    // These take them all, so that `accept` itself fails.
    let operators: Vec<_> = (0..40).map(|_| TcpStream::connect(admin).unwrap()).collect();
    gateway.wait_for("can't accept a connection to admin.listen");
    // Silent ones are told as well, and do not keep others from being told.
    let silent: Vec<_> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
    for _ in 0..20 {
        assert!(Client::connect(address).is_err_and(|it| it.starts_with("HTTP/1.1 503 ")));
        let receipt = clients[0].ask("SEND\ndestination:/topic/a\nreceipt:r\n\n\0");
        assert!(receipt.contains("receipt-id:r\n"), "{receipt}");
    }
    for mut tcp in silent {
        let mut told = String::new();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.read_to_string(&mut told).unwrap();
        assert!(told.starts_with("HTTP/1.1 503 "), "{told}");
    }
    // Said once. And while nobody comes, though no descriptor is left, nothing is done.
    let (used, begun) = (cpu_ticks(gateway.pid()), Instant::now());
    while let Some(left) = Duration::from_secs(1).checked_sub(begun.elapsed()) {
        assert!(gateway.next_line(left).is_none_or(|it| !it.contains(" accept ")), "it was said before");
    }
    let (used, elapsed) = (cpu_ticks(gateway.pid()) - used, begun.elapsed());
    assert!(u128::from(used) * 10 < elapsed.as_millis() / 4, "{used} ticks of 10 ms in {elapsed:?}");

    drop(operators);
    clients.truncate(1);
    let deadline = Instant::now() + PATIENCE;
    while Client::connect(address).is_err() {
        assert!(Instant::now() < deadline, "descriptors are free again");
    }
    assert!(clients[0].ask("SEND\ndestination:/topic/a\nreceipt:s\n\n\0").contains("receipt-id:s\n"));
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), 0);
}

/// Time of the process on the processors, its system calls included, in units of 10 ms.
#[cfg(target_os = "linux")]
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').skip(11).take(2).map(|it| it.parse::<u64>().unwrap()).sum()
}
