//! Handlers that listen and answer over a client.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bowline_core::endpoint::client::{Publish, Reply, Request, RequestHandle};
use bowline_core::status::Status;
use bowline_core::time::Instant;
use bytes::Bytes;
use parking_lot::Mutex;

use super::shared::Item;
use super::{Client, Error, Subscription};
use crate::clock;
use crate::handler::{
    self, BoxFuture, Call, Content, Failure, Hub, Pattern, Response, Session, Source, Speak,
};
use crate::runtime::Runtime;

/// The requests or messages of one pattern.
pub(super) struct Calls<R: Runtime> {
    client: Client<R>,
    calls: Mutex<Subscription<R>>,
    pattern: Arc<Pattern>,
    hub: Hub,
}

impl<R: Runtime> Calls<R> {
    pub(super) fn new(client: &Client<R>, calls: Subscription<R>, pattern: Arc<Pattern>) -> Self {
        let hub = Hub::new(Speaker(client.clone()));
        Self { client: client.clone(), calls: Mutex::new(calls), pattern, hub }
    }
}

impl<R: Runtime> Source<()> for Calls<R> {
    type Ticket = RequestHandle;

    fn poll_fill(
        &self,
        cx: &mut Context<'_>,
        calls: &mut VecDeque<(Option<RequestHandle>, Call<()>)>,
        room: usize,
    ) -> Poll<()> {
        let mut source = self.calls.lock();
        for _ in 0..room {
            let (ticket, message, deadline) = match std::task::ready!(source.poll_call(cx)) {
                Some(Item::Request(request)) => {
                    (Some(request.handle), request.message, Some(clock::now() + request.timeout))
                }
                Some(Item::Message(message)) => (None, message, None),
                _ => return Poll::Ready(()),
            };
            let (content, pattern) = (Content::Client(message), Arc::clone(&self.pattern));
            let hub = self.hub.clone();
            calls.push_back((ticket, Call { content, pattern, state: (), hub, deadline, from: None }));
        }
        Poll::Pending
    }

    fn answer(&self, handle: RequestHandle, response: Response) {
        self.client.0.shared.call(|core| {
            core.open.remove(&handle);
            let Response { status, payload } = response;
            let now = clock::now();
            if let Err(e) = core.machine.respond(now, handle, Reply::new(status, payload)) {
                // Too large, or too much waits. Where nobody waits any more, this fails as well.
                let reason = Bytes::from(e.to_string());
                let _ = core.machine.respond(now, handle, Reply::new(Status::Quota, reason));
            }
        });
    }

    fn poll_cancelled(&self, cx: &mut Context<'_>, handle: RequestHandle) -> Poll<()> {
        self.client.0.shared.call(|core| match core.open.get_mut(&handle) {
            None => Poll::Ready(()),
            Some(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
        })
    }
}

/// What a [`Hub`] over a client is made of.
struct Speaker<R: Runtime>(Client<R>);

impl<R: Runtime> Speak for Speaker<R> {
    fn publish(&self, topic: &str, payload: Bytes, reliable: bool) -> Result<(), Failure> {
        let publish = Publish { reliable, ..Publish::new(topic, payload) };
        self.0.try_publish(publish).map_err(|e| Failure::new(Status::Busy, e))
    }

    fn request(
        &self,
        topic: &str,
        payload: Bytes,
        timeout: Option<Duration>,
    ) -> BoxFuture<Result<Response, Failure>> {
        let (client, topic) = (self.0.clone(), topic.to_owned());
        Box::pin(async move {
            let request = Request { timeout, ..Request::new(&topic, payload) };
            match client.request(request).await {
                Ok(payload) => Ok(Response::ok(payload)),
                Err(Error::Status { status, reason }) => Err(Failure { status, reason }),
                Err(e) => Err(Failure::new(Status::ResponderGone, e)),
            }
        })
    }

    fn session(&self, _: u64) -> Option<Session> {
        None
    }

    fn sleep(&self, until: Instant) -> BoxFuture<()> {
        handler::sleep(&self.0.0.runtime, until)
    }
}
