//! What `[broker]` and the sections below it say.

mod stomp;

use std::time::Duration;

use super::memory::memory;
use super::{GIB, HOUR, MIB};
use crate::broker::{Outage, Tls, TlsFiles, TlsKeys, amqp, stomp as stomp_broker};
use crate::config::Broker;
use crate::config::kind::{bytes, choice, duration, number, parsed, string, urls};
use crate::config::reader::Reader;
use crate::destination::UserPrefix;

/// The words of `broker.kind`.
#[derive(Clone, Copy, PartialEq)]
enum BrokerKind {
    Amqp,
    Memory,
    Stomp,
}

const IDENTITIES: &[(&str, amqp::Identity)] =
    &[("gateway", amqp::Identity::Gateway), ("client", amqp::Identity::Client)];

const OUTAGES: &[(&str, Outage)] = &[("hold", Outage::Hold), ("reject", Outage::Reject)];

/// `unsettled_max` is that of sessions.
pub(super) fn broker(reader: &mut Reader, user_prefix: &UserPrefix, unsettled_max: usize) -> Broker {
    let words: &[_] = &[("memory", BrokerKind::Memory), ("amqp", BrokerKind::Amqp), ("stomp", BrokerKind::Stomp)];
    let kind = reader.key("broker.kind", choice(words), BrokerKind::Memory);
    let default = amqp::Settings::default();
    let outage = reader.key("broker.outage", choice(OUTAGES), default.outage);
    let hold_time = reader.time("broker.hold_time", default.hold_time);
    let ready_grace = reader.time("broker.ready_grace", default.ready_grace);
    // All sections are read, so that what is wrong in another one is found before the day it is used.
    let memory = memory(reader, user_prefix);
    let user_prefix = user_prefix.clone();
    let amqp = amqp::Settings { outage, hold_time, ready_grace, user_prefix, ..amqp(reader) };
    let stomp = stomp_broker::Settings { outage, hold_time, ready_grace, unsettled_max, ..stomp::stomp(reader) };
    match kind {
        BrokerKind::Amqp => Broker::Amqp(amqp),
        BrokerKind::Memory => Broker::Memory(memory),
        BrokerKind::Stomp => Broker::Stomp(stomp),
    }
}

