//! The server's own tasks: one for each listener, one for deadlines.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bowline_core::endpoint::server::{ListenerKey, Peer};
use bowline_core::time::Instant;

use super::Server;
use super::listen::Entrance;
use super::proxied::introduce;
use super::shared::{Phase, Shared};
use crate::clock;
use crate::runtime::{Listener, Runtime, Timer, Transport};
use crate::store::Calendar;

/// How long accepting rests when the system has no more descriptors or memory: doubled each time,
/// so that a full table costs no processor, and short enough that nobody waits for long.
const REST: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// So many connections are woken in one turn of the timer.
const WOKEN: usize = 256;
/// So many turns of the timer, then others get theirs.
const TURNS: u32 = 16;

/// Lets in whoever comes, until the server drains or the listener is closed.
pub(super) async fn accept<R: Runtime, L: Listener>(server: Server<R>, mut listener: L, entrance: Entrance) {
    let mut rest = REST.0;
    while let Some(accepted) = poll_fn(|cx| next(&server, entrance.key, &mut listener, cx)).await {
        match accepted {
            Ok((stream, from)) => {
                rest = REST.0;
                let peer = Peer { listener: entrance.key, ..from.map(Peer::from).unwrap_or_default() };
                if entrance.proxies.contain(peer.address) {
                    server.runtime.spawn(pass_on(server.clone(), stream, peer, entrance.clone()));
                } else {
                    let_in(&server, stream, peer, &entrance);
                }
            }
            // That connection was gone before it was taken.
            Err(e) if matches!(e.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset) => {}
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => {
                let mut timer = server.runtime.timer();
                timer.reset(clock::now() + rest);
                poll_fn(|cx| timer.poll(cx)).await;
                rest = (rest * 2).min(REST.1);
            }
        }
    }
}

type Accepted<S> = io::Result<(S, Option<SocketAddr>)>;

fn next<R: Runtime, L: Listener>(
    server: &Server<R>,
    key: ListenerKey,
    listener: &mut L,
    cx: &mut Context<'_>,
) -> Poll<Option<Accepted<L::Stream>>> {
    let over = server.shared.with(|core, _| {
        core.watch(cx.waker());
        core.phase > Phase::Running || !core.machine.is_listening(key)
    });
    if over { Poll::Ready(None) } else { listener.poll_accept(cx).map(Some) }
}

/// One too many is dropped, which is all that can be said to who has said nothing.
fn let_in<R: Runtime, T: Transport + 'static>(
    server: &Server<R>,
    stream: T,
    peer: Peer,
    entrance: &Entrance,
) {
    let _ = match &entrance.tls {
        None => server.attach(stream, peer),
        Some((layer, only)) => server.attach_with(peer, || layer.accept(Box::new(stream), &peer, *only)),
    };
}

/// Lets a connection in once its balancer has said whose it is.
async fn pass_on<R: Runtime, T: Transport + 'static>(
    server: Server<R>,
    stream: T,
    balancer: Peer,
    entrance: Entrance,
) {
    let (now, timer) = (clock::now(), server.runtime.timer());
    let patience = server.shared.with(|core, _| core.machine.config().session.handshake_deadline);
    match introduce(stream, timer, now + patience).await {
        Ok((stream, from)) => {
            let client = from.map_or(balancer, |from| Peer { listener: balancer.listener, ..from.into() });
            let_in(&server, stream, client, &entrance);
        }
        Err(Some(fault)) => server.shared.with(|core, _| core.machine.refuse(balancer, fault.into())),
        Err(None) => {}
    }
}

/// Does what is due in the hub, and wakes the connections that are due, until the server is stopped.
pub(super) async fn timer<T: Timer>(shared: Arc<Shared>, mut timer: T) {
    poll_fn(|cx| {
        for _ in 0..TURNS {
            match turn(&shared, cx) {
                Due::Stopped => return Poll::Ready(()),
                Due::Never => return Poll::Pending,
                Due::Now => {}
                Due::At(at) => {
                    timer.reset(at);
                    if timer.poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

enum Due {
    Now,
    At(Instant),
    Never,
    Stopped,
}

fn turn(shared: &Shared, cx: &Context<'_>) -> Due {
    shared.with(|core, wake| {
        let Calendar { now, unix_ms } = Calendar::now();
        if core.phase == Phase::Stopped {
            return Due::Stopped;
        }
        core.timer = Some(cx.waker().clone());
        // The system's clock may have been set meanwhile.
        core.machine.set_calendar(now, unix_ms);
        core.machine.handle_hub_timeout(now);
        for _ in 0..WOKEN {
            let Some(key) = core.deadlines.pop_due(now) else { break };
            core.wake(key, wake);
        }
        let hub = core.machine.poll_hub_timeout().map(|deadline| deadline.at);
        core.armed = hub.into_iter().chain(core.deadlines.next()).min();
        match core.armed {
            None => Due::Never,
            Some(at) if at <= now => Due::Now,
            Some(at) => Due::At(at),
        }
    })
}
