//! Connections that a balancer passes on: it says first whose they are, by the PROXY protocol.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use bowline_core::endpoint::server::Secured;
use bowline_core::proxy::{self, Fault, Parsed};
use bowline_core::time::Instant;

use crate::runtime::{Timer, Transport};

/// What is read at once; a header is mostly much shorter.
const READ: usize = 512;

/// A connection behind its header, of which some octets were read with it.
#[derive(Debug)]
pub(super) struct Introduced<T> {
    transport: T,
    /// What was read too far.
    ahead: Vec<u8>,
}

/// Reads the header of a connection, until `deadline`. Says where its client connects from; nothing: from
/// where the connection itself comes.
///
/// # Errors
///
/// There is no header, or not in time; nothing: the connection is gone, as those of health checks are.
pub(super) async fn introduce<T: Transport>(
    mut transport: T,
    mut timer: impl Timer,
    deadline: Instant,
) -> Result<(Introduced<T>, Option<SocketAddr>), Option<Fault>> {
    let mut octets = Vec::new();
    timer.reset(deadline);
    let source = poll_fn(|cx| {
        loop {
            match proxy::parse(&octets) {
                Ok(Parsed::NeedMore) => {}
                Ok(Parsed::Header(header)) => {
                    let source = header.source;
                    let len = header.len;
                    octets.drain(..len);
                    return Poll::Ready(Ok(source));
                }
                Err(fault) => return Poll::Ready(Err(Some(fault))),
            }
            if timer.poll(cx).is_ready() {
                return Poll::Ready(Err(Some(Fault::Late)));
            }
            let mut more = [0; READ];
            match ready!(transport.poll_read(cx, &mut more)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(None)),
                Ok(n) => octets.extend_from_slice(&more[..n]),
            }
        }
    })
    .await?;
    Ok((Introduced { transport, ahead: octets }, source))
}

impl<T: Transport> Transport for Introduced<T> {
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.transport.poll_open(cx)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.ahead.is_empty() {
            return self.transport.poll_read(cx, to);
        }
        let n = self.ahead.len().min(to.len());
        to[..n].copy_from_slice(&self.ahead[..n]);
        self.ahead.drain(..n);
        if self.ahead.is_empty() {
            self.ahead = Vec::new();
        }
        Poll::Ready(Ok(n))
    }

    fn poll_write_vectored(&mut self, cx: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.transport.poll_write_vectored(cx, from)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.transport.poll_shutdown(cx)
    }

    fn secured(&mut self) -> Option<Secured> {
        self.transport.secured()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::pin::pin;
    use std::task::Waker;

    /// What comes, read by read; then nothing more, or the end.
    struct Line {
        reads: VecDeque<Vec<u8>>,
        ends: bool,
    }

    impl Transport for Line {
        fn poll_read(&mut self, _cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
            match self.reads.pop_front() {
                Some(octets) => {
                    to[..octets.len()].copy_from_slice(&octets);
                    Poll::Ready(Ok(octets.len()))
                }
                None if self.ends => Poll::Ready(Ok(0)),
                None => Poll::Pending,
            }
        }

        fn poll_write_vectored(
            &mut self,
            _cx: &mut Context<'_>,
            from: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(from.iter().map(|piece| piece.len()).sum()))
        }

        fn poll_shutdown(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// A timer that has fired, or never does.
    struct Fires(bool);

    impl Timer for Fires {
        fn reset(&mut self, _at: Instant) {}

        fn poll(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
            if self.0 { Poll::Ready(()) } else { Poll::Pending }
        }
    }

    type Outcome = Poll<Result<(Option<SocketAddr>, Vec<u8>), Option<Fault>>>;

    /// Where the client is, and what it is read to say.
    fn told(reads: &[&[u8]], ends: bool, late: bool) -> Outcome {
        let mut cx = Context::from_waker(Waker::noop());
        let line = Line { reads: reads.iter().map(|read| read.to_vec()).collect(), ends };
        let introduced = ready!(pin!(introduce(line, Fires(late), Instant::ZERO)).poll(&mut cx));
        Poll::Ready(introduced.map(|(mut line, source)| {
            let (mut said, mut to) = (Vec::new(), [0; 3]);
            while let Poll::Ready(Ok(n)) = line.poll_read(&mut cx, &mut to)
                && n > 0
            {
                said.extend_from_slice(&to[..n]);
            }
            (source, said)
        }))
    }

    #[test]
    fn what_follows_the_header_is_not_lost_wherever_it_is_cut() {
        let octets = b"PROXY TCP4 192.0.2.7 192.0.2.8 9 10\r\nhello, world";
        let client = Some("192.0.2.7:9".parse().unwrap());
        for cut in 0..=octets.len() {
            let (before, after) = octets.split_at(cut);
            let reads: Vec<&[u8]> = [before, after].into_iter().filter(|read| !read.is_empty()).collect();
            // Reads are of three octets behind the header; the line here gives no more at once than that.
            let pieces: Vec<&[u8]> = reads.iter().flat_map(|read| read.chunks(3)).collect();
            assert_eq!(told(&pieces, true, false), Poll::Ready(Ok((client, b"hello, world".to_vec()))));
        }
        let at_once: &[&[u8]] = &[octets];
        assert_eq!(told(at_once, true, false), Poll::Ready(Ok((client, b"hello, world".to_vec()))));
    }

    #[test]
    fn who_says_nothing_of_it_is_let_go() {
        assert_eq!(told(&[b"\x10\x0c\0\x04MQTT"], false, false), Poll::Ready(Err(Some(Fault::Missing))));
        assert_eq!(told(&[b"PROXY T"], true, false), Poll::Ready(Err(None)));
        assert_eq!(told(&[b"PROXY T"], false, false), Poll::Pending);
        assert_eq!(told(&[b"PROXY T"], false, true), Poll::Ready(Err(Some(Fault::Late))));
    }
}
