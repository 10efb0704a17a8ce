//! `-D COMMAND NAME VALUE`, as mosquitto's clients have it.

use bowline_driver::mqtt::{ClientConfig, Property, PropertyBlock, Version};

use crate::cli::PART;
use crate::failure::Failure;

/// What a property is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Connect,
    Publish,
    Subscribe,
    Will,
}

/// All properties that were given.
#[derive(Debug)]
pub(super) struct Given(Vec<(Command, Vec<String>)>);

impl Given {
    pub(super) fn read(list: &[String], version: Version) -> Result<Self, Failure> {
        if !list.is_empty() && version == Version::V311 {
            return Err(Failure::usage("MQTT 3.1.1 has no properties: leave -D out, or -V 311"));
        }
        let mut all = Vec::new();
        for entry in list {
            let mut parts = entry.split(PART).map(str::to_owned);
            let command = match parts.next().as_deref().map(str::to_ascii_lowercase).as_deref() {
                Some("connect") => Command::Connect,
                Some("publish") => Command::Publish,
                Some("subscribe") => Command::Subscribe,
                Some("will") => Command::Will,
                other => {
                    return Err(Failure::usage(format!(
                        "-D {}: write -D COMMAND NAME VALUE, where COMMAND is connect, publish, subscribe or will",
                        other.unwrap_or_default()
                    )));
                }
            };
            let parts: Vec<String> = parts.collect();
            let wanted = if parts.first().is_some_and(|name| name == "user-property") { 3 } else { 2 };
            if parts.len() != wanted {
                return Err(Failure::usage(format!("-D {}: a part is missing", entry.replace(PART, " "))));
            }
            property(&parts)?;
            all.push((command, parts));
        }
        Ok(Self(all))
    }

    fn of(&self, command: Command) -> impl Iterator<Item = &[String]> {
        self.0.iter().filter(move |(of, _)| *of == command).map(|(_, parts)| &parts[..])
    }

    /// Those of one command.
    pub(super) fn block(&self, command: Command) -> Result<PropertyBlock, Failure> {
        let list = self.of(command).map(property).collect::<Result<Vec<_>, _>>()?;
        let list: Vec<_> = list.into_iter().filter(|p| !matches!(p, Property::TopicAlias(_))).collect();
        let block = match command {
            Command::Connect => PropertyBlock::of_connect(&list),
            Command::Publish => PropertyBlock::of_message(&list),
            Command::Subscribe => PropertyBlock::of_subscribe(&list),
            Command::Will => PropertyBlock::of_will(&list),
        };
        block.map_err(|error| Failure::usage(format!("-D: {error}")))
    }

    /// The topic alias of what is published.
    pub(super) fn alias(&self) -> Option<std::num::NonZeroU16> {
        self.of(Command::Publish).find_map(|parts| match property(parts) {
            Ok(Property::TopicAlias(alias)) => std::num::NonZeroU16::new(alias),
            _ => None,
        })
    }

    /// What CONNECT says that is a setting of the client.
    pub(super) fn limits(&self, config: &mut ClientConfig) {
        for parts in self.of(Command::Connect) {
            match property(parts) {
                Ok(Property::ReceiveMaximum(n)) => config.receive_maximum = n,
                Ok(Property::MaximumPacketSize(n)) => config.max_packet = n,
                Ok(Property::TopicAliasMaximum(n)) => config.topic_alias_maximum = n,
                Ok(Property::SessionExpiry(n)) => config.session_expiry = n,
                _ => {}
            }
        }
    }
}

/// One property by its name.
fn property(parts: &[String]) -> Result<Property<'_>, Failure> {
    let (name, value) = (parts[0].as_str(), parts[1].as_str());
    let wrong = || Failure::usage(format!("-D {name} {value}: the value must be a number in its range"));
    let short = || value.parse::<u16>().map_err(|_| wrong());
    let long = || value.parse::<u32>().map_err(|_| wrong());
    let flag = || match value {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err(wrong()),
    };
    Ok(match name {
        "user-property" => Property::User(value, &parts[2]),
        "content-type" => Property::ContentType(value),
        "correlation-data" => Property::CorrelationData(value.as_bytes()),
        "message-expiry-interval" => Property::MessageExpiry(long()?),
        "payload-format-indicator" => Property::PayloadFormat(flag()?),
        "response-topic" => Property::ResponseTopic(value),
        "topic-alias" => Property::TopicAlias(short()?),
        "will-delay-interval" => Property::WillDelay(long()?),
        "receive-maximum" => Property::ReceiveMaximum(short()?),
        "maximum-packet-size" => Property::MaximumPacketSize(long()?),
        "topic-alias-maximum" => Property::TopicAliasMaximum(short()?),
        "session-expiry-interval" => Property::SessionExpiry(long()?),
        "request-problem-information" => Property::RequestProblemInformation(flag()?),
        "request-response-information" => Property::RequestResponseInformation(flag()?),
        _ => return Err(Failure::usage(format!("-D: there is no property {name} here"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(list: &[&str]) -> Result<Given, Failure> {
        let list: Vec<String> = list.iter().map(|entry| entry.replace(' ', &PART.to_string())).collect();
        Given::read(&list, Version::V5)
    }

    #[test]
    fn properties_go_where_they_belong() {
        let given = given(&[
            "publish content-type text/plain",
            "PUBLISH user-property a b",
            "will will-delay-interval 5",
            "publish topic-alias 3",
        ])
        .unwrap();
        let list = [Property::ContentType("text/plain"), Property::User("a", "b")];
        assert!(given.block(Command::Publish).unwrap().get().iter().eq(list));
        assert_eq!(given.alias().map(std::num::NonZeroU16::get), Some(3));
        assert!(given.block(Command::Will).unwrap().get().iter().eq([Property::WillDelay(5)]));
        assert!(given.block(Command::Connect).unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for wrong in [
            "publish",
            "publish content-type",
            "nothing content-type a",
            "publish colour red",
            "publish topic-alias x",
        ] {
            assert_eq!(given(&[wrong]).unwrap_err().code(), 2, "{wrong}");
        }
        assert!(given(&["connect content-type a"]).unwrap().block(Command::Connect).is_err());
        assert!(Given::read(&["x".to_owned()], Version::V311).is_err());
    }
}
