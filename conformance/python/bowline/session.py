"""One peer of the protocol as a state machine, in either role: what an open session does (SPEC §5 to §8).

A ``Session`` lives as long as one connection; what outlives it is in its ``Memory``, which the next connection's
session is given. Methods that send raise ``Blocked`` when that is not possible now, and ``Misuse`` when it never is;
in both cases nothing has changed.
"""

from __future__ import annotations

from collections import deque

from .flow import Grant, Memory, Subscription, Window
from .frame import CREDITED, FLAG_1, Frame
from .frames import (
    Ack,
    Cancel,
    Credit,
    Drain,
    History,
    Join,
    Joined,
    Leave,
    Message,
    Offer,
    Presence,
    Publish,
    Request,
    Response,
    Result,
    Retain,
    Retained,
    Settle,
    Subscribe,
    Take,
    Unsubscribe,
)  # fmt: skip
from .hello import Auth, Hello, Terms, Welcome
from .link import Blocked, Config, Entropy, Event, Misuse, State
from .opening import Opening
from .props import Properties
from .topics import is_filter, is_topic
from .wire import Code, Fault, Feature, Kind, Reader, Status

FEATURE_OF = {
    Kind.OFFER: Feature.QUEUES, Kind.TAKE: Feature.QUEUES, Kind.SETTLE: Feature.QUEUES, Kind.JOIN: Feature.ROOMS,
    Kind.LEAVE: Feature.ROOMS, Kind.JOINED: Feature.ROOMS, Kind.PRESENCE: Feature.PRESENCE,
    Kind.HISTORY: Feature.HISTORY, Kind.RETAIN: Feature.RETAINED, Kind.RETAINED: Feature.RETAINED,
    Kind.TUNNEL: Feature.RELAY, Kind.DATA: Feature.RELAY, Kind.WINDOW: Feature.RELAY, Kind.RESET: Feature.RELAY,
}  # fmt: skip
"""SPEC §4.1."""

RELIABLE_KINDS = (Kind.PUBLISH, Kind.MESSAGE, Kind.RETAIN, Kind.RETAINED)
NEW_WORK = (Publish, Subscribe, Request, Offer, Take, Join, History)
"""END-7: what is not sent to a side that drains."""

TOPIC_FIELDS = {
    Publish: "topic", Message: "topic", Retain: "topic", Retained: "topic", Request: "topic", Offer: "queue",
    Take: "queue", Join: "room",
}  # fmt: skip
"""Where a frame to be sent holds a topic name."""


