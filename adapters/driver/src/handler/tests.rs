//! Handlers, called by hand: no runtime, no clock that anybody waits for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bowline_core::endpoint::server::Dialect;
use bowline_core::hub::{Layout, Message};
use bowline_core::session::{Properties, Property};
use bowline_core::status::Status;
use bowline_core::time::Instant;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::hub::Speak;
use super::*;

/// A hub of which nothing comes but who asks; its timers fire when `late` is set.
#[derive(Default)]
struct Nobody {
    late: Arc<std::sync::atomic::AtomicBool>,
}

impl Speak for Nobody {
    fn publish(&self, _: &str, _: Bytes, _: bool) -> Result<(), Failure> {
        Err(Status::Draining.into())
    }

    fn request(&self, _: &str, _: Bytes, _: Option<Duration>) -> BoxFuture<Result<Response, Failure>> {
        Box::pin(ready(Err(Status::NoResponder.into())))
    }

    fn session(&self, number: u64) -> Option<Session> {
        let named = |user: &str| Session {
            user: user.into(),
            dialect: Some(Dialect::Mqtt5),
            ..Session::of_program(number)
        };
        match number {
            1 => Some(Session { is_program: false, ..named("ann") }),
            2 => Some(Session { is_program: false, ..named("") }),
            _ => None,
        }
    }

    fn sleep(&self, _: Instant) -> BoxFuture<()> {
        let late = Arc::clone(&self.late);
        let fired = move |_: &mut Context<'_>| {
            if late.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
        };
        Box::pin(std::future::poll_fn(fired))
    }
}

