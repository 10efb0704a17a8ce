//! The server's own tasks: one for each listener, one for deadlines.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bowline_core::endpoint::server::Peer;
use bowline_core::time::Instant;

use super::Server;
use super::shared::{Phase, Shared};
use crate::clock;
use crate::layer::Acceptor;
use crate::runtime::{Listener, Runtime, Timer};
use crate::store::Calendar;

/// How long accepting rests when the system has no more descriptors or memory: doubled each time,
/// so that a full table costs no processor, and short enough that nobody waits for long.
const REST: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// So many connections are woken in one turn of the timer.
const WOKEN: usize = 256;
/// So many turns of the timer, then others get theirs.
const TURNS: u32 = 16;

/// Lets in whoever comes, until the server drains.
///
/// With a layer, around each connection; and whether it is to take nothing else.
pub(super) async fn accept<R: Runtime, L: Listener>(
    server: Server<R>,
    mut listener: L,
    layer: Option<(Arc<dyn Acceptor>, bool)>,
) {
    let mut rest = REST.0;
    while let Some(accepted) = poll_fn(|cx| next(&server, &mut listener, cx)).await {
        match accepted {
            Ok((stream, from)) => {
                rest = REST.0;
                // One too many is dropped, which is all that can be said to who has said nothing.
                let peer = from.map(Peer::from).unwrap_or_default();
                let _ = match &layer {
                    None => server.attach(stream, peer),
                    Some((layer, only)) => {
                        server.attach_with(peer, || layer.accept(Box::new(stream), &peer, *only))
                    }
                };
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
    listener: &mut L,
    cx: &mut Context<'_>,
) -> Poll<Option<Accepted<L::Stream>>> {
    let draining = server.shared.with(|core, _| {
        core.watch(cx.waker());
        core.phase > Phase::Running
    });
    if draining { Poll::Ready(None) } else { listener.poll_accept(cx).map(Some) }
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
