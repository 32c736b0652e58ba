//! What is not open to clients is refused in its turn, whatever the broker would say.

use super::*;

fn gateway(rules: &[&str], close_on_error: bool) -> Gateway {
    let session = session::Settings { close_on_error, ..session::Settings::default() };
    let mut gateway = Gateway::with(session, delivery::Settings::default());
    let rules = rules.iter().map(|it| it.parse().unwrap()).collect();
    Arc::get_mut(&mut gateway.context).unwrap().rules = Rules::Listed(rules);
    gateway
}

fn with_receipt(frame: &str, receipt: &str) -> String {
    frame.replacen('\n', &format!("\nreceipt:{receipt}\n"), 1)
}

impl Client {
    async fn expect_refusal(&mut self, receipt: &str, label: &str, text: &str) {
        let error = self.expect("ERROR").await;
        assert_eq!((error.header("receipt-id"), error.header("stompgate-error")), (Some(receipt), Some(label)));
        assert_eq!(String::from_utf8_lossy(&error.body), text);
    }
}

const SUBSCRIBE: &str = "SUBSCRIBE\nid:s\ndestination:/exchange/x/#\n\n\0";

#[tokio::test(start_paused = true)]
async fn what_no_rule_opens_is_refused_in_its_turn() {
    let gateway = gateway(&["/exchange/x/eu.*"], false);
    let mut client = gateway.connect().await;
    client.send(&with_receipt(&message("/queue/a", "1"), "1"));
    client.send(&with_receipt(&message("/exchange/x/us.ny", "2"), "2"));
    client.send(&with_receipt(&message("/queue/a", "3"), "3"));
    client.send(&with_receipt(SUBSCRIBE, "4"));
    assert_eq!(client.expect("RECEIPT").await.header("receipt-id"), Some("1"));
    let text = "'/exchange/x/us.ny' is not open to clients here: a rule in auth.allow would open it";
    client.expect_refusal("2", "forbidden", text).await;
    assert_eq!(client.expect("RECEIPT").await.header("receipt-id"), Some("3"));
    let text = "'/exchange/x/#' is not open to clients here: a rule in auth.allow would open it";
    client.expect_refusal("4", "forbidden", text).await;
    assert_eq!(gateway.metric("stompgate_subscriptions"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn what_a_rule_opens_is_left_to_the_broker() {
    let gateway = gateway(&["/exchange/x/eu.*", "/amq/queue/q"], false);
    let mut client = gateway.connect().await;
    let text = "/exchange and /amq/queue need RabbitMQ (broker.kind = \"amqp\")";
    client.send(&with_receipt(&message("/exchange/x/eu.de", "1"), "1"));
    client.expect_refusal("1", "unsupported", text).await;
    client.send(&with_receipt(&message("/amq/queue/q", "2"), "2"));
    client.expect_refusal("2", "unsupported", text).await;
    client.send(&with_receipt(&SUBSCRIBE.replace('#', "eu.#"), "3"));
    client.expect_refusal("3", "unsupported", text).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_send_ends_the_session_when_refusals_do() {
    let gateway = gateway(&[], true);
    let mut client = gateway.connect().await;
    client.send(&message("/amq/queue/q", "1"));
    client.expect("ERROR").await;
    client.expect_closed(1002).await;
    assert_eq!(gateway.closed("forbidden"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_send_in_a_transaction_is_refused_at_its_commit() {
    let gateway = gateway(&[], false);
    let mut client = gateway.connect().await;
    client.send("BEGIN\ntransaction:t\nreceipt:b\n\n\0");
    let send = message("/exchange/x/k", "1").replacen('\n', "\ntransaction:t\n", 1);
    client.send(&with_receipt(&send, "1"));
    assert_eq!(client.expect("RECEIPT").await.header("receipt-id"), Some("b"));
    client.send("COMMIT\ntransaction:t\n\n\0");
    let text = "'/exchange/x/k' is not open to clients here: a rule in auth.allow would open it";
    client.expect_refusal("1", "forbidden", text).await;
}

#[tokio::test(start_paused = true)]
async fn d30_whoever_is_asked_may_answer_without_a_rule() {
    let gateway = gateway(&[], true);
    let mut service = gateway.subscribe("/queue/ask").await;
    let mut client = gateway.connect().await;
    client.send(&message("/queue/ask", "?").replacen('\n', "\nreply-to:/temp-queue/x\n", 1));
    let question = service.expect("MESSAGE").await;
    let address = question.header("reply-to").unwrap();
    assert!(address.starts_with("/reply-queue/amq.gen-") && address.len() == "/reply-queue/amq.gen-".len() + 22);
    service.send(&message(address, "!"));
    let answer = client.expect("MESSAGE").await;
    assert_eq!((answer.header("subscription"), &answer.body[..]), (Some("/temp-queue/x"), &b"!"[..]));
    // Who knows the address may answer, and nobody but the client that asked is given the answers.
    service.send(&format!("SUBSCRIBE\nid:t\ndestination:{address}\n\n\0"));
    assert_eq!(service.expect("ERROR").await.header("stompgate-error"), Some("forbidden"));
}

#[tokio::test(start_paused = true)]
async fn a_rule_does_not_open_the_answers_to_others_of_the_embedded_broker() {
    let gateway = gateway(&["/reply-queue/*"], false);
    let mut client = gateway.connect().await;
    client.send("SUBSCRIBE\nid:s\ndestination:/reply-queue/amq.gen-x\nreceipt:r\n\n\0");
    client.expect_refusal("r", "unsupported", "only the session that asked for replies receives them").await;
}
