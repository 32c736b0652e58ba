//! The task behind one link: connects, carries what the dialogue wants written and what the broker sends, connects
//! again.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::Shared;
use super::connection::{ConnectError, Connection};
use super::dialogue::Dialogue;
pub(super) use super::dialogue::Lost;
use super::frames::{self, Login};
use super::metrics::Loss;
use super::settings::Identity;
use crate::broker::backoff::Backoff;
use crate::message::Share;
use crate::session::Fault;
use crate::stomp::Command;
use crate::sync::lock;

/// Bytes that wait to be written to a broker. More stays where it is counted.
const WRITE_BUFFER_MAX: usize = 64 * 1024;

/// How long the broker may take to read the last bytes of a link and to answer its DISCONNECT.
const GOODBYE: Duration = Duration::from_secs(2);

/// When the timer looks again while no deadline is set.
const NOTHING_DUE: Duration = Duration::from_secs(3_600);

/// What a link and its task have in common.
#[derive(Clone, Debug)]
pub(super) struct Line {
    dialogue: Arc<Mutex<Dialogue>>,
    /// Something is to be written, or a deadline was set.
    wake: Arc<Notify>,
    /// The link is closed.
    pub(super) closed: CancellationToken,
}

/// Whose connection it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    Session,
    /// It tells whether the broker is there, and goes on for ever.
    System,
}

pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) line: Line,
    pub(super) login: Login,
    pub(super) role: Role,
    /// One of [`super::Settings::connections_max`].
    pub(super) place: Option<OwnedSemaphorePermit>,
}

/// Why a connection is not served any more.
enum End {
    /// The link, or the process.
    Closed,
    Lost(Lost),
}

impl Line {
    pub(super) fn new(dialogue: Dialogue, closed: CancellationToken) -> Self {
        Self { dialogue: Arc::new(Mutex::new(dialogue)), wake: Arc::default(), closed }
    }

    /// The task looks what has become of it afterwards.
    pub(super) fn with<T>(&self, operation: impl FnOnce(&mut Dialogue) -> T) -> T {
        let outcome = operation(&mut self.dialogue());
        self.wake.notify_one();
        outcome
    }

    pub(super) fn dialogue(&self) -> MutexGuard<'_, Dialogue> {
        lock(&self.dialogue)
    }
}

impl Worker {
    /// Until the link is closed, or over. The dialogue knows of the first connection, if there is one.
    pub(super) async fn run(self, first: Option<Connection>) {
        let mut next = first;
        let settings = &self.shared.settings;
        let mut backoff = Backoff::new(settings.reconnect_delay_min, settings.reconnect_delay_max);
        loop {
            let connection = match next.take() {
                Some(connection) => connection,
                None => match self.reconnect(&mut backoff).await {
                    Some(connection) => connection,
                    None => break,
                },
            };
            let begun = Instant::now();
            let end = self.serve(connection).await;
            let End::Lost(lost) = end else { break };
            self.lost(lost);
            if self.line.dialogue().over().is_some() {
                break;
            }
            // A broker that takes connections and drops them at once gets longer and longer pauses, too.
            if begun.elapsed() > settings.reconnect_delay_max {
                backoff.reset();
            }
        }
        self.line.dialogue().end(Fault::Unavailable);
        drop(self.place);
    }

    async fn serve(&self, mut connection: Connection) -> End {
        let counted = Share::take(&self.shared.metrics.connections, 1);
        if self.role == Role::System {
            info!(addresses = super::listed(&self.shared.settings.addresses), "connected to the STOMP broker");
            self.shared.availability.set(true);
        }
        let end = self.converse(&mut connection).await;
        if self.role == Role::System {
            self.shared.availability.set(false);
        }
        if matches!(end, End::Closed) && timeout(GOODBYE, self.say_goodbye(&mut connection)).await.is_err() {
            debug!("the broker did not answer a DISCONNECT");
        }
        drop(counted);
        end
    }

