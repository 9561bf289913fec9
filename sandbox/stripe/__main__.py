"""``python -m sandbox.stripe``: serve until SIGTERM."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime import loops
from sandbox.errors import SandboxError
from sandbox.stripe.server import StripeServer
from sandbox.stripe.world import Behaviour


async def _serve(server: StripeServer) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    await server.start()
    stopped, failed = asyncio.create_task(stopping.wait()), asyncio.create_task(server.ended())
    await asyncio.wait({stopped, failed}, return_when=asyncio.FIRST_COMPLETED)
    if failed.done():
        failed.result()
    failed.cancel()
    await server.stop()


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM. Exit code 1 when that is not possible."""
    parser = argparse.ArgumentParser(
        prog="sandbox.stripe", description="A stand-in for Stripe, for development and tests only."
    )
    parser.add_argument("--file", type=Path, required=True, help="SQLite file with its state")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--bank-delay", type=float, default=Behaviour.bank_delay_s, help="seconds until a bank debit settles"
    )
    options = parser.parse_args(arguments)
    server = StripeServer(
        options.port, file=options.file, behaviour=Behaviour(bank_delay_s=options.bank_delay)
    )
    try:
        loops.run(_serve(server))
    except SandboxError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
