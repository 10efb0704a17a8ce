//! The access file: who may do what, as TOML.

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;

use bowline_core::access::{self, Action, Actions, Effect, Group, Network, Problem, Rules};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IntoDeserializer, SeqAccess, Visitor, value};

use super::users::read_text;
use crate::config::{Complaint, Origin, Origins, read_toml};
use crate::failure::Failure;

/// The largest file that is read, in octets.
const FILE_MAX: u64 = 64 << 20;

/// How many complaints are collected before the rest is left for the next try.
const COMPLAINTS_MAX: usize = 20;

/// The rules, and where they are written.
#[derive(Debug)]
pub(crate) struct AccessFile {
    pub(crate) rules: Rules,
    /// What is written, to show it.
    pub(crate) given: Vec<access::Rule>,
    pub(crate) groups: Vec<Group>,
    pub(crate) default: Effect,
    pub(crate) name: String,
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    default: Word,
    groups: toml::Table,
    rule: Vec<Entry>,
}

/// What happens where no rule matches.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Allow,
    #[default]
    Deny,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Entry {
    allow: OneOrMany<Verb>,
    deny: OneOrMany<Verb>,
    user: OneOrMany<String>,
    group: OneOrMany<String>,
    client_id: OneOrMany<String>,
    address: OneOrMany<Place>,
    listener: OneOrMany<String>,
    anonymous: Option<bool>,
    secured: Option<bool>,
    topic: OneOrMany<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verb {
    Connect,
    Publish,
    Subscribe,
    Serve,
    Request,
    Queue,
    Relay,
    All,
}

/// An address or a network.
#[derive(Debug)]
struct Place(Network);

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(Self).map_err(|error| D::Error::custom(format_args!("`{text}`: {error}")))
    }
}

/// A value, or a list of them.
#[derive(Debug)]
struct OneOrMany<T>(Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = OneOrMany<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text in quotes, or a list of such")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                T::deserialize(text.into_deserializer()).map(|one| OneOrMany(vec![one]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(value::SeqAccessDeserializer::new(list)).map(OneOrMany)
            }
        }
        from.deserialize_any(Either(PhantomData))
    }
}

impl AccessFile {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let text = read_text(path, "access file", FILE_MAX)?;
        Self::parse(&path.display().to_string(), &text).map_err(|complaints| Complaint::all(&complaints))
    }

    /// Reads the text of a file; `file` names it in complaints.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, Vec<Complaint>> {
        let (written, origins) = read_toml::<Written>(file, text)?;
        let mut complaints = Complaints { origins: &origins, list: Vec::new() };
        let groups = groups(&written.groups, &mut complaints);
        let given: Vec<access::Rule> =
            (0..).zip(written.rule).map(|(number, entry)| rule(number, entry, &mut complaints)).collect();
        let default = match written.default {
            Word::Allow => Effect::Allow,
            Word::Deny => Effect::Deny,
        };
        let rules = match Rules::new(default, &groups, given.clone()) {
            Ok(rules) => rules,
            Err(_) => {
                // Only the first was named: look for the others one by one.
                for (number, rule) in given.iter().enumerate() {
                    if let Err(error) = Rules::new(default, &groups, vec![rule.clone()]) {
                        complaints.problem(number, rule, &error.problem);
                    }
                }
                Rules::default()
            }
        };
        let mut list = complaints.list;
        if list.is_empty() {
            return Ok(Self { rules, given, groups, default, name: file.to_owned() });
        }
        list.truncate(COMPLAINTS_MAX);
        Err(list)
    }

    /// The same rules, with a user in other groups too.
    pub(crate) fn with_member(&self, user: &str, names: &[String]) -> Result<Rules, Failure> {
        let mut groups = self.groups.clone();
        for name in names {
            let known = groups.iter_mut().find(|group| group.name == *name);
            let group = known.ok_or_else(|| Failure::new(format!("{} has no group `{name}`", self.name)))?;
            group.members.push(user.to_owned());
        }
        Rules::new(self.default, &groups, self.given.clone()).map_err(|error| Failure::new(error.to_string()))
    }
}

/// What is wrong, with its place.
struct Complaints<'a> {
    origins: &'a Origins,
    list: Vec<Complaint>,
}

