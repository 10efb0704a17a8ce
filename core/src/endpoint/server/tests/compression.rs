//! permessage-deflate in typed JSON: what is agreed to, what is refused, and each story again with every
//! message compressed.

use core::cell::Cell;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;
use serde_json::json;

use super::json::member;
use super::web::Page;
use super::world::{Tongue, World};
use crate::buf::SharedSendBuf;
use crate::endpoint::server::{Compression, Peer, ServerConfig};
use crate::entropy::Seeded;
use crate::time::Instant;
use crate::websocket::deflate::{Deflate, Options, Pool};
use crate::websocket::extensions::{Offer, Params};
use crate::websocket::{Client, Kind, Message, WebSocket};

std::thread_local! {
    /// Whether pages of this thread's worlds offer compression.
    static COMPRESSED: Cell<bool> = const { Cell::new(false) };
}

/// What browsers offer.
const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

/// Everything is compressed that gets smaller.
const EVERYTHING: Compression =
    Compression { window_bits: 13, context_takeover: true, threshold: 0, level: 6, memory: 1 };

/// Tells a story again, with every message compressed.
fn compressed(story: impl FnOnce()) {
    COMPRESSED.set(true);
    story();
    COMPRESSED.set(false);
}

/// What a page offers.
pub(super) fn offered() -> &'static str {
    if COMPRESSED.get() { OFFER } else { "" }
}

/// What the server agrees to.
pub(super) fn compress(config: &mut ServerConfig) {
    if COMPRESSED.get() {
        config.http.compression = Some(EVERYTHING);
    }
}

/// A page's side of it.
pub(super) struct Squeezed {
    pub(super) params: Params,
    deflate: Deflate,
    pool: Pool,
    /// How many messages came compressed.
    came: usize,
}

impl Squeezed {
    pub(super) fn inflate(&mut self, message: Message<'_>) -> String {
        self.came += 1;
        let mut into = Vec::new();
        let message = self.deflate.inflate(&mut self.pool, message, &mut into).unwrap();
        message.text().unwrap().into()
    }

    pub(super) fn send(
        &mut self,
        now: Instant,
        layer: &mut WebSocket<Client<Seeded>>,
        out: &mut SharedSendBuf,
        text: &str,
    ) {
        layer
            .send_deflated(now, out, &mut self.deflate, &mut self.pool, Kind::Text, text.as_bytes())
            .unwrap();
    }
}

impl Page {
    /// Reads what the server agreed to.
    pub(super) fn agree(&mut self, head: &str) {
        let Some(answer) = head.lines().find_map(|line| line.strip_prefix("sec-websocket-extensions: "))
        else {
            return;
        };
        let offer = Offer { client_max_window_bits: Some(None), ..Offer::default() };
        let params = offer.agreed([answer]).unwrap().unwrap();
        let options = Options { threshold: 0, max_message: 1 << 21, max_ratio: 2000, ..Options::default() };
        let mut pool = Pool::new(options);
        let deflate = Deflate::client(&params, &mut pool);
        self.deflate = Some(Squeezed { params, deflate, pool, came: 0 });
        self.layer.allow_compressed();
    }
}

impl World {
    fn squeezed(&mut self, i: usize) -> Option<&mut Squeezed> {
        let Tongue::Web(page) = &mut self.lines[i].tongue else { panic!("it speaks another tongue") };
        page.deflate.as_mut()
    }

    /// How many messages came compressed since the last time.
    fn came(&mut self, i: usize) -> usize {
        core::mem::take(&mut self.squeezed(i).unwrap().came)
    }
}

fn to_all(text: &str) -> String {
    json!({"type": "m", "room": "lobby", "payload": {"text": text}}).to_string()
}

fn world(compression: Compression) -> World {
    let mut config = ServerConfig::default();
    config.http.compression = Some(compression);
    World::new(config)
}

/// A page that has opened, and offers this.
fn opened(w: &mut World, offer: &str) -> usize {
    let i = w.open_page(Peer::default(), &format!("Sec-WebSocket-Extensions: {offer}\r\n"));
    assert_eq!(w.told(i)[0]["type"], "$welcome");
    i
}

