"""A blocking client over TCP or a Unix socket. One thread, no callbacks but request handlers.

Whatever waits (``publish``, ``request``, ``next_message``, ``wait``) also keeps the connection alive, takes what
arrives, and calls request handlers. A program that does none of these for long is taken for dead by the server: call
``wait(0)``.
"""

from __future__ import annotations

import random
import secrets
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from .flow import Memory
from .frames import Drain, Message, Publish, Request, Response, Result, Subscribe, Unsubscribe
from .link import Blocked, Config, Event, Misuse
from .session import Session
from .props import Properties
from .wire import Code, Feature, Kind, Method, Status

READ_SIZE = 65_536
WRITE_TIMEOUT_MS = 10_000
"""A server that reads nothing for so long is given up."""

GRACE_S = 5.0
"""How long after a request's own timeout the client still waits for the hub's answer."""

LOCAL = ("localhost", "127.0.0.1", "::1")
Handler = Callable[[Request], bytes]


class Disconnected(ConnectionError):
    """The connection has ended. ``code`` is that of CLOSE; ``None`` after a cut. ``resume`` may go on."""

    def __init__(self, code: str | None, reason: str = "") -> None:
        super().__init__(f"{code or 'the connection was cut'} {reason}".strip())
        self.code = code


class Refused(Exception):
    """The server answered with another status than OK."""

    def __init__(self, status: int, reason: str) -> None:
        name = Status(status).name if status in set(Status) else str(status)
        super().__init__(f"{name} {reason}".strip())
        self.status = status


@dataclass(frozen=True)
class Credentials:
    """Who the client is. ``Method.NONE`` needs nothing, ``TOKEN`` the token, the others user and password."""

    method: Method = Method.NONE
    user: str = ""
    password: str = ""
    token: bytes = b""


class SystemEntropy:
    """The operating system's randomness."""

    def wire(self, count: int) -> bytes:
        """Octets that the peer sees."""
        return secrets.token_bytes(count)

    secret = wire


def now_ms() -> float:
    """A clock that never goes backwards."""
    return time.monotonic() * 1000


def open_socket(address: str, timeout: float) -> socket.socket:
    """``host:port``, ``[v6]:port`` or ``unix:/path``."""
    if address.startswith("unix:"):
        unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        unix.settimeout(timeout)
        unix.connect(address.removeprefix("unix:"))
        return unix
    host, _, port = address.rpartition(":")
    tcp = socket.create_connection((host.strip("[]"), int(port)), timeout)
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return tcp


