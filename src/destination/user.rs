//! Destinations of users: how clients write them, and the names that Spring makes of them at a broker.

use std::str::FromStr;

use super::{Destination, DestinationError, NEEDS_NAME, Whom, invalid, name};
use crate::ident::SessionId;

/// What destinations of users begin with; it ends with a slash. `/user/` unless an operator says otherwise.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UserPrefix(Box<str>);

/// Other destinations begin with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("other destinations begin with it")]
pub struct UserPrefixError;

const KIND: &str = "user";
const NEEDS_REST: &str = "it needs what a client subscribes to, as in /user/queue/news";
const NEEDS_BOTH: &str = "it needs the name of the user, and after a slash what they subscribe to, as in \
                          /user/ann/queue/news";

impl UserPrefix {
    /// Of a SUBSCRIBE; `None` if it is no destination of a user.
    pub fn to_subscribe(&self, text: &str) -> Option<Result<Destination, DestinationError>> {
        let rest = self.rest(text)?;
        Some(if rest.len() > 1 {
            Ok(Destination::User { whom: Whom::Subscriber, rest: rest.into() })
        } else {
            Err(invalid(KIND, rest, NEEDS_REST))
        })
    }

    /// Of a SEND; `None` if it is no destination of a user.
    pub fn to_send(&self, text: &str) -> Option<Result<Destination, DestinationError>> {
        let after_prefix = self.rest(text)?;
        Some(match after_prefix[1..].find('/').map(|at| after_prefix.split_at(at + 1)) {
            Some((user, rest)) if rest.len() > 1 => {
                whom(&user[1..]).map(|whom| Destination::User { whom, rest: rest.into() })
            }
            Some(_) | None => Err(invalid(KIND, after_prefix, NEEDS_BOTH)),
        })
    }

    /// As the client that subscribed wrote it.
    pub fn shown(&self, rest: &str) -> String {
        let prefix = self.0.strip_suffix('/').expect("it ends with a slash");
        format!("{prefix}{rest}")
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// From the slash that ends the prefix.
    fn rest<'a>(&self, text: &'a str) -> Option<&'a str> {
        text.starts_with(&*self.0).then(|| &text[self.0.len() - 1..])
    }
}

impl Default for UserPrefix {
    fn default() -> Self {
        Self("/user/".into())
    }
}

impl FromStr for UserPrefix {
    type Err = UserPrefixError;

    /// A slash at the end may be left out, as with Spring.
    fn from_str(text: &str) -> Result<Self, UserPrefixError> {
        let prefix = if text.ends_with('/') { text.to_owned() } else { format!("{text}/") };
        match Destination::parse(&format!("{prefix}queue/x")) {
            Err(DestinationError::Unknown(_)) => Ok(Self(prefix.into())),
            Ok(_) | Err(_) => Err(UserPrefixError),
        }
    }
}

/// What has the form of a session id is one.
fn whom(text: &str) -> Result<Whom, DestinationError> {
    if text.is_empty() {
        return Err(invalid(KIND, "/", NEEDS_NAME));
    }
    Ok(match SessionId::parse(text) {
        Some(session) => Whom::Session(session),
        None => Whom::Name(name(text)?),
    })
}

/// Whether that is how Spring names what one session alone has at a broker: `NAME-user<session id>`, where the id is
/// one of ours, or a UUID.
pub fn is_of_a_session(name: &str) -> bool {
    let ends_with = |length: usize, is_id: fn(&str) -> bool| {
        let parts = name.len().checked_sub(length).and_then(|at| name.split_at_checked(at));
        parts.is_some_and(|(before, id)| before.ends_with("-user") && is_id(id))
    };
    ends_with(22, |it| SessionId::parse(it).is_some()) || ends_with(36, is_uuid)
}

