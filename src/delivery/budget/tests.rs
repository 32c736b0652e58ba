//! Who gives way, in which order, and that what is given back is counted no more.

use bytes::Bytes;

use super::*;
use crate::delivery::{Outbox, Outboxes, Pushed, Settings};
use crate::destination::Pattern;
use crate::ident::SubscriptionKey;
use crate::message::Delivery;
use crate::stomp::Headers;
use crate::telemetry::Registry;

const KIB: usize = 1 << 10;

/// Outboxes without bounds of their own that matter here.
struct Gateway {
    outboxes: Outboxes,
    budget: Budget,
    metrics: Metrics,
}

impl Gateway {
    fn new(bytes_max: usize) -> Self {
        Self::dropping(bytes_max, &[])
    }

    fn dropping(bytes_max: usize, topics: &[&str]) -> Self {
        let metrics = Metrics::new(&Registry::default());
        let budget = Budget::new(bytes_max, metrics.clone());
        let drop_oldest = topics.iter().map(|it| Pattern::new(it)).collect();
        let settings = Settings { bytes_max: usize::MAX, messages_max: usize::MAX, drop_oldest };
        Self { outboxes: Outboxes::new(settings, budget.clone(), metrics.clone()), budget, metrics }
    }

    fn deliveries(&self) -> usize {
        count(&self.metrics.deliveries().bytes)
    }

    fn refused(&self) -> (u64, u64) {
        (self.metrics.deliveries().refused.get(), self.metrics.publishes().refused.get())
    }
}

fn message(kib: usize) -> Message {
    Message::new("id", "/topic/a", Headers::new(), Bytes::from(vec![0; kib * KIB]))
}

fn push(outbox: &Outbox, message: &Message) -> Pushed {
    let (subscription, message) = (SubscriptionKey(1), message.clone());
    outbox.push(Delivery { subscription, message, token: None, redelivered: false })
}

/// Pushes messages of 16 KiB until the outbox holds so much.
fn fill(outbox: &Outbox, kib: usize) {
    (0..kib / 16).for_each(|_| assert_eq!(push(outbox, &message(16)), Pushed::Queued));
}

#[test]
fn a_message_is_counted_once_however_many_it_waits_for() {
    let gateway = Gateway::new(1_000 * KIB);
    let outboxes: Vec<_> = (0..100).map(|_| gateway.outboxes.open()).collect();
    let first = message(100);
    let size = first.size() + MESSAGE_OVERHEAD;
    outboxes.iter().for_each(|it| assert_eq!(push(it, &first), Pushed::Queued));
    drop(first);
    let place = usize::try_from(PLACE_BYTES).unwrap();
    assert_eq!(gateway.deliveries(), size + 100 * place);
    outboxes[..99].iter().for_each(|it| drop(it.pop()));
    assert_eq!(gateway.deliveries(), size + place);
    drop(outboxes);
    assert_eq!((gateway.deliveries(), gateway.metrics.bytes().get()), (0, 0));
}

/// A queue of the embedded broker has a bound of its own.
#[test]
fn a_message_is_counted_while_it_waits_for_clients_and_not_for_who_keeps_it_besides() {
    let gateway = Gateway::dropping(1_000 * KIB, &["a"]);
    let (outbox, kept) = (gateway.outboxes.open(), message(16));
    for _ in 0..3 {
        assert_eq!(push(&outbox, &kept), Pushed::Queued);
    }
    drop(outbox.pop());
    assert!(gateway.deliveries() > kept.size());
    outbox.close();
    assert_eq!(gateway.deliveries(), 0);
    let other = gateway.outboxes.open();
    assert_eq!(push(&other, &kept), Pushed::Queued);
    drop(other.pop());
    assert_eq!(gateway.deliveries(), 0);
}

#[test]
fn what_is_taken_for_a_send_is_given_back_with_its_share() {
    let gateway = Gateway::new(1_000);
    let share = gateway.budget.try_take(700).unwrap();
    assert_eq!(gateway.metrics.publishes().bytes.get(), 700);
    drop(share);
    assert_eq!(gateway.metrics.publishes().bytes.get(), 0);
}

