//! What a key may hold: how it is read from TOML or text, which values are allowed, how it is printed.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use config::{Value, ValueKind};

use crate::auth::User;
use crate::broker::amqp::Url;
use crate::destination::{Destination, Pattern};
use crate::handlers::Secret;

/// The values of one key, of type `T` once they are read.
pub(super) struct Kind<T> {
    /// Completes "it must be ..".
    pub(super) allowed: String,
    pub(super) secrecy: Secrecy,
    parse: Parse<T>,
    /// As TOML; of a secret, only what anybody may see.
    show: Box<dyn Fn(&T) -> String>,
}

type Parse<T> = Box<dyn Fn(&Value) -> Option<T>>;

/// Whether the value may be printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Secrecy {
    Open,
    Secret,
}

/// A shorter secret can be guessed from one signature.
const SECRET_BYTES_MIN: usize = 16;

/// What is printed in place of a secret.
const MASK: &str = "***";

impl<T: 'static> Kind<T> {
    pub(super) fn parse(&self, value: &Value) -> Option<T> {
        (self.parse)(value)
    }

    pub(super) fn show(&self, value: &T) -> String {
        (self.show)(value)
    }

    /// The same values, told in other words.
    pub(super) fn worded(self, allowed: &str) -> Self {
        Self { allowed: allowed.to_owned(), ..self }
    }

    fn secret(self) -> Self {
        Self { secrecy: Secrecy::Secret, ..self }
    }

    fn open(
        allowed: impl Into<String>,
        parse: impl Fn(&Value) -> Option<T> + 'static,
        show: impl Fn(&T) -> String + 'static,
    ) -> Self {
        Self { allowed: allowed.into(), secrecy: Secrecy::Open, parse: Box::new(parse), show: Box::new(show) }
    }
}

pub(super) fn address() -> Kind<SocketAddr> {
    Kind::open("an IP address and a port", |it| text(it)?.parse().ok(), |it: &SocketAddr| quoted(&it.to_string()))
}

/// An address, or `off`.
pub(super) fn address_or_off() -> Kind<Option<SocketAddr>> {
    Kind::open(
        "an IP address and a port, or `off`",
        |it| match &*text(it)? {
            "off" => Some(None),
            address => address.parse().ok().map(Some),
        },
        |it: &Option<SocketAddr>| quoted(&it.map_or_else(|| "off".to_owned(), |it| it.to_string())),
    )
}

pub(super) fn flag() -> Kind<bool> {
    Kind::open("`true` or `false`", |it| text(it)?.parse().ok(), bool::to_string)
}

/// A whole number.
pub(super) fn number<T>(range: RangeInclusive<T>) -> Kind<T>
where
    T: Copy + PartialOrd + fmt::Display + FromStr + 'static,
{
    Kind::open(
        format!("a whole number from {} to {}", range.start(), range.end()),
        move |it| text(it)?.parse().ok().filter(|it| range.contains(it)),
        T::to_string,
    )
}

/// A number of bytes: `65536`, or `"64KiB"`.
pub(super) fn bytes<T>(range: RangeInclusive<T>) -> Kind<T>
where
    T: Copy + PartialOrd + TryFrom<usize> + TryInto<usize> + 'static,
{
    let size = |it: &T| (*it).try_into().ok().expect("the limits of this program fit its address space");
    Kind::open(
        format!("a number of bytes from {} to {}", size_text(size(range.start())), size_text(size(range.end()))),
        move |it| T::try_from(parse_size(&text(it)?)?).ok().filter(|it| range.contains(it)),
        move |it| match size_text(size(it)) {
            number if number.parse::<usize>().is_ok() => number,
            with_unit => quoted(&with_unit),
        },
    )
}

