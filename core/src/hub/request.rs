//! Requests: from a requester to one responder or to all, and the answers back.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use ahash::RandomState;
use hashbrown::HashMap;

use super::Hub;
use super::delivery::{Refusal, SessionKey};
use super::message::Message;
use super::options::{MAX_ID, Quality, RequestOptions};
use super::reply::{Owed, Reply};
use super::session::{Control, Entry, Rare};
use super::slab::{NONE, Slab};
use super::subscriptions::Target;
use super::timers::{Alarm, Timer};
use crate::access::Action;
use crate::plugin::Rejection;
use crate::status::Status;
use crate::time::Instant;

/// How many responders are asked for room for a request to one: it bounds the work of a request
/// where thousands serve and all are busy.
pub(super) const PROBES: usize = 64;
/// A leg's number takes so many bits of its id; a serial number takes the others.
const LEG_BITS: u32 = 24;
const LEGS: usize = 1 << LEG_BITS;
const SERIALS: u64 = (1 << (63 - LEG_BITS)) - 1;

#[derive(Debug)]
struct Request {
    requester: u32,
    id: u64,
    many: bool,
    timer: Option<Timer>,
    deadline: Instant,
    legs: Vec<u32>,
    /// Where it is in the requester's list.
    position: usize,
    /// Where the answer is published, if it came as a message.
    reply: Option<Box<Reply>>,
}

impl Default for Request {
    fn default() -> Self {
        let (deadline, legs) = (Instant::ZERO, Vec::new());
        Self { requester: NONE, id: 0, many: false, timer: None, deadline, legs, position: 0, reply: None }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// It waits in the responder's queue.
    #[default]
    Queued,
    /// The responder has it.
    Sent,
    /// Its request has ended; its entry has not left the queue yet.
    Dead,
}

/// A request on its way to one responder.
#[derive(Debug, Default)]
struct Leg {
    request: u32,
    responder: u32,
    serial: u64,
    state: State,
    /// Where it is in the responder's list.
    position: usize,
    /// Where it is in the request's list.
    place: usize,
}

/// All requests in flight.
#[derive(Debug)]
pub(super) struct Calls {
    requests: Slab<Request>,
    legs: Slab<Leg>,
    by_id: HashMap<(u32, u64), u32, RandomState>,
    serial: u64,
    pub(super) turn: usize,
    /// How many requests came as messages.
    pub(super) by_message: u64,
    pub(super) owed: Owed,
}

impl Calls {
    pub(super) fn new(hasher: RandomState) -> Self {
        let by_id = HashMap::with_hasher(hasher);
        Self {
            requests: Slab::default(),
            legs: Slab::default(),
            by_id,
            serial: 0,
            turn: 0,
            by_message: 0,
            owed: Owed::new(),
        }
    }

    /// The id of a leg that is about to be handed out and the time that is left; `None` if its
    /// request has ended.
    pub(super) fn sending(&self, leg: u32, now: Instant) -> Option<(u64, Duration)> {
        let l = &self.legs[leg];
        let left = || self.requests[l.request].deadline.saturating_since(now);
        (l.state == State::Queued).then(|| (l.serial << LEG_BITS | u64::from(leg), left()))
    }

    /// Whether somebody works on a request, or will.
    pub(super) fn is_asked(&self, request: u32) -> bool {
        !self.requests[request].legs.is_empty()
    }

    pub(super) fn sent(&mut self, leg: u32) {
        self.legs[leg].state = State::Sent;
    }

