"""Types, parameters, properties, and the numbers of the protocol (SPEC §1, §2, §3.1, §3.2)."""

from __future__ import annotations

from enum import IntEnum

PREFACE = b"\xb0WL\n"
"""PRE-1: the client's first four octets."""

VERSION = 1
"""The version of the protocol that this package speaks."""

MAX_VARINT = 2**63 - 1
"""TYP-2: nine octets of seven bits."""

UNLIMITED = MAX_VARINT
"""HSK-8, CRE-7: a credit limit that means no limit."""

FIRST_IGNORABLE = 64
"""PAR-2, PRP-3: an unknown id from here on is no fault."""

MAX_REASON = 512
"""END-5: octets in the reason of a CLOSE."""


class Kind(IntEnum):
    """Kinds of frames (SPEC §3)."""

    HELLO = 0
    WELCOME = 1
    AUTH = 2
    CLOSE = 3
    DRAIN = 4
    PING = 5
    PONG = 6
    ACK = 7
    CREDIT = 8
    RESULT = 9
    PUBLISH = 10
    MESSAGE = 11
    SUBSCRIBE = 12
    UNSUBSCRIBE = 13
    REQUEST = 14
    RESPONSE = 15
    CANCEL = 16
    OFFER = 17
    TAKE = 18
    SETTLE = 19
    JOIN = 20
    LEAVE = 21
    PRESENCE = 22
    HISTORY = 23
    RETAIN = 24
    RETAINED = 25
    JOINED = 26
    TUNNEL = 27
    DATA = 28
    WINDOW = 29
    RESET = 30


class Code(IntEnum):
    """Why a connection is closed (SPEC §9)."""

    NORMAL = 0
    GOING_AWAY = 1
    BAD_PREFACE = 2
    MALFORMED = 3
    UNKNOWN_KIND = 4
    UNEXPECTED_FRAME = 5
    FRAME_TOO_LARGE = 6
    RESERVED_BITS = 7
    VERSION = 8
    UNSUPPORTED = 9
    HANDSHAKE_TIMEOUT = 10
    HANDSHAKE_TOO_LARGE = 11
    AUTH_METHOD = 12
    AUTH_FAILED = 13
    SESSION_REFUSED = 14
    BAD_RESUME = 15
    KEEPALIVE_TIMEOUT = 16
    CREDIT_EXCEEDED = 17
    IN_FLIGHT_EXCEEDED = 18
    BAD_ACK = 19
    BAD_LIMIT = 20
    TAKEN_OVER = 21
    SLOW_CONSUMER = 22
    QUOTA = 23
    NOT_AUTHORIZED = 24
    WRITE_TIMEOUT = 25
    INTERNAL = 26
    INVALID_TOPIC = 27

    @classmethod
    def known(cls, number: int) -> Code:
        """END-5: a code that is not known is taken like INTERNAL."""
        try:
            return cls(number)
        except ValueError:
            return cls.INTERNAL


class Status(IntEnum):
    """How an operation or a request ended (SPEC §5.3). Others may come: STA-1."""

    OK = 0
    NOT_AUTHORIZED = 1
    INVALID = 2
    QUOTA = 3
    UNSUPPORTED = 4
    NOT_FOUND = 5
    NO_RESPONDER = 6
    TIMEOUT = 7
    CANCELLED = 8
    RESPONDER_GONE = 9
    BUSY = 10
    REJECTED = 11
    DRAINING = 12
    UNREACHABLE = 13


class Feature(IntEnum):
    """Bits of the feature set (SPEC §4.1). The other bits are never offered: FEA-2."""

    QUEUES = 1
    ROOMS = 2
    PRESENCE = 4
    HISTORY = 8
    LZ4 = 16
    ZSTD = 32
    RETAINED = 256
    RELAY = 512
    """Known, and not offered: there are no tunnels here."""


KNOWN_FEATURES = sum(Feature)


class Method(IntEnum):
    """Methods of authentication (SPEC §4.3)."""

    NONE = 0
    PASSWORD = 1
    TOKEN = 2
    SCRAM = 3


