//! A session and a broker, line by line, with time passed in.

use std::time::Duration;

use futures::FutureExt;

use super::*;
use crate::delivery::{self, Budget, Outboxes};
use crate::destination::Destination;
use crate::ident::SubscriptionId;
use crate::session::AckMode;
use crate::stomp::{Decoder, Headers, Limits};
use crate::telemetry::Registry;

struct Case {
    dialogue: Dialogue,
    outbox: Arc<Outbox>,
    now: Instant,
}

fn settings() -> Settings {
    Settings::default()
}

impl Case {
    fn new(settings: Settings) -> Self {
        let registry = Registry::default();
        let metrics = delivery::Metrics::new(&registry);
        let budget = Budget::new(usize::MAX, metrics.clone());
        let outboxes = Outboxes::new(delivery::Settings::default(), budget.clone(), metrics);
        let outbox = Arc::new(outboxes.open());
        let metrics = Metrics::new(&registry);
        let bound = crate::broker::room::Bound {
            bytes_max: settings.publish_queue_bytes_max,
            what: "The queue",
            setting: "the.setting",
        };
        let room = Room::new(bound, metrics.waiting.clone(), &budget);
        let dialogue = Dialogue::new(Arc::new(settings), metrics, room, outbox.clone(), "guest");
        let now = tokio::time::Instant::now().into_std();
        Self { dialogue, outbox, now }
    }

    /// With a connection of STOMP 1.2.
    fn connected(settings: Settings) -> Self {
        let mut case = Self::new(settings);
        case.dialogue.connected(Version::V1_2);
        case
    }

    fn send(&mut self, body: &'static str, is_receipted: bool) -> Pending {
        self.send_with(&[], body, is_receipted)
    }

    fn send_with(&mut self, headers: &[(&str, &str)], body: &'static str, is_receipted: bool) -> Pending {
        let publish = Publish {
            destination: Destination::Foreign("/topic/a".into()),
            headers: headers.iter().copied().collect(),
            body: body.into(),
            reply_to: None,
            is_receipted,
        };
        self.dialogue.publish(&publish, self.now)
    }

    fn subscribe(&mut self, key: u32, destination: &str, ack: AckMode) -> Pending {
        self.subscribe_with(key, destination, ack, &[])
    }

    fn subscribe_with(&mut self, key: u32, destination: &str, ack: AckMode, headers: &[(&str, &str)]) -> Pending {
        let subscribe = Subscribe {
            key: SubscriptionKey(key),
            id: SubscriptionId::new("of-the-client"),
            destination: Destination::Foreign(destination.into()),
            ack,
            prefetch: 7,
            is_durable: headers.contains(&("durable", "true")),
            headers: headers.iter().copied().collect(),
        };
        self.dialogue.subscribe(subscribe, self.now)
    }

    fn unsubscribe(&mut self, key: u32, is_final: bool) -> Pending {
        self.dialogue.unsubscribe(Unsubscribe { key: SubscriptionKey(key), is_final }, self.now)
    }

    /// Subscribed, and the broker has said so; its number is 0.
    fn subscribed(settings: Settings, destination: &str, ack: AckMode) -> Self {
        let mut case = Self::connected(settings);
        let mut pending = case.subscribe(1, destination, ack);
        case.written();
        case.broker("RECEIPT\nreceipt-id:0\n\n\0").unwrap();
        assert_eq!((&mut pending).now_or_never(), Some(Ok(())));
        case
    }

    /// Frames as lines, a blank between them; the body after a slash.
    fn written(&mut self) -> Vec<String> {
        let mut bytes = BytesMut::new();
        self.dialogue.write(&mut bytes, usize::MAX, self.now);
        let mut decoder = Decoder::new(Limits::default());
        decoder.set_version(Version::V1_2);
        decoder.feed(&bytes);
        let mut lines = Vec::new();
        while let Some(frame) = decoder.next_frame().unwrap() {
            let headers = frame.headers.iter().map(|(name, value)| format!(" {name}:{value}")).collect::<String>();
            let body = String::from_utf8(frame.body.to_vec()).unwrap();
            let body = if body.is_empty() { body } else { format!(" / {body}") };
            lines.push(format!("{}{headers}{body}", frame.command.as_str()).replace(" content-length:1", ""));
        }
        lines
    }

