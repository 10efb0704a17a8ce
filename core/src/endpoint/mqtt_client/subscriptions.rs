//! Subscriptions, made again on each connection that does not know them.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::event::SubscriptionId;
use crate::mqtt::{Properties, Property, PropertyBlock, Publish, SubscriptionOptions};
use crate::topic::{matches, parse_filter};

/// Subscriptions that one client may have.
pub const MAX_SUBSCRIPTIONS: usize = 65_536;

/// What to subscribe to: one SUBSCRIBE.
///
/// ```
/// use bowline_core::endpoint::mqtt_client::Subscribe;
/// use bowline_core::mqtt::{Qos, Subscription};
/// let filters = [Subscription::new("room/+", Qos::AtLeastOnce)];
/// let subscribe = Subscribe::new(&filters);
/// assert!(subscribe.properties.is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct Subscribe<'a> {
    /// The filters, and what is wanted of each; at least one. A filter that another subscription of this
    /// client has as well takes over its options, and its messages come for both.
    pub filters: &'a [crate::mqtt::Subscription<'a>],
    /// User properties (5.0). The subscription identifier is the client's own affair.
    pub properties: PropertyBlock,
}

impl<'a> Subscribe<'a> {
    /// Without properties.
    #[must_use]
    pub const fn new(filters: &'a [crate::mqtt::Subscription<'a>]) -> Self {
        Self { filters, properties: PropertyBlock::new() }
    }
}

/// What a SUBSCRIBE or UNSUBSCRIBE was about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    Subscribe(SubscriptionId),
    Unsubscribe(SubscriptionId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubState {
    /// The server is to be asked.
    Waiting,
    /// It was asked on this connection.
    Asked,
    /// It has agreed.
    Agreed,
}

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) filters: Vec<(String, SubscriptionOptions)>,
    pub(super) properties: PropertyBlock,
    pub(super) state: SubState,
}

impl Subscription {
    fn has(&self, filter: &str) -> bool {
        self.filters.iter().any(|(own, _)| own == filter)
    }

    /// Whether a message with this topic may come because of this.
    fn takes(&self, topic: &str) -> bool {
        self.filters.iter().any(|(filter, _)| parse_filter(filter).is_ok_and(|f| matches(f.filter, topic)))
    }

    /// The filters as SUBSCRIBE has them.
    pub(super) fn list(&self) -> Vec<crate::mqtt::Subscription<'_>> {
        let own = self.filters.iter();
        own.map(|(filter, options)| crate::mqtt::Subscription { filter, options: *options }).collect()
    }
}

/// All of a client. They are few, and looked through where a message says too little.
#[derive(Debug)]
pub(super) struct Subscriptions(BTreeMap<SubscriptionId, Subscription>);

impl Subscriptions {
    pub(super) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn insert(&mut self, id: SubscriptionId, subscription: Subscription) {
        self.0.insert(id, subscription);
    }

    pub(super) fn get_mut(&mut self, id: SubscriptionId) -> Option<&mut Subscription> {
        self.0.get_mut(&id)
    }

    /// Forgets one. Its filters that no other has: from these the server is to be unsubscribed.
    pub(super) fn remove(&mut self, id: SubscriptionId) -> Option<(Subscription, Vec<String>)> {
        let gone = self.0.remove(&id)?;
        let alone = gone.filters.iter().filter(|(f, _)| !self.0.values().any(|other| other.has(f)));
        let alone = alone.map(|(filter, _)| filter.clone()).collect();
        Some((gone, alone))
    }

    /// Those that the server is to be asked for again: all, or those it has not answered.
    pub(super) fn renew(&mut self, all: bool) -> Vec<SubscriptionId> {
        let mut due = Vec::new();
        for (id, subscription) in &mut self.0 {
            if all || subscription.state != SubState::Agreed {
                subscription.state = SubState::Waiting;
                due.push(*id);
            }
        }
        due
    }

    /// Because of which ones a message came: those whose identifiers it carries, and others with the same
    /// filters, which are one subscription to the server. Where it carries none that is known, all whose
    /// filters match.
    pub(super) fn route(&self, publish: &Publish<'_>) -> Vec<SubscriptionId> {
        let mut ids = Vec::new();
        let carried = identifiers(publish.properties).map(SubscriptionId);
        for named in carried.filter(|id| self.0.contains_key(id)) {
            if !ids.contains(&named) {
                ids.push(named);
            }
        }
        if ids.is_empty() {
            ids.extend(self.0.iter().filter(|(_, s)| s.takes(publish.topic)).map(|(id, _)| *id));
            return ids;
        }
        if self.0.len() > ids.len() {
            let named = ids.len();
            for (id, other) in &self.0 {
                let shares = |id: &SubscriptionId| {
                    self.0.get(id).is_some_and(|s| s.filters.iter().any(|(f, _)| other.has(f)))
                };
                if !ids.contains(id) && other.takes(publish.topic) && ids[..named].iter().any(shares) {
                    ids.push(*id);
                }
            }
        }
        ids
    }
}

fn identifiers(properties: Properties<'_>) -> impl Iterator<Item = u32> {
    properties.iter().filter_map(|property| match property {
        Property::SubscriptionIdentifier(id) => Some(id),
        _ => None,
    })
}
