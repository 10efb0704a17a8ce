//! Throughput and latency.

use super::{Common, Scenario, Target};
use crate::Failure;
use crate::engine::{Engine, Plan, Shape};
use crate::stats::Figures;
use crate::wire::Wire;

/// A plan of the common settings.
pub(super) fn plan(common: &Common, shape: Shape, ends: (usize, usize), backlog: usize) -> Plan {
    Plan {
        shape,
        publishers: ends.0,
        subscribers: ends.1,
        payload: common.payload as usize,
        backlog,
        reliable: common.reliable,
        spin: !common.sleep,
    }
}

pub(super) fn run(
    wire: impl Wire,
    target: &Target,
    common: &Common,
    scenario: &Scenario,
) -> Result<Figures, Failure> {
    let (shape, ends, backlog) = match *scenario {
        Scenario::Pairs { pairs, backlog } => (Shape::Pairs, (pairs, pairs), backlog.backlog),
        Scenario::Pingpong { pairs } => (Shape::Pairs, (pairs, pairs), 1),
        Scenario::Echo { connections, depth } => (Shape::Echo, (connections, connections), depth),
        Scenario::Fanout { publishers, subscribers, backlog }
        | Scenario::Fanin { publishers, subscribers, backlog } => {
            (Shape::All, (publishers, subscribers), backlog.backlog)
        }
        _ => return Err(Failure::Unfit),
    };
    let plan = plan(common, shape, ends, backlog as usize);
    let mut engine = Engine::start(wire, target, plan)?;
    engine.warm_up(common.warmup)?;
    let window = engine.window(common.duration, &mut |_| Ok(()))?;
    engine.drain()?;
    let mut figures = Figures::default();
    window.report(&mut figures);
    engine.report_losses(&mut figures);
    Ok(figures)
}
