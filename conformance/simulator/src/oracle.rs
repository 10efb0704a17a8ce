//! What must be true of deliveries and requests, whatever the server does inside.
//!
//! It knows only what the applications called and were told, and in which order. A subscription
//! that was confirmed before a message was published must get it; so each message is judged
//! without looking into the server.

use std::collections::BTreeMap;

use bowline_core::hub::Policy;
use bowline_core::topic;

use crate::plan::{FILTERS, SHARED, TOPICS};

pub(crate) const NEVER: u64 = u64::MAX;

/// A message that was published.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Published {
    pub(crate) by: u32,
    pub(crate) topic: u8,
    pub(crate) reliable: bool,
    /// The publisher was told that the server has it.
    pub(crate) accepted: bool,
    /// It came to nothing on the publisher's side.
    pub(crate) dropped: bool,
    /// The publisher's session was lost while it was not known to be accepted.
    pub(crate) may_repeat: bool,
    /// It has an expiry, so it may be dropped.
    pub(crate) expires: bool,
    /// The server's memory was lost since.
    pub(crate) forgiven: bool,
    /// It has the de-duplication id of this one.
    pub(crate) same_as: Option<u32>,
    /// The world's step and time.
    pub(crate) step: u64,
    pub(crate) at: u64,
}

/// A subscription of an application.
#[derive(Debug)]
pub(crate) struct Sub {
    pub(crate) client: u32,
    pub(crate) filter: u8,
    pub(crate) reliable: bool,
    pub(crate) no_local: bool,
    /// Since which step it is confirmed, without a break.
    pub(crate) since: u64,
    /// It was ended by the application, or with it.
    pub(crate) ended: bool,
    /// The session was lost at least once.
    pub(crate) broken: bool,
    /// The latest message of each publisher.
    last: Vec<u32>,
    pub(crate) got: Vec<u32>,
}

#[derive(Debug, Default)]
pub(crate) struct Oracle {
    pub(crate) published: Vec<Published>,
    pub(crate) subs: Vec<Sub>,
    matches: Vec<[bool; TOPICS.len()]>,
    /// Deliveries that were out of order or doubled, unless their publisher's session was lost.
    suspects: Vec<(u32, u32)>,
    pub(crate) delivered: u64,
}

impl Oracle {
    pub(crate) fn new() -> Oracle {
        let matches = FILTERS
            .iter()
            .map(|f| {
                let filter = topic::parse_filter(f).map(|f| f.filter).unwrap_or_default();
                TOPICS.map(|t| topic::matches(filter, t))
            })
            .collect();
        Oracle { matches, ..Oracle::default() }
    }

    pub(crate) fn subscribe(&mut self, client: u32, filter: u8, reliable: bool, no_local: bool) -> u32 {
        self.subs.push(Sub {
            client,
            filter,
            reliable,
            no_local,
            since: NEVER,
            ended: false,
            broken: false,
            last: Vec::new(),
            got: Vec::new(),
        });
        self.subs.len() as u32 - 1
    }

    /// A subscription got a message: says what is wrong at once; what may be right is judged at
    /// the end.
    pub(crate) fn deliver(&mut self, sub: u32, n: u32, topic: &str, reliable: bool) -> Result<(), String> {
        self.delivered += 1;
        let s = &mut self.subs[sub as usize];
        let Some(p) = self.published.get(n as usize) else {
            return Err(format!("a message that nobody published: {n}"));
        };
        if topic != TOPICS[p.topic as usize] {
            return Err(format!("message {n} changed its topic to {topic}"));
        }
        if !self.matches[s.filter as usize][p.topic as usize] {
            return Err(format!("{topic} does not match {}", FILTERS[s.filter as usize]));
        }
        if reliable != (p.reliable && s.reliable) {
            return Err(format!("message {n} came with another quality"));
        }
        if s.no_local && s.client == p.by {
            return Err(format!("message {n} came back to its publisher, who did not want it"));
        }
        if (s.filter as usize) < SHARED {
            let by = p.by as usize;
            if s.last.len() <= by {
                s.last.resize(by + 1, 0);
            }
            // Numbered from 1 here, so that 0 is none.
            if n < s.last[by] {
                self.suspects.push((sub, n));
            } else {
                s.last[by] = n + 1;
            }
        }
        s.got.push(n);
        Ok(())
    }

