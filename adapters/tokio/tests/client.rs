//! Client and server on tokio.

use std::time::Duration;

use bowline_driver::client::{ClientEvent, Error, Reason};
use bowline_driver::core::status::Status;
use bowline_tokio::{Client, Publish, Request, Server, SubscribeOptions};

#[tokio::test]
async fn publish_subscribe_request_ping_drain() {
    let server = Server::builder().listen("127.0.0.1:0").start().await.unwrap();
    let address = server.addresses()[0].to_string();
    let a = Client::builder(&address).name("a").connect().await.unwrap();
    let b = Client::builder(&address).name("b").connect().await.unwrap();
    let mut events = a.events();

    let reliable = SubscribeOptions { reliable: true, ..SubscribeOptions::default() };
    let mut subscription = b.subscribe("t/+", reliable).await.unwrap();
    for n in 0..3000_u32 {
        let publish = Publish { reliable: n % 100 == 0, ..Publish::new("t/x", n.to_be_bytes().to_vec()) };
        a.publish(publish).await.unwrap();
        let m = subscription.next().await.unwrap();
        assert_eq!((m.topic(), m.payload()), ("t/x", &n.to_be_bytes()[..]));
    }
    let refused = a.request(Request::new("nobody", "?")).await.unwrap_err();
    assert!(matches!(refused, Error::Status { status: Status::NoResponder, .. }), "{refused}");
    assert!(a.ping().await.unwrap() < Duration::from_secs(5));
    drop(subscription);
    assert_eq!(a.drain(Duration::from_secs(5)).await, Reason::Requested);
    assert!(matches!(events.next().await, Some(ClientEvent::Pong(_) | ClientEvent::Closed { .. })));
    assert!(matches!(a.publish(Publish::new("t/x", "")).await, Err(Error::Refused(_))));
    assert_eq!(b.close().await, Reason::Requested);
    server.drain(Duration::from_secs(5)).await;
    assert_eq!(server.connections(), 0);
}
