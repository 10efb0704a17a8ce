//! A client whose calls block.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bowline_driver::client::{
    self, Builder, ClientEvent, Error, JoinOptions, Message, Publish, PublishId, Reason, Request, Response,
    RoomEvent, RoomPlace, RoomPublish, SubscribeOptions,
};
use bowline_driver::handler::{Call, IntoReply};
use bowline_driver::{Runtime, Timer, Transport, clock};
use bytes::Bytes;

use crate::runtime::Threads;
use crate::thread::block_on;

/// Nothing if it takes longer.
fn within<T>(timeout: Duration, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, mut timer) = (pin!(work), Threads.timer());
    timer.reset(clock::now() + timeout);
    block_on(poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => timer.poll(cx).map(|()| None),
    }))
}

/// A client; see [`bowline_driver::client::Client`]. Clones are handles of the same one, for any
/// thread.
#[derive(Clone, Debug)]
pub struct Client(client::Client<Threads>);

impl Client {
    /// A client to be, of the server at one of `addresses`. End it with [`Client::start`] or
    /// [`Client::open`].
    #[must_use]
    pub fn builder(addresses: &str) -> Builder<Threads> {
        client::Client::builder(addresses)
    }

    /// Connects, with the defaults, and waits until the session is open: for as long as it takes.
    ///
    /// # Errors
    ///
    /// An address is wrong, or trying again would not help.
    pub fn connect(addresses: &str) -> Result<Self, Error> {
        Self::open(Self::builder(addresses))
    }

    /// Connects, and waits until the session is open: for as long as it takes.
    ///
    /// # Errors
    ///
    /// An address is wrong, or trying again would not help.
    pub fn open(builder: Builder<Threads>) -> Result<Self, Error> {
        block_on(builder.connect()).map(Self)
    }

    /// Begins to connect, and does not wait.
    ///
    /// # Errors
    ///
    /// An address is wrong.
    pub fn start(builder: Builder<Threads>) -> Result<Self, Error> {
        builder.start().map(Self)
    }

    /// Publishes at most once: done when it is queued.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn publish(&self, topic: &str, payload: impl Into<Bytes>) -> Result<(), Error> {
        self.publish_with(Publish::new(topic, payload))
    }

    /// Publishes at least once: done when the server has accepted it.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn publish_reliable(&self, topic: &str, payload: impl Into<Bytes>) -> Result<(), Error> {
        self.publish_with(Publish { reliable: true, ..Publish::new(topic, payload) })
    }

    /// Publishes.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn publish_with(&self, publish: Publish<'_>) -> Result<(), Error> {
        block_on(self.0.publish(publish))
    }

    /// Asks for the messages that match `filter`.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn subscribe(&self, filter: &str) -> Result<Subscription, Error> {
        self.subscribe_with(filter, SubscribeOptions::default())
    }

    /// Asks for the messages that match `filter`.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn subscribe_with(&self, filter: &str, options: SubscribeOptions) -> Result<Subscription, Error> {
        block_on(self.0.subscribe(filter, options)).map(Subscription)
    }

    /// Connects to `target` through the server; see [`bowline_driver::client::Client::tunnel`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn tunnel(&self, target: &str) -> Result<Tunnel, Error> {
        block_on(self.0.tunnel(target)).map(Tunnel)
    }

    /// Enters the room `name`, and stays in it over all connections to come.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn join(&self, name: &str, options: JoinOptions<'_>) -> Result<Room, Error> {
        block_on(self.0.join(name, options)).map(Room)
    }

    /// Asks one of those who serve `topic`, and waits for the answer.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn request(&self, topic: &str, payload: impl Into<Bytes>) -> Result<Bytes, Error> {
        block_on(self.0.request(Request::new(topic, payload)))
    }

    /// Asks all who serve the topic.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn request_many(&self, request: Request<'_>) -> Result<Responses, Error> {
        block_on(self.0.request_many(request)).map(Responses)
    }

    /// Answers requests, each in a thread of its own, until the client is closed.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn serve<T: IntoReply>(
        &self,
        pattern: &str,
        handler: impl Fn(Call<()>) -> T + Send + Sync + 'static,
    ) -> Result<(), Error> {
        block_on(self.0.serve(pattern, move |call: Call<()>| std::future::ready(handler(call).into_reply())))
    }

    /// What happens to the connection, from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        Events(self.0.events())
    }

    /// Measures the time to the server and back.
    ///
    /// # Errors
    ///
    /// [`Error::Disconnected`].
    pub fn ping(&self) -> Result<Duration, Error> {
        block_on(self.0.ping())
    }

    /// Finishes what waits, then closes; after `deadline` in any case.
    pub fn drain(&self, deadline: Duration) -> Reason {
        block_on(self.0.drain(deadline))
    }

    /// Closes; what waits is given up.
    pub fn close(&self) -> Reason {
        block_on(self.0.close())
    }

    /// The same client, for async methods under [`block_on`].
    #[must_use]
    pub const fn inner(&self) -> &client::Client<Threads> {
        &self.0
    }
}

