//! The cookie by which some balancers keep the requests of a client together (S34, S35).

use hyper::header::{COOKIE, HeaderMap, HeaderValue};

const NAME: &str = "JSESSIONID";

/// The client's own value, or else one that says nothing.
pub(super) fn of_answer(asked: &HeaderMap, is_secure: bool) -> HeaderValue {
    let values = asked.get_all(COOKIE).into_iter().filter_map(|it| it.to_str().ok());
    let mut pairs = values.flat_map(|it| it.split(';')).filter_map(|it| it.trim().split_once('='));
    let value = pairs.find(|(name, _)| *name == NAME).map(|(_, value)| value);
    let value = value.filter(|it| !it.is_empty() && it.bytes().all(is_cookie_octet)).unwrap_or("dummy");
    let attributes = if is_secure { "; HttpOnly; Secure; SameSite=None" } else { "" };
    HeaderValue::from_str(&format!("{NAME}={value}; path=/{attributes}")).expect("all of it is plain ASCII")
}

/// RFC 6265 section 4.1.1.
const fn is_cookie_octet(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'+' | b'-'..=b':' | b'<'..=b'[' | b']'..=b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s34_s35_the_client_gets_its_own_value_if_it_is_a_legal_one() {
        let check = |cookie: &str, is_secure, expected: &str| {
            let mut asked = HeaderMap::new();
            asked.insert(COOKIE, cookie.parse().unwrap());
            assert_eq!(of_answer(&asked, is_secure), expected, "{cookie}");
        };
        check("JSESSIONID=abcdef", false, "JSESSIONID=abcdef; path=/");
        check("a=b; JSESSIONID=x.node1", false, "JSESSIONID=x.node1; path=/");
        for bad in ["a=b", "JSESSIONID=", "JSESSIONID=a b", "JSESSIONID=a\"b", "JSESSIONID=a,b", "XJSESSIONID=a"] {
            check(bad, false, "JSESSIONID=dummy; path=/");
        }
        check("JSESSIONID=a", true, "JSESSIONID=a; path=/; HttpOnly; Secure; SameSite=None");
        assert_eq!(of_answer(&HeaderMap::new(), false), "JSESSIONID=dummy; path=/");
    }
}
