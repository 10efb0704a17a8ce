//! What is shipped, on a hub and on virtual time.

use core::time::Duration;
use std::boxed::Box;
use std::format;
use std::string::{String, ToString};
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::access::Who;
use crate::hub::{
    Delivery, DisconnectReason, Hub, HubOptions, Notice, Quality, Refusal, SessionKey, SessionOptions,
    SubscribeOptions,
};
use crate::session::{Properties, Property};
use crate::status::Status;

struct Story {
    hub: Hub,
    now: Instant,
}

impl Story {
    fn new(plugin: impl Plugin + 'static) -> Self {
        Self::placed(plugin, Placement::default())
    }

    fn placed(plugin: impl Plugin + 'static, placement: Placement) -> Self {
        let (mut hub, now) = (Hub::new(HubOptions::default(), 3), Instant::from_millis(1000));
        hub.add_plugin(now, "it", Box::new(plugin), placement).unwrap();
        hub.handle_timeout(now);
        Self { hub, now }
    }

    fn session(&mut self, user: &str, address: &str) -> SessionKey {
        let address = address.parse().ok();
        let options =
            SessionOptions { identity: user, client_id: user, address, ..SessionOptions::default() };
        self.hub.attach(self.now, &options).unwrap()
    }

    fn listener(&mut self, filter: &str) -> SessionKey {
        let key = self.session("listener", "");
        self.hub.subscribe(self.now, key, 1, filter, SubscribeOptions::default()).unwrap();
        key
    }

    fn send(&mut self, key: SessionKey, topic: &str, payload: &str) -> Result<u32, Refusal> {
        let message = Message::new(topic, payload.as_bytes()).unwrap();
        self.hub.publish(self.now, key, message, None).map(|outcome| outcome.matched)
    }

    fn take(&mut self, key: SessionKey) -> Vec<String> {
        let mut lines = Vec::new();
        let taken = self.hub.drain(self.now, key, |delivery| {
            if let Delivery::Message { message, .. } = delivery {
                lines.push(format!("{}={}", message.topic(), String::from_utf8_lossy(message.payload())));
            }
            true
        });
        taken.unwrap();
        lines
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        self.hub.handle_timeout(self.now);
    }

    fn notices(&mut self) -> Vec<Notice> {
        core::iter::from_fn(|| self.hub.poll_notice()).collect()
    }

    fn reports(&mut self) -> Vec<Report> {
        core::iter::from_fn(|| self.hub.poll_report()).map(|(_, report)| report).collect()
    }

    fn alerts(&mut self) -> Vec<String> {
        let told = |report| match report {
            Report::Alert(Alert { name, raised, value, limit, .. }) => {
                format!("{name} {raised} {value}/{limit}")
            }
            Report::Audit(record) => record.action.to_string(),
        };
        self.reports().into_iter().map(told).collect()
    }
}

fn rule(per: Per, rate: u32, burst: u32, excess: Excess) -> RateRule {
    RateRule { per, messages: Some(Limits { rate, burst }), excess, ..RateRule::default() }
}

fn limited(rules: Vec<RateRule>) -> Story {
    Story::new(RateLimit::new(rules, 9).unwrap())
}

#[test]
fn tagging_goes_by_rules_in_order() {
    let scope = Scope::default();
    let rules = vec![
        TagRule { scope: Scope { users: vec!["ann".into()], ..scope.clone() }, tags: vec!["staff".into()] },
        TagRule { scope: Scope { tags: vec!["staff".into()], ..scope.clone() }, tags: vec!["known".into()] },
        TagRule {
            scope: Scope { dialects: vec!["json".into()], ..scope.clone() },
            tags: vec!["page".into()],
        },
    ];
    assert_eq!(Tagging::default().interest(), Interest::NONE);
    assert!(Tagging::new(vec![TagRule { scope, tags: vec!["a b".into()] }]).is_err());
    let mut chain = Chain::default();
    chain.add("tags", Box::new(Tagging::new(rules).unwrap()), Placement::default()).unwrap();
    let mut tags = |user, dialect| {
        let who = Who { user, ..Who::default() };
        let client = Client { session: None, who, listener: "", dialect, tags: &Tags::NONE };
        let tags = chain.connect(Instant::ZERO, &client).unwrap();
        tags.iter().map(String::from).collect::<Vec<_>>()
    };
    assert_eq!(tags("ann", "mqtt5"), ["known", "staff"]);
    assert_eq!(tags("bob", "json"), ["page"]);
}

