//! The contract on RabbitMQ's STOMP plugin, as a stand-in for any broker that speaks STOMP.

use std::io::Write;

use stompgate::broker::stomp::Settings;

use crate::stomp_relay::{Gateway, address};

macro_rules! cases {
    ($($group:ident: $case:ident $(, not on amqp: $amqp:literal)? $(, not on stomp: $stomp:literal)?;)*) => {
        $(cases!(@case $group $case $($stomp)?);)*
    };
    (@case $group:ident $case:ident) => {
        #[tokio::test]
        async fn $case() {
            let addresses = vec![address("STOMPGATE_TEST_STOMP_RABBITMQ")];
            let gateway = Gateway::connected(Settings { addresses, ..Settings::default() }).await;
            super::$group::$case(gateway.fixture()).await;
            gateway.stop().await;
        }
    };
    (@case $group:ident $case:ident $reason:literal) => {
        #[test]
        fn $case() {
            // Not captured, unlike what the macros print, so every run shows it.
            let line = format!("{} is not held against STOMP brokers: {}", stringify!($case), $reason);
            writeln!(std::io::stderr(), "{line}").expect("stderr is open");
        }
    };
}

super::for_each_case!(cases);
