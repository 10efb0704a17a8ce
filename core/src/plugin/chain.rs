//! The plugins of a hub, in order, and what is known of sessions for them.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::net::IpAddr;

use super::Plugin;
use super::client::{Client, Scope, Tags};
use super::context::{Context, Effect, Effects, Report};
use super::verdict::{Ask, Interest, Rejection, Verdict};
use crate::access::{Security, Who};
use crate::hub::{Counters, Delivery, Message, SessionKey, Take};
use crate::time::Instant;
use crate::topic::validate_topic;

/// Reports that wait to be taken at most; what is beyond is dropped and counted.
const MAX_REPORTS: usize = 4096;

/// Of sessions of which nothing is known.
static NO_TAGS: Tags = Tags::NONE;

/// Where a plugin stands, and whom it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Whom it is asked about; by default everybody.
    pub scope: Scope,
    /// It is not asked anything yet.
    pub disabled: bool,
    /// It is asked before the plugin of this name; by default last.
    pub before: Option<String>,
}

/// Why a plugin is not added, removed or switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPlugin {
    /// There is none of this name.
    #[error("there is no plugin of this name")]
    Unknown,
    /// There is one of this name.
    #[error("there is a plugin of this name already; remove it first, or choose another name")]
    Exists,
    /// As many as there can be.
    #[error("a chain has at most 64 plugins")]
    Many,
}

/// A plugin of a chain, and what it has done since it was added.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PluginInfo {
    /// Its name.
    pub name: String,
    /// Whether it is switched on.
    pub enabled: bool,
    /// Whom it is asked about.
    pub scope: Scope,
    /// What it wants to be asked, now.
    pub interest: Interest,
    /// Messages that it judged, on their way in and out.
    pub messages: u64,
    /// Those that it changed.
    pub changed: u64,
    /// Those that it dropped.
    pub dropped: u64,
    /// Messages, connections and else that it refused.
    pub refused: u64,
    /// What it left to do beyond what is done.
    pub overruns: u64,
}

#[derive(Debug, Default)]
struct Counts {
    messages: Cell<u64>,
    changed: Cell<u64>,
    dropped: Cell<u64>,
    refused: Cell<u64>,
    overruns: Cell<u64>,
}

fn add(count: &Cell<u64>, n: u64) {
    count.set(count.get() + n);
}

struct Slot {
    name: Arc<str>,
    plugin: Box<dyn Plugin>,
    scope: Scope,
    enabled: bool,
    counts: Counts,
}

/// What plugins see of a session: beside the hub's own tables, and only where there are plugins or tags.
#[derive(Debug)]
pub(crate) struct Facts {
    key: SessionKey,
    user: Box<str>,
    client_id: Box<str>,
    address: Option<IpAddr>,
    secured: Option<Security>,
    listener: Arc<str>,
    dialect: &'static str,
    tags: Tags,
    /// The plugins whose scope it is in.
    mask: u64,
    /// It is the program's own.
    trusted: bool,
}

impl Facts {
    fn client(&self) -> Client<'_> {
        let (user, client_id) = (&*self.user, &*self.client_id);
        let (address, listener, secured) = (self.address, &*self.listener, self.secured);
        let who = Who { user, client_id, address, listener, secured };
        Client { session: Some(self.key), who, listener, dialect: self.dialect, tags: &self.tags }
    }
}

/// What becomes of a message on its way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    Go,
    Drop,
    Refuse(Rejection),
}

/// The plugins of a hub.
#[derive(Default)]
pub(crate) struct Chain {
    slots: Vec<Slot>,
    /// Who wants each of the calls, and is switched on.
    wanted: [u64; Interest::COUNT],
    facts: Vec<Option<Box<Facts>>>,
    pub(crate) effects: Effects,
    /// How many effects there were before the last message was judged.
    mark: usize,
    next: Option<Instant>,
    reports: VecDeque<(Arc<str>, Report)>,
    pub(crate) reports_lost: u64,
}

/// The numbers of the bits that are set.
fn each(mut bits: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let at = bits.trailing_zeros();
        bits &= bits.wrapping_sub(1);
        (at < u64::BITS).then_some(at as usize)
    })
}