    fn broker(&mut self, text: &str) -> Result<(), Lost> {
        let mut decoder = Decoder::new(Limits::default());
        decoder.set_version(Version::V1_2);
        decoder.feed(text.as_bytes());
        self.dialogue.frame(decoder.next_frame().unwrap().unwrap())
    }

    fn delivery(&self) -> Delivery {
        match self.outbox.pop() {
            Some(Item::Delivery(delivery)) => delivery,
            other => panic!("expected a delivery, not {other:?}"),
        }
    }

    /// The connection is lost and, with [`Outage::Hold`], there is another one.
    fn reconnect(&mut self) {
        self.dialogue.lost(Lost { loss: Loss::Closed, fault: Fault::Unavailable });
        self.dialogue.connected(Version::V1_2);
    }
}

fn outcome(pending: &mut Pending) -> Option<Result<(), Fault>> {
    pending.now_or_never()
}

#[test]
fn a_send_that_nobody_waits_for_is_done_once_it_is_written() {
    let mut case = Case::connected(settings());
    let mut pending = case.send("x", false);
    assert_eq!(outcome(&mut pending), None);
    assert_eq!(case.written(), ["SEND destination:/topic/a / x"]);
    assert_eq!(outcome(&mut pending), Some(Ok(())));
}

#[test]
fn a_send_that_somebody_waits_for_is_done_with_the_receipt_of_the_broker() {
    let mut case = Case::connected(settings());
    let (mut first, mut second) = (case.send("1", true), case.send("2", false));
    assert_eq!(case.written(), ["SEND destination:/topic/a receipt:0 / 1", "SEND destination:/topic/a / 2"]);
    assert_eq!((outcome(&mut first), outcome(&mut second)), (None, None), "answers keep the order of the calls");
    case.broker("RECEIPT\nreceipt-id:0\n\n\0").unwrap();
    assert_eq!((outcome(&mut first), outcome(&mut second)), (Some(Ok(())), Some(Ok(()))));
}

#[test]
fn headers_travel_and_the_id_of_a_client_does_not() {
    let mut case = Case::connected(settings());
    drop(case.send_with(&[("priority", "4")], "x", false));
    let headers = [("id", "of-the-client"), ("ack", "auto"), ("receipt", "r"), ("selector", "a = 1")];
    drop(case.subscribe_with(1, "/topic/a", AckMode::Auto, &headers));
    assert_eq!(
        case.written(),
        [
            "SEND destination:/topic/a priority:4 / x",
            "SUBSCRIBE id:stompgate-1 destination:/topic/a ack:auto receipt:1 selector:a = 1"
        ]
    );
}

#[test]
fn sp12_a_message_reaches_the_subscription_that_it_names() {
    let mut case = Case::subscribed(settings(), "/topic/a", AckMode::Auto);
    case.broker("MESSAGE\nsubscription:stompgate-1\nmessage-id:m\ndestination:/topic/a\nreceipt:0\nx:y\n\nhi\0")
        .unwrap();
    let Delivery { subscription, message, token, redelivered } = case.delivery();
    assert_eq!((subscription, token, redelivered), (SubscriptionKey(1), None, false));
    assert_eq!((message.id(), message.destination(), &message.body()[..]), ("m", "/topic/a", &b"hi"[..]));
    assert_eq!(message.headers().iter().collect::<Vec<_>>(), [("x", "y")]);
    case.broker("MESSAGE\nsubscription:other\nmessage-id:m\ndestination:/topic/a\n\nhi\0").unwrap();
    assert!(case.outbox.pop().is_none());
    assert_eq!(case.dialogue.metrics.unknown_deliveries.get(), 1);
}

