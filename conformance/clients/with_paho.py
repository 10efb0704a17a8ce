"""paho-mqtt, the client in Python, in both versions of the protocol."""

from __future__ import annotations

import socket
import unittest
from itertools import count
from queue import Queue
from threading import Event

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from server import Server

SECONDS = 20
"""How long anything may take."""

NEVER = 0xFFFF_FFFF
Three = tuple[str, str, int]


def properties(kind: int, **values: object) -> Properties:
    """Properties by their names in paho."""
    made = Properties(kind)
    for name, value in values.items():
        setattr(made, name, value)
    return made


class Paho:
    """A paho client whose callbacks can be waited for."""

    def __init__(
        self, server: Server, version: MQTTProtocolVersion, name: str = "", *, clean: bool = True, again: bool = False,
        expiry: int = NEVER, transport: str = "tcp",
    ) -> None:  # fmt: skip
        self.messages: Queue[MQTTMessage] = Queue()
        self.granted: Queue[list[ReasonCode]] = Queue()
        self.connected: Queue[tuple[ConnectFlags, ReasonCode, Properties | None]] = Queue()
        self.accepted: Queue[tuple[int, ReasonCode]] = Queue()
        self.ended = Event()
        self._server, self._five, self._clean, self._expiry = server, version == MQTTProtocolVersion.MQTTv5, clean, expiry
        self.client = Client(
            CallbackAPIVersion.VERSION2, name, clean_session=None if self._five else clean, protocol=version,
            transport=transport, reconnect_on_failure=again,
        )  # fmt: skip
        self.client.reconnect_delay_set(min_delay=0, max_delay=1)
        self.client.on_connect = lambda _c, _d, flags, reason, props: self.connected.put((flags, reason, props))
        self.client.on_message = lambda _c, _d, message: self.messages.put(message)
        self.client.on_subscribe = lambda _c, _d, _mid, reasons, _props: self.granted.put(reasons)
        self.client.on_publish = lambda _c, _d, mid, reason, _props: self.accepted.put((mid, reason))
        self.client.on_disconnect = lambda *_: self.ended.set()

    def connect(self, **more: object) -> ConnectFlags:
        """Returns when CONNACK is there, which is a success."""
        if self._five:
            if not self._clean:
                more["SessionExpiryInterval"] = self._expiry
            self.client.connect(
                "127.0.0.1", self._server.port, clean_start=self._clean, properties=properties(PacketTypes.CONNECT, **more)
            )
        else:
            self.client.connect("127.0.0.1", self._server.port)
        self.client.loop_start()
        flags, reason, self.properties = self.connected.get(timeout=SECONDS)
        assert not reason.is_failure, reason
        return flags

    def subscribe(self, topic: str, qos: int = 0, **more: object) -> list[int]:
        """What SUBACK says."""
        if self._five and more:
            number = more.pop("identifier", None)
            props = properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=number) if number else None
            self.client.subscribe(topic, options=SubscribeOptions(qos, **more), properties=props)  # type: ignore[arg-type]
        else:
            self.client.subscribe(topic, qos)
        return [reason.value for reason in self.granted.get(timeout=SECONDS)]

    def publish(self, topic: str, payload: str | None, qos: int = 1, retain: bool = False, **more: object) -> ReasonCode:
        """Returns when it is settled."""
        props = properties(PacketTypes.PUBLISH, **more) if self._five else None
        info = self.client.publish(topic, payload, qos, retain, props)
        mid, reason = self.accepted.get(timeout=SECONDS)
        assert mid == info.mid
        return reason

    def next(self) -> MQTTMessage:
        """The next message."""
        return self.messages.get(timeout=SECONDS)

    def next_text(self) -> Three:
        """The next message: topic, payload, and its QoS."""
        message = self.next()
        return message.topic, message.payload.decode(), message.qos

    def cut(self) -> None:
        """Closes the socket under the client."""
        if (sock := self.client.socket()) is not None:
            try:
                getattr(sock, "_socket", sock).shutdown(socket.SHUT_RDWR)  # WebSockets are wrapped
            except OSError:
                pass  # It is being closed already.

    def die(self) -> None:
        """Ends without DISCONNECT."""
        self.cut()
        assert self.ended.wait(SECONDS)
        self.client.loop_stop()

    def end(self) -> None:
        """DISCONNECT."""
        self.client.disconnect()
        assert self.ended.wait(SECONDS)
        self.client.loop_stop()


