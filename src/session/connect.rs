//! CONNECT and STOMP: what two peers agree on before anything else.

use super::action::{Action, Credentials, Sent};
use super::core::Core;
use super::refusal::Refusal;
use crate::ident::{OpId, Principal};
use crate::stomp::{Command, Encoder, Frame, HeartBeat, Version};

/// A CONNECT whose client is being checked.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) op: OpId,
    version: Version,
    heartbeat: HeartBeat,
    /// Only for the ERROR of a refused one (RC10).
    pub(super) receipt: Option<Box<str>>,
}

impl Opening {
    /// Reads a CONNECT and asks for the link.
    pub(super) fn begin(core: &mut Core, frame: &Frame) -> Result<Self, Refusal> {
        let version = Version::negotiate(frame.header("accept-version")).ok_or(Refusal::VersionMismatch)?;
        let heartbeat = match frame.header("heart-beat") {
            Some(value) => HeartBeat::parse(value).map_err(Refusal::BadHeartBeat)?,
            None => HeartBeat::default(),
        };
        let text = |name| frame.header(name).map(Into::into);
        let credentials = Credentials { login: text("login"), passcode: text("passcode"), host: text("host") };
        let op = core.next_op();
        core.act(Action::Open { op, credentials });
        Ok(Self { op, version, heartbeat, receipt: text("receipt") })
    }

    /// Says CONNECTED.
    pub(super) fn finish(self, core: &mut Core, user: Option<Principal>) {
        let ours = core.settings.heartbeat;
        core.version = self.version;
        core.timers.connected(ours.sending_to(self.heartbeat), ours.receiving_from(self.heartbeat));
        let mut frame = Encoder::new(self.version, Command::Connected);
        frame.header("version", self.version.as_str());
        frame.header("heart-beat", &ours.to_string());
        frame.header("server", concat!("stompgate/", env!("CARGO_PKG_VERSION")));
        frame.header("session", &core.id.to_string());
        if let Some(user) = &user {
            frame.header("user-name", user.name());
        }
        core.user = user;
        core.transmit(Sent::Connected, frame.finish());
    }
}
