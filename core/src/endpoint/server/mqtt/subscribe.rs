//! SUBSCRIBE and UNSUBSCRIBE (§3.8 to §3.11).

use alloc::vec::Vec;

use super::super::connection::Turn;
use super::super::plugins::reason_of;
use super::Connection;
use super::deliver::Answer;
use crate::buf::SendBuf;
use crate::hub::{Quality, Refusal, SessionKey, SubscribeOptions};
use crate::mqtt::{Qos, ReasonCode, Subscribe, Subscription, Unsubscribe};
use crate::topic::SHARE;

impl Connection {
    pub(super) fn subscribed(
        &mut self,
        turn: &mut Turn<'_>,
        subscribe: &Subscribe<'_>,
        out: &mut impl SendBuf,
    ) {
        let Some(hub) = self.hub else { return };
        let issued = turn.server.hub.issued();
        let identifier = subscribe.identifier();
        let each = |s: Subscription<'_>| match subscribe_to(turn, hub, identifier, &s) {
            Ok(()) => granted(s.options.qos),
            Err(reason) => reason,
        };
        let reasons: Vec<ReasonCode> = subscribe.subscriptions.iter().map(each).collect();
        let commit = turn.server.hub.commit_since(issued);
        self.answer(turn, commit, Answer::SubAck(subscribe.id, reasons.into()), out);
    }

    pub(super) fn unsubscribed(
        &mut self,
        turn: &mut Turn<'_>,
        unsubscribe: &Unsubscribe<'_>,
        out: &mut impl SendBuf,
    ) {
        let Some(hub) = self.hub else { return };
        let now = turn.now;
        let each = |filter| match turn.server.hub.unsubscribe_filter(now, hub, filter) {
            Ok(true) => ReasonCode::Success,
            Ok(false) => ReasonCode::NoSubscriptionExisted,
            Err(refusal) => refused(refusal),
        };
        let reasons: Vec<ReasonCode> = unsubscribe.filters.iter().map(each).collect();
        let commit = turn.server.hub.uncommitted(hub);
        // [MQTT-3.11.3-1]; 3.1.1 has no codes here.
        let reasons = if self.line.version().is_v5() { reasons } else { Vec::new() };
        self.answer(turn, commit, Answer::UnsubAck(unsubscribe.id, reasons.into()), out);
    }
}

fn subscribe_to(
    turn: &mut Turn<'_>,
    hub: SessionKey,
    identifier: Option<u32>,
    subscription: &Subscription<'_>,
) -> Result<(), ReasonCode> {
    let (filter, asked) = (subscription.filter, subscription.options);
    let line = &turn.server.config.mqtt.line;
    if !line.shared_subscriptions && filter.starts_with(SHARE) {
        return Err(ReasonCode::SharedSubscriptionsNotSupported);
    }
    if !line.subscription_identifiers && identifier.is_some() {
        return Err(ReasonCode::SubscriptionIdentifiersNotSupported);
    }
    if !line.wildcard_subscriptions && filter.contains(['+', '#']) {
        return Err(ReasonCode::WildcardSubscriptionsNotSupported);
    }
    let options = SubscribeOptions {
        quality: Quality::from_number(asked.qos.number()),
        no_local: asked.no_local,
        retain_as_published: asked.retain_as_published,
        retained: asked.retain_handling,
        ..SubscribeOptions::default()
    };
    let identifier = identifier.unwrap_or(0);
    let done = turn.server.hub.subscribe_filter(turn.now, hub, filter, identifier, options);
    done.map(drop).map_err(refused)
}

/// [MQTT-3.8.4-7]: the hub delivers with what was asked for.
const fn granted(qos: Qos) -> ReasonCode {
    match qos {
        Qos::AtMostOnce => ReasonCode::Success,
        Qos::AtLeastOnce => ReasonCode::GrantedQos1,
        Qos::ExactlyOnce => ReasonCode::GrantedQos2,
    }
}

fn refused(refusal: Refusal) -> ReasonCode {
    match refusal {
        Refusal::NotAuthorized => ReasonCode::NotAuthorized,
        Refusal::Plugin(why) => match reason_of(why.status) {
            // A payload is none of SUBSCRIBE's.
            ReasonCode::PayloadFormatInvalid => ReasonCode::TopicFilterInvalid,
            reason => reason,
        },
        Refusal::Topic(_) => ReasonCode::TopicFilterInvalid,
        Refusal::Quota(_) => ReasonCode::QuotaExceeded,
        _ => ReasonCode::ImplementationSpecificError,
    }
}