fn message(topic: &str, properties: &[Property<'_>], payload: &[u8]) -> Message {
    let mut memory = [0; 256];
    let block = Properties::write(properties, &mut memory).unwrap().as_bytes();
    let mut body = Vec::new();
    if !block.is_empty() {
        assert!(block.len() < 128, "its length is one octet");
        body.push(block.len() as u8);
        body.extend_from_slice(block);
    }
    body.push(topic.len() as u8);
    let topic_at = body.len() as u32;
    body.extend_from_slice(topic.as_bytes());
    let payload_at = body.len() as u32;
    body.extend_from_slice(payload);
    let layout = Layout { topic: topic_at..payload_at, payload_at, has_props: !block.is_empty() };
    Message::from_body(body.into(), &layout).unwrap()
}

fn call_of(properties: &[Property<'_>], payload: &[u8]) -> Call<u32> {
    Call {
        content: Content::Hub(message("shop/7/order", properties, payload)),
        pattern: Arc::new(Pattern::new("shop/{id}/order").unwrap()),
        state: 42,
        hub: Hub::new(Nobody::default()),
        deadline: Some(Instant::from_millis(1 << 40)),
        from: Some(1),
    }
}

fn call(payload: impl AsRef<[u8]>) -> Call<u32> {
    call_of(&[], payload.as_ref())
}

/// Polls a handler that waits for nothing.
fn done(mut future: BoxFuture<Response>) -> Response {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(response) => response,
        Poll::Pending => panic!("it waits"),
    }
}

fn ask<A>(handler: &impl Handler<A, u32>, call: Call<u32>) -> Response {
    done(handler.call(call))
}

fn text(response: &Response) -> (Status, &str) {
    (response.status, std::str::from_utf8(&response.payload).unwrap())
}

/// The answer of the only route.
fn routed(router: Router<u32>, call: Call<u32>) -> Response {
    let [route] = <[Route<u32>; 1]>::try_from(router.finish()).ok().unwrap();
    done((route.handler)(call))
}

#[test]
fn arguments_are_taken_out_of_a_call() {
    let properties = [
        Property::ContentType("text/plain"),
        Property::User("tenant", "blue"),
        Property::User("tenant", "green"),
    ];
    let all = async |Topic(topic): Topic,
                     Params(params): Params,
                     Text(text): Text,
                     State(state): State<u32>,
                     headers: Headers,
                     ContentType(kind): ContentType,
                     who: Session,
                     deadline: Deadline| {
        let tenant = headers.get("tenant").unwrap().to_owned();
        let left = deadline.left().is_some();
        format!(
            "{topic} {} {text} {state} {tenant} {} {kind} {} {left}",
            params["id"],
            headers.0.len(),
            who.user
        )
    };
    let response = ask(&all, call_of(&properties, b"hi"));
    assert_eq!(text(&response), (Status::Ok, "shop/7/order 7 hi 42 blue 2 text/plain ann true"));
}

#[test]
fn what_is_absent_is_none_and_what_is_wrong_is_answered() {
    let maybe = async |json: Option<Json<u8>>, kind: Option<ContentType>, who: Option<Session>| {
        format!("{:?} {:?} {}", json.map(|j| j.0), kind.map(|k| k.0), who.is_some())
    };
    assert_eq!(text(&ask(&maybe, call("5"))).1, "Some(5) None true");
    assert_eq!(text(&ask(&maybe, Call { from: None, ..call("") })).1, "None None false");
    let (status, reason) = (
        Status::Invalid,
        "the payload is not as expected: invalid value: integer `300`, expected u8 at line 1 column 3",
    );
    assert_eq!(text(&ask(&maybe, call("300"))), (status, reason));
    let either = async |json: Result<Json<u8>, Failure>| {
        json.map_or_else(|e| e.status.code().to_string(), |j| j.0.to_string())
    };
    assert_eq!((text(&ask(&either, call("5"))).1, text(&ask(&either, call("x"))).1), ("5", "2"));
}

#[test]
fn who_asks_may_be_unknown_or_gone() {
    let who = async |who: Session| who.user;
    assert_eq!(text(&ask(&who, call(""))), (Status::Ok, "ann"));
    let unknown = ask(&who, Call { from: None, ..call("") });
    assert_eq!(text(&unknown), (Status::NotAuthorized, "it is not known who asks"));
    let gone = ask(&who, Call { from: Some(9), ..call("") });
    assert_eq!(text(&gone), (Status::Cancelled, "who asked is gone"));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Item {
    name: String,
    count: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Place {
    items: Vec<Item>,
}

impl MessageType for Place {
    const NAME: &'static str = "place";
}

#[derive(Serialize, Deserialize)]
struct Cancel {
    number: u64,
}

impl MessageType for Cancel {
    const NAME: &'static str = "cancel";
}

async fn place(Body(place): Body<Place>) -> String {
    place.items.iter().map(|item| format!("{} {}", item.count, item.name)).collect::<Vec<_>>().join(", ")
}

async fn cancel(Body(cancel): Body<Cancel>) -> String {
    format!("no {}", cancel.number)
}

fn dispatcher() -> Dispatcher<u32> {
    Dispatcher::new().handle::<Place, _>(place).handle::<Cancel, _>(cancel)
}

fn rope() -> Place {
    Place { items: vec![Item { name: "rope".into(), count: 2 }] }
}

#[test]
fn a_type_is_named_by_its_member_or_by_a_property() {
    let tagged = tagged_json(&rope()).unwrap();
    assert_eq!(tagged, r#"{"type":"place","items":[{"name":"rope","count":2}]}"#);
    assert_eq!(text(&ask(&dispatcher(), call(&tagged))), (Status::Ok, "2 rope"));
    let behind = r#" {"number": 3, "more": {"type": "place"}, "type": "cancel"}"#;
    assert_eq!(text(&ask(&dispatcher(), call(behind))), (Status::Ok, "no 3"));
    for same in [
        "{\n\"type\" : \"cancel\",\"number\":3}",
        r#"{"type":"c\u0061ncel","number":3}"#,
        "\t{\"type\":\"cancel\",\"number\":3}",
    ] {
        assert_eq!(text(&ask(&dispatcher(), call(same))), (Status::Ok, "no 3"), "{same}");
    }
    // The property decides, whatever the value has beside.
    let property = [Property::User("type", "cancel")];
    let response = ask(&dispatcher(), call_of(&property, br#"{"number":4,"type":"place"}"#));
    assert_eq!(text(&response), (Status::Ok, "no 4"));
}

#[test]
fn an_unknown_type_is_answered_with_what_is_known() {
    let reason = "no type of message here is \"plaice\"; known are: place, cancel";
    assert_eq!(text(&ask(&dispatcher(), call(r#"{"type":"plaice"}"#))), (Status::Unsupported, reason));
    let long = format!(r#"{{"type":"{}"}}"#, "é".repeat(10_000));
    let response = ask(&dispatcher(), call(long));
    assert_eq!(response.status, Status::Unsupported);
    assert!(response.payload.len() < 200 && text(&response).1.contains("é…é"), "{response:?}");
    let all = dispatcher().otherwise(async |call: Call<u32>| call.payload().len().to_string());
    assert_eq!(text(&ask(&all, call(r#"{"type":"plaice"}"#))), (Status::Ok, "17"));
}

#[test]
fn a_message_without_a_type_is_answered() {
    let rule = "the message does not say its type, by a user property `type` or a member `type`";
    for (payload, why) in [
        ("{}", ""),
        (r#"{"a":{"type":"place"}}"#, ""),
        ("", ": EOF while parsing a value at line 1 column 0"),
        ("[]", ": invalid type: sequence, expected an object at line 1 column 0"),
        ("{\"type\":5}", ": invalid type: integer `5`, expected a string at line 1 column 9"),
        ("{\"a\":1,\n]", ": key must be a string at line 2 column 1"),
    ] {
        let response = ask(&dispatcher(), call(payload));
        assert_eq!(text(&response), (Status::Invalid, &*format!("{rule}{why}")), "{payload}");
    }
}

#[test]
fn what_is_wrong_in_a_value_is_said_with_where() {
    let payload =
        "{\"type\":\"place\",\n\"items\":[{\"name\":\"a\",\"count\":1},{\"name\":\"b\",\"count\":-1}]}";
    let reason = "the payload is not as expected at `items[1].count`: invalid value: integer `-1`, expected u32 at line 2 column 54";
    assert_eq!(text(&ask(&dispatcher(), call(payload))), (Status::Invalid, reason));
    // What its sender chose is not said again whole.
    let wrong = format!(r#"{{"{}":"{}"}}"#, "k".repeat(100_000), "v".repeat(100_000));
    let numbers = async |Json(_): Json<BTreeMap<String, u8>>| {};
    let response = ask(&numbers, call(wrong));
    assert!(response.payload.len() < 500, "{response:?}");
    assert!(text(&response).1.ends_with("expected u8 at line 1 column 200006"), "{response:?}");
}

#[cfg(feature = "cbor")]
mod cbor {
    use super::*;

    const CBOR: Property<'_> = Property::ContentType("application/cbor");

    #[test]
    fn the_content_type_says_how_a_value_is_written() {
        let tagged = tagged_cbor(&rope()).unwrap();
        assert_eq!(text(&ask(&dispatcher(), call_of(&[CBOR], &tagged))), (Status::Ok, "2 rope"));
        let vendor =
            [Property::ContentType("application/vnd.shop+CBOR; v=1"), Property::User("type", "cancel")];
        // {"number": 5}, and a key that is no text.
        let response = ask(&dispatcher(), call_of(&vendor, b"\xa1\x66number\x05"));
        assert_eq!(text(&response), (Status::Ok, "no 5"));
        let odd = b"\xa3\x01\x02\x66number\x06\x64type\x66cancel";
        let typed = async |Typed(o): Typed<Known>| o.0;
        assert_eq!(text(&ask(&typed, call_of(&[CBOR], odd))), (Status::Ok, "cancel"));
    }

    /// Any type of message, by name.
    struct Known(String);

    impl Messages for Known {
        const NAMES: &'static [&'static str] = &[];
        fn decode(message: &Encoded<'_>) -> Result<Self, Failure> {
            Ok(Self(message.name().into()))
        }
        fn name(&self) -> &'static str {
            ""
        }
    }

    #[test]
    fn what_is_wrong_in_a_value_is_said_with_where() {
        // {"items": [{"name": "a", "count": "b"}]}
        let wrong = b"\xa1\x65items\x81\xa2\x64name\x61a\x65count\x61b";
        let taken = async |Cbor(_): Cbor<Place>| {};
        let reason =
            "the payload is not as expected at `items[0].count`: invalid type: string, expected integer";
        assert_eq!(text(&ask(&taken, call(wrong))), (Status::Invalid, reason));
    }

    #[test]
    fn hostile_cbor_is_answered() {
        let number = async |Cbor(n): Cbor<u64>| Cbor(n + 1);
        assert_eq!(ask(&number, call(b"\x17")).payload, &b"\x18\x18"[..]);
        let nest = vec![0x81; 100_000];
        let any = async |Cbor(_): Cbor<ciborium::Value>| {};
        for (payload, why) in [
            (&b""[..], ": it ends too early"),
            (b"\x17\x17", ": there is more behind its end, octet 1"),
            (b"\x1c", ": no CBOR at octet 0"),
            (b"\xff", ": invalid type: break, expected non-break"),
            // A text of 2^63 octets.
            (b"\x7b\x80\0\0\0\0\0\0\0", ": it ends too early"),
            (b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff", ": it ends too early"),
            // A list of as many, and one that never ends.
            (b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff", " at `[0]`: it ends too early"),
            (&nest, ": values are too deep within others"),
        ] {
            let response = ask(&any, call(payload));
            let expected = format!("the payload is not as expected{why}");
            if payload.len() > 1000 {
                let (status, reason) = text(&response);
                assert!(status == Status::Invalid && reason.ends_with(why) && reason.len() < 500, "{reason}");
                continue;
            }
            assert_eq!(
                text(&response),
                (Status::Invalid, &*expected),
                "{:?}",
                &payload[..payload.len().min(9)]
            );
        }
    }
}

/// Writes its name before and after.
fn named<S: Send + 'static>(name: &'static str) -> impl Layer<S> {
    move |call: Call<S>, next: Next<S>| async move {
        let inner = next.run(call).await;
        let text = format!("{name}({})", String::from_utf8_lossy(&inner.payload));
        Response { payload: text.into(), ..inner }
    }
}

#[test]
fn the_first_layer_is_outermost_and_nested_ones_are_within() {
    let inner = Router::new().layer(named("c")).serve("x", async || "handler").layer(named("d"));
    let router = Router::new().layer(named("a")).nest("in", inner).layer(named("b"));
    assert_eq!(text(&routed(router, call(""))).1, "a(b(c(d(handler))))");
    let apart = Router::new().merge(Router::new().serve("x", async || "1").layer(named("a")));
    let answers: Vec<_> =
        apart.serve("y", async || "2").finish().into_iter().map(|r| done((r.handler)(call("")))).collect();
    assert_eq!(answers.iter().map(|a| text(a).1).collect::<Vec<_>>(), ["a(1)", "2"]);
}

#[test]
fn a_layer_may_answer_itself() {
    let called = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&called);
    let handler = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        async { "secret" }
    };
    let router = Router::new().serve("x", handler).layer(guard(|who| !who.user.is_empty()));
    let [route] = <[Route<u32>; 1]>::try_from(router.finish()).ok().unwrap();
    let ask = |from| done((route.handler)(Call { from, ..call("") }));
    assert_eq!(text(&ask(Some(1))), (Status::Ok, "secret"));
    assert_eq!(text(&ask(Some(2))), (Status::NotAuthorized, "not for you"));
    assert_eq!(text(&ask(None)), (Status::NotAuthorized, "it is not known who asks"));
    assert_eq!(called.load(Ordering::Relaxed), 1);
}

#[test]
fn a_handler_that_is_late_goes_no_further() {
    let hub = Nobody::default();
    let late = Arc::clone(&hub.late);
    let dropped = Arc::new(());
    let held = Arc::clone(&dropped);
    let never = move || {
        let held = Arc::clone(&held);
        async move {
            std::future::pending::<()>().await;
            drop(held);
        }
    };
    let router = Router::new().serve("x", never).layer(timeout(Duration::from_secs(2)));
    let [route] = <[Route<u32>; 1]>::try_from(router.finish()).ok().unwrap();
    let mut running = (route.handler)(Call { hub: Hub::new(hub), ..call("") });
    let mut cx = Context::from_waker(Waker::noop());
    assert!(running.as_mut().poll(&mut cx).is_pending());
    late.store(true, Ordering::Relaxed);
    let Poll::Ready(response) = running.as_mut().poll(&mut cx) else { panic!("its time is over") };
    assert_eq!(text(&response), (Status::Timeout, "the handler took longer than 2000 ms"));
    drop((running, route));
    assert_eq!(Arc::strong_count(&dropped), 1);
    let quick = Router::new().serve("x", async || "now").layer(timeout(Duration::ZERO));
    assert_eq!(text(&routed(quick, call(""))), (Status::Ok, "now"));
}

#[test]
fn calls_are_observed() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&log);
    let tell = move |call: &Handled<'_>| {
        told.lock()
            .unwrap()
            .push(format!("{} {} {} {:?}", call.topic, call.is_request, call.octets, call.response.status));
    };
    let router = Router::new().serve("x", async |Json(_): Json<u8>| {}).layer(observe(tell));
    let [route] = <[Route<u32>; 1]>::try_from(router.finish()).ok().unwrap();
    done((route.handler)(call("5")));
    done((route.handler)(Call { deadline: None, ..call("no") }));
    assert_eq!(*log.lock().unwrap(), ["shop/7/order true 1 Ok", "shop/7/order false 2 Invalid"]);
}

#[test]
fn a_router_with_its_state_fits_anywhere() {
    let inner: Router<&'static str> = Router::new().serve("x", async |State(s): State<&'static str>| s);
    let router: Router<u32> = Router::new().nest("in", inner.with_state("mine"));
    assert_eq!(text(&routed(router, call(""))).1, "mine");
}

#[test]
fn errors_are_never_answered_as_if_all_were_well() {
    assert_eq!(text(&ask(&async || Err::<(), _>("no"), call(""))), (Status::Rejected, "no"));
    let own = async || Err::<Json<u8>, _>(Failure::new(Status::from_code(64), "taken"));
    assert_eq!(text(&ask(&own, call(""))), (Status::Other(64), "taken"));
    let keys: BTreeMap<(u8, u8), u8> = [((1, 2), 3)].into();
    assert_eq!(ask(&move || ready(Json(keys.clone())), call("")).status, Status::Rejected);
}
