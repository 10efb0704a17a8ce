//! A client of HTTP for what this program asks others: one request, one answer, one connection. In the clear:
//! what is elsewhere is behind an agent on this machine.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer that is read, in octets.
const ANSWER: usize = 16 << 20;

/// Where to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// The host as it stands there, with its port where it has one.
    host: String,
    /// The same, to connect to.
    address: String,
    /// What is asked for.
    path: String,
}

impl Url {
    /// Reads `http://host[:port][/path]`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let how =
            "write it so: http://127.0.0.1:8080/path; for https, have an agent on this machine hand it on";
        let rest = text.strip_prefix("http://").ok_or_else(|| format!("`{text}`: {how}"))?;
        let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let fits = |b: u8| b.is_ascii_graphic() && !matches!(b, b'@' | b'"' | b'<' | b'>' | b'\\');
        if host.is_empty() || !rest.bytes().all(fits) {
            return Err(format!("`{text}`: {how}"));
        }
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let address = if has_port { host.to_owned() } else { format!("{host}:80") };
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { host: host.to_owned(), address, path: path.to_owned() })
    }

    /// The same, to be asked for this.
    pub(crate) fn at(&self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self.clone() }
    }
}

/// Asks, and gives the status and the body of the answer.
pub(crate) async fn request(
    method: &str,
    url: &Url,
    headers: &[(String, String)],
    body: Option<&str>,
) -> Result<(u16, String), String> {
    let exchange = exchange(method, url, headers, body);
    match timeout(PATIENCE, exchange).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("{}: no answer within {} s", url.address, PATIENCE.as_secs())),
    }
}

async fn exchange(
    method: &str,
    url: &Url,
    headers: &[(String, String)],
    body: Option<&str>,
) -> Result<(u16, String), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", url.address);
    let mut stream = TcpStream::connect(&url.address).await.map_err(failed)?;
    let mut request =
        format!("{method} {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", url.path, url.host);
    for (name, value) in headers.iter().filter(|(_, value)| !value.contains(['\r', '\n'])) {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    match body {
        Some(body) => {
            let length = body.len();
            request.push_str(&format!("content-type: application/json\r\ncontent-length: {length}\r\n"));
        }
        None if method == "POST" => request.push_str("content-length: 0\r\n"),
        None => {}
    }
    request.push_str("\r\n");
    request.push_str(body.unwrap_or_default());
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut answer = Vec::new();
    stream.take(ANSWER as u64).read_to_end(&mut answer).await.map_err(failed)?;
    parse(&answer).ok_or_else(|| format!("{}: its answer is no HTTP", url.address))
}

/// Status and body of a whole answer.
fn parse(answer: &[u8]) -> Option<(u16, String)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    let is_chunked = lines.any(|line| {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        name.eq_ignore_ascii_case("transfer-encoding") && value.trim().eq_ignore_ascii_case("chunked")
    });
    let body = &answer[end + 4..];
    let body = if is_chunked { unchunked(body)? } else { body.to_vec() };
    Some((status, String::from_utf8_lossy(&body).into_owned()))
}

/// A body that came in parts (RFC 9112 §7.1).
fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..end]).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size.checked_add(2)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_ask_is_understood_or_refused() {
        let url = Url::parse("http://127.0.0.1:9/hook?x=1").unwrap();
        assert_eq!((&*url.address, &*url.path, &*url.host), ("127.0.0.1:9", "/hook?x=1", "127.0.0.1:9"));
        let url = Url::parse("http://[::1]").unwrap();
        assert_eq!((&*url.address, &*url.path), ("[::1]:80", "/"));
        for bad in ["https://a/", "http:///x", "http://a b/", "http://u@h/", "a", "http://a/\r\nx: y"] {
            assert!(Url::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_answer_is_read_whole_or_in_parts() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
        assert_eq!(parse(whole), Some((200, "hi".to_owned())));
        let parts = b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1;x\r\n!\r\n0\r\n\r\n";
        assert_eq!(parse(parts), Some((503, "hi!".to_owned())));
        for bad in [
            &b"HTTP/2"[..],
            b"x\r\n\r\n",
            b"HTTP/1.1 2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
        ] {
            assert_eq!(parse(bad), None);
        }
    }
}
