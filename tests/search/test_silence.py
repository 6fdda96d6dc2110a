"""Standard output while HiGHS runs: its line of debugging is dropped, all else arrives."""

from __future__ import annotations

import ctypes
import os

import pytest

from explorer.search.silence import LINE, silence

pytestmark = pytest.mark.skipif(os.name != "posix", reason="prints through the C library")


def test_only_the_solvers_own_line_is_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    c = ctypes.CDLL(None)
    os.write(1, b"before\n")
    with silence():
        c.puts(LINE + b" tmpSolver.run();")
        c.puts(b"from C")
        os.write(1, b"raw\n")
    os.write(1, b"after\n")
    lines = capfd.readouterr().out.splitlines()
    assert (lines[0], sorted(lines[1:3]), lines[3:]) == ("before", ["from C", "raw"], ["after"])


def test_output_comes_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with silence():
            os.write(1, b"held\n")
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail()
    os.write(1, b"after\n")
    assert capfd.readouterr().out == "held\nafter\n"
