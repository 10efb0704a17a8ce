//! A look at what is there, for consoles: so many places of a table at a time.
//!
//! Each look goes through a bounded part of a table and says where the next one goes on, so that nobody
//! waits for it however much there is. What comes or goes between two looks may be seen or not; all else
//! is seen once. The order is that of the tables' places, which does not change.

use alloc::borrow::Cow;
use core::time::Duration;

use super::delivery::SessionKey;
use super::options::{Policy, Quality};
use super::rooms::{PREFIX, RoomPolicy};
use super::slab::{NONE, Slab};
use super::{Hub, Session};
use crate::access::Who;

/// Topics of the server itself.
const OWN: &str = "$SYS/";

/// Where the parts of a list of topics begin: retained messages, filters, histories.
const PART: u64 = 1 << 32;

/// A session, as it is now.
#[derive(Clone, Copy, Debug)]
pub struct SessionInfo<'a> {
    /// Which.
    pub key: SessionKey,
    /// Whose, what its client calls itself, and where that was last.
    pub who: Who<'a>,
    /// Whether a connection serves it.
    pub attached: bool,
    /// Its subscriptions, without those of rooms.
    pub subscriptions: usize,
    /// The rooms that it is in.
    pub rooms: usize,
    /// Deliveries that wait for it, or for its acknowledgement.
    pub queued: u64,
    /// Octets of their bodies.
    pub queued_bytes: u64,
    /// Those among them that it was handed and has not acknowledged.
    pub in_flight: u64,
    /// Deliveries that left its queue undelivered since it began, or found no place there: what is at most
    /// once and comes while it is away is not among them.
    pub dropped: u64,
    /// How long it outlives its connection.
    pub expiry: Duration,
    /// What happens when its queue is full.
    pub policy: Policy,
    /// The topic of its will, if it has one.
    pub will: Option<&'a str>,
}

/// A subscription of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionInfo<'a> {
    /// Its id.
    pub sid: u64,
    /// Its filter, without the group.
    pub filter: Cow<'a, str>,
    /// The group that it is shared in.
    pub group: Option<&'a str>,
    /// How surely messages are delivered at most.
    pub quality: Quality,
    /// It answers requests.
    pub serve: bool,
}

/// A topic or filter that is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo<'a> {
    /// The topic, or the filter, without a group.
    pub topic: Cow<'a, str>,
    /// It has a wildcard.
    pub is_filter: bool,
    /// Subscriptions with exactly this filter, shared ones included.
    pub subscribers: usize,
    /// Octets of its retained message, if it has one.
    pub retained: Option<u64>,
    /// Messages in its history.
    pub history: u64,
    /// Octets of them.
    pub history_bytes: u64,
}

/// A room that somebody is in, or that keeps something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomState<'a> {
    /// Its name.
    pub name: &'a str,
    /// Members, those within the grace time included.
    pub members: u32,
    /// Its epoch.
    pub epoch: u64,
    /// The newest message's offset; 0: there was none.
    pub offset: u64,
    /// Messages that are kept.
    pub kept: u64,
    /// Octets of them.
    pub kept_bytes: u64,
    /// What happens to members that take less than they are sent; where nobody is in, it does not matter.
    pub policy: Option<RoomPolicy>,
}

/// Goes through at most `most` places of a table from `from` on, until `each` says that it has enough.
/// Says where to go on, unless that was all.
fn look<'a, T: Default>(
    table: &'a Slab<T>,
    from: u64,
    most: usize,
    mut each: impl FnMut(u32, &'a T) -> bool,
) -> Option<u64> {
    let end = table.places().len() as u64;
    let stop = end.min(from.saturating_add(most as u64));
    for at in from..stop {
        let Some(item) = table.get(at as u32) else { break };
        if !each(at as u32, item) {
            return Some(at + 1).filter(|next| *next < end);
        }
    }
    Some(stop).filter(|next| *next < end)
}

impl Hub {
    /// Shows sessions, from the place `from` on, at most `most` places, until `each` says that it has
    /// enough. Says from where to go on, unless that was all; the first look is from 0.
    pub fn inspect_sessions<'a>(
        &'a self,
        from: u64,
        most: usize,
        mut each: impl FnMut(&SessionInfo<'a>) -> bool,
    ) -> Option<u64> {
        look(&self.sessions.all, from, most, |at, session| {
            !session.live || each(&self.info(self.sessions.key(at), session))
        })
    }

