"""`agentflow init`: a new project, in a folder that holds none of its files yet."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

_TEMPLATES = Path(__file__).with_name("templates")
# From a template to the file that it becomes.
FILES = {
    "support.py.tmpl": "support.py",
    "test_support.py.tmpl": "test_support.py",
    "dev-model.json.tmpl": "dev-model.json",
    "env.tmpl": ".env",
    "env.example.tmpl": ".env.example",
    "gitignore.tmpl": ".gitignore",
    "docker-compose.yml.tmpl": "docker-compose.yml",
    "Procfile.tmpl": "Procfile",
    "README.md.tmpl": "README.md",
}


def init(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where; here if not given.")] = Path()) -> None:
    """Start a project: an agent with two tools, its test, and what runs it here and on a server."""
    from agentflow.cli.complaints import WrongUse

    taken = [name for name in FILES.values() if (folder / name).exists()]
    if taken:
        raise WrongUse(
            f"{str(folder)!r} has {', '.join(map(repr, taken))} already: choose another folder; nothing was written"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for template, name in FILES.items():
            (folder / name).write_text((_TEMPLATES / template).read_text(encoding="utf-8"), encoding="utf-8")
    except OSError as error:
        raise WrongUse(f"{str(folder)!r} cannot be written to: {error.strerror}; choose another folder") from error
    _print_next_steps(folder)


def _print_next_steps(folder: Path) -> None:
    from agentflow.cli.output import console

    screen = console()
    screen.print(f"A new project is in {str(folder.resolve())!r}: {', '.join(FILES.values())}.", soft_wrap=True)
    screen.print("\nNext:", style="bold")
    if folder.resolve() != Path.cwd():
        screen.print(f"  cd {shlex.quote(str(folder))}")
    for says, command in (
        ("its test: the refund happens once, whatever dies", "pytest"),
        ("everything on this machine; no API key needed", "agentflow dev"),
        ("in another terminal", 'agentflow submit support "My order 4421 arrived broken." --wait'),
    ):
        screen.print(f"  # {says}", style="dim")
        screen.print(f"  {command}")
