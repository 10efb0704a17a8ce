"""Two sessions that speak to each other in memory, on virtual time."""

from __future__ import annotations

from typing import Any

from bowline.flow import Memory
from bowline.link import Config, Event
from bowline.session import Session
from bowline.wire import Code

ID, KEY = bytes(range(16)), bytes(range(16, 32))


class CountingEntropy:
    """Octets that differ, and repeat with every run."""

    def __init__(self, seed: int) -> None:
        self._next = seed

    def wire(self, count: int) -> bytes:
        """Octets that the peer sees."""
        self._next = (self._next * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self._next.to_bytes(8, "big") * (count // 8 + 1))[:count]

    secret = wire


def drain_events(session: Session) -> list[Event]:
    """All events that wait."""
    events = []
    while (event := session.next_event()) is not None:
        events.append(event)
    return events


class Pair:
    """A client and a server. ``cut`` is the number of octets that a delivery is made of."""

    def __init__(
        self, client: dict[str, Any] | None = None, server: dict[str, Any] | None = None, *, cut: int = 1 << 30,
        client_memory: Memory | None = None,
    ) -> None:  # fmt: skip
        self.now = 0.0
        self.cut = cut
        self.client = Session("client", Config(**(client or {})), CountingEntropy(1), 0, client_memory)
        self.server = Session("server", Config(**(server or {})), CountingEntropy(2), 0)
        self.client_events: list[Event] = []
        self.server_events: list[Event] = []

    def settle(self) -> None:
        """Moves octets both ways until nobody has any."""
        for _ in range(10_000):
            moved = self.move(self.client, self.server) + self.move(self.server, self.client)
            self.client_events += drain_events(self.client)
            self.server_events += drain_events(self.server)
            if not moved:
                return
        raise AssertionError("the two never come to rest")

    def move(self, source: Session, target: Session) -> int:
        """What one has written, to the other."""
        data = source.transmit(self.now)
        for at in range(0, len(data), self.cut):
            target.receive(self.now, data[at : at + self.cut])
        return len(data)

    def open(self, expiry_ms: int = 60_000, memory: Memory | None = None) -> Pair:
        """The handshake, without authentication."""
        self.client.connect(self.now, expiry_ms=expiry_ms)
        self.settle()
        self.server.welcome(self.now, ID, KEY, expiry_ms=expiry_ms, memory=memory)
        self.settle()
        return self

    def names(self, side: str) -> list[str]:
        """The names of the events of one side."""
        return [event.name for event in getattr(self, f"{side}_events")]

    def fields(self, side: str, name: str) -> list[dict[str, Any]]:
        """The fields of all events of this name."""
        return [event.fields for event in getattr(self, f"{side}_events") if event.name == name]

    def code(self, side: str) -> Code | None:
        """What one side saw the connection closed with."""
        found = self.fields(side, "closed")
        return Code[found[0]["code"]] if found and found[0]["code"] else None
