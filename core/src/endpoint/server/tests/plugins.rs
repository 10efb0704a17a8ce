//! Plugins on a server: what they see of clients, and what those are told in their own words.

use core::time::Duration;
use std::boxed::Box;
use std::format;
use std::string::{String, ToString};
use std::sync::{Arc, Mutex};
use std::vec;
use std::vec::Vec;

use serde_json::json;

use super::world::{Tongue, World, publish};
use crate::buf::SharedSendBuf;
use crate::endpoint::server::{ListenerConfig, ListenerKey, Peer, Refused, ServerConfig, ServerEvent};
use crate::mqtt::{Connect, Packet, Properties, Qos, Subscription, Version};
use crate::plugin::{
    Audit, Client, Context, Excess, Interest, Limits, Per, Placement, Plugin, RateLimit, RateRule, Rejection,
    Report, Scope, TagRule, Tagging, Tags, Verdict,
};
use crate::prx1;
use crate::session::{Code, Connect as Hello, Counts, Message, Resume, ResumeKey, Subscribe};

/// Says the same to everything that it is asked.
struct Never(Rejection, Interest);

impl Plugin for Never {
    fn interest(&self) -> Interest {
        self.1
    }

    fn accept(&mut self, _: &mut Context<'_>, _: &Client<'_>) -> Result<(), Rejection> {
        Err(self.0)
    }

    fn connect(&mut self, _: &mut Context<'_>, _: &Client<'_>, _: &mut Tags) -> Result<(), Rejection> {
        Err(self.0)
    }

    fn asked(
        &mut self,
        _: &mut Context<'_>,
        _: &Client<'_>,
        _: &crate::plugin::Ask<'_>,
    ) -> Result<(), Rejection> {
        Err(self.0)
    }

    fn message_in(&mut self, _: &mut Context<'_>, _: &Client<'_>, _: &crate::hub::Message) -> Verdict {
        Verdict::Refuse(self.0)
    }
}

fn with(plugin: impl Plugin + 'static) -> World {
    placed(plugin, Placement::default())
}

fn placed(plugin: impl Plugin + 'static, placement: Placement) -> World {
    let mut w = World::new(ServerConfig::default());
    for name in ["front", "back"] {
        w.server.add_listener(ListenerConfig::new(name)).unwrap();
    }
    w.server.add_plugin(w.now, "it", Box::new(plugin), placement).unwrap();
    w
}

fn listener(w: &World, name: &str) -> ListenerKey {
    w.server.listeners().find(|info| info.config.name == name).unwrap().key
}

const BUSY: Rejection = Rejection::busy("too much to do");

