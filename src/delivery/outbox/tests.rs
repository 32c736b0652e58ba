//! Bounds, overflow and waking of an outbox.

use std::iter;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use bytes::Bytes;

use super::*;
use crate::message::AckToken;
use crate::stomp::Headers;
use crate::telemetry::Registry;

const NO_TOKEN: Option<AckToken> = None;
const TOKEN: Option<AckToken> = Some(AckToken { scope: 1, tag: 1 });

/// A message of `size` bytes in all, the name of the topic included.
fn delivery(topic: &str, size: usize, token: Option<AckToken>) -> Delivery {
    let destination = format!("/topic/{topic}");
    let body = Bytes::from(vec![0; size - destination.len()]);
    let message = Message::new("id", &destination, Headers::new(), body);
    Delivery { subscription: SubscriptionKey(1), message, token, redelivered: false }
}

fn outbox(bytes_max: usize, messages_max: usize, drop_oldest: &[&str]) -> Outbox {
    let drop_oldest = drop_oldest.iter().map(|it| Pattern::new(it)).collect();
    let settings = Settings { bytes_max, messages_max, drop_oldest };
    let metrics = Metrics::new(&Registry::default());
    Outboxes::new(settings, Budget::new(usize::MAX, metrics.clone()), metrics).open()
}

fn size(item: &Item) -> usize {
    match item {
        Item::AfterLoss(it) => it.delivery.message.size(),
        Item::Delivery(delivery) => delivery.message.size(),
        Item::LinkLost | Item::Overflowed | Item::SubscriptionEnded(_) => 0,
    }
}

/// Sizes of all that waits; 0 for an event.
fn drain(outbox: &Outbox) -> Vec<usize> {
    iter::from_fn(|| outbox.pop()).map(|it| size(&it)).collect()
}

#[derive(Debug, Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll(outbox: &Outbox, wakes: &Arc<Wakes>) -> Poll<()> {
    outbox.poll_ready(&mut Context::from_waker(&Waker::from(Arc::clone(wakes))))
}

#[test]
fn what_is_pushed_is_popped_in_order() {
    let outbox = outbox(1_000, 10, &[]);
    for size in [20, 30, 40] {
        assert_eq!(outbox.push(delivery("a", size, NO_TOKEN)), Pushed::Queued);
    }
    outbox.push_event(Item::LinkLost);
    assert_eq!(outbox.shared.metrics.bytes().get(), 90);
    assert_eq!(outbox.pop().map(|it| size(&it)), Some(20));
    assert_eq!(outbox.shared.metrics.bytes().get(), 70);
    assert_eq!(outbox.pop().map(|it| size(&it)), Some(30));
    assert_eq!(outbox.pop().map(|it| size(&it)), Some(40));
    assert!(matches!(outbox.pop(), Some(Item::LinkLost)));
    assert!(outbox.pop().is_none());
    assert_eq!(outbox.shared.metrics.bytes().get(), 0);
}

#[test]
fn one_byte_over_the_bound_gives_the_session_up() {
    let outbox = outbox(100, 10, &[]);
    assert_eq!(outbox.push(delivery("a", 60, NO_TOKEN)), Pushed::Queued);
    assert_eq!(outbox.push(delivery("a", 40, NO_TOKEN)), Pushed::Queued);
    assert_eq!(outbox.push(delivery("a", 10, NO_TOKEN)), Pushed::Refused);
    assert_eq!(outbox.push(delivery("a", 10, NO_TOKEN)), Pushed::Refused);
    outbox.push_event(Item::LinkLost);
    assert_eq!((outbox.shared.metrics.bytes().get(), outbox.shared.metrics.overflowed().get()), (0, 1));
    assert!(matches!(outbox.pop(), Some(Item::Overflowed)));
    assert!(outbox.pop().is_none());
    assert_eq!(outbox.push(delivery("a", 10, NO_TOKEN)), Pushed::Refused);
}

#[test]
fn one_message_over_the_bound_gives_the_session_up() {
    let outbox = outbox(1_000, 2, &[]);
    assert_eq!(outbox.push(delivery("a", 10, NO_TOKEN)), Pushed::Queued);
    assert_eq!(outbox.push(delivery("a", 10, NO_TOKEN)), Pushed::Queued);
    assert_eq!(outbox.push(delivery("a", 10, NO_TOKEN)), Pushed::Refused);
    assert!(matches!(outbox.pop(), Some(Item::Overflowed)));
}

