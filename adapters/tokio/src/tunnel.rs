//! Tunnels as tokio's streams.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bowline_driver::Transport;
use bowline_driver::client::{Error, Tunnel};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{Client, Tokio};

/// A connection to a target, through a server that relays, as a stream of tokio's.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use bowline_tokio::{Client, TunnelStream};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// let client = Client::builder("relay.example").connect().await?;
/// let mut stream = TunnelStream::open(&client, "web.internal:80").await?;
/// stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
/// let mut page = String::new();
/// stream.read_to_string(&mut page).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TunnelStream(Tunnel<Tokio>);

impl TunnelStream {
    /// Connects to `target` through the server; see [`bowline_driver::client::Client::tunnel`].
    ///
    /// Cancel safety: dropped before it is ready, the tunnel is taken back.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn open(client: &Client, target: &str) -> Result<Self, Error> {
        client.tunnel(target).await.map(Self)
    }
}

impl From<Tunnel<Tokio>> for TunnelStream {
    fn from(tunnel: Tunnel<Tokio>) -> Self {
        Self(tunnel)
    }
}

impl AsyncRead for TunnelStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if to.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let n = ready!(self.0.poll_read(cx, to.initialize_unfilled()))?;
        to.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TunnelStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(from)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if from.iter().all(|piece| piece.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        self.0.poll_write_vectored(cx, from)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was written is on its way.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_shutdown(cx)
    }
}
