//! Frames to the broker that stand for themselves, and what its own frames say.

use bytes::Bytes;

use super::settings::{Account, Settings};
use crate::message::{Message, is_own_header};
use crate::session::{Fault, Publish};
use crate::stomp::{Command, Encoder, Frame, Headers, Version};

/// What the gateway speaks to brokers: ACK and NACK of single messages came with 1.1.
pub(super) const VERSIONS: &str = "1.1,1.2";

/// Of the `message` header of an ERROR, and of its body: what is passed on to a client at most, in bytes.
const TITLE_MAX: usize = 512;
const TEXT_MAX: usize = 4 * 1024;

/// Login and passcode as they are sent; what is `None` is left out.
#[derive(Clone, Default, Eq, PartialEq)]
pub(super) struct Login {
    pub(super) login: Option<Box<str>>,
    pub(super) passcode: Option<Box<str>>,
}

impl From<&Account> for Login {
    fn from(account: &Account) -> Self {
        let Account { login, passcode } = account;
        Self { login: Some(login.as_str().into()), passcode: Some(passcode.as_str().into()) }
    }
}

/// Never prints the passcode.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login({:?})", self.login)
    }
}

/// Nothing that a client said in its own CONNECT travels, except with its own account login and passcode.
pub(super) fn connect(login: &Login, settings: &Settings) -> Bytes {
    let mut frame = Encoder::new(Version::V1_2, Command::Connect);
    frame.header("accept-version", VERSIONS);
    for (name, value) in [("login", &login.login), ("passcode", &login.passcode)] {
        if let Some(value) = value {
            frame.header(name, value);
        }
    }
    if let Some(host) = &settings.virtual_host {
        frame.header("host", host);
    }
    frame.header("heart-beat", &settings.heartbeat.to_string());
    frame.finish()
}

/// The last frame of a connection. Its RECEIPT says that the broker has taken all that came before.
pub(super) fn disconnect() -> Bytes {
    let mut frame = Encoder::new(Version::V1_2, Command::Disconnect);
    frame.header("receipt", "goodbye");
    frame.finish()
}

/// `receipt` if somebody waits for one.
pub(super) fn send(publish: &Publish, reply_to: Option<&str>, receipt: Option<&str>) -> Bytes {
    let destination = publish.destination.to_string();
    let own = [("destination", Some(&*destination)), ("reply-to", reply_to), ("receipt", receipt)];
    let own = own.into_iter().filter_map(|(name, value)| Some((name, value?)));
    Encoder::frame(Version::V1_2, Command::Send, own.chain(publish.headers.iter()), &publish.body)
}

/// A MESSAGE as clients are shown it. The `receipt` is that of the SEND, which some brokers pass on.
pub(super) fn message(frame: Frame) -> Message {
    let stays = |name: &str| is_own_header(name) || name == "receipt";
    let headers: Headers = frame.headers.iter().filter(|(name, _)| !stays(name)).collect();
    let text = |name| frame.header(name).unwrap_or_default();
    Message::new(text("message-id"), text("destination"), headers, frame.body.clone())
}

/// An ERROR in the broker's own words, as many as a client is told: neither where in ActiveMQ it was thrown, nor the
/// gateway's own login, which RabbitMQ names.
pub(super) fn error(frame: &Frame, hidden: &str) -> Fault {
    let without = |text: &str| text.replace(&format!(" for user '{hidden}'"), "");
    let body = String::from_utf8_lossy(&frame.body);
    let body = body.split("\n\tat ").next().unwrap_or_default().trim_end();
    let title = frame.header("message").filter(|it| !it.is_empty()).unwrap_or("Error from the broker");
    Fault::Relayed { title: cut(without(title), TITLE_MAX), text: cut(without(body), TEXT_MAX) }
}

fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        let end = (0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}
