//! In steady state a WebSocket client and server allocate nothing: whole messages, pieces, and what a
//! stream carries. Closing allocates once a side: a Close frame is kept until there is room for it.

use std::time::Duration;

use bowline_core::buf::{RecvBuf, SendBuf, SliceRecvBuf, SliceSendBuf};
use bowline_core::entropy::Seeded;
use bowline_core::lifecycle::Transport;
use bowline_core::time::Instant;
use bowline_core::websocket::{Carries, Client, CloseCode, Config, Event, Kind, Role, Server, WebSocket};

struct End<'m, R> {
    ws: WebSocket<R>,
    carries: Carries,
    input: SliceRecvBuf<'m>,
    out: SliceSendBuf<'m>,
    octets: usize,
    round_trips: u32,
    closed: u32,
}

impl<R: Role> End<'_, R> {
    fn turn(&mut self, now: Instant) -> Transport {
        while let Some(event) = self.ws.recv(now, &mut self.input, &mut self.out) {
            match event {
                Event::Message(m) => self.octets += m.payload.len(),
                Event::Piece(p) => self.octets += p.payload.len(),
                Event::RoundTrip(_) => self.round_trips += 1,
                Event::Closed(c) => self.closed += u32::from(c.clean),
            }
        }
        self.octets += self.ws.decoded(&mut self.input).take(usize::MAX).len();
        assert!(self.ws.handle_timeout(now).is_none());
        std::hint::black_box(self.ws.poll_timeout());
        self.ws.poll_transmit(now, &mut self.out)
    }

    fn send(&mut self, now: Instant) {
        let out = &mut self.out;
        if self.carries == Carries::Stream {
            let mut to = self.ws.framed(out);
            to.begin(300);
            to.put(&[1; 20]);
            to.put(&[2; 280]);
            to.put(&[3; 60]);
            return;
        }
        self.ws
            .send_text(now, out, "é, in a message of sixty octets, some of which are no ASCII é")
            .expect("room");
        self.ws.send_binary(now, out, &[3; 200]).expect("room");
        self.ws.send_fragment(now, out, Kind::Text, false, &"é".as_bytes()[..1]).expect("room");
        self.ws.send_fragment(now, out, Kind::Text, true, &"é".as_bytes()[1..]).expect("room");
    }
}

/// Carries what waits, in pieces that cut everything.
fn carry<A: Role, B: Role>(now: Instant, from: &mut End<'_, A>, to: &mut End<'_, B>) {
    while !from.out.pending().is_empty() {
        let n = from.out.pending().len().min(37);
        assert_eq!(to.input.push(&from.out.pending()[..n]), n);
        from.out.sent(n);
        from.ws.handle_written(now, n, from.out.pending().len());
        let _ = to.turn(now);
    }
}

fn run(carries: Carries, octets: usize) {
    let mut memory = [[0; 2048]; 4];
    let [a, b, c, d] = &mut memory;
    let mut now = Instant::ZERO;
    let config = Config { ping_interval: Some(Duration::from_secs(1)), ..Config::default() };
    let mut client = End {
        ws: WebSocket::new(now, Client::new(Seeded::new(1)), carries, &config),
        carries,
        input: SliceRecvBuf::new(a),
        out: SliceSendBuf::new(b),
        octets: 0,
        round_trips: 0,
        closed: 0,
    };
    let mut server = End {
        ws: WebSocket::new(now, Server, carries, &config),
        carries,
        input: SliceRecvBuf::new(c),
        out: SliceSendBuf::new(d),
        octets: 0,
        round_trips: 0,
        closed: 0,
    };
    let found = allocation_counter::measure(|| {
        for _ in 0..100 {
            now = now + Duration::from_millis(1200); // a ping is due each time
            client.send(now);
            server.send(now);
            let _ = client.turn(now);
            for _ in 0..3 {
                carry(now, &mut client, &mut server);
                carry(now, &mut server, &mut client);
            }
        }
    });
    assert_eq!(found.count_total, 0);
    let found = allocation_counter::measure(|| {
        client.ws.close(now, CloseCode::NORMAL, "done");
        let _ = client.turn(now);
        carry(now, &mut client, &mut server);
        carry(now, &mut server, &mut client);
    });
    assert_eq!(found.count_total, 2);
    assert_eq!((client.octets, server.octets), (100 * octets, 100 * octets));
    assert_eq!((client.closed, server.closed), (1, 1));
    assert!(client.round_trips >= 50, "{}", client.round_trips);
}

#[test]
fn websocket_allocates_nothing() {
    run(Carries::Messages, 63 + 200 + 2);
    run(Carries::Pieces, 63 + 200 + 2);
    run(Carries::Stream, 360);
}
