"""Where a command runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentflow.cli.environment import read_dotenv
from agentflow.domain.errors import ConfigError


def test_dotenv_fills_in_and_the_real_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("AF_TEST_ONE=file\nAF_TEST_TWO='file two'\n# a comment\n", encoding="utf-8")
    monkeypatch.setenv("AF_TEST_ONE", "real")
    monkeypatch.setenv("AF_TEST_TWO", "taken back after the test")
    monkeypatch.delenv("AF_TEST_TWO")
    read_dotenv(tmp_path)
    assert (os.environ["AF_TEST_ONE"], os.environ["AF_TEST_TWO"]) == ("real", "file two")


def test_folder_without_one_changes_nothing(tmp_path: Path) -> None:
    before = dict(os.environ)
    read_dotenv(tmp_path)
    assert dict(os.environ) == before


def test_one_that_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=\xff\xfe")
    with pytest.raises(ConfigError, match=r"\.env' cannot be read"):
        read_dotenv(tmp_path)
