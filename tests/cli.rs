//! The binary as its users meet it: commands, exit codes, what is printed.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic, in its helpers too")]

mod process;

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use process::{Process, stompgate};

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
