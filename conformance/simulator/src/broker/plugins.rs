//! Plugins in some of the worlds: what must be true is true with them as well.

use std::time::Duration;

use bowline_core::endpoint::server::Server;
use bowline_core::hub::Message;
use bowline_core::plugin::{
    Audit, Audited, BadPlugin, Client, Context, Excess, Heartbeat, Interest, Limits, Overload,
    OverloadConfig, Per, Placement, Plugin, RateLimit, RateRule, Scope, TagRule, Tagging, Verdict,
};
use bowline_core::time::Instant;

use crate::mutant::Mutant;

/// Which plugins a world's server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chain {
    None,
    /// Those that are shipped, and slow clients down.
    Shipped,
    /// One that drops messages at most once, of which nobody was promised anything, and holds who sends.
    Meddling,
}

impl Chain {
    /// Of half of the worlds; faults on purpose are known by what they do without.
    pub(super) fn of(seed: u64, mutant: Option<Mutant>) -> Self {
        match seed % 4 {
            1 if mutant.is_none() => Self::Shipped,
            3 if mutant.is_none() => Self::Meddling,
            _ => Self::None,
        }
    }
}

pub(super) fn add(server: &mut Server, now: Instant, chain: Chain) -> Result<(), BadPlugin> {
    let all: Vec<(&str, Box<dyn Plugin>)> = match chain {
        Chain::None => Vec::new(),
        Chain::Meddling => vec![("meddler", Box::new(Meddler(0)))],
        Chain::Shipped => shipped(),
    };
    all.into_iter().try_for_each(|(name, plugin)| server.add_plugin(now, name, plugin, Placement::default()))
}

fn shipped() -> Vec<(&'static str, Box<dyn Plugin>)> {
    let tags = TagRule { scope: Scope::default(), tags: vec!["simulated".to_owned()] };
    let messages = Some(Limits { rate: 200, burst: 5 });
    let rate = RateRule { per: Per::Session, messages, excess: Excess::Hold, ..RateRule::default() };
    let all = Audited { sessions: true, denials: true, subscriptions: true, publishes: true };
    vec![
        ("tags", Box::new(Tagging::new(vec![tags]).expect("it is a tag"))),
        ("limit", Box::new(RateLimit::new(vec![rate], 5).expect("there are no filters"))),
        ("shed", Box::new(Overload::new(OverloadConfig::default()).expect("there are no filters"))),
        ("heart", Box::new(Heartbeat::new("$SYS/heartbeat", Duration::from_millis(300)).expect("a topic"))),
        ("audit", Box::new(Audit::new(all))),
    ]
}

/// Drops and holds by a count, so that a seed is one world.
struct Meddler(u64);

impl Plugin for Meddler {
    fn interest(&self) -> Interest {
        Interest::MESSAGE_IN | Interest::MESSAGE_OUT
    }

    fn message_in(&mut self, cx: &mut Context<'_>, client: &Client<'_>, message: &Message) -> Verdict {
        self.0 += 1;
        if self.0.is_multiple_of(7)
            && let Some(session) = client.session
        {
            cx.hold(session, cx.now() + Duration::from_millis(self.0 % 40));
        }
        if message.is_reliable() || message.is_retain() || !self.0.is_multiple_of(3) {
            return Verdict::Pass;
        }
        Verdict::Drop
    }

    fn message_out(&self, _: Instant, _: &Client<'_>, message: &Message) -> Verdict {
        if message.is_reliable() || message.is_retain() || !message.payload().len().is_multiple_of(5) {
            return Verdict::Pass;
        }
        Verdict::Drop
    }
}
