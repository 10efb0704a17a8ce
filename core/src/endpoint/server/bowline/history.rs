//! HISTORY: messages of the past, handed out as the connection takes them.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::super::connection::Turn;
use super::super::inflating::{Accepted, Inflating};
use super::Connection;
use crate::buf::SendBuf;
use crate::hub::{self, HistoryMark, HistoryQuery, Refusal, SessionKey};
use crate::session::{History, Kind, Message, Properties, Property, SendError, Session};
use crate::status::Status;
use crate::time::Instant;
use crate::varint::leb128;

/// How many HISTORY a connection may have that are not answered (HIS-4).
const MAX_ASKED: usize = 16;
/// How many messages are handed out before others have their turn.
const PER_CALL: usize = 64;

/// A part of a history that was asked for, and what of it is still to come.
#[derive(Debug)]
pub(super) struct Asked {
    id: u64,
    topic: Box<str>,
    range: Range<u64>,
}

impl Connection {
    /// HIS-2: without a beginning, the newest are meant.
    pub(super) fn history(&mut self, turn: &mut Turn<'_>, h: &History<'_>, out: &mut impl SendBuf) {
        if turn.server.draining.is_some() {
            return self.result(turn, out, Kind::History, h.id, Status::Draining, "");
        }
        let query = HistoryQuery {
            from: h.from.map(HistoryMark::Offset),
            before: h.before.map(HistoryMark::Offset),
            limit: h.limit,
            newest: h.from.is_none(),
        };
        let range = match self.hub {
            Some(_) if self.later.as_ref().is_some_and(|later| later.asked.len() >= MAX_ASKED) => {
                Err(Refusal::Quota("histories asked for"))
            }
            Some(hub) => turn.server.hub.history(hub, h.room, &query).map(|page| page.range()),
            None => Err(Refusal::NoSession),
        };
        match range {
            Ok(range) => {
                let asked = Asked { id: h.id, topic: h.room.into(), range };
                self.later.get_or_insert_default().asked.push_back(asked);
            }
            Err(refusal) => self.answer(turn, out, Kind::History, h.id, Err(refusal)),
        }
    }

    /// Hands out what was asked for of the past, as far as there is room.
    pub(super) fn replay(&mut self, turn: &mut Turn<'_>, hub: SessionKey, out: &mut impl SendBuf) {
        let mut left = PER_CALL;
        while let Some(later) = self.later.as_mut()
            && let Some(asked) = later.asked.front_mut()
        {
            let done = hand_out(&mut self.session, turn, hub, asked, &mut left, out);
            if done == Ok(false) {
                if left == 0 {
                    turn.server.ready.push_back(turn.key);
                }
                return;
            }
            // RESULT needs room too; it never waits for credit.
            if out.room() < super::super::REPLY_ROOM {
                return;
            }
            let id = asked.id;
            later.asked.pop_front();
            self.answer(turn, out, Kind::History, id, done.map(|_| ()));
        }
        self.later.take_if(|later| later.presence.is_empty() && later.tunnels.is_none());
    }
}

/// Hands out what is left of one history; whether that was all.
fn hand_out(
    session: &mut Session,
    turn: &mut Turn<'_>,
    hub: SessionKey,
    asked: &mut Asked,
    left: &mut usize,
    out: &mut impl SendBuf,
) -> Result<bool, Refusal> {
    let query = HistoryQuery {
        before: Some(HistoryMark::Offset(asked.range.end)),
        ..HistoryQuery::from(HistoryMark::Offset(asked.range.start))
    };
    let now = turn.now;
    let page = turn.server.hub.history(hub, &asked.topic, &query)?;
    for record in page {
        if *left == 0 {
            return Ok(false);
        }
        let plain = inflated(session, &mut turn.server.inflating, record.message);
        let message = match &plain {
            Some(None) => continue, // It does not inflate to what it says.
            Some(Some(plain)) => plain,
            None => record.message,
        };
        match send_placed(now, session, asked.id, message, record.offset, record.at, out) {
            Err(e) if e.is_blocked() => return Ok(false),
            // One that is larger than the client takes is left out.
            sent => turn.server.traffic.packets_sent += u64::from(sent.is_ok()),
        }
        *left -= 1;
        asked.range.start = record.offset + 1;
    }
    asked.range.start = asked.range.end;
    Ok(true)
}

/// What to send in place of a message that its client does not take compressed: nothing where that does not
/// inflate.
fn inflated(
    session: &Session,
    inflating: &mut Inflating,
    message: &hub::Message,
) -> Option<Option<hub::Message>> {
    let passes = !message.is_encoded() || Accepted::by(session).takes(message);
    (!passes).then(|| inflating.plain(message))
}

/// HIS-3: a message with its place in its topic's history, and when it was published in milliseconds. Says
/// how many octets it was without the id.
pub(super) fn send_placed(
    now: Instant,
    session: &mut Session,
    id: u64,
    message: &hub::Message,
    offset: u64,
    at: u64,
    out: &mut impl SendBuf,
) -> Result<u32, SendError> {
    let recorded = Property::Recorded(offset, at);
    let block = Properties::of_body(message.props());
    let mut list: Vec<Property<'_>> = block.iter().filter(|p| !matches!(p, Property::Recorded(..))).collect();
    let at = list.partition_point(|p| p.id() < recorded.id());
    list.insert(at, recorded);
    let mut memory = vec![0; message.props().len() + 32];
    let properties = Properties::write(&list, &mut memory).unwrap_or(Properties::NONE);
    let message = Message { properties, ..Message::new(message.topic(), message.payload()) };
    session.message(now, out, id, &message)?;
    let with_length = |n: usize| leb128::encoded_len(n as u64) + n;
    let block = properties.as_bytes().len();
    let block = if block == 0 { 0 } else { with_length(block) };
    Ok((block + with_length(message.topic.len()) + message.payload.len()) as u32)
}
