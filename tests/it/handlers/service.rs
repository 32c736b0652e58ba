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
use stompgate::app::App;
use stompgate::config::{Settings, Sources, load};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::AbortHandle;

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
    seen: Mutex<mpsc::Receiver<Seen>>,
    task: AbortHandle,
}

impl Service {
    pub(crate) async fn start<F>(answers: impl Fn(Seen) -> F + Clone + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, seen) = mpsc::channel(10_000);
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let accepting = async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                let (answers, sender) = (answers.clone(), sender.clone());
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
                let connection = hyper::server::conn::http1::Builder::new();
                spawn(async move {
                    // The gateway may be gone before the answer.
                    let _served = connection.serve_connection(TokioIo::new(tcp), service).await;
                });
            }
        };
        let task = spawn(accepting);
        Self { address, connections, seen: Mutex::new(seen), task }
    }

    /// The next call.
    pub(crate) async fn seen(&self) -> Seen {
        within(async { self.seen.lock().await.recv().await.expect("it runs") }).await
    }

    /// Nothing that was not taken by [`Self::seen`].
    pub(crate) async fn is_idle(&self) -> bool {
        self.seen.lock().await.try_recv().is_err()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/stomp", self.address)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
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
