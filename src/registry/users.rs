//! How many sessions each user has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::ident::Principal;

/// Admits sessions of a user up to a bound. Cloning it clones a handle.
#[derive(Clone, Debug)]
pub struct Users(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// 0 if there is no bound.
    sessions_max: usize,
    /// Only those who have one; empty without the bound.
    sessions: Mutex<HashMap<Principal, usize>>,
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
        Self(Arc::new(Shared { sessions_max, sessions: Mutex::default() }))
    }

    pub fn admit(&self, user: Principal) -> Result<UserSession, TooMany> {
        let max = self.0.sessions_max;
        if max > 0 {
            let mut sessions = self.lock();
            let count = sessions.entry(user.clone()).or_default();
            if *count >= max {
                return Err(TooMany { max });
            }
            *count += 1;
        }
        Ok(UserSession { users: self.clone(), user })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Principal, usize>> {
        self.0.sessions.lock().expect("no panic while held")
    }
}

impl UserSession {
    pub fn user(&self) -> &Principal {
        &self.user
    }
}

impl Drop for UserSession {
    fn drop(&mut self) {
        if self.users.0.sessions_max == 0 {
            return;
        }
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
    fn without_a_bound_nobody_is_counted() {
        let users = Users::new(0);
        let sessions: Vec<_> = (0..100).map(|_| users.admit(Principal::new("ann")).unwrap()).collect();
        assert!(users.lock().is_empty());
        drop(sessions);
    }
}
