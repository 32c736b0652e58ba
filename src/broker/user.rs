//! Under which keys a back end finds the subscriptions that a message to a user or to a session reaches.

use crate::destination::Pattern;
use crate::session::Fault;

/// Of a publish, or a subscribe, that says whom the other one would say.
pub(super) const NOT_NAMED: Fault =
    Fault::Unsupported("a message is sent to a named user or session, and each subscribes for itself");

/// Of what is sent to that user, or session, with that rest. The length keeps names and rests apart.
pub(super) fn key(name: &str, rest: &str) -> String {
    format!("{}:{name}{rest}", name.len())
}

/// What a subscription is kept under.
pub(super) fn pattern(name: &str, rest: &str) -> Pattern {
    Pattern::literal(&key(name, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_slashes_and_rests_are_never_taken_for_each_other() {
        assert_ne!(key("a/b", "/c"), key("a", "/b/c"));
        assert_ne!(key("1", "1:x/y"), key("11", ":x/y"));
        assert!(!pattern("a.#", "/queue/*").has_wildcards());
    }
}
