//! TLS towards clients: versions, certificates that are replaced, and handshakes that fail.

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::join_all;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use stompgate::config::{self, InForce, Sources};
use stompgate::http::{Tls, TlsFiles};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::client;

const NAME: &str = "gateway.test";
type Client = WebSocketStream<TlsStream<TcpStream>>;

const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// Files of the test's own, removed when it is dropped.
struct Files {
    folder: PathBuf,
    /// What clients trust.
    certificate: CertificateDer<'static>,
}

impl Files {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("stompgate-{}-{}", std::process::id(), rand::random::<u64>()));
        std::fs::create_dir(&folder).unwrap();
        let mut files = Self { folder, certificate: CertificateDer::from(Vec::new()) };
        files.renew();
        files
    }

    /// Another certificate and its key.
    fn renew(&mut self) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed([NAME.to_owned()]).unwrap();
        std::fs::write(self.folder.join("certificate.pem"), cert.pem()).unwrap();
        std::fs::write(self.folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
        self.certificate = cert.der().clone();
    }

    fn load(&self) -> Tls {
        let file = |name| self.folder.join(name).to_str().unwrap().to_owned();
        let files = TlsFiles { certificate: file("certificate.pem"), key: file("key.pem") };
        Tls::load(files).unwrap().expect("both are given")
    }

    /// How a client connects that trusts the certificate of now.
    fn connector(&self, versions: &[&'static SupportedProtocolVersion]) -> TlsConnector {
        self.connector_for(versions, &[b"http/1.1"])
    }

    fn connector_for(&self, versions: &[&'static SupportedProtocolVersion], protocols: &[&[u8]]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

fn start(tls: &Tls) -> Gateway {
    let tls = tls.clone();
    Gateway::start(move |it| it.tls = Some(tls))
}

async fn secure(gateway: &Gateway, connector: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    within(connector.connect(ServerName::try_from(NAME).unwrap(), gateway.connect().await)).await
}

async fn upgrade(gateway: &Gateway, connector: &TlsConnector) -> Client {
    upgrade_at(gateway.address, connector).await
}

async fn upgrade_at(address: SocketAddr, connector: &TlsConnector) -> Client {
    let tcp = TcpStream::connect(address).await.unwrap();
    let stream = within(connector.connect(ServerName::try_from(NAME).unwrap(), tcp)).await.unwrap();
    within(client_async(format!("wss://{NAME}/ws"), stream)).await.unwrap().0
}

async fn hears_itself(client: &mut Client) {
    client.send(Message::text("hello")).await.unwrap();
    assert_eq!(within(client.next()).await.unwrap().unwrap(), Message::text("hello"));
}

/// How the handshake went, as the client saw it after its first words.
async fn kind(gateway: &Gateway, connector: &TlsConnector) -> Option<HandshakeKind> {
    let mut client = upgrade(gateway, connector).await;
    hears_itself(&mut client).await;
    client.get_ref().get_ref().1.handshake_kind()
}

fn failed(gateway: &Gateway, reason: &str) -> f64 {
    gateway.counted("stompgate_tls_handshakes_failed_total", reason)
}

#[tokio::test]
async fn clients_connect_with_both_versions_and_resume_by_ticket() {
    let files = Files::new();
    let gateway = start(&files.load());
    for (version, expected) in [(&TLS13, ProtocolVersion::TLSv1_3), (&TLS12, ProtocolVersion::TLSv1_2)] {
        let connector = files.connector(&[version]);
        let mut client = upgrade(&gateway, &connector).await;
        hears_itself(&mut client).await;
        let (_, session) = client.get_ref().get_ref();
        assert_eq!((session.protocol_version(), session.alpn_protocol()), (Some(expected), Some(&b"http/1.1"[..])));
        assert_eq!(session.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(kind(&gateway, &connector).await, Some(HandshakeKind::Resumed));
    }
    assert_eq!(gateway.counted("stompgate_tls_handshakes_total", ""), 4.0);
}

#[tokio::test]
async fn a_certificate_is_replaced_while_clients_stay() {
    let mut files = Files::new();
    let tls = files.load();
    let gateway = start(&tls);
    let before = files.connector(BOTH);
    let mut old = upgrade(&gateway, &before).await;
    files.renew();
    tls.reload().unwrap();

    hears_itself(&mut old).await;
    let after = files.connector(BOTH);
    assert_eq!(kind(&gateway, &after).await, Some(HandshakeKind::Full));
    let mut new = upgrade(&gateway, &after).await;
    hears_itself(&mut new).await;
    assert_eq!(new.get_ref().get_ref().1.peer_certificates().unwrap(), std::slice::from_ref(&files.certificate));
    // Who trusts the old one alone refuses; what it kept of it resumes nothing.
    secure(&gateway, &before).await.unwrap_err();
    until(|| failed(&gateway, "rejected") == 1.0).await;
    assert_eq!(gateway.counted("stompgate_tls_reloads_total", "ok"), 1.0);
}

#[tokio::test]
async fn files_with_a_fault_leave_the_old_certificate_in_force() {
    let files = Files::new();
    let tls = files.load();
    let gateway = start(&tls);
    let expiry = || gateway.counted("stompgate_tls_certificate_expiry_timestamp_seconds", "");
    until(|| expiry() > 1.7e9).await;
    let before = expiry();
    // The key of another certificate.
    std::fs::copy(Files::new().folder.join("key.pem"), files.folder.join("key.pem")).unwrap();
    let first_fault = || tls.reload().unwrap_err().swap_remove(0);
    let fault = first_fault();
    assert_eq!(fault.setting, "http.tls.key_file");
    assert!(fault.problem.contains("which does not fit the certificate in"), "{fault}");
    std::fs::remove_file(files.folder.join("certificate.pem")).unwrap();
    assert!(first_fault().to_string().starts_with("http.tls.certificate_file names "));
    std::fs::write(
        files.folder.join("certificate.pem"),
        "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----",
    )
    .unwrap();
    assert!(first_fault().problem.contains("can't be understood"));

    hears_itself(&mut upgrade(&gateway, &files.connector(BOTH)).await).await;
    assert_eq!(gateway.counted("stompgate_tls_reloads_total", "failed"), 3.0);
    assert_eq!(expiry(), before);
}

/// A pipe can be read once for each time that it is written.
#[tokio::test]
async fn a_reload_of_the_configuration_reads_each_file_of_the_certificate_once() {
    let mut files = Files::new();
    let name = |it: &str| files.folder.join(it).to_str().unwrap().to_owned();
    let toml =
        format!("[http.tls]\ncertificate_file = '{}'\nkey_file = '{}'", name("certificate.pem"), name("key.pem"));
    let config = files.folder.join("stompgate.toml");
    std::fs::write(&config, toml).unwrap();
    let sources = Sources::given(Some(config), []);
    let mut in_force = InForce::new(sources.clone(), config::load(sources).unwrap());
    let gateway = start(in_force.settings().http.tls.as_ref().unwrap());
    files.renew();
    let writers = ["certificate.pem", "key.pem"].map(|it| {
        let path = files.folder.join(it);
        let pem = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        std::thread::spawn(move || std::fs::write(path, pem).unwrap())
    });
    let reloading = tokio::task::spawn_blocking(move || in_force.reload().map(drop));
    let reloaded = tokio::time::timeout(Duration::from_secs(10), reloading).await;
    if reloaded.is_err() {
        // Who still reads gets nothing more, and ends.
        for it in ["certificate.pem", "key.pem"] {
            std::fs::write(files.folder.join(it), "").unwrap();
        }
    }
    reloaded.expect("a file is read twice").unwrap().unwrap();
    writers.into_iter().for_each(|it| it.join().unwrap());
    hears_itself(&mut upgrade(&gateway, &files.connector(BOTH)).await).await;
}

#[tokio::test]
async fn who_speaks_http_to_the_port_is_told_what_it_speaks() {
    let files = Files::new();
    let gateway = start(&files.load());
    let answer = gateway.ask(HANDSHAKE).await;
    assert_holds(&answer, &["HTTP/1.1 400 ", "connection: close", "wss://"]);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_holds(head, &[&format!("content-length: {}", body.len())]);
    assert_eq!(failed(&gateway, "plain"), 1.0);
    until(|| gateway.registry.live() == 0).await;
}

#[tokio::test]
async fn a_handshake_that_fails_is_counted_by_its_reason() {
    let files = Files::new();
    let gateway = start(&files.load());
    secure(&gateway, &files.connector_for(BOTH, &[b"h2"])).await.unwrap_err();
    until(|| failed(&gateway, "unsupported") == 1.0).await;
    secure(&gateway, &Files::new().connector(BOTH)).await.unwrap_err();
    until(|| failed(&gateway, "rejected") == 1.0).await;
    drop(gateway.connect().await);
    until(|| failed(&gateway, "gone") == 1.0).await;
    let mut broken = gateway.connect().await;
    broken.write_all(&[22, 3, 1, 0, 4, 99, 0, 0, 0]).await.unwrap();
    until(|| failed(&gateway, "malformed") == 1.0).await;
    // Without any protocol of its own it is one of HTTP.
    hears_itself(&mut upgrade(&gateway, &files.connector_for(BOTH, &[])).await).await;
}

#[tokio::test]
async fn a_handshake_has_a_deadline() {
    let tls = Files::new().load();
    let gateway = Gateway::start(|it| (it.tls, it.tls_handshake_timeout) = (Some(tls), Duration::from_millis(50)));
    let mut silent = gateway.connect().await;
    let mut slow = gateway.connect().await;
    slow.write_all(&[22, 3, 1, 1, 0, 1]).await.unwrap();
    for tcp in [&mut silent, &mut slow] {
        // What was sent and not read makes a reset of it.
        let _ended = within(tcp.read_u8()).await.unwrap_err();
    }
    until(|| gateway.counted("stompgate_http_timeouts_total", "tls_handshake") == 2.0).await;
}

#[tokio::test]
async fn a_client_over_a_bound_is_told_so_within_tls() {
    let files = Files::new();
    let tls = files.load();
    let gateway = Gateway::start(|it| (it.tls, it.connections_max) = (Some(tls), 1));
    let connector = files.connector(BOTH);
    let _client = upgrade(&gateway, &connector).await;
    let mut surplus = secure(&gateway, &connector).await.unwrap();
    surplus.write_all(format!("{HANDSHAKE}\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // hyper drops the connection of a refused upgrade without a good-bye, which the client need not wait for.
    let _ended = within(surplus.read_to_end(&mut answer)).await;
    assert_holds(str::from_utf8(&answer).unwrap(), &["HTTP/1.1 503 ", "1 (http.connections_max)"]);
}

#[tokio::test]
async fn much_that_waits_for_a_slow_reader_arrives_whole_and_in_order() {
    let files = Files::new();
    let gateway = start(&files.load());
    let client = upgrade(&gateway, &files.connector(BOTH)).await;
    let (mut sink, mut stream) = client.split();
    let payload = |i: usize| format!("{i} {}", "x".repeat(i * 97 % 60_000));
    let writing = async {
        for i in 0..400 {
            sink.send(Message::text(payload(i))).await.unwrap();
        }
    };
    let reading = async {
        // Meanwhile so much is sent that both directions are stuck.
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
        }
        for i in 0..400 {
            assert_eq!(stream.next().await.unwrap().unwrap(), Message::text(payload(i)));
        }
    };
    within(async { tokio::join!(writing, reading) }).await;
}

#[tokio::test]
async fn connections_that_come_at_once_all_shake_hands() {
    let files = Files::new();
    let tls = files.load();
    let gateway = Gateway::start(|it| (it.tls, it.handshakes_max) = (Some(tls), 8));
    let connector = files.connector(BOTH);
    let mut clients = within(join_all((0..100).map(|_| upgrade(&gateway, &connector)))).await;
    hears_itself(&mut clients[99]).await;
    assert_eq!(gateway.counted("stompgate_tls_handshakes_total", ""), 100.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_given_up_and_others_are_served() {
    let files = Files::new();
    let tls = files.load();
    let app = client::start(|it| {
        it.http.tls = Some(tls);
        it.delivery.bytes_max = 64 * 1024;
    })
    .await;
    let connector = files.connector(BOTH);
    let [mut stuck, mut publisher] =
        [upgrade_at(app.http_addr, &connector).await, upgrade_at(app.http_addr, &connector).await];
    for client in [&mut stuck, &mut publisher] {
        client.send(Message::text("CONNECT\naccept-version:1.2\n\n\0")).await.unwrap();
        assert!(within(client.next()).await.unwrap().unwrap().into_text().unwrap().starts_with("CONNECTED\n"));
        client.send(Message::text("SUBSCRIBE\nid:s\ndestination:/topic/a\nreceipt:r\n\n\0")).await.unwrap();
        assert!(within(client.next()).await.unwrap().unwrap().into_text().unwrap().starts_with("RECEIPT\n"));
    }
    let body = "x".repeat(60_000);
    let given_up = "stompgate_sessions_closed_total{reason=\"slow_consumer\"}";
    while client::metric(&app, given_up).await == 0.0 {
        publisher.send(Message::text(format!("SEND\ndestination:/topic/a\n\n{body}\0"))).await.unwrap();
        let message = within(publisher.next()).await.unwrap().unwrap().into_text().unwrap();
        assert!(message.starts_with("MESSAGE\n") && message.ends_with(&format!("{body}\0")));
    }
    drop(stuck);
    client::until(&app, "stompgate_sessions{phase=\"closing\"}", 0.0).await;
    client::until(&app, "stompgate_outbox_bytes", 0.0).await;
}
