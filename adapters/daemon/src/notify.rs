//! What the service manager is told that started the program (`sd_notify(3)`); nothing where none did.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use crate::net::Server;

/// The server serves, at these addresses.
pub(crate) fn ready(addresses: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("listens on {addresses}"))]);
}

/// Changes are taken over; [`reloaded`] is to follow, whatever comes of it.
pub(crate) fn reloading() {
    // Without the time systemd takes the message for a mistake; where there is no clock, there is no systemd.
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

/// Changes were taken over, or not: it goes on.
pub(crate) fn reloaded() {
    tell(&[NotifyState::Ready]);
}

/// It ends, and takes no more clients.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        let socket = std::env::var("NOTIFY_SOCKET").unwrap_or_default();
        warn!(%error, socket, "the service manager cannot be told what this server does");
    }
}

/// Says again and again that the server is alive, where the service manager wants to hear that
/// (`WatchdogSec=`): each time after the runtime woke a task and the server gave an answer.
#[derive(Debug)]
pub(crate) struct Watchdog(Option<JoinHandle<()>>);

impl Watchdog {
    pub(crate) fn start(server: &Server) -> Self {
        // Twice in the time that it waits, as systemd recommends.
        let every = sd_notify::watchdog_enabled().map(|most| (most / 2).max(Duration::from_millis(1)));
        let server = server.clone();
        Self(every.map(|every| {
            tokio::spawn(async move {
                let mut ticks = interval(every);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    server.answer();
                    tell(&[NotifyState::Watchdog]);
                }
            })
        }))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}