    /// The server has lost its memory: what it had accepted and not handed on is gone.
    pub(crate) fn forgive(&mut self) {
        for p in &mut self.published {
            p.forgiven = true;
        }
        for s in &mut self.subs {
            s.broken = true;
        }
    }

    /// The client's session was lost: its messages may come twice, its subscriptions missed some.
    pub(crate) fn lost(&mut self, client: u32) {
        for s in self.subs.iter_mut().filter(|s| s.client == client) {
            s.since = NEVER;
            s.broken = true;
        }
    }

    /// The client has gone.
    pub(crate) fn gone(&mut self, client: u32) {
        for s in self.subs.iter_mut().filter(|s| s.client == client) {
            s.ended = true;
        }
    }

    /// Judges all that was delivered. `dropped` is how many deliveries the hub's policies dropped.
    pub(crate) fn judge(&self, policy: Policy, dropped: u64) -> Result<(), String> {
        for (sub, n) in &self.suspects {
            let p = &self.published[*n as usize];
            if !p.may_repeat {
                return Err(format!(
                    "order: subscription {sub} of client {} got message {n} of client {} again or too late",
                    self.subs[*sub as usize].client, p.by
                ));
            }
        }
        let mut missing = 0;
        let mut example = None;
        let mut got = vec![0u32; self.published.len()];
        for (i, s) in self.subs.iter().enumerate().filter(|(_, s)| (s.filter as usize) < SHARED) {
            let mark = i as u32 + 1;
            s.got.iter().for_each(|n| got[*n as usize] = mark);
            for (n, p) in self.published.iter().enumerate() {
                let mine =
                    self.matches[s.filter as usize][p.topic as usize] && !(s.no_local && s.client == p.by);
                if got[n] == mark {
                    self.judge_repeat(p, n as u32)?;
                } else if mine && s.is_sure(p) {
                    missing += 1;
                    example.get_or_insert((i, n));
                }
            }
        }
        self.judge_groups(&mut missing, &mut example)?;
        if missing > dropped {
            let (i, n) = example.unwrap_or_default();
            let s = &self.subs[i];
            return Err(format!(
                "lost: {missing} deliveries at least once are missing and {dropped} were dropped by policy \
                 {policy:?}; one is message {n} of client {} to {} of client {}",
                self.published[n].by, FILTERS[s.filter as usize], s.client
            ));
        }
        Ok(())
    }

    /// A delivered message that had the de-duplication id of another.
    fn judge_repeat(&self, p: &Published, n: u32) -> Result<(), String> {
        let Some(first) = p.same_as else { return Ok(()) };
        let first = &self.published[first as usize];
        if first.may_repeat || p.may_repeat || first.dropped {
            return Ok(());
        }
        Err(format!("duplicate: message {n} was handed on, though its de-duplication id was known"))
    }

    /// Each message goes to one member of a group.
    fn judge_groups(&self, missing: &mut u64, example: &mut Option<(usize, usize)>) -> Result<(), String> {
        for (filter, name) in FILTERS.iter().enumerate().skip(SHARED) {
            let members: Vec<_> =
                self.subs.iter().enumerate().filter(|(_, s)| s.filter as usize == filter).collect();
            // Where a member left or lost its session, what it had goes to others once more.
            let steady = members.iter().all(|(_, s)| !s.ended && !s.broken);
            let mut got: BTreeMap<u32, u32> = BTreeMap::new();
            for (_, s) in &members {
                s.got.iter().for_each(|n| *got.entry(*n).or_default() += 1);
            }
            if let Some((n, _)) = got
                .iter()
                .find(|(n, times)| **times > 1 && steady && !self.published[**n as usize].may_repeat)
            {
                return Err(format!("duplicate: {name} handed on message {n} twice"));
            }
            if !steady {
                continue;
            }
            for (n, p) in self.published.iter().enumerate() {
                let mine = self.matches[filter][p.topic as usize];
                if mine
                    && !got.contains_key(&(n as u32))
                    && let Some((i, _)) = members.iter().find(|(_, s)| s.is_sure(p))
                {
                    *missing += 1;
                    example.get_or_insert((*i, n));
                }
            }
        }
        Ok(())
    }
}

impl Sub {
    /// Whether it must have got this message, where it matches.
    fn is_sure(&self, p: &Published) -> bool {
        self.reliable
            && !self.ended
            && self.since < p.step
            && p.reliable
            && p.accepted
            && !p.dropped
            && !p.expires
            && !p.forgiven
            && p.same_as.is_none()
    }
}