    /// Frees a dead leg whose entry has left the queue.
    pub(super) fn free(&mut self, leg: u32) {
        self.legs.remove(leg);
    }

    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// The leg with this id.
    fn leg(&self, id: u64) -> Option<u32> {
        let leg = (id & ((1 << LEG_BITS) - 1)) as u32;
        let known = self.legs.get(leg)?;
        (known.serial > 0 && known.serial == id >> LEG_BITS && known.state == State::Sent).then_some(leg)
    }
}

impl Hub {
    /// Sends a request to one of the subscriptions that serve its topic, or to all.
    ///
    /// The answers come as [`Delivery::Response`](super::Delivery::Response): one, or with
    /// [`many`](RequestOptions::many) one for each responder and a last empty one (and an empty
    /// `Busy`, with others to follow, if responders were left out whose queues are full). Where nobody
    /// serves the topic, `NoResponder` is the answer; where all who do have full queues, `Busy`;
    /// after the timeout, `Timeout`; when the responder detaches or ends, `ResponderGone`.
    ///
    /// # Errors
    ///
    /// The session is not attached, the id is 0, too large or in use, the topic is empty, too many
    /// requests are in flight or their answers not taken, or the rules refuse.
    pub fn request(
        &mut self,
        now: Instant,
        key: SessionKey,
        id: u64,
        mut message: Message,
        options: RequestOptions,
    ) -> Result<(), Refusal> {
        let now = self.tick(now);
        let requester = self.check_request(key, id, &message)?;
        if !self.judge(requester, &mut message)? {
            // Who asks is to be told something.
            let dropped = Rejection { status: Status::Rejected, reason: "it was dropped", retry_after: None };
            return Err(Refusal::Plugin(dropped));
        }
        let number = self.begin_request(now, requester, id, options, None);
        let found = self.subs.matcher.find(message.topic_octets()).to_vec();
        let size = message.size();
        let message = self.sessions.pool.insert(message);
        let mut busy = if options.many {
            self.ask_all(number, &found, message, size)
        } else {
            self.ask_one(number, &found, message, size)
        };
        if !busy && !self.calls.is_asked(number) {
            busy = self.ask_subscribers(number, &found, message, size, options.many);
        }
        self.sessions.pool.release(message);
        if !self.calls.is_asked(number) {
            self.answer(number, if busy { Status::Busy } else { Status::NoResponder });
        } else if busy && options.many {
            let response = Control::Response { id, status: Status::Busy, more: true, message: NONE };
            self.sessions.push_control(requester, response);
        }
        Ok(())
    }

    pub(super) fn begin_request(
        &mut self,
        now: Instant,
        requester: u32,
        id: u64,
        options: RequestOptions,
        reply: Option<Box<Reply>>,
    ) -> u32 {
        let timeout = options.timeout.min(self.options.max_request_timeout);
        let (deadline, many) = (now + timeout, options.many);
        let position = self.sessions.all[requester].rare().asked.len();
        let request = Request { requester, id, many, deadline, position, reply, ..Request::default() };
        let number = self.calls.requests.insert(request);
        self.calls.requests[number].timer = Some(self.timers.set(deadline, Alarm::Request(number)));
        self.calls.by_id.insert((requester, id), number);
        self.sessions.all[requester].rare_mut().asked.push(number);
        self.sessions.counters.requests += 1;
        number
    }

    /// Which limit keeps a session from asking once more.
    pub(super) fn requests_full(&self, requester: u32) -> Option<&'static str> {
        let Rare { asked, control, .. } = self.sessions.all[requester].rare();
        if asked.len() + control.len() >= self.options.max_requests_per_session {
            return Some("requests of a session");
        }
        (self.calls.len() >= self.options.max_requests).then_some("requests in flight")
    }

    fn check_request(&mut self, key: SessionKey, id: u64, message: &Message) -> Result<u32, Refusal> {
        let requester = self.attached(key)?;
        if id == 0 || id > MAX_ID {
            return Err(Refusal::Invalid("a request's id is from 1 to 2^63 - 1"));
        }
        if message.topic_octets().is_empty() {
            return Err(Refusal::Topic(crate::topic::TopicError::Empty));
        }
        if self.calls.by_id.contains_key(&(requester, id)) {
            return Err(Refusal::InUse);
        }
        if let Some(limit) = self.requests_full(requester) {
            return Err(Refusal::Quota(limit));
        }
        self.allow(requester, Action::Request, || message.topic())?;
        Ok(requester)
    }

