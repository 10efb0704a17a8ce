//! Tokio, connecting from a chosen address of this machine.

use std::io;
use std::net::{IpAddr, SocketAddr};

use bowline_driver::{Address, ListeningSocket, Runtime};
use bowline_tokio::{Incoming, SleepTimer, Stream, Tokio};
use tokio::net::{TcpSocket, TcpStream, lookup_host};

/// All but how it connects is [`Tokio`]'s.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outbound {
    /// Without one, the system's choice.
    pub(crate) from: Option<IpAddr>,
}

impl Runtime for Outbound {
    type Stream = Stream;
    type Listener = Incoming;
    type Timer = SleepTimer;

    fn timer(&self) -> SleepTimer {
        Tokio.timer()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        Tokio.spawn(task);
    }

    fn spawn_blocking(&self, work: impl FnOnce() + Send + 'static) {
        Tokio.spawn_blocking(work);
    }

    async fn connect(&self, to: Address) -> io::Result<Stream> {
        match (self.from, to) {
            (Some(from), Address::Tcp(to)) => connect_from(from, &to).await.map(Stream::Tcp),
            (_, to) => Tokio.connect(to).await,
        }
    }

    fn listen(&self, socket: ListeningSocket) -> io::Result<Incoming> {
        Tokio.listen(socket)
    }
}

/// Tries the host's addresses of the same family, in turn.
async fn connect_from(from: IpAddr, to: &str) -> io::Result<TcpStream> {
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for to in lookup_host(to).await?.filter(|to| to.is_ipv4() == from.is_ipv4()) {
        let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.bind(SocketAddr::new(from, 0))?;
        match socket.connect(to).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Whether this machine has the address.
pub(crate) fn is_ours(address: IpAddr) -> bool {
    std::net::TcpListener::bind(SocketAddr::new(address, 0)).is_ok()
}