class Common:
    """What both versions have."""

    version: MQTTProtocolVersion
    transport = "tcp"
    server: Server

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = Server()
        cls.server.start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.stop()

    def paho(self, name: str = "", **more: object) -> Paho:
        """A client that ends with the test."""
        client = Paho(self.server, self.version, name, transport=self.transport, **more)  # type: ignore[arg-type]
        self.addCleanup(client.client.loop_stop)
        self.addCleanup(client.client.disconnect)
        return client

    def connected(self, name: str = "", **more: object) -> Paho:
        """A client that is connected."""
        client = self.paho(name, **more)
        client.connect()
        return client

    def test_each_qos_reaches_each_subscriber_with_the_lower_one(self) -> None:
        subscribers = [self.connected() for _ in range(3)]
        for qos, subscriber in enumerate(subscribers):
            self.assertEqual(subscriber.subscribe("qos/+", qos), [qos])
        publisher = self.connected()
        for qos in range(3):
            publisher.publish(f"qos/{qos}", "x", qos)
        for granted, subscriber in enumerate(subscribers):
            # paho hands a message of QoS 2 out when it is released, so behind others.
            seen = sorted(subscriber.next_text() for _ in range(3))
            self.assertEqual(seen, [(f"qos/{qos}", "x", min(qos, granted)) for qos in range(3)])

    def test_retained_is_set_replaced_and_cleared(self) -> None:
        publisher, live = self.connected(), self.connected()
        for value in ("closed", "open"):
            publisher.publish("door/state", value, 1, retain=True)
        live.subscribe("door/#", 1)
        message = live.next()
        self.assertEqual((message.payload, message.retain), (b"open", True))
        publisher.publish("door/state", "ajar", 2, retain=True)
        message = live.next()
        self.assertEqual((message.payload, message.retain), (b"ajar", False))
        # In place of the same subscription, and it comes again.
        live.subscribe("door/#", 1)
        message = live.next()
        self.assertEqual((message.payload, message.retain), (b"ajar", True))
        publisher.publish("door/state", None, 1, retain=True)
        self.assertEqual(live.next().payload, b"")
        late = self.connected()
        late.subscribe("door/#")
        publisher.publish("door/bell", "ring")
        self.assertEqual(late.next_text(), ("door/bell", "ring", 0))

    def test_will_goes_out_when_the_connection_is_lost_and_not_when_it_is_ended(self) -> None:
        watcher = self.connected()
        watcher.subscribe("will/#", 1)
        for how in (Paho.end, Paho.die):
            client = self.paho()
            client.client.will_set("will/lost", how.__name__, 1, retain=True)
            client.connect()
            how(client)
        self.assertEqual(watcher.next_text(), ("will/lost", "die", 1))
        late = self.connected()
        late.subscribe("will/#")
        self.assertTrue(late.next().retain)

    def test_persistent_session(self) -> None:
        name = f"keeper-{self.version}"
        away = self.paho(name, clean=False)
        self.assertFalse(away.connect().session_present)
        away.subscribe("kept/+", 2)
        away.end()
        publisher = self.connected()
        for qos in (1, 2):
            publisher.publish(f"kept/{qos}", "for later", qos)
        back = self.paho(name, clean=False)
        self.assertTrue(back.connect().session_present)
        self.assertEqual(sorted(back.next_text() for _ in range(2)), [(f"kept/{q}", "for later", q) for q in (1, 2)])
        back.end()
        fresh = self.paho(name)
        self.assertFalse(fresh.connect().session_present)
        fresh.end()
        again = self.paho(name, clean=False)
        self.assertFalse(again.connect().session_present, "a clean start has ended the old one")

    def test_a_second_connection_takes_the_session_over(self) -> None:
        name = f"taken-{self.version}"
        first = self.connected(name)
        second = self.connected(name)
        self.assertTrue(first.ended.wait(SECONDS))
        second.publish("taken/over", "x")

    def test_shared_subscription_gives_each_message_to_one(self) -> None:
        members = [self.connected() for _ in range(3)]
        for member in members:
            member.subscribe("$share/team/jobs/#", 1)
            member.subscribe("end", 1)
        publisher = self.connected()
        for n in range(99):
            publisher.publish("jobs/1", str(n))
        publisher.publish("end", "")
        shares = [[int(text) for _, text, _ in iter(member.next_text, ("end", "", 1))] for member in members]
        self.assertEqual(sorted(sum(shares, [])), list(range(99)))
        for share in shares:
            self.assertGreater(len(share), 10, "all have worked")
            self.assertEqual(share, sorted(share))

    def test_unsubscribe(self) -> None:
        client = self.connected()
        client.subscribe("un/#", 1)
        done = Event()
        client.client.on_unsubscribe = lambda *_: done.set()
        client.client.unsubscribe("un/#")
        self.assertTrue(done.wait(SECONDS))
        client.subscribe("end")
        client.publish("un/1", "nobody")
        client.publish("end", "x")
        self.assertEqual(client.next_text(), ("end", "x", 0))

    def integrity(self, qos: int) -> tuple[list[int], int]:
        """What came of 1,000 messages while both sides lose their connections, and how often they did."""
        topic = f"whole/{self.version}/{qos}"
        subscriber = self.paho(f"sub-{self.version}-{qos}", clean=False, again=True)
        subscriber.connect()
        subscriber.subscribe(topic, qos)
        subscriber.subscribe("end", qos)
        publisher = self.paho(f"pub-{self.version}-{qos}", clean=False, again=True)
        accepted = 0
        done = Event()

        def settled(*_: object) -> None:
            nonlocal accepted
            accepted += 1
            if accepted == 1000:
                done.set()
            elif accepted % 90 == 0:
                publisher.cut()

        deliveries = count(1)

        def came(_client: Client, _data: object, message: MQTTMessage) -> None:
            subscriber.messages.put(message)
            # By their count: one that comes again must not cut again.
            if next(deliveries) % 70 == 0:
                subscriber.cut()

        publisher.client.on_publish = settled
        subscriber.client.on_message = came
        publisher.connect()
        for n in range(1000):
            publisher.client.publish(topic, str(n), qos)
        seen: list[int] = []
        while len(set(seen)) < 1000:
            seen.append(int(subscriber.next().payload))
        self.assertTrue(done.wait(SECONDS))
        publisher.client.publish("end", "x", qos)
        # What was still on its way comes before that.
        seen.extend(int(text) for _, text, _ in iter(subscriber.next_text, ("end", "x", qos)))
        return seen, subscriber.connected.qsize() + publisher.connected.qsize()

    def test_1000_messages_at_qos_1_over_lost_connections(self) -> None:
        seen, cuts = self.integrity(1)
        self.assertGreater(cuts, 3, "what is in the buffers is still read, so not each cut counts")
        self.assertEqual(list(dict.fromkeys(seen)), list(range(1000)), "all, first deliveries in order")

    def test_1000_messages_at_qos_2_over_lost_connections(self) -> None:
        seen, cuts = self.integrity(2)
        self.assertGreater(cuts, 3, "what is in the buffers is still read, so not each cut counts")
        self.assertEqual(seen, list(range(1000)), "each once, in order")


