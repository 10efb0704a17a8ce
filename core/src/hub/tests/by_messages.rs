//! Requests to and from sessions that have none of their own, but messages with a response topic.

use super::*;
use crate::access::{Access, Action, Decision, Who};
use crate::session::{Block, Properties, Property};

/// A message with a response topic and correlation data, at least once.
fn question(answer_to: &'static str, expiry: Option<u64>) -> Message {
    let expiry = expiry.map(Duration::from_millis);
    let list = expiry.map(Property::Expiry).into_iter();
    let list = list.chain([Property::ResponseTopic(answer_to), Property::Correlation(b"c7")]);
    let message = Message::assemble(Block(list), "add", b"1+2").unwrap().with_reliable(true);
    expiry.map_or(message.clone(), |d| message.with_expiry(Instant::from_millis(1000) + d))
}

/// How a delivery that is a message shows its correlation data and status.
fn answer_line(d: &Delivery<'_>) -> String {
    let Delivery::Message { sid, message, quality, .. } = d else { return line(d) };
    let mut text = format!("{sid}/{} {}", quality.number(), line(d));
    for property in Properties::of_body(message.props()).iter() {
        match property {
            Property::Correlation(data) => text += &format!(" <{}>", String::from_utf8_lossy(data)),
            Property::User(name, value) => text += &format!(" {name}:{value}"),
            Property::ContentType(what) => text += &format!(" {what}"),
            other => text += &format!(" {other:?}"),
        }
    }
    text
}

impl Story {
    /// A session as of MQTT 5.
    fn talker(&mut self) -> SessionKey {
        let key = self.session_with(SessionOptions { by_id: true, ..SessionOptions::default() });
        self.hub.set_by_messages(key, true).unwrap();
        key
    }

    fn filter(&mut self, key: SessionKey, filter: &str) {
        self.hub.subscribe_filter(self.now, key, filter, 0, RELIABLE).unwrap();
    }

    fn request(&mut self, key: SessionKey, id: u64, many: bool) {
        let message = Message::new("add", b"1+2").unwrap();
        let options = RequestOptions { many, timeout: Duration::from_millis(500) };
        self.hub.request(self.now, key, id, message, options).unwrap();
    }

    /// Takes the ids of the requests that wait for a session, and nothing else.
    fn asked(&mut self, key: SessionKey) -> Vec<u64> {
        let mut ids = Vec::new();
        let take = |d: &Delivery<'_>| {
            let Delivery::Request { id, message, .. } = d else { panic!("{}", line(d)) };
            assert_eq!((message.topic(), message.payload()), ("add", &b"1+2"[..]));
            ids.push(*id);
            true
        };
        self.hub.drain(self.now, key, take).unwrap();
        ids
    }

    fn respond(&mut self, key: SessionKey, id: u64, status: Status, more: bool) -> Result<(), Refusal> {
        self.hub.respond(self.now, key, id, status, more, Message::response("3"))
    }

    /// What a session is handed, with what an answer carries; all of it is settled.
    fn answers(&mut self, key: SessionKey) -> Vec<String> {
        self.ready();
        let (mut lines, mut ids) = (Vec::new(), Vec::new());
        let take = |d: &Delivery<'_>| {
            lines.push(answer_line(d));
            if let Delivery::Message { id, .. } = d {
                ids.push(*id);
            }
            true
        };
        self.hub.drain(self.now, key, take).unwrap();
        for id in ids {
            self.hub.settle(self.now, key, id).unwrap();
        }
        self.hub.check_invariants().unwrap();
        lines
    }
}

#[test]
fn a_subscriber_answers_where_nobody_serves() {
    let mut s = Story::new();
    let (asker, b, plain) = (s.session(), s.talker(), s.session());
    s.filter(b, "add");
    s.subscribe(plain, 1, "add");
    s.request(asker, 5, false);
    let [id] = s.asked(b)[..] else { panic!() };
    assert_eq!(s.take(plain), Vec::<String>::new(), "it has no way to answer");
    assert_eq!(s.respond(plain, id, Status::Ok, false), Err(Refusal::NotAuthorized), "nor may others");
    s.respond(b, id, Status::Ok, false).unwrap();
    assert_eq!(s.respond(b, id, Status::Ok, false), Err(Refusal::NotFound));
    assert_eq!(s.take(asker), ["5: Ok 3"]);
    assert_eq!((s.hub.counters().requests_in_flight, s.hub.poll_timeout()), (0, None));
}

