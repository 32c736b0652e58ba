//! How many sessions each user has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::ident::Principal;
use crate::sync::lock;

/// Admits sessions of a user up to a bound. Cloning it clones a handle.
#[derive(Clone, Debug)]
pub struct Users {
    /// 0 if there is no bound. They are counted all the same: there may be one tomorrow.
    sessions_max: usize,
    /// Only those who have one.
    sessions: Arc<Mutex<HashMap<Principal, usize>>>,
}

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
    pub fn new(sessions_max: usize) -> Self {
        Self { sessions_max, sessions: Arc::default() }
    }

    /// The same users, with another bound for who comes from now on.
    #[must_use]
    pub fn with(&self, sessions_max: usize) -> Self {
        Self { sessions_max, sessions: Arc::clone(&self.sessions) }
    }

    pub fn admit(&self, user: Principal) -> Result<UserSession, TooMany> {
        let max = self.sessions_max;
        let mut sessions = self.lock();
        let count = sessions.entry(user.clone()).or_default();
        if max > 0 && *count >= max {
            return Err(TooMany { max });
        }
        *count += 1;
        drop(sessions);
        Ok(UserSession { users: self.clone(), user })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Principal, usize>> {
        lock(&self.sessions)
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
        let users = Users::new(2);
        let (ann, bob) = (Principal::new("ann"), Principal::new("bob"));
        let (first, second) = (users.admit(ann.clone()).unwrap(), users.admit(ann.clone()).unwrap());
        assert_eq!(users.admit(ann.clone()).unwrap_err(), TooMany { max: 2 });
        let other = users.admit(bob).unwrap();
        assert_eq!((first.user().name(), other.user().name()), ("ann", "bob"));
        drop(first);
        let third = users.admit(ann).unwrap();
        drop((second, third, other));
        assert!(users.lock().is_empty(), "nobody who has left is remembered");
    }

    #[test]
    fn a_new_bound_counts_who_is_there_already() {
        let (users, ann) = (Users::new(0), Principal::new("ann"));
        let sessions: Vec<_> = (0..3).map(|_| users.admit(ann.clone()).unwrap()).collect();
        let bounded = users.with(3);
        assert_eq!(bounded.admit(ann.clone()).unwrap_err(), TooMany { max: 3 });
        drop(sessions);
        assert!(bounded.admit(ann).is_ok() && users.lock().is_empty());
    }
}
