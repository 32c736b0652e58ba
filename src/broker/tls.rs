//! TLS towards a broker: which roots are trusted, what the gateway shows of itself, and what is wrong with the files.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use crate::pem::{self, Fault, File};

/// What an operator says of it; each is empty if it is left out.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TlsFiles {
    /// The only roots that are trusted, instead of the system's.
    pub ca: String,
    /// What the certificate of the broker has to name, instead of the host.
    pub server_name: String,
    /// Who the gateway is, and the key to it: both or none.
    pub certificate: String,
    pub key: String,
}

/// The settings that say so.
#[derive(Debug)]
pub struct TlsKeys {
    pub ca: &'static str,
    pub server_name: &'static str,
    pub certificate: &'static str,
    pub key: &'static str,
}

impl TlsKeys {
    pub const AMQP: Self = Self {
        ca: "broker.amqp.tls.ca_file",
        server_name: "broker.amqp.tls.server_name",
        certificate: "broker.amqp.tls.certificate_file",
        key: "broker.amqp.tls.key_file",
    };
    pub const STOMP: Self = Self {
        ca: "broker.stomp.tls.ca_file",
        server_name: "broker.stomp.tls.server_name",
        certificate: "broker.stomp.tls.certificate_file",
        key: "broker.stomp.tls.key_file",
    };
}

/// Files that were read and checked. Cloning it clones a handle.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    server_name: Option<String>,
}

impl Tls {
    /// Reads the files, or says all that is wrong with them.
    pub fn load(files: &TlsFiles, keys: &TlsKeys) -> Result<Self, Vec<Fault>> {
        let certificate = File { setting: keys.certificate, name: &files.certificate };
        let key = File { setting: keys.key, name: &files.key };
        let server_name = server_name(&files.server_name, keys);
        let (roots, identity) = (roots(&files.ca, keys), pem::identity(certificate, key));
        match (server_name, roots, identity) {
            (Ok(server_name), Ok(roots), Ok(identity)) => {
                let provider = Arc::new(aws_lc_rs::default_provider());
                let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
                let config = config.expect("the provider has ciphers for them").with_root_certificates(roots);
                let config = match identity {
                    None => config.with_no_client_auth(),
                    Some((chain, its_key)) => config
                        .with_client_auth_cert(chain, its_key)
                        .map_err(|error| vec![Fault::mismatch(certificate, key, error)])?,
                };
                Ok(Self { config: Arc::new(config), server_name })
            }
            (server_name, roots, identity) => {
                let faults = [server_name.err(), roots.err()].into_iter().flatten();
                Err(faults.chain(identity.err().into_iter().flatten()).collect())
            }
        }
    }

    pub(super) const fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// What the certificate of this host has to name.
    pub(super) fn name_of<'a>(&'a self, host: &'a str) -> &'a str {
        self.server_name.as_deref().unwrap_or(host)
    }
}

fn server_name(name: &str, keys: &TlsKeys) -> Result<Option<String>, Fault> {
    match ServerName::try_from(name) {
        Ok(_) => Ok(Some(name.to_owned())),
        Err(_) if name.is_empty() => Ok(None),
        Err(error) => Err(Fault::new(keys.server_name, format!("is no name that a certificate can hold: {error}"))),
    }
}

/// Roots that can't be parsed are passed over: those of a system may be older than what is understood.
fn roots(file: &str, keys: &TlsKeys) -> Result<RootCertStore, Fault> {
    let listed =
        if file.is_empty() { system_roots(keys)? } else { pem::certificates(File { setting: keys.ca, name: file })? };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(listed);
    if roots.is_empty() {
        return Err(Fault::new(keys.ca, format!("names {file:?}, of which nothing can be trusted as a root")));
    }
    Ok(roots)
}

fn system_roots(keys: &TlsKeys) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let found = rustls_native_certs::load_native_certs();
    match found.errors.first() {
        Some(error) if found.certs.is_empty() => {
            Err(Fault::new(keys.ca, format!("is empty, and the system has no roots: {error}")))
        }
        Some(_) | None => Ok(found.certs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(files: &TlsFiles) -> Vec<(&'static str, String)> {
        Tls::load(files, &TlsKeys::AMQP).unwrap_err().into_iter().map(|it| (it.setting, it.problem)).collect()
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let here = file!();
        let files = TlsFiles {
            ca: "/no/such.pem".to_owned(),
            server_name: "rabbit example".to_owned(),
            certificate: here.to_owned(),
            key: here.to_owned(),
        };
        let [name, ca, certificate, key] = faults(&files).try_into().unwrap();
        assert_eq!(name.0, "broker.amqp.tls.server_name");
        assert_eq!(ca.0, "broker.amqp.tls.ca_file");
        assert!(ca.1.starts_with("names \"/no/such.pem\", which can't be read: No such file"), "{ca:?}");
        assert_eq!(certificate.0, "broker.amqp.tls.certificate_file");
        assert_eq!(certificate.1, format!("names {here:?}, which holds no certificate in PEM"));
        assert_eq!(key.0, "broker.amqp.tls.key_file");
        assert!(key.1.starts_with(&format!("names {here:?}, which holds no private key in PEM")), "{key:?}");
    }

    #[test]
    fn a_certificate_and_its_key_are_given_together() {
        let files = TlsFiles { certificate: file!().to_owned(), ..TlsFiles::default() };
        let problem = "is given without broker.amqp.tls.key_file: give both or none".to_owned();
        assert_eq!(faults(&files), [("broker.amqp.tls.certificate_file", problem)]);
        let files = TlsFiles { key: file!().to_owned(), ..TlsFiles::default() };
        let problem = "is given without broker.amqp.tls.certificate_file: give both or none".to_owned();
        assert_eq!(faults(&files), [("broker.amqp.tls.key_file", problem)]);
    }
}
