//! Short answers to clients whose connection is not worth a task, or can't have one.

use std::net::Shutdown;

use socket2::SockRef;
use tokio::net::TcpStream;

/// What is read of a request before it is answered unseen: most are shorter.
const REQUEST_BYTES: usize = 4096;

/// A whole answer; `head` is its status, and may go on with headers of its own.
pub(super) fn page(head: &str, text: &str) -> String {
    format!(
        "HTTP/1.1 {head}\r\nConnection: close\r\nCache-Control: no-store\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    )
}

/// Does not wait: the answer is far smaller than what the kernel takes. What can't be said is left unsaid.
pub(super) fn answer(tcp: &TcpStream, answer: &[u8]) {
    // A socket that is closed with something unread is reset, and its answer may be lost.
    let mut request = [0; REQUEST_BYTES];
    let _read = tcp.try_read(&mut request);
    if tcp.try_write(answer).is_ok() {
        let _ended = SockRef::from(tcp).shutdown(Shutdown::Write);
    }
}
