//! The way of the log to stdout: a bounded buffer and a thread of its own, so that nobody who logs waits for whoever
//! reads, or fails because nothing can be written.

use crate::sync::lock;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{mem, thread};

/// What may wait to be written; lines beyond it are lost.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// How long the end of the process waits for the last lines.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// Between two attempts to write to what is full and does not block.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// Of the one log of this process.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Lines that were not written.
pub(super) fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Takes a line with each write. Cloning it clones a handle.
#[derive(Clone, Debug)]
pub(super) struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    is_writing: bool,
}

impl Lines {
    pub(super) fn start(out: File) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let lines = Self(Arc::clone(&shared));
        thread::Builder::new().name("log".to_owned()).spawn(move || write_all(&shared, out))?;
        Ok(lines)
    }

    /// Waits until everything is written, or for as long as the end of a process may take.
    pub(super) fn flush_all(&self) {
        let is_busy = |state: &mut State| state.is_writing || !state.waiting.is_empty();
        drop(self.0.changed.wait_timeout_while(self.0.lock(), FLUSH_PATIENCE, is_busy));
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        if state.waiting.len() + line.len() <= WAITING_BYTES_MAX {
            state.waiting.extend_from_slice(line);
            drop(state);
            self.0.changed.notify_all();
        } else {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Waits for lines, and puts them in place of what was written before.
    fn take(&self, written: &mut Vec<u8>) {
        written.clear();
        let mut state = self.lock();
        state.is_writing = false;
        self.changed.notify_all();
        let state = self.changed.wait_while(state, |it| it.waiting.is_empty());
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut state.waiting, written);
        state.is_writing = true;
    }
}

/// Never ends: it has nothing to lose when the process does.
fn write_all(shared: &Shared, mut out: File) {
    let mut lines = Vec::new();
    loop {
        shared.take(&mut lines);
        let mut rest = &*lines;
        while !rest.is_empty() {
            match out.write(rest) {
                Ok(written @ 1..) => rest = &rest[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY_PAUSE),
                Ok(0) | Err(_) => {
                    let lost = memchr::memchr_iter(b'\n', rest).count();
                    LOST.fetch_add(lost as u64, Ordering::Relaxed);
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::fd::OwnedFd;

    use super::*;

    #[test]
    fn a_reader_that_does_not_read_costs_whole_lines_that_are_counted() {
        let (reader, writer) = io::pipe().unwrap();
        let mut lines = Lines::start(File::from(OwnedFd::from(writer))).unwrap();
        let line = format!("{}\n", "x".repeat(999));
        let written = 3 * WAITING_BYTES_MAX / line.len();
        for _ in 0..written {
            lines.write_all(line.as_bytes()).unwrap();
        }
        let lost = usize::try_from(lost()).unwrap();
        assert!(lost > 0 && lost < written, "{lost} of {written}");
        let read = BufReader::new(reader).lines().map(Result::unwrap).take(written - lost);
        assert!(read.map(|it| it == line.trim_end()).fold(true, |all, it| all & it));
        lines.flush_all();
        assert!(!lines.0.lock().is_writing);
    }
}
