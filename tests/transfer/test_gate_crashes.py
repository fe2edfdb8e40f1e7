from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import gate_process
from isthmus.transfer.gate import no_step
from isthmus.transfer.signing import SigningKey
from transfer_doubles import copy_files

SENDER_STEPS = [
    "outbound recorded",
    "outbound recorded#2",
    "outbound sealed",
    "outbound kept",
    "outbound kept#2",
    "outbound noted",
    "gate copied",
    "gate synced",
    "gate renamed",
    "gate renamed#2",
    "outbound put",
    "outbound put#2",
    "outbound sent",
    "outbound sent#7",
    "outbound retired",
]
RECEIVER_STEPS = [
    "inbound taken",
    "inbound verified",
    "inbound staged",
    "inbound applying",
    "inbound applying#2",
    "inbound applied",
    "inbound applied#2",
    "inbound finished",
    "inbound finished#5",
    "inbound dropped",
    "inbound dropped#2",
    "inbound quarantined",
    "inbound set aside",
]


def run(side: str, folder: Path, form: str, at: str, now: float, parallel: int = 1) -> int:
    """Run one round of one side in a process of its own; return how it ended."""
    paths = os.pathsep.join([str(Path(gate_process.__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, gate_process.__file__, side, str(folder), form, at, str(now), str(parallel)],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def site(folder: Path) -> Path:
    for name in ("inside", "outside"):
        (folder / name).mkdir(parents=True)
    key = Path(folder.parent / "key.pem")
    if not key.exists():
        SigningKey.create().save(key)
    shutil.copy(key, folder / "key.pem")
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.startswith(".")}


@pytest.mark.parametrize("form", ["tar", "plain"])
def test_a_sender_killed_at_any_step_goes_on_to_the_same_bytes(tmp_path: Path, form: str) -> None:
    undisturbed = site(tmp_path / "undisturbed")
    gate_process.sender(undisturbed, form, no_step, 0).step()
    expected = files(undisturbed / "inside")
    for number, at in enumerate(SENDER_STEPS[number] for number in range(form == "plain", len(SENDER_STEPS), 2)):
        folder = site(tmp_path / str(number))
        assert run("sender", folder, form, at, 0) == -signal.SIGKILL, at
        while gate_process.sender(folder, form, no_step, 0).step():
            pass
        assert files(folder / "inside") == expected, at
        assert files(folder / "outbox") == expected, at
        assert not [file for file in (folder / "outbox").iterdir() if file.name.startswith(".making")], at


@pytest.mark.parametrize(
    "at",
    [
        *("outbound recorded#3", "outbound sealed", "outbound sealed#3", "outbound kept#2", "outbound noted#2"),
        *("gate copied#2", "gate synced#3", "gate renamed#2", "outbound put", "outbound put#4"),
        *("outbound sent", "outbound sent#3", "outbound retired"),
    ],
)
def test_a_sender_with_three_lanes_killed_at_any_step_goes_on_to_the_same_bytes(tmp_path: Path, at: str) -> None:
    keep = 3 if at == "outbound retired" else 100
    undisturbed = site(tmp_path / "undisturbed")
    gate_process.sender(undisturbed, "tar", no_step, 0, keep).step()
    folder = site(tmp_path / "killed")
    if keep == 3:
        gate_process.sender(folder, "tar", no_step, 0, keep=100, parallel=3).step()
        assert run("sender", folder, "tar", at, 0) == -signal.SIGKILL
    else:
        assert run("sender", folder, "tar", at, 0, parallel=3) == -signal.SIGKILL
    while gate_process.sender(folder, "tar", no_step, 0, keep, parallel=3).step():
        pass
    for place in ("inside", "outbox"):
        made, expected = files(folder / place), files(undisturbed / place)
        assert len(expected) > 3
        if keep == 100:
            assert made == expected
        else:  # which ones were sent last is another order, and so is which ones are kept
            assert len(made) == len(expected)
    assert not [file for file in (folder / "outbox").iterdir() if file.name.startswith(".making")]


@pytest.mark.parametrize("at", RECEIVER_STEPS)
def test_a_receiver_killed_at_any_step_finishes_or_rolls_back_by_itself(tmp_path: Path, at: str) -> None:
    folder = site(tmp_path / "site")
    form, keep = ("plain", 100) if "#" in at else ("tar", 3)  # all increments, or the last and a snapshot
    gate_process.sender(folder, form, no_step, 0, keep).step()
    source = gate_process.scripted(gate_process.CHANGES)
    copy_files(folder / "inside", folder / "outside")
    spoiled = folder / "outside" / "faces-000001-000000000099.tar"
    spoiled.write_bytes(b"\1" * 5000)
    assert run("receiver", folder, "-", at, 0) == -signal.SIGKILL
    standing = gate_process.receiver(folder, no_step, 1)[1]
    position = standing.position("faces")
    if position is not None:
        assert source.history[position.order] == (position.digest, standing.records)
    for later in range(2, 5):
        inbound, target = gate_process.receiver(folder, no_step, later)
        inbound.step()
    status = inbound.status()
    assert target.position("faces") == source.position()
    assert target.records == source.records
    assert [alarm.kind.name for alarm in status.alarms] in (["TAMPERED"], ["TRUNCATED"])
    assert len(status.quarantined) == 1
    aside = folder / "staging" / "faces" / "quarantine" / status.quarantined[0].folder
    assert sorted(file.name for file in aside.iterdir()) == ["reason.json", "tar"]
    assert status.staged == () == status.growing
    assert list((folder / "staging" / "faces" / "copies").iterdir()) == []
    assert files(folder / "outside") == {}
    assert status.counts["applied"] == (4 if keep == 100 else 1)
