"""What a command may be given: one line on stderr and nothing written, or a row that the commands show again.

The commands run in this process, on the program's own entry, so that there is room for many.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentflow import Agent, Pipeline, tool
from agentflow.cli import program
from agentflow.settings import settings as settings_of_this_process
from agentflow.testing import Harness, call, scripted
from tests.integration.asked import approval_id, asking, begun
from tests.integration.cli_commands import Project
from tests.integration.hard_json import REFUSED, anything, nested, read_as, same
from tests.integration.readback import count_runs, read_everything

HALF = os.fsdecode(b"\xff")
"""What Python makes of a byte in an argument that is no UTF-8."""

CLOSED = "redis://127.0.0.1:1/0"
UNKNOWN = "0f6f8a52-3d0e-4b6a-9d0c-6f3f5f0e7a11"


@tool(effect="read")
def echo(value: Any = None) -> Any:
    """Say it again."""
    return value


@tool(effect="unsafe")
def ship(value: Any = None) -> Any:
    """Ship something."""
    return value


anything_goes = Pipeline("anything", [echo])
numbers = Pipeline("numbers", [echo], input=dict[str, int])
texts = Agent("texts", model="openai:gpt-4o-mini", tools=[echo], input=str)
shipping = Pipeline("shipping", [ship])


@dataclass(frozen=True)
class Shell:
    """The commands on one database, in this process."""

    harness: Harness
    monkeypatch: pytest.MonkeyPatch

    def run(self, *arguments: str, stdin: bytes | str = b"") -> tuple[int, str, str]:
        """Run a command; return its exit code and what it wrote to stdout and stderr."""
        data = stdin if isinstance(stdin, bytes) else stdin.encode()
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
        with self.monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            code = program.run(arguments)
        written = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]
        return code, written[0], written[1]

    def refusal(self, *arguments: str, stdin: bytes | str = b"") -> str:
        """Return the one line of a command that is refused."""
        code, out, err = self.run(*arguments, stdin=stdin)
        assert (code, out) in {(1, ""), (2, "")}, (code, out, err)
        [line] = err.splitlines()
        assert line.startswith("agentflow: ")
        assert len(line) < 600
        return line

    def submit(self, *arguments: str, stdin: bytes | str = b"") -> str:
        """Submit a run and return its id: all that is written where scripts read, though there is no broker."""
        code, out, err = self.run("submit", *arguments, stdin=stdin)
        assert (code, len(out.splitlines())) == (0, 1), err
        return out.strip()


@pytest.fixture
def shell(
    agentflow: Harness, shared_database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Shell]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENTFLOW_DATABASE_URL", shared_database_url)
    monkeypatch.setenv("AGENTFLOW_REDIS_URL", CLOSED)
    monkeypatch.setenv("COLUMNS", "200")
    settings_of_this_process.cache_clear()
    configured = structlog.get_config()
    agentflow.runtime(anything_goes, numbers, texts, shipping)
    yield Shell(agentflow, monkeypatch)
    structlog.configure(**configured)
    settings_of_this_process.cache_clear()


@pytest.fixture(autouse=True)
def everything_reads_back(shell: Shell) -> Iterator[None]:
    yield
    assert read_everything(shell.harness) > 0


REFUSED_SUBMISSIONS: dict[str, tuple[tuple[str, ...], bytes, str]] = {
    "duplicate keys": (("numbers", '{"a": 1, "a": 2}'), b"", "the key 'a' stands in it twice"),
    "duplicate keys below": (("anything", '[{"a": {"b": 1, "b": 2}}]'), b"", "the key 'b' stands in it twice"),
    "NaN": (("numbers", '{"a": NaN}'), b"", "nan is not JSON"),
    "Infinity": (("anything", "[-Infinity]"), b"", "-inf is not JSON"),
    "1e400": (("anything", '{"a": 1e400}'), b"", "$.a: inf is not JSON"),
    "5,000 digits": (("anything", "[" + "9" * 5_000 + "]"), b"", "Exceeds the limit"),
    "2,000 digits": (("anything", "[" + "9" * 2_000 + "]"), b"", "over 1000 digits; send it as a string"),
    "6,000 levels": (("anything", "-"), b"[" * 6_000, "nested deeper than 64 levels"),
    "65 levels": (("anything", "-"), json.dumps(nested(65)).encode(), "nested deeper than 64 levels"),
    "no UTF-8": (("texts", "-"), b"\xff\xfe", "is no UTF-8: invalid start byte at byte 0"),
    "10 MB": (("texts", "-"), b"x" * 10_000_000, "the limit is 1000000 (AGENTFLOW_MAX_INPUT_BYTES)"),
    "over 1 MB": (("texts", "-"), b"x" * 1_000_001, "the limit is 1000000 (AGENTFLOW_MAX_INPUT_BYTES)"),
    "a break of the schema": (("numbers", json.dumps({"k" * 5_000: "x"})), b"", "is not of type 'integer'"),
    "an agent that is no text": ((HALF, "{}"), b"", "no worker has registered an agent '\\udcff'"),
    "a user that is no text": (("anything", "1", "--user", HALF), b"", "user='\\udcff': give a str of 1 to 500"),
    "a long key": (("anything", "1", "--key", "k" * 5_000), b"", "give a str of 1 to 500 printable characters"),
    "two lines": (("anything", "1", "--conversation", "a\nb"), b"", "give a str of 1 to 500 printable"),
    "an empty user": (("anything", "1", "--user", ""), b"", "user='': give"),
    "the first day": (("anything", "1", "--not-before", "0001-01-01"), b"", "is no time"),
    "the last moment": (("anything", "1", "--not-before", "9999-12-31T23:59:59-12:00"), b"", "is no time to wait for"),
    "half a time": (("anything", "1", "--not-before", HALF), b"", "is no time; write it as"),
    "a budget of NaN": (("anything", "1", "--budget", "cost_usd=nan"), b"", "cost_usd=nan is no ceiling"),
    "a budget of 1e999": (("anything", "1", "--budget", "cost_usd=1e999"), b"", "cost_usd=inf is no ceiling"),
    "a budget of 5,000 digits": (
        ("anything", "1", "--budget", "steps=" + "9" * 5_000),
        b"",
        "is no ceiling and number",
    ),
    "a budget by no name": (("anything", "1", "--budget", f"{HALF}=1"), b"", "is no ceiling of 'anything'"),
}


@pytest.mark.parametrize(("arguments", "stdin", "says"), REFUSED_SUBMISSIONS.values(), ids=REFUSED_SUBMISSIONS)
def test_a_submission_that_cannot_be_kept_is_refused_in_one_line(
    shell: Shell, arguments: tuple[str, ...], stdin: bytes, says: str
) -> None:
    assert says in shell.refusal("submit", *arguments, stdin=stdin)
    assert count_runs(shell.harness) == 0


KEPT: dict[str, tuple[str, str, bytes, Any]] = {
    "half a pair as an argument": ("texts", HALF, b"", "\ufffd"),
    "NUL from a file": ("texts", "-", b"a\x00b", "a\x00b"),
    "emoji alone": ("texts", "🎉🎉", b"", "🎉🎉"),
    "nothing": ("texts", "", b"", ""),
    "a text that looks like a broken object": ("texts", '{"a": 1, "a": 2}', b"", '{"a": 1, "a": 2}'),
    "NUL and half pairs in JSON": (
        "anything", '{"\\u0000": "\\ud800", "\\ue000": "\\ud83d\\ude00"}', b"", {"\x00": "\ufffd", "\ue000": "😀"}
    ),
    "a megabyte": ("texts", "-", b"x" * 999_998, "x" * 999_998),
    "64 levels": ("anything", "-", json.dumps(nested(64)).encode(), nested(64)),
    "1,000 digits": ("anything", "9" * 1_000, b"", 10**1_000 - 1),
}  # fmt: skip


@pytest.mark.parametrize(("agent", "text", "stdin", "value"), KEPT.values(), ids=KEPT)
def test_an_odd_submission_is_kept_and_shown_again(
    shell: Shell, agent: str, text: str, stdin: bytes, value: Any
) -> None:
    run_id = shell.submit(agent, text, stdin=stdin)

    assert shell.harness.client.get(run_id).input == value
    code, out, err = shell.run("runs", "show", run_id, "--json")
    assert (code, err, json.loads(out)["run"]["input"]) == (0, "", value)
    assert shell.run("runs", "show", run_id)[0] == 0


@given(anything)
@settings(max_examples=8, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_on_standard_input_is_kept_or_refused_in_one_line(shell: Shell, value: Any) -> None:
    expected = read_as(value)
    if expected is REFUSED:
        shell.refusal("submit", "anything", "-", stdin=json.dumps(value))
    else:
        run_id = shell.submit("anything", "-", stdin=json.dumps(value))
        assert same(shell.harness.client.get(run_id).input, expected)


@given(st.binary(max_size=40) | st.text(st.sampled_from('{}[]":,\\u0d8eE+-.19 \x00'), max_size=12).map(str.encode))
@settings(max_examples=10, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_on_standard_input_are_kept_or_refused_in_one_line(shell: Shell, data: bytes) -> None:
    code, out, err = shell.run("submit", "anything", "-", stdin=data)

    assert (code, len(out.splitlines())) in {(0, 1), (2, 0)}
    assert code == 0 or err.startswith("agentflow: ")


COMMANDS: dict[str, tuple[tuple[str, ...], str]] = {
    "list by user": (("runs", "list", "--user", HALF), "user='\\udcff': give"),
    "list by agent": (("runs", "list", "--agent", HALF), "agent='\\udcff': give"),
    "list by status": (("runs", "list", "--status", HALF), "is no status"),
    "show": (("runs", "show", HALF), "is no run id"),
    "show digits of another script": (("runs", "show", "٣" * 32), "is no run id"),
    "approvals by status": (("approvals", "list", "--status", HALF), "is no status"),
    "answer": (("approvals", "answer", HALF, "x"), "is no approval's id"),
    "answer twice": (("approvals", "answer", UNKNOWN, '{"a": 1, "a": 2}', "--data"), "the key 'a' stands in it twice"),
    "approve NaN": (("approvals", "approve", UNKNOWN, "--arguments", '{"a": NaN}'), "nan is not JSON"),
    "resolve NaN": (("runs", "resolve", UNKNOWN, "happened", "--answer", "[NaN]"), "nan is not JSON"),
    "resolve by no word": (("runs", "resolve", UNKNOWN, HALF), "there is no run"),
    "cancel by nobody": (("runs", "cancel", UNKNOWN, "--by", HALF), "names nobody"),
    "retry with 5,000 digits": (("runs", "retry", UNKNOWN, "--budget", "attempts=" + "9" * 5_000), "raises nothing"),
    "outbox by kind": (("outbox", "list", "--kind", HALF), "kind='\\udcff': give"),
    "outbox by id": (("outbox", "resolve", HALF, "sent", "--reason", "r"), "is no message's id"),
    "pause": (("tools", "pause", HALF, "--reason", "r"), "no worker has registered a tool or a model '\\udcff'"),
    "resume": (("tools", "resume", HALF), "no worker has registered a tool or a model '\\udcff'"),
    "alerts": (("alerts", "--since", HALF), "is no time"),
}


@pytest.mark.parametrize(("arguments", "says"), COMMANDS.values(), ids=COMMANDS)
def test_what_can_name_nothing_is_said_in_one_line(shell: Shell, arguments: tuple[str, ...], says: str) -> None:
    assert says in shell.refusal(*arguments)


def in_doubt(shell: Shell) -> str:
    return shell.harness.run(shipping, {"value": 1}, crash_after="ship").run_id


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ('{"a": 1, "a": 2}', "the key 'a' stands in it twice"),
        ("[1e400]", "the answer cannot be stored: $[0]: inf is not JSON"),
        (json.dumps(nested(65)), "nested deeper than 64 levels"),
        (json.dumps("x" * 1_000_000), "the limit is 1000000 (AGENTFLOW_MAX_INPUT_BYTES)"),
    ],
    ids=["duplicate keys", "1e400", "65 levels", "over 1 MB"],
)
def test_an_answer_to_a_doubt_that_cannot_be_kept_leaves_the_doubt(shell: Shell, answer: str, says: str) -> None:
    run_id = in_doubt(shell)
    code, _, err = shell.run("runs", "resolve", run_id, "happened", "--answer", answer)

    assert code in {1, 2}
    assert says in err
    assert shell.harness.client.steps(run_id)[0].status == "in_doubt"


def test_an_odd_answer_to_a_doubt_is_the_calls_output(shell: Shell) -> None:
    run_id = in_doubt(shell)
    code, _, err = shell.run(
        "runs", "resolve", run_id, "happened", "--answer", '{"\\u0000": "\\ud800🎉"}', "--reason", f"a\x1b{HALF}"
    )

    assert code == 0, err
    assert shell.harness.client.steps(run_id)[0].output == {"\x00": "\ufffd🎉"}
    assert shell.harness.client.interventions(run_id)[0]["reason"] == "a\x1b\ufffd"
    assert "\x1b" not in shell.run("runs", "show", run_id)[1]


def test_an_odd_answer_to_a_question_is_told_letter_for_letter(shell: Shell) -> None:
    hands = asking(shell.harness)
    run_id = begun(hands)
    asked = approval_id(hands, run_id, "question")

    code, _, err = shell.run("approvals", "answer", asked, "-", stdin="a\x00 🎉\n")

    assert code == 0, err
    hands.work()
    assert shell.harness.client.get(run_id).result == "a\x00 🎉"


def test_what_a_run_says_steers_no_terminal_and_is_json_on_any_stream(shell: Shell) -> None:
    odd = "\x00\x1b[2J\u009b\u202e\u2028🎉\ud800"
    run = shell.harness.run(
        Agent("odd", model="openai:gpt-4o-mini", tools=[echo]), odd, model=scripted(call("echo", value=odd), odd)
    )

    for arguments in (("runs", "show", run.run_id), ("runs", "show", run.run_id, "--full"), ("runs", "list")):
        code, out, err = shell.run(*arguments)
        assert (code, err) == (0, "")
        assert not set(out) & set("\x00\x1b\u009b\u202e\u2028")
    document = json.loads(shell.run("runs", "show", run.run_id, "--json")[1])
    assert document["run"]["result"] == odd.replace("\ud800", "\ufffd")


def test_json_is_json_where_the_terminal_knows_ascii_alone(shell: Shell, shared_database_url: str) -> None:
    run_id = shell.submit("texts", "🎉 é")

    project = Project(Path.cwd(), {"AGENTFLOW_DATABASE_URL": shared_database_url, "PYTHONIOENCODING": "ascii"})
    assert project.read("runs", "show", run_id)["run"]["input"] == "🎉 é"


ONE = "from agentflow import Pipeline, tool\n@tool(effect='read')\ndef act() -> int: ...\n"


def declared_in(shell: Shell, module: str, **environment: str) -> None:
    """Let the commands find a module of agents in this folder."""
    shell.monkeypatch.syspath_prepend(str(Path.cwd()))
    for name, value in {"AGENTFLOW_AGENTS": module, **environment}.items():
        shell.monkeypatch.setenv(name, value)
    settings_of_this_process.cache_clear()


POOLS: dict[str, tuple[bytes, str]] = {
    "no TOML": (b"[pools.default\n", "line 1"),
    "no UTF-8": (b"# \xff", "invalid start byte"),
    "empty": (b"", "there is no table [pools.NAME] in it"),
    "a number": (b"pools = 7", "there is no table [pools.NAME]"),
    "a pool a number": (b"[pools]\ndefault = 7", "pools.default is 7; write it as a table [pools.default]"),
    "no kind": (b'[pools.default]\nqueues = ["*"]\nconcurrency = 1', "pools.default has no kind"),
    "an unknown kind": (b'[pools.default]\nqueues = ["*"]\nkind = "fast"\nconcurrency = 1', "kind is 'fast'; give pre"),
    "one queue as text": (b'[pools.default]\nqueues = "*"\nkind = "threads"\nconcurrency = 1', "queues is '*'; give a"),
    "queues a number": (b'[pools.default]\nqueues = 7\nkind = "threads"\nconcurrency = 1', "queues is 7; give a list"),
    "no room": (
        b'[pools.default]\nqueues = ["*"]\nkind = "threads"\nconcurrency = 0',
        "concurrency is 0; give a whole",
    ),
    "room by word": (
        b'[pools.default]\nqueues = ["*"]\nkind = "threads"\nconcurrency = "many"',
        "concurrency is 'many'",
    ),
    "an unknown key": (b'[pools.default]\nqueues = ["*"]\nkind = "threads"\nconcurrency = 1\nx = 1', "has x; it takes"),
    "6,000 levels": (b"pools = " + b"[" * 6_000, "cannot be used: "),
}


@pytest.mark.parametrize(("text", "says"), POOLS.values(), ids=POOLS)
def test_pools_of_the_wrong_shape_are_refused_with_their_file_and_place(shell: Shell, text: bytes, says: str) -> None:
    Path("pools.toml").write_bytes(text)
    Path("good_agents.py").write_text(f"{ONE}a = Pipeline('one', [act])", encoding="utf-8")
    declared_in(shell, "good_agents", AGENTFLOW_POOLS="pools.toml")

    line = shell.refusal("worker", "default")

    assert "the worker pools in 'pools.toml' cannot be used: " in line
    assert says in line


MODULES: dict[str, tuple[str, str]] = {
    "two of one name": (f"{ONE}a = Pipeline('one', [act])\nb = Pipeline('one', [act])", "'one'"),
    "an odd name": (f"{ONE}a = Pipeline('on\\x00e', [act])", "on\\x00e"),
    "a NUL in its text": ("x = 1\x00", "null bytes"),
    "a loop without end": ("def f(): return f()\nf()", "RecursionError"),
    "an exit": ("import sys\nsys.exit(0)", "SystemExit: 0"),
}


@pytest.mark.parametrize(("source", "says"), MODULES.values(), ids=MODULES)
def test_an_agents_module_of_the_wrong_shape_is_refused_with_its_file(shell: Shell, source: str, says: str) -> None:
    name = f"broken_{abs(hash(source))}"
    Path(f"{name}.py").write_text(source, encoding="utf-8")
    declared_in(shell, name)

    line = shell.refusal("agents", "check")

    assert name in line
    assert says in line