#[test]
fn what_a_client_acknowledges_is_acknowledged_one_by_one() {
    let mut case = Case::connected(settings());
    drop(case.subscribe(1, "/topic/a", AckMode::Client));
    let subscribe = "SUBSCRIBE id:stompgate-1 destination:/topic/a ack:client-individual receipt:0 prefetch-count:7";
    assert_eq!(case.written(), [subscribe]);
    for id in ["m1", "m2", "m3"] {
        case.broker(&format!("MESSAGE\nsubscription:stompgate-1\nmessage-id:{id}\nack:a{id}\nredelivered:true\n\n\0"))
            .unwrap();
    }
    let deliveries = [case.delivery(), case.delivery(), case.delivery()];
    assert!(deliveries.iter().all(|it| it.redelivered));
    let [one, two, three] = deliveries.map(|it| it.token.unwrap());
    case.dialogue.settle(&[one, two], Verdict::Accepted);
    case.dialogue.settle(&[three], Verdict::Requeued);
    assert_eq!(case.written(), ["ACK id:am1", "ACK id:am2", "NACK id:am3"]);
    case.dialogue.settle(&[one], Verdict::Accepted);
    assert_eq!((case.written().len(), case.dialogue.metrics.stale_settlements.get()), (0, 1));
}

#[test]
fn stomp_1_1_acknowledges_by_message_id_and_subscription() {
    let mut case = Case::new(settings());
    case.dialogue.connected(Version::V1_1);
    drop(case.subscribe(1, "/topic/a", AckMode::ClientIndividual));
    case.written();
    case.broker("MESSAGE\nsubscription:stompgate-1\nmessage-id:m\n\n\0").unwrap();
    let token = case.delivery().token.unwrap();
    case.dialogue.settle(&[token], Verdict::Discarded);
    assert_eq!(case.written(), ["NACK message-id:m subscription:stompgate-1 requeue:false"]);
}

#[test]
fn of_a_queue_nothing_is_lost_with_its_client_even_if_that_does_not_acknowledge() {
    let mut case = Case::subscribed(settings(), "/queue/q", AckMode::Auto);
    case.broker("MESSAGE\nsubscription:stompgate-1\nmessage-id:m\nack:a\n\n\0").unwrap();
    let token = case.delivery().token.expect("the session settles it when it was written to the client");
    case.dialogue.settle(&[token], Verdict::Accepted);
    assert_eq!(case.written(), ["ACK id:a"]);
}

#[test]
fn a_durable_subscription_keeps_the_id_of_its_client_and_ends_when_it_is_told_to() {
    let mut case = Case::connected(settings());
    let headers = [("durable", "true"), ("activemq.subscriptionName", "mine")];
    drop(case.subscribe_with(1, "/topic/a", AckMode::Client, &headers));
    assert!(case.written()[0].starts_with("SUBSCRIBE id:of-the-client "));
    case.broker("RECEIPT\nreceipt-id:0\n\n\0").unwrap();
    drop(case.unsubscribe(1, true));
    let unsubscribe = "UNSUBSCRIBE id:of-the-client receipt:1 durable:true activemq.subscriptionName:mine";
    assert_eq!(case.written(), [unsubscribe]);
}

#[test]
fn what_was_delivered_before_an_unsubscribe_is_the_brokers_again() {
    let mut case = Case::subscribed(settings(), "/queue/q", AckMode::Client);
    case.broker("MESSAGE\nsubscription:stompgate-1\nmessage-id:m\nack:a\n\n\0").unwrap();
    let token = case.delivery().token.unwrap();
    let mut pending = case.unsubscribe(1, false);
    assert_eq!(case.written(), ["UNSUBSCRIBE id:stompgate-1 receipt:1"]);
    assert_eq!(outcome(&mut pending), None);
    case.dialogue.settle(&[token], Verdict::Accepted);
    assert!(case.written().is_empty());
    case.broker("RECEIPT\nreceipt-id:1\n\n\0").unwrap();
    assert_eq!(outcome(&mut pending), Some(Ok(())));
}