class Fault(Exception):
    """The peer broke a rule: the connection is closed with ``code``."""

    def __init__(self, code: Code, reason: str = "") -> None:
        super().__init__(f"{code.name}: {reason}")
        self.code = code
        self.reason = reason


def malformed(reason: str) -> Fault:
    """The most frequent fault."""
    return Fault(Code.MALFORMED, reason)


# --- writing -----------------------------------------------------------------------------------


def varint(value: int) -> bytes:
    """A number in LEB128, in the fewest octets (TYP-1)."""
    if not 0 <= value <= MAX_VARINT:
        raise ValueError(f"{value} does not fit a varint (0 to 2^63 - 1)")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def octets(value: bytes) -> bytes:
    """The type ``bytes``: a length, then the octets."""
    return varint(len(value)) + value


def string(value: str) -> bytes:
    """The type ``string``."""
    if "\0" in value:
        raise ValueError("a string must not hold U+0000")
    return octets(value.encode("utf-8"))


# --- reading -----------------------------------------------------------------------------------


def scan_varint(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """The number that begins at ``at``, and where it ends; ``None`` while octets are missing."""
    value = 0
    for index in range(9):
        if at + index >= len(data):
            return None
        octet = data[at + index]
        value |= (octet & 0x7F) << 7 * index
        if octet < 0x80:
            if octet == 0 and index > 0:
                raise malformed("a varint is longer than it need be")  # TYP-1
            return value, at + index + 1
    raise malformed("a varint has more than 9 octets")  # TYP-2


def utf8(data: bytes) -> str:
    """Octets that must be UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise malformed("a string is not UTF-8") from None  # TYP-3


class Reader:
    """Reads the fields of one body, front to back."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def more(self) -> bool:
        """Whether anything is left."""
        return self.at < len(self.data)

    def take(self, count: int) -> bytes:
        """The next ``count`` octets."""
        if count > len(self.data) - self.at:
            raise malformed("a field reaches beyond its frame")  # TYP-4
        self.at += count
        return self.data[self.at - count : self.at]

    def u8(self) -> int:
        """One octet."""
        return self.take(1)[0]

    def varint(self) -> int:
        """A number."""
        found = scan_varint(self.data, self.at)
        if found is None:
            raise malformed("a field reaches beyond its frame")  # TYP-4
        value, self.at = found
        return value

    def octets(self) -> bytes:
        """A length, then octets."""
        return self.take(self.varint())

    def string(self) -> str:
        """A length, then UTF-8 without U+0000."""
        text = utf8(self.octets())
        if "\0" in text:
            raise malformed("a string holds U+0000")  # TYP-3
        return text

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self.data) - self.at)

    def end(self) -> None:
        """Nothing may be left."""
        if self.more():
            raise malformed("octets are left behind the last field")  # TYP-4


def whole_varint(value: bytes) -> int:
    """A value that is one number and nothing else (PAR-3, PRP-2)."""
    reader = Reader(value)
    number = reader.varint()
    reader.end()
    return number


# --- parameters (SPEC §3.1) --------------------------------------------------------------------


def read_parameters(reader: Reader, known: frozenset[int]) -> dict[int, bytes]:
    """The parameters up to the end of the body; unknown ones that may be ignored are left out."""
    found: dict[int, bytes] = {}
    last = -1
    while reader.more():
        ident = reader.varint()
        if ident <= last:
            raise malformed("parameters are out of order or repeated")  # PAR-1
        last = ident
        if ident not in known and ident < FIRST_IGNORABLE:
            raise Fault(Code.UNSUPPORTED, f"unknown parameter {ident}")  # PAR-2
        value = reader.octets()
        if ident in known:
            found[ident] = value
    return found


def put_parameters(values: dict[int, bytes | None]) -> bytes:
    """Parameters in ascending order; those that are ``None`` are absent."""
    return b"".join(
        varint(ident) + octets(value) for ident, value in sorted(values.items()) if value is not None
    )
