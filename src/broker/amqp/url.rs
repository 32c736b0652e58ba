//! Addresses of RabbitMQ.

use std::fmt;
use std::str::FromStr;

use lapin::uri::{AMQPScheme, AMQPUri};

const SCHEMES: [&str; 2] = ["amqp://", "amqps://"];

/// Where RabbitMQ is, and who the gateway is to it: `amqp://login:password@host:port/vhost`, or `amqps://`.
///
/// Printing it never shows the password.
#[derive(Clone, Eq, PartialEq)]
pub struct Url(AMQPUri);

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UrlError {
    #[error("a host has no comma: each of several addresses begins with amqp:// or amqps://")]
    Comma,
    // The library would connect to localhost instead.
    #[error("an IPv6 address can't stand in an AMQP URL here: give the host a name")]
    Ipv6,
    #[error("not an AMQP URL (amqp://login:password@host:port/vhost): {0}")]
    Malformed(String),
}

impl Url {
    /// Several of them in one text. A comma is only between two of them where the next one begins: passcodes may have
    /// some, too.
    pub fn split(text: &str) -> Vec<&str> {
        let begins = |at: &usize| SCHEMES.iter().any(|it| text[at + 1..].trim_start().starts_with(it));
        let commas = text.match_indices(',').map(|(at, _)| at).filter(begins);
        let ends: Vec<_> = commas.chain([text.len()]).collect();
        let begins = [0].into_iter().chain(ends.iter().map(|it| it + 1));
        begins.zip(&ends).map(|(begin, end)| text[begin..*end].trim()).collect()
    }

    pub fn vhost(&self) -> &str {
        &self.0.vhost
    }

    pub(super) const fn uri(&self) -> &AMQPUri {
        &self.0
    }

    pub(super) fn host(&self) -> &str {
        &self.0.authority.host
    }

    pub(super) fn login(&self) -> &str {
        &self.0.authority.userinfo.username
    }

    /// What stands in the log about a connection.
    pub(super) fn address(&self) -> String {
        format!("{}:{}", self.host(), self.0.authority.port)
    }

    pub fn is_tls(&self) -> bool {
        self.0.scheme == AMQPScheme::AMQPS
    }
}

impl Default for Url {
    fn default() -> Self {
        "amqp://guest:guest@127.0.0.1:5672/%2f".parse().expect("the default is a valid URL")
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let authority = text.split("://").nth(1).unwrap_or("").split('/').next().unwrap_or("");
        if authority.rsplit('@').next().is_some_and(|it| it.starts_with('[')) {
            return Err(UrlError::Ipv6);
        }
        let uri: AMQPUri = text.parse().map_err(UrlError::Malformed)?;
        if uri.authority.host.contains(',') {
            return Err(UrlError::Comma);
        }
        Ok(Self(uri))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPUri { scheme, authority, vhost, .. } = &self.0;
        let scheme = match scheme {
            AMQPScheme::AMQP => "amqp",
            AMQPScheme::AMQPS => "amqps",
        };
        let vhost = vhost.replace('%', "%25").replace('/', "%2f");
        let (login, host, port) = (&authority.userinfo.username, &authority.host, authority.port);
        write!(f, "{scheme}://{login}:***@{host}:{port}/{vhost}")
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        let url: Url = "amqps://jo:sec%2Fret@rabbit.example:5671/a%2Fb".parse().unwrap();
        assert_eq!(url.to_string(), "amqps://jo:***@rabbit.example:5671/a%2fb");
        assert_eq!(url.address(), "rabbit.example:5671");
    }

    #[test]
    fn a_url_that_would_lead_elsewhere_is_refused() {
        assert_eq!("amqp://u:p@[::1]:5672/%2f".parse::<Url>(), Err(UrlError::Ipv6));
        assert_eq!("amqp://a,b/%2f".parse::<Url>(), Err(UrlError::Comma));
        assert!(matches!("http://host/".parse::<Url>(), Err(UrlError::Malformed(_))));
        assert!(matches!("rabbit:5672".parse::<Url>(), Err(UrlError::Malformed(_))));
    }

    #[test]
    fn several_are_parted_where_the_next_one_begins() {
        let check = |text: &str, parts: &[&str]| assert_eq!(Url::split(text), parts);
        check("amqp://a/v", &["amqp://a/v"]);
        check("amqp://a/v,amqps://b/v", &["amqp://a/v", "amqps://b/v"]);
        check("amqp://u:p,q,@a/v ,\n amqp://u:,@b/v", &["amqp://u:p,q,@a/v", "amqp://u:,@b/v"]);
        check("", &[""]);
    }
}
