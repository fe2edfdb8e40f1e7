"""A device that is killed at any step finishes at its next session, and nothing that was removed stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import device_process
from gallery_doubles import PEOPLE, held, truth

STEPS = [
    ("chunk written", 1),
    ("chunk written", 2),
    ("content written", 1),
    ("content in place", 2),
    ("before commit", 1),
    ("in the transaction", 1),
    ("after commit", 1),
    ("before unlink", 1),
    ("after unlink", 1),
    ("settled", 1),
    ("drop before commit", 1),
    ("thumbnail written", 1),
]


@pytest.mark.parametrize(("step", "nth"), STEPS)
def test_a_device_killed_at_a_step_is_whole_after_the_next_session(tmp_path: Path, step: str, nth: int) -> None:
    key = b"s" * 32 if nth == 2 else None
    before = device_process.world_of(tmp_path, later=False)
    device = before.device(key=key)
    before.sync(device)
    device.close()
    before.store.close()
    environment = os.environ | {"PYTHONPATH": str(Path(device_process.__file__).parent)}
    command = [
        sys.executable,
        device_process.__file__,
        str(tmp_path),
        step,
        str(nth),
        *([key.hex()] if key else []),
    ]
    killed = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    world = device_process.world_of(tmp_path, later=True)
    device = world.device(key=key)
    (stood,) = (one for one in device.galleries() if one.gallery == PEOPLE)
    assert stood.records == len(list(device.items(PEOPLE)))
    report = world.sync(device)
    assert report.galleries[0].verified
    assert held(device) == truth(world)
    assert [one.gallery for one in device.galleries()] == [PEOPLE]
    files = {file.name for file in (tmp_path / "device" / "content").rglob("*") if file.is_file()}
    assert files == {device.contents.name(item.image.digest) for _, item in device.items(PEOPLE)}
