"""A process that has loaded the product, and becomes a ``recoup`` command by forking, once for each.

Loading takes a command ten times as long as most of what it then does. What is forked is a process of its
own in all else: its environment, folder, output, signals and exit code are those of a command that was
typed, and it runs ``cli.main`` as ``python -m cli.main`` does, or a file as ``python FILE`` does.

It is a program, ``python -m tests.forking SOCKET``. Each connection brings three descriptors and a line of
JSON, and is told the command's process id and, when it ends, its exit code, negative for a signal.
"""

import gc
import importlib
import json
import os
import pkgutil
import runpy
import socket
import socketserver
import sys
import warnings
from typing import Any

import cli

LOADED = ("api.composition", "benchmarks.main", "db.migrate", "sandbox.supervisor", "workers.worker")
_COMMANDS = "cli.main"
"""Not loaded: that module is run, each time anew."""


class Handler(socketserver.StreamRequestHandler):
    """One command: this process, forked by the server, forks it and waits for it."""

    def handle(self) -> None:
        """Fork; tell its id and its end."""
        _, descriptors, _, _ = socket.recv_fds(self.request, 1, 3)
        wanted = json.loads(self.rfile.readline())
        pid = _forked()
        if pid == 0:
            _become(wanted, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        self.wfile.write(b"%d\n" % pid)
        _, status = os.waitpid(pid, 0)
        self.wfile.write(b"%d\n" % os.waitstatus_to_exitcode(status))


class Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """Serves each connection in a process of its own."""

    max_children = 200


def _forked() -> int:
    with warnings.catch_warnings():
        # The threads that Python 3.12 warns of are those of polars' allocator, which outlives a fork.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _become(wanted: dict[str, Any], descriptors: list[int]) -> None:
    """Be the command, which ends the process."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin, sys.stdout = (open(number, mode, closefd=False) for number, mode in ((0, "r"), (1, "w")))  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115 - line by line, as Python has it
    os.chdir(wanted["cwd"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    program = wanted["program"]
    sys.argv = [program or _COMMANDS, *wanted["words"]]
    if program is None:
        runpy.run_module(_COMMANDS, run_name="__main__", alter_sys=True)
    runpy.run_path(program, run_name="__main__")
    sys.stdout.flush()
    os._exit(0)


def main(path: str) -> None:
    """Load the product, then serve for ever."""
    loaded = [module.name for module in pkgutil.iter_modules(cli.__path__, "cli.")]
    for name in (*loaded, *LOADED):
        if name != _COMMANDS:
            importlib.import_module(name)
    gc.collect()
    # What is there now is never looked at again by the collector, so that forks go on sharing it.
    gc.freeze()
    with Server(path, Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
