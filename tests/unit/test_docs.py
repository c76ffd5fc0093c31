"""The documents are true of the code: their examples, commands, variables, tables, links, and the tests they name."""

from __future__ import annotations

import ast
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from importlib.util import module_from_spec, spec_from_file_location
from itertools import takewhile
from pathlib import Path
from types import ModuleType

import pytest
import typer.main
from typer.core import TyperGroup

from agentflow.cli.program import app
from agentflow.declare.assumptions import Open
from agentflow.declare.budget import Budget
from agentflow.declare.limits import Limits
from agentflow.declare.registry import load
from agentflow.domain.claim import ClaimAnswer
from agentflow.domain.failure import ErrorKind
from agentflow.domain.run import RUN_TRANSITIONS, OnFailure
from agentflow.domain.step import STEP_TRANSITIONS, Effect
from agentflow.domain.waiting import GATED, IN_DOUBT, RUN_PAUSED, SETTLING, VERIFYING, Person
from agentflow.policy.backoff import backoff_s, parking_s
from agentflow.settings import Settings
from agentflow.store.tables import metadata
from agentflow.testing import Harness

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
)
BY_NAME = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in DOCUMENTS}

_EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_COMMAND = re.compile(r"(?:^ {4,}(?:\$ )?|`)(agentflow [a-z][^`\n#|]*)", re.MULTILINE)
_MAKE = re.compile(r"(?:^ {4,}|`)make ([a-z-]+)", re.MULTILINE)
_VARIABLE = re.compile(r"AGENTFLOW_[A-Z_]*[A-Z]")
_TEST = re.compile(r"tests/[\w/]+\.py::\w+")
_OURS = re.compile(
    r"`((?:agentflow(?!/bundled)|tasks|config|migrations|examples|tests|requirements|docs|\.ci)/[\w./-]*)(?:::\w+)?`"
)
_SOURCES = ("agentflow", "tasks", "config", "docker-compose.yml", "Dockerfile")


def example_of(name: str) -> str:
    return "\n\n".join(_EXAMPLE.findall(BY_NAME[name]))


def loaded(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import a document's examples as one module, as a reader who copies them in order would have it."""
    module_name = f"examples_of_{re.sub(r'[^a-z0-9]', '_', name.lower())}"
    path = folder / f"{module_name}.py"
    path.write_text(example_of(name), encoding="utf-8")
    spec = spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, module_name, module)
    spec.loader.exec_module(module)
    return module


def examples_that_are_tests() -> Iterator[tuple[str, str]]:
    for name in BY_NAME:
        for node in ast.walk(ast.parse(example_of(name))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield name, node.name


def rows(name: str, head: str) -> Iterator[list[str]]:
    """The rows of the table of a document that begins with `head`."""
    lines = iter(BY_NAME[name].splitlines())
    assert any(line.startswith(head) for line in lines), f"{name} has no table {head!r}"
    next(lines)
    for line in lines:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip("|").split("|")]


def is_row(line: str) -> bool:
    return line.startswith("|")


