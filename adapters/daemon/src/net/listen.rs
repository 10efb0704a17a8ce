//! The listeners of the configuration, as the server takes them.

use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use bowline_core::access::Network;
use bowline_driver::{ListeningSocket, SocketOptions};
use bowline_tokio::server::{Anonymous, Listen, Speaks};
use socket2::{Domain, SockRef};
use tracing::warn;

use crate::config::{self, LOCAL};
use crate::failure::Failure;

/// Sockets that systemd handed over when it started the program, by their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activated(Arc<Vec<(String, OwnedFd)>>);

impl Activated {
    /// Takes them. To be called once, before anything else is opened.
    pub(crate) fn take() -> Result<Self, Failure> {
        let sockets = sd_listen_fds::get().map_err(|error| {
            Failure::new(format!("cannot take the sockets that systemd handed over: {error}"))
        })?;
        let named = sockets.into_iter().map(|(name, socket)| (name.unwrap_or_default(), socket.into_std()));
        Ok(Self(Arc::new(named.collect())))
    }

    /// Those of this name, which stay here as well: a listener that was closed may be opened again.
    fn named(&self, name: &str) -> Result<Vec<ListeningSocket>, Failure> {
        let sockets = self.0.iter().filter(|(called, _)| called == name);
        let sockets: Vec<_> =
            sockets.map(|(_, socket)| listening(socket)).collect::<Result<_, _>>().map_err(|error| {
                Failure::io(format_args!("cannot listen on systemd's socket `{name}`"), &error)
            })?;
        if sockets.is_empty() {
            let there: Vec<_> = self.0.iter().map(|(name, _)| name.as_str()).collect();
            return Err(Failure::new(match there[..] {
                [] => format!(
                    "systemd handed over no sockets, and a listener wants `{name}`; start bowline by a socket unit \
                     with FileDescriptorName={name}"
                ),
                _ => format!("systemd handed over no socket `{name}`, but {}", there.join(", ")),
            }));
        }
        Ok(sockets)
    }

    /// Warns of those that no listener takes.
    pub(crate) fn warn_of_unused(&self, listeners: &[config::Listen]) {
        for (name, _) in self.0.iter() {
            if !listeners.iter().any(|listen| listen.systemd.as_deref() == Some(name)) {
                warn!(
                    name,
                    "systemd handed over a socket that no listener takes; add [[listen]] systemd = NAME"
                );
            }
        }
    }
}

fn listening(socket: &OwnedFd) -> std::io::Result<ListeningSocket> {
    let fd = socket.as_fd().try_clone_to_owned()?;
    Ok(if SockRef::from(&fd).domain()? == Domain::UNIX {
        ListeningSocket::Unix(UnixListener::from(fd))
    } else {
        ListeningSocket::Tcp(fd.into())
    })
}

/// A listener as the server takes it. What is wrong with it was said when the configuration was read, but for
/// sockets that are to come from elsewhere.
pub(super) fn of(
    listen: &config::Listen,
    activated: &Activated,
    tls: &config::Tls,
) -> Result<Listen, Failure> {
    let (base, is_tcp) = match &listen.systemd {
        Some(name) => {
            let sockets = activated.named(name)?;
            let is_tcp = sockets.iter().all(|socket| matches!(socket, ListeningSocket::Tcp(_)));
            (Listen::sockets(sockets), is_tcp)
        }
        None => (Listen::on(&listen.address()), listen.tcp.is_some()),
    };
    // What the listener itself says counts wherever its socket is from.
    let only = listen.tls.unwrap_or(is_tcp && !tls.plain);
    let base = if only { base.tls_only() } else { base };
    let networks =
        |texts: &[String]| -> Vec<Network> { texts.iter().filter_map(|text| text.parse().ok()).collect() };
    let mut built = base
        .named(&listen.called())
        .networks(networks(&listen.networks))
        .proxied_by(networks(&listen.proxies))
        .options(options(listen));
    if let Some(speaks) = &listen.speaks {
        built = built.speaks(speaks.iter().filter_map(|word| word.parse::<Speaks>().ok()).collect());
    }
    if let Some(most) = listen.connections {
        built = built.max_connections(most);
    }
    if let Some(anonymous) = listen.anonymous {
        built = built.anonymous(match anonymous {
            config::Anonymous::Never => Anonymous::Never,
            config::Anonymous::Loopback => Anonymous::Local,
            config::Anonymous::Always => Anonymous::Always,
        });
    }
    if listen.proxies.iter().any(|proxy| proxy == LOCAL) {
        built = built.proxied_locally();
    }
    Ok(built)
}

fn options(listen: &config::Listen) -> SocketOptions {
    let default = SocketOptions::default();
    let octets = |size: &config::Size| usize::try_from(size.0).unwrap_or(usize::MAX);
    SocketOptions {
        backlog: listen.backlog.unwrap_or(default.backlog),
        workers: listen.workers.unwrap_or(default.workers),
        receive_buffer: listen.receive_buffer.as_ref().map(octets),
        send_buffer: listen.send_buffer.as_ref().map(octets),
        keepalive: listen.tcp_keepalive.map(|silence| silence.0),
        mode: listen.file_mode(),
        ..default
    }
}