impl Complaints<'_> {
    fn add(&mut self, key: String, message: impl Into<String>) {
        self.list.push(Complaint { origin: self.origins.nearest(&key), key, message: message.into() });
    }

    fn problem(&mut self, number: usize, rule: &access::Rule, problem: &Problem) {
        let item = |key: &str, index: usize, count: usize| {
            if count > 1 { format!("rule[{number}].{key}[{index}]") } else { format!("rule[{number}].{key}") }
        };
        let key = match problem {
            Problem::NoGroup { index, .. } => item("group", *index, rule.groups.len()),
            Problem::Topic { index, .. } => item("topic", *index, rule.topics.len()),
            Problem::ConnectTopic => format!("rule[{number}].topic"),
            _ => return, // That there is no action was said already.
        };
        self.add(key, problem.to_string());
    }
}

fn groups(table: &toml::Table, complaints: &mut Complaints<'_>) -> Vec<Group> {
    let mut groups = Vec::new();
    for (name, members) in table {
        let key = format!("groups.{name}");
        match Vec::<String>::deserialize(members.clone()) {
            Ok(members) => groups.push(Group { name: name.clone(), members }),
            Err(_) => complaints.add(key, "it must be a list of users: [\"ann\", \"bob\"]"),
        }
    }
    groups
}

fn rule(number: usize, entry: Entry, complaints: &mut Complaints<'_>) -> access::Rule {
    let key = format!("rule[{number}]");
    let Entry { allow, deny, user, group, client_id, address, listener, anonymous, secured, topic } = entry;
    let (effect, verbs) = if deny.0.is_empty() { (Effect::Allow, &allow.0) } else { (Effect::Deny, &deny.0) };
    if allow.0.is_empty() == deny.0.is_empty() {
        complaints.add(key.clone(), "it must have either `allow` or `deny`, with at least one action");
    }
    let names =
        [("user", &user.0), ("group", &group.0), ("client_id", &client_id.0), ("listener", &listener.0)];
    for (name, list) in names {
        if list.iter().any(String::is_empty) {
            let anonymous = if name == "user" { "; for those without a name: anonymous = true" } else { "" };
            complaints.add(format!("{key}.{name}"), format!("an empty name is nobody's{anonymous}"));
        }
    }
    if anonymous == Some(true) && !(user.0.is_empty() && group.0.is_empty()) {
        complaints.add(format!("{key}.anonymous"), "who is anonymous is no user and in no group");
    }
    let all = verbs.iter().any(|verb| matches!(verb, Verb::All));
    let actions = if all { Actions::ALL } else { verbs.iter().filter_map(|verb| action(*verb)).collect() };
    let line = match complaints.origins.nearest(&key) {
        Origin::File { line, .. } => u32::try_from(line).unwrap_or(u32::MAX),
        _ => 0,
    };
    access::Rule {
        effect,
        actions,
        users: user.0,
        groups: group.0,
        anonymous,
        client_ids: client_id.0,
        addresses: address.0.into_iter().map(|place| place.0).collect(),
        listeners: listener.0,
        secured,
        topics: topic.0,
        line,
    }
}

fn action(verb: Verb) -> Option<Action> {
    Some(match verb {
        Verb::Connect => Action::Connect,
        Verb::Publish => Action::Publish,
        Verb::Subscribe => Action::Subscribe,
        Verb::Serve => Action::Serve,
        Verb::Request => Action::Request,
        Verb::Queue => Action::Queue,
        Verb::Relay => Action::Relay,
        Verb::All => return None,
    })
}

#[cfg(test)]
mod tests {
    use bowline_core::access::{Access, Who};

    use super::*;

