//! The binding state machine, with time passed in.

use super::*;

const LINGER: Duration = Duration::from_secs(30);

const ROUTE: usize = 7;

struct Case {
    bindings: Bindings<usize, u32>,
    now: Instant,
}

impl Case {
    fn new() -> Self {
        Self { bindings: Bindings::new(LINGER), now: Instant::now() }
    }

    fn subscribe(&mut self, waiter: u32) -> Subscribed<u32> {
        self.bindings.subscribe(&ROUTE, waiter)
    }

    fn unsubscribe(&mut self) {
        self.bindings.unsubscribe(&ROUTE, self.now);
    }

    fn bound(&mut self) -> Vec<u32> {
        self.bindings.bound(&ROUTE, self.now)
    }

    fn work(&mut self) -> Vec<Work<usize>> {
        std::iter::from_fn(|| self.bindings.next_work(self.now)).collect()
    }

    /// One subscriber, bound.
    fn with_one_bound() -> Self {
        let mut case = Self::new();
        assert_eq!(case.subscribe(1), Subscribed::Later);
        assert_eq!(case.work(), [bind()]);
        assert_eq!(case.bound(), [1]);
        case
    }

    /// Nobody subscribed any more, unbind in flight.
    fn unbinding() -> Self {
        let mut case = Self::with_one_bound();
        case.unsubscribe();
        case.now += LINGER;
        assert_eq!(case.work(), [unbind()]);
        case
    }

    fn knows_nothing(&self) -> bool {
        self.bindings.entries.is_empty()
            && self.bindings.due.is_empty()
            && self.bindings.binds.is_empty()
            && self.bindings.unbinds.is_empty()
    }
}

fn bind() -> Work<usize> {
    Work::Bind(ROUTE)
}

fn unbind() -> Work<usize> {
    Work::Unbind(ROUTE)
}

#[test]
fn those_who_come_while_the_first_bind_is_in_flight_wait_for_it() {
    let mut case = Case::new();
    assert_eq!(case.subscribe(1), Subscribed::Later);
    assert_eq!(case.subscribe(2), Subscribed::Later);
    assert_eq!(case.work(), [bind()]);
    assert_eq!(case.subscribe(3), Subscribed::Later);
    assert_eq!(case.bound(), [1, 2, 3]);
    assert_eq!(case.subscribe(4), Subscribed::Now(4));
    assert_eq!(case.work(), []);
}

#[test]
fn the_last_unsubscribe_unbinds_after_the_linger_and_not_before() {
    let mut case = Case::with_one_bound();
    assert_eq!(case.subscribe(2), Subscribed::Now(2));
    case.unsubscribe();
    assert_eq!(case.bindings.next_due(), None);
    case.unsubscribe();
    assert_eq!(case.bindings.next_due(), Some(case.now + LINGER));
    case.now += LINGER - Duration::from_millis(1);
    assert_eq!(case.work(), []);
    case.now += Duration::from_millis(1);
    assert_eq!(case.work(), [unbind()]);
    case.bindings.unbound(&ROUTE);
    assert!(case.knows_nothing());
}

#[test]
fn who_comes_during_the_linger_finds_the_route_bound_and_the_linger_begins_anew() {
    let mut case = Case::with_one_bound();
    case.unsubscribe();
    case.now += LINGER / 2;
    assert_eq!(case.subscribe(2), Subscribed::Now(2));
    case.now += LINGER;
    assert_eq!(case.work(), []);
    case.unsubscribe();
    assert_eq!(case.bindings.next_due(), Some(case.now + LINGER));
    assert_eq!(case.bindings.due.len(), 1);
}

#[test]
fn who_comes_while_the_unbind_is_in_flight_waits_for_a_bind_after_it() {
    let mut case = Case::unbinding();
    assert_eq!(case.subscribe(2), Subscribed::Later);
    assert_eq!(case.work(), []);
    case.bindings.unbound(&ROUTE);
    assert_eq!(case.work(), [bind()]);
    assert_eq!(case.bound(), [2]);
    assert_eq!(case.subscribe(3), Subscribed::Now(3));
}

#[test]
fn who_comes_and_goes_while_the_unbind_is_in_flight_leaves_nothing_behind() {
    let mut case = Case::unbinding();
    assert_eq!(case.subscribe(2), Subscribed::Later);
    case.unsubscribe();
    case.bindings.unbound(&ROUTE);
    assert!(case.knows_nothing());
}

