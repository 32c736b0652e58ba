//! Who is connected: admission and counts of live connections, in all and of each client address, and of the sessions of
//! each user.

mod users;

use crate::sync::lock;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

pub use users::{TooMany, UserSession, Users};

/// Admits connections up to bounds. Cloning it clones a handle.
#[derive(Clone, Debug)]
pub struct Registry(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    live: AtomicUsize,
    connections_max: usize,
    /// 0 if there is no bound.
    per_ip_max: usize,
    /// By network, and only those with a connection; empty without the bound.
    by_network: Mutex<HashMap<IpAddr, usize>>,
}

/// The right to be connected; given back when it is dropped.
#[derive(Debug)]
pub struct Admission {
    registry: Registry,
    network: OnceLock<IpAddr>,
}

impl Registry {
    /// `per_ip_max` bounds the connections of one IPv4 address or one IPv6 network of 64 bits; 0 is no bound.
    pub fn new(connections_max: usize, per_ip_max: usize) -> Self {
        let shared = Shared { live: AtomicUsize::new(0), connections_max, per_ip_max, by_network: Mutex::default() };
        Self(Arc::new(shared))
    }

    /// `None` at the bound of all connections.
    pub fn admit(&self) -> Option<Admission> {
        let before = self.0.live.fetch_add(1, Ordering::Relaxed);
        let admission = Admission { registry: self.clone(), network: OnceLock::new() };
        // Dropping it takes the count back.
        (before < self.0.connections_max).then_some(admission)
    }

    pub fn live(&self) -> usize {
        self.0.live.load(Ordering::Relaxed)
    }
}

impl Admission {
    /// Counts the connection as one of that client; false if it has as many as it may have. The first address that is
    /// counted stays.
    #[must_use]
    pub fn claim(&self, client: IpAddr) -> bool {
        let shared = &self.registry.0;
        if shared.per_ip_max == 0 || self.network.get().is_some() {
            return true;
        }
        let network = network(client);
        let mut by_network = lock(&shared.by_network);
        let connections = by_network.entry(network).or_default();
        if *connections < shared.per_ip_max && self.network.set(network).is_ok() {
            *connections += 1;
            return true;
        }
        false
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let shared = &self.registry.0;
        shared.live.fetch_sub(1, Ordering::Relaxed);
        let Some(network) = self.network.get() else { return };
        let mut by_network = lock(&shared.by_network);
        if let Some(connections) = by_network.get_mut(network) {
            *connections -= 1;
            if *connections == 0 {
                by_network.remove(network);
            }
        }
    }
}

/// What one client is likely to have to itself: an address of IPv4, and of IPv6 the 64 bits that every site has to use
/// as it likes.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_over_the_bound_is_refused_until_another_one_leaves() {
        let registry = Registry::new(2, 0);
        let (first, second) = (registry.admit(), registry.admit());
        assert!(first.is_some() && second.is_some() && registry.admit().is_none());
        assert_eq!(registry.live(), 2);
        drop(first);
        assert_eq!(registry.live(), 1);
        assert!(registry.admit().is_some());
    }

    #[test]
    fn a_client_has_as_many_connections_as_its_bound_and_others_have_theirs() {
        fn check(client: &str, same: &str, other: &str) {
            let [client, same, other]: [IpAddr; 3] = [client, same, other].map(|it| it.parse().unwrap());
            let registry = Registry::new(10, 2);
            let admit = || registry.admit().unwrap();
            let (first, second, third, fourth) = (admit(), admit(), admit(), admit());
            assert!(first.claim(client) && second.claim(same), "{client}");
            assert!(!third.claim(client) && fourth.claim(other), "{client}");
            // Once counted, it is not counted again.
            assert!(first.claim(client) && first.claim(other), "{client}");
            drop(second);
            assert!(third.claim(client), "{client}");
            drop((first, third, fourth));
            assert_eq!(registry.0.by_network.lock().unwrap().len(), 0);
            assert_eq!(registry.live(), 0);
        }
        check("192.0.2.1", "192.0.2.1", "192.0.2.2");
        check("192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.2");
        check("2001:db8::1", "2001:db8::ffff:0:0:2", "2001:db8:0:1::1");
    }

    #[test]
    fn without_a_bound_for_one_client_none_is_counted() {
        let registry = Registry::new(10, 0);
        let all: Vec<_> = (0..10).map(|_| registry.admit().unwrap()).collect();
        assert!(all.iter().all(|it| it.claim(IpAddr::from([192, 0, 2, 1]))));
        assert_eq!(registry.0.by_network.lock().unwrap().len(), 0);
    }
}
