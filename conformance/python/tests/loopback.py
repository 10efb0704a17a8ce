"""A small hub over loopback sockets, in a thread: enough of a server to try the client against."""

from __future__ import annotations

import secrets
import selectors
import socket
import threading
import time
from itertools import count

from bowline import frames, hello, scram
from bowline.flow import Memory
from bowline.frames import Request, Response, Result
from bowline.link import Blocked, Config, Event, Misuse
from bowline.session import Session
from bowline.topics import matches
from bowline.wire import Code, Kind, Status

from .pair import CountingEntropy


class Connection:
    """One socket and its session."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.session = Session("server", Config(max_requests=4), CountingEntropy(9), time.monotonic() * 1000)
        self.filters: dict[int, frames.Subscribe] = {}
        self.scram: scram.Server | None = None
        self.asked: dict[int, tuple[Connection, int]] = {}
        self.shut = False


class Hub:
    """``cut_after``: drops each connection after so many received publishes, without acknowledging the last."""

    def __init__(self, listener: socket.socket, password: str = "pencil") -> None:
        self.listener = listener
        self.verifier = scram.Verifier.of(password, b"0123456789abcdef")
        self.cut_after: int | None = None
        self.published: list[bytes] = []
        self.memories: dict[bytes, tuple[Memory, dict[int, frames.Subscribe]]] = {}
        self.connections: list[Connection] = []
        self.ids = count(1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and all sockets."""
        self._stop.set()
        self._thread.join()
        for connection in self.connections:
            connection.sock.close()
        self.listener.close()

    def _run(self) -> None:
        self.listener.setblocking(False)
        while not self._stop.is_set():
            with selectors.DefaultSelector() as selector:
                selector.register(self.listener, selectors.EVENT_READ)
                for connection in self.connections:
                    selector.register(connection.sock, selectors.EVENT_READ, connection)
                ready = selector.select(0.01)
            for key, _ in ready:
                if key.data is None:
                    self.connections.append(Connection(self.listener.accept()[0]))
                else:
                    self._read(key.data)
            for connection in list(self.connections):
                self._write(connection)

    def _read(self, connection: Connection) -> None:
        now = time.monotonic() * 1000
        try:
            data = connection.sock.recv(65_536)
        except OSError:
            data = b""
        if data:
            connection.session.receive(now, data)
        else:
            connection.session.receive_eof(now)
        while (event := connection.session.next_event()) is not None:
            self._event(connection, event, now)

    def _write(self, connection: Connection) -> None:
        data = connection.session.transmit(time.monotonic() * 1000)
        try:
            connection.sock.sendall(data)
            if connection.session.transport() == "shut" and not connection.shut:
                connection.shut = True
                connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            connection.session.receive_eof(time.monotonic() * 1000)
        if connection.session.transport() == "drop":
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        connection.sock.close()
        if connection in self.connections:
            self.connections.remove(connection)

    def _event(self, connection: Connection, event: Event, now: float) -> None:
        session, frame = connection.session, event.frame
        match frame:
            case hello.Hello():
                self._hello(connection, event, now)
            case hello.Auth():
                assert connection.scram is not None
                try:
                    self._welcome(connection, now, connection.scram.final(frame.data))
                except scram.ScramError:
                    session.refuse(now, Code.AUTH_FAILED, "wrong credentials")
            case frames.Subscribe():
                connection.filters[frame.id] = frame
                session.result(now, Result(Kind.SUBSCRIBE, frame.id))
            case frames.Unsubscribe():
                connection.filters.pop(frame.id, None)
                session.result(now, Result(Kind.UNSUBSCRIBE, frame.id))
            case frames.Publish():
                self._publish(connection, frame, now)
            case Request():
                self._request(connection, frame, now)
            case Response():
                asker, ident = connection.asked.pop(frame.id)
                asker.session.respond(now, Response(ident, frame.status, payload=frame.payload))

    def _hello(self, connection: Connection, event: Event, now: float) -> None:
        auth = event.fields["auth"]
        if auth["method"] == "scram":
            connection.scram = scram.Server(self.verifier, auth["data"], scram.nonce(secrets.token_bytes(18)))
            connection.session.challenge(now, connection.scram.first())
        elif auth["method"] == "password" and auth["password"] != b"pencil":
            connection.session.refuse(now, Code.AUTH_FAILED, "wrong credentials")
        else:
            self._welcome(connection, now, None)

    def _welcome(self, connection: Connection, now: float, auth: bytes | None) -> None:
        session = connection.session
        known = self.memories.get(session.peer.session or b"")
        if known is not None and known[0].key == session.peer.key:
            connection.filters = known[1]
            session.welcome(now, known[0].id, known[0].key, expiry_ms=60_000, auth=auth, memory=known[0])
        else:
            session.welcome(now, secrets.token_bytes(16), secrets.token_bytes(16), expiry_ms=60_000, auth=auth)
        if session.memory.id is not None:
            self.memories[session.memory.id] = (session.memory, connection.filters)

    def _publish(self, publisher: Connection, frame: frames.Publish, now: float) -> None:
        self.published.append(frame.payload)
        for connection in self.connections:
            for ident, sub in connection.filters.items():
                if not sub.serve and matches(sub.filter, frame.topic):
                    try:
                        connection.session.message(now, ident, frame.topic, frame.payload, frame.reliable)
                    except (Blocked, Misuse):
                        continue
        if self.cut_after is not None:
            self.cut_after -= 1
            if self.cut_after == 0:
                self.cut_after = None
                self._drop(publisher)

    def _request(self, asker: Connection, frame: Request, now: float) -> None:
        for connection in self.connections:
            for ident, sub in connection.filters.items():
                if sub.serve and matches(sub.filter, frame.topic):
                    number = next(self.ids)
                    connection.asked[number] = (asker, frame.id)
                    connection.session.request(now, Request(number, ident, 0, frame.topic, frame.payload))
                    return
        if frame.many:
            asker.session.respond(now, Response(frame.id, 0, True, b"one"))
            asker.session.respond(now, Response(frame.id, 0, True, b"two"))
            asker.session.respond(now, Response(frame.id, Status.OK))
        else:
            asker.session.respond(now, Response(frame.id, Status.NO_RESPONDER))


def tcp_hub() -> tuple[Hub, str]:
    """A hub on a free port of loopback."""
    listener = socket.create_server(("127.0.0.1", 0))
    return Hub(listener), f"127.0.0.1:{listener.getsockname()[1]}"


def unix_hub(path: str) -> tuple[Hub, str]:
    """A hub on a Unix socket."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen()
    return Hub(listener), f"unix:{path}"


