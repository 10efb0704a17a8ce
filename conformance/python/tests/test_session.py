"""Session against session in memory, and single sessions against octets."""

from __future__ import annotations

import unittest
from typing import Any

from bowline import frames, hello, scram
from bowline.link import OPENING_OCTETS, Blocked, Config, Misuse, State
from bowline.session import Session
from bowline.wire import PREFACE, UNLIMITED, Code, Kind, Method, Status, varint

from .pair import ID, KEY, CountingEntropy, Pair, drain_events


def at(session: Session, now: float) -> bytes:
    """Lets the time come, and returns what is sent then."""
    session.tick(now)
    return session.transmit(now)


class AtEveryCut(unittest.TestCase):
    def story(self, cut: int) -> list[Any]:
        """Something of everything; returns what both sides saw."""
        config = {"features": 15, "keepalive_ms": 0}
        pair = Pair(config, config, cut=cut).open()
        client, server = pair.client, pair.server
        client.subscribe(0, frames.Subscribe(1, "a/#", quality=1, credit=100))
        client.subscribe(0, frames.Subscribe(2, "bad#"))
        client.subscribe(0, frames.Join(3, "room"))
        pair.settle()
        server.result(0, frames.Result(Kind.SUBSCRIBE, 1))
        server.result(0, frames.Result(Kind.JOIN, 3))
        for number in range(5):
            server.message(0, 1, "a/b", bytes([number]), reliable=True)
            client.publish(0, "c", bytes(number), reliable=number % 2 == 0)
        client.request(0, frames.Request(7, topic="svc", payload=b"?", many=True))
        pair.settle()
        server.respond(0, frames.Response(7, payload=b"1", more=True))
        server.respond(0, frames.Response(7))
        client.ping(0)
        client.operate(0, frames.Offer(1, "q", b"task"))
        pair.settle()
        client.unsubscribe(0, frames.Unsubscribe(1))
        server.message(0, 1, "a/b", b"late", reliable=True)
        pair.settle()
        client.close(0, Code.NORMAL, "done")
        pair.settle()
        client.receive_eof(0)
        server.receive_eof(0)
        self.assertEqual((client.transport(), server.transport()), ("drop", "drop"))
        self.assertEqual(server.memory.acked, 6)
        self.assertEqual(client.memory.acked, 3)
        events = pair.client_events + drain_events(client) + pair.server_events
        return [(event.name, event.fields) for event in events]

    def test_same_however_it_is_cut(self) -> None:
        whole = self.story(1 << 30)
        names = [name for name, _ in whole]
        self.assertEqual(names.count("message"), 5)
        self.assertEqual(names.count("result"), 3)
        self.assertEqual(names.count("response"), 2)
        self.assertIn(
            ("closed", {"by": "remote", "code": "NORMAL", "clean": True, "reason": "done", "may_resume": False}), whole
        )
        # ACKs may be cut differently; what the applications see of messages must not.
        for cut in (1, 2, 3, 5, 7, 64):
            self.assertEqual(self.story(cut), whole, f"cut at {cut}")