again! { compressed:
    json:
        jsn_1_binary_is_refused
        jsn_1_what_is_too_large_is_refused
        jsn_2_a_fault_is_answered_and_sixteen_in_a_row_are_the_end
        jsn_6_the_server_speaks_first
        jsn_7_who_it_is
        jsn_7_a_session_goes_on_with_its_rooms_and_what_waits
        jsn_7_the_last_connection_counts
        jsn_9_how_long_a_session_stays
        jsn_11_a_drain_says_when_to_come_back
    ;
    json_rooms:
        jsn_13_topics_of_other_dialects
        jsn_15_who_may_send_and_what_is_sent_once
        jsn_16_echo
        jsn_17_the_place_of_a_message
        jsn_18_what_is_ephemeral
        jsn_19_joining_reads_back_without_a_gap
        jsn_22_history
        jsn_23_24_25_presence
        requests_and_their_ends
        a_room_in_other_dialects
        members_that_subscribe_too
        many_members_cost_one_encoding
        a_page_that_takes_nothing
        an_ack_waits_for_the_store
    ;
}

/// WSD-1: the first offer that can be met, with the server's own window, and without its context.
#[test]
fn wsd_1_what_is_agreed_to() {
    let own = Compression::default();
    let takeover = Compression { context_takeover: true, ..own };
    let narrow = Compression { window_bits: 10, ..takeover };
    for (compression, offer, answer) in [
        (own, "permessage-deflate", Some("; client_no_context_takeover; server_max_window_bits=13")),
        (
            own,
            "permessage-deflate; client_max_window_bits",
            Some("; client_no_context_takeover; server_max_window_bits=13; client_max_window_bits=13"),
        ),
        (
            takeover,
            "permessage-deflate; client_max_window_bits",
            Some("; server_max_window_bits=13; client_max_window_bits=13"),
        ),
        // Its window cannot be bounded.
        (takeover, "permessage-deflate", Some("; client_no_context_takeover; server_max_window_bits=13")),
        (
            narrow,
            "permessage-deflate; client_max_window_bits; server_max_window_bits=12",
            Some("; server_max_window_bits=10; client_max_window_bits=10"),
        ),
        (
            narrow,
            "permessage-deflate; client_max_window_bits; server_max_window_bits=9",
            Some("; server_max_window_bits=9; client_max_window_bits=10"),
        ),
        (
            own,
            "permessage-deflate; nonsense, permessage-deflate; server_max_window_bits=11",
            Some("; client_no_context_takeover; server_max_window_bits=11"),
        ),
        (own, "permessage-deflate; server_max_window_bits=8", None),
        (own, "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9", None),
        (own, "permessage-bzip2, x-webkit-deflate-frame", None),
        (own, "permessage-deflate;;", None),
    ] {
        let mut w = world(compression);
        let i = opened(&mut w, offer);
        let want = answer.map(|rest| format!("permessage-deflate; server_no_context_takeover{rest}"));
        let found = w.squeezed(i).map(|squeezed| format!("{}", squeezed.params));
        assert_eq!(found, want, "{offer}");
    }
    // A server that was not told to compress takes nothing.
    let mut w = World::new(ServerConfig::default());
    let i = opened(&mut w, "permessage-deflate");
    assert!(w.squeezed(i).is_none());
}

/// WSO-10: what carries octets takes no extension.
#[test]
fn wso_10_octets_are_not_compressed() {
    for protocol in ["mqtt", "bowline", "prx1"] {
        let mut w = world(EVERYTHING);
        let i = w.open(Peer::default(), Tongue::Http);
        w.octets(
            i,
            format!(
                "GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Protocol: {protocol}\r\n{OFFER}\r\n"
            )
            .as_bytes(),
        );
        let answer = w.take(i).concat();
        assert!(answer.starts_with("HTTP/1.1 101 ") && !answer.contains("extensions"), "{answer}");
    }
}