class Session(Opening):
    """One side of one connection."""

    def __init__(
        self, role: str, config: Config, entropy: Entropy, now: float, memory: Memory | None = None
    ) -> None:
        super().__init__(role, config, entropy, now, memory)
        self._acks_written = 0
        self._resend_from = 0
        """The number of reliable frames that need not be sent (again) on this connection."""
        self._window = Window(0)
        self._windows: dict[int, Window] = {}
        """What may be sent because of the peer's subscriptions."""
        self._grant = Grant(config.credit)
        self._grants: dict[int, Grant] = {}
        """What the peer may send because of our subscriptions."""
        self._waiting: dict[tuple[int, int], deque[Subscription | None]] = {}
        """RESULTs to come, by kind and id; with the subscription that an OK puts in place."""
        self._asked: dict[int, Subscription] = {}
        """The peer's replacements of subscriptions, until they are answered."""
        self.requests: dict[int, bool] = {}
        """Requests of ours that are not answered; with whether they were MANY."""
        self.serving: dict[int, bool] = {}
        """Requests of the peer that are not answered."""
        self._drain_sent_until: float | None = None
        self._drain_received = False

    def _open(self, peer: Terms, features: int) -> None:
        """The session is open: all that belongs to the connection starts anew (RES-8)."""
        self._check_received(peer)
        memory = self.memory
        if peer.received is not None:
            memory.release(peer.received, Code.BAD_RESUME)
        memory.received = memory.accepted
        self.peer, self.features = peer, features
        self.peer_keepalive_ms = peer.keepalive_ms
        self._acks_written = memory.accepted
        self._resend_from = memory.acked
        self._window = Window(peer.credit)
        self._windows = {ident: Window(sub.credit) for ident, sub in memory.theirs.items() if sub.credit}
        self._grants = {ident: Grant(sub.credit) for ident, sub in memory.ours.items() if sub.credit}
        self.state = State.OPEN
        self._last_heard = self._last_sent = self._now

    # --- receiving -----------------------------------------------------------------------------

    def _check_feature(self, kind: int, flags: int) -> None:
        needed = FEATURE_OF.get(Kind(kind), 0) if kind < 32 else 0
        if kind == Kind.JOIN and flags:
            needed |= Feature.PRESENCE
        if needed & ~self.features:
            raise Fault(Code.UNSUPPORTED, f"kind {kind} needs a feature that was not chosen")  # FEA-1

    def _check_start(self, kind: int, flags: int, size: int) -> None:
        if kind in CREDITED:
            self._grant.receive(size)

    def _handle(self, frame: Frame) -> None:
        match frame:
            case Hello():
                self._receive_hello(frame)
            case Welcome():
                self._receive_welcome(frame)
            case Auth():
                self._receive_auth(frame)
            case Ack():
                fresh = self.memory.release(frame.count, Code.BAD_ACK)
                if fresh:
                    self._resend_from = max(self._resend_from, self.memory.acked)
                    self._events.append(Event("acked", {"count": frame.count}, frame))
            case Credit():
                window = self._window if frame.id == 0 else self._windows.get(frame.id)
                raised = window.raise_to(frame.limit) if window is not None else self.config.bare
                if raised:
                    self._report_frame(frame)
            case Result():
                self._receive_result(frame)
            case Publish():
                self._count_reliable(frame.reliable)
                self._report_frame(frame)
            case Message():
                self._receive_message(frame)
            case Subscribe() | Unsubscribe() | Join() | Leave():
                self._receive_subscription(frame)
            case Request():
                self._receive_request(frame)
            case Response():
                self._receive_response(frame)
            case Cancel():
                if self.serving.pop(frame.id, None) is not None or self.config.bare:  # REQ-6
                    self._report_frame(frame)
            case Drain():
                if self._drain_received:
                    raise Fault(Code.UNEXPECTED_FRAME, "a second DRAIN")  # END-6
                self._drain_received = True
                self._report_frame(frame)
            case _:
                self._report_frame(frame)

    def _report_frame(self, frame: Frame) -> None:
        fields = dict(vars(frame))
        match frame:
            case Publish():
                name, fields["retain"] = "publish", isinstance(frame, Retain)
            case Message():
                name, fields["retain"] = "message", isinstance(frame, Retained)
            case _:
                name = frame.kind.name.lower()
        self._events.append(Event(name, fields, frame))

    def _count_reliable(self, reliable: bool) -> None:
        if reliable:
            if self.memory.received - self._acks_written >= self.config.in_flight:
                raise Fault(Code.IN_FLIGHT_EXCEEDED)  # REL-5, after the body (FRM-7)
            self.memory.received += 1
            if not self.config.manual_ack:
                self.memory.accepted = self.memory.received

    def _receive_message(self, message: Message) -> None:
        if message.id in self._grants:
            self._grants[message.id].receive(self._frame_size)  # CRE-4
        self._count_reliable(message.reliable)
        if message.id in self.memory.ours or self.config.bare:  # else MSG-3
            self._report_frame(message)

    def _receive_subscription(self, frame: Subscribe | Unsubscribe | Join | Leave) -> None:
        """The peer's subscriptions. A first one is there at once; a replacement when it is answered with OK."""
        theirs = self.memory.theirs
        match frame:
            case Subscribe() if not (self.config.bare or is_filter(frame.filter)):
                self._emit(Result(Kind.SUBSCRIBE, frame.id, Status.INVALID))  # TOP-2
                return
            case Subscribe() | Join() if frame.id in theirs:
                self._asked[frame.id] = _subscription_of(frame)
            case Subscribe() if len(theirs) >= self.config.max_subscriptions:
                self._emit(Result(Kind.SUBSCRIBE, frame.id, Status.QUOTA))  # SUB-5
                return
            case Subscribe() | Join():
                self._install(frame.id, _subscription_of(frame))
            case Unsubscribe() | Leave() if frame.id not in theirs and not self.config.bare:
                self._emit(Result(frame.kind, frame.id, Status.NOT_FOUND))  # SUB-3
                return
            case Unsubscribe() | Leave():
                theirs.pop(frame.id, None)
                self._windows.pop(frame.id, None)
        self._report_frame(frame)

    def _install(self, ident: int, sub: Subscription) -> None:
        self.memory.theirs[ident] = sub
        self._windows.pop(ident, None)
        if sub.credit is not None:
            self._windows[ident] = Window(sub.credit)

    def _receive_request(self, request: Request) -> None:
        if request.id in self.serving:
            raise Fault(Code.MALFORMED, f"request {request.id} is in use")  # REQ-1
        if request.subscription in self._grants:
            self._grants[request.subscription].receive(self._frame_size)  # CRE-4
        unknown = request.subscription and request.subscription not in self.memory.ours
        if unknown and not self.config.bare:
            self._emit(Result(Kind.REQUEST, request.id, Status.NO_RESPONDER))
        elif len(self.serving) >= self.config.max_requests:
            self._emit(Result(Kind.REQUEST, request.id, Status.QUOTA))  # REQ-7
        else:
            self.serving[request.id] = request.many
            self._report_frame(request)

    def _receive_response(self, response: Response) -> None:
        if response.id in self.requests or self.config.bare:  # REQ-6
            if not response.more:
                self.requests.pop(response.id, None)
            self._report_frame(response)

    def _receive_result(self, result: Result) -> None:
        if result.of == Kind.PUBLISH or (result.of == Kind.REQUEST and result.id in self.requests):
            self.requests.pop(result.id if result.of == Kind.REQUEST else -1, None)
            self._report_frame(result)  # MSG-6, REQ-7
            return
        waiting = self._waiting.get((result.of, result.id))
        if not waiting:
            if self.config.bare:
                self._report_frame(result)
            return  # STA-2
        sub = waiting.popleft()
        ours = self.memory.ours
        if result.status != Status.OK:
            if result.of in (Kind.SUBSCRIBE, Kind.JOIN) and ours.get(result.id) is sub:
                del ours[result.id]
                self._grants.pop(result.id, None)
        elif sub is not None and ours.get(result.id) is not sub:
            self._expect(result.id, sub)
        if result.of == Kind.HISTORY:
            ours.pop(result.id, None)
        self._report_frame(result)

    def _expect(self, ident: int, sub: Subscription) -> None:
        """A subscription of ours is in place."""
        self.memory.ours[ident] = sub
        self._grants.pop(ident, None)
        if sub.credit is not None:
            self._grants[ident] = Grant(sub.credit)

    # --- owed output ---------------------------------------------------------------------------

    def _write_owed(self, closing: bool) -> None:
        if self._acks_written < self.memory.accepted:
            self._emit(Ack(self.memory.accepted))  # REL-2
            self._acks_written = self.memory.accepted
        if closing:
            return
        if not self.config.manual_credit:
            for ident, grant in ((0, self._grant), *self._grants.items()):
                limit = grant.next_limit()
                if limit is not None:
                    grant.raise_to(limit)
                    self._emit(Credit(ident, limit))
        self._resend()

    def _resend(self) -> None:
        """RES-7: the gap, within credit and in flight, before anything new of its kind."""
        memory = self.memory
        while self._resend_from < memory.sent:
            if self._resend_from - memory.acked >= self.peer.in_flight:
                return
            encoded = memory.unacked[self._resend_from - memory.acked]
            window = self._windows.get(_subscription_id(encoded))
            if not self._window.is_open() or (window is not None and not window.is_open()):
                return
            size = _body_size(encoded)
            self._window.spend(size)
            if window is not None:
                window.spend(size)
            self._outbox += encoded
            self._resend_from += 1

    def in_flight(self) -> bool:
        """Whether anything is not finished: a side that sent DRAIN may close as soon as it is (END-8)."""
        memory = self.memory
        return bool(memory.unacked or self.requests or self.serving or memory.received > memory.accepted)

    def _drain_at(self) -> float | None:
        return self._drain_sent_until

    # --- sending -------------------------------------------------------------------------------

    def _send(self, frame: Frame, subscription: int = 0) -> None:
        """Checks all that may hold a frame back, then writes it."""
        if self.state is not State.OPEN:
            raise Blocked("state")
        if self._drain_received and isinstance(frame, NEW_WORK):
            raise Blocked("draining")
        try:
            encoded = frame.encode()
        except ValueError as error:
            raise Misuse(str(error)) from None
        field = TOPIC_FIELDS.get(type(frame))
        if field is not None and not is_topic(getattr(frame, field)):
            raise Misuse("not a topic name")
        size = _body_size(encoded)
        if size > self.peer.max_frame:
            raise Misuse(f"a frame of {size} octets; the peer takes {self.peer.max_frame}")
        try:
            self._check_feature(frame.kind, frame.flags())
        except Fault as fault:
            raise Misuse(fault.reason) from None
        reliable = frame.kind in RELIABLE_KINDS and bool(frame.flags() & FLAG_1)
        if frame.kind in CREDITED:
            self._spend(size, subscription, reliable)
        if reliable:
            self.memory.keep(encoded)
            self._resend_from = self.memory.sent
        self._outbox += encoded

    def _spend(self, size: int, subscription: int, reliable: bool) -> None:
        window = self._windows.get(subscription)
        resending = self._resend_from < self.memory.sent
        if resending or not self._window.is_open() or (window is not None and not window.is_open()):
            raise Blocked("credit")
        if reliable and len(self.memory.unacked) >= self.peer.in_flight:
            raise Blocked("in_flight")
        self._window.spend(size)
        if window is not None:
            window.spend(size)

    def publish(
        self, now: float, topic: str, payload: bytes, reliable: bool = False, props: Properties | None = None,
        retain: bool = False,
    ) -> None:  # fmt: skip
        """A message: at least once when ``reliable``, else at most once; kept by its topic when ``retain``."""
        self.tick(now)
        self._send((Retain if retain else Publish)(topic, payload, reliable, props))

    def message(
        self, now: float, id: int, topic: str, payload: bytes, reliable: bool = False, props: Properties | None = None,
        retain: bool = False,
    ) -> None:  # fmt: skip
        """Hands on a message because of the peer's subscription ``id``; ``retain``: its topic keeps it."""
        self.tick(now)
        sub = self.memory.theirs.get(id)
        if sub is None and not self.config.bare:
            raise Misuse(f"the peer has no subscription {id}")
        lowered = reliable and (sub is None or sub.reliable)  # SUB-4
        known = bool(self.features & Feature.RETAINED)  # RET-3
        self._send((Retained if retain and known else Message)(id, topic, payload, lowered, props), id)

    def subscribe(self, now: float, frame: Subscribe | Join) -> None:
        """Subscribes, or joins a room."""
        self.tick(now)
        if frame.id == 0 or frame.credit == 0 or getattr(frame, "quality", 0) > 1:
            raise Misuse("ids and credit begin with 1, quality is 0 or 1")
        if isinstance(frame, Subscribe) and frame.needs_retained() and not self.features & Feature.RETAINED:
            raise Misuse("the peer keeps no retained values")
        self._send(frame)
        sub = _subscription_of(frame)
        self._wait(frame.kind, frame.id, sub)
        if frame.id not in self.memory.ours:
            self._expect(frame.id, sub)

    def unsubscribe(self, now: float, frame: Unsubscribe | Leave) -> None:
        """Ends a subscription, or leaves a room; its messages are dropped from now on."""
        self.tick(now)
        self._send(frame)
        self._wait(frame.kind, frame.id, None)
        self.memory.ours.pop(frame.id, None)
        self._grants.pop(frame.id, None)
        for kind in (Kind.SUBSCRIBE, Kind.JOIN):
            waiting = self._waiting.get((kind, frame.id))
            if waiting:
                self._waiting[kind, frame.id] = deque([None] * len(waiting))

    def _wait(self, kind: int, ident: int, sub: Subscription | None) -> None:
        self._waiting.setdefault((kind, ident), deque()).append(sub)

    def operate(self, now: float, frame: Offer | Take | Settle | Joined | Presence | History) -> None:
        """The frames of SPEC §5.4 that are neither JOIN nor LEAVE."""
        self.tick(now)
        self._send(frame)
        if isinstance(frame, History):
            self.memory.ours[frame.id] = Subscription()
        if self.role == "client" and isinstance(frame, (Offer, Take, History)):
            self._wait(frame.kind, frame.id, None)

    def request(self, now: float, frame: Request) -> None:
        """Asks; RESPONSE comes as an event."""
        self.tick(now)
        if frame.id in self.requests:
            raise Misuse(f"request {frame.id} is in use")
        self._send(frame, frame.subscription)
        self.requests[frame.id] = frame.many

    def respond(self, now: float, frame: Response) -> None:
        """Answers a request of the peer."""
        self.tick(now)
        if frame.id not in self.serving and not self.config.bare:
            raise Misuse(f"no request {frame.id} waits for an answer")
        self._send(frame)
        if not frame.more:
            self.serving.pop(frame.id, None)

    def cancel(self, now: float, id: int) -> None:
        """Ends a request of ours without waiting for its answer."""
        self.tick(now)
        if id not in self.requests and not self.config.bare:
            raise Misuse(f"no request {id} is in flight")
        self._send(Cancel(id))
        self.requests.pop(id, None)

    def result(self, now: float, frame: Result) -> None:
        """Answers an operation of the peer."""
        self.tick(now)
        self._send(frame)
        if frame.of == Kind.REQUEST:
            self.serving.pop(frame.id, None)  # REQ-7
        if frame.of in (Kind.SUBSCRIBE, Kind.JOIN):
            replacement = self._asked.pop(frame.id, None)
            if replacement is not None and frame.status == Status.OK:
                self._install(frame.id, replacement)
            elif replacement is None and frame.status != Status.OK:
                self.memory.theirs.pop(frame.id, None)
                self._windows.pop(frame.id, None)

    def credit(self, now: float, id: int, limit: int) -> None:
        """Grants by hand: an absolute limit, for the session (id 0) or a subscription of ours."""
        self.tick(now)
        grant = self._grant if id == 0 else self._grants.get(id)
        if grant is None and not self.config.bare:
            raise Misuse(f"subscription {id} has no window")
        self._send(Credit(id, limit))
        if grant is not None:
            grant.raise_to(limit)

    def accept(self, now: float, count: int = 1) -> None:
        """``count`` more reliable frames are accepted (with ``Config.manual_ack``)."""
        self.tick(now)
        if not 0 < count <= self.memory.received - self.memory.accepted:
            raise Misuse("more than was received")
        self.memory.accepted += count

    def ping(self, now: float) -> None:
        """Measures the round-trip time: event ``pong``."""
        self.tick(now)
        if self.state is not State.OPEN:
            raise Blocked("state")
        self._send_ping()

    def drain(self, now: float, deadline_ms: int, retry_after_ms: int = 0, endpoint: str = "") -> None:
        """Takes no new work; closes with GOING_AWAY at the deadline. The application may close earlier, once
        ``in_flight`` is false: what crossed DRAIN is then lost to this connection (END-7, END-8)."""
        self.tick(now)
        if self._drain_sent_until is not None:
            raise Blocked("state")  # END-6: once
        self._send(Drain(deadline_ms, retry_after_ms, endpoint))
        self._drain_sent_until = self._now + deadline_ms


def _subscription_of(frame: Subscribe | Join) -> Subscription:
    if isinstance(frame, Subscribe):
        return Subscription(frame.credit, frame.serve, frame.quality == 1)
    return Subscription(frame.credit, False, True)


def _body_size(encoded: bytes) -> int:
    return Reader(encoded[1:10]).varint()


def _subscription_id(encoded: bytes) -> int:
    """The subscription id of an encoded MESSAGE; 0 for a PUBLISH."""
    if encoded[0] >> 2 not in (Kind.MESSAGE, Kind.RETAINED):
        return 0
    reader = Reader(encoded[1:20])
    reader.varint()
    return reader.varint()