    fn complaints(text: &str) -> Vec<String> {
        AccessFile::parse("access.toml", text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rules_are_what_is_written() {
        let file = AccessFile::parse(
            "access.toml",
            r#"
default = "deny"

[groups]
staff = ["ann", "bob"]

[[rule]]
deny = "publish"
topic = "home/safe/#"

[[rule]]
allow = ["publish", "subscribe"]
group = "staff"
address = ["192.0.2.0/24", "::1"]
topic = ["home/%u/#", "chat/+"]

[[rule]]
allow = "all"
user = "root"
"#,
        )
        .unwrap();
        assert_eq!(file.given.iter().map(|rule| rule.line).collect::<Vec<_>>(), [7, 11, 17]);
        let ann = Who { user: "ann", client_id: "", address: Some([192, 0, 2, 1].into()), ..Who::default() };
        let may = |who, action, topic| file.rules.decide(who, action, topic).rule;
        assert_eq!(may(&ann, Action::Publish, "home/safe/x"), Some(0));
        assert_eq!(may(&ann, Action::Publish, "home/ann/x"), Some(1));
        assert_eq!(may(&ann, Action::Request, "home/ann/x"), None);
        assert_eq!(may(&Who { user: "root", ..ann }, Action::Queue, "$x"), Some(2));
        let eve = Who { user: "eve", ..ann };
        assert!(!file.rules.decide(&eve, Action::Publish, "chat/x").allowed);
        let as_staff = file.with_member("eve", &["staff".to_owned()]).unwrap();
        assert!(as_staff.decide(&eve, Action::Publish, "chat/x").allowed);
        assert!(file.with_member("eve", &["stuff".to_owned()]).is_err());
    }

    #[test]
    fn the_example_does_what_its_comments_say() {
        let file = AccessFile::parse("access.toml", include_str!("../../access.example.toml")).unwrap();
        let may = |user, client_id, action, topic| {
            let who = Who { user, client_id, address: Some([127, 0, 0, 1].into()), ..Who::default() };
            file.rules.decide(&who, action, topic).allowed
        };
        use Action::{Connect, Publish, Queue, Serve, Subscribe};
        assert!(may("root", "", Queue, "home/safe/x") && may("root", "", Subscribe, "$SYS/#"));
        assert!(may("alice", "", Publish, "home/door") && !may("alice", "", Publish, "home/safe/x"));
        assert!(!may("alice", "", Subscribe, "home/#"), "the safe is among it");
        assert!(may("alice", "", Subscribe, "office/+/door") && !may("alice", "", Subscribe, "office/#"));
        assert!(
            may("sensor-1", "s1", Publish, "telemetry/sensor-1/t")
                && may("sensor-1", "s1", Publish, "status/s1")
        );
        assert!(!may("sensor-1", "s1", Publish, "telemetry/sensor-2/t"));
        assert!(may("sensor-2", "", Serve, "commands/sensor-2/reset"));
        assert!(may("carol", "", Publish, "carol/inbox") && !may("carol", "", Publish, "alice/inbox"));
        assert!(!may("bob", "", Publish, "bob/inbox") && may("bob", "", Publish, "chat/x"));
        assert!(
            may("", "", Subscribe, "public/news")
                && !may("", "", Publish, "chat/x")
                && may("", "", Connect, "")
        );
    }

    #[test]
    fn a_rule_can_want_a_secured_connection() {
        let text = "[[rule]]\ndeny = \"all\"\nsecured = false\n[[rule]]\nallow = \"all\"";
        let file = AccessFile::parse("access.toml", text).unwrap();
        let may = |secured| {
            let who = Who { secured, ..Who::default() };
            file.rules.decide(&who, Action::Connect, "").allowed
        };
        assert!(!may(None) && may(Some(access::Security::Tls)));
    }

    #[test]
    fn a_rule_can_be_about_listeners() {
        let text = "[[rule]]\nallow = \"all\"\nlistener = [\"internal\", \"0.0.0.0:1883\"]";
        let file = AccessFile::parse("access.toml", text).unwrap();
        let may = |listener| {
            let who = Who { listener, ..Who::default() };
            file.rules.decide(&who, Action::Publish, "t").allowed
        };
        assert!(may("internal") && may("0.0.0.0:1883") && !may("internet") && !may(""));
    }

    #[test]
    fn nothing_written_is_nothing_allowed() {
        let file = AccessFile::parse("access.toml", "").unwrap();
        assert!(!file.rules.decide(&Who::default(), Action::Publish, "a").allowed);
    }

    /// protox's groups: "can publish self/inbox", "can read self/#", "can do anything".
    #[test]
    fn groups_as_protox_has_them() {
        let text = r#"
[groups]
mailers = ["ann"]
readers = ["ann", "bob"]
admins = ["root"]

[[rule]]
allow = "publish"
group = "mailers"
topic = "%u/inbox"

[[rule]]
allow = ["subscribe", "queue"]
group = "readers"
topic = "%u/#"

[[rule]]
allow = "all"
group = "admins"
"#;
        let file = AccessFile::parse("access.toml", text).unwrap();
        let may =
            |user, action, topic| file.rules.decide(&Who { user, ..Who::default() }, action, topic).allowed;
        assert!(may("ann", Action::Publish, "ann/inbox") && !may("ann", Action::Publish, "bob/inbox"));
        assert!(!may("bob", Action::Publish, "bob/inbox") && may("bob", Action::Subscribe, "bob/#"));
        assert!(may("bob", Action::Queue, "bob/jobs") && !may("bob", Action::Subscribe, "+/inbox"));
        assert!(may("root", Action::Queue, "bob/jobs") && may("root", Action::Subscribe, "#"));
    }

    #[test]
    fn each_complaint_names_its_line_and_key() {
        for (text, want) in [
            ("default = \"maybe\"", "1:1: default: `maybe` is not allowed; use allow or deny"),
            (
                "defualt = \"deny\"",
                "1:1: defualt: unknown key; did you mean `default`?; allowed here: default, groups and rule",
            ),
            (
                "[[rule]]\nallow = \"publish\"\ntopics = \"a\"",
                "3:1: rule[0].topics: unknown key; did you mean `topic`?; allowed here: allow, deny, user, group, \
                 client_id, address, listener, anonymous, secured and topic",
            ),
            (
                "[[rule]]\ntopic = \"a\"",
                "1:1: rule[0]: it must have either `allow` or `deny`, with at least one action",
            ),
            (
                "[[rule]]\nallow = \"publish\"\ndeny = \"publish\"",
                "1:1: rule[0]: it must have either `allow` or `deny`, with at least one action",
            ),
            (
                "[[rule]]\nallow = [\"publish\", \"read\"]",
                "2:21: rule[0].allow[1]: `read` is not allowed; use connect, publish, subscribe, serve, request, queue, relay or all",
            ),
            ("[[rule]]\nallow = 1", "2:1: rule[0].allow: it must be text in quotes, or a list of such"),
            (
                "[[rule]]\nallow = \"publish\"\n\n[[rule]]\nallow = \"publish\"\ntopic = [\"a\", \"a/#/b\"]",
                "6:15: rule[1].topic[1]: `#` at octet 2 must be the last level",
            ),
            (
                "[[rule]]\nallow = \"publish\"\ntopic = \"a/%U\"",
                "3:1: rule[0].topic: `%` at octet 2 must be `%u` (the user), `%c` (the client id), or `%%` for itself",
            ),
            (
                "[[rule]]\nallow = [\"connect\", \"publish\"]\ntopic = \"a\"",
                "3:1: rule[0].topic: connecting has no topic; give it a rule of its own",
            ),
            ("[[rule]]\ndeny = \"all\"\ngroup = \"staff\"", "3:1: rule[0].group: there is no group `staff`"),
            (
                "[groups]\nstaff = \"ann\"",
                "2:1: groups.staff: it must be a list of users: [\"ann\", \"bob\"]",
            ),
            (
                "[[rule]]\ndeny = \"all\"\naddress = \"10.0.0.1/8\"",
                "3:1: rule[0].address: `10.0.0.1/8`: the address has bits set beyond the 8 that count; write 10.0.0.0/8, or a longer prefix",
            ),
            (
                "[[rule]]\ndeny = \"all\"\nuser = \"\"",
                "3:1: rule[0].user: an empty name is nobody's; for those without a name: anonymous = true",
            ),
            ("[[rule]]\ndeny = \"all\"\nlistener = \"\"", "3:1: rule[0].listener: an empty name is nobody's"),
            (
                "[[rule]]\ndeny = \"all\"\nuser = \"ann\"\nanonymous = true",
                "4:1: rule[0].anonymous: who is anonymous is no user and in no group",
            ),
        ] {
            assert_eq!(complaints(text), [format!("access.toml:{want}")], "{text}");
        }
        let many = "[[rule]]\nallow = \"publish\"\ntopic = \"a+\"\n".repeat(30);
        assert_eq!(complaints(&many).len(), COMPLAINTS_MAX);
    }
}
