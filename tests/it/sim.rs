//! A seeded simulation: many sessions on the embedded broker publish, subscribe, settle and leave at random, against a
//! model of what must come of it.
//!
//! A failure names its seed, which `STOMPGATE_SIM_SEEDS` then repeats; it is a range as `7..8`, and many seeds find more.

mod outages;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use stompgate::broker::{Broker, Link, LinkRequest, Pending, memory};
use stompgate::delivery::{self, Budget, Item, Outbox, Outboxes};
use stompgate::destination::{Destination, Pattern};
use stompgate::ident::{SessionId, SubscriptionId, SubscriptionKey};
use stompgate::message::{AckToken, Delivery};
use stompgate::session::{AckMode, Credentials, Publish, Subscribe, Unsubscribe, Verdict};
use stompgate::stomp::Headers;
use stompgate::telemetry::Registry;

const STEPS: usize = 400;
const SESSIONS: usize = 6;
const QUEUES: [&str; 3] = ["q0", "q1", "q2"];
const TOPICS: [&str; 4] = ["a", "a.b", "a.b.a", "b"];
const PATTERNS: [&str; 7] = ["a", "a.b", "*", "a.*", "#", "a.#.a", "#.b.#"];

/// The bodies are the numbers of the publishes, so order and identity can be read off them.
type Number = u64;

struct World {
    rng: StdRng,
    broker: Broker,
    outboxes: Outboxes,
    metrics: delivery::Metrics,
    sessions: Vec<Session>,
    last_number: Number,
    /// What each queue holds: waiting, unsettled, or pushed and not popped.
    queues: BTreeMap<&'static str, BTreeMap<Number, Held>>,
}

struct Session {
    link: Link,
    outbox: Arc<Outbox>,
    subscriptions: HashMap<SubscriptionKey, Subscription>,
    last_key: u32,
    /// Popped and not settled, with the queue it came from.
    unsettled: Vec<(AckToken, &'static str, Number, SubscriptionKey)>,
}

enum Subscription {
    Queue {
        name: &'static str,
        prefetch: u16,
        last: Number,
    },
    /// What was published while it lasted, in order.
    Topic {
        pattern: Pattern,
        expected: Vec<Number>,
    },
    /// Unsubscribed: what was pushed before may still be popped.
    Over {
        name: Option<&'static str>,
    },
}

#[derive(Clone, Copy, Default)]
struct Held {
    /// It was given to somebody who requeued it, or who left.
    was_given: bool,
    is_out: bool,
}

#[tokio::test(start_paused = true)]
async fn whatever_sessions_do_nothing_is_lost_doubled_or_out_of_order() {
    for seed in seeds("0..150") {
        let outcome = std::panic::catch_unwind(|| World::new(seed).run());
        assert!(outcome.is_ok(), "STOMPGATE_SIM_SEEDS={seed}..{} repeats it", seed + 1);
    }
}

/// Those of the environment, or enough for every change.
fn seeds(usual: &str) -> Range<u64> {
    #[expect(clippy::disallowed_methods, reason = "the environment says how long to look")]
    let text = std::env::var("STOMPGATE_SIM_SEEDS").unwrap_or_else(|_| usual.to_owned());
    let bounds = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    bounds.unwrap_or_else(|| panic!("STOMPGATE_SIM_SEEDS is {text:?}: it must be a range as 0..100"))
}

impl World {
    fn new(seed: u64) -> Self {
        let registry = Registry::default();
        let broker = memory::Broker::new(memory::Settings::default(), memory::Metrics::new(&registry));
        let metrics = delivery::Metrics::new(&registry);
        let budget = Budget::new(usize::MAX, metrics.clone());
        let mut world = Self {
            rng: StdRng::seed_from_u64(seed),
            broker: Broker::Memory(broker),
            outboxes: Outboxes::new(delivery::Settings::default(), budget, metrics.clone()),
            metrics,
            sessions: Vec::new(),
            last_number: 0,
            queues: QUEUES.iter().map(|it| (*it, BTreeMap::new())).collect(),
        };
        (0..SESSIONS).for_each(|_| world.open());
        world
    }

    fn run(mut self) {
        for _ in 0..STEPS {
            let at = self.rng.random_range(0..self.sessions.len());
            match self.rng.random_range(0..100) {
                0..40 => self.publish(at),
                40..52 => self.subscribe(at),
                52..58 => self.unsubscribe(at),
                58..78 => self.pop(at),
                78..97 => self.settle(at),
                _ => {
                    self.close(at);
                    self.open();
                }
            }
        }
        self.finish();
    }

