from __future__ import annotations

import fcntl
import io
import os
import struct
import subprocess
import sys
import termios

import pytest

from gallery_sites import environment, until
from isthmus.faces.cli.streams import bearing

LONG = 300_000
PRINTS = f"""
import os, signal, sys
from isthmus.faces.cli.streams import bearing
sys.stdout = bearing(sys.stdout)
signal.signal(signal.SIGALRM, lambda *_: os.write(2, b"s"))
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
print("x" * {LONG}, flush=True)
signal.setitimer(signal.ITIMER_REAL, 0)
print("end")
"""


@pytest.mark.parametrize("unbuffered", ["1", ""])
def test_a_long_line_comes_whole_though_signals_come_while_the_pipe_is_full(unbuffered: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PRINTS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**environment(), "PYTHONUNBUFFERED": unbuffered},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        held = process.stdout.fileno()
        until(lambda: struct.unpack("i", fcntl.ioctl(held, termios.FIONREAD, b"0000"))[0] >= 65536, "it is full")
        os.read(process.stderr.fileno(), 65536)
        assert os.read(process.stderr.fileno(), 1) == b"s"  # a signal that came since then
        assert process.stdout.read() == b"x" * LONG + b"\nend\n"
        process.stderr.read()
    assert process.returncode == 0


def test_signs_that_a_stream_cannot_write_become_question_marks() -> None:
    held = io.BytesIO()
    stream = io.TextIOWrapper(held, "ascii")
    assert bearing(stream) is stream
    print("é☃", file=stream, flush=True)
    assert held.getvalue() == b"??\n"


def test_what_is_no_stream_of_the_system_is_left_alone() -> None:
    text = io.StringIO()
    assert bearing(text) is text
