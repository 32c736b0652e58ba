//! A service that answers calls of a gateway, and a gateway in front of it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use stompgate::app::App;
use stompgate::config::{Settings, Sources, load};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use crate::client::{self, within};

/// What a service was asked.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |it| it)
    }
}

/// What it answers.
pub(crate) type Answer = Response<Full<Bytes>>;

pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut answer = Response::builder().status(status);
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    answer.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap()
}

/// Ends when it is dropped.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    scheme: &'static str,
    seen: Mutex<mpsc::Receiver<Seen>>,
    #[expect(dead_code, reason = "it is kept for its drop")]
    task: Task,
}

struct Task(AbortHandle);

impl Service {
    pub(crate) async fn start<F>(answers: impl Fn(Seen) -> F + Clone + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self::serve(answers, None).await
    }

    /// Over TLS, with the file of its only root.
    pub(crate) async fn start_tls<F>(answers: impl Fn(Seen) -> F + Clone + Send + Sync + 'static) -> (Self, PathBuf)
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let file = std::env::temp_dir().join(format!("stompgate-it-{}-ca.pem", std::process::id()));
        std::fs::write(&file, cert.pem()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config = config.unwrap().with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
        let service = Self::serve(answers, Some(TlsAcceptor::from(Arc::new(config)))).await;
        (Self { scheme: "https", ..service }, file)
    }

    async fn serve<F>(answers: impl Fn(Seen) -> F + Clone + Send + Sync + 'static, tls: Option<TlsAcceptor>) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, seen) = mpsc::channel(10_000);
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let task = spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                let (answers, sender, tls) = (answers.clone(), sender.clone(), tls.clone());
                spawn(async move {
                    // The gateway may not trust it, or be gone before the answer.
                    match tls {
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(tcp).await {
                                converse(stream, answers, sender).await;
                            }
                        }
                        None => converse(tcp, answers, sender).await,
                    }
                });
            }
        });
        Self { address, connections, scheme: "http", seen: Mutex::new(seen), task: Task(task) }
    }

    /// The next call.
    pub(crate) async fn seen(&self) -> Seen {
        within(async { self.seen.lock().await.recv().await.expect("it runs") }).await
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}/stomp", self.scheme, self.address)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn converse<F>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    answers: impl Fn(Seen) -> F + Clone,
    sender: mpsc::Sender<Seen>,
) where
    F: Future<Output = Answer>,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (answers, sender) = (answers.clone(), sender.clone());
        async move {
            let (head, body) = request.into_parts();
            let text = |it: &hyper::header::HeaderValue| it.to_str().unwrap().to_owned();
            let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
            let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
            let seen = Seen { headers: headers.collect(), body };
            sender.try_send(seen.clone()).unwrap();
            Ok::<_, Infallible>(answers(seen).await)
        }
    });
    let _served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

#[expect(clippy::disallowed_methods, reason = "the tasks of a test's service end with its runtime")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    tokio::spawn(task).abort_handle()
}

/// The settings of a file with this text.
pub(crate) fn settings(toml: &str) -> Settings {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("stompgate-it-{}-{}.toml", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let path: PathBuf = std::env::temp_dir().join(name);
    std::fs::write(&path, toml).unwrap();
    let loaded = load(Sources::given(Some(path.clone()), []));
    std::fs::remove_file(path).unwrap();
    loaded.unwrap().settings
}

/// A gateway that is configured so, with TARGET for the address of the service.
pub(crate) async fn gateway(service: &Service, toml: &str) -> App {
    let settings = settings(&toml.replace("TARGET", &service.url()));
    client::start(|it| {
        *it = Settings { http: it.http.clone(), admin: it.admin.clone(), ..settings };
    })
    .await
}
