//! What a client asks becomes commands to the hub (JSON.md §3).

use alloc::string::String;

use super::super::connection::Turn;
use super::super::event::Dialect;
use super::sink::Sink;
use super::talk::Talk;
use crate::endpoint::server::json::talk::code_of;
use crate::hub::{
    Message, PublishKey, PublishOptions, PublishOutcome, Quality, Refusal, RequestOptions, SessionKey,
    SubscribeOptions,
};
use crate::json::server::{self, About, Place};
use crate::json::{CONTENT_TYPE, Command, Content, ErrorCode, Event, ROOM_PREFIX, Send, TYPE_PREFIX, Trace};
use crate::session::{Block, Code, Property};
use crate::topic::validate_topic;

const UNKNOWN: &str = "say who you are first: $auth";

impl Talk {
    pub(super) fn command(
        &mut self,
        turn: &mut Turn<'_>,
        reference: Option<&str>,
        trace: Option<&Trace<'_>>,
        command: &Command<'_>,
        out: &mut impl Sink,
    ) {
        let about = About { reference, room: None };
        if let Command::Auth(auth) = command {
            return self.authenticate(turn, reference, auth, out);
        }
        let Some(hub) = self.hub.filter(|_| self.is_open()) else {
            // JSN-8
            return self.refuse(turn, about, ErrorCode::Unauthorized, UNKNOWN, out);
        };
        match command {
            Command::Join { room, .. }
            | Command::Leave { room }
            | Command::History { room, .. }
            | Command::Members { room }
            | Command::Presence { room, .. } => {
                self.of_room(turn, hub, About { reference, room: Some(*room) }, command, out);
            }
            Command::LeaveAll => {
                self.joins.clear();
                let _ = turn.server.hub.leave_all(turn.now, hub);
                self.done(turn, "$ok", about, None, out);
            }
            Command::Subscribe { topic } => self.subscribe(turn, hub, about, topic, true, out),
            Command::Unsubscribe { topic } => self.subscribe(turn, hub, about, topic, false, out),
            Command::Publish { topic, content, retain } => {
                let message = message(topic, content, trace)
                    .map(|message| message.with_quality(Quality::AtLeastOnce).with_retain(*retain));
                turn.server.traffic.published(Dialect::Json);
                match message.and_then(|message| publish(turn, hub, message)) {
                    Ok(outcome) => self.done(turn, "$ok", about, outcome.commit, out),
                    Err(refusal) => self.refused(turn, about, refusal, out),
                }
            }
            Command::Request { .. } => self.request(turn, hub, about, trace, command, out),
            Command::Ping => self.done_always(turn, "$pong", about, out),
            Command::Bye => self.finish(Code::Normal, "", true),
            Command::Send(send) => self.send(turn, hub, (reference, trace), send, out),
            Command::Type(send) => self.publish_type(turn, hub, (about, trace), send, out),
            Command::Auth(_) => {}
        }
    }

    /// What is answered whether it has an `id` or not.
    fn done_always(&mut self, turn: &mut Turn<'_>, name: &str, about: About<'_>, out: &mut impl Sink) {
        self.answer(turn, None, out, |text| server::done(text, name, about));
    }

    fn subscribe(
        &mut self,
        turn: &mut Turn<'_>,
        hub: SessionKey,
        about: About<'_>,
        filter: &str,
        wanted: bool,
        out: &mut impl Sink,
    ) {
        let (now, server) = (turn.now, &mut *turn.server);
        let issued = server.hub.issued();
        let done = if wanted {
            let options = SubscribeOptions { quality: Quality::AtLeastOnce, ..SubscribeOptions::default() };
            server.hub.subscribe_filter(now, hub, filter, 0, options)
        } else {
            server.hub.unsubscribe_filter(now, hub, filter)
        };
        match done {
            Ok(_) => {
                let commit = server.hub.commit_since(issued);
                self.done(turn, "$ok", about, commit, out);
            }
            Err(refusal) => self.refused(turn, about, refusal, out),
        }
    }

    fn request(
        &mut self,
        turn: &mut Turn<'_>,
        hub: SessionKey,
        about: About<'_>,
        trace: Option<&Trace<'_>>,
        command: &Command<'_>,
        out: &mut impl Sink,
    ) {
        let Command::Request { topic, content, timeout } = command else { return };
        self.next_request += 1;
        let id = self.next_request;
        let mut options = RequestOptions::default();
        options.timeout = timeout.map_or(options.timeout, |t| t.min(turn.server.config.json.max_request));
        let asked = message(topic, content, trace).and_then(|message| {
            let message = turn.entering(hub, Dialect::Json, message);
            turn.server.hub.request(turn.now, hub, id, message, options)
        });
        match asked {
            Ok(()) => self.asked.extend(about.reference.map(|reference| (id, reference.into()))),
            Err(refusal) => self.refused(turn, about, refusal, out),
        }
    }

