"""The blocking client and the command line, against a small hub on loopback."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import threading
import unittest

from bowline import cli
from bowline.client import Client, Credentials, Disconnected, Refused
from bowline.frames import Message
from bowline.link import Misuse
from bowline.wire import Code, Method, Status

from .loopback import tcp_hub, unix_hub


class OverLoopback(unittest.TestCase):
    def setUp(self) -> None:
        self.hub, self.address = tcp_hub()
        self.addCleanup(self.hub.stop)

    def client(self, **options: object) -> Client:
        client = Client(self.address, timeout=5.0, **options)  # type: ignore[arg-type]
        client.connect()
        self.addCleanup(client.disconnect)
        return client

    def test_publish_and_subscribe(self) -> None:
        client = self.client()
        ident = client.subscribe("a/#", quality=1)
        client.publish("a/b", b"once")
        client.publish("a/b", b"at least once", reliable=True)
        client.publish("other", b"unheard", reliable=True)
        first, second = client.next_message(5), client.next_message(5)
        assert first is not None and isinstance(second, Message)
        self.assertEqual((first.payload, second.payload), (b"once", b"at least once"))
        self.assertEqual((first.reliable, second.reliable, second.id), (False, True, ident))
        client.unsubscribe(ident)
        client.publish("a/b", b"unheard", reliable=True)
        self.assertIsNone(client.next_message(0))
        with self.assertRaises(Refused) as caught:
            client.subscribe("a#")
        self.assertEqual(caught.exception.status, Status.INVALID)
        client.close()
        with self.assertRaises(Disconnected):
            client.publish("a", b"")

    def test_more_than_the_windows_hold(self) -> None:
        client = self.client()
        ident = client.subscribe("big", quality=1, credit=1_000)
        self.assertGreater(ident, 0)
        for number in range(40):
            client.publish("big", bytes([number]) * 100_000, reliable=True, wait=False)
        client.publish("end", b"", reliable=True)
        self.assertEqual(len(self.hub.published), 41)
        received = []
        while (message := client.next_message(0.05)) is not None:
            received.append(message.payload[0])
        self.assertEqual(received, sorted(received))

    def test_requests(self) -> None:
        server = self.client()
        server.serve("svc/+", lambda request: request.payload.upper())
        server.serve("bad", lambda request: bytes(1 // len(request.payload)))
        ready, done = threading.Event(), threading.Event()

        def serve() -> None:
            ready.set()
            while not done.is_set():
                server.wait(0.01)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            client = self.client()
            self.assertEqual(client.request("svc/upper", b"hello"), b"HELLO")
            with self.assertRaises(Refused) as caught:
                client.request("bad", b"")
            self.assertEqual(caught.exception.status, Status.REJECTED)
            with self.assertRaises(Refused) as caught:
                client.request("nobody", b"")
            self.assertEqual(caught.exception.status, Status.NO_RESPONDER)
            answers, status = client.request_many("all", b"")
            self.assertEqual(([answer.payload for answer in answers], status), ([b"one", b"two"], 0))
            self.assertGreater(client.ping(), 0)
        finally:
            done.set()
            thread.join()

    def test_exactly_the_gap(self) -> None:
        client = self.client()
        client.subscribe("n", quality=1)
        self.hub.cut_after = 5
        with self.assertRaises(Disconnected) as caught:
            for number in range(50):
                client.publish("n", bytes([number]), reliable=True)
        self.assertIsNone(caught.exception.code)
        self.assertTrue(client.resume())
        for number in range(client.memory.sent, 10):
            client.publish("n", bytes([number]), reliable=True)
        self.assertEqual(self.hub.published, [bytes([number]) for number in range(10)])
        heard: list[bytes] = []
        while len(heard) < 10 and (message := client.next_message(5)) is not None:
            heard.append(message.payload)
        self.assertEqual(heard, self.hub.published)

    def test_an_expired_session(self) -> None:
        client = self.client()
        client.subscribe("n", quality=1)
        client.disconnect()
        self.hub.memories.clear()
        self.assertFalse(client.connect())
        client.publish("n", b"subscribed again", reliable=True)
        message = client.next_message(5)
        assert message is not None
        self.assertEqual(message.payload, b"subscribed again")

    def test_authentication(self) -> None:
        for method in (Method.SCRAM, Method.PASSWORD):
            self.client(credentials=Credentials(method, "user", "pencil")).ping()
            with self.assertRaises(Disconnected) as caught:
                self.client(credentials=Credentials(method, "user", "wrong"))
            self.assertEqual(caught.exception.code, Code.AUTH_FAILED.name)
        self.client(credentials=Credentials(Method.TOKEN, token=b"t")).ping()
        with self.assertRaises(Misuse):
            Client("192.0.2.1:1", Credentials(Method.TOKEN, token=b"t")).connect()

    def test_drain_and_close(self) -> None:
        client = self.client()
        client.publish("a", b"x", reliable=True, wait=False)
        client.drain()
        self.assertEqual(self.hub.published, [b"x"])
        self.assertTrue(client.connect())
        client.close()
        self.assertFalse(client.connect())

    def test_unix_socket(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            hub, address = unix_hub(os.path.join(folder, "s"))
            try:
                with Client(address, Credentials(Method.PASSWORD, "user", "pencil")) as client:
                    self.assertGreater(client.ping(), 0)
            finally:
                hub.stop()

    def run_cli(self, *arguments: str) -> tuple[int, str]:
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = cli.main(["--connect", self.address, *arguments])
        return code, out.getvalue()

    def test_command_line(self) -> None:
        self.assertEqual(self.run_cli("pub", "a", "x", "--reliable"), (0, ""))
        self.assertEqual(self.hub.published, [b"x"])
        code, out = self.run_cli("--user", "user", "--password", "pencil", "ping")
        self.assertEqual((code, out[-4:]), (0, " ms\n"))
        self.assertEqual(self.run_cli("req", "all", "?", "--many"), (0, "0 one\n0 two\n"))
        self.assertEqual(self.run_cli("req", "nobody", "?"), (1, "bowline.cli: NO_RESPONDER\n"))


if __name__ == "__main__":
    unittest.main()
