//! Two ends in memory, whose reads and writes are cut anywhere, and certificates of all kinds.

#![allow(dead_code, unreachable_pub, reason = "no test needs all of it")]

use std::collections::VecDeque;
use std::fs;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bowline_driver::Transport;
use bowline_driver::core::endpoint::server::Peer;
use bowline_driver::core::stack::Alpn;
use bowline_tls::make::Authority;
use bowline_tls::{Client, ClientBuilder, Failure, Server, ServerBuilder, Tls};

/// One direction of a line.
#[derive(Debug, Default)]
pub struct Wire {
    pub octets: VecDeque<u8>,
    pub ended: bool,
    /// All that ever went over it.
    pub log: Vec<u8>,
    /// How many writes there were.
    pub writes: usize,
}

/// An end of a line. A read brings at most `read` octets; a write takes at most `write`, and every other
/// attempt would block where they are limited.
#[derive(Clone, Debug)]
pub struct End {
    pub from: Arc<Mutex<Wire>>,
    pub to: Arc<Mutex<Wire>>,
    pub read: usize,
    pub write: usize,
    pub turns: bool,
}

pub fn line(read: usize, write: usize) -> (End, End) {
    let (a, b) = (Arc::<Mutex<Wire>>::default(), Arc::<Mutex<Wire>>::default());
    let end = |from: &Arc<Mutex<Wire>>, to: &Arc<Mutex<Wire>>| End {
        from: from.clone(),
        to: to.clone(),
        read,
        write,
        turns: false,
    };
    (end(&a, &b), end(&b, &a))
}

impl Transport for End {
    fn poll_read(&mut self, _: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        assert!(!to.is_empty());
        let mut wire = self.from.lock().unwrap();
        let n = to.len().min(self.read).min(wire.octets.len());
        if n == 0 {
            return if wire.ended { Poll::Ready(Ok(0)) } else { Poll::Pending };
        }
        for (to, octet) in to.iter_mut().zip(wire.octets.drain(..n)) {
            *to = octet;
        }
        Poll::Ready(Ok(n))
    }

    fn poll_write_vectored(&mut self, _: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.turns = !self.turns;
        if self.write < usize::MAX && self.turns {
            return Poll::Pending;
        }
        let mut wire = self.to.lock().unwrap();
        let all: Vec<u8> = from.iter().flat_map(|piece| piece.iter().copied()).take(self.write).collect();
        wire.octets.extend(&all);
        wire.log.extend(&all);
        wire.writes += 1;
        Poll::Ready(Ok(all.len()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.to.lock().unwrap().ended = true;
        Poll::Ready(Ok(()))
    }
}

pub fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// What was read so far, and how it ended.
#[derive(Debug, Default)]
pub struct Read {
    pub octets: Vec<u8>,
    pub end: Option<io::Result<()>>,
}

impl Read {
    /// Reads until nothing comes.
    pub fn poll(&mut self, from: &mut impl Transport) {
        let mut to = [0; 1000];
        while self.end.is_none() {
            match from.poll_read(&mut cx(), &mut to) {
                Poll::Pending => return,
                Poll::Ready(Ok(0)) => self.end = Some(Ok(())),
                Poll::Ready(Ok(n)) => self.octets.extend(&to[..n]),
                Poll::Ready(Err(error)) => self.end = Some(Err(error)),
            }
        }
    }
}

/// Writes what is left of `octets`; false when all is gone.
pub fn write(to: &mut impl Transport, octets: &mut &[u8]) -> io::Result<bool> {
    while !octets.is_empty() {
        match to.poll_write_vectored(&mut cx(), &[IoSlice::new(octets)]) {
            Poll::Pending => return Ok(true),
            Poll::Ready(n) => *octets = &octets[n?..],
        }
    }
    Ok(false)
}

/// Lets both ends do their handshake; says how it went for each.
pub fn open(
    client: &mut impl Transport,
    server: &mut impl Transport,
) -> (Option<io::Result<()>>, Option<io::Result<()>>) {
    let (mut a, mut b) = (None, None);
    for _ in 0..100_000 {
        for (end, done) in [(&mut *client as &mut dyn Transport, &mut a), (server, &mut b)] {
            if done.is_none()
                && let Poll::Ready(result) = end.poll_open(&mut cx())
            {
                *done = Some(result);
            }
        }
        if a.is_some() && b.is_some() {
            break;
        }
    }
    (a, b)
}

/// An authority with its files in a directory that is gone with it.
pub struct Pki {
    pub authority: Authority,
    pub directory: tempfile::TempDir,
}

impl Pki {
    pub fn new() -> Self {
        let (authority, directory) = (Authority::new("test", 30).unwrap(), tempfile::tempdir().unwrap());
        fs::write(directory.path().join("ca.pem"), authority.to_pem().chain).unwrap();
        Self { authority, directory }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    pub fn put(&self, name: &str, made: &bowline_tls::make::Made) -> (PathBuf, PathBuf) {
        let (chain, key) = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        fs::write(&chain, &made.chain).unwrap();
        fs::write(&key, made.key.as_bytes()).unwrap();
        (chain, key)
    }

    /// The files of a server's certificate.
    pub fn server_files(&self, name: &str) -> (PathBuf, PathBuf) {
        self.put(name, &self.authority.server(&[name], 30).unwrap())
    }

    pub fn client_files(&self, name: &str) -> (PathBuf, PathBuf) {
        self.put(name, &self.authority.client(name, 30).unwrap())
    }

    pub fn server(&self) -> ServerBuilder {
        let (chain, key) = self.server_files("localhost");
        Server::builder().certificate(chain, key)
    }

    pub fn client(&self) -> ClientBuilder {
        Client::builder().authority(self.ca())
    }
}

/// A server's failures, as they are told.
#[derive(Clone, Default)]
pub struct Failures(pub Arc<Mutex<Vec<(Failure, String)>>>);

impl Failures {
    pub fn of(builder: ServerBuilder) -> (Server, Self) {
        let failures = Self::default();
        let told = failures.clone();
        let tell = move |_: &Peer, failure, why: &str| told.0.lock().unwrap().push((failure, why.into()));
        (builder.on_failure(tell).build().unwrap(), failures)
    }

    pub fn take(&self) -> Vec<(Failure, String)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Both ends over a line, before their handshake.
pub fn pair(client: &Client, server: &Server, (a, b): (End, End)) -> (Tls<End>, Tls<End>) {
    let client = client.connect(a, "localhost", Alpn::Bowline).unwrap();
    (client, server.accept(b, Peer::default()).unwrap())
}

pub fn read_file(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}
