//! An exchange of one test alone, as somebody else declares and uses it.

use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeBindOptions, ExchangeDeclareOptions, ExchangeDeleteOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, ExchangeKind};
use stompgate::destination::Destination;
use stompgate::ident::SessionId;

use super::support::{foreign_channel, rabbitmqctl};

pub(crate) struct Exchange {
    pub(crate) name: ShortString,
    channel: Channel,
}

impl Exchange {
    pub(crate) async fn declare(kind: ExchangeKind) -> Self {
        Self::declare_named(&unique("exchange"), kind).await
    }

    /// It goes with the last of what was bound to it, but it survives a connection.
    pub(crate) async fn declare_named(name: &str, kind: ExchangeKind) -> Self {
        let channel = foreign_channel().await;
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let exchange = Self { name: name.into(), channel };
        exchange.declare_again(kind).await;
        exchange
    }

    pub(crate) async fn declare_again(&self, kind: ExchangeKind) {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let declare = self.channel.exchange_declare(self.name.clone(), kind, options, FieldTable::default());
        declare.await.unwrap();
    }

    pub(crate) async fn delete(&self) {
        self.channel.exchange_delete(self.name.clone(), ExchangeDeleteOptions::default()).await.unwrap();
    }

    /// What that one routes to a queue with the key `key` comes here, too.
    pub(crate) async fn bind_to(&self, source: &Self, key: &str) {
        let (to, from, options) = (self.name.clone(), source.name.clone(), ExchangeBindOptions::default());
        self.channel.exchange_bind(to, from, key.into(), options, FieldTable::default()).await.unwrap();
    }

    pub(crate) fn with_key(&self, key: &str) -> Destination {
        Destination::Exchange { name: self.name.as_str().into(), key: key.into() }
    }

    /// Returns when it is in every queue that it belongs to.
    pub(crate) async fn publish(&self, key: &str, body: &str) {
        self.publish_with(key, body, BasicProperties::default()).await;
    }

    pub(crate) async fn publish_with(&self, key: &str, body: &str, properties: BasicProperties) {
        let (exchange, options) = (self.name.clone(), BasicPublishOptions::default());
        let publish = self.channel.basic_publish(exchange, key.into(), options, body.as_bytes(), properties);
        publish.await.unwrap().await.unwrap();
    }

    /// So many without waiting for each.
    pub(crate) async fn publish_many(&self, key: &str, count: usize) {
        futures::future::join_all((0..count).map(|_| self.publish(key, "one of many"))).await;
    }

    /// The queues that are bound to it, each with its key.
    pub(crate) async fn bindings(&self) -> Vec<(String, String)> {
        let lines = rabbitmqctl(&["list_bindings", "source_name", "destination_name", "routing_key"]).await;
        let fields = lines.iter().map(|it| it.split('\t').collect::<Vec<_>>());
        let ours = fields.filter(|it| it[0] == self.name.as_str());
        ours.map(|it| (it[1].to_owned(), it[2].to_owned())).collect()
    }
}

pub(crate) fn unique(what: &str) -> String {
    format!("test.{what}.{}", SessionId::from_random(rand::random()))
}