def words(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


@pytest.mark.parametrize("name", [name for name in BY_NAME if example_of(name)])
def test_examples_can_be_copied_into_a_module_that_workers_load(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = loaded(name, tmp_path, monkeypatch)

    assert load([module.__name__]).agents


@pytest.mark.parametrize(("name", "test"), [*examples_that_are_tests()])
def test_tests_in_examples_pass(
    name: str, test: str, agentflow: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example: Callable[[Harness], None] = getattr(loaded(name, tmp_path, monkeypatch), test)

    example(agentflow)


def commands() -> Iterator[tuple[str, str]]:
    for name, text in BY_NAME.items():
        yield from ((name, command.strip()) for command in _COMMAND.findall(text))


@pytest.mark.parametrize(("name", "command"), sorted(set(commands())))
def test_commands_and_their_options_exist(name: str, command: str) -> None:
    found = typer.main.get_command(app)
    given = shlex.split(command.replace("[", "").replace("]", ""))[1:]
    while isinstance(found, TyperGroup) and given and not given[0].startswith("-"):
        assert given[0] in found.commands, f"{name} names `{command}`; there are {sorted(found.commands)}"
        found = found.commands[given.pop(0)]
    known = {option for parameter in found.params for option in parameter.opts} | {"--help", "-h"}
    assert {word for word in given if word.startswith("-") and word != "-"} <= known, f"{name} names `{command}`"


def test_every_command_is_described_for_those_who_operate() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    for name, command in group.commands.items():
        for full in [f"{name} {sub}" for sub in command.commands] if isinstance(command, TyperGroup) else [name]:
            assert f"agentflow {full}" in BY_NAME["docs/operating.md"], f"docs/operating.md leaves out {full!r}"


def test_targets_of_make_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {target for text in BY_NAME.values() for target in _MAKE.findall(text)}

    assert named <= targets


def test_environment_variables_are_read_somewhere() -> None:
    files = [path for name in _SOURCES for path in [ROOT / name, *(ROOT / name).rglob("*")] if path.is_file()]
    code = " ".join(path.read_text(encoding="utf-8") for path in files if path.suffix not in {".pyc", ".md"})
    read = {f"AGENTFLOW_{field.upper()}" for field in Settings.model_fields} | set(_VARIABLE.findall(code))
    named = {variable for text in BY_NAME.values() for variable in _VARIABLE.findall(text)}

    assert named <= read


def test_every_setting_is_described_for_those_who_operate() -> None:
    settings = {f"AGENTFLOW_{field.upper()}" for field in Settings.model_fields}

    assert settings <= set(_VARIABLE.findall(BY_NAME["docs/operating.md"]))


def test_every_promise_names_a_test_that_shows_it() -> None:
    lines = BY_NAME["docs/reliability.md"].splitlines()
    tables = [number for number, line in enumerate(lines) if line == "| promise | shown by |"]
    promises = [line for start in tables for line in takewhile(is_row, lines[start + 2 :])]

    assert len(tables) >= 8
    assert [line for line in promises if not _TEST.search(line.rpartition(" | ")[2])] == []


@pytest.mark.parametrize("test", sorted({test for text in BY_NAME.values() for test in _TEST.findall(text)}))
def test_tests_that_are_named_exist(test: str) -> None:
    path, name = test.split("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))

    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("name", BY_NAME)
def test_links_and_paths_lead_somewhere(name: str) -> None:
    text = _FENCED.sub("", BY_NAME[name])
    for target in _LINK.findall(text):
        path, _, heading = target.partition("#")
        if "://" in path:
            continue
        found = (ROOT / name).parent / path if path else ROOT / name
        assert found.exists(), f"{name} links to {target}"
        assert not heading or heading in headings(found), f"{name} links to {target}"
    assert [path for path in _OURS.findall(text) if not (ROOT / path).exists()] == []


def headings(path: Path) -> set[str]:
    lines = re.findall(r"^#+ (.+)$", _FENCED.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def test_states_are_those_of_the_code() -> None:
    tables = re.split(r"^\| from \| to \|$", BY_NAME["docs/states.md"], flags=re.MULTILINE)[1:]
    found = [
        {
            cells[0].strip("`"): words(cells[1])
            for line in table.strip().splitlines()[1:]
            if (cells := [cell.strip() for cell in line.strip("|").split("|")]) and line.startswith("|")
        }
        for table in (part.split("\n\n")[0] for part in tables)
    ]

    assert found == [
        {str(old): {str(new) for new in legal} for old, legal in transitions.items()}
        for transitions in (RUN_TRANSITIONS, STEP_TRANSITIONS)
    ]


def test_tables_are_those_of_the_schema() -> None:
    named = {name for row in rows("docs/architecture.md", "| table |") for name in words(row[0])}

    assert named == set(metadata.tables)


def test_every_class_of_effect_is_described() -> None:
    named = [words(row[0]) for row in rows("docs/declaring.md", "| class |")]

    assert named == [{str(effect)} for effect in Effect]


def test_everything_that_a_declaration_may_leave_open_is_described() -> None:
    named = {word for row in rows("docs/declaring.md", "| `kind` | what is open |") for word in words(row[0])}

    assert named == {str(kind) for kind in Open}


def test_everything_that_may_become_of_a_failed_runs_effects_is_described() -> None:
    named = {word.strip('"') for row in rows("docs/declaring.md", "| `on_failure` |") for word in words(row[0])}

    assert named == {str(choice) for choice in OnFailure}


def test_every_answer_of_a_claim_is_described() -> None:
    assert named_in("docs/states.md", "| answer |") == {str(answer) for answer in ClaimAnswer}


def test_every_kind_of_failure_is_described() -> None:
    assert named_in("docs/states.md", "| kind | what happened | what") == {str(kind) for kind in ErrorKind}


def test_every_reason_to_wait_is_described() -> None:
    parked = {str(answer) for answer in (ClaimAnswer.KEY_IN_FLIGHT, ClaimAnswer.UNSERVED, ClaimAnswer.BUDGET_RESERVED)}
    retried = constants_given_to("Retry", "Retrying")

    assert retried
    others = {*map(str, Person), IN_DOUBT, VERIFYING, SETTLING, RUN_PAUSED, "conversation_turn", "retry_lost"}
    assert named_in("docs/states.md", "| reason |") == {*GATED, *parked, *retried, *others}


def test_every_reason_why_a_run_ends_is_described() -> None:
    ends_no_run = {"time_s", "repairs", "compensation_attempts"}
    ceilings = {each.name for each in fields(Budget)} - ends_no_run | {"unpriced_model"}
    given = constants_given_to("Fail", "StopRun", "_failed")

    assert {"quota", "tool_failed"} <= given
    assert given | {f"budget_{name}" for name in ceilings} <= named_in("docs/states.md", "| kind | what happened |")


def test_the_pauses_between_attempts_are_those_of_the_code() -> None:
    quick, parked = [[int(n) for n in re.findall(r"\d+", row[1])] for row in rows("docs/states.md", "| n | seconds |")]

    assert quick == [0, *(backoff_s(tries, 1.0) for tries in (1, 2, 3))]
    assert parked == [parking_s(beyond, draw) for beyond in (1, 2, 3, 99) for draw in (0.0, 1.0)]


def test_every_ceiling_and_every_limit_is_described() -> None:
    assert named_in("docs/declaring.md", "| ceiling |") == {each.name for each in fields(Budget)}
    assert named_in("docs/declaring.md", "| | default | |") == {each.name for each in fields(Limits)}


def named_in(name: str, head: str) -> set[str]:
    return {word for row in rows(name, head) for word in words(row[0])}


def constants_given_to(*functions: str) -> set[str]:
    """The machine-readable words that the engine's own code gives to calls of these names."""
    calls = [
        node
        for folder in ("policy", "engine")
        for path in (ROOT / "agentflow" / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions
    ]
    values = [given.value for call in calls for given in call.args if isinstance(given, ast.Constant)]
    return {value for value in values if isinstance(value, str) and re.fullmatch(r"[a-z_]+", value)}


def test_decisions_are_numbered_and_say_why_and_what_follows() -> None:
    pages = sorted(name for name in BY_NAME if name.startswith("docs/adr/"))

    assert [int(Path(name).name[:4]) for name in pages] == list(range(1, len(pages) + 1))
    for name in pages:
        assert re.findall(r"^## (.+)$", BY_NAME[name], re.MULTILINE) == ["Context", "Decision", "Consequences"], name
