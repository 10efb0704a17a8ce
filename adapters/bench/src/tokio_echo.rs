//! The peer for `echo`: an ordinary echo server of length-prefixed frames on tokio.

use std::net::{Ipv4Addr, SocketAddrV4};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// No frame is larger.
const FRAME_MAX: usize = 16 << 20;
/// What is read at once, where there is that much.
const READ_SIZE: usize = 64 << 10;

/// Serves until it is killed.
pub(crate) fn serve(port: u16) -> std::io::Result<()> {
    serve_on(std::net::TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?)
}

/// Serves on one thread, as the servers that it is compared with.
pub(crate) fn serve_on(listener: std::net::TcpListener) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(async move {
                // A connection that fails is its client's business.
                let _ = echo(stream).await;
            });
        }
    })
}

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = BytesMut::with_capacity(READ_SIZE);
    let mut out = BytesMut::with_capacity(READ_SIZE);
    loop {
        received.reserve(READ_SIZE);
        if stream.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
        while let Some(frame) = cut(&mut received)? {
            out.extend_from_slice(&(frame.len() as u32).to_be_bytes());
            out.extend_from_slice(&frame);
        }
        stream.write_all(&out).await?;
        out.clear();
    }
}

/// The next whole frame's payload.
fn cut(received: &mut BytesMut) -> std::io::Result<Option<BytesMut>> {
    let Some(head) = received.first_chunk::<4>() else { return Ok(None) };
    let size = u32::from_be_bytes(*head) as usize;
    if size > FRAME_MAX {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    if received.len() < 4 + size {
        return Ok(None);
    }
    received.advance(4);
    Ok(Some(received.split_to(size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cut_when_whole() {
        let mut received = BytesMut::from(&[0, 0, 0, 2, b'a', b'b', 0, 0, 0, 1][..]);
        assert_eq!(cut(&mut received).unwrap().unwrap(), &b"ab"[..]);
        assert!(cut(&mut received).unwrap().is_none());
        received.extend_from_slice(b"c");
        assert_eq!(cut(&mut received).unwrap().unwrap(), &b"c"[..]);
        assert!(cut(&mut BytesMut::from(&[0xFF; 4][..])).is_err());
    }
}