#[test]
fn after_a_loss_all_is_subscribed_again_in_order_and_then_what_has_no_receipt_is_sent_again() {
    let mut case = Case::subscribed(settings(), "/topic/a", AckMode::Auto);
    let mut second = case.subscribe(2, "/topic/b", AckMode::Auto);
    case.written();
    case.broker("RECEIPT\nreceipt-id:1\n\n\0").unwrap();
    assert_eq!(outcome(&mut second), Some(Ok(())));
    let (mut sure, mut unsure) = (case.send("1", true), case.send("2", false));
    case.written();
    drop(case.send("3", false));
    case.reconnect();
    assert_eq!(
        case.written(),
        [
            "SUBSCRIBE id:stompgate-1 destination:/topic/a ack:auto receipt:r1",
            "SUBSCRIBE id:stompgate-2 destination:/topic/b ack:auto receipt:r2",
            "SEND destination:/topic/a receipt:2 / 1",
            "SEND destination:/topic/a / 3",
        ]
    );
    assert_eq!(case.dialogue.metrics.republished.get(), 1);
    assert_eq!((outcome(&mut sure), outcome(&mut unsure)), (None, None));
    case.broker("RECEIPT\nreceipt-id:2\n\n\0").unwrap();
    assert_eq!((outcome(&mut sure), outcome(&mut unsure)), (Some(Ok(())), Some(Ok(()))));
}

#[test]
fn an_ack_of_an_earlier_connection_is_swallowed_and_counted() {
    let mut case = Case::subscribed(settings(), "/queue/q", AckMode::Client);
    case.broker("MESSAGE\nsubscription:stompgate-1\nmessage-id:m\nack:a\n\n\0").unwrap();
    let token = case.delivery().token.unwrap();
    case.reconnect();
    case.written();
    case.dialogue.settle(&[token], Verdict::Accepted);
    assert_eq!((case.written().len(), case.dialogue.metrics.stale_settlements.get()), (0, 1));
}

#[test]
fn a_subscription_that_the_broker_does_not_take_again_has_ended() {
    let mut case = Case::subscribed(settings(), "/topic/a", AckMode::Auto);
    case.reconnect();
    case.written();
    case.broker("ERROR\nreceipt-id:r1\nmessage:no\n\n\0").unwrap();
    assert!(matches!(case.outbox.pop(), Some(Item::SubscriptionEnded(SubscriptionKey(1)))));
    case.reconnect();
    assert!(case.written().is_empty());
}

#[test]
fn while_the_broker_is_away_things_are_asked_and_done_when_it_is_back() {
    let mut case = Case::new(settings());
    let (mut subscribe, mut send) = (case.subscribe(1, "/topic/a", AckMode::Auto), case.send("x", false));
    assert!(case.written().is_empty());
    case.dialogue.connected(Version::V1_2);
    assert_eq!(
        case.written(),
        ["SUBSCRIBE id:stompgate-1 destination:/topic/a ack:auto receipt:0", "SEND destination:/topic/a / x"]
    );
    case.broker("RECEIPT\nreceipt-id:0\n\n\0").unwrap();
    assert_eq!((outcome(&mut subscribe), outcome(&mut send)), (Some(Ok(())), Some(Ok(()))));
}

#[test]
fn an_unsubscribe_needs_no_broker_that_is_away() {
    let mut case = Case::subscribed(settings(), "/topic/a", AckMode::Auto);
    let mut asked = case.unsubscribe(1, false);
    case.written();
    case.reconnect();
    assert_eq!(outcome(&mut asked), Some(Ok(())), "the next connection knows nothing of it");
    assert!(case.written().is_empty());
}

