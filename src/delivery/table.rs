//! Which subscriptions a published topic reaches.

use std::borrow::Borrow;
use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::outbox::{Outbox, Pushed};
use super::trie::Trie;
use crate::destination::{Pattern, Step, Syntax};
use crate::ident::SubscriptionKey;
use crate::message::{Delivery, Message};
use crate::sync::lock;

/// One subscription, and where its deliveries go.
#[derive(Clone, Debug)]
pub struct Subscriber {
    pub outbox: Arc<Outbox>,
    pub key: SubscriptionKey,
}

/// Subscribers by the topic or pattern they ask for. Shared by all tasks of a back end.
///
/// A pattern is a group with a lock of its own, held while something is published to it: publishers of one topic take
/// turns (so all its subscribers see one order), a removal waits for the publish under way, and other topics go on.
/// The maps that lead to the groups are locked only while a group is looked up, made or forgotten.
#[derive(Debug)]
pub struct Table<S = Subscriber> {
    syntax: Syntax,
    shards: [Shard<S>; SHARDS],
    hasher: RandomState,
    wildcards: RwLock<Trie<Arc<Group<S>>>>,
}

type Shard<S> = RwLock<HashMap<Box<str>, Arc<Group<S>>>>;

/// So that subscribers who come and go rarely wait for each other.
const SHARDS: usize = 16;

/// Everybody with the same pattern.
#[derive(Debug)]
struct Group<S>(Mutex<Members<S>>);

#[derive(Debug)]
struct Members<S> {
    subscribers: HashSet<S>,
    /// The last one has left and the group is about to be forgotten: nobody may join it any more.
    is_over: bool,
}

impl<S> Default for Table<S> {
    fn default() -> Self {
        Self::new(Syntax::default())
    }
}

impl<S> Table<S> {
    /// Of patterns that are all written like this.
    pub fn new(syntax: Syntax) -> Self {
        Self { syntax, shards: Default::default(), hasher: RandomState::new(), wildcards: RwLock::default() }
    }
}

impl<S: Eq + Hash> Table<S> {
    /// Says whether this is the first subscription of that pattern.
    pub fn insert(&self, pattern: &Pattern, subscriber: S) -> bool {
        let mut group = self.group(pattern);
        loop {
            let mut members = group.lock();
            if !members.is_over {
                members.subscribers.insert(subscriber);
                return members.subscribers.len() == 1;
            }
            drop(members);
            self.forget(pattern, &group);
            group = self.group(pattern);
        }
    }

    /// Says whether that was the last subscription of that pattern. Nothing is pushed for it afterwards.
    pub fn remove<Q: Eq + Hash>(&self, pattern: &Pattern, subscriber: &Q) -> bool
    where
        S: Borrow<Q>,
    {
        let Some(group) = self.find(pattern) else { return false };
        let mut members = group.lock();
        let was_there = members.subscribers.remove(subscriber);
        members.shrink();
        members.is_over = members.subscribers.is_empty();
        let is_over = members.is_over;
        drop(members);
        if is_over {
            self.forget(pattern, &group);
        }
        was_there && is_over
    }

    /// Calls `visit` once for every subscriber that a message published under `key` reaches.
    ///
    /// `visit` must not come back to this table.
    pub fn for_each(&self, key: &str, mut visit: impl FnMut(&S)) {
        let group = read(self.shard(key)).get(key).cloned();
        if let Some(group) = group {
            group.lock().subscribers.iter().for_each(&mut visit);
        }
        let mut groups = Vec::new();
        read(&self.wildcards).walk(self.syntax.parts(key), |group| groups.push(Arc::clone(group)));
        for group in groups {
            group.lock().subscribers.iter().for_each(&mut visit);
        }
    }

    fn find(&self, pattern: &Pattern) -> Option<Arc<Group<S>>> {
        if self.has_wildcards(pattern) {
            read(&self.wildcards).get(self.steps(pattern)).cloned()
        } else {
            read(self.shard(pattern.as_str())).get(pattern.as_str()).cloned()
        }
    }

