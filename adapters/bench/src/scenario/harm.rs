//! Clients that do harm, and what the others feel of it.

use std::time::Duration;

use super::crowd::enough_descriptors;
use super::messages::plan;
use super::{Common, Target};
use crate::Failure;
use crate::attackers::{Attackers, Script};
use crate::clock::nanos;
use crate::engine::{Engine, Shape, Window};
use crate::stats::{Figures, Spread};
use crate::wire::{Attack, FloodKind, Wire};

/// The kernel's part of the buffer of one that never reads: as small as it gets.
const SMALL_BUFFER: usize = 4096;
/// Where what a stalled subscriber was sent is read afterwards: no more than this.
const LOOK_MAX: usize = 256 << 20;
/// All attackers together may take so long to connect.
const OPEN_MAX: Duration = Duration::from_secs(30);

pub(super) fn stall(
    wire: impl Wire,
    target: &Target,
    common: &Common,
    subscribers: usize,
    backlog: usize,
) -> Result<Figures, Failure> {
    let plan = plan(common, Shape::All, (1, subscribers), backlog);
    let mut engine = Engine::start(wire, target, plan)?;
    engine.warm_up(common.warmup)?;
    let before = engine.window(common.duration, &mut |_| Ok(()))?;
    engine.drain()?;

    let staller =
        engine.fleet.add_with_buffer(vec!["bench/0".into()], common.reliable, Some(SMALL_BUFFER))?;
    engine.wait_ready()?;
    engine.fleet.stall(staller)?;
    engine.resume();
    let with = engine.window(common.duration, &mut |_| Ok(()))?;
    engine.drain()?;
    let (ended, octets) = engine.fleet.inspect_stalled(staller, LOOK_MAX);

    let mut figures = Figures::default();
    figures.compare("before_delivered_per_s", before.per_second());
    figures.compare("with_delivered_per_s", with.per_second());
    figures.compare("with_over_before", with.per_second() / before.per_second());
    before.latency.report("before_", &mut figures);
    with.latency.report("with_", &mut figures);
    if target.pid.is_some() {
        figures.compare("rss_growth_mib", with.cost.growth() / 1_048_576.0);
    }
    with.cost.report(with.seconds, with.delivered, &mut figures);
    figures.note("staller_disconnected", f64::from(u8::from(ended)));
    figures.note("staller_got_mib", octets as f64 / 1_048_576.0);
    engine.report_losses(&mut figures);
    Ok(figures)
}

/// A healthy client: one message under way between two sessions.
fn healthy<W: Wire>(wire: W, target: &Target, common: &Common) -> Result<Engine<W>, Failure> {
    let mut engine = Engine::start(wire, target, plan(common, Shape::Pairs, (1, 1), 1))?;
    engine.warm_up(common.warmup)?;
    Ok(engine)
}

/// What the healthy client and the server felt.
fn report(baseline: &Window, attack: &Window, figures: &mut Figures) {
    baseline.latency.report("baseline_", figures);
    attack.latency.report("attack_", figures);
    figures.note("baseline_delivered_per_s", baseline.per_second());
    figures.note("attack_delivered_per_s", attack.per_second());
    attack.cost.report(attack.seconds, 0, figures);
    figures.compare("rss_growth_mib", attack.cost.growth() / 1_048_576.0);
}

/// Whether a new client is served.
fn serves<W: Wire>(wire: W, target: &Target, common: &Common) -> bool {
    Engine::start(wire, target, plan(common, Shape::Pairs, (1, 1), 1)).is_ok()
}

