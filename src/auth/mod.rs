//! Who a client is, by what its CONNECT says, and which destinations of the broker are open to clients at all.

mod rules;

use std::fmt;

use subtle::{Choice, ConstantTimeEq};

use crate::ident::Principal;
pub use rules::{Access, NotOpen, Rule, RuleError, Rules};

/// How clients are told apart.
#[derive(Clone, Debug, Default)]
pub enum Authenticator {
    /// The broker checks login and passcode, and lets nobody else in: the login is the name.
    Broker,
    /// Everybody may connect, and nobody has a name: what a CONNECT says is not checked.
    #[default]
    Open,
    /// Only the users of a list.
    Users(Vec<User>),
}

/// One row of the list.
#[derive(Clone)]
pub struct User {
    pub login: Box<str>,
    pub passcode: Box<str>,
}

/// Login or passcode is wrong; which of them is nobody's business.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refused;

impl Authenticator {
    /// `Err` when login and passcode are not those of a user.
    ///
    /// Every user is looked at, whoever asks: the time taken tells neither which logins exist nor how much of a
    /// passcode was right.
    pub fn authenticate(&self, login: Option<&str>, passcode: Option<&str>) -> Result<Option<Principal>, Refused> {
        match self {
            Self::Open => Ok(None),
            Self::Broker => Ok(login.filter(|it| !it.is_empty()).map(Principal::new)),
            Self::Users(users) => {
                let (login, passcode) = (login.ok_or(Refused)?, passcode.ok_or(Refused)?);
                let found = users.iter().map(|user| is_same(&user.login, login) & is_same(&user.passcode, passcode));
                let found = found.fold(Choice::from(0), |any, it| any | it);
                if bool::from(found) { Ok(Some(Principal::new(login))) } else { Err(Refused) }
            }
        }
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("login", &self.login).finish_non_exhaustive()
    }
}

/// Takes as long as what is given is, whatever is expected. Comparing slices would stop at once at another length.
fn is_same(expected: &str, given: &str) -> Choice {
    let padded = expected.bytes().chain(std::iter::repeat(0));
    let same_length = expected.len().ct_eq(&given.len());
    given.bytes().zip(padded).fold(same_length, |same, (given, expected)| same & given.ct_eq(&expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Authenticator {
        let user = |login: &str, passcode: &str| User { login: login.into(), passcode: passcode.into() };
        Authenticator::Users(vec![user("ann", "secret"), user("bob", "0123")])
    }

    fn name(outcome: Result<Option<Principal>, Refused>) -> Result<Option<String>, Refused> {
        outcome.map(|it| it.map(|it| it.name().to_owned()))
    }

    #[test]
    fn a_login_that_nobody_checks_is_no_name() {
        assert_eq!(name(Authenticator::Open.authenticate(Some("ann"), Some("whatever"))), Ok(None));
    }

    #[test]
    fn a_login_that_the_broker_checks_is_the_name() {
        let broker = Authenticator::Broker;
        assert_eq!(name(broker.authenticate(Some("ann"), None)), Ok(Some("ann".to_owned())));
        assert_eq!(name(broker.authenticate(Some("ann"), Some("whatever"))), Ok(Some("ann".to_owned())));
        assert_eq!(name(broker.authenticate(None, None)), Ok(None));
        assert_eq!(name(broker.authenticate(Some(""), None)), Ok(None));
    }

    #[test]
    fn a_user_needs_their_own_passcode() {
        assert_eq!(name(users().authenticate(Some("ann"), Some("secret"))), Ok(Some("ann".to_owned())));
        assert_eq!(name(users().authenticate(Some("bob"), Some("0123"))), Ok(Some("bob".to_owned())));
        let wrong = [
            (Some("ann"), Some("0123")),
            (Some("ann"), Some("secre")),
            (Some("ann"), Some("secret\0")),
            (Some("ann"), Some("")),
            (Some("ann"), None),
            (Some("Ann"), Some("secret")),
            (Some("carl"), Some("secret")),
            (None, Some("secret")),
            (None, None),
        ];
        for (login, passcode) in wrong {
            assert_eq!(name(users().authenticate(login, passcode)), Err(Refused), "{login:?} {passcode:?}");
        }
    }

    #[test]
    fn a_user_is_printed_without_the_passcode() {
        assert!(!format!("{:?}", users()).contains("secret"));
    }
}
