//! Where a SEND goes, and what of it travels.

use lapin::types::ShortString;

use super::Link;
use crate::broker::amqp::properties::{short, to_amqp};
use crate::broker::amqp::publishing::{Content, Routed};
use crate::destination::Destination;
use crate::session::{Fault, Publish};

const NOT_SENT_TO: Fault = Fault::Unsupported("a temp-queue is only for reply-to");

impl Link {
    pub(super) fn content(&mut self, publish: Publish) -> Content {
        let Publish { destination, headers, body, reply_to } = publish;
        let replies = reply_to.map(|key| self.replies(key));
        let context = self.generation.context();
        let max = context.settings.message_bytes_max;
        if body.len() > max {
            let text = format!("A message for RabbitMQ holds at most {max} bytes (broker.amqp.message_bytes_max)");
            return Err(Fault::Refused(text));
        }
        let properties = to_amqp(&headers, &context.account)?;
        let mut is_exchange_unsure = false;
        let (exchange, key, queue) = match destination {
            Destination::AmqQueue(name) | Destination::ReplyQueue(name) => {
                (ShortString::default(), short("the name of a queue", &name)?, None)
            }
            Destination::Exchange { name, key } => {
                is_exchange_unsure = name.as_ref() != context.topic_exchange.as_str();
                (short("the name of an exchange", &name)?, short("a routing key", &key)?, None)
            }
            Destination::Queue(name) => {
                let queue = self.queue(&name, &headers)?;
                (ShortString::default(), queue.name.clone(), Some(queue))
            }
            Destination::TempQueue(_) => return Err(NOT_SENT_TO),
            Destination::Topic(topic) => (context.topic_exchange.clone(), short("a topic", &topic)?, None),
        };
        Ok(Box::new(Routed { exchange, is_exchange_unsure, key, properties, body, queue, replies }))
    }
}
