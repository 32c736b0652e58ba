//! The limit on open files, which bounds the clients of a run: one file per client, here and in the server.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Starts this program again with the soft limit at the hard one, unless it is there. Child processes inherit it.
///
/// A shell does it, because a Rust program can only do it by unsafe code or one more crate.
pub(crate) fn raise() -> io::Result<()> {
    let [soft, hard] = open_files_limits()?;
    if soft == hard {
        return Ok(());
    }
    let script = r#"ulimit -n "$(ulimit -H -n)" && exec "$0" "$@""#;
    let program = std::env::current_exe()?;
    Err(Command::new("sh").args(["-c", script]).arg(program).args(std::env::args_os().skip(1)).exec())
}

/// How many files this process, and so each of its children, may have open.
pub(crate) fn open_files() -> io::Result<usize> {
    let [soft, _] = open_files_limits()?;
    Ok(soft.parse().unwrap_or(usize::MAX))
}

fn open_files_limits() -> io::Result<[String; 2]> {
    let text = fs::read_to_string("/proc/self/limits")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"));
    let mut words = line.into_iter().flat_map(str::split_whitespace).map(str::to_owned);
    match (words.next(), words.next()) {
        (Some(soft), Some(hard)) => Ok([soft, hard]),
        _ => Err(io::Error::other("/proc/self/limits does not say how many files may be open")),
    }
}
