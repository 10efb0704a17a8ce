//! The server's own sessions: where its handlers' calls come from, and their publishes and
//! requests go.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bowline_core::endpoint::server::{LocalEvent, LocalKey};
use bowline_core::hub::{self, Quality, Refusal, RequestOptions, SubscribeOptions};
use bowline_core::status::Status;
use bowline_core::time::Instant;
use bytes::Bytes;
use parking_lot::Mutex;

use super::shared::{Phase, Shared};
use crate::clock;
use crate::handler::{
    self, BoxFuture, Call, Content, Failure, Hub, Pattern, Response, Session, Source, Speak,
};
use crate::runtime::Runtime;

/// How long a request of a handler may take that does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// So much is taken from the hub at once.
const BATCH: usize = 64;

/// The one subscription of a route's session.
const SUBSCRIPTION: u64 = 1;

/// One `on` or `serve`: a session with one subscription.
pub(super) struct Route<S> {
    shared: Arc<Shared>,
    key: LocalKey,
    pattern: Arc<Pattern>,
    state: S,
    hub: Hub,
    /// Requests that are not answered, and who answers them.
    open: Mutex<HashMap<u64, Option<Waker>>>,
}

impl<S> Route<S> {
    pub(super) fn open(
        shared: &Arc<Shared>,
        pattern: Arc<Pattern>,
        serves: bool,
        state: S,
        hub: Hub,
    ) -> Result<Self, Refusal> {
        let options =
            SubscribeOptions { quality: Quality::AtLeastOnce, serve: serves, ..SubscribeOptions::default() };
        let key = shared.with(|core, _| {
            let now = clock::now();
            let key = core.machine.local(now)?;
            core.machine.local_subscribe(now, key, SUBSCRIPTION, pattern.filter(), options)?;
            core.routes += 1;
            Ok::<_, Refusal>(key)
        })?;
        let open = Mutex::default();
        Ok(Self { shared: Arc::clone(shared), key, pattern, state, hub, open })
    }
}

/// The last call has been handled.
impl<S> Drop for Route<S> {
    fn drop(&mut self) {
        self.shared.with(|core, wake| {
            core.routes -= 1;
            core.locals.remove(&self.key);
            core.machine.end_local(clock::now(), self.key);
            wake.append(&mut core.watchers);
        });
    }
}

/// Takes what waits for a session of the server; ready when the server is stopped and nothing
/// waits.
fn poll_events(
    shared: &Shared,
    cx: &Context<'_>,
    key: LocalKey,
    max: usize,
    mut take: impl FnMut(LocalEvent),
) -> Poll<()> {
    shared.with(|core, _| {
        let waker = core.locals.entry(key).or_insert_with(|| cx.waker().clone());
        if !waker.will_wake(cx.waker()) {
            waker.clone_from(cx.waker());
        }
        let mut taken = 0;
        let more = core.machine.poll_local(clock::now(), key, max, |event| {
            taken += 1;
            take(event);
        });
        if more && max > 0 {
            cx.waker().wake_by_ref();
        }
        if core.phase == Phase::Stopped && taken == 0 && !more { Poll::Ready(()) } else { Poll::Pending }
    })
}

