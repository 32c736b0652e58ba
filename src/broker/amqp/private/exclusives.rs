//! Which session each exclusive queue of a connection belongs to: RabbitMQ knows the connection alone, which many
//! sessions share, and would let each of them consume what is meant for one (G7).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard};

use lapin::types::ShortString;
use tokio::sync::Notify;

use crate::ident::SessionId;
use crate::session::Fault;
use crate::sync::lock;

#[derive(Debug, Default)]
pub(in crate::broker::amqp) struct Exclusives {
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    owners: HashMap<ShortString, Owner>,
    /// Queues whose last claim was dropped, and that RabbitMQ may still have.
    ended: Vec<ShortString>,
}

#[derive(Debug)]
struct Owner {
    session: SessionId,
    claims: usize,
    /// By this session, on this connection.
    is_made: bool,
    is_being_deleted: bool,
}

/// The queue is for one session alone while this lives. Afterwards it is deleted, if the session has made it: one that
/// RabbitMQ refused may be anybody's.
#[derive(Debug)]
pub(in crate::broker::amqp) struct Claim {
    exclusives: Arc<Exclusives>,
    queue: ShortString,
}

impl Exclusives {
    /// Refused if the queue is another session's.
    pub(in crate::broker::amqp) fn check(&self, queue: &ShortString, session: SessionId) -> Result<(), Fault> {
        match self.state().owners.get(queue) {
            Some(owner) if owner.session != session => Err(locked(queue)),
            Some(_) | None => Ok(()),
        }
    }

    pub(in crate::broker::amqp) fn claim(
        self: &Arc<Self>,
        queue: &ShortString,
        session: SessionId,
    ) -> Result<Claim, Fault> {
        match self.state().owners.entry(queue.clone()) {
            Entry::Occupied(mut entry) => {
                let owner = entry.get_mut();
                if owner.session != session || owner.is_being_deleted {
                    return Err(locked(queue));
                }
                owner.claims += 1;
            }
            Entry::Vacant(entry) => {
                entry.insert(Owner { session, claims: 1, is_made: false, is_being_deleted: false });
            }
        }
        Ok(Claim { exclusives: self.clone(), queue: queue.clone() })
    }

    /// The next queue to delete; [`Self::deleted`] has to follow.
    pub(super) async fn next_ended(&self) -> ShortString {
        loop {
            if let Some(queue) = self.take_ended() {
                return queue;
            }
            self.ended.notified().await;
        }
    }

    pub(super) fn deleted(&self, queue: &ShortString) {
        self.state().owners.remove(queue);
    }

    fn take_ended(&self) -> Option<ShortString> {
        let State { owners, ended } = &mut *self.state();
        while let Some(queue) = ended.pop() {
            // Its session may have claimed it again.
            if let Some(owner) = owners.get_mut(&queue).filter(|it| it.claims == 0 && !it.is_being_deleted) {
                owner.is_being_deleted = true;
                return Some(queue);
            }
        }
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Claim {
    /// RabbitMQ has declared it for this connection alone.
    pub(in crate::broker::amqp) fn made(&self) {
        self.set_made(true);
    }

    /// RabbitMQ deletes the queue by itself, or has done so.
    pub(in crate::broker::amqp) fn gone(&self) {
        self.set_made(false);
    }

    fn set_made(&self, is_made: bool) {
        if let Some(owner) = self.exclusives.state().owners.get_mut(&self.queue) {
            owner.is_made = is_made;
        }
    }
}

impl Clone for Claim {
    fn clone(&self) -> Self {
        if let Some(owner) = self.exclusives.state().owners.get_mut(&self.queue) {
            owner.claims += 1;
        }
        Self { exclusives: self.exclusives.clone(), queue: self.queue.clone() }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let State { owners, ended } = &mut *self.exclusives.state();
        let Some(owner) = owners.get_mut(&self.queue) else { return };
        owner.claims -= 1;
        match (owner.claims, owner.is_made) {
            (0, false) => {
                owners.remove(&self.queue);
            }
            (0, true) => {
                ended.push(self.queue.clone());
                self.exclusives.ended.notify_one();
            }
            (_, _) => {}
        }
    }
}

/// In the words of RabbitMQ.
fn locked(queue: &ShortString) -> Fault {
    let text = format!(
        "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{queue}'. It could be originally declared on \
         another connection or the exclusive property value does not match that of the original declaration."
    );
    Fault::Amqp { name: "resource_locked", text }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn session(number: u8) -> SessionId {
        SessionId::from_random([number; 16])
    }

    fn is_open(exclusives: &Arc<Exclusives>, queue: &ShortString, to: u8) -> bool {
        let checked = exclusives.check(queue, session(to)).is_ok();
        assert_eq!(exclusives.claim(queue, session(to)).is_ok(), checked);
        checked
    }

    fn claimed(exclusives: &Arc<Exclusives>, queue: &ShortString) -> Claim {
        exclusives.claim(queue, session(1)).unwrap()
    }

    #[test]
    fn a_claimed_queue_is_for_one_session() {
        let (exclusives, queue) = (Arc::new(Exclusives::default()), ShortString::from("q"));
        let (one, two) = (claimed(&exclusives, &queue), claimed(&exclusives, &queue));
        assert!(is_open(&exclusives, &queue, 1) && !is_open(&exclusives, &queue, 2));
        drop(one);
        assert!(!is_open(&exclusives, &queue, 2));
        drop(two);
        assert!(is_open(&exclusives, &queue, 2));
    }

    #[test]
    fn what_was_not_made_or_is_gone_is_not_deleted() {
        let (exclusives, queue) = (Arc::new(Exclusives::default()), ShortString::from("q"));
        drop(claimed(&exclusives, &queue));
        let gone = claimed(&exclusives, &queue);
        gone.made();
        gone.gone();
        drop(gone);
        assert_eq!(exclusives.next_ended().now_or_never(), None);
        assert!(is_open(&exclusives, &queue, 2));
    }

    #[test]
    fn what_is_left_is_deleted_before_another_session_gets_it() {
        let (exclusives, queue) = (Arc::new(Exclusives::default()), ShortString::from("q"));
        claimed(&exclusives, &queue).made();
        assert!(!is_open(&exclusives, &queue, 2));
        assert_eq!(exclusives.next_ended().now_or_never(), Some(queue.clone()));
        assert!(exclusives.claim(&queue, session(1)).is_err(), "it is being deleted");
        exclusives.deleted(&queue);
        assert!(is_open(&exclusives, &queue, 2));
    }

    #[test]
    fn what_its_session_claims_again_is_not_deleted() {
        let (exclusives, queue) = (Arc::new(Exclusives::default()), ShortString::from("q"));
        claimed(&exclusives, &queue).made();
        let again = claimed(&exclusives, &queue);
        assert_eq!(exclusives.next_ended().now_or_never(), None);
        drop(again);
        assert_eq!(exclusives.next_ended().now_or_never(), Some(queue));
    }
}
