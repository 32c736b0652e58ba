//! The way between the gateway and RabbitMQ is cut, without a word to either of them.

use std::process::Command;

use tokio::time::Instant;

use crate::client::GUEST;
use crate::gateway::Gateway;
use crate::ledger::Outage;
use crate::load::{ALL, Load};
use crate::node::{Node, Place};
use crate::proxy::Proxy;
use crate::wait::eventually;

enum Way {
    /// Swallows what either end says. The connections of before end when it heals.
    Proxy(Proxy),
    /// Of the namespace that `tests/namespace.sh` makes, where packets vanish.
    Link { namespace: String },
}

impl Way {
    /// With a RabbitMQ at its end.
    async fn start() -> (Self, Node) {
        match namespace() {
            None => {
                let node = Node::start().await;
                (Self::Proxy(Proxy::start(node.address()).await), node)
            }
            Some(namespace) => {
                let node = Node::start_in(Place::Namespace(namespace.clone())).await;
                (Self::Link { namespace }, node)
            }
        }
    }

    fn url(&self, node: &Node) -> String {
        match self {
            Self::Proxy(proxy) => format!("amqp://guest:guest@{}/%2f", proxy.address),
            Self::Link { .. } => node.url(),
        }
    }

    fn cut(&self) {
        match self {
            Self::Proxy(proxy) => proxy.fall_silent(),
            Self::Link { namespace } => set_link(namespace, "down"),
        }
    }

    fn heal(&self) {
        match self {
            Self::Proxy(proxy) => proxy.cut(),
            Self::Link { namespace } => set_link(namespace, "up"),
        }
    }
}

fn set_link(namespace: &str, state: &str) {
    let status = Command::new("ip").args(["-n", namespace, "link", "set", "broker", state]).status();
    assert!(status.unwrap().success(), "the link can't be set {state}");
}

#[expect(clippy::disallowed_methods, reason = "tests are told by their environment what was made for them")]
fn namespace() -> Option<String> {
    std::env::var("STOMPGATE_TEST_NAMESPACE").ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_is_cut_in_silence_and_heals() {
    let (way, node) = Way::start().await;
    let gateway = Gateway::start(&way.url(&node), &[]).await;
    let load = Load::start(&gateway, GUEST, ALL).await;
    load.flows().await;
    way.cut();
    let begun = Instant::now();
    // Only heart-beats can tell.
    eventually("the gateway has noticed", async || {
        load.nobody_is_dropped();
        gateway.metric("stompgate_broker_amqp_connected").await == 0.0
    })
    .await;
    way.heal();
    let over = Instant::now();
    load.flows().await;
    load.finish("network cut", &[Outage { begun, gone: begun, over }]).await;
    node.queues_are_empty().await;
    gateway.stop().await;
}
