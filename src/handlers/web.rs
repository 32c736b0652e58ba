//! Calls over HTTP: one POST each, on connections that are kept.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::rt::Executor;
use hyper::{Method, Request, Uri};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioTimer;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

use super::settings::Settings;
use super::signature::{Signature, Signer};
use super::target::{Outgoing, Response, Unanswered};
use crate::lifecycle::Lifecycle;
use crate::pem::{self, Fault, File};
use crate::stomp::Headers;

/// Connections are closed that were not used for so long.
const IDLE: Duration = Duration::from_secs(30);

/// Of each target.
const IDLE_CONNECTIONS_MAX: usize = 64;

/// What the head of an answer may take.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Which certificates of targets are good.
#[derive(Clone)]
pub struct Tls(ClientConfig);

/// Cloning it clones a handle.
#[derive(Clone)]
pub(super) struct Web {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    signer: Option<Signer>,
    response_bytes_max: usize,
}

/// Runs the tasks of connections until the process stops.
#[derive(Clone)]
struct Tasks(Lifecycle);

impl Tls {
    /// The roots of that file alone, or the system's if it is empty.
    pub fn load(ca: File<'_>) -> Result<Self, Fault> {
        if ca.name.is_empty() {
            let system = builder().with_native_roots();
            let problem = |error| format!("is empty, and the system has no roots: {error}");
            return system.map(|it| Self(it.with_no_client_auth())).map_err(|it| Fault::new(ca.setting, problem(it)));
        }
        let mut roots = RootCertStore::empty();
        // Roots that can't be parsed are passed over: those of a system may be older than what is understood.
        let (usable, _) = roots.add_parsable_certificates(pem::certificates(ca)?);
        if usable == 0 {
            return Err(Fault::new(ca.setting, format!("names {:?}, of which no certificate can be used", ca.name)));
        }
        Ok(Self::trusting(roots))
    }

    fn trusting(roots: RootCertStore) -> Self {
        Self(builder().with_root_certificates(roots).with_no_client_auth())
    }
}

fn builder() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    builder.expect("the provider has ciphers for both versions")
}

impl Web {
    pub(super) fn new(settings: &Settings, lifecycle: &Lifecycle) -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(settings.connect_timeout));
        let tls = settings.tls.clone().unwrap_or_else(|| Tls::trusting(RootCertStore::empty()));
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls.0).https_or_http().enable_http1().wrap_connector(http);
        let client = Client::builder(Tasks(lifecycle.clone()))
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .build(connector);
        let signer = settings.secret.as_ref().map(Signer::new);
        Self { client, signer, response_bytes_max: settings.response_bytes_max }
    }

    pub(super) async fn post(&self, url: &Uri, outgoing: &Outgoing) -> Result<Response, Unanswered> {
        let mut request = Request::new(Full::new(outgoing.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.clone();
        *request.headers_mut() = self.headers(outgoing, SystemTime::now());
        let response = self.client.request(request).await.map_err(|error| unreachable(&error))?;
        let (head, body) = response.into_parts();
        let collected = Limited::new(body, self.response_bytes_max).collect().await;
        let body = collected.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => Unanswered::TooLarge { max: self.response_bytes_max },
            None => unreachable(&*error),
        })?;
        let mut headers = Headers::new();
        for (name, value) in &head.headers {
            headers.push(name.as_str(), &String::from_utf8_lossy(value.as_bytes()));
        }
        Ok(Response { status: head.status.as_u16(), headers, body: body.to_bytes() })
    }

    fn headers(&self, outgoing: &Outgoing, now: SystemTime) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("stompgate/", env!("CARGO_PKG_VERSION"))));
        let content_type = outgoing.content_type.as_deref().map(HeaderValue::from_str);
        if let Some(Ok(content_type)) = content_type {
            headers.insert(CONTENT_TYPE, content_type);
        }
        let signed = self.signer.as_ref().map(|it| it.sign(now, &outgoing.body));
        let signature = signed.iter().flat_map(|Signature { timestamp, signature }| {
            [("Stompgate-Timestamp", &**timestamp), ("Stompgate-Signature", signature)]
        });
        for (name, value) in outgoing.metadata.iter().chain(signature) {
            let name = HeaderName::from_bytes(encode(name, is_token).to_ascii_lowercase().as_bytes());
            // A name of more than 64 KiB alone is none.
            if let Ok(name) = name {
                headers.append(name, value_of(value));
            }
        }
        headers
    }
}

impl Executor<Pin<Box<dyn Future<Output = ()> + Send>>> for Tasks {
    fn execute(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let stopping = self.0.stopping().clone();
        self.0.spawn_background(async move {
            // `None` when the process stops, which ends it.
            stopping.run_until_cancelled(task).await;
        });
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web").field("signer", &self.signer).finish_non_exhaustive()
    }
}

fn value_of(text: &str) -> HeaderValue {
    let encoded = encode(text, |it| (b' '..=b'~').contains(&it) && it != b'%');
    // Blanks at both ends would be lost on the way.
    let inner = encoded.trim_matches(' ');
    let blanks = |count: usize| "%20".repeat(count);
    let before = encoded.len() - encoded.trim_start_matches(' ').len();
    let after = encoded.len() - before - inner.len();
    let whole = format!("{}{inner}{}", blanks(before), blanks(after));
    HeaderValue::from_str(&whole).expect("it has visible characters of ASCII alone, and blanks between them")
}

/// Bytes that may not stand for themselves are written as in URLs, so that no client can write a header of its own.
fn encode(text: &str, is_plain: impl Fn(u8) -> bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_plain(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.extend([byte >> 4, byte & 15].map(|it| char::from(b"0123456789ABCDEF"[usize::from(it)])));
        }
    }
    encoded
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

/// With all causes: the first one alone says little.
fn unreachable(error: &(dyn Error + 'static)) -> Unanswered {
    let causes = std::iter::successors(Some(error), |it| Error::source(*it));
    Unanswered::Unreachable(causes.map(ToString::to_string).collect::<Vec<_>>().join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_client_can_write_a_header_of_its_own() {
        assert_eq!(value_of("a\r\nStompgate-User: root"), "a%0D%0AStompgate-User: root");
        assert_eq!(value_of("100% ü\0"), "100%25 %C3%BC%00");
        assert_eq!(value_of("  a b "), "%20%20a b%20");
        assert_eq!(value_of("   "), "%20%20%20");
        assert_eq!(value_of(""), "");
        assert_eq!(encode("x y:\n", is_token), "x%20y%3A%0A");
    }
}
