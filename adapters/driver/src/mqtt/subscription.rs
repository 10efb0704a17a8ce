//! Messages because of a subscription.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bowline_core::endpoint::mqtt_client::{Message, SubscriptionId};
use bowline_core::mqtt::ReasonCode;
use futures_core::Stream;

use super::{Client, Error};
use crate::clock;
use crate::runtime::Runtime;

/// The messages of one subscription: a stream. Dropping it unsubscribes; while it lives, so does the
/// client.
#[derive(Debug)]
pub struct Subscription<R: Runtime> {
    client: Client<R>,
    id: SubscriptionId,
    reasons: Vec<ReasonCode>,
    keep: bool,
}

impl<R: Runtime> Subscription<R> {
    pub(super) const fn new(client: Client<R>, id: SubscriptionId) -> Self {
        Self { client, id, reasons: Vec::new(), keep: false }
    }

    /// Waits for the server's answer; or until so much has come because of a session that goes on that
    /// nothing more is read before that was taken.
    pub(super) async fn agreed(&mut self) -> Result<(), Error> {
        let id = self.id;
        let answer = poll_fn(|cx| {
            self.client.0.shared.call(|core| {
                let full = core.is_full();
                let Some(subscriber) = core.subscriptions.get_mut(&id) else { return Poll::Ready(None) };
                match subscriber.answer.poll(cx.waker()) {
                    Some(answer) => Poll::Ready(answer),
                    None if full && !subscriber.messages.queue.is_empty() => {
                        Poll::Ready(Some(Default::default()))
                    }
                    None => Poll::Pending,
                }
            })
        });
        let (reasons, text) = answer.await.ok_or_else(|| self.client.0.closed())?;
        self.reasons = reasons;
        match self.reasons.first() {
            Some(code) if self.reasons.iter().all(|reason| reason.is_error()) => {
                Err(Error::Reason { code: *code, text })
            }
            _ => Ok(()),
        }
    }

    /// What the server has said to each filter, in their order: the QoS that it grants, or why not. Empty
    /// where its answer is behind messages that wait here.
    #[must_use]
    pub fn reasons(&self) -> &[ReasonCode] {
        &self.reasons
    }

    /// The next message; nothing once the subscription or the client has ended.
    ///
    /// Cancel safety: dropped before it is ready, no message is lost.
    pub async fn next(&mut self) -> Option<Message> {
        poll_fn(|cx| self.poll_message(cx)).await
    }

    /// The next message, if one waits.
    pub fn try_next(&mut self) -> Option<Message> {
        match self.poll_message(&Context::from_waker(Waker::noop())) {
            Poll::Ready(message) => message,
            Poll::Pending => None,
        }
    }

    /// Goes without unsubscribing: the session keeps the subscription, and what comes because of it from
    /// now on is dropped here.
    pub fn keep(mut self) {
        self.keep = true;
    }

    /// Ends it; ready when the server has answered. Dropping it does the same, without waiting.
    ///
    /// Cancel safety: dropped before it is ready, the subscription ends all the same.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], where too many events wait; [`Error::Closed`].
    pub async fn unsubscribe(mut self) -> Result<(), Error> {
        let id = self.id;
        self.client.0.room(|core, now| core.machine.unsubscribe(now, id)).await?;
        while self.next().await.is_some() {}
        Ok(())
    }

    fn poll_message(&self, cx: &Context<'_>) -> Poll<Option<Message>> {
        let taken = self.client.0.shared.call(|core| {
            let Some(subscriber) = core.subscriptions.get_mut(&self.id) else { return Some(None) };
            let taken = subscriber.messages.poll(cx.waker());
            if let Some(Some(message)) = &taken {
                core.taken(message);
            }
            taken
        });
        taken.map_or(Poll::Pending, Poll::Ready)
    }
}

impl<R: Runtime> Stream for Subscription<R> {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.poll_message(cx)
    }
}

impl<R: Runtime> Drop for Subscription<R> {
    fn drop(&mut self) {
        self.client.0.shared.call(|core| {
            core.forget(self.id);
            if !self.keep {
                // It may have ended by itself.
                let _ = core.machine.unsubscribe(clock::now(), self.id);
            }
        });
    }
}
