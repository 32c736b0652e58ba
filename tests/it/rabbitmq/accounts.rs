//! scratch
use lapin::{Connection, ConnectionProperties};
use super::support::{rabbitmqctl, variable};
use std::time::{Duration, Instant};
#[tokio::test]
async fn scratch() {
    let base = variable("STOMPGATE_TEST_AMQP_URL");
    let hp = base.split('@').nth(1).unwrap().split('/').next().unwrap().to_owned();
    rabbitmqctl(&["add_user", "ann", "pw"]).await;
    rabbitmqctl(&["add_vhost", "lim"]).await;
    rabbitmqctl(&["set_permissions", "-p", "lim", "ann", ".*", ".*", ".*"]).await;
    rabbitmqctl(&["set_permissions", "-p", "/", "ann", ".*", ".*", ".*"]).await;
    rabbitmqctl(&["set_vhost_limits", "-p", "lim", r#"{"max-connections":0}"#]).await;
    rabbitmqctl(&["add_vhost", "noperm"]).await;
    let try_ = async |what: &str, url: String| {
        let t = Instant::now();
        let r = tokio::time::timeout(Duration::from_secs(20), Connection::connect(&url, ConnectionProperties::default())).await;
        println!("{what}: {:?} {:?}", t.elapsed(), r.map(|r| r.map(|_| ()).map_err(|e| format!("{:?}", e.kind()))));
    };
    try_("ok", format!("amqp://ann:pw@{hp}/%2f")).await;
    try_("wrong", format!("amqp://ann:no@{hp}/%2f")).await;
    try_("empty", format!("amqp://ann:@{hp}/%2f")).await;
    try_("nouser", format!("amqp://nn:no@{hp}/%2f")).await;
    try_("novhost", format!("amqp://ann:pw@{hp}/nowhere")).await;
    try_("noperm", format!("amqp://ann:pw@{hp}/noperm")).await;
    try_("wrong+novhost", format!("amqp://ann:no@{hp}/nowhere")).await;
    try_("limit", format!("amqp://ann:pw@{hp}/lim")).await;
    try_("emptyvhost", format!("amqp://ann:pw@{hp}/")).await;
    rabbitmqctl(&["set_user_limits", "ann", r#"{"max-connections":0}"#]).await;
    try_("userlimit", format!("amqp://ann:pw@{hp}/%2f")).await;
    rabbitmqctl(&["clear_user_limits", "ann", "all"]).await;
    rabbitmqctl(&["set_user_limits", "ann", r#"{"max-channels":1}"#]).await;
    let c = Connection::connect(&format!("amqp://ann:pw@{hp}/%2f"), ConnectionProperties::default()).await.unwrap();
    let a = c.create_channel().await; println!("chan1 {:?}", a.is_ok());
    let b = c.create_channel().await; println!("chan2 {:?}", b.map(|_| ()).map_err(|e| format!("{:?}", e.kind())));
    rabbitmqctl(&["clear_user_limits", "ann", "all"]).await;
    for n in [3000, 4000, 5000, 9000, 20000, 140000] { try_(&format!("long pass {n}"), format!("amqp://ann:{}@{hp}/%2f", "x".repeat(n))).await; }
    try_("closed port", "amqp://ann:pw@127.0.0.1:1/%2f".into()).await;
    rabbitmqctl(&["stop_app"]).await;
    try_("stopped app", format!("amqp://ann:pw@{hp}/%2f")).await;
    rabbitmqctl(&["start_app"]).await;
    let c = Connection::connect(&format!("amqp://ann:pw@{hp}/%2f"), ConnectionProperties::default()).await.unwrap();
    let ch = c.create_channel().await.unwrap();
    let e = ch.queue_bind("nox".into(), "amq.topic".into(), "a".into(), Default::default(), Default::default()).await.unwrap_err();
    println!("bind {:?}", e.kind());
    let e = ch.queue_bind("nox".into(), "amq.topic".into(), "a".into(), Default::default(), Default::default()).await.unwrap_err();
    println!("again {:?}", e.kind());
    let ch = c.create_channel().await.unwrap();
    let ch2 = ch.clone();
    let (a, b, d) = tokio::join!(
      ch.queue_declare("amq.x".into(), Default::default(), Default::default()),
      ch2.queue_declare("amq.y".into(), Default::default(), Default::default()),
      async { ch2.basic_publish("nox".into(), "k".into(), Default::default(), b"x", Default::default()).await.unwrap().await }
    );
    println!("pending {:?} {:?} {:?}", a.map(|_|()).map_err(|e| e.kind().clone()), b.map(|_|()).map_err(|e| e.kind().clone()), d.map_err(|e| e.kind().clone()));
    rabbitmqctl(&["delete_user", "ann"]).await;
    for v in ["lim","noperm"] { rabbitmqctl(&["delete_vhost", v]).await; }
}