class Version311(Common, unittest.TestCase):
    """MQTT 3.1.1."""

    version = MQTTProtocolVersion.MQTTv311


class Version5(Common, unittest.TestCase):
    """MQTT 5.0."""

    version = MQTTProtocolVersion.MQTTv5

    def test_properties_of_a_publish_reach_the_subscriber(self) -> None:
        client = self.connected()
        client.subscribe("props/#", 1, identifier=268_435_455, noLocal=False)
        pairs = [("a", "1"), ("b", "2"), ("a", "3")]
        client.publish(
            "props/1", "all", ContentType="text/plain", ResponseTopic="answers/1", CorrelationData=b"\0\xff",
            MessageExpiryInterval=60, PayloadFormatIndicator=1, UserProperty=pairs,
        )  # fmt: skip
        got = client.next().properties
        self.assertEqual(got.UserProperty, pairs, "in order, repeated")
        self.assertEqual((got.ContentType, got.ResponseTopic, got.CorrelationData), ("text/plain", "answers/1", b"\0\xff"))
        self.assertIn(got.MessageExpiryInterval, (59, 60))
        self.assertEqual((got.PayloadFormatIndicator, got.SubscriptionIdentifier), (1, [268_435_455]))

    def test_options_of_a_subscription(self) -> None:
        client, other = self.connected(), self.connected()
        client.subscribe("own/#", 1, noLocal=True)
        client.publish("own/1", "not to me")
        other.publish("own/2", "from another")
        self.assertEqual(client.next_text()[0], "own/2")
        client.publish("opt/kept", "value", retain=True)
        for handling, comes in ((0, True), (1, False), (0, True), (2, False)):
            client.subscribe("opt/#", 1, retainAsPublished=True, retainHandling=handling)
            client.publish("opt/live", str(handling), retain=True)
            seen = [client.next()]
            while seen[-1].topic != "opt/live" or seen[-1].payload != str(handling).encode():
                seen.append(client.next())
            self.assertEqual("opt/kept" in [message.topic for message in seen], comes, f"retain handling {handling}")
            self.assertTrue(all(message.retain for message in seen), "retain as published")

    def test_topic_alias(self) -> None:
        client = self.connected()
        self.assertGreater(client.properties.TopicAliasMaximum, 0)
        client.subscribe("alias/#", 1)
        client.publish("alias/topic", "one", TopicAlias=1)
        client.publish("", "two", TopicAlias=1)
        self.assertEqual([client.next_text()[:2] for _ in range(2)], [("alias/topic", "one"), ("alias/topic", "two")])

    def test_assigned_client_id_and_reasons(self) -> None:
        client = self.connected()
        self.assertTrue(client.properties.AssignedClientIdentifier)
        self.assertEqual(client.publish("nobody/here", "x").value, 16, "no matching subscribers")

    def test_session_expiry(self) -> None:
        for expiry, kept in ((300, True), (0, False)):
            name = f"expiry-{expiry}"
            first = self.paho(name, clean=False, expiry=expiry)
            first.connect()
            first.end()
            self.assertEqual(self.paho(name, clean=False).connect().session_present, kept)

    def test_will_with_properties_and_delay(self) -> None:
        watcher = self.connected()
        watcher.subscribe("will5/#", 1)
        for name, delay in (("late", 60), ("now", 0)):
            client = self.paho(f"will5-{name}", clean=False)
            props = properties(PacketTypes.WILLMESSAGE, WillDelayInterval=delay, UserProperty=[("k", name)])
            client.client.will_set("will5/lost", name, 1, properties=props)
            client.connect()
            client.die()
        message = watcher.next()
        self.assertEqual((message.payload, message.properties.UserProperty), (b"now", [("k", "now")]))

    def test_disconnect_with_will(self) -> None:
        watcher = self.connected()
        watcher.subscribe("bye", 1)
        client = self.paho()
        client.client.will_set("bye", "on purpose", 1)
        client.connect()
        client.client.disconnect(ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message"))
        self.assertEqual(watcher.next_text(), ("bye", "on purpose", 1))

    def test_request_and_response(self) -> None:
        asker, answerer = self.connected(), self.connected()
        asker.subscribe("answers/asker", 1)
        answerer.subscribe("questions", 1)
        asker.publish("questions", "6 x 7", ResponseTopic="answers/asker", CorrelationData=b"q1")
        question = answerer.next().properties
        answerer.publish(question.ResponseTopic, "42", CorrelationData=question.CorrelationData)
        answer = asker.next()
        self.assertEqual((answer.payload, answer.properties.CorrelationData), (b"42", b"q1"))

    def test_receive_maximum_and_maximum_packet_size(self) -> None:
        client = self.paho(clean=False, name="small")
        client.connect(ReceiveMaximum=2, MaximumPacketSize=200)
        client.subscribe("small/#", 1)
        publisher = self.connected()
        publisher.publish("small/1", "x" * 1000)
        for n in range(10):
            publisher.publish("small/2", str(n))
        self.assertEqual([client.next_text()[1] for _ in range(10)], [str(n) for n in range(10)], "without the large one")


class Version311OverWebSocket(Version311):
    """MQTT 3.1.1 over WebSocket."""

    transport = "websockets"


class Version5OverWebSocket(Version5):
    """MQTT 5.0 over WebSocket."""

    transport = "websockets"


if __name__ == "__main__":
    unittest.main()
