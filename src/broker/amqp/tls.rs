//! TLS towards RabbitMQ: which roots are trusted, what the gateway shows of itself, and what is wrong with the files.

use lapin::tcp::{RustlsConnector, RustlsConnectorConfig};
use rustls::pki_types::ServerName;

use crate::pem::{self, Fault, File, Identity};

/// What an operator says of it; each is empty if it is left out.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TlsFiles {
    /// The only roots that are trusted, instead of the system's.
    pub ca: String,
    /// What the certificate of RabbitMQ has to name, instead of the host.
    pub server_name: String,
    /// Who the gateway is, and the key to it: both or none.
    pub certificate: String,
    pub key: String,
}

/// The settings that say so.
impl TlsFiles {
    pub const CA: &str = "broker.amqp.tls.ca_file";
    pub const CERTIFICATE: &str = "broker.amqp.tls.certificate_file";
    pub const KEY: &str = "broker.amqp.tls.key_file";
    pub const SERVER_NAME: &str = "broker.amqp.tls.server_name";

    fn certificate(&self) -> File<'_> {
        File { setting: Self::CERTIFICATE, name: &self.certificate }
    }

    fn key(&self) -> File<'_> {
        File { setting: Self::KEY, name: &self.key }
    }
}

/// Files that were read and checked. Cloning it clones a handle.
#[derive(Clone, Debug)]
pub struct Tls {
    connector: RustlsConnector,
    server_name: Option<String>,
}

impl Tls {
    /// Reads the files, or says all that is wrong with them.
    pub fn load(files: &TlsFiles) -> Result<Self, Vec<Fault>> {
        let server_name = server_name(&files.server_name);
        let roots = roots(&files.ca);
        let identity = pem::identity(files.certificate(), files.key());
        match (server_name, roots, identity) {
            (Ok(server_name), Ok(roots), Ok(identity)) => {
                let connector = connector(files, roots, identity).map_err(|fault| vec![fault])?;
                Ok(Self { connector, server_name })
            }
            (server_name, roots, identity) => {
                let faults = [server_name.err(), roots.err()].into_iter().flatten();
                Err(faults.chain(identity.err().into_iter().flatten()).collect())
            }
        }
    }

    pub(super) const fn connector(&self) -> &RustlsConnector {
        &self.connector
    }

    /// What the certificate of this host has to name.
    pub(super) fn name_of<'a>(&'a self, host: &'a str) -> &'a str {
        self.server_name.as_deref().unwrap_or(host)
    }
}

fn server_name(name: &str) -> Result<Option<String>, Fault> {
    match ServerName::try_from(name) {
        Ok(_) => Ok(Some(name.to_owned())),
        Err(_) if name.is_empty() => Ok(None),
        Err(error) => {
            Err(Fault::new(TlsFiles::SERVER_NAME, format!("is no name that a certificate can hold: {error}")))
        }
    }
}

fn roots(file: &str) -> Result<RustlsConnectorConfig, Fault> {
    if file.is_empty() {
        let system = RustlsConnectorConfig::new_with_native_certs();
        return system
            .map_err(|error| Fault::new(TlsFiles::CA, format!("is empty, and the system has no roots: {error}")));
    }
    let listed = pem::certificates(File { setting: TlsFiles::CA, name: file })?;
    Ok(RustlsConnectorConfig::default().with_parsable_certificates(listed))
}

fn connector(
    files: &TlsFiles,
    roots: RustlsConnectorConfig,
    identity: Option<Identity>,
) -> Result<RustlsConnector, Fault> {
    // Roots that can't be parsed are passed over: those of a system may be older than what is understood.
    let anonymous = roots.clone().connector_with_no_client_auth();
    let anonymous = anonymous.map_err(|error| Fault::new(TlsFiles::CA, format!("names {:?}: {error}", files.ca)))?;
    let Some((chain, key)) = identity else { return Ok(anonymous) };
    let connector = roots.connector_with_single_cert(chain, key);
    connector.map_err(|error| Fault::mismatch(files.certificate(), files.key(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(files: &TlsFiles) -> Vec<(&'static str, String)> {
        Tls::load(files).unwrap_err().into_iter().map(|it| (it.setting, it.problem)).collect()
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
