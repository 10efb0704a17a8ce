//! MQTT 5.0.

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, Packet, PublishProperties};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};

use crate::common::{KEEP_ALIVE, checks};

checks!("5.0");

fn options(port: u16, name: &str, clean: bool) -> MqttOptions {
    let mut options = MqttOptions::new(format!("rumqttc-5-{name}"), "127.0.0.1", port);
    options.set_keep_alive(KEEP_ALIVE).set_clean_start(clean).set_pending_throttle(Duration::ZERO);
    options.set_session_expiry_interval((!clean).then_some(u32::MAX));
    options
}

fn with_will(mut options: MqttOptions, payload: &str) -> MqttOptions {
    options.set_last_will(LastWill::new("rw/will", payload.to_owned(), QoS::AtLeastOnce, false, None));
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
        Packet::Publish(publish) => {
            let topic = String::from_utf8_lossy(&publish.topic).into_owned();
            let mut payload = String::from_utf8_lossy(&publish.payload).into_owned();
            // Where there are any, they are part of what is compared.
            let properties = publish.properties.unwrap_or_default();
            for (name, value) in &properties.user_properties {
                payload.push_str(&format!(" {name}={value}"));
            }
            for (what, value) in [("type", properties.content_type), ("answer", properties.response_topic)] {
                if let Some(value) = value {
                    payload.push_str(&format!(" {what}:{value}"));
                }
            }
            if let Some(data) = properties.correlation_data {
                payload.push_str(&format!(" data:{data:?}"));
            }
            Seen::Message(Message { topic, payload, qos: publish.qos as u8, retain: publish.retain })
        }
        _ => return None,
    })
}

async fn more(report: &mut Report, port: u16) {
    report.check("rumqttc, 5.0: properties", properties(port)).await;
}

async fn properties(port: u16) -> Checked {
    let mut client = fresh(port, "p").await?;
    client.subscribe("rp", QoS::AtLeastOnce).await?;
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let properties = PublishProperties {
        response_topic: Some("answers".to_owned()),
        correlation_data: Some(vec![1, 2].into()),
        content_type: Some("text/plain".to_owned()),
        user_properties: vec![pair("a", "1"), pair("b", "2"), pair("a", "3")],
        ..PublishProperties::default()
    };
    let sent = client.client.publish_with_properties("rp", QoS::AtLeastOnce, false, "all", properties).await;
    sent.map_err(|error| error.to_string())?;
    let payload = r#"all a=1 b=2 a=3 type:text/plain answer:answers data:b"\x01\x02""#;
    same(&client.message().await?, &Message::new("rp", payload, 1, false), "the message")
}
