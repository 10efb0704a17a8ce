use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

/// What a line says of these octets.
fn say(line: &mut Line, octets: &[u8]) -> Vec<u8> {
    let mut wire = vec![0; MARK_MAX + WIDEST * octets.len()];
    let said = line.say(octets, &mut wire);
    wire.truncate(said.put);
    wire
}

/// What a line hears in these octets: runs of a connection's octets, and the edges between them.
fn hear(line: &mut Line, mut wire: &[u8]) -> Vec<Result<Vec<u8>, Edge>> {
    let mut all = Vec::new();
    while !wire.is_empty() {
        let mut octets = vec![0; wire.len()];
        let heard = line.hear(wire, &mut octets);
        octets.truncate(heard.put);
        if !octets.is_empty() {
            all.push(Ok(octets));
        }
        all.extend(heard.edge.map(Err));
        wire = &wire[heard.taken..];
    }
    all
}

fn connected() -> (Line, Line) {
    let (mut client, mut server) = (Line::client(0), Line::server());
    client.begin();
    assert_eq!(hear(&mut server, &say(&mut client, b"")), [Err(Edge::Began)]);
    assert_eq!(hear(&mut client, &say(&mut server, b"")), []);
    (client, server)
}

#[test]
fn ser_1_end_and_esc_within_a_connection_are_stuffed() {
    let (mut client, mut server) = connected();
    let wire = say(&mut client, &[1, END, 2, ESC, 3]);
    assert_eq!(wire, [1, 0xdb, 0xdc, 2, 0xdb, 0xdd, 3]);
    assert_eq!(hear(&mut server, &wire), [Ok(vec![1, END, 2, ESC, 3])]);
}

#[test]
fn ser_1_numbers_are_stuffed_as_octets_are() {
    for before in [END - 1, ESC - 1] {
        let (mut client, mut server) = (Line::client(before), Line::server());
        client.begin();
        let wire = say(&mut client, b"a");
        assert_eq!(wire.len(), MARK_MAX + 1);
        assert_eq!(hear(&mut server, &wire), [Err(Edge::Began), Ok(b"a".to_vec())]);
        assert_eq!(hear(&mut client, &say(&mut server, b"b")), [Ok(b"b".to_vec())]);
    }
}

#[test]
fn ser_2_a_client_hears_nothing_before_its_own_number() {
    let mut client = Line::client(4);
    client.begin();
    assert_eq!(hear(&mut client, b"of the one before \xc0\x04 and this"), [], "4 was the last one's");
    assert_eq!(hear(&mut client, b"\xc0\x05this"), [Ok(b"this".to_vec())]);
    client.begin();
    assert_eq!(hear(&mut client, b"of 5 still\xc0\xc0\x05again\xc0\xdb?\xc0"), []);
    assert_eq!(hear(&mut client, b"\x06now"), [Ok(b"now".to_vec())]);
}

#[test]
fn ser_3_a_server_answers_with_the_number_and_the_one_before_is_over() {
    let (_, mut server) = connected();
    assert_eq!(
        hear(&mut server, b"a\xc0\x09b"),
        [Ok(b"a".to_vec()), Err(Edge::Ended), Err(Edge::Began), Ok(b"b".to_vec()),]
    );
    assert_eq!(say(&mut server, b"c"), b"\xc0\x09c");
    // What was not said of a connection that is over is not said.
    assert_eq!(
        hear(&mut server, b"\xc0\x0a\xc0\x0b"),
        [Err(Edge::Ended), Err(Edge::Began), Err(Edge::Ended), Err(Edge::Began),]
    );
    assert_eq!(say(&mut server, b""), b"\xc0\x0b");
}

#[test]
fn ser_4_an_end_ends_the_connection_and_another_means_nothing() {
    let (mut client, mut server) = connected();
    server.end();
    assert!(server.owes() && !server.is_open());
    assert_eq!(say(&mut server, b"not said"), [END]);
    assert_eq!(hear(&mut client, b"last\xc0\xc0\xc0"), [Ok(b"last".to_vec()), Err(Edge::Ended)]);
    assert!(!client.is_open());
    server.end();
    assert!(!server.owes(), "once is enough");

    let (mut client, mut server) = connected();
    client.end();
    assert_eq!(hear(&mut server, &say(&mut client, b"")), [Err(Edge::Ended)]);
    assert_eq!(say(&mut server, b"late"), [0u8; 0], "nobody hears it");
}

