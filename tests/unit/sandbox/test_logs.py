"""Logs of children are shown from their end and do not grow without bound."""

import sys
from pathlib import Path

import pytest

from sandbox import processes
from sandbox.processes import Child, Command, tail


def test_tail_of_a_long_log_is_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("\n".join(f"line {number}" for number in range(10_000)))

    assert tail(log, 3) == "line 9997\nline 9998\nline 9999"


def test_tail_of_nothing_is_nothing(tmp_path: Path) -> None:
    assert tail(tmp_path / "log") == ""


def test_tail_survives_broken_text(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"broken \xff\n")

    assert tail(log) == "broken \N{REPLACEMENT CHARACTER}"


async def test_a_big_log_is_put_aside_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LOG_LIMIT_BYTES", 5)
    log = tmp_path / "logs" / "child.log"
    child = Child("child", Command([sys.executable, "-I", "-S", "-c", "print('hello')"]), log)

    for _ in range(2):
        await child.start()
        assert await child.wait() == 0

    assert log.read_text() == log.with_name("child.log.1").read_text() == "hello\n"