    /// A message for a room (JSN-15).
    fn send(
        &mut self,
        turn: &mut Turn<'_>,
        hub: SessionKey,
        (reference, trace): (Option<&str>, Option<&Trace<'_>>),
        send: &Send<'_>,
        out: &mut impl Sink,
    ) {
        let about = About { reference, room: Some(&send.room) };
        if let Err(why) = super::rooms::check_name(&send.room) {
            return self.refuse(turn, about, ErrorCode::BadRoom, why, out);
        }
        // JSN-14
        if send.name == "chat.join"
            && let Err(refusal) = self.enter(turn, hub, None, &send.room, &crate::hub::JoinOptions::default())
        {
            return self.refused_in_room(turn, about, refusal, out);
        }
        let sent = self.publish_event(turn, hub, (reference, trace), send);
        if send.name == "chat.leave" {
            self.leave(turn, hub, &send.room);
        }
        match sent {
            Ok(_) if reference.is_none() => {}
            Ok(outcome) => {
                let place = outcome.place.map(place_of);
                self.answer(turn, outcome.commit, out, |text| {
                    server::ack(text, about, place, outcome.duplicate);
                });
            }
            Err(refusal) => self.refused_in_room(turn, about, refusal, out),
        }
    }

    fn publish_event(
        &self,
        turn: &mut Turn<'_>,
        hub: SessionKey,
        (reference, trace): (Option<&str>, Option<&Trace<'_>>),
        send: &Send<'_>,
    ) -> Result<PublishOutcome, Refusal> {
        let server = &mut *turn.server;
        let member = server.hub.member(hub, &send.room);
        let user = server.hub.identity(hub).filter(|user| !user.is_empty());
        let event = Event {
            from: member,
            // Whoever is no member has no name there, and speaks in nobody's.
            user: user.filter(|_| member.is_some()),
            key: send.key,
            name: send.name.into(),
            payload: send.payload,
        };
        let mut text = server.json.lend();
        text.push_str(ROOM_PREFIX);
        text.push_str(&send.room);
        let topic = text.len();
        event.write(&mut text);
        let (topic, payload) = text.split_at(topic);
        let trace = trace.into_iter().flat_map(Trace::properties);
        let properties = Block(core::iter::once(Property::ContentType(CONTENT_TYPE)).chain(trace));
        let message = Message::assemble(properties, topic, payload.as_bytes());
        server.json.give_back(text);
        let quality = if send.ephemeral { Quality::AtMostOnce } else { Quality::AtLeastOnce };
        let message = message.ok_or(Refusal::Quota("octets of a message"))?.with_quality(quality);
        let key = match (send.key, reference) {
            (Some(key), _) => Some(PublishKey::User(key.as_bytes())),
            (None, Some(id)) => Some(PublishKey::Session(id.as_bytes())),
            (None, None) => None,
        };
        let options = PublishOptions { key, echo: send.echo, ephemeral: send.ephemeral, event: true };
        server.traffic.published(Dialect::Json);
        let message = turn.entering(hub, Dialect::Json, message);
        let done = turn.server.hub.publish_with(turn.now, hub, message, &options);
        match done {
            Err(Refusal::NotAuthorized) if member.is_none() => Err(Refusal::NotMember),
            done => done,
        }
    }

    /// A message of the application's own type, and for no room (JSN-5).
    fn publish_type(
        &mut self,
        turn: &mut Turn<'_>,
        hub: SessionKey,
        (about, trace): (About<'_>, Option<&Trace<'_>>),
        send: &Send<'_>,
        out: &mut impl Sink,
    ) {
        let mut topic = String::from(TYPE_PREFIX);
        topic.push_str(send.name);
        let done = if turn.server.config.json.types {
            let message = message(&topic, &Content::Data(send.payload), trace);
            let message = message.map(|message| message.with_quality(Quality::AtLeastOnce));
            turn.server.traffic.published(Dialect::Json);
            message.and_then(|message| publish(turn, hub, message))
        } else {
            Err(Refusal::NotAuthorized)
        };
        match done {
            Ok(outcome) if about.reference.is_some() => {
                self.answer(turn, outcome.commit, out, |text| server::ack(text, about, None, false));
            }
            Ok(_) => {}
            Err(refusal) => self.refused(turn, about, refusal, out),
        }
    }

    /// The same for what is about a room: what is wrong with its name is the room's fault.
    pub(super) fn refused_in_room(
        &mut self,
        turn: &mut Turn<'_>,
        about: About<'_>,
        refusal: Refusal,
        out: &mut impl Sink,
    ) {
        match code_of(refusal) {
            (ErrorCode::Malformed, _) => self.refuse(turn, about, ErrorCode::BadRoom, refusal, out),
            _ => self.refused(turn, about, refusal, out),
        }
    }
}

pub(super) const fn place_of(place: crate::hub::Place) -> Place {
    Place { epoch: place.epoch, offset: place.offset, stamp: place.stamp }
}

/// What a client publishes on a topic.
fn message(topic: &str, content: &Content<'_>, trace: Option<&Trace<'_>>) -> Result<Message, Refusal> {
    let Some(trace) = trace else { return Message::new(topic, content.as_bytes()).map_err(Refusal::Topic) };
    validate_topic(topic).map_err(Refusal::Topic)?;
    let message = Message::assemble(Block(trace.properties()), topic, content.as_bytes());
    message.ok_or(Refusal::Quota("octets of a message"))
}

fn publish(turn: &mut Turn<'_>, hub: SessionKey, message: Message) -> Result<PublishOutcome, Refusal> {
    let message = turn.entering(hub, Dialect::Json, message);
    turn.server.hub.publish(turn.now, hub, message, None)
}