#[test]
fn a_send_is_held_for_so_long_and_refused_then() {
    let mut case = Case::new(Settings { hold_time: Duration::from_secs(60), ..settings() });
    let mut pending = case.send("x", true);
    assert_eq!(case.dialogue.deadline(), Some(case.now + Duration::from_secs(60)));
    case.now += Duration::from_millis(59_999);
    case.dialogue.expire(case.now).unwrap();
    assert_eq!(outcome(&mut pending), None);
    case.now += Duration::from_millis(1);
    case.dialogue.expire(case.now).unwrap();
    assert_eq!(outcome(&mut pending), Some(Err(Fault::Unavailable)));
    case.dialogue.connected(Version::V1_2);
    assert!(case.written().is_empty());
    assert_eq!(case.dialogue.metrics.expired.get(), 1);
}

#[test]
fn a_send_without_a_receipt_of_the_broker_is_refused_by_its_time() {
    let mut case = Case::connected(Settings { outage: Outage::Reject, ..settings() });
    let mut pending = case.send("x", true);
    case.written();
    case.now += Duration::from_secs(10);
    case.dialogue.expire(case.now).unwrap();
    assert_eq!(outcome(&mut pending), Some(Err(Fault::TimedOut(10_000))));
}

#[test]
fn a_broker_that_does_not_answer_a_subscribe_has_lost_its_connection() {
    let mut case = Case::connected(settings());
    let mut pending = case.subscribe(1, "/topic/a", AckMode::Auto);
    case.now += Duration::from_secs(60);
    case.dialogue.expire(case.now).unwrap();
    case.written();
    case.now += Duration::from_secs(10);
    let lost = case.dialogue.expire(case.now).unwrap_err();
    assert_eq!((lost.loss, outcome(&mut pending)), (Loss::Unanswered, Some(Err(Fault::TimedOut(10_000)))));
    case.reconnect();
    assert!(case.written().is_empty());
}

#[test]
fn one_send_more_than_there_is_room_for_is_refused_in_its_turn() {
    let mut case = Case::connected(Settings { publish_queue_bytes_max: 1_100, ..settings() });
    let (mut first, mut second, mut third) = (case.send("1", true), case.send("2", true), case.send("3", true));
    assert_eq!(outcome(&mut third), None);
    case.written();
    case.broker("RECEIPT\nreceipt-id:0\n\n\0").unwrap();
    case.broker("RECEIPT\nreceipt-id:1\n\n\0").unwrap();
    assert_eq!((outcome(&mut first), outcome(&mut second)), (Some(Ok(())), Some(Ok(()))));
    let text = outcome(&mut third).unwrap().unwrap_err().to_string();
    assert_eq!(text, "The queue is full: 1100 bytes (the.setting)");
    assert_eq!(outcome(&mut case.send("4", false)), None);
}

#[test]
fn an_error_that_names_a_frame_refuses_that_frame() {
    let mut case = Case::connected(settings());
    let (mut first, mut second) = (case.send("1", true), case.send("2", true));
    case.written();
    let error = "ERROR\nreceipt-id:0\nmessage:not allowed\n\norg.example.Thrown: why\n\tat org.example.A(A.java:1)\n\0";
    case.broker(error).unwrap();
    let fault = Fault::Relayed { title: "not allowed".to_owned(), text: "org.example.Thrown: why".to_owned() };
    assert_eq!((outcome(&mut first), outcome(&mut second)), (Some(Err(fault)), None));
    case.broker("RECEIPT\nreceipt-id:1\n\n\0").unwrap();
    assert_eq!(outcome(&mut second), Some(Ok(())));
}

#[test]
fn an_error_that_names_none_ends_the_link_with_the_words_of_the_broker() {
    let mut case = Case::connected(settings());
    let mut pending = case.send("1", true);
    case.written();
    let lost = case.broker("ERROR\nmessage:access_refused\n\naccess to x refused for user 'guest'\0").unwrap_err();
    let fault = Fault::Relayed { title: "access_refused".to_owned(), text: "access to x refused".to_owned() };
    assert_eq!((lost.fault, case.dialogue.over()), (fault.clone(), Some(&fault)));
    assert_eq!(outcome(&mut pending), Some(Err(fault.clone())));
    assert!(matches!(case.outbox.pop(), Some(Item::LinkLost)));
    assert_eq!(outcome(&mut case.send("2", false)), Some(Err(fault)));
    assert!(case.outbox.pop().is_none(), "it is told once");
}

