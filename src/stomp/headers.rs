//! Header lines of a frame, in their order.

/// Names and values, unescaped. A name may be repeated: the first one counts (STOMP 1.2, Repeated Header Entries).
///
/// One allocation for all the text and one for its boundaries, since every frame makes and drops one of these.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Headers {
    text: String,
    /// For each header, where in `text` its name and its value end.
    ends: Vec<(u32, u32)>,
}

impl Headers {
    pub const fn new() -> Self {
        Self { text: String::new(), ends: Vec::new() }
    }

    /// Room for that many headers, with that many bytes of names and values in all.
    pub fn with_capacity(count: usize, bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), ends: Vec::with_capacity(count) }
    }

    pub fn push(&mut self, name: &str, value: &str) {
        self.text.push_str(name);
        let name_end = self.text.len();
        self.text.push_str(value);
        let end = |at: usize| u32::try_from(at).expect("header bytes are limited far below 4 GiB");
        self.ends.push((end(name_end), end(self.text.len())));
    }

    /// The first value of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(it, _)| *it == name).map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        let mut start = 0;
        self.ends.iter().map(move |(name_end, value_end)| {
            let (name_end, value_end) = (*name_end as usize, *value_end as usize);
            let name = &self.text[start..name_end];
            start = value_end;
            (name, &self.text[name_end..value_end])
        })
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all names and values.
    pub fn size(&self) -> usize {
        self.text.len()
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Headers {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a str)>>(headers: T) -> Self {
        let mut all = Self::new();
        for (name, value) in headers {
            all.push(name, value);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_repeated_headers_counts() {
        let headers = Headers::from_iter([("a", "1"), ("b", ""), ("a", "2")]);
        assert_eq!(headers.get("a"), Some("1"));
        assert_eq!(headers.get("b"), Some(""));
        assert_eq!(headers.get("c"), None);
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("a", "1"), ("b", ""), ("a", "2")]);
        assert_eq!((headers.len(), headers.size()), (3, 5));
    }
}
