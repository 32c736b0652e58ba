//! How many sessions each user has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::ident::Principal;

/// Admits sessions of a user up to a bound. Cloning it clones a handle.
#[derive(Clone, Debug, Default)]
pub struct Users(Arc<Mutex<HashMap<Principal, usize>>>);

/// The right of a user to one session; given back when it is dropped.
#[derive(Debug)]
pub struct UserSession {
    users: Users,
    user: Principal,
}

/// The user has as many sessions as they may have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TooMany {
    pub max: usize,
}

impl Users {
    /// `sessions_max` may change from one time to the next; 0 is no bound.
    pub fn admit(&self, user: Principal, sessions_max: usize) -> Result<UserSession, TooMany> {
        let mut sessions = self.lock();
        let count = sessions.entry(user.clone()).or_default();
        if sessions_max > 0 && *count >= sessions_max {
            return Err(TooMany { max: sessions_max });
        }
        *count += 1;
        drop(sessions);
        Ok(UserSession { users: self.clone(), user })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Principal, usize>> {
        self.0.lock().expect("no panic while held")
    }
}

impl UserSession {
    pub fn user(&self) -> &Principal {
        &self.user
    }
}

impl Drop for UserSession {
    fn drop(&mut self) {
        let mut sessions = self.users.lock();
        if let Some(count) = sessions.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                sessions.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_session_more_than_a_user_may_have_waits_until_another_one_ends() {
        let users = Users::default();
        let (ann, bob) = (Principal::new("ann"), Principal::new("bob"));
        let (first, second) = (users.admit(ann.clone(), 2).unwrap(), users.admit(ann.clone(), 2).unwrap());
        assert_eq!(users.admit(ann.clone(), 2).unwrap_err(), TooMany { max: 2 });
        let other = users.admit(bob, 2).unwrap();
        assert_eq!((first.user().name(), other.user().name()), ("ann", "bob"));
        drop(first);
        let third = users.admit(ann, 2).unwrap();
        drop((second, third, other));
        assert!(users.lock().is_empty(), "nobody who has left is remembered");
    }

    #[test]
    fn a_bound_counts_those_who_came_before_it() {
        let users = Users::default();
        let ann = Principal::new("ann");
        let sessions: Vec<_> = (0..100).map(|_| users.admit(ann.clone(), 0).unwrap()).collect();
        assert_eq!(users.admit(ann.clone(), 100).unwrap_err(), TooMany { max: 100 });
        assert!(users.admit(ann, 101).is_ok());
        drop(sessions);
    }
}