#[test]
fn rates_are_counted_as_the_rule_says() {
    for (per, others) in [
        (Per::Session, [true, true, true]),
        (Per::User, [false, true, true]),
        (Per::Address, [false, false, true]),
        (Per::All, [false, false, false]),
    ] {
        let mut s = limited(vec![rule(per, 1, 1, Excess::Refuse)]);
        let first = s.session("ann", "192.0.2.1");
        let rest = [("ann", "192.0.2.1"), ("bob", "::ffff:192.0.2.1"), ("bob", "192.0.2.2")]
            .map(|(u, a)| s.session(u, a));
        assert_eq!(s.send(first, "t", ""), Ok(0));
        assert!(s.send(first, "t", "").is_err());
        let passed = rest.map(|key| s.send(key, "t", "").is_ok());
        assert_eq!(&passed[..2], &others[..2], "{per:?}");
        // Bob again: as a user he has had his.
        assert_eq!(passed[2], others[2] && per != Per::User, "{per:?}");
    }
    let mut s = limited(vec![rule(Per::Topic, 1, 1, Excess::Refuse)]);
    let (a, b) = (s.session("", "2001:db8::1"), s.session("", "2001:db8::ffff"));
    assert!(s.send(a, "t", "").is_ok() && s.send(b, "t", "").is_err() && s.send(b, "u", "").is_ok());
    // Who is no user counts by its address: of IPv6, its network.
    let mut s = limited(vec![rule(Per::User, 1, 1, Excess::Refuse)]);
    let (a, b, c) =
        (s.session("", "2001:db8::1"), s.session("", "2001:db8::ffff"), s.session("", "2001:db8:0:1::1"));
    assert!(s.send(a, "t", "").is_ok() && s.send(b, "t", "").is_err() && s.send(c, "t", "").is_ok());
}

#[test]
fn what_is_too_many_is_refused_with_a_time_dropped_or_the_end() {
    let mut s = limited(vec![rule(Per::Session, 10, 2, Excess::Refuse)]);
    let a = s.session("a", "");
    assert!(s.send(a, "t", "").is_ok() && s.send(a, "t", "").is_ok());
    let Err(Refusal::Plugin(why)) = s.send(a, "t", "") else { panic!("it is too many") };
    assert_eq!((why.status, why.retry_after), (Status::Busy, Some(Duration::from_millis(100))));
    s.pass(99);
    assert!(s.send(a, "t", "").is_err());
    s.pass(1);
    assert!(s.send(a, "t", "").is_ok());

    let mut s = limited(vec![rule(Per::Session, 10, 1, Excess::Drop)]);
    let (a, b) = (s.session("a", ""), s.listener("#"));
    assert_eq!((s.send(a, "t", "1"), s.send(a, "t", "2")), (Ok(1), Ok(0)));
    assert_eq!((s.take(b), s.notices()), (vec!["t=1".into()], vec![]));

    let mut s = limited(vec![rule(Per::Session, 10, 1, Excess::Disconnect)]);
    let a = s.session("a", "");
    assert!(s.send(a, "t", "").is_ok() && s.send(a, "t", "").is_err());
    let ended =
        |notice: &Notice| matches!(notice, Notice::Disconnect(key, DisconnectReason::Plugin(_)) if *key == a);
    assert!(matches!(&*s.notices(), [notice] if ended(notice)));
}

