//! Plugins on the hub: what they see, what becomes of what they say.

use std::sync::Arc;
use std::sync::Mutex;
use std::vec;

use super::*;
use crate::access::{Access, Action, Decision, Who};
use crate::hub::{PublishKey, Will};
use crate::plugin::{
    Alert, Ask, BadPlugin, Client, Context, Interest, Placement, Plugin, Rejection, Report, Scope, Verdict,
};

const NO: Rejection = Rejection::quota("no");

/// What plugins saw, for all of a test.
type Log = Arc<Mutex<Vec<String>>>;

/// Judges by the last word of the payload, and writes down what it is asked.
struct Scripted(&'static str, Log, Interest);

impl Scripted {
    fn verdict(message: &Message) -> Verdict {
        let payload = String::from_utf8_lossy(message.payload()).into_owned();
        let said = |word: &str| payload.split(' ').any(|w| w == word);
        match () {
            () if said("drop") => Verdict::Drop,
            () if said("refuse") => Verdict::Refuse(NO),
            () if said("change") => Verdict::Change(
                message.clone().with_payload(payload.replace("change", "changed!").as_bytes()),
            ),
            () if said("rename") => Verdict::Change(message.clone().with_topic("other").unwrap()),
            () if said("room") => Verdict::Change(message.clone().with_topic("$room/x").unwrap()),
            () => Verdict::Pass,
        }
    }

    fn note(&self, what: &str) {
        self.1.lock().unwrap().push(format!("{} {what}", self.0));
    }
}

impl Plugin for Scripted {
    fn interest(&self) -> Interest {
        self.2
    }

    fn denied(&mut self, _: &mut Context<'_>, _: &Client<'_>, ask: &Ask<'_>, reason: &str) {
        self.note(&format!("denied {} {}: {reason}", ask.label(), ask.subject()));
    }

    fn asked(&mut self, _: &mut Context<'_>, client: &Client<'_>, ask: &Ask<'_>) -> Result<(), Rejection> {
        self.note(&format!("{} {} by {}", ask.label(), ask.subject(), client.who.user));
        if ask.subject().starts_with("no") { Err(NO) } else { Ok(()) }
    }

    fn message_in(&mut self, cx: &mut Context<'_>, client: &Client<'_>, message: &Message) -> Verdict {
        self.note(&format!("in {}", String::from_utf8_lossy(message.payload())));
        if message.payload().starts_with(b"copy") {
            cx.publish(message.clone().with_topic(&format!("copy/{}", message.topic())).unwrap());
        }
        if message.payload().starts_with(b"hold") {
            cx.hold(client.session.unwrap(), cx.now() + Duration::from_millis(500));
        }
        if message.payload().starts_with(b"bye") {
            cx.disconnect(client.session.unwrap(), NO);
        }
        if message.payload().starts_with(b"tag") {
            cx.tag(client.session.unwrap(), "seen").unwrap();
        }
        if message.payload().starts_with(b"much") {
            (0..100).for_each(|_| cx.publish(message.clone().with_payload(b"one")));
        }
        Self::verdict(message)
    }

    fn message_out(&self, _: Instant, _: &Client<'_>, message: &Message) -> Verdict {
        self.note(&format!("out {}", String::from_utf8_lossy(message.payload())));
        let of_out = message.payload().starts_with(b"out");
        if of_out { Self::verdict(message) } else { Verdict::Pass }
    }
}

struct Chained {
    s: Story,
    log: Log,
}

impl Chained {
    fn new() -> Self {
        Self { s: Story::new(), log: Log::default() }
    }

    fn add(&mut self, name: &'static str, interest: Interest, placement: Placement) {
        let plugin = Scripted(name, Arc::clone(&self.log), interest);
        self.s.hub.add_plugin(self.s.now, name, Box::new(plugin), placement).unwrap();
    }

    fn seen(&self) -> Vec<String> {
        core::mem::take(&mut *self.log.lock().unwrap())
    }

    fn offer(&mut self, key: SessionKey, topic: &str, payload: &str) -> Result<PublishOutcome, Refusal> {
        let message = Message::new(topic, payload.as_bytes()).unwrap().with_reliable(true);
        self.s.hub.publish(self.s.now, key, message, None)
    }
}

/// Publisher and subscriber of everything, with one plugin that sees messages both ways.
fn pair() -> (Chained, SessionKey, SessionKey) {
    let mut c = Chained::new();
    c.add("p", Interest::MESSAGE_IN | Interest::MESSAGE_OUT, Placement::default());
    let (a, b) = (c.s.session(), c.s.session());
    c.s.subscribe(b, 1, "#");
    (c, a, b)
}

#[test]
fn the_chain_is_asked_in_order_and_the_first_no_counts() {
    let mut c = Chained::new();
    c.add("b", Interest::MESSAGE_IN, Placement::default());
    c.add("c", Interest::MESSAGE_IN, Placement::default());
    c.add("a", Interest::MESSAGE_IN, Placement { before: Some("b".into()), ..Placement::default() });
    let a = c.s.session();
    c.offer(a, "t", "change").unwrap();
    assert_eq!(c.seen(), ["a in change", "b in changed!", "c in changed!"]);
    assert_eq!(c.offer(a, "t", "refuse"), Err(Refusal::Plugin(NO)));
    assert_eq!(c.seen(), ["a in refuse"]);
    assert_eq!(Refusal::Plugin(NO).status(), Status::Quota);
    let names: Vec<_> = c.s.hub.plugins().map(|p| p.name).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let first = c.s.hub.plugins().next().unwrap();
    assert_eq!((first.messages, first.changed, first.refused), (2, 1, 1));
    let again = Scripted("a", Log::default(), Interest::NONE);
    assert_eq!(
        c.s.hub.add_plugin(c.s.now, "a", Box::new(again), Placement::default()),
        Err(BadPlugin::Exists)
    );
    assert_eq!(c.s.hub.enable_plugin(c.s.now, "x", true), Err(BadPlugin::Unknown));
}

#[test]
fn who_changes_a_message_changes_it_for_all_and_who_drops_it_is_not_told_of() {
    let (mut c, a, b) = pair();
    assert_eq!(c.offer(a, "t", "change").unwrap().matched, 1);
    assert_eq!(c.offer(a, "t", "drop").unwrap(), PublishOutcome::default());
    assert_eq!(c.offer(a, "t", "rename").unwrap().matched, 1);
    assert_eq!(c.s.take(b), ["1! t=changed!", "1! other=rename"]);
    // Rooms, queues and what the server says are other worlds.
    let refused = c.offer(a, "t", "room").unwrap_err();
    assert_eq!(refused.status(), Status::Invalid);
    assert_eq!(c.s.hub.counters().rooms, 0);
}

/// One that is known by its id was judged; one that was refused may come again.
#[test]
fn a_duplicate_is_not_judged_again() {
    let (mut c, a, _) = pair();
    let message = |payload: &str| Message::new("t", payload.as_bytes()).unwrap();
    for (n, (payload, again)) in [("pass", true), ("drop", true), ("refuse", false)].into_iter().enumerate() {
        let dedup = Some(payload.as_bytes());
        let first = c.s.hub.publish(c.s.now, a, message(payload), dedup);
        let second = c.s.hub.publish(c.s.now, a, message(payload), dedup);
        assert_eq!((first.is_ok(), second.is_ok_and(|o| o.duplicate)), (again, again), "{payload}");
        let seen = c.seen();
        assert_eq!(seen.len(), if again { 1 } else { 2 }, "{seen:?}");
        for id in [1, 2] {
            let id = id + 10 * n as u16;
            let first = c.s.hub.publish_once(c.s.now, a, id, message(payload));
            let second = c.s.hub.publish_once(c.s.now, a, id, message(payload));
            assert_eq!((first.is_ok(), second.is_ok_and(|o| o.duplicate)), (again, again), "{payload}");
        }
        assert_eq!(c.seen().len(), if again { 2 } else { 4 });
        let key = PublishOptions {
            key: Some(PublishKey::Session(payload.as_bytes())),
            ..PublishOptions::default()
        };
        let first = c.s.hub.publish_with(c.s.now, a, message(payload), &key);
        let second = c.s.hub.publish_with(c.s.now, a, message(payload), &key);
        assert_eq!((first.is_ok(), second.is_ok_and(|o| o.duplicate)), (again, again), "{payload}");
        c.seen();
    }
}

#[test]
fn a_copy_goes_out_with_its_message_and_not_without() {
    let (mut c, a, b) = pair();
    c.offer(a, "t", "copy").unwrap();
    assert_eq!(c.s.take(b), ["1! t=copy", "1! copy/t=copy"]);
    c.offer(a, "t", "copy refuse").unwrap_err();
    let retained = HubOptions { max_retained: 0, ..HubOptions::default() };
    assert!(c.s.take(b).is_empty());
    // The hub has the last word.
    let mut c = Chained { s: Story::with(retained), log: Log::default() };
    c.add("p", Interest::MESSAGE_IN, Placement::default());
    let (a, b) = (c.s.session(), c.s.session());
    c.s.subscribe(b, 1, "#");
    let kept = Message::new("t", b"copy").unwrap().with_retain(true);
    assert!(matches!(c.s.hub.publish(c.s.now, a, kept, None), Err(Refusal::Quota(_))));
    assert!(c.s.ready().is_empty() && c.s.take(b).is_empty());
}

/// What was withheld is settled, and what comes behind it is not held up; credit counts what was sent.
#[test]
fn on_the_way_out_each_receiver_is_judged_by_itself() {
    let mut c = Chained::new();
    let guests = Scope { users: vec!["guest".into()], ..Scope::default() };
    c.add("p", Interest::MESSAGE_OUT, Placement { scope: guests, ..Placement::default() });
    let a = c.s.session();
    let staff = c.s.session_with(SessionOptions { identity: "staff", ..SessionOptions::default() });
    let guest = c.s.session_with(SessionOptions { identity: "guest", ..SessionOptions::default() });
    let options = SubscribeOptions { credit: Some(20), ..RELIABLE };
    for b in [staff, guest] {
        c.s.subscribe_with(b, 1, "t", options);
    }
    for payload in ["out drop", "out change", "out"] {
        c.offer(a, "t", payload).unwrap();
    }
    // 11 octets and 14; 14 and 16 of the changed one.
    assert_eq!(c.s.take(staff), ["1! t=out drop", "1! t=out change"]);
    assert_eq!(c.s.take(guest), ["1! t=out changed!", "1! t=out"]);
    assert_eq!((c.s.hub.reliable(staff), c.s.hub.reliable(guest)), (Some((0, 2)), Some((0, 2))));
    assert_eq!(c.s.hub.counters().dropped.refused, 1);
    c.s.hub.ack(c.s.now, guest, 2).unwrap();
    c.s.hub.check_invariants().unwrap();
    let p = c.s.hub.plugins().next().unwrap();
    assert_eq!((p.messages, p.changed, p.dropped), (3, 1, 1));
}

/// What is not changed is the same octets for everybody.
#[test]
fn what_no_plugin_changes_is_shared() {
    let (mut c, a, b) = pair();
    let third = c.s.session();
    c.s.subscribe(third, 1, "#");
    c.offer(a, "t", "pass").unwrap();
    let mut bodies = vec![];
    for key in [b, third] {
        let taken = c.s.hub.drain(c.s.now, key, |delivery| {
            let Delivery::Message { message, .. } = delivery else { return false };
            bodies.push(message.body().clone());
            true
        });
        taken.unwrap();
    }
    assert_eq!(bodies[0].as_ptr(), bodies[1].as_ptr());
}

/// One that had no room is judged again; over another connection it comes though it would be dropped now.
#[test]
fn what_was_handed_out_comes_again() {
    let (mut c, a, b) = pair();
    c.s.hub.enable_plugin(c.s.now, "p", false).unwrap();
    c.offer(a, "t", "out drop").unwrap();
    c.offer(a, "t", "out change").unwrap();
    assert_eq!(c.s.take(b).len(), 2);
    c.s.hub.enable_plugin(c.s.now, "p", true).unwrap();
    c.s.hub.detach(c.s.now, b).unwrap();
    c.s.hub.reattach(c.s.now, b, 10, None).unwrap();
    assert_eq!(c.s.take_some(b, 1), ["1! t=out drop"]);
    assert_eq!(c.s.take(b), ["1! t=out changed!"]);
    assert_eq!(c.seen(), ["p out out drop", "p out out change", "p out out change"]);
}

#[test]
fn retained_messages_history_of_rooms_and_requests_pass_the_chain() {
    let (mut c, a, b) = pair();
    let kept = Message::new("kept", b"out change").unwrap().with_retain(true);
    c.s.hub.publish(c.s.now, a, kept, None).unwrap();
    c.s.hub.join(c.s.now, a, 9, "lobby", &JoinOptions::default()).unwrap();
    c.offer(a, "$room/lobby", "out drop").unwrap();
    c.offer(a, "$room/lobby", "out").unwrap();
    let late = c.s.session();
    c.s.subscribe(late, 1, "kept");
    assert_eq!(c.s.take(late), ["1 kept=out changed!"]);
    let join = JoinOptions { history: 10, presence: PresenceMode::Count, ..JoinOptions::default() };
    c.s.hub.join(c.s.now, late, 9, "lobby", &join).unwrap();
    assert_eq!(c.s.take(late)[0], "9 $room/lobby=out", "the past as well");
    c.s.subscribe_with(b, 2, "ask", SERVE);
    let ask = |payload: &str| Message::new("ask", payload.as_bytes()).unwrap();
    let mut request =
        |id, payload: &str| c.s.hub.request(c.s.now, a, id, ask(payload), RequestOptions::default());
    request(1, "change").unwrap();
    assert_eq!(request(2, "refuse"), Err(Refusal::Plugin(NO)));
    assert_eq!(request(3, "drop").unwrap_err().status(), Status::Rejected);
    request(4, "out drop me").unwrap_err();
    assert!(c.s.take(b).contains(&"2? ask=changed! 30000ms".to_string()));
    c.s.hub.check_invariants().unwrap();
}

#[test]
fn who_may_not_subscribe_is_told() {
    let mut c = Chained::new();
    c.add("p", Interest::ASKED | Interest::DENIED | Interest::MESSAGE_IN, Placement::default());
    let a = c.s.session_with(SessionOptions { identity: "ann", ..SessionOptions::default() });
    let now = c.s.now;
    c.s.hub.subscribe(now, a, 1, "$share/g/yes", RELIABLE).unwrap();
    assert_eq!(c.s.hub.subscribe(now, a, 2, "no/+", SERVE), Err(Refusal::Plugin(NO)));
    assert!(c.s.hub.join(now, a, 3, "nowhere", &JoinOptions::default()).is_err());
    c.s.hub.join(now, a, 3, "lobby", &JoinOptions::default()).unwrap();
    c.offer(a, "t", "refuse").unwrap_err();
    struct Nothing;
    impl Access for Nothing {
        fn decide(&self, _: &Who<'_>, _: Action, _: &str) -> Decision {
            Decision::DENY
        }
    }
    c.s.hub.set_access(Box::new(Nothing));
    c.offer(a, "t", "x").unwrap_err();
    assert_eq!(
        c.seen(),
        [
            "p subscribe yes by ann",
            "p serve no/+ by ann",
            "p denied serve no/+: no",
            "p join nowhere by ann",
            "p denied join nowhere: no",
            "p join lobby by ann",
            "p in refuse",
            "p denied publish t: no",
            "p denied publish t: the access rules do not allow it"
        ]
    );
}

/// Held until the time that the plugin said; a new connection is held as well.
#[test]
fn who_is_held_is_let_go() {
    let (mut c, a, _) = pair();
    c.offer(a, "t", "hold").unwrap();
    assert_eq!(c.s.notices(), [Notice::Hold(a)]);
    c.s.hub.detach(c.s.now, a).unwrap();
    c.s.hub.reattach(c.s.now, a, 10, None).unwrap();
    assert_eq!(c.s.notices(), [Notice::Hold(a)]);
    c.s.hub.check_invariants().unwrap();
    assert_eq!(c.s.hub.poll_timeout(), Some(Deadline::new(Instant::from_millis(1500), Why::Rate)));
    c.s.pass(400);
    c.offer(a, "t", "hold").unwrap();
    c.s.pass(100);
    assert_eq!(c.s.notices(), [], "the later one counts");
    c.s.pass(400);
    assert_eq!(c.s.notices(), [Notice::Release(a)]);
    c.offer(a, "t", "hold").unwrap();
    c.s.hub.remove(c.s.now, a).unwrap();
    c.s.hub.check_invariants().unwrap();
    assert_eq!(c.s.hub.poll_timeout(), None);
}

#[test]
fn effects_are_done_and_bounded() {
    let (mut c, a, b) = pair();
    c.offer(a, "t", "bye").unwrap();
    assert_eq!(c.s.notices(), [Notice::Disconnect(a, DisconnectReason::Plugin(NO))]);
    c.offer(a, "t", "tag").unwrap();
    assert!(c.s.hub.tags(a).contains("seen"));
    assert_eq!((c.s.hub.untag(a, "seen"), c.s.hub.untag(a, "seen")), (Ok(true), Ok(false)));
    assert!(c.s.hub.tag(a, "a b").is_err() && c.s.hub.tag(a, "ab").is_ok());
    c.s.take(b);
    c.offer(a, "t", "much").unwrap();
    assert_eq!(c.s.take(b).len(), 65);
    assert_eq!(c.s.hub.plugins().next().unwrap().overruns, 36);
}

#[test]
fn plugins_come_and_go_between_messages() {
    let (mut c, a, b) = pair();
    c.offer(a, "t", "change").unwrap();
    assert!(c.s.hub.enable_plugin(c.s.now, "p", false).unwrap());
    c.offer(a, "t", "change").unwrap();
    c.s.hub.enable_plugin(c.s.now, "p", true).unwrap();
    let plugin = c.s.hub.remove_plugin(c.s.now, "p").unwrap();
    c.offer(a, "t", "change").unwrap();
    assert_eq!(c.s.take(b), ["1! t=changed!", "1! t=change", "1! t=change"], "what waits stays as it is");
    // Who is there already is seen by one that comes.
    let scope = Scope { users: vec![String::new()], ..Scope::default() };
    c.s.hub.add_plugin(c.s.now, "back", plugin, Placement { scope, ..Placement::default() }).unwrap();
    c.offer(a, "t", "change").unwrap();
    assert_eq!(c.s.take(b), ["1! t=changed!"]);
}

/// A scope follows the tags of a session.
#[test]
fn a_tag_brings_a_session_into_a_scope() {
    let mut c = Chained::new();
    let scope = Scope { tags: vec!["slow".into()], ..Scope::default() };
    c.add("p", Interest::MESSAGE_IN, Placement { scope, ..Placement::default() });
    let a = c.s.session();
    c.offer(a, "t", "1").unwrap();
    c.s.hub.tag(a, "slow").unwrap();
    c.offer(a, "t", "2").unwrap();
    c.s.hub.untag(a, "slow").unwrap();
    c.offer(a, "t", "3").unwrap();
    assert_eq!(c.seen(), ["p in 2"]);
}

/// The program's own sessions and what the server says are nobody's to judge on the way in.
#[test]
fn the_program_itself_is_not_judged() {
    let (mut c, _, b) = pair();
    let own = c.s.session_with(SessionOptions { trusted: true, ..SessionOptions::default() });
    c.offer(own, "t", "refuse").unwrap();
    c.s.hub.publish_own(c.s.now, Message::new("t", b"drop").unwrap()).unwrap();
    assert_eq!(c.s.take(b), ["1! t=refuse", "1 t=drop"]);
    assert_eq!(c.seen(), ["p out refuse", "p out drop"]);
}

#[test]
fn a_will_is_judged_when_it_is_published() {
    let (mut c, a, b) = pair();
    let now = c.s.now;
    for payload in ["change", "refuse", "drop"] {
        let message = Message::new("will", payload.as_bytes()).unwrap();
        c.s.hub.reattach(now, a, 1, None).unwrap();
        c.s.hub.set_will(now, a, Some(Will { message, delay: Duration::ZERO })).unwrap();
        c.s.hub.detach(now, a).unwrap();
    }
    assert_eq!(c.s.take(b), ["1 will=changed!"]);
    assert_eq!(c.s.hub.counters().wills, 3);
}

/// Calls itself at once and again, and reports each time.
struct Eager;

impl Plugin for Eager {
    fn interest(&self) -> Interest {
        Interest::TIMER
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(Instant::ZERO)
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_>, counters: &Counters) {
        let (name, at, value) = (String::from("eager"), cx.now(), counters.sessions);
        cx.report(Report::Alert(Alert { name, raised: true, value, limit: 0, at, since: at }));
    }
}

#[test]
fn one_call_of_the_hub_is_one_call_of_a_plugin_and_reports_are_bounded() {
    let mut s = Story::new();
    s.hub.add_plugin(s.now, "eager", Box::new(Eager), Placement::default()).unwrap();
    assert_eq!(s.hub.poll_timeout().map(|d| d.why), Some(Why::Report));
    s.pass(1);
    let (name, report) = s.hub.poll_report().unwrap();
    assert!(&*name == "eager" && matches!(report, Report::Alert(alert) if alert.raised));
    assert_eq!(s.hub.poll_report(), None);
    for _ in 0..5000 {
        s.pass(1);
    }
    let taken = core::iter::from_fn(|| s.hub.poll_report()).count();
    assert_eq!((taken, s.hub.reports_lost()), (4096, 904));
    s.hub.enable_plugin(s.now, "eager", false).unwrap();
    assert_eq!(s.hub.poll_timeout(), None);
}
