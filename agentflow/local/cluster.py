"""Owns PostgreSQL's data directory: how it is made, what made it, and what a killed server left in it."""

from __future__ import annotations

from pathlib import Path

from agentflow.local.children import Children
from agentflow.local.errors import ServerFailed
from agentflow.local.folder import ServerFolder
from agentflow.local.identity import Identity, own
from agentflow.local.program import Program
from agentflow.local.record import read_record
from agentflow.local.storage import read_lines, remove_tree, write_private

USER = "agentflow"
DATABASE = "agentflow"

_INITDB_S = 120
_BUILTIN_LOCALE_SINCE = 17


class Cluster:
    """A data directory with one superuser and one database of ours."""

    def __init__(self, folder: ServerFolder, program: Program, identity: Identity, children: Children) -> None:
        self.path = folder.cluster
        self._folder = folder
        self._program = program
        self._identity = identity
        self._children = children

    def create(self, password: str) -> None:
        """Make it beside its place and move it there when it is whole."""
        draft = self.path.with_name("cluster.new")
        remove_tree(draft)
        draft.mkdir(mode=0o700)
        own(self._identity, draft)
        self._initdb(draft, password)
        self._run_sql(draft, f"create database {DATABASE}")
        draft.rename(self.path)

    def take_over(self) -> None:
        """Make existing data ready for a start by this program and identity, whoever ran it before."""
        self._refuse_other_major()
        own(self._identity, self.path)
        self._drop_stale_pid()

    def change_password(self, password: str) -> None:
        """Set the password, for one whose file was lost."""
        self._run_sql(self.path, f"alter role {USER} password '{password}'")

    def _initdb(self, draft: Path, password: str) -> None:
        secret = self.path.with_name("password.new")
        write_private(secret, password)
        own(self._identity, secret)
        initdb = [str(self._program.path.with_name("initdb")), "-D", str(draft), "-U", USER, f"--pwfile={secret}"]
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions"]
        if self._program.major >= _BUILTIN_LOCALE_SINCE:
            options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        done = self._run([*initdb, *options])
        secret.unlink()
        if not done:
            raise ServerFailed(f"initdb could not create {str(draft)!r}: see {str(self._folder.server_log)!r}")

    def _run_sql(self, cluster: Path, sql: str) -> None:
        single = [str(self._program.path), "--single", "-D", str(cluster), "-c", "exit_on_error=on", "postgres"]
        if not self._run(single, text=f"{sql}\n"):
            log = str(self._folder.server_log)
            raise ServerFailed(f"The database in {str(cluster)!r} takes no change: see {log!r}")

    def _run(self, command: list[str], text: str = "") -> bool:
        cwd = self._folder.path
        return self._children.run(command, cwd=cwd, identity=self._identity, text=text, timeout_s=_INITDB_S)

    def _refuse_other_major(self) -> None:
        made_by = read_major(self._folder) or "of an unknown version"
        if made_by != self._program.major:
            raise ServerFailed(
                f"The data in {str(self.path)!r} was made by PostgreSQL {made_by}, but {str(self._program.path)!r} "
                f"is version {self._program.version}: install PostgreSQL {made_by}, or move that directory away "
                "to start afresh"
            )

    def _drop_stale_pid(self) -> None:
        """Remove what a killed server of ours left: the server lock is ours, so none of its processes lives.

        PostgreSQL would refuse to start if that pid is another process by now. A file of any other server is its own.
        """
        previous = read_record(self._folder)
        pid_file = self.path / "postmaster.pid"
        if previous and read_lines(pid_file)[:1] == [str(previous.server_pid)]:
            pid_file.unlink()


def read_major(folder: ServerFolder) -> int | None:
    """Answer which major version made the data; None if there is none yet."""
    lines = read_lines(folder.cluster / "PG_VERSION")
    return int(lines[0]) if lines and lines[0].isdigit() else None
