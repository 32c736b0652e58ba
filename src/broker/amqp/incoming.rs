//! A delivery of RabbitMQ as a message for clients.

use lapin::message::Delivery;

use super::context::Context;
use super::ids::Ids;
use super::properties;
use crate::destination::Destination;
use crate::message::Message;

pub(super) fn message(context: &Context, ids: &Ids, delivery: Delivery) -> Message {
    let (exchange, key) = (delivery.exchange.as_str(), delivery.routing_key.as_str());
    let destination = destination(context.topic_exchange.as_str(), exchange, key);
    let headers = properties::from_amqp(&delivery.properties);
    Message::new(&ids.next_message(), &destination, headers, delivery.data.into())
}

/// For a user or a session that is subscribed to that.
pub(super) fn addressed(context: &Context, ids: &Ids, rest: &str, delivery: Delivery) -> Message {
    let headers = properties::from_amqp(&delivery.properties);
    Message::new(&ids.next_message(), &context.settings.user_prefix.shown(rest), headers, delivery.data.into())
}

/// D31, except that what came through the configured topic exchange is a `/topic`, whatever the exchange is called.
fn destination(topic_exchange: &str, exchange: &str, key: &str) -> String {
    if exchange == topic_exchange {
        return Destination::Topic(key.into()).to_string();
    }
    match (exchange, key) {
        ("", queue) => Destination::Queue(queue.into()).to_string(),
        (exchange, "") => format!("/exchange/{}", segment(exchange)),
        (exchange, key) => format!("/exchange/{}/{}", segment(exchange), segment(key)),
    }
}

fn segment(text: &str) -> String {
    text.replace('/', "%2F")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d31_the_destination_comes_from_the_exchange_and_the_key() {
        let check = |exchange: &str, key: &str, shown: &str| assert_eq!(destination("amq.topic", exchange, key), shown);
        check("", "a/b", "/queue/a%2Fb");
        check("amq.topic", "a.b", "/topic/a.b");
        check("orders", "new", "/exchange/orders/new");
        check("orders", "", "/exchange/orders");
        assert_eq!(destination("site", "site", "a"), "/topic/a");
        assert_eq!(destination("site", "amq.topic", "a"), "/exchange/amq.topic/a");
    }
}