impl Chain {
    /// Whether a plugin wants this call.
    #[inline]
    pub(crate) const fn wants(&self, call: Interest) -> bool {
        self.wanted[call.number()] != 0
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(crate) fn add(
        &mut self,
        name: &str,
        plugin: Box<dyn Plugin>,
        placement: Placement,
    ) -> Result<(), BadPlugin> {
        if self.find(name).is_ok() {
            return Err(BadPlugin::Exists);
        }
        if self.slots.len() >= 64 {
            return Err(BadPlugin::Many);
        }
        let Placement { scope, disabled, before } = placement;
        let at = before.map_or(Ok(self.slots.len()), |before| self.find(&before))?;
        let slot = Slot { name: name.into(), plugin, scope, enabled: !disabled, counts: Counts::default() };
        self.slots.insert(at, slot);
        self.rearranged();
        Ok(())
    }

    pub(crate) fn remove(&mut self, name: &str) -> Result<Box<dyn Plugin>, BadPlugin> {
        let at = self.find(name)?;
        let slot = self.slots.remove(at);
        if self.slots.is_empty() {
            self.facts.iter_mut().for_each(|facts| {
                facts.take_if(|facts| facts.tags.is_empty());
            });
        }
        self.rearranged();
        Ok(slot.plugin)
    }

    pub(crate) fn enable(&mut self, name: &str, enabled: bool) -> Result<bool, BadPlugin> {
        let at = self.find(name)?;
        let was = core::mem::replace(&mut self.slots[at].enabled, enabled);
        self.refresh();
        Ok(was)
    }

    pub(crate) fn list(&self) -> impl Iterator<Item = PluginInfo> {
        self.slots.iter().map(|slot| PluginInfo {
            name: String::from(&*slot.name),
            enabled: slot.enabled,
            scope: slot.scope.clone(),
            interest: slot.plugin.interest(),
            messages: slot.counts.messages.get(),
            changed: slot.counts.changed.get(),
            dropped: slot.counts.dropped.get(),
            refused: slot.counts.refused.get(),
            overruns: slot.counts.overruns.get(),
        })
    }

    fn find(&self, name: &str) -> Result<usize, BadPlugin> {
        self.slots.iter().position(|slot| &*slot.name == name).ok_or(BadPlugin::Unknown)
    }

    /// Plugins have other places.
    fn rearranged(&mut self) {
        // Whose an effect is that waits is not known any more; they are carried out after each call.
        debug_assert!(self.effects.all.is_empty(), "effects wait while plugins change places");
        let Self { slots, facts, .. } = self;
        for facts in facts.iter_mut().flatten() {
            facts.mask = mask(slots, facts);
        }
        self.refresh();
    }

    /// Plugins want other calls.
    fn refresh(&mut self) {
        self.effects.changed = false;
        self.wanted = [0; Interest::COUNT];
        for (at, slot) in self.slots.iter().enumerate().filter(|(_, slot)| slot.enabled) {
            let interest = slot.plugin.interest();
            for (call, wanted) in self.wanted.iter_mut().enumerate() {
                *wanted |= u64::from(interest.contains(Interest::numbered(call))) << at;
            }
        }
        self.look_at_timers();
    }

    fn look_at_timers(&mut self) {
        let timers = each(self.wanted[Interest::TIMER.number()]);
        self.next = timers.filter_map(|at| self.slots[at].plugin.poll_timeout()).min();
    }

    /// These were called.
    #[inline]
    fn called(&mut self, who: u64) {
        if self.effects.changed {
            self.refresh();
        } else if who & self.wanted[Interest::TIMER.number()] != 0 {
            self.look_at_timers();
        }
    }

    /// When a plugin wants to be called.
    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, counters: &Counters) {
        let Self { slots, wanted, effects, .. } = self;
        let timers = wanted[Interest::TIMER.number()];
        for at in each(timers) {
            let slot = &mut slots[at];
            if slot.plugin.poll_timeout().is_some_and(|due| due <= now) {
                let mut cx = Context::new(now, at as u8, effects);
                slot.plugin.handle_timeout(&mut cx, counters);
                add(&slot.counts.overruns, cx.overran);
            }
        }
        self.called(timers);
    }

    /// What is known of a session from now on. `None` keeps what was known of that.
    pub(crate) fn enroll(&mut self, key: SessionKey, who: &Who<'_>, trusted: bool) {
        if self.slots.is_empty() {
            return;
        }
        let facts = self.facts_of(key, who);
        facts.trusted = trusted;
        (facts.user, facts.client_id) = (who.user.into(), who.client_id.into());
        (facts.address, facts.secured) = (who.address, who.secured);
        self.remask(key);
    }