#[test]
fn who_serves_goes_before_who_subscribed() {
    let mut s = Story::new();
    let (asker, b, c) = (s.session(), s.talker(), s.session());
    s.filter(b, "add");
    s.subscribe_with(c, 1, "add", SERVE);
    s.request(asker, 1, false);
    s.request(asker, 2, true);
    assert_eq!((s.asked(b).len(), s.asked(c).len()), (0, 2));
}

#[test]
fn subscribers_take_turns_and_wildcards_come_last() {
    let mut s = Story::new();
    let (asker, monitor, b, c) = (s.session(), s.talker(), s.talker(), s.talker());
    s.filter(monitor, "#");
    s.request(asker, 1, false);
    assert_eq!(s.asked(monitor).len(), 1, "it is the only one");
    s.filter(b, "add");
    s.filter(c, "add");
    for id in 2..6 {
        s.request(asker, id, false);
    }
    assert_eq!([monitor, b, c].map(|key| s.asked(key).len()), [0, 2, 2]);
}

#[test]
fn all_subscribers_are_asked_once_each() {
    let mut s = Story::new();
    let (asker, b, c, d) = (s.session(), s.talker(), s.talker(), s.talker());
    for filter in ["add", "+", "#"] {
        s.filter(b, filter);
    }
    s.filter(c, "$share/g/add");
    s.filter(d, "$share/g/add");
    s.request(asker, 5, true);
    let ids = [b, c, d].map(|key| s.asked(key));
    assert_eq!(ids[0].len(), 1, "whichever and how many of its subscriptions match");
    assert_eq!(ids[1].len() + ids[2].len(), 1, "one of the group");
    s.respond(b, ids[0][0], Status::Ok, false).unwrap();
    assert_eq!(s.take(asker), ["5: Ok+ 3"]);
    s.pass(500);
    assert_eq!(s.take(asker), ["5: Timeout"]);
    assert_eq!(s.take(if ids[1].is_empty() { d } else { c }), ["cancel"]);
}

#[test]
fn a_subscriber_that_does_not_answer() {
    let mut s = Story::new();
    let (asker, b) = (s.session(), s.talker());
    s.filter(b, "add");
    s.request(asker, 1, false);
    s.request(asker, 2, false);
    let ids = s.asked(b);
    s.hub.cancel(s.now, asker, 1).unwrap();
    assert_eq!(s.take(b), ["cancel"]);
    s.hub.detach(s.now, b).unwrap();
    assert_eq!(s.take(asker), ["2: ResponderGone"]);
    s.request(asker, 3, false);
    assert_eq!(s.take(asker), ["3: NoResponder"], "it is away");
    s.hub.reattach(s.now, b, 10, None).unwrap();
    assert!(ids.iter().all(|id| s.respond(b, *id, Status::Ok, false) == Err(Refusal::NotFound)));
    s.hub.set_by_messages(b, false).unwrap();
    s.request(asker, 4, false);
    assert_eq!(s.take(asker), ["4: NoResponder"], "now it speaks a version without response topics");
}

#[test]
fn a_message_with_a_response_topic_is_a_request_to_who_serves() {
    let mut s = Story::new();
    let (asker, listener, c) = (s.talker(), s.session(), s.session());
    s.filter(asker, "answers/+");
    s.subscribe_with(c, 1, "add", SERVE);
    s.subscribe(listener, 1, "add");
    let outcome = s.hub.publish(s.now, asker, question("answers/a", None), None).unwrap();
    assert_eq!((outcome.matched, outcome.queued), (2, 2));
    assert_eq!(s.take(listener), ["1! add=1+2"], "a message all the same");
    let [id] = s.asked(c)[..] else { panic!() };
    let list = [Property::ContentType("text/plain"), Property::Correlation(b"its own")].into_iter();
    let answer = Message::assemble(Block(list), "x", b"3").unwrap();
    s.hub.respond(s.now, c, id, Status::Ok, true, answer).unwrap();
    s.respond(c, id, Status::Other(99), false).unwrap();
    assert_eq!(s.respond(c, id, Status::Ok, false), Err(Refusal::NotFound));
    let told = s.answers(asker);
    assert_eq!(told.len(), 2);
    assert!(
        told[0].ends_with("! answers/a=3 text/plain <c7>"),
        "at least once, as it was asked: {}",
        told[0]
    );
    assert!(told[1].ends_with("! answers/a=3 status:99 <c7>"), "{}", told[1]);
    assert_eq!((s.hub.counters().requests_in_flight, s.hub.poll_timeout()), (0, None));
}