    /// Asks all responders; says whether one had no room.
    fn ask_all(&mut self, request: u32, found: &[u32], message: u32, size: u32) -> bool {
        let mut busy = false;
        for filter in found {
            for i in 0..self.subs.filters[*filter].responders().len() {
                let target = self.subs.filters[*filter].responders()[i];
                busy |= self.ask(request, target, message, size) == Some(false);
            }
            for i in 0..self.subs.filters[*filter].groups().len() {
                let group = self.subs.filters[*filter].groups()[i];
                if let Some(target) = self.pick_responder(group, size) {
                    busy |= self.ask(request, target, message, size) == Some(false);
                }
            }
        }
        busy
    }

    /// Asks the responder whose turn it is; says whether there was one without room.
    pub(super) fn ask_one(&mut self, request: u32, found: &[u32], message: u32, size: u32) -> bool {
        let lens =
            |hub: &Self, f: u32| (hub.subs.filters[f].responders().len(), hub.subs.filters[f].groups().len());
        let total: usize = found.iter().map(|f| lens(self, *f)).map(|(a, b)| a + b).sum();
        let turn = self.calls.turn;
        let mut busy = false;
        for i in 0..total.min(PROBES) {
            let mut at = (turn + i) % total;
            for filter in found {
                let (responders, groups) = lens(self, *filter);
                let target = if at < responders {
                    Some(self.subs.filters[*filter].responders()[at])
                } else if at < responders + groups {
                    self.pick_responder(self.subs.filters[*filter].groups()[at - responders], size)
                } else {
                    at -= responders + groups;
                    continue;
                };
                match target.and_then(|t| self.ask(request, t, message, size)) {
                    Some(true) => {
                        self.calls.turn = turn.wrapping_add(i + 1);
                        return false;
                    }
                    Some(false) => busy = true,
                    None => {}
                }
                break;
            }
        }
        busy
    }

    fn pick_responder(&mut self, group: u32, size: u32) -> Option<Target> {
        let sessions = &self.sessions.all;
        let group = &mut self.subs.groups[group];
        group.pick(|_| true, true, |s| sessions[s].has_room(size)).filter(|_| group.serve)
    }

    /// Queues a request for a responder: `None` if it is not attached or may not have it, else
    /// whether there was room. It never displaces anything.
    pub(super) fn ask(&mut self, request: u32, target: Target, message: u32, size: u32) -> Option<bool> {
        let responder = target.session();
        let own = target.no_local() && self.calls.requests[request].requester == responder;
        if own || !self.sessions.all[responder].attached {
            return None;
        }
        if !self.sessions.all[responder].has_room(size)
            || self.calls.legs.len() >= LEGS.min(self.options.max_legs)
        {
            return Some(false);
        }
        self.calls.serial = self.calls.serial % SERIALS + 1;
        let position = self.sessions.all[responder].rare().serving.len();
        let (serial, place) = (self.calls.serial, self.calls.requests[request].legs.len());
        let leg = Leg { request, responder, serial, state: State::Queued, position, place };
        let leg = self.calls.legs.insert(leg);
        self.sessions.all[responder].rare_mut().serving.push(leg);
        self.calls.requests[request].legs.push(leg);
        let entry = Entry::new(target.sid, message, Quality::AtMostOnce).of_request(leg);
        let lane = self.subs.get(target.sub).lane;
        self.sessions.put(responder, lane, entry, size);
        Some(true)
    }

