//! One call: a place among those of its route, attempts until one is answered, and a deadline for all of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::breaker::{Breaker, Change};
use super::failure::{Cause, Failure};
use super::metrics::Metrics;
use super::settings::{Settings, Target};
use super::target::{Outgoing, Response, Unanswered, Ways};

/// What a route or a hook calls. Cloning it clones a handle.
#[derive(Clone, Debug)]
pub(super) struct Callee {
    target: Target,
    breaker: Breaker,
    timeout: Duration,
    retries: u32,
    metrics: Metrics,
    ways: Ways,
}

/// Calls under way at a time.
#[derive(Clone, Debug)]
pub(super) struct Places {
    max: usize,
    free: Arc<Semaphore>,
}

/// Callees of one target have one breaker.
#[derive(Debug)]
pub(super) struct Callees {
    breakers: HashMap<String, Breaker>,
    metrics: Metrics,
    ways: Ways,
}

/// The first pause before another attempt; it doubles, and each is shortened by chance.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

impl Callees {
    pub(super) fn new(ways: Ways, metrics: Metrics) -> Self {
        Self { breakers: HashMap::new(), metrics, ways }
    }

    pub(super) fn callee(&mut self, target: &Target, timeout: Duration, retries: u32, settings: &Settings) -> Callee {
        let new = || Breaker::new(settings.breaker_failures, settings.breaker_pause);
        let breaker = self.breakers.entry(target.to_string()).or_insert_with(new).clone();
        let (metrics, ways) = (self.metrics.clone(), self.ways.clone());
        Callee { target: target.clone(), breaker, timeout, retries, metrics, ways }
    }
}

impl Places {
    pub(super) fn new(max: usize) -> Self {
        Self { max, free: Arc::new(Semaphore::new(max)) }
    }
}

impl Callee {
    /// Waits for a place first, for as long as the call may then take.
    pub(super) async fn call_in(&self, places: Places, outgoing: Outgoing) -> Result<Response, Failure> {
        let Ok(place) = timeout(self.timeout, places.free.acquire()).await else {
            let max = places.max;
            let text = format!(
                "The handler has {max} calls under way, and may have no more at a time (calls_max of its route)"
            );
            return Err(Failure::new(Cause::Limit, "all places are taken".to_owned()).told(text));
        };
        let outcome = self.call(outgoing).await;
        drop(place);
        outcome
    }

    /// Until one is answered, the time is over, or there were enough.
    pub(super) async fn call(&self, outgoing: Outgoing) -> Result<Response, Failure> {
        self.attempts(Instant::now() + self.timeout, outgoing).await
    }

    async fn attempts(&self, deadline: Instant, outgoing: Outgoing) -> Result<Response, Failure> {
        let _under_way = UnderWay::new(&self.metrics.in_flight);
        let (begun, mut pause) = (Instant::now(), PAUSE_MIN);
        let mut attempt = 1;
        let outcome = loop {
            let outcome = self.attempt(deadline, attempt, &outgoing).await;
            let again = Instant::now() + pause.mul_f64(0.5 + rand::random::<f64>() / 2.0);
            let is_last = attempt > self.retries || again >= deadline;
            match outcome {
                Outcome::Final(outcome) => break outcome,
                Outcome::Again(outcome) if is_last => break outcome,
                Outcome::Again(_) => {}
            }
            sleep_until(again).await;
            self.metrics.retries.inc();
            attempt += 1;
            pause = PAUSE_MAX.min(pause * 2);
        };
        self.metrics.seconds.observe(begun.elapsed().as_secs_f64());
        outcome
    }

    async fn attempt(&self, deadline: Instant, number: u32, outgoing: &Outgoing) -> Outcome {
        let Ok(attempt) = self.breaker.attempt(Instant::now()) else {
            let text = "it has failed again and again and is left alone for a while (app.breaker_pause)".to_owned();
            return Outcome::Again(Err(Failure::new(Cause::Unavailable, text)));
        };
        let mut outgoing = outgoing.clone();
        outgoing.metadata.say("Attempt", &number.to_string());
        outgoing.timeout = deadline.duration_since(Instant::now());
        let outcome = timeout_at(deadline, self.ways.send(&self.target, outgoing)).await;
        let (is_answered, outcome) = match outcome {
            Ok(Ok(response)) if response.status < 500 => (true, Outcome::Final(Ok(response))),
            Ok(Ok(response)) => (false, Outcome::Again(Ok(response))),
            Ok(Err(unanswered @ Unanswered::Unreachable(_))) => (false, Outcome::Again(Err(unanswered.into()))),
            // The target works, or it is not there, which is known at once.
            Ok(Err(unanswered)) => (true, Outcome::Final(Err(unanswered.into()))),
            Err(_) => (false, Outcome::Final(Err(self.timed_out()))),
        };
        let change = if is_answered { attempt.succeeded() } else { attempt.failed(Instant::now()) };
        self.note(change);
        outcome
    }

    fn timed_out(&self) -> Failure {
        let ms = self.timeout.as_millis();
        let text = format!("The handler did not answer within {ms} ms (timeout of its route)");
        Failure::new(Cause::TimedOut, format!("no answer within {ms} ms")).told(text)
    }

    fn note(&self, change: Change) {
        let target = &self.target;
        match change {
            Change::Closed => {
                self.metrics.breakers_open.dec();
                tracing::info!(%target, "a handler answers again");
            }
            Change::None => {}
            Change::Opened => {
                self.metrics.breakers_open.inc();
                self.metrics.breakers_opened.inc();
                tracing::warn!(%target, "a handler has failed again and again, and is left alone (app.breaker_pause)");
            }
        }
    }
}

/// Counted until it is dropped, wherever the call ends.
struct UnderWay(IntGauge);

impl UnderWay {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.dec();
    }
}

enum Outcome {
    /// Another attempt may do better.
    Again(Result<Response, Failure>),
    Final(Result<Response, Failure>),
}
