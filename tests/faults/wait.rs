//! Waiting for conditions, and telling what was seen.

use std::io::Write;
use std::time::Duration;

use tokio::time::{Instant, interval, timeout};

/// Longer than anything takes that works, on a machine that does other things as well.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);

/// Waits until the condition holds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let mut again = interval(Duration::from_millis(10));
    let holds = async {
        while !condition().await {
            again.tick().await;
        }
    };
    timeout(DEADLINE, holds).await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}

pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("waited in vain until {what}"))
}

/// For faults that have to last: the condition holds all the time.
pub(crate) async fn throughout(time: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let (end, mut again) = (Instant::now() + time, interval(Duration::from_millis(100)));
    while Instant::now() < end {
        assert!(condition().await, "not so any more: {what}");
        again.tick().await;
    }
}

/// Prints a line that is seen although the test passes. `tests/all.sh` has them in its summary.
pub(crate) fn tell(line: &str) {
    std::io::stdout().write_all(format!("faults: {line}\n").as_bytes()).unwrap();
}
