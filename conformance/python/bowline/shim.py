"""Runs a session over standard input and output, for the conformance vectors: ``python3 -m bowline.shim``.

Each line of input is one JSON object: ``{"new": ...}`` starts over, ``at_ms``, ``in``, ``eof`` and ``call`` are inputs.
Each is answered by one line: what the session wrote (hex), its events, its deadline, and what it wants of the
transport.
"""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from typing import Any

from .flow import Memory
from .frames import (
    Cancel,
    History,
    Join,
    Joined,
    Leave,
    Offer,
    Presence,
    Request,
    Response,
    Result,
    Settle,
    Subscribe,
    Take,
    Unsubscribe,
)  # fmt: skip
from .hello import Terms
from .link import Blocked, Config, Event, Misuse
from .session import Session
from .props import Properties
from .wire import Code, Kind, Method, Status

METHODS = {"none": Method.NONE, "password": Method.PASSWORD, "token": Method.TOKEN, "scram": Method.SCRAM}
PROPERTY_KEYS = {field.name for field in fields(Properties)}


class ScriptedEntropy:
    """Octets from the vector, in order; zeroes when they are used up."""

    def __init__(self, wire: bytes, secret: bytes) -> None:
        self._streams = {"wire": wire, "secret": secret}

    def _take(self, name: str, count: int) -> bytes:
        stream = self._streams[name]
        self._streams[name] = stream[count:]
        return stream[:count].ljust(count, b"\0")

    def wire(self, count: int) -> bytes:
        """Scripted octets that the peer sees."""
        return self._take("wire", count)

    def secret(self, count: int) -> bytes:
        """Scripted octets that nobody sees."""
        return self._take("secret", count)


class BareSession(Session):
    """The application of the vectors keeps the reliable frames, and sends the gap again by its own calls."""

    def _open(self, peer: Terms, features: int) -> None:
        super()._open(peer, features)
        self.memory.unacked.clear()
        self.memory.sent = self._resend_from = self.memory.acked


def memory_of(counts: dict[str, int]) -> Memory:
    """``counts`` of a session that goes on: what was sent, acknowledged and received."""
    memory = Memory(sent=counts.get("sent", 0), acked=counts.get("acked", 0))
    memory.received = memory.accepted = counts.get("received", 0)
    memory.unacked.extend([b""] * (memory.sent - memory.acked))
    return memory


class Unsupported(Exception):
    """The shim does not have this; the runner reports it, and does not fail."""


def unhex(value: str | None) -> bytes:
    """Hex with spaces allowed; absent is empty."""
    return bytes.fromhex(value or "")


def number_of(value: Any, names: type[Code] | type[Status] | type[Kind]) -> int:
    """A number, or its name."""
    return names[value].value if isinstance(value, str) and not value.isdigit() else int(value)


def name_of_status(value: int) -> str:
    """The name of a status, or its number, as text."""
    return Status(value).name if value in set(Status) else str(value)


def properties(value: dict[str, Any] | None) -> Properties | None:
    """``props`` of a call."""
    if value is None:
        return None
    if not value.keys() <= PROPERTY_KEYS:
        raise Unsupported(f"properties {sorted(value.keys() - PROPERTY_KEYS)}")
    octets = {name: unhex(value[name]) for name in ("trace", "route", "dedup", "correlation") if value.get(name) is not None}
    user = [(name, text) for name, text in value.get("user", [])]
    unknown = [(ident, unhex(data)) for ident, data in value.get("unknown", [])]
    return Properties(**{**value, **octets, "user": user, "unknown": unknown})


def to_json(value: Any) -> Any:
    """Octets as hex; absent members are absent."""
    match value:
        case bytes():
            return value.hex()
        case Properties():
            return {name: item for name, item in to_json(vars(value)).items() if item not in ([], None)}
        case dict():
            return {name: to_json(item) for name, item in value.items() if item is not None}
        case list() | tuple():
            return [to_json(item) for item in value]
    return value


def event_to_json(event: Event) -> dict[str, Any]:
    """An event as the vectors write it."""
    members = to_json(event.fields)
    if event.name == "result":
        of = members.pop("of")
        if of in set(Kind):
            members["kind"] = Kind(of).name
    if event.name in ("hello", "welcome") and not members["keepalive_ms"]:
        del members["keepalive_ms"]
    if event.name == "hello" and "password" in members["auth"]:
        members["auth"]["password"] = event.fields["auth"]["password"].decode("utf-8", "replace")
    if event.name == "history" and "start" in members:
        members["from"] = members.pop("start")
    if event.name in ("result", "response"):
        members["status"] = name_of_status(members["status"])
    return {event.name: members}


