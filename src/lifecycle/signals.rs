//! The signals that the process listens to.

use std::{fmt, io};

use tokio::signal::unix::{self, SignalKind};

/// Listens for them; from then on they no longer kill the process by themselves.
#[derive(Debug)]
pub struct Signals {
    hang_up: unix::Signal,
    interrupt: unix::Signal,
    terminate: unix::Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Asked {
    End(Signal),
    /// HUP: read the configuration again.
    Reload,
}

/// A signal that asks the process to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Signal {
    Interrupt,
    Terminate,
}

impl Signals {
    /// Called within a runtime.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            hang_up: unix::signal(SignalKind::hangup())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
        })
    }

    /// What the next one asks for. Cancel-safe, as all its calls are.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hang_up.recv() => Asked::Reload,
            _ = self.interrupt.recv() => Asked::End(Signal::Interrupt),
            _ = self.terminate.recv() => Asked::End(Signal::Terminate),
        }
    }
}

impl Signal {
    /// What a shell sees of a process that the signal killed: 128 and its number.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        })
    }
}
