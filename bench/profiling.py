"""The profile: `python -m bench profile` samples a worker under the load of the steps, by py-spy.

Two processes at the same time: the busiest child of the default pool, and that pool's main process. Time that they wait
counts, except for threads that do nothing else.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it publishes no types
from rich.console import Console
from rich.table import Table

from bench.busy import kept_busy
from bench.contest import EVERY_STEP_THROUGH_THE_BROKER
from bench.figures import Broken
from bench.flame import flame_graph
from bench.samples import Samples, Share
from bench.size import Size, add_size
from bench.stack import Stack

_POOL = "default"
_RATE = 200
_MISSING = (
    "There is no py-spy on the PATH or beside this Python: `pip install py-spy` into an environment of its own, and "
    "put that one's bin on the PATH, or name the program with --py-spy"
)


def main(arguments: Sequence[str]) -> int:
    """Record, print where the time went, and keep what was recorded; 1 where it can't be done."""
    asked = _read(arguments)
    console = Console(highlight=False)
    program = asked.py_spy or _find()
    if program is None:
        print(_MISSING, file=sys.stderr)
        return 1
    asked.keep.mkdir(parents=True, exist_ok=True)
    try:
        recorded = _record(asked, str(program))
    except (Broken, TimeoutError) as error:
        print(f"The profile could not be taken: {error}", file=sys.stderr)
        return 1
    for name, raw in recorded.items():
        _show(console, name, Samples.read(raw), asked.most)
        _keep(console, asked.keep / name.replace(" ", "-"), name, raw)
    return 0


def _read(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench profile", description=__doc__)
    parser.add_argument("--seconds", type=int, default=20, help="how long to sample (%(default)s)")
    parser.add_argument("--gil", action="store_true", help="only who holds the interpreter's lock: no waiting is seen")
    parser.add_argument("--through-broker", action="store_true", help="every step through the broker")
    parser.add_argument("--keep", type=Path, default=Path("profile"), metavar="FOLDER", help="for the flame graphs")
    parser.add_argument("--most", type=int, default=20, help="rows of a table (%(default)s)")
    parser.add_argument("--py-spy", type=Path, metavar="PROGRAM", help="where py-spy is, if not on the PATH")
    add_size(parser)
    return parser.parse_args(arguments)


def _find() -> Path | None:
    found = shutil.which("py-spy") or shutil.which("py-spy", path=sysconfig.get_path("scripts"))
    return Path(found) if found else None


def _record(asked: argparse.Namespace, program: str) -> Mapping[str, str]:
    """Return the collapsed stacks of each process."""
    told = EVERY_STEP_THROUGH_THE_BROKER if asked.through_broker else {}
    concurrency = Size.read(asked).concurrency
    with (
        tempfile.TemporaryDirectory(prefix="agentflow-bench-") as folder,
        Stack(Path(folder), told, concurrency=concurrency, whole=True) as stack,
        kept_busy(stack),
    ):
        parent = stack.worker(_POOL)
        recorders = {
            name: (Path(folder, name), _start(program, asked, pid, Path(folder, name)))
            for name, pid in {"worker child": _busiest_child(parent), "worker main process": parent}.items()
        }
        return {name: _finished(path, process) for name, (path, process) in recorders.items()}


def _busiest_child(parent: int) -> int:
    children = psutil.Process(parent).children()
    if not children:
        raise Broken("the worker has no child")
    return int(max(children, key=lambda child: child.cpu_times().user).pid)


def _start(program: str, asked: argparse.Namespace, pid: int, path: Path) -> subprocess.Popen[bytes]:
    shape = ["--format", "raw", "--function", "--threads", "--rate", str(_RATE), "--duration", str(asked.seconds)]
    whom = "--gil" if asked.gil else "--idle"
    command = [program, "record", "--pid", str(pid), "--output", str(path), *shape, whom]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def _finished(path: Path, process: subprocess.Popen[bytes]) -> str:
    said, _ = process.communicate()
    if process.returncode or not path.exists():
        raise Broken(f"py-spy ended {process.returncode}: {said.decode(errors='replace')[-500:].strip()}")
    return path.read_text(encoding="utf-8")


def _show(console: Console, name: str, samples: Samples, most: int) -> None:
    console.print(f"\n[bold]{name}[/bold]: {samples.total:,} samples")
    for title, shares in (
        ("by package, the function's own time", samples.by_package()),
        ("functions, by their own time", samples.by_function()),
        ("agentflow's functions, with what they call outside of agentflow", samples.by_own_function()),
        ("agentflow's functions, with all they call", samples.by_own_reach()),
    ):
        console.print(_table(title, shares[:most]))


def _table(title: str, shares: Sequence[Share]) -> Table:
    table = Table("", title, box=None, pad_edge=False)
    for name, share in shares:
        table.add_row(f"{share:6.1%}", name)
    return table


def _keep(console: Console, path: Path, name: str, raw: str) -> None:
    path.with_suffix(".txt").write_text(raw, encoding="utf-8")
    path.with_suffix(".svg").write_text(flame_graph(name, Samples.read(raw)), encoding="utf-8")
    console.print(f"flame graph: {path.with_suffix('.svg')}; its stacks: {path.with_suffix('.txt')}")