#[test]
fn a_message_larger_than_the_bound_passes_when_nothing_else_waits() {
    let outbox = outbox(100, 10, &[]);
    outbox.push_event(Item::SubscriptionEnded(SubscriptionKey(7)));
    assert_eq!(outbox.push(delivery("a", 5_000, NO_TOKEN)), Pushed::Queued);
    assert_eq!(drain(&outbox), [0, 5_000]);
    assert_eq!(outbox.push(delivery("a", 10, NO_TOKEN)), Pushed::Queued);
    assert_eq!(outbox.push(delivery("a", 5_000, NO_TOKEN)), Pushed::Refused);
}

#[test]
fn the_oldest_of_a_topic_that_may_lose_make_room() {
    let outbox = outbox(10_000, 4, &["tick.*"]);
    for (topic, size) in [("tick.a", 21), ("chat", 22), ("tick.a", 23), ("tick.b", 24)] {
        assert_eq!(outbox.push(delivery(topic, size, NO_TOKEN)), Pushed::Queued);
    }
    assert_eq!(outbox.push(delivery("tick.a", 25, NO_TOKEN)), Pushed::Queued);
    assert_eq!(outbox.shared.metrics.dropped().get(), 1);
    assert_eq!(outbox.shared.metrics.bytes().get(), 22 + 23 + 24 + 25);
    assert_eq!(drain(&outbox), [22, 23, 24, 25]);
    assert_eq!(outbox.shared.metrics.bytes().get(), 0);
}

#[test]
fn only_messages_that_nobody_settles_are_dropped() {
    let outbox = outbox(10_000, 2, &["tick"]);
    outbox.push(delivery("tick", 20, TOKEN));
    outbox.push(delivery("tick", 21, NO_TOKEN));
    outbox.push(delivery("tick", 22, NO_TOKEN));
    assert_eq!(outbox.push(delivery("tick", 23, NO_TOKEN)), Pushed::Queued);
    assert_eq!(drain(&outbox), [20, 22, 23]);
}

#[test]
fn what_is_to_be_settled_has_bounds_of_its_own_of_a_whole_prefetch() {
    let outbox = outbox(100, 10, &[]);
    (0..PREFETCH_PART).for_each(|_| assert_eq!(outbox.push(delivery("a", 100, TOKEN)), Pushed::Queued));
    assert_eq!(outbox.push(delivery("a", 100, NO_TOKEN)), Pushed::Queued);
    assert_eq!(outbox.shared.metrics.bytes().get(), 6_500);
    assert_eq!(outbox.push(delivery("a", 10, TOKEN)), Pushed::Refused);
    assert_eq!((outbox.shared.metrics.bytes().get(), outbox.shared.metrics.overflowed().get()), (0, 1));
}

/// Subscription and loss of all that waits.
fn losses(outbox: &Outbox) -> Vec<(u32, u64)> {
    let items = iter::from_fn(|| outbox.pop());
    let told = items.map(|it| match it {
        Item::AfterLoss(it) => (it.delivery.subscription.0, it.dropped),
        Item::Delivery(it) => (it.subscription.0, 0),
        other => panic!("{other:?}"),
    });
    told.collect()
}

fn push_for(outbox: &Outbox, subscription: u32, size: usize) {
    let subscription = SubscriptionKey(subscription);
    assert_eq!(outbox.push(Delivery { subscription, ..delivery("tick", size, NO_TOKEN) }), Pushed::Queued);
}

#[test]
fn s28_the_next_of_each_subscription_tells_how_many_were_lost() {
    let outbox = outbox(10_000, 4, &["tick"]);
    [1, 1, 2, 1, 1, 2].iter().for_each(|it| push_for(&outbox, *it, 20));
    assert_eq!(losses(&outbox), [(2, 0), (1, 2), (1, 0), (2, 0)]);
    // Also when nothing of it was left, and then only once.
    let outbox = self::outbox(100, 10, &["tick"]);
    [1, 1, 2].iter().for_each(|it| push_for(&outbox, *it, 30));
    push_for(&outbox, 3, 900);
    assert_eq!(losses(&outbox), [(3, 0)]);
    [2, 1, 1].iter().for_each(|it| push_for(&outbox, *it, 30));
    assert_eq!(losses(&outbox), [(2, 1), (1, 2), (1, 0)]);
    assert!(outbox.lock().losses.is_none());
}

#[test]
fn the_losses_of_a_subscription_that_is_over_are_forgotten() {
    let outbox = outbox(100, 10, &["tick"]);
    [1, 2].iter().for_each(|it| push_for(&outbox, *it, 50));
    push_for(&outbox, 3, 900);
    outbox.forget(SubscriptionKey(1));
    outbox.push_event(Item::SubscriptionEnded(SubscriptionKey(2)));
    assert_eq!(drain(&outbox), [900, 0]);
    assert!(outbox.lock().losses.is_none());
}