macro_rules! waiting {
    ($(#[$doc:meta])* $name:ident($inner:ty) gives $item:ty) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name($inner);

        impl $name {
            /// The next one; nothing if none comes in time, or ever.
            pub fn next_timeout(&mut self, timeout: Duration) -> Option<$item> {
                within(timeout, self.0.next()).flatten()
            }
        }

        /// Waits for each.
        impl Iterator for $name {
            type Item = $item;

            fn next(&mut self) -> Option<$item> {
                block_on(self.0.next())
            }
        }
    };
}

waiting! {
    /// The messages of one subscription. Dropping it ends the subscription.
    Subscription(client::Subscription<Threads>) gives Message
}

/// A connection to a target, through a server that relays. Dropped, what was written is still sent, and
/// then the end.
#[derive(Debug)]
pub struct Tunnel(client::Tunnel<Threads>);

impl Tunnel {
    /// Ends this direction; the other one goes on.
    ///
    /// # Errors
    ///
    /// The tunnel is broken.
    pub fn shutdown(&mut self) -> io::Result<()> {
        block_on(poll_fn(|cx| self.0.poll_shutdown(cx)))
    }
}

impl io::Read for Tunnel {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        block_on(poll_fn(|cx| self.0.poll_read(cx, to)))
    }
}

impl io::Write for Tunnel {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        if from.is_empty() {
            return Ok(0);
        }
        block_on(poll_fn(|cx| self.0.poll_write_vectored(cx, &[io::IoSlice::new(from)])))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

waiting! {
    /// A room: what happens in it. Dropping it leaves the room.
    Room(client::Room<Threads>) gives RoomEvent
}

impl Room {
    /// Sends to the room: done when the server has it.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn send(&self, payload: impl Into<Bytes>) -> Result<PublishId, Error> {
        self.send_with(RoomPublish::new(payload))
    }

    /// The same with properties, or under a key of the application's own.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn send_with(&self, publish: RoomPublish<'_>) -> Result<PublishId, Error> {
        block_on(self.0.send_with(publish))
    }

    /// Sets what others see of this client, at most 4,096 octets.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub fn show(&self, data: &[u8]) -> Result<(), Error> {
        block_on(self.0.show(data))
    }

    /// Leaves: done when the server knows.
    pub fn leave(self) {
        block_on(self.0.leave());
    }

    /// The last message that was taken here: to join with `since` later.
    #[must_use]
    pub const fn place(&self) -> Option<RoomPlace> {
        self.0.place()
    }
}

waiting! {
    /// The answers to one request. Dropping it takes the request back.
    Responses(client::Responses<Threads>) gives Result<Response, Error>
}

waiting! {
    /// What happens to the connection.
    Events(client::Events<Threads>) gives ClientEvent
}
