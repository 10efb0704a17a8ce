"""A client of PRX1, the wire format of protox, in one file: ``../PRX1.md`` has the rules that are named here.

Blocking, over TCP; what is not acknowledged on one connection goes out again on the next (PRX-24).

    with Client("127.0.0.1:7790", "ann", "secret") as client:
        client.subscribe("sensors/*", quality=1)
        client.publish("sensors/1", b"21.5", quality=1)     # returns when it is acknowledged
        print(client.next_message(timeout=5))
"""

from __future__ import annotations

import socket
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

MAX_FIELD = 65_535
MAX_ID = 65_534
"""PRX-6."""


class Kind(IntEnum):
    """The codes of packets."""

    CONNECT = 1
    CONNACK = 2
    QUEUE = 4
    QUEUEACK = 5
    PUBACK = 6
    SUBSCRIBE = 7
    SUBACK = 8
    UNSUBSCRIBE = 9
    UNSUBACK = 10
    PUBLISH = 11
    PING = 12
    PONG = 13
    DISCONNECT = 14


DUP, RETAIN = 8, 1
ACCEPTED = (0, 2)
"""PRX-13: results of a success."""


class Fault(Exception):
    """The server broke the protocol."""


class Refused(Exception):
    """CONNACK with another result than a success."""

    def __init__(self, result: int) -> None:
        super().__init__(f"refused with result {result}")
        self.result = result


@dataclass
class Message:
    """What a subscription brought."""

    topic: str
    payload: bytes
    quality: int = 0
    retain: bool = False
    again: bool = False


def field(value: bytes | str) -> bytes:
    """A string or octets, with their length in front (PRX-5)."""
    octets = value.encode() if isinstance(value, str) else value
    if len(octets) > MAX_FIELD:
        raise ValueError(f"{len(octets)} octets cannot be carried")
    return len(octets).to_bytes(2, "big") + octets


def packet(kind: Kind, options: int = 0, *parts: bytes) -> bytes:
    """A packet whole."""
    body = b"".join(parts)
    head, rest = bytearray([kind << 4 | options]), len(body)
    while True:
        rest, low = divmod(rest, 128)
        head.append(low | (0x80 if rest else 0))
        if not rest:
            return bytes(head) + body


def connect(user: str, password: bytes | str, client_id: str = "", keepalive: int = 0, clean: bool = False) -> bytes:
    """CONNECT, with all fields there (PRX-14)."""
    fields = (field(password), field(client_id), keepalive.to_bytes(2, "big"), field(user))
    return packet(Kind.CONNECT, 8 if clean else 0, field("PRX1"), b"\x0f", *fields)


def publish(message: Message, packet_id: int = 0) -> bytes:
    """PUBLISH; with an id at quality 1."""
    options = (DUP if message.again else 0) | message.quality << 1 | (RETAIN if message.retain else 0)
    number = packet_id.to_bytes(2, "big") if message.quality else b""
    return packet(Kind.PUBLISH, options, number, field(message.topic), field(message.payload))


def subscribe(topic: str, packet_id: int = 0) -> bytes:
    """SUBSCRIBE; with an id it is answered (PRX-28), and brings messages of quality 1."""
    number = packet_id.to_bytes(2, "big") if packet_id else b""
    return packet(Kind.SUBSCRIBE, 2 if packet_id else 0, number, field(topic))


class Reader:
    """The body of a packet, from its front."""

    def __init__(self, body: bytes) -> None:
        self.rest = body

    def take(self, count: int) -> bytes:
        """So many octets (PRX-4)."""
        if len(self.rest) < count:
            raise Fault("a body ends within a field")
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    def number(self) -> int:
        """Two octets."""
        return int.from_bytes(self.take(2), "big")

    def field(self) -> bytes:
        """A field with its length in front."""
        return self.take(self.number())


