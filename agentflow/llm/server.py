"""A model server on this machine: `python -m agentflow.llm.server --port-file F --script F.json | --recording F.jsonl`.

In a test it is a context manager: `with ModelServer(scripted("hello")) as server: ... server.base_url ...`
"""

from __future__ import annotations

import argparse
import socket
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn

from agentflow.domain.errors import ConfigError
from agentflow.llm.completions import CompletionsApp
from agentflow.llm.protocol import ModelClient
from agentflow.llm.recorded import recorded
from agentflow.llm.request_log import RequestLog
from agentflow.llm.script_file import read_scripts


class ModelServer:
    """Speaks OpenAI's protocol for one model. It can be connected to from the moment it is made."""

    def __init__(
        self,
        model: ModelClient,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        latency_s: float = 0.0,
        log: Path | None = None,
    ) -> None:
        self._log = RequestLog(log) if log else None
        self._socket = _listen(host, port)
        app = CompletionsApp(model, latency_s, self._log).routes()
        config = uvicorn.Config(
            app, lifespan="off", ws="none", access_log=False, log_level="warning", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.serve, name="model-server", daemon=True)
        self.host, self.port = host, self._socket.getsockname()[1]

    @property
    def base_url(self) -> str:
        """What AGENTFLOW_LLM_BASE_URL has to be."""
        return f"http://{self.host}:{self.port}/v1"

    def serve(self) -> None:
        """Answer until told to stop: by a signal in the main thread, by the end of the `with` in a test."""
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._socket.close()
            if self._log is not None:
                self._log.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)


def _listen(host: str, port: int) -> socket.socket:
    # The protocol is named because asyncio sets TCP_NODELAY on no other socket: each answer would take 40 ms longer.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(512)
    except OSError:
        listening.close()
        raise
    return listening


def read_model(arguments: argparse.Namespace) -> ModelClient:
    """The model that the command line asks for."""
    return recorded(arguments.recording) if arguments.recording else read_scripts(arguments.script)


def write_port(path: Path, port: int) -> None:
    """Write the port so that a reader finds it whole or not at all."""
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.write_text(f"{port}\n", encoding="utf-8")
    unfinished.replace(path)


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 2 for files that cannot be used."""
    chosen = _parser().parse_args(arguments)
    try:
        model = read_model(chosen)
        server = ModelServer(
            model, host=chosen.host, port=chosen.port, latency_s=chosen.latency_ms / 1000, log=chosen.log
        )
    except (ConfigError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    if chosen.port_file is not None:
        write_port(chosen.port_file, server.port)
    print(server.base_url, flush=True)
    server.serve()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m agentflow.llm.server", description="Serve a scripted model.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--script", type=Path, metavar="F.json", help="scripts, one per customer")
    source.add_argument("--recording", type=Path, metavar="F.jsonl", help="recorded conversations")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--port-file", type=Path, help="where to write the port that was taken")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="how long each answer takes")
    parser.add_argument("--log", type=Path, metavar="F.jsonl", help="append each request to this file")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