class Client:
    """A session with a server, over one connection after the other."""

    def __init__(
        self, address: str, credentials: Credentials | None = None, *, config: Config | None = None,
        expiry_ms: int = 3_600_000, name: str | None = None, insecure: bool = False, timeout: float = 10.0,
    ) -> None:  # fmt: skip
        self.address = address
        self.credentials = credentials or Credentials()
        self.config = config or Config(keepalive_ms=30_000, features=Feature.RETAINED)
        self.expiry_ms = expiry_ms
        self.name = name
        self.insecure = insecure
        self.timeout = timeout
        self.memory = Memory()
        self.messages: deque[Message | Publish] = deque()
        """Messages that have come: of subscriptions, and those for this session itself."""
        self.draining: Drain | None = None
        """What the server said when it began to drain."""
        self.lost: list[bytes] = []
        """Reliable frames that an expired session took with it; they may or may not have arrived."""
        self._session: Session | None = None
        self._socket: socket.socket | None = None
        self._unsent = b""
        self._shut = False
        self._progress = 0.0
        self._closed: Disconnected | None = None
        self._welcomed = False
        self._fresh = True
        self._ended = False
        self._next_id = 1
        self._subscribed: dict[int, Subscribe] = {}
        self._confirmed: set[int] = set()
        self._handlers: dict[int, Handler] = {}
        self._results: dict[tuple[int, int], Result] = {}
        self._responses: dict[int, list[Response]] = {}
        self._answers: deque[Response] = deque()
        self._rtt: float | None = None

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the connection ------------------------------------------------------------------------

    def connect(self) -> bool:
        """Connects and authenticates; true when an earlier session goes on (exactly the gap is sent again)."""
        secret = self.credentials.method in (Method.PASSWORD, Method.TOKEN)
        local = self.address.startswith("unix:") or self.address.rpartition(":")[0].strip("[]") in LOCAL
        if secret and not local and not self.insecure:
            raise Misuse("a password or token over an unencrypted network: say insecure=True, or use SCRAM")  # AUT-6
        if self._ended:
            self.memory.forget()  # RES-11
            self._ended = False
        self.disconnect()
        self._socket = open_socket(self.address, self.timeout)
        self._socket.setblocking(False)
        now = now_ms()
        self._session = Session("client", self.config, SystemEntropy(), now, self.memory)
        self._unsent, self._shut, self._closed, self._welcomed, self.draining = b"", False, None, False, None
        self._responses.clear()
        self._answers.clear()
        self._progress = now
        who = self.credentials
        self._session.connect(
            now, who.method, user=who.user, password=who.password, token=who.token,
            expiry_ms=self.expiry_ms, name=self.name,
        )  # fmt: skip
        self._until(lambda: self._welcomed, self.timeout)
        resumed = not self._fresh
        for ident, frame in list(self._subscribed.items()):
            if not resumed or ident not in self._confirmed:
                self._ask_subscription(frame)
        return resumed

    def resume(self, attempts: int | None = None) -> bool:
        """Connects again, with waits of full jitter between 100 ms and 30 s."""
        attempt = 0
        while True:
            try:
                return self.connect()
            except OSError as error:
                final = isinstance(error, Disconnected) and error.code in ("AUTH_FAILED", "AUTH_METHOD", "VERSION")
                attempt += 1
                if final or (attempts is not None and attempt >= attempts):
                    raise
                time.sleep(random.uniform(0.1, min(30.0, 0.1 * 2**attempt)))

    def disconnect(self) -> None:
        """Drops the connection without a word; the session may be resumed."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def close(self, code: Code = Code.NORMAL, reason: str = "") -> None:
        """Closes in good order: with NORMAL the session ends, with GOING_AWAY it may be resumed."""
        if self._session is None or self._socket is None:
            return
        self._session.close(now_ms(), code, reason)
        try:
            while self._socket is not None:
                self._turn(1.0)
        except Disconnected:
            pass

    def drain(self, deadline_ms: int = 10_000) -> None:
        """Says that no new work is taken, finishes what is in flight, and closes with GOING_AWAY."""
        session = self._live()
        session.drain(now_ms(), deadline_ms)
        try:
            self._until(lambda: not (session.in_flight() or self._answers), deadline_ms / 1000)
        except TimeoutError:
            pass
        self.close(Code.GOING_AWAY)

    # --- messages ------------------------------------------------------------------------------

    def publish(
        self, topic: str, payload: bytes, reliable: bool = False, props: Properties | None = None, wait: bool = True,
        retain: bool = False,
    ) -> None:  # fmt: skip
        """Publishes; waits for room, and with ``reliable`` for the acknowledgement (unless told not to).

        With ``retain`` the topic keeps it; an empty one clears what the topic keeps.
        """
        self._send(lambda session: session.publish(now_ms(), topic, payload, reliable, props, retain))
        number = self.memory.sent
        if reliable and wait:
            self._until(lambda: self.memory.acked >= number, self.timeout)
            refused = self._results.pop((Kind.PUBLISH, number), None)  # MSG-6
            if refused is not None:
                raise Refused(refused.status, refused.reason)
        else:
            self.wait(0)

    def subscribe(
        self, filter: str, quality: int = 0, *, credit: int | None = None, no_local: bool = False, retained: int = 0,
        retain_as_published: bool = False,
    ) -> int:  # fmt: skip
        """Subscribes; returns the id that its messages carry. Those that topics keep come as ``Retained``.

        ``retained``: 0 all that match, 1 only if the subscription is new, 2 none.
        """
        frame = Subscribe(self._new_id(), filter, quality, credit, False, no_local, retained, retain_as_published)
        return self._subscribe(frame, None)

    def serve(self, filter: str, handler: Handler, *, credit: int | None = None) -> int:
        """Answers requests on these topics with what ``handler`` returns."""
        return self._subscribe(Subscribe(self._new_id(), filter, 0, credit, True), handler)

    def unsubscribe(self, ident: int) -> None:
        """Ends a subscription, or a service."""
        self._subscribed.pop(ident, None)
        self._handlers.pop(ident, None)
        self._confirmed.discard(ident)
        frame = Unsubscribe(ident)
        self._operate(lambda session: session.unsubscribe(now_ms(), frame), Kind.UNSUBSCRIBE, ident)

    def next_message(self, timeout: float | None = None) -> Message | Publish | None:
        """The next message; ``None`` when none came in time."""
        try:
            self._until(lambda: bool(self.messages), timeout)
        except TimeoutError:
            return None
        return self.messages.popleft()

    # --- requests ------------------------------------------------------------------------------

    def request(self, topic: str, payload: bytes, timeout: float = 30.0) -> bytes:
        """Asks one responder. Further parts of an answer (MORE) are put together."""
        answers = self._request(topic, payload, timeout, many=False)
        if answers[-1].status != Status.OK:
            raise Refused(answers[-1].status, answers[-1].payload.decode("utf-8", "replace"))
        return b"".join(answer.payload for answer in answers)

    def request_many(self, topic: str, payload: bytes, timeout: float = 30.0) -> tuple[list[Response], int]:
        """Asks all responders; their answers, and OK when all answered or TIMEOUT."""
        answers = self._request(topic, payload, timeout, many=True)
        return answers[:-1], answers[-1].status

    def _request(self, topic: str, payload: bytes, timeout: float, many: bool) -> list[Response]:
        ident = self._new_id()
        frame = Request(ident, 0, max(1, round(timeout * 1000)), topic, payload, many)
        self._send(lambda session: session.request(now_ms(), frame))
        answers = self._responses.setdefault(ident, [])
        refused = (Kind.REQUEST, ident)
        try:
            self._until(lambda: bool(answers and not answers[-1].more) or refused in self._results, timeout + GRACE_S)
        except TimeoutError:
            self._send(lambda session: session.cancel(now_ms(), ident))
            raise
        finally:
            self._responses.pop(ident, None)
        result = self._results.pop(refused, None)  # REQ-7
        if result is not None:
            raise Refused(result.status, result.reason)
        return answers

    def ping(self) -> float:
        """The round-trip time, in seconds."""
        self._rtt = None
        self._send(lambda session: session.ping(now_ms()))
        self._until(lambda: self._rtt is not None, self.timeout)
        assert self._rtt is not None
        return self._rtt

    def wait(self, timeout: float) -> None:
        """Does what is due for so long; at least one round."""
        end = time.monotonic() + timeout
        while True:
            self._turn(max(0.0, end - time.monotonic()))
            self._check_open()
            if time.monotonic() >= end:
                return

    # --- inside --------------------------------------------------------------------------------

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def _subscribe(self, frame: Subscribe, handler: Handler | None) -> int:
        if handler is not None:
            self._handlers[frame.id] = handler
        self._subscribed[frame.id] = frame
        try:
            self._ask_subscription(frame)
        except (Refused, Misuse):
            del self._subscribed[frame.id]
            self._handlers.pop(frame.id, None)
            raise
        return frame.id

    def _ask_subscription(self, frame: Subscribe) -> None:
        self._operate(lambda session: session.subscribe(now_ms(), frame), Kind.SUBSCRIBE, frame.id)

    def _operate(self, send: Callable[[Session], None], kind: Kind, ident: int) -> None:
        """Sends, and waits for RESULT."""
        self._results.pop((kind, ident), None)
        self._send(send)
        self._until(lambda: (kind, ident) in self._results, self.timeout)
        result = self._results.pop((kind, ident))
        if result.status != Status.OK:
            raise Refused(result.status, result.reason)
        if kind == Kind.SUBSCRIBE:
            self._confirmed.add(ident)

    def _send(self, call: Callable[[Session], None]) -> None:
        """Calls the session, and waits where credit or acknowledgements are missing."""
        end = time.monotonic() + self.timeout
        while True:
            session = self._live()
            try:
                call(session)
                return
            except Blocked as blocked:
                if blocked.why in ("state", "draining"):
                    raise
                if time.monotonic() > end:
                    raise TimeoutError(f"the server grants no {blocked.why}") from None
            self._turn(0.05)

    def _live(self) -> Session:
        self._check_open()
        assert self._session is not None
        return self._session

    def _check_open(self) -> None:
        if self._closed is not None:
            raise self._closed
        if self._socket is None or self._session is None:
            raise Disconnected(None, "not connected")

    def _until(self, done: Callable[[], bool], timeout: float | None) -> None:
        end = None if timeout is None else time.monotonic() + timeout
        self._turn(0)
        while not done():
            self._check_open()
            left = 60.0 if end is None else end - time.monotonic()
            if left <= 0:
                raise TimeoutError("no answer in time")
            self._turn(left)

    def _turn(self, timeout: float) -> None:
        """One round: timers, write, read, events."""
        session, sock = self._session, self._socket
        if session is None or sock is None:
            return
        self._flush(session, sock)
        if self._socket is None:
            return
        due = session.deadline()
        if due is not None:
            timeout = max(0.0, min(timeout, (due[0] - now_ms()) / 1000))
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0))
            readable = any(mask & selectors.EVENT_READ for _, mask in selector.select(timeout))
        if readable:
            self._read(session, sock)
        self._take_events(session)
        self._flush(session, sock)

    def _read(self, session: Session, sock: socket.socket) -> None:
        try:
            data = sock.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""  # a reset is a cut too
        if data:
            session.receive(now_ms(), data)
        else:
            session.receive_eof(now_ms())

    def _flush(self, session: Session, sock: socket.socket) -> None:
        """Writes what can be written; ends or drops the stream when the session says so."""
        self._answer(session)
        now = now_ms()
        session.tick(now)
        data = session.transmit(now)
        if not self._unsent:
            self._progress = now
        self._unsent += data
        try:
            while self._unsent:
                self._unsent = self._unsent[sock.send(self._unsent) :]
                self._progress = now
        except (BlockingIOError, InterruptedError):
            if now - self._progress > WRITE_TIMEOUT_MS:
                session.receive_eof(now)
        except OSError:
            self._unsent = b""
            if not self._shut:
                session.receive_eof(now)
        self._take_events(session)
        if not self._unsent and session.transport() == "shut" and not self._shut:
            self._shut = True
            try:
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        elif not self._unsent and session.transport() == "drop":
            self.disconnect()

    def _answer(self, session: Session) -> None:
        """Answers to requests, as far as credit goes; those of cancelled requests are dropped."""
        while self._answers:
            try:
                session.respond(now_ms(), self._answers[0])
            except Blocked:
                return
            except Misuse:
                pass
            self._answers.popleft()

    def _take_events(self, session: Session) -> None:
        while (event := session.next_event()) is not None:
            self._take_event(session, event)

    def _take_event(self, session: Session, event: Event) -> None:
        frame = event.frame
        match event.name, frame:
            case "welcome", _:
                self._welcomed = True
                self._fresh = not event.fields["resumed"]
                if self._fresh:
                    self.lost += session.lost
                    self._confirmed.clear()
            case "closed", _:
                code = event.fields["code"]
                self._ended = code == "NORMAL"
                self._closed = Disconnected(code, event.fields.get("reason", ""))
            case "pong", _:
                self._rtt = event.fields["rtt_us"] / 1e6
            case _, Message() | Publish():
                self.messages.append(frame)
            case _, Result():
                self._results[frame.of, frame.id] = frame
            case _, Response():
                if frame.id in self._responses:
                    self._responses[frame.id].append(frame)
            case _, Request():
                self._answers.append(self._handle(frame))
            case _, Drain():
                self.draining = frame

    def _handle(self, request: Request) -> Response:
        handler = self._handlers.get(request.subscription)
        if handler is None:
            return Response(request.id, Status.NO_RESPONDER)
        try:
            return Response(request.id, payload=handler(request))
        except Exception as error:  # noqa: BLE001 -- a handler's failure is the requester's answer
            return Response(request.id, Status.REJECTED, payload=str(error).encode("utf-8"))
