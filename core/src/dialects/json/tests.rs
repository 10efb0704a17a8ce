use std::borrow::Cow;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

use proptest::prelude::*;
use serde_json::Value;

use super::server::{Place, room_message};
use super::*;

fn fault(text: &str) -> String {
    let fault = Envelope::decode(text).and_then(|e| Command::parse(&e).map(drop)).unwrap_err();
    format!("{} {fault}", fault.code())
}

#[test]
fn jsn_2_what_is_wrong_is_named_with_its_place() {
    for (text, want) in [
        ("", "malformed at octet 0: the JSON ends here, in the middle of a value"),
        ("{\"type\":\"a\"", "malformed at octet 10: the JSON ends here, in the middle of a value"),
        ("{\"type\":\"a\"} x", "malformed at octet 13: this is no JSON"),
        ("{\"type\":\n\"a\",\n 'x'}", "malformed at octet 15: this is no JSON"),
        (" [1]", "malformed at octet 1: the message must be a JSON object"),
        ("7", "malformed at octet 0: the message must be a JSON object"),
        ("{\"type\":7}", "malformed at octet 8: 'type' must be a string"),
        ("{\"type\":\"a\",\"payload\":[]}", "malformed at octet 22: 'payload' must be an object"),
        ("{\"type\":\"a\",\"payload\":null}", "malformed at octet 22: 'payload' must be an object"),
        ("{\"type\":\"a\",\"id\":1}", "malformed at octet 17: 'id' must be a string"),
        ("{\"type\":\"a\",\"room\":{}}", "malformed at octet 19: 'room' must be a string"),
        (
            "{\"type\":\"a\",\"kind\":\"system\"}",
            "malformed at octet 19: 'kind' must be 'event' or 'ephemeral'",
        ),
        ("{\"type\":\"a\",\"echo\":0}", "malformed at octet 19: 'echo' must be true or false"),
        ("{\"type\":\"\\ud800\"}", "malformed at octet 8: 'type' must be a string of Unicode characters"),
        ("{\"type\":\"$join\"}", "malformed at octet 0: 'room' is missing: which one?"),
        (
            "{\"type\":\"$join\",\"room\":\"r\",\"payload\":{\"presence\":\"x\"}}",
            "malformed at octet 49: 'presence' must be 'full', 'count' or 'none'",
        ),
        (
            "{\"type\":\"$join\",\"room\":\"r\",\"payload\":{\"since\":{\"epoch\":\"x\"}}}",
            "malformed at octet 46: 'offset' is missing: 'since' has 'epoch' and 'offset'",
        ),
        (
            "{\"type\":\"$history\",\"room\":\"r\",\"payload\":{\"limit\":-1}}",
            "malformed at octet 49: 'limit' must be a whole number, not negative",
        ),
        (
            "{\"type\":\"$history\",\"room\":\"r\",\"payload\":{\"before\":\"1\",\"after\":\"2\"}}",
            "malformed at octet 50: 'before' must be alone: 'before' or 'after'",
        ),
        (
            "{\"type\":\"$publish\",\"payload\":{\"topic\":\"t\",\"base64\":\"a\"}}",
            "malformed at octet 51: 'base64' must be base64 (RFC 4648 §4, padded)",
        ),
        (
            "{\"type\":\"$publish\",\"payload\":{\"topic\":\"t\"}}",
            "malformed at octet 29: 'data' is missing: one of 'data', 'text' and 'base64'",
        ),
        (
            "{\"type\":\"$auth\",\"payload\":{\"user\":\"u\"}}",
            "malformed at octet 26: 'password' is missing: 'user' has one",
        ),
    ] {
        assert_eq!(fault(text), want, "{text}");
    }
    let long = "x".repeat(MAX_NAME + 1);
    for member in ["type", "id", "key"] {
        let text = format!("{{\"type\":\"a\",\"{member}\":\"{long}\"}}");
        assert!(fault(&text).ends_with("is too long: at most 128 octets are allowed"));
        let most = text.replace(&long, &long[1..]);
        assert!(Envelope::decode(&most).is_ok());
    }
}

