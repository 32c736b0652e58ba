//! How the names in destinations are written.

use super::{Destination, DestinationError, NAME_BYTES_MAX};

/// Which texts are destinations.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Grammar {
    /// The broker's own: what is not the gateway's business is passed on as it was written.
    Foreign,
    /// What follows `/topic/` and `/queue/` is the name as it stands, slashes included, as in Spring.
    Plain,
    /// [`Destination::parse`]: a name has no slash, and `%2F` is one.
    #[default]
    RabbitMq,
}

impl Grammar {
    pub fn parse(self, text: &str) -> Result<Destination, DestinationError> {
        if self == Self::Foreign {
            let is_blank = text.is_empty();
            return if is_blank { Err(DestinationError::Blank) } else { Ok(Destination::Foreign(text.into())) };
        }
        let plain = |kind| text.strip_prefix(kind).filter(|name| self == Self::Plain && !name.is_empty());
        match (plain("/topic/"), plain("/queue/")) {
            (Some(name), _) => within(name).map(Destination::Topic),
            (None, Some(name)) => within(name).map(Destination::Queue),
            (None, None) => Destination::parse(text),
        }
    }

    /// As a MESSAGE shows it, so that it is what was sent to.
    pub fn show(self, destination: &Destination) -> String {
        match (self, destination) {
            (Self::Plain, Destination::Topic(name)) => format!("/topic/{name}"),
            (Self::Plain, Destination::Queue(name)) => format!("/queue/{name}"),
            (Self::Foreign | Self::Plain | Self::RabbitMq, other) => other.to_string(),
        }
    }
}

fn within(name: &str) -> Result<Box<str>, DestinationError> {
    let (length, max) = (name.len(), NAME_BYTES_MAX);
    if length <= max { Ok(name.into()) } else { Err(DestinationError::TooLong { length, max }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_have_slashes_and_are_shown_as_they_were_written() {
        for (text, expected) in [
            ("/topic/a/b", Destination::Topic("a/b".into())),
            ("/topic/a%2Fb", Destination::Topic("a%2Fb".into())),
            ("/topic/a//", Destination::Topic("a//".into())),
            ("/queue/a/b", Destination::Queue("a/b".into())),
        ] {
            let parsed = Grammar::Plain.parse(text).unwrap();
            assert_eq!(parsed, expected);
            assert_eq!(Grammar::Plain.show(&parsed), text);
        }
        assert_eq!(Grammar::Plain.parse("a"), Destination::parse("a"));
        for refused in ["", "/topic", "/topic/", "/queue/", "/elsewhere/a", "a/b"] {
            assert_eq!(Grammar::Plain.parse(refused), Destination::parse(refused));
            assert!(Grammar::Plain.parse(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_plain_name_is_bounded_as_others_are() {
        assert!(Grammar::Plain.parse(&format!("/topic/{}", "k".repeat(255))).is_ok());
        let error = Grammar::Plain.parse(&format!("/topic/{}", "k".repeat(256))).unwrap_err();
        assert!(error.to_string().contains("at most 255"), "{error}");
    }

    #[test]
    fn the_grammar_of_rabbitmq_is_that_of_destinations() {
        for text in ["/topic/a.b", "/topic/a%2Fb", "/topic/a/b", "/queue/a/b", "/temp-queue/a"] {
            let parsed = Grammar::RabbitMq.parse(text);
            assert_eq!(parsed, Destination::parse(text));
            parsed.into_iter().for_each(|it| assert_eq!(Grammar::RabbitMq.show(&it), text));
        }
    }
}
