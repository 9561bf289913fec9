"""Start a command that cannot outlive its parent and, where asked, does not run as root.

``python -m sandbox.child --parent PID [--signal N] [--drop WAY --uid U --gid G] -- command …``

On Linux the kernel sends ``--signal`` to the command when the process that started it is gone,
``kill -9`` included (``PR_SET_PDEATHSIG``). A change of credentials clears that wish, so it is made
after root is dropped; a parent that died before it was made is noticed by its changed pid. Elsewhere
there is no such wish: the supervisor then ends what it finds left at its next start.

Root is dropped in one of three ways (PostgreSQL refuses to run as root):

``setuid``
    become the given user, with no privilege left;
``search``
    the same, but keep the right to pass and read folders, for a program below a folder that only
    root may enter (a checkout in root's home);
``namespace``
    stay root outside and be an ordinary user inside a user namespace of its own, for a container
    that has no other user.

Only the standard library, and little of it: this runs before every server.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

WAYS = ("setuid", "search", "namespace")

_NAMESPACE_UID = 1000

_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CLONE_NEWUSER = 0x10000000
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2

CANNOT_DROP = 125
CANNOT_EXEC = 127


def main(arguments: Sequence[str]) -> int:
    """Become the command. Returns an exit code only when that was not possible."""
    options = _parse(arguments)
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - not wanted on other systems, and must be loaded before root is dropped

        libc = ctypes.CDLL(None, use_errno=True)
        try:
            _drop_root(libc, options.drop, options.uid, options.gid)
            _call(libc, "prctl", _PR_SET_PDEATHSIG, options.signal, 0, 0, 0)
        except OSError as error:
            sys.stderr.write(f"cannot drop root by {options.drop}: {error}\n")
            return CANNOT_DROP
    if os.getppid() != options.parent:
        sys.stderr.write("the starting process is gone already\n")
        return 128 + int(options.signal)
    try:
        os.execvp(options.command[0], options.command)  # noqa: S606 - the purpose of this program
    except OSError as error:
        sys.stderr.write(f"cannot run {options.command[0]}: {error.strerror}\n")
    return CANNOT_EXEC


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sandbox.child", description=__doc__)
    parser.add_argument("--parent", type=int, required=True, help="pid of the process that starts this one")
    parser.add_argument(
        "--signal", type=int, default=int(signal.SIGKILL), help="sent when the parent is gone"
    )
    parser.add_argument("--drop", choices=WAYS, help="how to stop being root")
    parser.add_argument("--uid", type=int, help="user to become")
    parser.add_argument("--gid", type=int, help="group to become")
    parser.add_argument("command", nargs="+")
    return parser.parse_args(arguments)


def _drop_root(libc: Any, way: str | None, uid: int, gid: int) -> None:
    if way == "setuid":
        _become(uid, gid)
    elif way == "search":
        _become_searcher(libc, uid, gid)
    elif way == "namespace":
        _enter_namespace(libc)


def _become(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def _become_searcher(libc: Any, uid: int, gid: int) -> None:
    """Change the user, keeping one capability through it and through exec (an ambient one).

    The capability is the right to search and read any folder or, in containers that lack it, the
    wider right to override file permissions.
    """
    permitted = _permitted(libc)
    capability = _CAP_DAC_READ_SEARCH if permitted & (1 << _CAP_DAC_READ_SEARCH) else _CAP_DAC_OVERRIDE
    # Without this the kernel drops every capability with the user, and access(2) never counts them.
    _call(libc, "prctl", _PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    _become(uid, gid)
    mask = 1 << capability
    _call(libc, "capset", *_capability_sets(effective=mask, permitted=mask, inheritable=mask))
    _call(libc, "prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def _permitted(libc: Any) -> int:
    header, sets = _capability_sets(effective=0, permitted=0, inheritable=0)
    _call(libc, "capget", header, sets)
    return int(sets[1])


def _capability_sets(*, effective: int, permitted: int, inheritable: int) -> tuple[Any, Any]:
    """``__user_cap_header_struct`` and two ``__user_cap_data_struct`` (the second for those above 31)."""
    import ctypes  # noqa: PLC0415 - see main

    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(effective, permitted, inheritable, 0, 0, 0)
    return header, sets


def _enter_namespace(libc: Any) -> None:
    uid, gid = os.getuid(), os.getgid()
    _call(libc, "unshare", _CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{_NAMESPACE_UID} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{_NAMESPACE_UID} {gid} 1")


def _call(libc: Any, name: str, *arguments: Any) -> None:
    import ctypes  # noqa: PLC0415 - see main

    if getattr(libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