/// WSD-2: what is small, or would not get smaller, goes as it is.
#[test]
fn wsd_2_what_is_compressed() {
    let mut w = world(Compression::default());
    let i = opened(&mut w, "permessage-deflate; client_max_window_bits");
    w.ask(i, r#"{"type":"$join","id":"j","room":"lobby"}"#);
    let (other, _) = member(&mut w);
    w.told(i);
    for (text, came) in [("short".to_string(), 0), ("long ".repeat(120), 1)] {
        for from in [i, other] {
            w.tell(from, &to_all(&text));
            for to in [i, other] {
                assert_eq!(w.told(to)[0]["payload"]["text"], text);
            }
            assert_eq!(w.came(i), came);
        }
    }
    assert!(w.squeezed(other).is_none(), "it did not offer it, and is told all the same");
    w.ask(i, r#"{"type":"$history","id":"h","room":"lobby"}"#);
    assert_eq!(w.came(i), 1, "what is for it alone is compressed too");
}

/// WSD-3, WSD-4: streams that are none, text that is none, and what expands too much.
#[test]
fn wsd_4_what_is_refused() {
    let zeros = |n: usize| {
        let mut pool = Pool::new(Options { threshold: 0, ..Options::default() });
        let frame = crate::websocket::Frame::deflated(&mut pool, 15, Kind::Text, &std::vec![b' '; n]);
        frame.payload().to_vec()
    };
    let masked = |first: u8, payload: &[u8]| {
        let mut octets = Vec::from([first, 0x80 | 126]);
        octets.extend((payload.len() as u16).to_be_bytes());
        octets.extend([0; 4]);
        octets.extend(payload);
        if payload.len() < 126 {
            octets.splice(1..4, [0x80 | payload.len() as u8]);
        }
        octets
    };
    for (first, payload, close) in [
        (0xc1, Vec::from([0xff, 0xff]), "close 1007 a compressed message cannot be inflated"),
        (0xc1, Vec::from([0xf2, 0x48, 0xcd]), "close 1007 a compressed message cannot be inflated"),
        (0xc1, Vec::from([0, 1, 0, 0xfe, 0xff, 0xff, 0]), "close 1007 a text message is not UTF-8"),
        (0xc1, zeros(1 << 17), "close 1009 a compressed message inflates too much"),
        (0xc1, zeros((1 << 17) + 1), "close 1009 a compressed message inflates too much"),
        (0xc2, zeros(100), "close 1003 only text messages are spoken here"),
        (0xe1, zeros(100), "close 1002 reserved bits are set"),
    ] {
        let mut w = world(EVERYTHING);
        let i = opened(&mut w, "permessage-deflate");
        w.octets(i, &masked(first, &payload));
        assert_eq!(w.take(i), [close]);
    }
    // The limit of any message holds for what it becomes.
    let mut config = ServerConfig::default();
    config.http.compression = Some(EVERYTHING);
    config.http.websocket.max_message = 10_000;
    let mut w = World::new(config);
    let i = opened(&mut w, "permessage-deflate");
    w.octets(i, &masked(0xc1, &zeros(10_000)));
    assert_eq!(w.told(i)[0]["payload"]["code"], "malformed", "white space is no JSON, and not too large");
    w.octets(i, &masked(0xc1, &zeros(10_001)));
    assert_eq!(w.take(i), ["close 1009 the message is too big"]);
    // Who agreed to nothing may not compress.
    let mut w = world(EVERYTHING);
    let i = w.open_page(Peer::default(), "");
    w.told(i);
    w.octets(i, &masked(0xc1, &zeros(100)));
    assert_eq!(w.take(i), ["close 1002 reserved bits are set"]);
}

/// WSD-1: one compression for each window, whatever the number of members.
#[test]
fn wsd_1_a_message_to_many_is_compressed_once_for_each_window() {
    let mut w = world(EVERYTHING);
    let sender = opened(&mut w, "permessage-deflate");
    w.ask(sender, r#"{"type":"$join","id":"j","room":"lobby"}"#);
    let mut members = Vec::new();
    for offer in ["permessage-deflate", "permessage-deflate; server_max_window_bits=9", "none"] {
        for _ in 0..10 {
            let i = opened(&mut w, offer);
            w.ask(i, r#"{"type":"$join","id":"j","room":"lobby"}"#);
            members.push(i);
        }
    }
    let text = "much of the same, ".repeat(100);
    for i in members.iter().chain([&sender]) {
        w.told(*i);
        if w.squeezed(*i).is_some() {
            w.came(*i);
        }
    }
    let before = w.server.encoded();
    w.tell(sender, &to_all(&text));
    assert_eq!(w.server.encoded() - before, 3);
    for (n, i) in members.into_iter().enumerate() {
        assert_eq!(w.told(i)[0]["payload"], json!({"text": text}));
        let came = if n < 20 { Some(w.came(i)) } else { None };
        assert!(came.is_none_or(|came| came == 1) && w.squeezed(i).is_some() == (n < 20));
    }
}

/// What a client refers to of what it sent before is remembered, also when others use the one inflater.
#[test]
fn contexts_of_clients_are_taken_over() {
    let mut w = world(EVERYTHING);
    let pages: Vec<usize> =
        (0..3).map(|_| opened(&mut w, "permessage-deflate; client_max_window_bits")).collect();
    let mut sizes = Vec::new();
    for n in 0..5 {
        for i in &pages {
            let text =
                format!(r#"{{"type":"$ping","id":"{n}-{i}","payload":{{"of":"some length, again"}}}}"#);
            let mut out = SharedSendBuf::new(1 << 16);
            let now = w.now;
            let Tongue::Web(page) = &mut w.lines[*i].tongue else { panic!() };
            page.deflate.as_mut().unwrap().send(now, &mut page.layer, &mut out, &text);
            sizes.push(out.len());
            let octets = out.slices().collect::<Vec<_>>().concat();
            w.octets(*i, &octets);
            assert_eq!(w.told(*i)[0]["ref"], format!("{n}-{i}"));
        }
    }
    assert!(sizes[3..].iter().all(|n| n * 2 < sizes[0]), "{sizes:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever pages say, cut anywhere, compressed or not, all members hear it in order.
    #[test]
    fn members_hear_each_other_whatever_is_cut(
        offers in proptest::collection::vec(
            prop::sample::select(&["permessage-deflate", "permessage-deflate; client_max_window_bits",
                "permessage-deflate; server_max_window_bits=9; client_max_window_bits=9", "none"][..]), 2..5),
        takeover: bool,
        threshold in prop::sample::select(&[0, 100, 512][..]),
        said in proptest::collection::vec(
            (any::<prop::sample::Index>(), "[a-c ]{0,20}|\\PC{0,40}", 1..200usize, 1..64usize), 1..12),
    ) {
        let mut w = world(Compression { context_takeover: takeover, threshold, ..EVERYTHING });
        let pages: Vec<usize> = offers.iter().map(|offer| opened(&mut w, offer)).collect();
        for i in &pages {
            w.ask(*i, r#"{"type":"$join","id":"j","room":"lobby"}"#);
        }
        pages.iter().for_each(|i| drop(w.told(*i)));
        let mut all = Vec::new();
        for (who, text, times, cut) in &said {
            let from = pages[who.index(pages.len())];
            let text = text.repeat(*times);
            let mut out = SharedSendBuf::new(1 << 20);
            let now = w.now;
            let Tongue::Web(page) = &mut w.lines[from].tongue else { panic!() };
            page.say(now, &mut out, &to_all(&text));
            let octets = out.slices().collect::<Vec<_>>().concat();
            for part in octets.chunks(*cut) {
                w.octets(from, part);
            }
            all.push(json!(text));
        }
        for i in &pages {
            let heard: Vec<_> = w.told(*i).iter().map(|m| m["payload"]["text"].clone()).collect();
            prop_assert_eq!(&heard, &all);
        }
    }
}
