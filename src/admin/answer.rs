//! What each path of the internal listener answers.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};

use super::Sources;
use crate::lifecycle::{Lifecycle, Readiness};
use crate::telemetry::Registry;

type Page = fn(&Sources) -> Response<Full<Bytes>>;

/// Each path and what it shows.
const PAGES: &[(&str, Page)] = &[("/live", live), ("/ready", ready), ("/metrics", metrics)];

pub(super) fn answer(method: &Method, path: &str, sources: &Sources) -> Response<Full<Bytes>> {
    let Some((_, page)) = PAGES.iter().find(|(it, _)| *it == path) else {
        let paths = PAGES.iter().map(|(path, _)| *path).collect::<Vec<_>>().join(", ");
        return text(StatusCode::NOT_FOUND, format!("nothing is at {path}; there are {paths}\n"));
    };
    if method != Method::GET && method != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format!("{path} takes GET and HEAD\n"));
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    page(sources)
}

/// That it answers is the answer: what a restart would not help must not restart the process.
fn live(_: &Sources) -> Response<Full<Bytes>> {
    text(StatusCode::OK, "live\n".to_owned())
}

fn ready(sources: &Sources) -> Response<Full<Bytes>> {
    let reasons = missing(&sources.lifecycle, &sources.readiness);
    if reasons.is_empty() {
        return text(StatusCode::OK, "ready\n".to_owned());
    }
    text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", reasons.join(", ")))
}

/// Why no clients should be sent here.
pub(super) fn missing(lifecycle: &Lifecycle, readiness: &Readiness) -> Vec<&'static str> {
    let mut missing = readiness.missing();
    if lifecycle.is_announced() {
        missing.insert(0, "draining");
    }
    missing
}

fn metrics(sources: &Sources) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::OK, sources.registry.encode());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(Registry::CONTENT_TYPE));
    response
}

/// No answer of this listener is still true a moment later.
fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use http_body_util::BodyExt;

    use super::*;

    fn sources() -> Sources {
        Sources { lifecycle: Lifecycle::default(), readiness: Readiness::default(), registry: Registry::default() }
    }

    fn check(method: &Method, path: &str, sources: &Sources, status: u16, body: &str) {
        let response = answer(method, path, sources);
        assert_eq!(response.status().as_u16(), status, "{method} {path}");
        let bytes = response.into_body().collect().now_or_never().unwrap().unwrap().to_bytes();
        assert_eq!(String::from_utf8_lossy(&bytes), body, "{method} {path}");
    }

    #[test]
    fn ready_names_what_is_missing() {
        let it = sources();
        let (broker, listener) = (it.readiness.latch("broker"), it.readiness.latch("http"));
        check(&Method::GET, "/ready", &it, 503, "not ready: broker, http\n");
        listener.set(true);
        check(&Method::GET, "/ready", &it, 503, "not ready: broker\n");
        broker.set(true);
        check(&Method::GET, "/ready", &it, 200, "ready\n");
        broker.set(false);
        it.lifecycle.announce();
        check(&Method::GET, "/ready", &it, 503, "not ready: draining, broker\n");
    }

    #[test]
    fn ready_is_a_metric_too() {
        let it = sources();
        crate::admin::register(&it);
        let broker = it.readiness.latch("broker");
        let shown = |value| it.registry.encode().contains(&format!("\nstompgate_ready {value}\n"));
        assert!(shown(0), "{}", it.registry.encode());
        broker.set(true);
        assert!(shown(1), "{}", it.registry.encode());
    }

    #[test]
    fn live_does_not_depend_on_anything() {
        let it = sources();
        it.readiness.latch("broker");
        it.lifecycle.drain();
        check(&Method::GET, "/live", &it, 200, "live\n");
        check(&Method::HEAD, "/live", &it, 200, "live\n");
    }

    #[test]
    fn metrics_are_shown_as_text() {
        let it = sources();
        it.registry.counter("things_total", "Things.").inc();
        let body =
            "# HELP stompgate_things_total Things.\n# TYPE stompgate_things_total counter\nstompgate_things_total 1\n";
        check(&Method::GET, "/metrics", &it, 200, body);
        let response = answer(&Method::GET, "/metrics", &it);
        assert_eq!(response.headers()[CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    }

    #[test]
    fn other_paths_and_methods_are_told_what_there_is() {
        check(&Method::GET, "/", &sources(), 404, "nothing is at /; there are /live, /ready, /metrics\n");
        check(&Method::POST, "/ready", &sources(), 405, "/ready takes GET and HEAD\n");
        assert_eq!(answer(&Method::POST, "/ready", &sources()).headers()[ALLOW], "GET, HEAD");
    }
}
