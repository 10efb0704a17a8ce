"""Octets to frames and back: preface, framing, timers, and the closing handshake (SPEC §2, §3, §8, §9).

``Link`` is the lower half of a session. It does no input or output of its own: octets come in through ``receive``
and leave through ``transmit``, and every call says what time it is, in milliseconds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Protocol

from .frame import ALLOWED_FLAGS, CLIENT_ONLY, SERVER_ONLY, Frame
from .frames import Close, Ping, Pong, decode
from .wire import MAX_REASON, PREFACE, Code, Fault, Kind, Method, scan_varint

OPENING_FRAME = 8_192
"""FRM-6: no frame is larger before the session is open."""

OPENING_OCTETS = 65_536
"""FRM-6: what a server takes from a client before the session is open."""

CLOSING_MS = 2_000
"""END-3: how long a side that sent CLOSE waits for the other."""

CLOSE_HEAD = bytes([Kind.CLOSE << 2])

FIRST_OPTIONAL = 32
"""FRM-1: kinds from here on may be skipped."""


class Entropy(Protocol):
    """Where randomness comes from. What is seen on the wire and what is secret are drawn apart."""

    def wire(self, count: int) -> bytes:
        """Octets that the peer will see."""

    def secret(self, count: int) -> bytes:
        """Octets that nobody else will see."""


@dataclass
class Config:
    """What this side asks for and allows."""

    features: int = 0
    max_frame: int = 1_048_576
    in_flight: int = 1_024
    credit: int = 1_048_576
    keepalive_ms: int = 0
    handshake_ms: int = 5_000
    max_requests: int = 1_024
    max_subscriptions: int = 1_024
    methods: tuple[int, ...] = tuple(Method)
    """A server's methods of authentication."""
    manual_ack: bool = False
    """Reliable frames are accepted by ``Session.accept``, not by being received (REL-6)."""
    manual_credit: bool = False
    """Credit is granted by ``Session.credit`` alone."""
    bare: bool = False
    """Ids, filters and SCRAM messages are handed on without being judged: for tests of single frames. Else frames
    whose id names nothing are ignored (MSG-3, REQ-6, STA-2) and not sent, and wrong filters are answered (TOP-2)."""


class State(Enum):
    """SPEC §9.1. Draining is *open* with something to remember."""

    OPENING = auto()
    AUTHENTICATING = auto()
    DECIDING = auto()
    OPEN = auto()
    CLOSING = auto()
    ENDED = auto()


@dataclass
class Event:
    """Something that the application should know. ``frame`` is set for received frames."""

    name: str
    fields: dict[str, Any] = field(default_factory=dict)
    frame: Frame | None = None