    fn open(&mut self) {
        let outbox = Arc::new(self.outboxes.open());
        let request = LinkRequest {
            session: SessionId::from_random(self.rng.random()),
            credentials: Credentials::default(),
            user: None,
            outbox: Arc::clone(&outbox),
        };
        let link = self.broker.open(request).now_or_never().unwrap().unwrap();
        let (subscriptions, unsettled) = (HashMap::new(), Vec::new());
        self.sessions.push(Session { link, outbox, subscriptions, last_key: 0, unsettled });
    }

    fn publish(&mut self, at: usize) {
        self.last_number += 1;
        let number = self.last_number;
        let destination = if self.rng.random_bool(0.6) {
            let name = QUEUES.choose(&mut self.rng).unwrap();
            self.queues.get_mut(name).unwrap().insert(number, Held::default());
            Destination::Queue((*name).into())
        } else {
            let topic = TOPICS.choose(&mut self.rng).unwrap();
            for subscription in self.sessions.iter_mut().flat_map(|it| it.subscriptions.values_mut()) {
                if let Subscription::Topic { pattern, expected } = subscription
                    && pattern.matches(topic)
                {
                    expected.push(number);
                }
            }
            Destination::Topic((*topic).into())
        };
        let (headers, body) = (Headers::new(), Bytes::from(number.to_string()));
        done(self.sessions[at].link.publish(Publish {
            destination,
            headers,
            body,
            reply_to: None,
            is_receipted: true,
        }));
    }

    fn subscribe(&mut self, at: usize) {
        let prefetch = self.rng.random_range(1..5);
        let (destination, subscription) = if self.rng.random_bool(0.6) {
            let name = QUEUES.choose(&mut self.rng).unwrap();
            (Destination::Queue((*name).into()), Subscription::Queue { name, prefetch, last: 0 })
        } else {
            let text = PATTERNS.choose(&mut self.rng).unwrap();
            let (pattern, expected) = (Pattern::new(text), Vec::new());
            (Destination::Topic((*text).into()), Subscription::Topic { pattern, expected })
        };
        let session = &mut self.sessions[at];
        session.last_key += 1;
        let key = SubscriptionKey(session.last_key);
        let (id, ack) = (SubscriptionId::new(&key.0.to_string()), AckMode::Auto);
        session.subscriptions.insert(key, subscription);
        done(session.link.subscribe(Subscribe {
            key,
            id,
            destination,
            ack,
            prefetch,
            is_durable: false,
            headers: Headers::new(),
        }));
    }

    fn unsubscribe(&mut self, at: usize) {
        let session = &mut self.sessions[at];
        let mut keys: Vec<_> = session.subscriptions.keys().copied().collect();
        keys.sort_unstable();
        let Some(key) = keys.choose(&mut self.rng) else { return };
        done(session.link.unsubscribe(Unsubscribe { key: *key, is_final: false }));
        let name = match &session.subscriptions[key] {
            Subscription::Queue { name, .. } => Some(*name),
            Subscription::Topic { .. } => None,
            Subscription::Over { name } => *name,
        };
        session.subscriptions.insert(*key, Subscription::Over { name });
    }

    fn pop(&mut self, at: usize) {
        for _ in 0..self.rng.random_range(1..4) {
            match self.sessions[at].outbox.pop() {
                Some(Item::Delivery(delivery)) => self.receive(at, &delivery),
                None => return,
                Some(other) => panic!("nothing makes {other:?} happen here"),
            }
        }
    }

    fn receive(&mut self, at: usize, delivery: &Delivery) {
        let number: Number = std::str::from_utf8(delivery.message.body()).unwrap().parse().unwrap();
        let session = &mut self.sessions[at];
        let key = delivery.subscription;
        let outstanding = session.unsettled.iter().filter(|it| it.3 == key).count();
        let name = match session.subscriptions.get_mut(&key).expect("only subscriptions are delivered to") {
            Subscription::Topic { expected, .. } => {
                assert_eq!(number, expected.remove(0), "a topic gives each message once, in order");
                return;
            }
            Subscription::Queue { name, prefetch, last } => {
                assert!(outstanding < usize::from(*prefetch), "at most {prefetch} are unsettled");
                assert!(delivery.redelivered || *last < number, "the order of the queue, but for redeliveries");
                *last = number.max(*last);
                *name
            }
            Subscription::Over { name: Some(name) } => *name,
            Subscription::Over { name: None } => return,
        };
        let held = self.queues.get_mut(name).unwrap().get_mut(&number).expect("what was accepted is gone");
        assert!(!held.is_out, "{number} is with one consumer at a time");
        assert_eq!(held.was_given, delivery.redelivered, "{number} is marked if it was with somebody before");
        held.is_out = true;
        session.unsettled.push((delivery.token.expect("queues give tokens"), name, number, key));
    }

