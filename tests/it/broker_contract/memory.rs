//! The contract on the embedded broker.

use stompgate::broker::Broker;
use stompgate::broker::memory;
use stompgate::telemetry::Registry;

use super::fixture::{Clock, Fixture};

macro_rules! cases {
    ($($group:ident: $case:ident $(, not on amqp: $amqp:literal)? $(, not on stomp: $stomp:literal)?;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $case() {
            super::$group::$case(fixture()).await;
        }
    )*};
}

super::for_each_case!(cases);

fn fixture() -> Fixture {
    let broker = memory::Broker::new(memory::Settings::default(), memory::Metrics::new(&Registry::default()));
    Fixture::new(Broker::Memory(broker), Clock::Paused)
}