#[test]
fn ser_4_both_ends_at_once_cost_no_attempt() {
    let (mut client, mut server) = connected();
    server.end();
    let late = say(&mut server, b"");
    client.begin();
    let wire = say(&mut client, b"hello");
    assert_eq!(hear(&mut client, &late), [], "it was of the one before");
    assert_eq!(hear(&mut server, &wire), [Err(Edge::Began), Ok(b"hello".to_vec())]);
    assert_eq!(hear(&mut client, &say(&mut server, b"hi")), [Ok(b"hi".to_vec())]);
}

#[test]
fn ser_5_an_escape_of_nothing_ends_the_connection() {
    let (mut client, mut server) = connected();
    assert_eq!(hear(&mut server, b"a\xdbb more"), [Ok(b"a".to_vec()), Err(Edge::Ended)]);
    assert_eq!(say(&mut server, b""), [END], "the other side learns it");
    assert_eq!(hear(&mut client, b"\xdb\xdb\xdc"), [Err(Edge::Ended)]);
    assert_eq!(hear(&mut client, b"\xc0\x01more"), [], "until it begins anew");
}

#[test]
fn ser_6_what_comes_before_anything_begins_is_noise() {
    assert_eq!(hear(&mut Line::server(), b"boot v1.2\r\n\xdb\xdd"), []);
    assert_eq!(hear(&mut Line::client(0), b"login: \xc0\x00\x01"), []);
}

#[test]
fn nothing_is_put_where_there_is_no_room() {
    let mut client = Line::client(0);
    client.begin();
    let mut wire = [0; 4];
    assert_eq!(client.say(b"ab", &mut wire[..1]), Said { taken: 0, put: 0 }, "a mark goes whole");
    assert_eq!(client.say(&[1, END, 2], &mut wire), Said { taken: 1, put: 3 }, "and so does an octet");
    assert_eq!(client.say(&[END, 2], &mut wire), Said { taken: 2, put: 3 });

    let (_, mut server) = connected();
    let mut to = [0; 1];
    assert_eq!(server.hear(b"ab", &mut to), Heard { taken: 1, put: 1, edge: None });
    assert_eq!(server.hear(b"b", &mut []), Heard { taken: 0, put: 0, edge: None });
    assert_eq!(server.hear(b"\xdb\xdcb", &mut to), Heard { taken: 2, put: 1, edge: None });
    assert_eq!(to, [END]);
}

proptest! {
    /// Cut anywhere, a connection's octets come as they went; whatever was on the line before.
    #[test]
    fn octets_come_as_they_went(
        before in prop::collection::vec(any::<u8>(), 0..20),
        octets in prop::collection::vec(prop_oneof![any::<u8>(), Just(END), Just(ESC)], 0..200),
        cuts in prop::collection::vec(1..20_usize, 1..40),
        first in any::<u8>(),
    ) {
        let (mut client, mut server) = (Line::client(first), Line::server());
        hear(&mut server, &before);
        client.begin();
        let mut wire = say(&mut client, &octets);
        let mut sizes = cuts.iter().cycle();
        let mut came = Vec::new();
        while !wire.is_empty() {
            let later = wire.split_off((*sizes.next().expect("endless")).min(wire.len()));
            for heard in hear(&mut server, &wire) {
                match heard {
                    Ok(run) => came.extend(run),
                    Err(_) => came.clear(),
                }
            }
            wire = later;
        }
        prop_assert!(server.is_open());
        prop_assert_eq!(came, octets);
    }

    /// After any damage to both directions, a client that begins anew is heard and hears.
    #[test]
    fn a_new_beginning_is_always_heard(
        to_server in prop::collection::vec(any::<u8>(), 0..60),
        to_client in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let (mut client, mut server) = connected();
        hear(&mut server, &to_server);
        hear(&mut client, &to_client);
        client.begin();
        let heard = hear(&mut server, &say(&mut client, b"hello"));
        prop_assert_eq!(&heard[heard.len() - 2..], [Err(Edge::Began), Ok(b"hello".to_vec())]);
        prop_assert_eq!(hear(&mut client, &say(&mut server, b"hi")), [Ok(b"hi".to_vec())]);
    }
}
