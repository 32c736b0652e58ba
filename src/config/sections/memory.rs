//! What `[broker.memory]` says.

use super::GIB;
use crate::broker::memory::Settings;
use crate::config::kind::{bytes, choice, flag, string};
use crate::config::reader::Reader;
use crate::destination::{Syntax, UserPrefix};

const PATTERNS: &[(&str, Syntax)] = &[("rabbitmq", Syntax::Words), ("ant", Syntax::Ant)];

pub(super) fn memory(reader: &mut Reader, user_prefix: &UserPrefix) -> Settings {
    let default = Settings::default();
    let (patterns, fan_out) = ("broker.memory.patterns", "broker.memory.queue_fan_out");
    // Others are for the gateway, whatever they hold.
    let is_free = |it: &str| !["destination", "id", "receipt"].contains(&it);
    let header = string("the name of a header such as `selector`, or empty for none", is_free);
    let settings = Settings {
        queue_messages_max: reader.count("broker.memory.queue_messages_max", default.queue_messages_max),
        queue_bytes_max: reader.size("broker.memory.queue_bytes_max", 1024 * GIB, default.queue_bytes_max),
        queues_max: reader.count("broker.memory.queues_max", default.queues_max),
        bytes_max: reader.size("broker.memory.bytes_max", 1024 * GIB, default.bytes_max),
        patterns: reader.key(patterns, choice(PATTERNS), default.patterns),
        queue_fan_out: reader.key(fan_out, flag(), default.queue_fan_out),
        selector_header: Some(reader.key("broker.memory.selector_header", header, String::new()))
            .filter(|it| !it.is_empty())
            .map(Into::into),
        selector_bytes_max: reader.key(
            "broker.memory.selector_bytes_max",
            bytes(16..=65_536),
            default.selector_bytes_max,
        ),
        user_prefix: user_prefix.clone(),
    };
    reader.rule(
        &[fan_out, patterns],
        !settings.queue_fan_out || settings.patterns == Syntax::Ant,
        "is what Spring's simple broker does: say `ant` in broker.memory.patterns, too",
    );
    settings
}
