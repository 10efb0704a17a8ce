"""A Bowline server for the length of a test: started, killed, started again at the same address with the same data."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import deque
from pathlib import Path
from threading import Thread

PROGRAM = os.environ.get("BOWLINE", str(Path(__file__).resolve().parents[2] / "target/release/bowline"))
"""The program under test."""

START_S = 60.0
"""How long a server may take until it listens."""


class Failed(Exception):
    """The server, or a program beside it, did not do what it should."""


class Server:
    """A server process with a directory of its own."""

    def __init__(self, *arguments: str, **settings: str) -> None:
        """``arguments`` are for ``serve``; each setting is named as in the environment, without BOWLINE_."""
        self.directory = Path(tempfile.mkdtemp(prefix="bowline-clients-"))
        self.port = 0
        self.took = 0.0
        """Seconds from the start of the process until it said that it listens."""
        self.said = ""
        """What it said on standard output then."""
        self._arguments = arguments
        self._environment = os.environ | {f"BOWLINE_{name}": value for name, value in settings.items()}
        self._process: subprocess.Popen[str] | None = None
        self._log: deque[str] = deque(maxlen=200)
        self._readers: list[Thread] = []

    def start(self) -> None:
        """Returns when it listens; the second time at the port of the first."""
        began = time.monotonic()
        command = [PROGRAM, "serve", "--listen", f"127.0.0.1:{self.port}", "--data", str(self.directory / "data")]
        self._process = process = subprocess.Popen(
            [*command, *self._arguments], env=self._environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        self._readers = [Thread(target=self._log.extend, args=(process.stderr,), daemon=True)]
        self._readers[0].start()
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("try it:"):
                break
        self.took = time.monotonic() - began
        self.said = "".join(lines)
        found = re.search(r"127\.0\.0\.1:(\d+)", self.said)
        if found is None or self.took > START_S:
            raise Failed(f"the server did not start:\n{self.said}{self.log()}")
        self.port = int(found[1])
        self._readers.append(Thread(target=deque, args=(process.stdout, 0), daemon=True))
        self._readers[1].start()

    def kill(self) -> None:
        """As the power does: nothing is finished."""
        assert self._process is not None
        if self._process.poll() is not None:
            raise Failed(f"the server was gone already, with {self._process.returncode}:\n{self.log()}")
        self._process.kill()
        self._end()

    def stop(self) -> None:
        """Drains it, and removes its directory; whatever it was doing."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._end()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _end(self) -> None:
        assert self._process is not None
        self._process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()
        self._process = None

    def log(self) -> str:
        """The end of what it logged."""
        return "".join(self._log)

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Server:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def run(*arguments: str, status: int = 0, stdin: str = "") -> str:
    """Runs the program under test as a tool; what it wrote to standard output."""
    done = subprocess.run([PROGRAM, *arguments], input=stdin, capture_output=True, text=True, timeout=60)
    if done.returncode != status:
        raise Failed(f"{' '.join(arguments)}: ended with {done.returncode}, not {status}:\n{done.stderr}")
    return done.stdout
