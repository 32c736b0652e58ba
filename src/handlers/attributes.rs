//! What handlers remember of a session: told to every handler of its frames, and gone with it.

use std::sync::{Arc, Mutex};

use super::pattern::is_name;
use crate::sync::lock;

/// Of one session. Cloning it clones a handle.
#[derive(Clone, Debug, Default)]
pub struct Attributes(Arc<Mutex<Vec<Attribute>>>);

type Attribute = (Box<str>, Box<str>);

/// One that an answer sets; without a value it goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Change {
    pub(super) name: Box<str>,
    pub(super) value: Option<Box<str>>,
}

impl Attributes {
    pub(super) fn all(&self) -> Vec<Attribute> {
        lock(&self.0).clone()
    }

    /// All of them, or none if there would be more bytes of names and values than that.
    pub(super) fn change(&self, changes: Vec<Change>, bytes_max: usize) -> Result<(), String> {
        let mut attributes = lock(&self.0);
        let mut changed = attributes.clone();
        for Change { name, value } in changes {
            if !is_name(&name) {
                return Err(format!("{name:?} is no name: it has letters, digits, - and _"));
            }
            changed.retain(|(it, _)| !it.eq_ignore_ascii_case(&name));
            changed.extend(value.map(|value| (name, value)));
        }
        let bytes: usize = changed.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > bytes_max {
            return Err(format!(
                "the attributes of a session have at most {bytes_max} bytes (app.attribute_bytes_max)"
            ));
        }
        *attributes = changed;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, value: &str) -> Change {
        let value = (!value.is_empty()).then(|| value.into());
        Change { name: name.into(), value }
    }

    #[test]
    fn the_last_value_of_a_name_counts_and_without_one_it_goes() {
        let attributes = Attributes::default();
        attributes.change(vec![change("a", "1"), change("b", "2"), change("A", "3")], 100).unwrap();
        attributes.change(vec![change("b", "")], 100).unwrap();
        assert_eq!(attributes.all(), [("A".into(), "3".into())]);
    }

    #[test]
    fn one_byte_more_than_the_bound_changes_nothing() {
        let attributes = Attributes::default();
        attributes.change(vec![change("a", "123")], 4).unwrap();
        let error = attributes.change(vec![change("a", "1"), change("b", "123")], 4).unwrap_err();
        assert_eq!(error, "the attributes of a session have at most 4 bytes (app.attribute_bytes_max)");
        assert_eq!(attributes.all(), [("a".into(), "123".into())]);
        assert!(attributes.change(vec![change("a b", "1")], 100).is_err());
    }
}
