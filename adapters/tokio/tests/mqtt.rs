//! The MQTT client on tokio, against our own server.

use std::time::Duration;

use bowline_driver::core::backoff::Policy;
use bowline_driver::mqtt::{
    Client as DriverClient, ClientConfig, ClientEvent, Error, Filter, Message, Property, PropertyBlock,
    Publish, Qos, Reason, ReasonCode, Subscribe, SubscriptionOptions, Version, Will,
};
use bowline_tokio::mqtt::Client;
use bowline_tokio::{Server, Tokio};
use bowline_world::Cuttable;

const QOS2: SubscriptionOptions = SubscriptionOptions {
    qos: Qos::ExactlyOnce,
    no_local: false,
    retain_as_published: false,
    retain_handling: bowline_driver::mqtt::RetainHandling::Send,
};

async fn server() -> (Server, String) {
    let server = Server::builder().listen("127.0.0.1:0").start().await.unwrap();
    let address = server.addresses()[0].to_string();
    (server, address)
}

fn shown(message: &Message) -> (String, String) {
    (message.topic().to_owned(), String::from_utf8_lossy(message.payload()).into_owned())
}

#[tokio::test]
async fn publish_subscribe_unsubscribe_disconnect() {
    let (server, address) = server().await;
    for version in [Version::V311, Version::V5] {
        let config = ClientConfig { version, client_id: "a".into(), ..ClientConfig::default() };
        let a = Client::builder(&address).config(config).connect().await.unwrap();
        let b = Client::builder(&address).client_id("b").connect().await.unwrap();
        let filters = [Filter::new("t/+", Qos::ExactlyOnce), Filter::new("u", Qos::AtMostOnce)];
        let mut heard = b.subscribe_all(Subscribe::new(&filters)).await.unwrap();
        assert_eq!(heard.reasons(), [ReasonCode::GrantedQos2, ReasonCode::Success]);
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            for n in 0..200 {
                let publish = Publish { qos, ..Publish::new("t/x", n.to_string()) };
                assert_eq!(a.publish(publish).await, Ok(ReasonCode::Success));
                let message = heard.next().await.unwrap();
                assert_eq!(message.qos(), qos);
                assert_eq!(shown(&message), ("t/x".into(), n.to_string()));
            }
        }
        heard.unsubscribe().await.unwrap();
        let nobody = a.publish(Publish { qos: Qos::AtLeastOnce, ..Publish::new("t/x", "") }).await;
        let told = if version.is_v5() { ReasonCode::NoMatchingSubscribers } else { ReasonCode::Success };
        assert_eq!(nobody, Ok(told));
        assert_eq!(a.disconnect().await, Reason::Requested);
        assert!(matches!(a.publish(Publish::new("t", "")).await, Err(Error::Refused(_))));
        assert_eq!(b.drain(Duration::from_secs(5)).await, Reason::Requested);
    }
    server.drain(Duration::from_secs(5)).await;
    assert_eq!(server.connections(), 0);
}

/// A line that is cut while QoS 1 and 2 are on their way, both ways: nothing is lost, QoS 2 comes once.
#[tokio::test]
async fn cut_lines_lose_nothing() {
    let (_server, address) = server().await;
    let (at_a, at_b) = (Cuttable::new(Tokio), Cuttable::new(Tokio));
    let (cut_a, cut_b) = (at_a.cut(), at_b.cut());
    // Lines that break this often would soon be tried every half minute only.
    let backoff = Policy { cap: Duration::from_millis(5), ..Policy::default() };
    let config = |id: &str| ClientConfig { client_id: id.into(), backoff, ..ClientConfig::default() };
    let a = DriverClient::builder_on(at_a, &address).config(config("a")).connect().await.unwrap();
    let b = DriverClient::builder_on(at_b, &address).config(config("b")).connect().await.unwrap();
    let mut events = b.events();
    let mut heard = b.subscribe("t", QOS2).await.unwrap();
    let publisher = tokio::spawn(async move {
        for n in 0..300 {
            a.publish(Publish { qos: Qos::ExactlyOnce, ..Publish::new("t", n.to_string()) }).await.unwrap();
        }
    });
    for n in 0..300 {
        let cut = if n % 2 == 0 { &cut_a } else { &cut_b };
        if n % 20 < 2 {
            cut.cut();
            cut.mend();
        }
        assert_eq!(shown(&heard.next().await.unwrap()), ("t".into(), n.to_string()));
    }
    publisher.await.unwrap();
    cut_b.cut();
    cut_b.mend();
    loop {
        match events.next().await.unwrap() {
            ClientEvent::Connected { session_present, .. } => {
                assert!(session_present);
                break;
            }
            ClientEvent::Lost => panic!("the session lives on"),
            _ => {}
        }
    }
    assert!(heard.try_next().is_none(), "each came once");
}

