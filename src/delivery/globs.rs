//! Segments with open characters, after one node of a tree of patterns.

use std::collections::HashMap;

use super::trie::{Node, Trie, remove_named};
use crate::destination::{Step, ant};

/// Nodes by the text of the segment before them, and a tree of its characters that finds those that match a word, so
/// that not each of them has to be tried.
#[derive(Debug)]
pub(super) struct Globs<T> {
    nodes: HashMap<Box<str>, Node<T>>,
    /// Segments that can be read in the same way share a place.
    index: Trie<Vec<Box<str>>>,
}

impl<T> Default for Globs<T> {
    fn default() -> Self {
        Self { nodes: HashMap::new(), index: Trie::default() }
    }
}

impl<T> Globs<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(super) fn get(&self, glob: &str) -> Option<&Node<T>> {
        self.nodes.get(glob)
    }

    pub(super) fn entry(&mut self, glob: &str) -> &mut Node<T> {
        if !self.nodes.contains_key(glob) {
            for reading in ant::globs(glob) {
                self.index.entry(reading.into_iter()).get_or_insert_default().push(glob.into());
            }
        }
        self.nodes.entry(glob.into()).or_default()
    }

    pub(super) fn remove<'a>(&mut self, glob: &str, rest: impl Iterator<Item = Step<'a>>) {
        remove_named(&mut self.nodes, glob, rest);
        if self.nodes.contains_key(glob) {
            return;
        }
        for reading in ant::globs(glob) {
            let place = self.index.entry(reading.iter().copied());
            place.iter_mut().for_each(|globs| globs.retain(|it| **it != *glob));
            if place.as_ref().is_none_or(Vec::is_empty) {
                self.index.remove(reading.into_iter());
            }
        }
    }

    /// Each node once whose segment that word matches.
    pub(super) fn matching(&self, word: &str) -> Vec<&Node<T>> {
        let mut globs: Vec<&str> = Vec::new();
        self.index.walk(ant::characters(word), |it| globs.extend(it.iter().map(|it| &**it)));
        // One of its readings is enough.
        globs.sort_unstable();
        globs.dedup();
        globs.into_iter().filter_map(|it| self.nodes.get(it)).collect()
    }
}