class Blocked(Exception):
    """Not now; ``why`` is ``credit``, ``in_flight``, ``draining`` or ``state``. Nothing has changed."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Misuse(Exception):
    """The application asked for what the protocol does not allow. Nothing has changed."""


class Link(ABC):
    """One connection: frames, timers and the end."""

    def __init__(self, role: str, config: Config, entropy: Entropy, now: float) -> None:
        self.role = role
        self.config = config
        self.state = State.OPENING
        self.features = 0
        self._entropy = entropy
        self._now = now
        self._inbox = bytearray()
        self._outbox = bytearray()
        self._events: deque[Event] = deque()
        self._preface = b"" if role == "client" else PREFACE
        """What is still missing of the preface."""
        self._taken = 0
        """FRM-6: octets taken before the session is open."""
        self._frame: tuple[int, int, int] | None = None
        """Kind, flags and size of a frame whose body is still to come."""
        self._frame_size = 0
        """The size of the frame that is being handled."""
        self._skip = 0
        """Octets of a body that nobody wants."""
        self._deaf = False
        """The stream of frames was lost (a bad preface or size): only its end is waited for."""
        self._handshake_at: float | None = now + config.handshake_ms
        self._close_at: float | None = None
        self._ended_by: tuple[str, int | None] = ("transport", None)
        self._reported = False
        self._last_heard = now
        self._last_sent = now
        self._ping: tuple[bytes, float] | None = None
        self._pong: bytes | None = None
        self.peer_keepalive_ms = 0
        """What the peer asked of this side (KEE-1)."""

    # --- what a session adds -------------------------------------------------------------------

    @abstractmethod
    def _check_feature(self, kind: int, flags: int) -> None:
        """FEA-1."""

    @abstractmethod
    def _check_start(self, kind: int, flags: int, size: int) -> None:
        """CRE-3 and REL-5: what can be judged before the body."""

    @abstractmethod
    def _handle(self, frame: Frame) -> None:
        """A frame other than PING, PONG and CLOSE."""

    @abstractmethod
    def _write_owed(self, closing: bool) -> None:
        """Writes what the session owes: acknowledgements, credit, frames to be sent again."""

    # --- input ---------------------------------------------------------------------------------

    def receive(self, now: float, data: bytes) -> None:
        """Octets from the peer."""
        self.tick(now)
        if not data or self.state is State.ENDED:
            return
        self._last_heard = self._now
        self._inbox += data
        self._pump()

    def receive_eof(self, now: float) -> None:
        """The peer has ended its direction of the stream."""
        self.tick(now)
        if self.state is not State.CLOSING and self.state is not State.ENDED:
            self._ended_by = ("transport", None)  # END-4
            self._end(clean=False)
        elif self.state is State.CLOSING:
            self._end(clean=False)

    def tick(self, now: float) -> None:
        """Time has passed. It never goes backwards."""
        self._now = max(self._now, now)
        due = self.deadline()
        if due is None or due[0] > self._now:
            return
        match due[1]:
            case "handshake":
                self._close(Code.HANDSHAKE_TIMEOUT, "")  # HSK-10
            case "peer_silent":
                self._close(Code.KEEPALIVE_TIMEOUT, "")  # KEE-2
            case "close":
                self._end(clean=False)  # END-3
            case "drain":
                self._close(Code.GOING_AWAY, "", by="application")  # END-8
            case "keepalive":
                pass  # transmit sends PING, where nothing else is to be sent

    def _drain_at(self) -> float | None:
        """When a side that sent DRAIN closes."""
        return None

    def deadline(self) -> tuple[float, str] | None:
        """When to call ``tick`` next, and why."""
        timers: list[tuple[float, str]] = []
        if self.state is State.CLOSING:
            if self._close_at is not None:
                timers.append((self._close_at, "close"))
        elif self.state is State.OPEN:
            drain_at = self._drain_at()
            if self.config.keepalive_ms:
                timers.append((self._last_heard + 1.5 * self._keepalive(), "peer_silent"))
            if drain_at is not None:
                timers.append((drain_at, "drain"))
            if self.peer_keepalive_ms:
                timers.append((self._last_sent + self.peer_keepalive_ms, "keepalive"))
        elif self.state is not State.ENDED and self._handshake_at is not None:
            timers.append((self._handshake_at, "handshake"))
        return min(timers, key=lambda timer: timer[0], default=None)

    def _keepalive(self) -> int:
        return max(100, self.config.keepalive_ms)  # HSK-9

    def _pump(self) -> None:
        """Reads as many frames as there are."""
        try:
            while self._step():
                pass
        except Fault as fault:
            if self._frame is not None:
                self._skip, self._frame = self._frame[2], None
            self._close(fault.code, fault.reason)
            self._pump()

    def _step(self) -> bool:
        """One step of reading; false when nothing more can be done now."""
        if self.state is State.ENDED:
            return False
        if self.state is State.DECIDING and self._frame is None and self._inbox[:1] != CLOSE_HEAD:
            return False  # STT-1: only CLOSE is heard
        if not self._inbox and self._frame is None:
            return False  # a frame whose size is 0 needs no more octets
        if self._deaf:
            self._inbox.clear()
            return False
        if self._preface:
            return self._read_preface()
        if self._skip:
            count = min(self._skip, len(self._inbox))
            self._skip -= count
            del self._inbox[:count]
            return True
        if self._frame is None:
            return self._read_closing_head() if self.state is State.CLOSING else self._read_head()
        kind, flags, size = self._frame
        if len(self._inbox) < size:
            return False
        body = bytes(self._inbox[:size])
        del self._inbox[:size]
        self._frame = None
        self._frame_size = size
        frame = decode(kind, flags, body, self.features)
        props = getattr(frame, "props", None)
        if props is not None:
            props.check_encoding(len(frame.payload), self.features, self.config.max_frame)
        self._dispatch(frame)
        return True

    def _read_preface(self) -> bool:
        """PRE-2: the first octet that differs ends it."""
        if self._inbox[0] != self._preface[0]:
            self._deaf = True
            raise Fault(Code.BAD_PREFACE)
        del self._inbox[0]
        self._preface = self._preface[1:]
        self._taken += 1
        return True

    def _read_head(self) -> bool:
        """FRM-7, up to the body. The head is judged before the size is there."""
        kind, flags = self._inbox[0] >> 2, self._inbox[0] & 3
        optional = kind >= FIRST_OPTIONAL
        if optional and self.state is not State.OPEN:
            raise Fault(Code.UNKNOWN_KIND, f"kind {kind}")  # FRM-1
        if not optional:
            if kind not in ALLOWED_FLAGS:
                raise Fault(Code.UNKNOWN_KIND, f"kind {kind}")  # FRM-2
            if flags & ~ALLOWED_FLAGS[kind]:
                raise Fault(Code.RESERVED_BITS, f"flags {flags} of kind {kind}")  # FRM-4
        if not optional and not self._allowed(kind):
            raise Fault(Code.UNEXPECTED_FRAME, f"kind {kind}")  # FRM-5
        self._check_feature(kind, flags)
        try:
            found = scan_varint(self._inbox, 1)
        except Fault:
            self._deaf = True
            raise
        if found is None:
            return False
        size, end = found
        del self._inbox[:end]
        self._frame = (kind, flags, size)
        is_open = self.state is State.OPEN
        if size > (self.config.max_frame if is_open else OPENING_FRAME):
            raise Fault(Code.FRAME_TOO_LARGE, f"{size} octets")  # FRM-3, FRM-6
        if not is_open and self.role == "server":
            self._taken += end + size
            if self._taken > OPENING_OCTETS:
                raise Fault(Code.HANDSHAKE_TOO_LARGE)  # FRM-6
        if optional:
            self._skip, self._frame = size, None  # FRM-1
        else:
            self._check_start(kind, flags, size)
        return True

    def _read_closing_head(self) -> bool:
        """In *closing* everything is dropped unread, but for CLOSE."""
        try:
            found = scan_varint(self._inbox, 1)
        except Fault:
            self._deaf = True
            return True
        if found is None:
            return False
        kind = self._inbox[0] >> 2
        self._skip, end = found
        del self._inbox[:end]
        if kind == Kind.CLOSE:
            self._peer_closed()
        return True

    def _allowed(self, kind: int) -> bool:
        """SPEC §9.1."""
        if self.state is State.OPEN:
            wrong_side = CLIENT_ONLY if self.role == "client" else SERVER_ONLY
            return kind >= Kind.CLOSE and kind not in wrong_side
        if self.role == "client":
            return kind in (Kind.WELCOME, Kind.AUTH, Kind.CLOSE)
        expected = {State.OPENING: Kind.HELLO, State.AUTHENTICATING: Kind.AUTH}.get(self.state)
        return kind in (expected, Kind.CLOSE)

    def _dispatch(self, frame: Frame) -> None:
        match frame:
            case Close():
                self._receive_close(frame)
            case Ping():
                self._pong = frame.token  # KEE-3: the latest
            case Pong():
                if self._ping is not None and self._ping[0] == frame.token:  # KEE-4
                    rtt = round((self._now - self._ping[1]) * 1000)
                    self._ping = None
                    self._events.append(Event("pong", {"rtt_us": rtt}, frame))
            case _:
                self._handle(frame)

    # --- output --------------------------------------------------------------------------------

    def _emit(self, frame: Frame) -> bytes:
        """Writes a frame behind what waits to be sent."""
        encoded = frame.encode()
        self._outbox += encoded
        return encoded

    def _write_pong(self) -> None:
        if self._pong is not None:
            self._emit(Pong(self._pong))
            self._pong = None

    def _send_ping(self) -> None:
        self._ping = (self._entropy.wire(8), self._now)
        self._emit(Ping(self._ping[0]))

    def transmit(self, now: float) -> bytes:
        """All octets that are to be sent now. Timers are handled by ``tick`` and by what comes in, not here."""
        self._now = max(self._now, now)
        if self.state is State.OPEN:
            self._write_pong()
            self._write_owed(closing=False)
        if self.state is State.OPEN and not self._outbox and self.peer_keepalive_ms:
            if self._now >= self._last_sent + self.peer_keepalive_ms:
                self._send_ping()  # KEE-1
        out = bytes(self._outbox)
        self._outbox.clear()
        if out:
            self._last_sent = self._now
        return out

    def next_event(self) -> Event | None:
        """The next event, oldest first."""
        return self._events.popleft() if self._events else None

    def transport(self) -> str:
        """What is wanted of the transport: ``open``, ``shut`` (end the own direction) or ``drop``."""
        if self._outbox or self.state not in (State.CLOSING, State.ENDED):
            return "open"
        return "drop" if self.state is State.ENDED else "shut"

    # --- the end -------------------------------------------------------------------------------

    def close(self, now: float, code: int = Code.NORMAL, reason: str = "") -> None:
        """Closes the connection; with NORMAL the session ends too. A reason above 512 octets is cut (END-5)."""
        self.tick(now)
        if self.state not in (State.CLOSING, State.ENDED):
            self._close(code, reason, by="application")

    def _close(self, code: int, reason: str, by: str = "local") -> None:
        """END-1: CLOSE is the last frame. What was owed goes before it (REL-2, KEE-3).

        What the application closed is reported when the peer has answered; all else at once.
        """
        if self.state is State.OPEN:
            self._write_pong()
            self._write_owed(closing=True)
        said = "" if by == "remote" else reason  # END-2
        self._emit(Close(code, said.encode("utf-8")[:MAX_REASON].decode("utf-8", "ignore")))
        self.state = State.CLOSING
        self._close_at = self._now + CLOSING_MS
        self._ended_by = ("remote" if by == "remote" else "local", code)
        if by != "application":
            self._report(clean=by == "remote", reason=reason)

    def _receive_close(self, close: Close) -> None:
        """END-2: the same code back, and no reason."""
        self._close(close.code, close.reason, by="remote")
        if self.role == "client":
            self.state = State.ENDED  # the server waits for this side's end of the stream: END-3

    def _peer_closed(self) -> None:
        """CLOSE came after this side's own. A server goes on waiting for the end of the stream (END-3)."""
        self._report(clean=True)
        if self.role == "client":
            self.state = State.ENDED

    def _end(self, clean: bool) -> None:
        """The transport is to be dropped."""
        self._report(clean)
        self.state = State.ENDED

    def _report(self, clean: bool, reason: str = "") -> None:
        """The one ``closed`` event."""
        if self._reported:
            return
        self._reported = True
        by, code = self._ended_by
        name = None if code is None else Code.known(code).name
        fields = {"by": by, "code": name, "clean": clean, "reason": reason, "may_resume": code != Code.NORMAL}
        self._events.append(Event("closed", fields))

    @property
    def close_code(self) -> int | None:
        """The code that either side closed with; ``None`` before, and after a truncation."""
        return self._ended_by[1]
