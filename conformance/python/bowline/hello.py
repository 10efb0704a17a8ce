"""The frames of the handshake, and their parameters (SPEC §4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from .frame import Frame, number, optional
from .wire import Code, Fault, Kind, Reader, malformed, put_parameters, read_parameters, utf8, varint


@dataclass
class Terms:
    """The parameters of HELLO and WELCOME."""

    features: int = 0
    max_frame: int = 1_048_576
    in_flight: int = 1_024
    credit: int = 1_048_576
    keepalive_ms: int = 0
    session: bytes | None = None
    """Session id (16 octets)."""
    key: bytes | None = None
    """Resume key (16 octets)."""
    received: int | None = None
    expiry_ms: int = 0
    auth: bytes | None = None
    """The value of *authentication*, as it is on the wire."""
    name: str | None = None

    KNOWN: ClassVar[frozenset[int]] = frozenset(range(1, 11))

    def encode(self) -> bytes:
        """Parameters; those that say what their absence says are left out."""

        def unless(default: int, value: int) -> bytes | None:
            return None if value == default else varint(value)

        identity = self.session + self.key if self.session and self.key else None
        return put_parameters(
            {
                1: unless(0, self.features),
                2: unless(1_048_576, self.max_frame),
                3: unless(1_024, self.in_flight),
                4: unless(1_048_576, self.credit),
                5: unless(0, self.keepalive_ms),
                6: identity,
                7: None if self.received is None else varint(self.received),
                8: unless(0, self.expiry_ms),
                9: self.auth,
                10: None if self.name is None else self.name.encode("utf-8"),
            }
        )

    @classmethod
    def read(cls, reader: Reader) -> Terms:
        """Reads and checks the form of each; limits are checked by ``check_limits``."""
        values = read_parameters(reader, cls.KNOWN)
        terms = cls(
            features=number(values, 1, 0),
            max_frame=number(values, 2, 1_048_576),
            in_flight=number(values, 3, 1_024),
            credit=number(values, 4, 1_048_576),
            keepalive_ms=number(values, 5, 0),
            received=optional(values, 7),
            expiry_ms=number(values, 8, 0),
            auth=values.get(9),
        )
        if 6 in values:
            if len(values[6]) != 32:
                raise malformed("a session has 32 octets")
            terms.session, terms.key = values[6][:16], values[6][16:]
        if 10 in values:
            terms.name = utf8(values[10])
            if len(values[10]) > 256 or "\0" in terms.name:
                raise malformed("a name has at most 256 octets, and no U+0000")
        return terms

    def check_limits(self) -> None:
        """HSK-6 to HSK-9."""
        if not 256 <= self.max_frame <= 16_777_216:
            raise Fault(Code.BAD_LIMIT, "max frame is outside 256 to 16777216")
        if not 1 <= self.in_flight <= 65_535:
            raise Fault(Code.BAD_LIMIT, "in flight is outside 1 to 65535")
        if self.credit < 1:
            raise Fault(Code.BAD_LIMIT, "credit is 0")
        if self.keepalive_ms > 86_400_000:
            raise Fault(Code.BAD_LIMIT, "keepalive is above 86400000")
        if 1 <= self.keepalive_ms < 100:
            self.keepalive_ms = 100


@dataclass
class Hello(Frame):
    """The client's first frame."""

    kind = Kind.HELLO
    lowest: int = 1
    highest: int = 1
    terms: Terms = field(default_factory=Terms)

    def body(self) -> bytes:
        return bytes([self.lowest, self.highest]) + self.terms.encode()

    @classmethod
    def read(cls, flags: int, reader: Reader) -> Hello:
        lowest, highest = reader.u8(), reader.u8()
        if lowest == 0 or lowest > highest:
            raise malformed("a version range from 0, or that is empty")  # HSK-3
        if not lowest <= 1 <= highest:
            raise Fault(Code.VERSION, "versions: 1")
        return cls(lowest, highest, Terms.read(reader))


@dataclass
class Welcome(Frame):
    """The server's answer: the session is open."""

    kind = Kind.WELCOME
    version: int = 1
    terms: Terms = field(default_factory=Terms)

    def body(self) -> bytes:
        return bytes([self.version]) + self.terms.encode()

    @classmethod
    def read(cls, flags: int, reader: Reader) -> Welcome:
        version = reader.u8()
        if version != 1:
            raise Fault(Code.VERSION, "version 1 was offered")  # HSK-3
        return cls(version, Terms.read(reader))


@dataclass
class Auth(Frame):
    """One more message of an authentication."""

    kind = Kind.AUTH
    data: bytes = b""

    def body(self) -> bytes:
        return self.data

    @classmethod
    def read(cls, flags: int, reader: Reader) -> Auth:
        return cls(reader.rest())
