//! Client and server on tokio.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use bowline_driver::client::{ClientEvent, Error, Reason, RequestFields};
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

/// A server of HTTP that answers every request so.
fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("ws://{address}/hub")
}

#[tokio::test]
async fn a_websocket_that_is_refused_is_told_with_its_status() {
    let at = answering(
        "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\nno such thing\n",
    );
    let error = Client::builder(&at).connect().await.unwrap_err();
    let Error::Closed(Reason::WebSocket(why)) = &error else { panic!("{error}") };
    assert_eq!(why.status().map(bowline_driver::server::StatusCode::number), Some(404));
    let text = error.to_string();
    assert!(text.contains("404 Not Found (no such thing); there is nothing at this path"), "{text}");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_over_websocket_is_tried_elsewhere() {
    let server = Server::builder().listen("127.0.0.1:0").start().await.unwrap();
    let over = server.addresses()[0].to_string().replace("bowline://", "ws://");
    let busy = answering("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    let fields = RequestFields::new().with("Authorization", "Bearer s3cret").unwrap();
    let client = Client::builder(&format!("{busy},{over}/any/path?x=y"))
        .request_fields(fields)
        .connect()
        .await
        .unwrap();
    assert!(client.ping().await.is_ok());
    assert_eq!(client.close().await, Reason::Requested);
    drop(client);
    server.drain(Duration::from_secs(5)).await;
    assert_eq!(server.connections(), 0, "the closing handshake has ended");
}
