//! Wildcard patterns by their parts, and the walk that finds all of them that match a key.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::{mem, ptr};

use super::globs::Globs;
use crate::destination::Step;

/// A tree of the parts of patterns: words, segments of a path, or characters. What a pattern leads to is a `T`, one for each pattern.
///
/// Patterns that begin alike share their nodes, so one walk tries all of them at once.
#[derive(Debug)]
pub(super) struct Trie<T> {
    root: Node<T>,
}

#[derive(Debug)]
pub(super) struct Node<T> {
    value: Option<T>,
    words: HashMap<Box<str>, Self>,
    /// After [`Step::One`].
    star: Option<Box<Self>>,
    /// After [`Step::Any`].
    hash: Option<Box<Self>>,
    /// After each [`Step::Glob`].
    globs: Option<Box<Globs<T>>>,
}

/// Where in the tree the words so far may have led. All of these places go on at the same time, none is tried and
/// given up, so a walk costs at most words of the key times nodes of the tree whatever the patterns are.
#[derive(Debug)]
struct Places<'a, T> {
    /// Ends of the last word read. Every node has one parent, so it is in here once at most.
    plain: Vec<&'a Node<T>>,
    /// Nodes after a `#`: it takes every further word too, so whoever is in here stays.
    lasting: Vec<&'a Node<T>>,
    /// What is in `lasting` is reached again with every word.
    seen: HashSet<*const Node<T>>,
}

impl<T> Default for Trie<T> {
    fn default() -> Self {
        Self { root: Node::default() }
    }
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { value: None, words: HashMap::new(), star: None, hash: None, globs: None }
    }
}

impl<T> Trie<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }

    pub(super) fn get<'a>(&self, pattern: impl Iterator<Item = Step<'a>>) -> Option<&T> {
        let mut node = &self.root;
        for step in pattern {
            node = match step {
                Step::Any => node.hash.as_deref()?,
                Step::Glob(glob) => node.globs.as_ref()?.get(glob)?,
                Step::One => node.star.as_deref()?,
                Step::Word(word) => node.words.get(word)?,
            };
        }
        node.value.as_ref()
    }

    /// Where the value of that pattern is, or is to be put. Whoever leaves it empty has to [`Trie::remove`] it.
    pub(super) fn entry<'a>(&mut self, pattern: impl Iterator<Item = Step<'a>>) -> &mut Option<T> {
        let mut node = &mut self.root;
        for step in pattern {
            node = match step {
                Step::Any => node.hash.get_or_insert_default(),
                Step::Glob(glob) => node.globs.get_or_insert_default().entry(glob),
                Step::One => node.star.get_or_insert_default(),
                Step::Word(word) => node.words.entry(word.into()).or_default(),
            };
        }
        &mut node.value
    }

    /// Forgets the value of that pattern, and the nodes that led to nothing else.
    pub(super) fn remove<'a>(&mut self, pattern: impl Iterator<Item = Step<'a>>) {
        self.root.remove(pattern);
    }

    /// Calls `found` once for each pattern that matches.
    pub(super) fn walk<'a, 'k>(&'a self, key: impl Iterator<Item = &'k str>, mut found: impl FnMut(&'a T)) {
        if self.is_empty() {
            return;
        }
        let mut places = Places { plain: Vec::new(), lasting: Vec::new(), seen: HashSet::new() };
        places.reach(&self.root);
        for word in key {
            places.read(word);
        }
        places.plain.iter().chain(&places.lasting).filter_map(|it| it.value.as_ref()).for_each(&mut found);
    }
}

impl<T> Node<T> {
    pub(super) fn is_empty(&self) -> bool {
        let has_no_words = self.words.is_empty() && self.globs.is_none();
        self.value.is_none() && has_no_words && self.star.is_none() && self.hash.is_none()
    }

    pub(super) fn remove<'a>(&mut self, mut pattern: impl Iterator<Item = Step<'a>>) {
        match pattern.next() {
            None => self.value = None,
            Some(Step::Any) => remove_child(&mut self.hash, pattern),
            Some(Step::Glob(glob)) => {
                if let Some(globs) = &mut self.globs {
                    globs.remove(glob, pattern);
                    if globs.is_empty() {
                        self.globs = None;
                    }
                }
            }
            Some(Step::One) => remove_child(&mut self.star, pattern),
            Some(Step::Word(word)) => remove_named(&mut self.words, word, pattern),
        }
    }
}

pub(super) fn remove_named<'a, T>(
    nodes: &mut HashMap<Box<str>, Node<T>>,
    name: &str,
    pattern: impl Iterator<Item = Step<'a>>,
) {
    let Some(node) = nodes.get_mut(name) else { return };
    node.remove(pattern);
    if node.is_empty() {
        nodes.remove(name);
        shrink(nodes);
    }
}

fn remove_child<'a, T>(child: &mut Option<Box<Node<T>>>, pattern: impl Iterator<Item = Step<'a>>) {
    if let Some(node) = child {
        node.remove(pattern);
        if node.is_empty() {
            *child = None;
        }
    }
}

impl<'a, T> Places<'a, T> {
    fn read(&mut self, word: &str) {
        let before = mem::take(&mut self.plain);
        // Those that a `#` adds from here on have not read this word.
        let lasting = self.lasting.len();
        for i in 0..before.len() + lasting {
            let node = if i < before.len() { before[i] } else { self.lasting[i - before.len()] };
            let next = node.words.get(word).into_iter().chain(node.star.as_deref());
            next.for_each(|it| self.reach(it));
            if let Some(globs) = node.globs.as_deref() {
                globs.matching(word).into_iter().for_each(|it| self.reach(it));
            }
        }
    }

    /// Being at a node, `#` after it may stand for no word at all.
    fn reach(&mut self, node: &'a Node<T>) {
        self.plain.push(node);
        let mut hash = node.hash.as_deref();
        while let Some(after) = hash
            && self.seen.insert(ptr::from_ref(after))
        {
            self.lasting.push(after);
            hash = after.hash.as_deref();
        }
    }
}

/// Gives back what a map needed when it was far larger.
fn shrink<K: Hash + Eq, V>(map: &mut HashMap<K, V>) {
    if map.len() * 4 < map.capacity() {
        map.shrink_to(map.len() * 2);
    }
}
