//! Where a SEND goes, and what of it travels.

use std::iter;

use lapin::types::ShortString;

use super::{Link, NOT_A_DESTINATION};
use crate::broker::amqp::addressed::REST;
use crate::broker::amqp::properties::{short, to_amqp};
use crate::broker::amqp::publishing::{Content, Routed};
use crate::broker::user;
use crate::destination::{Destination, Whom};
use crate::session::{Fault, Publish};

/// Words of a routing key. What RabbitMQ tries for it grows with their number to the power of the `#` in a pattern: with
/// 120 words and a hundred patterns of two `#` one publish takes 0.8 s, on a channel that is for many sessions.
const WORDS_MAX: usize = 32;

impl Link {
    pub(super) fn content(&mut self, publish: Publish) -> Content {
        let Publish { destination, headers, body, reply_to, is_receipted: _ } = publish;
        let replies = reply_to.map(|key| self.replies(key));
        let context = self.relay.context.clone();
        let max = context.settings.message_bytes_max;
        if body.len() > max {
            let text = format!("A message for RabbitMQ holds at most {max} bytes (broker.amqp.message_bytes_max)");
            return Err(Fault::Refused(text));
        }
        let headers = match &destination {
            Destination::User { rest, .. } => iter::once((REST, &**rest)).chain(headers.iter()).collect(),
            _ => headers,
        };
        let properties = to_amqp(&headers, &context.account)?;
        let (mut is_exchange_unsure, mut is_mandatory) = (false, false);
        let (exchange, key, queue) = match destination {
            Destination::AmqQueue(name) | Destination::ReplyQueue(name) => {
                (ShortString::default(), short("the name of a queue", &name)?, None)
            }
            Destination::Exchange { name, key } => {
                context.check_open(&name)?;
                is_exchange_unsure = name.as_ref() != context.topic_exchange.as_str();
                check_words(&key)?;
                (short("the name of an exchange", &name)?, short("a routing key", &key)?, None)
            }
            Destination::Queue(name) => {
                let queue = self.queue(&name, &headers)?;
                (ShortString::default(), queue.name.clone(), Some(queue))
            }
            Destination::TempQueue(_) | Destination::App(_) | Destination::Foreign(_) => {
                return Err(NOT_A_DESTINATION);
            }
            Destination::User { whom, rest: _ } => {
                (is_exchange_unsure, is_mandatory) = (true, true);
                match whom {
                    Whom::Name(name) => (context.user_exchange.clone(), short("the name of a user", &name)?, None),
                    Whom::Session(id) => (context.session_exchange.clone(), short("an id", &id.to_string())?, None),
                    Whom::Subscriber => return Err(user::NOT_NAMED),
                }
            }
            Destination::Topic(topic) => {
                check_words(&topic)?;
                (context.topic_exchange.clone(), short("a topic", &topic)?, None)
            }
        };
        Ok(Box::new(Routed { exchange, is_exchange_unsure, is_mandatory, key, properties, body, queue, replies }))
    }
}

fn check_words(key: &str) -> Result<(), Fault> {
    let words = key.split('.').count();
    if words > WORDS_MAX {
        let text = format!("A topic to send to has at most {WORDS_MAX} words between dots with RabbitMQ, not {words}");
        return Err(Fault::Refused(text));
    }
    Ok(())
}