    fn group(&self, pattern: &Pattern) -> Arc<Group<S>> {
        if let Some(group) = self.find(pattern) {
            return group;
        }
        if self.has_wildcards(pattern) {
            Arc::clone(write(&self.wildcards).entry(self.steps(pattern)).get_or_insert_default())
        } else {
            Arc::clone(write(self.shard(pattern.as_str())).entry(pattern.as_str().into()).or_default())
        }
    }

    /// Takes a group that is over out of the maps, unless somebody did and it has a successor.
    fn forget(&self, pattern: &Pattern, group: &Arc<Group<S>>) {
        if self.has_wildcards(pattern) {
            let mut wildcards = write(&self.wildcards);
            if wildcards.get(self.steps(pattern)).is_some_and(|it| Arc::ptr_eq(it, group)) {
                wildcards.remove(self.steps(pattern));
            }
        } else {
            let mut shard = write(self.shard(pattern.as_str()));
            if shard.get(pattern.as_str()).is_some_and(|it| Arc::ptr_eq(it, group)) {
                shard.remove(pattern.as_str());
                if shard.len() * 4 < shard.capacity() {
                    let room = shard.len() * 2;
                    shard.shrink_to(room);
                }
            }
        }
    }

    fn has_wildcards(&self, pattern: &Pattern) -> bool {
        !pattern.is_literal() && self.syntax.has_wildcards(pattern.as_str())
    }

    fn steps<'a>(&self, pattern: &'a Pattern) -> impl Iterator<Item = Step<'a>> + use<'a, S> {
        self.syntax.steps(pattern.as_str())
    }

    fn shard(&self, topic: &str) -> &Shard<S> {
        // The upper half: the map within the shard goes by the lower bits of a hash of its own.
        let hash = self.hasher.hash_one(topic) >> 32;
        &self.shards[hash as usize % SHARDS]
    }
}

impl Table {
    /// Pushes to every subscription that matches, once each, and returns how many took it. One whose session is given
    /// up does not; it leaves the table when its link is closed.
    pub fn fan_out(&self, key: &str, message: &Message) -> usize {
        let mut reached = 0;
        self.for_each(key, |subscriber| reached += usize::from(subscriber.push(message)));
        reached
    }

    /// The same for a message with several keys: once to every subscription that any of them reaches.
    pub fn fan_out_under<'a>(&self, keys: impl Iterator<Item = &'a str>, message: &Message) -> usize {
        let mut seen = HashSet::new();
        let mut reached = 0;
        for key in keys {
            self.for_each(key, |subscriber| {
                let is_first = seen.insert((Arc::as_ptr(&subscriber.outbox), subscriber.key));
                reached += usize::from(is_first && subscriber.push(message));
            });
        }
        reached
    }

    /// The same for the subscriptions of that very pattern, whatever it would match.
    pub fn fan_out_to(&self, pattern: &Pattern, message: &Message) -> usize {
        let group = self.find(pattern);
        group.map_or(0, |it| it.lock().subscribers.iter().filter(|subscriber| subscriber.push(message)).count())
    }
}

impl Subscriber {
    /// Says whether it took the message.
    pub fn push(&self, message: &Message) -> bool {
        let delivery = Delivery { subscription: self.key, message: message.clone(), token: None, redelivered: false };
        self.outbox.push(delivery) == Pushed::Queued
    }
}

/// The same session's subscription; what waits in the outbox does not matter.
impl PartialEq for Subscriber {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && Arc::ptr_eq(&self.outbox, &other.outbox)
    }
}

impl Eq for Subscriber {}

impl Hash for Subscriber {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.outbox).hash(state);
        self.key.hash(state);
    }
}

impl<S> Group<S> {
    fn lock(&self) -> MutexGuard<'_, Members<S>> {
        lock(&self.0)
    }
}

impl<S> Default for Group<S> {
    fn default() -> Self {
        Self(Mutex::new(Members { subscribers: HashSet::new(), is_over: false }))
    }
}

impl<S: Eq + Hash> Members<S> {
    /// A walk over the set costs its capacity, so it must not stay large after most have left.
    fn shrink(&mut self) {
        let members = self.subscribers.len();
        if members * 4 < self.subscribers.capacity() {
            self.subscribers.shrink_to(members * 2);
        }
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