    /// The session with this [number](SessionKey::number), if it has not ended.
    #[must_use]
    pub fn inspect_session(&self, number: u64) -> Option<SessionInfo<'_>> {
        let key = SessionKey { index: number as u32, generation: (number >> 32) as u32 };
        let index = self.sessions.find(key).ok()?;
        Some(self.info(key, &self.sessions.all[index]))
    }

    fn info<'a>(&'a self, key: SessionKey, session: &'a Session) -> SessionInfo<'a> {
        let rare = session.rare();
        let rooms = rare.rooms.as_ref().map_or(0, |rooms| rooms.list.len());
        let will = rare.will.as_ref().map(|will| self.sessions.pool.get(will.message).topic());
        SessionInfo {
            key,
            who: session.aside.owner.who(&self.listeners),
            attached: session.attached,
            subscriptions: session.aside.subs.len().saturating_sub(rooms),
            rooms,
            queued: session.queued.into(),
            queued_bytes: session.bytes,
            in_flight: session.unacked.len() as u64,
            dropped: rare.dropped,
            expiry: session.aside.expiry,
            policy: session.policy,
            will,
        }
    }

    /// The subscriptions of a session, without those of rooms, which [`joined`](Self::joined) names.
    pub fn inspect_subscriptions(&self, key: SessionKey) -> impl Iterator<Item = SubscriptionInfo<'_>> {
        let session = self.sessions.find(key).ok();
        let subs = session.map_or(&[][..], |index| &self.sessions.all[index].aside.subs);
        let of_room = move |sid| session.is_some_and(|index| self.room_of(index, sid).is_some());
        subs.iter().filter(move |(sid, _)| !of_room(*sid)).filter_map(|(sid, number)| {
            let sub = self.subs.get(*number);
            let group = (sub.group != NONE).then(|| &*self.subs.groups[sub.group].name);
            let quality = self.subs.target(*number)?.quality();
            let filter = self.subs.matcher.spell(self.subs.filters[sub.filter].at()?);
            Some(SubscriptionInfo { sid: *sid, filter, group, quality, serve: sub.serve })
        })
    }

    /// Shows rooms, as [`inspect_sessions`](Self::inspect_sessions) does sessions.
    pub fn inspect_rooms<'a>(
        &'a self,
        from: u64,
        most: usize,
        mut each: impl FnMut(&RoomState<'a>) -> bool,
    ) -> Option<u64> {
        look(self.histories.topics(), from, most, |_, topic| {
            let Some(name) = topic.name().strip_prefix(PREFIX) else { return true };
            let kept = topic.kept();
            let mut state = RoomState {
                name,
                members: 0,
                epoch: topic.epoch(),
                offset: kept.end.saturating_sub(1),
                kept: kept.end - kept.start,
                kept_bytes: topic.bytes(),
                policy: None,
            };
            if let Some((members, rule)) = self.rooms.present(name) {
                (state.members, state.policy) = (members, Some(self.options.rooms[rule].policy));
            }
            each(&state)
        })
    }

    /// Octets of a room's messages that wait for its members, counted for each. It looks at no more than
    /// `most` members and deliveries together: what is beyond is left out.
    #[must_use]
    pub fn inspect_room_queue(&self, name: &str, most: usize) -> u64 {
        let (mut left, mut octets) = (most, 0);
        for (session, sid) in self.rooms.subscriptions(name, &self.sessions.all).take(most) {
            let session = &self.sessions.all[session];
            left = left.saturating_sub(1);
            if session.queued == 0 {
                continue;
            }
            let lanes = session.lanes.iter().flat_map(|lanes| &lanes.all);
            let lane = lanes.filter(|lane| lane.live && lane.sid == sid).flat_map(|lane| &lane.queue);
            for entry in session.main.iter().chain(lane).take(left) {
                left -= 1;
                if entry.sid == sid && entry.message != NONE {
                    octets += u64::from(self.sessions.pool.get(entry.message).size());
                }
            }
        }
        octets
    }

    /// Shows topics that keep something and filters that are subscribed to, without those of rooms and of
    /// the server itself, as [`inspect_sessions`](Self::inspect_sessions) does sessions.
    pub fn inspect_topics<'a>(
        &'a self,
        from: u64,
        most: usize,
        mut each: impl FnMut(&TopicInfo<'a>) -> bool,
    ) -> Option<u64> {
        let (part, place) = (from / PART, from % PART);
        let is_ours = |topic: &str| topic.starts_with(OWN) || topic.starts_with(PREFIX);
        let next = match part {
            0 => look(self.retained.nodes(), place, most, |node, _| {
                let value = self.retained.at(node);
                let Some(value) = value.map(|value| self.sessions.pool.get(value)) else { return true };
                let topic = value.topic();
                is_ours(topic) || each(&self.topic_info(topic, Some(value.size().into())))
            }),
            1 => look(&self.subs.filters, place, most, |number, filter| {
                let Some(at) = filter.at() else { return true };
                let topic = self.subs.matcher.spell(at);
                if is_ours(&topic) || (filter.is_exact() && self.has_retained(&topic)) {
                    return true;
                }
                if let Cow::Borrowed(topic) = topic {
                    return each(&self.topic_info(topic, None));
                }
                let subscribers = self.subs.subscribers(number);
                each(&TopicInfo {
                    topic,
                    is_filter: true,
                    subscribers,
                    retained: None,
                    history: 0,
                    history_bytes: 0,
                })
            }),
            2 => look(self.histories.topics(), place, most, |_, topic| {
                let name = topic.name();
                let is_known =
                    || self.has_retained(name) || self.subs.matcher.exact(name.as_bytes()).is_some();
                name.is_empty() || is_ours(name) || is_known() || each(&self.topic_info(name, None))
            }),
            _ => return None,
        };
        match next {
            Some(place) => Some(part * PART + place),
            None => Some((part + 1) * PART).filter(|_| part < 2),
        }
    }

    fn has_retained(&self, topic: &str) -> bool {
        self.retained.get(&self.sessions.pool, topic.as_bytes()).is_some()
    }

    fn topic_info<'a>(&'a self, topic: &'a str, retained: Option<u64>) -> TopicInfo<'a> {
        let filter = self.subs.matcher.exact(topic.as_bytes());
        let kept = self.histories.topic(topic.as_bytes());
        TopicInfo {
            topic: Cow::Borrowed(topic),
            is_filter: false,
            subscribers: filter.map_or(0, |filter| self.subs.subscribers(filter)),
            retained,
            history: kept.map_or(0, |topic| topic.kept().end - topic.kept().start),
            history_bytes: kept.map_or(0, super::history::Topic::bytes),
        }
    }

    /// How many messages were published and handed out up to now.
    #[inline]
    pub(crate) fn exchanged(&self) -> (u64, u64) {
        let counters = &self.sessions.counters;
        (counters.messages_in, counters.messages_out)
    }
}
