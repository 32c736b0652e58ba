//! Requests and answers as bytes.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::within;

/// A connection of a client that writes what it likes.
pub(crate) struct Raw {
    tcp: TcpStream,
    /// What was received and not read yet.
    unread: Vec<u8>,
}

/// A whole answer, or its head.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(it, _)| it == name).map(|(_, value)| &**value);
        let first = found.next();
        assert!(found.next().is_none(), "{name} is there twice: {self:?}");
        first
    }
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self { tcp: TcpStream::connect(address).await.unwrap(), unread: Vec::new() }
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.tcp.write_all(bytes.as_ref())).await.unwrap();
    }

    /// A request of HTTP/1.1; `headers` are whole lines.
    pub(crate) async fn ask(&mut self, method: &str, path: &str, headers: &str, body: &str) {
        let length = if method == "POST" { format!("Content-Length: {}\r\n", body.len()) } else { String::new() };
        self.write(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}{length}\r\n{body}")).await;
    }

    /// The head of the next answer.
    pub(crate) async fn head(&mut self) -> Answer {
        let text = self.until(b"\r\n\r\n").await;
        let mut lines = text.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|it| it.split_once(':').unwrap());
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        Answer { status, headers, body: String::new() }
    }

    /// The next answer, which has a length or no body.
    pub(crate) async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        assert_eq!(answer.header("transfer-encoding"), None, "{answer:?}");
        let length = answer.header("content-length").map_or(0, |it| it.parse().unwrap());
        answer.body = self.exactly(length).await;
        answer
    }

    /// The next chunk of an answer; `None` is its end.
    pub(crate) async fn chunk(&mut self) -> Option<String> {
        let length = self.until(b"\r\n").await;
        let length = usize::from_str_radix(length.trim(), 16).unwrap();
        let chunk = self.exactly(length + 2).await;
        (length > 0).then(|| chunk.strip_suffix("\r\n").unwrap().to_owned())
    }

    /// Everything until the connection is closed.
    pub(crate) async fn rest(&mut self) -> String {
        String::from_utf8(self.bytes_to_the_end().await).unwrap()
    }

    /// The same, of any bytes.
    pub(crate) async fn bytes_to_the_end(&mut self) -> Vec<u8> {
        while self.more().await > 0 {}
        std::mem::take(&mut self.unread)
    }

    pub(crate) async fn until(&mut self, end: &[u8]) -> String {
        loop {
            if let Some(at) = self.unread.windows(end.len()).position(|it| it == end) {
                return self.exactly(at + end.len()).await;
            }
            assert!(self.more().await > 0, "closed early: {:?}", String::from_utf8_lossy(&self.unread));
        }
    }

    pub(crate) async fn exactly(&mut self, length: usize) -> String {
        while self.unread.len() < length {
            assert!(self.more().await > 0, "closed early: {:?}", String::from_utf8_lossy(&self.unread));
        }
        String::from_utf8(self.unread.drain(..length).collect()).unwrap()
    }

    pub(crate) fn tcp(&mut self) -> &mut TcpStream {
        &mut self.tcp
    }

    async fn more(&mut self) -> usize {
        within(self.tcp.read_buf(&mut self.unread)).await.unwrap_or(0)
    }
}
