//! Certificates and keys from files in PEM, and what is wrong with them. Does not know what they are for.

use std::{fmt, fs};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What is wrong, and with which setting.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    pub setting: &'static str,
    pub problem: String,
}

/// A setting and the file that it names; empty if it names none.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    pub setting: &'static str,
    pub name: &'a str,
}

/// Certificates that lead to a root, the own one first, and the key to that.
pub type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Fault {
    pub const fn new(setting: &'static str, problem: String) -> Self {
        Self { setting, problem }
    }

    /// For a pair that was read and does not belong together.
    pub fn mismatch(certificate: File<'_>, key: File<'_>, error: impl fmt::Display) -> Self {
        let (names, belongs) = (key.name, certificate.name);
        Self::new(key.setting, format!("names {names:?}, which does not fit the certificate in {belongs:?}: {error}"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.setting, self.problem)
    }
}

impl std::error::Error for Fault {}

/// Both or none, and all that is wrong with them.
pub fn identity(certificate: File<'_>, key: File<'_>) -> Result<Option<Identity>, Vec<Fault>> {
    match (certificate.name, key.name) {
        ("", "") => Ok(None),
        (_, "") => Err(vec![alone(certificate, key)]),
        ("", _) => Err(vec![alone(key, certificate)]),
        _ => match (certificates(certificate), private_key(key)) {
            (Ok(chain), Ok(key)) => Ok(Some((chain, key))),
            (chain, key) => Err([chain.err(), key.err()].into_iter().flatten().collect()),
        },
    }
}

/// At least one.
pub fn certificates(file: File<'_>) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let pem = read(file)?;
    let (setting, name) = (file.setting, file.name);
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Fault::new(setting, format!("names {name:?}, which holds no certificate in PEM"))),
        Err(error) => Err(Fault::new(setting, format!("names {name:?}, which is not PEM: {error}"))),
    }
}

fn private_key(file: File<'_>) -> Result<PrivateKeyDer<'static>, Fault> {
    let key = PrivateKeyDer::from_pem_slice(&read(file)?);
    key.map_err(|error| {
        Fault::new(file.setting, format!("names {:?}, which holds no private key in PEM: {error}", file.name))
    })
}

fn read(file: File<'_>) -> Result<Vec<u8>, Fault> {
    let (setting, name) = (file.setting, file.name);
    fs::read(name).map_err(|error| Fault::new(setting, format!("names {name:?}, which can't be read: {error}")))
}

fn alone(given: File<'_>, other: File<'_>) -> Fault {
    Fault::new(given.setting, format!("is given without {}: give both or none", other.setting))
}
