//! INT and TERM end a run between two turns, so that every child process is stopped on the way out.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Starts a thread that waits for the signals; everything else of the bench runs on the main thread.
pub(crate) fn watch() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut int, mut term) = {
        let _entered = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = int.recv() => (),
                _ = term.recv() => (),
            }
        });
        INTERRUPTED.store(true, Ordering::Relaxed);
    });
    Ok(())
}

/// An error once a signal has come.
pub(crate) fn check() -> io::Result<()> {
    // The kind is not `Interrupted`: that one means "try again".
    if INTERRUPTED.load(Ordering::Relaxed) { Err(io::Error::other("interrupted by a signal")) } else { Ok(()) }
}

pub(crate) fn happened() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}
