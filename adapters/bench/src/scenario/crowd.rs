//! Many sessions that do nothing.

use std::time::Duration;

use super::{Common, Target};
use crate::Failure;
use crate::clock::{Clock, nanos};
use crate::cost::{Meter, raise_descriptors};
use crate::fleet::Fleet;
use crate::stats::Figures;
use crate::wire::Wire;

/// All sessions together may take so long to come up.
const STORM_MAX: Duration = Duration::from_secs(120);
/// What the server does behind the answer to the last one has so long to settle.
const SETTLE: Duration = Duration::from_secs(1);

pub(super) struct Idle {
    pub(super) sessions: usize,
    pub(super) subscribe: bool,
    pub(super) storm: usize,
}

pub(super) fn idle(
    wire: impl Wire,
    target: &Target,
    common: &Common,
    idle: &Idle,
) -> Result<Figures, Failure> {
    enough_descriptors(idle.sessions)?;
    let clock = Clock::start();
    let mut meter = Meter::new(target.pid);
    let mut fleet = Fleet::new(wire, target)?;
    // The first session makes the server load what it needs for any.
    let one = usize::from(idle.sessions > 0);
    storm(&mut fleet, clock, one, idle)?;
    settle(&mut fleet, clock, SETTLE)?;

    meter.begin();
    let begin = clock.now();
    storm(&mut fleet, clock, idle.sessions, idle)?;
    let seconds = (clock.now() - begin) as f64 / 1e9;
    settle(&mut fleet, clock, SETTLE)?;
    let opened = meter.end();
    let ready = fleet.ready;
    let grown = meter.rss() - opened.rss_begin();

    let closed = fleet.closed;
    meter.begin();
    settle(&mut fleet, clock, common.duration)?;
    let held = meter.end();

    let mut figures = Figures::default();
    let count = (ready.saturating_sub(one)).max(1) as f64;
    figures.compare("connects_per_s", count / seconds);
    figures.note("storm_seconds", seconds);
    figures.note("ready", ready as f64);
    figures.note("refused", (idle.sessions - ready) as f64);
    if target.pid.is_some() {
        figures.compare("rss_per_session_bytes", grown / count);
        figures.compare("server_cpu_us_per_connect", opened.server_seconds() * 1e6 / count);
        figures
            .note("server_cpu_pct_while_idle", 100.0 * held.server_seconds() / common.duration.as_secs_f64());
        figures.note("server_rss_mib", meter.rss() / 1_048_576.0);
    }
    figures.note("closed_while_idle", (fleet.closed - closed) as f64);
    Ok(figures)
}

/// Opens sessions, a few at a time, until there are so many.
fn storm<W: Wire>(fleet: &mut Fleet<W>, clock: Clock, sessions: usize, idle: &Idle) -> Result<(), Failure> {
    let deadline = clock.now() + nanos(STORM_MAX);
    while fleet.ready + fleet.closed < sessions {
        let now = clock.now();
        if now > deadline {
            break;
        }
        while fleet.clients.len() < sessions
            && fleet.clients.len() - fleet.ready - fleet.closed < idle.storm.max(1)
        {
            let topic = idle.subscribe.then(|| format!("bench/idle/{}", fleet.clients.len()));
            fleet.add(topic.into_iter().collect(), false)?;
        }
        fleet.turn(now, 1, |_, _| {})?;
    }
    Ok(())
}

/// Only keeps the sessions alive.
fn settle<W: Wire>(fleet: &mut Fleet<W>, clock: Clock, duration: Duration) -> Result<(), Failure> {
    let end = clock.now() + nanos(duration);
    while clock.now() < end {
        fleet.turn(clock.now(), 10, |_, _| {})?;
    }
    Ok(())
}

/// Sockets for so many connections, and some to spare.
pub(super) fn enough_descriptors(connections: usize) -> Result<(), Failure> {
    let allowed = raise_descriptors();
    let wanted = connections as u64 + 64;
    if allowed < wanted { Err(Failure::Descriptors { allowed, wanted }) } else { Ok(()) }
}
