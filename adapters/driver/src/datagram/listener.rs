//! To listen on a socket for datagrams, and to connect over one.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::task::{Context, Poll};

use bowline_core::datagram::ConnectError;
use parking_lot::Mutex;

use super::endpoint::{Gauge, Shared, Task, Waiting, any_port_like};
use super::{Config, UdpStream};
use crate::runtime::{Listener, Runtime};
use crate::{Address, clock};

/// A socket on which sessions come in.
pub struct UdpListener {
    shared: Arc<Shared>,
    local: SocketAddr,
}

impl fmt::Debug for UdpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpListener").field("local", &self.local).finish_non_exhaustive()
    }
}

impl UdpListener {
    /// What its sessions have counted.
    #[must_use]
    pub fn gauge(&self) -> Gauge {
        Gauge(Arc::clone(&self.shared))
    }
}

impl Listener for UdpListener {
    type Stream = UdpStream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(UdpStream, Option<SocketAddr>)>> {
        self.shared.call(|inner| {
            if let Some(key) = inner.accepted.pop_front() {
                inner.holders += 1;
                let peer = inner.endpoint.peer(key);
                return Poll::Ready(Ok((UdpStream::new(Arc::clone(&self.shared), key), peer)));
            }
            if inner.broken {
                return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
            }
            inner.acceptor = Some(cx.waker().clone());
            Poll::Pending
        })
    }

    fn local_address(&self) -> io::Result<Address> {
        Ok(Address::Udp(self.local.to_string()))
    }
}

impl Drop for UdpListener {
    fn drop(&mut self) {
        self.shared.call(|inner| {
            inner.endpoint.set_accepting(false);
            inner.holders -= 1;
            for key in std::mem::take(&mut inner.accepted) {
                inner.waiting.remove(&key);
                inner.endpoint.release(clock::now(), key);
            }
        });
    }
}

/// Listens at `to`, `host:port`, in a task of its own.
///
/// # Errors
///
/// The address is taken, or not this machine's, or the runtime has no sockets for datagrams.
pub fn bind<R: Runtime>(runtime: &R, to: &str, config: Config) -> io::Result<UdpListener> {
    let mut failed = io::ErrorKind::AddrNotAvailable.into();
    for address in to.to_socket_addrs()? {
        match runtime.datagram_socket(address) {
            Ok(socket) => {
                let local = socket.local_address()?;
                let shared = Arc::new(Shared::new(config, true));
                runtime.spawn(Task::new(Arc::clone(&shared), socket.into(), runtime.timer()));
                return Ok(UdpListener { shared, local });
            }
            Err(e) => failed = e,
        }
    }
    Err(failed)
}

/// Opens a session with the server at `to`, `host:port`, on a socket of its own.
///
/// # Errors
///
/// Nobody opens one there.
pub async fn connect<R: Runtime>(runtime: &R, to: &str, config: Config) -> io::Result<UdpStream> {
    let mut failed = io::ErrorKind::AddrNotAvailable.into();
    for address in resolve(runtime, to).await? {
        match connect_to(runtime, address, config.clone()).await {
            Ok(stream) => return Ok(stream),
            Err(e) => failed = e,
        }
    }
    Err(failed)
}

async fn connect_to<R: Runtime>(runtime: &R, to: SocketAddr, config: Config) -> io::Result<UdpStream> {
    let socket = runtime.datagram_socket(any_port_like(to))?;
    let shared = Arc::new(Shared::new(config, false));
    let key = shared.call(|inner| {
        let key = inner.endpoint.connect(clock::now(), to)?;
        // The task may have it open before anybody waits for that.
        inner.waiting.insert(key, Waiting::default());
        Ok::<_, ConnectError>(key)
    });
    let key = key.map_err(|e| match e {
        ConnectError::Full => io::Error::other(e),
        e => io::Error::new(ErrorKind::InvalidInput, e),
    })?;
    let mut stream = UdpStream::new(Arc::clone(&shared), key);
    runtime.spawn(Task::new(shared, socket.into(), runtime.timer()));
    poll_fn(|cx| stream.poll_open(cx)).await?;
    Ok(stream)
}

/// The addresses of a name. One that is an address already needs nobody to be asked.
async fn resolve<R: Runtime>(runtime: &R, to: &str) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = to.parse() {
        return Ok(vec![address]);
    }
    let answer = Arc::new(Mutex::new((None, None::<std::task::Waker>)));
    let (told, name) = (Arc::clone(&answer), to.to_owned());
    runtime.spawn_blocking(move || {
        let found = name.to_socket_addrs().map(Vec::from_iter);
        let waker = {
            let mut told = told.lock();
            told.0 = Some(found);
            told.1.take()
        };
        waker.into_iter().for_each(std::task::Waker::wake);
    });
    poll_fn(|cx| {
        let mut answer = answer.lock();
        match answer.0.take() {
            Some(found) => Poll::Ready(found),
            None => {
                answer.1 = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    })
    .await
}
