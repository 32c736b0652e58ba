//! Headers in, queue.declare and basic.consume out.

use super::*;

fn headers(text: &str) -> Headers {
    text.split_whitespace().map(|it| it.split_once(':').expect("name:value")).collect()
}

/// What is declared: `d` durable, `x` exclusive, `a` deleted with its last consumer.
fn declared(kind: Kind, text: &str) -> String {
    let QueueDeclareOptions { passive, durable, exclusive, auto_delete, nowait } =
        Declare::new(kind, &headers(text)).unwrap_or_else(|fault| panic!("{text}: {fault}")).options;
    assert!(!passive && !nowait);
    [(durable, 'd'), (exclusive, 'x'), (auto_delete, 'a')].iter().filter(|it| it.0).map(|it| it.1).collect()
}

fn arguments_of(text: &str) -> Vec<(String, AMQPValue)> {
    entries(&Declare::new(Kind::Consumed, &headers(text)).unwrap().arguments)
}

fn entries(table: &FieldTable) -> Vec<(String, AMQPValue)> {
    table.into_iter().map(|(name, value)| (name.to_string(), value.clone())).collect()
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, Fault>) -> String {
    match outcome {
        Err(Fault::Refused(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn d10_to_d13_d40_to_d43_what_is_declared() {
    use Kind::{Consumed, Exchange, Filled, Topic};

    #[rustfmt::skip]
    let cases = [
        (Consumed, "", "d"), (Consumed, "durable:true", "d"), (Consumed, "persistent:True", "d"),
        (Consumed, "durable:false", "xa"), (Consumed, "persistent:False", "xa"),
        (Consumed, "durable:false auto-delete:false", "x"),
        (Consumed, "durable:true persistent:false", "d"),
        (Consumed, "auto-delete:true", "da"), (Consumed, "exclusive:true", "dx"),
        // D41: of a SEND it is about the message.
        (Filled, "persistent:false", "d"), (Filled, "persistent:true", "d"), (Filled, "durable:false", "xa"),
        (Topic, "", "xa"), (Topic, "durable:false", "xa"), (Topic, "durable:true", "da"),
        (Topic, "persistent:true auto-delete:false", "d"), (Topic, "exclusive:true auto-delete:false", "x"),
        (Topic, "exclusive:false", "xa"), (Topic, "exclusive:false auto-delete:false", "xa"),
        (Exchange, "", "xa"), (Exchange, "durable:true", "dxa"),
        (Exchange, "durable:true exclusive:false auto-delete:false", "d"),
        (Exchange, "exclusive:false", "xa"),
    ];
    for (kind, text, expected) in cases {
        assert_eq!(declared(kind, text), expected, "{kind:?} {text}");
    }
}

#[test]
fn d47_what_is_replicated_is_durable_and_shared() {
    for queue_type in ["quorum", "stream"] {
        assert_eq!(declared(Kind::Consumed, &format!("x-queue-type:{queue_type}")), "d");
        assert_eq!(declared(Kind::Consumed, &format!("x-queue-type:{queue_type} exclusive:true")), "d");
        let topic = format!("x-queue-type:{queue_type} durable:false exclusive:false auto-delete:false");
        assert_eq!(declared(Kind::Topic, &topic), "d");
        assert_eq!(declared(Kind::Topic, &format!("x-queue-type:{queue_type}")), "da");
    }
    assert_eq!(declared(Kind::Topic, "x-queue-type:classic"), "xa");
}

#[test]
fn a_queue_that_rabbitmq_4_3_does_not_take_is_refused_with_what_to_write() {
    for kind in [Kind::Consumed, Kind::Filled, Kind::Exchange, Kind::Topic] {
        let text = refused(Declare::new(kind, &headers("durable:false exclusive:false")));
        assert!(text.contains("4.3") && text.contains("write durable:true"), "{text}");
    }
}

#[test]
fn d44_d45_d46_arguments() {
    let text = |it: &str| AMQPValue::LongString(it.into());
    let expected = [
        ("x-dead-letter-exchange", text("dead")),
        ("x-dead-letter-routing-key", text("letters")),
        ("x-expires", AMQPValue::LongLongInt(1_000)),
        ("x-max-length", AMQPValue::LongLongInt(-1)),
        ("x-queue-type", text("classic")),
    ];
    let given = "x-expires:1000 x-dead-letter-exchange:dead x-dead-letter-routing-key:letters x-queue-type:classic \
                 x-max-length:-1 x-overflow:reject-publish x-single-active-consumer:true selector:a";
    assert_eq!(arguments_of(given), expected.map(|(name, value)| (name.to_owned(), value)));
    let blank = Headers::from_iter([("x-queue-type", " quorum "), ("x-message-ttl", " 5 ")]);
    let declare = Declare::new(Kind::Consumed, &blank).unwrap();
    let expected = [("x-message-ttl", AMQPValue::LongLongInt(5)), ("x-queue-type", text("quorum"))];
    assert_eq!(entries(&declare.arguments), expected.map(|(name, value)| (name.to_owned(), value)));
    for name in TEXTS.iter().chain(&NUMBERS) {
        let value = if *name == MAX_AGE { "7D" } else { "7" };
        assert_eq!(arguments_of(&format!("{name}:{value}")).len(), 1, "{name}");
    }
}

#[test]
fn e8_a_bad_value_is_refused_by_its_header() {
    let bad = ["durable:1", "persistent:1", "auto-delete:yes", "exclusive:", "x-expires:soon", "x-max-length:1.5"];
    let bad = bad.into_iter().chain(["x-max-age:", "x-max-age:D", "x-max-age:7", "x-max-age:-1D", "x-max-age:7DD"]);
    for text in bad {
        let (name, value) = text.split_once(':').unwrap();
        for kind in [Kind::Consumed, Kind::Filled, Kind::Topic, Kind::Exchange] {
            let fault = refused(Declare::new(kind, &headers(text)));
            assert!(fault.starts_with(name) && fault.contains(&format!("not '{value}'")), "{fault}");
        }
    }
    for text in ["x-priority:high", "x-priority:128", "x-stream-offset:offset=x", "x-stream-match-unfiltered:1"] {
        let fault = refused(consume_arguments(&headers(text)));
        assert!(fault.starts_with(text.split_once(':').unwrap().0), "{fault}");
    }
}

#[test]
fn d51_to_d54_arguments_of_the_consumer() {
    let check = |given: &str, expected: &[(&str, AMQPValue)]| {
        let expected: Vec<_> = expected.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        assert_eq!(entries(&consume_arguments(&headers(given)).unwrap()), expected, "{given}");
    };
    check("", &[]);
    check("x-priority:-5", &[("x-priority", AMQPValue::ShortShortInt(-5))]);
    for word in ["first", "last", "next"] {
        check(&format!("x-stream-offset:{word}"), &[("x-stream-offset", AMQPValue::LongString(word.into()))]);
    }
    check("x-stream-offset:offset=12", &[("x-stream-offset", AMQPValue::LongLongInt(12))]);
    check("x-stream-offset:timestamp=1700000000", &[("x-stream-offset", AMQPValue::Timestamp(1_700_000_000))]);
    check("x-stream-offset:anything", &[]);
    check("x-stream-match-unfiltered:true", &[("x-stream-match-unfiltered", AMQPValue::Boolean(true))]);
    let filter = Headers::from_iter([("x-stream-filter", "a, b")]);
    let values = ["a", " b"].map(|it| AMQPValue::LongString(it.into())).to_vec();
    let expected = [("x-stream-filter".to_owned(), AMQPValue::FieldArray(values.into()))];
    assert_eq!(entries(&consume_arguments(&filter).unwrap()), expected);
}

/// The vectors were made by Erlang.
#[test]
fn d20_a_durable_subscription_has_the_name_that_the_plugin_gives_it() {
    let vectors = [
        ("durable", "test.subscription", "stomp-subscription-tMbeqL30tjlgaXMmaFM6Ew"),
        ("my-durable", "1234", "stomp-subscription-ywnduRGdS9QBdgzKJKz3-A"),
        ("durable-separate", "other.id", "stomp-subscription-eWSXV2ty1R7VqfsnULKEkA"),
        ("a.b.*", "", "stomp-subscription-3_mbjPyh6AsXaOzYOzf-ug"),
        ("café", "1", "stomp-subscription-tgfYFesC_hQg8bC4paKACg"),
    ];
    for (key, id, expected) in vectors {
        let (named, is_random) = name(&Headers::new(), key, &SubscriptionId::new(id), true).unwrap();
        assert_eq!((named.as_str(), is_random), (expected, false));
    }
}

#[test]
fn d20_a_name_is_given_or_random() {
    let id = SubscriptionId::new("1");
    let given = headers("x-queue-name:mine");
    for is_durable in [true, false] {
        let (named, is_random) = name(&given, "a", &id, is_durable).unwrap();
        assert_eq!((named.as_str(), is_random), ("mine", false));
    }
    let random = || name(&Headers::new(), "a", &id, false).unwrap();
    assert!(random().0.as_str().starts_with("stomp-subscription-") && random().0.as_str().len() == 41);
    assert_ne!(random(), random());
    assert!(refused(name(&headers("x-queue-name:"), "a", &id, false)).contains("x-queue-name"));
    let long = format!("x-queue-name:{}", "x".repeat(256));
    assert!(refused(name(&headers(&long), "a", &id, false)).contains("at most 255"));
    // Longer than one Erlang string.
    assert_ne!(durable_hash("a", &"x".repeat(65_536)), durable_hash("a", &"x".repeat(65_535)));
}

#[test]
fn what_a_feed_can_serve_needs_no_queue_of_its_own() {
    for shared in ["", "id:1 ack:auto prefetch-count:5 durable:false selector:a x-overflow:drop-head"] {
        assert!(!asks_for_its_own(&headers(shared)), "{shared}");
    }
    for own in ["x-queue-name:a", "x-max-length:1", "exclusive:true", "x-priority:1", "x-queue-type:quorum"] {
        assert!(asks_for_its_own(&headers(own)), "{own}");
    }
}

#[test]
fn arguments_of_the_gateway_give_way_to_those_of_the_client() {
    let mut own = FieldTable::default();
    own.insert("x-max-length-bytes".into(), AMQPValue::LongLongInt(1));
    own.insert("x-overflow".into(), AMQPValue::LongString("drop-head".into()));
    let declare = Declare::new(Kind::Topic, &headers("x-max-length-bytes:7")).unwrap().or_arguments(own);
    let names = ["x-max-length-bytes", "x-overflow"].map(str::to_owned);
    let values = [AMQPValue::LongLongInt(7), AMQPValue::LongString("drop-head".into())];
    assert_eq!(entries(&declare.arguments), names.into_iter().zip(values).collect::<Vec<_>>());
}
