"""What all frames have in common (SPEC §3)."""

from __future__ import annotations

from typing import ClassVar

from .wire import Kind, Reader, varint, whole_varint

FLAG_1 = 1
"""RELIABLE, MANY, MORE, REJECT, PRESENCE or GONE, by the kind."""

PROPS = 2
"""The frame carries properties."""

_MESSAGE_LIKE = (Kind.PUBLISH, Kind.MESSAGE, Kind.RETAIN, Kind.RETAINED, Kind.REQUEST, Kind.RESPONSE)
ALLOWED_FLAGS: dict[int, int] = {kind: 0 for kind in Kind}
ALLOWED_FLAGS |= {kind: FLAG_1 | PROPS for kind in _MESSAGE_LIKE}
ALLOWED_FLAGS |= {Kind.OFFER: PROPS, Kind.SETTLE: FLAG_1, Kind.JOIN: FLAG_1, Kind.PRESENCE: FLAG_1, Kind.JOINED: FLAG_1}
ALLOWED_FLAGS |= {Kind.DATA: FLAG_1}
"""FRM-4: the flags that the table of §3 gives."""

CLIENT_ONLY = frozenset({Kind.HELLO, Kind.TAKE, Kind.JOIN, Kind.LEAVE, Kind.HISTORY, Kind.TUNNEL})
SERVER_ONLY = frozenset({Kind.WELCOME, Kind.JOINED})
CREDITED = frozenset({*_MESSAGE_LIKE, Kind.OFFER})
"""SPEC §7: the kinds whose size is counted."""


class Frame:
    """What all frames have in common."""

    kind: ClassVar[Kind]

    def flags(self) -> int:
        """The two low bits of the head."""
        return 0

    def body(self) -> bytes:
        """The octets behind the size."""
        raise NotImplementedError

    @classmethod
    def read(cls, flags: int, reader: Reader) -> Frame:
        """Reads a body; the caller checks that nothing is left."""
        raise NotImplementedError

    def encode(self) -> bytes:
        """The whole frame."""
        body = self.body()
        return bytes([self.kind << 2 | self.flags()]) + varint(len(body)) + body


def number(values: dict[int, bytes], ident: int, absent: int) -> int:
    """A parameter that is a number, or what its absence means."""
    return whole_varint(values[ident]) if ident in values else absent


def optional(values: dict[int, bytes], ident: int) -> int | None:
    """A parameter that is a number, or ``None``."""
    return whole_varint(values[ident]) if ident in values else None