#[tokio::test]
async fn a_will_retained_messages_and_properties() {
    let (_server, address) = server().await;
    let properties = PropertyBlock::of_message(&[
        Property::ContentType("text/plain"),
        Property::User("a", "1"),
        Property::User("a", "2"),
    ]);
    let will = Will { topic: "will".into(), payload: "gone".into(), ..Will::default() };
    let runtime = Cuttable::new(Tokio);
    let cut = runtime.cut();
    let config = ClientConfig { session_expiry: 0, will: Some(will), ..ClientConfig::default() };
    let a = DriverClient::builder_on(runtime, &address).config(config).connect().await.unwrap();
    let retained = Publish {
        retain: true,
        qos: Qos::AtLeastOnce,
        properties: properties.unwrap(),
        ..Publish::new("r", "kept")
    };
    a.publish(retained).await.unwrap();
    let b = Client::builder(&address).client_id("b").connect().await.unwrap();
    let mut wills = b.subscribe("will", QOS2).await.unwrap();
    let mut heard = b.subscribe("r", QOS2).await.unwrap();
    let message = heard.next().await.unwrap();
    assert!(message.is_retained());
    assert!(message.properties().user().eq([("a", "1"), ("a", "2")]));
    cut.cut();
    assert_eq!(shown(&wills.next().await.unwrap()), ("will".into(), "gone".into()));
}

/// What is not taken holds up the sender's socket, not this program's memory; and all of it comes.
#[tokio::test]
async fn a_reader_that_waits_gets_all_in_the_end() {
    let (_server, address) = server().await;
    let b = Client::builder(&address).client_id("b").connect().await.unwrap();
    let mut heard = b.subscribe("big", QOS2).await.unwrap();
    let a = Client::builder(&address).client_id("a").connect().await.unwrap();
    let count = 2 * bowline_driver::mqtt::WAITING / (64 << 10);
    let receiver = async {
        for n in 0..count {
            let message = heard.next().await.unwrap();
            assert_eq!(message.payload()[0], n as u8);
        }
    };
    let sender = async {
        for n in 0..count {
            let publish = Publish { qos: Qos::AtLeastOnce, ..Publish::new("big", vec![n as u8; 64 << 10]) };
            a.publish(publish).await.unwrap();
        }
    };
    // Half of it before anybody looks.
    let patience = Duration::from_secs(30);
    tokio::time::timeout(patience, async { tokio::join!(sender, receiver) }).await.expect("it goes on");
}

#[tokio::test]
async fn what_cannot_be_is_told() {
    let (_server, address) = server().await;
    assert!(matches!(Client::builder("h:x").start(), Err(Error::Address(_))));
    let client = Client::builder(&address).connect().await.unwrap();
    assert!(!client.client_id().is_empty(), "the server has chosen one");
    assert!(matches!(client.subscribe("a/#/b", QOS2).await, Err(Error::Refused(_))));
    assert!(matches!(client.publish(Publish::new("a/+", "")).await, Err(Error::Refused(_))));
    let other = Client::builder(&address).client_id(&client.client_id()).connect().await.unwrap();
    let reason = client.closed().await;
    assert_eq!(reason.code(), Some(ReasonCode::SessionTakenOver), "{reason}");
    drop(other);
}

#[tokio::test]
async fn each_version_over_a_websocket() {
    let (server, address) = server().await;
    let over = format!("{}/mqtt", address.replace("bowline://", "mqtt+ws://"));
    for version in [Version::V311, Version::V5] {
        let config = ClientConfig { version, client_id: "a".into(), ..ClientConfig::default() };
        let a = Client::builder(&over).config(config).connect().await.unwrap();
        let b = Client::builder(&over).client_id("b").connect().await.unwrap();
        let mut heard = b.subscribe("t/+", QOS2).await.unwrap();
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            for size in [0, 1, 125, 126, 65_535, 65_536, 1_000_000] {
                let publish = Publish { qos, ..Publish::new("t/x", vec![b'x'; size]) };
                assert_eq!(a.publish(publish).await, Ok(ReasonCode::Success));
                assert_eq!(heard.next().await.unwrap().payload(), vec![b'x'; size]);
            }
        }
        assert_eq!(a.disconnect().await, Reason::Requested);
        assert_eq!(b.drain(Duration::from_secs(5)).await, Reason::Requested);
    }
    server.drain(Duration::from_secs(5)).await;
    assert_eq!(server.connections(), 0);
}
