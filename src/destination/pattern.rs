//! What a topic subscription asks for. Its wildcards are those of a [`Syntax`]; the methods here are about words
//! between dots, `*` for one word, `#` for zero or more (D4).

use super::Syntax;

/// A topic name that may hold wildcards.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Pattern {
    text: Box<str>,
    is_literal: bool,
}

impl Pattern {
    pub fn new(text: &str) -> Self {
        Self { text: text.into(), is_literal: false }
    }

    /// That text and nothing else, whatever is in it.
    pub fn literal(text: &str) -> Self {
        Self { text: text.into(), is_literal: true }
    }

    pub fn is_literal(&self) -> bool {
        self.is_literal
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn words(&self) -> impl Iterator<Item = &str> {
        Syntax::Words.parts(&self.text)
    }

    /// Whether anything but its own text matches.
    pub fn has_wildcards(&self) -> bool {
        !self.is_literal && Syntax::Words.has_wildcards(&self.text)
    }

    /// Whether a message published under `key` matches: the plain definition, linear in words times words.
    ///
    /// A table of many patterns has a faster way; this is what it is held to.
    pub fn matches(&self, key: &str) -> bool {
        if self.is_literal {
            return *self.text == *key;
        }
        let pattern: Vec<_> = self.words().collect();
        // reached[i]: the first i words of the pattern match the words of the key so far.
        let mut reached = vec![false; pattern.len() + 1];
        reached[0] = true;
        skip_hashes(&pattern, &mut reached);
        for word in key.split('.') {
            let mut next = vec![false; pattern.len() + 1];
            for (i, expected) in pattern.iter().enumerate().filter(|(i, _)| reached[*i]) {
                if *expected == "#" {
                    next[i] = true;
                } else if *expected == "*" || *expected == word {
                    next[i + 1] = true;
                }
            }
            skip_hashes(&pattern, &mut next);
            reached = next;
        }
        reached[pattern.len()]
    }
}

/// A `#` may also stand for no word at all.
fn skip_hashes(pattern: &[&str], reached: &mut [bool]) {
    for (i, word) in pattern.iter().enumerate() {
        if reached[i] && *word == "#" {
            reached[i + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let it = Pattern::new(pattern);
        matching.iter().for_each(|key| assert!(it.matches(key), "{pattern} should match {key}"));
        others.iter().for_each(|key| assert!(!it.matches(key), "{pattern} should not match {key}"));
    }

    #[test]
    fn d4_star_is_one_word_and_hash_is_any_number() {
        check("a.b", &["a.b"], &["a", "a.b.c", "a.c"]);
        check("a.*", &["a.b", "a."], &["a", "a.b.c", "b.a"]);
        check("*", &["a", ""], &["a.b"]);
        check("#", &["a", "a.b", ""], &[]);
        check("a.#", &["a", "a.b", "a.b.c"], &["b", "b.a"]);
        check("#.z", &["z", "a.z", "a.b.z"], &["z.a", "a"]);
        check("a.#.z", &["a.z", "a.b.z", "a.b.c.z"], &["a", "z", "a.b"]);
        check("#.#", &["a", "a.b"], &[]);
        check("*.#.*", &["a.b", "a.b.c"], &["a"]);
        check("a*.b#", &["a*.b#"], &["ab.b", "a.b"]);
    }

    #[test]
    fn nothing_in_a_literal_is_a_wildcard() {
        for text in ["#", "*", "a.*", "a.#.b"] {
            let it = Pattern::literal(text);
            assert!(it.matches(text) && !it.matches("a.x") && !it.matches("a.x.b") && !it.has_wildcards(), "{text}");
        }
    }

    #[test]
    fn many_hashes_cost_no_more_than_their_number() {
        let it = Pattern::new(&["#"; 120].join("."));
        assert!(it.matches(&["w"; 120].join(".")));
        assert!(!Pattern::new(&format!("{}.end", ["#"; 100].join("."))).matches(&["w"; 120].join(".")));
    }
}
