//! RabbitMQ is killed, and one of the accounts is refused when it is back.

use crate::client::{Client, Login};
use crate::gateway::Gateway;
use crate::load::{ALL, Load};
use crate::node::{Node, Signal};

const STAYS: Login<'static> = Login { login: "stays", passcode: "old" };
const LEAVES: Login<'static> = Login { login: "leaves", passcode: "old" };
const RETURNS: Login<'static> = Login { login: "leaves", passcode: "new" };

#[tokio::test(flavor = "multi_thread")]
async fn sessions_whose_passcode_has_changed_are_told_so_after_an_outage_and_others_stay() {
    let node = Node::start().await;
    for Login { login, passcode } in [STAYS, LEAVES] {
        node.ctl(&["add_user", login, passcode]).await;
        node.ctl(&["set_permissions", login, ".*", ".*", ".*"]).await;
    }
    let gateway = Gateway::start(&node.url(), &[("broker.amqp.identity", "client")]).await;
    let load = Load::start(&gateway, STAYS, ALL).await;
    let mut leaving = Vec::new();
    for subscribed in ["/topic/leaves", "/queue/leaves"] {
        let mut client = Client::connect(gateway.clients, LEAVES).await;
        client.confirmed(&format!("SUBSCRIBE\nid:s\ndestination:{subscribed}"), "").await;
        client.send(&format!("SEND\ndestination:{subscribed}\n\n\0")).await.unwrap();
        client.expect("MESSAGE").await;
        leaving.push(client);
    }
    load.flows().await;

    node.ctl(&["change_password", LEAVES.login, RETURNS.passcode]).await;
    let outage = node.bounce(Signal::Kill).await;
    for client in &mut leaving {
        let error = client.next().await.unwrap_err();
        assert!(error.starts_with("ERROR ") && error.contains("access_refused"), "{error}");
    }
    let returned = Client::connect(gateway.clients, RETURNS).await;
    load.flows().await;
    load.finish("kill -9, one account of two refused", &[outage]).await;
    drop((leaving, returned));
    gateway.stop().await;
}