/// Nothing is lost, and in the long run no more comes than the rate.
#[test]
fn who_is_held_sends_no_faster_than_the_rate() {
    let mut s = limited(vec![rule(Per::Session, 10, 5, Excess::Hold)]);
    let (a, b) = (s.session("a", ""), s.listener("#"));
    let (mut held, mut sent) = (false, 0);
    for _ in 0..10_000 {
        for notice in s.notices() {
            held = match notice {
                Notice::Hold(key) if key == a => true,
                Notice::Release(key) if key == a => false,
                other => panic!("{other:?}"),
            };
        }
        if !held {
            // A client that has sent three on its way before it is not read any more.
            (0..3).for_each(|_| _ = s.send(a, "t", ""));
            sent += 3;
        }
        s.pass(1);
    }
    assert!((100..=100 + 5 + 3).contains(&sent), "{sent}");
    assert_eq!(s.take(b).len(), sent);
}

#[test]
fn octets_count_and_what_does_not_pass_is_not_charged() {
    let octets = Some(Limits { rate: 100, burst: 100 });
    let both = RateRule { octets, ..rule(Per::Session, 1, 2, Excess::Refuse) };
    let mut s = limited(vec![both]);
    let a = s.session("a", "");
    // Two octets of topic, and the payload.
    assert!(s.send(a, "t", &"x".repeat(90)).is_ok());
    assert!(s.send(a, "t", &"x".repeat(50)).is_err(), "octets");
    assert!(s.send(a, "t", "x").is_ok(), "the message before took no token");
    assert!(s.send(a, "t", "x").is_err(), "messages");
    let other = RateRule { topics: vec!["bulk/#".into()], ..rule(Per::All, 1, 1, Excess::Refuse) };
    let mut s = limited(vec![other]);
    let a = s.session("a", "");
    assert!((0..9).all(|_| s.send(a, "free", "").is_ok()));
    assert!(s.send(a, "bulk/1", "").is_ok() && s.send(a, "bulk/2", "").is_err());
    let bad = RateRule { topics: vec!["a/#/b".into()], ..rule(Per::All, 1, 1, Excess::Refuse) };
    assert!(RateLimit::new(vec![bad], 0).is_err());
    assert_eq!(RateLimit::new(vec![RateRule::default()], 0).unwrap().interest(), Interest::NONE);
}

/// A crowd of others does not buy one that is over its rate a new bucket.
#[test]
fn buckets_are_bounded_and_the_busy_ones_stay() {
    let limit = RateLimit::new(vec![rule(Per::Topic, 1, 1, Excess::Refuse)], 9).unwrap().with_buckets(100);
    let mut limit = limit;
    let (mut effects, tags) = (super::context::Effects::default(), Tags::default());
    let client = stranger(Who::default(), "", &tags);
    let mut send = |limit: &mut RateLimit, topic: &str| {
        let mut cx = Context::new(Instant::from_millis(5), 0, &mut effects);
        limit.message_in(&mut cx, &client, &Message::new(topic, b"").unwrap()) == Verdict::Pass
    };
    assert!(send(&mut limit, "busy"));
    for n in 0..10_000 {
        assert!(send(&mut limit, &format!("crowd/{n}")));
        assert!(!send(&mut limit, "busy"), "{n}");
        assert!(limit.buckets() <= 100);
    }
}

fn overloaded() -> Overload {
    let config = OverloadConfig {
        queued: Some(Limit { high: 8, low: 4 }),
        late: Some(Limit { high: 200, low: 100 }),
        spared: vec!["vip".into()],
        minor: vec!["guest".into()],
        minor_topics: vec!["log/#".into()],
        ..OverloadConfig::default()
    };
    Overload::new(config).unwrap()
}

