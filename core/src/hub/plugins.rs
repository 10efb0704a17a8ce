//! Plugins: asked by the hub, and what they leave to do is done here.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Hub;
use super::delivery::{DisconnectReason, Notice, Refusal, SessionKey};
use super::message::Message;
use super::publish::Way;
use super::timers::Alarm;
use crate::access::Action;
use crate::plugin::{
    Ask, BadPlugin, BadTag, Client, Effect, Interest, Judged, Placement, Plugin, PluginInfo, Rejection,
    Report, Tags,
};
use crate::time::{Deadline, Instant, Why};

impl Hub {
    /// Adds a plugin. See [`plugin`](crate::plugin).
    ///
    /// # Errors
    ///
    /// There is one of this name, or none of that which it is to stand before, or too many.
    pub fn add_plugin(
        &mut self,
        now: Instant,
        name: &str,
        plugin: Box<dyn Plugin>,
        placement: Placement,
    ) -> Result<(), BadPlugin> {
        self.tick(now);
        self.settle_plugins();
        let is_first = self.plugins.is_empty();
        self.plugins.add(name, plugin, placement)?;
        if is_first {
            self.enroll_all();
        }
        Ok(())
    }

    /// Takes a plugin away, and gives it back. What it has left to do is done before.
    ///
    /// # Errors
    ///
    /// There is none of this name.
    pub fn remove_plugin(&mut self, now: Instant, name: &str) -> Result<Box<dyn Plugin>, BadPlugin> {
        self.tick(now);
        self.settle_plugins();
        self.plugins.remove(name)
    }

    /// Switches a plugin on or off, and says what it was. Off it is asked nothing and keeps its state.
    ///
    /// # Errors
    ///
    /// There is none of this name.
    pub fn enable_plugin(&mut self, now: Instant, name: &str, enabled: bool) -> Result<bool, BadPlugin> {
        self.tick(now);
        self.settle_plugins();
        self.plugins.enable(name, enabled)
    }

    /// The plugins, in order.
    pub fn plugins(&self) -> impl Iterator<Item = PluginInfo> {
        self.plugins.list()
    }

    /// The next thing that a plugin tells who runs the server, and the plugin's name. So many wait at most
    /// (4,096); what is beyond is dropped and counted ([`reports_lost`](Self::reports_lost)).
    pub fn poll_report(&mut self) -> Option<(Arc<str>, Report)> {
        self.settle_plugins();
        self.plugins.poll_report()
    }

    /// How many reports of plugins were dropped because nobody took those before.
    #[must_use]
    pub const fn reports_lost(&self) -> u64 {
        self.plugins.reports_lost
    }

    /// The tags of a session; none when it has ended.
    #[must_use]
    pub fn tags(&self, key: SessionKey) -> &Tags {
        self.plugins.tags(key)
    }

    /// Adds a tag to a session, until its client connects anew.
    ///
    /// # Errors
    ///
    /// There is no such session ([`Refusal::NoSession`]), or it has too many tags, or this is none
    /// ([`Refusal::Invalid`]).
    pub fn tag(&mut self, key: SessionKey, tag: &str) -> Result<(), Refusal> {
        let index = self.sessions.find(key)?;
        let who = self.sessions.all[index].aside.owner.who(&self.listeners);
        let done = self.plugins.with_tags(key, &who, |tags| tags.insert(tag));
        done.map_err(|why| match why {
            BadTag::Text => Refusal::Invalid("a tag is a short word without white space, '/', '+' and '#'"),
            BadTag::Many => Refusal::Quota("tags of a session"),
        })
    }

    /// Takes a tag from a session. Says whether it had it.
    ///
    /// # Errors
    ///
    /// There is no such session.
    pub fn untag(&mut self, key: SessionKey, tag: &str) -> Result<bool, Refusal> {
        let index = self.sessions.find(key)?;
        if !self.plugins.tags(key).contains(tag) {
            return Ok(false);
        }
        let who = self.sessions.all[index].aside.owner.who(&self.listeners);
        Ok(self.plugins.with_tags(key, &who, |tags| tags.remove(tag)))
    }

