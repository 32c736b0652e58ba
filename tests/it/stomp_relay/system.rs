//! The system connection: what the gateway itself sends and hears.

use std::time::Duration;

use bytes::Bytes;
use stompgate::broker::stomp::Settings;
use stompgate::broker::{Broker, Outage};
use stompgate::destination::Destination;
use stompgate::session::{Fault, Publish};
use stompgate::stomp::Headers;
use tokio::sync::mpsc;

use super::support::Gateway;
use super::upstream::{Upstream, within};
use crate::broker_contract::fixture::done;

fn publish(body: &'static str) -> Publish {
    publish_to(Destination::Foreign("/topic/all".into()), body)
}

pub(crate) fn publish_to(destination: Destination, body: &'static str) -> Publish {
    Publish {
        destination,
        headers: Headers::new(),
        body: Bytes::from_static(body.as_bytes()),
        reply_to: None,
        is_receipted: true,
    }
}

#[tokio::test]
async fn sp15_what_the_gateway_subscribes_to_reaches_it_over_connections() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::started(upstream.settings());
    let Broker::Stomp(broker) = &gateway.broker else { panic!("it is one") };
    let (listener, mut heard) = mpsc::channel(8);
    let subscribing = broker.system().subscribe("/topic/registry", listener);
    let (mut peer, _) = upstream.greet().await;
    let subscribe = peer.confirm("SUBSCRIBE").await;
    assert_eq!(subscribe.header("destination"), Some("/topic/registry"));
    done(subscribing).await;
    for body in ["one", "two"] {
        let id = subscribe.header("id").unwrap();
        peer.send(&format!("MESSAGE\nsubscription:{id}\nmessage-id:m\n\n{body}\0")).await;
        assert_eq!(within(heard.recv()).await.unwrap().body(), body);
        drop(peer);
        peer = upstream.greet().await.0;
        peer.confirm("SUBSCRIBE").await;
    }
}

#[tokio::test]
async fn sp2_with_reject_the_gateway_can_not_send_while_the_broker_is_away() {
    for outage in [Outage::Reject, Outage::Hold] {
        let upstream = Upstream::start().await;
        let delay = Duration::from_millis(20);
        let settings = Settings { outage, reconnect_delay_max: delay, ..upstream.settings() };
        let gateway = Gateway::started(settings);
        let Broker::Stomp(broker) = &gateway.broker else { panic!("it is one") };
        let (mut peer, _) = upstream.greet().await;
        gateway.is_ready().await;
        let pending = broker.system().publish(publish("1"));
        peer.confirm("SEND").await;
        done(pending).await;
        drop(peer);
        gateway.has("connected", 0.0).await;
        let pending = broker.system().publish(publish("2"));
        if outage == Outage::Reject {
            assert_eq!(within(pending).await, Err(Fault::Unavailable));
            gateway.is_not_ready().await;
            let _again = upstream.greet().await;
            gateway.is_ready().await;
            continue;
        }
        let (mut peer, _) = upstream.greet().await;
        assert_eq!(peer.confirm("SEND").await.body, "2");
        done(pending).await;
        assert!(gateway.latch.is_set());
    }
}