#[test]
fn load_is_shed_in_stages_and_taken_again() {
    let mut s = Story::new(overloaded());
    let (a, guest, vip, b) = (s.session("a", ""), s.session("g", ""), s.session("v", ""), s.listener("#"));
    s.hub.tag(guest, "guest").unwrap();
    s.hub.tag(vip, "vip").unwrap();
    let door = |s: &mut Story, what: &str| {
        let mut tags = Tags::default();
        if what == "vip" {
            tags.insert(what).unwrap();
        }
        let (session, none) = (Some(a).filter(|_| what == "back"), Tags::NONE);
        let client = Client { session, ..stranger(Who::default(), "", &none) };
        let mut plugin = s.hub.remove_plugin(s.now, "it").unwrap();
        let wants = plugin.interest().contains(Interest::CONNECT);
        let mut effects = super::context::Effects::default();
        let mut cx = Context::new(s.now, 0, &mut effects);
        let open = !wants || plugin.connect(&mut cx, &client, &mut tags).is_ok();
        s.hub.add_plugin(s.now, "it", plugin, Placement::default()).unwrap();
        open
    };
    for _ in 0..8 {
        s.send(a, "t", "").unwrap();
    }
    assert!(door(&mut s, ""), "it has not looked yet");
    s.pass(100);
    assert_eq!(s.alerts(), ["overload true 1/1"]);
    assert!(!door(&mut s, "") && door(&mut s, "vip") && door(&mut s, "back"));
    assert!(s.send(guest, "t", "").is_ok() && s.send(a, "log/x", "").is_ok());
    s.pass(100);
    assert_eq!(s.alerts(), ["overload true 2/1"], "ten wait");
    assert!(!door(&mut s, "") && door(&mut s, "back"));
    assert!(s.send(guest, "t", "").is_err() && s.send(a, "log/x", "").is_err());
    assert!(s.send(a, "t", "").is_ok() && s.send(vip, "log/x", "").is_ok());
    s.pass(100);
    assert_eq!(s.alerts(), ["overload true 3/1"], "twelve wait");
    assert!(!door(&mut s, "") && !door(&mut s, "back") && door(&mut s, "vip"));
    let Err(Refusal::Plugin(why)) = s.send(a, "t", "") else { panic!("all is too much") };
    assert_eq!((why.status, why.retry_after), (Status::Busy, Some(Duration::from_secs(1))));
    assert!(s.send(vip, "t", "").is_ok());
    // Between low and high nothing changes.
    let mut left = 8;
    let some = |_: &Delivery<'_>| {
        left -= 1;
        left >= 0
    };
    s.hub.drain(s.now, b, some).unwrap();
    s.pass(100);
    assert_eq!((s.alerts(), s.hub.counters().queued), (vec!["overload true 1/1".into()], 5));
    s.take(b);
    s.pass(100);
    assert_eq!(s.alerts(), ["overload false 0/1"]);
    assert!(door(&mut s, "") && s.send(guest, "log/x", "").is_ok());
    assert_eq!(s.hub.plugins().next().unwrap().interest, Interest::TIMER, "it costs messages nothing again");
}

#[test]
fn a_turn_that_is_late_is_overload() {
    let mut s = Story::new(overloaded());
    s.pass(100);
    s.pass(250);
    assert_eq!(s.alerts(), Vec::<String>::new(), "150 ms late");
    s.pass(310);
    assert_eq!(s.alerts(), ["overload true 1/1"]);
    s.pass(100);
    assert_eq!(s.alerts(), ["overload false 0/1"]);
    assert_eq!(Overload::new(OverloadConfig::default()).unwrap().interest(), Interest::NONE);
}

proptest! {
    /// A value between low and high never changes the stage; each stage is left only at its part of low.
    #[test]
    fn a_stage_has_hysteresis(values in prop::collection::vec(0u64..40, 1..60)) {
        let mut config = OverloadConfig { queued: Some(Limit { high: 16, low: 8 }), ..OverloadConfig::default() };
        config.interval = Duration::from_millis(1);
        let mut overload = Overload::new(config).unwrap();
        let (mut effects, mut now) = (super::context::Effects::default(), Instant::ZERO);
        for queued in values {
            let before = overload.stage();
            now = now + Duration::from_millis(1);
            let counters = Counters { queued, ..Counters::default() };
            overload.handle_timeout(&mut Context::new(now, 0, &mut effects), &counters);
            let after = overload.stage();
            let up = |stage: u8| queued * 4 >= 16 * u64::from(stage + 3);
            let stays = |stage: u8| queued * 4 > 8 * u64::from(stage + 3);
            prop_assert!(after == 0 || up(after) || (after <= before && stays(after)));
            prop_assert!(after == 3 || !(up(after + 1) || (after < before && stays(after + 1))));
        }
    }
}

