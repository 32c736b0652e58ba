//! TLS towards the broker: whom the gateway trusts.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use stompgate::broker::stomp::Settings;
use stompgate::broker::{Tls, TlsFiles, TlsKeys};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::support::Gateway;
use super::upstream::within;

const NAME: &str = "broker.test";

/// A listener with a certificate of that name, and that certificate in PEM.
async fn listen() -> (TcpListener, TlsAcceptor, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener, TlsAcceptor::from(Arc::new(config)), cert.pem())
}

/// Trusts that certificate alone.
fn settings(listener: &TcpListener, pem: &str) -> Settings {
    let file = std::env::temp_dir().join(format!("stompgate-relay-{}-{}", std::process::id(), rand::random::<u64>()));
    std::fs::write(&file, pem).unwrap();
    let files = TlsFiles { ca: file.to_str().unwrap().to_owned(), server_name: NAME.to_owned(), ..TlsFiles::default() };
    let tls = Some(Tls::load(&files, &TlsKeys::STOMP).unwrap());
    std::fs::remove_file(file).unwrap();
    Settings {
        addresses: vec![listener.local_addr().unwrap().to_string().parse().unwrap()],
        tls,
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_broker_is_spoken_to_over_tls() {
    let (listener, acceptor, pem) = listen().await;
    let gateway = Gateway::started(settings(&listener, &pem));
    let (stream, _) = within(listener.accept()).await.unwrap();
    let mut stream = within(acceptor.accept(stream)).await.unwrap();
    let mut bytes = [0; 1_024];
    let count = within(stream.read(&mut bytes)).await.unwrap();
    assert!(bytes[..count].starts_with(b"CONNECT\naccept-version:1.1,1.2\n"));
    stream.write_all(b"CONNECTED\nversion:1.2\n\n\0").await.unwrap();
    gateway.is_ready().await;
}

#[tokio::test]
async fn a_broker_whose_certificate_is_not_trusted_learns_nothing() {
    let (listener, acceptor, _) = listen().await;
    let (_, _, other) = listen().await;
    let gateway = Gateway::started(settings(&listener, &other));
    let (stream, _) = within(listener.accept()).await.unwrap();
    assert!(within(acceptor.accept(stream)).await.is_err());
    gateway.counts("connects_total", "failed", 1.0).await;
    assert!(!gateway.latch.is_set());
}
