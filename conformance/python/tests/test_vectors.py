"""The conformance vectors, where they are there; and that the runner notices when an implementation differs."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

from .run_vectors import VECTORS, load, run_vector

ECHO: dict[str, Any] = {
    "name": "ping", "rules": ["KEE-3"], "level": "MUST", "role": "server",
    "steps": [
        {"in": "b0574c0a 00 02 01 01"}, {"event": {"hello": {}}}, {"call": {"welcome": {}}}, {"out": "{WELCOME}"},
        {"in": "14 08 61*8"}, {"out": "18 08 {token:8}"}, {"in": "14 08 {token}"}, {"out": "18 08 {token}"},
        {"at_ms": 5}, {"deadline": None}, {"eof": True}, {"event": {"closed": {"by": "transport"}}}, {"fin": "drop"},
    ],
}  # fmt: skip


class Vectors(unittest.TestCase):
    def test_all_that_are_there(self) -> None:
        vectors = load(sorted(VECTORS.glob("*.json")))
        if not vectors:
            self.skipTest(f"no vectors in {VECTORS}")
        outcomes = {vector["name"]: run_vector(vector) for vector in vectors}
        failed = {name: why for name, (outcome, why) in outcomes.items() if outcome == "failed"}
        self.assertEqual(failed, {})
        self.assertIn("passed", {outcome for outcome, _ in outcomes.values()})

    def test_the_runner_notices(self) -> None:
        self.assertEqual(run_vector(ECHO), ("passed", ""))
        for index, changed in (
            (1, {"event": {"auth": {}}}), (3, {"out": "{CLOSE}"}), (5, {"out": "18 08 62*8"}), (6, {"at_ms": 1}),
            (7, {"out": "18 08 {token} 00"}), (9, {"deadline": {"at_ms": 5}}), (12, {"fin": "open"}),
        ):  # fmt: skip
            vector = copy.deepcopy(ECHO)
            vector["steps"][index] = changed
            self.assertEqual(run_vector(vector)[0], "failed", changed)


class Process(unittest.TestCase):
    def test_shim_over_standard_input(self) -> None:
        lines: list[dict[str, Any]] = [
            {"in": "00"}, {"new": {"role": "client"}}, {"call": {"connect": {}}}, {"in": "040101"},
            {"call": {"fly": {}}}, {"new": {"role": "service"}}, {"new": {"role": "server", "dialect": "mqtt5"}},
        ]  # fmt: skip
        run = subprocess.run(
            [sys.executable, "-m", "bowline.shim"], input="\n".join(map(json.dumps, lines)), text=True,
            capture_output=True, check=True, timeout=30, cwd=Path(__file__).parents[1],
        )  # fmt: skip
        answers = [json.loads(line) for line in run.stdout.splitlines()]
        self.assertEqual(answers[2]["out"], "b0574c0a00020101")
        self.assertEqual(answers[3]["events"][0]["welcome"]["resumed"], False)
        self.assertEqual([("unsupported" in answer) for answer in answers], [True, False, False, False, True, True, True])


if __name__ == "__main__":
    unittest.main()
