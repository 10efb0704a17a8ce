//! The client.

use std::time::Duration;

use bowline_core::status::Status;
use bytes::Bytes;

use super::{Event, Message, Reply, Target};
use crate::failure::Failure;

fn none() -> Failure {
    Failure::new("no network adapter")
}

#[derive(Clone)]
pub(crate) struct Client;
pub(crate) struct Events;
pub(crate) struct Receipt;
pub(crate) struct Subscription;
pub(crate) struct Service;
pub(crate) struct Replies;
pub(crate) struct Incoming {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
}
impl Client {
    pub(crate) async fn connect(_target: &Target) -> Result<Self, Failure> {
        Err(none())
    }
    pub(crate) fn events(&self) -> Events {
        Events
    }
    pub(crate) async fn publish(
        &self,
        _topic: &str,
        _payload: Bytes,
        _reliable: bool,
    ) -> Result<Receipt, Failure> {
        Err(none())
    }
    pub(crate) async fn subscribe(&self, _filter: &str, _reliable: bool) -> Result<Subscription, Failure> {
        Err(none())
    }
    pub(crate) async fn serve(&self, _filter: &str) -> Result<Service, Failure> {
        Err(none())
    }
    pub(crate) async fn request(
        &self,
        _t: &str,
        _p: Bytes,
        _d: Duration,
        _many: bool,
    ) -> Result<Replies, Failure> {
        Err(none())
    }
    pub(crate) async fn ping(&self) -> Result<Duration, Failure> {
        Err(none())
    }
    pub(crate) async fn close(&self) {}
}
impl Events {
    pub(crate) async fn next(&mut self) -> Option<Event> {
        None
    }
}
impl Receipt {
    pub(crate) async fn accepted(self) -> Result<(), Failure> {
        Err(none())
    }
}
impl Subscription {
    pub(crate) async fn next(&mut self) -> Option<Message> {
        None
    }
}
impl Service {
    pub(crate) async fn next(&mut self) -> Option<Incoming> {
        None
    }
}
impl Replies {
    pub(crate) async fn next(&mut self) -> Result<Option<Reply>, Failure> {
        Err(none())
    }
}
impl Incoming {
    pub(crate) async fn respond(self, _status: Status, _payload: Bytes) -> Result<(), Failure> {
        Err(none())
    }
}
