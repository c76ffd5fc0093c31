"""The proxy: what each order does to connections that pass and to new ones."""

from __future__ import annotations

import os
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from urllib.parse import urlsplit

import pytest

from tests.chaos.doors import Doors
from tests.integration.workers.waiting import until


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with suppress(ConnectionError):
            while said := self.request.recv(65_536):
                self.request.sendall(said)


class EchoServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@pytest.fixture(scope="module")
def doors() -> Iterator[Doors]:
    with EchoServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"echo://user:p%40ss@127.0.0.1:{server.server_address[1]}/name"
        with Doors({"one": url, "other": url}) as running:
            yield running
        server.shutdown()


@pytest.fixture
def visitor(doors: Doors) -> Iterator[socket.socket]:
    with visit(doors, "one") as connection:
        assert echoed(connection, b"hello") == b"hello"
        yield connection
    doors.open("one")


def visit(doors: Doors, door: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", urlsplit(doors.url(door)).port), timeout=5)


def echoed(connection: socket.socket, said: bytes) -> bytes:
    connection.sendall(said)
    return connection.recv(65_536)


def test_a_url_keeps_its_login_and_its_path(doors: Doors) -> None:
    parts = urlsplit(doors.url("one"))

    assert (parts.username, parts.password, parts.path) == ("user", "p%40ss", "/name")


def test_a_megabyte_passes_both_ways_unchanged(visitor: socket.socket) -> None:
    sent, heard = os.urandom(1_000_000), b""
    threading.Thread(target=visitor.sendall, args=(sent,), daemon=True).start()

    while len(heard) < len(sent):
        heard += visitor.recv(65_536)

    assert heard == sent


def test_a_cut_resets_what_passes_and_lets_new_ones_in(doors: Doors, visitor: socket.socket) -> None:
    doors.cut("one")

    with pytest.raises(ConnectionError):
        echoed(visitor, b"anybody?")
    with visit(doors, "one") as again:
        assert echoed(again, b"again") == b"again"


def test_a_cut_of_one_door_leaves_the_other_alone(doors: Doors, visitor: socket.socket) -> None:
    with visit(doors, "other") as beside:
        doors.cut("one")

        assert echoed(beside, b"still here") == b"still here"


def test_a_refusing_door_resets_what_passes_and_refuses_new_ones_until_it_is_opened(
    doors: Doors, visitor: socket.socket
) -> None:
    doors.refuse("one")

    with pytest.raises(ConnectionError):
        echoed(visitor, b"anybody?")
    with pytest.raises(ConnectionRefusedError):
        visit(doors, "one")
    doors.open("one")
    with visit(doors, "one") as again:
        assert echoed(again, b"again") == b"again"


def test_what_is_held_arrives_once_the_door_is_opened(doors: Doors, visitor: socket.socket) -> None:
    doors.hold("one")
    visitor.sendall(b"late")
    visitor.settimeout(0.3)

    with pytest.raises(TimeoutError):
        visitor.recv(65_536)
    doors.open("one")
    visitor.settimeout(5)
    assert visitor.recv(65_536) == b"late"


def test_a_newcomer_at_a_held_door_waits_and_is_served_afterwards(doors: Doors) -> None:
    doors.hold("one")
    with visit(doors, "one") as newcomer:
        newcomer.sendall(b"patient")
        doors.open("one")

        assert newcomer.recv(65_536) == b"patient"


def test_a_delay_holds_up_each_direction(doors: Doors, visitor: socket.socket) -> None:
    doors.delay("one", 0.1)
    began = time.monotonic()

    assert echoed(visitor, b"slow") == b"slow"
    assert time.monotonic() - began >= 0.2


def test_what_the_server_hangs_up_is_hung_up_to_the_visitor(doors: Doors) -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    url = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
    with closing(silent), Doors({"silent": url}) as fronted, visit(fronted, "silent") as connection:
        silent.accept()[0].close()

        assert connection.recv(1) == b""


def test_the_proxy_ends_with_its_starter_and_leaves_no_process(doors: Doors) -> None:
    with Doors({"one": doors.url("one")}) as running:
        pid = running.pid
        assert alive(pid)

    until(lambda: not alive(pid), "the end of the proxy", timeout_s=5)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
