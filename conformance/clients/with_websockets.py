"""websockets, the library in Python: its client on our echo server, and a server for our client.

    ECHO=127.0.0.1:9001 python3 -m unittest with_websockets
    python3 with_websockets.py        serves, and says where
"""

from __future__ import annotations

import os
import re
import unittest
from collections.abc import Sequence
from functools import cache

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import Request, Response, ServerConnection, serve

SIZES = (0, 1, 125, 126, 127, 65_535, 65_536, 100_000, 1 << 20)
SECONDS = 20
"""How long anything may take."""

LARGEST = 16 << 20
"""Octets of the largest message that both take."""


@cache
def text(size: int) -> str:
    """Text of so many octets, of which no part is like another."""
    random, letters = 1, bytearray()
    for _ in range(size):
        random = (random * 1_664_525 + 1_013_904_223) & 0xFFFF_FFFF
        letters.append(97 + (random >> 28))
    return letters.decode()


def compresses(connection: ClientConnection) -> bool:
    return bool(connection.protocol.extensions)


class Client:
    """What is tried in the same way with compression and without."""

    compression: str | None

    def connect(self, **more: object) -> ClientConnection:
        options = {"compression": self.compression, "max_size": LARGEST, "open_timeout": SECONDS, **more}
        return self.enterContext(connect(f"ws://{os.environ['ECHO']}/", **options))

    def closed(self, connection: ClientConnection) -> tuple[int, str]:
        """The code and reason of the Close frame that comes next."""
        with self.assertRaises(ConnectionClosed) as raised:
            connection.recv(SECONDS)
        self.assertIsNotNone(raised.exception.rcvd, "no Close frame")
        return raised.exception.rcvd.code, raised.exception.rcvd.reason

    def test_messages_of_all_sizes_come_back_whole_and_in_fragments(self) -> None:
        connection = self.connect()
        self.assertEqual(compresses(connection), self.compression is not None)
        for size in SIZES:
            for message in (text(size), text(size).encode()):
                connection.send(message)
                self.assertTrue(connection.recv(SECONDS) == message, f"{size} octets")
                cut = size // 3
                connection.send([message[:cut], message[:0], message[cut:]])
                self.assertTrue(connection.recv(SECONDS) == message, f"{size} octets in fragments")

    def test_a_thousand_at_once_come_back_in_their_order(self) -> None:
        connection = self.connect()
        for i in range(1000):
            connection.send(str(i))
        self.assertEqual([connection.recv(SECONDS) for _ in range(1000)], [str(i) for i in range(1000)])

    def test_pings_are_answered(self) -> None:
        connection = self.connect()
        self.assertTrue(connection.ping(b"\7" * 125).wait(SECONDS))

    def test_a_close_frame_is_answered_with_its_code(self) -> None:
        for code in (1000, 3001, 4999):
            connection = self.connect()
            connection.close(code, "done")
            self.assertEqual(connection.close_code, code)

    def test_what_is_wrong_is_answered_with_why(self) -> None:
        """Written past the library, which would not send it."""
        for octets, code in (
            (b"\x81\x82\0\0\0\0a\xff", 1007),
            (b"\x80\x80\0\0\0\0", 1002),
            (b"\x83\x80\0\0\0\0", 1002),
            (b"\x81\0", 1002),
            (b"\x82\xff\0\0\0\0\x01\0\0\x01\0\0\0\0", 1009),
        ):
            connection = self.connect()
            connection.socket.sendall(octets)
            got, reason = self.closed(connection)
            self.assertEqual(got, code, octets)
            self.assertNotEqual(reason, "")

    def test_too_large_a_message_is_refused_while_it_is_still_sent(self) -> None:
        """Or, where it is compressed, while it is inflated."""
        connection = self.connect()
        try:
            connection.send(bytes(LARGEST + 1))
        except ConnectionClosed:
            pass  # the answer came before the end
        self.assertEqual(self.closed(connection)[0], 1009)

    def test_a_subprotocol_is_chosen_where_it_is_known(self) -> None:
        self.assertEqual(self.connect(subprotocols=["soap", "echo"]).subprotocol, "echo")
        self.assertIsNone(self.connect(subprotocols=["soap"]).subprotocol)

    def test_an_old_version_is_answered_with_the_one_that_is_spoken(self) -> None:
        with self.assertRaises(InvalidStatus) as raised:
            self.connect(additional_headers={"Sec-WebSocket-Version": "8"})
        self.assertEqual(raised.exception.response.status_code, 426)


class AsItIs(Client, unittest.TestCase):
    compression = None


class Compressed(Client, unittest.TestCase):
    compression = "deflate"

    def test_contexts_go_on_or_each_message_is_for_itself(self) -> None:
        for wanted in (
            {},
            {"server_no_context_takeover": True},
            {"client_no_context_takeover": True},
            {"server_max_window_bits": 9},
            {"client_max_window_bits": 10},
            {"server_max_window_bits": 12, "client_max_window_bits": 12},
        ):
            factory = ClientPerMessageDeflateFactory(**wanted)
            connection = self.connect(compression=None, extensions=[factory])
            self.assertTrue(compresses(connection), wanted)
            for i in range(50):
                line = f"{i} {text(3000)[i * 7:]} {i}"
                connection.send(line)
                self.assertEqual(connection.recv(SECONDS), line)


def choose(connection: ServerConnection, offered: Sequence[str]) -> str | None:
    return "echo" if "echo" in offered else None


def refuse(connection: ServerConnection, request: Request) -> Response | None:
    return connection.respond(404, "nothing is here\n") if request.path == "/missing" else None


def name_another(connection: ServerConnection, request: Request, response: Response) -> Response:
    """The library chooses nothing that was not offered."""
    if request.path == "/other":
        response.headers.pop("Sec-WebSocket-Protocol", None)
        response.headers["Sec-WebSocket-Protocol"] = "other"
    return response


def echo(connection: ServerConnection) -> None:
    """Does what `examples/websocket-echo/tests/peers.rs` says."""
    for message in connection:
        command = re.fullmatch(r"(close|ping|fragments) (.*)", message) if isinstance(message, str) else None
        match command.groups() if command else ():
            case ("close", rest):
                code, reason = rest.split(" ", 1)
                connection.close(int(code), reason)
            case ("ping", octets):
                connection.ping(octets).wait(SECONDS)
                connection.send(f"pong {octets}")
            case ("fragments", words):
                connection.send(words.split(" "))
            case _:
                connection.send(message)


if __name__ == "__main__":
    with serve(
        echo, "127.0.0.1", 0, select_subprotocol=choose, process_request=refuse, process_response=name_another,
        max_size=LARGEST,
    ) as server:
        host, port = server.socket.getsockname()
        print(f"listening on {host}:{port}", flush=True)
        server.serve_forever()