/// A time with its unit: `"10s"`, `"250ms"`. Milliseconds are the smallest that is kept.
pub(super) fn duration(range: RangeInclusive<Duration>) -> Kind<Duration> {
    Kind::open(
        format!("a time with its unit from {} to {}", duration_text(*range.start()), duration_text(*range.end())),
        move |it| {
            let duration = humantime::parse_duration(&text(it)?).ok()?;
            let is_whole = duration.subsec_nanos().is_multiple_of(1_000_000);
            (is_whole && range.contains(&duration)).then_some(duration)
        },
        |it| quoted(&duration_text(*it)),
    )
}

/// Text that passes a check; `allowed` says what the check asks for.
pub(super) fn string(allowed: &str, is_allowed: impl Fn(&str) -> bool + 'static) -> Kind<String> {
    Kind::open(allowed, move |it| own_text(it).filter(|it| is_allowed(it)), |it| quoted(it))
}

/// Text that is not printed.
pub(super) fn passcode() -> Kind<String> {
    Kind::open("text", own_text, |it: &String| quoted(if it.is_empty() { "" } else { MASK })).secret()
}

/// One word of a closed set.
pub(super) fn choice<T: Copy + PartialEq + 'static>(words: &'static [(&'static str, T)]) -> Kind<T> {
    let allowed = words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>();
    Kind::open(
        format!("one of {}", allowed.join(", ")),
        |it| {
            let text = text(it)?;
            words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
        },
        |it| {
            let (word, _) = words.iter().find(|(_, value)| value == it).expect("each value has its word");
            quoted(word)
        },
    )
}

/// Addresses of RabbitMQ, of which there is at least one. They are shown as one text, as most are written.
pub(super) fn urls() -> Kind<Vec<Url>> {
    let allowed = "`amqp://login:passcode@host:port/vhost`, or `amqps://` (no IPv6 address as host); several are a list, \
                   or text with commas";
    let parse = |it: &Value| {
        let urls = match &it.kind {
            ValueKind::Array(items) => items.iter().map(own_text).collect::<Option<Vec<_>>>()?,
            _ => Url::split(&own_text(it)?).into_iter().map(str::to_owned).collect(),
        };
        let urls: Option<Vec<Url>> = urls.iter().map(|it| it.parse().ok()).collect();
        urls.filter(|it| !it.is_empty())
    };
    let show = |it: &Vec<Url>| quoted(&it.iter().map(Url::to_string).collect::<Vec<_>>().join(","));
    Kind::open(allowed, parse, show).secret()
}

/// A list, or text with commas between its items.
pub(super) fn list<T: 'static>(item: Kind<T>) -> Kind<Vec<T>> {
    let Kind { allowed, secrecy, parse, show } = item;
    Kind {
        allowed: format!("a list, or text with commas; each item must be {allowed}"),
        secrecy,
        parse: Box::new(move |it| items(it).iter().map(&parse).collect()),
        show: Box::new(move |it| format!("[{}]", it.iter().map(&show).collect::<Vec<_>>().join(", "))),
    }
}

/// The destination of a topic subscription, with or without wildcards.
pub(super) fn topic() -> Kind<Pattern> {
    Kind::open(
        "a topic such as `/topic/prices.#`",
        |it| match Destination::parse(&text(it)?).ok()? {
            Destination::Topic(pattern) => Some(Pattern::new(&pattern)),
            Destination::AmqQueue(_)
            | Destination::Exchange { .. }
            | Destination::Queue(_)
            | Destination::ReplyQueue(_)
            | Destination::TempQueue(_)
            | Destination::App(_)
            | Destination::Foreign(_)
            | Destination::User { .. } => None,
        },
        |it| quoted(&format!("/topic/{}", it.as_str())),
    )
}

/// A login and its passcode: a table of both, or `login:passcode`.
pub(super) fn user() -> Kind<User> {
    let allowed = "a table of `login` and `passcode` (or `login:passcode`), neither of them empty";
    let show = |it: &User| format!("{{ login = {}, passcode = {} }}", quoted(&it.login), quoted(MASK));
    Kind::open(allowed, parse_user, show).secret()
}

