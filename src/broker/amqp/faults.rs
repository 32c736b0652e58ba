//! RabbitMQ's refusals in the words for clients.

use lapin::ErrorKind;
use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPHardError, AMQPSoftError};

use super::context::{Account, Context, no_channel};
use crate::session::Fault;

impl Context {
    /// What a client is told when something it asked for failed: the broker's own words for a refusal. Of the gateway's
    /// account and virtual host they say nothing; a client's own are no secret to it.
    pub(super) fn fault(&self, error: &lapin::Error) -> Fault {
        match error.kind() {
            ErrorKind::ProtocolError(error) => {
                Fault::Amqp { name: name(error.kind()), text: self.own_words(error.get_message().as_str()) }
            }
            ErrorKind::ChannelsLimitReached => no_channel(),
            // A channel or connection that is gone, for a reason that was logged where it was noticed. The library's
            // kinds are not a closed set.
            _ => Fault::Unavailable,
        }
    }

    /// What a client is told when RabbitMQ let no connection in.
    pub(super) fn refused(&self, error: &lapin::Error) -> Fault {
        let ErrorKind::ProtocolError(error) = error.kind() else { return Fault::Unavailable };
        if let Some(limit) = limit(error) {
            return Fault::ConnectionLimit(limit);
        }
        match (&self.account, error.kind()) {
            // Nothing that a client could mend.
            (Account::Gateway, _) => Fault::Unavailable,
            (Account::Client { login, .. }, AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)) => {
                Fault::AccessRefused { login: login.to_string() }
            }
            (Account::Client { vhost, .. }, AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED)) => {
                Fault::VhostRefused { vhost: vhost.to_string() }
            }
            (Account::Client { .. }, kind) => {
                Fault::Amqp { name: name(kind), text: error.get_message().as_str().to_owned() }
            }
        }
    }

    fn own_words(&self, text: &str) -> String {
        match self.account {
            Account::Client { .. } => text.to_owned(),
            Account::Gateway => self.settings.urls.iter().fold(text.to_owned(), |text, url| {
                let vhost = format!(" in vhost '{}'", url.vhost());
                let login = format!(" for user '{}'", url.login());
                text.replace(&vhost, "").replace(&login, "")
            }),
        }
    }
}

/// Whether RabbitMQ did not refuse what it was asked for, but was not there, or about to go.
pub(super) fn is_outage(fault: &Fault) -> bool {
    match fault {
        Fault::TimedOut(_) | Fault::Unavailable => true,
        Fault::Amqp { name, .. } => ["connection_forced", "internal_error"].contains(name),
        _ => false,
    }
}

/// Whether a queue is there, on a node that is down or not ready yet: `home node 'x' of durable queue 'q' is down or
/// inaccessible`. Of a queue or an exchange that is not there RabbitMQ says so.
pub(super) fn is_away(fault: &Fault) -> bool {
    matches!(fault, Fault::Amqp { name: "not_found", text } if !text.starts_with("NOT_FOUND - no "))
}

/// `NOT_ALLOWED - access to vhost 'v' refused for user 'u': connection limit (3) is reached`, and alike for a user or a
/// node, which say so themselves.
fn limit(error: &AMQPError) -> Option<String> {
    let text = error.get_message().as_str();
    let (_, limit) = text.rsplit_once(": ").filter(|_| text.ends_with(") is reached"))?;
    Some(if limit.starts_with("connection limit") { format!("vhost {limit}") } else { limit.to_owned() })
}

