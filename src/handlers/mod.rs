//! `/app`: frames that a service answers, over HTTP or AMQP, and hooks that tell services of sessions.
//!
//! ```text
//! Request ─▶ route ─▶ place ─▶ attempt, again until the timeout ─▶ Response ─▶ Handled: replies, and what the client is told
//!                               └─ breaker of the target
//! ```
//!
//! Nothing here knows frames, sessions or brokers: who calls publishes the replies and tells the client. What is
//! configured is never changed while the process runs.

mod actions;
mod answer;
mod attributes;
mod breaker;
mod call;
mod failure;
mod hooks;
mod metrics;
mod pattern;
mod request;
mod settings;
mod signature;
mod target;
mod template;
mod web;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::lifecycle::Lifecycle;
use answer::Asked;
use call::{Callee, Callees, Places};
use hooks::Hooks;
use template::Place;
use web::Web;

pub use answer::{Handled, Reply, To, Told};
pub use attributes::Attributes;
pub use failure::{Cause, Failure};
pub use metrics::Metrics;
pub use pattern::{PREFIX, Pattern, PatternError, Separator};
pub use request::{Event, Metadata, Notice, Request, Sender};
pub use settings::{Concurrency, Hook, OnError, Route, Secret, Settings, Target};
pub use target::{Outgoing, Response, Rpc, Unanswered, Wants};
pub use template::{Template, TemplateError};
pub use web::Tls;

/// All routes and hooks. Cloning it clones a handle.
#[derive(Clone, Debug)]
pub struct Handlers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The most specific one first.
    routes: Vec<Live>,
    hooks: Hooks,
    separator: Separator,
    header_bytes_max: usize,
    attribute_bytes_max: usize,
    metrics: Metrics,
}

#[derive(Debug)]
struct Live {
    route: Route,
    callee: Callee,
    places: Places,
}

/// What becomes of a frame. Dropping it gives the call up.
pub struct Call {
    /// Whether what the session asks for afterwards waits for it.
    pub concurrency: Concurrency,
    pub handled: BoxFuture<'static, Handled>,
}

impl Handlers {
    pub fn start(settings: Settings, rpc: Option<Arc<dyn Rpc>>, metrics: Metrics, lifecycle: &Lifecycle) -> Self {
        let web = Web::new(&settings, lifecycle);
        let mut callees = Callees::new(target::Ways { web, rpc }, metrics.clone());
        let hooks = Hooks::start(&settings, &mut callees, metrics.clone(), lifecycle);
        let live = |route: &Route| Live {
            callee: callees.callee(&route.target, route.timeout, route.retries, &settings),
            places: Places::new(route.calls_max),
            route: route.clone(),
        };
        let mut routes: Vec<_> = settings.routes.iter().map(live).collect();
        // Of equals the first one counts.
        routes.sort_by_key(|it| it.route.pattern.specificity());
        let Settings { separator, header_bytes_max, attribute_bytes_max, .. } = settings;
        Self(Arc::new(Shared { routes, hooks, separator, header_bytes_max, attribute_bytes_max, metrics }))
    }

    /// Begins when it is first polled.
    pub fn call(&self, request: Request) -> Call {
        let found = self.find(&request);
        let concurrency =
            found.as_ref().map_or(Concurrency::PerSession, |(at, _)| self.0.routes[*at].route.concurrency);
        let handled = match found {
            Some((at, place)) => self.clone().run(at, place, request).boxed(),
            None => std::future::ready(self.missing(&request)).boxed(),
        };
        Call { concurrency, handled }
    }

    /// Whether any hook is told of it.
    pub fn wants(&self, event: Event) -> bool {
        self.0.hooks.wants(event)
    }

    /// Never waits: what there is no room for is lost, and counted.
    pub fn tell(&self, notice: Notice) {
        self.0.hooks.tell(notice);
    }

    fn find(&self, request: &Request) -> Option<(usize, Place)> {
        let Shared { routes, separator, .. } = &*self.0;
        routes.iter().enumerate().filter(|(_, it)| it.route.on.contains(&request.event)).find_map(|(at, it)| {
            let variables = it.route.pattern.variables_of(&request.path, *separator)?;
            Some((at, Place { path: request.path.clone(), variables }))
        })
    }

    async fn run(self, at: usize, place: Place, request: Request) -> Handled {
        let Shared { routes, metrics, attribute_bytes_max, .. } = &*self.0;
        let Live { route, callee, places } = &routes[at];
        let delivery = request.delivery();
        let outcome = match self.outgoing(&place, &request) {
            Ok(outgoing) => callee.call_in(places.clone(), outgoing).await,
            Err(failure) => Err(failure),
        };
        let asked = Asked {
            route,
            place: &place,
            event: request.event,
            sender: &request.sender,
            attributes: &request.attributes,
            attribute_bytes_max: *attribute_bytes_max,
        };
        let mut handled = asked.handled(outcome);
        let outcome = handled.outcome.as_ref().err().map_or(Ok(()), |it| Err(it.cause));
        metrics.called(request.event, outcome);
        if let Err(failure) = &mut handled.outcome {
            let (pattern, cause) = (&route.pattern, &failure.detail);
            tracing::info!(%pattern, delivery, cause, "a frame to a handler came to nothing");
            if failure.cause != Cause::Refused && failure.cause != Cause::Limit {
                failure.text.push_str(&format!(" (the log of the gateway has more under {delivery})"));
            }
        }
        handled
    }

    fn outgoing(&self, place: &Place, request: &Request) -> Result<Outgoing, Failure> {
        let metadata = request.metadata(place);
        let (size, max) = (metadata.size(), self.0.header_bytes_max);
        if size > max {
            let text = format!(
                "With {size} bytes of headers a handler can't be asked; {max} are allowed (app.header_bytes_max)"
            );
            return Err(Failure::new(Cause::Limit, "too many headers".to_owned()).told(text));
        }
        Ok(Outgoing {
            metadata,
            content_type: request.headers.get("content-type").map(Into::into),
            body: request.body.clone(),
            routing_key: place.words().into(),
            delivery: request.delivery().into(),
            timeout: Duration::ZERO,
            wants: Wants::Answer,
        })
    }

    fn missing(&self, request: &Request) -> Handled {
        self.0.metrics.called(request.event, Err(Cause::Missing));
        let (command, path) = (request.event.as_str().to_uppercase(), &request.path);
        let text = format!("No route handles {command} to '{PREFIX}{path}': one in app.routes would");
        let failure = Failure::new(Cause::Missing, "no route".to_owned()).told(text);
        Handled { replies: Vec::new(), outcome: Err(failure), told: Told::Sender, ends_session: false }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("concurrency", &self.concurrency).finish_non_exhaustive()
    }
}
