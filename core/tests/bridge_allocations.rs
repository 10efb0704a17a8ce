//! Between MQTT and the hub: one allocation for a message that comes, none for each that goes.

use bowline_core::buf::SliceSendBuf;
use bowline_core::endpoint::bridge::{self, Flags, ToMqtt};
use bowline_core::mqtt::{Outgoing, Properties, Property, Version};
use bowline_core::time::Instant;

/// How many allocations `work` makes.
fn allocations(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).count_total
}

#[test]
fn one_for_a_message_that_comes_and_none_for_one_that_goes() {
    let now = Instant::from_millis(0);
    let list = [
        Property::User("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        Property::ContentType("text/plain"),
        Property::MessageExpiry(9),
        Property::User("a", "1"),
        Property::ResponseTopic("answers/here"),
        Property::CorrelationData(b"7"),
    ];
    let mut memory = [0; 512];
    for properties in [Properties::NONE, Properties::list(&list)] {
        let mut message = None;
        let came =
            allocations(|| message = bridge::from_mqtt(now, "a/b", b"hi", Flags::default(), properties));
        assert_eq!(came, 1);
        let message = message.expect("it is small");
        let went = allocations(|| {
            let to = ToMqtt::new(now, &message);
            let outgoing = Outgoing {
                properties: to.properties(),
                expiry: to.expiry(),
                ..Outgoing::new(message.topic().as_bytes(), message.payload())
            };
            outgoing.encode(Version::V5, &mut SliceSendBuf::new(&mut memory)).expect("there is room");
        });
        assert_eq!(went, 0);
    }
}