    /// Passes on an answer to the request that this session was handed as `id`.
    ///
    /// An answer for which the requester's queue has no room ends the request with `Busy`, and the
    /// responders are told by [`Delivery::Cancel`](super::Delivery::Cancel).
    ///
    /// # Errors
    ///
    /// [`Refusal::NotFound`] when there is no such request any more (the answer and the end of the
    /// request may have crossed: ignore it), [`Refusal::NotAuthorized`] when it is another's.
    pub fn respond(
        &mut self,
        now: Instant,
        key: SessionKey,
        id: u64,
        status: Status,
        more: bool,
        message: Message,
    ) -> Result<(), Refusal> {
        let now = self.tick(now);
        let responder = self.sessions.find(key)?;
        let leg = self.calls.leg(id).ok_or(Refusal::NotFound)?;
        let Leg { request, responder: asked, .. } = self.calls.legs[leg];
        if asked != responder {
            return Err(Refusal::NotAuthorized);
        }
        if let Some(reply) = self.calls.requests[request].reply.take() {
            let done = self.respond_by_message(now, responder, &reply, status, &message);
            // Publishing may have ended it: then its leg is gone.
            if self.calls.leg(id) == Some(leg) {
                if more && done.is_ok() {
                    self.calls.requests[request].reply = Some(reply);
                } else {
                    self.end_leg(leg);
                    self.end_request(request);
                }
            }
            return done;
        }
        let Request { requester, id, many, .. } = self.calls.requests[request];
        let size = message.size();
        if self.sessions.all[requester].owes_too_much(size) {
            self.answer(request, Status::Busy);
            return Ok(());
        }
        let message = if size == 0 { NONE } else { self.sessions.pool.insert(message) };
        let response = Control::Response { id, status, more: many || more, message };
        if !more {
            self.end_leg(leg);
        }
        self.sessions.push_control(requester, response);
        self.end_if_answered(request, if many { Some(Status::Ok) } else { None });
        Ok(())
    }

    /// Takes a request back: no answer comes any more, and its responders are told.
    ///
    /// # Errors
    ///
    /// There is no such request of this session any more; ignore it, it may have crossed.
    pub fn cancel(&mut self, now: Instant, key: SessionKey, id: u64) -> Result<(), Refusal> {
        self.tick(now);
        let requester = self.sessions.find(key)?;
        let request = *self.calls.by_id.get(&(requester, id)).ok_or(Refusal::NotFound)?;
        self.end_request(request);
        // The id may be used again at once: an answer that waits must not be taken for the new one's.
        self.sessions.forget_responses(requester, id);
        Ok(())
    }

    /// Ends a request with an empty last answer.
    pub(super) fn answer(&mut self, request: u32, status: Status) {
        let Request { requester, id, .. } = self.calls.requests[request];
        if let Some(reply) = self.calls.requests[request].reply.take() {
            self.calls.owed.push_back((reply, status));
            return self.end_request(request);
        }
        self.end_request(request);
        self.sessions.push_control(requester, Control::Response { id, status, more: false, message: NONE });
    }

    /// Ends a request: whoever still works on it is told, what waits in queues will be skipped.
    pub(super) fn end_request(&mut self, number: u32) {
        for leg in core::mem::take(&mut self.calls.requests[number].legs) {
            let Leg { responder, serial, state, .. } = self.calls.legs[leg];
            self.unlist_leg(leg);
            if state == State::Sent {
                self.calls.free(leg);
                let id = serial << LEG_BITS | u64::from(leg);
                self.sessions.push_control(responder, Control::Cancel { id });
            } else {
                self.calls.legs[leg].state = State::Dead;
            }
        }
        let request = self.calls.requests.remove(number);
        if let Some(timer) = request.timer {
            self.timers.cancel(timer);
        }
        self.calls.by_id.remove(&(request.requester, request.id));
        let asked = &mut self.sessions.all[request.requester].rare_mut().asked;
        asked.swap_remove(request.position);
        if let Some(moved) = asked.get(request.position) {
            self.calls.requests[*moved].position = request.position;
        }
    }

    /// The timer of a request came up.
    pub(super) fn time_out(&mut self, request: u32) {
        self.calls.requests[request].timer = None;
        self.answer(request, Status::Timeout);
    }

