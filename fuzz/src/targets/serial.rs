//! The two ends of a serial line, and all that can happen to the octets between them: what is heard of an
//! undamaged connection is what was said, whatever came before it, and a new beginning is always heard.

use arbitrary::{Arbitrary, Unstructured};
use bowline_core::serial::{Edge, Line};

const STEPS: usize = 200;

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    Begin,
    End {
        by_server: bool,
    },
    Say {
        by_server: bool,
        octets: &'a [u8],
        room: u8,
    },
    /// So many octets arrive, of which so many are taken at once.
    Hear {
        by_server: bool,
        n: u16,
        room: u8,
    },
    Lose {
        to_server: bool,
        at: u16,
        n: u8,
    },
    Change {
        to_server: bool,
        at: u16,
        xor: u8,
    },
    Invent {
        to_server: bool,
        at: u16,
        octets: &'a [u8],
    },
}

struct Side {
    line: Line,
    /// On the way to it.
    way: Vec<u8>,
    heard: Vec<u8>,
}

fn hear(side: &mut Side, n: usize, room: usize) {
    let n = n.min(side.way.len());
    let octets: Vec<u8> = side.way.drain(..n).collect();
    let mut rest = &octets[..];
    while !rest.is_empty() {
        let mut to = vec![0; room];
        let heard = side.line.hear(rest, &mut to);
        assert!(heard.taken <= rest.len() && heard.put <= room.min(heard.taken));
        assert!(heard.taken > 0 || room == 0, "it always gets on");
        side.heard.extend_from_slice(&to[..heard.put]);
        rest = &rest[heard.taken..];
        if let Some(edge) = heard.edge {
            assert_eq!(side.line.is_open(), edge == Edge::Began);
            side.heard.clear();
        }
        if heard.taken == 0 {
            break; // it waits for room, and what waits is lost here
        }
    }
}

/// What was heard before is of another connection.
fn begin(client: &mut Side) {
    client.line.begin();
    client.heard.clear();
}

fn say(line: &mut Line, octets: &[u8], room: usize) -> (usize, Vec<u8>) {
    let mut to = vec![0; room];
    let said = line.say(octets, &mut to);
    assert!(said.taken <= octets.len() && said.put <= room);
    to.truncate(said.put);
    (said.taken, to)
}

/// See the module.
pub fn serial(data: &[u8]) {
    let side = |line| Side { line, way: Vec::new(), heard: Vec::new() };
    let mut sides = [side(Line::client(data.first().copied().unwrap_or_default())), side(Line::server())];
    let mut input = Unstructured::new(data);
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut input) else { break };
        match step {
            Step::Begin => begin(&mut sides[0]),
            Step::End { by_server } => sides[usize::from(by_server)].line.end(),
            Step::Say { by_server, octets, room } => {
                let (from, to) = (usize::from(by_server), usize::from(!by_server));
                let (_, said) = say(&mut sides[from].line, octets, room.into());
                sides[to].way.extend(said);
            }
            Step::Hear { by_server, n, room } => {
                hear(&mut sides[usize::from(by_server)], n.into(), room.into())
            }
            Step::Lose { to_server, at, n } => {
                let way = &mut sides[usize::from(to_server)].way;
                let at = usize::from(at).min(way.len());
                way.drain(at..way.len().min(at + usize::from(n)));
            }
            Step::Change { to_server, at, xor } => {
                let way = &mut sides[usize::from(to_server)].way;
                if let Some(octet) = way.get_mut(usize::from(at)) {
                    *octet ^= xor;
                }
            }
            Step::Invent { to_server, at, octets } => {
                let way = &mut sides[usize::from(to_server)].way;
                let at = usize::from(at).min(way.len());
                way.splice(at..at, octets.iter().copied());
            }
        }
    }
    begin_anew(&mut sides, data);
}

/// Whatever happened: after a new beginning each side hears what the other says. Only who makes up the number of a
/// connection that has not begun could prevent it.
fn begin_anew(sides: &mut [Side; 2], words: &[u8]) {
    sides.iter_mut().for_each(|side| hear(side, usize::MAX, 64));
    begin(&mut sides[0]);
    for (from, to) in [(0, 1), (1, 0)] {
        let (taken, said) = say(&mut sides[from].line, words, 2 * words.len() + 3);
        assert_eq!(taken, words.len());
        sides[to].way.extend(said);
        hear(&mut sides[to], usize::MAX, 64);
        assert_eq!(sides[to].heard, words);
        assert!(sides[to].line.is_open());
    }
}
