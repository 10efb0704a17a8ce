"""Runs the conformance vectors through the shim: ``python3 -m tests.run_vectors [FILE...]``.

Without files it takes ``../vectors/*.json``. Each vector runs three ways: octets whole, one by one, cut at random
places.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from bowline.shim import Shim, answer
from bowline.wire import Code, Kind, scan_varint

VECTORS = Path(__file__).resolve().parents[2] / "vectors"
TOKEN = re.compile(
    r"\{(?P<frame>[A-Z]+)(?: (?P<code>\w+))?\}|\{(?P<name>\w+)(?::(?P<size>\d+))?\}"
    r"|(?P<octet>\?\?|(?:[0-9a-fA-F]{2})+)(?:\*(?P<times>\d+))?|\s+"
)


class Failed(Exception):
    """The implementation did something else than the vector says."""


class Skipped(Exception):
    """The shim does not support it."""


def tokens(pattern: str) -> list[dict[str, str | None]]:
    """The parts of a pattern: ``0aff``, ``ff*20``, ``??``, ``{name:N}``, ``{name}``, ``{KIND}``, ``{CLOSE CODE}``."""
    found = list(TOKEN.finditer(pattern))
    if "".join(match.group() for match in found) != pattern:
        raise Skipped(f"pattern {pattern!r}")
    return [match.groupdict() for match in found if match.group().strip()]


def whole_frame(token: dict[str, str | None], given: bytes) -> bytes:
    """The frame that output begins with, when it is of the kind (and code) that is asked for."""
    found = scan_varint(given, 1) if given else None
    if found is None or given[0] >> 2 != Kind[token["frame"] or ""]:
        raise Failed(f"{given.hex() or 'nothing'} where {token['frame']} is expected")
    if token["code"] and given[found[1]] != Code[token["code"]]:
        raise Failed(f"closed with {Code.known(given[found[1]]).name}, not {token['code']}")
    return given[: found[1] + found[0]]


def check_octets(pattern: str, given: bytes, names: dict[str, bytes]) -> None:
    """Compares output with a pattern; named wildcards are remembered."""
    at = 0
    for token in tokens(pattern):
        if token["frame"]:
            at += len(whole_frame(token, given[at:]))
            continue
        name, octet = token["name"], token["octet"]
        if name:
            size = int(token["size"] or len(names.get(name, b"")))
        else:
            size = int(token["times"] or 1) * (len(octet or "") // 2)
        piece = given[at : at + size]
        if len(piece) < size:
            raise Failed(f"out is {given.hex()}, too short for {pattern}")
        if name and names.setdefault(name, piece) != piece:
            raise Failed(f"{{{name}}} is {piece.hex()}, was {names[name].hex()}")
        if octet and octet != "??" and piece != bytes.fromhex(octet) * int(token["times"] or 1):
            raise Failed(f"out is {given.hex()}, not {pattern}")
        at += size
    if at != len(given):
        raise Failed(f"out is {given.hex()}, not {pattern}")


def fill(pattern: str, names: dict[str, bytes]) -> bytes:
    """Input with remembered octets in it."""
    parts = []
    for token in tokens(pattern):
        name, octet = token["name"], token["octet"]
        if not name and not octet:
            raise Skipped(f"input {pattern!r}")
        parts.append(names[name] if name else bytes.fromhex(octet or "") * int(token["times"] or 1))
    return b"".join(parts)


PATTERN = re.compile(r"(?=.*[*{?])[0-9a-fA-F*{}:?\w ]+")


def filled(value: Any, names: dict[str, bytes]) -> Any:
    """A call, with the patterns in it (``ff*20``, ``{name}``) written out."""
    if isinstance(value, dict):
        return {key: filled(item, names) for key, item in value.items()}
    if isinstance(value, str) and PATTERN.fullmatch(value):
        try:
            return fill(value, names).hex()
        except (Skipped, KeyError):
            return value
    return value


def agrees(wanted: Any, given: Any) -> bool:
    """Only the members that are given are compared; hex without regard to spaces and case."""
    if isinstance(wanted, dict):
        if not isinstance(given, dict):
            return False
        return all(agrees(value, given.get(name)) for name, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(given, list) and len(wanted) == len(given) and all(map(agrees, wanted, given))
    if isinstance(wanted, str) and isinstance(given, str):
        return wanted == given or wanted.replace(" ", "").lower() == given
    return wanted in (None, False, 0, "") if given is None else wanted == given


class Run:
    """One vector, one way of cutting."""

    def __init__(self, vector: dict[str, Any], cut: str) -> None:
        self.vector = vector
        self.cut = cut
        self.rng = random.Random(vector["name"] + cut)
        self.names: dict[str, bytes] = {}
        self.shim: Shim | None = None
        self.last: dict[str, Any] = {}
        self.out = b""
        self.events: list[Any] = []

    def send(self, line: dict[str, Any]) -> None:
        """One line to the shim."""
        self.shim, result = answer(self.shim, json.loads(json.dumps(line)))
        if "unsupported" in result:
            raise Skipped(result["unsupported"])
        self.last = json.loads(json.dumps(result))
        self.out += bytes.fromhex(self.last["out"])
        self.events += self.last["events"]

    def pieces(self, data: bytes) -> list[bytes]:
        """The octets, cut in this run's way."""
        if self.cut == "whole" or not data:
            return [data]
        if self.cut == "octets":
            return [data[at : at + 1] for at in range(len(data))]
        ends = sorted(self.rng.sample(range(1, len(data)), min(3, len(data) - 1))) + [len(data)]
        return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def settled(self) -> None:
        """Before an input, and at the end: nothing unexpected is left."""
        if self.out:
            raise Failed(f"octets nobody expected: {self.out.hex()}")
        if self.events:
            raise Failed(f"events nobody expected: {self.events}")

    def run(self) -> None:
        """All steps."""
        setup = {key: self.vector[key] for key in ("dialect", "role", "config", "entropy") if key in self.vector}
        self.send({"new": setup})
        steps = self.vector["steps"]
        for index, step in enumerate(steps):
            try:
                self.step(step)
            except Failed as failed:
                raise Failed(f"step {index} {json.dumps(step)[:200]}: {failed}") from None
        self.settled()

    def step(self, step: dict[str, Any]) -> None:
        """One input or expectation."""
        if "in" in step:
            self.settled()
            self.feed(fill(step["in"], self.names))
        elif "at_ms" in step or "eof" in step or "call" in step:
            self.settled()
            self.send(filled(step, self.names))
        elif "out" in step:
            given, self.out = self.out, b""
            check_octets(step["out"], given, self.names)
        elif "event" in step:
            if not self.events:
                raise Failed("there is no event")
            event = self.events.pop(0)
            if not agrees(filled(step["event"], self.names), event):
                raise Failed(f"the event is {event}")
        elif "deadline" in step:
            self.check("deadline", step["deadline"])
        elif "fin" in step:
            self.check("fin", step["fin"])
        else:
            raise Skipped(f"step {step}")

    def feed(self, data: bytes) -> None:
        """Input in pieces; the output is polled after the last."""
        *first, last = self.pieces(data)
        for piece in first:
            assert self.shim is not None
            self.shim.session.receive(self.shim.now, piece)
        self.send({"in": last.hex()})

    def check(self, name: str, wanted: Any) -> None:
        """The deadline, or what is wanted of the transport."""
        given = self.last[name]
        if wanted and given and "by_ms" in wanted:
            wanted = {**wanted, "at_ms": given["at_ms"]}
            if given["at_ms"] > wanted.pop("by_ms"):
                raise Failed(f"{name} is {given}")
        if (wanted is None) != (given is None) or not agrees(wanted, given):
            raise Failed(f"{name} is {given}")


def run_vector(vector: dict[str, Any]) -> tuple[str, str]:
    """``passed``, ``failed`` or ``skipped``, and why."""
    for cut in ("whole", "octets", "random"):
        try:
            Run(vector, cut).run()
        except Skipped as skipped:
            return "skipped", str(skipped)
        except Failed as failed:
            return "failed", f"({cut}) {failed}"
    return "passed", ""


def load(files: list[Path]) -> list[dict[str, Any]]:
    """All vectors of these files."""
    vectors: list[dict[str, Any]] = []
    for file in files:
        content = json.loads(file.read_text("utf-8"))
        vectors += content.get("vectors", []) if isinstance(content, dict) else []
    return vectors


def main() -> int:
    """Prints what does not pass, then the counts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--only", default="", help="names that contain this")
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    for vector in load(options.files or sorted(VECTORS.glob("*.json"))):
        if options.only not in vector["name"]:
            continue
        outcome, why = run_vector(vector)
        counts[outcome] += 1
        if outcome != "passed":
            print(f"{outcome} {vector['name']} {vector.get('rules')}: {why}")
    print(dict(counts))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
