//! What a server's and a client's side have in common.

use core::num::NonZeroU16;

use super::{Aliases, Fault, PacketType, Properties, Property, PropertyId};

/// The topic of a message with an alias ([MQTT-3.3.2-7] to [MQTT-3.3.2-9]).
pub(super) fn resolve<'b>(
    topic: &'b str,
    alias: u16,
    maximum: u16,
    aliases: &'b mut impl Aliases,
) -> Result<&'b str, Fault> {
    let number = NonZeroU16::new(alias).filter(|alias| alias.get() <= maximum);
    let Some(number) = number else {
        return Err(Fault::TopicAlias { alias, what: "the topic alias is above the maximum" });
    };
    if topic.is_empty() {
        let packet = PacketType::Publish;
        return aliases.get(number).ok_or(Fault::Protocol { packet, what: "the topic alias was never set" });
    }
    if aliases.set(number, topic) {
        Ok(topic)
    } else {
        Err(Fault::TopicAlias { alias, what: "there is no room to keep the topic of the alias" })
    }
}

/// The digest of the authentication method among the properties; 0: none.
pub(super) fn method(properties: &Properties<'_>) -> u64 {
    match properties.get(PropertyId::AuthMethod) {
        Some(Property::AuthMethod(method)) => digest(method),
        _ => 0,
    }
}

/// A digest (FNV-1a) that tells a changed method from the same one. Who forges it gains nothing: the
/// application sees the method itself.
pub(super) fn digest(method: &str) -> u64 {
    let fnv = |hash: u64, octet: u8| (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
    method.bytes().fold(0xcbf2_9ce4_8422_2325, fnv).max(1)
}