    /// The listener that a session came in at, and its dialect, where plugins or tags have it known.
    #[must_use]
    pub fn via(&self, key: SessionKey) -> Option<(&str, &'static str)> {
        self.plugins.via(key)
    }

    /// Says where a session came in: the listener, what it speaks, and the tags that it was given as it
    /// connected. Plugins are told that it is open.
    pub(crate) fn arrive(
        &mut self,
        now: Instant,
        key: SessionKey,
        via: (Arc<str>, &'static str),
        tags: Option<Tags>,
        resumed: bool,
    ) {
        let now = self.tick(now);
        let Ok(index) = self.sessions.find(key) else { return };
        let who = self.sessions.all[index].aside.owner.who(&self.listeners);
        let is_new = tags.is_some();
        let tags = tags.unwrap_or_else(|| self.plugins.tags(key).clone());
        self.plugins.arrive(key, &who, via, tags);
        if is_new && self.plugins.wants(Interest::OPENED) {
            self.plugins.opened(now, key, resumed);
        }
    }

    /// Whether plugins have nothing taken from a session at present: what came with the message that
    /// brought that about waits as well.
    #[inline]
    pub(crate) fn is_held(&self, key: SessionKey) -> bool {
        !self.held.is_empty() && self.held.contains_key(&key.index)
    }

    /// Whether plugins are asked anything, so that sessions are to be introduced to them.
    pub(crate) const fn has_plugins(&self) -> bool {
        !self.plugins.is_empty()
    }

    /// Whether plugins take a connection.
    pub(crate) fn plugins_accept(&mut self, now: Instant, client: &Client<'_>) -> Result<(), Rejection> {
        if !self.plugins.wants(Interest::ACCEPT) {
            return Ok(());
        }
        let now = self.tick(now);
        self.plugins.accept(now, client)
    }

    /// Whether plugins let a client in, and what it is tagged with.
    pub(crate) fn plugins_connect(&mut self, now: Instant, client: &Client<'_>) -> Result<Tags, Rejection> {
        if !self.plugins.wants(Interest::CONNECT) {
            return Ok(Tags::NONE);
        }
        let now = self.tick(now);
        self.plugins.connect(now, client)
    }

    /// Tells plugins that a connection has ended.
    pub(crate) fn plugins_closed(&mut self, now: Instant, client: &Client<'_>, reason: &str) {
        let now = self.tick(now);
        self.plugins.tell(now, Interest::CLOSED, client, |plugin, cx| plugin.closed(cx, client, reason));
    }

    /// Whether plugins are told of connections that have ended.
    pub(crate) const fn tells_closed(&self) -> bool {
        self.plugins.wants(Interest::CLOSED)
    }

    /// Has plugins know who a session is.
    pub(super) fn enroll(&mut self, index: u32) {
        if !self.plugins.is_empty() {
            let (key, owner) = (self.sessions.key(index), &self.sessions.all[index].aside.owner);
            self.plugins.enroll(key, &owner.who(&self.listeners), owner.is_trusted());
        }
    }

    /// The same for all.
    pub(super) fn enroll_all(&mut self) {
        if self.plugins.is_empty() {
            return;
        }
        let live: Vec<u32> =
            self.sessions.all.places().filter(|(_, s)| s.live).map(|(index, _)| index).collect();
        live.into_iter().for_each(|index| self.enroll(index));
    }

    /// The session has ended.
    pub(super) fn dismiss(&mut self, key: SessionKey) {
        self.plugins.forget(key);
        if let Some((_, timer)) = self.held.remove(&key.index) {
            self.timers.cancel(timer);
        }
    }

    /// Whether plugins let a session subscribe, serve or join.
    pub(super) fn ask_plugins(&mut self, index: u32, ask: &Ask<'_>) -> Result<(), Refusal> {
        if !self.plugins.wants(Interest::ASKED) {
            return Ok(());
        }
        let key = self.sessions.key(index);
        let done = self.plugins.asked(self.now, key, ask);
        if let Err(why) = done {
            self.tell_denied(index, ask, why.reason);
        }
        done.map_err(Refusal::Plugin)
    }

    /// What plugins make of a message that a session sends. Says whether it goes on.
    #[inline]
    pub(super) fn judge(&mut self, index: u32, message: &mut Message) -> Result<bool, Refusal> {
        if !self.plugins.wants(Interest::MESSAGE_IN) {
            return Ok(true);
        }
        let key = self.sessions.key(index);
        match self.plugins.message_in(self.now, key, message) {
            Judged::Go => Ok(true),
            Judged::Drop => Ok(false),
            Judged::Refuse(why) => {
                self.tell_denied(index, &Ask::Publish(message.topic()), why.reason);
                Err(Refusal::Plugin(why))
            }
        }
    }

    fn tell_denied(&mut self, index: u32, ask: &Ask<'_>, reason: &str) {
        if self.plugins.wants(Interest::DENIED) {
            let key = self.sessions.key(index);
            self.plugins.denied(self.now, key, ask, reason);
        }
    }

    /// The access rules have denied a session something.
    pub(super) fn tell_denied_by_rules(&mut self, index: u32, action: Action, subject: &str) {
        let ask = match action {
            Action::Publish => Ask::Publish(subject),
            Action::Subscribe => Ask::Subscribe(subject),
            Action::Serve => Ask::Serve(subject),
            Action::Request => Ask::Request(subject),
            Action::Queue => Ask::Queue(subject),
            Action::Relay => Ask::Relay(subject),
            Action::Connect => return,
        };
        self.tell_denied(index, &ask, "the access rules do not allow it");
    }

    /// When a plugin wants to be called.
    pub(super) fn plugins_timeout(&self) -> Option<Deadline> {
        self.plugins.poll_timeout().map(|at| Deadline::new(at, Why::Report))
    }

    pub(super) fn expire_plugins(&mut self, now: Instant) {
        if self.plugins.poll_timeout().is_some_and(|at| at <= now) {
            let counters = self.counters();
            self.plugins.handle_timeout(now, &counters);
        }
        self.settle_plugins();
    }

    /// Does what plugins have left to do.
    #[inline]
    pub(super) fn settle_plugins(&mut self) {
        if !self.plugins.effects.all.is_empty() {
            self.carry_out();
        }
    }

    #[cold]
    fn carry_out(&mut self) {
        let now = self.now;
        for (by, effect) in self.plugins.take_effect() {
            match effect {
                Effect::Publish(message) if message.topic_octets().is_empty() => {}
                Effect::Publish(message) => _ = self.route(now, Way::OWN, message),
                Effect::Disconnect(key, why) if self.is_attached(key) == Some(true) => {
                    self.expelled.push_back((key, why));
                }
                Effect::Hold(key, until) if until > now => self.hold_until(key, until),
                Effect::Disconnect(..) | Effect::Hold(..) => {}
                // Whether there is room for it was not known when it was left.
                Effect::Tag(key, tag) => _ = self.tag(key, &tag),
                Effect::Untag(key, tag) => _ = self.untag(key, &tag),
                Effect::Report(report) => self.plugins.keep_report(by, report),
            }
        }
    }

    /// Takes nothing from a session until then.
    fn hold_until(&mut self, key: SessionKey, until: Instant) {
        let Ok(index) = self.sessions.find(key) else { return };
        match self.held.get(&index) {
            Some((at, _)) if *at >= until => return,
            Some((_, timer)) => self.timers.cancel(*timer),
            None => {
                self.sessions.all[index].held_by += 1;
                self.sessions.notice(index);
            }
        }
        let timer = self.timers.set(until, Alarm::Hold(index));
        self.held.insert(index, (until, timer));
    }

    /// That time has come.
    pub(super) fn let_go(&mut self, index: u32) {
        if self.held.remove(&index).is_some() {
            self.sessions.all[index].held_by -= 1;
            self.sessions.notice(index);
        }
    }

    /// The next session whose connection a plugin wants closed.
    pub(super) fn poll_expelled(&mut self) -> Option<Notice> {
        let (key, why) = self.expelled.pop_front()?;
        Some(Notice::Disconnect(key, DisconnectReason::Plugin(why)))
    }
}
