"""The compose file, the Procfile and the image agree with the worker pools, and give nobody a way in."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("${AGENTFLOW_IMAGE")]
SECRETS = ["AGENTFLOW_FLOWER_AUTH", "POSTGRES_PASSWORD", "VALKEY_PASSWORD"]


def worker_pools() -> list[str]:
    """The names of the worker pools."""
    return list(tomllib.loads((ROOT / "config" / "pools.toml").read_text())["pools"])


def procfile() -> dict[str, str]:
    """Command by process name."""
    lines = (ROOT / "Procfile").read_text().splitlines()
    return {name: command.strip() for name, _, command in (line.partition(":") for line in lines)}


def test_every_worker_pool_has_a_service_and_a_process() -> None:
    served = {
        name: service["command"] for name, service in SERVICES.items() if service.get("command", [""])[0] == "worker"
    }
    started = {name: command for name, command in procfile().items() if command.startswith("agentflow worker ")}
    assert served == {pool: ["worker", pool] for pool in worker_pools()}
    assert started == {pool: f"agentflow worker {pool}" for pool in worker_pools()}


def test_procfile_starts_what_the_compose_file_starts() -> None:
    composed = {name: "agentflow " + " ".join(SERVICES[name]["command"]) for name in OURS if name != "migrate"}
    assert procfile() == composed


@pytest.mark.parametrize("secret", SECRETS)
def test_secret_has_no_default(secret: str) -> None:
    uses = re.findall(r"\$\{" + secret + r"([^}]*)\}", (ROOT / "docker-compose.yml").read_text())
    assert uses
    assert all(use.startswith(":?") for use in uses)


def test_only_loopback_is_published() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert not [name for name, service in SERVICES.items() if "network_mode" in service]


@pytest.mark.parametrize("name", list(SERVICES))
def test_service_comes_back_after_a_crash(name: str) -> None:
    assert SERVICES[name]["restart"] == ("on-failure:5" if name == "migrate" else "unless-stopped")


@pytest.mark.parametrize("name", list(SERVICES))
def test_service_waits_for_others_in_a_way_they_can_end(name: str) -> None:
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        if wait["condition"] == "service_healthy":
            assert "test" in SERVICES[other]["healthcheck"]
        else:
            assert wait["condition"] == "service_completed_successfully"
            assert SERVICES[other]["restart"].startswith("on-failure")


@pytest.mark.parametrize("name", OURS)
def test_our_containers_run_with_no_privilege(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service


def test_named_volumes_are_the_declared_ones() -> None:
    mounts = [mount.partition(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])]
    assert {mount for mount in mounts if re.fullmatch(r"\w+", mount)} == set(COMPOSE["volumes"])


def test_compose_client_accepts_the_file() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not installed")
    values = os.environ | dict.fromkeys([*SECRETS, "AGENTFLOW_AGENTS"], "word")
    command = [docker, "compose", "--file", str(ROOT / "docker-compose.yml"), "config", "--format", "json"]
    shown = subprocess.run(command, env=values, capture_output=True, text=True, check=True, timeout=60)
    assert set(json.loads(shown.stdout)["services"]) == set(SERVICES)


def copied_into_the_image() -> list[str]:
    """What the Dockerfile copies from the repository."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


@pytest.mark.parametrize("source", copied_into_the_image())
def test_image_copies_what_exists_and_reaches_the_build(source: str) -> None:
    allowed = [
        line[1:].rstrip("/") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    ]
    assert (ROOT / source).exists()
    assert any(fnmatch.fnmatch(source, name) or source.startswith(f"{name}/") for name in allowed)


def test_image_runs_as_nobody_in_particular() -> None:
    last_stage = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (.+)$", last_stage, flags=re.MULTILINE) == ["10001:10001"]
    assert re.findall(r"^ENTRYPOINT (.+)$", last_stage, flags=re.MULTILINE) == ['["agentflow"]']
