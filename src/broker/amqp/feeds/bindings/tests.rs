//! The binding state machine, with time passed in.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const LINGER: Duration = Duration::from_secs(30);

const ROUTE: usize = 7;

struct Case {
    bindings: Bindings<usize, u32, u32>,
    now: Instant,
}

impl Case {
    fn new() -> Self {
        Self { bindings: Bindings::new(|_| LINGER), now: Instant::now() }
    }

    fn subscribe(&mut self, waiter: u32) -> Subscribed<u32> {
        self.bindings.subscribe(&ROUTE, waiter, waiter)
    }

    fn unsubscribe(&mut self, subscriber: u32) {
        self.bindings.unsubscribe(&ROUTE, &subscriber, self.now);
    }

    fn bound(&mut self) -> Vec<u32> {
        sorted(self.bindings.bound(&ROUTE, self.now))
    }

    /// Those who were told that it is bound, and those who waited.
    fn refused(&mut self) -> (Vec<u32>, Vec<u32>) {
        let (waiting, told): (Vec<_>, Vec<_>) =
            self.bindings.refused(&ROUTE).into_iter().partition(|it| it.1.is_some());
        let ids = |them: Vec<(u32, Option<u32>)>| sorted(them.into_iter().map(|it| it.0).collect());
        (ids(told), ids(waiting))
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
        case.unsubscribe(1);
        case.now += LINGER;
        assert_eq!(case.work(), [unbind()]);
        case
    }

    fn knows_nothing(&self) -> bool {
        self.bindings.entries.is_empty()
            && self.bindings.due.is_empty()
            && self.bindings.binds.is_empty()
            && self.bindings.again.is_empty()
            && self.bindings.behind() == 0
            && self.bindings.unbinds.is_empty()
    }
}

fn sorted(mut them: Vec<u32>) -> Vec<u32> {
    them.sort_unstable();
    them
}

fn bind() -> Work<usize> {
    Work::Bind(ROUTE)
}

fn unbind() -> Work<usize> {
    Work::Unbind(ROUTE)
}

/// An outage may last, and clients come, subscribe to something new, and go.
#[test]
fn who_comes_and_goes_while_nothing_can_be_bound_leaves_nothing_behind() {
    let mut case = Case::with_one_bound();
    case.bindings.lost();
    assert_eq!(case.subscribe(2), Subscribed::Later);
    case.unsubscribe(2);
    assert_eq!(case.bindings.behind(), 1);
    case.unsubscribe(1);
    assert_eq!((case.bindings.behind(), case.bindings.entries.len()), (0, 0));
    assert!(case.bindings.binds.is_empty() && case.bindings.again.is_empty());
    assert_eq!(case.subscribe(3), Subscribed::Later);
    assert_eq!(case.work(), [bind()]);
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
    case.unsubscribe(1);
    assert_eq!(case.bindings.next_due(), None);
    case.unsubscribe(2);
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
    case.unsubscribe(1);
    case.now += LINGER / 2;
    assert_eq!(case.subscribe(2), Subscribed::Now(2));
    case.now += LINGER;
    assert_eq!(case.work(), []);
    case.unsubscribe(2);
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
    case.unsubscribe(2);
    case.bindings.unbound(&ROUTE);
    assert!(case.knows_nothing());
}

#[test]
fn who_leaves_while_the_bind_is_in_flight_makes_it_linger() {
    let mut case = Case::new();
    assert_eq!(case.subscribe(1), Subscribed::Later);
    assert_eq!(case.work(), [bind()]);
    case.unsubscribe(1);
    assert!(case.bound().is_empty());
    assert_eq!(case.bindings.next_due(), Some(case.now + LINGER));
}

#[test]
fn a_refused_bind_is_told_to_all_who_wait_and_tried_again_for_the_next() {
    let mut case = Case::new();
    assert_eq!(case.subscribe(1), Subscribed::Later);
    assert_eq!(case.subscribe(2), Subscribed::Later);
    assert_eq!(case.work(), [bind()]);
    assert_eq!(case.refused(), (vec![], vec![1, 2]));
    assert!(case.knows_nothing());
    assert_eq!(case.subscribe(3), Subscribed::Later);
    // Those whose subscribe failed go at last; the third one stays.
    case.unsubscribe(1);
    case.unsubscribe(2);
    assert_eq!(case.work(), [bind()]);
    assert_eq!(case.bound(), [3]);
    assert_eq!(case.bindings.next_due(), None);
    case.unsubscribe(3);
    assert!(case.bindings.next_due().is_some());
}

