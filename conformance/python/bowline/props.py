"""What a message carries besides its topic and payload (SPEC §3.2)."""

from __future__ import annotations

from dataclasses import dataclass, field

from .topics import is_topic
from .wire import FIRST_IGNORABLE, Code, Fault, Feature, Reader, malformed, octets, string, utf8, varint, whole_varint

MAX_TEXT = 65_535
"""Octets of a content type, of correlation data, and of a user property's name and value (PRP-8)."""


def _text(value: bytes) -> str:
    text = utf8(value)
    if "\0" in text:
        raise malformed("a text holds U+0000")
    return text


def _short(value: bytes) -> str:
    if len(value) > MAX_TEXT:
        raise malformed("a text of a property has at most 65,535 octets")
    return _text(value)


@dataclass
class Properties:
    """What a message carries besides its topic and payload."""

    content_type: str | None = None
    trace: bytes | None = None
    route: bytes | None = None
    expiry_ms: int | None = None
    dedup: bytes | None = None
    user: list[tuple[str, str]] = field(default_factory=list)
    unknown: list[tuple[int, bytes]] = field(default_factory=list)
    """Unknown ones, which are passed on unchanged (PRP-3)."""
    response_topic: str | None = None
    correlation: bytes | None = None
    payload_format: int | None = None
    encoding: dict[str, int] | None = None
    """That the payload is compressed: ``codec`` and ``length`` (CMP-1). Who uses this inflates it."""

    def encode(self) -> bytes:
        """The inside of ``[properties]``."""
        items: list[tuple[int, bytes]] = []
        if self.content_type is not None:
            items.append((1, self.content_type.encode("utf-8")))
        if self.trace is not None:
            items.append((2, self.trace))
        if self.route is not None:
            items.append((3, self.route))
        if self.expiry_ms is not None:
            items.append((4, varint(self.expiry_ms)))
        if self.dedup is not None:
            items.append((5, self.dedup))
        items += [(6, string(name) + value.encode("utf-8")) for name, value in self.user]
        if self.encoding is not None:
            items.append((7, bytes([self.encoding["codec"]]) + varint(self.encoding["length"])))
        if self.response_topic is not None:
            items.append((65, self.response_topic.encode("utf-8")))
        if self.correlation is not None:
            items.append((66, self.correlation))
        if self.payload_format is not None:
            items.append((67, bytes([self.payload_format])))
        items += self.unknown
        items.sort(key=lambda item: item[0])
        encoded = b"".join(varint(ident) + octets(value) for ident, value in items)
        try:
            Properties.decode(encoded)
        except Fault as fault:
            raise ValueError(f"properties that no peer would take: {fault.reason}") from None
        return encoded

    @classmethod
    def decode(cls, data: bytes) -> Properties:
        """Reads the inside of ``[properties]``."""
        reader = Reader(data)
        if not data:
            raise malformed("PROPS without a property")  # PRP-7
        found = cls()
        last = -1
        while reader.more():
            ident = reader.varint()
            if ident < last or (ident == last and ident != 6):
                raise malformed("properties are out of order or repeated")  # PRP-1
            last = ident
            if not 1 <= ident <= 7 and ident < FIRST_IGNORABLE:
                raise Fault(Code.UNSUPPORTED, f"unknown property {ident}")  # PRP-3
            found._set(ident, reader.octets())
        return found

    def check_encoding(self, size: int, features: int, max_frame: int) -> None:
        """CMP-2, CMP-4, CMP-5: of a payload of so many octets that came."""
        if self.encoding is None:
            return
        codec, length = self.encoding["codec"], self.encoding["length"]
        if not features & (Feature.LZ4 if codec == 1 else Feature.ZSTD):
            raise Fault(Code.UNSUPPORTED, f"codec {codec} was not chosen")
        if length > max_frame:
            raise Fault(Code.FRAME_TOO_LARGE, f"it inflates to {length} octets")
        if length > 65_536 and length > 100 * size:
            raise malformed("it inflates to more than a hundred times its octets")

    def _set(self, ident: int, value: bytes) -> None:
        """Checks the form of one value (PRP-2)."""
        match ident:
            case 1:
                self.content_type = _short(value)
            case 2:
                if len(value) != 25:
                    raise malformed("a trace context has 25 octets")
                self.trace = value
            case 3:
                if len(value) > 256:
                    raise malformed("a route hint has at most 256 octets")
                self.route = value
            case 4:
                self.expiry_ms = whole_varint(value)
            case 5:
                if not 1 <= len(value) <= 64:
                    raise malformed("a de-duplication id has 1 to 64 octets")
                self.dedup = value
            case 6:
                reader = Reader(value)
                self.user.append((_short(reader.octets()), _short(reader.rest())))
            case 7:
                if value[:1] not in (b"\1", b"\2"):
                    raise malformed("an unknown codec")  # CMP-2
                self.encoding = {"codec": value[0], "length": whole_varint(value[1:])}
            case 65:
                self.response_topic = _text(value)
                if not is_topic(self.response_topic):
                    raise malformed("a response topic is no topic name")
            case 66:
                if len(value) > MAX_TEXT:
                    raise malformed("correlation data has at most 65,535 octets")
                self.correlation = value
            case 67:
                if value not in (b"\0", b"\1"):
                    raise malformed("a payload format is 0 or 1")
                self.payload_format = value[0]
            case _:
                self.unknown.append((ident, value))
