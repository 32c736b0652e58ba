//! The function of the page that frames are handed to (S74).

use super::route::decoded;
use crate::http::refusal::Refusal;

/// What the reference server takes; clients need fewer.
const BYTES_MAX: usize = 32;

pub(super) fn of(query: Option<&str>) -> Result<String, Refusal> {
    let raw = query.unwrap_or_default().split('&').find_map(|it| it.strip_prefix("c="));
    let raw = raw.filter(|it| !it.is_empty()).ok_or(Refusal::CallbackMissing)?;
    // It becomes part of a script.
    let is_name = |it: &String| it.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_.".contains(&it));
    decoded(raw).filter(|it| it.len() <= BYTES_MAX && is_name(it)).ok_or(Refusal::CallbackInvalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s74_a_callback_is_a_short_name() {
        for (query, name) in
            [("c=callback", "callback"), ("t=1&c=%63allback&x=y", "callback"), ("c=_jp.a-9", "_jp.a-9")]
        {
            assert_eq!(of(Some(query)).unwrap(), name, "{query}");
        }
        assert_eq!(of(Some(&format!("c={}", "x".repeat(32)))).unwrap().len(), 32);
        for query in [None, Some(""), Some("c="), Some("cc=x"), Some("t=1")] {
            assert_eq!(of(query), Err(Refusal::CallbackMissing), "{query:?}");
        }
        for bad in ["a%20b", "a*", "a(", "a%28", "%", "a%0a", "a+b", "ä", &"x".repeat(33)] {
            assert_eq!(of(Some(&format!("c={bad}"))), Err(Refusal::CallbackInvalid), "{bad}");
        }
    }
}