fn is_uuid(text: &str) -> bool {
    let is_hyphen = |place| [8, 13, 18, 23].contains(&place);
    text.bytes().enumerate().all(|(place, it)| if is_hyphen(place) { it == b'-' } else { it.is_ascii_hexdigit() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

    fn check_sent(text: &str, whom: Whom, rest: &str) {
        let sent = UserPrefix::default().to_send(text).expect("it is a destination of a user").unwrap();
        assert_eq!(sent, Destination::User { whom, rest: rest.into() }, "{text}");
    }

    fn named(name: &str) -> Whom {
        Whom::Name(name.into())
    }

    #[test]
    fn sp70_a_subscription_has_what_follows_the_prefix() {
        let prefix = UserPrefix::default();
        for rest in ["/queue/foo", "/topic/a.b", "/exchange/amq.direct/x", "/jms.queue.call", "/a/b/c/"] {
            let destination = prefix.to_subscribe(&format!("/user{rest}")).unwrap().unwrap();
            assert_eq!(destination, Destination::User { whom: Whom::Subscriber, rest: rest.into() });
            assert_eq!(prefix.shown(rest), format!("/user{rest}"));
        }
        for other in ["/topic/user/a", "/users/queue/foo", "/user", "user/queue/foo", "/queue/user"] {
            assert!(prefix.to_subscribe(other).is_none() && prefix.to_send(other).is_none(), "{other}");
        }
        assert!(prefix.to_subscribe("/user/").unwrap().is_err());
    }

    #[test]
    fn sp70_a_send_names_the_user_before_the_next_slash() {
        check_sent("/user/joe/queue/foo", named("joe"), "/queue/foo");
        check_sent("/user/joe/exchange/amq.direct/x", named("joe"), "/exchange/amq.direct/x");
        check_sent("/user/joe/jms.queue.call", named("joe"), "/jms.queue.call");
        check_sent(
            "/user/https:%2F%2Fjoe.openid.example%2F/queue/foo",
            named("https://joe.openid.example/"),
            "/queue/foo",
        );
        check_sent("/user/a%2fb%20/queue/foo%2F", named("a%2fb%20"), "/queue/foo%2F");
        check_sent("/user/#/queue/foo", named("#"), "/queue/foo");
    }

    #[test]
    fn a_session_id_in_the_place_of_a_name_means_that_session() {
        check_sent(&format!("/user/{ID}/queue/foo"), Whom::Session(SessionId::from_random([0; 16])), "/queue/foo");
        check_sent(&format!("/user/{ID}A/queue/foo"), named(&format!("{ID}A")), "/queue/foo");
    }

    #[test]
    fn a_send_without_a_name_or_without_a_rest_is_refused() {
        let refused = |text: &str| UserPrefix::default().to_send(text).unwrap().unwrap_err().to_string();
        for text in ["/user/joe", "/user/joe/", "/user/"] {
            assert!(refused(text).contains("it needs the name of the user, and after a slash"), "{text}");
        }
        assert!(refused("/user//queue/foo").contains("it needs a name"));
        assert!(refused(&format!("/user/{}/queue/foo", "n".repeat(256))).contains("at most 255"));
        check_sent(&format!("/user/{}/queue/foo", "n".repeat(255)), named(&"n".repeat(255)), "/queue/foo");
    }

    #[test]
    fn sp73_a_prefix_ends_with_a_slash_and_is_not_that_of_other_destinations() {
        let parsed = |text: &str| text.parse::<UserPrefix>().map(|it| it.as_str().to_owned());
        assert_eq!(parsed("/people"), Ok("/people/".to_owned()));
        assert_eq!(parsed("/people/"), Ok("/people/".to_owned()));
        for taken in ["", "/", "/topic", "/queue/", "/exchange/", "/amq/", "/amq/queue/", "/reply-queue/"] {
            assert_eq!(parsed(taken), Err(UserPrefixError), "{taken}");
        }
        let prefix: UserPrefix = "/people".parse().unwrap();
        let sent = prefix.to_send("/people/joe/queue/x").unwrap().unwrap();
        assert_eq!(sent, Destination::User { whom: named("joe"), rest: "/queue/x".into() });
        assert_eq!(prefix.shown("/queue/x"), "/people/queue/x");
    }

    #[test]
    fn names_that_end_with_an_id_are_of_a_session() {
        let uuid = "12345678-90ab-cdef-1234-567890abcdef";
        for id in [ID, uuid] {
            assert!(is_of_a_session(&format!("x-user{id}")) && is_of_a_session(&format!("-user{id}")));
            assert!(!is_of_a_session(&format!("x-users{id}")) && !is_of_a_session(&format!("x-user{id}x")));
        }
        for other in ["x-user", "x-users", "power-user", "x-user-7", "x-userannées-bien-trop-longues", ID, ""] {
            assert!(!is_of_a_session(other), "{other}");
        }
    }
}
