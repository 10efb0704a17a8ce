"""Types, frames, parameters, properties, topics."""

from __future__ import annotations

import random
import unittest

from bowline import frames, hello, topics
from bowline.frame import Frame
from bowline.frames import decode
from bowline.props import Properties
from bowline.wire import MAX_VARINT, Code, Fault, Kind, Reader, scan_varint, varint

PROPS = Properties("text/plain", bytes(25), b"hint", 5_000, b"id-1", [("a", "1"), ("a", "2")], [(70, b"x")], "r/1", b"\0\xff", 1)

SAMPLES: list[Frame] = [
    hello.Hello(1, 3, hello.Terms(3, 4096, 7, 9, 30_000, bytes(16), b"k" * 16, 5, 60_000, b"\x02tok", "n")),
    hello.Welcome(1, hello.Terms(features=1, name="server")),
    hello.Auth(b"data"), frames.Close(3, "why"), frames.Drain(10_000, 500, "host:1"), frames.Ping(b"12345678"),
    frames.Pong(b"12345678"), frames.Ack(300), frames.Credit(1, MAX_VARINT), frames.Result(12, 1, 2, "no"),
    frames.Publish("a/b", b"payload", True, PROPS), frames.Publish("a", b""), frames.Message(9, "a/b", b"p", True),
    frames.Retain("a/b", b"payload", True, PROPS), frames.Retained(9, "a/b", b"p", True),
    frames.Subscribe(1, "a/+/#", 1, 100, True, True), frames.Subscribe(1, "a", retained=2, retain_as_published=True), frames.Subscribe(1, "a"), frames.Unsubscribe(1),
    frames.Request(1, 2, 3, "svc", b"q", True, PROPS), frames.Response(1, 0, True, b"r", PROPS), frames.Cancel(4),
    frames.Offer(1, "queue", b"task", PROPS), frames.Take(1, "queue", 5), frames.Settle(1, True),
    frames.Join(1, "room", 10, True), frames.Join(1, "room", None, True, (bytes(8), 5), 50, b"here", True),
    frames.Joined(1, bytes(range(8)), 5, 2, "ann", True), frames.Leave(1), frames.Presence(1, "bob", b"here", True),
    frames.History(1, "room", 1, 2, 3),
]  # fmt: skip


def split(encoded: bytes) -> tuple[int, int, bytes]:
    """Kind, flags and body of one whole frame."""
    found = scan_varint(encoded, 1)
    assert found is not None and found[0] == len(encoded) - found[1]
    return encoded[0] >> 2, encoded[0] & 3, encoded[found[1] :]