class Shim:
    """One session, driven by JSON."""

    def __init__(self, setup: dict[str, Any]) -> None:
        entropy = setup.get("entropy") or {}
        given = dict(setup.get("config") or {})
        given.pop("expiry_ms", None)
        if "methods" in given:
            given["methods"] = tuple(METHODS.get(name, name) for name in given["methods"])
        known = {field.name for field in fields(Config)}
        if not given.keys() <= known:
            raise Unsupported(f"configuration {sorted(given.keys() - known)}")
        if setup.get("dialect", "bowline") != "bowline":
            raise Unsupported(f"dialect {setup['dialect']}")
        if setup["role"] not in ("client", "server"):
            raise Unsupported(f"role {setup['role']}")
        source = ScriptedEntropy(unhex(entropy.get("wire")), unhex(entropy.get("secret")))
        self.now = 0.0
        self.session = BareSession(setup["role"], Config(**given, bare=True), source, self.now)

    def step(self, line: dict[str, Any]) -> dict[str, Any]:
        """One input, and all that follows from it."""
        extra: list[dict[str, Any]] = []
        if "at_ms" in line:
            self.now = line["at_ms"]
            self.session.tick(self.now)
        elif "in" in line:
            self.session.receive(self.now, unhex(line["in"]))
            if line.get("more"):
                return {}  # a piece: what it causes comes with the last one
        elif line.get("eof"):
            self.session.receive_eof(self.now)
        elif "call" in line:
            try:
                self.call(line["call"])
            except Blocked as blocked:
                extra.append({"blocked": {"why": blocked.why}})
            except Misuse as misuse:
                extra.append({"misuse": {"reason": str(misuse)}})
        elif "new" not in line:
            raise Unsupported(f"input {sorted(line)}")
        out = self.session.transmit(self.now)
        events = []
        while (event := self.session.next_event()) is not None:
            events.append(event_to_json(event))
        due = self.session.deadline()
        deadline = None if due is None else {"at_ms": due[0], "why": due[1]}
        return {"out": out.hex(), "events": events + extra, "deadline": deadline, "fin": self.session.transport()}

    def call(self, call: dict[str, Any] | str) -> None:
        """The application uses the API."""
        name, args = (call, {}) if isinstance(call, str) else next(iter(call.items()))
        handler = getattr(self, f"call_{name}", None)
        if handler is None:
            raise Unsupported(f"call {name}")
        handler(args if isinstance(args, dict) else {})

    # --- the handshake ---

    def call_connect(self, args: dict[str, Any]) -> None:
        """A client's first call."""
        auth = args.get("auth") or {"method": "none"}
        if args.get("session"):
            self.session.memory = memory_of(args.get("counts") or {})
            self.session.memory.id, self.session.memory.key = unhex(args["session"]), unhex(args["key"])
        if "features" in args:
            self.session.config.features = args["features"]
        self.session.connect(
            self.now, METHODS.get(auth["method"], auth["method"]),
            user=auth.get("user", ""), password=auth.get("password", ""), token=unhex(auth.get("token")),
            expiry_ms=args.get("expiry_ms", 0), name=args.get("name"), nonce=auth.get("nonce"),
            data=unhex(auth["data"]) if "data" in auth else None,
        )  # fmt: skip

    def call_authenticate(self, args: dict[str, Any]) -> None:
        """A client answers AUTH."""
        self.session.authenticate(self.now, unhex(args.get("data")))

    def call_welcome(self, args: dict[str, Any]) -> None:
        """A server opens the session."""
        memory = memory_of(args["counts"]) if "counts" in args else None
        self.session.welcome(
            self.now, unhex(args.get("session")) or None, unhex(args.get("key")) or None,
            expiry_ms=args.get("expiry_ms", 0), name=args.get("name"), features=args.get("features"),
            auth=unhex(args["auth"]) if "auth" in args else None, memory=memory,
        )  # fmt: skip

    def call_challenge(self, args: dict[str, Any]) -> None:
        """A server sends AUTH."""
        self.session.challenge(self.now, unhex(args.get("data")))

    def call_refuse(self, args: dict[str, Any]) -> None:
        """A server says no."""
        self.session.refuse(self.now, number_of(args["code"], Code), args.get("reason", ""))

    # --- messages ---

    def call_publish(self, args: dict[str, Any]) -> None:
        """PUBLISH."""
        props = properties(args.get("props"))
        payload = unhex(args.get("payload"))
        self.session.publish(self.now, args["topic"], payload, bool(args.get("reliable")), props, bool(args.get("retain")))

    def call_message(self, args: dict[str, Any]) -> None:
        """MESSAGE."""
        props = properties(args.get("props"))
        payload = unhex(args.get("payload"))
        self.session.message(self.now, args["id"], args["topic"], payload, bool(args.get("reliable")), props, bool(args.get("retain")))

    def call_subscribe(self, args: dict[str, Any]) -> None:
        """SUBSCRIBE."""
        self.session.subscribe(self.now, Subscribe(**args))

    def call_join(self, args: dict[str, Any]) -> None:
        """JOIN."""
        since = args.get("since")
        args = {**args, "data": unhex(args.get("data")), "since": since and (unhex(since[0]), since[1])}
        self.session.subscribe(self.now, Join(**args))

    def call_joined(self, args: dict[str, Any]) -> None:
        """JOINED."""
        self.session.operate(self.now, Joined(**{**args, "epoch": unhex(args["epoch"])}))

    def call_unsubscribe(self, args: dict[str, Any]) -> None:
        """UNSUBSCRIBE."""
        self.session.unsubscribe(self.now, Unsubscribe(**args))

    def call_leave(self, args: dict[str, Any]) -> None:
        """LEAVE."""
        self.session.unsubscribe(self.now, Leave(**args))

    def call_request(self, args: dict[str, Any]) -> None:
        """REQUEST."""
        self.session.request(self.now, Request(**self._payload(args)))

    def call_respond(self, args: dict[str, Any]) -> None:
        """RESPONSE."""
        args = self._payload(args)
        args["status"] = number_of(args.get("status", 0), Status)
        self.session.respond(self.now, Response(**args))

    def call_cancel(self, args: dict[str, Any]) -> None:
        """CANCEL."""
        self.session.cancel(self.now, Cancel(**args).id)

    def call_result(self, args: dict[str, Any]) -> None:
        """RESULT."""
        kind = args["kind"]
        of = Kind[kind.upper()].value if isinstance(kind, str) else kind
        status = number_of(args.get("status", 0), Status)
        self.session.result(self.now, Result(of, args["id"], status, args.get("reason", "")))

    def call_offer(self, args: dict[str, Any]) -> None:
        """OFFER."""
        self.session.operate(self.now, Offer(**self._payload(args)))

    def call_take(self, args: dict[str, Any]) -> None:
        """TAKE."""
        self.session.operate(self.now, Take(**args))

    def call_settle(self, args: dict[str, Any]) -> None:
        """SETTLE."""
        self.session.operate(self.now, Settle(**args))

    def call_presence(self, args: dict[str, Any]) -> None:
        """PRESENCE."""
        self.session.operate(self.now, Presence(**{**args, "data": unhex(args.get("data"))}))

    def call_history(self, args: dict[str, Any]) -> None:
        """HISTORY."""
        renamed = {"start" if name == "from" else name: value for name, value in args.items()}
        self.session.operate(self.now, History(**renamed))

    @staticmethod
    def _payload(args: dict[str, Any]) -> dict[str, Any]:
        return {**args, "payload": unhex(args.get("payload")), "props": properties(args.get("props"))}

    # --- the connection ---

    def call_credit(self, args: dict[str, Any]) -> None:
        """CREDIT."""
        self.session.credit(self.now, args.get("id", 0), args["limit"])

    def call_ping(self, args: dict[str, Any]) -> None:
        """PING."""
        self.session.ping(self.now)

    def call_accept(self, args: dict[str, Any]) -> None:
        """Accepts reliable frames by hand."""
        self.session.accept(self.now, args.get("count", 1))

    def call_drain(self, args: dict[str, Any]) -> None:
        """DRAIN."""
        self.session.drain(
            self.now, args.get("deadline_ms", 0), args.get("retry_after_ms", 0), args.get("endpoint", "")
        )

    def call_close(self, args: dict[str, Any]) -> None:
        """CLOSE."""
        self.session.close(self.now, number_of(args.get("code", 0), Code), args.get("reason", ""))


def answer(shim: Shim | None, line: dict[str, Any]) -> tuple[Shim | None, dict[str, Any]]:
    """One line of input to one line of output."""
    try:
        if "new" in line:
            shim = None
            shim = Shim(line["new"])
        if shim is None:
            return None, {"unsupported": "no session was started"}
        return shim, shim.step(line)
    except (Unsupported, TypeError, KeyError, ValueError) as error:
        return shim, {"unsupported": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Reads lines until the input ends."""
    shim: Shim | None = None
    for text in sys.stdin:
        if text.strip():
            shim, result = answer(shim, json.loads(text))
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
