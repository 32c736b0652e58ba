//! The headers by which proxies tell whom they speak for: `Forwarded` (RFC 7239) and `X-Forwarded-For`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The elements of a list, the last one first. A comma within quotes parts nothing.
///
/// Read from the right, a quote that a client has left open can't swallow what its proxy added behind it.
pub(super) fn from_the_right(list: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    // Backslashes before the quote that was read last: an odd number makes it a part of the text.
    let mut quote: Option<usize> = None;
    list.rsplit(move |it| {
        if let ('\\', Some(backslashes)) = (it, &mut quote) {
            *backslashes += 1;
            return false;
        }
        is_quoted ^= quote.take().is_some_and(|backslashes| backslashes % 2 == 0);
        quote = (it == '"').then_some(0);
        it == ',' && !is_quoted
    })
}

/// The address in an element of `Forwarded`: `for=192.0.2.1;proto=https`, `for="[2001:db8::1]:4711"`.
pub(super) fn element(text: &str) -> Option<SocketAddr> {
    let (_, value) = pairs(text).filter_map(|it| it.split_once('=')).find(|(name, _)| is_for(name))?;
    let value = value.trim();
    node(value.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(value))
}

/// What semicolons part, but for those within quotes, where a backslash takes the meaning of what follows it
/// (RFC 9110 section 5.6.4).
fn pairs(element: &str) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    element.split(move |it| {
        if std::mem::take(&mut is_escaped) {
            return false;
        }
        is_escaped = is_quoted && it == '\\';
        is_quoted ^= it == '"';
        it == ';' && !is_quoted
    })
}

fn is_for(name: &str) -> bool {
    name.trim().eq_ignore_ascii_case("for")
}

/// An address with or without a port, which is 0 then. `None` for `unknown` and names that hide an address.
pub(super) fn node(text: &str) -> Option<SocketAddr> {
    let text = text.trim();
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::from);
    let ip = || text.parse::<IpAddr>().ok().or_else(bracketed).map(|it| SocketAddr::new(it, 0));
    let node = text.parse().ok().or_else(ip)?;
    Some(SocketAddr::new(node.ip().to_canonical(), node.port()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_element_of_forwarded_names_an_address_or_nobody() {
        fn check(text: &str, expected: Option<&str>) {
            assert_eq!(element(text).map(|it| it.to_string()).as_deref(), expected, "{text}");
        }
        check("for=192.0.2.1", Some("192.0.2.1:0"));
        check(" For = 192.0.2.1 ;proto=http;by=203.0.113.43", Some("192.0.2.1:0"));
        check("proto=http; for=\"192.0.2.1:4711\"", Some("192.0.2.1:4711"));
        check("for=\"[2001:db8:cafe::17]:4711\"", Some("[2001:db8:cafe::17]:4711"));
        check("for=\"[2001:db8:cafe::17]\"", Some("[2001:db8:cafe::17]:0"));
        check("for=\"::ffff:192.0.2.1\"", Some("192.0.2.1:0"));
        check("by=\"a;for=203.0.113.9\";for=192.0.2.1", Some("192.0.2.1:0"));
        check(r#"host="a\";for=203.0.113.9;";for=192.0.2.1"#, Some("192.0.2.1:0"));
        check(r#"host="a\\";for=192.0.2.1"#, Some("192.0.2.1:0"));
        check("host=\"a;for=192.0.2.1", None);
        for hidden in ["for=unknown", "for=_hidden", "for=\"_gazonk\"", "for=", "for=\"", "by=192.0.2.1", "", "for"] {
            check(hidden, None);
        }
    }

    #[test]
    fn a_comma_within_quotes_parts_nothing_and_an_open_quote_swallows_nothing() {
        let all = |it: &'static str| from_the_right(it).collect::<Vec<_>>();
        assert_eq!(all("a, b=\"c,d\",e"), ["e", " b=\"c,d\"", "a"]);
        assert_eq!(all("for=\"x, for=192.0.2.1")[0], " for=192.0.2.1");
        assert_eq!(all(r#"a,b="\",c",d="\\""#), [r#"d="\\""#, r#"b="\",c""#, "a"]);
        assert_eq!(all(""), [""]);
    }

    proptest! {
        #[test]
        fn what_a_client_writes_does_not_hide_what_its_proxy_adds(written in "[ -~]{0,60}") {
            let proxy = "192.0.2.1:0".parse().ok();
            prop_assert_eq!(from_the_right(&format!("{written}, 192.0.2.1")).map(node).next(), Some(proxy));
            prop_assert_eq!(from_the_right(&format!("{written},for=192.0.2.1")).map(element).next(), Some(proxy));
            prop_assert!(from_the_right(&written).map(element).count() > 0);
        }
    }
}