/// MQTT 5.0 0x97, 0x99, 0x87, 0x83 and RESULT; 3.1.1 and PRX1 have no word and acknowledge.
#[test]
fn a_refusal_of_a_message_is_said_in_each_dialect() {
    for (why, mqtt, own, page) in [
        (BUSY, "Quota exceeded", "Busy", "busy"),
        (BUSY.retry_after(Duration::from_secs(2)), "Quota exceeded", "Busy", "rate_limited"),
        (Rejection::quota("no"), "Quota exceeded", "Quota", "quota"),
        (Rejection::invalid("no"), "Payload format invalid", "Invalid", "malformed"),
        (Rejection::forbidden("no"), "Not authorized", "NotAuthorized", "denied"),
    ] {
        let mut w = with(Never(why, Interest::MESSAGE_IN));
        let (five, three, (prx1, _), bowline) = (w.v5("a"), w.v3("b"), w.prx1(None, true), w.bowline());
        w.publish(five, "t", "x", Qos::AtLeastOnce, 1);
        w.publish(five, "t", "x", Qos::ExactlyOnce, 2);
        assert_eq!(w.take(five), [format!("PUBACK 1 {mqtt}"), format!("PUBREC 2 {mqtt}")]);
        w.publish(three, "t", "x", Qos::AtLeastOnce, 1);
        assert_eq!(w.take(three), ["PUBACK 1"]);
        let id = prx1::PacketId::new(1);
        w.say(prx1, &prx1::Packet::Publish(prx1::Publish { id, ..prx1::Publish::new("t", b"x") }));
        assert_eq!(w.take(prx1).len(), 1);
        let message = Message { reliable: true, ..Message::new("t", b"x") };
        w.call(bowline, |session, now, out| session.publish(now, out, &message).unwrap());
        let told = w.take(bowline).join("; ");
        assert!(told.contains(&format!("result 1 {own}")), "{told}");
        let (i, _) = w.page();
        let told = w.ask(i, r#"{"type":"$publish","id":"p","payload":{"topic":"t","text":"x"}}"#);
        assert_eq!(told["payload"]["code"], json!(page), "{told}");
        assert_eq!(w.server.hub().counters().messages_in, 0);
    }
}

#[test]
fn who_may_not_come_in_is_told_in_each_dialect() {
    for (why, five, three, code) in [
        (BUSY, "Server busy", "Server unavailable", Code::Quota),
        (Rejection::forbidden("no"), "Not authorized", "Not authorized", Code::NotAuthorized),
    ] {
        let mut w = with(Never(why, Interest::CONNECT));
        let told = w.mqtt(&Connect::new(Version::V5, "a")).1.join(";");
        assert!(told.contains(five), "{told}");
        let told = w.mqtt(&Connect::new(Version::V311, "a")).1.join(";");
        assert!(told.to_lowercase().contains(&three.to_lowercase()), "{told}");
        assert!(!w.prx1(None, true).1.join(";").contains("accepted"));
        let own = w.open_bowline(&Hello::default());
        w.run();
        assert!(!w.take(own).is_empty());
        let closed =
            |event: &ServerEvent| matches!(event, ServerEvent::Closed { code: Some(c), .. } if *c == code);
        assert!(w.events().iter().any(closed));
        assert_eq!(w.server.hub().counters().sessions, 0);
    }
}

/// Lets nobody in but who comes back to a session of its own.
struct Old;

impl Plugin for Old {
    fn interest(&self) -> Interest {
        Interest::CONNECT
    }

    fn connect(&mut self, _: &mut Context<'_>, client: &Client<'_>, _: &mut Tags) -> Result<(), Rejection> {
        client.session.map(drop).ok_or(BUSY)
    }
}

/// New before old: in each dialect it is known who comes back, and nobody comes back by another's name.
#[test]
fn who_comes_back_is_told_from_who_is_new() {
    let mut w = with(Old);
    w.server.enable_plugin(w.now, "it", false).unwrap();
    let stays = |version| Connect { clean_start: false, ..Connect::new(version, "m3") };
    let three = w.mqtt(&stays(Version::V311)).0;
    let own = w.bowline_as(&Hello { expiry: Duration::from_secs(60), ..Hello::default() });
    let (session, key) = w.lines[own].credentials.unwrap();
    for line in [three, own] {
        w.cut(line);
    }
    w.server.enable_plugin(w.now, "it", true).unwrap();

    let told = w.mqtt(&stays(Version::V311)).1;
    assert_eq!(told, ["CONNACK Success present"]);
    for new in [Connect::new(Version::V311, "m3"), Connect { client_id: "m4", ..stays(Version::V311) }] {
        let told = w.mqtt(&new).1.join(";");
        assert!(!told.contains("Success"), "{told}");
    }
    let wrong = ResumeKey([0; 16]);
    for (key, open) in [(wrong, false), (key, true)] {
        let resume = Some(Resume { session, key, counts: Counts::default() });
        let hello = Hello { resume, expiry: Duration::from_secs(60), ..Hello::default() };
        let back = w.open_bowline(&hello);
        w.run();
        assert_eq!(w.take(back).iter().any(|told| told.starts_with("welcome")), open);
    }
    let new = w.open_bowline(&Hello::default());
    w.run();
    assert!(!w.take(new).iter().any(|told| told.starts_with("welcome")));
}

#[test]
fn a_connection_may_be_refused_before_it_says_anything() {
    let scope = Scope { listeners: vec!["front".into()], ..Scope::default() };
    let mut w = placed(Never(BUSY, Interest::ACCEPT), Placement { scope, ..Placement::default() });
    let front = Peer { listener: listener(&w, "front"), ..Peer::default() };
    assert_eq!(w.server.accept(w.now, front), Err(Refused::Plugin(BUSY)));
    assert!(w.server.accept(w.now, Peer { listener: listener(&w, "back"), ..front }).is_ok());
    assert!(matches!(w.events()[..], [ServerEvent::Refused { reason: Refused::Plugin(_), .. }]));
    w.server.enable_plugin(w.now, "it", false).unwrap();
    assert!(w.server.accept(w.now, front).is_ok());
}

#[test]
fn who_may_not_subscribe_is_told_in_each_dialect() {
    let mut w = with(Never(Rejection::invalid("no"), Interest::ASKED));
    let (five, three, own) = (w.v5("a"), w.v3("b"), w.bowline());
    w.subscribe_as(five, Subscription::new("t", Qos::AtLeastOnce), Properties::NONE);
    assert!(w.take(five).join(";").contains("Topic Filter invalid"));
    w.subscribe_as(three, Subscription::new("t", Qos::AtLeastOnce), Properties::NONE);
    assert!(w.take(three).join(";").to_lowercase().contains("error"));
    let s = Subscribe { id: 4, filter: "t", ..Subscribe::default() };
    w.call(own, |session, now, out| session.subscribe(now, out, &s).unwrap());
    assert!(w.take(own).join(";").contains("Invalid"));
}

/// A client that is held is not read, not even what came together; and not a message is lost.
#[test]
fn a_fast_publisher_is_slowed_down() {
    let limits = Some(Limits { rate: 10, burst: 2 });
    let rule = RateRule { per: Per::Session, messages: limits, excess: Excess::Hold, ..RateRule::default() };
    let mut w = with(RateLimit::new(vec![rule], 1).unwrap());
    let (fast, reader) = (w.v5("fast"), w.v5("reader"));
    w.subscribe(reader, "#", Qos::AtMostOnce);
    let mut octets = SharedSendBuf::new(4096);
    for n in 1..=20 {
        let payload = n.to_string();
        let packet = Packet::Publish(publish("t", &payload, Qos::AtMostOnce, 0));
        packet.encode(Version::V5, &mut octets).unwrap();
    }
    let octets: Vec<u8> = octets.slices().flatten().copied().collect();
    w.octets(fast, &octets);
    // The burst, and one on credit.
    assert_eq!(w.take(reader).len(), 3);
    let mut second = || {
        (0..100).for_each(|_| w.advance(Duration::from_millis(10)));
        w.take(reader).len()
    };
    let first = second();
    assert!((9..=11).contains(&first), "{first}");
    let second = first + second();
    assert_eq!(3 + second, 20, "all of them, late");
}

#[test]
fn a_plugin_may_close_a_connection_and_its_client_come_back() {
    let limits = Some(Limits { rate: 1, burst: 1 });
    let rule = RateRule { messages: limits, excess: Excess::Disconnect, ..RateRule::default() };
    let mut w = with(RateLimit::new(vec![rule], 1).unwrap());
    let (a, _) = w.stay(Version::V5, "a");
    w.publish(a, "t", "1", Qos::AtMostOnce, 0);
    w.publish(a, "t", "2", Qos::AtMostOnce, 0);
    let told = w.take(a).join(";");
    assert!(told.contains("DISCONNECT Quota exceeded"), "{told}");
    w.cut(a);
    assert!(w.stay(Version::V5, "a").1, "the session is there");
}

/// Writes down whom it sees.
struct Seen(Arc<Mutex<Vec<String>>>);

impl Plugin for Seen {
    fn interest(&self) -> Interest {
        Interest::OPENED | Interest::CLOSED | Interest::MESSAGE_IN
    }

    fn opened(&mut self, _: &mut Context<'_>, client: &Client<'_>, resumed: bool) {
        self.write(&format!("opened{}", if resumed { " again" } else { "" }), client);
    }

    fn closed(&mut self, _: &mut Context<'_>, client: &Client<'_>, _: &str) {
        self.write("closed", client);
    }

    fn message_in(&mut self, _: &mut Context<'_>, client: &Client<'_>, _: &crate::hub::Message) -> Verdict {
        self.write("in", client);
        Verdict::Pass
    }
}

impl Seen {
    fn write(&self, what: &str, client: &Client<'_>) {
        let tags: Vec<_> = client.tags.iter().collect();
        let line = format!("{what} {} {} {} {tags:?}", client.who.client_id, client.listener, client.dialect);
        self.0.lock().unwrap().push(line);
    }
}

#[test]
fn plugins_know_listener_dialect_and_tags_from_opened_to_closed() {
    let scope = Scope { dialects: vec!["mqtt5".into()], ..Scope::default() };
    let rule = TagRule { scope, tags: vec!["modern".into()] };
    let mut w = with(Tagging::new(vec![rule]).unwrap());
    let seen = Arc::new(Mutex::new(vec![]));
    let plugin = Box::new(Seen(Arc::clone(&seen)));
    w.server.add_plugin(w.now, "seen", plugin, Placement::default()).unwrap();
    let taken = || core::mem::take(&mut *seen.lock().unwrap());
    let (a, _) = w.stay(Version::V5, "a");
    w.publish(a, "t", "x", Qos::AtMostOnce, 0);
    w.cut(a);
    let (a, _) = w.stay(Version::V5, "a");
    let tags = r#"["modern"]"#;
    assert_eq!(
        taken(),
        [
            format!("opened a  mqtt5 {tags}"),
            format!("in a  mqtt5 {tags}"),
            format!("closed a  mqtt5 {tags}"),
            format!("opened again a  mqtt5 {tags}")
        ]
    );
    // One that is added later knows who is there, but not what they were tagged with then.
    w.server.remove_plugin(w.now, "it").unwrap();
    let plugin = w.server.remove_plugin(w.now, "seen").unwrap();
    let back = Peer { listener: listener(&w, "back"), ..Peer::default() };
    let back = w.open(back, Tongue::Mqtt(Version::V311));
    w.send(back, &Packet::Connect(Connect::new(Version::V311, "b")));
    w.server.add_plugin(w.now, "seen", plugin, Placement::default()).unwrap();
    w.publish(back, "t", "x", Qos::AtMostOnce, 0);
    w.publish(a, "t", "x", Qos::AtMostOnce, 0);
    assert_eq!(taken(), ["in b back mqtt311 []".to_string(), format!("in a  mqtt5 {tags}")]);
}

#[test]
fn the_audit_log_reaches_the_adapter() {
    let mut w = with(Audit::default());
    let a = w.v5("meter");
    w.cut(a);
    let told: Vec<String> = w
        .events()
        .into_iter()
        .filter_map(|event| match event {
            ServerEvent::Reported { plugin, report: Report::Audit(r) } => {
                Some(format!("{plugin}: {} {} {}", r.client_id, r.action, r.outcome))
            }
            _ => None,
        })
        .collect();
    assert_eq!(told, ["it: meter open ok", "it: meter close ended"]);
}

/// A notice reaches who has the tag, in each dialect, whatever it has subscribed to; once each, and nobody
/// else may say so.
#[test]
fn a_tag_is_told_in_each_dialect() {
    let rule = TagRule { scope: Scope::default(), tags: vec!["all".into()] };
    let mut w = with(Tagging::new(vec![rule]).unwrap());
    let (five, three, (prx1, _), own) = (w.v5("a"), w.v3("b"), w.prx1(None, true), w.bowline());
    let (page, _) = w.page();
    w.subscribe(three, "$notice/#", Qos::AtLeastOnce);
    let notice = crate::hub::Message::new("$notice/all", br#"{"text":"soon"}"#).unwrap();
    let told = w.server.tell_tagged(w.now, "all", notice.clone()).unwrap();
    assert_eq!((told.matched, told.queued), (5, 5));
    w.run();
    for i in [five, three] {
        assert_eq!(w.take(i), [r#"$notice/all={"text":"soon"}"#]);
    }
    assert!(w.take(prx1).join(";").contains("$notice/all"));
    assert!(w.take(own).join(";").starts_with("Publish("), "to the session itself (MSG-1)");
    assert!(w.take(page).join(";").contains("soon"));
    assert_eq!(w.server.tell_tagged(w.now, "none", notice.clone()).unwrap().matched, 0);
    // One of them alone, by its number; and tagged by hand.
    let mut number = None;
    w.server.inspect_clients(0, 100, |client| {
        assert!(client.tags.contains("all"));
        number = number.or((client.session.who.client_id == "a").then_some(client.session.key.number()));
        true
    });
    let number = number.unwrap();
    assert_eq!(w.server.tell_client(w.now, number, notice.clone()), Ok(true));
    w.run();
    assert_eq!((w.take(five).len(), w.take(three).len()), (1, 0));
    assert_eq!(w.server.tag_client(number, "odd", true), Ok(true));
    assert_eq!(
        (w.server.tag_client(number, "odd", true), w.server.tag_client(number, "a b", true).is_err()),
        (Ok(false), true)
    );
    assert_eq!(w.server.tell_tagged(w.now, "odd", notice.clone()).unwrap().matched, 1);
    assert_eq!(w.server.tag_client(number, "odd", false), Ok(true));
    w.run();
    w.take(five);
    w.publish(five, "$notice/all", "mine", Qos::AtLeastOnce, 7);
    assert_eq!((w.take(five), w.take(three)), (vec!["PUBACK 7 Not authorized".to_string()], vec![]));
    w.cut(five);
    assert!(w.server.tell_client(w.now, number, notice).is_err());
    w.server.hub().check_invariants().unwrap();
}
