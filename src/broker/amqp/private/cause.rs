//! Why something could not be consumed or deleted, and whether RabbitMQ is asked again.

use std::time::Duration;

use crate::broker::amqp::faults::{is_away, is_outage};
use crate::session::Fault;

/// How long RabbitMQ may take to notice that a connection is dead, which holds exclusive queues until then: three
/// heart-beats.
const HELD_MAX: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cause {
    /// A connection that was lost has it still.
    Held,
    /// Nobody has answered.
    Outage,
    /// RabbitMQ is there, and the queue is not for now.
    QueueAway,
    Refused,
}

impl Cause {
    pub(super) fn of(fault: &Fault) -> Self {
        match fault {
            // What closes a whole connection was not for one subscription.
            fault if is_outage(fault) => Self::Outage,
            fault if is_away(fault) => Self::QueueAway,
            Fault::Amqp { name: "resource_locked", .. } | Fault::ConnectionLimit(_) => Self::Held,
            _ => Self::Refused,
        }
    }

    /// For what was consumed before: so long after RabbitMQ came back.
    pub(super) fn may_pass(self, since: Duration) -> bool {
        match self {
            Self::Held => since < HELD_MAX,
            Self::Outage | Self::QueueAway => true,
            Self::Refused => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amqp(name: &'static str, text: &str) -> Fault {
        Fault::Amqp { name, text: text.to_owned() }
    }

    #[test]
    fn a_queue_that_is_gone_is_told_from_one_whose_node_is() {
        let check = |text: &str, cause: Cause| assert_eq!(Cause::of(&amqp("not_found", text)), cause, "{text}");
        check("NOT_FOUND - no queue 'q' in vhost '/'", Cause::Refused);
        check("NOT_FOUND - no exchange 'e'", Cause::Refused);
        check("NOT_FOUND - home node 'a@b' of durable queue 'q' is down or inaccessible", Cause::QueueAway);
        check("NOT_FOUND - failed to perform operation on queue 'q' due to timeout", Cause::QueueAway);
        check("NOT_FOUND - queue 'q' process is stopped by supervisor", Cause::QueueAway);
    }

    #[test]
    fn what_a_dead_connection_holds_is_asked_for_until_rabbitmq_must_have_noticed() {
        let held = Cause::of(&amqp("resource_locked", "RESOURCE_LOCKED - cannot obtain exclusive access"));
        assert!(held.may_pass(HELD_MAX - Duration::from_millis(1)) && !held.may_pass(HELD_MAX));
        assert_eq!(Cause::of(&Fault::ConnectionLimit("x".to_owned())), held);
    }

    #[test]
    fn an_answer_that_does_not_come_is_no_refusal() {
        let forced = amqp("connection_forced", "CONNECTION_FORCED - broker forced connection closure");
        for fault in [Fault::Unavailable, Fault::TimedOut(10), forced] {
            assert!(Cause::of(&fault).may_pass(Duration::MAX), "{fault:?}");
        }
        for name in ["access_refused", "precondition_failed"] {
            assert!(!Cause::of(&amqp(name, "no")).may_pass(Duration::ZERO), "{name}");
        }
    }
}
