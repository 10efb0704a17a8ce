"""The PRX1 client's packets, and its session over a socket pair."""

import socket
import unittest
from unittest import mock

import prx1
from prx1 import Client, Fault, Kind, Message, Refused


class Packets(unittest.TestCase):
    """Octets as the protocol's document has them."""

    def test_known_good_packets(self) -> None:
        known = {
            "10 15 00 04 50 52 58 31 0f 00 02 70 77 00 00 00 01 00 04 74 65 73 74": prx1.connect("test", "pw", "", 1),
            "18 12 00 04 50 52 58 31 0f 00 01 70 00 01 63 00 3c 00 01 75": prx1.connect("u", "p", "c", 60, clean=True),
            "b0 09 00 03 61 2f 62 00 02 68 69": prx1.publish(Message("a/b", b"hi")),
            "b2 0b 00 01 00 03 61 2f 62 00 02 68 69": prx1.publish(Message("a/b", b"hi", 1), 1),
            "bb 0b 12 34 00 03 61 2f 62 00 02 68 69": prx1.publish(Message("a/b", b"hi", 1, True, True), 0x1234),
            "70 05 00 03 61 2f 2a": prx1.subscribe("a/*"),
            "72 07 00 02 00 03 61 2f 2a": prx1.subscribe("a/*", 2),
            "c0 00": prx1.packet(Kind.PING),
        }
        for octets, made in known.items():
            self.assertEqual(made, bytes.fromhex(octets))

    def test_a_field_that_is_too_long_is_refused_and_not_cut(self) -> None:
        self.assertEqual(len(prx1.field(b"x" * 65_535)), 65_537)
        with self.assertRaises(ValueError):
            prx1.field(b"x" * 65_536)


class Sessions(unittest.TestCase):
    """Against octets written beforehand."""

    def client(self, answers: str) -> tuple[Client, socket.socket]:
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        self.addCleanup(ours.close)
        theirs.sendall(bytes.fromhex(answers))
        client = Client("127.0.0.1:1", "u", "p", timeout=5)
        with mock.patch("socket.create_connection", return_value=ours):
            client.connect()
        return client, theirs

    def test_what_is_not_acknowledged_goes_out_again(self) -> None:
        client, theirs = self.client("20 01 00")
        theirs.shutdown(socket.SHUT_WR)
        with self.assertRaises(ConnectionError):
            client.publish("a/b", b"hi", 1)
        ours, theirs = socket.socketpair()
        theirs.sendall(bytes.fromhex("2c 05 02 00 02 73 31  60 02 00 01"))
        with mock.patch("socket.create_connection", return_value=ours):
            client.connect()
        self.assertEqual(client.session, "s1")
        client.settle()
        self.assertTrue(theirs.recv(1000).endswith(bytes.fromhex("ba 0b 00 01 00 03 61 2f 62 00 02 68 69")))
        self.assertFalse(client.unacknowledged)
        ours.close()
        theirs.close()

    def test_messages_are_acknowledged(self) -> None:
        client, theirs = self.client("20 01 02  bb 0b 12 34 00 03 61 2f 62 00 02 68 69  b0 09 00 03 61 2f 62 00 02 68 69")
        self.assertEqual(client.next_message(1), Message("a/b", b"hi", 1, True, True))
        self.assertEqual(client.next_message(1), Message("a/b", b"hi"))
        self.assertTrue(theirs.recv(1000).endswith(bytes.fromhex("60 02 12 34")))

    def test_refusals_and_faults(self) -> None:
        with self.assertRaises(Refused):
            self.client("20 01 01")
        for wrong in ("c0 00", "20 01 00  30 00", "20 01 00  b0 80 80 80 80", "20 01 00  60 01 00", "20 01 00  60 03 00 01 00"):
            with self.assertRaises(Fault, msg=wrong):
                client, _ = self.client(wrong)
                client.next_message(1)


if __name__ == "__main__":
    unittest.main()
