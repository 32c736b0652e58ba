//! What `[broker.stomp]` says.

use super::{load_tls, tls_files};
use crate::broker::stomp::{Account, Address, Identity, Settings};
use crate::broker::{Tls, TlsFiles, TlsKeys};
use crate::config::kind::{Kind, choice, flag, list, parsed, passcode, string};
use crate::config::reader::Reader;
use crate::config::sections::{GIB, MIB, heartbeat};
use crate::stomp::HeartBeat;

const IDENTITIES: &[(&str, Identity)] = &[("gateway", Identity::Gateway), ("client", Identity::Client)];

pub(super) fn stomp(reader: &mut Reader) -> Settings {
    let default = Settings::default();
    let address = parsed("`host:port`, with brackets around an IPv6 address", Address::to_string);
    let addresses = reader.key("broker.stomp.address", list(address), default.addresses.clone());
    reader.rule(&["broker.stomp.address"], !addresses.is_empty(), "is empty: where is the broker?");
    let (in_flight, connections) = ("broker.stomp.connects_in_flight_max", "broker.stomp.connections_max");
    let prefix = string("how destinations begin, for example `/queue/`", |it| !it.is_empty());
    let settings = Settings {
        addresses,
        tls: None,
        identity: reader.key("broker.stomp.identity", choice(IDENTITIES), default.identity),
        virtual_host: Some(reader.key("broker.stomp.virtual_host", text(), String::new())).filter(|it| !it.is_empty()),
        heartbeat: HeartBeat {
            send_ms: heartbeat(reader, "broker.stomp.heartbeat_send", default.heartbeat.send_ms),
            receive_ms: heartbeat(reader, "broker.stomp.heartbeat_receive", default.heartbeat.receive_ms),
        },
        connect_timeout: reader.time("broker.stomp.connect_timeout", default.connect_timeout),
        connected_timeout: reader.time("broker.stomp.connected_timeout", default.connected_timeout),
        operation_timeout: reader.time("broker.stomp.operation_timeout", default.operation_timeout),
        reconnect_delay_min: reader.time("broker.stomp.reconnect_delay_min", default.reconnect_delay_min),
        reconnect_delay_max: reader.time("broker.stomp.reconnect_delay_max", default.reconnect_delay_max),
        connects_in_flight_max: reader.count(in_flight, default.connects_in_flight_max),
        connections_max: reader.count(connections, default.connections_max),
        frame_bytes_max: reader.size("broker.stomp.frame_bytes_max", GIB, default.frame_bytes_max),
        publish_queue_bytes_max: reader.size(
            "broker.stomp.publish_queue_bytes_max",
            64 * 1024 * MIB,
            default.publish_queue_bytes_max,
        ),
        queue_prefixes: reader.key("broker.stomp.queue_prefixes", list(prefix), default.queue_prefixes.clone()),
        ..accounts(reader, default)
    };
    reader.rule(
        &["broker.stomp.reconnect_delay_min", "broker.stomp.reconnect_delay_max"],
        settings.reconnect_delay_min <= settings.reconnect_delay_max,
        "breaks a rule: broker.stomp.reconnect_delay_min must not be longer than broker.stomp.reconnect_delay_max",
    );
    Settings { tls: tls(reader), ..settings }
}

fn accounts(reader: &mut Reader, default: Settings) -> Settings {
    let account = Account {
        login: reader.key("broker.stomp.login", text(), default.account.login),
        passcode: reader.key("broker.stomp.passcode", passcode(), default.account.passcode),
    };
    let system = Account {
        login: reader.key("broker.stomp.system_login", text(), String::new()),
        passcode: reader.key("broker.stomp.system_passcode", passcode(), String::new()),
    };
    reader.rule(
        &["broker.stomp.system_login", "broker.stomp.system_passcode"],
        system.login.is_empty() == system.passcode.is_empty(),
        "is given without the other one of broker.stomp.system_login and broker.stomp.system_passcode",
    );
    let system_account = if system.login.is_empty() { account.clone() } else { system };
    Settings { account, system_account, ..default }
}

fn tls(reader: &mut Reader) -> Option<Tls> {
    let (keys, switch) = (&TlsKeys::STOMP, "broker.stomp.tls.enabled");
    let is_used = reader.key(switch, flag(), false);
    let files = tls_files(reader, keys);
    reader.rule(
        &[keys.ca, keys.server_name, keys.certificate, keys.key],
        is_used || files == TlsFiles::default(),
        "is given, but broker.stomp.tls.enabled is not true: passcodes would travel in the clear",
    );
    if is_used { load_tls(reader, &files, keys, switch) } else { None }
}

fn text() -> Kind<String> {
    string("text; empty for none", |_| true)
}
