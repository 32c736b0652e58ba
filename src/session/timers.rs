//! The deadlines of one session, as one table with time passed in.
//!
//! Nothing is re-armed when a byte comes or goes: what happened last is remembered, and looked at when a deadline that
//! was computed from it earlier has come. A busy session thus costs no timer operations.

use std::time::{Duration, Instant};

/// What is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Due {
    /// No CONNECT was accepted in time.
    Connect,
    /// A heart-beat has to be sent.
    HeartBeat,
    /// The client should be asked for a sign of life.
    Ping,
    /// The client was silent for that long.
    Silence(Duration),
    /// The network took nothing for that long.
    Stall(Duration),
}

#[derive(Debug)]
pub(super) struct Timers {
    connect: Option<Instant>,
    /// How often something must be sent, if at all, and when it last was.
    send_every: Option<Duration>,
    sent: Instant,
    /// How often something should be heard, and when it last was.
    hear_every: Duration,
    heard: Instant,
    pinged: Option<Instant>,
    /// Since when the client is not read from.
    unread: Option<Instant>,
    /// A tick came late, and nothing was heard since.
    is_excused: bool,
    stall_max: Duration,
    blocked: Option<Instant>,
}

/// A deadline that is noticed later than that passed while nobody ran.
const TICK_LATE_MAX: Duration = Duration::from_secs(2);

/// Silence before a ping, as a part of the interval: late enough that a heart-beat on its way makes it needless.
const fn before_ping(interval: Duration) -> Duration {
    interval.saturating_add(interval.checked_div(2).expect("two is not zero"))
}

/// Silence before a client is given up; the factor is that of Spring's brokers.
const fn before_given_up(interval: Duration) -> Duration {
    interval.saturating_mul(3)
}

impl Timers {
    pub(super) fn new(now: Instant, connect_wait: Duration, hear_every: Duration, stall_max: Duration) -> Self {
        Self {
            connect: Some(now + connect_wait),
            send_every: None,
            sent: now,
            hear_every,
            heard: now,
            pinged: None,
            unread: None,
            is_excused: false,
            stall_max,
            blocked: None,
        }
    }

    /// CONNECT was accepted; the intervals are those that both sides agreed on.
    pub(super) fn connected(&mut self, send_every: Option<Duration>, hear_every: Option<Duration>) {
        self.connect = None;
        self.send_every = send_every;
        self.hear_every = hear_every.unwrap_or(self.hear_every);
    }

    pub(super) fn sent(&mut self, now: Instant) {
        self.sent = now;
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.pinged = None;
        self.is_excused = false;
    }

    /// Nothing can be heard from now on.
    pub(super) fn read_paused(&mut self, now: Instant) {
        self.unread.get_or_insert(now);
    }

    /// What passed meanwhile was no silence of the client.
    pub(super) fn read_resumed(&mut self, now: Instant) {
        if let Some(since) = self.unread.take() {
            self.heard = (self.heard + now.saturating_duration_since(since)).min(now);
        }
    }

    /// Gives the client its times again if the last deadline is long past: then nobody ran, as while the process or its
    /// machine is suspended, and what the client sent is still on its way. Only once until it is heard, so that a
    /// gateway that is always late does not keep who is gone.
    pub(super) fn excuse_late_tick(&mut self, now: Instant, connect_wait: Duration) {
        let is_late = self.next().is_some_and(|it| it + TICK_LATE_MAX < now);
        if is_late && !self.is_excused {
            self.heard(now);
            self.is_excused = true;
            self.connect = self.connect.map(|_| now + connect_wait);
            self.blocked = self.blocked.map(|_| now);
        }
    }

    pub(super) fn pinged(&mut self, now: Instant) {
        self.pinged = Some(now);
    }

    pub(super) fn blocked(&mut self, now: Instant) {
        self.blocked.get_or_insert(now);
    }

    pub(super) fn written(&mut self) {
        self.blocked = None;
    }

    /// What is left has its whole time again.
    pub(super) fn written_in_part(&mut self, now: Instant) {
        self.blocked = Some(now);
    }

    pub(super) const fn sends_heartbeats(&self) -> bool {
        self.send_every.is_some()
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// When the earliest of all is due.
    pub(super) fn next(&self) -> Option<Instant> {
        let all = [self.connect, self.stall(), self.silence(), self.ping(), self.heart_beat()];
        all.into_iter().flatten().min()
    }

    /// One thing that is due now. What it asks for has to be done before it is asked again.
    pub(super) fn due(&self, now: Instant) -> Option<Due> {
        let has_come = |deadline: Option<Instant>| deadline.is_some_and(|it| it <= now);
        if has_come(self.connect) {
            Some(Due::Connect)
        } else if has_come(self.stall()) {
            Some(Due::Stall(self.stall_max))
        } else if has_come(self.silence()) {
            Some(Due::Silence(before_given_up(self.hear_every)))
        } else if has_come(self.ping()) {
            Some(Due::Ping)
        } else if has_come(self.heart_beat()) {
            Some(Due::HeartBeat)
        } else {
            None
        }
    }

    fn silence(&self) -> Option<Instant> {
        self.unread.is_none().then(|| self.heard + before_given_up(self.hear_every))
    }

    fn ping(&self) -> Option<Instant> {
        (self.unread.is_none() && self.pinged.is_none()).then(|| self.heard + before_ping(self.hear_every))
    }

    fn heart_beat(&self) -> Option<Instant> {
        self.send_every.map(|it| self.sent + it)
    }

    fn stall(&self) -> Option<Instant> {
        self.blocked.map(|it| it + self.stall_max)
    }
}
