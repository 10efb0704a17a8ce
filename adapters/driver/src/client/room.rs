//! A room that a client is in.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bowline_core::endpoint::client::{JoinOptions, PublishId, RoomEvent, RoomId, RoomPlace, RoomPublish};
use bowline_core::status::Status;
use bytes::Bytes;
use futures_core::Stream;

use super::{Client, Error};
use crate::clock;
use crate::link::Slot;
use crate::runtime::Runtime;

/// A room: a stream of what happens in it, from the first [`RoomEvent::Joined`] on. Dropping it
/// leaves the room; while it lives, so does the client.
///
/// When a connection was lost, the client joins again by itself: another `Joined` says so, and what
/// was missed follows, without a gap or a duplicate, unless it says that it was not recovered.
#[derive(Debug)]
pub struct Room<R: Runtime> {
    client: Client<R>,
    id: RoomId,
    /// That it was joined, until it is taken.
    first: Option<RoomEvent>,
    place: Option<RoomPlace>,
}

/// Joins, and waits for the server's answer.
pub(super) async fn join<R: Runtime>(
    client: &Client<R>,
    name: &str,
    options: JoinOptions<'_>,
) -> Result<Room<R>, Error> {
    let credit = options.credit.or(Some(Room::<R>::WINDOW));
    // What is handed out is granted again when it is taken.
    let options = JoinOptions { credit, auto_grant: false, ..options };
    let id = client.0.room(|core, now| {
        let id = core.machine.join(now, name, &options)?;
        core.rooms.insert(id, Slot::default());
        Ok(id)
    });
    let mut room = Room { client: client.clone(), id: id.await?, first: None, place: options.since };
    match poll_fn(|cx| room.poll_event(cx)).await {
        Some(RoomEvent::Ended { status, reason }) => Err(Error::Status { status, reason }),
        Some(event) => {
            room.first = Some(event);
            Ok(room)
        }
        None => Err(client.0.closed()),
    }
}

impl<R: Runtime> Room<R> {
    /// How many octets of messages may be on their way or wait here untaken, where the options do
    /// not say.
    pub const WINDOW: u64 = 256 << 10;

    /// What happens next; nothing once the room was left, is refused, or the client has ended.
    ///
    /// Cancel safety: dropped before it is ready, nothing is lost.
    pub async fn next(&mut self) -> Option<RoomEvent> {
        poll_fn(|cx| self.poll_take(cx)).await
    }

    /// What happens next, if it has happened.
    pub fn try_next(&mut self) -> Option<RoomEvent> {
        match self.poll_take(&Context::from_waker(Waker::noop())) {
            Poll::Ready(event) => event,
            Poll::Pending => None,
        }
    }

    /// Sends to the room. Ready when the server has it; its place comes with
    /// [`RoomEvent::Message`] or [`RoomEvent::Sent`], which name what is returned here. Sent again
    /// over another connection of the session it makes no second.
    ///
    /// Cancel safety: dropped while it waits for room, nothing was sent; dropped afterwards, it is
    /// sent all the same.
    ///
    /// # Errors
    ///
    /// [`Error::Status`] where the room takes it not, or not so fast; as [`Client::publish`].
    pub async fn send(&self, payload: impl Into<Bytes>) -> Result<PublishId, Error> {
        self.send_with(RoomPublish::new(payload)).await
    }

    /// As [`send`](Self::send), with properties, or under a key of the application's own.
    ///
    /// Cancel safety: as [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn send_with(&self, publish: RoomPublish<'_>) -> Result<PublishId, Error> {
        let id = self.client.0.room(|core, now| {
            let id = core.machine.send(now, self.id, publish.clone())?;
            core.publishes.insert(id, Slot::default());
            Ok(id)
        });
        let id = id.await?;
        self.client.accepted(id).await?;
        Ok(id)
    }

    /// Sets what others see of this client, at most 4,096 octets.
    ///
    /// Cancel safety: dropped before it is ready, nothing was set.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`].
    pub async fn show(&self, data: &[u8]) -> Result<(), Error> {
        self.client.0.room(|core, now| core.machine.show(now, self.id, data)).await
    }

    /// Leaves. Ready when the server knows, over another connection if it must.
    ///
    /// Cancel safety: dropped before it is ready, the room is left all the same.
    pub async fn leave(mut self) {
        let id = self.id;
        if self.client.0.room(|core, now| core.machine.leave(now, id)).await.is_ok() {
            while let Some(event) = poll_fn(|cx| self.poll_event(cx)).await {
                if matches!(event, RoomEvent::Ended { status: Status::Ok, .. }) {
                    break;
                }
            }
        }
    }

    /// The last message that was taken here: to join with `since` after the program was started
    /// again.
    #[must_use]
    pub const fn place(&self) -> Option<RoomPlace> {
        self.place
    }

    fn poll_take(&mut self, cx: &Context<'_>) -> Poll<Option<RoomEvent>> {
        let event = match self.first.take() {
            Some(event) => Some(event),
            None => ready!(self.poll_event(cx)),
        };
        match &event {
            Some(RoomEvent::Joined { place, recovered: false, .. } | RoomEvent::Sent { place, .. }) => {
                self.place = Some(*place);
            }
            Some(RoomEvent::Message(message)) if message.place.offset > 0 => self.place = Some(message.place),
            _ => {}
        }
        Poll::Ready(event)
    }

    /// Takes what waits, and lets the server send as much again.
    fn poll_event(&mut self, cx: &Context<'_>) -> Poll<Option<RoomEvent>> {
        let id = self.id;
        let taken = self.client.0.shared.call(|core| {
            let taken = core.rooms.get_mut(&id).map_or(Some(None), |slot| slot.poll(cx.waker()));
            if let Some(Some(RoomEvent::Message(message))) = &taken {
                // It may have been left meanwhile: then there is nothing to grant.
                let _ = core.machine.grant_room(clock::now(), id, message);
            }
            taken
        });
        taken.map_or(Poll::Pending, Poll::Ready)
    }
}

impl<R: Runtime> Stream for Room<R> {
    type Item = RoomEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<RoomEvent>> {
        self.poll_take(cx)
    }
}

impl<R: Runtime> Drop for Room<R> {
    fn drop(&mut self) {
        self.client.0.shared.call(|core| {
            core.rooms.remove(&self.id);
            // It may have ended by itself.
            let _ = core.machine.leave(clock::now(), self.id);
        });
    }
}