#[test]
fn jsn_2_nesting_is_limited_before_anybody_follows_it() {
    let nested = |open: &str, close: &str, n: usize| {
        format!("{{\"type\":\"a\",\"payload\":{{\"x\":{}1{}}}}}", open.repeat(n), close.repeat(n))
    };
    assert!(Envelope::decode(&nested("[", "]", MAX_DEPTH - 2)).is_ok());
    let too_deep = "arrays and objects nest deeper than 64 levels";
    assert!(fault(&nested("[", "]", MAX_DEPTH - 1)).ends_with(too_deep));
    assert!(fault(&nested("{\"y\":", "}", 10_000)).ends_with(too_deep));
    // Brackets in strings do not count.
    let text = format!("{{\"type\":\"a\",\"payload\":{{\"x\":\"\\\"{}\"}}}}", "[".repeat(1000));
    assert!(Envelope::decode(&text).is_ok());
}

#[test]
fn jsn_3_the_last_one_counts_and_the_payload_stays() {
    let payload = "{ \"n\": 1.000e+2,\t\"n\":\n0.10, \"s\": \"\\u00e9\\ud83d\", \"o\": {\"z\":1,\"a\":2} }";
    let text = format!(
        "{{\"type\":\"a\",\"payload\":{{}},\"x\":[1],\"type\":\"\\u0062\\n\",\"payload\":{payload},\"ts\":7,\"from\":[]}}"
    );
    let envelope = Envelope::decode(&text).unwrap();
    assert_eq!((&*envelope.name, envelope.payload), ("b\n", payload));
    assert!(matches!(Envelope::decode("{\"type\":\"a\"}").unwrap().name, Cow::Borrowed("a")));
    assert_eq!(Envelope::decode("{\"type\":\"a\"}").unwrap().payload, "{}");
    // Of one that is repeated only the last has to be right.
    assert!(Envelope::decode("{\"type\":7,\"type\":\"a\"}").is_ok());
}

#[test]
fn jsn_4_types() {
    for text in
        ["{}", "{\"type\":\"\"}", "{\"type\":\"$joined\"}", "{\"type\":\"$\"}", "{\"type\":\"$Join\"}"]
    {
        assert!(fault(text).starts_with("unknown_type "), "{text}");
    }
    let fault = Envelope::decode("{\"id\":\"7\",\"room\":0,\"type\":\"a\"}").unwrap_err();
    assert_eq!(fault.id(), Some("7"));
}