    /// Where a session came in, and what it is tagged with.
    pub(crate) fn arrive(
        &mut self,
        key: SessionKey,
        who: &Who<'_>,
        via: (Arc<str>, &'static str),
        tags: Tags,
    ) {
        if self.slots.is_empty() && tags.is_empty() {
            return;
        }
        let facts = self.facts_of(key, who);
        (facts.listener, facts.dialect) = via;
        facts.tags = tags;
        self.remask(key);
    }

    fn facts_of(&mut self, key: SessionKey, who: &Who<'_>) -> &mut Facts {
        if self.facts.len() <= key.index() {
            self.facts.resize_with(key.index() + 1, || None);
        }
        let place = &mut self.facts[key.index()];
        place.take_if(|facts| facts.key != key);
        place.get_or_insert_with(|| {
            Box::new(Facts {
                key,
                user: who.user.into(),
                client_id: who.client_id.into(),
                address: who.address,
                secured: who.secured,
                listener: Arc::from(""),
                dialect: "",
                tags: Tags::NONE,
                mask: 0,
                trusted: false,
            })
        })
    }

    fn remask(&mut self, key: SessionKey) {
        let Self { slots, facts, .. } = self;
        if let Some(Some(facts)) = facts.get_mut(key.index()) {
            facts.mask = mask(slots, facts);
        }
    }

    /// The session has ended.
    pub(crate) fn forget(&mut self, key: SessionKey) {
        if let Some(place) = self.facts.get_mut(key.index()) {
            *place = None;
        }
    }

    fn facts(&self, key: SessionKey) -> Option<&Facts> {
        self.facts.get(key.index())?.as_deref().filter(|facts| facts.key == key)
    }

    /// The tags of a session.
    pub(crate) fn tags(&self, key: SessionKey) -> &Tags {
        self.facts(key).map_or(&NO_TAGS, |facts| &facts.tags)
    }

    /// The sessions with a tag.
    pub(crate) fn tagged(&self, tag: &str) -> Vec<SessionKey> {
        let all = self.facts.iter().flatten();
        all.filter(|facts| facts.tags.contains(tag)).map(|facts| facts.key).collect()
    }

    /// Where a session came in, if that is known.
    pub(crate) fn via(&self, key: SessionKey) -> Option<(&str, &'static str)> {
        self.facts(key).map(|facts| (&*facts.listener, facts.dialect))
    }

    /// Changes the tags of a session.
    pub(crate) fn with_tags<T>(
        &mut self,
        key: SessionKey,
        who: &Who<'_>,
        change: impl FnOnce(&mut Tags) -> T,
    ) -> T {
        let done = change(&mut self.facts_of(key, who).tags);
        self.remask(key);
        done
    }

    /// Whether a connection is taken.
    pub(crate) fn accept(&mut self, now: Instant, client: &Client<'_>) -> Result<(), Rejection> {
        self.ask_all(now, Interest::ACCEPT, client, |plugin, cx| plugin.accept(cx, client))
    }

    /// Whether a client is let in, and its tags.
    pub(crate) fn connect(&mut self, now: Instant, client: &Client<'_>) -> Result<Tags, Rejection> {
        let Self { slots, wanted, effects, .. } = self;
        let (who, mut tags, mut done) = (wanted[Interest::CONNECT.number()], Tags::default(), Ok(()));
        for at in each(who) {
            let slot = &mut slots[at];
            let client = Client { tags: &tags.clone(), ..*client };
            if slot.scope.covers(&client) {
                let mut cx = Context::new(now, at as u8, effects);
                done = slot.plugin.connect(&mut cx, &client, &mut tags);
                add(&slot.counts.overruns, cx.overran);
                if done.is_err() {
                    add(&slot.counts.refused, 1);
                    break;
                }
            }
        }
        self.called(who);
        done.map(|()| tags)
    }

    /// Asks in order whoever wants the call, until one says no.
    fn ask_all(
        &mut self,
        now: Instant,
        call: Interest,
        client: &Client<'_>,
        mut ask: impl FnMut(&mut dyn Plugin, &mut Context<'_>) -> Result<(), Rejection>,
    ) -> Result<(), Rejection> {
        let Self { slots, wanted, effects, .. } = self;
        let (who, mut done) = (wanted[call.number()], Ok(()));
        for at in each(who) {
            let slot = &mut slots[at];
            if slot.scope.covers(client) {
                let mut cx = Context::new(now, at as u8, effects);
                done = ask(&mut *slot.plugin, &mut cx);
                add(&slot.counts.overruns, cx.overran);
                if done.is_err() {
                    add(&slot.counts.refused, 1);
                    break;
                }
            }
        }
        self.called(who);
        done
    }

    /// Tells who wants to know.
    pub(crate) fn tell(
        &mut self,
        now: Instant,
        call: Interest,
        client: &Client<'_>,
        mut tell: impl FnMut(&mut dyn Plugin, &mut Context<'_>),
    ) {
        let told = self.ask_all(now, call, client, |plugin, cx| {
            tell(plugin, cx);
            Ok(())
        });
        debug_assert!(told.is_ok(), "nobody was asked");
    }

    /// Lends out what is known of a session, to ask about it.
    fn lend<T>(&mut self, key: SessionKey, work: impl FnOnce(&mut Self, &Facts) -> T) -> Option<T> {
        let facts = self.facts.get_mut(key.index())?.take_if(|facts| facts.key == key)?;
        let done = work(self, &facts);
        self.facts[key.index()] = Some(facts);
        Some(done)
    }

    /// Whether a session may do what it asks for.
    pub(crate) fn asked(&mut self, now: Instant, key: SessionKey, ask: &Ask<'_>) -> Result<(), Rejection> {
        let done = self.lend(key, |chain, facts| {
            let client = facts.client();
            if facts.trusted {
                return Ok(());
            }
            chain.ask_all(now, Interest::ASKED, &client, |plugin, cx| plugin.asked(cx, &client, ask))
        });
        done.unwrap_or(Ok(()))
    }

    /// Tells that a session was denied something.
    pub(crate) fn denied(&mut self, now: Instant, key: SessionKey, ask: &Ask<'_>, reason: &str) {
        self.lend(key, |chain, facts| {
            let client = facts.client();
            chain.tell(now, Interest::DENIED, &client, |plugin, cx| plugin.denied(cx, &client, ask, reason));
        });
    }

    /// Tells that a session is open.
    pub(crate) fn opened(&mut self, now: Instant, key: SessionKey, resumed: bool) {
        self.lend(key, |chain, facts| {
            let client = facts.client();
            chain.tell(now, Interest::OPENED, &client, |plugin, cx| plugin.opened(cx, &client, resumed));
        });
    }

    /// What becomes of a message that a session sends.
    pub(crate) fn message_in(&mut self, now: Instant, key: SessionKey, message: &mut Message) -> Judged {
        let Self { slots, wanted, facts, effects, mark, .. } = self;
        let Some(Some(facts)) = facts.get(key.index()) else { return Judged::Go };
        let who = wanted[Interest::MESSAGE_IN.number()] & facts.mask;
        let client = facts.client();
        *mark = effects.all.len();
        let mut judged = Judged::Go;
        for at in each(who) {
            let slot = &mut slots[at];
            let mut cx = Context::new(now, at as u8, effects);
            let verdict = slot.plugin.message_in(&mut cx, &client, message);
            if cx.overran > 0 {
                add(&slot.counts.overruns, cx.overran);
            }
            add(&slot.counts.messages, 1);
            match verdict {
                Verdict::Pass => {}
                verdict => judged = slot.took(verdict, message),
            }
            if judged != Judged::Go {
                break;
            }
        }
        self.called(who);
        if matches!(judged, Judged::Refuse(_)) {
            self.withdraw();
        }
        judged
    }

    /// The message that was judged last was refused after all.
    pub(crate) fn withdraw(&mut self) {
        self.effects.withdraw(self.mark);
    }

    /// Who judges what is handed out to a session; nobody: nothing.
    #[inline]
    pub(crate) fn receiver(&self, key: SessionKey) -> Option<Receiver<'_>> {
        let wanted = self.wanted[Interest::MESSAGE_OUT.number()];
        if wanted == 0 {
            return None;
        }
        let facts = self.facts(key)?;
        let who = wanted & facts.mask;
        (who != 0).then(|| Receiver { slots: &self.slots, who, facts })
    }

    /// Takes what plugins have left to do.
    pub(crate) fn take_effect(&mut self) -> Vec<(u8, Effect)> {
        core::mem::take(&mut self.effects.all)
    }

    /// Keeps a report until it is taken.
    pub(crate) fn keep_report(&mut self, by: u8, report: Report) {
        if self.reports.len() >= MAX_REPORTS {
            self.reports_lost += 1;
        } else if let Some(slot) = self.slots.get(usize::from(by)) {
            self.reports.push_back((Arc::clone(&slot.name), report));
        }
    }

    pub(crate) fn poll_report(&mut self) -> Option<(Arc<str>, Report)> {
        self.reports.pop_front()
    }
}

fn mask(slots: &[Slot], facts: &Facts) -> u64 {
    if facts.trusted {
        return 0;
    }
    let client = facts.client();
    let covers = |slot: &Slot| slot.scope.covers(&client);
    slots.iter().enumerate().fold(0, |mask, (at, slot)| mask | u64::from(covers(slot)) << at)
}

impl Slot {
    /// It did not let a message pass as it is.
    #[cold]
    fn took(&self, verdict: Verdict, message: &mut Message) -> Judged {
        let judged = match verdict {
            Verdict::Pass => Judged::Go,
            Verdict::Drop => Judged::Drop,
            Verdict::Refuse(why) => Judged::Refuse(why),
            Verdict::Change(changed) => match check_change(message, &changed) {
                Ok(()) => {
                    *message = changed;
                    add(&self.counts.changed, 1);
                    Judged::Go
                }
                Err(why) => Judged::Refuse(why),
            },
        };
        add(&self.counts.dropped, u64::from(judged == Judged::Drop));
        add(&self.counts.refused, u64::from(matches!(judged, Judged::Refuse(_))));
        judged
    }
}

/// A message stays on its side of the topics that are not like others.
fn check_change(old: &Message, new: &Message) -> Result<(), Rejection> {
    let (old, new) = (old.topic(), new.topic());
    if old == new {
        return Ok(());
    }
    if old.starts_with('$') || new.starts_with('$') || validate_topic(new).is_err() {
        return Err(Rejection::invalid("a plugin made a topic of it that it cannot have"));
    }
    Ok(())
}

/// Who judges what is handed out to one session.
pub(crate) struct Receiver<'c> {
    slots: &'c [Slot],
    who: u64,
    facts: &'c Facts,
}

impl Receiver<'_> {
    /// Has a delivery judged before it is handed out.
    pub(crate) fn judge(
        &self,
        now: Instant,
        delivery: &Delivery<'_>,
        take: &mut dyn FnMut(&Delivery<'_>) -> Take,
    ) -> Take {
        let (message, again) = match *delivery {
            Delivery::Message { message, again, .. } => (message, again),
            Delivery::Request { message, .. } => (message, false),
            _ => return take(delivery),
        };
        let (client, mut changed) = (self.facts.client(), None);
        for at in each(self.who) {
            let slot = &self.slots[at];
            let seen = changed.as_ref().unwrap_or(message);
            match slot.plugin.message_out(now, &client, seen) {
                Verdict::Change(new) if check_change(seen, &new).is_ok() => changed = Some(new),
                Verdict::Pass => {}
                // Its number stands.
                _ if again => {}
                _ => {
                    add(&slot.counts.messages, 1);
                    add(&slot.counts.dropped, 1);
                    return Take::Never;
                }
            }
        }
        let taken = match &changed {
            None => take(delivery),
            Some(changed) => match take(&with_message(delivery, changed)) {
                Take::Taken => Take::Sized(changed.body().len() as u32),
                taken => taken,
            },
        };
        if taken.is_taken() {
            for at in each(self.who) {
                add(&self.slots[at].counts.messages, 1);
                add(&self.slots[at].counts.changed, u64::from(changed.is_some()));
            }
        }
        taken
    }
}

fn with_message<'a>(delivery: &Delivery<'a>, changed: &'a Message) -> Delivery<'a> {
    let mut delivery = *delivery;
    if let Delivery::Message { message, .. } | Delivery::Request { message, .. } = &mut delivery {
        *message = changed;
    }
    delivery
}
