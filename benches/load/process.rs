//! Child processes that end with their owner, and what `/proc` says of a process.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::interrupt;

/// Linux reports CPU time to user space in hundredths of a second on every architecture that it supports today.
const TICKS_PER_SECOND: f64 = 100.0;

/// A child that is killed when its owner goes, by return, by error or by panic.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
}

impl Process {
    /// A group of its own keeps a Ctrl-C in the terminal from the child: the bench stops it, after the last figure.
    pub(crate) fn spawn(name: &'static str, command: &mut Command) -> io::Result<Self> {
        let child = command.process_group(0).stdin(Stdio::piped()).spawn();
        let child =
            child.map_err(|fault| io::Error::new(fault.kind(), format!("{name} cannot be started: {fault}")))?;
        Ok(Self { name, child })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks `is_ready` until it says yes, the process ends or `patience` is over.
    pub(crate) fn wait_until(&mut self, patience: Duration, mut is_ready: impl FnMut() -> bool) -> io::Result<()> {
        let deadline = Instant::now() + patience;
        while !is_ready() {
            interrupt::check()?;
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("{} ended before it was ready: {status}", self.name)));
            }
            if deadline < Instant::now() {
                return Err(io::Error::other(format!("{} was not ready within {patience:?}", self.name)));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing that a server under test holds outlives the run, so that none needs time to shut down.
        for result in [self.child.kill(), self.child.wait().map(drop)] {
            if let Err(fault) = result {
                eprintln!("{} (pid {}) cannot be stopped: {fault}", self.name, self.child.id());
            }
        }
    }
}

/// User and system time that a process has used so far, all its threads together.
pub(crate) fn cpu_seconds(pid: u32) -> io::Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path)?;
    // The name of the program, in parentheses, may hold spaces; utime and stime are fields 14 and 15 (proc(5)).
    let fields = text.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().skip(11));
    let ticks: Vec<f64> = fields.into_iter().flatten().take(2).filter_map(|it| it.parse().ok()).collect();
    match ticks[..] {
        [user, system] => Ok((user + system) / TICKS_PER_SECOND),
        _ => Err(io::Error::other(format!("{path} is not understood: {text}"))),
    }
}

/// Resident memory of a process. `VmRSS` of `/proc/PID/status` may lag by megabytes, this sum of the mappings does not.
pub(crate) fn resident_kib(pid: u32) -> io::Result<f64> {
    kib_field(&format!("/proc/{pid}/smaps_rollup"), "Rss:")
}

/// Sockets that a process has open: its connections and its few listeners.
pub(crate) fn sockets(pid: u32) -> io::Result<usize> {
    let files = fs::read_dir(format!("/proc/{pid}/fd"))?;
    // A file that was closed since the directory was read has no link any more, and does not count.
    let links = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    Ok(links.filter(|link| link.to_string_lossy().starts_with("socket:")).count())
}

/// The value of a line such as `Rss:  123 kB`.
pub(crate) fn kib_field(path: &str, name: &str) -> io::Result<f64> {
    let text = fs::read_to_string(path)?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
    value.ok_or_else(|| io::Error::other(format!("{path} has no number for {name}")))
}
