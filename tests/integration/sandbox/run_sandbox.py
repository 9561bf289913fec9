"""A sandbox with stand-ins for the product's processes, told what to do by its arguments.

``python run_sandbox.py [--demo] [--fail] [--app=NAME:SHELL COMMAND]… [--show=FILE]
[--grace=SECONDS]``

Settings come from the environment. It says ``ready`` when all is up and, with ``--show``, when that
file is there. ``--grace`` is how long apps are given to end by themselves.
"""

import argparse
import asyncio
import contextlib
import sys
from pathlib import Path

import psycopg
from rich.console import Console

from runtime.settings import load_settings
from sandbox import stack as stacks
from sandbox.errors import NotReadyError
from sandbox.processes import until
from sandbox.stack import App, Stack
from sandbox.supervisor import Supervisor


def count_start(url: str) -> None:
    """In place of the migrations: a row for each start."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS start (at timestamptz DEFAULT now())")
        connection.execute("INSERT INTO start DEFAULT VALUES")


async def main() -> int:
    """The exit code of the supervisor."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--demo", action="store_true")
    parser.add_argument("--app", action="append", default=[])
    parser.add_argument("--show", type=Path)
    parser.add_argument("--fail", action="store_true")
    parser.add_argument("--grace", type=float, default=stacks._APP_STOP_S)
    options = parser.parse_args()
    stacks._APP_STOP_S = options.grace

    async def shown() -> bool:
        return options.show is None or await asyncio.to_thread(options.show.exists)

    async def after_start(stack: Stack) -> None:
        console.print("showing")
        with contextlib.suppress(NotReadyError):
            await until(shown, within_s=60, what="the show")
        if options.fail:
            raise ValueError("the show failed")
        console.print(f"ready {stack.sftp_host_key.split()[0]}")

    console = Console(width=300)
    apps = [
        App(name, ["sh", "-c", command]) for name, _, command in (app.partition(":") for app in options.app)
    ]
    supervisor = Supervisor(
        load_settings(),
        console,
        migrate=count_start,
        after_start=after_start,
        stay=not options.demo,
        apps=apps,
    )
    return await supervisor.run()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
