//! Keeps the order of each session's publishes while one of them waits for its queue to be declared, its exchange to be
//! looked for or its replies to be consumed; the others pass. Without I/O.

use std::collections::{HashMap, VecDeque};
use std::mem;

use crate::ident::SessionId;
use crate::session::Fault;

/// What the lanes need to know of a publish.
pub(super) trait Publish {
    fn session(&self) -> SessionId;
    /// It can't be written.
    fn fail(&mut self, fault: Fault);
}

/// The sessions that wait for a preparation, each with its publishes in order; the first one needs it.
#[derive(Debug)]
pub(super) struct Lanes<P>(HashMap<SessionId, VecDeque<P>>);

/// What became of a publish.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Admitted<P> {
    /// It can be written.
    Ready(P),
    /// Something has to be done first; [`Lanes::prepared`] goes on.
    Prepare,
    /// Another one of its session is before it.
    Waits,
}

impl<P: Publish> Lanes<P> {
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    pub(super) fn admit(&mut self, publish: P, needs_preparation: impl Fn(&P) -> bool) -> Admitted<P> {
        if let Some(lane) = self.0.get_mut(&publish.session()) {
            lane.push_back(publish);
            return Admitted::Waits;
        }
        if needs_preparation(&publish) {
            self.0.insert(publish.session(), VecDeque::from([publish]));
            return Admitted::Prepare;
        }
        Admitted::Ready(publish)
    }

    /// The first of those that wait.
    pub(super) fn first(&self, session: SessionId) -> Option<&P> {
        self.0.get(&session).and_then(VecDeque::front)
    }

    /// Nobody waits any more: each session's in order.
    pub(super) fn take(&mut self) -> impl Iterator<Item = P> + use<P> {
        mem::take(&mut self.0).into_values().flatten()
    }

    /// What a session waited for is done: what can be written now goes to `ready`. Says whether the session waits for
    /// another preparation.
    pub(super) fn prepared(
        &mut self,
        session: SessionId,
        outcome: Result<(), Fault>,
        needs_preparation: impl Fn(&P) -> bool,
        ready: &mut VecDeque<P>,
    ) -> bool {
        let Some(mut lane) = self.0.remove(&session) else { return false };
        if let (Some(first), Err(fault)) = (lane.front_mut(), outcome) {
            first.fail(fault);
        }
        ready.extend(lane.pop_front());
        while let Some(publish) = lane.pop_front() {
            if needs_preparation(&publish) {
                lane.push_front(publish);
                self.0.insert(session, lane);
                return true;
            }
            ready.push_back(publish);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::HashSet;
    use std::rc::Rc;

    use super::*;

    type Declared = Rc<RefCell<HashSet<&'static str>>>;

    #[derive(Debug)]
    struct Sent {
        number: u32,
        session: u8,
        queue: Option<&'static str>,
        declared: Declared,
        fault: Option<Fault>,
    }

    impl Publish for Sent {
        fn session(&self) -> SessionId {
            session(self.session)
        }

        fn fail(&mut self, fault: Fault) {
            self.fault = Some(fault);
        }
    }

    impl Sent {
        fn needs_declare(&self) -> bool {
            self.queue.is_some_and(|it| !self.declared.borrow().contains(it))
        }
    }

    fn session(number: u8) -> SessionId {
        SessionId::from_random([number; 16])
    }

    /// Writes down what happened to each publish: its number, and `+D` when a declare was asked for.
    struct Case {
        lanes: Lanes<Sent>,
        declared: Declared,
        log: Vec<String>,
    }

    impl Case {
        fn new() -> Self {
            Self { lanes: Lanes::new(), declared: Declared::default(), log: Vec::new() }
        }

        fn admit(&mut self, number: u32, session: u8, queue: Option<&'static str>) {
            let publish = Sent { number, session, queue, declared: self.declared.clone(), fault: None };
            match self.lanes.admit(publish, Sent::needs_declare) {
                Admitted::Ready(it) => self.log.push(it.number.to_string()),
                Admitted::Prepare => self.log.push(format!("{number}+D")),
                Admitted::Waits => {}
            }
        }

        fn declare(&mut self, of: u8, outcome: Result<(), Fault>) -> bool {
            let queue = self.lanes.first(session(of)).and_then(|it| it.queue).expect("it waits for a queue");
            if outcome.is_ok() {
                self.declared.borrow_mut().insert(queue);
            }
            let mut ready = VecDeque::new();
            let waits = self.lanes.prepared(session(of), outcome, Sent::needs_declare, &mut ready);
            let shown = |it: &Sent| if it.fault.is_some() { format!("{}!", it.number) } else { it.number.to_string() };
            self.log.extend(ready.iter().map(shown));
            waits
        }
    }

    #[test]
    fn a_session_that_waits_for_a_declare_keeps_its_order_and_holds_up_nobody() {
        let mut case = Case::new();
        case.admit(1, 7, None);
        case.admit(2, 7, Some("a"));
        case.admit(3, 7, None);
        case.admit(4, 8, None);
        case.admit(5, 7, Some("a"));
        assert!(!case.declare(7, Ok(())));
        case.admit(6, 7, Some("a"));
        assert_eq!(case.log, ["1", "2+D", "4", "2", "3", "5", "6"]);
        assert!(case.lanes.0.is_empty());
    }

    #[test]
    fn a_second_queue_in_the_lane_waits_for_a_declare_of_its_own() {
        let mut case = Case::new();
        case.admit(1, 7, Some("a"));
        case.admit(2, 7, Some("b"));
        case.admit(3, 7, None);
        assert!(case.declare(7, Ok(())));
        assert!(!case.declare(7, Ok(())));
        assert_eq!(case.log, ["1+D", "1", "2", "3"]);
    }

    #[test]
    fn a_failed_declare_fails_its_publish_in_its_turn_and_the_next_one_tries_again() {
        let mut case = Case::new();
        case.admit(1, 7, Some("a"));
        case.admit(2, 7, None);
        case.admit(3, 7, Some("a"));
        assert!(case.declare(7, Err(Fault::Unavailable)));
        assert!(!case.declare(7, Ok(())));
        assert_eq!(case.log, ["1+D", "1!", "2", "3"]);
    }
}
