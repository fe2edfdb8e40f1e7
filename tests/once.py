"""What takes long to make is made once for all of the suite's processes, and each takes a copy of its own."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def once(temporary: pytest.TempPathFactory, worker: str, name: str, make: Callable[[Path], None]) -> Path:
    """Return a copy of the folder that `make` fills. `worker` is what the fixture `worker_id` says.

    The folder that was filled stays where it is, so that absolute paths into it hold for the copies too.
    """
    if worker == "master":  # the only process
        folder = temporary.mktemp(name)
        make(folder)
        return folder
    common = temporary.getbasetemp().parent / f"once-{name}"
    common.mkdir(exist_ok=True)
    with (common / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (common / "made").exists():
            shutil.rmtree(common / "folder", ignore_errors=True)
            (common / "folder").mkdir()
            make(common / "folder")
            (common / "made").touch()
        mine = temporary.mktemp(name) / "folder"
        shutil.copytree(common / "folder", mine, symlinks=True)
    return mine
