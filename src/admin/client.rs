//! Asks the internal listener of a running gateway whether it is ready: `stompgate healthcheck`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// For all of it: less than the 6 s after which our image gives the check up without its message.
const PATIENCE: Duration = Duration::from_secs(2);
/// Whatever listens there, no more of its answer is read.
const BODY_BYTES_MAX: usize = 4 * 1024;

/// Why a gateway should not be sent clients.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    #[error("{address} (admin.listen) can't be reached: {source}")]
    Unreachable { address: SocketAddr, source: io::Error },
    #[error("{address} (admin.listen) does not speak HTTP: {source}")]
    Broken { address: SocketAddr, source: hyper::Error },
    #[error("{address} (admin.listen) has not answered within {} s", PATIENCE.as_secs())]
    Silent { address: SocketAddr },
    #[error("{address} (admin.listen) answered {status}: {body}")]
    Refused { address: SocketAddr, status: StatusCode, body: String },
}

/// Asks for `/ready`.
pub async fn check_ready(listen: SocketAddr) -> Result<(), NotReady> {
    let address = reachable(listen);
    let answer = timeout(PATIENCE, ask(address)).await;
    let (status, body) = answer.unwrap_or(Err(NotReady::Silent { address }))?;
    if status == StatusCode::OK { Ok(()) } else { Err(NotReady::Refused { address, status, body }) }
}

async fn ask(address: SocketAddr) -> Result<(StatusCode, String), NotReady> {
    let broken = |source| NotReady::Broken { address, source };
    let stream = TcpStream::connect(address).await.map_err(|source| NotReady::Unreachable { address, source })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let request = Request::get("/ready").header(HOST, address.to_string()).body(Empty::<Bytes>::new());
    let answer = async {
        let response = sender.send_request(request.expect("an address is a valid header")).await?;
        let status = response.status();
        // A body that is cut or too long tells no more than the status.
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
        let body = body.map_or_else(|_| Bytes::new(), |it| it.to_bytes());
        Ok((status, String::from_utf8_lossy(&body).trim_end().to_owned()))
    };
    // The connection does the reading and writing, and outlives the answer unless the peer closes.
    tokio::pin!(answer, connection);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        ended = &mut connection => match ended {
            Ok(()) => answer.await,
            Err(error) => Err(error),
        },
    }
    .map_err(broken)
}

/// An address to connect to: nobody can to "every address", and the loopback is one of them.
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_that_listens_everywhere_is_asked_on_the_loopback() {
        for (listen, asked) in
            [("0.0.0.0:9000", "127.0.0.1:9000"), ("[::]:9000", "[::1]:9000"), ("10.0.0.1:1", "10.0.0.1:1")]
        {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), asked);
        }
    }
}
