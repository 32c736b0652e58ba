//! Destinations with places for the path of a frame and the variables of its route.

use super::pattern::{Pattern, Variables};

/// `/topic{path}`, `/topic/rooms.{room}`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Template(Box<str>);

/// Why a text is no template for routes of a pattern.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TemplateError {
    #[error("{0:?} is no destination: it has to begin with a slash")]
    NoDestination(String),
    #[error("{{{0}}} is neither {{path}}, nor {{words}}, nor a variable of {1}")]
    Unknown(String, String),
}

/// What a route made of a path.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Behind `/app`, with its slash.
    pub(super) path: Box<str>,
    pub(super) variables: Variables,
}

const PATH: &str = "path";
/// The path as one name: `orders.7` for `/orders/7`.
const WORDS: &str = "words";

impl Template {
    pub fn parse(text: &str, pattern: &Pattern) -> Result<Self, TemplateError> {
        if !text.starts_with('/') && !text.starts_with('{') {
            return Err(TemplateError::NoDestination(text.to_owned()));
        }
        let is_known = |name: &str| [PATH, WORDS].contains(&name) || pattern.variables().any(|it| it == name);
        match names(text).find(|it| !is_known(it)) {
            Some(unknown) => Err(TemplateError::Unknown(unknown.to_owned(), pattern.to_string())),
            None => Ok(Self(text.into())),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn expand(&self, place: &Place) -> String {
        expand(&self.0, place)
    }
}

/// Spring's default, `/topic` and the path.
impl Default for Template {
    fn default() -> Self {
        Self("/topic{path}".into())
    }
}

impl Place {
    /// The routing key of a path, too.
    pub(super) fn words(&self) -> String {
        self.path.trim_start_matches('/').replace('/', ".")
    }

    fn value(&self, name: &str) -> Option<String> {
        match name {
            PATH => Some(self.path.to_string()),
            WORDS => Some(self.words()),
            _ => self.variables.iter().find(|(it, _)| **it == *name).map(|(_, value)| value.to_string()),
        }
    }
}

/// Braces around anything else stay as they are.
pub(super) fn expand(text: &str, place: &Place) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let (before, from_brace) = rest.split_at(open);
        expanded.push_str(before);
        let known = from_brace.find('}').and_then(|close| Some((close, place.value(&from_brace[1..close])?)));
        let passed = match known {
            Some((close, value)) => {
                expanded.push_str(&value);
                close + 1
            }
            None => {
                expanded.push('{');
                1
            }
        };
        rest = &from_brace[passed..];
    }
    expanded.push_str(rest);
    expanded
}

fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).map(|it| it.split_once('}').map_or(it, |(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::pattern::Separator;

    fn pattern() -> Pattern {
        Pattern::parse("/app/orders/{id}", Separator::Slash).unwrap()
    }

    #[test]
    fn path_words_and_variables_are_put_in() {
        let place = Place { path: "/orders/7".into(), variables: vec![("id".into(), "7".into())] };
        let check = |text: &str, expected: &str| {
            assert_eq!(Template::parse(text, &pattern()).unwrap().expand(&place), expected);
        };
        check("/topic{path}", "/topic/orders/7");
        check("/topic/{words}", "/topic/orders.7");
        check("/queue/a.{id}.b.{id}", "/queue/a.7.b.7");
        assert_eq!(expand("/topic/{no}.{id}{", &place), "/topic/{no}.7{");
    }

    #[test]
    fn what_a_client_writes_is_put_in_once() {
        let place = Place { path: "/{id}".into(), variables: vec![("id".into(), "{path}".into())] };
        assert_eq!(expand("/topic{path}/{id}", &place), "/topic/{id}/{path}");
    }

    #[test]
    fn an_unknown_name_is_refused() {
        let error = Template::parse("/topic/{room}", &pattern()).unwrap_err().to_string();
        assert_eq!(error, "{room} is neither {path}, nor {words}, nor a variable of /app/orders/{id}");
        assert!(Template::parse("topic", &pattern()).is_err());
    }
}
