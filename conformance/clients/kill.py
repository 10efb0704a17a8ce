"""``kill -9`` of the server while publishers send QoS 1 and 2 to durable sessions: what was acknowledged is there.

    python3 kill.py                         10 rounds, and how fast it starts with 100,000 queued messages
    python3 kill.py --rounds 50
    python3 kill.py --start 1000000         half of them retained; no rounds

Half of the clients speak MQTT 3.1.1, half 5.0. Each publisher's messages count up on a topic for each QoS. Their ids, what
was acknowledged, and what a subscriber had received and not seen released, are kept here over all connections, so that
the end can be told exactly: nothing acknowledged lost, nothing twice at QoS 2, first deliveries in order.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter, defaultdict

from mqtt import Broken, Connection, Message, Sent, Session
from server import Server

WINDOW = 32
"""What a publisher has in flight."""

PATIENCE_S = 120.0
"""How long anything may take."""

GONE = (ConnectionError, asyncio.IncompleteReadError, OSError)
"""How a connection ends whose server was killed."""

ROOM = {
    "LIMITS__QUEUE_MESSAGES": "2000000", "LIMITS__QUEUE_BYTES": "2GiB", "LOG__LEVEL": "warn", "DRAIN__DEADLINE": "1s",
}
"""Nothing may be dropped here because a queue is full."""


class World:
    """What all clients share."""

    def __init__(self, server: Server, seed: int) -> None:
        self.server = server
        self.random = random.Random(seed)
        self.up = asyncio.Event()
        self.stopping = False
        """Publishers finish what is in flight, and begin nothing new."""
        self.acknowledged = 0
        self.progress = asyncio.Event()
        """Set at each acknowledgement."""
        self.connections = 0

    async def connected(self, session: Session) -> Connection:
        """Connects as soon as there is a server."""
        while True:
            await self.up.wait()
            try:
                connection = await session.connect(self.server.port)
            except GONE:
                # Killed meanwhile: whoever did that clears `up` before anything else can run.
                await asyncio.sleep(0)
                continue
            self.connections += 1
            return connection


class Publisher:
    """Counts up, alternately at QoS 1 and 2."""

    def __init__(self, world: World, name: int) -> None:
        self.world = world
        self.name = name
        self.session = Session(f"publisher-{name}", version=4 + name % 2)
        self.sent = {1: 0, 2: 0}
        self.acknowledged: dict[int, set[int]] = {1: set(), 2: set()}
        self.random = random.Random(world.random.random())

    async def run(self) -> None:
        """Until all is settled."""
        while True:
            connection = await self.world.connected(self.session)
            try:
                await self.serve(connection)
                return
            except GONE:
                connection.cut()

    async def serve(self, connection: Connection) -> None:
        """One connection: until it is lost, or all is settled."""
        unsettled = self.session.unsettled
        while True:
            while not self.world.stopping and len(unsettled) < WINDOW:
                qos = 1 + (self.sent[1] > self.sent[2])
                self.sent[qos] += 1
                connection.publish(f"kill/{self.name}/{qos}", b"%d" % self.sent[qos], qos)
            if not unsettled:
                return connection.cut()
            sent = await connection.receive()
            if isinstance(sent, Sent):
                self.acknowledged[sent.qos].add(int(sent.payload))
                self.world.acknowledged += 1
                self.world.progress.set()
            # A client may lose its connection too.
            if self.random.random() < 0.0005:
                raise ConnectionAbortedError


class Subscriber:
    """A durable session on all that is published, and what came to it."""

    def __init__(self, world: World, name: str, version: int, qos: int) -> None:
        self.world = world
        self.qos = qos
        self.session = Session(name, version=version)
        self.came: defaultdict[str, list[int]] = defaultdict(list)
        self.finished = asyncio.Event()
        """Set when the last message of each topic has come."""
        self.last: dict[str, int] = {}
        """What is still to come: known once the publishers are done."""

    async def begin(self) -> Connection:
        """Subscribes."""
        connection = await self.session.connect(self.world.server.port)
        await connection.subscribe("kill/#", self.qos)
        return connection

    async def run(self, connection: Connection | None = None) -> None:
        """Until all has come."""
        while True:
            if connection is None:
                connection = await self.world.connected(self.session)
            try:
                while not self.is_done():
                    message = await connection.receive()
                    if isinstance(message, Message):
                        self.came[message.topic].append(int(message.payload))
                return connection.cut()
            except GONE:
                connection.cut()
                connection = None

    def is_done(self) -> bool:
        """Whether the last one of each topic is there, and what came is released."""
        if not self.last or self.session.releasing:
            return False
        done = [topic for topic, last in self.last.items() if last in self.came[topic][-2 * WINDOW :]]
        for topic in done:
            del self.last[topic]
        return not self.last

    def faults(self, publishers: list[Publisher]) -> list[str]:
        """What is wrong with all that came."""
        faults = []
        for publisher in publishers:
            for qos, acknowledged in publisher.acknowledged.items():
                topic = f"kill/{publisher.name}/{qos}"
                came = self.came[topic]
                where = f"{self.session.client_id}, {topic}:"
                if lost := acknowledged - set(came):
                    faults.append(f"{where} {len(lost)} acknowledged messages lost, such as {min(lost)}")
                twice = [n for n, count in Counter(came).items() if count > 1]
                if twice and qos == 2 and self.qos == 2:
                    faults.append(f"{where} {len(twice)} messages of QoS 2 came twice, such as {twice[0]}")
                first = list(dict.fromkeys(came))
                if first != sorted(first):
                    at = next(n for n, after in zip(first, first[1:]) if after < n)
                    faults.append(f"{where} out of order: {at} came before a lower number")
        return faults


async def watched(tasks: list[asyncio.Task[None]], event: asyncio.Event | None = None) -> None:
    """Waits for the event, or for all tasks to end; whatever a task raises is raised here."""
    async with asyncio.timeout(PATIENCE_S):
        if event is None:
            await asyncio.gather(*tasks)
            return
        waiting = asyncio.create_task(event.wait())
        await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        for task in tasks:
            if task.done():
                task.result()


async def kill_and_start(world: World) -> float:
    """How long the start took."""
    world.up.clear()
    world.server.kill()
    await asyncio.to_thread(world.server.start)
    world.up.set()
    return world.server.took


async def rounds(options: argparse.Namespace) -> list[str]:
    """Kills it again and again; what was wrong at the end."""
    with Server(**ROOM) as server:
        world = World(server, options.seed)
        publishers = [Publisher(world, name) for name in range(options.publishers)]
        subscribers = [
            Subscriber(world, f"subscriber-{version}-{qos}", version, qos) for version in (4, 5) for qos in (1, 2)
        ]
        away = Subscriber(world, "away", 5, 2)
        tasks = [asyncio.create_task(subscriber.run(await subscriber.begin())) for subscriber in subscribers]
        (await away.begin()).cut()
        tasks += [asyncio.create_task(publisher.run()) for publisher in publishers]
        world.up.set()
        began, slowest = time.monotonic(), 0.0
        for number in range(options.rounds):
            target = world.acknowledged + world.random.randrange(options.least, 6 * options.least)
            while world.acknowledged < target:
                world.progress.clear()
                await watched(tasks, world.progress)
            slowest = max(slowest, await kill_and_start(world))
            if options.verbose:
                print(f"   round {number + 1}: {world.acknowledged} acknowledged, up in {server.took:.2f} s", flush=True)
        world.stopping = True
        await watched(tasks[len(subscribers) :])
        last = {f"kill/{p.name}/{qos}": p.sent[qos] for p in publishers for qos in (1, 2)}
        for subscriber in (*subscribers, away):
            subscriber.last = {topic: number for topic, number in last.items() if number}
        publishing = Session("end")
        connection = await publishing.connect(server.port)
        # Wakes those who had everything before they knew that it was the end.
        connection.publish("kill/end/1", b"1", 1)
        tasks.append(asyncio.create_task(away.run()))
        await watched(tasks[: len(subscribers)] + tasks[-1:])
        connection.cut()
        faults = [fault for subscriber in (*subscribers, away) for fault in subscriber.faults(publishers)]
        delivered = sum(map(len, away.came.values())) + sum(len(c) for s in subscribers for c in s.came.values())
        print(
            f"{options.rounds} kills under {options.publishers} publishers: {world.acknowledged} messages acknowledged, "
            f"{delivered} delivered to {len(subscribers) + 1} durable sessions over {world.connections} connections, "
            f"in {time.monotonic() - began:.1f} s; slowest start {slowest:.2f} s; {len(faults)} faults"
        )
        return faults


async def fill(connection: Connection, count: int, topics: str, retain: bool) -> None:
    """Publishes ``count`` messages of 64 octets at QoS 1, many in flight."""
    started = 0
    unsettled = connection.session.unsettled
    while started < count or unsettled:
        while started < count and len(unsettled) < 512:
            payload = b"%064d" % started
            if retain:
                connection.retain(f"{topics}/{started}", payload)
            else:
                connection.publish(topics, payload, 1)
            started += 1
        await connection.receive()


async def start_full(count: int, with_retained: bool, most: float) -> list[str]:
    """How long it takes to start with so many messages, and whether they are there."""
    with Server(**ROOM) as server:
        away = Session("away")
        connection = await away.connect(server.port)
        await connection.subscribe("queued", 1)
        connection.cut()
        queued, retained = (count // 2, count - count // 2) if with_retained else (count, 0)
        connection = await Session("filler").connect(server.port)
        began = time.monotonic()
        async with asyncio.timeout(1800):
            await fill(connection, queued, "queued", retain=False)
            await fill(connection, retained, "retained", retain=True)
        filled = time.monotonic() - began
        server.kill()
        server.start()
        began = time.monotonic()
        connection = await away.connect(server.port)
        connected = time.monotonic() - began
        faults = [] if server.took + connected <= most else [f"it took longer than {most} s to start"]
        async with asyncio.timeout(600):
            for expected in range(queued):
                message = await connection.receive()
                if not isinstance(message, Message) or message.payload != b"%064d" % expected:
                    faults.append(f"message {expected} of the queued ones came as {message}")
                    break
        connection.cut()
        if retained:
            fresh = await Session("fresh").connect(server.port)
            await fresh.subscribe("retained/+", 1)
            seen = set()
            async with asyncio.timeout(600):
                while len(seen) < retained:
                    message = await fresh.receive()
                    if isinstance(message, Message) and message.retain:
                        seen.add(message.topic)
            fresh.cut()
        print(
            f"start after kill -9 with {queued} queued and {retained} retained messages: {server.took:.2f} s until it "
            f"listens, {connected * 1000:.0f} ms to connect (filled at {count / filled:.0f} messages a second); all are there"
        )
        return faults


def main() -> int:
    """0 if nothing was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--publishers", type=int, default=20)
    parser.add_argument("--least", type=int, default=300, help="acknowledgements between two kills: this to six times it")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--start", type=int, help="only start with so many messages, half of them retained")
    parser.add_argument("--most", type=float, help="how long a start may take, in seconds (default 1; with --start, 5)")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    try:
        if options.start is not None:
            faults = asyncio.run(start_full(options.start, True, options.most or 5.0))
        else:
            # One who loses messages would have the second wait for them.
            faults = asyncio.run(rounds(options)) or asyncio.run(start_full(100_000, False, options.most or 1.0))
    except Broken as broken:
        faults = [str(broken)]
    for fault in faults[:20]:
        print(f"fault (seed {options.seed}): {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