impl<S: Clone + Send + Sync + 'static> Source<S> for Route<S> {
    type Ticket = u64;

    fn poll_fill(
        &self,
        cx: &mut Context<'_>,
        calls: &mut VecDeque<(Option<u64>, Call<S>)>,
        room: usize,
    ) -> Poll<()> {
        let mut events = Vec::new();
        // Without room only the waker is registered.
        let over = poll_events(&self.shared, cx, self.key, room.min(BATCH), |event| events.push(event));
        let call = |message, deadline, from| {
            let (pattern, state) = (Arc::clone(&self.pattern), self.state.clone());
            Call { content: Content::Hub(message), pattern, state, hub: self.hub.clone(), deadline, from }
        };
        for event in events {
            match event {
                LocalEvent::Message { message, .. } => calls.push_back((None, call(message, None, None))),
                LocalEvent::Request { id, from, timeout, message, .. } => {
                    self.open.lock().insert(id, None);
                    let deadline = Some(clock::now() + timeout);
                    calls.push_back((Some(id), call(message, deadline, Some(from))));
                }
                LocalEvent::Cancel { id } => {
                    let waker = self.open.lock().remove(&id).flatten();
                    waker.into_iter().for_each(Waker::wake);
                }
                _ => {}
            }
        }
        over
    }

    fn answer(&self, id: u64, response: Response) {
        self.open.lock().remove(&id);
        self.shared.with(|core, _| {
            let Response { status, payload } = response;
            // It may have ended meanwhile: then nobody waits.
            let _ = core.machine.local_respond(clock::now(), self.key, id, status, false, &payload);
        });
    }

    fn poll_cancelled(&self, cx: &mut Context<'_>, id: u64) -> Poll<()> {
        match self.open.lock().get_mut(&id) {
            None => Poll::Ready(()),
            Some(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[derive(Default)]
struct Waiting {
    answer: Option<Response>,
    waker: Option<Waker>,
}

/// The session that all handlers publish and request with.
pub(super) struct Voice {
    shared: Arc<Shared>,
    key: LocalKey,
    waiting: Mutex<(u64, HashMap<u64, Waiting>)>,
}

/// The end of what a [`Hub`] of a server is made of.
pub(super) struct Speaker<R>(pub(super) R, pub(super) Arc<Voice>);

impl Voice {
    pub(super) fn open(shared: &Arc<Shared>) -> Result<Arc<Self>, Refusal> {
        let key = shared.with(|core, _| core.machine.local(clock::now()))?;
        Ok(Arc::new(Self { shared: Arc::clone(shared), key, waiting: Mutex::default() }))
    }

    /// Hands answers to who waits for them, until the server is stopped.
    pub(super) async fn listen(voice: Weak<Self>) {
        poll_fn(|cx| {
            let Some(voice) = voice.upgrade() else { return Poll::Ready(()) };
            let mut events = Vec::new();
            let over = poll_events(&voice.shared, cx, voice.key, BATCH, |event| events.push(event));
            for event in events {
                let LocalEvent::Response { id, status, message, .. } = event else { continue };
                let body = message.body();
                let payload = body.slice(body.len() - message.payload().len()..);
                voice.answered(id, Response { status, payload });
            }
            if over.is_ready() {
                voice.end();
            }
            over
        })
        .await;
    }

    fn answered(&self, id: u64, response: Response) {
        let waker = self.waiting.lock().1.get_mut(&id).and_then(|waiting| {
            waiting.answer = Some(response);
            waiting.waker.take()
        });
        waker.into_iter().for_each(Waker::wake);
    }

    fn end(&self) {
        let ids: Vec<u64> = self.waiting.lock().1.keys().copied().collect();
        for id in ids {
            self.answered(id, Response { status: Status::Draining, payload: Bytes::new() });
        }
    }

    fn ask(self: &Arc<Self>, topic: &str, payload: &Bytes, timeout: Duration) -> Result<Answer, Failure> {
        let message = hub::Message::new(topic, payload).map_err(|e| Failure::new(Status::Invalid, e))?;
        let id = {
            let mut waiting = self.waiting.lock();
            waiting.0 += 1;
            let id = waiting.0;
            waiting.1.insert(id, Waiting::default());
            id
        };
        let answer = Answer { voice: Arc::clone(self), id };
        self.shared.with(|core, _| {
            if core.phase == Phase::Stopped {
                return Err(Status::Draining.into());
            }
            let options = RequestOptions { many: false, timeout };
            core.machine
                .local_request(clock::now(), self.key, id, message, options)
                .map_err(|refusal| Failure::new(refusal.status(), refusal))
        })?;
        Ok(answer)
    }
}

/// An answer that is waited for.
struct Answer {
    voice: Arc<Voice>,
    id: u64,
}

impl Answer {
    fn poll(&self, cx: &Context<'_>) -> Poll<Response> {
        let mut waiting = self.voice.waiting.lock();
        let Some(waiting) = waiting.1.get_mut(&self.id) else { return Poll::Pending };
        match waiting.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                waiting.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.voice.waiting.lock().1.remove(&self.id);
    }
}

impl<R: Runtime> Speak for Speaker<R> {
    fn publish(&self, topic: &str, payload: Bytes, reliable: bool) -> Result<(), Failure> {
        let message = hub::Message::new(topic, &payload).map_err(|e| Failure::new(Status::Invalid, e))?;
        let done = self.1.shared.with(|core, _| {
            core.machine.local_publish(clock::now(), self.1.key, message.with_reliable(reliable))
        });
        done.map(drop).map_err(|refusal| Failure::new(refusal.status(), refusal))
    }

    fn request(
        &self,
        topic: &str,
        payload: Bytes,
        timeout: Option<Duration>,
    ) -> BoxFuture<Result<Response, Failure>> {
        let answer = self.1.ask(topic, &payload, timeout.unwrap_or(DEFAULT_TIMEOUT));
        Box::pin(async move {
            let answer = answer?;
            Ok(poll_fn(|cx| answer.poll(cx)).await)
        })
    }

    fn session(&self, number: u64) -> Option<Session> {
        self.1.shared.with(|core, _| match core.machine.inspect_client(number) {
            Some(client) => Some(Session::of_client(&client)),
            // It is none that a connection began, so it is one of ours.
            None => core.machine.hub().inspect_session(number).map(|_| Session::of_program(number)),
        })
    }

    fn sleep(&self, until: Instant) -> BoxFuture<()> {
        handler::sleep(&self.0, until)
    }
}
