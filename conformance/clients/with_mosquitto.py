"""mosquitto_pub and mosquitto_sub, 2.x, in both versions of the protocol."""

from __future__ import annotations

import re
import subprocess
import unittest
from queue import Empty, Queue
from threading import Thread

from server import Server

SECONDS = 20
"""How long anything may take."""


class Sub:
    """A mosquitto_sub: what it receives, line by line."""

    def __init__(self, *arguments: str, port: int, version: str) -> None:
        line = "> %t %q %r %p"
        if "-F" in arguments:
            at = arguments.index("-F")
            line, arguments = "> " + arguments[at + 1], arguments[:at] + arguments[at + 2 :]
        # -d says when it is subscribed; stdbuf lets that through a pipe at once.
        command = ["stdbuf", "-oL", "mosquitto_sub", "-d", "-p", str(port), "-V", version, "-F", line, *arguments]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._early: list[str] = []
        """Messages that came before SUBACK."""
        self._lines: Queue[str | None] = Queue()
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()
        self.connack = self._await(r"received CONNACK \((\d+)\)")
        # A session that is gone on with may bring all that it waits for before that.
        self.granted = self._await(r"Subscribed \(mid: \d+\): (.*)|(?=sending DISCONNECT)")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def _line(self) -> str | None:
        try:
            return self._lines.get(timeout=SECONDS)
        except Empty:
            self._process.kill()
            raise AssertionError("nothing came for too long") from None

    def _await(self, pattern: str) -> str:
        seen = []
        while (line := self._line()) is not None:
            seen.append(line)
            if found := re.search(pattern, line):
                return found[1]
            if line.startswith("> "):
                self._early.append(line[2:])
        raise AssertionError(f"it ended without {pattern}: {seen}")

    def next(self) -> str:
        """The next message."""
        if self._early:
            return self._early.pop(0)
        return self._await("^> (.*)")

    def rest(self) -> list[str]:
        """What comes until it ends by itself."""
        lines, self._early = self._early, []
        while (line := self._line()) is not None:
            if line.startswith("> "):
                lines.append(line[2:])
        self._close()
        return lines

    def end(self) -> None:
        """DISCONNECT."""
        self._process.terminate()
        self.rest()

    def kill(self) -> None:
        """Without DISCONNECT."""
        self._process.kill()
        self.rest()

    def _close(self) -> None:
        self._process.wait(SECONDS)
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Common:
    """What both versions have."""

    version: str
    server: Server

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = Server()
        cls.server.start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.stop()

    def pub(self, *arguments: str, stdin: str = "", status: int = 0) -> str:
        """Runs mosquitto_pub; what it said."""
        command = ["mosquitto_pub", "-p", str(self.server.port), "-V", self.version, *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stdout + done.stderr

    def sub(self, *arguments: str) -> Sub:
        """Starts mosquitto_sub, and returns when it is subscribed."""
        return Sub(*arguments, port=self.server.port, version=self.version)

    def test_each_qos_reaches_each_subscriber_with_the_lower_one(self) -> None:
        subscribers = [self.sub("-t", "qos/+", "-q", str(qos), "-C", "3") for qos in range(3)]
        self.assertEqual([s.granted for s in subscribers], ["0", "1", "2"])
        for qos in range(3):
            self.pub("-t", f"qos/{qos}", "-m", f"at {qos}", "-q", str(qos))
        for granted, subscriber in enumerate(subscribers):
            self.assertEqual(subscriber.rest(), [f"qos/{qos} {min(qos, granted)} 0 at {qos}" for qos in range(3)])

    def test_retained_is_set_replaced_and_cleared(self) -> None:
        for value in ("closed", "open"):
            self.pub("-t", "door/state", "-m", value, "-r", "-q", "1")
        live = self.sub("-t", "door/#", "-q", "1")
        self.assertEqual(live.next(), "door/state 1 1 open")
        self.pub("-t", "door/state", "-m", "ajar", "-r", "-q", "2")
        self.assertEqual(live.next(), "door/state 1 0 ajar")
        self.pub("-t", "door/state", "-n", "-r", "-q", "1")
        self.assertEqual(live.next(), "door/state 1 0 ")
        live.end()
        late = self.sub("-t", "door/#")
        self.pub("-t", "door/bell", "-m", "ring")
        self.assertEqual(late.next(), "door/bell 0 0 ring", "nothing retained came first")
        late.end()

    def test_remove_retained(self) -> None:
        for n in range(3):
            self.pub("-t", f"clear/{n}", "-m", "x", "-r")
        clearing = self.sub("-t", "clear/#", "--remove-retained")
        # Each one, and the empty message that clears it, which comes back.
        seen = sorted(clearing.next() for _ in range(6))
        self.assertEqual(seen, sorted(f"clear/{n} 0 {end}" for n in range(3) for end in ("0 ", "1 x")))
        clearing.end()
        late = self.sub("-t", "clear/#")
        self.pub("-t", "clear/end", "-m", "x")
        self.assertEqual(late.next(), "clear/end 0 0 x")
        late.end()

    def test_will_goes_out_when_the_client_is_killed_and_not_when_it_leaves(self) -> None:
        watcher = self.sub("-t", "will/#", "-q", "2")
        will = ("--will-topic", "will/lost", "--will-payload", "gone", "--will-qos", "2", "--will-retain")
        # At SIGTERM mosquitto_sub asks for its will, in 5.0.
        self.sub("-t", "x", *will, "-E").rest()
        self.pub("-t", "will/none", "-m", "first")
        self.assertEqual(watcher.next(), "will/none 0 0 first")
        self.sub("-t", "x", *will).kill()
        self.assertEqual(watcher.next(), "will/lost 2 0 gone")
        watcher.end()
        self.assertEqual(self.sub("-t", "will/#", "-q", "2", "-C", "1").rest(), ["will/lost 2 1 gone"])

    def test_persistent_session_keeps_what_comes_while_it_is_away(self) -> None:
        session = ("-t", "kept/+", "-q", "2", "-c", "-i", f"keeper-{self.version}")
        self.sub(*session).end()
        for qos in (1, 2, 1):
            self.pub("-t", f"kept/{qos}", "-m", "for later", "-q", str(qos))
        # It prints a message of QoS 2 when that is released, so later than it came.
        self.assertEqual(
            sorted(self.sub(*session, "-C", "3").rest()),
            ["kept/1 1 0 for later", "kept/1 1 0 for later", "kept/2 2 0 for later"],
        )
        # Begun anew without -c, it is empty.
        fresh = self.sub("-t", "kept/#", "-i", f"keeper-{self.version}")
        self.pub("-t", "kept/now", "-m", "fresh")
        self.assertEqual(fresh.next(), "kept/now 0 0 fresh")
        fresh.end()

    def test_many_lines_arrive_whole_and_in_order(self) -> None:
        for qos in range(3):
            subscriber = self.sub("-t", f"lines/{qos}", "-q", str(qos), "-C", "1000", "-F", "%p")
            lines = [f"line {n}" for n in range(1000)]
            self.pub("-t", f"lines/{qos}", "-l", "-q", str(qos), stdin="\n".join(lines) + "\n")
            self.assertEqual(subscriber.rest(), lines)

    def test_shared_subscription_gives_each_message_to_one(self) -> None:
        topics = ("-t", "$share/team/jobs/#", "-t", "end", "-q", "1", "-F", "%p")
        members = [self.sub(*topics) for _ in range(2)]
        lines = [f"job {n}" for n in range(100)]
        self.pub("-t", "jobs/1", "-l", "-q", "1", stdin="\n".join(lines) + "\n")
        self.pub("-t", "end", "-m", "end", "-q", "1")
        shares = [list(iter(member.next, "end")) for member in members]
        for member in members:
            member.end()
        self.assertEqual(sorted(shares[0] + shares[1]), sorted(lines))
        for share in shares:
            self.assertGreaterEqual(len(share), 10, "both have worked")
            self.assertEqual(share, sorted(share, key=lines.index), "in order")

    def test_a_large_message_and_an_empty_one(self) -> None:
        subscriber = self.sub("-t", "size/#", "-q", "1", "-C", "2", "-F", "%l")
        self.pub("-t", "size/large", "-s", "-q", "1", stdin="x" * 500_000)
        self.pub("-t", "size/empty", "-n", "-q", "1")
        self.assertEqual(subscriber.rest(), ["500000", "0"])


class Version311(Common, unittest.TestCase):
    """MQTT 3.1.1."""

    version = "mqttv311"


class Version5(Common, unittest.TestCase):
    """MQTT 5.0."""

    version = "mqttv5"

    def test_properties_of_a_publish_reach_the_subscriber(self) -> None:
        subscriber = self.sub("-t", "props", "-q", "1", "-C", "1", "-F", "%C|%R|%D|%E|%P|%p")
        properties = {
            "content-type": "text/plain", "response-topic": "answers/1", "correlation-data": "42",
            "message-expiry-interval": "60", "payload-format-indicator": "1",
        }  # fmt: skip
        arguments = [part for name, value in properties.items() for part in ("-D", "publish", name, value)]
        for pair in (("a", "1"), ("b", "2"), ("a", "3")):
            arguments += ["-D", "publish", "user-property", *pair]
        self.pub("-t", "props", "-m", "all", "-q", "1", *arguments)
        [line] = subscriber.rest()
        kind, answer, correlation, expiry, users, payload = line.split("|")
        self.assertEqual((kind, answer, correlation, payload), ("text/plain", "answers/1", "42", "all"))
        self.assertIn(int(expiry), range(50, 61))
        self.assertEqual(users.split(), ["a:1", "b:2", "a:3"], "in order, repeated")

    def test_topic_alias(self) -> None:
        subscriber = self.sub("-t", "alias/topic", "-q", "1", "-C", "3", "-F", "%t %p")
        alias = ("-D", "publish", "topic-alias", "5")
        self.pub("-t", "alias/topic", "-l", "-q", "1", *alias, stdin="one\ntwo\nthree\n")
        self.assertEqual(subscriber.rest(), ["alias/topic one", "alias/topic two", "alias/topic three"])

    def test_subscription_identifier(self) -> None:
        subscriber = self.sub("-t", "sid/#", "-D", "subscribe", "subscription-identifier", "77", "-C", "1", "-F", "%S %p")
        self.pub("-t", "sid/1", "-m", "x")
        self.assertEqual(subscriber.rest(), ["77 x"])

    def test_session_expiry(self) -> None:
        keep = ("-t", "expiry/kept", "-q", "1", "-c", "-x", "300", "-i", "expiry-kept")
        lose = ("-t", "expiry/lost", "-q", "1", "-c", "-x", "0", "-i", "expiry-lost")
        for session in (keep, lose):
            self.sub(*session).end()
        for name in ("kept", "lost"):
            self.pub("-t", f"expiry/{name}", "-m", "old", "-q", "1")
        self.assertEqual(self.sub(*keep, "-C", "1").rest(), ["expiry/kept 1 0 old"])
        again = self.sub(*lose)
        self.pub("-t", "expiry/lost", "-m", "new", "-q", "1")
        self.assertEqual(again.next(), "expiry/lost 1 0 new")
        again.end()

    def test_will_properties_and_receive_maximum(self) -> None:
        watcher = self.sub("-t", "will5", "-q", "1", "-C", "1", "-F", "%C %P %p")
        self.sub(
            "-t", "x", "--will-topic", "will5", "--will-payload", "gone", "--will-qos", "1",
            "-D", "will", "content-type", "text/will", "-D", "will", "user-property", "k", "v",
            "-D", "connect", "receive-maximum", "3",
        ).kill()  # fmt: skip
        self.assertEqual(watcher.rest(), ["text/will k:v gone"])

    def test_will_delay_is_broken_off_by_coming_back(self) -> None:
        watcher = self.sub("-t", "delayed/#", "-q", "1")
        session = (
            "-t", "x", "-c", "-x", "300", "-i", "delayed", "--will-topic", "delayed/will", "--will-payload", "gone",
            "-D", "will", "will-delay-interval", "60",
        )  # fmt: skip
        self.sub(*session).kill()
        self.sub(*session).end()
        self.pub("-t", "delayed/end", "-m", "x", "-q", "1")
        self.assertEqual(watcher.next(), "delayed/end 1 0 x")
        watcher.end()

    def test_nobody_subscribed_is_said(self) -> None:
        said = self.pub("-t", "nobody/here", "-m", "x", "-q", "1", "-d")
        self.assertRegex(said, r"received PUBACK \(Mid: 1, RC:16\)")


if __name__ == "__main__":
    unittest.main()
