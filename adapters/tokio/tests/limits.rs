//! Who is let in, over what, and how many.

use std::time::Duration;

use bowline_driver::client::{Credentials, Error, Reason};
use bowline_driver::core::scram::Credential;
use bowline_driver::core::session::Code;
use bowline_driver::core::status::Status;
use bowline_driver::server::{Anonymous, Decision, ServerConfig, Users};
use bowline_tokio::{Client, Publish, Server, SubscribeOptions};

fn users() -> Users {
    let mut users = Users::new(Anonymous::Never);
    let credential = Credential::derive("pencil", b"a salt of sixteen", 4096).unwrap();
    users.add_password("ann", credential);
    users.add_token(b"t0ken", "sensor");
    users
}

#[tokio::test]
async fn passwords_are_checked_beside_the_server() {
    let config = ServerConfig { users: users(), ..ServerConfig::default() };
    let server = Server::builder().config(config).listen("127.0.0.1:0").start().await.unwrap();
    let address = server.addresses()[0].to_string();
    let try_with = |credentials| Client::builder(&address).credentials(credentials).connect();
    for good in [
        Credentials::password("ann", "pencil"),
        Credentials::scram("ann", "pencil"),
        Credentials::token("t0ken"),
    ] {
        try_with(good).await.unwrap().close().await;
    }
    for bad in [
        Credentials::password("ann", "pen"),
        Credentials::password("bob", "pencil"),
        Credentials::scram("ann", "pen"),
        Credentials::token("token"),
        Credentials::None,
    ] {
        let refused = try_with(bad).await.unwrap_err();
        let Error::Closed(Reason::Remote { code, .. } | Reason::Local { code, .. }) = &refused else {
            panic!("{refused}")
        };
        assert_eq!(*code, Code::AuthFailed, "{refused}");
    }
    server.drain(Duration::from_secs(5)).await;
}

/// Rules and users change under clients that stay connected, and a refused publish is told.
#[tokio::test]
async fn rules_and_users_change_while_clients_are_connected() {
    let config = ServerConfig { users: users(), ..ServerConfig::default() };
    let server = Server::builder().config(config).listen("127.0.0.1:0").start().await.unwrap();
    let address = server.addresses()[0].to_string();
    let connect = |credentials| Client::builder(&address).credentials(credentials).connect();
    let ann = connect(Credentials::password("ann", "pencil")).await.unwrap();
    let mut heard = ann.subscribe("t", SubscribeOptions::default()).await.unwrap();
    let publish = |text: &'static str| ann.publish(Publish { reliable: true, ..Publish::new("t", text) });
    publish("one").await.unwrap();
    server.set_access(Decision::DENY);
    let refused = publish("two").await.unwrap_err();
    assert!(matches!(refused, Error::Status { status: Status::NotAuthorized, .. }), "{refused}");
    server.set_access(Decision::ALLOW);
    server.set_users(Users::new(Anonymous::Never));
    publish("three").await.unwrap();
    assert!(connect(Credentials::password("ann", "pencil")).await.is_err(), "there is no such user now");
    for want in ["one", "three"] {
        assert_eq!(heard.next().await.unwrap().payload(), want.as_bytes());
    }
    server.stop();
}

#[tokio::test]
async fn unix_sockets_and_lists_of_endpoints() {
    let path = std::env::temp_dir().join(format!("bowline-{}.sock", std::process::id()));
    let unix = format!("unix:{}", path.display());
    let server = Server::builder().listen(&unix).listen("127.0.0.1:0").start().await.unwrap();
    assert_eq!(server.addresses()[0].to_string(), unix);
    // The first endpoint is not there; the second is tried then.
    let list = format!("unix:{}.not,{unix}", path.display());
    let a = Client::builder(&list).connect().await.unwrap();
    let b = Client::builder(&server.addresses()[1].to_string()).connect().await.unwrap();
    let mut heard = b.subscribe("t", SubscribeOptions::default()).await.unwrap();
    let large = vec![7; 900_000];
    a.publish(Publish { reliable: true, ..Publish::new("t", large.clone()) }).await.unwrap();
    assert_eq!(heard.next().await.unwrap().payload(), large);
    server.stop();
    server.stopped().await;
    std::fs::remove_file(path).unwrap();
    let wrong = Client::builder("a:b,c://d").start().unwrap_err();
    assert!(matches!(wrong, Error::Address(errors) if errors.len() == 2));
}

#[tokio::test]
async fn one_too_many_waits_for_a_place() {
    let config = ServerConfig { max_connections: 1, ..ServerConfig::default() };
    let server = Server::builder().config(config).listen("127.0.0.1:0").start().await.unwrap();
    let address = server.addresses()[0].to_string();
    let a = Client::builder(&address).connect().await.unwrap();
    let b = Client::builder(&address).start().unwrap();
    let mut events = b.events();
    while !matches!(events.next().await, Some(bowline_driver::client::ClientEvent::Disconnected { .. })) {}
    assert_eq!(server.connections(), 1);
    a.close().await;
    while !b.is_connected() {
        events.next().await.unwrap();
    }
    b.close().await;
    server.stop();
}

/// Each call can be dropped half-way, and nothing is lost or hangs.
#[tokio::test]
async fn dropped_calls_lose_nothing() {
    let server = Server::builder().listen("127.0.0.1:0").start().await.unwrap();
    let address = server.addresses()[0].to_string();
    let a = Client::builder(&address).connect().await.unwrap();
    let reliable = SubscribeOptions { reliable: true, ..SubscribeOptions::default() };
    let mut heard = a.subscribe("t", reliable).await.unwrap();
    for n in 0..200_u32 {
        // Begun, polled once, dropped.
        let publish = Publish { reliable: true, ..Publish::new("t", n.to_be_bytes().to_vec()) };
        tokio::select! {
            biased;
            done = a.publish(publish) => done.unwrap(),
            () = std::future::ready(()) => {}
        }
        tokio::select! {
            biased;
            _ = a.subscribe("other", reliable) => {}
            () = std::future::ready(()) => {}
        }
    }
    for n in 0..200_u32 {
        let mut message = None;
        while message.is_none() {
            tokio::select! {
                biased;
                m = heard.next() => message = m,
                () = tokio::task::yield_now() => {}
            }
        }
        assert_eq!(message.unwrap().payload(), n.to_be_bytes());
    }
    a.close().await;
    server.drain(Duration::from_secs(5)).await;
}