    async fn converse(&self, connection: &mut Connection) -> End {
        let mut timer = pin!(sleep_until(Instant::now()));
        loop {
            self.line.dialogue().write(&mut connection.output, WRITE_BUFFER_MAX, Instant::now().into_std());
            timer.as_mut().reset(self.deadline(Some(connection)));
            let (mut closed, mut wake) = (pin!(self.line.closed.cancelled()), pin!(self.line.wake.notified()));
            // Reading goes first: what the broker sent while the gateway did not run is no silence.
            let event = poll_fn(|cx| {
                if closed.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Err(End::Closed));
                }
                let read = connection.poll_read(cx);
                let written = if connection.has_output() { connection.poll_write(cx) } else { Poll::Pending };
                let mut is_done = wake.as_mut().poll(cx).is_ready();
                for moved in [read, written] {
                    match moved {
                        Poll::Ready(Ok(())) => is_done = true,
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(End::Lost(broken(&error)))),
                        Poll::Pending => {}
                    }
                }
                is_done |= timer.as_mut().poll(cx).is_ready();
                if is_done { Poll::Ready(Ok(())) } else { Poll::Pending }
            })
            .await;
            if let Err(end) = event {
                // What came before the end may say why.
                return match (self.take(connection), end) {
                    (Err(lost), End::Lost(_)) => End::Lost(lost),
                    (_, end) => end,
                };
            }
            if let Err(lost) = self.take(connection) {
                return End::Lost(lost);
            }
        }
    }

    /// What was read, and what is due.
    fn take(&self, connection: &mut Connection) -> Result<(), Lost> {
        let mut dialogue = self.line.dialogue();
        while let Some(frame) = connection.next_frame()? {
            dialogue.frame(frame)?;
        }
        let now = Instant::now();
        dialogue.expire(now.into_std())?;
        connection.beat(now)
    }

    fn deadline(&self, connection: Option<&Connection>) -> Instant {
        let asked = self.line.dialogue().deadline().map(Instant::from_std);
        let all = asked.into_iter().chain(connection.and_then(Connection::deadline));
        all.min().unwrap_or_else(|| Instant::now() + NOTHING_DUE)
    }

    /// What was asked before is written, and the broker has taken it before the socket is closed.
    async fn say_goodbye(&self, connection: &mut Connection) {
        loop {
            let before = connection.output.len();
            self.line.dialogue().write(&mut connection.output, WRITE_BUFFER_MAX, Instant::now().into_std());
            let is_last = connection.output.len() == before;
            if is_last {
                connection.output.extend_from_slice(&frames::disconnect());
            }
            if poll_fn(|cx| connection.poll_write(cx)).await.is_err() {
                return;
            }
            if is_last {
                break;
            }
        }
        // What else comes is requeued by the broker.
        while poll_fn(|cx| connection.poll_read(cx)).await.is_ok() {
            while let Ok(Some(frame)) = connection.next_frame() {
                if frame.command == Command::Receipt && frame.header("receipt-id") == Some("goodbye") {
                    return;
                }
            }
        }
    }

    fn lost(&self, lost: Lost) {
        let Lost { loss, fault } = &lost;
        match self.role {
            Role::Session => {
                debug!(?loss, %fault, "the upstream connection of a session is lost");
                self.line.dialogue().lost(lost);
            }
            Role::System => {
                let outage = self.shared.settings.outage;
                warn!(?loss, %fault, "the STOMP broker is lost; {}", outage.consequence());
                self.shared.metrics.lost(*loss);
                self.line.dialogue().disconnected();
            }
        }
    }

    /// Tries until there is a connection; `None` once the link is closed or over. Meanwhile what is held grows old.
    async fn reconnect(&self, backoff: &mut Backoff) -> Option<Connection> {
        let mut attempts = pin!(self.attempts(backoff));
        loop {
            tokio::select! {
                biased;
                () = self.line.closed.cancelled() => return None,
                connection = &mut attempts => {
                    let connection = connection?;
                    self.line.dialogue().connected(connection.version);
                    return Some(connection);
                }
                () = self.line.wake.notified() => {}
                () = sleep_until(self.deadline(None)) => {}
            }
            let expired = self.line.dialogue().expire(Instant::now().into_std());
            debug_assert!(expired.is_ok(), "nothing is lost without a connection");
        }
    }

    async fn attempts(&self, backoff: &mut Backoff) -> Option<Connection> {
        let mut is_refused = false;
        // Said once, however often it is tried.
        let mut last_error = String::new();
        loop {
            if self.role == Role::Session {
                // The system connection finds out, so that thousands need not.
                self.shared.availability.reached().await;
            }
            sleep(backoff.pause(is_refused, rand::random())).await;
            let error = match Connection::open(&self.shared, &self.login).await {
                Ok(connection) => return Some(connection),
                Err(error) => error,
            };
            is_refused = error.is_refusal();
            match self.role {
                // The credentials were right once.
                Role::Session if is_refused && self.shared.settings.identity == Identity::Client => {
                    self.line.dialogue().end(error.fault());
                    return None;
                }
                Role::Session => debug!(%error, "a session still has no upstream connection"),
                Role::System => say(&error, &mut last_error),
            }
        }
    }
}

fn say(error: &ConnectError, last: &mut String) {
    let text = error.to_string();
    if text == *last {
        debug!(error = %text, "the STOMP broker still can't be used");
    } else {
        warn!(error = %text, "the STOMP broker can't be used; trying again and again");
        *last = text;
    }
}

fn broken(error: &io::Error) -> Lost {
    match error.kind() {
        // Spring's words for that are those of a session that ends so.
        io::ErrorKind::UnexpectedEof => Lost { loss: Loss::Closed, fault: Fault::Unavailable },
        kind => Lost { loss: Loss::Network, fault: Fault::LinkBroken(format!("Transport failure: {kind}")) },
    }
}
