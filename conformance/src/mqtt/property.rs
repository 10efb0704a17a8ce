//! The properties of MQTT 5.0 (§2.2.2.2): numbers, names, forms, and where each may stand.

use super::Kind;

/// The form of a property's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Byte,
    Two,
    Four,
    Varint,
    Text,
    Binary,
    Pair,
}

/// A property's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number, in as many octets as the property has.
    Number(u32),
    /// A string or binary data.
    Octets(Vec<u8>),
    /// A name and a value.
    Pair(Vec<u8>, Vec<u8>),
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Property {
    pub(super) id: u8,
    pub(super) name: &'static str,
    pub(super) form: Form,
    /// Where it may stand. A will's are those of [`Kind::Will`].
    pub(super) packets: &'static [Kind],
    /// The largest value of a number, where it is less than its form can hold.
    pub(super) max: u32,
    /// Whether a number may be 0.
    pub(super) zero: bool,
}

const fn row(id: u8, name: &'static str, form: Form, packets: &'static [Kind]) -> Property {
    Property { id, name, form, packets, max: u32::MAX, zero: true }
}

const fn flag(id: u8, name: &'static str, packets: &'static [Kind]) -> Property {
    Property { max: 1, ..row(id, name, Form::Byte, packets) }
}

const fn nonzero(property: Property) -> Property {
    Property { zero: false, ..property }
}

/// Where a reason is given.
const REASONS: &[Kind] = &[
    Kind::Connack,
    Kind::Puback,
    Kind::Pubrec,
    Kind::Pubrel,
    Kind::Pubcomp,
    Kind::Suback,
    Kind::Unsuback,
    Kind::Disconnect,
    Kind::Auth,
];
const MESSAGES: &[Kind] = &[Kind::Publish, Kind::Will];
const AUTHS: &[Kind] = &[Kind::Connect, Kind::Connack, Kind::Auth];
const BOTH: &[Kind] = &[Kind::Connect, Kind::Connack];
const CONNACK: &[Kind] = &[Kind::Connack];
const CONNECT: &[Kind] = &[Kind::Connect];

pub(super) const TABLE: [Property; 27] = [
    flag(1, "payload-format", MESSAGES),
    row(2, "expiry", Form::Four, MESSAGES),
    row(3, "content-type", Form::Text, MESSAGES),
    row(8, "response-topic", Form::Text, MESSAGES),
    row(9, "correlation", Form::Binary, MESSAGES),
    nonzero(row(11, "sub-id", Form::Varint, &[Kind::Publish, Kind::Subscribe])),
    row(17, "session-expiry", Form::Four, &[Kind::Connect, Kind::Connack, Kind::Disconnect]),
    row(18, "assigned-id", Form::Text, CONNACK),
    row(19, "server-keepalive", Form::Two, CONNACK),
    row(21, "auth-method", Form::Text, AUTHS),
    row(22, "auth-data", Form::Binary, AUTHS),
    flag(23, "request-problem", CONNECT),
    row(24, "will-delay", Form::Four, &[Kind::Will]),
    flag(25, "request-response", CONNECT),
    row(26, "response-info", Form::Text, CONNACK),
    row(28, "server-ref", Form::Text, &[Kind::Connack, Kind::Disconnect]),
    row(31, "reason", Form::Text, REASONS),
    nonzero(row(33, "receive-max", Form::Two, BOTH)),
    row(34, "alias-max", Form::Two, BOTH),
    nonzero(row(35, "alias", Form::Two, &[Kind::Publish])),
    flag(36, "max-qos", CONNACK),
    flag(37, "retain-available", CONNACK),
    row(
        38,
        "user",
        Form::Pair,
        &[
            Kind::Connect,
            Kind::Connack,
            Kind::Publish,
            Kind::Will,
            Kind::Puback,
            Kind::Pubrec,
            Kind::Pubrel,
            Kind::Pubcomp,
            Kind::Subscribe,
            Kind::Suback,
            Kind::Unsubscribe,
            Kind::Unsuback,
            Kind::Disconnect,
            Kind::Auth,
        ],
    ),
    nonzero(row(39, "max-packet", Form::Four, BOTH)),
    flag(40, "wildcards", CONNACK),
    flag(41, "sub-ids", CONNACK),
    flag(42, "shared", CONNACK),
];

/// The user property: the only one that may repeat everywhere.
pub(super) const USER: u8 = 38;
pub(super) const ALIAS: u8 = 35;
/// The subscription identifier: repeats in a PUBLISH.
pub(super) const SUBSCRIPTION: u8 = 11;

pub(super) fn by_id(id: u8) -> Option<&'static Property> {
    TABLE.iter().find(|p| p.id == id)
}

pub(super) fn by_name(name: &str) -> Option<&'static Property> {
    TABLE.iter().find(|p| p.name == name)
}