    /// A leg that its responder has, or whose entry is out of the queue, ends without an answer.
    fn fail_leg(&mut self, leg: u32, status: Status) {
        let Leg { request, .. } = self.calls.legs[leg];
        self.end_leg(leg);
        let Request { requester, id, many, .. } = self.calls.requests[request];
        if many && self.sessions.all[requester].owes_too_much(0) {
            return self.answer(request, Status::Busy);
        }
        if many {
            let response = Control::Response { id, status, more: true, message: NONE };
            self.sessions.push_control(requester, response);
        }
        self.end_if_answered(request, Some(if many { Status::Ok } else { status }));
    }

    /// A session detached: its own requests end, and those that it was to answer fail.
    pub(super) fn end_calls(&mut self, session: u32) {
        while let Some(request) = self.sessions.all[session].rare().asked.last() {
            self.end_request(*request);
        }
        self.settle_lost(Status::ResponderGone);
        while let Some(leg) = self.sessions.all[session].rare().serving.last() {
            self.fail_leg(*leg, Status::ResponderGone);
        }
    }

    /// Tells the requesters of requests whose entries were dropped from a queue.
    pub(super) fn settle_lost(&mut self, status: Status) {
        while let Some(leg) = self.sessions.lost.pop() {
            if self.calls.legs[leg].state == State::Dead {
                self.calls.free(leg);
            } else {
                self.fail_leg(leg, status);
            }
        }
    }

    /// Where all legs have ended, ends the request: with an empty last answer, or just so.
    fn end_if_answered(&mut self, request: u32, last: Option<Status>) {
        if self.calls.requests[request].legs.is_empty() {
            match last {
                Some(status) => self.answer(request, status),
                None => self.end_request(request),
            }
        }
    }

    /// A leg has ended.
    fn end_leg(&mut self, leg: u32) {
        let Leg { request, place, .. } = self.calls.legs[leg];
        let legs = &mut self.calls.requests[request].legs;
        legs.swap_remove(place);
        if let Some(moved) = legs.get(place) {
            self.calls.legs[*moved].place = place;
        }
        self.unlist_leg(leg);
        self.calls.free(leg);
    }

    fn unlist_leg(&mut self, leg: u32) {
        let Leg { responder, position, .. } = self.calls.legs[leg];
        let serving = &mut self.sessions.all[responder].rare_mut().serving;
        serving.swap_remove(position);
        if let Some(moved) = serving.get(position) {
            self.calls.legs[*moved].position = position;
        }
    }

    /// Checks requests, legs and the sessions' lists against each other.
    pub(super) fn check_calls(&self) -> Result<(), &'static str> {
        let (mut asked, mut serving) = (0, 0);
        for (index, s) in self.sessions.all.places().filter(|(_, s)| s.live) {
            let Rare { asked: of_session, serving: by_session, .. } = s.rare();
            asked += of_session.len();
            serving += by_session.len();
            let is_asked = |(i, r): (usize, &u32)| {
                let r = &self.calls.requests[*r];
                let mut legs = r.legs.iter().enumerate();
                r.requester == index
                    && r.position == i
                    && !r.legs.is_empty()
                    && legs.all(|(place, leg)| self.calls.legs[*leg].place == place)
            };
            let is_served = |(i, l): (usize, &u32)| {
                let l = &self.calls.legs[*l];
                l.responder == index && l.position == i && l.state != State::Dead
            };
            if !of_session.iter().enumerate().all(is_asked) || !by_session.iter().enumerate().all(is_served) {
                return Err("requests: a session's list is wrong");
            }
        }
        let dead = self.calls.legs.places().filter(|(_, l)| l.state == State::Dead).count();
        if asked != self.calls.len() || asked != self.calls.by_id.len() {
            return Err("requests: lost count");
        }
        if serving + dead != self.calls.legs.len() {
            return Err("requests: legs are left over");
        }
        Ok(())
    }
}
