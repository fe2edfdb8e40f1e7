"""Who holds a lock is told without touching it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from isthmus.core.errors import Busy
from isthmus.state.lock import held, holder

HOLDS = """
import pathlib, sys
from isthmus.state.lock import held
with held(pathlib.Path(sys.argv[1]), "work"):
    print("held", flush=True)
    sys.stdin.read()
"""
needs_locks = pytest.mark.skipif(not Path("/proc/locks").exists(), reason="this kernel tells of no locks in /proc")


@needs_locks
def test_the_holder_is_told_while_it_holds_and_no_longer(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    assert holder(lock) is None
    with held(lock, "work"):
        assert holder(lock) == os.getpid()
        with pytest.raises(Busy), held(lock, "work"):
            pass
    assert holder(lock) is None


@needs_locks
def test_another_process_is_told_until_it_dies(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        assert holder(lock) == child.pid
        child.kill()
        child.wait()
    assert holder(lock) is None, "its number still stands in the file, but nobody holds it"
    assert lock.read_text()


@needs_locks
def test_a_holder_that_the_list_of_all_locks_left_out_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "a.lock"
    read = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda self, encoding=None: "" if self == Path("/proc/locks") else read(self, encoding)
    )
    with held(lock, "work"):
        assert holder(lock) == os.getpid()
    assert holder(lock) is None


@needs_locks
def test_a_holder_whose_number_is_not_noted_is_found_in_the_list(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    with held(lock, "work"):
        for noted in ("", "not a number", str(os.getppid()), str(2**22 + 1)):
            lock.write_text(noted)
            assert holder(lock) == os.getpid(), noted
