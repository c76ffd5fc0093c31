"""Owns the driver's hold on the proxy's process: its doors by name, their URLs, the orders to them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from bench.processes import ROOT
from tests.chaos.door import HOST

_STOP_S = 5.0


class Doors:
    """A proxy in front of servers, given by name and URL, until the end of the `with` block or of this process."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = dict(urls)
        self._turn = threading.Lock()
        self._process: subprocess.Popen[str]
        self._ports: dict[str, int]

    def __enter__(self) -> Self:
        servers = [f"{name}={urlsplit(url).hostname}:{urlsplit(url).port}" for name, url in self._urls.items()]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.proxy", *servers],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._ports = json.loads(self._answer())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._process.communicate(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    @property
    def pid(self) -> int:
        """The proxy's process."""
        return self._process.pid

    def url(self, door: str) -> str:
        """A server's URL by way of its door."""
        parts = urlsplit(self._urls[door])
        login, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{login}{at}{HOST}:{self._ports[door]}"))

    def cut(self, door: str) -> None:
        """Reset every connection that passes."""
        self._order(door=door, order="cut")

    def delay(self, door: str, by_s: float) -> None:
        """Hold up everything that passes."""
        self._order(door=door, order="delay", by_s=by_s)

    def hold(self, door: str) -> None:
        """Let nothing pass until the door is opened."""
        self._order(door=door, order="hold")

    def refuse(self, door: str) -> None:
        """Reset every connection and take no new one until the door is opened."""
        self._order(door=door, order="refuse")

    def open(self, door: str) -> None:
        """Let everything pass again."""
        self._order(door=door, order="open")

    def _order(self, **order: str | float) -> None:
        with self._turn:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            assert self._answer() == "done"

    def _answer(self) -> str:
        assert self._process.stdout is not None
        said = self._process.stdout.readline().strip()
        assert said, "the proxy's process has ended"
        return said
