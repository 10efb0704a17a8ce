//! The socket runner against our server behind a real socket, on threads and the real clock.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use bowline_conformance::runner::Outcome;
use bowline_conformance::socket;
use bowline_conformance::vector::{self, Vector};
use bowline_core::buf::{GrowingRecvBuf, SharedSendBuf};
use bowline_core::endpoint::server::{ConnectionKey, Peer, Server, ServerConfig};
use bowline_core::entropy::Seeded;
use bowline_core::session::Transport;
use bowline_core::time::{Instant, Why};

/// So many vectors at once: most of the time they wait.
const THREADS: usize = 16;
/// What a connection may have waiting.
const BUFFER: usize = 4 << 20;

enum Word {
    New(TcpStream),
    Octets(u64, Vec<u8>),
    End(u64),
}

struct Line {
    key: ConnectionKey,
    stream: TcpStream,
    received: GrowingRecvBuf,
    out: SharedSendBuf,
    shut: bool,
}

/// One thread owns the server; every connection has a thread that reads.
struct Host {
    server: Server,
    lines: BTreeMap<u64, Line>,
    began: std::time::Instant,
    next: u64,
    words: Sender<Word>,
}

impl Host {
    fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.began.elapsed().as_nanos()).unwrap())
    }

    fn serve(mut self, words: &Receiver<Word>) {
        loop {
            let lines = self.lines.values().filter_map(|l| self.server.poll_timeout(l.key));
            let due = lines.chain(self.server.poll_hub_timeout()).map(|d| d.at).min();
            let wait = due.map_or(Duration::from_secs(60), |at| at.saturating_since(self.now()));
            match words.recv_timeout(wait) {
                Ok(word) => self.hear(word),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = self.now();
            for line in self.lines.values() {
                self.server.handle_timeout(now, line.key);
            }
            self.server.handle_hub_timeout(now);
            self.settle(now);
        }
    }

    fn hear(&mut self, word: Word) {
        let now = self.now();
        match word {
            Word::New(stream) => {
                let key = self.server.accept(now, Peer::default()).unwrap();
                let (id, mut reader) = (self.next, stream.try_clone().unwrap());
                self.next += 1;
                let words = self.words.clone();
                std::thread::spawn(move || {
                    let mut memory = vec![0; 65_536];
                    while let Ok(n @ 1..) = reader.read(&mut memory) {
                        if words.send(Word::Octets(id, memory[..n].to_vec())).is_err() {
                            return;
                        }
                    }
                    let _ = words.send(Word::End(id));
                });
                let (received, out) = (GrowingRecvBuf::new(BUFFER), SharedSendBuf::new(BUFFER));
                self.lines.insert(id, Line { key, stream, received, out, shut: false });
            }
            Word::Octets(id, octets) => {
                if let Some(line) = self.lines.get_mut(&id) {
                    assert_eq!(line.received.push(&octets), octets.len());
                    self.server.recv(now, line.key, &mut line.received, &mut line.out);
                }
            }
            Word::End(id) => {
                if let Some(line) = self.lines.get_mut(&id) {
                    self.server.handle_eof(now, line.key);
                }
            }
        }
    }

    fn settle(&mut self, now: Instant) {
        loop {
            let mut over = Vec::new();
            for (id, line) in &mut self.lines {
                self.server.recv(now, line.key, &mut line.received, &mut line.out);
                let transport = self.server.poll_transmit(now, line.key, &mut line.out);
                let octets: Vec<u8> = line.out.slices().flatten().copied().collect();
                line.out.sent(octets.len());
                // A client that has gone shows by the end of its stream.
                let _ = line.stream.write_all(&octets);
                match transport {
                    Transport::Open => {}
                    Transport::Shut if line.shut => {}
                    Transport::Shut => {
                        line.shut = true;
                        let _ = line.stream.shutdown(Shutdown::Write);
                    }
                    Transport::Drop | Transport::Abort => over.push(*id),
                }
            }
            for id in &over {
                let Some(line) = self.lines.remove(id) else { continue };
                let _ = line.stream.shutdown(Shutdown::Both);
                self.server.disconnect(now, line.key);
            }
            while self.server.poll_event().is_some() {}
            let ready = std::iter::from_fn(|| self.server.poll_ready()).count();
            let owes = |l: &Line| self.server.poll_timeout(l.key).is_some_and(|d| d.why == Why::Output);
            if over.is_empty() && ready == 0 && !self.lines.values().any(owes) {
                return;
            }
        }
    }
}

/// A server on a free port of this machine, until the test ends.
fn host() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (words, heard) = channel();
    let server = Server::new(ServerConfig::default(), Box::new(Seeded::new(7)));
    let began = std::time::Instant::now();
    let host = Host { server, lines: BTreeMap::new(), began, next: 0, words: words.clone() };
    std::thread::spawn(move || host.serve(&heard));
    std::thread::spawn(move || {
        listener.incoming().flatten().try_for_each(|stream| {
            let _ = stream.set_nodelay(true);
            words.send(Word::New(stream))
        })
    });
    address
}

#[test]
fn all_that_a_socket_can_show_passes() {
    let vectors: Vec<Vector> = vector::builtin().unwrap().into_iter().filter(|v| v.socket).collect();
    assert!(vectors.len() > 200, "{} vectors", vectors.len());
    let (queue, failed) = (Mutex::new(vectors.into_iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                // A server of its own: topics of different vectors have the same names.
                let address = host();
                while let Some(v) = { queue.lock().unwrap().next() } {
                    if let Outcome::Fail { step, what } = socket::run(&v, &address) {
                        failed.lock().unwrap().push(format!("{}, step {step}: {what}", v.name));
                    }
                }
            });
        }
    });
    assert_eq!(failed.into_inner().unwrap(), [""; 0]);
}

#[test]
fn what_is_not_for_sockets_is_not_failed() {
    let vectors = vector::builtin().unwrap();
    let other = vectors.iter().find(|v| !v.socket).unwrap();
    assert!(matches!(socket::run(other, "127.0.0.1:1"), Outcome::Unsupported(_)));
}

#[test]
fn a_server_of_another_protocol_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        listener.incoming().flatten().try_for_each(|mut s| s.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    });
    for v in vector::builtin().unwrap().iter().filter(|v| v.socket).step_by(10) {
        assert!(matches!(socket::run(v, &address), Outcome::Fail { .. }), "{}", v.name);
    }
}
