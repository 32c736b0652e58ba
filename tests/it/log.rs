//! A log that nobody takes: the gateway neither ends nor waits for anybody.

use std::fs::File;
use std::process::{Command, Stdio};

use crate::client::{Client, metric_at, within};
use crate::process::{Process, stompgate};

const LOST: &str = "stompgate_log_lines_lost_total";

async fn serves(gateway: &Process) {
    let mut client = Client::connect_at(gateway.http).await;
    client.confirmed("SUBSCRIBE\nid:s\ndestination:/topic/a", "").await;
    client.send("SEND\ndestination:/topic/a\n\nhello\0").await;
    assert_eq!(client.expect("MESSAGE").await.body, "hello");
}

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_costs_lines_and_nothing_else() {
    let gateway = Process::start_unread(stompgate(&["serve"]).stderr(full()), full());
    serves(&gateway).await;
    assert!(metric_at(gateway.admin, LOST).await >= 2.0, "the greeting and the addresses");
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_stdout_and_stderr_serves() {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "exec \"$0\" >&- 2>&-", env!("CARGO_BIN_EXE_stompgate")]).env_clear().stdin(Stdio::null());
    let gateway = Process::start_unread(&mut shell, Stdio::null());
    serves(&gateway).await;
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_that_nobody_reads_holds_nobody_up() {
    let mut command = stompgate(&["serve"]);
    let gateway = Process::start_unread(command.env("STOMPGATE__LOG__FILTER", "trace"), Stdio::piped());
    let mut client = Client::connect_at(gateway.http).await;
    within(async {
        while metric_at(gateway.admin, LOST).await == 0.0 {
            for _ in 0..100 {
                client.confirmed("SEND\ndestination:/topic/a", "hello").await;
            }
        }
    })
    .await;
    serves(&gateway).await;
    gateway.signal("TERM");
    assert_eq!(client.next().await, Err(1012));
    assert_eq!(gateway.wait(), 0);
}
