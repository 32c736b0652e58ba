//! `amqps://`: whom the gateway trusts, and who it is to RabbitMQ.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stompgate::broker::amqp::{Identity, Settings};
use stompgate::broker::{Tls, TlsFiles, TlsKeys};
use stompgate::session::Fault;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::util::SubscriberInitExt;

use super::Gateway;
use super::support::{credentials, eventually, rabbitmqctl};

/// The name in the certificate of RabbitMQ, which is no name of this machine.
const SERVER_NAME: &str = "rabbit.test";

/// Two authorities, a certificate of RabbitMQ's and one of the gateway's, both by the first of them. Removed at the end.
struct Certificates {
    folder: PathBuf,
}

/// A listener of RabbitMQ for TLS, made for one test.
struct Listener {
    port: u16,
    certificates: Certificates,
}

#[derive(Clone, Copy)]
enum Clients {
    Anonymous,
    WithCertificate,
}

impl Certificates {
    fn new() -> Self {
        let folder =
            std::env::temp_dir().join(format!("stompgate-tls-{}-{}", std::process::id(), rand::random::<u64>()));
        std::fs::create_dir(&folder).unwrap();
        let all = Self { folder };
        all.authority("ca");
        all.authority("other");
        all.issue("server", &format!("subjectAltName=IP:127.0.0.1,DNS:{SERVER_NAME}"));
        all.issue("named", &format!("subjectAltName=DNS:{SERVER_NAME}"));
        all.issue("client", "extendedKeyUsage=clientAuth");
        all
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    fn authority(&self, name: &str) {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
        let subject = format!("/CN=stompgate test {name}");
        let how = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"];
        self.openssl(&[&how[..], &["-subj", &subject, "-keyout", &key, "-out", &certificate]].concat());
    }

    fn issue(&self, name: &str, extension: &str) {
        let [key, request, certificate, extensions] = ["key", "csr", "pem", "ext"].map(|it| format!("{name}.{it}"));
        std::fs::write(self.folder.join(&extensions), extension).unwrap();
        // Its name is a user's, where a certificate is a login.
        let how = ["req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=guest"];
        self.openssl(&[&how[..], &["-keyout", &key, "-out", &request]].concat());
        let how = ["x509", "-req", "-days", "2", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
        self.openssl(&[&how[..], &["-in", &request, "-out", &certificate, "-extfile", &extensions]].concat());
    }

    fn openssl(&self, arguments: &[&str]) {
        let mut openssl = Command::new("openssl");
        let output = openssl.args(arguments).current_dir(&self.folder).stdin(Stdio::null()).output();
        let output = output.expect("openssl can be run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

impl Listener {
    async fn start(server: &str, clients: Clients) -> Self {
        let certificates = Certificates::new();
        // Free a moment ago, and nobody is given it soon.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let pem = |name: &str| std::fs::read_to_string(certificates.path(name)).unwrap();
        let (ca, certificate) = (pem("ca.pem"), pem(&format!("{server}.pem")));
        let key = pem(&format!("{server}.key"));
        let (verify, required) = match clients {
            Clients::Anonymous => ("verify_none", false),
            Clients::WithCertificate => ("verify_peer", true),
        };
        // As values: RabbitMQ may not see the files of the tests.
        let start = format!(
            "rabbit_networking:ensure_ssl(), \
             Entry = fun(Pem) -> [{{Type, Der, _}} | _] = public_key:pem_decode(Pem), {{Type, Der}} end, \
             {{_, Ca}} = Entry(<<\"{ca}\">>), {{_, Certificate}} = Entry(<<\"{certificate}\">>), \
             Options = [{{cacerts, [Ca]}}, {{cert, Certificate}}, {{key, Entry(<<\"{key}\">>)}}, {{verify, {verify}}}, \
             {{fail_if_no_peer_cert, {required}}}], \
             rabbit_networking:start_ssl_listener({{\"127.0.0.1\", {port}}}, Options, 1)."
        );
        assert_eq!(rabbitmqctl(&["eval", &start]).await, ["ok"], "{start}");
        Self { port, certificates }
    }

    /// A gateway that uses it. The files are named by their endings.
    fn gateway(&self, settings: Settings, ca: &str, server_name: &str, certificate: &str) -> Gateway {
        let file = |name: &str| {
            if Path::new(name).extension().is_some() { self.certificates.path(name) } else { String::new() }
        };
        let files = TlsFiles {
            ca: file(ca),
            server_name: server_name.to_owned(),
            certificate: file(certificate),
            key: file(&certificate.replace(".pem", ".key")),
        };
        let url = format!("amqps://guest:guest@127.0.0.1:{}/%2f", self.port).parse().unwrap();
        let tls = Some(Tls::load(&files, &TlsKeys::AMQP).unwrap());
        let connect_timeout = Duration::from_secs(2);
        Gateway::started(Settings { urls: vec![url], tls, connect_timeout, ..settings })
    }

    async fn stop(self) {
        let stop = format!("rabbit_networking:stop_tcp_listener({{\"127.0.0.1\", {}}}).", self.port);
        rabbitmqctl(&["eval", &stop]).await;
    }
}

async fn works(gateway: Gateway) {
    gateway.is_ready().await;
    let fixture = gateway.fixture();
    let mut session = gateway.open(credentials(Some("guest"), Some("guest"), None)).await.unwrap();
    session.subscribe(&fixture.topic("a")).await;
    session.publish(&fixture.topic("a"), "over TLS").await;
    session.expect(&["over TLS"]).await;
    session.close();
    gateway.stop().await;
}

/// And the operator is told why.
async fn never_connects(gateway: Gateway, log: &Log, why: &str) {
    eventually("it has failed", async || gateway.metric("connects_total", "failed") >= 2.0).await;
    assert!(!gateway.latch.is_set());
    gateway.stop().await;
    let told = log.take();
    assert!(told.contains(why), "{told}");
}

/// What is logged by the thread of a test, as all its tasks are.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn listen() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        (log, subscriber.set_default())
    }

    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn rabbitmq_is_trusted_by_its_authority_and_its_name() {
    let listener = Listener::start("server", Clients::Anonymous).await;
    let settings = Settings::default;
    works(listener.gateway(settings(), "ca.pem", "", "")).await;
    works(listener.gateway(settings(), "ca.pem", SERVER_NAME, "")).await;
    let (log, _guard) = Log::listen();
    let unknown = "invalid peer certificate: UnknownIssuer";
    never_connects(listener.gateway(settings(), "other.pem", "", ""), &log, unknown).await;
    never_connects(listener.gateway(settings(), "", "", ""), &log, unknown).await;
    let name = "certificate not valid for name \"rabbit.example\"";
    never_connects(listener.gateway(settings(), "ca.pem", "rabbit.example", ""), &log, name).await;
    listener.stop().await;
}

#[tokio::test]
async fn a_certificate_without_the_host_needs_the_server_name() {
    let listener = Listener::start("named", Clients::Anonymous).await;
    let (log, _guard) = Log::listen();
    let name = "certificate not valid for name \"127.0.0.1\"";
    never_connects(listener.gateway(Settings::default(), "ca.pem", "", ""), &log, name).await;
    works(listener.gateway(Settings::default(), "ca.pem", SERVER_NAME, "")).await;
    listener.stop().await;
}

#[tokio::test]
async fn rabbitmq_can_demand_a_certificate_of_the_gateway() {
    let listener = Listener::start("server", Clients::WithCertificate).await;
    let (log, _guard) = Log::listen();
    // Its reason comes after the handshake, together with the end of the connection: often the end is seen first.
    let refused = "RabbitMQ can't be used";
    never_connects(listener.gateway(Settings::default(), "ca.pem", "", ""), &log, refused).await;
    works(listener.gateway(Settings::default(), "ca.pem", "", "client.pem")).await;
    listener.stop().await;
}

#[tokio::test]
async fn clients_log_in_over_tls_as_themselves() {
    let listener = Listener::start("server", Clients::WithCertificate).await;
    let settings = Settings { identity: Identity::Client, ..Settings::default() };
    let gateway = listener.gateway(settings.clone(), "ca.pem", "", "client.pem");
    gateway.is_ready().await;
    let refused = gateway.open(credentials(Some("guest"), Some("wrong"), None)).await.map(drop);
    assert_eq!(refused, Err(Fault::AccessRefused { login: "guest".to_owned() }));
    works(gateway).await;
    let distrustful = listener.gateway(settings, "other.pem", "", "client.pem");
    let refused = distrustful.open(credentials(Some("guest"), Some("guest"), None)).await.map(drop);
    assert_eq!((refused, distrustful.latch.is_set()), (Err(Fault::Unavailable), false));
    distrustful.stop().await;
    listener.stop().await;
}

#[test]
fn a_key_that_does_not_fit_its_certificate_is_found_out_before_the_start() {
    let certificates = Certificates::new();
    let [ca, certificate, key] = ["ca.pem", "client.pem", "server.key"].map(|it| certificates.path(it));
    let files = TlsFiles { ca, server_name: String::new(), certificate, key };
    let faults = Tls::load(&files, &TlsKeys::AMQP).unwrap_err();
    assert_eq!(faults.iter().map(|it| it.setting).collect::<Vec<_>>(), [TlsKeys::AMQP.key]);
    assert!(faults[0].problem.contains("does not fit the certificate"), "{faults:?}");
}
