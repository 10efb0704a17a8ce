"""A small MQTT client, 3.1.1 and 5.0, that knows exactly what was acknowledged and what was not.

Made for watching a server: a session's state outlives connections here, and is settled only by what the server says.
It takes nothing for granted that the specifications leave open, and raises ``Broken`` where a server breaks them.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK = range(1, 10)
DISCONNECT = 14
SESSION_EXPIRY = 0x11
NEVER = 0xFFFF_FFFF
NOT_FOUND = 0x92
"""The reason for a packet identifier that nothing waits for."""


class Broken(Exception):
    """The server broke the protocol, or lost what it had promised to keep."""


def text(value: str) -> bytes:
    """A string with its length in front."""
    octets = value.encode()
    return len(octets).to_bytes(2, "big") + octets


def number(value: int) -> bytes:
    """A variable byte integer."""
    octets = bytearray()
    while True:
        value, low = divmod(value, 128)
        octets.append(low | (0x80 if value else 0))
        if not value:
            return bytes(octets)


def packet(kind: int, flags: int, *parts: bytes) -> bytes:
    """A packet whole."""
    body = b"".join(parts)
    return bytes([kind << 4 | flags]) + number(len(body)) + body


def scan_number(octets: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer, and where it ends."""
    value = 0
    for index in range(4):
        octet = octets[at + index]
        value |= (octet & 0x7F) << (7 * index)
        if octet < 0x80:
            return value, at + index + 1
    raise Broken("a variable byte integer of more than four octets")


@dataclass
class Message:
    """What a subscriber was sent."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool


@dataclass
class Sent:
    """A message of QoS 1 or 2 that is not settled."""

    topic: str
    payload: bytes
    qos: int
    received: bool = False
    """PUBREC has come: from here on only its id counts."""


@dataclass
class Session:
    """One session, over one connection after the other."""

    client_id: str
    version: int = 4
    user: str | None = None
    password: str = ""
    known: bool = False
    """The server has said that it has the session."""
    unsettled: OrderedDict[int, Sent] = field(default_factory=OrderedDict)
    releasing: set[int] = field(default_factory=set)
    """Ids of messages of QoS 2 that came and are not released."""
    next_id: int = 1

    async def connect(self, port: int) -> Connection:
        """Goes on with the session; what is not settled goes out again, in its order."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        connection = Connection(self, reader, writer)
        try:
            await connection.open()
        except BaseException:
            connection.cut()
            raise
        return connection

    def take_id(self) -> int:
        """An id that nothing waits for."""
        while self.next_id in self.unsettled:
            self.next_id = self.next_id % 65_535 + 1
        taken, self.next_id = self.next_id, self.next_id % 65_535 + 1
        return taken