#[test]
fn jsn_5_where_a_message_goes() {
    let command = |text: &str| format!("{:?}", Command::parse(&Envelope::decode(text).unwrap()).unwrap());
    assert!(
        command(r#"{"type":"a","room":"r","payload":{"room":"q"}}"#).starts_with("Send(Send { room: \"r\"")
    );
    assert!(command(r#"{"type":"a","payload":{"room":"q"}}"#).starts_with("Send(Send { room: \"q\""));
    assert!(command(r#"{"type":"a","payload":{"room":7}}"#).starts_with("Type("));
    assert!(command(r#"{"type":"a"}"#).starts_with("Type("));
    assert!(command(r#"{"type":"chat.typing","room":"r"}"#).contains("ephemeral: true"));
}

#[test]
fn commands_and_their_defaults() {
    let text = r#"{"type":"$join","room":"r","payload":{"since":{"epoch":"00000000000000ff","offset":3},"history":9,"presence":"full","data":[1, 2]}}"#;
    let envelope = Envelope::decode(text).unwrap();
    let join = Command::Join {
        room: "r",
        since: Some(Since { epoch: Some(255), offset: 3 }),
        history: Some(9),
        presence: Presence::Full,
        data: Some("[1, 2]"),
    };
    assert_eq!(Command::parse(&envelope).unwrap(), join);
    // What no epoch is written like is none that there was.
    for epoch in ["", "ff", "00000000000000FF", "+0000000000000ff", "é"] {
        let text = text.replace("00000000000000ff", epoch);
        let envelope = Envelope::decode(&text).unwrap();
        let Ok(Command::Join { since: Some(since), .. }) = Command::parse(&envelope) else { panic!() };
        assert_eq!(since.epoch, None, "{epoch}");
    }
    let history = Envelope::decode(r#"{"type":"$history","room":"r"}"#).unwrap();
    assert_eq!(Command::parse(&history), Ok(Command::History { room: "r", limit: 50, mark: None }));
    let text = r#"{"type":"$history","room":"r","payload":{"limit":5000,"after":"00000000000000000017"}}"#;
    let history = Envelope::decode(text).unwrap();
    let mark = Some(Mark::After(17));
    assert_eq!(Command::parse(&history), Ok(Command::History { room: "r", limit: 1000, mark }));
    let publish = Envelope::decode(r#"{"type":"$publish","payload":{"topic":"t","base64":"AP8="}}"#).unwrap();
    let Ok(Command::Publish { content, retain: false, .. }) = Command::parse(&publish) else { panic!() };
    assert_eq!(content.as_bytes(), b"\x00\xff");
}

#[test]
fn batches_keep_their_order_and_texts() {
    let batch = Batch::parse(" [ {\"type\":\"a\"} ,7,\"x\" ]").unwrap();
    assert_eq!(batch.messages(), ["{\"type\":\"a\"}", "7", "\"x\""]);
    assert_eq!(Batch::parse("{\"type\":\"a\"}").unwrap().messages().len(), 1);
    assert!(Batch::parse("[{}").unwrap_err().is_no_json());
}

const PLACE: Place = Place { epoch: 0x89a1, offset: 12, stamp: 1_795_000_061_500_001 };

fn told(payload: &[u8]) -> (String, Value) {
    let mut out = String::new();
    room_message(&mut out, Kind::Event, "a \"room\"", Some(PLACE), None, payload);
    let value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
    (out, value)
}

#[test]
fn what_is_no_event_comes_as_a_message() {
    for (payload, want) in [
        (&b"21.50"[..], r#"{"data":21.50}"#),
        (b" [1,\t2] ", r#"{"data":[1,	2]}"#),
        (b"hello", r#"{"text":"hello"}"#),
        (b"a\"\n\x01\\", r#"{"text":"a\"\n\u0001\\"}"#),
        (b"\xff\x00", r#"{"base64":"/wA="}"#),
        (b"", r#"{"text":""}"#),
        (br#"{"payload":{}}"#, r#"{"data":{"payload":{}}}"#),
        (br#"{"type":"$joined"}"#, r#"{"data":{"type":"$joined"}}"#),
        (br#"{"type":"a","payload":[]}"#, r#"{"data":{"type":"a","payload":[]}}"#),
        (br#"{"type":"a"},"from":"x"}"#, r#"{"text":"{\"type\":\"a\"},\"from\":\"x\"}"}"#),
    ] {
        let (text, _) = told(payload);
        assert!(text.ends_with(&format!(",\"type\":\"message\",\"payload\":{want}}}")), "{text}");
    }
    let deep = "[".repeat(MAX_DEPTH) + &"]".repeat(MAX_DEPTH);
    assert!(told(deep.as_bytes()).1["payload"]["text"].is_string());
    let (text, _) = told(br#"{"id":"1", "type" : "a", "from":"x", "payload":{ "b":1 }, "ts":"never"}"#);
    assert!(text.ends_with(r#""type":"a","payload":{ "b":1 }}"#), "{text}");
}

/// JSON of all kinds, as a tree.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Names of members, among them those that mean something.
fn name() -> impl Strategy<Value = String> {
    let known = vec!["type", "payload", "id", "room", "key", "kind", "echo", "from", "offset", "epoch"];
    prop_oneof![2 => prop::sample::select(known).prop_map(String::from), 1 => any::<String>()]
}

fn object() -> impl Strategy<Value = Value> {
    prop::collection::vec((name(), value()), 0..8).prop_map(|m| Value::Object(m.into_iter().collect()))
}

/// What the oracle says of a whole text.
fn is_envelope(value: &Value) -> bool {
    let text =
        |name: &str, max: usize| value.get(name).is_none_or(|v| v.as_str().is_some_and(|s| s.len() <= max));
    value.is_object()
        && value.get("type").and_then(Value::as_str).is_some_and(|s| !s.is_empty())
        && text("type", MAX_NAME)
        && text("id", MAX_NAME)
        && text("key", MAX_NAME)
        && text("room", usize::MAX)
        && value.get("payload").is_none_or(Value::is_object)
        && value.get("echo").is_none_or(Value::is_boolean)
        && value.get("kind").is_none_or(|k| k == "event" || k == "ephemeral")
}

proptest! {
    /// Any JSON is taken exactly where the rules allow it, and taken apart as another parser does.
    #[test]
    fn envelopes_are_what_serde_json_reads(value in object(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let text = text.unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        match Envelope::decode(&text) {
            Ok(envelope) => {
                prop_assert!(is_envelope(&value), "{text}");
                prop_assert_eq!(value["type"].as_str(), Some(&*envelope.name));
                prop_assert_eq!(value.get("id").and_then(Value::as_str), envelope.id.as_deref());
                prop_assert_eq!(value.get("room").and_then(Value::as_str), envelope.room.as_deref());
                let payload: Value = serde_json::from_str(envelope.payload).unwrap();
                prop_assert_eq!(value.get("payload").cloned().unwrap_or_else(|| serde_json::json!({})), payload);
                let is_verbatim = envelope.payload == "{}" || text.contains(envelope.payload);
                prop_assert!(is_verbatim);
                let _ = Command::parse(&envelope);
            }
            Err(fault) => {
                prop_assert!(!is_envelope(&value), "{fault}: {text}");
                prop_assert!(fault.at() <= text.len() && !fault.is_no_json());
            }
        }
    }

    /// No text whatever is taken that is no JSON, and none brings the decoder down.
    #[test]
    fn texts_are_taken_only_if_they_are_json(
        value in object(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), "[\\[\\]{}\",:\\\\a0-]"), 0..4),
    ) {
        let mut text: Vec<char> = serde_json::to_string(&value).unwrap().chars().collect();
        for (at, with) in edits {
            let at = at.index(text.len());
            text[at] = with.chars().next().unwrap();
        }
        let text: String = text.into_iter().collect();
        let oracle = serde_json::from_str::<Value>(&text);
        if let Ok(envelope) = Envelope::decode(&text) {
            // Half a surrogate pair is JSON, but not to serde_json's strings.
            let is_half = oracle.as_ref().is_err_and(|e| e.to_string().contains("surrogate") || e.to_string().contains("hex escape"));
            prop_assert!(oracle.is_ok() || is_half || text.contains("e"), "{text}");
            let _ = Command::parse(&envelope);
        } else if let Ok(value) = oracle {
            prop_assert!(!is_envelope(&value), "{text}");
        }
        let _ = Batch::parse(&text).map(|b| b.messages().len());
        let _ = Auth::parse(&text);
    }

    /// Whatever was published: what members get is JSON, and says of itself what the server knows.
    #[test]
    fn nobody_says_what_only_a_server_can_know(
        payload in prop_oneof![
            object().prop_map(|v| v.to_string().into_bytes()),
            prop::collection::vec(any::<u8>(), 0..64),
            any::<String>().prop_map(|s| format!("{{\"type\":\"a\",\"payload\":{{}}{s}}}").into_bytes()),
        ],
    ) {
        prop_assume!(!payload.starts_with(OWN_PREFIX.as_bytes()));
        let (text, value) = told(&payload);
        prop_assert_eq!(&value["id"], "00001795000061500001");
        prop_assert_eq!(&value["ts"], "2026-11-18T11:07:41Z");
        prop_assert_eq!(&value["kind"], "event");
        prop_assert_eq!(&value["room"], "a \"room\"");
        prop_assert_eq!(&value["offset"], 12);
        prop_assert_eq!(&value["epoch"], "00000000000089a1");
        prop_assert!(value["payload"].is_object());
        let members: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        prop_assert_eq!(members, ["epoch", "id", "kind", "offset", "payload", "room", "ts", "type"]);
        let mut seen = Vec::new();
        object::Source(&text).members(&text, |name, _| seen.push(name.to_string())).unwrap();
        prop_assert_eq!(seen.len(), 8, "none twice: {}", text);
    }

    /// What a member sends comes to members with all that it said, to the digit.
    #[test]
    fn events_come_whole(
        from in any::<u64>(), user in any::<String>(), key in any::<Option<String>>(),
        name in any::<String>(), payload in object(),
    ) {
        let payload = payload.to_string();
        let event = Event {
            from: Some(from), user: Some(&user), key: key.as_deref(), name: name.clone().into(), payload: &payload,
        };
        let mut kept = String::new();
        event.write(&mut kept);
        prop_assert!(kept.starts_with(OWN_PREFIX));
        let (text, value) = told(kept.as_bytes());
        prop_assert_eq!(&value["from"], &format!("{from:016x}"));
        prop_assert_eq!(&value["user"], &user);
        prop_assert_eq!(value.get("key").and_then(Value::as_str), key.as_deref());
        prop_assert_eq!(&value["type"], &name);
        let end = format!("\"payload\":{payload}}}");
        prop_assert!(text.ends_with(&end));
    }
}