fn intercept(direction: Direction, topic: &str, then: Then) -> InterceptRule {
    InterceptRule { direction, topics: vec![topic.into()], then }
}

#[test]
fn interception_rules_go_in_order_each_about_what_is_left() {
    let change = |changes| Then::Change(changes);
    let rules = vec![
        intercept(Direction::In, "secret/#", Then::Refuse(Rejection::forbidden("that is not for here"))),
        intercept(Direction::In, "noise", Then::Drop),
        intercept(
            Direction::In,
            "old/#",
            change(vec![
                Change::Prefix { from: "old/".into(), to: "new/".into() },
                Change::UserProperty("by".into(), "hub".into()),
                Change::Lifetime(Duration::from_secs(5)),
                Change::NotRetained,
            ]),
        ),
        intercept(Direction::In, "new/#", Then::Copy("archive/".into())),
        intercept(Direction::Out, "new/pin", change(vec![Change::Payload(b"***".to_vec())])),
        intercept(Direction::Out, "archive/old", Then::Drop),
    ];
    let guests = Intercept::new(rules).unwrap();
    assert_eq!(guests.interest(), Interest::MESSAGE_IN | Interest::MESSAGE_OUT);
    let mut s = Story::new(guests);
    let (a, b) = (s.session("a", ""), s.listener("#"));
    let refused = s.send(a, "secret/x", "").unwrap_err();
    assert_eq!((refused.status(), s.send(a, "noise", "")), (Status::NotAuthorized, Ok(0)));
    let message =
        Message::new("old/pin", b"1234").unwrap().with_retain(true).with_quality(Quality::AtLeastOnce);
    s.hub.publish(s.now, a, message, None).unwrap();
    assert_eq!(s.hub.counters().retained, 0);
    let mut told = Vec::new();
    let taken = s.hub.drain(s.now, b, |delivery| {
        if let Delivery::Message { message, .. } = delivery {
            let list: Vec<_> =
                Properties::of_body(message.props()).iter().map(|p| format!("{p:?}")).collect();
            told.push(format!("{} {:?} {}", message.topic(), message.payload(), list.join(" ")));
            assert_eq!(message.expires(), Some(Instant::from_millis(6000)));
        }
        true
    });
    taken.unwrap();
    let list = format!("{:?} {:?}", Property::Expiry(Duration::from_secs(5)), Property::User("by", "hub"));
    assert_eq!(
        told,
        [format!("new/pin {:?} {list}", b"***"), format!("archive/new/pin {:?} {list}", b"1234")]
    );
    assert_eq!((s.send(a, "archive/old", ""), s.take(b)), (Ok(1), vec![]), "kept from each receiver");
}

#[test]
fn a_rewrite_that_makes_no_topic_is_refused() {
    let strip = Change::Prefix { from: "a".into(), to: String::new() };
    let mut s =
        Story::new(Intercept::new(vec![intercept(Direction::In, "#", Then::Change(vec![strip]))]).unwrap());
    let a = s.session("a", "");
    assert_eq!(s.send(a, "a", "").unwrap_err().status(), Status::Invalid);
    assert!(s.send(a, "ab", "").is_ok() && s.send(a, "b", "").is_ok());
    assert_eq!(s.send(a, "a$SYS/x", "").unwrap_err().status(), Status::Invalid);
    assert!(Intercept::new(vec![intercept(Direction::In, "#", Then::Copy("#".into()))]).is_err());
    assert_eq!(Intercept::default().interest(), Interest::NONE);
}

