//! The contract on a real RabbitMQ.

use std::io::Write;

use stompgate::broker::amqp::Settings;

use crate::rabbitmq::Gateway;

macro_rules! cases {
    ($($group:ident: $case:ident $(, not on amqp: $amqp:literal)? $(, not on stomp: $stomp:literal)?;)*) => {
        $(cases!(@case $group $case $($amqp)?);)*
    };
    (@case $group:ident $case:ident) => {
        #[tokio::test]
        async fn $case() {
            let gateway = Gateway::connected(Settings::default()).await;
            super::$group::$case(gateway.fixture()).await;
            gateway.stop().await;
        }
    };
    (@case $group:ident $case:ident $reason:literal) => {
        #[test]
        fn $case() {
            // Not captured, unlike what the macros print, so every run shows it.
            let line = format!("{} is not held against RabbitMQ: {}", stringify!($case), $reason);
            writeln!(std::io::stderr(), "{line}").expect("stderr is open");
        }
    };
}

super::for_each_case!(cases);