#[test]
fn a_message_that_asks_is_told_what_went_wrong() {
    let mut s = Story::new();
    let (asker, c) = (s.talker(), s.session());
    s.filter(asker, "answers/+");
    s.subscribe_with(c, 1, "add", SERVE);
    // The message expires before the answer's default time has passed.
    s.hub.publish(s.now, asker, question("answers/a", Some(300)), None).unwrap();
    assert_eq!(s.asked(c).len(), 1);
    s.pass(299);
    assert_eq!(s.answers(asker), Vec::<String>::new());
    s.pass(1);
    let told = s.answers(asker);
    assert!(told[0].ends_with("! answers/a= status:TIMEOUT <c7>"), "{told:?}");
    assert_eq!(s.take(c), ["cancel"]);
    s.hub.publish(s.now, asker, question("answers/a", None), None).unwrap();
    s.hub.remove(s.now, c).unwrap();
    let told = s.answers(asker);
    assert!(told[0].ends_with("! answers/a= status:RESPONDER_GONE <c7>"), "{told:?}");
}

#[test]
fn what_is_no_request() {
    let mut s = Story::new();
    let (asker, own, c) = (s.talker(), s.session(), s.session());
    s.filter(asker, "#");
    let publish = |s: &mut Story, key, to| {
        s.hub.publish(s.now, key, question(to, None), None).unwrap();
        let n = s.asked(c).len();
        s.hub.check_invariants().unwrap();
        n
    };
    assert_eq!(publish(&mut s, asker, "answers/a"), 0, "nobody serves");
    s.subscribe_with(c, 1, "add", SERVE);
    assert_eq!(publish(&mut s, own, "answers/a"), 0, "it has requests of its own");
    assert_eq!(publish(&mut s, asker, "$SYS/x"), 0, "a topic of the server's own");
    s.publish(asker, "add", "no response topic");
    assert_eq!(s.asked(c).len(), 0);
    assert_eq!(publish(&mut s, asker, "answers/a"), 1);
    s.hub.detach(s.now, c).unwrap();
    s.hub.publish(s.now, asker, question("answers/a", None), None).unwrap();
    let lines = s.answers(asker);
    let failed = lines.iter().filter(|l| l.contains("status:")).count();
    assert_eq!(failed, 1, "only that whose responder went: {lines:?}");
}

/// An answer goes where who gives it may publish, whoever chose the topic.
#[test]
fn an_answer_needs_the_right_to_publish_it() {
    struct NotThere;
    impl Access for NotThere {
        fn decide(&self, _: &Who<'_>, action: Action, subject: &str) -> Decision {
            (action != Action::Publish || !subject.starts_with("admin/")).into()
        }
    }
    let mut s = Story::new();
    let (asker, c) = (s.talker(), s.session());
    s.filter(asker, "admin/#");
    s.subscribe_with(c, 1, "add", SERVE);
    s.hub.set_access(Box::new(NotThere));
    s.hub.publish(s.now, asker, question("admin/command", None), None).unwrap();
    let [id] = s.asked(c)[..] else { panic!() };
    assert_eq!(s.respond(c, id, Status::Ok, false), Err(Refusal::NotAuthorized));
    assert_eq!(s.answers(asker), Vec::<String>::new());
    assert_eq!(s.hub.counters().requests_in_flight, 0, "and it is over");
}

#[test]
fn requests_by_messages_are_limited_like_others() {
    let mut s = Story::with(HubOptions { max_requests_per_session: 1, ..HubOptions::default() });
    let (asker, c) = (s.talker(), s.session());
    s.filter(asker, "answers/+");
    s.subscribe_with(c, 1, "add", SERVE);
    for _ in 0..2 {
        s.hub.publish(s.now, asker, question("answers/a", None), None).unwrap();
    }
    assert_eq!(s.asked(c).len(), 1);
    let told = s.answers(asker);
    assert!(told.len() == 1 && told[0].ends_with("status:QUOTA <c7>"), "{told:?}");
    s.hub.detach(s.now, asker).unwrap();
    assert_eq!(s.take(c), ["cancel"], "requests do not outlive a connection");
}