class Connection:
    """A connection that serves a session."""

    def __init__(self, session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.session = session
        self.present = False
        self._released_again: set[int] = set()
        """Ids whose PUBREL went out on an earlier connection as well."""
        self._reader = reader
        self._writer = writer

    async def open(self) -> None:
        """CONNECT, CONNACK, and what was not settled."""
        session = self.session
        flags, login = 0, b""
        if session.user is not None:
            flags, login = 0xC0, text(session.user) + text(session.password)
        properties = b""
        if session.version == 5:
            properties = number(5) + bytes([SESSION_EXPIRY]) + NEVER.to_bytes(4, "big")
        head = text("MQTT") + bytes([session.version, flags]) + (60).to_bytes(2, "big")
        self._writer.write(packet(CONNECT, 0, head, properties, text(session.client_id), login))
        kind, _, body = await self._read()
        if kind != CONNACK or body[1] != 0:
            raise Broken(f"{session.client_id}: CONNECT was answered by packet {kind}, {body.hex()}")
        self.present = body[0] == 1
        if session.known and not self.present:
            raise Broken(f"{session.client_id}: the server has lost the session")
        session.known = True
        # [MQTT-4.4.0-1]: with their ids, and DUP.
        for message_id, sent in session.unsettled.items():
            if sent.received:
                self._released_again.add(message_id)
                self._writer.write(packet(PUBREL, 2, message_id.to_bytes(2, "big")))
            else:
                self._publish(message_id, sent, dup=True)

    def _publish(self, message_id: int, sent: Sent, dup: bool) -> None:
        flags = (8 if dup else 0) | sent.qos << 1
        properties = b"\0" if self.session.version == 5 else b""
        head = text(sent.topic) + message_id.to_bytes(2, "big")
        self._writer.write(packet(PUBLISH, flags, head, properties, sent.payload))

    def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """At QoS 1 or 2; ``receive`` says when it is settled."""
        message_id, sent = self.session.take_id(), Sent(topic, payload, qos)
        self.session.unsettled[message_id] = sent
        self._publish(message_id, sent, dup=False)

    def retain(self, topic: str, payload: bytes) -> None:
        """At QoS 1, kept by the topic."""
        message_id = self.session.take_id()
        self.session.unsettled[message_id] = Sent(topic, payload, 1)
        properties = b"\0" if self.session.version == 5 else b""
        head = text(topic) + message_id.to_bytes(2, "big")
        self._writer.write(packet(PUBLISH, 3, head, properties, payload))

    async def subscribe(self, topic: str, qos: int) -> None:
        """Returns when it is granted, whole."""
        properties = b"\0" if self.session.version == 5 else b""
        self._writer.write(packet(SUBSCRIBE, 2, b"\xff\xff", properties, text(topic), bytes([qos])))
        kind, _, body = await self._read()
        if (kind, body[-1]) != (SUBACK, qos):
            raise Broken(f"SUBSCRIBE was answered by packet {kind}, {body.hex()}")

    async def receive(self) -> Message | Sent | None:
        """What comes next: a message that is new, or one of ours that the server now has."""
        await self._writer.drain()
        kind, flags, body = await self._read()
        if kind == PUBLISH:
            return self._take(flags, body)
        if kind == DISCONNECT:
            raise ConnectionResetError(f"the server said DISCONNECT {body.hex()}")
        message_id = int.from_bytes(body[:2], "big")
        # Of what was released before, only the answer may have been lost.
        is_known = kind == PUBCOMP and message_id in self._released_again
        self._released_again.discard(message_id)
        if len(body) > 2 and body[2] >= 0x80 and not (is_known and body[2] == NOT_FOUND):
            raise Broken(f"{self.session.client_id}: refused with {body[2]:#04x}")
        if kind == PUBREL:
            # [MQTT-4.3.3-11]: answered even if the message is not known any more.
            self.session.releasing.discard(message_id)
            self._writer.write(packet(PUBCOMP, 0, body[:2]))
            return None
        return self._settle(kind, message_id)

    def _settle(self, kind: int, message_id: int) -> Sent | None:
        session = self.session
        sent = session.unsettled.get(message_id)
        expected = {PUBACK: 1, PUBREC: 2, PUBCOMP: 2}.get(kind)
        if sent is None or sent.qos != expected or (kind == PUBCOMP) > sent.received:
            raise Broken(f"{session.client_id}: packet {kind} for id {message_id}, which is {sent}")
        if kind == PUBREC:
            first, sent.received = not sent.received, True
            self._writer.write(packet(PUBREL, 2, message_id.to_bytes(2, "big")))
            return sent if first else None
        del session.unsettled[message_id]
        return sent if kind == PUBACK else None

    def _take(self, flags: int, body: bytes) -> Message | None:
        size = int.from_bytes(body[:2], "big")
        topic, at, qos = body[2 : 2 + size].decode(), 2 + size, flags >> 1 & 3
        message_id = body[at : at + 2]
        if qos:
            at += 2
        if self.session.version == 5:
            length, at = scan_number(body, at)
            at += length
        message = Message(topic, body[at:], qos, bool(flags & 1), bool(flags & 8))
        if qos == 1:
            self._writer.write(packet(PUBACK, 0, message_id))
        elif qos == 2:
            known = int.from_bytes(message_id, "big")
            again = known in self.session.releasing
            self.session.releasing.add(known)
            self._writer.write(packet(PUBREC, 0, message_id))
            if again:
                return None
        return message

    async def _read(self) -> tuple[int, int, bytes]:
        first = (await self._reader.readexactly(1))[0]
        length = bytearray()
        while not length or length[-1] >= 0x80:
            if len(length) == 4:
                raise Broken("a remaining length of more than four octets")
            length += await self._reader.readexactly(1)
        size, _ = scan_number(bytes(length), 0)
        return first >> 4, first & 0xF, await self._reader.readexactly(size)

    def cut(self) -> None:
        """Without a word, and whatever was not written is lost."""
        self._writer.transport.abort()
