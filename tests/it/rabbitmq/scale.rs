//! What a gateway costs RabbitMQ, by RabbitMQ's own account, with few clients and with many.

use std::ops::Range;

use futures::{StreamExt, stream};
use stompgate::app::App;

use super::support::eventually;
use super::whole::{self, Objects, Vhost};
use crate::client::{Client, metric, until};

const TOPICS: usize = 10;

/// Handshakes under way at once.
const CONNECTING_MAX: usize = 64;

async fn connect_all<F>(clients: Range<usize>, connect: impl Fn(usize) -> F) -> Vec<Client>
where
    F: Future<Output = Client>,
{
    stream::iter(clients).map(connect).buffered(CONNECTING_MAX).collect().await
}

fn topic(number: usize) -> String {
    format!("/topic/scale.{}", number % TOPICS)
}

/// Sends to each topic; the client of each number hears that of its own.
async fn all_hear(publisher: &mut Client, clients: &mut [Client]) {
    for number in 0..TOPICS {
        publisher.confirmed(&format!("SEND\ndestination:{}", topic(number)), "x").await;
    }
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.expect("MESSAGE").await.header("destination"), Some(&*topic(number)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_thousand_clients_of_ten_topics_cost_rabbitmq_no_more_than_ten_clients() {
    let vhost = Vhost::create().await;
    let app = whole::start(vhost.url()).await;
    let subscribe = async |number| Client::subscribe(&app, &topic(number)).await;
    let mut publisher = Client::connect(&app).await;
    let mut clients = connect_all(0..TOPICS, subscribe).await;
    all_hear(&mut publisher, &mut clients).await;
    let few = vhost.objects().await;
    assert_eq!(few.bindings, TOPICS, "{few:?}");

    clients.extend(connect_all(TOPICS..3_000, subscribe).await);
    all_hear(&mut publisher, &mut clients).await;
    assert_eq!(metric(&app, "stompgate_subscriptions").await, 3_000.0);
    let many = vhost.objects().await;
    // The channel that asks for the backlog opens when its time has come.
    assert!((few.channels..=few.channels + 1).contains(&many.channels), "{few:?} {many:?}");
    assert_eq!(Objects { channels: few.channels, ..many }, few);
    // For each message one, whatever the audience.
    let deliveries = metric(&app, "stompgate_broker_amqp_feed_deliveries_total").await;
    assert_eq!(deliveries, 2.0 * TOPICS as f64);
    drop(app);
    vhost.delete().await;
}

/// Subscribed twice, to one queue in each mode of acknowledgement.
async fn private(app: &App, number: usize) -> Client {
    let mut client = Client::connect(app).await;
    for ack in ["client", "client-individual"] {
        let queue = format!("/queue/scale.{ack}.{}", number % 10);
        client.confirmed(&format!("SUBSCRIBE\nid:{ack}\nack:{ack}\ndestination:{queue}"), "").await;
    }
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_clients_with_private_subscriptions_have_a_channel_each_on_the_same_connections() {
    let vhost = Vhost::create().await;
    let app = whole::start(vhost.url()).await;
    let _first = private(&app, 0).await;
    let one = vhost.objects().await;
    let clients = connect_all(0..300, async |number| private(&app, number).await).await;
    let many = vhost.objects().await;
    assert_eq!(many.connections, one.connections);
    assert_eq!(metric(&app, "stompgate_broker_amqp_private_channels").await, 301.0);

    drop(clients);
    until(&app, "stompgate_broker_amqp_private_channels", 1.0).await;
    // Those on which the gateway declares queues were opened meanwhile, and stay.
    let without = Objects { channels: many.channels - 300, ..many };
    eventually("each had a channel, and none is left", async || vhost.objects().await == without).await;
    drop(app);
    vhost.delete().await;
}