#[test]
fn a_queue_full_of_what_must_not_be_lost_gives_the_session_up() {
    let outbox = outbox(10_000, 2, &["tick"]);
    outbox.push(delivery("chat", 20, NO_TOKEN));
    outbox.push(delivery("chat", 21, NO_TOKEN));
    assert_eq!(outbox.push(delivery("tick", 22, NO_TOKEN)), Pushed::Refused);
    assert_eq!((outbox.shared.metrics.dropped().get(), outbox.shared.metrics.overflowed().get()), (0, 1));
}

#[test]
fn dropping_makes_room_for_several_pushes_at_once() {
    let outbox = outbox(1_000_000, 800, &["tick"]);
    (0..800).for_each(|_| assert_eq!(outbox.push(delivery("tick", 20, NO_TOKEN)), Pushed::Queued));
    assert_eq!(outbox.push(delivery("tick", 20, NO_TOKEN)), Pushed::Queued);
    assert_eq!(outbox.shared.metrics.dropped().get(), 101);
    (0..100).for_each(|_| assert_eq!(outbox.push(delivery("tick", 20, NO_TOKEN)), Pushed::Queued));
    assert_eq!((outbox.shared.metrics.dropped().get(), drain(&outbox).len()), (101, 800));
}

#[test]
fn a_large_message_may_push_out_everything_that_may_be_lost() {
    let outbox = outbox(100, 10, &["tick"]);
    outbox.push(delivery("tick", 50, NO_TOKEN));
    outbox.push(delivery("tick", 50, NO_TOKEN));
    assert_eq!(outbox.push(delivery("tick", 900, NO_TOKEN)), Pushed::Queued);
    assert_eq!(drain(&outbox), [900]);
}

#[test]
fn the_driver_is_woken_when_the_first_item_comes_and_when_the_session_is_given_up() {
    let (outbox, wakes) = (outbox(100, 10, &[]), Arc::new(Wakes::default()));
    let woken = || wakes.0.load(Ordering::Relaxed);
    assert_eq!(poll(&outbox, &wakes), Poll::Pending);
    outbox.push(delivery("a", 60, NO_TOKEN));
    assert_eq!(woken(), 1);
    assert_eq!(poll(&outbox, &wakes), Poll::Ready(()));
    outbox.push(delivery("a", 20, NO_TOKEN));
    assert_eq!(woken(), 1, "somebody who knows that something waits is not woken again");
    outbox.push(delivery("a", 60, NO_TOKEN));
    assert_eq!(woken(), 2);
    assert_eq!(poll(&outbox, &wakes), Poll::Ready(()));
    assert!(matches!(outbox.pop(), Some(Item::Overflowed)));
    assert_eq!(poll(&outbox, &wakes), Poll::Pending);
}

#[test]
fn a_closed_outbox_holds_nothing_and_takes_nothing() {
    let outbox = outbox(100, 10, &[]);
    outbox.push(delivery("a", 60, NO_TOKEN));
    outbox.close();
    assert_eq!(outbox.shared.metrics.bytes().get(), 0);
    assert_eq!(outbox.push(delivery("a", 10, NO_TOKEN)), Pushed::Refused);
    outbox.push_event(Item::LinkLost);
    assert!(outbox.pop().is_none());
}

#[test]
fn a_dropped_outbox_takes_its_bytes_along() {
    let outbox = outbox(100, 10, &[]);
    let metrics = outbox.shared.metrics.clone();
    outbox.push(delivery("a", 60, NO_TOKEN));
    drop(outbox);
    assert_eq!(metrics.bytes().get(), 0);
}

#[test]
fn an_idle_session_holds_almost_nothing() {
    let outbox = outbox(1_000_000, 10_000, &[]);
    assert!(size_of::<Outbox>() <= 128, "{}", size_of::<Outbox>());
    let capacity = || outbox.lock().items.capacity();
    assert_eq!(capacity(), 0);
    (0..1_000).for_each(|_| assert_eq!(outbox.push(delivery("a", 20, NO_TOKEN)), Pushed::Queued));
    assert_eq!(drain(&outbox).len(), 1_000);
    assert_eq!(capacity(), 0);
    outbox.push(delivery("a", 20, NO_TOKEN));
    outbox.pop();
    let steady = capacity();
    assert!((1..=IDLE_CAPACITY_MAX).contains(&steady), "one at a time allocates nothing: {steady}");
}

#[test]
fn a_panic_while_it_is_locked_does_not_spread_to_those_who_push() {
    let outbox = outbox(1_000, 10, &[]);
    let panicking = std::panic::AssertUnwindSafe(|| {
        let _state = outbox.lock();
        panic!("on purpose");
    });
    assert!(std::panic::catch_unwind(panicking).is_err());
    assert_eq!(outbox.push(delivery("a", 20, NO_TOKEN)), Pushed::Queued);
    assert_eq!(drain(&outbox), [20]);
}
