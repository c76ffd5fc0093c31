"""Owns as whom a server runs. PostgreSQL refuses root, so root's runs in a user namespace, or as another user."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agentflow.local.errors import ServerFailed

_CLONE_NEWUSER = 0x10000000
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Identity:
    """Who a server is: `enter` is called in the child before its program, `owner` must own its files."""

    name: str
    owner: int
    enter: Callable[[], None]


def choose_identity(program: Path, folder: Path, cluster: Path) -> Identity:
    """Answer the first identity under which the program runs and may use the folder. Existing data keep their owner."""
    if os.geteuid() != 0:
        return same_user()
    for identity in _root_identities(cluster):
        if _works(identity, program, folder):
            return identity
    raise ServerFailed(
        f"PostgreSQL does not run as root, and neither a user namespace nor another user works for {str(folder)!r}: "
        "run agentflow as a normal user, or set AGENTFLOW_DATABASE_URL"
    )


def own(identity: Identity, path: Path) -> None:
    """Give the files to the identity, as far as they are not its own."""
    if os.geteuid() != 0 or not path.exists() or path.stat().st_uid == identity.owner:
        return
    for parent, folders, files in os.walk(path):
        for name in (".", *folders, *files):
            os.chown(Path(parent, name), identity.owner, -1, follow_symlinks=False)


def same_user() -> Identity:
    """As whoever runs agentflow."""
    return Identity("this user", os.geteuid(), _stay)


def user_namespace() -> Identity:
    """Root outside, `nobody` inside: root's own files stay within reach, wherever they are."""
    inside = _nobody().pw_uid
    return Identity("root in a user namespace", 0, lambda: _enter_user_namespace(inside))


def other_user(uid: int, gid: int) -> Identity:
    """Another user, who may pass root's folders where the kernel lets root hand that right on."""
    return Identity(f"user {uid}", uid, lambda: _become(uid, gid))


def _root_identities(cluster: Path) -> Iterator[Identity]:
    owner = cluster.stat() if cluster.exists() else None
    if owner and owner.st_uid != 0:
        yield other_user(owner.st_uid, owner.st_gid)
    elif sys.platform == "linux":
        yield user_namespace()
    yield other_user(_nobody().pw_uid, _nobody().pw_gid)


def _nobody() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        # initdb wants a user with a name; any but root will do.
        return next(entry for entry in pwd.getpwall() if entry.pw_uid != 0)


def _works(identity: Identity, program: Path, folder: Path) -> bool:
    probe = ["/bin/sh", "-c", 'test -x "$1" && exec "$2" --version', "sh", str(folder), str(program)]
    try:
        enter = identity.enter
        done = subprocess.run(probe, preexec_fn=enter, capture_output=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _stay() -> None:
    pass


def _enter_user_namespace(inside: int) -> None:
    uid, gid = os.geteuid(), os.getegid()
    with contextlib.suppress(OSError):
        os.setgroups([])
    _check(_libc.unshare(_CLONE_NEWUSER))
    # Without CAP_SETGID outside, the kernel takes a group map only from who gave up setgroups.
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/gid_map", f"{inside} {gid} 1")
    _write("/proc/self/uid_map", f"{inside} {uid} 1")


def _become(uid: int, gid: int) -> None:
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if sys.platform == "linux":
        _keep_file_access()


def _keep_file_access() -> None:
    """Keep the one capability that passes folders like /root. Where it is refused, the probe sees what that means."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    bit = 1 << _CAP_DAC_OVERRIDE
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
    if _libc.capset(header, sets) == 0:
        _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), "the kernel refuses a user namespace")


def _write(path: str, text: str) -> None:
    Path(path).write_text(text, encoding="ascii")
