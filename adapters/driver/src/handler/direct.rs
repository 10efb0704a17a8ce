//! Handlers without a server.

use std::future::{pending, ready};
use std::sync::Arc;
use std::time::Duration;

use bowline_core::hub::Message;
use bowline_core::status::Status;
use bowline_core::time::Instant;
use bowline_core::topic::matches;
use bytes::Bytes;

use super::{
    BoxFuture, Call, Content, Erased, Failure, Hub, Pattern, PatternError, Response, Route, Router, Session,
    Speak,
};
use crate::clock;

/// The handlers of a router, called directly: to test them without a server, a socket and a runtime.
///
/// Its [`Hub`] takes what is published and goes no further with it, nobody answers requests there, and
/// time stands still: what sleeps does not wake.
///
/// ```
/// use std::task::{Context, Poll, Waker};
/// use bowline_driver::core::hub::Message;
/// use bowline_driver::handler::{Direct, Params, Router};
///
/// let router = Router::new().serve("greet/{who}", async |Params(p): Params| format!("Hello, {}!", p["who"]));
/// let direct = Direct::new(router, ()).unwrap();
/// let mut answer = direct.request(Message::new("greet/world", b"").unwrap()).expect("it is served");
/// let Poll::Ready(answer) = answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) else { panic!() };
/// assert_eq!(answer.payload, "Hello, world!");
/// ```
#[derive(Debug)]
pub struct Direct<S = ()> {
    routes: Vec<Ready<S>>,
    state: S,
    hub: Hub,
    from: Option<u64>,
}

struct Ready<S> {
    pattern: Arc<Pattern>,
    serves: bool,
    handler: Erased<S>,
}

impl<S> std::fmt::Debug for Ready<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.pattern.filter().fmt(f)
    }
}

/// How long requests have.
const TIMEOUT: Duration = Duration::from_secs(30);

impl<S: Clone + Send + Sync + 'static> Direct<S> {
    /// With this state. It is not known who asks.
    ///
    /// # Errors
    ///
    /// A handler's pattern makes no sense.
    pub fn new(router: Router<S>, state: S) -> Result<Self, PatternError> {
        let ready = |Route { pattern, serves, handler }| {
            Ok(Ready { pattern: Arc::new(Pattern::new(&pattern)?), serves, handler })
        };
        let routes = router.finish().into_iter().map(ready).collect::<Result<_, _>>()?;
        Ok(Self { routes, state, hub: Hub::new(Alone(None)), from: None })
    }

    /// The same, where this session asks.
    #[must_use]
    pub fn by(mut self, session: Session) -> Self {
        self.from = Some(session.number);
        self.hub = Hub::new(Alone(Some(session)));
        self
    }

    /// Asks the first handler that serves the message's topic; nothing where none does.
    #[must_use]
    pub fn request(&self, message: Message) -> Option<BoxFuture<Response>> {
        self.call(message, true)
    }

    /// Hands the message to the first handler that listens to its topic; nothing where none does.
    #[must_use]
    pub fn message(&self, message: Message) -> Option<BoxFuture<Response>> {
        self.call(message, false)
    }

    fn call(&self, message: Message, serves: bool) -> Option<BoxFuture<Response>> {
        let mut all = self.routes.iter();
        let found = all.find(|r| r.serves == serves && matches(r.pattern.filter(), message.topic()))?;
        Some((found.handler)(Call {
            content: Content::Hub(message),
            pattern: Arc::clone(&found.pattern),
            state: self.state.clone(),
            hub: self.hub.clone(),
            deadline: serves.then(|| clock::now() + TIMEOUT),
            from: self.from.filter(|_| serves),
        }))
    }
}

/// A hub with nobody else.
struct Alone(Option<Session>);

impl Speak for Alone {
    fn publish(&self, topic: &str, payload: Bytes, _: bool) -> Result<(), Failure> {
        Message::new(topic, &payload).map(drop).map_err(|e| Failure::new(Status::Invalid, e))
    }

    fn request(&self, _: &str, _: Bytes, _: Option<Duration>) -> BoxFuture<Result<Response, Failure>> {
        Box::pin(ready(Err(Status::NoResponder.into())))
    }

    fn session(&self, number: u64) -> Option<Session> {
        self.0.clone().filter(|session| session.number == number)
    }

    fn sleep(&self, _: Instant) -> BoxFuture<()> {
        Box::pin(pending())
    }
}
