"""One class for each kind of frame. Each knows its own body, and nothing of states (SPEC §3 to §9).

``read`` takes the flags and the body of a received frame, and raises ``Fault`` where a rule is broken.
``encode`` gives head, size and body. The names of the fields are those of the conformance vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

from .frame import FLAG_1, PROPS, Frame, number, optional
from .hello import Auth, Hello, Welcome
from .props import Properties
from .topics import check_topic
from .wire import (
    MAX_REASON,
    Feature,
    Kind,
    Reader,
    malformed,
    octets,
    put_parameters,
    read_parameters,
    string,
    varint,
)  # fmt: skip


def _props_flag(props: Properties | None) -> int:
    return PROPS if props is not None else 0


def _put_props(props: Properties | None) -> bytes:
    return octets(props.encode()) if props is not None else b""


def _read_props(flags: int, reader: Reader) -> Properties | None:
    return Properties.decode(reader.octets()) if flags & PROPS else None


def _topic(reader: Reader) -> str:
    return check_topic(reader.string())


# --- the connection (SPEC §6 to §9) ------------------------------------------------------------


def read_reason(reader: Reader) -> str:
    """Why, for people: at most 512 octets (END-5)."""
    reason = reader.string()
    if len(reason.encode("utf-8")) > MAX_REASON:
        raise malformed("a reason has at most 512 octets")
    return reason


@dataclass
class Close(Frame):
    """The last frame of a side."""

    kind = Kind.CLOSE
    code: int = 0
    reason: str = ""

    def body(self) -> bytes:
        return varint(self.code) + string(self.reason)

    @classmethod
    def read(cls, flags: int, reader: Reader) -> Close:
        return cls(reader.varint(), read_reason(reader))


@dataclass
class Drain(Frame):
    """The side takes no new work, and closes soon."""

    kind = Kind.DRAIN
    deadline_ms: int = 0
    retry_after_ms: int = 0
    endpoint: str = ""

    def body(self) -> bytes:
        return varint(self.deadline_ms) + varint(self.retry_after_ms) + string(self.endpoint)

    @classmethod
    def read(cls, flags: int, reader: Reader) -> Drain:
        return cls(reader.varint(), reader.varint(), reader.string())


@dataclass
class _Token(Frame):
    token: bytes = bytes(8)

    def body(self) -> bytes:
        return self.token

    @classmethod
    def read(cls, flags: int, reader: Reader) -> _Token:
        token = reader.rest()
        if len(token) != 8:
            raise malformed("a token has 8 octets")  # KEE-5
        return cls(token)


@dataclass
class Ping(_Token):
    """Asks to be answered."""

    kind = Kind.PING


@dataclass
class Pong(_Token):
    """Answers a PING."""

    kind = Kind.PONG


@dataclass
class Ack(Frame):
    """How many reliable frames of the session were accepted."""

    kind = Kind.ACK
    count: int = 0

    def body(self) -> bytes:
        return varint(self.count)

    @classmethod
    def read(cls, flags: int, reader: Reader) -> Ack:
        return cls(reader.varint())


@dataclass
class Credit(Frame):
    """A new limit, for the session (id 0) or a subscription."""

    kind = Kind.CREDIT
    id: int = 0
    limit: int = 0

    def body(self) -> bytes:
        return varint(self.id) + varint(self.limit)

    @classmethod
    def read(cls, flags: int, reader: Reader) -> Credit:
        return cls(reader.varint(), reader.varint())


@dataclass
class Result(Frame):
    """How an operation ended; ``of`` is the kind of frame that asked for it."""

    kind = Kind.RESULT
    of: int = 0
    id: int = 0
    status: int = 0
    reason: str = ""

    def body(self) -> bytes:
        return bytes([self.of]) + varint(self.id) + varint(self.status) + string(self.reason)

    @classmethod
    def read(cls, flags: int, reader: Reader) -> Result:
        return cls(reader.u8(), reader.varint(), reader.varint(), read_reason(reader))


# --- messages and requests (SPEC §5) -----------------------------------------------------------


@dataclass
class Publish(Frame):
    """A message for the peer."""

    kind = Kind.PUBLISH
    topic: str = ""
    payload: bytes = b""
    reliable: bool = False
    props: Properties | None = None

    def flags(self) -> int:
        return self.reliable | _props_flag(self.props)

    def body(self) -> bytes:
        return _put_props(self.props) + string(self.topic) + self.payload

    @classmethod
    def read(cls, flags: int, reader: Reader) -> Publish:
        props = _read_props(flags, reader)
        return cls(_topic(reader), reader.rest(), bool(flags & FLAG_1), props)


@dataclass
class Message(Frame):
    """A message because of a subscription."""

    kind = Kind.MESSAGE
    id: int = 0
    topic: str = ""
    payload: bytes = b""
    reliable: bool = False
    props: Properties | None = None

    def flags(self) -> int:
        return self.reliable | _props_flag(self.props)

    def body(self) -> bytes:
        return varint(self.id) + _put_props(self.props) + string(self.topic) + self.payload

    @classmethod
    def read(cls, flags: int, reader: Reader) -> Message:
        ident = reader.varint()
        props = _read_props(flags, reader)
        return cls(ident, _topic(reader), reader.rest(), bool(flags & FLAG_1), props)


class Retain(Publish):
    """A message for the peer, which its topic keeps."""

    kind = Kind.RETAIN


class Retained(Message):
    """A message because of a subscription, which its topic keeps."""

    kind = Kind.RETAINED


@dataclass
class Subscribe(Frame):
    """Asks for messages (or requests) that match a filter. The filter itself is not checked here: TOP-2."""

    kind = Kind.SUBSCRIBE
    id: int = 0
    filter: str = ""
    quality: int = 0
    credit: int | None = None
    serve: bool = False
    no_local: bool = False
    retained: int = 0
    retain_as_published: bool = False

    def body(self) -> bytes:
        return (
            varint(self.id)
            + string(self.filter)
            + put_parameters(
                {
                    1: varint(self.quality) if self.quality else None,
                    2: None if self.credit is None else varint(self.credit),
                    3: b"" if self.serve else None,
                    4: b"" if self.no_local else None,
                    5: varint(self.retained) if self.retained else None,
                    6: b"" if self.retain_as_published else None,
                }
            )
        )

    @classmethod
    def read(cls, flags: int, reader: Reader, features: int = Feature.RETAINED) -> Subscribe:
        ident, text = nonzero(reader), reader.string()
        known = {1, 2, 3, 4, 5, 6} if features & Feature.RETAINED else {1, 2, 3, 4}  # SUB-7
        values = read_parameters(reader, frozenset(known))
        quality = number(values, 1, 0)
        if quality > 1:
            raise malformed("a quality is 0 or 1")  # SUB-6
        if values.get(3) or values.get(4) or values.get(6):
            raise malformed("serve, no local and retain as published have no value")  # PAR-3
        retained = number(values, 5, 0)
        if retained > 2:
            raise malformed("retained is 0, 1 or 2")  # SUB-7
        return cls(ident, text, quality, _window(values), 3 in values, 4 in values, retained, 6 in values)

    def needs_retained(self) -> bool:
        """Whether it has a parameter of the feature *retained*."""
        return self.retained > 0 or self.retain_as_published


def _window(values: dict[int, bytes]) -> int | None:
    """Parameter 2 of SUBSCRIBE and JOIN."""
    credit = optional(values, 2)
    if credit == 0:
        raise malformed("a subscription's credit is at least 1")
    return credit


def nonzero(reader: Reader) -> int:
    """An id of the numbers that SUBSCRIBE, JOIN and HISTORY share (SUB-1)."""
    ident = reader.varint()
    if ident == 0:
        raise malformed("ids begin with 1")
    return ident


@dataclass
class _OnlyId(Frame):
    id: int = 0

    def body(self) -> bytes:
        return varint(self.id)

    @classmethod
    def read(cls, flags: int, reader: Reader) -> _OnlyId:
        return cls(reader.varint())


@dataclass
class Unsubscribe(_OnlyId):
    """Ends a subscription."""

    kind = Kind.UNSUBSCRIBE


@dataclass
class Cancel(_OnlyId):
    """Ends a request."""

    kind = Kind.CANCEL


@dataclass
class Leave(_OnlyId):
    """Leaves a room."""

    kind = Kind.LEAVE


@dataclass
class Request(Frame):
    """Asks for a RESPONSE."""

    kind = Kind.REQUEST
    id: int = 0
    subscription: int = 0
    timeout_ms: int = 0
    topic: str = ""
    payload: bytes = b""
    many: bool = False
    props: Properties | None = None

    def flags(self) -> int:
        return self.many | _props_flag(self.props)

    def body(self) -> bytes:
        numbers = varint(self.id) + varint(self.subscription) + varint(self.timeout_ms)
        return numbers + _put_props(self.props) + string(self.topic) + self.payload

    @classmethod
    def read(cls, flags: int, reader: Reader) -> Request:
        numbers = reader.varint(), reader.varint(), reader.varint()
        props = _read_props(flags, reader)
        return cls(*numbers, _topic(reader), reader.rest(), bool(flags & FLAG_1), props)


@dataclass
class Response(Frame):
    """Answers a REQUEST."""

    kind = Kind.RESPONSE
    id: int = 0
    status: int = 0
    more: bool = False
    payload: bytes = b""
    props: Properties | None = None

    def flags(self) -> int:
        return self.more | _props_flag(self.props)

    def body(self) -> bytes:
        return varint(self.id) + varint(self.status) + _put_props(self.props) + self.payload

    @classmethod
    def read(cls, flags: int, reader: Reader) -> Response:
        ident, status = reader.varint(), reader.varint()
        props = _read_props(flags, reader)
        return cls(ident, status, bool(flags & FLAG_1), reader.rest(), props)


# --- queues, rooms, presence, history (SPEC §5.4) ----------------------------------------------


@dataclass
class Offer(Frame):
    """A task, for a queue or from it."""

    kind = Kind.OFFER
    id: int = 0
    queue: str = ""
    payload: bytes = b""
    props: Properties | None = None

    def flags(self) -> int:
        return _props_flag(self.props)

    def body(self) -> bytes:
        return varint(self.id) + _put_props(self.props) + string(self.queue) + self.payload

    @classmethod
    def read(cls, flags: int, reader: Reader) -> Offer:
        ident = reader.varint()
        props = _read_props(flags, reader)
        return cls(ident, _topic(reader), reader.rest(), props)


@dataclass
class Take(Frame):
    """Asks for tasks."""

    kind = Kind.TAKE
    id: int = 0
    queue: str = ""
    count: int = 0

    def body(self) -> bytes:
        return varint(self.id) + string(self.queue) + varint(self.count)

    @classmethod
    def read(cls, flags: int, reader: Reader) -> Take:
        return cls(reader.varint(), _topic(reader), reader.varint())


@dataclass
class Settle(Frame):
    """Finishes a task, or gives it back."""

    kind = Kind.SETTLE
    id: int = 0
    reject: bool = False

    def flags(self) -> int:
        return int(self.reject)

    def body(self) -> bytes:
        return varint(self.id)

    @classmethod
    def read(cls, flags: int, reader: Reader) -> Settle:
        return cls(reader.varint(), bool(flags & FLAG_1))


@dataclass
class Join(Frame):
    """Enters a room."""

    kind = Kind.JOIN
    id: int = 0
    room: str = ""
    credit: int | None = None
    presence: bool = False
    since: tuple[bytes, int] | None = None
    history: int = 0
    data: bytes = b""
    count_only: bool = False

    def flags(self) -> int:
        return int(self.presence)

    def body(self) -> bytes:
        numbers = {
            2: None if self.credit is None else varint(self.credit),
            3: None if self.since is None else self.since[0],
            4: None if self.since is None else varint(self.since[1]),
            5: varint(self.history) if self.history else None,
            6: self.data or None,
            7: b"" if self.count_only else None,
        }
        return varint(self.id) + string(self.room) + put_parameters(numbers)

    @classmethod
    def read(cls, flags: int, reader: Reader) -> Join:
        ident, room = nonzero(reader), _topic(reader)
        values = read_parameters(reader, frozenset({2, 3, 4, 5, 6, 7}))
        if (3 in values) != (4 in values):
            raise malformed("an epoch needs an offset, and an offset an epoch")
        if len(values.get(3, bytes(8))) != 8:
            raise malformed("an epoch has eight octets")
        if 7 in values and (values[7] or not flags & FLAG_1):
            raise malformed("count only has no value, and is a kind of presence")
        since = (values[3], number(values, 4, 0)) if 3 in values else None
        history = number(values, 5, 0)
        presence, data = bool(flags & FLAG_1), values.get(6, b"")
        return cls(ident, room, _window(values), presence, since, history, data, 7 in values)


@dataclass
class Joined(Frame):
    """Says that a room was entered."""

    kind = Kind.JOINED
    id: int = 0
    epoch: bytes = bytes(8)
    offset: int = 0
    count: int = 0
    member: str = ""
    recovered: bool = False

    def flags(self) -> int:
        return int(self.recovered)

    def body(self) -> bytes:
        return varint(self.id) + self.epoch + varint(self.offset) + varint(self.count) + string(self.member)

    @classmethod
    def read(cls, flags: int, reader: Reader) -> Joined:
        ident, epoch, offset = reader.varint(), reader.take(8), reader.varint()
        return cls(ident, epoch, offset, reader.varint(), reader.string(), bool(flags & FLAG_1))


@dataclass
class Presence(Frame):
    """Who is in a room."""

    kind = Kind.PRESENCE
    id: int = 0
    member: str = ""
    data: bytes = b""
    gone: bool = False

    def flags(self) -> int:
        return int(self.gone)

    def body(self) -> bytes:
        return varint(self.id) + string(self.member) + self.data

    @classmethod
    def read(cls, flags: int, reader: Reader) -> Presence:
        return cls(reader.varint(), reader.string(), reader.rest(), bool(flags & FLAG_1))


@dataclass
class History(Frame):
    """Asks for messages of the past."""

    kind = Kind.HISTORY
    id: int = 0
    room: str = ""
    start: int | None = None
    before: int | None = None
    limit: int | None = None

    def body(self) -> bytes:
        values = {1: self.start, 2: self.before, 3: self.limit}
        encoded = {ident: None if value is None else varint(value) for ident, value in values.items()}
        return varint(self.id) + string(self.room) + put_parameters(encoded)

    @classmethod
    def read(cls, flags: int, reader: Reader) -> History:
        ident, room = nonzero(reader), _topic(reader)
        values = read_parameters(reader, frozenset({1, 2, 3}))
        return cls(ident, room, optional(values, 1), optional(values, 2), optional(values, 3))


CLASSES: dict[int, type[Frame]] = {
    cls.kind: cls
    for cls in (
        Hello, Welcome, Auth, Close, Drain, Ping, Pong, Ack, Credit, Result, Publish, Message, Subscribe,
        Unsubscribe, Request, Response, Cancel, Offer, Take, Settle, Join, Leave, Presence, History, Retain, Joined,
        Retained,
    )
}  # fmt: skip


def decode(kind: int, flags: int, body: bytes, features: int = Feature.RETAINED) -> Frame:
    """A received frame, whose kind and flags have been checked (FRM-7: the body comes last)."""
    reader = Reader(body)
    read = CLASSES[kind].read
    frame = Subscribe.read(flags, reader, features) if kind == Kind.SUBSCRIBE else read(flags, reader)
    reader.end()
    return frame