#[test]
fn who_leaves_while_the_bind_is_in_flight_makes_it_linger() {
    let mut case = Case::new();
    assert_eq!(case.subscribe(1), Subscribed::Later);
    assert_eq!(case.work(), [bind()]);
    case.unsubscribe();
    assert_eq!(case.bound(), [1]);
    assert_eq!(case.bindings.next_due(), Some(case.now + LINGER));
}

#[test]
fn a_failed_bind_is_told_to_all_who_wait_and_tried_again_for_the_next() {
    let mut case = Case::new();
    assert_eq!(case.subscribe(1), Subscribed::Later);
    assert_eq!(case.subscribe(2), Subscribed::Later);
    assert_eq!(case.work(), [bind()]);
    assert_eq!(case.bindings.failed(&ROUTE), [1, 2]);
    assert_eq!(case.work(), []);
    assert_eq!(case.subscribe(3), Subscribed::Later);
    assert_eq!(case.work(), [bind()]);
    // Those whose subscribe failed go at last; the third one stays.
    case.unsubscribe();
    case.unsubscribe();
    assert_eq!(case.bound(), [3]);
    assert_eq!(case.bindings.next_due(), None);
    case.unsubscribe();
    assert!(case.bindings.next_due().is_some());
}

#[test]
fn a_failed_bind_is_forgotten_with_its_last_subscriber() {
    let mut case = Case::new();
    assert_eq!(case.subscribe(1), Subscribed::Later);
    assert_eq!(case.work(), [bind()]);
    assert_eq!(case.bindings.failed(&ROUTE), [1]);
    case.unsubscribe();
    assert!(case.knows_nothing());
}

#[test]
fn more_than_may_linger_are_unbound_at_once_the_oldest_first() {
    let mut case = Case::new();
    for route in 0..LINGERING_MAX + 2 {
        case.bindings.subscribe(&route, 0);
        case.work();
        case.bindings.bound(&route, case.now);
    }
    for route in 0..LINGERING_MAX + 2 {
        case.bindings.unsubscribe(&route, case.now);
    }
    assert_eq!(case.work(), [Work::Unbind(0), Work::Unbind(1)]);
}

#[test]
fn the_newest_and_the_oldest_bind_and_what_has_to_be_unbound_take_turns() {
    let mut case = Case::new();
    for route in 1..=2 {
        case.bindings.subscribe(&route, 0);
        case.work();
        case.bindings.bound(&route, case.now);
        case.bindings.unsubscribe(&route, case.now);
    }
    case.now += LINGER;
    for route in 11..=15 {
        case.bindings.subscribe(&route, 0);
    }
    case.bindings.turn = Turn::NewestBind;
    let work = case.work();
    let [b15, b11, u1, b14, b12, u2, b13] = &work[..] else { panic!("{work:?}") };
    assert_eq!([b15, b11, b14, b12, b13], [15, 11, 14, 12, 13].map(Work::Bind).each_ref());
    assert_eq!([u1, u2], [1, 2].map(Work::Unbind).each_ref());
}

#[test]
fn a_bind_whose_subscribers_have_gone_while_it_waited_is_not_made() {
    let mut case = Case::new();
    assert_eq!(case.subscribe(1), Subscribed::Later);
    case.unsubscribe();
    assert_eq!(case.work(), []);
    assert!(case.knows_nothing());
}

#[test]
fn who_comes_again_while_the_bind_still_waits_makes_no_second_one() {
    let mut case = Case::new();
    assert_eq!(case.subscribe(1), Subscribed::Later);
    case.unsubscribe();
    assert_eq!(case.subscribe(2), Subscribed::Later);
    assert_eq!(case.work(), [bind()]);
    assert_eq!(case.bound(), [1, 2]);
}

#[test]
fn a_linger_that_ends_early_is_an_unbind_like_any_other() {
    let mut case = Case::with_one_bound();
    assert_eq!(case.bindings.end_linger(), None);
    case.unsubscribe();
    assert_eq!(case.bindings.end_linger(), Some(ROUTE));
    assert_eq!(case.subscribe(2), Subscribed::Later);
    assert_eq!(case.work(), []);
    case.bindings.unbound(&ROUTE);
    assert_eq!(case.work(), [bind()]);
}
