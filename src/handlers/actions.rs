//! `application/vnd.stompgate.actions+json`: an answer that asks for several things.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::answer::{Asked, Handled, Reply, To, Told, of_user};
use super::attributes::Change;
use super::failure::{Cause, Failure};
use super::request::Event;
use crate::destination::Whom;
use crate::message::is_own_header;
use crate::stomp::Headers;

/// Of one answer.
const ACTIONS_MAX: usize = 100;

/// Either all actions make sense, or none is carried out.
pub(super) fn parse(asked: &Asked<'_>, body: &[u8]) -> Result<Handled, String> {
    let actions: Vec<Value> = serde_json::from_slice(body).map_err(|error| format!("no list of actions: {error}"))?;
    if actions.len() > ACTIONS_MAX {
        return Err(format!("an answer has at most {ACTIONS_MAX} actions, not {}", actions.len()));
    }
    let mut handled = Handled { replies: Vec::new(), outcome: Ok(()), told: Told::Sender, ends_session: false };
    let (mut is_error, mut changes) = (false, Vec::new());
    for (number, action) in actions.iter().enumerate() {
        let fault = |why: String| format!("action {}: {why}", number + 1);
        let fields = Fields(action.as_object().ok_or_else(|| fault("it is no object".to_owned()))?);
        match fields.required("action").map_err(fault)? {
            "disconnect" => handled.ends_session = true,
            "error" => {
                is_error = true;
                let text = fields.required("message").map_err(fault)?;
                handled.outcome =
                    Err(Failure::new(Cause::Refused, "answered with an error".to_owned()).told(text.into()));
            }
            // What a good answer means anyway.
            "receipt" => {}
            "set-attribute" => {
                let name = fields.required("name").map_err(fault)?.into();
                let value = fields.text("value").map_err(fault)?.map(Into::into);
                changes.push(Change { name, value });
            }
            name => {
                let to = fields.destination(asked, name).map_err(fault)?;
                let (headers, body) = fields.content().map_err(fault)?;
                handled.replies.push(Reply { to, headers, body });
            }
        }
    }
    asked.attributes.change(changes, asked.attribute_bytes_max)?;
    if !is_error {
        handled.told = Told::of(&asked.route.on_error);
    }
    Ok(handled)
}

struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("{name} is no text")),
        }
    }

    fn required(&self, name: &str) -> Result<&'a str, String> {
        self.text(name)?.ok_or_else(|| format!("{name} is missing"))
    }

    fn flag(&self, name: &str, default: bool) -> Result<bool, String> {
        match self.0.get(name) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(format!("{name} is neither true nor false")),
        }
    }

    fn destination(&self, asked: &Asked<'_>, action: &str) -> Result<To, String> {
        let of_user = |whom| of_user(whom, self.required("destination")?).map(To::Destination);
        match action {
            "reply-subscription" if asked.event == Event::Subscribe => Ok(To::Subscription),
            "reply-subscription" => Err("only a SUBSCRIBE has a subscription to reply to".to_owned()),
            "send" => asked.destination(self.required("destination")?).map(To::Destination),
            "send-to-session" => of_user(Whom::Session(asked.sender.session)),
            "send-to-user" => match self.text("user")? {
                Some(user) => of_user(Whom::Name(user.into())),
                None => {
                    let broadcast = self.flag("broadcast", true)?;
                    asked.of_sender(self.required("destination")?, broadcast).map(To::Destination)
                }
            },
            _ => Err(format!("there is no action {action:?}")),
        }
    }

    /// `body` is text, `json` any value.
    fn content(&self) -> Result<(Headers, Bytes), String> {
        let (body, own_type) = match (self.text("body")?, self.0.get("json")) {
            (Some(_), Some(_)) => return Err("it has a body and json".to_owned()),
            (Some(text), None) => (Bytes::copy_from_slice(text.as_bytes()), None),
            (None, Some(json)) => (Bytes::from(json.to_string()), Some("application/json")),
            (None, None) => (Bytes::new(), None),
        };
        let content_type = self.text("content-type")?.or(own_type);
        let mut headers: Headers = content_type.into_iter().map(|it| ("content-type", it)).collect();
        match self.0.get("headers") {
            None => {}
            Some(Value::Object(added)) => {
                for (name, value) in added {
                    let value = value.as_str().ok_or_else(|| format!("header {name} is no text"))?;
                    if !is_own_header(name) {
                        headers.push(name, value);
                    }
                }
            }
            Some(_) => return Err("headers is no object".to_owned()),
        }
        Ok((headers, body))
    }
}
