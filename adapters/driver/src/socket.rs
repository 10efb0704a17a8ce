//! Sockets that listen, before a runtime has them.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::UnixListener;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::Address;
#[cfg(unix)]
use crate::address::remove_stale_socket;

/// A socket that listens and belongs to no runtime yet: made by [`bind`](Self::bind), or handed over by
/// who started the program, as systemd does.
#[derive(Debug)]
#[non_exhaustive]
pub enum ListeningSocket {
    /// On TCP.
    Tcp(TcpListener),
    /// On a Unix socket.
    #[cfg(unix)]
    Unix(UnixListener),
}

/// How a socket listens. What is set for connections here is inherited by those that come in.
///
/// ```
/// use bowline_driver::SocketOptions;
/// let options = SocketOptions { workers: 4, ..SocketOptions::default() };
/// assert_eq!(options.backlog, 4096);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// Connections at most that the system keeps until they are taken; it may have a limit of its own
    /// (`net.core.somaxconn`).
    pub backlog: u32,
    /// Sockets that listen side by side (`SO_REUSEPORT`), each with a task of its own: the system spreads
    /// connections over them. 0 and 1: one socket, that nobody else shares.
    pub workers: usize,
    /// `SO_RCVBUF` of connections in octets; nothing: the system adapts it, which is mostly better.
    pub receive_buffer: Option<usize>,
    /// `SO_SNDBUF` of connections in octets; nothing: the system adapts it.
    pub send_buffer: Option<usize>,
    /// After so much silence the system asks whether the other end is there. Nothing: it does not; what is
    /// spoken finds out by itself.
    pub keepalive: Option<Duration>,
    /// After so long without acknowledgement of what was sent a connection is broken (`TCP_USER_TIMEOUT`).
    pub user_timeout: Option<Duration>,
    /// Who may connect to a Unix socket: the mode of its file, such as `0o660`. Nothing: as the umask has it.
    pub mode: Option<u32>,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            backlog: 4096,
            workers: 1,
            receive_buffer: None,
            send_buffer: None,
            keepalive: None,
            user_timeout: None,
            mode: None,
        }
    }
}

impl ListeningSocket {
    /// Has no call on it block, as runtimes want it.
    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_nonblocking(true),
            #[cfg(unix)]
            Self::Unix(socket) => socket.set_nonblocking(true),
        }
    }

    /// Listens at an address, without blocking: one socket, or as many as there are workers. A Unix socket that a server left
    /// behind that was killed is removed before. A name is looked up, which blocks.
    ///
    /// # Errors
    ///
    /// The address is taken, or not this machine's; the system does not know an option.
    pub fn bind(to: &Address, options: &SocketOptions) -> io::Result<Vec<Self>> {
        match to.clone().transport() {
            Address::Tcp(to) => {
                let mut failed = io::ErrorKind::AddrNotAvailable.into();
                for address in to.to_socket_addrs()? {
                    match bind_tcp(address, options) {
                        Ok(sockets) => return Ok(sockets),
                        Err(error) => failed = error,
                    }
                }
                Err(failed)
            }
            #[cfg(unix)]
            Address::Unix(path) => {
                remove_stale_socket(&path);
                Ok(vec![Self::Unix(bind_unix(&path, options)?)])
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// The system does not say, or it has no name.
    pub fn local_address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(socket) => Ok(Address::Tcp(socket.local_addr()?.to_string())),
            #[cfg(unix)]
            Self::Unix(socket) => {
                let address = socket.local_addr()?;
                let path = address.as_pathname().ok_or(io::ErrorKind::AddrNotAvailable)?;
                Ok(Address::Unix(path.into()))
            }
        }
    }
}

fn bind_tcp(address: SocketAddr, options: &SocketOptions) -> io::Result<Vec<ListeningSocket>> {
    let first = listen_tcp(address, options)?;
    // The others go where the first went, also where the system chose the port.
    let address = first.local_addr()?;
    let others = (1..options.workers).map(|_| listen_tcp(address, options));
    std::iter::once(Ok(first)).chain(others).map(|socket| socket.map(ListeningSocket::Tcp)).collect()
}

fn listen_tcp(address: SocketAddr, options: &SocketOptions) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Connections of a server that is gone do not keep the next one from its port. On Windows it would let
    // others share it.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if options.workers > 1 {
        share_port(&socket)?;
    }
    socket.bind(&address.into())?;
    set_buffers(&SockRef::from(&socket), options)?;
    if let Some(silence) = options.keepalive {
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(silence))?;
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(options.user_timeout)?;
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

#[cfg(unix)]
fn share_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(not(unix))]
fn share_port(_socket: &Socket) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "several workers cannot share a port on this system"))
}

#[cfg(unix)]
fn bind_unix(path: &std::path::Path, options: &SocketOptions) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt as _;

    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    if let Some(mode) = options.mode {
        // Before anybody can connect.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    set_buffers(&SockRef::from(&socket), options)?;
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

fn set_buffers(socket: &SockRef<'_>, options: &SocketOptions) -> io::Result<()> {
    if let Some(size) = options.receive_buffer {
        socket.set_recv_buffer_size(size)?;
    }
    if let Some(size) = options.send_buffer {
        socket.set_send_buffer_size(size)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(options: &SocketOptions) -> io::Result<Vec<ListeningSocket>> {
        ListeningSocket::bind(&Address::Tcp("127.0.0.1:0".into()), options)
    }

    #[test]
    fn workers_share_one_port_and_nobody_else_does() {
        let sockets = tcp(&SocketOptions { workers: 3, ..SocketOptions::default() }).unwrap();
        assert_eq!(sockets.len(), 3);
        let addresses: Vec<_> = sockets.iter().map(|s| s.local_address().unwrap()).collect();
        assert!(addresses.iter().all(|address| *address == addresses[0]), "{addresses:?}");
        let alone = tcp(&SocketOptions::default()).unwrap();
        let taken = ListeningSocket::bind(&alone[0].local_address().unwrap(), &SocketOptions::default());
        assert_eq!(taken.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn connections_inherit_what_is_set() {
        let options = SocketOptions {
            receive_buffer: Some(64 << 10),
            keepalive: Some(Duration::from_secs(77)),
            ..SocketOptions::default()
        };
        let ListeningSocket::Tcp(listener) = tcp(&options).unwrap().remove(0) else { panic!() };
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let stream = SockRef::from(&stream);
        assert!(stream.keepalive().unwrap());
        // Linux doubles it for its own use.
        assert!((64 << 10..=128 << 10).contains(&stream.recv_buffer_size().unwrap()));
    }

    #[cfg(unix)]
    #[test]
    fn a_unix_socket_has_the_mode_that_was_asked_for() {
        use std::os::unix::fs::PermissionsExt as _;
        let path = std::env::temp_dir().join(format!("bowline-mode-{}", std::process::id()));
        let options = SocketOptions { mode: Some(0o600), ..SocketOptions::default() };
        let sockets = ListeningSocket::bind(&Address::Unix(path.clone()), &options).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(sockets[0].local_address().unwrap(), Address::Unix(path.clone()));
        std::fs::remove_file(path).unwrap();
    }
}