pub(super) fn slowloris(
    wire: impl Wire,
    target: &Target,
    common: &Common,
    connections: usize,
    watch: Duration,
) -> Result<Figures, Failure> {
    enough_descriptors(connections)?;
    let mut engine = healthy(wire, target, common)?;
    let baseline = engine.window(common.duration, &mut |_| Ok(()))?;
    let script = Script {
        attack: Attack { opening: wire.slow_opening(), repeat: b"a".repeat(64) },
        chunk: 1,
        every: 1_000_000_000,
        per_step: 16,
        rate: u64::MAX,
        reopen: false,
        hang_up: false,
    };
    let mut attackers = Attackers::new(target.address, connections, script)?;
    let begin = engine.clock().now();
    // Connecting is part of the attack, and watched with it.
    let attack =
        engine.window(common.duration.max(Duration::from_secs(1)), &mut |now| attackers.step(now))?;
    let opened_all = attackers.is_complete();
    let most_open = attackers.alive();
    let until = begin + nanos(watch);
    while engine.clock().now() < until && (attackers.alive() > 0 || !attackers.is_complete()) {
        engine.warm_up_beside(Duration::from_millis(100), &mut |now| attackers.step(now))?;
    }
    engine.drain()?;

    let mut figures = Figures::default();
    report(&baseline, &attack, &mut figures);
    figures.note("bad_connections", attackers.opened as f64);
    figures.note("all_opened_in_window", f64::from(u8::from(opened_all)));
    figures.note("open_at_end_of_window", most_open as f64);
    figures.note("closed_by_server", attackers.closed as f64);
    figures.note("open_at_end_of_watch", attackers.alive() as f64);
    if let Some(lifetimes) = Spread::of(&attackers.lifetimes) {
        figures.note("closed_after_s_median", lifetimes.median);
        figures.note("closed_after_s_most", lifetimes.most);
    }
    figures.note("server_alive", f64::from(u8::from(engine.meter.is_alive())));
    figures.note("serves_new_clients", f64::from(u8::from(serves(wire, target, common))));
    engine.report_losses(&mut figures);
    Ok(figures)
}

/// What a flood consists of.
pub(super) struct Flood {
    pub(super) kind: FloodKind,
    pub(super) connections: usize,
    /// Of all connections together, a second.
    pub(super) rate_mib: u32,
}

pub(super) fn flood(
    wire: impl Wire,
    target: &Target,
    common: &Common,
    flood: &Flood,
) -> Result<Figures, Failure> {
    let Flood { kind, connections, rate_mib } = *flood;
    enough_descriptors(connections)?;
    let mut engine = healthy(wire, target, common)?;
    let baseline = engine.window(common.duration, &mut |_| Ok(()))?;
    let mut attack = wire.attack(kind);
    if kind == FloodKind::Ping {
        // Many to a write.
        attack.repeat = attack.repeat.repeat((4096 / attack.repeat.len()).max(1));
    }
    let script = Script {
        attack,
        chunk: 4096,
        every: 0,
        per_step: 1,
        rate: u64::from(rate_mib) << 20,
        reopen: true,
        hang_up: kind == FloodKind::Half,
    };
    let mut attackers = Attackers::new(target.address, connections, script)?;
    let begin = engine.clock().now();
    while !attackers.is_complete() && engine.clock().now() < begin + nanos(OPEN_MAX) {
        engine.warm_up_beside(Duration::from_millis(1), &mut |now| attackers.step(now))?;
    }
    let before = attackers.octets;
    let window = engine.window(common.duration, &mut |now| attackers.step(now))?;
    let octets = attackers.octets - before;
    engine.drain()?;

    let mut figures = Figures::default();
    report(&baseline, &window, &mut figures);
    figures.note("attack_mib_per_s", octets as f64 / 1_048_576.0 / window.seconds);
    figures.note("bad_connections", attackers.opened as f64);
    figures.note("closed_by_server", attackers.closed as f64);
    figures.note("refused", attackers.refused as f64);
    figures.note("server_alive", f64::from(u8::from(engine.meter.is_alive())));
    drop(attackers);
    figures.note("serves_new_clients", f64::from(u8::from(serves(wire, target, common))));
    engine.report_losses(&mut figures);
    Ok(figures)
}
