"""Owns a model server in a process of its own, which plays a script and takes its time for each answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agentflow.llm.server import __spec__ as _server
from bench.figures import Broken
from bench.processes import ROOT


@contextmanager
def model_server(folder: Path, answers: Sequence[str | Mapping[str, Any]], latency_s: float) -> Iterator[str]:
    """Serve for as long as the block takes; yield what AGENTFLOW_LLM_BASE_URL has to be."""
    script = folder / "script.json"
    script.write_text(json.dumps({"scripts": [{"answers": list(answers)}]}), encoding="utf-8")
    command = [sys.executable, "-m", _server.name, "--script", str(script), "--latency-ms", str(latency_s * 1000)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            base_url = process.stdout.readline().strip()
            if not base_url:
                raise Broken("the model server did not start")
            yield base_url
        finally:
            process.terminate()
