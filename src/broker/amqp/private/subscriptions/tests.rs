//! What a session keeps of its subscriptions, from one generation to the next.

use lapin::types::{FieldTable, ShortString};
use prometheus::IntGauge;

use super::*;

struct Case {
    subscriptions: Subscriptions,
    gauge: IntGauge,
    now: Instant,
}

const PAUSE: Duration = Duration::from_secs(1);

impl Case {
    fn new() -> Self {
        let gauge = IntGauge::new("consumed", "what is consumed").unwrap();
        Self { subscriptions: Subscriptions::new([PAUSE, PAUSE]), gauge, now: Instant::now() }
    }

    fn want(&mut self, key: u32, source: Source) -> oneshot::Receiver<Result<(), Fault>> {
        let (done, answer) = oneshot::channel();
        let consume = Consume { key: SubscriptionKey(key), source, prefetch: 1, arguments: FieldTable::default() };
        self.subscriptions.want(consume, done, self.now);
        answer
    }

    fn queue(&mut self, key: u32) -> oneshot::Receiver<Result<(), Fault>> {
        self.want(key, Source::Existing(ShortString::from("q")))
    }

    fn consume(&mut self, key: u32) {
        let counted = Counted::new(&self.gauge);
        self.subscriptions.consumed(SubscriptionKey(key), (u64::from(key), counted), None);
    }

    fn due(&self) -> Option<u32> {
        self.subscriptions.due(self.now).map(|it| it.consume.key.0)
    }
}

#[test]
fn what_was_lost_is_consumed_again_in_the_order_of_its_subscribes() {
    let mut case = Case::new();
    for key in 1..=3 {
        let mut answer = case.queue(key);
        assert_eq!(case.due(), Some(key));
        assert!(case.subscriptions.are_waited_for() && answer.try_recv().is_err());
        case.consume(key);
        assert_eq!(answer.try_recv(), Ok(Ok(())));
    }
    assert_eq!((case.due(), case.gauge.get()), (None, 3));
    case.subscriptions.remove(SubscriptionKey(2));
    case.subscriptions.lost(case.now);
    assert_eq!((case.gauge.get(), case.subscriptions.are_waited_for()), (0, false));
    for key in [1, 3] {
        assert_eq!(case.due(), Some(key));
        case.consume(key);
    }
    assert_eq!((case.due(), case.gauge.get()), (None, 2));
}

#[test]
fn what_was_being_unsubscribed_is_not_consumed_again() {
    let mut case = Case::new();
    drop(case.queue(1));
    case.consume(1);
    let (sender, mut drained) = oneshot::channel();
    case.subscriptions.get_mut(SubscriptionKey(1)).unwrap().drained = Some(sender);
    case.subscriptions.channel_lost(case.now);
    assert_eq!((case.due(), case.subscriptions.len()), (None, 0));
    assert!(drained.try_recv().is_err());
}

#[test]
fn what_has_to_wait_lets_others_pass() {
    let mut case = Case::new();
    drop((case.queue(1), case.queue(2)));
    case.subscriptions.postpone(SubscriptionKey(1), true, case.now);
    assert_eq!(case.due(), Some(2));
    case.consume(2);
    assert_eq!(case.due(), None);
    case.now = case.subscriptions.next_due().unwrap();
    assert_eq!(case.due(), Some(1));
}

#[test]
fn publishes_wait_for_what_an_exchange_fills_until_rabbitmq_has_answered_for_it() {
    let mut case = Case::new();
    drop(case.queue(1));
    case.consume(1);
    assert_eq!(case.subscriptions.are_back(), None);
    drop(case.want(2, Source::Replies(std::sync::Arc::default())));
    assert_eq!(case.subscriptions.are_back(), None, "it was never there");
    case.consume(2);
    assert_eq!(case.subscriptions.are_back(), Some(true));
    case.subscriptions.lost(case.now);
    assert_eq!(case.subscriptions.are_back(), Some(false));
    case.subscriptions.postpone(SubscriptionKey(2), false, case.now);
    assert_eq!(case.subscriptions.are_back(), Some(false), "nobody has answered");
    case.subscriptions.postpone(SubscriptionKey(2), true, case.now);
    assert_eq!(case.subscriptions.are_back(), Some(true));
    case.subscriptions.lost(case.now);
    case.subscriptions.remove(SubscriptionKey(2));
    assert_eq!(case.subscriptions.are_back(), None);
}

#[test]
fn what_a_stream_has_delivered_is_not_asked_for_again() {
    let mut case = Case::new();
    drop(case.queue(1));
    let offset = |case: &Case| {
        case.subscriptions.get(SubscriptionKey(1)).unwrap().asked().arguments.inner().get(STREAM_OFFSET).cloned()
    };
    assert_eq!(offset(&case), None);
    let subscription = case.subscriptions.get_mut(SubscriptionKey(1)).unwrap();
    subscription.delivered(Some(7));
    subscription.delivered(None);
    assert_eq!(offset(&case), Some(AMQPValue::LongLongInt(8)));
}

#[test]
fn a_consumer_that_rabbitmq_ended_is_made_again_only_if_its_queue_is_there() {
    let mut case = Case::new();
    drop(case.queue(1));
    case.consume(1);
    case.subscriptions.cancelled(SubscriptionKey(1), case.now);
    assert_eq!((case.due(), case.gauge.get()), (None, 0));
    let must_exist = |case: &Case| case.subscriptions.get(SubscriptionKey(1)).unwrap().must_exist;
    assert!(must_exist(&case));
    case.subscriptions.lost(case.now);
    assert!(!must_exist(&case), "RabbitMQ may have lost it with all else");
}
