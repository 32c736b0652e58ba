//! TLS towards clients: the certificate, how it is replaced while clients are connected, and the handshake.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};
use rustls::{Error, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use x509_parser::parse_x509_certificate;
use x509_parser::time::ASN1Time;

use super::{Metrics, raw};
use crate::pem::{self, Fault, File};
use crate::sync::lock;
use crate::transport::{Metered, Socket};

/// What an operator says of it. Both files or none, in PEM.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TlsFiles {
    /// Who the gateway is: its own certificate, then those that lead to a root.
    pub certificate: String,
    /// The key to it.
    pub key: String,
}

/// A certificate and its key, which can be read again. Cloning it clones a handle.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    files: TlsFiles,
    /// What the next handshake uses.
    current: Mutex<Current>,
    /// Once the listener serves.
    metrics: OnceLock<Metrics>,
}

#[derive(Clone)]
struct Current {
    config: Arc<ServerConfig>,
    /// When the first of the chain expires.
    expiry: ASN1Time,
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeFault {
    #[error("the client left: {0}")]
    Gone(io::Error),
    #[error("what came is no TLS: {0}")]
    Malformed(Error),
    #[error("what came is no TLS")]
    Plain,
    #[error("the client refused: {0}")]
    Rejected(Error),
    #[error("the client has no version, cipher or protocol in common: {0}")]
    Unsupported(Error),
}

/// The first byte of a client that speaks TLS (RFC 8446 section 5.1: a handshake record).
const HANDSHAKE_RECORD: u8 = 22;

/// For who takes the port for one of HTTP.
const PLAIN_TEXT: &str = "This port speaks TLS and nothing else: begin the address with wss:// or https://.\n";

/// All values of the metric label `reason`.
pub(super) const LABELS: [&str; 5] = ["gone", "malformed", "plain", "rejected", "unsupported"];

impl TlsFiles {
    pub const CERTIFICATE: &str = "http.tls.certificate_file";
    pub const KEY: &str = "http.tls.key_file";

    fn certificate(&self) -> File<'_> {
        File { setting: Self::CERTIFICATE, name: &self.certificate }
    }

    fn key(&self) -> File<'_> {
        File { setting: Self::KEY, name: &self.key }
    }

    fn load(&self) -> Result<Option<Current>, Vec<Fault>> {
        let Some((chain, key)) = pem::identity(self.certificate(), self.key())? else { return Ok(None) };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13, &TLS12]);
        let builder = builder.expect("the provider has both versions").with_no_client_auth();
        let expiries: Result<Vec<_>, _> = chain.iter().map(expiry).collect();
        let expiry = expiries.map_err(|problem| vec![Fault::new(Self::CERTIFICATE, problem)])?.into_iter().min();
        let expiry = expiry.expect("an identity has a certificate");
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| vec![Fault::mismatch(self.certificate(), self.key(), error)])?;
        // Upgrades to WebSocket are a matter of HTTP/1.1 here.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A session is resumed by what its client keeps, so that nothing is kept here for those who never come back.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = aws_lc_rs::Ticketer::new().expect("there is a source of chance");
        config.send_tls13_tickets = 1;
        Ok(Some(Current { config: Arc::new(config), expiry }))
    }
}

impl Tls {
    /// Reads the files, or says all that is wrong with them; `None` if there are none.
    pub fn load(files: TlsFiles) -> Result<Option<Self>, Vec<Fault>> {
        let Some(current) = files.load()? else { return Ok(None) };
        let current = Mutex::new(current);
        Ok(Some(Self(Arc::new(Shared { files, current, metrics: OnceLock::new() }))))
    }

    pub fn files(&self) -> &TlsFiles {
        &self.0.files
    }

    /// Reads the files again. Handshakes from then on use what is in them; who is connected notices nothing. If they
    /// have a fault, which is logged and counted, what was in force stays so.
    pub fn reload(&self) -> Result<(), Vec<Fault>> {
        let loaded = self.0.files.load();
        if let Some(metrics) = self.0.metrics.get() {
            metrics.tls_reloaded(loaded.is_ok());
        }
        match loaded {
            Ok(Some(current)) => {
                let expires = current.expiry;
                tracing::info!(%expires, "new handshakes use the certificate as read");
                *lock(&self.0.current) = current;
                self.show_expiry();
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(faults) => {
                for fault in &faults {
                    tracing::error!(%fault, "the certificate is not replaced; the one in force stays so");
                }
                Err(faults)
            }
        }
    }

    /// From now on `metrics` know the certificate.
    pub(super) fn report_to(&self, metrics: &Metrics) {
        self.0.metrics.get_or_init(|| metrics.clone());
        let expires = lock(&self.0.current).expiry;
        tracing::info!(%expires, "TLS towards clients, with the certificate of http.tls");
        self.show_expiry();
    }

    pub(super) async fn handshake(&self, tcp: TcpStream) -> Result<Socket, HandshakeFault> {
        let mut first = [0];
        let seen = tcp.peek(&mut first).await.map_err(HandshakeFault::Gone)?;
        if seen > 0 && first[0] != HANDSHAKE_RECORD {
            raw::answer(&tcp, raw::page("400 Bad Request", PLAIN_TEXT).as_bytes());
            return Err(HandshakeFault::Plain);
        }
        let config = Arc::clone(&lock(&self.0.current).config);
        Ok(TlsAcceptor::from(config).accept(Metered::from(tcp)).await.map_err(HandshakeFault::from)?.into())
    }

    fn show_expiry(&self) {
        let expiry = lock(&self.0.current).expiry;
        if let Some(metrics) = self.0.metrics.get() {
            metrics.tls_expiry.set(expiry.timestamp());
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.files.fmt(f)
    }
}

impl HandshakeFault {
    /// One of [`LABELS`].
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::Gone(_) => "gone",
            Self::Malformed(_) => "malformed",
            Self::Plain => "plain",
            Self::Rejected(_) => "rejected",
            Self::Unsupported(_) => "unsupported",
        }
    }
}

impl From<io::Error> for HandshakeFault {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|it| it.downcast_ref::<Error>()) {
            None => Self::Gone(error),
            Some(fault @ Error::AlertReceived(_)) => Self::Rejected(fault.clone()),
            Some(fault @ (Error::PeerIncompatible(_) | Error::NoApplicationProtocol)) => {
                Self::Unsupported(fault.clone())
            }
            Some(fault) => Self::Malformed(fault.clone()),
        }
    }
}

fn expiry(certificate: &CertificateDer<'_>) -> Result<ASN1Time, String> {
    let parsed = parse_x509_certificate(certificate);
    let (_, parsed) =
        parsed.map_err(|error| format!("names a file whose certificates can't be understood: {error}"))?;
    Ok(parsed.validity().not_after)
}
