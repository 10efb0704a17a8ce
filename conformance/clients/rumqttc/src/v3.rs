//! MQTT 3.1.1.

use rumqttc::{AsyncClient, Event, LastWill, MqttOptions, Outgoing, Packet, QoS};

use crate::common::{KEEP_ALIVE, checks};

checks!("3.1.1");

fn options(port: u16, name: &str, clean: bool) -> MqttOptions {
    let mut options = MqttOptions::new(format!("rumqttc-3-{name}"), "127.0.0.1", port);
    options.set_keep_alive(KEEP_ALIVE).set_clean_session(clean).set_pending_throttle(Duration::ZERO);
    options
}

fn with_will(mut options: MqttOptions, payload: &str) -> MqttOptions {
    options.set_last_will(LastWill::new("rw/will", payload, QoS::AtLeastOnce, false));
    options
}

fn is_disconnect(event: &Event) -> bool {
    matches!(event, Event::Outgoing(Outgoing::Disconnect))
}

fn note(event: Event) -> Option<Seen> {
    let Event::Incoming(packet) = event else { return None };
    Some(match packet {
        Packet::ConnAck(connack) => Seen::Connected { present: connack.session_present },
        Packet::SubAck(suback) => Seen::Granted(suback.return_codes.len()),
        Packet::PubAck(_) | Packet::PubComp(_) => Seen::Settled,
        Packet::Publish(publish) => Seen::Message(Message {
            payload: String::from_utf8_lossy(&publish.payload).into_owned(),
            qos: publish.qos as u8,
            retain: publish.retain,
            topic: publish.topic,
        }),
        _ => return None,
    })
}

async fn more(_: &mut Report, _: u16) {}