    fn settle(&mut self, at: usize) {
        let session = &mut self.sessions[at];
        let count = self.rng.random_range(0..=session.unsettled.len().min(3));
        let verdict = *[Verdict::Accepted, Verdict::Accepted, Verdict::Discarded, Verdict::Requeued]
            .choose(&mut self.rng)
            .unwrap();
        let mut tokens = vec![AckToken { scope: self.rng.random_range(0..50), tag: u64::MAX }];
        for _ in 0..count {
            let index = self.rng.random_range(0..session.unsettled.len());
            let (token, name, number, _) = session.unsettled.swap_remove(index);
            let queue = self.queues.get_mut(name).unwrap();
            match verdict {
                Verdict::Accepted | Verdict::Discarded => drop(queue.remove(&number)),
                Verdict::Requeued => drop(queue.insert(number, Held { was_given: true, is_out: false })),
            }
            tokens.push(token);
        }
        session.link.settle(&tokens, verdict);
    }

    fn close(&mut self, at: usize) {
        let session = self.sessions.swap_remove(at);
        for (_, name, number, _) in &session.unsettled {
            self.queues.get_mut(name).unwrap().insert(*number, Held { was_given: true, is_out: false });
        }
        // What was pushed and never popped counts as given, too.
        while let Some(item) = session.outbox.pop() {
            let Item::Delivery(delivery) = item else { panic!("only deliveries come here") };
            if delivery.token.is_some() {
                let number = std::str::from_utf8(delivery.message.body()).unwrap().parse().unwrap();
                let queue = self.queues.values_mut().find(|it| it.contains_key(&number)).expect("it is in a queue");
                queue.insert(number, Held { was_given: true, is_out: false });
            }
        }
        session.link.close();
        session.outbox.close();
    }

    /// Everybody leaves; then one reader gets all that is left, in order.
    fn finish(mut self) {
        for at in 0..self.sessions.len() {
            while let Some(Item::Delivery(delivery)) = self.sessions[at].outbox.pop() {
                self.receive(at, &delivery);
            }
            for subscription in self.sessions[at].subscriptions.values() {
                if let Subscription::Topic { expected, .. } = subscription {
                    assert!(expected.is_empty(), "topics lost {expected:?}");
                }
            }
        }
        while !self.sessions.is_empty() {
            self.close(0);
        }
        self.open();
        for name in QUEUES {
            let expected: BTreeSet<_> = self.queues[name].keys().copied().collect();
            assert_eq!(self.drain(name), expected.into_iter().collect::<Vec<_>>(), "what {name} is left with");
        }
        self.close(0);
        assert_eq!(self.metrics.bytes().get(), 0, "no outbox holds anything");
    }

    fn drain(&mut self, name: &'static str) -> Vec<Number> {
        let session = &mut self.sessions[0];
        session.last_key += 1;
        let subscribe = Subscribe {
            key: SubscriptionKey(session.last_key),
            id: SubscriptionId::new("last"),
            destination: Destination::Queue(name.into()),
            ack: AckMode::Auto,
            prefetch: 7,
            is_durable: false,
            headers: Headers::new(),
        };
        done(session.link.subscribe(subscribe));
        let mut numbers = Vec::new();
        while let Some(Item::Delivery(delivery)) = session.outbox.pop() {
            let number = std::str::from_utf8(delivery.message.body()).unwrap().parse().unwrap();
            assert_eq!(self.queues[name][&number].was_given, delivery.redelivered);
            numbers.push(number);
            session.link.settle(&[delivery.token.unwrap()], Verdict::Accepted);
        }
        numbers
    }
}

fn done(pending: Pending) {
    pending.now_or_never().expect("the embedded broker answers at once").expect("no bound is reached");
}