fn amqp(reader: &mut Reader) -> amqp::Settings {
    let default = amqp::Settings::default();
    let exchange = || parsed("a name of 1 to 255 bytes", |it: &amqp::Name| it.as_str().to_owned());
    let connection_name = string("a name of 1 to 200 bytes", |it| (1..=200).contains(&it.len()));
    let (linger, in_flight) = (duration(Duration::ZERO..=HOUR), "broker.amqp.publishes_in_flight_max");
    let feed_bytes = u32::try_from(GIB).expect("a GiB is less than four");
    let amqp = amqp::Settings {
        urls: reader.key("broker.amqp.url", urls(), default.urls),
        identity: reader.key("broker.amqp.identity", choice(IDENTITIES), default.identity),
        account_idle_time: reader.time("broker.amqp.account_idle_time", default.account_idle_time),
        account_check_interval: reader.time("broker.amqp.account_check_interval", default.account_check_interval),
        accounts_max: reader.count("broker.amqp.accounts_max", default.accounts_max),
        credentials_bytes_max: reader.size("broker.amqp.credentials_bytes_max", MIB, default.credentials_bytes_max),
        connects_in_flight_max: reader.count("broker.amqp.connects_in_flight_max", default.connects_in_flight_max),
        tls: None,
        connection_name: reader.key("broker.amqp.connection_name", connection_name, default.connection_name),
        connect_timeout: reader.time("broker.amqp.connect_timeout", default.connect_timeout),
        reconnect_delay_min: reader.time("broker.amqp.reconnect_delay_min", default.reconnect_delay_min),
        reconnect_delay_max: reader.time("broker.amqp.reconnect_delay_max", default.reconnect_delay_max),
        operation_timeout: reader.time("broker.amqp.operation_timeout", default.operation_timeout),
        topic_exchange: reader.key("broker.amqp.topic_exchange", exchange(), default.topic_exchange),
        user_exchange: reader.key("broker.amqp.user_exchange", exchange(), default.user_exchange),
        session_exchange: reader.key("broker.amqp.session_exchange", exchange(), default.session_exchange),
        feed_shards: reader.key("broker.amqp.feed_shards", number(1..=64), default.feed_shards),
        feed_prefetch: reader.key("broker.amqp.feed_prefetch", number(1..=u16::MAX), default.feed_prefetch),
        feed_queue_bytes_max: reader.key(
            "broker.amqp.feed_queue_bytes_max",
            bytes(1_024..=feed_bytes),
            default.feed_queue_bytes_max,
        ),
        unbind_linger: reader.key("broker.amqp.unbind_linger", linger, default.unbind_linger),
        publishers: reader.key("broker.amqp.publishers", number(1..=64), default.publishers),
        publishes_in_flight_max: reader.key(in_flight, number(1..=65_536), default.publishes_in_flight_max),
        publish_queue_bytes_max: reader.size(
            "broker.amqp.publish_queue_bytes_max",
            64 * GIB,
            default.publish_queue_bytes_max,
        ),
        message_bytes_max: reader.size("broker.amqp.message_bytes_max", 512 * MIB, default.message_bytes_max),
        ..default
    };
    reader.rule(
        &["broker.amqp.reconnect_delay_min", "broker.amqp.reconnect_delay_max"],
        amqp.reconnect_delay_min <= amqp.reconnect_delay_max,
        "breaks a rule: broker.amqp.reconnect_delay_min must not be longer than broker.amqp.reconnect_delay_max",
    );
    let exchanges = [&amqp.topic_exchange, &amqp.user_exchange, &amqp.session_exchange];
    reader.rule(
        &["broker.amqp.user_exchange", "broker.amqp.session_exchange", "broker.amqp.topic_exchange"],
        (0..3).all(|it| exchanges[it] != exchanges[(it + 1) % 3]),
        "breaks a rule: topics, users and sessions need an exchange each",
    );
    reader.rule(
        &["broker.amqp.url"],
        amqp.urls.iter().all(|it| it.vhost() == amqp.urls[0].vhost()),
        "breaks a rule: all addresses must be of one virtual host, as they stand for one another",
    );
    amqp::Settings { tls: tls(reader, &amqp.urls), ..amqp }
}

/// The files are read when TLS is used, or meant to be.
fn tls(reader: &mut Reader, urls: &[amqp::Url]) -> Option<Tls> {
    let keys = &TlsKeys::AMQP;
    let files = tls_files(reader, keys);
    let is_used = urls.iter().any(amqp::Url::is_tls);
    if !is_used && files == TlsFiles::default() {
        return None;
    }
    reader.rule(
        &[keys.ca, keys.server_name, keys.certificate, keys.key],
        is_used,
        "is given, but no address in broker.amqp.url begins with amqps://: passcodes would travel in the clear",
    );
    load_tls(reader, &files, keys, "broker.amqp.url")
}

pub(super) fn tls_files(reader: &mut Reader, keys: &TlsKeys) -> TlsFiles {
    let mut text = |path| reader.key(path, string("text; empty for none", |_| true), String::new());
    TlsFiles {
        ca: text(keys.ca),
        server_name: text(keys.server_name),
        certificate: text(keys.certificate),
        key: text(keys.key),
    }
}

/// What is wrong is blamed on `switch` if none of the files was named.
pub(super) fn load_tls(reader: &mut Reader, files: &TlsFiles, keys: &TlsKeys, switch: &str) -> Option<Tls> {
    match Tls::load(files, keys) {
        Ok(tls) => Some(tls),
        Err(faults) => {
            faults.iter().for_each(|it| reader.rule(&[it.setting, switch], false, &it.problem));
            None
        }
    }
}
