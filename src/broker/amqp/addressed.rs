//! The exchanges through which messages reach users and sessions. They are direct ones, so that RabbitMQ routes by the
//! name of the user, or the id of the session; the gateway declares them, and clients have no other way to them.

use lapin::options::ExchangeDeclareOptions;
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, ExchangeKind};

use super::bench::find_exchange;
use super::context::{Account, Context};
use super::desk::Desk;
use crate::session::Fault;

/// The header that says what comes after the prefix and the name: `/queue/x`. Clients neither send nor see it.
pub(super) const REST: &str = "stompgate-destination";

impl Context {
    pub(super) fn is_addressed(&self, exchange: &str) -> bool {
        [&self.user_exchange, &self.session_exchange].iter().any(|it| it.as_str() == exchange)
    }

    /// Clients reach them by destinations of users alone: whoever binds a key gets what another user is sent.
    pub(super) fn check_open(&self, exchange: &str) -> Result<(), Fault> {
        if !self.is_addressed(exchange) {
            return Ok(());
        }
        Err(Fault::Unsupported("messages to users go through this exchange; use the destinations of users instead"))
    }

    /// What a client is told when RabbitMQ does not let its account use them.
    pub(super) fn needs_permissions(&self, fault: Fault) -> Fault {
        let (user, session) = (self.user_exchange.as_str(), self.session_exchange.as_str());
        let is_meant = |text: &str| [user, session].iter().any(|it| text.contains(&format!(" exchange '{it}'")));
        let text = match fault {
            Fault::Amqp { name: "access_refused", text } if is_meant(&text) => text,
            fault => return fault,
        };
        let who = match &self.account {
            Account::Client { login, .. } => format!("user '{login}'"),
            Account::Gateway => "the account of the gateway".to_owned(),
        };
        let remedy = format!(
            "destinations of users need the permissions configure, write and read on the exchanges '{user}' and \
             '{session}' (broker.amqp.user_exchange, broker.amqp.session_exchange) for {who}; without configure, \
             somebody else has to declare them: durable, direct"
        );
        Fault::Amqp { name: "access_refused", text: format!("{text}\n{remedy}") }
    }
}

/// To which of the destinations of its user a message is.
pub(super) fn rest(properties: &BasicProperties) -> Option<String> {
    let headers = properties.headers().as_ref().map(FieldTable::inner)?;
    let rest = headers.get(REST)?.as_long_string()?;
    str::from_utf8(rest.as_bytes()).ok().map(str::to_owned)
}

/// Makes sure that the exchange is there. An account that may not declare it can use it all the same.
pub(super) async fn declare(context: &Context, desk: &mut Desk, name: &ShortString) -> Result<(), Fault> {
    match desk.work(|it| declare_direct(it, name.clone())).await {
        Err(refused @ Fault::Amqp { name: "access_refused", .. }) => {
            match desk.work(|it| find_exchange(it, name.clone())).await {
                Err(Fault::Amqp { .. }) => Err(context.needs_permissions(refused)),
                found => found,
            }
        }
        Err(Fault::Amqp { name: reply @ "precondition_failed", text }) => {
            let text = format!(
                "{text}\nDestinations of users need it to be durable and direct: delete it, or choose another name \
                 (broker.amqp.user_exchange, broker.amqp.session_exchange)"
            );
            Err(Fault::Amqp { name: reply, text })
        }
        outcome => outcome,
    }
}

async fn declare_direct(channel: Channel, name: ShortString) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(name, ExchangeKind::Direct, options, FieldTable::default()).await
}
