//! Tasks that panic: each ends alone, is counted, and is logged with its name.

use std::any::type_name;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;

/// The same task, after which `on_panic` is called if it has panicked.
///
/// Made of combinators: an `async` block would keep its task twice, once as what it captured.
pub(super) fn guarded<F>(task: F, on_panic: impl FnOnce() + Send) -> impl Future<Output = ()> + Send
where
    F: Future<Output = ()> + Send,
{
    AssertUnwindSafe(task).catch_unwind().map(|ended| {
        if ended.is_err() {
            // What it said is in the log already, as the process's own panic hook writes it.
            tracing::error!(task = type_name::<F>(), "a task has panicked");
            on_panic();
        }
    })
}
