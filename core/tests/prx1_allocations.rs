//! PRX1 allocates nothing over slices, from CONNECT to DISCONNECT.

use bowline_core::buf::{SliceRecvBuf, SliceSendBuf};
use bowline_core::prx1::{
    Answer, Client, ClientEvent, Config, Connect, Message, Publish, Queue, QueueAction, QueueOptions,
    QueueStatus, Server, ServerEvent, Slot, Transport,
};
use bowline_core::time::Instant;

/// What both ends have seen.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    messages: u32,
    subscriptions: u32,
    queues: u32,
    answers: u32,
    ends: u32,
}

fn serve(
    now: Instant,
    server: &mut Server,
    from: &mut SliceRecvBuf<'_>,
    out: &mut SliceSendBuf<'_>,
    seen: &mut Seen,
) {
    while let Some(event) = server.recv(now, from) {
        match event {
            ServerEvent::Connect(_) => {
                server.connack(now, out, Answer::Accepted { session: Some("s") }).unwrap();
            }
            ServerEvent::Publish(p) => {
                seen.messages += 1;
                server.puback(now, out, p.id.unwrap()).unwrap();
                let publish =
                    Publish { topic: p.topic, payload: p.payload, id: p.id, retain: false, dup: false };
                server.publish(now, out, &publish).unwrap();
            }
            ServerEvent::Subscribe(s) => {
                seen.subscriptions += u32::from(s.filter.matches("a/b/c"));
                server.suback(now, out, s.id.unwrap()).unwrap();
            }
            ServerEvent::Queue(_) => {
                seen.queues += 1;
                server.queue_ack(now, out, QueueStatus::Ok).unwrap();
            }
            ServerEvent::PubAck(_) => seen.answers += 1,
            ServerEvent::Closed(_) => seen.ends += 1,
            _ => {}
        }
    }
    let _ = server.poll_transmit(now, out);
}

fn listen(
    now: Instant,
    client: &mut Client<'_>,
    from: &mut SliceRecvBuf<'_>,
    out: &mut SliceSendBuf<'_>,
    seen: &mut Seen,
) {
    while let Some(event) = client.recv(now, from) {
        match event {
            ClientEvent::Publish(p) => {
                seen.messages += 1;
                client.puback(now, out, p.id.unwrap()).unwrap();
            }
            ClientEvent::Acked(..)
            | ClientEvent::SubAck(_)
            | ClientEvent::QueueAck(_)
            | ClientEvent::Pong(_) => {
                seen.answers += 1;
            }
            ClientEvent::Closed(_) => seen.ends += 1,
            _ => {}
        }
    }
}

fn carry(from: &mut SliceSendBuf<'_>, to: &mut SliceRecvBuf<'_>) {
    let n = to.push(from.pending());
    from.sent(n);
}

#[test]
fn nothing_is_allocated() {
    let mut seen = Seen::default();
    let counted = allocation_counter::measure(|| story(&mut seen));
    assert_eq!(counted.count_total, 0);
    assert_eq!(seen, Seen { messages: 20, subscriptions: 10, queues: 10, answers: 50, ends: 2 });
}

fn story(seen: &mut Seen) {
    let (mut a, mut b, mut c, mut d) = ([0; 512], [0; 512], [0; 512], [0; 512]);
    let (mut client_out, mut server_out) = (SliceSendBuf::new(&mut a), SliceSendBuf::new(&mut b));
    let (mut client_in, mut server_in) = (SliceRecvBuf::new(&mut c), SliceRecvBuf::new(&mut d));
    let (now, config, mut slots) = (Instant::ZERO, Config::default(), [Slot::EMPTY; 4]);
    let connect = Connect { user: Some("ada"), password: Some(b"pw"), ..Connect::default() };
    let mut client = Client::connect(now, &config, &connect, &mut slots, &mut client_out).unwrap();
    let mut server = Server::accept(now, &config);
    let drain =
        Queue { options: Some(QueueOptions::new(QueueAction::Drain, "q")), payload: None, dup: false };
    for round in 0..11 {
        carry(&mut client_out, &mut server_in);
        serve(now, &mut server, &mut server_in, &mut server_out, seen);
        carry(&mut server_out, &mut client_in);
        listen(now, &mut client, &mut client_in, &mut client_out, seen);
        if round < 10 {
            client.publish_tracked(now, &mut client_out, &Message::new("a/b", &[7; 64]), round).unwrap();
            client.subscribe(now, &mut client_out, "a/*", true).unwrap();
            client.queue(now, &mut client_out, &drain).unwrap();
            client.ping(now);
        } else {
            client.disconnect(now);
        }
        assert!(matches!(client.poll_transmit(now, &mut client_out), Transport::Open | Transport::Shut));
    }
    carry(&mut client_out, &mut server_in);
    serve(now, &mut server, &mut server_in, &mut server_out, seen);
    listen(now, &mut client, &mut client_in, &mut client_out, seen);
}
