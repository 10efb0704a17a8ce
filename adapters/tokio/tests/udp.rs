//! Sessions over UDP: messages in datagrams, and what is refused.

#![cfg(all(feature = "noise", feature = "udp"))]

use std::time::Duration;

use bowline_driver::client::DatagramMode;
use bowline_driver::datagram::{Config, Security};
use bowline_tokio::{Client, Publish, Request, Server, SubscribeOptions};
use bowline_world::secured;

const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in time")
}

/// What is published in datagrams reaches who subscribed to it in datagrams, who did over the stream, and who is
/// on TCP; and the other way round.
#[tokio::test]
async fn messages_in_datagrams_reach_everyone() {
    let [client, server] = secured();
    let server =
        Server::builder().listen("bowline+udp://127.0.0.1:0").listen("127.0.0.1:0").datagrams(server);
    let server = server.start().await.expect("it listens");
    let [udp, tcp] = [0, 1].map(|n| server.addresses()[n].to_string());
    assert!(udp.starts_with("bowline+udp://127.0.0.1:"), "{udp}");
    let connect = |address: String| Client::builder(&address).datagrams(client.clone()).connect();
    let (a, b) = (soon(connect(udp.clone())).await.unwrap(), soon(connect(udp)).await.unwrap());
    let c = soon(connect(tcp)).await.unwrap();

    let beside = |datagrams| SubscribeOptions { datagrams, ..SubscribeOptions::default() };
    let mut sequenced = soon(b.subscribe("at/+", beside(DatagramMode::Sequenced))).await.unwrap();
    let mut unreliable = soon(b.subscribe("at/1", beside(DatagramMode::Unreliable))).await.unwrap();
    let mut stream = soon(b.subscribe("at/#", SubscribeOptions::default())).await.unwrap();
    let mut over_tcp = soon(c.subscribe("at/#", beside(DatagramMode::Sequenced))).await.unwrap();
    for (from, mode) in [
        (&a, DatagramMode::Sequenced),
        (&a, DatagramMode::Unreliable),
        (&a, DatagramMode::Stream),
        (&c, DatagramMode::Sequenced),
    ] {
        let text = format!("{mode:?}");
        from.publish_datagram(Publish::new("at/1", text.clone()), mode).unwrap();
        for heard in [&mut sequenced, &mut unreliable, &mut stream, &mut over_tcp] {
            let message = soon(heard.next()).await.expect("it lives");
            assert_eq!((message.topic(), message.payload()), ("at/1", text.as_bytes()));
            assert!(!message.is_reliable());
        }
    }
    // One that fits in no datagram goes by the stream.
    a.publish_datagram(Publish::new("at/1", vec![7; 5000]), DatagramMode::Sequenced).unwrap();
    assert_eq!(soon(sequenced.next()).await.unwrap().payload().len(), 5000);
    let counters = server.datagrams()[0].counters();
    assert_eq!((counters.opened, server.datagrams()[0].sessions()), (2, 2));
    assert!(soon(a.request(Request::new("nobody", ""))).await.is_err());
    server.drain(Duration::from_secs(1)).await;
}

/// Far more than a subscription's window in datagrams holds up nothing: what is not taken in time is dropped.
#[tokio::test]
async fn datagrams_never_stall() {
    let [client, server] = secured();
    let server =
        Server::builder().listen("bowline+udp://127.0.0.1:0").datagrams(server).start().await.unwrap();
    let address = server.addresses()[0].to_string();
    let client = soon(Client::builder(&address).datagrams(client).connect()).await.unwrap();
    let options = SubscribeOptions { datagrams: DatagramMode::Unreliable, ..SubscribeOptions::default() };
    let mut heard = soon(client.subscribe("flood", options)).await.unwrap();
    for n in 0..2000 {
        client
            .publish_datagram(Publish::new("flood", vec![n as u8; 1000]), DatagramMode::Unreliable)
            .unwrap();
        if n % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    // The stream goes on.
    let sure = SubscribeOptions { reliable: true, ..SubscribeOptions::default() };
    let mut surely = soon(client.subscribe("sure", sure)).await.unwrap();
    soon(client.publish(Publish { reliable: true, ..Publish::new("sure", "x") })).await.unwrap();
    assert_eq!(soon(surely.next()).await.unwrap().payload(), b"x");
    assert_eq!(soon(heard.next()).await.unwrap().payload().len(), 1000);
    // [DGM-27] The system tells ECN's marks, those of many datagrams in one receive too.
    assert_eq!(server.datagrams()[0].counters().ecn_failed, 0);
}

/// UDP has to be secured, or said not to be.
#[tokio::test]
async fn nothing_is_insecure_by_accident() {
    let error = Server::builder().listen("bowline+udp://127.0.0.1:0").start().await.unwrap_err();
    assert!(error.to_string().contains("secured"), "{error}");
    let error = Client::builder("bowline+udp://127.0.0.1:1").connect().await.err().unwrap();
    assert!(error.to_string().contains("secured"), "{error}");

    let plain = Config::new(Security::Insecure);
    let server = Server::builder().listen("bowline+udp://127.0.0.1:0").datagrams(plain.clone());
    let server = server.serve("echo", |text: bowline_tokio::handler::Text| async move { text.0 });
    let server = server.start().await.unwrap();
    let address = server.addresses()[0].to_string();
    let client = soon(Client::builder(&address).datagrams(plain).connect()).await.unwrap();
    assert_eq!(soon(client.request(Request::new("echo", "hello"))).await.unwrap(), "hello");
}