#[test]
fn beyond_three_quarters_a_send_is_refused_and_a_delivery_is_not() {
    let gateway = Gateway::new(1_000 * KIB);
    let _shares = [gateway.budget.try_take(500 * KIB).unwrap(), gateway.budget.try_take(250 * KIB).unwrap()];
    assert_eq!(gateway.budget.try_take(1).unwrap_err(), MemoryFull { bytes_max: 1_000 * KIB });
    assert_eq!(gateway.metrics.publishes().bytes.get(), 750 * 1024, "what is refused takes nothing");
    fill(&gateway.outboxes.open(), 160);
    assert_eq!(gateway.refused(), (0, 1));
}

#[test]
fn what_waits_for_clients_leaves_no_room_for_sends_either() {
    let gateway = Gateway::new(1_000 * KIB);
    let outboxes: Vec<_> = (0..14).map(|_| gateway.outboxes.open()).collect();
    outboxes.iter().for_each(|it| fill(it, 48));
    let _share = gateway.budget.try_take(64 * KIB).unwrap();
    assert!(gateway.budget.try_take(64 * KIB).is_err());
    drop(outboxes);
    assert!(gateway.budget.try_take(64 * KIB).is_ok());
}

#[test]
fn a_send_passes_when_no_other_one_waits() {
    let gateway = Gateway::new(1_000);
    let share = gateway.budget.try_take(5_000).unwrap();
    assert!(gateway.budget.try_take(1).is_err());
    drop(share);
    assert!(gateway.budget.try_take(5_000).is_ok());
}

#[test]
fn the_outbox_with_more_than_its_fair_share_is_given_up_and_small_ones_are_not() {
    let gateway = Gateway::new(1_600 * KIB);
    let (large, small) = (gateway.outboxes.open(), gateway.outboxes.open());
    let others: Vec<_> = (0..5).map(|_| gateway.outboxes.open()).collect();
    fill(&small, 32);
    fill(&large, 752);
    assert_eq!(gateway.refused().0, 0, "the half is not used up yet");
    fill(&others[0], 32);
    // Seven have a little more than 100 KiB each.
    assert_eq!(push(&large, &message(16)), Pushed::Refused);
    assert_eq!(push(&small, &message(16)), Pushed::Queued);
    assert_eq!(gateway.refused().0, 1);
    assert!(gateway.deliveries() < 100 * KIB);
    fill(&others[0], 160);
}

#[test]
fn however_many_outboxes_there_are_each_may_hold_a_frame() {
    let gateway = Gateway::new(1_600 * KIB);
    let outboxes: Vec<_> = (0..100).map(|_| gateway.outboxes.open()).collect();
    outboxes[..20].iter().for_each(|it| fill(it, 48));
    assert_eq!(push(&outboxes[0], &message(8)), Pushed::Queued);
    assert_eq!(push(&outboxes[0], &message(16)), Pushed::Refused);
}

#[test]
fn when_all_is_used_up_a_message_passes_only_where_nothing_waits() {
    let gateway = Gateway::new(1_024 * KIB);
    let outboxes: Vec<_> = (0..100).map(|_| gateway.outboxes.open()).collect();
    outboxes[..64].iter().for_each(|it| assert_eq!(push(it, &message(16)), Pushed::Queued));
    assert_eq!(push(&outboxes[99], &message(100)), Pushed::Queued);
    assert_eq!(push(&outboxes[0], &message(1)), Pushed::Refused);
    assert!(matches!(outboxes[0].pop(), Some(Item::Overflowed)));
    assert_eq!(gateway.refused().0, 1);
}

#[test]
fn topics_that_may_lose_lose_their_oldest_instead() {
    let gateway = Gateway::dropping(1_600 * KIB, &["a"]);
    let (large, _others) = (gateway.outboxes.open(), [gateway.outboxes.open(), gateway.outboxes.open()]);
    fill(&large, 816);
    assert_eq!(push(&large, &message(16)), Pushed::Queued);
    assert!(gateway.deliveries() < 800 * KIB / 3, "{} bytes are left", gateway.deliveries());
    assert_eq!(gateway.refused().0, 0);
    assert!(gateway.metrics.dropped().get() > 30);
}