class Client:
    """A user's session, over one connection after the other."""

    def __init__(
        self, address: str, user: str, password: bytes | str, *, client_id: str = "", clean: bool = False,
        keepalive: int = 30, timeout: float = 10.0,
    ) -> None:  # fmt: skip
        self.address, self.timeout = address, timeout
        self.unacknowledged: OrderedDict[int, Message] = OrderedDict()
        self.messages: deque[Message] = deque()
        self.session: str | None = None
        """What CONNACK called the session, where it went on with one."""
        self._login = (user, password, client_id, keepalive)
        self._clean = clean
        self._keepalive = keepalive
        self._socket: socket.socket | None = None
        self._arrived = b""
        self._answered: set[tuple[Kind, int]] = set()
        self._next_id = 1
        self._spoke = 0.0

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            self._send(packet(Kind.DISCONNECT))
        self.cut()

    def connect(self) -> None:
        """Connects, and sends again what was not acknowledged: with DUP, in its order."""
        host, _, port = self.address.rpartition(":")
        self._socket = socket.create_connection((host.strip("[]"), int(port)), self.timeout)
        self._arrived = b""
        self._send(connect(*self._login, clean=self._clean))
        kind, options, body = self._read(time.monotonic() + self.timeout)
        if kind is not Kind.CONNACK:
            raise Fault(f"{kind.name} came before CONNACK")
        reader = Reader(body)
        result = reader.take(1)[0]
        if result not in ACCEPTED:
            self.cut()
            raise Refused(result)
        self.session = reader.field().decode() if options & 4 else None
        self._clean = False
        for packet_id, message in self.unacknowledged.items():
            message.again = True
            self._send(publish(message, packet_id))

    def cut(self) -> None:
        """Ends the connection without a word; ``connect`` goes on with the session."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def publish(self, topic: str, payload: bytes, quality: int = 0, retain: bool = False) -> None:
        """At quality 1 it returns when the server has acknowledged it."""
        message = Message(topic, payload, quality, retain)
        if not quality:
            return self._send(publish(message))
        packet_id = self._take_id()
        self.unacknowledged[packet_id] = message
        self._send(publish(message, packet_id))
        self.settle()

    def settle(self) -> None:
        """Returns when all that was published is acknowledged."""
        deadline = time.monotonic() + self.timeout
        while self.unacknowledged:
            self._handle(deadline)

    def subscribe(self, topic: str, quality: int = 0) -> None:
        """``*`` is one level, at the end one or more. At quality 1 it returns when it counts."""
        packet_id = self._take_id() if quality else 0
        self._send(subscribe(topic, packet_id))
        self._await(Kind.SUBACK, packet_id)

    def unsubscribe(self, topic: str) -> None:
        """Returns when it counts."""
        packet_id = self._take_id()
        self._send(packet(Kind.UNSUBSCRIBE, 2, packet_id.to_bytes(2, "big"), field(topic)))
        self._await(Kind.UNSUBACK, packet_id)

    def ping(self) -> None:
        """Returns at PONG."""
        self._send(packet(Kind.PING))
        self._await(Kind.PONG, 1)

    def next_message(self, timeout: float) -> Message | None:
        """The next message, or none in that time, in seconds."""
        deadline = time.monotonic() + timeout
        while not self.messages:
            try:
                self._handle(deadline)
            except TimeoutError:
                return None
        return self.messages.popleft()

    def _take_id(self) -> int:
        while self._next_id in self.unacknowledged:
            self._next_id = self._next_id % MAX_ID + 1
        taken, self._next_id = self._next_id, self._next_id % MAX_ID + 1
        return taken

    def _await(self, kind: Kind, packet_id: int) -> None:
        deadline = time.monotonic() + self.timeout
        while packet_id and (kind, packet_id) not in self._answered:
            self._handle(deadline)
        self._answered.discard((kind, packet_id))

    def _handle(self, deadline: float) -> None:
        """Takes one packet."""
        kind, options, body = self._read(deadline)
        reader = Reader(body)
        match kind:
            case Kind.PUBLISH:
                quality = options >> 1 & 3
                packet_id = reader.take(2) if quality else b""
                topic = reader.field().decode()
                again, retain = bool(options & DUP), bool(options & RETAIN)
                self.messages.append(Message(topic, reader.field(), quality, retain, again))
                if quality:
                    self._send(packet(Kind.PUBACK, 0, packet_id))
            case Kind.PUBACK:
                self.unacknowledged.pop(reader.number(), None)
            case Kind.SUBACK | Kind.UNSUBACK:
                self._answered.add((kind, reader.number()))
            case Kind.PONG:
                self._answered.add((kind, 1))
            case Kind.PING:
                self._send(packet(Kind.PONG))
            case Kind.QUEUEACK:
                pass
            case _:
                raise Fault(f"{kind.name} from a server")
        if reader.rest:
            raise Fault("a body goes on behind its last field")

    def _send(self, octets: bytes) -> None:
        if self._socket is None:
            raise ConnectionError("not connected")
        self._socket.settimeout(self.timeout)
        self._socket.sendall(octets)
        self._spoke = time.monotonic()

    def _read(self, deadline: float) -> tuple[Kind, int, bytes]:
        """The next packet; PING goes out while nothing comes (PRX-27)."""
        while (whole := self._cut_off()) is None:
            if self._socket is None:
                raise ConnectionError("not connected")
            left, to_ping = deadline - time.monotonic(), self._spoke + (self._keepalive or 1e9) - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if to_ping <= 0:
                self._send(packet(Kind.PING))
                continue
            self._socket.settimeout(min(left, to_ping))
            try:
                octets = self._socket.recv(65_536)
            except TimeoutError:
                continue
            if not octets:
                self.cut()
                raise ConnectionError("the server closed the connection")
            self._arrived += octets
        return whole

    def _cut_off(self) -> tuple[Kind, int, bytes] | None:
        """A packet off the front of what arrived, if it is whole (PRX-1, PRX-2)."""
        length, at = 0, 1
        while True:
            if at > 4:
                raise Fault("a remaining length of more than four octets")
            if at >= len(self._arrived):
                return None
            octet = self._arrived[at]
            length |= (octet & 0x7F) << (7 * (at - 1))
            at += 1
            if octet < 0x80:
                break
        if len(self._arrived) < at + length:
            return None
        first, body = self._arrived[0], self._arrived[at : at + length]
        self._arrived = self._arrived[at + length :]
        if first >> 4 not in set(Kind):
            raise Fault(f"the code {first >> 4} is not assigned")
        return Kind(first >> 4), first & 0xF, body
