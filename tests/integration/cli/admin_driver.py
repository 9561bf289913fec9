"""Runs `recoup admin` commands one after the other in one process: loading it takes longer than they do.

Reads ``{"arguments": […], "stdin": "…"}`` lines and answers each with ``{"code", "out", "err"}``.
"""

import json
import sys
import traceback

from typer.testing import CliRunner

from cli.admin import app


def main() -> None:
    """Serve until the input ends."""
    runner = CliRunner()
    for line in sys.stdin:
        request = json.loads(line)
        result = runner.invoke(app, request["arguments"], input=request["stdin"])
        broken = result.exception is not None and not isinstance(result.exception, SystemExit)
        trace = "".join(traceback.format_exception(result.exception)) if broken else ""
        answer = {"code": result.exit_code, "out": result.stdout, "err": result.stderr + trace}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
