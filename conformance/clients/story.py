"""Four dialects' clients, users and access rules, and a server that is killed in between.

mosquitto_sub and paho-mqtt on one side, ``bowline pub`` and ``sub`` and a PRX1 client on the other: retained messages, QoS 1
and QoS 2, published before a ``kill -9`` and received after it.
"""

from __future__ import annotations

import subprocess
import sys
import unittest
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from paho.mqtt.enums import MQTTProtocolVersion

from server import Server, run
from with_mosquitto import Sub
from with_paho import Paho

sys.path.append(str(Path(__file__).resolve().parents[1] / "python"))

from prx1 import Client, Message, Refused  # noqa: E402

USERS = ("ann", "bob", "cat", "dan")

RULES = """
default = "deny"

[groups]
readers = ["ann", "bob", "cat", "dan"]

[[rule]]
allow = "publish"
topic = "story/%u/#"
user = ["bob", "cat", "dan"]

[[rule]]
allow = "subscribe"
group = "readers"
topic = "story/#"
"""


class Story(unittest.TestCase):
    """One after the other."""

    def setUp(self) -> None:
        directory = Path(self.enterContext(TemporaryDirectory(prefix="bowline-story-")))
        self.server = Server("--config", str(directory / "bowline.toml"))
        self.addCleanup(self.server.stop)
        users, self.rules = directory / "users.txt", directory / "access.toml"
        for number, user in enumerate(USERS):
            run("passwd", "-b", *(["-c"] if number == 0 else []), str(users), user, f"{user}'s secret")
        self.rules.write_text(RULES)
        (directory / "bowline.toml").write_text(
            f'[auth]\nanonymous = "never"\nusers_file = "{users}"\naccess_file = "{self.rules}"\n'
        )
        self.server.start()

    def ann(self, *arguments: str) -> Sub:
        """mosquitto_sub, with a session of its own."""
        login = ("-u", "ann", "-P", "ann's secret")
        return Sub("-t", "story/+/+", "-q", "2", *login, *arguments, port=self.server.port, version="mqttv5")

    def bob(self, name: str = "bob") -> Paho:
        """paho, connected."""
        client = Paho(self.server, MQTTProtocolVersion.MQTTv5, name, clean=False, again=True)
        client.client.username_pw_set("bob", "bob's secret")
        client.connect()
        self.addCleanup(client.client.loop_stop)
        self.addCleanup(client.client.disconnect)
        return client

    def cat(self, command: str, *arguments: str, status: int = 0) -> str:
        """``bowline pub`` or ``sub``."""
        login = ("-p", str(self.server.port), "-u", "cat", "-P", "cat's secret")
        return run(command, *login, *arguments, status=status)

    def dan(self) -> Client:
        """The PRX1 client, connected."""
        client = Client(f"127.0.0.1:{self.server.port}", "dan", "dan's secret", client_id="dan")
        client.connect()
        self.addCleanup(client.cut)
        return client

    def arrive(self, expected: set[tuple[str, str]], again: set[tuple[str, str]], take: Callable[[], tuple[str, str]]) -> None:
        """Takes messages until all that are expected have come, each once; of ``again`` others may come between."""
        missing = set(expected)
        while missing:
            came = take()
            self.assertIn(came, missing | (again - expected))
            missing.discard(came)

    def test_messages_of_all_reach_all_over_a_killed_server(self) -> None:
        # Three sessions that are to last, and then are away.
        session = ("-c", "-i", "ann")
        self.ann(*session, "-E").rest()
        bob = self.bob()
        bob.subscribe("story/#", 2)
        dan = self.dan()
        dan.subscribe("story/*", quality=1)
        # Everybody publishes: with QoS 1, 2, and to be retained.
        self.cat("pub", "-r", "story/cat/state", "on")
        self.cat("pub", "story/cat/event", "once")
        bob.publish("story/bob/two", "exactly", 2)
        bob.publish("story/bob/state", "here", 1, retain=True)
        dan.publish("story/dan/state", b"there", quality=1, retain=True)
        dan.publish("story/dan/event", b"at least", quality=1)
        published = {
            ("story/cat/state", "on"), ("story/cat/event", "once"), ("story/bob/two", "exactly"),
            ("story/bob/state", "here"), ("story/dan/state", "there"), ("story/dan/event", "at least"),
        }  # fmt: skip
        # Those who are there have it at once, with the QoS that their dialect has.
        at_bob = [bob.next_text() for _ in published]
        self.assertEqual({(topic, text) for topic, text, _ in at_bob}, published)
        self.assertEqual({qos for topic, _, qos in at_bob if topic == "story/bob/two"}, {2})
        at_dan = [dan.next_message(10) for _ in published]
        self.assertEqual({(m.topic, m.payload.decode()) for m in at_dan if m}, published)

        self.server.kill()
        with self.assertRaises(ConnectionError):
            dan.publish("story/dan/late", b"into the void", quality=1)
        bob.client.publish("story/bob/late", "meanwhile", 2)
        self.server.start()

        # Who was away has all of it now, once; what was under way at the end arrives too.
        dan.connect()
        self.assertEqual(dan.session, "dan", "the session is still there")
        dan.settle()
        bob.accepted.get(timeout=20)
        published |= {("story/dan/late", "into the void"), ("story/bob/late", "meanwhile")}
        # mosquitto_sub subscribes again, so that what is retained comes once more, and is told apart.
        retained = {("story/cat/state", "on"), ("story/bob/state", "here"), ("story/dan/state", "there")}
        lines = self.ann(*session, "-C", str(len(published) + len(retained))).rest()
        got = [tuple(line.split(" ", 3)) for line in lines]
        for flag, expected in (("0", published), ("1", retained)):
            came = [(topic, text) for topic, _, kept, text in got if kept == flag]
            self.assertEqual(sorted(came), sorted(expected), "each once")
        qualities = {topic: qos for topic, qos, _, _ in got}
        self.assertEqual((qualities["story/bob/two"], qualities["story/bob/late"], qualities["story/cat/event"]), ("2", "2", "1"))
        late = {("story/dan/late", "into the void"), ("story/bob/late", "meanwhile")}
        # What was to come at least once may do so again: its acknowledgement can have died with the server.
        again = published - late - {("story/bob/two", "exactly")}
        self.arrive(late, again, lambda: bob.next_text()[:2])
        self.arrive(late, published, lambda: _text(dan.next_message(10)))

        # What is retained outlived the server, for each dialect.
        fresh = self.bob("bob-2")
        fresh.subscribe("story/+/state", 1)
        self.assertEqual({fresh.next_text()[:2] for _ in retained}, retained)
        lines = self.cat("sub", "-v", "-C", "3", "-W", "20", "story/+/state").splitlines()
        self.assertEqual({tuple(line.split(" ", 1)) for line in lines}, retained)
        dan.subscribe("story/*/state", quality=1)
        kept = [dan.next_message(10) for _ in retained]
        self.assertEqual({_text(m) for m in kept}, retained)
        self.assertTrue(all(m.retain for m in kept if m))
        lines = self.ann("-C", "3").rest()
        self.assertEqual({(t, text) for t, _, flag, text in (tuple(line.split(" ", 3)) for line in lines) if flag == "1"}, retained)

    def test_the_rules_count_in_each_dialect(self) -> None:
        watcher = self.bob()
        watcher.subscribe("story/#", 1)
        self.cat("pub", "story/bob/forged", "x", status=1)
        dan = self.dan()
        # PRX1 has no way to say no: it is acknowledged, or the connection ends; and reaches nobody.
        try:
            dan.publish("story/bob/forged", b"x", quality=1)
        except ConnectionError:
            dan.unacknowledged.clear()
            dan.connect()
        self.assertTrue(watcher.publish("story/ann/forged", "x").is_failure)
        self.assertEqual(watcher.subscribe("other/#", 1), [0x87])
        self.cat("pub", "story/cat/true", "x")
        self.assertEqual(watcher.next_text()[0], "story/cat/true", "nothing forged came before it")
        with self.assertRaises(Refused):
            Client(f"127.0.0.1:{self.server.port}", "dan", "wrong").connect()
        for login in ((), ("-u", "ann", "-P", "wrong")):
            refused = subprocess.run(
                ["mosquitto_pub", "-p", str(self.server.port), "-t", "story/ann/x", "-m", "x", *login],
                capture_output=True, text=True, timeout=20,
            )  # fmt: skip
            self.assertNotEqual(refused.returncode, 0)
            self.assertRegex(refused.stderr, "[Nn]ot authori[sz]ed|[Bb]ad user")
        explained = run("check", "access", "--file", str(self.rules), "cat", "publish", "story/bob/forged", status=1)
        self.assertIn("denied", explained)


def _text(message: Message | None) -> tuple[str, str]:
    assert message is not None, "nothing came"
    return message.topic, message.payload.decode()


if __name__ == "__main__":
    unittest.main()