/// E32: of AMQP's reply codes.
const fn name(kind: &AMQPErrorKind) -> &'static str {
    match kind {
        AMQPErrorKind::Hard(hard) => match hard {
            AMQPHardError::CONNECTIONFORCED => "connection_forced",
            AMQPHardError::INVALIDPATH => "invalid_path",
            AMQPHardError::FRAMEERROR => "frame_error",
            AMQPHardError::SYNTAXERROR => "syntax_error",
            AMQPHardError::COMMANDINVALID => "command_invalid",
            AMQPHardError::CHANNELERROR => "channel_error",
            AMQPHardError::UNEXPECTEDFRAME => "unexpected_frame",
            AMQPHardError::RESOURCEERROR => "resource_error",
            AMQPHardError::NOTALLOWED => "not_allowed",
            AMQPHardError::NOTIMPLEMENTED => "not_implemented",
            AMQPHardError::INTERNALERROR => "internal_error",
        },
        AMQPErrorKind::Soft(soft) => match soft {
            AMQPSoftError::CONTENTTOOLARGE => "content_too_large",
            AMQPSoftError::NOROUTE => "no_route",
            AMQPSoftError::NOCONSUMERS => "no_consumers",
            AMQPSoftError::ACCESSREFUSED => "access_refused",
            AMQPSoftError::NOTFOUND => "not_found",
            AMQPSoftError::RESOURCELOCKED => "resource_locked",
            AMQPSoftError::PRECONDITIONFAILED => "precondition_failed",
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::broker::amqp::context::unbounded;
    use crate::broker::amqp::metrics::Metrics;
    use crate::lifecycle::Lifecycle;
    use crate::telemetry::Registry;

    fn context(account: Account) -> Context {
        Context::new(Arc::default(), account, Metrics::new(&Registry::default()), Lifecycle::default(), unbounded())
    }

    fn ann() -> Account {
        Account::Client { login: "ann".into(), passcode: "s3cret".into(), vhost: "site".into() }
    }

    fn error(kind: impl Into<AMQPErrorKind>, text: &str) -> lapin::Error {
        ErrorKind::ProtocolError(AMQPError::new(kind.into(), text.into())).into()
    }

    #[test]
    fn e32_a_refusal_has_the_name_of_its_reply_code_and_the_brokers_words() {
        let error = error(AMQPSoftError::NOTFOUND, "NOT_FOUND - no exchange 'x' in vhost 'site'");
        let text = "NOT_FOUND - no exchange 'x' in vhost 'site'".to_owned();
        assert_eq!(context(ann()).fault(&error), Fault::Amqp { name: "not_found", text });
    }

    #[test]
    fn a_refusal_names_neither_the_vhost_nor_the_account_of_the_gateway() {
        let text = "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'guest'";
        let error = error(AMQPSoftError::ACCESSREFUSED, text);
        let text = "ACCESS_REFUSED - access to queue 'q' refused".to_owned();
        assert_eq!(context(Account::Gateway).fault(&error), Fault::Amqp { name: "access_refused", text });
    }

    /// G2: texts of RabbitMQ 3.10 and 4.
    #[test]
    fn g2_a_connection_that_is_not_let_in_has_the_fault_of_its_cause() {
        let login = error(AMQPSoftError::ACCESSREFUSED, "ACCESS_REFUSED - Login was refused using PLAIN");
        let vhost = error(AMQPHardError::NOTALLOWED, "NOT_ALLOWED - vhost site not found");
        let down = error(AMQPHardError::INTERNALERROR, "INTERNAL_ERROR - vhost 'site' is down");
        let check = |error: &lapin::Error, client: Fault, gateway: Fault| {
            assert_eq!(context(ann()).refused(error), client);
            assert_eq!(context(Account::Gateway).refused(error), gateway);
        };
        check(&login, Fault::AccessRefused { login: "ann".to_owned() }, Fault::Unavailable);
        check(&vhost, Fault::VhostRefused { vhost: "site".to_owned() }, Fault::Unavailable);
        let text = "INTERNAL_ERROR - vhost 'site' is down".to_owned();
        check(&down, Fault::Amqp { name: "internal_error", text }, Fault::Unavailable);
        check(&ErrorKind::MissingHeartbeatError.into(), Fault::Unavailable, Fault::Unavailable);
    }

    #[test]
    fn a_connection_that_is_closed_is_an_outage_and_a_refusal_is_none() {
        let context = context(Account::Gateway);
        let fault = |kind: AMQPErrorKind| context.fault(&error(kind, "text"));
        assert!(is_outage(&fault(AMQPHardError::CONNECTIONFORCED.into())));
        assert!(is_outage(&fault(AMQPHardError::INTERNALERROR.into())));
        assert!(is_outage(&Fault::Unavailable) && is_outage(&Fault::TimedOut(1)));
        assert!(!is_outage(&fault(AMQPSoftError::NOTFOUND.into())));
        assert!(!is_outage(&fault(AMQPSoftError::ACCESSREFUSED.into())));
        assert!(!is_outage(&Fault::ConnectionLimit("3".to_owned())));
    }

    #[test]
    fn e7_a_limit_of_connections_is_told_to_everybody() {
        let check = |text: &str, limit: &str| {
            let (error, fault) = (error(AMQPHardError::NOTALLOWED, text), Fault::ConnectionLimit(limit.to_owned()));
            assert_eq!(context(ann()).refused(&error), fault);
            assert_eq!(context(Account::Gateway).refused(&error), fault);
        };
        check(
            "NOT_ALLOWED - access to vhost 'site' refused for user 'ann': connection limit (3) is reached",
            "vhost connection limit (3) is reached",
        );
        check(
            "NOT_ALLOWED - connection refused for user 'ann': user connection limit (2) is reached",
            "user connection limit (2) is reached",
        );
    }
}