#[test]
fn a_heart_beats_at_intervals_whoever_listens() {
    let mut s = Story::new(Heartbeat::new("$SYS/heartbeat", Duration::from_secs(5)).unwrap());
    let b = s.listener("$SYS/heartbeat");
    assert_eq!(s.take(b), Vec::<String>::new(), "the first came before");
    s.pass(4999);
    assert_eq!(s.take(b).len(), 0);
    s.pass(1);
    let beat = r#"{"beat":2,"uptime_ms":5000,"sessions":1,"connected":1,"messages_in":0,"messages_out":0,"queued":0,"dropped":0}"#;
    assert_eq!(s.take(b), [format!("$SYS/heartbeat={beat}")]);
    s.pass(23_000);
    assert_eq!(s.take(b).len(), 1, "those that were missed are left out");
    s.pass(5_000);
    assert!(s.take(b)[0].contains(r#""beat":4,"uptime_ms":33000,"#));
    assert!(Heartbeat::new("a/#", Duration::ZERO).is_err());
}

#[test]
fn the_audit_log_says_who_and_what_and_never_a_payload() {
    let all = Audited { sessions: true, denials: true, subscriptions: true, publishes: true };
    let mut s = Story::new(Audit::new(all));
    let a = s.session("ann", "192.0.2.7");
    s.hub.arrive(s.now, a, (Arc::from("0.0.0.0:1883"), "mqtt5"), Some(Tags::default()), true);
    s.hub.tag(a, "staff").unwrap();
    s.hub.subscribe(s.now, a, 1, "home/#", SubscribeOptions::default()).unwrap();
    s.hub.set_access(Box::new(crate::access::Decision::DENY));
    s.send(a, &format!("home/{}", "x".repeat(400)), "hunter2").unwrap_err();
    s.hub.set_access(Box::new(crate::access::Decision::ALLOW));
    s.send(a, "home/door", "hunter2").unwrap();
    let reports = s.reports();
    assert!(!format!("{reports:?}").contains("hunter2"));
    let told: Vec<_> = reports
        .iter()
        .map(|report| match report {
            Report::Audit(r) => {
                assert_eq!(
                    (&*r.user, &*r.client_id, r.at, r.session),
                    ("ann", "ann", s.now, Some(a.number()))
                );
                assert_eq!((&*r.listener, &*r.dialect), ("0.0.0.0:1883", "mqtt5"));
                assert_eq!(r.address, "192.0.2.7".parse().ok());
                (r.action, r.outcome, r.subject.len(), r.tags.len())
            }
            Report::Alert(_) => panic!("no alert"),
        })
        .collect();
    let expected = [
        ("resume", "ok", 0, 0),
        ("subscribe", "ok", 6, 1),
        ("publish", "denied", 256, 1),
        ("publish", "ok", 9, 1),
    ];
    assert_eq!(told, expected);
    assert_eq!(Audit::default().interest(), Interest::OPENED | Interest::CLOSED | Interest::DENIED);
}

#[test]
fn an_alert_waits_for_its_time_both_ways() {
    let hold = Duration::from_secs(2);
    let threshold = |name: &str, metric, above| Threshold { name: name.into(), metric, above, hold };
    let thresholds = vec![threshold("full", Metric::Queued, 2), threshold("busy", Metric::MessagesIn, 3)];
    let mut s = Story::new(Monitor::new(thresholds, Duration::from_secs(1)));
    let (a, b) = (s.session("a", ""), s.listener("#"));
    let fill = |s: &mut Story, n: usize| (0..n).for_each(|_| _ = s.send(a, "t", "").unwrap());
    fill(&mut s, 3);
    s.pass(1000);
    s.pass(1000);
    assert_eq!(s.alerts(), Vec::<String>::new());
    s.pass(1000);
    assert_eq!(s.alerts(), ["full true 3/2"]);
    s.take(b);
    s.pass(1000);
    fill(&mut s, 3);
    s.pass(1000);
    s.take(b);
    s.pass(1000);
    s.pass(1000);
    assert_eq!(s.alerts(), Vec::<String>::new(), "it was too much again in between");
    s.pass(1000);
    assert_eq!(s.alerts(), ["full false 0/2"]);
    for _ in 0..3 {
        fill(&mut s, 4);
        s.take(b);
        s.pass(1000);
    }
    assert_eq!(s.alerts(), ["busy true 4/3"]);
    for metric in Metric::ALL {
        assert_eq!(Metric::named(metric.label()), Some(metric));
    }
}