#[test]
fn more_than_may_linger_are_unbound_at_once_the_oldest_first() {
    let mut case = Case::new();
    for route in 0..LINGERING_MAX + 2 {
        case.bindings.subscribe(&route, 0, 0);
        case.work();
        case.bindings.bound(&route, case.now);
    }
    for route in 0..LINGERING_MAX + 2 {
        case.bindings.unsubscribe(&route, &0, case.now);
    }
    assert_eq!(case.work(), [Work::Unbind(0), Work::Unbind(1)]);
}

#[test]
fn the_newest_and_the_oldest_bind_and_what_has_to_be_unbound_take_turns() {
    let mut case = Case::new();
    for route in 1..=2 {
        case.bindings.subscribe(&route, 0, 0);
        case.work();
        case.bindings.bound(&route, case.now);
        case.bindings.unsubscribe(&route, &0, case.now);
    }
    case.now += LINGER;
    for route in 11..=15 {
        case.bindings.subscribe(&route, 0, 0);
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
    case.unsubscribe(1);
    assert_eq!(case.work(), []);
    assert!(case.knows_nothing());
}

#[test]
fn who_comes_again_while_the_bind_still_waits_makes_no_second_one() {
    let mut case = Case::new();
    assert_eq!(case.subscribe(1), Subscribed::Later);
    case.unsubscribe(1);
    assert_eq!(case.subscribe(2), Subscribed::Later);
    assert_eq!(case.work(), [bind()]);
    assert_eq!(case.bound(), [2]);
}

#[test]
fn a_linger_that_ends_early_is_an_unbind_like_any_other() {
    let mut case = Case::with_one_bound();
    assert_eq!(case.bindings.end_linger(), None);
    case.unsubscribe(1);
    assert_eq!(case.bindings.end_linger(), Some(ROUTE));
    assert_eq!(case.subscribe(2), Subscribed::Later);
    assert_eq!(case.work(), []);
    case.bindings.unbound(&ROUTE);
    assert_eq!(case.work(), [bind()]);
}

#[test]
fn what_was_lost_is_bound_again_and_nobody_is_told_twice() {
    let mut case = Case::with_one_bound();
    case.bindings.lost();
    assert_eq!(case.bindings.behind(), 1);
    assert_eq!(case.subscribe(2), Subscribed::Later);
    assert_eq!(case.work(), [bind()]);
    // Lost once more, with the answer.
    case.bindings.lost();
    assert_eq!(case.bindings.next_again(), Some(ROUTE));
    assert_eq!(case.bound(), [2]);
    assert_eq!((case.bindings.behind(), case.work()), (0, vec![]));
    assert_eq!(case.subscribe(3), Subscribed::Now(3));
}

#[test]
fn who_was_told_that_it_is_bound_is_told_that_it_is_not_bound_again() {
    let mut case = Case::with_one_bound();
    case.bindings.lost();
    assert_eq!(case.subscribe(2), Subscribed::Later);
    assert_eq!(case.work(), [bind()]);
    assert_eq!(case.refused(), (vec![1], vec![2]));
    assert!(case.knows_nothing());
}

#[test]
fn whoever_only_waited_holds_up_nobody_when_all_is_lost() {
    let mut case = Case::new();
    assert_eq!(case.subscribe(1), Subscribed::Later);
    assert_eq!(case.work(), [bind()]);
    case.bindings.lost();
    assert_eq!((case.bindings.behind(), case.bindings.next_again()), (0, None));
    assert_eq!(case.work(), [bind()]);
    assert_eq!(case.bound(), [1]);
}

#[test]
fn what_nobody_wants_any_more_is_not_bound_again() {
    let mut case = Case::with_one_bound();
    case.bindings.lost();
    case.unsubscribe(1);
    assert_eq!(case.work(), []);
    assert!(case.knows_nothing());
    let mut case = Case::unbinding();
    case.bindings.lost();
    assert!(case.knows_nothing());
}

#[test]
fn a_bind_without_an_answer_is_tried_again_after_a_pause() {
    let mut case = Case::with_one_bound();
    case.bindings.lost();
    assert_eq!(case.work(), [bind()]);
    let until = case.now + Duration::from_secs(1);
    case.bindings.postpone(ROUTE, until);
    assert_eq!((case.work(), case.bindings.behind()), (vec![], 1));
    assert_eq!(case.bindings.next_due(), Some(until));
    case.now = until;
    assert_eq!(case.work(), [bind()]);
    assert_eq!((case.bound(), case.bindings.behind()), (vec![], 0));
}

/// The broker, and what subscribers were told.
#[derive(Default)]
struct Model {
    bound: HashSet<usize>,
    in_flight: Vec<Work<usize>>,
    told: HashSet<(usize, u32)>,
    waiting: HashSet<(usize, u32)>,
    /// Bound for somebody when all was lost, without an answer since.
    behind: HashSet<usize>,
}

impl Model {
    fn answer(&mut self, case: &mut Case, work: Work<usize>, is_refused: bool) {
        match work {
            Work::Unbind(route) => {
                self.bound.remove(&route);
                case.bindings.unbound(&route);
            }
            Work::Bind(route) if is_refused => {
                self.behind.remove(&route);
                for (subscriber, waiter) in case.bindings.refused(&route) {
                    let them = if waiter.is_some() { &mut self.waiting } else { &mut self.told };
                    assert!(them.remove(&(route, subscriber)));
                }
                assert!(!self.told.iter().chain(&self.waiting).any(|it| it.0 == route), "all are told");
            }
            Work::Bind(route) => {
                self.behind.remove(&route);
                self.bound.insert(route);
                for waiter in case.bindings.bound(&route, case.now) {
                    assert!(self.waiting.remove(&(route, waiter)), "each is told once");
                    self.told.insert((route, waiter));
                }
            }
        }
    }

    fn take(&mut self, case: &mut Case, is_for_again: bool) {
        let work =
            if is_for_again { case.bindings.next_again().map(Work::Bind) } else { case.bindings.next_work(case.now) };
        let route_of = |it: &Work<usize>| match it {
            Work::Bind(route) | Work::Unbind(route) => *route,
        };
        if let Some(work) = work {
            assert!(self.in_flight.iter().all(|it| route_of(it) != route_of(&work)), "one operation a route");
            self.in_flight.push(work);
        }
    }

    fn step(&mut self, case: &mut Case, (action, route, number): (u8, usize, u32)) {
        let subscriber = (route, number);
        match action {
            0..=2 if !self.told.contains(&subscriber) && !self.waiting.contains(&subscriber) => {
                match case.bindings.subscribe(&route, number, number) {
                    Subscribed::Now(_) => {
                        assert!(self.bound.contains(&route));
                        self.told.insert(subscriber);
                    }
                    Subscribed::Later => {
                        self.waiting.insert(subscriber);
                    }
                }
            }
            3..=4 => {
                case.bindings.unsubscribe(&route, &number, case.now);
                self.told.remove(&subscriber);
                self.waiting.remove(&subscriber);
            }
            5..=6 => self.take(case, number == 0),
            7..=9 if !self.in_flight.is_empty() => {
                let work = self.in_flight.swap_remove(route % self.in_flight.len());
                match (work, action) {
                    (Work::Bind(route), 9) => case.bindings.postpone(route, case.now + LINGER),
                    (work, _) => self.answer(case, work, number == 0),
                }
            }
            10 => case.now += LINGER / 2,
            11 => {
                self.bound.clear();
                self.in_flight.clear();
                self.behind = self.told.iter().map(|it| it.0).collect();
                case.bindings.lost();
            }
            _ => {}
        }
        assert!(self.behind.len() >= case.bindings.behind(), "who is gone holds up nobody");
    }
}

proptest! {
    #[test]
    fn whatever_is_lost_when_in_the_end_what_has_subscribers_is_bound(
        steps in prop::collection::vec((0..12_u8, 0..4_usize, 0..3_u32), 0..120),
    ) {
        let (mut case, mut model) = (Case::new(), Model::default());
        for step in steps {
            model.step(&mut case, step);
        }
        for _ in 0..100 {
            model.take(&mut case, false);
            while let Some(work) = model.in_flight.pop() {
                model.answer(&mut case, work, false);
            }
            case.now += LINGER / 2;
        }
        prop_assert_eq!(&model.bound, &model.told.iter().map(|it| it.0).collect::<HashSet<_>>());
        prop_assert!(model.waiting.is_empty());
        prop_assert_eq!((case.bindings.behind(), case.bindings.next_due()), (0, None));
        prop_assert_eq!(case.bindings.entries.len(), model.bound.len());
    }
}
