"""Credit (SPEC §7), and what of a session outlives its connection (SPEC §4.2, §6)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from .wire import MAX_VARINT, UNLIMITED, Code, Fault


@dataclass
class Window:
    """What a sender may still send."""

    limit: int
    used: int = 0

    def is_open(self) -> bool:
        """CRE-1: a frame may start while any credit is left, however large it is."""
        return self.limit == UNLIMITED or self.used < self.limit

    def spend(self, size: int) -> None:
        """A frame of this size has started."""
        self.used += size

    def raise_to(self, limit: int) -> bool:
        """CRE-2: an absolute number, which only grows; whether it did."""
        if limit <= self.limit:
            return False
        self.limit = limit
        return True


class Grant(Window):
    """What a receiver has allowed, and when it owes more."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size

    def receive(self, size: int) -> None:
        """CRE-3: a frame of this size starts."""
        if not self.is_open():
            raise Fault(Code.CREDIT_EXCEEDED, f"a frame began at {self.used} of {self.limit}")
        self.spend(size)

    def next_limit(self) -> int | None:
        """CRE-6: a new limit once half of the window is used, else ``None``."""
        if self.limit == UNLIMITED or 2 * (self.limit - self.used) > self.size:
            return None
        return min(self.used + self.size, MAX_VARINT)


@dataclass
class Subscription:
    """A subscription, on either side."""

    credit: int | None = None
    """The *credit* of its SUBSCRIBE or JOIN; ``None``: it has no window of its own."""
    serve: bool = False
    reliable: bool = False


@dataclass
class Memory:
    """The state of a session that a new connection goes on from."""

    id: bytes | None = None
    key: bytes | None = None
    sent: int = 0
    """Reliable frames sent, over the whole session."""
    acked: int = 0
    """Of these, acknowledged by the peer."""
    unacked: deque[bytes] = field(default_factory=deque)
    """The encoded frames ``acked + 1`` to ``sent`` (REL-4)."""
    received: int = 0
    """Reliable frames received."""
    accepted: int = 0
    """Of these, accepted: what an ACK says."""
    ours: dict[int, Subscription] = field(default_factory=dict)
    """Subscriptions of this side."""
    theirs: dict[int, Subscription] = field(default_factory=dict)
    """Subscriptions of the peer."""

    def forget(self) -> None:
        """A new session begins in the place of this one (RES-3)."""
        vars(self).update(vars(Memory()))

    def keep(self, frame: bytes) -> None:
        """A reliable frame is sent: it is numbered by being counted."""
        self.sent += 1
        self.unacked.append(frame)

    def release(self, count: int, code: Code) -> int:
        """The peer has accepted ``count`` frames (REL-3, RES-6). Returns how many are new."""
        if not self.acked <= count <= self.sent:
            raise Fault(code, f"{count} is outside {self.acked} to {self.sent}")
        fresh = count - self.acked
        for _ in range(fresh):
            self.unacked.popleft()
        self.acked = count
        return fresh