class Alone(unittest.TestCase):
    """One session, fed with octets."""

    def server(self, opened: bool = True, terms: hello.Terms | None = None, **config: Any) -> Session:
        session = Session("server", Config(keepalive_ms=0, **config), CountingEntropy(3), 0)
        if opened:
            session.receive(0, PREFACE + hello.Hello(terms=terms or hello.Terms()).encode())
            session.welcome(0)
            session.transmit(0)
            drain_events(session)
        return session

    def client(self, opened: bool = True, **config: Any) -> Session:
        session = Session("client", Config(keepalive_ms=0, **config), CountingEntropy(3), 0)
        session.connect(0)
        session.transmit(0)
        if opened:
            session.receive(0, hello.Welcome().encode())
            drain_events(session)
        return session

    def code_of(self, session: Session, data: bytes) -> Code | None:
        """The code that the octets close with; whole, and one by one."""
        session.receive(0, data)
        out = session.transmit(0)
        while out and out[0] >> 2 != Kind.CLOSE:
            out = out[2 + out[1] :]
        return Code(out[2]) if out else None

    def test_faults_of_the_head(self) -> None:
        for head, code in (
            (27 << 2, Code.UNSUPPORTED), (31 << 2, Code.UNKNOWN_KIND), (31 << 2 | 3, Code.UNKNOWN_KIND), (Kind.ACK << 2 | 1, Code.RESERVED_BITS),
            (Kind.HELLO << 2, Code.UNEXPECTED_FRAME), (Kind.WELCOME << 2, Code.UNEXPECTED_FRAME),
            (Kind.AUTH << 2, Code.UNEXPECTED_FRAME), (Kind.OFFER << 2, Code.UNSUPPORTED),
            (Kind.OFFER << 2 | 1, Code.RESERVED_BITS), (Kind.JOIN << 2, Code.UNSUPPORTED),
        ):  # fmt: skip
            with self.subTest(head=head):
                self.assertEqual(self.code_of(self.server(), bytes([head])), code)
        for kind in (Kind.TAKE, Kind.JOIN, Kind.LEAVE, Kind.HISTORY, Kind.HELLO):
            self.assertEqual(self.code_of(self.client(features=15), bytes([kind << 2])), Code.UNEXPECTED_FRAME)
        presence = hello.Terms(features=2)
        self.assertEqual(
            self.code_of(self.server(terms=presence, features=2), bytes([Kind.JOIN << 2 | 1])), Code.UNSUPPORTED
        )

    def test_sizes(self) -> None:
        big = bytes([Kind.PUBLISH << 2]) + varint(257)
        self.assertEqual(self.code_of(self.server(max_frame=256), big), Code.FRAME_TOO_LARGE)
        self.assertEqual(self.code_of(self.server(max_frame=256), big[:-1] + b"\x80\x00"), Code.MALFORMED)
        optional = bytes([40 << 2 | 3])
        self.assertEqual(self.code_of(self.server(max_frame=256), optional + varint(257)), Code.FRAME_TOO_LARGE)
        session = self.server(max_frame=256)
        ping = frames.Ping(b"abcdefgh")
        self.assertIsNone(self.code_of_none(session, optional + varint(256) + bytes(256)))
        session.receive(0, ping.encode())
        self.assertEqual(session.transmit(0), frames.Pong(ping.token).encode())

    def code_of_none(self, session: Session, data: bytes) -> Code | None:
        """As ``code_of``, octet by octet."""
        for octet in data:
            session.receive(0, bytes([octet]))
        return self.code_of(session, b"")

    def test_before_the_session_is_open(self) -> None:
        head = bytes([Kind.HELLO << 2])
        for data, code in (
            (b"G", Code.BAD_PREFACE), (PREFACE[:3] + b"N", Code.BAD_PREFACE),
            (PREFACE + bytes([40 << 2]), Code.UNKNOWN_KIND), (PREFACE + bytes([Kind.PING << 2]), Code.UNEXPECTED_FRAME),
            (PREFACE + bytes([Kind.AUTH << 2]), Code.UNEXPECTED_FRAME),
            (PREFACE + head + varint(8_193), Code.FRAME_TOO_LARGE),
            (PREFACE + hello.Hello(2, 3).encode(), Code.VERSION),
            (PREFACE + hello.Hello(terms=hello.Terms(max_frame=255)).encode(), Code.BAD_LIMIT),
            (PREFACE + hello.Hello(terms=hello.Terms(in_flight=0)).encode(), Code.BAD_LIMIT),
            (PREFACE + hello.Hello(terms=hello.Terms(credit=0)).encode(), Code.BAD_LIMIT),
            (PREFACE + hello.Hello(terms=hello.Terms(keepalive_ms=86_400_001)).encode(), Code.BAD_LIMIT),
            (PREFACE + hello.Hello(terms=hello.Terms(received=1)).encode(), Code.MALFORMED),
            (PREFACE + hello.Hello(terms=hello.Terms(auth=b"\x09")).encode(), Code.AUTH_METHOD),
            (PREFACE + hello.Hello(terms=hello.Terms(auth=b"\x00x")).encode(), Code.AUTH_FAILED),
            (PREFACE + hello.Hello(terms=hello.Terms(auth=b"\x01\x05u")).encode(), Code.AUTH_FAILED),
            (PREFACE + hello.Hello(terms=hello.Terms(auth=b"\x03y,,n=u,r=x")).encode(), Code.AUTH_FAILED),
        ):  # fmt: skip
            with self.subTest(data=data.hex()[:60]):
                self.assertEqual(self.code_of(self.server(opened=False), data), code)
                self.assertEqual(self.code_of_none(self.server(opened=False), data), code)

    def test_too_much_before_it_is_open(self) -> None:
        session = self.server(opened=False)
        session.receive(0, PREFACE + hello.Hello().encode())
        answer = hello.Auth(bytes(8_000)).encode()
        for _ in range(OPENING_OCTETS // len(answer)):
            session.challenge(0, b"more")
            session.receive(0, answer)
            self.assertIs(session.state, State.DECIDING)
        session.challenge(0, b"more")
        session.transmit(0)
        self.assertEqual(self.code_of(session, answer), Code.HANDSHAKE_TOO_LARGE)

    def test_what_a_client_refuses(self) -> None:
        for welcome, code in (
            (hello.Welcome(2), Code.VERSION), (hello.Welcome(terms=hello.Terms(features=1)), Code.UNSUPPORTED),
            (hello.Welcome(terms=hello.Terms(received=0)), Code.UNEXPECTED_FRAME),
            (hello.Welcome(terms=hello.Terms(credit=0)), Code.BAD_LIMIT),
            (hello.Auth(), Code.UNEXPECTED_FRAME), (hello.Auth(b"x"), Code.UNEXPECTED_FRAME),
            (frames.Ping(), Code.UNEXPECTED_FRAME),
        ):  # fmt: skip
            self.assertEqual(self.code_of(self.client(opened=False), welcome.encode()), code)
        self.assertEqual(self.code_of(self.client(opened=False), b"HTTP/1.1 400"), Code.UNEXPECTED_FRAME)

    def test_octets_wait_while_a_server_decides(self) -> None:
        session = self.server(opened=False)
        session.receive(0, PREFACE + hello.Hello().encode() + frames.Ping(b"12345678").encode())
        self.assertEqual(session.transmit(0), b"")
        session.welcome(0)
        self.assertEqual(session.transmit(0), hello.Welcome().encode() + frames.Pong(b"12345678").encode())

    def test_acknowledgement(self) -> None:
        session = self.client(in_flight=2)
        reliable = frames.Publish("a", b"", True).encode()
        session.receive(0, reliable * 2)
        self.assertEqual(session.transmit(0), frames.Ack(2).encode())
        self.assertEqual(self.code_of(session, reliable * 3), Code.IN_FLIGHT_EXCEEDED)
        for count, code in ((1, None), (1, None), (2, None), (1, Code.BAD_ACK)):
            if count == 1 and code is None:
                session = self.client()
                session.publish(0, "a", b"", True)
                session.publish(0, "a", b"", True)
                session.transmit(0)
            self.assertEqual(self.code_of(session, frames.Ack(count).encode()), code)
        self.assertEqual(self.code_of(self.client(), frames.Ack(1).encode()), Code.BAD_ACK)

    def test_accepted_by_hand(self) -> None:
        session = self.client(manual_ack=True)
        session.receive(0, frames.Publish("a", b"", True).encode() * 3)
        self.assertEqual(session.transmit(0), b"")
        session.accept(0, 2)
        self.assertEqual(session.transmit(0), frames.Ack(2).encode())
        with self.assertRaises(Misuse):
            session.accept(0, 2)

    def test_credit(self) -> None:
        session = self.server(terms=hello.Terms(credit=10), credit=10, manual_credit=True)
        session.publish(0, "topic", bytes(100))
        with self.assertRaises(Blocked) as caught:
            session.publish(0, "topic", b"")
        self.assertEqual(caught.exception.why, "credit")
        session.receive(0, frames.Credit(0, 106).encode())
        with self.assertRaises(Blocked):
            session.publish(0, "topic", b"")
        session.receive(0, frames.Credit(0, 107).encode() + frames.Credit(9, 5).encode())
        session.publish(0, "topic", b"")
        session.receive(0, frames.Publish("t", bytes(8)).encode())
        self.assertEqual(self.code_of(session, frames.Publish("t", b"").encode()[:2]), Code.CREDIT_EXCEEDED)

    def test_credit_without_limit_and_by_halves(self) -> None:
        session = self.client(credit=UNLIMITED)
        session.receive(0, frames.Publish("t", bytes(1_000)).encode())
        self.assertEqual(session.transmit(0), b"")
        session = self.client(credit=20)
        session.receive(0, frames.Publish("t", bytes(7)).encode())
        self.assertEqual(session.transmit(0), b"")
        session.receive(0, frames.Publish("t", bytes(1)).encode())
        self.assertEqual(session.transmit(0), frames.Credit(0, 32).encode())

    def test_credit_of_a_subscription(self) -> None:
        session = self.client(manual_credit=True)
        session.subscribe(0, frames.Subscribe(1, "a", credit=5))
        session.transmit(0)
        message = frames.Message(1, "a", b"12").encode()
        self.assertIsNone(self.code_of(session, message))
        other = frames.Message(2, "a", b"12").encode()
        self.assertIsNone(self.code_of(session, other))
        session.subscribe(0, frames.Subscribe(1, "b", credit=5))
        session.transmit(0)
        result = frames.Result(Kind.SUBSCRIBE, 1).encode()
        self.assertIsNone(self.code_of(session, result + result + message))
        self.assertEqual(self.code_of(session, message), Code.CREDIT_EXCEEDED)
        server = self.server()
        server.receive(0, frames.Subscribe(1, "a", credit=5).encode())
        server.message(0, 1, "a", b"12")
        with self.assertRaises(Blocked):
            server.message(0, 1, "a", b"12")
        server.receive(0, frames.Credit(1, 100).encode())
        server.message(0, 1, "a", b"12")

    def test_in_flight_holds_the_sender(self) -> None:
        session = self.server(terms=hello.Terms(in_flight=1))
        session.publish(0, "a", b"", True)
        session.publish(0, "a", b"", False)
        with self.assertRaises(Blocked) as caught:
            session.publish(0, "a", b"", True)
        self.assertEqual(caught.exception.why, "in_flight")
        session.receive(0, frames.Ack(1).encode())
        session.publish(0, "a", b"", True)

    def test_misuse_changes_nothing(self) -> None:
        session = self.server(terms=hello.Terms(max_frame=256))
        for topic, payload in (("", b""), ("+", b""), ("\0", b""), ("a", bytes(255))):
            with self.assertRaises(Misuse):
                session.publish(0, topic, payload, True)
        with self.assertRaises(Misuse):
            session.message(0, 1, "a", b"")
        with self.assertRaises(Misuse):
            session.respond(0, frames.Response(1))
        with self.assertRaises(Misuse):
            session.operate(0, frames.Offer(1, "q"))
        self.assertEqual((session.transmit(0), session.memory.sent), (b"", 0))

    def test_subscriptions_that_the_session_answers(self) -> None:
        session = self.server(max_subscriptions=1)
        session.receive(0, frames.Subscribe(1, "a+").encode())
        self.assertEqual(session.transmit(0), frames.Result(Kind.SUBSCRIBE, 1, Status.INVALID).encode())
        session.receive(0, frames.Subscribe(1, "a").encode() + frames.Subscribe(2, "a").encode())
        self.assertEqual(session.transmit(0), frames.Result(Kind.SUBSCRIBE, 2, Status.QUOTA).encode())
        session.receive(0, frames.Unsubscribe(2).encode())
        self.assertEqual(session.transmit(0), frames.Result(Kind.UNSUBSCRIBE, 2, Status.NOT_FOUND).encode())

    def test_requests(self) -> None:
        session = self.server(max_requests=1)
        session.receive(0, frames.Request(1, topic="s").encode() + frames.Request(2, topic="s").encode())
        self.assertEqual(session.transmit(0), frames.Result(Kind.REQUEST, 2, Status.QUOTA).encode())
        session.receive(0, frames.Cancel(1).encode() + frames.Cancel(5).encode() + frames.Response(9).encode())
        self.assertEqual([event.name for event in drain_events(session)], ["request", "cancel"])
        session.receive(0, frames.Request(1, topic="s").encode())
        self.assertEqual(self.code_of(session, frames.Request(1, topic="s").encode()), Code.MALFORMED)

    def test_pings_are_answered_once(self) -> None:
        session = self.server()
        session.receive(0, b"".join(frames.Ping(bytes([n]) * 8).encode() for n in range(256)))
        self.assertEqual(session.transmit(0), frames.Pong(b"\xff" * 8).encode())

    def test_keepalive(self) -> None:
        session = Session("client", Config(keepalive_ms=1_000), CountingEntropy(1), 0)
        session.connect(0)
        session.transmit(0)
        self.assertEqual(session.deadline(), (5_000, "handshake"))
        session.receive(10, hello.Welcome(terms=hello.Terms(keepalive_ms=5)).encode())
        self.assertEqual(session.deadline(), (110, "keepalive"))
        self.assertEqual(at(session, 109), b"")
        ping = at(session, 110)
        self.assertEqual(ping[:2], bytes([Kind.PING << 2, 8]))
        session.receive(112, frames.Pong(ping[2:]).encode() + frames.Pong(bytes(8)).encode())
        rtts = [event.fields["rtt_us"] for event in drain_events(session) if event.name == "pong"]
        self.assertEqual(rtts, [2_000])
        self.assertEqual(at(session, 1_611)[:1], bytes([Kind.PING << 2]))
        self.assertEqual(at(session, 1_612), frames.Close(Code.KEEPALIVE_TIMEOUT).encode())
        self.assertEqual((session.transport(), session.deadline()), ("shut", (3_612, "close")))
        session.tick(3_612)
        closed = drain_events(session)[-1]
        expected = {"by": "local", "code": "KEEPALIVE_TIMEOUT", "clean": False, "reason": "", "may_resume": True}
        self.assertEqual(closed.fields, expected)
        self.assertEqual(session.transport(), "drop")

    def test_handshake_timeout(self) -> None:
        for session in (self.server(opened=False), self.client(opened=False)):
            self.assertEqual(at(session, 4_999), b"")
            self.assertEqual(at(session, 5_000), frames.Close(Code.HANDSHAKE_TIMEOUT).encode())

    def test_time_does_not_go_backwards(self) -> None:
        session = self.server(opened=False)
        session.tick(4_000)
        session.tick(10)
        self.assertEqual(at(session, 5_000), frames.Close(Code.HANDSHAKE_TIMEOUT).encode())

    def test_ends(self) -> None:
        session = self.client()
        session.receive(0, frames.Close(200, "because").encode())
        self.assertEqual(session.transmit(0), frames.Close(200).encode())
        self.assertEqual(drain_events(session)[0].fields["code"], "INTERNAL")
        self.assertEqual(session.transport(), "drop")
        session = self.server()
        session.close(0, Code.NORMAL)
        session.transmit(0)
        # Whatever comes before the other's CLOSE is dropped unread, even a frame cut short and a bad one.
        junk = bytes([27 << 2, 3]) + b"abc" + frames.Publish("", b"").encode()
        session.receive(0, junk + frames.Close(0).encode())
        self.assertEqual(drain_events(session)[0].fields["clean"], True)
        self.assertEqual(session.transport(), "shut")
        session.receive_eof(0)
        self.assertEqual((session.transport(), drain_events(session)), ("drop", []))

    def test_truncation(self) -> None:
        session = self.client()
        session.receive(0, frames.Publish("a", b"xyz").encode()[:-1])
        session.receive_eof(0)
        events = drain_events(session)
        self.assertEqual([event.name for event in events], ["closed"])
        self.assertEqual((events[0].fields["by"], events[0].fields["code"]), ("transport", None))
        self.assertEqual(session.transport(), "drop")

    def test_drain(self) -> None:
        session = self.server()
        session.receive(0, frames.Request(1, topic="s").encode())
        session.drain(0, 10_000, 5, "else")
        self.assertEqual(session.transmit(0), frames.Drain(10_000, 5, "else").encode())
        self.assertTrue(session.in_flight())
        session.respond(5, frames.Response(1))
        self.assertFalse(session.in_flight())
        session.close(5, Code.GOING_AWAY)
        self.assertEqual(session.transmit(5), frames.Response(1).encode() + frames.Close(Code.GOING_AWAY).encode())
        session = self.server()
        session.receive(0, frames.Request(1, topic="s").encode())
        session.drain(0, 10_000)
        session.transmit(0)
        self.assertEqual(at(session, 10_000), frames.Close(Code.GOING_AWAY).encode())
        client = self.client()
        client.receive(0, frames.Drain().encode())
        with self.assertRaises(Blocked):
            client.publish(0, "a", b"")
        self.assertEqual(self.code_of(client, frames.Drain().encode()), Code.UNEXPECTED_FRAME)


class Scram(unittest.TestCase):
    def exchange(self, password: str, tamper: bool = False) -> Pair:
        """Client and server, as far as they come."""
        pair = Pair()
        pair.client.connect(0, Method.SCRAM, user="user", password=password)
        pair.settle()
        asked = pair.fields("server", "hello")[0]["auth"]
        server = scram.Server(scram.Verifier.of("pencil", b"salt" * 4), asked["data"], "server-nonce")
        pair.server.challenge(0, server.first())
        pair.settle()
        try:
            final = server.final(pair.fields("server", "auth")[0]["data"])
            pair.server.welcome(0, auth=b"v=AAAA" if tamper else final)
        except scram.ScramError:
            pair.server.refuse(0, Code.AUTH_FAILED, "wrong credentials")
        pair.settle()
        return pair

    def test_right(self) -> None:
        self.assertIn("welcome", self.exchange("pencil").names("client"))

    def test_wrong(self) -> None:
        self.assertEqual(self.exchange("pen").code("client"), Code.AUTH_FAILED)

    def test_a_server_that_does_not_know_the_password(self) -> None:
        pair = self.exchange("pencil", tamper=True)
        self.assertNotIn("welcome", pair.names("client"))
        self.assertEqual(pair.code("server"), Code.AUTH_FAILED)

    def test_welcome_before_its_time(self) -> None:
        pair = Pair()
        pair.client.connect(0, Method.SCRAM, user="user", password="x")
        pair.settle()
        pair.server.welcome(0)
        pair.settle()
        self.assertEqual(pair.code("server"), Code.AUTH_FAILED)


class Resume(unittest.TestCase):
    def again(self, pair: Pair, **config: Any) -> Pair:
        """A new connection for the same session; the server knows it."""
        new = Pair(config or None, client_memory=pair.client.memory)
        return new.open(memory=pair.server.memory)

    def test_exactly_the_gap_at_every_cut(self) -> None:
        """Both sides send; the connection is cut after each number of octets, in both directions."""
        for cut in range(0, 120, 3):
            pair = Pair().open()
            pair.client.subscribe(0, frames.Subscribe(1, "#", quality=1))
            pair.settle()
            for number in range(6):
                pair.client.publish(0, "up", bytes([number]), True)
                pair.server.message(0, 1, "down", bytes([number]), True)
            up, down = pair.client.transmit(0), pair.server.transmit(0)
            pair.server.receive(0, up[:cut])
            pair.client.receive(0, down[:cut])
            # Acknowledgements get through in one direction only.
            pair.client.receive(0, pair.server.transmit(0) if len(down) <= cut else b"")
            seen_up = [e.fields["payload"] for e in drain_events(pair.server) if e.name == "publish"]
            seen_down = [e.fields["payload"] for e in drain_events(pair.client) if e.name == "message"]
            new = self.again(pair)
            self.assertTrue(new.fields("client", "welcome")[0]["resumed"])
            seen_up += [fields["payload"] for fields in new.fields("server", "publish")]
            seen_down += [fields["payload"] for fields in new.fields("client", "message")]
            self.assertEqual(seen_up, [bytes([number]) for number in range(6)], cut)
            self.assertEqual(seen_down, [bytes([number]) for number in range(6)], cut)
            self.assertEqual((new.client.memory.acked, new.server.memory.acked), (6, 6))
            self.assertFalse(new.client.memory.unacked or new.server.memory.unacked)

    def test_the_gap_waits_for_credit_and_in_flight(self) -> None:
        pair = Pair().open()
        for number in range(5):
            pair.client.publish(0, "up", bytes([number]), True)
        new = Pair(client_memory=pair.client.memory, server={"in_flight": 2, "manual_ack": True})
        new.open(memory=pair.server.memory)
        self.assertEqual(len(new.fields("server", "publish")), 2)
        with self.assertRaises(Blocked):
            new.client.publish(0, "up", b"new", False)
        for _ in range(3):
            new.server.accept(0, new.server.memory.received - new.server.memory.accepted)
            new.settle()
        self.assertEqual([f["payload"] for f in new.fields("server", "publish")], [bytes([n]) for n in range(5)])
        new.client.publish(0, "up", b"new", True)

    def test_what_was_not_accepted_comes_again(self) -> None:
        pair = Pair(server={"manual_ack": True}).open()
        for number in range(3):
            pair.client.publish(0, "up", bytes([number]), True)
        pair.settle()
        pair.server.accept(0, 1)
        new = self.again(pair)
        self.assertEqual([f["payload"] for f in new.fields("server", "publish")], [b"\1", b"\2"])

    def test_a_session_that_is_gone(self) -> None:
        pair = Pair().open()
        pair.client.publish(0, "up", b"x", True)
        new = Pair(client_memory=pair.client.memory).open()
        self.assertFalse(new.fields("client", "welcome")[0]["resumed"])
        self.assertEqual(len(new.client.lost), 1)
        self.assertEqual((new.client.memory.sent, new.client.memory.id, new.client.memory.key), (0, ID, KEY))

    def test_bad_resume(self) -> None:
        for received in (4, 0):
            pair = Pair().open()
            for _ in range(3):
                pair.server.publish(0, "down", b"", True)
            pair.settle()
            pair.client.memory.accepted = received
            new = self.again(pair)
            self.assertEqual(new.code("client"), Code.BAD_RESUME)
            self.assertEqual(pair.server.memory.acked, 3)

    def test_subscriptions_stay_and_their_credit_starts_anew(self) -> None:
        pair = Pair({"manual_credit": True}).open()
        pair.client.subscribe(0, frames.Subscribe(1, "#", quality=1, credit=4))
        pair.settle()
        pair.server.message(0, 1, "a", b"x")
        pair.settle()
        with self.assertRaises(Blocked):
            pair.server.message(0, 1, "a", b"x")
        new = self.again(pair, manual_credit=True)
        new.server.message(0, 1, "a", b"y")
        new.settle()
        self.assertEqual(new.fields("client", "message")[0]["payload"], b"y")


if __name__ == "__main__":
    unittest.main()