class Varints(unittest.TestCase):
    def test_round_trip_at_every_edge(self) -> None:
        for bits in range(64):
            for value in {max(0, (1 << bits) - 1), min(1 << bits, MAX_VARINT)}:
                data = varint(value)
                self.assertEqual(scan_varint(data, 0), (value, len(data)))
                self.assertEqual(len(data), max(1, -(-value.bit_length() // 7)))
                for cut in range(len(data)):
                    self.assertIsNone(scan_varint(data[:cut], 0))

    def test_longer_than_need_be(self) -> None:
        for data in (b"\x80\x00", b"\xff\x80\x00", b"\x80" * 9, b"\xff" * 9 + b"\x01"):
            with self.assertRaises(Fault) as caught:
                scan_varint(data, 0)
            self.assertEqual(caught.exception.code, Code.MALFORMED)


class Frames(unittest.TestCase):
    def test_every_kind_has_a_sample(self) -> None:
        tunnels = {Kind.TUNNEL, Kind.DATA, Kind.WINDOW, Kind.RESET}  # known, and not offered
        self.assertEqual({frame.kind for frame in SAMPLES}, set(Kind) - tunnels)

    def test_round_trip(self) -> None:
        for frame in SAMPLES:
            with self.subTest(frame=frame):
                self.assertEqual(decode(*split(frame.encode())), frame)

    def test_a_body_cut_or_lengthened_never_fails_otherwise(self) -> None:
        """TYP-4: whatever is in a body, it is read, or it is a fault."""
        rng = random.Random(1)
        for frame in SAMPLES:
            kind, flags, body = split(frame.encode())
            for cut in range(len(body)):
                changed = bytearray(body[:cut] + rng.randbytes(2) + body[cut + 1 :])
                for mutant in (body[:cut], bytes(changed)):
                    try:
                        again = decode(kind, flags, mutant)
                    except Fault:
                        continue
                    self.assertEqual(decode(*split(again.encode())), again)

    def test_octets_left_over(self) -> None:
        for frame in (frames.Ack(1), frames.Credit(1, 2), frames.Close(1, ""), frames.Cancel(1), frames.Drain()):
            kind, flags, body = split(frame.encode())
            with self.assertRaises(Fault) as caught:
                decode(kind, flags, body + b"\0")
            self.assertEqual(caught.exception.code, Code.MALFORMED)

    def fault(self, kind: Kind, body: str, flags: int = 0) -> Code:
        """The code that a body closes with."""
        with self.assertRaises(Fault) as caught:
            decode(kind, flags, bytes.fromhex(body))
        return caught.exception.code

    def test_faults(self) -> None:
        self.assertEqual(self.fault(Kind.PUBLISH, "01ff"), Code.MALFORMED)  # not UTF-8
        self.assertEqual(self.fault(Kind.PUBLISH, "0100"), Code.MALFORMED)  # U+0000
        self.assertEqual(self.fault(Kind.PUBLISH, "00"), Code.INVALID_TOPIC)
        self.assertEqual(self.fault(Kind.PUBLISH, "012b"), Code.INVALID_TOPIC)
        self.assertEqual(self.fault(Kind.PUBLISH, "000161", 2), Code.MALFORMED)  # PRP-7
        self.assertEqual(self.fault(Kind.SUBSCRIBE, "000161"), Code.MALFORMED)  # SUB-1
        self.assertEqual(self.fault(Kind.SUBSCRIBE, "010161 010102"), Code.MALFORMED)  # SUB-6
        self.assertEqual(self.fault(Kind.SUBSCRIBE, "010161 020100"), Code.MALFORMED)  # SUB-7
        self.assertEqual(self.fault(Kind.SUBSCRIBE, "010161 030101"), Code.MALFORMED)  # SUB-7
        self.assertEqual(self.fault(Kind.SUBSCRIBE, "010161 0300 0300"), Code.MALFORMED)  # PAR-1
        self.assertEqual(self.fault(Kind.SUBSCRIBE, "010161 3f00"), Code.UNSUPPORTED)  # PAR-2
        self.assertEqual(decode(Kind.SUBSCRIBE, 0, bytes.fromhex("010161 400101")), frames.Subscribe(1, "a"))
        self.assertEqual(self.fault(Kind.HELLO, "0001"), Code.MALFORMED)
        self.assertEqual(self.fault(Kind.HELLO, "0201"), Code.MALFORMED)
        self.assertEqual(self.fault(Kind.HELLO, "0203"), Code.VERSION)
        self.assertEqual(self.fault(Kind.WELCOME, "02"), Code.VERSION)
        self.assertEqual(self.fault(Kind.PING, "00"), Code.MALFORMED)
        self.assertEqual(self.fault(Kind.CLOSE, "008104" + "61" * 513), Code.MALFORMED)

    def test_property_faults(self) -> None:
        for data, code in (
            ("020100", Code.MALFORMED), ("0500", Code.MALFORMED), ("040280 00", Code.MALFORMED),
            ("0402 0100", Code.MALFORMED), ("0600", Code.MALFORMED), ("0100 0100", Code.MALFORMED),
            ("0500 0100", Code.MALFORMED), ("0000", Code.UNSUPPORTED), ("0800", Code.UNSUPPORTED),
            ("4000 4000", Code.MALFORMED),
        ):  # fmt: skip
            with self.subTest(data=data), self.assertRaises(Fault) as caught:
                Properties.decode(bytes.fromhex(data))
            self.assertEqual(caught.exception.code, code)
        with self.assertRaises(ValueError):
            Properties(dedup=b"").encode()

    def test_readers_stop_at_the_end(self) -> None:
        reader = Reader(b"\x05ab")
        with self.assertRaises(Fault):
            reader.octets()


class Topics(unittest.TestCase):
    def test_names(self) -> None:
        for text in ("a", "/", "a//b", "$SYS/x", "é", "a" * 65_535, "/" * 127):
            self.assertTrue(topics.is_topic(text), text[:20])
        for text in ("", "+", "a/#", "a" * 65_536, "/" * 128, "é" * 32_768):
            self.assertFalse(topics.is_topic(text), text[:20])

    def test_filters(self) -> None:
        for text in ("a", "+", "#", "a/+/b", "a/#", "+/#", "$share/g/a/#", "$share/g//", "$shared"):
            self.assertTrue(topics.is_filter(text), text)
        for text in ("", "a+", "#/a", "a/#b", "$share/g", "$share/g/", "$share//a", "$share/+/a", "$share/g/a#"):
            self.assertFalse(topics.is_filter(text), text)

    def test_matching(self) -> None:
        for text, topic, wanted in (
            ("a/#", "a", True), ("a/#", "a/b/c", True), ("a/+", "a", False), ("a/+", "a/", True), ("+", "/a", False),
            ("#", "$SYS", False), ("+/x", "$SYS/x", False), ("$SYS/#", "$SYS/x", True), ("$share/g/a", "a", True),
            ("$share/g/#", "$SYS", False), ("a/b", "a", False), ("a", "a/b", False),
        ):  # fmt: skip
            self.assertEqual(topics.matches(text, topic), wanted, (text, topic))


if __name__ == "__main__":
    unittest.main()
