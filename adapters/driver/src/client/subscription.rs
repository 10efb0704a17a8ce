//! Messages because of a subscription.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bowline_core::endpoint::client::{Message, SubscribeOptions, SubscriptionId};
use futures_core::Stream;

use super::shared::Item;
use super::{Client, Error};
use crate::clock;
use crate::link::Slot;
use crate::runtime::Runtime;

/// The messages of one subscription: a stream. Dropping it ends the subscription; while it lives,
/// so does the client.
#[derive(Debug)]
pub struct Subscription<R: Runtime> {
    client: Client<R>,
    id: SubscriptionId,
}

/// Asks for messages or, with `serve`, for requests.
pub(super) async fn open<R: Runtime>(
    client: &Client<R>,
    filter: &str,
    options: SubscribeOptions,
    serve: bool,
) -> Result<Subscription<R>, Error> {
    let credit = options.credit.or(Some(Subscription::<R>::WINDOW));
    // What is handed out is granted again when it is taken.
    let options = SubscribeOptions { credit, auto_grant: false, ..options };
    let id = client.0.room(|core, now| {
        let id = match serve {
            false => core.machine.subscribe(now, filter, options)?,
            true => core.machine.serve(now, filter, options)?,
        };
        core.subscriptions.insert(id, Slot::default());
        Ok(id)
    });
    Ok(Subscription { client: client.clone(), id: id.await? })
}

impl<R: Runtime> Subscription<R> {
    /// How many octets of messages may be on their way or wait here untaken, where the options do
    /// not say: enough for a network's delay, and little enough for many subscriptions.
    pub const WINDOW: u64 = 256 << 10;

    /// Waits for the server's answer.
    pub(super) async fn agreed(&mut self) -> Result<(), Error> {
        loop {
            match poll_fn(|cx| self.poll_item(cx)).await {
                Some(Item::Answered(status, _)) if status.is_ok() => return Ok(()),
                Some(Item::Answered(status, reason)) => return Err(Error::Status { status, reason }),
                // Nothing comes before the answer.
                Some(_) => {}
                None => return Err(self.client.0.closed()),
            }
        }
    }

    /// The next message; nothing once the subscription or the client has ended.
    ///
    /// Cancel safety: dropped before it is ready, no message is lost.
    pub async fn next(&mut self) -> Option<Message> {
        poll_fn(|cx| self.poll_message(cx)).await
    }

    /// The next message, if one waits.
    pub fn try_next(&mut self) -> Option<Message> {
        match self.poll_message(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(message) => message,
            Poll::Pending => None,
        }
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        loop {
            match std::task::ready!(self.poll_item(cx)) {
                Some(Item::Message(message)) => return Poll::Ready(Some(message)),
                Some(_) => {}
                None => return Poll::Ready(None),
            }
        }
    }

    /// The next message or request.
    pub(super) fn poll_call(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        loop {
            match std::task::ready!(self.poll_item(cx)) {
                Some(Item::Answered(..)) => {}
                item => return Poll::Ready(item),
            }
        }
    }

    /// Takes what waits, and lets the server send as much again.
    fn poll_item(&mut self, cx: &Context<'_>) -> Poll<Option<Item>> {
        let id = self.id;
        let taken = self.client.0.shared.call(|core| {
            let taken = core.subscriptions.get_mut(&id).map_or(Some(None), |slot| slot.poll(cx.waker()));
            let credit = match &taken {
                Some(Some(Item::Message(message))) => message.credit(),
                Some(Some(Item::Request(request))) => request.message.credit(),
                _ => return taken,
            };
            // The subscription may have been refused meanwhile: then there is nothing to grant.
            let _ = core.machine.grant(clock::now(), id, credit);
            taken
        });
        taken.map_or(Poll::Pending, Poll::Ready)
    }
}

impl<R: Runtime> Stream for Subscription<R> {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.poll_message(cx)
    }
}

impl<R: Runtime> Drop for Subscription<R> {
    fn drop(&mut self) {
        self.client.0.shared.call(|core| {
            core.subscriptions.remove(&self.id);
            // It may have ended by itself.
            let _ = core.machine.unsubscribe(clock::now(), self.id);
        });
    }
}
