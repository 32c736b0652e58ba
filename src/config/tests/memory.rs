//! The habits of the embedded broker.

use super::*;
use crate::destination::{Grammar, Syntax};

fn memory(loaded: &Loaded) -> crate::broker::memory::Settings {
    match &loaded.settings.broker {
        Broker::Memory(it) => it.clone(),
        Broker::Amqp(_) | Broker::Stomp(_) => panic!("it is the embedded broker"),
    }
}

#[test]
fn the_patterns_of_the_embedded_broker_decide_how_destinations_are_written() {
    let ant = "[broker.memory]\npatterns = 'ant'\nqueue_fan_out = true\nselector_header = 'selector'\n";
    let loaded = load_both(ant, []).unwrap();
    let settings = memory(&loaded);
    assert_eq!((settings.patterns, settings.queue_fan_out), (Syntax::Ant, true));
    assert_eq!(settings.selector_header.as_deref(), Some("selector"));
    assert_eq!(loaded.settings.session.grammar, Grammar::Plain);
    let loaded = load_both("", []).unwrap();
    let settings = memory(&loaded);
    assert_eq!((settings.patterns, settings.queue_fan_out, settings.selector_header), (Syntax::Words, false, None));
    assert_eq!(loaded.settings.session.grammar, Grammar::RabbitMq);
    // They say nothing about another broker.
    let loaded = load_both(ant, [("STOMPGATE__BROKER__KIND", "amqp")]).unwrap();
    assert_eq!(loaded.settings.session.grammar, Grammar::RabbitMq);
}

#[test]
fn fan_out_of_queues_needs_ant_patterns_and_a_selector_a_header_of_its_own() {
    let toml = "[broker.memory]\nqueue_fan_out = true\nselector_header = 'id'\nselector_bytes_max = 8\n";
    let faults = faults(toml, []);
    assert_eq!(faults.len(), 3, "{faults:?}");
    let about = ["selector_header", "selector_bytes_max", "queue_fan_out"];
    for key in about {
        assert!(faults.iter().any(|it| it.starts_with(&format!("FILE: broker.memory.{key} "))), "{faults:?}");
    }
}