/// What proves to services that a request is the gateway's.
pub(super) fn secret() -> Kind<Option<Secret>> {
    let allowed = format!("text of {SECRET_BYTES_MIN} bytes or more; empty for none");
    let parse = |it: &Value| match own_text(it)? {
        text if text.is_empty() => Some(None),
        text => (text.len() >= SECRET_BYTES_MIN).then(|| Some(Secret::new(&text))),
    };
    Kind::open(allowed, parse, |it| quoted(if it.is_some() { MASK } else { "" })).secret()
}

/// A value that a module parses itself.
pub(super) fn parsed<T: FromStr + 'static>(allowed: &str, show: impl Fn(&T) -> String + 'static) -> Kind<T> {
    // Why it is none is not told: what `allowed` says has to be enough.
    Kind::open(allowed, |it| own_text(it)?.parse().ok(), move |it| quoted(&show(it)))
}

/// Text as a TOML string.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A value as it was written, more or less.
pub(super) fn given(value: &Value) -> String {
    match &value.kind {
        ValueKind::String(text) => quoted(text),
        ValueKind::Array(items) => format!("[{}]", items.iter().map(given).collect::<Vec<_>>().join(", ")),
        ValueKind::Table(_) => "a table".to_owned(),
        kind => kind.to_string(),
    }
}

/// A single value as text; the environment has nothing else.
fn text(value: &Value) -> Option<String> {
    match &value.kind {
        ValueKind::Table(_) | ValueKind::Array(_) | ValueKind::Nil => None,
        kind => Some(kind.to_string()),
    }
}

/// Only what was written as text: of a passcode `0123`, TOML would keep the number.
fn own_text(value: &Value) -> Option<String> {
    match &value.kind {
        ValueKind::String(text) => Some(text.clone()),
        _ => None,
    }
}

fn items(value: &Value) -> Vec<Value> {
    match &value.kind {
        ValueKind::Array(items) => items.clone(),
        ValueKind::String(text) => {
            let items = text.split([',', '\n']).map(str::trim).filter(|it| !it.is_empty());
            items.map(|it| Value::new(None, it)).collect()
        }
        _ => vec![value.clone()],
    }
}

fn parse_user(value: &Value) -> Option<User> {
    let (login, passcode) = match &value.kind {
        ValueKind::Table(table) if table.len() == 2 => {
            (own_text(table.get("login")?)?, own_text(table.get("passcode")?)?)
        }
        ValueKind::String(text) => {
            text.split_once(':').map(|(login, passcode)| (login.to_owned(), passcode.to_owned()))?
        }
        _ => return None,
    };
    (!login.is_empty() && !passcode.is_empty()).then(|| User { login: login.into(), passcode: passcode.into() })
}

/// Units from the largest to the smallest.
const UNITS: [(&str, usize); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

fn parse_size(text: &str) -> Option<usize> {
    let found = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (number, factor) = found.unwrap_or((text, 1));
    number.trim_end().parse::<usize>().ok()?.checked_mul(factor)
}

fn size_text(bytes: usize) -> String {
    let unit = UNITS.iter().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor));
    unit.map_or_else(|| bytes.to_string(), |(unit, factor)| format!("{}{unit}", bytes / factor))
}

fn duration_text(duration: Duration) -> String {
    // The crate would print a blank between units.
    humantime::format_duration(duration).to_string().replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_as_toml_reads_it() {
        assert_eq!(quoted("a\"b\\c\n\u{7f}é"), "\"a\\\"b\\\\c\\u000A\\u007Fé\"");
    }

    #[test]
    fn sizes_are_read_in_the_units_that_they_are_shown_in() {
        for (text, size) in [("0", 0), ("1000", 1000), ("1KiB", 1024), ("3MiB", 3 << 20), ("2GiB", 2 << 30)] {
            assert_eq!((parse_size(text), &*size_text(size)), (Some(size), text));
        }
        for bad in ["", "KiB", "1.5KiB", "-1", "1KB", "99999999999999999999", "99999999999GiB"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }
}
