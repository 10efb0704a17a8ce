//! TLS, as our adapters have it, on octets in memory.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bowline_core::buf::{GrowingRecvBuf, RecvBuf, SendBuf, SharedSendBuf};
use bowline_core::endpoint::server::{Peer, Secured};
use bowline_core::stack::Alpn;
use bowline_driver::{Acceptor, Transport};
use bowline_tls::Pin;

use super::ROOM;
use crate::pipe::{Pipe, Quality};
use crate::rng::Rng;

/// Octets of TLS that wait on either side of it.
const WAITING: usize = 64 << 10;

/// The server's certificate, and who trusts it. Its signatures are of one length always, so that the same world has
/// the same sizes.
pub(crate) struct Tls {
    server: bowline_tls::Server,
    client: bowline_tls::Client,
}

impl Tls {
    /// With a key of its own.
    ///
    /// # Panics
    ///
    /// The system has no randomness.
    pub(crate) fn new() -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("there is randomness");
        let params = rcgen::CertificateParams::new(vec!["simulated".into()]).expect("a name");
        let certificate = params.self_signed(&key).expect("its own key");
        let chain = certificate.pem();
        let server = bowline_tls::Server::builder().certificate_pem(&chain, key.serialize_pem());
        let client = bowline_tls::Client::builder().pin(Pin::Certificate(digest(certificate.der())));
        Self { server: server.build().expect("they fit"), client: client.build().expect("it is one") }
    }

    /// Both sides of a connection.
    pub(super) fn sides(&self) -> [Side; 2] {
        let [near, far] = [(); 2].map(|()| Ends::default());
        let client = self.client.connect(near.clone(), "simulated", Alpn::Bowline);
        let client: Box<dyn Transport> = Box::new(client.expect("a good name"));
        let server = Acceptor::accept(&self.server, Box::new(far.clone()), &Peer::default(), false);
        [Side::new(client, near), Side::new(server, far)]
    }
}

fn digest(certificate: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(certificate).into()
}

/// What a layer reads from and writes to.
#[derive(Clone)]
struct Ends(Arc<Mutex<Octets>>);

struct Octets {
    incoming: GrowingRecvBuf,
    ended: bool,
    outgoing: SharedSendBuf,
    shut: bool,
}

impl Default for Ends {
    fn default() -> Self {
        let (incoming, outgoing) = (GrowingRecvBuf::new(WAITING), SharedSendBuf::new(2 * WAITING));
        Self(Arc::new(Mutex::new(Octets { incoming, ended: false, outgoing, shut: false })))
    }
}

impl Ends {
    fn get(&self) -> MutexGuard<'_, Octets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for Ends {
    fn poll_read(&mut self, _: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut octets = self.get();
        let n = to.len().min(octets.incoming.filled().len());
        if n == 0 && !octets.ended {
            return Poll::Pending;
        }
        to[..n].copy_from_slice(octets.incoming.take(n));
        Poll::Ready(Ok(n))
    }

    fn poll_write_vectored(&mut self, _: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut octets = self.get();
        if octets.outgoing.len() >= WAITING {
            return Poll::Pending;
        }
        let mut written = 0;
        for piece in from {
            let n = piece.len().min(octets.outgoing.room());
            octets.outgoing.put(&piece[..n]);
            written += n;
        }
        Poll::Ready(Ok(written))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get().shut = true;
        Poll::Ready(Ok(()))
    }
}

/// One side of a connection, and what it reads from and writes to.
pub(super) struct Side {
    layer: Box<dyn Transport>,
    ends: Ends,
    /// Nothing more can be read.
    over: bool,
    /// What was opened was not all read.
    more: bool,
    /// Its direction is to end.
    finishes: bool,
}

impl std::fmt::Debug for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Side").field("over", &self.over).finish_non_exhaustive()
    }
}

impl Side {
    fn new(layer: Box<dyn Transport>, ends: Ends) -> Self {
        Self { layer, ends, over: false, more: false, finishes: false }
    }

    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    pub(super) const fn has_more(&self) -> bool {
        self.more
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.ends.get().outgoing.is_empty()
    }

    pub(super) fn secured(&mut self) -> Option<Secured> {
        self.layer.secured()
    }

    pub(super) fn read(
        &mut self,
        now: u64,
        room: usize,
        from: &mut Pipe,
        into: &mut GrowingRecvBuf,
    ) -> usize {
        let mut read = 0;
        while read < room && !self.over {
            let came = {
                let mut octets = self.ends.get();
                let most = WAITING - octets.incoming.filled().len();
                let came = from.read(now, most, &mut octets.incoming);
                octets.ended |= from.is_ended(now);
                came
            };
            let spare = into.spare(ROOM);
            let most = spare.len().min(room - read);
            if most == 0 {
                break;
            }
            match self.layer.poll_read(&mut Context::from_waker(Waker::noop()), &mut spare[..most]) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    into.commit(n);
                    read += n;
                }
                // One that is broken has ended as well.
                Poll::Ready(_) => self.over = true,
                Poll::Pending if came == 0 => {
                    self.more = false;
                    return read;
                }
                Poll::Pending => {}
            }
        }
        self.more = room > 0 && !self.over;
        read
    }

    /// Says how much was taken, and whether anything is on its way.
    pub(super) fn write(
        &mut self,
        now: u64,
        quality: &Quality,
        rng: &mut Rng,
        to: &mut Pipe,
        out: &mut SharedSendBuf,
    ) -> (usize, bool) {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut taken = 0;
        while !out.is_empty() {
            let pieces: Vec<_> = out.slices().map(IoSlice::new).collect();
            let written = self.layer.poll_write_vectored(cx, &pieces);
            drop(pieces);
            let n = match written {
                Poll::Ready(Ok(n)) => n,
                // Nobody reads it.
                Poll::Ready(Err(_)) => out.len(),
                Poll::Pending => 0,
            };
            out.sent(n);
            taken += n;
            if n == 0 {
                break;
            }
        }
        if self.finishes {
            let _ = self.layer.poll_shutdown(cx);
        }
        let mut octets = self.ends.get();
        let mut any = false;
        if !octets.outgoing.is_empty() {
            any = to.write(now, quality, rng, &mut octets.outgoing) > 0;
        }
        if octets.shut && octets.outgoing.is_empty() {
            to.end(now, quality);
        }
        (taken, any)
    }

    pub(super) fn finish(&mut self, now: u64, quality: &Quality, rng: &mut Rng, to: &mut Pipe) {
        self.finishes = true;
        self.write(now, quality, rng, to, &mut SharedSendBuf::new(0));
        // What there is no room for is lost, and what the other side has got is cut off.
        to.end(now, quality);
    }
}