#[test]
fn an_error_is_passed_on_within_bounds() {
    let mut case = Case::connected(settings());
    let (title, text) = ("é".repeat(400), "ü".repeat(5_000));
    let lost = case.broker(&format!("ERROR\nmessage:{title}\n\n{text}\0")).unwrap_err();
    let Fault::Relayed { title, text } = lost.fault else { panic!("{lost:?}") };
    assert_eq!((title.len(), text.len()), (512, 4_096));
}

#[test]
fn rabbitmq_names_the_subscription_that_it_ends() {
    let mut case = Case::subscribed(settings(), "/queue/q", AckMode::Auto);
    case.broker("ERROR\nmessage:Server cancelled subscription\nsubscription:stompgate-1\n\ngone\0").unwrap();
    assert!(matches!(case.outbox.pop(), Some(Item::SubscriptionEnded(SubscriptionKey(1)))));
}

#[test]
fn with_reject_a_loss_ends_the_link_with_its_cause() {
    let mut case = Case::subscribed(Settings { outage: Outage::Reject, ..settings() }, "/topic/a", AckMode::Auto);
    let mut pending = case.send("x", true);
    let fault = Fault::LinkBroken("Transport failure: connection reset".to_owned());
    case.dialogue.lost(Lost { loss: Loss::Network, fault: fault.clone() });
    assert_eq!(outcome(&mut pending), Some(Err(fault.clone())));
    assert!(matches!(case.outbox.pop(), Some(Item::LinkLost)));
    assert_eq!(case.dialogue.over(), Some(&fault));
}

#[test]
fn answers_to_a_reply_to_come_under_its_key() {
    let mut case = Case::connected(settings());
    let reply_to = Some(SubscriptionKey(9));
    for headers in [Headers::new(), Headers::from_iter([("reply-to", "/temp-queue/mine")])] {
        let destination = Destination::Foreign("/queue/service".into());
        let publish = Publish { destination, headers, body: Bytes::new(), reply_to, is_receipted: false };
        drop(case.dialogue.publish(&publish, case.now));
    }
    let send = "SEND destination:/queue/service reply-to:/temp-queue/";
    assert_eq!(case.written(), [format!("{send}stompgate-9"), format!("{send}mine")]);
    for id in ["/temp-queue/stompgate-9", "/temp-queue/mine"] {
        case.broker(&format!("MESSAGE\nsubscription:{id}\nmessage-id:m\n\nanswer\0")).unwrap();
        assert_eq!(case.delivery().subscription, SubscriptionKey(9));
    }
    case.reconnect();
    assert!(case.written().is_empty(), "the broker makes it again by itself");
}

#[test]
fn a_session_remembers_no_more_deliveries_than_it_may_settle() {
    let mut case = Case::subscribed(Settings { unsettled_max: 2, ..settings() }, "/queue/q", AckMode::Client);
    for id in ["1", "2", "3"] {
        case.broker(&format!("MESSAGE\nsubscription:stompgate-1\nmessage-id:{id}\nack:{id}\n\n\0")).unwrap();
    }
    let tokens = [case.delivery(), case.delivery(), case.delivery()].map(|it| it.token.unwrap());
    case.dialogue.settle(&tokens, Verdict::Accepted);
    assert_eq!(case.written(), ["ACK id:2", "ACK id:3"]);
}

#[test]
fn a_frame_that_only_clients_send_is_no_stomp() {
    let mut case = Case::connected(settings());
    let lost = case.broker("SEND\ndestination:a\n\n\0").unwrap_err();
    assert_eq!(lost.fault, Fault::LinkBroken("Transport failure: unexpected SEND frame".to_owned()));
}
