"""The handshake, of both roles (SPEC §4)."""

from __future__ import annotations

from abc import abstractmethod

from . import scram
from .flow import Memory
from .hello import Auth, Hello, Terms, Welcome
from .link import OPENING_FRAME, Blocked, Config, Entropy, Event, Link, Misuse, State
from .wire import KNOWN_FEATURES, PREFACE, VERSION, Code, Fault, Method, Reader, string, varint


class Opening(Link):
    """A connection up to WELCOME."""

    def __init__(
        self, role: str, config: Config, entropy: Entropy, now: float, memory: Memory | None = None
    ) -> None:
        super().__init__(role, config, entropy, now)
        self.memory = memory or Memory()
        self.peer = Terms()
        """What the peer said of itself in HELLO or WELCOME."""
        self.features = 0
        self.lost: list[bytes] = []
        """Reliable frames of an older session that the server no longer has (RES-3)."""
        self._scram: scram.Client | None = None
        self._method: int = Method.NONE
        self._awaits_auth = False
        self._challenged = False
        """AUTH has come, and the application has not answered it."""
        self._asked_resume = False

    @abstractmethod
    def _open(self, peer: Terms, features: int) -> None:
        """The session is open."""

    # --- handshake, client ---------------------------------------------------------------------

    def connect(
        self, now: float, method: int = Method.NONE, *, user: str = "", password: str = "", token: bytes = b"",
        expiry_ms: int = 0, name: str | None = None, nonce: str | None = None, data: bytes | None = None,
    ) -> None:  # fmt: skip
        """Sends the preface and HELLO. A memory with a key asks to resume its session (RES-1).

        With ``data`` the application authenticates itself, by any method: each AUTH is an event ``auth``, and is
        answered by ``authenticate``.
        """
        self.tick(now)
        if self.role != "client" or self._outbox or self.state is not State.OPENING:
            raise Blocked("state")
        if data is None and method == Method.SCRAM:
            self._scram = scram.Client(user, password, nonce or scram.nonce(self._entropy.wire(18)))
        self._awaits_auth = data is not None or method == Method.SCRAM
        if data is None:
            data = self._first_data(method, user, password, token)
        terms = self._own_terms(expiry_ms, name)
        terms.features = self.config.features
        terms.auth = varint(method) + data if method != Method.NONE else None
        if self.memory.id and self.memory.key:
            terms.session, terms.key = self.memory.id, self.memory.key
            terms.received = self.memory.accepted
            self._asked_resume = True
        hello = Hello(VERSION, VERSION, terms)
        if len(hello.body()) > OPENING_FRAME:
            raise Misuse("HELLO would be larger than 8192 octets")
        self._outbox += PREFACE
        self._emit(hello)

    def _first_data(self, method: int, user: str, password: str, token: bytes) -> bytes:
        """The data of a method that the session knows (SPEC §4.3)."""
        match method:
            case Method.PASSWORD:
                return string(user) + password.encode("utf-8")
            case Method.TOKEN:
                return token
            case Method.SCRAM if self._scram is not None:
                return self._scram.first()
        return b""

    def authenticate(self, now: float, data: bytes) -> None:
        """Answers an event ``auth``."""
        self.tick(now)
        if self.role != "client" or self.state is not State.OPENING or self._awaits_auth or not self._challenged:
            raise Blocked("state")
        self._emit(Auth(data))
        self._awaits_auth, self._challenged = True, False

    def _own_terms(self, expiry_ms: int, name: str | None) -> Terms:
        cfg = self.config
        if name is not None and len(name.encode("utf-8")) > 256:
            raise Misuse("a name has at most 256 octets")
        return Terms(
            max_frame=cfg.max_frame, in_flight=cfg.in_flight, credit=cfg.credit,
            keepalive_ms=cfg.keepalive_ms, expiry_ms=expiry_ms, name=name,
        )  # fmt: skip

    def _receive_auth(self, auth: Auth) -> None:
        if self.role == "server":
            self.state = State.DECIDING
            self._events.append(Event("auth", {"data": auth.data}, auth))
            return
        if not self._awaits_auth:
            raise Fault(Code.UNEXPECTED_FRAME, "no AUTH is waited for")  # AUT-5
        self._awaits_auth = False
        if self._scram is None:
            self._challenged = True
            self._events.append(Event("auth", {"data": auth.data}, auth))
            return
        try:
            self._emit(Auth(self._scram.final(auth.data)))
        except scram.ScramError as error:
            raise Fault(Code.AUTH_FAILED, str(error)) from None

    def _receive_welcome(self, welcome: Welcome) -> None:
        terms = welcome.terms
        if self._scram is not None:
            try:
                self._scram.verify(terms.auth or b"")
            except scram.ScramError as error:
                raise Fault(Code.AUTH_FAILED, str(error)) from None  # AUT-3
        if terms.features & ~self.config.features:
            raise Fault(Code.UNSUPPORTED, "features that were not offered")  # HSK-4
        terms.check_limits()
        resumed = terms.received is not None
        if resumed and not self._asked_resume:
            raise Fault(Code.UNEXPECTED_FRAME, "no session was to be resumed")  # RES-5
        if not resumed:
            self.lost = list(self.memory.unacked)
            self.memory.forget()
        elif terms.session not in (None, self.memory.id):
            raise Fault(Code.BAD_RESUME, "another session")
        if terms.session is None and terms.expiry_ms and not resumed:
            raise Fault(Code.MALFORMED, "an expiry without a session")  # HSK-11
        self._open(terms, terms.features)
        if terms.session is not None:
            self.memory.id, self.memory.key = terms.session, terms.key
        self._events.append(Event("welcome", {"resumed": resumed, **vars(terms)}, welcome))

    # --- handshake, server ---------------------------------------------------------------------

    def _receive_hello(self, hello: Hello) -> None:
        terms = hello.terms
        terms.check_limits()
        if (terms.session is None) != (terms.received is None):
            raise Fault(Code.MALFORMED, "session and received come together")  # RES-5
        fields = {**vars(terms), "auth": self._read_method(terms.auth)}
        self.peer = terms
        self.state = State.DECIDING
        self._events.append(Event("hello", fields, hello))

    def _read_method(self, value: bytes | None) -> dict[str, object]:
        """The value of *authentication*: a method, and data of its form (AUT-1)."""
        if value is None:
            self._check_method(Method.NONE)
            return {"method": "none"}
        reader = Reader(value)
        self._method = reader.varint()
        self._check_method(self._method)
        try:
            match self._method:
                case Method.NONE:
                    reader.end()
                    return {"method": "none"}
                case Method.PASSWORD:
                    return {"method": "password", "user": reader.string(), "password": reader.rest()}
                case Method.TOKEN:
                    return {"method": "token", "token": reader.rest()}
                case Method.SCRAM:
                    data = reader.rest()
                    user = None if self.config.bare else scram.parse_first(data)[0]
                    return {"method": "scram", "user": user, "data": data}
        except (Fault, scram.ScramError):
            raise Fault(Code.AUTH_FAILED, "not of the method's form") from None
        return {"method": self._method, "data": reader.rest()}

    def _check_method(self, method: int) -> None:
        if method not in self.config.methods and not self.config.bare:
            offered = ", ".join(str(int(method)) for method in self.config.methods)
            raise Fault(Code.AUTH_METHOD, f"offered: {offered}")

    def challenge(self, now: float, data: bytes) -> None:
        """A server asks for more: AUTH."""
        self._decide(now)
        self._emit(Auth(data))
        self.state = State.AUTHENTICATING
        self._pump()

    def refuse(self, now: float, code: int, reason: str = "") -> None:
        """A server says no."""
        self._decide(now)
        self._close(code, reason, by="application")

    def welcome(
        self, now: float, session: bytes | None = None, key: bytes | None = None, *, expiry_ms: int = 0,
        name: str | None = None, features: int | None = None, auth: bytes | None = None, memory: Memory | None = None,
    ) -> None:  # fmt: skip
        """A server says yes. ``memory`` is that of the session that HELLO asks for, when it is resumed."""
        self._decide(now)
        chosen = self.peer.features & (self.config.features if features is None else features) & KNOWN_FEATURES
        terms = self._own_terms(min(expiry_ms, self.peer.expiry_ms), name)
        terms.features, terms.auth = chosen, auth
        if terms.expiry_ms:
            terms.session, terms.key = session, key
        if memory is not None:
            terms.received = memory.accepted
            self.memory = memory
        else:
            self.peer.received = None  # RES-3: what HELLO said is of a session that is gone
        try:
            self._check_received(self.peer)
        except Fault as fault:
            self._close(fault.code, fault.reason)
            return
        if terms.session is not None:
            self.memory.id, self.memory.key = session, key
        self._emit(Welcome(VERSION, terms))
        self._open(self.peer, chosen)
        self._pump()

    def _decide(self, now: float) -> None:
        self.tick(now)
        if self.state is not State.DECIDING:
            raise Blocked("state")

    # --- handshake, both -----------------------------------------------------------------------

    def _check_received(self, terms: Terms) -> None:
        """RES-6, before anything changes."""
        count = terms.received
        if count is not None and not self.memory.acked <= count <= self.memory.sent:
            raise Fault(Code.BAD_RESUME, f"received {count} of {self.memory.acked} to {self.memory.sent}")
