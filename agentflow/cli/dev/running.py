"""The beginning and the end of `agentflow dev`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from agentflow.cli.dev.alone import alone_in
from agentflow.cli.dev.child import Program
from agentflow.cli.dev.edits import Edits
from agentflow.cli.dev.events import Ready, Reload, Restart
from agentflow.cli.dev.greeting import Facts, greeting
from agentflow.cli.dev.model import SCRIPT, SERVER, ScriptedServer, scripted_server
from agentflow.cli.dev.probe import Probe, Probed
from agentflow.cli.dev.readiness import call_when_ready
from agentflow.cli.dev.screen import Screen
from agentflow.cli.dev.stack import Stack
from agentflow.cli.dev.window import Flower, choose_flower
from agentflow.cli.dev.wishes import Wishes
from agentflow.domain.errors import ConfigError, DeclarationError
from agentflow.services import Services, connected
from agentflow.settings import Settings, settings
from agentflow.store import schema
from agentflow.store.database import Database

_COMMANDS = "agentflow"


def run_stack(wishes: Wishes) -> int:
    """Run everything until a person ends it; return the exit code."""
    began = time.monotonic()
    configured = settings()
    if not configured.agent_modules:
        raise ConfigError(
            "AGENTFLOW_AGENTS is not set: name the modules that declare your agents in .env (a project of "
            "`agentflow init` has .env.example to copy)"
        )
    flower = choose_flower(wishes.flower_port) if wishes.flower else None
    probe = Probe()
    try:
        with alone_in(configured.data_dir), connected(configured) as services:
            schema.upgrade(services.database_url, configured.db_schema)
            probed = probe.result()
            if probed.error:
                raise DeclarationError(probed.error)
            return _Run(wishes, configured, services, probed, flower, began).run()
    finally:
        probe.end()


class _Run:
    """One run of the stack."""

    def __init__(
        self,
        wishes: Wishes,
        configured: Settings,
        services: Services,
        probed: Probed,
        flower: Flower | None,
        began: float,
    ) -> None:
        self._configured = configured
        self._services = services
        self._probed = probed
        self._flower = flower
        self._began = began
        self._model = scripted_server()
        self._facts = Facts(probed, services.embedded, configured.data_dir, self._model, flower)
        self._screen = Screen([*probed.pools, "beat", "flower", SERVER])
        self._environment = _environment(configured, self._model, coloured=self._screen.coloured)
        self._stack = Stack(self._screen, self._say_ready, self._await_ready)
        self._edits = Edits(self._edited) if wishes.reload else None

    def run(self) -> int:
        """Start the children and answer to what happens until the end."""
        if self._model:
            self._stack.add(self._model.program)
        for program in self._workers(self._probed):
            self._stack.add(program, is_worker=True)
        self._stack.add(self._program("beat", "--log-level", "warning"))
        if self._flower:
            self._stack.add(self._program("flower", "--log-level", "warning", beside=self._flower.environment))
        if self._edits:
            self._edits.watch(self._watched(self._probed))
        try:
            return self._stack.run()
        finally:
            if self._edits:
                self._edits.stop()

    def _program(self, *arguments: str, beside: Callable[[], Mapping[str, str]] = dict) -> Program:
        return Program(arguments[0], _COMMANDS, arguments, lambda: {**self._environment, **beside()})

    def _workers(self, probed: Probed) -> list[Program]:
        names = [name for name, queues in probed.pools.items() if queues]
        return [Program(name, _COMMANDS, ("worker", name, "--name", name), lambda: self._environment) for name in names]

    def _await_ready(self, stack: Stack) -> None:
        database = Database(
            self._services.database_url, schema=self._configured.db_schema, application="agentflow dev", pool=1
        )
        call_when_ready(database, stack.worker_pids, self._flower_port, lambda: stack.events.put(Ready()))

    def _flower_port(self) -> int | None:
        return self._flower.port if self._flower else None

    def _edited(self, names: list[str]) -> None:
        because = f"{', '.join(names)} changed"
        if self._model and str(SCRIPT) in names:
            self._stack.events.put(Restart(because, SERVER))
        if names == [str(SCRIPT)]:
            return
        probed = Probe().result()
        if self._edits:
            self._edits.any_module = probed.error is not None
        if probed.error:
            self._screen.say(f"{because}, and the workers go on as they were: {probed.error}")
            return
        if self._edits:
            self._edits.watch(self._watched(probed))
        self._stack.events.put(Reload(because, self._workers(probed)))

    def _watched(self, probed: Probed) -> set[Path]:
        return {*probed.files, *([SCRIPT.resolve()] if self._model else [])}

    def _say_ready(self) -> None:
        self._screen.show(*greeting(self._screen.bold, self._facts, time.monotonic() - self._began))


def _environment(configured: Settings, model: ScriptedServer | None, *, coloured: bool) -> Mapping[str, str]:
    # No URLs of embedded servers: each child holds them itself, so that it can finish its step when dev is killed.
    environment = {
        "AGENTFLOW_DATA_DIR": str(configured.data_dir.absolute()),
        "AGENTFLOW_LOG_FORMAT": configured.log_format or "console",
        "PYTHONUNBUFFERED": "1",
    }
    if coloured:
        environment["FORCE_COLOR"] = "1"
    if model:
        environment["AGENTFLOW_LLM_BASE_URL"] = model.base_url
    return environment
