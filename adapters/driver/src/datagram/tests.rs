//! A runtime without threads, whose socket is the other side.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bowline_core::datagram::Endpoint;
use bowline_core::entropy::Seeded;
use bowline_core::time::Instant;
use parking_lot::Mutex;

use super::{Batch, Config, DatagramSocket, Ecn, Piece, Security, Transmit, UdpListener, UdpStream, connect};
use crate::runtime::{Runtime, Timer};
use crate::{Address, ListeningSocket, clock};

/// The server, and what it has answered.
struct Server {
    endpoint: Endpoint,
    answers: VecDeque<Vec<u8>>,
}

/// A socket that has what it sends answered at once.
#[derive(Clone)]
struct Socket(Arc<Mutex<Server>>);

const SERVER: &str = "198.51.100.1:7790";
const CLIENT: &str = "192.0.2.1:1000";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

impl DatagramSocket for Socket {
    fn poll_recv(&self, _: &mut Context<'_>, to: &mut Batch) -> Poll<io::Result<()>> {
        let Some(answer) = self.0.lock().answers.pop_front() else { return Poll::Pending };
        to.buffers[0][..answer.len()].copy_from_slice(&answer);
        to.pieces =
            vec![Piece { from: address(SERVER), ecn: Ecn::NotEct, len: answer.len(), stride: answer.len() }];
        Poll::Ready(Ok(()))
    }

    fn poll_send(&self, _: &mut Context<'_>, transmit: &Transmit, octets: &[u8]) -> Poll<io::Result<()>> {
        let Server { endpoint, answers } = &mut *self.0.lock();
        for datagram in octets.chunks(transmit.segment) {
            endpoint.handle_datagram(clock::now(), address(CLIENT), transmit.ecn, datagram);
        }
        let mut memory = Vec::new();
        while let Some(transmit) = endpoint.poll_transmit(clock::now(), &mut memory, 1) {
            answers.extend(memory.chunks(transmit.segment).map(<[u8]>::to_vec));
        }
        Poll::Ready(Ok(()))
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        Ok(address(CLIENT))
    }

    fn max_segments(&self) -> usize {
        1
    }
}

struct Never;

impl Timer for Never {
    fn reset(&mut self, _: Instant) {}

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

/// Where a task has done all it can before its spawner goes on, as a thread may that is quick.
#[derive(Clone)]
struct Eager(Socket);

impl Runtime for Eager {
    type Stream = UdpStream;
    type Listener = UdpListener;
    type Timer = Never;

    fn timer(&self) -> Never {
        Never
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut task = Box::pin(task);
        for _ in 0..16 {
            assert!(task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        // What a task's end does to its sessions is none of this.
        std::mem::forget(task);
    }

    fn spawn_blocking(&self, work: impl FnOnce() + Send + 'static) {
        work();
    }

    async fn connect(&self, _: Address) -> io::Result<UdpStream> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn listen(&self, _: ListeningSocket) -> io::Result<UdpListener> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn datagram_socket(&self, _: SocketAddr) -> io::Result<Box<dyn DatagramSocket>> {
        Ok(Box::new(self.0.clone()))
    }
}

#[test]
fn a_session_that_opens_before_anybody_waits_for_it_is_open() {
    let config = Config::new(Security::Insecure);
    let endpoint = Endpoint::new(config.clone(), Seeded::new(1), true);
    let socket = Socket(Arc::new(Mutex::new(Server { endpoint, answers: VecDeque::new() })));
    let runtime = Eager(socket.clone());
    let opened = pin!(connect(&runtime, SERVER, config)).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(opened) = opened else { panic!("it was not told that it is open") };
    assert_eq!(opened.unwrap().peer(), Some(address(SERVER)));
    assert_eq!(socket.0.lock().endpoint.sessions(), 1);
}
